// Elements, numbers and what is read out.

export const $ = (id) => document.getElementById(id);

// An element with properties (class, text, on…, data-…, aria-…) and children.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function say(text) {
  $("status").textContent = ""; // the same words twice are read twice
  setTimeout(() => { $("status").textContent = text; }, 30);
}

const whole = new Intl.NumberFormat("en");
export const number = (value) => whole.format(value);

export function percent(share) {
  const hundredths = share * 100;
  return hundredths > 0 && hundredths < 1 ? "< 1 %" : `${Math.round(hundredths)} %`;
}

export function clock(seconds) {
  const rounded = Math.floor(seconds);
  return `${Math.floor(rounded / 60)}:${String(rounded % 60).padStart(2, "0")}`;
}

export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${Math.max(1, Math.round(bytes / 1e3))} KB`;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

// What is kept between visits or in this tab; a browser that keeps nothing does no harm.
export function keep(storage, name, value) {
  try {
    if (value) globalThis[storage].setItem(name, value);
    else globalThis[storage].removeItem(name);
  } catch { /* not kept */ }
}

export function kept(storage, name) {
  try {
    return globalThis[storage].getItem(name) ?? "";
  } catch {
    return "";
  }
}

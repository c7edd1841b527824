// One item after another; a rating counts when the server says that it is on the disk.
"use strict";

const SCALES = ["understandability", "relevancy"];
const WORDS = ["not at all", "a little", "partly", "mostly", "fully"];
const $ = (id) => document.getElementById(id);

let items = [];
let place = 0; // items.length is the page of thanks
let active = 0; // the scale that a digit goes to
let saving = false;

function buildScales() {
  for (const scale of SCALES) {
    for (let value = 1; value <= 5; value++) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: scale, value: String(value) });
      input.setAttribute("aria-label", `${value}, ${WORDS[value - 1]}`);
      const shown = document.createElement("span");
      shown.textContent = String(value);
      shown.setAttribute("aria-hidden", "true");
      label.append(input, shown);
      $(scale).querySelector(".scale").append(label);
    }
    $(scale).addEventListener("focusin", () => activate(SCALES.indexOf(scale)));
  }
}

const chosen = (scale) => Number(new FormData($("form")).get(scale)) || null;
const isDone = (item) => item.rating !== null;
const numDone = () => items.filter(isDone).length;

function activate(scale) {
  active = scale;
  SCALES.forEach((name, index) => $(name).classList.toggle("active", index === active));
}

function choose(value) {
  const scale = SCALES[active];
  document.querySelector(`input[name=${scale}][value="${value}"]`).checked = true;
  $("problem").textContent = "";
  $("status").textContent = `${scale} ${value}`;
  if (active === 0) activate(1);
}

function show(index) {
  place = index;
  const item = items[place];
  $("loading").hidden = true;
  $("rating").hidden = !item;
  $("done").hidden = Boolean(item);
  $("progress").max = items.length;
  $("progress").value = numDone();
  $("count").textContent = `${numDone()} of ${items.length} done`;
  $("problem").textContent = "";
  if (!item) return showThanks();
  $("place").textContent = `Hashtag ${place + 1} of ${items.length}` +
    (item.rating ? (item.rating.skipped ? ", marked as “can't judge”" : ", rated") : "");
  $("hashtag").textContent = `#${item.hashtag}`;
  $("description").textContent = item.description || "No description.";
  $("description").classList.toggle("none", !item.description);
  for (const scale of SCALES) {
    for (const input of document.getElementsByName(scale)) {
      input.checked = Boolean(item.rating) && String(item.rating[scale]) === input.value;
    }
  }
  $("back").disabled = place === 0;
  activate(0);
  play(item.video);
  $("hashtag").focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function showThanks() {
  $("video").pause();
  const skipped = items.filter((item) => item.rating && item.rating.skipped).length;
  const left = items.length - numDone();
  $("thanks").textContent = left ? "This was the last one" : "All done, thank you!";
  $("summary").textContent = `${numDone() - skipped} rated, ${skipped} marked as “can't judge”` +
    (left ? `, ${left} still open.` : ".");
  $("again").textContent = left ? "To the first open one" : "Back to the last one";
  $("thanks").focus();
}

function play(address) {
  const video = $("video");
  $("unplayable").hidden = true;
  if (video.getAttribute("src") !== address) video.src = address;
  else video.currentTime = 0;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  video.play().catch(() => {}); // a browser that wants a key or click first shows its own button
}

async function save(rating) {
  if (saving) return;
  const item = items[place];
  saving = true;
  try {
    const answer = await fetch("ratings", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ item: item.id, ...rating }),
    });
    if (!answer.ok) throw new Error((await answer.json()).error);
    item.rating = rating;
    show(place + 1 < items.length ? place + 1 : nextOpen());
    $("status").textContent = `Saved, ${numDone()} of ${items.length} done`;
  } catch (error) {
    const reason = error instanceof TypeError || error instanceof SyntaxError
      ? "the rating program doesn't answer. Start it again and open its new address" : error.message;
    $("problem").textContent = `Not saved: ${reason}.`;
  } finally {
    saving = false;
  }
}

function nextOpen() {
  const open = items.findIndex((item) => !isDone(item));
  return open < 0 ? items.length : open;
}

function saveAndNext() {
  const rating = Object.fromEntries(SCALES.map((scale) => [scale, chosen(scale)]));
  const open = SCALES.findIndex((scale) => !rating[scale]);
  if (open >= 0) {
    if (items[place].rating) return show(place + 1); // it was skipped, and stays so
    activate(open);
    $("problem").textContent = `Choose 1 to 5 for ${SCALES[open]} first.`;
    return;
  }
  const before = items[place].rating;
  if (before && SCALES.every((scale) => before[scale] === rating[scale])) return show(place + 1);
  save(rating);
}

const skip = () => save({ skipped: true });
const back = () => place > 0 && show(place === items.length && nextOpen() < place ? nextOpen() : place - 1);

function togglePlay() {
  if ($("video").paused) $("video").play().catch(() => {});
  else $("video").pause();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || saving) return;
  const action = actionOf(event.key.length === 1 ? event.key.toLowerCase() : event.key, event.target);
  if (!action) return;
  event.preventDefault();
  action();
}

function actionOf(key, target) {
  const onItem = place < items.length;
  if (key === "Enter") return onItem && !target.matches("button, input[type=checkbox]") && saveAndNext;
  if (!$("keys").checked) return null;
  if (key === "b") return back;
  if (!onItem) return null;
  if (/^[1-5]$/.test(key)) return () => choose(key);
  if (key === "s") return skip;
  if (target.matches("button, input, video")) return null; // these have a use for the keys below
  return { " ": togglePlay, ArrowUp: () => activate(0), ArrowDown: () => activate(1) }[key];
}

async function start() {
  buildScales();
  document.addEventListener("keydown", onKey);
  $("form").addEventListener("submit", (event) => { event.preventDefault(); saveAndNext(); });
  $("back").addEventListener("click", back);
  $("again").addEventListener("click", back);
  $("skip").addEventListener("click", skip);
  $("video").addEventListener("error", () => { $("unplayable").hidden = false; });
  $("keys").addEventListener("change", () => { $("keys-help").hidden = !$("keys").checked; });
  try {
    const answer = await fetch("items");
    items = (await answer.json()).items;
    show(nextOpen());
  } catch {
    $("loading").textContent = "The rating program doesn't answer. Start it again and open its new address.";
  }
}

start();

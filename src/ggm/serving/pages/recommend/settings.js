// What people set: colours, key, options, their own hashtags.

import { $, keep, kept, number, percent, say } from "./dom.js";
import { joined, listOf } from "./hashtags.js";
import { currentKey, useKey } from "./service.js";

const THEME = "ggm.theme";
const HISTORY = "ggm.history";

export function setUpTheme() {
  const chosen = document.documentElement.dataset.theme ?? "auto";
  $("theme").querySelector(`[value=${chosen}]`).checked = true;
  $("theme").addEventListener("change", (event) => {
    const theme = event.target.value;
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    keep("localStorage", THEME, theme === "auto" ? "" : theme);
  });
}

export class KeyDialog {
  constructor({ onKey }) {
    this.onKey = onKey;
    this.usual = $("key-why").textContent;
    $("key-open").addEventListener("click", () => this.open());
    $("key-cancel").addEventListener("click", () => $("key-dialog").close());
    $("key-forget").addEventListener("click", () => { this.use(""); $("key-dialog").close(); });
    $("key-form").addEventListener("submit", () => this.use($("key").value.trim()));
    this.show();
  }

  open(why = "") {
    $("key-why").textContent = why ? `${why} ${this.usual}` : this.usual;
    $("key").value = currentKey();
    if (!$("key-dialog").open) $("key-dialog").showModal();
    $("key").focus();
  }

  use(key) {
    useKey(key);
    this.show();
    say(key ? "The key is used from now on" : "The key is forgotten");
    if (key) this.onKey();
  }

  show() {
    $("key-open").textContent = currentKey() ? "Key set" : "Key";
    $("key-forget").hidden = !currentKey();
  }
}

// The creator's own hashtags; they stay in this browser if that was asked for, and nowhere else.
export function setUpHistory() {
  const update = () => {
    const count = listOf($("history").value).length;
    $("history-count").textContent = count ? number(count) : "";
    keep("localStorage", HISTORY, $("history-keep").checked ? $("history").value.trim() : "");
  };
  $("history").value = kept("localStorage", HISTORY);
  $("history-keep").checked = Boolean($("history").value);
  $("history").addEventListener("input", update);
  $("history-keep").addEventListener("change", () => {
    update();
    say($("history-keep").checked ? "Remembered in this browser" : "Forgotten in this browser");
  });
  update();
}

// A text a post, as the service wants it.
export const history = () => $("history").value.split("\n").map((line) => joined(listOf(line))).filter(Boolean);

export function setUpOptions() {
  $("min-score").addEventListener("input", () => {
    $("min-score-shown").textContent = percent(Number($("min-score").value) / 100);
  });
}

// Only what was set: for all else the service decides.
export function options() {
  const most = Number($("max-hashtags").value);
  const lowest = Number($("min-score").value) / 100;
  const chosen = {
    max_hashtags: Number.isInteger(most) && most >= 1 ? most : undefined,
    min_score: lowest > 0 ? lowest : undefined,
    platform: $("platform").value || undefined,
    novel: $("novel").value || undefined,
  };
  return Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined));
}

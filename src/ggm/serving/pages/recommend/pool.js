// The pool: searched by how a hashtag begins or by what it means, and what is rising in it.

import { $, h, number, plural, say } from "./dom.js";
import { readPool, readTrends } from "./answers.js";
import { get } from "./service.js";

const PAGE = 20;

export class Pool {
  constructor({ onUse, onKeyNeeded }) {
    this.onUse = onUse;
    this.onKeyNeeded = onKeyNeeded;
    this.offset = 0;
    this.opened = false;
    $("pool-form").addEventListener("submit", (event) => { event.preventDefault(); this.search(0); });
    $("pool-more").addEventListener("click", () => this.search(this.offset));
    $("trends-again").addEventListener("click", () => this.trends());
    $("pool-mode").addEventListener("change", () => {
      $("pool-text").placeholder = this.mode() === "prefix" ? "snow" : "standing in the rain";
      this.search(0);
    });
    $("pool-text").addEventListener("input", () => {
      if (this.mode() !== "prefix") return; // a search by meaning costs more than a key stroke should
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.search(0), 250);
    });
  }

  open() {
    if (this.opened) return;
    this.opened = true;
    this.trends();
  }

  mode() {
    return new FormData($("pool-form")).get("mode");
  }

  async search(offset) {
    clearTimeout(this.timer);
    this.stop?.abort();
    const text = $("pool-text").value.trim().replace(/^[#＃]+/, "");
    if (!text) {
      $("pool-results").replaceChildren();
      $("pool-more").hidden = true;
      $("pool-status").textContent = "";
      return;
    }
    this.stop = new AbortController();
    $("pool-status").textContent = "Searching …";
    try {
      const raw = await get("v1/pool", { [this.mode()]: text, limit: PAGE, offset }, { signal: this.stop.signal });
      const { rows, total } = readPool(raw);
      const items = rows.map((row) => this.row(row));
      if (offset) $("pool-results").append(...items);
      else $("pool-results").replaceChildren(...items);
      this.offset = offset + rows.length;
      $("pool-more").hidden = this.offset >= total;
      $("pool-status").textContent = this.found(text, total);
      if (offset && items.length) items[0].querySelector("button").focus();
    } catch (error) {
      if (error.name === "AbortError") return;
      $("pool-status").textContent = this.told(error);
    }
  }

  found(text, total) {
    if (this.mode() === "meaning") return total ? `The ${number(this.offset)} closest of ${plural(total, "hashtag")}` : "The pool is empty.";
    return total ? `${plural(total, "hashtag")} found` : `Nothing in the pool begins with “${text}”.`;
  }

  async trends() {
    $("trends-status").textContent = "Looking …";
    try {
      const rising = readTrends(await get("v1/pool/trends"));
      $("trends").replaceChildren(...rising.map((row) => this.row(row)));
      $("trends-status").textContent = rising.length ? "Used more than usual, most first." : "Nothing is rising: no uses were told to this pool yet.";
    } catch (error) {
      $("trends-status").textContent = this.told(error);
      this.opened = false;
    }
  }

  row({ text, similarity, uses, rise, perDay }) {
    const facts = [
      similarity === undefined ? "" : `similarity ${similarity.toFixed(2)}`,
      rise === undefined ? "" : `× ${rise.toFixed(1)}`,
      perDay === undefined ? "" : `${perDay.toFixed(perDay < 10 ? 1 : 0)} a day`,
      uses === undefined ? "" : plural(uses, "use"),
    ].filter(Boolean).join(" · ");
    return h("li", {},
      h("span", { class: "hashtag", dir: "auto", text: `#${text}` }),
      h("span", { class: "hint numbers", text: facts }),
      h("button", {
        type: "button", class: "quiet", "aria-label": `Use #${text}`, text: "Use",
        onclick: (event) => {
          this.onUse(text);
          event.currentTarget.textContent = "Added";
          say(`#${text} is among your suggestions now`);
        },
      }));
  }

  told(error) {
    if (error.needsKey) this.onKeyNeeded();
    const wait = error.passes ? ` Try again in ${number(error.retrySeconds ?? 5)} s.` : "";
    return error.message + wait;
  }
}

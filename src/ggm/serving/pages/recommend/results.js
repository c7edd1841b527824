// The suggestions: ticked, explained, counted against the platform, copied.

import { $, h, number, percent, plural, say } from "./dom.js";
import { joined, key, normalise } from "./hashtags.js";
import { RULES, sourceOf } from "./answers.js";
import { caption, isTooLong, measure } from "./limits.js";
import { showFrames } from "./video.js";

export class Results {
  // `post` tells what the form says now: {description, platform}.
  constructor({ post, video }) {
    this.post = post;
    this.video = video;
    this.picks = [];
    this.guidance = [];
    this.listen();
  }

  show(answer) {
    const added = this.picks.filter((pick) => pick.source === "own" && pick.ticked);
    this.guidance = answer.guidance;
    this.picks = answer.hashtags.map((hashtag) => ({ ...hashtag, ticked: !hashtag.flagged }));
    const { description, platform } = this.post();
    while (measure(description, this.ticked(), platform).hashtags.over) {
      const last = this.picks.findLast((pick) => pick.ticked);
      if (!last) break; // those in the description alone are too many
      last.ticked = false;
    }
    for (const pick of added) this.insert(pick);
    this.draw();
    $("notices").replaceChildren(...answer.notices.map((notice) => h("li", { text: notice })));
    $("frames-part").hidden = !answer.frames.length;
    showFrames($("frames"), answer.frames, this.video);
    showChanges(answer.changes);
    showGuidance(answer.guidance);
    showFacts(answer);
  }

  ticked() {
    return this.picks.filter((pick) => pick.ticked).map((pick) => pick.text);
  }

  // One of the user's own, or of the pool; gives whether it could be read.
  add(text) {
    const hashtag = normalise(text);
    if (!hashtag) return false;
    this.insert({ text: hashtag, source: "own", why: [], ticked: true });
    this.draw();
    say(`#${hashtag} added`);
    return true;
  }

  insert(pick) {
    const there = this.picks.find((other) => key(other.text) === key(pick.text));
    if (there) there.ticked = true;
    else this.picks.push(pick);
  }

  draw() {
    $("nothing").hidden = this.picks.length > 0;
    $("hashtags").replaceChildren(...this.picks.map((pick, index) => this.chip(pick, index)));
    this.count();
  }

  chip(pick, index) {
    const source = sourceOf(pick.source);
    const box = h("input", {
      type: "checkbox", id: `pick-${index}`,
      onchange: () => { pick.ticked = box.checked; this.count(); },
    });
    box.checked = pick.ticked;
    const marks = [
      h("span", { class: "source", text: source.label }),
      pick.flagged ? h("span", { class: "mark warn", text: "Look at it first" }) : null,
      h("span", { class: "mark warn too-long", text: "Too long here", hidden: true }),
    ];
    const label = h("label", { for: box.id, class: "pick" },
      h("span", { class: "hashtag", dir: "auto", text: `#${pick.text}` }),
      pick.score === undefined ? null : h("span", { class: "score numbers" }, percent(pick.score), h("span", { class: "unseen", text: " sure," })),
      ...marks);
    const panel = h("div", { id: `why-${index}`, class: "why", hidden: true }, ...reasons(pick, source, this.guidance));
    const button = h("button", {
      type: "button", class: "why-button", "aria-expanded": "false", "aria-controls": panel.id,
      "aria-label": `Why #${pick.text}`,
      onclick: () => {
        panel.hidden = !panel.hidden;
        button.setAttribute("aria-expanded", String(!panel.hidden));
        item.classList.toggle("open", !panel.hidden);
      },
    }, h("span", { text: "Why" }));
    const item = h("li", { class: "chip", "data-source": pick.source, "data-text": pick.text },
      h("div", { class: "chip-line" }, box, label, button), panel);
    return item;
  }

  count() {
    const { description, platform } = this.post();
    const ticked = this.ticked();
    const measured = measure(description, ticked, platform);
    showLimit($("count-hashtags"), measured.hashtags, "hashtag", measured.isAdvice);
    showLimit($("count-characters"), measured.characters, "character", false);
    $("outcome").textContent = joined(ticked) || "Nothing is ticked yet.";
    $("outcome").classList.toggle("none", !ticked.length);
    for (const id of ["copy", "copy-caption"]) $(id).setAttribute("aria-disabled", String(!ticked.length));
    for (const mark of $("hashtags").querySelectorAll(".too-long")) {
      mark.hidden = !isTooLong(mark.closest("li").dataset.text, platform);
    }
  }

  tickAll(value) {
    for (const pick of this.picks) pick.ticked = value;
    for (const box of $("hashtags").querySelectorAll("input")) box.checked = value;
    this.count();
    say(value ? `All ${number(this.picks.length)} ticked` : "None ticked");
  }

  async copy(button, text, what) {
    if (!this.ticked().length) return say("Nothing is ticked yet");
    const done = await toClipboard(text);
    say(done ? `Copied: ${text}` : `The browser doesn't let this page copy. Select the text and copy it yourself.`);
    if (!done) return getSelection().selectAllChildren($("outcome"));
    button.textContent = "Copied";
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = what; }, 2000);
  }

  copyHashtags() {
    return this.copy($("copy"), joined(this.ticked()), "Copy hashtags");
  }

  listen() {
    $("copy").addEventListener("click", () => this.copyHashtags());
    $("copy-caption").addEventListener("click", () =>
      this.copy($("copy-caption"), caption(this.post().description, this.ticked()), "Copy caption"));
    $("tick-all").addEventListener("click", () => this.tickAll(true));
    $("tick-none").addEventListener("click", () => this.tickAll(false));
    const add = () => {
      const text = $("add-text").value;
      if (!text.trim()) return;
      if (this.add(text)) $("add-text").value = "";
      else say("A hashtag needs a letter");
    };
    $("add-button").addEventListener("click", add);
    $("add-text").addEventListener("keydown", (event) => { if (event.key === "Enter") add(); });
    $("hashtags").addEventListener("keydown", (event) => this.onKey(event));
  }

  // Arrows go from hashtag to hashtag, c copies: only while one of them has the focus.
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "c") {
      event.preventDefault();
      this.copyHashtags();
      return;
    }
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const boxes = [...$("hashtags").querySelectorAll("input")];
    const here = boxes.indexOf(event.target.closest("li").querySelector("input"));
    boxes[(here + step + boxes.length) % boxes.length].focus();
  }
}

function reasons(pick, source, guidance) {
  const isIt = ({ text }) => key(text) === key(pick.text);
  const place = guidance.findIndex(isIt);
  const there = place < 0 ? null : h("p", {
    text: `Number ${place + 1} of ${guidance.length} in what guided the model, ${guidance[place].similarity.toFixed(2)} similar to the video.`,
  });
  const others = pick.why.filter((hit) => !isIt(hit));
  const near = others.length
    ? h("p", {}, place < 0 ? "Closest to it in what guided the model: " : "Closest to it there: ", h("span", { class: "near", dir: "auto", text: others.map(({ text, similarity }) => `#${text} (${similarity.toFixed(2)})`).join(", ") }))
    : null;
  return [h("p", {}, h("strong", { text: `${source.label}. ` }), source.meaning), there, near];
}

function showLimit(element, { used, most, over }, unit, isAdvice) {
  const of = most === null ? plural(used, unit) : `${number(used)} of ${plural(most, isAdvice ? `recommended ${unit}` : unit)}`;
  const text = over ? `${of}, ${number(over)} too many` : of;
  if (element.textContent === text) return;
  element.textContent = text;
  element.classList.toggle("over", over > 0);
  if (over > 0) say(text);
}

const ACTIONS = { removed: "Removed", merged: "Merged", renamed: "Renamed", damped: "Moved down" };

function showChanges(changes) {
  $("changes-part").hidden = !changes.length;
  $("changes-title").textContent = `What the rules changed (${number(changes.length)})`;
  $("changes").replaceChildren(...changes.map(({ text, result, action, rule, reason }) => {
    const why = RULES[rule] ?? rule;
    return h("li", { "data-action": action },
      h("span", { class: "action", text: ACTIONS[action] ?? action }),
      h("span", { class: "changed" },
        h("span", { class: "hashtag", dir: "auto", text: `#${text}` }),
        result ? h("span", { dir: "auto", text: ` ${action === "merged" ? "into" : "to"} #${result}` }) : null,
        h("span", { class: "hint", text: `: ${why}${reason && reason !== why && reason !== result ? ` (${reason})` : ""}` })));
  }));
}

function showGuidance(guidance) {
  $("guidance-part").hidden = !guidance.length;
  const most = Math.max(...guidance.map((hit) => hit.similarity), 0.01);
  $("guidance").replaceChildren(...guidance.map(({ text, similarity }) => {
    const bar = h("span", {});
    bar.style.setProperty("--share", Math.max(0, similarity) / most);
    return h("li", {}, h("span", { dir: "auto", text: `#${text}` }), h("div", { class: "bar" }, bar), h("span", { class: "numbers hint", text: similarity.toFixed(2) }));
  }));
}

function showFacts({ bundle, seconds, id }) {
  $("facts").textContent = `Model ${bundle.name} · ${seconds.total.toFixed(1)} seconds · request ${id}`;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // an address without https has no clipboard; the old way still works there
    const focused = document.activeElement;
    const area = h("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}

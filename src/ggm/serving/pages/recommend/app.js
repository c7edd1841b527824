// The page: a video and a description become hashtags to tick and copy.

import { $, h, number, plural, say } from "./dom.js";
import { length, typedHashtags } from "./hashtags.js";
import { get, recommend, ServiceError } from "./service.js";
import { readAnswer, readLimits, readPlatforms } from "./answers.js";
import { countdown } from "./waiting.js";
import { advance, restart } from "./progress.js";
import { history, KeyDialog, options, setUpHistory, setUpOptions, setUpTheme } from "./settings.js";
import { Pool } from "./pool.js";
import { Results } from "./results.js";
import { VideoField } from "./video.js";

const MOST_RETRIES = 5;
const WAIT_SECONDS = 5; // where the service doesn't say how long

let platforms = [];
let mostHistory = 200; // posts
let stop = null; // ends what is running

const platform = () => platforms.find((preset) => preset.name === $("platform").value) ?? null;
const post = () => ({ description: $("description").value, platform: platform() });

const video = new VideoField();
const results = new Results({ post, video });
const keyDialog = new KeyDialog({ onKey: () => learn() });
const pool = new Pool({
  onUse: (text) => {
    results.add(text);
    if ($("working").hidden && $("failed").hidden) panel("result");
  },
  onKeyNeeded: () => keyDialog.open("This service asks for a key."),
});

function panel(name) {
  for (const id of ["empty", "working", "failed", "result"]) $(id).hidden = id !== name;
  $("answer").setAttribute("aria-busy", String(name === "working"));
  $("submit").setAttribute("aria-disabled", String(name === "working"));
}

// The focus follows what happens, unless somebody is typing meanwhile.
function attend(heading) {
  if (document.activeElement?.matches("textarea, input:not([type=file]), select")) return;
  heading.focus({ preventScroll: true });
  const { top } = heading.getBoundingClientRect();
  if (top >= 0 && top < innerHeight / 2) return;
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  $("answer").scrollIntoView({ block: "start", behavior: smooth ? "smooth" : "auto" });
}

async function submit() {
  if (stop) return;
  const objection = video.objection();
  video.complain(objection);
  if (objection) {
    (video.file ? $("video-remove") : $("file")).focus();
    return;
  }
  stop = new AbortController();
  try {
    await suggest(stop.signal);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    panel(results.picks.length ? "result" : "empty");
    say("Cancelled");
    $("submit").focus();
  } finally {
    stop = null;
  }
}

async function suggest(signal) {
  for (let attempt = 0; ; attempt++) {
    panel("working");
    restart();
    attend($("working-title"));
    try {
      const answer = readAnswer(await recommend(filledForm(), { onProgress: advance, signal }));
      results.show(answer);
      panel("result");
      attend($("result-title"));
      say(`${plural(answer.hashtags.length, "hashtag")} suggested`);
      return;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      signal.throwIfAborted();
      const again = error.passes && attempt < MOST_RETRIES;
      showError(error, again);
      if (!again) return;
      await wait(error.retrySeconds ?? WAIT_SECONDS, signal);
    }
  }
}

function filledForm() {
  const form = new FormData();
  form.set("video", video.file, video.file.name);
  form.set("description", $("description").value.trim());
  for (const post of history().slice(-mostHistory)) form.append("history", post);
  const chosen = options();
  if (Object.keys(chosen).length) form.set("options", JSON.stringify(chosen));
  return form;
}

function titleOf(error) {
  if (error.passes) return "Busy right now";
  if (error.needsKey) return "A key is needed";
  if (error.status === 403) return "Not allowed";
  if (error.status === 413) return "Too much at once";
  return error.status >= 500 || error.status === 0 ? "That didn't work" : "The service can't use this";
}

function showError(error, again) {
  panel("failed");
  $("failed-title").textContent = titleOf(error);
  $("failed-message").textContent = error.message;
  $("failed-id").hidden = !error.requestId;
  $("failed-id-text").textContent = error.requestId;
  $("countdown").hidden = !again;
  $("retry").textContent = again ? "Try now" : "Try again";
  $("retry-stop").hidden = !again;
  $("failed-key").hidden = !error.needsKey;
  attend($("failed-title"));
}

async function wait(seconds, signal) {
  const early = new AbortController();
  $("retry").onclick = () => early.abort();
  say(`Trying again in ${plural(seconds, "second")}`);
  try {
    await countdown(seconds, (left) => { $("countdown-text").textContent = `Trying again in ${number(left)} s`; },
      AbortSignal.any([signal, early.signal]));
  } catch {
    signal.throwIfAborted(); // given up; else it was cut short
  } finally {
    $("retry").onclick = null;
  }
}

function describe() {
  const text = $("description").value;
  const found = typedHashtags(text);
  $("description-count").textContent = plural(length(text), "character");
  $("typed").replaceChildren(...found.map((hashtag) => h("li", { dir: "auto", text: `#${hashtag}` })));
  results.count();
}

function describePlatform() {
  const preset = platform();
  const isAdvice = preset?.recommended.includes("max_count");
  const limits = preset && [
    preset.count ? `${plural(preset.count, "hashtag")}${isAdvice ? " recommended" : " at most"}` : "",
    preset.length ? `${number(preset.length)} characters each` : "",
    preset.characters ? `${number(preset.characters)} characters with the text` : "",
  ].filter(Boolean).join(", ");
  $("platform-note").textContent = limits || "Without the limits of a platform.";
  results.count();
}

function route() {
  const view = { "#pool": "pool", "#recommend": "recommend" }[location.hash];
  if (!view && location.hash) return; // a place within a view, such as the content
  const shown = view ?? "recommend";
  for (const name of ["recommend", "pool"]) $(`view-${name}`).hidden = name !== shown;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = shown === "pool" ? "Hashtag pool · ggm" : "Hashtags for your video · ggm";
  if (shown === "pool") pool.open();
}

// What the service takes. Without it the page still works: the service says no by itself.
async function learn() {
  const asked = await Promise.allSettled([get("v1/platforms"), get("v1/limits")]);
  const [presets, limits] = asked.map((item) => item.value);
  if (presets) {
    platforms = readPlatforms(presets);
    const chosen = $("platform").value;
    $("platform").replaceChildren(h("option", { value: "", text: "Anywhere" }),
      ...platforms.map(({ name, title }) => h("option", { value: name, text: title })));
    $("platform").value = platforms.some(({ name }) => name === chosen) ? chosen : "";
  }
  if (limits) {
    const read = readLimits(limits);
    video.setLimits(read);
    mostHistory = read.history;
    $("max-hashtags").max = read.hashtags;
    $("description").maxLength = read.description;
  }
  const refused = asked.find((item) => item.reason)?.reason;
  $("service").textContent = refused ? (refused.needsKey ? "This service asks for a key: press “Key” above." : refused.message) : "";
  describePlatform();
}

if (/Mac|iPhone|iPad/.test(navigator.platform)) $("modifier").textContent = "⌘";
setUpTheme();
setUpHistory();
setUpOptions();
$("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
$("description").addEventListener("input", describe);
$("platform").addEventListener("change", describePlatform);
$("cancel").addEventListener("click", () => stop?.abort());
$("retry-stop").addEventListener("click", () => stop?.abort());
$("retry").addEventListener("click", () => { if (!stop) submit(); });
$("failed-key").addEventListener("click", () => keyDialog.open());
addEventListener("hashchange", () => { route(); scrollTo(0, 0); });
describe();
route();
learn();

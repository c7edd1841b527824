// The video: dropped, chosen, pasted or recorded; looked at before it is sent.

import { $, clock, h, plural, say, size } from "./dom.js";
import { record } from "./recorder.js";

const parts = ["video-empty", "video-chosen", "video-recording"];
const showPart = (id) => parts.forEach((part) => { $(part).hidden = part !== id; });

export class VideoField {
  constructor() {
    this.file = null;
    this.seconds = null;
    this.limits = {};
    this.address = "";
    this.listen();
  }

  setLimits(limits) {
    this.limits = limits;
    const told = [
      limits.formats?.length ? limits.formats.join(", ") : "",
      limits.bytes ? `up to ${size(limits.bytes)}` : "",
      limits.seconds ? `at most ${minutes(limits.seconds)}` : "",
    ].filter(Boolean);
    if (told.length) $("video-hint").textContent = `or take one from this device: ${told.join(", ")}`;
  }

  // What stands in the way of sending it, or "".
  objection() {
    if (!this.file) return "Add a video first: drop one, choose one or record one.";
    const { bytes, seconds } = this.limits;
    if (this.file.size === 0) return "This file is empty.";
    if (bytes && this.file.size > bytes) {
      return `This video has ${size(this.file.size)}; the service takes up to ${size(bytes)}. A shorter or smaller one will do.`;
    }
    if (seconds && this.seconds > seconds) {
      return `This video lasts ${clock(this.seconds)}; the service takes at most ${minutes(seconds)}.`;
    }
    return "";
  }

  complain(text) {
    $("video-problem").textContent = text;
    $("drop").classList.toggle("wrong", Boolean(text));
  }

  take(file) {
    this.recording?.cancel();
    this.complain("");
    if (!/^(video|image\/gif)/.test(file.type) && !/\.(mp4|m4v|mov|webm|gif|mkv|avi|mpe?g|ts|3gp|ogv|flv|wmv)$/i.test(file.name)) {
      this.complain(`${file.name} doesn't look like a video. Try an mp4, mov, webm or gif.`);
      return;
    }
    this.clear();
    this.file = file;
    this.address = URL.createObjectURL(file);
    $("video-name").textContent = file.name;
    $("video-facts").textContent = size(file.size);
    $("unplayable").hidden = true;
    $("preview").hidden = false;
    $("preview").src = this.address;
    showPart("video-chosen");
    say(`${file.name} is ready`);
  }

  clear() {
    if (this.address) URL.revokeObjectURL(this.address);
    $("preview").removeAttribute("src");
    $("preview").load();
    Object.assign(this, { file: null, seconds: null, address: "" });
    showPart("video-empty");
  }

  seek(seconds) {
    $("preview").currentTime = seconds;
    $("preview").scrollIntoView({ block: "nearest" });
  }

  get playable() { return Boolean(this.file) && !$("preview").hidden; }

  listen() {
    const drop = $("drop");
    $("file").addEventListener("change", () => {
      if ($("file").files[0]) this.take($("file").files[0]);
      $("file").value = ""; // so that the same file can be chosen again
    });
    $("video-remove").addEventListener("click", () => {
      this.clear();
      this.complain("");
      $("file").focus();
    });
    for (const name of ["dragenter", "dragover"]) {
      addEventListener(name, (event) => {
        if (![...event.dataTransfer.types].includes("Files")) return;
        event.preventDefault(); // a file dropped beside the field must not replace the page
        drop.classList.add("over");
      });
    }
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
    addEventListener("drop", (event) => {
      drop.classList.remove("over");
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.take(event.dataTransfer.files[0]);
      if (event.dataTransfer.files.length > 1) this.complain("One video at a time: the first one was taken.");
    });
    addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("video/"));
      if (file) this.take(file);
    });
    $("preview").addEventListener("loadedmetadata", () => {
      const { duration } = $("preview");
      if (Number.isFinite(duration)) {
        this.seconds = duration;
        $("video-facts").textContent = `${clock(duration)} · ${size(this.file.size)}`;
      }
      this.complain(this.objection());
    });
    $("preview").addEventListener("error", () => {
      if (!this.file) return;
      $("preview").hidden = true;
      $("unplayable").hidden = false;
      this.complain(this.objection());
    });
    $("record").addEventListener("click", () => this.record());
  }

  async record() {
    if (this.recording) return;
    this.complain("");
    this.recording = record({
      longest: this.limits.seconds ?? 120,
      onStart: () => { showPart("video-recording"); $("record-stop").focus(); say("Recording"); },
    });
    try {
      const file = await this.recording.file;
      this.recording = null;
      if (file) {
        this.take(file);
        $("preview").focus();
      } else {
        showPart("video-empty");
        $("record").focus();
      }
    } catch (error) {
      this.recording = null;
      showPart("video-empty");
      this.complain(error.message);
      $("record").focus();
    }
  }
}

const minutes = (seconds) =>
  seconds >= 120 ? plural(Math.floor(seconds / 60), "minute") : plural(Math.floor(seconds), "second");

// Pictures of the moments that the model looked at; each plays the preview from there.
export function showFrames(list, frames, field) {
  const isShort = frames.every(({ seconds }) => seconds < 60);
  list.replaceChildren(...frames.map(({ seconds, image }) => {
    const time = isShort ? `${seconds.toFixed(1)} s` : clock(seconds);
    const picture = h("img", { src: image, alt: `Frame at ${time}`, loading: "lazy" });
    const shown = [picture, h("span", { text: time, class: "numbers", "aria-hidden": "true" })];
    return h("li", {}, field.playable
      ? h("button", { type: "button", "aria-label": `Frame at ${time}, show it in the video`, onclick: () => field.seek(seconds) }, ...shown)
      : h("div", {}, ...shown));
  }));
}

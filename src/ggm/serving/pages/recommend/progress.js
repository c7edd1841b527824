// How far the service is. Bars never go back, whatever the stages say.

import { $, say } from "./dom.js";

const STAGES = {
  uploading: [0, 0.25], received: [0.25, 0.27], queued: [0.27, 0.3],
  decoding: [0.3, 0.55], encoding: [0.55, 0.75], writing: [0.75, 1],
};
const ORDER = ["uploading", "queued", "decoding", "encoding", "writing"];

export function restart() {
  $("progress").value = 0;
  mark("uploading");
}

export function advance({ stage, done = 0 }) {
  if (stage === "plain") return $("progress").removeAttribute("value"); // nothing will be told any more
  const range = STAGES[stage];
  if (!range) return;
  const value = range[0] + Math.min(1, Math.max(0, done)) * (range[1] - range[0]);
  $("progress").value = Math.max($("progress").value, value);
  if (stage === "uploading" && done === 1) mark("queued");
  else mark(stage === "received" ? "queued" : stage);
}

function mark(stage) {
  const at = ORDER.indexOf(stage);
  for (const step of $("steps").children) {
    const place = ORDER.indexOf(step.dataset.stage);
    step.classList.toggle("done", place < at);
    if (place === at && step.getAttribute("aria-current") !== "step") {
      step.setAttribute("aria-current", "step");
      say(step.textContent);
    } else if (place !== at) step.removeAttribute("aria-current");
  }
}

// A video from the camera. Nothing is sent or kept until the form is.

import { $, clock } from "./dom.js";

const TYPES = ["video/mp4", "video/webm;codecs=vp9,opus", "video/webm;codecs=vp8,opus", "video/webm"];

const REFUSALS = {
  NotAllowedError:
    "The camera isn't allowed here. Allow camera and microphone for this page in the browser's address bar, then record again, or choose a file.",
  NotFoundError: "There is no camera that the browser can use. Plug one in, or choose a file.",
  NotReadableError: "The camera is in use by another program. Close that, then record again.",
  OverconstrainedError: "The camera can't do what was asked. Choose a file instead.",
};
const UNSUPPORTED = "This browser can't record video. Choose a file instead.";
const INSECURE = "Recording needs a secure address (https, or this computer itself). Choose a file instead.";

// `file` gives a File, null when cancelled, or an error that can be shown.
export function record({ longest, onStart }) {
  const control = { cancelled: false, cancel: () => { control.cancelled = true; control.end?.(); } };
  control.file = run(control, longest, onStart);
  return control;
}

async function run(control, longest, onStart) {
  if (!globalThis.isSecureContext) throw new Error(INSECURE);
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.MediaRecorder) throw new Error(UNSUPPORTED);
  const stream = await camera();
  const free = () => stream.getTracks().forEach((track) => track.stop());
  if (control.cancelled) {
    free();
    return null;
  }
  const type = TYPES.find((candidate) => MediaRecorder.isTypeSupported(candidate)) ?? "";
  const recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
  const pieces = [];
  recorder.addEventListener("dataavailable", (event) => { if (event.data.size) pieces.push(event.data); });
  const ended = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  control.end = () => { if (recorder.state !== "inactive") recorder.stop(); };
  stream.getVideoTracks()[0].addEventListener("ended", control.end); // the camera was unplugged

  $("camera").srcObject = stream;
  $("camera").play().catch(() => {});
  $("record-limit").textContent = `of at most ${clock(longest)}`;
  $("record-time").textContent = "0:00";
  $("record-stop").onclick = control.end;
  $("record-cancel").onclick = control.cancel;
  recorder.start(1000);
  const start = performance.now();
  const timer = setInterval(() => {
    const seconds = (performance.now() - start) / 1000;
    $("record-time").textContent = clock(seconds);
    if (seconds >= longest - 0.3) control.end();
  }, 200);
  onStart();

  await ended;
  clearInterval(timer);
  free();
  $("camera").srcObject = null;
  if (control.cancelled) return null;
  if (!pieces.length) throw new Error("Nothing was recorded. Try again, or choose a file.");
  const plain = recorder.mimeType.split(";")[0] || "video/webm";
  return new File(pieces, `recording.${plain.endsWith("mp4") ? "mp4" : "webm"}`, { type: plain });
}

async function camera() {
  const video = { facingMode: "user", width: { ideal: 720 }, height: { ideal: 1280 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    if (error.name === "NotFoundError") { // perhaps the microphone alone is missing
      try {
        return await navigator.mediaDevices.getUserMedia({ video });
      } catch { /* told below */ }
    }
    throw new Error(REFUSALS[error.name] ?? `The camera can't be used (${error.name}). Choose a file instead.`);
  }
}

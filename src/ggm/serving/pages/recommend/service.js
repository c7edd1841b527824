// Requests to the service this page came from; addresses are relative, so that it may live under any path.

import { eventReader } from "./events.js";
import { keep, kept } from "./dom.js";

const KEY = "ggm.key";
export const currentKey = () => kept("sessionStorage", KEY);
export const useKey = (key) => keep("sessionStorage", KEY, key);

export class ServiceError extends Error {
  constructor(message, { status = 0, requestId = "", retrySeconds = null } = {}) {
    super(message);
    Object.assign(this, { status, requestId, retrySeconds });
  }

  get passes() { return this.status === 429 || this.status === 503; }
  get needsKey() { return this.status === 401; }
}

const UNREACHABLE = "The service doesn't answer. It may have been stopped, or the connection is gone.";

export async function get(path, parameters = {}, { signal } = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== ""));
  let answer;
  try {
    answer = await fetch(query.size ? `${path}?${query}` : path, { headers: authorisation(), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(UNREACHABLE);
  }
  const text = await answer.text();
  if (!answer.ok) throw errorOf(answer.status, text, (name) => answer.headers.get(name));
  return parsed(text);
}

// A recommendation: with events of its progress where the service gives them, else as one answer.
export async function recommend(form, { onProgress, signal }) {
  try {
    const answer = await post("v1/recommend?stream=1&frames=1", form, { onProgress, signal, stream: true });
    if (answer) return answer;
  } catch (error) {
    if (!(error instanceof ServiceError) || ![404, 405, 406, 501].includes(error.status)) throw error;
  }
  // No events here, or something on the way cut them off: ask once more for a plain answer.
  onProgress({ stage: "plain", done: 0 });
  return post("v1/recommend?frames=1", form, { onProgress, signal, stream: false });
}

// XMLHttpRequest rather than fetch: it tells how much was sent. Null: events that ended without a result.
function post(path, form, { onProgress, signal, stream }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const header = (name) => request.getResponseHeader(name);
    const isStream = () => (header("Content-Type") ?? "").startsWith("text/event-stream");
    const read = eventReader((name, data) => {
      if (name === "progress") onProgress(parsed(data));
      if (name === "result") resolve(parsed(data));
      if (name === "error") reject(errorOf(0, data, header));
    });
    let seen = 0;
    const takeEvents = () => {
      if (request.status !== 200 || !isStream()) return;
      const piece = request.responseText.slice(seen);
      seen += piece.length;
      try { read(piece); } catch (error) { reject(error); }
    };
    request.open("POST", path);
    request.setRequestHeader("Accept", stream ? "text/event-stream, application/json;q=0.9" : "application/json");
    for (const [name, value] of Object.entries(authorisation())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress({ stage: "uploading", done: event.loaded / event.total });
    });
    request.addEventListener("progress", takeEvents);
    request.addEventListener("load", () => {
      takeEvents();
      if (request.status !== 200) reject(errorOf(request.status, request.responseText, header));
      else if (isStream()) resolve(null);
      else try { resolve(parsed(request.responseText)); } catch (error) { reject(error); }
    });
    request.addEventListener("error", () => (seen ? resolve(null) : reject(new ServiceError(UNREACHABLE))));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function authorisation() {
  const key = currentKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ServiceError("The service answered with something this page can't read.");
  }
}

function errorOf(status, text, header) {
  let told = {};
  try {
    told = JSON.parse(text);
    told = told.error ?? told;
  } catch { /* not by the service itself, such as a proxy's page */ }
  return new ServiceError(told.message ?? `The service refused with status ${status}.`, {
    status: told.status ?? status, // errors within events say theirs
    requestId: told.request_id ?? header("X-Request-ID") ?? "",
    retrySeconds: told.retry_after ?? retrySeconds(header("Retry-After")),
  });
}

function retrySeconds(value) {
  if (!value) return null;
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

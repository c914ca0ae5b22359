// The public API of the service: everything that the page knows, it knows from here.

import { forTab } from "./storage.js";

const KEY = "animatic.key";
const NO_STREAM_AFTER_MS = 45_000; // keep-alive comments come more often

export const key = {
  get: () => forTab.get(KEY) ?? "",
  set: (value) => forTab.set(KEY, value),
};

export const ENDED = new Set(["completed", "failed", "cancelled", "expired"]);

// An answer with an error, or no answer: then code is "unreachable".
export class ApiError extends Error {
  constructor(code, message, { status = 0, param = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { code, status, param, retryAfter });
  }
}

export const models = () => json("v1/models");
export const video = (id) => json(path(id));
export const remove = (id) => json(path(id), { method: "DELETE" });

// A body of type FormData is a request; the same idempotency key never makes a second video.
export function create(body, idempotencyKey) {
  return json("v1/videos", { method: "POST", body, headers: { "Idempotency-Key": idempotencyKey } });
}

// The bytes of a clip: format is mp4 or gif.
export async function content(id, format) {
  const answer = await request(`${path(id)}/content?format=${format}`);
  return reading(() => answer.blob());
}

// Call seen with every state of a video until it has ended, the stream breaks, or signal aborts.
export async function watch(id, signal, seen) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), NO_STREAM_AFTER_MS);
  try {
    const either = AbortSignal.any([signal, silence.signal]);
    const answer = await request(`${path(id)}/events`, { signal: either, headers: { Accept: "text/event-stream" } });
    if (!answer.body) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reading(() => reader.read());
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), NO_STREAM_AFTER_MS);
      const events = (text + value).replaceAll("\r\n", "\n").split("\n\n");
      text = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length) seen(JSON.parse(data.map((line) => line.slice(5)).join("\n")));
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort(); // ends the request if something else ended this function
  }
}

const path = (id) => `v1/videos/${encodeURIComponent(id)}`;

async function json(url, options) {
  const answer = await request(url, options);
  return reading(() => answer.json());
}

async function request(url, { headers = {}, ...options } = {}) {
  const authorized = key.get() ? { ...headers, Authorization: `Bearer ${key.get()}` } : headers;
  const answer = await reading(() => fetch(url, { ...options, headers: authorized, cache: "no-store" }));
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => null); // a proxy answers with its own bodies
  const error = body?.error ?? {};
  const wait = Number(answer.headers.get("Retry-After"));
  throw new ApiError(error.code ?? `http_${answer.status}`, error.message ?? `It answered ${answer.status}.`, {
    status: answer.status,
    param: error.param,
    retryAfter: wait > 0 ? wait : null,
  });
}

async function reading(read) {
  try {
    return await read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable", "The service does not answer.");
  }
}

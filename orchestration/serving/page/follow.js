// Follows a video until it has ended: by its event stream, and by asking where streams do not work.

import { ENDED, video, watch } from "./api.js";

const ASK_MS = 1000;
const ASK_HIDDEN_MS = 5000;
const LONGEST_WAIT_MS = 15_000;
const FINAL = new Set([401, 403, 404, 410]);
// A browser opens six connections to a service, over all of its tabs.
const MOST_STREAMS = 2;
let streams = 0;

// seen(video) with every state; away(true) when the service does not answer, away(false) when it does again;
// refused(error) when the video cannot be followed. Returns a function that stops all of it.
export function follow(id, { seen, away, refused }) {
  let stopped = false;
  let failures = 0;
  let canStream = true;
  let attempt = new AbortController();
  let wake = () => {};

  function report(state) {
    if (stopped) return;
    if (failures) away(false);
    failures = 0;
    seen(state);
    stopped = ENDED.has(state.status);
  }

  // Streams are for tabs in view; a change of that ends the wait or the stream.
  function changed() {
    attempt.abort();
    wake();
  }

  async function stream() {
    attempt = new AbortController();
    let states = 0;
    streams += 1;
    try {
      await watch(id, attempt.signal, (state) => {
        states += 1;
        report(state);
      });
      canStream = states > 0;
    } catch (error) {
      if (error.name !== "AbortError") canStream = false;
    } finally {
      streams -= 1;
    }
  }

  async function run() {
    while (!stopped) {
      try {
        report(await video(id));
        if (stopped) return;
        if (canStream && !document.hidden && streams < MOST_STREAMS) await stream();
        else await pause(document.hidden ? ASK_HIDDEN_MS : ASK_MS);
      } catch (error) {
        if (stopped) return;
        if (FINAL.has(error.status)) return refused(error);
        failures += 1;
        canStream = true;
        away(true);
        await pause(Math.min(LONGEST_WAIT_MS, ASK_MS * 2 ** (failures - 1)));
      }
    }
  }

  function pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function stop() {
    stopped = true;
    document.removeEventListener("visibilitychange", changed);
    window.removeEventListener("online", changed);
    changed();
  }

  document.addEventListener("visibilitychange", changed);
  window.addEventListener("online", changed);
  run().finally(stop);
  return stop;
}

// One video on the stage: its progress, its clip, and what can be done with it.

import { content, key, remove } from "./api.js";
import { curl } from "./curl.js";
import { follow } from "./follow.js";
import { load, play, unload } from "./player.js";
import { failure, refusal, short, SOLVERS, status } from "./words.js";

const ACTIVE = new Set(["queued", "in_progress"]);
const template = document.getElementById("result-template");

// actions: retry, again, deleted(), changed(status), loaded() and announce(text).
export class Result {
  #entry; #made; #actions; #video = null; #stop = () => {}; #said = ""; #cancelling = false;

  constructor(entry, made, actions) {
    this.#entry = entry;
    this.#made = made; // this video in the entry: { model, id, status }
    this.#actions = actions;
    this.root = template.content.cloneNode(true).firstElementChild;
    this.#part("name").textContent = made.model;
    if (entry.thumbnail) {
      this.#part("poster").src = entry.thumbnail;
      this.#part("poster").hidden = false;
    }
    this.#on("cancel", () => this.#cancel());
    this.#on("retry", () => actions.retry(made));
    this.#on("again", () => actions.again(this.#video));
    this.#on("delete", (event) => this.#askToDelete(event.currentTarget));
    this.#on("mp4", () => this.#download("mp4"));
    this.#on("gif", () => this.#download("gif"));
    this.#on("curl", () => this.#copy());
    if (made.id) this.follow();
    else if (made.status === "sending") this.#waiting("Uploading …");
    else this.#fail("The service did not accept this video.", "", true);
  }

  get video() {
    return this.#part("video");
  }

  // The clip's number of frames and rate, once it can be played.
  get clip() {
    return this.#video?.content && !this.video.hidden ? { frames: this.#video.content.num_frames, fps: this.#video.fps } : null;
  }

  follow() {
    this.#waiting("Waiting …");
    this.#stop = follow(this.#made.id, {
      seen: (video) => this.#seen(video),
      away: (is) => this.#away(is),
      refused: (error) => this.refused(error),
    });
  }

  // The service did not accept the video, or does not know it.
  refused(error) {
    this.#fail(...refusal(error), true);
    this.#is(error.status === 404 ? "unknown" : "refused");
  }

  close() {
    this.#stop();
    unload(this.video);
  }

  #seen(video) {
    this.#video = video;
    this.#part("status").textContent = this.#cancelling ? "Cancelling after this step …" : status(video);
    this.#bar(video);
    this.#announce(video);
    if (video.bundle) this.#part("name").textContent = `${video.model} · ${short(video.bundle.id)}`;
    if (video.status === "completed") this.#finish(video);
    else if (video.status === "failed") this.#fail(...failure(video.error), true);
    else if (!ACTIVE.has(video.status)) this.#ended(status(video));
    this.#is(video.status);
  }

  #is(state) {
    if (this.#made.status === state) return;
    this.#made.status = state;
    this.#actions.changed();
  }

  #bar(video) {
    const bar = this.#part("progress");
    if (video.status === "in_progress" && video.steps) bar.value = video.progress;
    else bar.removeAttribute("value");
  }

  // A change of state, and each quarter of the steps: not every step is read out.
  #announce(video) {
    const quarter = Math.floor(video.progress / 25);
    const now = `${video.status} ${video.queue_position} ${quarter}`;
    if (now !== this.#said) this.#actions.announce(`${this.#made.model}: ${status(video)}`);
    this.#said = now;
  }

  #away(is) {
    this.#part("connection").textContent = is ? "The service does not answer. Trying again …" : "";
    this.#part("connection").hidden = !is;
    if (is) this.#actions.announce("The service does not answer. Trying again.");
  }

  #waiting(text) {
    this.#part("status").textContent = text;
    this.#part("failure").hidden = true;
    this.#part("over").textContent = "";
    this.root.querySelector(".working").hidden = false;
    this.root.querySelector("[data-action=cancel]").hidden = !this.#made.id;
    this.root.classList.add("busy");
  }

  #idle() {
    this.root.querySelector(".working").hidden = true;
    this.root.classList.remove("busy");
  }

  #fail(title, text, canRetry) {
    this.#idle();
    const box = this.#part("failure");
    box.querySelector("[data-title]").textContent = title;
    box.querySelector("[data-text]").textContent = text;
    box.querySelector("button").hidden = !canRetry;
    box.hidden = false;
  }

  #ended(text) {
    this.#idle();
    this.#part("over").textContent = text;
    this.#facts(this.#video);
    this.#available(["again", "curl", "delete"]);
  }

  async #finish(video) {
    this.#facts(video);
    try {
      await load(this.video, await content(video.id, "mp4"), video.content);
      this.#part("poster").hidden = true;
      play(this.video);
    } catch (error) {
      if (error.code) return this.#fail(...refusal(error), false);
      this.#part("over").textContent = `It can be downloaded, but not played here: ${error.message}.`;
    }
    this.#idle();
    this.#available(["mp4", ...(video.content.gif ? ["gif"] : []), "again", "curl", "delete"]);
    this.#actions.loaded();
  }

  #available(actions) {
    const finished = this.root.querySelector(".finished");
    finished.hidden = false;
    for (const button of finished.querySelectorAll("[data-action]")) button.hidden = !actions.includes(button.dataset.action);
  }

  #facts(video) {
    const facts = [
      ["Seed", video.seed],
      ["Sentence", video.prompt],
      ["Steps", video.num_inference_steps ?? video.steps],
      ["Guidance", video.guidance_scale],
      ["Picture guidance", video.image_guidance_scale],
      ["Solver", SOLVERS[video.solver] ?? video.solver],
      ["Guidance computed", every(video.guidance_every)],
      ["Guided part", part(video.guidance_interval)],
      ["Whole network computed", every(video.cache_every)],
      ["Noise (eta)", video.eta],
      ["Motion rate", video.conditioning_fps],
      ["Motion", video.motion],
      ["Size", video.size?.replace("x", " × ")],
      ["Length", video.num_frames && `${video.num_frames} frames at ${video.fps} per second`],
      ["Model", video.bundle && `${video.bundle.preset}, stage ${video.bundle.stage}`],
      ["Bundle", video.bundle && short(video.bundle.id)],
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
    this.#part("facts").replaceChildren(...facts.flatMap(([name, value]) => [item("dt", name), item("dd", value)]));
  }

  async #cancel() {
    this.#cancelling = true;
    this.root.querySelector("[data-action=cancel]").disabled = true;
    this.#part("status").textContent = "Cancelling after this step …";
    try {
      const answer = await remove(this.#made.id);
      if (answer.status) this.#seen(answer);
      else this.#actions.deleted(this.#made); // it had ended meanwhile
    } catch (error) {
      if (error.code === "still_running") return; // it ends as soon as the device answers
      this.#cancelling = false;
      this.root.querySelector("[data-action=cancel]").disabled = false;
      this.#report(refusal(error).join(" "));
    }
  }

  // The second press deletes.
  #askToDelete(button) {
    if (button.classList.contains("asked")) return this.#delete();
    const asked = (is) => {
      button.classList.toggle("asked", is);
      button.textContent = is ? "Really delete?" : "Delete";
    };
    asked(true);
    button.addEventListener("blur", () => asked(false), { once: true });
  }

  async #delete() {
    try {
      await remove(this.#made.id);
    } catch (error) {
      if (error.status !== 404) return this.#report(refusal(error).join(" "));
    }
    this.#actions.deleted(this.#made);
  }

  async #download(format) {
    try {
      const blob = await content(this.#made.id, format);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `animatic-${this.#made.model}-${this.#video.seed}.${format}`.replaceAll(/[^\w.-]/g, "_");
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has read it by then
      this.#report(`Saved ${link.download}.`);
    } catch (error) {
      this.#report(refusal(error).join(" "));
    }
  }

  async #copy() {
    const text = curl(this.#entry, this.#made.model, key.get() !== "");
    const shown = this.#part("curl");
    shown.textContent = text;
    shown.hidden = false;
    try {
      await navigator.clipboard.writeText(text);
      this.#report("Copied.");
    } catch { // only https and this machine may write to the clipboard
      getSelection().selectAllChildren(shown);
      shown.focus();
      this.#report("Selected: copy it with your keyboard.");
    }
  }

  #report(text) {
    this.#part("done").textContent = text;
  }

  #part(name) {
    return this.root.querySelector(`[data-${name}]`);
  }

  #on(action, run) {
    for (const button of this.root.querySelectorAll(`[data-action=${action}]`)) button.addEventListener("click", run);
  }
}

// What the operator set to save time; null where nothing is saved.
const every = (steps) => (steps > 1 ? `every ${steps} steps` : null);
const part = (interval) => (interval && interval.join() !== "0,1" ? `${interval[0]} to ${interval[1]} of the noise` : null);
const item = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

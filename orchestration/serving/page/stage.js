// Shows one entry: its video, or two beside each other that play in step.

import { together } from "./player.js";
import { Result } from "./result.js";

const stage = document.getElementById("stage");
const live = document.getElementById("live");

export class Stage {
  #results = []; #controls = null; #end = () => {}; #empty = [...stage.children];
  entry = null;

  // actions: retry(entry, made), again(entry, video), deleted(entry, made) and changed(entry).
  constructor(actions) {
    this.actions = actions;
  }

  show(entry) {
    this.#clear();
    this.entry = entry;
    this.#results = entry.videos.map((made) => new Result(entry, made, {
      retry: () => this.actions.retry(entry, made),
      again: (video) => this.actions.again(entry, video),
      deleted: () => this.actions.deleted(entry, made),
      changed: () => this.actions.changed(entry),
      loaded: () => this.#loaded(),
      announce: (text) => (live.textContent = text),
    }));
    const pair = Object.assign(document.createElement("div"), { className: "results" });
    pair.classList.toggle("compared", this.#results.length > 1);
    for (const result of this.#results) result.root.querySelector("details").open = this.#results.length === 1;
    pair.append(...this.#results.map((result) => result.root));
    stage.replaceChildren(pair);
  }

  // The result of a video of the entry in view; undefined if another one is in view.
  result(made) {
    return this.#results[this.entry?.videos.indexOf(made)];
  }

  clear() {
    this.#clear();
    stage.replaceChildren(...this.#empty);
  }

  // On a phone the stage is below the form.
  reveal() {
    const { top } = stage.getBoundingClientRect();
    if (top > window.innerHeight * 0.6 || top < 0) stage.scrollIntoView();
  }

  #clear() {
    this.#end();
    this.#end = () => {};
    for (const result of this.#results) result.close();
    this.#results = [];
    this.#controls = this.entry = null;
  }

  // Two clips play in step once both are loaded.
  #loaded() {
    const clips = this.#results.map((result) => result.clip);
    if (clips.length < 2 || !clips.every(Boolean)) return;
    this.#end();
    this.#controls ??= document.getElementById("controls-template").content.cloneNode(true).firstElementChild;
    stage.querySelector(".results").before(this.#controls);
    this.#end = together(this.#controls, this.#results.map((result) => result.video), clips[0]);
  }
}

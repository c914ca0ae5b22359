// The videos that this browser asked for. Entries are kept in this browser; the videos are the service's.

import { forBrowser } from "./storage.js";

const NAME = "animatic.videos";
const MOST = 30;

// An entry is one press of the button:
// { key, created, mode, fields, models, picture, last, thumbnail, videos: [{ model, id, status }] }
// where picture and last are names of files, and a video has an id once the service accepted it.
// Another tab may write too: every change starts from what is stored.
export class History {
  constructor(changed) {
    this.changed = changed;
  }

  get entries() {
    try {
      const entries = JSON.parse(forBrowser.get(NAME) ?? "[]");
      return entries.filter((entry) => entry.key && Array.isArray(entry.videos));
    } catch { // written by something else
      return [];
    }
  }

  add(entry) {
    this.#write([entry, ...this.entries].slice(0, MOST));
  }

  update(entry) {
    this.#write(this.entries.map((each) => (each.key === entry.key ? entry : each)));
  }

  remove(entry) {
    this.#write(this.entries.filter((each) => each.key !== entry.key));
  }

  #write(entries) {
    const text = JSON.stringify(entries);
    // Where there is no room for the small pictures, the entries go without them.
    if (!forBrowser.set(NAME, text)) {
      forBrowser.set(NAME, JSON.stringify(entries.map((entry) => ({ ...entry, thumbnail: null }))));
    }
    this.changed();
  }
}

// The list of this browser's videos.

import { ENDED, video } from "./api.js";

const ASK_MS = 4000;
const STATES = {
  queued: "waiting", in_progress: "being made", completed: "finished", failed: "failed", cancelled: "cancelled",
  expired: "expired: its files were removed", unknown: "not on the service any more", refused: "not accepted",
};
const section = document.getElementById("history");
const list = section.querySelector("ul");

// Draw the entries; open(entry) when one is chosen.
export function draw(entries, current, open) {
  section.hidden = !entries.length;
  const focused = document.activeElement?.dataset?.entry;
  list.replaceChildren(...entries.map((entry) => tile(entry, entry.key === current?.key, open)));
  if (focused) list.querySelector(`[data-entry="${CSS.escape(focused)}"]`)?.focus();
}

// Keep the states of entries up to date that are not in view: all once, then those that have not ended.
export async function refresh(history, current) {
  let first = true;
  for (;;) {
    for (const entry of history.entries) {
      if (entry.key === current()?.key) continue;
      const asked = entry.videos.filter((made) => made.id && made.status !== "unknown" && (first || !ENDED.has(made.status)));
      const before = JSON.stringify(entry.videos);
      for (const made of asked) made.status = await state(made);
      if (JSON.stringify(entry.videos) !== before) history.update(entry);
    }
    first = false;
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
}

async function state(made) {
  try {
    return (await video(made.id)).status;
  } catch (error) {
    return error.status === 404 ? "unknown" : made.status;
  }
}

function tile(entry, current, open) {
  const item = document.createElement("li");
  const button = item.appendChild(Object.assign(document.createElement("button"), { type: "button" }));
  button.dataset.entry = entry.key;
  if (current) button.setAttribute("aria-current", "true");
  const picture = button.appendChild(document.createElement(entry.thumbnail ? "img" : "span"));
  picture.className = "thumbnail";
  if (entry.thumbnail) Object.assign(picture, { src: entry.thumbnail, alt: "" });
  const text = button.appendChild(Object.assign(document.createElement("span"), { className: "text" }));
  text.append(
    Object.assign(document.createElement("b"), { textContent: entry.fields.prompt || entry.picture }),
    Object.assign(document.createElement("small"), { textContent: `${entry.models.join(" and ")} · seed ${entry.fields.seed}` }),
    Object.assign(document.createElement("small"), { textContent: states(entry) }),
  );
  button.addEventListener("click", () => open(entry));
  return item;
}

function states(entry) {
  const words = entry.videos.map((made) => STATES[made.status] ?? "waiting");
  return [...new Set(words)].join(", ");
}

// The page: the form, the stage and the list, and what passes between them.

import { create, ENDED, key, models } from "./api.js";
import { History } from "./history.js";
import { acceptDrops, PictureField, thumbnail } from "./picture.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";
import { draw, refresh } from "./tiles.js";
import { refusal } from "./words.js";

const READY_MS = 15_000;
const NOT_READY_MS = 3000;
const KEY_PROBLEMS = new Set(["missing_key", "invalid_key"]);

const find = (id) => document.getElementById(id);
const form = find("create");
const files = new Map(); // pictures of this page's entries, for sending them again
let pending = null; // an entry that was not accepted and may be sent again as it is
let sending = false;
let away = { code: "unavailable", message: "" }; // why no video can be asked for; null: one can

const settings = new Settings(() => find("last").hidden = settings.mode !== "interpolate");
const first = new PictureField(find("first"), edited);
const last = new PictureField(find("last"), edited);
const history = new History(() => draw(history.entries, stage.entry, open));
const stage = new Stage({ retry, again, deleted, changed: (entry) => history.update(entry) });

// --- the service ---

async function connect() {
  for (;;) {
    let ready = false;
    try {
      const answer = await models();
      ready = answer.data.some((model) => model.ready);
      find("key-field").hidden = !answer.limits.key_required;
      keyProblem("");
      first.limits = last.limits = answer.limits;
      if (answer.data.length) settings.offer(answer);
      away = answer.data.length ? null : { code: "unavailable", message: "" };
      state(ready ? "ready" : "loading", ready ? "Ready" : "Loading the model …");
    } catch (error) {
      away = error;
      const needsKey = KEY_PROBLEMS.has(error.code);
      state(needsKey ? "loading" : "away", needsKey ? "Needs a key" : "No answer. Trying again …");
      if (needsKey) askForKey(error);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, ready ? READY_MS : NOT_READY_MS);
      find("key").onchange = () => {
        key.set(find("key").value.trim());
        resolve();
      };
    });
  }
}

function state(name, text) {
  const shown = find("service");
  shown.dataset.state = name;
  const line = shown.querySelector("[data-text]");
  if (line.textContent !== text) line.textContent = text;
}

function askForKey(error) {
  find("key-field").hidden = false;
  keyProblem(error.code === "invalid_key" ? refusal(error).join(" ") : "");
}

function keyProblem(text) {
  find("key-problem").textContent = text;
  find("key-problem").hidden = !text;
}

// --- a new video ---

function edited() {
  find("refused").hidden = true;
}

async function submit() {
  if (sending) return;
  find("refused").hidden = true;
  if (!complete(first, "Choose a picture first.")) return;
  if (settings.mode === "interpolate" && !complete(last, "Choose the picture that the video ends at.")) return;
  if (!settings.valid()) return;
  if (!settings.models.length) return refuse(away);
  if (!(pending && isAsked(pending))) pending = await entry();
  await send(pending);
}

// Whether an entry is what the form has now: then it keeps its name, so that it is never made twice.
function isAsked({ key: name, fields, mode, models: asked }) {
  const { first: picture, last: lastPicture } = files.get(name);
  const pictures = picture === first.file && lastPicture === lastOf(mode);
  return pictures && JSON.stringify([fields, mode, asked]) === JSON.stringify([settings.fields, settings.mode, settings.models]);
}

const lastOf = (mode) => (mode === "interpolate" ? last.file : null);

function complete(picture, problem) {
  if (picture.file) return true;
  picture.missing(problem);
  picture.focus();
  return false;
}

async function entry() {
  const { fields, mode } = settings;
  const name = [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16).padStart(8, "0")).join("");
  const made = {
    key: name, created: Date.now(), mode, fields, models: settings.models,
    picture: first.file.name || "picture.png", last: mode === "interpolate" ? last.file.name || "last.png" : null,
    thumbnail: await thumbnail(first.file),
    videos: settings.models.map((model) => ({ model, id: null, status: "sending" })),
  };
  files.set(name, { first: first.file, last: lastOf(mode) });
  return made;
}

// Ask for all videos of an entry. What none of them was accepted for is said at the form.
async function send(sent) {
  busy(true);
  for (const made of sent.videos) made.status = "sending";
  stage.show(sent);
  stage.reveal();
  const problems = await Promise.all(sent.videos.map((made) => post(sent, made, `${sent.key}-${made.model}`)));
  busy(false);
  if (sent.videos.some((made) => made.id)) {
    pending = null;
    history.add(sent);
    settings.used();
    problems.forEach((problem, at) => problem && stage.result(sent.videos[at])?.refused(problem));
  } else {
    stage.clear();
    refuse(problems.find(Boolean));
  }
}

// The error, if the service did not accept the video.
async function post(sent, made, idempotencyKey) {
  const body = new FormData();
  for (const [name, value] of Object.entries({ model: made.model, ...sent.fields })) body.append(name, value);
  const { first: picture, last: lastPicture } = files.get(sent.key);
  body.append("input_reference", picture);
  if (lastPicture) body.append("last_reference", lastPicture);
  try {
    const video = await create(body, idempotencyKey);
    Object.assign(made, { id: video.id, status: video.status });
    stage.result(made)?.follow();
    return null;
  } catch (error) {
    made.status = "refused";
    return error;
  }
}

function refuse(error) {
  if (KEY_PROBLEMS.has(error.code)) {
    askForKey(error);
    find("key").focus();
  }
  if (error.param === "input_reference") first.missing(refusal(error).join(" "));
  else if (error.param === "last_reference") last.missing(refusal(error).join(" "));
  else if (!settings.complain(error.param, error.message)) say(error);
}

function say(error) {
  const box = find("refused");
  const [title, text] = refusal(error);
  box.querySelector("[data-title]").textContent = title;
  box.querySelector("[data-text]").textContent = text;
  box.hidden = false;
  const button = box.querySelector("button");
  button.hidden = KEY_PROBLEMS.has(error.code);
  countDown(button, error.retryAfter ?? 0);
  box.scrollIntoView({ block: "nearest" });
}

function countDown(button, seconds) {
  const until = Date.now() + 1000 * seconds;
  const shown = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0 && !find("refused").hidden) setTimeout(shown, 250);
  };
  shown();
}

function busy(is) {
  sending = is;
  find("submit").setAttribute("aria-disabled", is);
  find("submit").textContent = is ? "Uploading …" : "Create video";
}

// --- earlier videos ---

function open(chosen) {
  stage.show(chosen);
  stage.reveal();
  draw(history.entries, stage.entry, open);
}

// The same video again, in the same entry: with another name of the request, since the first one has its answer.
async function retry(tried, made) {
  if (!files.has(tried.key)) return again(tried, null);
  Object.assign(made, { id: null, status: "sending" });
  const attempt = crypto.getRandomValues(new Uint32Array(1))[0].toString(16);
  stage.show(tried);
  const problem = await post(tried, made, `${tried.key}-${attempt}`);
  if (problem) stage.result(made)?.refused(problem);
  history.update(tried);
}

// The settings of an earlier video in the form.
function again(earlier, video) {
  settings.fill({ ...earlier, fields: { ...earlier.fields, seed: video?.seed ?? earlier.fields.seed } });
  const kept = files.get(earlier.key);
  if (kept) first.take(kept.first);
  if (kept?.last) last.take(kept.last);
  if (!kept) first.missing(`Choose the picture again, if it is not in the form: it was ${earlier.picture}.`);
  (kept ? find("submit") : first).focus();
  form.scrollIntoView({ block: "start" });
}

function deleted(from, made) {
  const others = from.videos.filter((each) => each !== made);
  if (others.length) {
    from.videos = others;
    from.models = others.map((each) => each.model);
    history.update(from);
    open(from);
  } else {
    stage.clear();
    history.remove(from);
  }
}

// --- what starts everything ---

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener("input", edited);
find("refused").querySelector("button").addEventListener("click", submit);
find("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  (settings.mode === "interpolate" && first.file && !last.file ? last : first).take(file);
});
acceptDrops(document.documentElement, (file) => first.take(file));

find("key").value = key.get();
const resumed = history.entries.find((each) => each.videos.some((made) => made.id && !ENDED.has(made.status) && made.status !== "unknown"));
if (resumed) open(resumed);
draw(history.entries, stage.entry, open);
connect();
refresh(history, () => stage.entry);

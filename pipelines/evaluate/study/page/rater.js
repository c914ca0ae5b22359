"use strict";

const study = JSON.parse(document.getElementById("study").textContent);
const ANSWERS = ["A", "equal", "B"];
const KEYS = {
  ArrowLeft: () => answer("A"), a: () => answer("A"),
  ArrowRight: () => answer("B"), b: () => answer("B"),
  ArrowDown: () => answer("equal"), e: () => answer("equal"), "=": () => answer("equal"),
  ArrowUp: () => moveTo(Math.max(0, current - 1)),
  Enter: next, Backspace: back, " ": togglePause,
};
const find = (id) => document.getElementById(id);
const videos = [find("a"), find("b")];

let rater = null; // the code
let tasks = []; // [pair, A, B], in this rater's order
let state = { step: 0, answers: {}, ms: {} }; // by pair: one answer a question, and milliseconds
let current = 0; // number of the question that keys answer
let paused = false;
let since = 0; // when the pair came into view
let ready = false; // whether both clips can be seen

// Progress is kept in the browser's storage, or where that is switched off in this page's address.
const store = (() => {
  const name = (code) => `animatic-study:${study.id}:${code}`;
  try {
    localStorage.setItem(name("?"), "1");
    localStorage.removeItem(name("?"));
    return {
      read: (code) => JSON.parse(localStorage.getItem(name(code))),
      write: (code, value) => localStorage.setItem(name(code), JSON.stringify(value)),
      latest: () => null,
    };
  } catch {
    notice("This browser stores nothing for this page. Your progress is kept in the page's address instead: " +
      "to go on later, keep this address, as a bookmark for example.");
    const read = () => {
      try {
        return JSON.parse(decodeURIComponent(location.hash.slice(1)));
      } catch {
        return null; // no address of this study
      }
    };
    return {
      read: (code) => (read()?.rater === code ? read().state : null),
      write: (code, value) =>
        history.replaceState(null, "", "#" + encodeURIComponent(JSON.stringify({ rater: code, state: value }))),
      latest: () => read()?.rater ?? null,
    };
  }
})();

function notice(text) {
  find("notice").textContent = text;
  find("notice").hidden = false;
}

function show(id) {
  for (const each of document.querySelectorAll("main")) each.hidden = each.id !== id;
  document.body.dataset.screen = id;
}

function save() {
  try {
    store.write(rater, state);
  } catch (error) {
    notice(`Your answers cannot be stored (${error.message}): finish without closing this page.`);
  }
}

function begin(code) {
  const wanted = code.trim().toLowerCase();
  if (!Object.hasOwn(study.raters, wanted)) {
    find("problem").textContent = `“${code}” is no code of this study: check it against your invitation.`;
    return show("welcome");
  }
  rater = wanted;
  tasks = study.raters[rater];
  const stored = store.read(rater);
  if (stored) state = stored;
  state.step < tasks.length ? open(state.step) : finish();
}

const task = () => tasks[state.step];
const answersOf = (pair) => (state.answers[pair] ??= {});
const complete = (pair) => study.questions.every((question) => answersOf(pair)[question.id]);

function open(step) {
  state.step = step;
  save();
  const [pair, a, b] = task();
  const current = study.pairs[pair];
  show("rating");
  find("picture").src = `pictures/${current.picture}.png`;
  find("caption").textContent = current.caption;
  ready = false;
  videos[0].src = clip(a);
  videos[1].src = clip(b);
  for (const video of videos) video.load();
  since = performance.now();
  const unanswered = study.questions.findIndex((question) => !answersOf(pair)[question.id]);
  moveTo(unanswered < 0 ? study.questions.length - 1 : unanswered);
  if (step + 1 < tasks.length) for (const name of tasks[step + 1].slice(1)) preload(clip(name));
}

const clip = (name) => `clips/${name}.mp4`;

function preload(url) {
  const video = document.createElement("video");
  video.preload = "auto";
  video.src = url;
}

function answer(choice, number = current) {
  if (!ready) return;
  const [pair] = task();
  answersOf(pair)[study.questions[number].id] = choice;
  save();
  moveTo(Math.min(number + 1, study.questions.length - 1));
}

function moveTo(number) {
  current = number;
  draw();
}

function next() {
  if (!complete(task()[0])) return say("Answer the three questions first.");
  leave();
  if (state.step + 1 < tasks.length) return open(state.step + 1);
  state.step = tasks.length;
  save();
  finish();
}

function back() {
  if (state.step === 0) return;
  leave();
  open(state.step - 1);
}

function leave() {
  const [pair] = task();
  state.ms[pair] = Math.round((state.ms[pair] ?? 0) + performance.now() - since);
}

function say(text) {
  find("status").textContent = text;
}

function draw() {
  const [pair] = task();
  const done = tasks.filter(([each]) => complete(each)).length;
  find("step").textContent = `Pair ${state.step + 1} of ${tasks.length}`;
  find("left").textContent = done ? `· ${done} answered` : "";
  const bar = document.querySelector(".bar");
  bar.setAttribute("aria-valuemax", tasks.length);
  bar.setAttribute("aria-valuenow", done);
  bar.firstElementChild.style.width = `${(100 * done) / tasks.length}%`;
  [...find("questions").children].forEach((row, number) => {
    row.classList.toggle("current", number === current);
    const given = answersOf(pair)[study.questions[number].id];
    for (const button of row.querySelectorAll("button")) {
      button.setAttribute("aria-checked", button.value === given);
      button.disabled = !ready;
    }
  });
  find("back").disabled = state.step === 0;
  find("next").disabled = !complete(pair);
  find("next").textContent = state.step + 1 < tasks.length ? "Next pair" : "Finish";
  say(complete(pair) ? "Enter continues; Backspace goes back." : "");
}

// Both clips start together and repeat together, however long each takes to load.
function start() {
  for (const video of videos) video.currentTime = 0;
  if (!paused) for (const video of videos) video.play().catch(refused);
}

// A browser that forbids clips to start by themselves; other reasons are that the next pair is already loading.
function refused(error) {
  if (error.name === "NotAllowedError") setPaused(true);
}

function setPaused(value) {
  paused = value;
  find("pause").textContent = paused ? "Play" : "Pause";
  for (const video of videos) if (paused) video.pause();
}

function togglePause() {
  setPaused(!paused);
  if (!paused) start();
}

for (const video of videos) {
  video.addEventListener("loadeddata", () => {
    if (ready || !videos.every((each) => each.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA)) return;
    ready = true;
    start();
    draw();
  });
  video.addEventListener("ended", () => videos.every((each) => each.ended) && start());
  video.addEventListener("error", () => {
    const name = video.getAttribute("src");
    notice(`The clip ${name} cannot be played: report this to the person who invited you, or use another browser.`);
  });
}

function finish() {
  for (const video of videos) video.pause();
  find("text").value = csv();
  show("finished");
}

// What `animatic study score` reads: a line for each answer.
function csv() {
  const lines = [["study", "rater", "number", "pair", "a", "b", "question", "answer", "milliseconds"]];
  tasks.forEach(([pair, a, b], number) => {
    for (const { id } of study.questions) {
      lines.push([study.id, rater, number + 1, pair, a, b, id, answersOf(pair)[id], state.ms[pair] ?? ""]);
    }
  });
  return lines.map((line) => line.join(",") + "\r\n").join("");
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = `answers-${rater}.csv`;
  link.click();
  find("downloaded").textContent = `${link.download} is in your folder of downloads.`;
}

function questionRow(question, number) {
  const row = document.createElement("section");
  row.className = "question";
  const text = document.createElement("div");
  const title = document.createElement("h2");
  title.textContent = question.title;
  title.id = `question-${number}`;
  const hint = document.createElement("p");
  hint.textContent = question.hint;
  text.append(title, hint);
  const choices = document.createElement("div");
  choices.className = "choices";
  choices.setAttribute("role", "radiogroup");
  choices.setAttribute("aria-labelledby", title.id);
  for (const choice of ANSWERS) {
    const button = document.createElement("button");
    button.type = "button";
    button.value = choice;
    button.setAttribute("role", "radio");
    button.textContent = choice === "equal" ? "Equal" : choice;
    button.addEventListener("click", () => answer(choice, number));
    choices.append(button);
  }
  row.append(text, choices);
  return row;
}

find("questions").append(...study.questions.map(questionRow));
find("back").addEventListener("click", back);
find("pause").addEventListener("click", togglePause);
find("next").addEventListener("click", next);
find("download").addEventListener("click", download);
find("review").addEventListener("click", () => open(tasks.length - 1));
find("start").addEventListener("submit", (event) => {
  event.preventDefault();
  begin(find("code").value);
});
// A button that was clicked must not keep the focus: Enter and Space would press it again.
document.addEventListener("click", (event) => event.detail > 0 && event.target.closest("button")?.blur());
document.addEventListener("keydown", (event) => {
  const pressing = event.target.closest("button") && (event.key === "Enter" || event.key === " ");
  if (document.body.dataset.screen !== "rating" || event.ctrlKey || event.metaKey || event.altKey || pressing) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  if (!event.repeat) action();
});

const invited = new URLSearchParams(location.search).get("rater") ?? store.latest();
if (invited) {
  find("code").value = invited;
  const known = Object.hasOwn(study.raters, invited) && store.read(invited);
  known ? begin(invited) : show("welcome");
} else {
  show("welcome");
  find("code").focus();
}

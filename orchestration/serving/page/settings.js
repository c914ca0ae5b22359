// The form's settings: their limits and defaults are those of the chosen models.

import { counted, short, SOLVERS } from "./words.js";

const COMPARE = "compare";
const NUMBERS = [
  "num_inference_steps", "guidance_scale", "image_guidance_scale", "eta", "num_frames", "fps", "conditioning_fps",
  "motion",
];
const CHOICES = ["size", "solver"];
const NEEDS = { animate: 1, interpolate: 2, loop: 3 }; // frames
const LARGEST_DRAWN_SEED = 999_999;

const find = (id) => document.getElementById(id);
const form = find("create");

export class Settings {
  #models = [];
  #offered = ""; // the names that are in the form

  constructor(changed) {
    this.changed = changed;
    this.newSeed();
    find("new-seed").addEventListener("click", () => this.newSeed());
    find("seed").addEventListener("input", () => (find("vary").checked = false));
    find("defaults").addEventListener("click", () => this.reset());
    form.addEventListener("input", (event) => {
      event.target.setCustomValidity?.("");
      this.#refresh();
    });
  }

  // The models of GET /v1/models, and the limits of every request.
  offer({ data, limits }) {
    this.#models = data;
    find("prompt").maxLength = limits.prompt_chars;
    const offered = data.map((model) => model.id).join("\n");
    if (offered !== this.#offered) this.#list(data);
    this.#offered = offered;
    this.#refresh();
  }

  // Names of the models that will make the video: one, or two to compare.
  get models() {
    const chosen = form.elements.model?.value;
    if (chosen === COMPARE) return this.#models.slice(0, 2).map((model) => model.id);
    return [chosen || this.#models[0]?.id].filter(Boolean);
  }

  get mode() {
    return form.elements.mode.value;
  }

  get size() {
    return form.elements.size.value || this.#chosen[0]?.defaults.size || null;
  }

  // What was set, by the names of the API; what is left open is decided by the service.
  get fields() {
    const fields = { prompt: find("prompt").value.trim(), seed: find("seed").value };
    for (const name of [...NUMBERS, ...CHOICES]) if (form.elements[name].value) fields[name] = form.elements[name].value;
    if (this.mode === "loop") fields.loop = "true";
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
  }

  // Fill in the settings of an earlier video.
  fill({ fields, mode, models }) {
    find("prompt").value = fields.prompt ?? "";
    find("seed").value = fields.seed;
    find("vary").checked = false;
    for (const name of NUMBERS) form.elements[name].value = fields[name] ?? "";
    form.elements.mode.value = mode;
    const model = models.length > 1 ? COMPARE : models[0];
    const radio = [...find("models").querySelectorAll("input")].find((input) => input.value === model);
    if (radio) radio.checked = true;
    this.#refresh(); // the choices are those of the model
    for (const name of CHOICES) select(form.elements[name], fields[name]);
    if (this.#changes) find("settings").open = true;
    this.#refresh();
  }

  newSeed() {
    find("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % (LARGEST_DRAWN_SEED + 1);
    find("seed").setCustomValidity("");
  }

  // After a video was accepted.
  used() {
    if (find("vary").checked) this.newSeed();
  }

  reset() {
    for (const name of [...NUMBERS, ...CHOICES]) form.elements[name].value = "";
    this.#refresh();
  }

  // Whether the values can be sent; the first that cannot is in focus, with the reason.
  valid() {
    if (form.checkValidity()) return true;
    find("settings").open ||= [...find("settings").querySelectorAll("input")].some((input) => !input.checkValidity());
    return form.reportValidity();
  }

  // Point at the field that the service refused. False if it is none of these.
  complain(name, message) {
    const field = [...NUMBERS, ...CHOICES, "seed", "prompt"].includes(name) ? form.elements[name] : null;
    if (!field) return false;
    if (field.closest("details")) find("settings").open = true;
    field.setCustomValidity(message);
    return !field.reportValidity();
  }

  get #chosen() {
    const names = this.models;
    return this.#models.filter((model) => names.includes(model.id));
  }

  get #changes() {
    return [...NUMBERS, ...CHOICES].filter((name) => form.elements[name].value !== "").length;
  }

  #list(models) {
    const kept = form.elements.model?.value;
    const choices = models.map((model) => [model.id, model.id]);
    if (models.length > 1) choices.push([COMPARE, "Compare"]);
    if (models.length > 2) choices.at(-1)[1] = `Compare ${models[0].id} and ${models[1].id}`;
    find("models").querySelector(".segments").replaceChildren(...choices.map(segment));
    const names = choices.map(([value]) => value);
    const value = names.includes(kept) ? kept : names[0];
    for (const radio of find("models").querySelectorAll("input")) radio.checked = radio.value === value;
    find("models").hidden = models.length < 2;
  }

  // Show what the chosen models can do.
  #refresh() {
    const chosen = this.#chosen;
    if (!chosen.length) return;
    const defaults = chosen[0].defaults;
    const least = (name) => Math.min(...chosen.map((model) => model.limits[name]));
    this.#modes(chosen);
    for (const name of NUMBERS) form.elements[name].placeholder = defaults[name] ?? this.#automatic(name);
    form.elements.num_inference_steps.max = least("max_steps");
    form.elements.num_frames.max = least("max_frames");
    form.elements.num_frames.min = Math.max(NEEDS[this.mode], ...chosen.map((model) => model.limits.min_frames));
    this.#motion(chosen);
    this.#choices(chosen);
    const frames = Number(form.elements.num_frames.value || defaults.num_frames);
    const rate = Number(form.elements.fps.value || defaults.fps);
    find("length").textContent = `Up to ${least("max_frames")}. ${frames} make ${Number((frames / rate).toFixed(1))} s.`;
    find("changed").textContent = this.#changes ? `· ${this.#changes} changed` : "";
    find("model-hint").textContent = chosen.map((model) => `${model.id} is bundle ${short(model.bundle.id)}`).join(", ")
      + (chosen.length > 1 ? "; both get the same seed and settings." : ".");
    find("model-hint").hidden = false;
    const left = find("prompt").maxLength - find("prompt").value.length;
    find("prompt-left").textContent = `${counted(left, "character")} left`;
    find("prompt-left").hidden = left > 200;
    document.documentElement.style.setProperty("--ratio", (this.size ?? "16x10").replace("x", " / "));
    this.changed();
  }

  #automatic(name) {
    if (name === "motion") return "any";
    return name === "image_guidance_scale" ? "together" : "model's";
  }

  // How far things move: for models that were trained for it, within what all of them can do.
  #motion(chosen) {
    const field = form.elements.motion;
    const low = Math.max(...chosen.map((model) => model.limits.min_motion ?? Infinity));
    const high = Math.min(...chosen.map((model) => model.limits.max_motion ?? -Infinity));
    field.closest(".field").hidden = !(low <= high);
    if (!(low <= high)) {
      field.value = "";
      return;
    }
    [field.min, field.max] = [low, high];
    find("motion-hint").textContent = `Percent of the short side a frame, ${Number(low.toPrecision(3))} to `
      + `${Number(high.toPrecision(3))}, without the camera's.`;
  }

  #modes(chosen) {
    const missing = [];
    for (const radio of form.elements.mode) {
      radio.disabled = !chosen.every((model) => model.limits.modes.includes(radio.value));
      if (radio.disabled) missing.push(radio.nextElementSibling.textContent);
    }
    if (form.querySelector("[name=mode]:checked").disabled) form.elements.mode.value = "animate";
    find("mode-hint").hidden = !missing.length;
    find("mode-hint").textContent = `This model cannot do: ${missing.join(", ")}.`;
  }

  #choices(chosen) {
    const { size, solver } = chosen[0].defaults;
    const common = (name) => chosen[0].limits[name].filter((each) => chosen.every((model) => model.limits[name].includes(each)));
    offer(form.elements.size, size, common("sizes"), (value) => value.replace("x", " × "));
    offer(form.elements.solver, solver, common("solvers"), (value) => SOLVERS[value] ?? value);
    const taken = form.elements.solver.value || solver;
    find("eta-hint").textContent = taken === "ddim" ? "0: none is added between steps." : "This solver sets it: leave it open.";
  }
}

// The choices of a list, the default among them.
function offer(list, standard, values, text) {
  const others = values.filter((value) => value !== standard).map((value) => [value, text(value)]);
  const options = [["", `${text(standard)} (default)`], ...others];
  const same = ([value, label], at) => list.options[at].value === value && list.options[at].text === label;
  if (options.length === list.options.length && options.every(same)) return;
  const kept = list.value;
  list.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  select(list, kept);
}

// Select a value, or the default where it is not offered.
function select(list, value) {
  list.value = [...list.options].some((option) => option.value === value) ? value : "";
}

function segment([value, text]) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "model", value });
  label.append(radio, Object.assign(document.createElement("span"), { textContent: text }));
  return label;
}

// A field for a picture: choose, drop or paste it; checked before it is uploaded.

import { bytes, megapixels } from "./words.js";

const NAMES = { "image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WebP" };
// Until the service has answered.
const UNKNOWN = { picture_types: Object.keys(NAMES), pixels: Infinity, body_bytes: Infinity };
const SCALED_QUALITY = 0.92;
const THUMBNAIL_SIDE = 360;

export class PictureField {
  #root; #input; #image; #note; #problem; #remove; #scale;
  #limits = UNKNOWN;
  #checks = 0; // only the newest check may report
  file = null; // what will be uploaded: null while there is none, or it has a problem

  constructor(root, changed) {
    const find = (selector) => root.querySelector(selector);
    this.#root = root;
    this.#input = find("input");
    this.#image = find("img");
    this.#note = find(".note p");
    this.#problem = find(".problem");
    this.#remove = find("[data-action=remove]");
    this.#scale = find("[data-action=scale]");
    this.changed = changed;
    this.#input.addEventListener("change", () => this.#input.files[0] && this.take(this.#input.files[0]));
    this.#remove.addEventListener("click", () => {
      this.clear();
      this.#input.focus();
    });
    acceptDrops(root, (file) => this.take(file));
  }

  set limits(limits) {
    if (JSON.stringify(limits) === JSON.stringify(this.#limits)) return;
    this.#limits = limits;
    if (this.file) this.take(this.file); // chosen before the limits were known
    this.#input.accept = limits.picture_types.join(",");
    const shown = this.#root.querySelector("[data-limits]");
    const kinds = limits.picture_types.map((type) => NAMES[type] ?? type);
    if (shown) shown.textContent = `${kinds.join(", ")} · up to ${megapixels(limits.pixels)}, ${bytes(limits.body_bytes)}`;
  }

  // Use a picture, if it can be: otherwise the reason appears.
  async take(file) {
    this.clear();
    const check = ++this.#checks;
    const found = await examine(file, this.#limits);
    if (check !== this.#checks) return;
    this.#remove.hidden = false;
    this.#note.textContent = `${file.name || "Pasted picture"}${found.width ? ` · ${found.width} × ${found.height}` : ""} · ${bytes(file.size)}`;
    if (found.shown) this.#show(file);
    if (found.problem) this.missing(found.problem);
    else this.file = file;
    if (found.scale) this.#offerScaling(file, found.scale);
    this.changed();
  }

  // Something is missing or was refused: the reason appears until a picture is chosen.
  missing(problem) {
    this.#problem.textContent = problem;
    this.#problem.hidden = false;
    this.#input.setAttribute("aria-invalid", "true");
  }

  focus() {
    this.#input.focus();
  }

  clear() {
    this.#checks += 1;
    URL.revokeObjectURL(this.#image.src);
    this.#image.removeAttribute("src");
    this.#image.hidden = true;
    this.#image.alt = "";
    this.#root.classList.remove("filled");
    this.#note.textContent = this.#problem.textContent = "";
    this.#problem.hidden = this.#remove.hidden = this.#scale.hidden = true;
    this.#input.value = "";
    this.#input.removeAttribute("aria-invalid");
    this.file = null;
    this.changed();
  }

  #show(file) {
    this.#image.src = URL.createObjectURL(file);
    this.#image.alt = `Preview of ${file.name || "the pasted picture"}`;
    this.#image.hidden = false;
    this.#root.classList.add("filled");
  }

  #offerScaling(file, size) {
    this.#scale.textContent = `Scale it down to ${size.width} × ${size.height} in this browser`;
    this.#scale.hidden = false;
    this.#scale.onclick = async () => {
      this.#scale.disabled = true;
      try {
        const name = (file.name || "picture").replace(/\.\w+$/, "");
        const blob = await drawn(file, size, "image/jpeg", SCALED_QUALITY);
        await this.take(new File([blob], `${name}-scaled.jpg`, { type: "image/jpeg" }));
        this.#input.focus();
      } catch {
        this.missing("This browser cannot scale the picture. Scale it down in another program.");
      } finally {
        this.#scale.disabled = false;
      }
    };
  }
}

// A small copy, upright, as a data: URL; null where the browser cannot make one.
export async function thumbnail(file) {
  try {
    const { width, height } = await sized(file);
    const factor = Math.min(1, THUMBNAIL_SIDE / Math.max(width, height));
    const size = { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
    const blob = await drawn(file, size, "image/jpeg", 0.8);
    return await new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = reject;
      reader.readAsDataURL(blob);
    });
  } catch {
    return null;
  }
}

// What the picture is, and what is wrong with it; scale: a size at which it would do.
async function examine(file, limits) {
  const type = await typeOf(file);
  const kinds = limits.picture_types.map((each) => NAMES[each] ?? each).join(", ").replace(/, (?=\w+$)/, " or ");
  if (!limits.picture_types.includes(type)) {
    const fix = type === "image/heic" ? "On an iPhone, share it as JPEG, or set Camera → Formats → Most Compatible." : `Save it as ${kinds} first.`;
    return { problem: `This is not a picture in ${kinds} format. ${fix}` };
  }
  let size;
  try {
    size = await sized(file);
  } catch {
    return { problem: "This picture is damaged and cannot be opened. Save it again in another program." };
  }
  const pixels = size.width * size.height;
  const room = limits.body_bytes * 0.98; // for the other fields
  const problems = [];
  if (pixels > limits.pixels) problems.push(`has ${megapixels(pixels)}, and ${megapixels(limits.pixels)} are allowed`);
  if (file.size > room) problems.push(`has ${bytes(file.size)}, and ${bytes(limits.body_bytes)} are allowed`);
  if (!problems.length) return { ...size, shown: true };
  // JPEG at this quality has less than a byte for each pixel.
  const factor = Math.sqrt(Math.min(0.98 * limits.pixels, room, pixels) / pixels);
  const scale = { width: Math.floor(size.width * factor), height: Math.floor(size.height * factor) };
  return { ...size, shown: true, scale, problem: `This picture ${problems.join("; it ")}.` };
}

// By content, as the service decides it.
async function typeOf(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (text.startsWith("\x89PNG")) return "image/png";
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("RIFF") && text.endsWith("WEBP")) return "image/webp";
  if (/^....ftyp(heic|heix|mif1)/s.test(text)) return "image/heic";
  return "";
}

// Width and height in pixels, upright.
async function sized(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return { width: image.naturalWidth, height: image.naturalHeight };
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

async function drawn(file, { width, height }, type, quality) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // as the service does where a picture is transparent
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), type, quality);
  });
}

export function acceptDrops(target, take) {
  let inside = 0;
  const carries = (event) => [...event.dataTransfer.types].includes("Files");
  const mark = (change) => (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    inside = Math.max(0, inside + change);
    target.classList.toggle("dropping", inside > 0);
  };
  target.addEventListener("dragenter", mark(1));
  target.addEventListener("dragleave", mark(-1));
  target.addEventListener("dragover", mark(0));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    inside = 0;
    target.classList.remove("dropping");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}

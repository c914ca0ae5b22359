// Plays one clip with the browser's controls, or two in step with common ones.

export const still = window.matchMedia("(prefers-reduced-motion: reduce)");

const LONGEST_SMALL_SIDE = 128; // pixels of a clip that is enlarged with visible pixels

// Put a clip into its element; it plays unless less motion is wanted.
export async function load(element, blob, { width }) {
  unload(element);
  element.src = URL.createObjectURL(blob);
  element.classList.toggle("pixels", width < LONGEST_SMALL_SIDE);
  element.hidden = false;
  await new Promise((resolve, reject) => {
    element.onloadeddata = resolve;
    element.onerror = () => reject(new Error("this browser cannot play H.264"));
  });
}

export function unload(element) {
  if (element.src) URL.revokeObjectURL(element.src);
  element.removeAttribute("src");
  element.hidden = true;
}

export function play(element) {
  element.controls = true;
  if (!still.matches) element.play().catch(() => {}); // the browser wants a press first: its controls have it
}

// Common controls for two loaded clips of equal length and rate. Returns a function that ends them.
export function together(controls, [leader, other], { frames, fps }) {
  const button = controls.querySelector("button");
  const slider = controls.querySelector("input");
  const output = controls.querySelector("output");
  let next = 0;

  for (const element of [leader, other]) Object.assign(element, { controls: false, loop: false });
  slider.max = frames - 1;

  const frame = () => Math.min(frames - 1, Math.floor(leader.currentTime * fps + 1e-3));
  // The middle of a frame, where rounding cannot select its neighbour.
  const seek = (index) => [leader, other].forEach((each) => (each.currentTime = (index + 0.5) / fps));

  function show() {
    slider.value = frame();
    output.textContent = `${frame() + 1} / ${frames}`;
    slider.setAttribute("aria-valuetext", `frame ${frame() + 1} of ${frames}`);
    button.textContent = leader.paused && !leader.ended ? "Play" : "Pause";
  }

  function tick() {
    if (!leader.paused && Math.abs(leader.currentTime - other.currentTime) > 0.5 / fps) other.currentTime = leader.currentTime;
    show();
    next = requestAnimationFrame(tick);
  }

  const begin = () => Promise.all([leader.play(), other.play()]).catch(() => {});
  const pause = () => [leader, other].forEach((each) => each.pause());
  const again = () => {
    [leader, other].forEach((each) => (each.currentTime = 0));
    begin();
  };

  button.onclick = () => {
    if (leader.paused) begin();
    else {
      pause();
      seek(frame());
    }
  };
  slider.oninput = () => {
    pause();
    seek(Number(slider.value));
  };
  leader.addEventListener("ended", again);
  if (still.matches) seek(0);
  else begin();
  tick();
  return () => {
    cancelAnimationFrame(next);
    leader.removeEventListener("ended", again);
    for (const element of [leader, other]) Object.assign(element, { loop: true });
  };
}

// Sliders for the thresholds of a dataset report. The counts of one threshold are exact; those of several together
// come from the clips whose values the page has, which are all of a small dataset.
"use strict";
(() => {
  const { whole, columns, drawn } = JSON.parse(document.getElementById("threshold-data").textContent);
  const total = drawn.seconds.length;
  const state = columns.map((column) => ({ min: 0, max: column.limits.length }));
  const share = (part, all) => (all ? `${(100 * part / all).toFixed(1)} %` : "0 %");
  const hours = (seconds) => (seconds >= 7200 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 60).toFixed(1)} min`);
  const whole_number = (value) => Math.round(value).toLocaleString("en");
  const minimum = (n) => (state[n].min ? columns[n].limits[state[n].min - 1] : null);
  const maximum = (n) => (state[n].max < columns[n].limits.length ? columns[n].limits[state[n].max] : null);

  const kept = (sign, limit, [clips, seconds, rows]) =>
    `${sign} ${limit} keeps ${share(clips, whole[0])} of clips, ${share(seconds, whole[1])} of time, ${share(rows, whole[2])} of rows`;

  function show_column(n, card) {
    const { limits, atLeast, atMost } = columns[n];
    const lines = [];
    if (minimum(n) !== null) lines.push(kept("≥", minimum(n), atLeast[state[n].min - 1]));
    if (maximum(n) !== null) lines.push(kept("≤", maximum(n), atMost[state[n].max]));
    card.querySelector("output").textContent = lines.join("\n") || "no threshold";
    const box = card.querySelector("svg").viewBox.baseVal, width = box.width - 4, step = width / (limits.length - 1);
    const below = card.querySelector("rect.below"), above = card.querySelector("rect.above");
    below.setAttribute("width", minimum(n) === null ? 0 : (state[n].min - 1) * step);
    above.setAttribute("x", maximum(n) === null ? width : state[n].max * step);
    above.setAttribute("width", maximum(n) === null ? 0 : width - state[n].max * step);
  }

  function passes(clip) {
    return columns.every(({ name }, n) => {
      const least = minimum(n), most = maximum(n), value = drawn.values[name][clip];
      if (least === null && most === null) return true;
      return value !== null && (least === null || value >= least) && (most === null || value <= most);
    });
  }

  function show_together() {
    const settings = [], limits = [];
    columns.forEach(({ name }, n) => {
      for (const [kind, sign, limit] of [["min", ">=", minimum(n)], ["max", "<=", maximum(n)]]) {
        if (limit === null) continue;
        settings.push(`--set data.selection.${kind}.${name}=${limit}`);
        limits.push(`${name}${sign}${limit}`);
      }
    });
    let clips = 0, seconds = 0, all = 0;
    drawn.seconds.forEach((length, clip) => {
      all += length;
      if (passes(clip)) { clips += 1; seconds += length; }
    });
    const part = total ? clips / total : 0;
    const exact = total === drawn.of;
    const off = 1.96 * Math.sqrt(part * (1 - part) / total * (1 - total / drawn.of));
    const words = exact
      ? `${whole_number(clips)} of ${whole_number(total)} clips (${share(clips, total)}), ${hours(seconds)} of ${hours(all)} (${share(seconds, all)})`
      : `about ${share(clips, total)} of clips (± ${(100 * off).toFixed(1)} %, by ${whole_number(total)} drawn at random), ${share(seconds, all)} of time`;
    document.getElementById("together").textContent = settings.length ? words : "No threshold: all clips are kept.";
    document.getElementById("settings").textContent = settings.join(" ");
    document.getElementById("keep").textContent = limits.length ? `--keep "${limits.join(",")}"` : "";
    document.getElementById("commands").hidden = !settings.length;
  }

  document.querySelectorAll(".threshold").forEach((card, n) => {
    const [least, most] = card.querySelectorAll("input");
    const last = columns[n].limits.length;
    least.max = most.max = last;
    const moved = () => {
      state[n] = { min: Number(least.value), max: Number(most.value) };
      least.setAttribute("aria-valuetext", minimum(n) === null ? "off" : String(minimum(n)));
      most.setAttribute("aria-valuetext", maximum(n) === null ? "off" : String(maximum(n)));
      show_column(n, card);
      show_together();
    };
    // A browser that returns to the page may have kept the sliders, but not the rest.
    least.value = 0;
    most.value = last;
    least.addEventListener("input", moved);
    most.addEventListener("input", moved);
    card.addEventListener("reset-threshold", () => { least.value = 0; most.value = last; moved(); });
    card.querySelector(".sliders").hidden = false;
    show_column(n, card);
  });
  document.getElementById("joint").hidden = false;
  document.getElementById("reset").addEventListener("click", () =>
    document.querySelectorAll(".threshold").forEach((card) => card.dispatchEvent(new Event("reset-threshold"))));
  show_together();
})();

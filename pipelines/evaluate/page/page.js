// Without this script, all displayed clips are there in the evaluation's order, with controls.
const { first, rankings, ranked } = JSON.parse(document.getElementById("picks").textContent);
const grid = document.getElementById("cards"), select = document.getElementById("ranking");
const cards = new Map([...grid.children].map(card => [Number(card.dataset.number), card]));
const note = document.querySelector("[data-explains]"), opening = note.textContent;

function show(numbers, words, column) {
  grid.replaceChildren(...numbers.map(number => cards.get(number)));
  numbers.forEach((number, index) => {
    const card = cards.get(number);
    card.querySelector(".rank").textContent = words[index] || "";
    const cells = [...card.querySelectorAll("td[data-column]")].filter(cell => cell.dataset.column === column);
    card.querySelectorAll(".value").forEach((value, system) => { value.textContent = cells[system]?.textContent || ""; });
  });
}

function choose() {
  const ranking = rankings[select.value];
  if (!ranking) {
    note.textContent = opening;
    return show(first, [], null);
  }
  const worst = ranking.worst.filter(number => !ranking.best.includes(number));
  note.textContent = `${ranking.good} and ${ranking.bad.toLowerCase()} of all clips by ${ranking.title}${ranked ? ` of ${ranked}` : ""}.`;
  const words = [...ranking.best.map((_, n) => `${ranking.good} ${n + 1}`), ...worst.map((_, n) => `${ranking.bad} ${n + 1}`)];
  show([...ranking.best, ...worst], words, ranking.column);
}

document.querySelector(".choose").hidden = false;
select.addEventListener("change", choose);
choose();

// Clips play while they are visible, and hold still for those who asked their system for less motion.
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const watching = new IntersectionObserver(entries => entries.forEach(({ target, isIntersecting }) => {
    if (isIntersecting) target.play().catch(() => {});
    else target.pause();
  }));
  document.querySelectorAll("video").forEach(video => {
    video.controls = false;
    video.addEventListener("click", () => { video.controls = true; });
    watching.observe(video);
  });
}

// The table of all clips is sorted by the column that is clicked.
const body = document.querySelector(".all tbody");
document.querySelectorAll(".all thead th").forEach((head, column) => head.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  document.querySelectorAll(".all th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = row => row.cells[column].textContent.replaceAll(",", "");
  const compare = (a, b) => text(a).localeCompare(text(b), "en", { numeric: false });
  const numeric = (a, b) => (parseFloat(text(a)) - parseFloat(text(b))) || compare(a, b);
  const rows = [...body.rows].sort(column > 1 ? numeric : compare);
  body.replaceChildren(...(down ? rows.reverse() : rows));
}));

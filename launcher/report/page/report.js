"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function draw() {
  for (const [id, spec] of Object.entries(read("chart-data"))) {
    const colours = { paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: dark.matches ? "#ddd" : "#222" } };
    const lines = { gridcolor: "#8884", zerolinecolor: "#8888" };
    const axes = { xaxis: { ...spec.layout.xaxis, ...lines }, yaxis: { ...spec.layout.yaxis, ...lines } };
    Plotly.react(id, spec.data, { ...spec.layout, ...axes, ...colours }, { responsive: true, displayModeBar: false });
  }
}

if (typeof Plotly !== "undefined") {
  dark.addEventListener("change", draw);
  draw();
}

const AT_ONCE = 20;
const pairs = read("transcript-data");
let outcome = "all";
let shown = AT_ONCE;

function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function side(name, tried) {
  const box = element("div");
  box.append(element("h4", `${name}: ${tried.right ? "right" : "wrong"}`, tried.right ? "right" : "wrong"));
  if (tried.why) box.append(element("p", tried.why, "about"));
  if (tried.turns === null) box.append(element("p", "Left out to keep the page small: see evaluation/ in the run folder.", "about"));
  for (const turn of tried.turns ?? []) {
    box.append(element("pre", turn.said));
    if (turn.submitted) box.append(element("p", `submitted ${JSON.stringify(turn.answer)}`));
    if (turn.heard) box.append(element("pre", turn.heard, "about"));
  }
  return box;
}

function item(pair) {
  const row = element("li");
  const details = element("details");
  const summary = element("summary", pair.text);
  summary.append(element("span", `  ${pair.outcome} · ${pair.table} · ${pair.family} · ${pair.difficulty}`, "about"));
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(element("p", `expected answer: ${JSON.stringify(pair.truth)}`));
    const sides = element("div", undefined, "sides");
    sides.append(side("base", pair.base), side("adapter", pair.adapter));
    details.append(sides);
  });
  row.append(details);
  return row;
}

function list() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = pairs.filter((pair) => {
    const text = `${pair.text} ${pair.table} ${pair.family}`.toLowerCase();
    return (outcome === "all" || pair.outcome === outcome) && words.every((word) => text.includes(word));
  });
  document.getElementById("list").replaceChildren(...fits.slice(0, shown).map(item));
  const more = document.getElementById("more");
  more.replaceChildren(element("span", `${Math.min(shown, fits.length)} of ${fits.length} shown `));
  if (fits.length > shown) {
    const button = element("button", "show more");
    button.addEventListener("click", () => { shown += AT_ONCE; list(); });
    more.append(button);
  }
}

if (pairs.length) {
  const filters = document.getElementById("filters");
  for (const name of ["all", "won", "lost", "both wrong", "both right"]) {
    const count = name === "all" ? pairs.length : pairs.filter((pair) => pair.outcome === name).length;
    const button = element("button", `${name} ${count}`);
    button.setAttribute("aria-pressed", String(name === outcome));
    button.addEventListener("click", () => {
      outcome = name;
      shown = AT_ONCE;
      for (const other of filters.children) other.setAttribute("aria-pressed", String(other === button));
      list();
    });
    filters.append(button);
  }
  document.getElementById("search").addEventListener("input", () => { shown = AT_ONCE; list(); });
  list();
}

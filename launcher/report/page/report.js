"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);

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

function gave(tried) {
  const last = tried.turns?.at(-1);
  if (last?.submitted) return JSON.stringify(last.answer);
  return tried.right ? "right" : tried.reason;
}

function side(name, tried) {
  const box = element("div");
  box.append(element("h4", `${name}: ${tried.right ? "right" : tried.reason}`, tried.right ? "right" : "wrong"));
  if (tried.why) box.append(element("p", tried.why, "dim"));
  if (tried.turns === null) box.append(element("p", "Left out to keep the page small: see evaluation/ in the run folder.", "dim"));
  for (const turn of tried.turns ?? []) {
    box.append(element("pre", turn.said));
    if (turn.heard) box.append(element("p", "output", "dim"), element("pre", turn.heard));
    if (turn.submitted) box.append(element("p", `submitted ${JSON.stringify(turn.answer)}`));
  }
  return box;
}

function item(pair) {
  const row = element("li");
  const details = element("details");
  const summary = element("summary", pair.text);
  const answers = element("div", undefined, "dim");
  answers.append(`truth ${JSON.stringify(pair.truth)} · base `, element("span", gave(pair.base), pair.base.right ? "right" : "wrong"));
  answers.append(" · adapter ", element("span", gave(pair.adapter), pair.adapter.right ? "right" : "wrong"));
  summary.append(answers);
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(element("p", `${pair.outcome} · table ${pair.table} · family ${pair.family} · ${pair.difficulty}`, "dim"));
    const sides = element("div", undefined, "two");
    sides.append(side("base", pair.base), side("adapter", pair.adapter));
    details.append(sides);
  });
  row.append(details);
  return row;
}

function list() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = pairs.filter((pair) => {
    const text = `${pair.text} ${pair.table} ${pair.family} ${pair.base.reason} ${pair.adapter.reason}`.toLowerCase();
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
  for (const [id, places] of Object.entries(read("example-data"))) {
    document.getElementById(id).append(...places.map((place) => item(pairs[place])));
    if (!places.length) document.getElementById(id).append(element("li", "none"));
  }
  const filters = document.getElementById("filters");
  for (const name of ["all", "lost", "both wrong", "won", "both right"]) {
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

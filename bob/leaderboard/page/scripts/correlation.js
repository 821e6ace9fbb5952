// Do tasks (or one task's datasets) order the backbones alike? Spearman's correlation of every pair, and the pair that was picked as a scatter.

import { BACKBONES, COLUMNS, DATASETS, TASKS } from "./data.js";
import { $, button, make, named, on, section, shapeOf, styled } from "./dom.js";
import { chart, linear, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, fixed, plural } from "./format.js";
import { chosenColumns, summary, taskIndex } from "./selection.js";
import { spearman } from "./statistics.js";
import { change, state } from "./state.js";
import { hideTip, showTip } from "./tooltip.js";

const NUMBERS = 14; // groups: with more, cells are too small for numbers
const HEIGHT = 380;
const LEAST = 3; // backbones: of two any order is a perfect one

// Groups of columns that are compared: tasks, or the datasets of one task.
function groups() {
  const columns = chosenColumns(),
    byTask = taskIndex() < 0 && new Set(columns.map((column) => COLUMNS[column].task)).size > 1;
  const keys = [...new Set(columns.map((column) => (byTask ? COLUMNS[column].task : COLUMNS[column].dataset)))];
  return keys.map((key) => {
    const own = columns.filter((column) => (byTask ? COLUMNS[column].task : COLUMNS[column].dataset) === key);
    return { name: (byTask ? TASKS : DATASETS)[key].name, out: summary(own), size: own.length };
  });
}

// Both groups' mean z of the backbones that have both.
function together(a, b) {
  const known = (group, one) => Number.isFinite(group.out.rows.get(one)?.z),
    common = a.out.pool.filter((one) => b.out.pool.includes(one) && known(a, one) && known(b, one));
  return { common, x: common.map((one) => a.out.rows.get(one).z), y: common.map((one) => b.out.rows.get(one).z) };
}

function correlation(a, b) {
  const { common, x, y } = together(a, b);
  return { rho: spearman(x, y), n: common.length };
}

export function drawCorrelation(view) {
  const all = groups(),
    text =
      "Spearman's rank correlation of the backbones' mean z-scores: 1 means the two order the backbones alike, 0 that one says nothing about the other. Floors are left out.";
  const lacking = all.length < 2 ? "At least two tasks or datasets are needed." : tooFew(all);
  if (lacking) return view.append(section("Correlation of tasks", text, make("p", {}, lacking), button({}, () => change({ view: "table" }), "Show the table")));
  const pair = state.pair.split("|"),
    picked = pair.length === 2 ? pair.map((name) => all.find((group) => group.name === name)) : [];
  const [a, b] = picked.length === 2 && picked.every(Boolean) ? picked : [all[0], all[1]];
  const detail = make("figure", { id: "pair" });
  view.append(section("Correlation of tasks", text, make("div", { class: "split" }, make("div", { class: "scroll" }, matrix(all, a, b)), detail)));
  detail.append(pairChart(detail, a, b));
  $("status").textContent = plural((all.length * (all.length - 1)) / 2, "pair");
  return undefined;
}

// Why no pair can be compared; nothing where one can.
function tooFew(all) {
  const shared = (one, other) => one.out.pool.filter((b) => other.out.pool.includes(b)).length,
    most = Math.max(...all.flatMap((one, index) => all.slice(index + 1).map((other) => shared(one, other))));
  if (most >= LEAST) return "";
  return `Whether two of these ${all.length} order backbones alike can be said of ${LEAST} backbones or more with values in both, floors aside; here it is ${most} at most.`;
}

function matrix(all, a, b) {
  const numbers = all.length <= NUMBERS;
  const head = make("tr", {}, make("td"), ...all.map((group) => make("th", { scope: "col" }, make("span", {}, named(group.name)))));
  const rows = all.map((one, r) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, named(one.name)),
      ...all.map((other, c) => entry(one, other, r, c, numbers, [one, other].every((group) => [a, b].includes(group)) && r !== c)),
    ),
  );
  return make("table", { class: `matrix${numbers ? "" : " small"}` }, make("thead", {}, head), make("tbody", {}, ...rows));
}

function entry(one, other, r, c, numbers, current) {
  if (r === c) return make("td", { class: "self" });
  const { rho, n } = correlation(one, other),
    text = rho === null ? "–" : fixed(rho, 2);
  const label = `${one.name} and ${other.name}: ${rho === null ? "no correlation can be had" : `Spearman ${text}`}, ${plural(n, "backbone")}`;
  const control = button(
    { class: "pair", "aria-label": label, "aria-pressed": String(current), "data-tip": label, tabindex: numbers ? 0 : -1 },
    () => change({ pair: `${one.name}|${other.name}` }),
    numbers ? text : "",
  );
  return styled(make("td", {}, control), {
    "--share": rho === null ? 0 : Math.abs(rho).toFixed(3),
    "--tone": rho !== null && rho < 0 ? "var(--heat-low)" : "var(--heat-high)",
  });
}

function pairChart(figure, a, b) {
  const { common, x, y } = together(a, b);
  if (!common.length) return make("p", {}, "No backbone has a value in both.");
  const width = Math.min(560, widthOf(figure)),
    box = { left: 48, right: width - 12, top: 30, bottom: HEIGHT - 50 };
  const across = linear(x, box.left, box.right),
    up = linear(y, box.bottom, box.top);
  const dots = common.map((one, index) =>
    pairDot(one, across.at(x[index]), up.at(y[index]), [`${a.name}: z ${fixed(x[index], 2)}`, `${b.name}: z ${fixed(y[index], 2)}`]),
  );
  const { rho } = correlation(a, b);
  const title = `${cut(b.name, 24)} against ${cut(a.name, 24)}: Spearman ${rho === null ? "–" : fixed(rho, 2)}, ${plural(common.length, "backbone")}`;
  return make(
    "div",
    {},
    chart(
      width,
      HEIGHT,
      title,
      yAxis(up, box, tickText(up, false), `z, ${cut(b.name, 30)}`),
      xAxis(across, box, tickText(across, false), `z, ${cut(a.name, 30)}`),
      dots,
    ),
    make("figcaption", {}, title),
  );
}

function pairDot(b, x, y, lines) {
  const { name, family } = BACKBONES[b],
    shape = make("path", { class: "shape", d: shapeOf(family), transform: `translate(${x} ${y})` });
  const group = styled(make("g", { class: "point on-front", tabindex: 0, role: "button", "aria-label": [name, ...lines].join(", ") }, shape), {
    "--mark": `var(--${family})`,
  });
  const tip = () => {
    const { left, top } = shape.getBoundingClientRect();
    showTip([name, ...lines], left, top);
  };
  return on(group, {
    pointerenter: tip,
    pointerleave: hideTip,
    focus: tip,
    blur: hideTip,
    click: () => openBackbone(b),
    keydown: (event) => {
      if (event.key === "Enter") openBackbone(b);
    },
  });
}

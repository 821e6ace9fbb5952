// The table: one row per backbone, one column per cell or, over many, per task. Rows are made once per set of columns; sorting and filtering only move them.

import { BACKBONES, COLUMNS, DATA, TASKS, datasetOf, metricOf, speedOf, taskColumns, taskOf } from "./data.js";
import { $, button, choices, help, make, named, on, styled } from "./dom.js";
import { plural } from "./format.js";
import { chosenColumns, datasetIndex, scopeText, summary, taskIndex, visible } from "./selection.js";
import { poolText } from "./overview.js";
import { change, state } from "./state.js";
import { cellTip, hasParams, hasSpeed, number, row, scaleOf, shownValue, summaryIds } from "./rows.js";

const MANY = 12; // cells: with more over several tasks, one column per task
const DENSE = 8; // columns: with more, intervals are bars only
const PAGE = 100; // rows shown at once
const FIXED_REM = 45; // what the columns before the cells take in a dense table
const CELL_REM = 5.2;

const SHOW = [
  ["value", "scores"],
  ["z", "z-scores"],
  ["rank", "places"],
];
const EXPLAIN = {
  z: "Mean over all cells of how many standard deviations of the pool a backbone lies above the pool's mean.",
  rank: "Mean over all cells of the backbone's place; 1 is best.",
  wins: "Share of resamples in which it comes first.",
  value: "Plain mean of the scores of all cells.",
  params: "Parameters of the frozen body, in millions.",
  speed: `Images per second, measured on ${DATA.device}.`,
};

// ---- what the columns are

function layout() {
  const chosen = chosenColumns(),
    grouped = taskIndex() < 0 && datasetIndex() < 0 && chosen.length > MANY;
  const groups = grouped
    ? TASKS.map((_, task) => ({ id: `t${task}`, columns: taskColumns(task) }))
    : chosen.map((column) => ({ id: `c${column}`, columns: [column] }));
  return { chosen, grouped, groups, out: summary(chosen), dense: groups.length > DENSE };
}

const kept = new Map();

const keyOfPlan = (plan) => [plan.chosen.join(" "), plan.grouped, state.show, state.clean].join("|");

// The rows of these columns by backbone; a row is made when it is first shown.
function rowsFor(plan) {
  const key = keyOfPlan(plan);
  if (!kept.has(key)) {
    if (kept.size > 8) kept.clear();
    kept.set(key, { rows: new Map(), scales: plan.groups.map((group) => scaleOf(group)), plan });
  }
  return kept.get(key);
}

function rowOf(held, b) {
  if (!held.rows.has(b)) held.rows.set(b, row(b, held.plan, held.scales));
  return held.rows.get(b);
}

// ---- values that sort

function keyOf(b, id, plan) {
  const { name, params } = BACKBONES[b],
    own = plan.out.rows.get(b);
  if (id === "name") return name;
  if (id === "params") return params ?? null;
  if (id === "speed") return speedOf(b);
  if (id === "value") return number(own?.value);
  if (id in SUMMARIES) return own?.place ? number(own[id]) : null;
  const group = plan.groups.find((one) => one.id === id);
  return group ? number(shownValue(group, b)) : null;
}

const SUMMARIES = { z: true, rank: false, wins: true, value: true };

function higherFirst(id, plan) {
  if (id in SUMMARIES) return SUMMARIES[id];
  const group = plan.groups.find((one) => one.id === id);
  if (!group) return id === "speed";
  return state.show === "z" || (state.show === "value" && (group.columns.length > 1 || metricOf(group.columns[0]).higher));
}

function firstSort(plan) {
  if (plan.groups.length > 1 && plan.out.pool.length === 1) return "rank"; // one backbone has no z-score, and comes before floors
  return plan.groups.length > 1 ? "z" : plan.groups.length ? plan.groups[0].id : "name";
}

function order(plan) {
  const held = headIds(plan),
    id = held.includes(state.sort) ? state.sort : firstSort(plan);
  const descending = state.dir ? state.dir === "desc" : higherFirst(id, plan),
    sign = descending ? -1 : 1;
  const keyed = BACKBONES.map((_, b) => [keyOf(b, id, plan), b]);
  const compare = id === "name" ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => a - b;
  keyed.sort(([a, x], [b, y]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)) || x - y);
  return { id, descending, backbones: keyed.map(([, b]) => b) };
}

// ---- heads

const headIds = (plan) => [
  "name",
  ...(hasParams ? ["params"] : []),
  ...(hasSpeed ? ["speed"] : []),
  ...(plan.groups.length > 1 ? summaryIds(plan.out) : []),
  ...plan.groups.map((group) => group.id),
];
const NAMES = { name: "Backbone", params: "Params (M)", speed: "Images/s", z: "Mean z", rank: "Mean rank", wins: "Wins", value: "Mean" };

function heads(plan, { id, descending }) {
  const manyTasks = new Set(plan.groups.map((group) => COLUMNS[group.columns[0]]?.task)).size > 1;
  const cells = headIds(plan).map((own) => headCell(own, own === id, descending, plan, manyTasks));
  return make("tr", {}, make("td", { class: "place" }), ...cells);
}

function headCell(id, current, descending, plan, manyTasks) {
  const group = plan.groups.find((one) => one.id === id),
    explain = group ? explained(group, plan) : EXPLAIN[id];
  const sort = () => {
    change({ sort: id, dir: current ? (descending ? "asc" : "desc") : "" });
    document.querySelector(`[data-sort="${id}"]`)?.focus();
  };
  const label = group ? groupLabel(group, plan, manyTasks) : [NAMES[id]];
  const control = button({ "data-sort": id, "data-tip": explain }, sort, ...label);
  return make(
    "th",
    {
      scope: "col",
      class: id === "name" ? "names" : id === "params" || id === "speed" ? "size" : id in SUMMARIES ? "sum" : "value",
      "aria-sort": current ? (descending ? "descending" : "ascending") : null,
    },
    control,
  );
}

function groupLabel({ columns }, plan, manyTasks) {
  if (columns.length > 1) return [named(taskOf(columns[0]).name)];
  const dataset = named(datasetOf(columns[0]).name),
    task = named(taskOf(columns[0]).name);
  return datasetIndex() >= 0 ? [task] : manyTasks ? [make("small", {}, task), dataset] : [dataset];
}

function explained({ columns }) {
  const metric = metricOf(columns[0]),
    summaryText = metric.summary ? `: ${metric.summary}` : "";
  if (columns.length === 1)
    return `${taskOf(columns[0]).name} on ${datasetOf(columns[0]).name}\n${metric.name}${summaryText}${metric.higher ? "" : ", lower is better"}`;
  return `${taskOf(columns[0]).name}: mean over ${plural(columns.length, "dataset")}\n${metric.name}${summaryText}`;
}

// ---- drawing

export function drawTable(view) {
  const kinds = choices(make("select", { id: "show" }), SHOW);
  kinds.value = state.show;
  on(kinds, { change: () => change({ show: kinds.value, sort: "", dir: "" }) });
  const table = on(make("table", { id: "board" }, make("thead"), make("tbody")), { pointerover: tipOfCell });
  view.append(
    make("div", { class: "bar" }, make("label", {}, "Show ", kinds), legend()),
    make("div", { class: "scroll", role: "region", "aria-label": "Table of all backbones", tabindex: 0 }, table),
    make("p", { class: "more-rows" }),
    make("p", { class: "hint", id: "table-note" }),
  );
  fillTable(view);
}

function legend() {
  return make(
    "p",
    { class: "legend" },
    make("span", { class: "swatch in-tie" }, "88.1"),
    " tied with the best ",
    make("span", { class: "swatch best" }, "88.7"),
    " best ",
    make("span", { class: "swatch seen" }, "90.2"),
    " contaminated ",
    help(
      "Tied: not told apart from the best of its column, by paired tests on the same images where results per image are at hand, else by overlapping intervals. Contaminated: the dataset is in the backbone's pretraining data. Bars: 95 % intervals on the column's own scale.",
    ),
  );
}

let shownRows = PAGE;

export function fillTable(view, names = new Set()) {
  if ([...names].some((name) => !["sort", "dir"].includes(name))) shownRows = PAGE;
  const plan = layout(),
    sorting = order(plan),
    table = view.querySelector("#board"),
    seen = new Set(visible()),
    shown = sorting.backbones.filter((b) => seen.has(b));
  table.classList.toggle("dense", plan.dense);
  table.classList.toggle("by-score", ["z", "value", plan.groups[0]?.id].includes(sorting.id) && sorting.descending === higherFirst(sorting.id, plan));
  placeHeads(table, plan, sorting);
  placeRows(table.querySelector("tbody"), rowsFor(plan), sorting.backbones, new Set(shown.slice(0, shownRows)));
  const left = shown.length - shownRows;
  view.querySelector(".more-rows").replaceChildren(
    ...(left > 0
      ? [
          button(
            {},
            () => {
              shownRows = Infinity;
              fillTable(view);
            },
            `Show ${left} more`,
          ),
        ]
      : []),
  );
  $("table-note").textContent =
    `${scopeText(plan.chosen)}. ${poolText(plan.out)} Ranks, z-scores and ties are over the pool; filters only hide rows.`;
  $("status").textContent = `${shown.length} of ${plural(BACKBONES.length, "backbone")}`;
}

// New heads make the browser lay out every cell again: a search leaves them as they are.
function placeHeads(table, plan, sorting) {
  const key = [keyOfPlan(plan), sorting.id, sorting.descending].join("|");
  if (table.dataset.heads === key) return;
  table.dataset.heads = key;
  table.querySelector("thead").replaceChildren(heads(plan, sorting));
  if (plan.dense) styled(table, { width: `${FIXED_REM + CELL_REM * plan.groups.length}rem` });
}

// Filtered rows are hidden where they are: to take them out and put them back would lay out their text again.
function placeRows(body, held, order, shown) {
  for (const b of shown) rowOf(held, b);
  const rows = order.filter((b) => held.rows.has(b)).map((b) => held.rows.get(b));
  if (rows.length !== body.children.length || rows.some((one, index) => one !== body.children[index])) body.replaceChildren(...rows);
  for (const [b, one] of held.rows) one.hidden = !shown.has(b);
}

function tipOfCell(event) {
  const field = event.target.closest("td[data-cell]");
  if (field && !field.dataset.tip) field.dataset.tip = cellTip(Number(field.dataset.cell)).join("\n");
}

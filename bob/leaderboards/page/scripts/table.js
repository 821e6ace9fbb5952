// The table: one row per backbone, one column per cell or, over many cells, per task. Rows are made
// once per set of columns; sorting and filtering only move and hide them.

import {
  ALL_BACKBONES,
  BACKBONES,
  COLUMNS,
  DATA,
  DATASETS,
  TASKS,
  datasetOf,
  hasParams,
  hasSpeeds,
  isBaseline,
  metricOf,
  speedOf,
  taskColumns,
  taskOf,
} from "./data.js";
import { $, button, help, make, named, on, paragraph, picker, styled } from "./dom.js";
import { comparison, showPicks } from "./compare.js";
import { MISSING, Z_SCORE, plural, valueText } from "./format.js";
import {
  EQUAL,
  byPlace,
  chosenColumns,
  datasetIndex,
  scopeText,
  summarise,
  taskIndex,
  visible,
} from "./selection.js";
import { poolText } from "./overview.js";
import { change, state } from "./state.js";
import { cellTip, numberOrNull, rowElement, scaleOf, shownValue, summaryIds } from "./rows.js";

const MANY = 12; // cells: with more over several tasks, one column per task
const DENSE = 8; // columns: with more, intervals are bars only
const ROWS_PER_PAGE = 100;
const MAX_PLANS = 8; // sets of columns whose rows are kept
const FIXED_REM = 45; // width of the columns before the cells in a dense table
const CELL_REM = 5.2;

const SHOW = [
  ["value", "scores"],
  ["z", "z-scores"],
  ["rank", "ranks"],
];

// Columns of means over all chosen cells: heading, explanation, which direction sorts first, and
// the value in a summary row.
const SUMMARIES = {
  z: {
    name: "Mean z",
    tip: `Mean z-score over all cells. ${Z_SCORE}`,
    descending: true,
    value: (row) => row.z,
  },
  rank: {
    name: "Mean rank",
    tip: "Mean over all cells of the backbone's rank; 1 is best.",
    descending: false,
    value: (row) => row.meanRank,
  },
  wins: {
    name: "Wins",
    tip: "Share of resamples in which the backbone ranks first.",
    descending: true,
    value: (row) => row.wins,
  },
  value: {
    name: "Mean",
    tip: "Unweighted mean of the scores of all cells.",
    descending: true,
    value: (row) => row.value,
  },
};
const NAMES = { name: "Backbone", params: "Params (M)", speed: "Images/s" };
const TIPS = {
  params: "Parameters of the frozen backbone, in millions.",
  speed:
    `Images per second on ${DATA.conditions}. Speeds under other conditions are not comparable; ` +
    "they are in the cards.",
};

// ---- what the columns are

// {chosen, grouped, groups, summary, dense}: the chosen columns and the table's columns, each a
// group of one or more of them.
function makePlan() {
  const chosen = chosenColumns();
  const grouped = taskIndex() < 0 && datasetIndex() < 0 && chosen.length > MANY;
  const groups = grouped
    ? TASKS.map((_, task) => ({ id: `t${task}`, columns: taskColumns(task) }))
    : chosen.map((column) => ({ id: `c${column}`, columns: [column] }));
  return { chosen, grouped, groups, summary: summarise(chosen), dense: groups.length > DENSE };
}

const planKey = (plan) => [plan.chosen.join(" "), plan.grouped, state.show, state.clean].join("|");

const rowSets = new Map();

// The rows of a plan by backbone; a row is made when it is first shown.
function rowSetOf(plan) {
  const key = planKey(plan);
  if (!rowSets.has(key)) {
    if (rowSets.size > MAX_PLANS) rowSets.clear();
    const scales = plan.groups.map((group) => scaleOf(group));
    rowSets.set(key, { rows: new Map(), scales, plan });
  }
  return rowSets.get(key);
}

function ensureRow({ rows, plan, scales }, b) {
  if (!rows.has(b)) rows.set(b, rowElement(b, plan, scales));
}

// ---- sorting

const groupById = (plan, id) => plan.groups.find((group) => group.id === id);

function sortValue(b, id, plan) {
  const { name, params } = BACKBONES[b];
  const row = plan.summary.rows.get(b);
  if (id === "name") return name;
  if (id === "params") return params ?? null;
  if (id === "speed") return speedOf(b);
  if (id in SUMMARIES) {
    const isShown = row && (row.rank || id === "value");
    return isShown ? numberOrNull(SUMMARIES[id].value(row)) : null;
  }
  const group = groupById(plan, id);
  return group ? numberOrNull(shownValue(group, b)) : null;
}

function isDescendingFirst(id, plan) {
  if (id in SUMMARIES) return SUMMARIES[id].descending;
  const group = groupById(plan, id);
  if (!group) return id === "speed";
  if (state.show !== "value") return state.show === "z";
  return group.columns.length > 1 || metricOf(group.columns[0]).higher;
}

function initialSort({ groups, summary }) {
  if (!groups.length) return "name";
  if (groups.length === 1) return groups[0].id;
  return summary.pool.length === 1 ? "rank" : "z"; // a single backbone has no z-score
}

function sorted(plan) {
  const id = headIds(plan).includes(state.sort) ? state.sort : initialSort(plan);
  const descending = state.dir ? state.dir === "desc" : isDescendingFirst(id, plan);
  const sign = descending ? -1 : 1;
  const byName = id === "name";
  const byValue = (a, b) => (Math.abs(a - b) < EQUAL ? 0 : a - b);
  const compare = byName ? new Intl.Collator("en", { numeric: true }).compare : byValue;
  const keyed = ALL_BACKBONES.map((b) => [sortValue(b, id, plan), b]);
  const byMean = (x, y) => isBaseline(x) - isBaseline(y) || byPlace(plan.summary, x, y) || x - y;
  keyed.sort(
    ([a, x], [b, y]) =>
      (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)) || byMean(x, y),
  );
  return { id, descending, backbones: keyed.map(([, b]) => b) };
}

// ---- heads

const headIds = (plan) => [
  "name",
  ...(hasParams ? ["params"] : []),
  ...(hasSpeeds ? ["speed"] : []),
  ...(plan.groups.length > 1 ? summaryIds(plan.summary) : []),
  ...plan.groups.map((group) => group.id),
];

function heads(plan, sorting) {
  const tasks = new Set(plan.groups.map((group) => COLUMNS[group.columns[0]]?.task));
  const cells = headIds(plan).map((id) => headCell(id, sorting, plan, tasks.size > 1));
  return make("tr", {}, make("td", { class: "rank" }), ...cells);
}

// `extra` columns are left out on a phone: all means but the first.
function headClass(id, plan) {
  if (id === "name") return "names";
  if (id === "params" || id === "speed") return "size";
  if (!(id in SUMMARIES)) return "value";
  return id === summaryIds(plan.summary)[0] ? "sum" : "sum extra";
}

function headCell(id, sorting, plan, manyTasks) {
  const group = groupById(plan, id);
  const isSorted = id === sorting.id;
  const sort = () => {
    const reversed = sorting.descending ? "asc" : "desc";
    change({ sort: id, dir: isSorted ? reversed : "" });
    document.querySelector(`[data-sort="${id}"]`)?.focus();
  };
  const label = group ? groupLabel(group, manyTasks) : [SUMMARIES[id]?.name ?? NAMES[id]];
  const tip = group ? groupTip(group) : (SUMMARIES[id]?.tip ?? TIPS[id]);
  const direction = sorting.descending ? "descending" : "ascending";
  return make(
    "th",
    { scope: "col", class: headClass(id, plan), "aria-sort": isSorted ? direction : null },
    button({ "data-sort": id, "data-tip": tip }, sort, ...label),
  );
}

function groupLabel({ columns }, manyTasks) {
  const task = named(taskOf(columns[0]).name);
  if (columns.length > 1) return [task];
  const dataset = named(datasetOf(columns[0]).name);
  if (DATASETS.length === 1 || datasetIndex() >= 0) return [task];
  return manyTasks ? [make("small", {}, task), dataset] : [dataset];
}

function groupTip({ columns }) {
  const [column] = columns;
  const { name, summary, higher } = metricOf(column);
  const metric = `${name}${summary ? `: ${summary}` : ""}`;
  const task = taskOf(column).name;
  if (columns.length > 1)
    return `${task}: mean over ${plural(columns.length, "dataset")}\n${metric}`;
  const direction = higher ? "" : ", lower is better";
  return `${task} on ${datasetOf(column).name}\n${metric}${direction}`;
}

// ---- below the backbones

// One row for each score that needs no backbone, as of the majority class and of chance.
function referenceRows(plan) {
  if (plan.grouped || state.show !== "value") return [];
  const columns = plan.groups.map((group) => group.columns[0]);
  const references = columns.map((column) => new Map(COLUMNS[column].references));
  const names = new Set(references.flatMap((values) => [...values.keys()]));
  const blank = headIds(plan).slice(1, -columns.length || undefined);
  return [...names].map((name) => {
    const value = (column, i) =>
      references[i].has(name) ? valueText(references[i].get(name), metricOf(column)) : MISSING;
    return make(
      "tr",
      {},
      make("td", { class: "rank" }),
      make("th", { scope: "row" }, name),
      ...blank.map((id) => make("td", { class: headClass(id, plan) }, MISSING)),
      ...columns.map((column, i) => make("td", {}, value(column, i))),
    );
  });
}

// ---- drawing

const LEGEND_HELP =
  "Tied: not significantly different from the best of its column, by paired tests on the same " +
  "images; without per-image results, nothing is tested and no tie is marked. Contaminated: " +
  "the dataset is in the backbone's pretraining data. Bars: 95 % intervals on the column's own " +
  "scale.";

export function drawTable(view) {
  const show = picker("show", SHOW, state.show, (value) =>
    change({ show: value, sort: "", dir: "" }),
  );
  const table = make("table", { id: "board" }, make("thead"), make("tbody"), make("tfoot"));
  const region = {
    class: "scroll",
    role: "region",
    "aria-label": "Table of all backbones",
    tabindex: 0,
  };
  view.append(
    make("div", { class: "bar" }, make("label", {}, "Show ", show), legend()),
    make("div", { id: "comparison" }),
    make("div", region, on(table, { pointerover: addCellTip })),
    paragraph("more-rows"),
    make("p", { class: "hint", id: "table-note" }),
  );
  fillTable(view);
}

function legend() {
  const swatch = (name, text) => make("span", { class: `swatch ${name}` }, text);
  return paragraph(
    "legend",
    swatch("in-tie", "88.1"),
    " tied with the best ",
    swatch("best", "88.7"),
    " best ",
    swatch("contaminated", "90.2"),
    " contaminated ",
    help(LEGEND_HELP),
  );
}

let rowLimit = ROWS_PER_PAGE;

export function fillTable(view, changed = new Set()) {
  if ([...changed].some((name) => !["sort", "dir", "compare"].includes(name))) rowLimit = ROWS_PER_PAGE;
  const plan = makePlan();
  const sorting = sorted(plan);
  const table = view.querySelector("#board");
  const matching = new Set(visible());
  const shown = sorting.backbones.filter((b) => matching.has(b));
  const isByScore =
    ["z", "value", plan.groups[0]?.id].includes(sorting.id) &&
    sorting.descending === isDescendingFirst(sorting.id, plan);
  table.classList.toggle("dense", plan.dense);
  table.classList.toggle("by-score", isByScore);
  placeHeads(table, plan, sorting);
  const body = table.querySelector("tbody");
  placeRows(body, rowSetOf(plan), sorting.backbones, new Set(shown.slice(0, rowLimit)));
  placeMoreButton(view, shown.length - rowLimit);
  showPicks(body);
  $("comparison").replaceChildren(...comparison());
  const isZShown = plan.groups.length > 1 || state.show === "z";
  $("table-note").textContent = [
    `${scopeText(plan.chosen)}.`,
    poolText(plan.summary),
    "Ranks, z-scores and ties are relative to the pool; filters only hide rows.",
    isZShown ? Z_SCORE : "",
  ].join(" ");
  $("status").textContent = `${shown.length} of ${plural(BACKBONES.length, "backbone")}`;
}

function placeMoreButton(view, left) {
  const showAll = () => {
    rowLimit = Infinity;
    fillTable(view);
  };
  const more = left > 0 ? [button({}, showAll, `Show ${left} more`)] : [];
  view.querySelector(".more-rows").replaceChildren(...more);
}

// New heads make the browser lay out every cell again, so a search keeps them.
function placeHeads(table, plan, sorting) {
  const key = [planKey(plan), sorting.id, sorting.descending].join("|");
  if (table.dataset.heads === key) return;
  table.dataset.heads = key;
  table.querySelector("thead").replaceChildren(heads(plan, sorting));
  table.querySelector("tfoot").replaceChildren(...referenceRows(plan));
  if (plan.dense) styled(table, { width: `${FIXED_REM + CELL_REM * plan.groups.length}rem` });
}

// Filtered rows are hidden in place: removing and inserting them would lay out their text again.
function placeRows(body, rowSet, order, shown) {
  for (const b of shown) ensureRow(rowSet, b);
  const rows = order.filter((b) => rowSet.rows.has(b)).map((b) => rowSet.rows.get(b));
  const isInPlace =
    rows.length === body.children.length &&
    rows.every((row, index) => row === body.children[index]);
  if (!isInPlace) body.replaceChildren(...rows);
  for (const [b, row] of rowSet.rows) row.hidden = !shown.has(b);
}

function addCellTip(event) {
  const cell = event.target.closest("td[data-cell]");
  if (cell && !cell.dataset.tip) cell.dataset.tip = cellTip(Number(cell.dataset.cell)).join("\n");
}

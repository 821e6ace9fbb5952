// The printed page: every view of the chosen columns in turn, laid out for A4 before the browser
// prints and removed afterwards.

import {
  BACKBONES,
  COLUMNS,
  contaminated,
  datasetOf,
  hasDetails,
  metricOf,
  statusOf,
  taskOf,
} from "./data.js";
import { $, headRow, make, mark, named, paragraph, table } from "./dom.js";
import {
  MISSING,
  fixed,
  millions,
  plural,
  rangeText,
  rankRange,
  rounded,
  valueText,
} from "./format.js";
import {
  chosenColumns,
  columnOf,
  highAt,
  lowAt,
  scopeText,
  summarise,
  valueAt,
  visible,
} from "./selection.js";
import { classList, statusText } from "./rows.js";
import { state } from "./state.js";

const CELLS_ACROSS = 5; // on a sheet
const MAX_CELLS = 60; // with more, only the table of means is printed, and the heat map
const FILTERS = {
  q: "search",
  families: "families hidden",
  params: "parameters at most (M)",
  speed: "images/s at least",
  input: "input size",
  licence: "licence",
  data: "pretraining data",
};

let screenView = null;
let screenTheme = "";

// Print these views, [name, title, draw] each.
export function listenForPrint(views, hideTip) {
  window.addEventListener("beforeprint", () => {
    if (screenView) return;
    hideTip();
    screenView = $("view");
    screenTheme = document.documentElement.dataset.theme ?? "";
    const status = $("status").textContent;
    document.documentElement.dataset.theme = "light";
    screenView.replaceWith(make("div", { id: "view" })); // the sheets use the view's ids
    const paper = make("div", { id: "paper" }, paragraph("hint", selectionText()));
    document.body.insertBefore(paper, $("footer"));
    for (const [name, , draw] of views()) addSheet(paper, name, draw);
    $("status").textContent = status;
  });
  window.addEventListener("afterprint", () => {
    if (!screenView) return;
    $("paper").remove();
    $("view").replaceWith(screenView);
    document.documentElement.dataset.theme = screenTheme;
    screenView = null;
  });
}

function selectionText() {
  const filters = Object.entries(FILTERS).filter(([name]) => state[name]);
  const sentences = [
    `${scopeText()}.`,
    ...filters.map(([name, text]) => `${text}: ${state[name]}.`),
    ...(state.clean ? ["Contaminated cells excluded."] : []),
    ...(hasDetails() ? [] : ["Only the overview: open another view before printing for the rest."]),
  ];
  return sentences.join(" ");
}

function addSheet(paper, name, draw) {
  const sheet = make("div", { class: "sheet", "data-view": name });
  paper.append(sheet);
  if (name === "table") sheet.append(...tables());
  else draw(sheet);
}

// ---- tables: a few cells across, all rows shown

function tables() {
  const columns = chosenColumns();
  const summary = summarise(columns);
  const backbones = orderedBackbones(summary);
  const parts = [make("h2", {}, "Tables")];
  if (columns.length > 1) parts.push(meansTable(summary, backbones));
  if (columns.length <= MAX_CELLS) {
    parts.push(...columnRuns(columns).map((run) => cellsTable(run, backbones)));
  } else {
    const cells = plural(columns.length, "cell");
    parts.push(paragraph("hint", `${cells}: choose a task or a dataset to print them one by one.`));
  }
  return parts;
}

// The backbones shown: the ranked ones best first, then the others.
function orderedBackbones({ order }) {
  const shown = visible();
  const matching = new Set(shown);
  const ranked = order.filter((b) => matching.has(b));
  return [...ranked, ...shown.filter((b) => !ranked.includes(b))];
}

// Runs of at most CELLS_ACROSS columns of one task.
function columnRuns(columns) {
  const runs = [];
  for (const column of columns) {
    const last = runs.at(-1);
    const isSameTask = last && COLUMNS[last[0]].task === COLUMNS[column].task;
    if (isSameTask && last.length < CELLS_ACROSS) last.push(column);
    else runs.push([column]);
  }
  return runs;
}

function paperTable(heads, backbones, cellsOf) {
  const rows = backbones.map((b) => make("tr", {}, nameCell(b), ...cellsOf(b)));
  return table("paper", headRow(["Backbone", ...heads].map(named)), rows);
}

function nameCell(b) {
  const { name, family, baseline, external } = BACKBONES[b];
  const kind = baseline ? " (baseline)" : external ? " (external)" : "";
  return make("th", { scope: "row" }, mark(family), " ", named(name), kind);
}

function meansTable(summary, backbones) {
  const heads = ["Params (M)", "Mean z", "Mean rank", "Rank in 95 %", "Mean"];
  return paperTable(heads, backbones, (b) => {
    const row = summary.rows.get(b);
    const params = make("td", {}, millions(BACKBONES[b].params));
    if (!row) {
      const gaps = plural(summary.missing.get(b)?.length ?? 0, "cell");
      return [params, make("td", { colspan: 4 }, `${gaps} without a value: not ranked`)];
    }
    const texts = [
      row.rank ? fixed(row.z, 2) : MISSING,
      row.rank ? fixed(row.meanRank, 1) : MISSING,
      rankRange(row.rankLimits),
      row.value == null ? MISSING : rounded(100 * row.value, 1),
    ];
    const name = row.tied ? "in-tie" : "";
    return [params, ...texts.map((text) => make("td", { class: name }, text))];
  });
}

function cellsTable(columns, backbones) {
  const [first] = columns;
  const shown = backbones.filter((b) =>
    columns.some((column) => statusOf(column, b) !== "missing"),
  );
  const title = `${taskOf(first).name}: ${metricOf(first).name}, 95 % intervals`;
  const heads = columns.map((column) => datasetOf(column).name);
  const cells = paperTable(heads, shown, (b) => columns.map((column) => valueCell(column, b)));
  const isSeen = shown.some((b) => columns.some((column) => contaminated(column, b)));
  const legend = `Bold: the best; shaded: tied with it${isSeen ? "; †: contaminated" : ""}.`;
  return make("section", {}, make("h3", {}, title), cells, paragraph("hint", legend));
}

function valueCell(column, b) {
  const value = valueAt(column, b);
  const status = statusOf(column, b);
  if (status !== "ok") return make("td", {}, statusText(status));
  if (Number.isNaN(value)) return make("td", {}, "excluded");
  const metric = metricOf(column);
  const { best, tied } = columnOf(column);
  const range = rangeText(lowAt(column, b), highAt(column, b), metric);
  const name = classList(
    b === best && "best",
    tied.has(b) && "in-tie",
    contaminated(column, b) && "contaminated",
  );
  return make(
    "td",
    { class: name },
    make("span", { class: "val" }, valueText(value, metric)),
    make("span", { class: "ci" }, range ? ` ${range}` : ""),
  );
}

// The page on paper: every view of what is chosen, one after the other, laid out for A4 before the browser prints and gone again afterwards.

import { BACKBONES, COLUMNS, datasetOf, metricOf, stateOf, taskOf } from "./data.js";
import { $, make, mark, named } from "./dom.js";
import { MISSING, fixed, millions, plural, rangeText, valueText } from "./format.js";
import { chosenColumns, columnOf, highAt, lowAt, scopeText, summary, valueAt, visible } from "./selection.js";
import { state } from "./state.js";

const ACROSS = 5; // cells side by side on a sheet
const MOST = 60; // cells that are printed one by one; of more, the table of means and the heat map
const FILTERS = {
  q: "search",
  families: "families hidden",
  params: "params up to (M)",
  speed: "images/s from",
  licence: "licence",
  data: "pretraining data",
};

let shown = null;
let theme = "";

// Prints these views, [name, title, draw] each.
export function listenForPrint(views, clear) {
  window.addEventListener("beforeprint", () => {
    if (shown) return;
    clear();
    shown = $("view");
    theme = document.documentElement.dataset.theme ?? "";
    const status = $("status").textContent;
    document.documentElement.dataset.theme = "light";
    shown.replaceWith(make("div", { id: "view" })); // its ids are those of the sheets now
    const paper = make("div", { id: "paper" }, make("p", { class: "hint" }, `${scopeText()}.${filterText()}`));
    document.body.insertBefore(paper, $("footer"));
    for (const [name, , draw] of views()) sheet(paper, name, draw);
    $("status").textContent = status;
  });
  window.addEventListener("afterprint", () => {
    if (!shown) return;
    $("paper").remove();
    $("view").replaceWith(shown);
    document.documentElement.dataset.theme = theme;
    shown = null;
  });
}

function filterText() {
  const set = Object.entries(FILTERS).filter(([name]) => state[name]);
  return `${set.map(([name, text]) => ` ${text}: ${state[name]}.`).join("")}${state.clean ? " Contaminated cells left out." : ""}`;
}

function sheet(paper, name, draw) {
  const holder = make("div", { class: "sheet", "data-view": name });
  paper.append(holder);
  if (name === "table") holder.append(...tables());
  else draw(holder);
}

// ---- tables: a few cells across, all rows shown

function tables() {
  const columns = chosenColumns(),
    out = summary(columns),
    rows = ordered(out),
    parts = columns.length <= MOST ? byTask(columns) : [];
  const note = columns.length > MOST ? [make("p", { class: "hint" }, `${plural(columns.length, "cell")}: choose a task or a dataset to print them one by one.`)] : [];
  return [make("h2", {}, "Tables"), ...(columns.length > 1 ? [means(out, rows)] : []), ...parts.map((own) => cells(own, rows)), ...note];
}

function ordered(out) {
  const seen = new Set(visible()),
    first = out.order.filter((b) => seen.has(b));
  return [...first, ...[...seen].filter((b) => !first.includes(b))];
}

// Runs of at most ACROSS columns of one task.
function byTask(columns) {
  const runs = [];
  for (const column of columns) {
    const last = runs.at(-1);
    if (last && last.length < ACROSS && COLUMNS[last[0]].task === COLUMNS[column].task) last.push(column);
    else runs.push([column]);
  }
  return runs;
}

const table = (heads, rows, lines) =>
  make(
    "table",
    { class: "paper" },
    make("thead", {}, make("tr", {}, ...["Backbone", ...heads].map((text) => make("th", { scope: "col" }, named(text))))),
    make("tbody", {}, ...rows.map((b) => make("tr", {}, nameCell(b), ...lines(b)))),
  );

function nameCell(b) {
  const { name, family, floor, external } = BACKBONES[b];
  return make("th", { scope: "row" }, mark(family), " ", named(name), floor ? " (floor)" : external ? " (external)" : "");
}

function means(out, rows) {
  const heads = ["Params (M)", "Mean z", "Mean rank", "Place in 95 %", "Mean"];
  return table(heads, rows, (b) => {
    const own = out.rows.get(b),
      missing = out.missing.get(b)?.length;
    const params = make("td", {}, millions(BACKBONES[b].params));
    if (!own) return [params, make("td", { colspan: 4 }, `${plural(missing ?? 0, "cell")} without a value: in no mean`)];
    const places = own.rankLimits ? own.rankLimits.map(Math.round).join("–") : MISSING;
    const texts = [fixed(own.z, 2), own.place ? fixed(own.rank, 1) : MISSING, places, own.value == null ? MISSING : (100 * own.value).toFixed(1)];
    return [params, ...texts.map((text) => make("td", { class: own.tied ? "in-tie" : "" }, text))];
  });
}

function cells(columns, rows) {
  const task = taskOf(columns[0]),
    drawn = rows.filter((b) => columns.some((column) => stateOf(column, b) !== "missing"));
  const head = make("h3", {}, `${task.name}: ${metricOf(columns[0]).name}, 95 % intervals`);
  return make("section", {}, head, table(columns.map((column) => datasetOf(column).name), drawn, (b) => columns.map((column) => cell(column, b))));
}

function cell(column, b) {
  const value = valueAt(column, b),
    status = stateOf(column, b),
    metric = metricOf(column);
  if (status !== "ok") return make("td", {}, { missing: MISSING, "not applicable": "n/a" }[status] ?? status);
  if (Number.isNaN(value)) return make("td", {}, "left out");
  const { best, tied } = columnOf(column),
    range = rangeText(lowAt(column, b), highAt(column, b), metric);
  return make(
    "td",
    { class: `${b === best ? "best " : ""}${tied.has(b) ? "in-tie" : ""}` },
    make("span", { class: "val" }, valueText(value, metric)),
    make("span", { class: "ci" }, range ? ` ${range}` : ""),
  );
}

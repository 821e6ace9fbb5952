// The best backbone of each task or of each cell, with the significance of its lead; and the notes.

import {
  ALL_BACKBONES,
  ALL_COLUMNS,
  BACKBONES,
  DATA,
  TASKS,
  datasetOf,
  metricOf,
  statusOf,
  taskColumns,
  taskOf,
} from "./data.js";
import { headRow, make, named, paragraph, section, spaced, table, tag } from "./dom.js";
import { nameButton } from "./cards.js";
import { fixed, grouped, plural, rangeText, rounded, valueText } from "./format.js";
import {
  averageable,
  chosenColumns,
  columnOf,
  datasetIndex,
  highAt,
  lowAt,
  statusOn,
  summarise,
  taskIndex,
  valueAt,
} from "./selection.js";

// ---- the best of each task, or of each cell

const MANY = 12; // cells: with more over all tasks and datasets, one row per task
const TIED_IN_TIP = 12;
const OPEN_NOTES = 8; // more notes are folded

// Whether the overview sums up tasks, so that it needs no verdicts on single cells.
export const isByTask = () =>
  taskIndex() < 0 && datasetIndex() < 0 && ALL_COLUMNS.length > MANY;

export function bestSection() {
  const groups = isByTask()
    ? TASKS.map((_, task) => taskColumns(task))
    : chosenColumns().map((column) => [column]);
  const isGroup = (columns) => columns.length > 1;
  const rows = groups.map((columns) =>
    isGroup(columns) ? bestOfGroup(columns) : bestOfColumn(columns[0]),
  );
  const head = headRow(["Task and dataset", "Best", "Score", "Significance"]);
  return section(
    groups.some(isGroup) ? "Best of each task" : "Best of each task and dataset",
    "Within one task and dataset, backbones are compared on the same images; over several " +
      "datasets, by resampling the datasets.",
    make("div", { class: "scroll" }, table("bests", head, rows)),
  );
}

const bestRow = (scope, ...cells) =>
  make("tr", { class: "best-row" }, make("td", { class: "scope" }, ...scope), ...cells);

const emptyCells = (text) => make("td", { colspan: 3, class: "soft" }, text);

function bestOfColumn(column) {
  const { best, status, tied } = columnOf(column);
  const scope = [named(taskOf(column).name), " on ", named(datasetOf(column).name)];
  if (best === null) return bestRow(scope, emptyCells("no backbone has a value"));
  const metric = metricOf(column);
  const range = rangeText(lowAt(column, best), highAt(column, best), metric);
  const value = make("span", { class: "val" }, valueText(valueAt(column, best), metric));
  const interval = range ? make("span", { class: "ci" }, ` [${range}]`) : "";
  return bestRow(
    scope,
    make("td", {}, nameButton(best)),
    make("td", { class: "num" }, value, interval),
    significanceCell(status, tied, best),
  );
}

function bestOfGroup(columns) {
  const summary = summarise(columns);
  const { best, order, rows, datasets, columns: counted } = summary;
  const where = make("span", { class: "soft" }, ` on ${plural(datasets, "dataset")}`);
  const scope = [named(taskOf(columns[0]).name), where];
  if (best === null) return bestRow(scope, emptyCells("no backbone has a value in all cells"));
  const { value, z } = rows.get(best);
  const mean = averageable(counted) ? `${rounded(100 * value, 1)} mean, ` : "";
  const tied = order.filter((b) => rows.get(b).tied);
  return bestRow(
    scope,
    make("td", {}, nameButton(best)),
    make("td", { class: "num" }, `${mean}z ${fixed(z, 2)}`),
    significanceCell(statusOn(summary), tied, best),
  );
}

function significanceCell(status, tied, best) {
  if (status === "alone") return make("td", { class: "soft" }, "the only one ranked");
  if (status === "untested") {
    const reason =
      "Not tested, because there are no per-image results on the same images and too few datasets. " +
      "The significance of this order is unknown.";
    return make("td", { class: "soft", "data-tip": reason }, "unknown");
  }
  if (status === "clear") return make("td", { class: "verdict clear" }, "clear");
  const others = [...tied].filter((b) => b !== best).map((b) => BACKBONES[b].name);
  const shown = others.slice(0, TIED_IN_TIP);
  if (others.length > TIED_IN_TIP) shown.push(`and ${others.length - TIED_IN_TIP} more`);
  const tip = ["Statistically tied with the best:", ...shown].join("\n");
  return make(
    "td",
    { class: "verdict open", "data-tip": tip },
    "tied with ",
    others.length === 1 ? named(others[0]) : `${others.length} others`,
  );
}

// ---- notes

export function notesSection() {
  const { notes } = DATA;
  const counts = new Map();
  for (const column of ALL_COLUMNS) {
    for (const b of ALL_BACKBONES) {
      const status = statusOf(column, b);
      if (status !== "ok") counts.set(status, (counts.get(status) ?? 0) + 1);
    }
  }
  if (!notes.length && !counts.size) return [];
  const tags = [...counts].map(([status, count]) =>
    tag(`${grouped(count)} ${status}`, status.replace(" ", "-")),
  );
  const parts = [paragraph("tags", ...spaced(tags))];
  const list = make(
    "ul",
    { class: "notes" },
    ...notes.map((note) => make("li", { dir: "auto" }, note)),
  );
  if (notes.length > OPEN_NOTES) {
    parts.push(make("details", {}, make("summary", {}, plural(notes.length, "note")), list));
  } else if (notes.length) {
    parts.push(list);
  }
  const explanation =
    "Read these beside the values: failures, undefined values, unreadable images, limits, and " +
    "records set aside.";
  return [section("Notes", explanation, ...parts)];
}

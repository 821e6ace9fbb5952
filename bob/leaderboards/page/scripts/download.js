// CSV of what is shown: one row per backbone and cell, at full precision.

import {
  BACKBONES,
  cellIndex,
  cellValues,
  contaminated,
  countsOf,
  datasetOf,
  keyOf,
  metricOf,
  statusOf,
  taskOf,
} from "./data.js";
import { make } from "./dom.js";
import { chosenColumns, columnOf, visible } from "./selection.js";

const HEAD = [
  "backbone",
  "family",
  "params",
  "task",
  "dataset",
  "metric",
  "value",
  "low",
  "high",
  "n",
  "status",
  "tied_with_best",
  "contaminated",
  "record_key",
];

// A field, quoted where needed. Text that a spreadsheet would take for a formula is prefixed with
// an apostrophe.
function field(value) {
  const text =
    value == null || Number.isNaN(value) ? "" : String(value).replace(/\r\n?/g, "\n");
  const isFormula = typeof value === "string" && /^(\s*[=+\-@＝＋－＠]|[\t\r\n])/.test(text);
  const safe = isFormula ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvText() {
  const columns = chosenColumns();
  const rows = visible().flatMap((b) =>
    columns.filter((column) => statusOf(column, b) !== "missing").map((column) => row(column, b)),
  );
  return `${[HEAD, ...rows].map((fields) => fields.map(field).join(",")).join("\n")}\n`;
}

function row(column, b) {
  const { name, family, params } = BACKBONES[b];
  const index = cellIndex(column, b);
  const status = statusOf(column, b);
  const { against, best, status: lead } = columnOf(column);
  const isUndecided = b === best && ["untested", "alone"].includes(lead);
  const isTested = against.has(b) && against.get(b) !== "untested" && !isUndecided;
  return [
    name,
    family,
    params,
    taskOf(column).name,
    datasetOf(column).name,
    metricOf(column).name,
    ...["value", "low", "high"].map((field) => cellValues(field)[index]),
    status === "ok" ? countsOf(column, b).n || null : null,
    status.replace(" ", "_"),
    isTested ? against.get(b) === "tied" : null,
    contaminated(column, b),
    keyOf(column, b),
  ];
}

export function download() {
  const url = URL.createObjectURL(new Blob([csvText()], { type: "text/csv;charset=utf-8" }));
  const link = make("a", { href: url, download: "leaderboard_view.csv" });
  link.click();
  URL.revokeObjectURL(url);
}

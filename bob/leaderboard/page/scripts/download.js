// CSV of what is shown: one row per backbone and cell, at full precision.

import { BACKBONES, HIGH, LOW, VALUE, contaminated, countsOf, datasetOf, keyOf, metricOf, place, stateOf, taskOf } from "./data.js";
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

// Quoted where needed. A field that a spreadsheet would take for a formula gets an apostrophe before it.
function field(value) {
  const text = value == null || Number.isNaN(value) ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvText() {
  const lines = [HEAD],
    columns = chosenColumns();
  for (const b of visible()) for (const column of columns) if (stateOf(column, b) !== "missing") lines.push(line(column, b));
  return `${lines.map((fields) => fields.map(field).join(",")).join("\n")}\n`;
}

function line(column, b) {
  const { name, family, params } = BACKBONES[b],
    at = place(column, b),
    ok = stateOf(column, b) === "ok",
    { told, tied, rank } = columnOf(column);
  return [
    name,
    family,
    params,
    taskOf(column).name,
    datasetOf(column).name,
    metricOf(column).name,
    VALUE[at],
    LOW[at],
    HIGH[at],
    ok ? countsOf(column, b).n || null : null,
    stateOf(column, b).replace(" ", "_"),
    told && rank.has(b) ? tied.has(b) : null,
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

// The page's data: columns (one task on one dataset) × backbones, column by column.

import { $ } from "./dom.js";

export const DATA = JSON.parse($("data").textContent);
export const BACKBONES = DATA.backbones;
export const DATASETS = DATA.datasets;
export const TASKS = DATA.tasks;
export const COLUMNS = DATA.columns;

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
export const VALUE = new Float64Array(bytes(DATA.cells.value));
export const LOW = new Float64Array(bytes(DATA.cells.low));
export const HIGH = new Float64Array(bytes(DATA.cells.high));

const STATES = { o: "ok", f: "failed", u: "undefined", a: "not applicable", ".": "missing" };
const SEEN = BACKBONES.map((backbone) => new Set(backbone.seen));

export const ALL = COLUMNS.map((_, column) => column);
export const place = (column, backbone) => column * BACKBONES.length + backbone;
export const stateOf = (column, backbone) => STATES[DATA.cells.status[place(column, backbone)]];
export const metricOf = (column) => TASKS[COLUMNS[column].task].metrics[0];
export const taskOf = (column) => TASKS[COLUMNS[column].task];
export const datasetOf = (column) => DATASETS[COLUMNS[column].dataset];
export const signOf = (column) => (metricOf(column).higher ? 1 : -1);
export const isFloor = (backbone) => BACKBONES[backbone].floor;

// Whether the backbone was pretrained on the column's images.
export const contaminated = (column, backbone) => SEEN[backbone].has(COLUMNS[column].dataset);

export function countsOf(column, backbone) {
  const [n, seeds] = DATA.cells.odd[place(column, backbone)] ?? [DATA.cells.n[column], DATA.cells.seeds[column]];
  return { n, seeds };
}

export const reasonOf = (column, backbone) => DATA.cells.reasons.texts[DATA.cells.reasons.of[place(column, backbone)]] ?? "no record";

// Images/s on the one device whose speeds are compared; null where it was not measured there.
export const speedOf = (backbone) => BACKBONES[backbone].speed;

// Covariance of two cells' values over resampled examples: 0 on different datasets.
const COVARIANCE =
  DATA.covariance &&
  DATA.covariance.datasets.map(
    (held) => held && { at: new Map(held.cells.map((cell, index) => [cell, index])), values: new Float32Array(bytes(held.values)) },
  );

export function covarianceOf(one, a, other, b) {
  const { dataset } = COLUMNS[one],
    held = COVARIANCE[dataset];
  if (COLUMNS[other].dataset !== dataset) return 0;
  const i = held.at.get(place(one, a)),
    j = held.at.get(place(other, b));
  return i === undefined || j === undefined ? NaN : held.values[i * held.at.size + j];
}

// ---- what cards and curves need, read on first use

let parts = null;

function allParts() {
  parts ??= JSON.parse($("parts").textContent);
  return parts;
}

const decoded = (text) => (typeof text === "string" ? new Float32Array(bytes(text)) : text);
const columnsOf = new Map(TASKS.map((_, task) => [task, ALL.filter((column) => COLUMNS[column].task === task)]));
export const taskColumns = (task) => columnsOf.get(task);
export const partPlace = (column, backbone) => place(taskColumns(COLUMNS[column].task).indexOf(column), backbone);

// A task's further scores: [{name, base, facets, metric, value, low, high, gain}], arrays over the task's own columns × backbones.
export function scoresOf(task) {
  const { scores } = allParts().tasks[TASKS[task].name];
  for (const score of scores) for (const name of ["value", "low", "high", "gain"]) if (score[name]) score[name] = decoded(score[name]);
  return scores;
}

export const chosenOf = (column, backbone) =>
  Object.entries(allParts().tasks[taskOf(column).name].chosen)
    .map(([name, values]) => [name, values[partPlace(column, backbone)]])
    .filter(([, value]) => value != null);

export function keyOf(column, backbone) {
  const { keys, digits } = allParts(),
    start = place(column, backbone) * digits;
  return keys.slice(start, start + digits).trim();
}

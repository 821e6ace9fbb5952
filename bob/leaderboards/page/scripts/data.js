// The page's data: columns (one task on one dataset) × backbones, column by column.

import { $ } from "./dom.js";

export const DATA = JSON.parse($("data").textContent);
export const BACKBONES = DATA.backbones;
export const DATASETS = DATA.datasets;
export const TASKS = DATA.tasks;
export const COLUMNS = DATA.columns;

// The bytes of a text in base64; by a loop, which is ten times as fast as Uint8Array.from.
function bytes(base64) {
  const letters = atob(base64);
  const array = new Uint8Array(letters.length);
  for (let index = 0; index < letters.length; index += 1) array[index] = letters.charCodeAt(index);
  return array.buffer;
}

const decodedCells = new Map();
const unknown = new Float64Array(COLUMNS.length * BACKBONES.length).fill(NaN);

// A field of the cells (value, low, high), decoded on first use. Interval limits are NaN until they
// are loaded where they are in the file beside the page.
export function cellValues(field) {
  if (!decodedCells.has(field)) {
    const text = DATA.cells[field] ?? parsedDetails?.cells[field];
    if (!text) return unknown;
    decodedCells.set(field, new Float64Array(bytes(text)));
  }
  return decodedCells.get(field);
}

const STATUSES = {
  o: "ok", f: "failed", u: "undefined", a: "not applicable", d: "dropped", ".": "missing",
};
const PRETRAINED_ON = BACKBONES.map((backbone) => new Set(backbone.pretrained_on));

export const ALL_COLUMNS = COLUMNS.map((_, column) => column);
export const ALL_BACKBONES = BACKBONES.map((_, backbone) => backbone);

// The index of a cell in arrays over all columns × backbones.
export const cellIndex = (column, backbone) => column * BACKBONES.length + backbone;
export const statusOf = (column, backbone) =>
  STATUSES[DATA.cells.status[cellIndex(column, backbone)]];
export const metricOf = (column) => TASKS[COLUMNS[column].task].metrics[0];
export const taskOf = (column) => TASKS[COLUMNS[column].task];
export const datasetOf = (column) => DATASETS[COLUMNS[column].dataset];
export const signOf = (column) => (metricOf(column).higher ? 1 : -1);
export const isBaseline = (backbone) => BACKBONES[backbone].baseline;

// Said where there is no backbone beside baselines; null where there is one.
export const ONLY_BASELINES = ALL_BACKBONES.length && ALL_BACKBONES.every(isBaseline)
  ? "There are only baselines, which show what needs no learning. Run backbones on the same data " +
    "to compare them: --backbones."
  : null;

// Whether the backbone was pretrained on the column's images.
export const contaminated = (column, backbone) =>
  PRETRAINED_ON[backbone].has(COLUMNS[column].dataset);

export function countsOf(column, backbone) {
  const common = [DATA.cells.n[column], DATA.cells.seeds[column]];
  const [n, seeds] = DATA.cells.exceptions[cellIndex(column, backbone)] ?? common;
  return { n, seeds };
}

// Why a cell has no value.
export function reasonOf(column, backbone) {
  const { texts, by_cell: byCell } = DATA.cells.reasons;
  return texts[byCell[cellIndex(column, backbone)]] ?? "no record";
}

// Images/s under the conditions at which speeds are compared; null if not measured there.
export const speedOf = (backbone) => BACKBONES[backbone].speed;
// Images/s with the fastest runtime on the same machine: what a limit is compared with.
export const fastestOf = (backbone) => BACKBONES[backbone].fastest;
export const hasSpeeds = ALL_BACKBONES.some((backbone) => speedOf(backbone) !== null);
export const hasParams = BACKBONES.some((backbone) => backbone.params != null);

export const decodeFloats = (base64) => new Float32Array(bytes(base64));

// The pair (i, j), i < j, in arrays over all pairs of n, row by row.
export const pairIndex = (i, j, n) => (i * (2 * n - i - 1)) / 2 + (j - i - 1);

// Bits as a function of their index.
export function decodeBits(base64) {
  const packed = new Uint8Array(bytes(base64));
  return (index) => Boolean((packed[index >> 3] >> (index & 7)) & 1);
}

// ---- details for cards, curves and comparisons, parsed on first use; see beside.js for pages that
// do not hold them

let parsedDetails = null;
const detailListeners = [];

export const hasDetails = () => !DATA.beside || parsedDetails !== null;
export const onDetails = (listener) => detailListeners.push(listener);

function details() {
  parsedDetails ??= JSON.parse($("details").textContent);
  return parsedDetails;
}

// Take in the details that were loaded, and the interval limits and verdicts beside them.
export function takeDetails(text) {
  parsedDetails = JSON.parse(text);
  detailListeners.forEach((listener) => listener(parsedDetails));
}

const SCORE_ARRAYS = ["value", "low", "high", "effective_robustness"];
const decoded = (value) => (typeof value === "string" ? decodeFloats(value) : value);
const COLUMNS_OF_TASK = new Map(
  TASKS.map((_, task) => [task, ALL_COLUMNS.filter((column) => COLUMNS[column].task === task)]),
);
export const taskColumns = (task) => COLUMNS_OF_TASK.get(task);

// The index of a cell in arrays over the columns of its task × backbones.
export const taskCellIndex = (column, backbone) =>
  cellIndex(taskColumns(COLUMNS[column].task).indexOf(column), backbone);

// A task's secondary scores: [{name, base, facets, metric, value, low, high,
// effective_robustness}], with arrays over the task's columns × backbones.
export function scoresOf(task) {
  const { scores } = details().tasks[TASKS[task].name];
  for (const score of scores) {
    for (const name of SCORE_ARRAYS) if (score[name]) score[name] = decoded(score[name]);
  }
  return scores;
}

// What the protocol selected for a cell: [[name, value], ...].
export const selectedOf = (column, backbone) =>
  Object.entries(details().tasks[taskOf(column).name].selected)
    .map(([name, values]) => [name, values[taskCellIndex(column, backbone)]])
    .filter(([, value]) => value != null);

// How a backbone that was dropped from a race stood after each look, and how its rival did ('looks',
// 'rival_looks'): [[images, mean, low, high], ...]; none without a race.
export const looksOf = (column, backbone, name) =>
  details().tasks[taskOf(column).name][name]?.[taskCellIndex(column, backbone)] ?? [];

export function keyOf(column, backbone) {
  const { keys, digits } = details();
  const start = cellIndex(column, backbone) * digits;
  return keys.slice(start, start + digits).trim();
}

// The page of images of a cell, or of two cells of one column, in either order; null where none was
// written.
export function imagesOf(column, a, b = null) {
  const [first, second] = [a, b].map((one) => (one === null ? "" : keyOf(column, one)));
  const find = (start, end) =>
    details().images.find((path) => {
      const [left, right = ""] = path.replace(/^.*\//, "").replace(/\.html$/, "").split("_");
      return start && left.startsWith(start) && (end ? right.startsWith(end) : !right);
    });
  const href = find(first, second) ?? (second ? find(second, first) : null);
  return href ?? null;
}

// The backbones whose right images are counted in a column, for all pairs of them.
export function countedIn(column) {
  const pairs = details().pairs[column];
  return pairs?.both ? pairs.of : [];
}

// The paired difference of two backbones in a column as the build computed it: {low, high} of the
// first minus the second, its relation to the second, and counts: how many images both, only the
// first, only the second or neither has right (null where the metric is not right or wrong). Null
// where there is no paired difference.
const RELATIONS = { b: "better", w: "worse", t: "tied", u: "untested" };
const REVERSED = { b: "w", w: "b", t: "t", u: "u" };
export function pairOf(column, a, b) {
  const pairs = details().pairs[column];
  const [i, j] = [a, b].map((one) => pairs?.of.indexOf(one) ?? -1);
  if (i < 0 || j < 0) return null;
  const index = pairIndex(Math.min(i, j), Math.max(i, j), pairs.of.length);
  pairs.low = decoded(pairs.low);
  pairs.high = decoded(pairs.high);
  const limits = [pairs.low[index], pairs.high[index]];
  const [low, high] = i < j ? limits : [-limits[1], -limits[0]];
  const relation = RELATIONS[i < j ? pairs.relation[index] : REVERSED[pairs.relation[index]]];
  if (!pairs.both) return { low, high, relation, counts: null };
  const both = pairs.both[index];
  const [onlyA, onlyB] = [pairs.right[i] - both, pairs.right[j] - both];
  return { low, high, relation, counts: { both, onlyA, onlyB, neither: pairs.n - both - onlyA - onlyB } };
}

// How alike features are on the images of a split: [{dataset, split, of, images, ...}] with `of` in
// a clustered order of backbones; see similarityOf for the rest.
export const similarities = () => details().similarities;

// {value, low, high} of one measure for the backbones at places i and j of `of`, and the number of
// `images`; NaN where it is unknown or undefined.
export function similarityOf(matrix, measure, i, j) {
  const index = pairIndex(Math.min(i, j), Math.max(i, j), matrix.of.length);
  const [value, low, high] = ["", "_low", "_high"].map((end) => {
    const name = `${measure}${end}`;
    matrix[name] = decoded(matrix[name]);
    return matrix[name][index];
  });
  return { value, low, high, images: matrix.images[index] };
}

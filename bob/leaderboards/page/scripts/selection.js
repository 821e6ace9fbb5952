// From the state to what is shown: columns, backbones, and a summary of the backbones over columns.

import {
  ALL_BACKBONES,
  ALL_COLUMNS,
  BACKBONES,
  COLUMNS,
  DATASETS,
  TASKS,
  cellIndex,
  cellValues,
  contaminated,
  fastestOf,
  isBaseline,
  metricOf,
  onDetails,
  signOf,
  statusOf,
} from "./data.js";
import { mean, ranks, standardDeviation } from "./statistics.js";
import { state } from "./state.js";
import { verdictsOn } from "./verdicts.js";

export const EQUAL = 1e-9; // mean z-scores that differ by less are equal, but for the rounding of their sums
const indexOf = (list, name) => list.findIndex((item) => item.name === name);
export const taskIndex = () => indexOf(TASKS, state.task);
export const datasetIndex = () => indexOf(DATASETS, state.dataset);

// The columns of the chosen task and dataset.
export function chosenColumns() {
  const task = taskIndex();
  const dataset = datasetIndex();
  return ALL_COLUMNS.filter(
    (column) =>
      (task < 0 || COLUMNS[column].task === task) &&
      (dataset < 0 || COLUMNS[column].dataset === dataset),
  );
}

// A cell's value; NaN where there is none, or where it is contaminated and such cells are excluded.
export const valueAt = (column, backbone) =>
  state.clean && contaminated(column, backbone) ? NaN : cellValues("value")[cellIndex(column, backbone)];
export const lowAt = (column, backbone) => cellValues("low")[cellIndex(column, backbone)];
export const highAt = (column, backbone) => cellValues("high")[cellIndex(column, backbone)];

const hasValue = (column, backbone) => !Number.isNaN(valueAt(column, backbone));

const memo = new Map();
onDetails(() => memo.clear());

function memoised(name, compute) {
  const key = `${name}|${state.clean}`;
  if (!memo.has(key)) memo.set(key, compute());
  return memo.get(key);
}

// The backbones ranked on these columns: no baselines, and published numbers only where there is
// nothing else, those of the first table.
function rankedOn(columns) {
  const ranked = ALL_BACKBONES.filter(
    (b) => !isBaseline(b) && columns.some((column) => statusOf(column, b) !== "missing"),
  );
  const measured = ranked.filter((b) => !BACKBONES[b].external);
  if (measured.length) return measured;
  const [table] = ranked.map((b) => BACKBONES[b].external).sort();
  return ranked.filter((b) => BACKBONES[b].external === table);
}

// ---- one column: its pool is every ranked backbone that has a value there

// {pool, best, rank, status, tied, against, pOf, z} of one column, with the verdicts of the build:
// `tied` is the set of the best and those tied with it, `against` maps each of the pool to its
// relation to the best, and `status` sums it up. `rank` maps the pool to ranks; `z` computes a
// z-score.
export const columnOf = (column) =>
  memoised(`column ${column}`, () => {
    const sign = signOf(column);
    const verdicts = verdictsOn([column], Boolean(state.clean));
    const { order: pool, best, status, against, pOf } = verdicts;
    const poolRanks = ranks(pool.map((b) => sign * valueAt(column, b)));
    const { centre, width } = scaleOf(column, pool);
    return {
      pool,
      best,
      status,
      against,
      pOf,
      rank: new Map(pool.map((b, index) => [b, poolRanks[index]])),
      tied: new Set(status === "tied" ? pool.filter((b) => against.get(b) === "tied") : []),
      z: (b) => (width === 0 ? 0 : (sign * valueAt(column, b) - centre) / width),
    };
  });

// ---- many columns: z-scores and ranks, with the verdicts of the build

// The columns that count towards a summary: those where some backbone has a value and, over more
// than one task, those of tasks that apply to every backbone.
function countable(columns) {
  const tasks = new Set(columns.map((column) => COLUMNS[column].task));
  const ranked = rankedOn(columns);
  const applies = (column) =>
    tasks.size === 1 || ranked.every((b) => statusOf(column, b) !== "not applicable");
  return columns.filter((column) => ranked.some((b) => hasValue(column, b)) && applies(column));
}

// Summarise all backbones over columns, as an object with these fields:
// columns   the columns that count          excluded  the other columns → why they do not
// pool      the ranked backbones that have a value in every column
// missing   backbone → columns without a value
// rows      backbone with every value → {z, value, meanRank, rank, tied, wins, ...}; `rank` and
//           `meanRank` exist for the pool, and `tied`: whether a backbone is tied with the best,
//           undefined where that was not tested
// order     the pool, best first            best      the first of them, or null
// datasets  the number of datasets          z         backbone → z-scores by column
// basis     what the verdicts rest on: "datasets", "examples" or "none"
// verdicts  see verdictsOn; null for a selection that the build did not test
export const summarise = (columns) =>
  memoised(`over ${columns.join(" ")}`, () => computeSummary(columns));

function computeSummary(requested) {
  const verdicts = verdictsOn(requested, Boolean(state.clean));
  const columns = verdicts ? verdicts.counted : countable(requested);
  const missing = new Map(
    ALL_BACKBONES.map((b) => [b, columns.filter((column) => !hasValue(column, b))]),
  );
  const complete = ALL_BACKBONES.filter((b) => columns.length > 0 && missing.get(b).length === 0);
  const ranked = rankedOn(requested);
  const pool = verdicts ? verdicts.order : complete.filter((b) => ranked.includes(b));
  const z = zScores(columns, pool);
  const rows = new Map(
    complete.map((b) => [b, { b, z: mean(z.get(b)), value: meanValue(columns, b) }]),
  );
  const left = requested.filter((column) => !columns.includes(column));
  const summary = {
    columns,
    excluded: new Map(left.map((column) => [column, verdicts?.excluded[column] ?? "no value"])),
    pool,
    missing,
    rows,
    datasets: new Set(columns.map((column) => COLUMNS[column].dataset)).size,
    z,
    basis: verdicts?.basis ?? "none",
    verdicts,
  };
  addRanks(summary);
  addVerdicts(summary);
  return summary;
}

export const averageable = (columns) =>
  columns.length > 0 && columns.every((column) => metricOf(column).share);

function meanValue(columns, b) {
  if (columns.length !== 1 && !averageable(columns)) return null;
  return mean(columns.map((column) => valueAt(column, b)));
}

// z-scores of every backbone by column, relative to the pool (ddof 1) and oriented so that higher
// is better; NaN where a backbone has no value.
function zScores(columns, pool) {
  const scores = new Map(ALL_BACKBONES.map((b) => [b, []]));
  for (const column of columns) {
    const { centre, width } = scaleOf(column, pool);
    for (const [b, row] of scores) {
      row.push(width === 0 ? 0 : (signOf(column) * valueAt(column, b) - centre) / width);
    }
  }
  return scores;
}

function scaleOf(column, pool) {
  const values = pool.map((b) => signOf(column) * valueAt(column, b));
  const equal = values.length > 1 && values.every((value) => value === values[0]);
  const width = equal ? 0 : standardDeviation(values);
  return { centre: mean(values), width: values.length < 2 ? NaN : width };
}

// Mean ranks, which are computed when the first one is read, and the order: that of the verdicts;
// without them, by mean z-score or, in a single column, by value.
function addRanks(summary) {
  const { pool, rows, columns, verdicts } = summary;
  let columnRanks = null;
  const ranksByColumn = () =>
    columns.map((column) => ranks(pool.map((b) => signOf(column) * valueAt(column, b))));
  pool.forEach((b, index) => {
    const get = () => {
      columnRanks ??= ranksByColumn();
      return mean(columnRanks.map((poolRanks) => poolRanks[index]));
    };
    Object.defineProperty(rows.get(b), "meanRank", { get });
  });
  const sortKey = (b) => {
    const { value, z } = rows.get(b);
    if (columns.length === 1) return signOf(columns[0]) * value;
    return Number.isNaN(z) ? 0 : z;
  };
  const byKey = (a, b) => {
    const gap = sortKey(b) - sortKey(a);
    if (Math.abs(gap) > EQUAL) return gap;
    const byName = BACKBONES[a].name < BACKBONES[b].name ? -1 : 1;
    return rows.get(b).value - rows.get(a).value || byName;
  };
  summary.order = verdicts ? verdicts.order : [...pool].sort(byKey);
  summary.best = summary.order[0] ?? null;
  summary.order.forEach((b, index) => {
    rows.get(b).rank = index + 1;
  });
}

// Compare two backbones by their ranks, the ranked ones first; without ranks (baselines), by mean
// z-score. 0 if they are equal.
export function byPlace({ rows }, a, b) {
  const [first, second] = [rows.get(a), rows.get(b)];
  const place = (row) => row?.rank ?? rows.size + 1;
  const gap = (second?.z ?? -Infinity) - (first?.z ?? -Infinity);
  return place(first) - place(second) || (Math.abs(gap) > EQUAL ? gap : 0);
}

// What the build computed for each backbone of the order, and the interval of a single column.
function addVerdicts({ columns, order, rows, verdicts }) {
  if (columns.length === 1) {
    for (const [b, row] of rows) {
      Object.assign(row, { low: lowAt(columns[0], b), high: highAt(columns[0], b) });
    }
  }
  if (!verdicts) return;
  for (const b of order) {
    const row = rows.get(b);
    const against = verdicts.against.get(b);
    const isUndecided = ["untested", "alone"].includes(verdicts.status);
    const isTested = b === verdicts.best ? !isUndecided : against !== "untested";
    if (isTested) row.tied = against === "tied";
    const [meanLow, meanHigh] = verdicts.means.get(b) ?? [];
    if (meanLow >= 0) Object.assign(row, { meanLow, meanHigh });
    const [wins, low, high, zLow, zHigh] = verdicts.resampled.get(b) ?? [];
    if (wins != null) Object.assign(row, { wins, rankLimits: [low, high], zLimits: [zLow, zHigh] });
  }
}

// 95 % intervals by backbone: of the mean z-score, or of the value in a single column.
export function limitsOf({ columns, pool, rows }) {
  const isSingle = columns.length === 1;
  return new Map(
    pool.map((b) => [
      b,
      isSingle ? [lowAt(columns[0], b), highAt(columns[0], b)] : rows.get(b).zLimits,
    ]),
  );
}

// Whether one of the best's rivals is tied with it or was not tested, or none: a verdict's status.
export const statusOn = ({ verdicts }) => verdicts?.status ?? "untested";

// Why nothing was tested, as a clause.
export function whyUntested({ verdicts, datasets }) {
  if (!verdicts) return "the page holds no tests of this choice of tasks";
  return (
    `there are too few datasets to resample (${datasets}), and per-image results on the same ` +
    "images are unavailable"
  );
}

// The candidates (some of the pool) of which the build's test says `relation` against the anchor.
export function relatedTo(anchor, relation, candidates, { verdicts }) {
  const others = candidates.filter((b) => b !== anchor);
  if (!verdicts) return relation === "untested" ? others : [];
  return others.filter((b) => verdicts.relation(b, anchor) === relation);
}

// ---- backbones

const SEARCH_TEXTS = BACKBONES.map((backbone) => {
  const { architecture, weights, loader, pretraining } = backbone.card ?? {};
  return [
    backbone.name,
    backbone.family,
    backbone.licence,
    architecture,
    weights,
    loader,
    pretraining?.method,
    pretraining?.data,
  ]
    .join(" ")
    .toLowerCase();
});

export const hiddenFamilies = () => new Set(state.families.split(",").filter(Boolean));

// The backbones that match the search and the filters.
export function visible() {
  const terms = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const hidden = hiddenFamilies();
  return ALL_BACKBONES.filter((b) => {
    const { family, input, licence, data } = BACKBONES[b];
    return (
      !hidden.has(family) &&
      terms.every((term) => SEARCH_TEXTS[b].includes(term)) &&
      within(b, state.params, state.speed) &&
      (!state.input || (input ?? "unknown") === state.input) &&
      (!state.licence || (licence ?? "unknown") === state.licence) &&
      (!state.data || (data ?? "unknown") === state.data)
    );
  });
}

// Whether a backbone is known to meet limits on parameters (millions) and images/s, the latter with
// any runtime on the machine of the comparison; an empty limit is always met.
export function within(b, params, speed) {
  const { params: size } = BACKBONES[b];
  const imagesPerS = fastestOf(b);
  return (
    (params === "" || (size != null && size <= 1e6 * Number(params))) &&
    (speed === "" || (imagesPerS != null && imagesPerS >= Number(speed)))
  );
}

// "3 tasks on 40 datasets", or the name where there is only one.
export function scopeText(columns = chosenColumns()) {
  const tasks = new Set(columns.map((column) => TASKS[COLUMNS[column].task].name));
  const datasets = new Set(columns.map((column) => DATASETS[COLUMNS[column].dataset].name));
  const taskText = tasks.size === 1 ? [...tasks][0] : `${tasks.size} tasks`;
  const datasetText = datasets.size === 1 ? [...datasets][0] : `${datasets.size} datasets`;
  return `${taskText} on ${datasetText}`;
}

// From the state to what is shown: columns, backbones, and a summary of the backbones over columns.

import {
  ALL_BACKBONES,
  ALL_COLUMNS,
  BACKBONES,
  COLUMNS,
  DATA,
  DATASETS,
  HIGH,
  LOW,
  TASKS,
  VALUE,
  cellIndex,
  contaminated,
  covarianceOf,
  isBaseline,
  metricOf,
  signOf,
  speedOf,
  statusOf,
} from "./data.js";
import {
  RESAMPLES,
  datasetContributions,
  mean,
  meanLimits,
  normalP,
  pairedT,
  rankLimits,
  ranks,
  resampledMeans,
  standardDeviation,
  tiedWith,
  winShares,
} from "./statistics.js";
import { state } from "./state.js";

const MIN_DATASETS = 6; // as in bob/leaderboards/ranking.py: fewer cannot be resampled
const RESAMPLES_FOR_LIMITS = 2000;
const Z_95 = 1.959963984540054; // the 97.5th percentile of the normal distribution

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
  state.clean && contaminated(column, backbone) ? NaN : VALUE[cellIndex(column, backbone)];
export const lowAt = (column, backbone) => LOW[cellIndex(column, backbone)];
export const highAt = (column, backbone) => HIGH[cellIndex(column, backbone)];

const hasValue = (column, backbone) => !Number.isNaN(valueAt(column, backbone));

const memo = new Map();

function memoised(name, compute) {
  const key = `${name}|${state.clean}`;
  if (!memo.has(key)) memo.set(key, compute());
  return memo.get(key);
}

// The backbones ranked on these columns: no baselines, and no published numbers unless the page
// holds nothing else.
function rankedOn(columns) {
  const ranked = ALL_BACKBONES.filter(
    (b) => !isBaseline(b) && columns.some((column) => statusOf(column, b) !== "missing"),
  );
  const measured = ranked.filter((b) => !BACKBONES[b].external);
  return measured.length ? measured : ranked;
}

// ---- one column: its pool is every ranked backbone that has a value there

// {pool, best, rank, tied, tiesDetermined, z} of one column. `rank` maps the pool to ranks; `tied`
// is the set tied with the best, empty where `tiesDetermined` is false; `z` computes a z-score.
export const columnOf = (column) =>
  memoised(`column ${column}`, () => {
    const sign = signOf(column);
    const pool = rankedOn([column]).filter((b) => hasValue(column, b));
    const oriented = pool.map((b) => sign * valueAt(column, b));
    const poolRanks = ranks(oriented);
    const best = pool.length ? pool[oriented.indexOf(Math.max(...oriented))] : null;
    const { centre, width } = scaleOf(column, pool);
    const tied = tiedInColumn(column, pool, best);
    return {
      pool,
      best,
      rank: new Map(pool.map((b, index) => [b, poolRanks[index]])),
      tied: tied ?? new Set(),
      tiesDetermined: tied !== null,
      z: (b) => (width === 0 ? 0 : (sign * valueAt(column, b) - centre) / width),
    };
  });

// The backbones tied with the best: by paired tests on the same images where the records hold
// per-image results, else by overlapping intervals; null without either.
function tiedInColumn(column, pool, best) {
  const { tied } = COLUMNS[column];
  if (best === null || (!tied && Number.isNaN(lowAt(column, best)))) {
    return pool.length > 1 ? null : new Set();
  }
  if (tied && tied.includes(best)) return new Set(tied.filter((b) => pool.includes(b)));
  const sign = signOf(column);
  const bound = sign > 0 ? lowAt(column, best) : highAt(column, best);
  const reach = (b) => (sign > 0 ? highAt(column, b) : lowAt(column, b));
  return new Set(pool.filter((b) => b === best || sign * reach(b) >= sign * bound));
}

export const hasPairedTests = (column) => Boolean(COLUMNS[column].tied);

// ---- many columns: z-scores, ranks, and their uncertainty

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
// columns   the columns that count          excluded  the other columns
// pool      the ranked backbones that have a value in every column
// missing   backbone → columns without a value
// rows      backbone with every value → {z, value, meanRank, rank, tied, wins, rankLimits, ...};
//           a row's `rank` and `meanRank` exist for the pool, `tied` where ties are determined
// order     the pool, best first            best      the first of them, or null
// datasets  the number of datasets          z         backbone → z-scores by column
// basis     what the uncertainty rests on: "datasets", "examples" or "none"
export const summarise = (columns) =>
  memoised(`over ${columns.join(" ")}`, () => computeSummary(countable(columns), columns));

function computeSummary(columns, requested) {
  const missing = new Map(
    ALL_BACKBONES.map((b) => [b, columns.filter((column) => !hasValue(column, b))]),
  );
  const complete = ALL_BACKBONES.filter((b) => columns.length > 0 && missing.get(b).length === 0);
  const ranked = rankedOn(columns);
  const pool = complete.filter((b) => ranked.includes(b));
  const z = zScores(columns, pool);
  const rows = new Map(
    complete.map((b) => [b, { b, z: mean(z.get(b)), value: meanValue(columns, b) }]),
  );
  const summary = {
    columns,
    excluded: requested.filter((column) => !columns.includes(column)),
    pool,
    missing,
    rows,
    datasets: new Set(columns.map((column) => COLUMNS[column].dataset)).size,
    z,
    basis: "none",
  };
  addRanks(summary);
  addUncertainty(summary);
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

// Mean ranks, and the order: by mean z-score, or by the value itself in a single column.
function addRanks(summary) {
  const { pool, rows, columns } = summary;
  const columnRanks = columns.map((column) =>
    ranks(pool.map((b) => signOf(column) * valueAt(column, b))),
  );
  pool.forEach((b, index) => {
    rows.get(b).meanRank = mean(columnRanks.map((poolRanks) => poolRanks[index]));
  });
  const sortKey = (b) => {
    const { value, z } = rows.get(b);
    if (columns.length === 1) return signOf(columns[0]) * value;
    return Number.isNaN(z) ? 0 : z;
  };
  summary.order = [...pool].sort(
    (a, b) => sortKey(b) - sortKey(a) || (BACKBONES[a].name < BACKBONES[b].name ? -1 : 1),
  );
  summary.best = summary.order[0] ?? null;
  summary.order.forEach((b, index) => {
    rows.get(b).rank = index + 1;
  });
}

// ---- uncertainty: what the build computed for these columns; else from resampled datasets; with
// too few datasets, from the covariance over examples; else none

function addUncertainty(summary) {
  const { columns, pool, datasets } = summary;
  const built = state.clean
    ? null
    : DATA.rankings.find((ranking) => ranking.columns.join() === columns.join());
  if (columns.length === 1) addColumnUncertainty(summary);
  else if (pool.length > 1 && datasets >= MIN_DATASETS) summary.basis = "datasets";
  else if (pool.length > 1 && covariance(columns, pool)) summary.basis = "examples";
  if (built) addBuiltUncertainty(summary, built);
  else if (columns.length > 1 && summary.basis !== "none") addResampledUncertainty(summary);
}

function addBuiltUncertainty(summary, { basis, standings }) {
  summary.fromBuild = basis !== "none";
  for (const [b, wins, low, high, group] of standings) {
    const row = summary.rows.get(b);
    if (!row) continue;
    if (wins !== null) Object.assign(row, { wins, rankLimits: [low, high] });
    if (group !== null && summary.fromBuild) row.tied = group === 1;
  }
}

function addColumnUncertainty(summary) {
  const [column] = summary.columns;
  const { tied, tiesDetermined } = columnOf(column);
  summary.basis = hasPairedTests(column) ? "examples" : "none";
  for (const [b, row] of summary.rows) {
    Object.assign(row, { low: lowAt(column, b), high: highAt(column, b) });
  }
  if (tiesDetermined) for (const b of summary.pool) summary.rows.get(b).tied = tied.has(b);
}

function addResampledUncertainty(summary) {
  const { pool, rows } = summary;
  const R = pool.length;
  const tied = new Set(tiesAmong(summary, pool, summary.best));
  for (const b of pool) rows.get(b).tied = tied.has(b);
  if (summary.basis !== "datasets") return;
  const means = meansOf(summary);
  const wins = winShares(means, R);
  const limits = rankLimits(means.subarray(0, RESAMPLES_FOR_LIMITS * R), R);
  pool.forEach((b, r) => Object.assign(rows.get(b), { wins: wins[r], rankLimits: limits[r] }));
}

const unitsOf = (summary) => summary.columns.map((column) => COLUMNS[column].dataset);

// Resampled mean z-scores, computed on first use.
function meansOf(summary, resamples = RESAMPLES) {
  const { pool, z } = summary;
  if (!summary.resampled || summary.resampled.length < resamples * pool.length) {
    const rows = pool.map((b) => z.get(b));
    summary.resampled = resampledMeans(rows, unitsOf(summary), resamples);
  }
  return summary.resampled;
}

// 95 % intervals by backbone: of the mean z-score, or of the value in a single column. Empty where
// nothing can be resampled.
export function limitsOf(summary) {
  const { columns, pool, rows } = summary;
  if (columns.length === 1) {
    return new Map(pool.map((b) => [b, [lowAt(columns[0], b), highAt(columns[0], b)]]));
  }
  if (summary.basis === "datasets") {
    const limits = meanLimits(meansOf(summary, RESAMPLES_FOR_LIMITS), pool.length);
    return new Map(pool.map((b, r) => [b, limits[r]]));
  }
  const covarianceBetween = covariance(columns, pool);
  if (!covarianceBetween) return new Map();
  return new Map(
    pool.map((b) => {
      const half = Z_95 * Math.sqrt(Math.max(0, covarianceBetween(b, b)));
      return [b, [rows.get(b).z - half, rows.get(b).z + half]];
    }),
  );
}

// The covariance of two backbones' mean z-scores over resampled examples, as a function of the two;
// null where the page does not hold it for every cell.
function covariance(columns, pool) {
  const datasets = DATA.covariance?.datasets;
  if (!datasets || columns.some((column) => datasets[COLUMNS[column].dataset] == null)) return null;
  const isKnown = (column, b) => !Number.isNaN(covarianceOf(column, b, column, b));
  if (!columns.every((column) => pool.every((b) => isKnown(column, b)))) return null;
  const width = new Map(columns.map((column) => [column, scaleOf(column, pool).width]));
  const term = (columnA, a, columnB, b) => {
    const scale = width.get(columnA) * width.get(columnB);
    if (!width.get(columnA) || !width.get(columnB)) return 0;
    return (signOf(columnA) * signOf(columnB) * covarianceOf(columnA, a, columnB, b)) / scale;
  };
  const total = (a, b) =>
    columns.reduce(
      (sum, columnA) =>
        sum + columns.reduce((rowSum, columnB) => rowSum + term(columnA, a, columnB, b), 0),
      0,
    );
  return (a, b) => total(a, b) / columns.length ** 2;
}

// The candidates (some of the pool) that are statistically tied with one of them; null where ties
// cannot be determined.
export function tiesAmong(summary, candidates, anchor) {
  const { columns, pool, best, rows } = summary;
  const single = columns.length === 1;
  const all = candidates.length === pool.length && anchor === best;
  if (single && !columnOf(columns[0]).tiesDetermined) return null;
  if (all && (summary.fromBuild || single)) return candidates.filter((b) => rows.get(b).tied);
  const p = pValues(summary, candidates, anchor);
  if (p) {
    const tied = tiedWith(candidates.indexOf(anchor), p);
    return candidates.filter((_, index) => tied[index]);
  }
  if (!single) return null;
  return candidates.filter((b) => b === anchor || intervalsOverlap(columns[0], anchor, b));
}

// The p-value of each candidate against the anchor; null where it cannot be computed.
function pValues(summary, candidates, anchor) {
  if (summary.basis === "datasets") {
    const contributions = (b) => datasetContributions(summary.z.get(b), unitsOf(summary));
    const reference = contributions(anchor);
    return candidates.map((b) => pairedT(reference, contributions(b)));
  }
  const between = covariance(summary.columns, summary.pool);
  if (!between) return null;
  const z = (b) => summary.rows.get(b).z;
  return candidates.map((b) => {
    const variance = between(anchor, anchor) + between(b, b) - 2 * between(anchor, b);
    return normalP(z(anchor) - z(b), variance);
  });
}

const intervalsOverlap = (column, a, b) =>
  highAt(column, b) >= lowAt(column, a) && highAt(column, a) >= lowAt(column, b);

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
    const { family, licence, data } = BACKBONES[b];
    return (
      !hidden.has(family) &&
      terms.every((term) => SEARCH_TEXTS[b].includes(term)) &&
      within(b, state.params, state.speed) &&
      (!state.licence || (licence ?? "unknown") === state.licence) &&
      (!state.data || (data ?? "unknown") === state.data)
    );
  });
}

// Whether a backbone is known to meet limits on parameters (millions) and images/s; an empty limit
// is always met.
export function within(b, params, speed) {
  const { params: size } = BACKBONES[b];
  const imagesPerS = speedOf(b);
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

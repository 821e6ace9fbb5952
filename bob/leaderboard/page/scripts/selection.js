// From the state to what is shown: columns, backbones, and the summary of the backbones over those columns.

import {
  ALL,
  BACKBONES,
  COLUMNS,
  DATA,
  DATASETS,
  HIGH,
  LOW,
  TASKS,
  VALUE,
  contaminated,
  covarianceOf,
  isFloor,
  metricOf,
  place,
  signOf,
  speedOf,
  stateOf,
} from "./data.js";
import { DRAWS, byDataset, drawnMeans, mean, meanLimits, normalP, pairedT, rankLimits, ranks, spread, tiedWith, winShares } from "./statistics.js";
import { state } from "./state.js";

const ENOUGH_DATASETS = 6; // as in bob/leaderboard/ranking.py: fewer cannot be resampled
const SOME_DRAWS = 2000; // for limits
const Z = 1.959963984540054;

const indexOf = (list, name) => list.findIndex((one) => one.name === name);
export const taskIndex = () => indexOf(TASKS, state.task);
export const datasetIndex = () => indexOf(DATASETS, state.dataset);

// The columns of the chosen task and dataset.
export function chosenColumns() {
  const task = taskIndex(),
    dataset = datasetIndex();
  return ALL.filter((column) => (task < 0 || COLUMNS[column].task === task) && (dataset < 0 || COLUMNS[column].dataset === dataset));
}

// A cell's value; NaN where there is none, or where it is contaminated and those are left out.
export const valueAt = (column, backbone) => (state.clean && contaminated(column, backbone) ? NaN : VALUE[place(column, backbone)]);
export const lowAt = (column, backbone) => LOW[place(column, backbone)];
export const highAt = (column, backbone) => HIGH[place(column, backbone)];

const kept = new Map();

function remembered(name, make) {
  const key = `${name}|${state.clean}`;
  if (!kept.has(key)) kept.set(key, make());
  return kept.get(key);
}

// Who is ranked there: floors are what the others must beat, and published numbers stand beside one's own; where all are published, they are ranked.
function rivalsIn(columns) {
  const all = BACKBONES.map((_, b) => b).filter((b) => !isFloor(b) && columns.some((column) => stateOf(column, b) !== "missing"));
  const own = all.filter((b) => !BACKBONES[b].external);
  return own.length ? own : all;
}

// ---- one column: its pool is every rival that has a value there

export const columnOf = (column) =>
  remembered(`column ${column}`, () => {
    const pool = rivalsIn([column]).filter((b) => !Number.isNaN(valueAt(column, b)));
    const oriented = pool.map((b) => signOf(column) * valueAt(column, b)),
      places = ranks(oriented);
    const best = pool.length ? pool[oriented.indexOf(Math.max(...oriented))] : null,
      { centre, width } = scaleOf(column, pool);
    const z = (b) => (width === 0 ? 0 : (signOf(column) * valueAt(column, b) - centre) / width);
    const tied = tiedInColumn(column, pool, best);
    return { pool, best, rank: new Map(pool.map((b, index) => [b, places[index]])), tied: tied ?? new Set(), told: tied !== null, z };
  });

// Who is not told apart from the best: by paired tests on the same images where records hold them, else by overlapping intervals; null without either.
function tiedInColumn(column, pool, best) {
  const tested = COLUMNS[column].tied;
  if (best === null || (!tested && Number.isNaN(lowAt(column, best)))) return pool.length > 1 ? null : new Set();
  if (tested && tested.includes(best)) return new Set(tested.filter((b) => pool.includes(b)));
  const sign = signOf(column),
    bound = sign > 0 ? lowAt(column, best) : highAt(column, best);
  return new Set(pool.filter((b) => b === best || sign * (sign > 0 ? highAt(column, b) : lowAt(column, b)) >= sign * bound));
}

export const pairedIn = (column) => Boolean(COLUMNS[column].tied);

// ---- several columns: z-scores, ranks, and how sure the order is

// Columns that count towards a summary: not those where no backbone has a value; over several tasks, not those that some backbones cannot do at all.
function countable(columns) {
  const tasks = new Set(columns.map((column) => COLUMNS[column].task)),
    rivals = rivalsIn(columns);
  const common = (column) => tasks.size === 1 || rivals.every((b) => stateOf(column, b) !== "not applicable");
  return columns.filter((column) => rivals.some((b) => !Number.isNaN(valueAt(column, b))) && common(column));
}

export const summary = (columns) => remembered(`over ${columns.join(" ")}`, () => summarised(countable(columns), columns));

function summarised(columns, asked) {
  const missing = new Map(BACKBONES.map((_, b) => [b, columns.filter((column) => Number.isNaN(valueAt(column, b)))]));
  const complete = [...missing.keys()].filter((b) => columns.length > 0 && missing.get(b).length === 0),
    rivals = rivalsIn(columns);
  const pool = complete.filter((b) => rivals.includes(b)),
    z = standardised(columns, pool),
    rows = new Map();
  for (const b of complete) rows.set(b, { b, z: mean(z.get(b)), value: meanValue(columns, b) });
  const datasets = new Set(columns.map((column) => COLUMNS[column].dataset)).size;
  const out = { columns, left: asked.filter((column) => !columns.includes(column)), pool, missing, rows, datasets, z, basis: "none" };
  return withCertainty(placed(out));
}

export const averageable = (columns) => columns.length > 0 && columns.every((column) => metricOf(column).share);

function meanValue(columns, b) {
  return columns.length === 1 || averageable(columns) ? mean(columns.map((column) => valueAt(column, b))) : null;
}

// z-scores per column against the pool (ddof 1), better positive, of every backbone; NaN where it has no value.
function standardised(columns, pool) {
  const out = new Map(BACKBONES.map((_, b) => [b, []]));
  for (const column of columns) {
    const { centre, width } = scaleOf(column, pool);
    for (const [b, own] of out) own.push(width === 0 ? 0 : (signOf(column) * valueAt(column, b) - centre) / width);
  }
  return out;
}

function scaleOf(column, pool) {
  const values = pool.map((b) => signOf(column) * valueAt(column, b));
  const equal = values.length > 1 && values.every((value) => value === values[0]);
  return { centre: mean(values), width: values.length < 2 ? NaN : equal ? 0 : spread(values) };
}

// Mean ranks, and the order: by mean z, or by the value itself in a single column.
function placed(out) {
  const { pool, rows, columns } = out,
    places = columns.map((column) => ranks(pool.map((b) => signOf(column) * valueAt(column, b))));
  pool.forEach((b, index) => {
    rows.get(b).rank = mean(places.map((own) => own[index]));
  });
  const worth = (row) => (columns.length === 1 ? signOf(columns[0]) * row.value : Number.isNaN(row.z) ? 0 : row.z);
  out.order = [...pool].sort((a, b) => worth(rows.get(b)) - worth(rows.get(a)) || (BACKBONES[a].name < BACKBONES[b].name ? -1 : 1));
  out.best = out.order[0] ?? null;
  out.order.forEach((b, index) => {
    rows.get(b).place = index + 1;
  });
  return out;
}

// ---- how sure: what the build computed for this scope; else resampled datasets; with too few, the examples' covariance; else nothing

function withCertainty(out) {
  const known = state.clean ? null : DATA.scopes.find((scope) => scope.columns.join() === out.columns.join());
  if (out.columns.length === 1) oneColumn(out);
  else if (out.pool.length > 1 && out.datasets >= ENOUGH_DATASETS) out.basis = "datasets";
  else if (out.pool.length > 1 && covariance(out.columns, out.pool)) out.basis = "examples";
  if (known) asBuilt(out, known);
  else if (out.columns.length > 1 && out.basis !== "none") byResampling(out);
  return out;
}

function asBuilt(out, { basis, standings }) {
  out.known = basis !== "none";
  for (const [b, wins, low, high, group] of standings) {
    const row = out.rows.get(b);
    if (!row) continue;
    if (wins !== null) Object.assign(row, { wins, rankLimits: [low, high] });
    if (group !== null && out.known) row.tied = group === 1;
  }
}

function oneColumn(out) {
  const [column] = out.columns,
    { tied, told } = columnOf(column);
  out.basis = pairedIn(column) ? "examples" : "none";
  for (const [b, row] of out.rows) Object.assign(row, { low: lowAt(column, b), high: highAt(column, b) });
  if (told) for (const b of out.pool) out.rows.get(b).tied = tied.has(b);
}

function byResampling(out) {
  const R = out.pool.length,
    tied = new Set(tiesAmong(out, out.pool, out.best));
  for (const b of out.pool) out.rows.get(b).tied = tied.has(b);
  if (out.basis !== "datasets") return;
  const wins = winShares(drawsOf(out), R),
    places = rankLimits(drawsOf(out).subarray(0, SOME_DRAWS * R), R);
  out.pool.forEach((b, r) => Object.assign(out.rows.get(b), { wins: wins[r], rankLimits: places[r] }));
}

const unitsOf = (out) => out.columns.map((column) => COLUMNS[column].dataset);

// Draws are made when something first needs them.
function drawsOf(out, draws = DRAWS) {
  if (!out.drawn || out.drawn.length < draws * out.pool.length)
    out.drawn = drawnMeans(
      out.pool.map((b) => out.z.get(b)),
      unitsOf(out),
      draws,
    );
  return out.drawn;
}

// 95 % limits of each one's mean z, by backbone; of a single column, of its value; empty where nothing can be resampled.
export function limitsOf(out) {
  if (out.columns.length === 1) return new Map(out.pool.map((b) => [b, [lowAt(out.columns[0], b), highAt(out.columns[0], b)]]));
  if (out.basis === "datasets") {
    const limits = meanLimits(drawsOf(out, SOME_DRAWS), out.pool.length);
    return new Map(out.pool.map((b, r) => [b, limits[r]]));
  }
  const of = covariance(out.columns, out.pool),
    reach = (b) => Z * Math.sqrt(Math.max(0, of(b, b)));
  return new Map(of ? out.pool.map((b) => [b, [out.rows.get(b).z - reach(b), out.rows.get(b).z + reach(b)]]) : []);
}

// The covariance of two backbones' mean z over resampled examples, as a function; null where the page does not hold it.
function covariance(columns, pool) {
  if (!DATA.covariance || columns.some((column) => DATA.covariance.datasets[COLUMNS[column].dataset] == null)) return null;
  const scale = new Map(columns.map((column) => [column, scaleOf(column, pool).width]));
  const total = (a, b) =>
    columns.reduce(
      (sum, one) =>
        sum +
        columns.reduce(
          (own, other) =>
            own +
            (scale.get(one) && scale.get(other)
              ? (signOf(one) * signOf(other) * covarianceOf(one, a, other, b)) / (scale.get(one) * scale.get(other))
              : 0),
          0,
        ),
      0,
    );
  return (a, b) => total(a, b) / columns.length ** 2;
}

// Of some of the pool, those not told apart from one of them; null where nothing can tell.
export function tiesAmong(out, candidates, anchor) {
  const [column] = out.columns,
    all = candidates.length === out.pool.length && anchor === out.best;
  if (out.columns.length === 1 && !columnOf(column).told) return null;
  if (all && (out.known || out.columns.length === 1)) return candidates.filter((b) => out.rows.get(b).tied);
  const p = pValues(out, candidates, anchor);
  if (p) {
    const tied = tiedWith(candidates.indexOf(anchor), p);
    return candidates.filter((_, index) => tied[index]);
  }
  return out.columns.length === 1 ? candidates.filter((b) => b === anchor || overlap(column, anchor, b)) : null;
}

function pValues(out, candidates, anchor) {
  const of = covariance(out.columns, out.pool),
    z = (b) => out.rows.get(b).z;
  if (out.basis === "datasets") {
    const parts = (b) => byDataset(out.z.get(b), unitsOf(out)),
      first = parts(anchor);
    return candidates.map((b) => pairedT(first, parts(b)));
  }
  return of && candidates.map((b) => normalP(z(anchor) - z(b), of(anchor, anchor) + of(b, b) - 2 * of(anchor, b)));
}

const overlap = (column, a, b) => highAt(column, b) >= lowAt(column, a) && highAt(column, a) >= lowAt(column, b);

// ---- backbones

const texts = BACKBONES.map((backbone) => {
  const { architecture, weights, loader, pretraining } = backbone.card ?? {};
  return [
    backbone.name,
    backbone.family,
    backbone.floor ? "floor" : "",
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

export function visible() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean),
    hidden = hiddenFamilies();
  return BACKBONES.map((_, b) => b).filter(
    (b) =>
      !hidden.has(BACKBONES[b].family) &&
      words.every((word) => texts[b].includes(word)) &&
      within(b, state.params, state.speed) &&
      (!state.licence || (BACKBONES[b].licence ?? "unknown") === state.licence) &&
      (!state.data || (BACKBONES[b].data ?? "unknown") === state.data),
  );
}

// Whether a backbone is known to keep limits on parameters (millions) and images/s; an empty limit holds for all.
export function within(b, params, speed) {
  const { params: size } = BACKBONES[b],
    fast = speedOf(b);
  return (params === "" || (size != null && size <= 1e6 * Number(params))) && (speed === "" || (fast != null && fast >= Number(speed)));
}

// "3 tasks × 40 datasets", or the names where there is one.
export function scopeText(columns = chosenColumns()) {
  const tasks = new Set(columns.map((column) => TASKS[COLUMNS[column].task].name)),
    datasets = new Set(columns.map((column) => DATASETS[COLUMNS[column].dataset].name));
  const of = tasks.size === 1 ? [...tasks][0] : `${tasks.size} tasks`,
    where = datasets.size === 1 ? [...datasets][0] : `${datasets.size} datasets`;
  return `${of} on ${where}`;
}

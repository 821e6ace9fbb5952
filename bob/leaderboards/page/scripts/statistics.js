// Statistics that depend on what the reader chooses. Definitions and names are those of
// bob/statistics, with whose results they agree. Rows are R backbones × S settings of z-scores or
// scores, NaN where a value is missing.

export const RESAMPLES = 10000;
const ALPHA = 0.05;
const TOLERANCE = 1e-12; // differences up to this count as equal

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Sample standard deviation (ddof 1).
export function standardDeviation(values) {
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

// Ranks in descending order: 1 is best, equal values share the mean of their ranks.
export function ranks(values) {
  const order = values.map((_, index) => index).sort((a, b) => values[b] - values[a]);
  const out = new Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end += 1;
    for (let at = start; at <= end; at += 1) out[order[at]] = 1 + (start + end) / 2;
    start = end + 1;
  }
  return out;
}

// Mulberry32: 32 bits of state, so that the same page always shows the same numbers.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// Means of rows (R × S) over resampled datasets: resamples × R. `units` names the dataset of each
// setting; all settings of a dataset are resampled together.
export function resampledMeans(rows, units, resamples) {
  const names = [...new Set(units)];
  const size = names.length;
  const R = rows.length;
  const random = generator(1);
  const out = new Float64Array(resamples * R);
  const counts = names.map((name) => units.filter((unit) => unit === name).length);
  const sums = names.map((name) =>
    Float64Array.from(rows, (row) =>
      row.reduce((sum, value, s) => (units[s] === name ? sum + value : sum), 0),
    ),
  );
  for (let resample = 0; resample < resamples; resample += 1) {
    const start = resample * R;
    let total = 0;
    for (let pick = 0; pick < size; pick += 1) {
      const unit = Math.floor(random() * size);
      const unitSums = sums[unit];
      total += counts[unit];
      for (let r = 0; r < R; r += 1) out[start + r] += unitSums[r];
    }
    for (let r = 0; r < R; r += 1) out[start + r] /= total;
  }
  return out;
}

// The share of resamples in which each backbone is best; equal means share a resample.
export function winShares(means, R) {
  const wins = new Float64Array(R);
  for (let start = 0; start < means.length; start += R) {
    let best = -Infinity;
    let equal = 0;
    for (let r = 0; r < R; r += 1) best = Math.max(best, means[start + r]);
    for (let r = 0; r < R; r += 1) if (means[start + r] >= best - TOLERANCE) equal += 1;
    for (let r = 0; r < R; r += 1) if (means[start + r] >= best - TOLERANCE) wins[r] += 1 / equal;
  }
  return wins.map((count) => (count * R) / means.length);
}

// The 2.5th and 97.5th percentile of ascending values.
const percentiles = (values) =>
  [0.025, 0.975].map((share) => values[Math.round(share * (values.length - 1))]);

// 95 % interval of each backbone's mean: [[low, high], ...].
export function meanLimits(means, R) {
  const column = new Float64Array(means.length / R);
  return Array.from({ length: R }, (_, r) => {
    for (let resample = 0; resample < column.length; resample += 1) {
      column[resample] = means[resample * R + r];
    }
    return percentiles(column.sort());
  });
}

// 95 % interval of each backbone's rank: 1 is best, and tied ranks count as the best of them.
export function rankLimits(means, R) {
  const resampledRanks = Array.from({ length: R }, () => new Float64Array(means.length / R));
  for (let resample = 0; resample * R < means.length; resample += 1) {
    const row = means.subarray(resample * R, (resample + 1) * R);
    const ascending = Float64Array.from(row).sort();
    for (let r = 0; r < R; r += 1) {
      resampledRanks[r][resample] = 1 + countAbove(ascending, row[r] + TOLERANCE);
    }
  }
  return resampledRanks.map((column) => percentiles(column.sort()));
}

// The number of ascending values above a bound.
function countAbove(ascending, bound) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] > bound) high = middle;
    else low = middle + 1;
  }
  return ascending.length - low;
}

// Each dataset's contribution to the mean of a row over its settings, scaled so that the
// contributions average to that mean.
export function datasetContributions(row, units) {
  const sums = new Map();
  row.forEach((value, s) => sums.set(units[s], (sums.get(units[s]) ?? 0) + value));
  return [...sums.values()].map((sum) => (sum * sums.size) / row.length);
}

// Two-sided p-value of a paired t-test of two rows; 1 for equal rows and for a single pair, which
// decides nothing.
export function pairedT(a, b) {
  const differences = a.map((value, index) => value - b[index]);
  const centre = mean(differences);
  const n = differences.length;
  if (n < 2 || centre === 0) return 1;
  const standardError = standardDeviation(differences) / Math.sqrt(n);
  return studentP(centre / Math.max(standardError, Number.MIN_VALUE), n - 1);
}

// Two-sided p-value of Student's t with an integer number of degrees of freedom, as a finite
// series (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).
function studentP(t, freedom) {
  const angle = Math.atan(Math.abs(t) / Math.sqrt(freedom));
  const cos = Math.cos(angle);
  const odd = freedom % 2;
  let term = odd ? cos : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k < freedom; k += 2) sum += term *= (cos * cos * (k - 1)) / k;
  const inside = odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return Math.max(0, 1 - inside);
}

// Two-sided p-value of a normal difference with the given variance (Abramowitz & Stegun 1964,
// 7.1.26: absolute error below 2e-7); 1 for equal values.
export function normalP(difference, variance) {
  if (Math.abs(difference) <= TOLERANCE) return 1;
  const x = Math.abs(difference) / Math.sqrt(2 * Math.max(variance, Number.MIN_VALUE));
  const t = 1 / (1 + 0.3275911 * x);
  const coefficients = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const polynomial = coefficients.reduce((sum, coefficient) => coefficient + t * sum, 0);
  return t * polynomial * Math.exp(-x * x);
}

// Holm-adjusted p-values (Holm 1979).
export function holm(p) {
  const order = p.map((_, index) => index).sort((a, b) => p[a] - p[b]);
  const adjusted = new Array(p.length);
  let least = 0;
  order.forEach((index, position) => {
    least = Math.max(least, Math.min(1, p[index] * (p.length - position)));
    adjusted[index] = least;
  });
  return adjusted;
}

// Whether each backbone is statistically tied with the anchor, with Holm's correction over all
// others. `p` holds each backbone's p-value against the anchor.
export function tiedWith(anchor, p) {
  const others = p.map((_, index) => index).filter((index) => index !== anchor);
  const adjusted = holm(others.map((index) => p[index]));
  const tied = p.map(() => true);
  others.forEach((index, position) => {
    tied[index] = adjusted[position] >= ALPHA;
  });
  return tied;
}

// Spearman's rank correlation; null for fewer than 3 values or where a variable is constant.
export function spearman(x, y) {
  if (x.length < 3 || new Set(x).size < 2 || new Set(y).size < 2) return null;
  const a = ranks(x);
  const b = ranks(y);
  const centreA = mean(a);
  const centreB = mean(b);
  const covariance = mean(a.map((value, index) => (value - centreA) * (b[index] - centreB)));
  const varianceA = mean(a.map((value) => (value - centreA) ** 2));
  const varianceB = mean(b.map((value) => (value - centreB) ** 2));
  return covariance / Math.sqrt(varianceA * varianceB);
}

// The points that no other point dominates in quality (more is better) and cost (less is better).
export function paretoFront(points) {
  const dominates = (a, b) =>
    a.quality >= b.quality && a.cost <= b.cost && (a.quality > b.quality || a.cost < b.cost);
  return points.filter((point) => !points.some((other) => dominates(other, point)));
}

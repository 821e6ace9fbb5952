// Summaries that depend on what the reader chooses. Definitions and names are those of
// bob/statistics. Tests, ties and resamples are not computed here: see verdicts.js.

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

const Z = 1.959963984540054; // the 97.5 % point of the standard normal distribution
const LEAST_FOR_LIMITS = 6; // values, as for Kendall's tau in bob/leaderboards/description_agreement.py

// 95 % limits of Spearman's correlation over n values, by Fisher's transformation with the variance
// (1 + rho^2 / 2) / (n - 3) (Bonett & Wright 2000, doi:10.1007/BF02294183); null for fewer than 6
// values, and where the order is the same or reversed throughout.
export function spearmanLimits(rho, n) {
  if (rho === null || n < LEAST_FOR_LIMITS || Math.abs(rho) > 1 - 1e-9) return null;
  const reach = Z * Math.sqrt((1 + rho ** 2 / 2) / (n - 3));
  return [-reach, reach].map((shift) => Math.tanh(Math.atanh(rho) + shift));
}

// ---- two backbones on the same images, from counts; as in bob/statistics/complementarity.py

// {value, low, high} of a share of counts with Wilson's 95 % limits; NaN without any.
export function shareWithLimits(count, n) {
  const value = count / n;
  const centre = value + Z ** 2 / (2 * n);
  const reach = Z * Math.sqrt((value * (1 - value)) / n + Z ** 2 / (4 * n ** 2));
  const scale = 1 + Z ** 2 / n;
  // clipped as rounding may move a limit beyond the share
  const low = Math.min(Math.max((centre - reach) / scale, 0), value);
  const high = Math.max(Math.min((centre + reach) / scale, 1), value);
  return { value, low, high };
}

function kappa([both, onlyA, onlyB, neither]) {
  const n = both + onlyA + onlyB + neither;
  const [a, b] = [(both + onlyA) / n, (both + onlyB) / n];
  const expected = a * b + (1 - a) * (1 - b);
  return ((both + neither) / n - expected) / (1 - expected);
}

// {value, low, high} of Cohen's kappa of correctness, with 95 % limits by the jackknife over images;
// NaN where undefined, as limits are where kappa is without one of the images, and where a backbone
// has all images right, or none.
function kappaWithLimits(counts) {
  const [both, onlyA, onlyB] = counts;
  const n = counts.reduce((sum, count) => sum + count, 0);
  const value = kappa(counts);
  if ([both + onlyA, both + onlyB].some((right) => right === 0 || right === n)) {
    return { value, low: NaN, high: NaN };
  }
  // every image of a kind leaves out the same
  const without = counts.map((count, kind) =>
    count ? kappa(counts.map((other, i) => other - (i === kind))) : 0,
  );
  const weighted = (values) => values.reduce((sum, each, i) => sum + counts[i] * each, 0);
  const centre = weighted(without) / n;
  const squares = weighted(without.map((each) => (each - centre) ** 2));
  const reach = Z * Math.sqrt(((n - 1) / n) * squares);
  return { value, low: Math.max(value - reach, -1), high: Math.min(value + reach, 1) };
}

// What two backbones get right together, each {value, low, high} with 95 % limits: the share of
// images that `only` one has right, what an `oracle` gains over the better one, the share of the
// first one's errors that are a `rescue` of the second, and the `kappa` of their errors.
export function complementarity({ both, onlyA, onlyB, neither }) {
  const n = both + onlyA + onlyB + neither;
  return {
    only: shareWithLimits(onlyA + onlyB, n),
    oracle: shareWithLimits(Math.min(onlyA, onlyB), n),
    rescue: shareWithLimits(onlyB, onlyB + neither),
    kappa: kappaWithLimits([both, onlyA, onlyB, neither]),
  };
}

// The points that no other point dominates in quality (more is better) and cost (less is better).
export function paretoFront(points) {
  const dominates = (a, b) =>
    a.quality >= b.quality && a.cost <= b.cost && (a.quality > b.quality || a.cost < b.cost);
  return points.filter((point) => !points.some((other) => dominates(other, point)));
}

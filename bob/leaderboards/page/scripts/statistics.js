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

// The points that no other point dominates in quality (more is better) and cost (less is better).
export function paretoFront(points) {
  const dominates = (a, b) =>
    a.quality >= b.quality && a.cost <= b.cost && (a.quality > b.quality || a.cost < b.cost);
  return points.filter((point) => !points.some((other) => dominates(other, point)));
}

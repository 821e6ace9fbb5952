// Statistics that follow what is shown; definitions and names as in bob/statistics, whose results they agree with.
// Values come as z-scores or scores row by row: R backbones × S settings, NaN where there is none.

export const DRAWS = 10000;
const ALPHA = 0.05;
const SAME = 1e-12;

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export function spread(values) {
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

// How many of `values` each would come before: 1 is best, equals share the mean of their places. Higher is better.
export function ranks(values) {
  const order = values.map((_, index) => index).sort((a, b) => values[b] - values[a]),
    out = new Array(values.length);
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

// Means of rows (R × S) over resampled datasets, draw by draw (draws × R). `units` names each setting's dataset; all settings of one go together.
export function drawnMeans(rows, units, draws) {
  const names = [...new Set(units)],
    size = names.length,
    R = rows.length,
    random = generator(1),
    out = new Float64Array(draws * R);
  const counts = names.map((name) => units.filter((unit) => unit === name).length);
  const sums = names.map((name) => Float64Array.from(rows, (row) => row.reduce((sum, value, s) => (units[s] === name ? sum + value : sum), 0)));
  for (let draw = 0; draw < draws; draw += 1) {
    let total = 0;
    for (let pick = 0; pick < size; pick += 1) {
      const unit = Math.floor(random() * size),
        own = sums[unit],
        start = draw * R;
      total += counts[unit];
      for (let r = 0; r < R; r += 1) out[start + r] += own[r];
    }
    for (let r = 0; r < R; r += 1) out[draw * R + r] /= total;
  }
  return out;
}

// The share of draws in which each is best; equals share a draw.
export function winShares(drawn, R) {
  const wins = new Float64Array(R);
  for (let start = 0; start < drawn.length; start += R) {
    let best = -Infinity,
      equal = 0;
    for (let r = 0; r < R; r += 1) best = Math.max(best, drawn[start + r]);
    for (let r = 0; r < R; r += 1) if (drawn[start + r] >= best - SAME) equal += 1;
    for (let r = 0; r < R; r += 1) if (drawn[start + r] >= best - SAME) wins[r] += 1 / equal;
  }
  return wins.map((count) => (count * R) / drawn.length);
}

const limits = (values) => [values[Math.round(0.025 * (values.length - 1))], values[Math.round(0.975 * (values.length - 1))]];

// 95 % limits of each one's mean: [[low, high], ...].
export function meanLimits(drawn, R) {
  const own = new Float64Array(drawn.length / R);
  return Array.from({ length: R }, (_, r) => {
    for (let draw = 0; draw < own.length; draw += 1) own[draw] = drawn[draw * R + r];
    return limits(own.sort());
  });
}

// 95 % limits of each one's place: 1 is best, and a place shared counts as its best one.
export function rankLimits(drawn, R) {
  const places = Array.from({ length: R }, () => new Float64Array(drawn.length / R));
  for (let draw = 0; draw * R < drawn.length; draw += 1) {
    const row = drawn.subarray(draw * R, (draw + 1) * R),
      order = Float64Array.from(row).sort();
    for (let r = 0; r < R; r += 1) places[r][draw] = 1 + countAbove(order, row[r] + SAME);
  }
  return places.map((own) => limits(own.sort()));
}

// How many of the ascending values lie above the bound.
function countAbove(ascending, bound) {
  let low = 0,
    high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] > bound) high = middle;
    else low = middle + 1;
  }
  return ascending.length - low;
}

// Each dataset's part in the mean of a row over its settings, so scaled that they average to it.
export function byDataset(row, units) {
  const parts = new Map();
  row.forEach((value, s) => parts.set(units[s], (parts.get(units[s]) ?? 0) + value));
  return [...parts.values()].map((sum) => (sum * parts.size) / row.length);
}

// Two-sided p of a paired t-test of two rows; 1 for equals, and for a single pair, which decides nothing.
export function pairedT(a, b) {
  const gaps = a.map((value, index) => value - b[index]),
    centre = mean(gaps),
    n = gaps.length;
  return n < 2 || centre === 0 ? 1 : studentP(centre / Math.max(spread(gaps) / Math.sqrt(n), Number.MIN_VALUE), n - 1);
}

// Two-sided p of Student's t with a whole number of degrees of freedom, as a finite series (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).
function studentP(t, freedom) {
  const angle = Math.atan(Math.abs(t) / Math.sqrt(freedom)),
    cos = Math.cos(angle),
    odd = freedom % 2;
  let term = odd ? cos : 1,
    sum = freedom === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k < freedom; k += 2) sum += term *= (cos * cos * (k - 1)) / k;
  return Math.max(0, 1 - (odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum));
}

// Two-sided p of a normal difference with that variance (Abramowitz & Stegun 1964, 7.1.26: off by less than 2e-7); 1 for equals.
export function normalP(difference, variance) {
  if (Math.abs(difference) <= SAME) return 1;
  const x = Math.abs(difference) / Math.sqrt(2 * Math.max(variance, Number.MIN_VALUE)),
    t = 1 / (1 + 0.3275911 * x);
  return t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-x * x);
}

// p-values adjusted for as many tests at once (Holm 1979).
export function holm(p) {
  const order = p.map((_, index) => index).sort((a, b) => p[a] - p[b]),
    out = new Array(p.length);
  let least = 0;
  order.forEach((index, position) => {
    out[index] = least = Math.max(least, Math.min(1, p[index] * (p.length - position)));
  });
  return out;
}

// Whether each is not told apart from the anchor after Holm over all others.
export function tiedWith(anchor, p) {
  const others = p.map((_, index) => index).filter((index) => index !== anchor),
    adjusted = holm(others.map((index) => p[index]));
  const tied = p.map(() => true);
  others.forEach((index, position) => {
    tied[index] = adjusted[position] >= ALPHA;
  });
  return tied;
}

// Spearman's rank correlation; null for fewer than 3, or where one of the two is constant.
export function spearman(x, y) {
  if (x.length < 3 || new Set(x).size < 2 || new Set(y).size < 2) return null;
  const a = ranks(x),
    b = ranks(y),
    centreA = mean(a),
    centreB = mean(b);
  const cross = mean(a.map((value, index) => (value - centreA) * (b[index] - centreB)));
  return cross / Math.sqrt(mean(a.map((value) => (value - centreA) ** 2)) * mean(b.map((value) => (value - centreB) ** 2)));
}

// Which points no other beats on quality (more is better) and cost (less is better) at once.
export function paretoFront(points) {
  const beats = (a, b) => a.quality >= b.quality && a.cost <= b.cost && (a.quality > b.quality || a.cost < b.cost);
  return points.filter((point) => !points.some((other) => beats(other, point)));
}

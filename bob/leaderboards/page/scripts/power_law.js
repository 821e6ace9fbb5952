// Power laws of an error in a size, as in bob/statistics/scaling.py: error = A x^-b + E with A > 0 and
// E >= 0, by least squares of the logarithm of the error.

const LEAST_POINTS = 6; // points without which three parameters say nothing
const LEAST_SIZES = 4;
const LARGEST_EXPONENT = 3;
const STARTS = [0.05, 0.5]; // exponents; the best of the fits counts
const DRAWS = 200;
const STEPS = 200;
const LARGEST_DAMPING = 1e12;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Solve the damped normal equations (A + damping diag A) move = right by elimination.
function solved(matrix, right, damping) {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  rows.forEach((row, i) => {
    row[i] *= 1 + damping;
  });
  for (let i = 0; i < rows.length; i += 1) {
    for (let j = i + 1; j < rows.length; j += 1) {
      const factor = rows[j][i] / rows[i][i];
      rows[j] = rows[j].map((value, k) => value - factor * rows[i][k]);
    }
  }
  const move = new Array(rows.length).fill(0);
  for (let i = rows.length - 1; i >= 0; i -= 1) {
    const known = move.reduce((sum, value, k) => sum + (k > i ? rows[i][k] * value : 0), 0);
    move[i] = (rows[i][rows.length] - known) / rows[i][i];
  }
  return move;
}

// The cost of parameters [ln A, b, E], and each point's miss and slopes. A is that at the points'
// geometric mean, from which `places` are logarithmic distances.
function evaluated([logA, exponent, floor], places, logErrors) {
  const terms = places.map((place, i) => {
    const part = Math.exp(logA - exponent * place);
    const error = part + floor;
    const miss = Math.log(error) - logErrors[i];
    return { miss, slopes: [part / error, (-place * part) / error, 1 / error] };
  });
  return { terms, cost: terms.reduce((sum, { miss }) => sum + miss ** 2, 0) };
}

const clipped = (values, [low, high]) =>
  values.map((value, i) => Math.min(high[i], Math.max(low[i], value)));

// The parameters that Levenberg's and Marquardt's steps reach from a start; those at a bound that
// would leave it stay there.
function descended(start, bounds, places, logErrors) {
  let parameters = start;
  let current = evaluated(parameters, places, logErrors);
  let damping = 1e-3;
  for (let step = 0; step < STEPS && damping < LARGEST_DAMPING; step += 1) {
    const sums = (of) => current.terms.reduce((sum, term) => sum + of(term), 0);
    const downhill = parameters.map((_, i) => -sums(({ miss, slopes }) => miss * slopes[i]));
    const isFree = (i) =>
      downhill[i] < 0 ? parameters[i] > bounds[0][i] : parameters[i] < bounds[1][i];
    const free = [...parameters.keys()].filter(isFree);
    const matrix = free.map((i) => free.map((j) => sums(({ slopes }) => slopes[i] * slopes[j])));
    const move = solved(matrix, free.map((i) => downhill[i]), damping);
    const moved = parameters.map((value, i) => value + (move[free.indexOf(i)] ?? 0));
    const next = clipped(moved, bounds);
    const reached = evaluated(next, places, logErrors);
    if (reached.cost < current.cost) {
      const isSettled = current.cost - reached.cost < 1e-12 * current.cost;
      [parameters, current, damping] = [next, reached, damping / 5];
      if (isSettled) break;
    } else damping *= 4;
  }
  return { parameters, cost: current.cost };
}

// The law {exponent, floor, at} of errors at sizes x, both above 0.
export function fitPowerLaw(x, error, starts = STARTS) {
  const centre = mean(x.map(Math.log));
  const places = x.map((value) => Math.log(value) - centre);
  const logErrors = error.map(Math.log);
  const smallest = Math.min(...error);
  const bounds = [
    [-30, -LARGEST_EXPONENT, 0],
    [30, LARGEST_EXPONENT, smallest],
  ];
  const fits = starts.map((start) =>
    descended([mean(logErrors), start, smallest / 2], bounds, places, logErrors),
  );
  const [logA, exponent, floor] = fits.reduce((a, b) => (b.cost < a.cost ? b : a)).parameters;
  const at = (value) => Math.exp(logA - exponent * (Math.log(value) - centre)) + floor;
  return { exponent, floor, at };
}

// Numbers in [0, 1) that are the same each time (mulberry32).
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// A percentile of sorted values, linear between two of them.
function percentile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

// 95 % limits of the exponent over resampled points.
function exponentLimits(x, error, exponent) {
  const random = seeded(0);
  const exponents = [];
  while (exponents.length < DRAWS) {
    const drawn = x.map(() => Math.floor(random() * x.length));
    const sizes = drawn.map((i) => x[i]);
    if (new Set(sizes).size >= 3) {
      exponents.push(fitPowerLaw(sizes, drawn.map((i) => error[i]), [exponent]).exponent);
    }
  }
  exponents.sort((a, b) => a - b);
  return [0.025, 0.975].map((share) => percentile(exponents, share));
}

// {law, limits, largest, predicted} of errors at sizes x: the law, the 95 % limits of its exponent
// over resampled points, and the error of the largest size as it is and by a law of all others. Null
// for fewer than six points or four sizes, and where a size or an error is not above 0.
export function scalingFit(x, error) {
  const isTooLittle = x.length < LEAST_POINTS || new Set(x).size < LEAST_SIZES;
  if (isTooLittle || Math.min(...x, ...error) <= 0) return null;
  const law = fitPowerLaw(x, error);
  const largest = x.indexOf(Math.max(...x));
  const others = (values) => values.filter((_, i) => i !== largest);
  return {
    law,
    limits: exponentLimits(x, error, law.exponent),
    largest: error[largest],
    predicted: fitPowerLaw(others(x), others(error)).at(x[largest]),
  };
}

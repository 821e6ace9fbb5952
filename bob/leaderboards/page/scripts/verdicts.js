// The verdicts that the build computed: which backbones are tied, better or not tested, for every
// selection of columns that a reader can make. Nothing here computes a statistic.

import { DATA, decodeBits, decodeFloats, onDetails, pairIndex } from "./data.js";

const keyOf = (columns, clean) => `${columns.join()}|${clean}`;
const VIEWS = new Map();

function addViews(views) {
  for (const view of views) VIEWS.set(keyOf(view.columns, Boolean(view.clean)), view);
}

addViews(DATA.views);
onDetails((details) => addViews(details.views));

// What the paired test says of a backbone of the order against another: "better", "worse", "tied",
// or "untested" where it was not made.
function relationsOf({ order, tied, untested }) {
  const place = new Map(order.map((b, index) => [b, index]));
  const isTied = tied && decodeBits(tied);
  const isUntested = untested && decodeBits(untested);
  return (a, b) => {
    const [i, j] = [place.get(a), place.get(b)];
    if (!isTied || i === undefined || j === undefined) return "untested";
    if (i === j) return "tied";
    const pair = pairIndex(Math.min(i, j), Math.max(i, j), order.length);
    if (isUntested?.(pair)) return "untested";
    if (isTied(pair)) return "tied";
    return i < j ? "better" : "worse";
  };
}

const memo = new Map();

// The verdicts on a selection; a clean one excludes contaminated cells, and exists where there are
// some: {counted, excluded, basis, order, best, relation, status, against,
// pOf, resampled, means}; null for a selection that the page does not hold. `counted` are the columns that
// are averaged, `excluded` maps the others to the reason. `against` maps each backbone of the order
// to its relation to the best; `status` sums that up: "alone", "clear", "tied" or "untested".
export function verdictsOn(columns, clean) {
  const view = (clean && VIEWS.get(keyOf(columns, true))) || VIEWS.get(keyOf(columns, false));
  if (!view) return null;
  if (!memo.has(view)) memo.set(view, describe(view));
  return memo.get(view);
}

function describe(view) {
  const { counted, basis, order, excluded = {}, resampled = [], means, p = [] } = view;
  const limits = means && decodeFloats(means);
  const [best = null] = order;
  const relation = relationsOf(view);
  const against = new Map(order.map((b) => [b, b === best ? "tied" : relation(b, best)]));
  const others = new Set(order.slice(1).map((b) => against.get(b)));
  let status = "clear";
  if (!others.size) status = "alone";
  else if (others.has("tied")) status = "tied";
  else if (others.has("untested")) status = "untested";
  return {
    counted,
    excluded,
    basis,
    order,
    best,
    relation,
    against,
    status,
    pOf: new Map(order.slice(1).map((b, index) => [b, p[index] ?? null])),
    means: new Map(
      limits ? order.map((b, i) => [b, [limits[i], limits[order.length + i]]]) : [],
    ),
    resampled: new Map(resampled.map((values, index) => [order[index], values])),
  };
}

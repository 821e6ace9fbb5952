// Quality against cost, with the Pareto front.

import { ALL_BACKBONES, BACKBONES, isBaseline, metricOf, signOf, speedOf } from "./data.js";
import { $, coloured, make, picker, section, shapeOf } from "./dom.js";
import { chart, linear, logarithmic, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import {
  Z_SCORE,
  fixed,
  millions,
  plural,
  rangeText,
  short,
  sizeText,
  valueText,
} from "./format.js";
import { boxOf, familyLegend, pointKey, pointNames } from "./names.js";
import { averageable, chosenColumns, scopeText, summarise, visible } from "./selection.js";
import { paretoFront } from "./statistics.js";
import { change, state } from "./state.js";
import { interactive, showTip } from "./tooltip.js";

// Each cost: its title in the menu, label of the axis, value of a backbone, text of a value in the
// tooltip, and text of a tick.
const COSTS = {
  params: {
    title: "parameters",
    label: "parameters",
    of: (b) => BACKBONES[b].params,
    text: (value) => `${millions(value)} M parameters`,
    tick: sizeText,
  },
  gflops: {
    title: "FLOPs",
    label: "GFLOPs per image",
    of: (b) => BACKBONES[b].gflops,
    text: (value) => `${short(value)} GFLOPs per image`,
    tick: String,
  },
  speed: {
    title: "measured time",
    label: "seconds per 1,000 images, measured",
    of: (b) => (speedOf(b) ? 1000 / speedOf(b) : null),
    text: (value) => `${short(1000 / value)} images/s`,
    tick: String,
  },
  mib: {
    title: "size of the weights",
    label: "weights, MiB",
    of: (b) => BACKBONES[b].mib,
    text: (value) => `${short(value)} MiB`,
    tick: sizeText,
  },
  memory: {
    title: "peak memory",
    label: "peak memory of a forward pass of 4 images, MiB",
    of: (b) => BACKBONES[b].peak_mib,
    text: (value) => `${short(value)} MiB in a forward pass of 4 images`,
    tick: sizeText,
  },
  width: {
    title: "feature width",
    label: "feature width",
    of: (b) => BACKBONES[b].width,
    text: (value) => `${value} features`,
    tick: sizeText,
  },
};
const HEIGHT = 460; // px
const NARROW = 640; // px: below, labels have no margin at the right
const MARK = 15; // px: marks that are closer cover each other
const ALL_NAMED = 14; // points: of more, only those of the front have their names
const availableCosts = () =>
  Object.keys(COSTS).filter((name) => ALL_BACKBONES.some((b) => COSTS[name].of(b) != null));
export const hasCosts = () => availableCosts().length > 0;

function chosenCost() {
  const available = availableCosts();
  return available.includes(state.cost) ? state.cost : (available[0] ?? "params");
}

const FRONT_HELP =
  "On the Pareto front: no other backbone is at least as good at no higher cost. Only the " +
  "backbones shown count, without baselines.";

export function drawScatter(view) {
  const options = availableCosts().map((name) => [name, COSTS[name].title]);
  const select = picker("cost", options, chosenCost(), (cost) => change({ cost }));
  const bar = make("div", { class: "bar" }, make("label", {}, "Cost ", select), familyLegend(ALL_BACKBONES));
  const plot = make("div", { id: "plot" });
  const figure = make("figure", {}, plot, make("figcaption", { id: "plot-note" }));
  view.append(section("Quality and cost", FRONT_HELP, bar, figure));
  drawPlot();
}

// What the vertical axis measures: the score in a single column, the mean score where scores may be
// averaged, else the mean z-score; with its 95 % interval, and what that covers.
function qualityOf({ columns, basis }) {
  if (columns.length === 1) {
    const metric = metricOf(columns[0]);
    const limits = (row) => [row.low, row.high];
    const bars = "Bars: the 95 % interval of the score.";
    const of = (row) => row.value;
    return { of, limits, bars, metric, label: metric.name, sign: signOf(columns[0]) };
  }
  if (averageable(columns)) {
    const limits = (row) => [row.meanLow, row.meanHigh];
    const bars = "Bars: 95 % intervals of the mean, which cover other test images of these datasets.";
    const metric = { percent: true };
    return { of: (row) => row.value, limits, bars, metric, label: "mean score", sign: 1 };
  }
  const limits = (row) => row.zLimits ?? [];
  const bars = `Bars: 95 % intervals over resampled ${basis === "datasets" ? "datasets" : "images"}.`;
  return { of: (row) => row.z, limits, bars, metric: null, label: "mean z-score", sign: 1 };
}

// The summary that is drawn: over all chosen columns where their mean exists. Otherwise (a single
// backbone has no z-score, or none has every cell) over those whose scores may be averaged, or over
// the one column that most backbones have.
function drawableSummary(columns) {
  const isDrawable = ({ pool, columns: counted }) =>
    pool.length > 1 || (pool.length === 1 && (counted.length === 1 || averageable(counted)));
  const full = summarise(columns);
  if (isDrawable(full)) return full;
  const poolSize = (column) => summarise([column]).pool.length;
  const shares = full.columns.filter((column) => metricOf(column).share);
  const single = [...full.columns].sort((a, b) => poolSize(b) - poolSize(a)).slice(0, 1);
  return [shares, single].map(summarise).find(isDrawable) ?? full;
}

// The limits of a point's quality; null where one of them is unknown.
function limitsOf({ row }, quality) {
  const [low, high] = quality.limits(row);
  return low == null || high == null || Number.isNaN(low + high) ? null : [low, high];
}

function drawPlot() {
  const chosen = chosenColumns();
  const summary = drawableSummary(chosen);
  const quality = qualityOf(summary);
  const cost = COSTS[chosenCost()];
  const shown = visible();
  const points = shown
    .map((b) => ({ b, row: summary.rows.get(b), cost: cost.of(b) }))
    .filter((point) => point.row && point.cost != null)
    .map((point) => ({ ...point, value: quality.of(point.row), limits: limitsOf(point, quality) }))
    .filter((point) => !Number.isNaN(point.value))
    .map((point) => ({ ...point, quality: quality.sign * point.value }));
  const ranked = points.filter(({ b }) => !isBaseline(b));
  const front = paretoFront(ranked).sort((a, b) => a.cost - b.cost || b.quality - a.quality);
  const label = `${quality.label}${quality.metric?.percent ? ", in percent" : ""}`;
  const missing = shown.length - points.length;
  const note = [
    `${label}, ${scopeText(summary.columns)}, against ${cost.title}.`,
    `Line: the Pareto front (${plural(front.length, "backbone")}): no other is as good at no higher cost.`,
    ...(points.some((point) => point.limits) ? [quality.bars] : []),
    ...(points.some(({ b }) => isBaseline(b))
      ? ["Baselines outside the scales are drawn on the axes, with their scores."]
      : []),
  ];
  if (summary !== summarise(chosen)) {
    const cells = plural(chosen.length, "cell");
    note.push(`Not all ${cells}: their mean needs two backbones with a value in each.`);
  }
  if (!quality.metric) note.push(Z_SCORE);
  if (missing) {
    note.push(`Not drawn, without a value in every cell or of unknown cost: ${missing}.`);
  }
  $("status").textContent = `${plural(points.length, "backbone")} drawn`;
  $("plot-note").textContent = note.join(" ");
  $("plot").replaceChildren(
    ...(points.length ? plotOf(points, front, quality, cost) : ["Nothing to draw."]),
  );
}

// The chart, and what its numbers stand for.
function plotOf(points, front, quality, cost) {
  const width = widthOf($("plot"));
  const wide = width >= NARROW;
  const box = { left: 52, right: width - (wide ? 150 : 16), top: 30, bottom: HEIGHT - 50 };
  const x = costScale(points, box);
  const y = qualityScale(points, box);
  place(points, x, y);
  const names = pointLabels(points, front, { x, y }, quality, box, wide);
  const plot = chart(
    width,
    HEIGHT,
    $("plot-note").textContent,
    yAxis(y, box, tickText(y, quality.metric?.percent), quality.label),
    xAxis(x, box, cost.tick, cost.label),
    make("polyline", { class: "front", points: frontSteps(front, x, y) }),
    points.map((point) => pointMark(point, y, quality, cost, front.includes(point))),
    names.texts,
  );
  return [plot, pointKey(names.key)].filter(Boolean);
}

// The points that determine the scales. Baselines do not: they may lie far from all others, and are
// drawn on an axis instead of compressing the rest.
function scaledPoints(points) {
  const ranked = points.filter(({ b }) => !isBaseline(b));
  return ranked.length ? ranked : points;
}

function costScale(points, box) {
  const costs = scaledPoints(points).map((point) => point.cost);
  const scale = logarithmic(costs, box.left + 8, box.right - 4);
  return { ...scale, at: (value) => Math.max(box.left, Math.min(box.right, scale.at(value))) };
}

function qualityScale(points, box) {
  const values = scaledPoints(points).flatMap(({ value, limits }) => [value, ...(limits ?? [])]);
  const scale = linear(values, box.bottom, box.top, 7);
  return {
    ...scale,
    at: (value) => Math.max(box.top, Math.min(box.bottom, scale.at(value))),
    covers: (value) => value >= scale.low && value <= scale.high,
  };
}

// Set the pixels (px, py) of points; baselines that would cover a mark stand beside it.
function place(points, x, y) {
  const taken = [];
  for (const point of points) {
    Object.assign(point, { px: x.at(point.cost), py: y.at(point.value) });
    const isCovering = ({ px, py }) => Math.hypot(px - point.px, py - point.py) < MARK;
    while (isBaseline(point.b) && taken.some(isCovering)) point.px += MARK;
    taken.push(point);
  }
}

// The corners [x, y] of the front, which is drawn as stairs: between two of its points, the best
// quality for a cost is the cheaper one's.
const corners = (front, x, y) =>
  front.flatMap((point, index) => {
    const at = [x.at(point.cost), y.at(point.value)];
    return index ? [[at[0], y.at(front[index - 1].value)], at] : [at];
  });

const frontSteps = (front, x, y) => corners(front, x, y).join(" ");

// The boxes {x1, x2, y1, y2} that the front and the error bars cover.
function stairs(front, x, y) {
  const all = corners(front, x, y);
  return all.slice(1).map(([x1, y1], i) => boxOf([x1, all[i][0]], [y1, all[i][1]]));
}

const whiskers = (points, y) =>
  points.filter(({ limits }) => limits).map(({ px, limits }) => boxOf([px, px], limits.map(y.at)));

const qualityText = (value, metric) => (metric ? valueText(value, metric) : fixed(value, 2));

const limitsText = ([low, high], metric) =>
  metric ? rangeText(low, high, metric) : `${fixed(low, 2)} to ${fixed(high, 2)}`;

function pointMark(point, y, quality, cost, onFront) {
  const { b, value, limits, cost: costValue, px, py } = point;
  const { name, family } = BACKBONES[b];
  const { metric, label } = quality;
  const range = limits ? limitsText(limits, metric) : "";
  const text = qualityText(value, metric);
  const lines = [
    `${name}${isBaseline(b) ? " (baseline)" : ""}`,
    `${label} ${text}${range ? ` [${range}]` : ""}`,
    cost.text(costValue),
    ...(onFront ? ["on the Pareto front"] : []),
  ];
  const attributes = {
    class: `point${onFront ? " on-front" : ""}`,
    tabindex: 0,
    role: "button",
    "aria-label": lines.join(", "),
  };
  const [low, high] = limits ? limits.map((limit) => y.at(limit)) : [];
  const shape = make("path", {
    class: "shape",
    d: shapeOf(family),
    transform: `translate(${px} ${py})`,
  });
  const group = make(
    "g",
    attributes,
    limits ? make("line", { class: "whisker", x1: px, x2: px, y1: low, y2: high }) : null,
    make("circle", { class: "halo", cx: px, cy: py, r: 12 }),
    shape,
  );
  const tip = () => {
    const { left, top } = shape.getBoundingClientRect();
    showTip(lines, left + 6, top + 6);
  };
  return interactive(coloured(group, family), tip, () => openBackbone(b));
}

// Names of points: those of the front, the best first, then all others where points are few, also
// the best first. A baseline outside the scale has its value beside its name.
function pointLabels(points, front, { x, y }, { metric }, box, wide) {
  const others = points
    .filter((point) => !front.includes(point))
    .sort((a, b) => b.quality - a.quality);
  const named = [...front].reverse().concat(points.length <= ALL_NAMED ? others : []);
  const marked = named.map((point) => ({
    b: point.b,
    x: point.px,
    y: point.py,
    isSoft: !front.includes(point),
    note: y.covers(point.value) ? "" : ` (${qualityText(point.value, metric)})`,
  }));
  const right = box.right + (wide ? 145 : 10);
  const area = { left: box.left, right, top: 0, bottom: box.bottom + 2 };
  const places = points.map(({ px, py }) => ({ x: px, y: py }));
  const lines = [...whiskers(points, y), ...stairs(front, x, y)];
  return pointNames(marked, places, area, wide ? 40 : 24, lines);
}

// Quality against cost, with the Pareto front.

import { BACKBONES, isFloor, metricOf, speedOf } from "./data.js";
import { $, choices, make, mark, on, section, shapeOf, styled } from "./dom.js";
import { chart, linear, logarithmic, sizeTick, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, fixed, millions, plural, rangeText, short, valueText } from "./format.js";
import { averageable, chosenColumns, scopeText, summary, visible } from "./selection.js";
import { paretoFront } from "./statistics.js";
import { change, state } from "./state.js";
import { hideTip, showTip } from "./tooltip.js";

const COSTS = {
  params: { label: "parameters", of: (b) => BACKBONES[b].params, text: (value) => `${millions(value)} M parameters`, tick: sizeTick },
  gflops: { label: "GFLOP per image", of: (b) => BACKBONES[b].gflops, text: (value) => `${short(value)} GFLOP per image`, tick: String },
  speed: {
    label: "seconds per 1,000 images, measured",
    of: (b) => (speedOf(b) ? 1000 / speedOf(b) : null),
    text: (value) => `${short(1000 / value)} images/s`,
    tick: String,
  },
  mib: { label: "weights, MiB", of: (b) => BACKBONES[b].mib, text: (value) => `${short(value)} MiB`, tick: sizeTick },
  memory: { label: "memory of a forward of 4 images, MiB", of: (b) => BACKBONES[b].peak_mib, text: (value) => `${short(value)} MiB in a forward of 4 images`, tick: sizeTick },
  width: { label: "feature width", of: (b) => BACKBONES[b].width, text: (value) => `${value} features`, tick: sizeTick },
};
const TITLES = {
  params: "parameters",
  gflops: "FLOPs",
  speed: "measured time",
  mib: "size of the weights",
  memory: "memory of a forward",
  width: "feature width",
};
const HEIGHT = 460;
const NARROW = 640;

const held = () => Object.keys(COSTS).filter((name) => BACKBONES.some((_, b) => COSTS[name].of(b) != null));
export const hasCosts = () => held().length > 0;
const chosenCost = () => (held().includes(state.cost) ? state.cost : (held()[0] ?? "params"));

export function drawScatter(view) {
  const select = choices(
    make("select", { id: "cost" }),
    held().map((name) => [name, TITLES[name]]),
  );
  select.value = chosenCost();
  on(select, { change: () => change({ cost: select.value }) });
  const figure = make("figure", {}, make("div", { id: "plot" }), make("figcaption", { id: "plot-note" }));
  view.append(
    section(
      "Quality and cost",
      "On the front: no other backbone is at least as good for no more cost. The front is of the backbones shown, floors aside.",
      make("div", { class: "bar" }, make("label", {}, "Cost ", select), familyKey()),
      figure,
    ),
  );
  plot();
}

function familyKey() {
  const families = [...new Set(BACKBONES.map((backbone) => backbone.family))];
  return make(
    "p",
    { class: "legend" },
    ...families.flatMap((family) => [make("span", { class: "key" }, mark(family), family === "baseline" ? "floor" : family), " "]),
  );
}

// What the vertical axis measures: a score, the mean score where scores may be averaged, else the mean z-score.
function quality(out) {
  if (out.columns.length === 1)
    return {
      of: (row) => row.value,
      metric: metricOf(out.columns[0]),
      label: metricOf(out.columns[0]).name,
      sign: metricOf(out.columns[0]).higher ? 1 : -1,
    };
  if (averageable(out.columns)) return { of: (row) => row.value, metric: { percent: true }, label: "mean score", sign: 1 };
  return { of: (row) => row.z, metric: null, label: "mean z", sign: 1 };
}

// What is drawn: all chosen columns where a mean over them can be had; else, as where one backbone alone has no z-score or none has every cell, those
// whose scores may be averaged, or the one that most backbones have.
function measured(columns) {
  const drawable = (out) => out.pool.length > 1 || (out.pool.length === 1 && (out.columns.length === 1 || averageable(out.columns)));
  const whole = summary(columns),
    filled = (column) => summary([column]).pool.length;
  if (drawable(whole)) return whole;
  const single = [...whole.columns].sort((a, b) => filled(b) - filled(a)).slice(0, 1);
  return [whole.columns.filter((column) => metricOf(column).share), single].map(summary).find(drawable) ?? whole;
}

const textOf = (value, metric) => (metric ? valueText(value, metric) : fixed(value, 2));

function plot() {
  const chosen = chosenColumns(),
    out = measured(chosen),
    how = quality(out),
    cost = COSTS[chosenCost()],
    shown = visible();
  const points = shown
    .map((b) => ({ b, row: out.rows.get(b), cost: cost.of(b) }))
    .filter(({ row, cost: value }) => row && value != null && !Number.isNaN(how.of(row)))
    .map((point) => ({ ...point, value: how.of(point.row), quality: how.sign * how.of(point.row) }));
  const front = paretoFront(points.filter(({ b }) => !isFloor(b))).sort((a, b) => a.cost - b.cost || b.quality - a.quality),
    left = shown.length - points.length;
  $("status").textContent = `${plural(points.length, "backbone")} drawn`;
  $("plot-note").textContent =
    `${how.label}${how.metric?.percent ? ", in percent" : ""}, ${scopeText(out.columns)}, against ${TITLES[chosenCost()]}. Line: the Pareto front (${front.length}). Floors off the scales stand on the axes.${out === summary(chosen) ? "" : ` Not all ${plural(chosen.length, "cell")}: a mean over them takes two backbones with a value in each.`}${left ? ` Without a value in every cell or a known cost, so not drawn: ${left}.` : ""}`;
  if (!points.length) return $("plot").replaceChildren("Nothing to draw.");
  return $("plot").replaceChildren(svg(points, front, how, cost));
}

function svg(points, front, how, cost) {
  const width = widthOf($("plot")),
    wide = width >= NARROW,
    box = { left: 52, right: width - (wide ? 150 : 16), top: 30, bottom: HEIGHT - 50 };
  const x = along(points, box),
    y = above(points, box);
  const line = make("polyline", { class: "front", points: steps(front, x, y) });
  const frame = [...yAxis(y, box, tickText(y, how.metric?.percent), how.label), ...xAxis(x, box, cost.tick, cost.label)];
  return chart(
    width,
    HEIGHT,
    $("plot-note").textContent,
    frame,
    line,
    points.map((point) => dot(point, x, y, how, cost, front.includes(point))),
    labels(front, x, y, box, wide),
  );
}

// Those that the scales are for: floors may lie far off all others, stand on an axis then, and do not squeeze the rest.
function scaled(points) {
  const rivals = points.filter(({ b }) => !isFloor(b));
  return rivals.length ? rivals : points;
}

function along(points, box) {
  const scale = logarithmic(
    scaled(points).map((point) => point.cost),
    box.left + 8,
    box.right - 4,
  );
  return { ...scale, at: (value) => Math.max(box.left, Math.min(box.right, scale.at(value))) };
}

function above(points, box) {
  const ends = scaled(points).flatMap(({ row, value }) => [value, row.low ?? value, row.high ?? value]);
  const scale = linear(ends, box.bottom, box.top, 7),
    within = (value) => Math.max(box.top, Math.min(box.bottom, scale.at(value)));
  return { ...scale, at: within };
}

// The front as stairs: between two points, the best for that cost is the cheaper one.
function steps(front, x, y) {
  return front
    .flatMap((point, index) => [
      ...(index ? [`${x.at(point.cost)},${y.at(front[index - 1].value)}`] : []),
      `${x.at(point.cost)},${y.at(point.value)}`,
    ])
    .join(" ");
}

function dot(point, x, y, how, cost, onFront) {
  const { b, row, value } = point,
    { name, family } = BACKBONES[b],
    at = [x.at(point.cost), y.at(value)],
    range = how.metric && row.low != null ? rangeText(row.low, row.high, how.metric) : "";
  const lines = [
    `${name}${isFloor(b) ? " (floor)" : ""}`,
    `${how.label} ${textOf(value, how.metric)}${range ? ` [${range}]` : ""}`,
    cost.text(point.cost),
    ...(onFront ? ["on the Pareto front"] : []),
  ];
  const group = styled(make("g", { class: `point${onFront ? " on-front" : ""}`, tabindex: 0, role: "button", "aria-label": lines.join(", ") }), {
    "--mark": `var(--${family})`,
  });
  if (range) group.append(make("line", { class: "whisker", x1: at[0], x2: at[0], y1: y.at(row.low), y2: y.at(row.high) }));
  group.append(
    make("circle", { class: "halo", cx: at[0], cy: at[1], r: 12 }),
    make("path", { class: "shape", d: shapeOf(family), transform: `translate(${at[0]} ${at[1]})` }),
  );
  const tip = () => {
    const { left, top } = group.querySelector(".shape").getBoundingClientRect();
    showTip(lines, left + 6, top + 6);
  };
  return on(group, {
    pointerenter: tip,
    pointerleave: hideTip,
    focus: tip,
    blur: hideTip,
    click: () => openBackbone(b),
    keydown: (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        openBackbone(b);
      }
    },
  });
}

// Names along the front, the best first; one that would cover another is left to the tip.
function labels(front, x, y, box, wide) {
  const placed = [],
    letters = wide ? 28 : 18;
  return [...front].reverse().flatMap((point) => {
    const text = cut(BACKBONES[point.b].name, letters),
      width = 6.6 * [...text].length,
      px = x.at(point.cost),
      py = y.at(point.value),
      left = px + 12 + width > box.right + (wide ? 145 : 10);
    const from = left ? px - 12 - width : px + 12,
      area = { x1: from, x2: from + width, y1: py - 20, y2: py - 4 };
    if (from < box.left || placed.some((other) => area.x1 < other.x2 && other.x1 < area.x2 && area.y1 < other.y2 && other.y1 < area.y2)) return [];
    placed.push(area);
    return [make("text", { class: "label", x: left ? px - 10 : px + 10, y: py - 8, "text-anchor": left ? "end" : "start" }, text)];
  });
}

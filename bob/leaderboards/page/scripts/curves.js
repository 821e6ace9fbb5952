// Curves over a number that a task varies: the shots of few-shot, the k of k-NN, the severity of a
// corruption. One panel per combination of the other facets.

import { BACKBONES, TASKS, scoresOf, taskCellIndex, taskColumns } from "./data.js";
import { $, button, make, paragraph, picker, section, styled } from "./dom.js";
import { chart, linear, logarithmic, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, plural, rangeText, valueText } from "./format.js";
import { chosenColumns, scopeText, summarise, visible } from "./selection.js";
import { mean } from "./statistics.js";
import { change, state } from "./state.js";
import { interactive, showTip } from "./tooltip.js";

const MAX_CURVES = 8; // as many as can be distinguished
// After Okabe & Ito 2008.
const PALETTE = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#8a6d00",
  "#56b4e9",
  "#7a5bd0",
  "#6b7078",
];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "", "7 3", "2 3", "9 3 2 3"];
const FACET_NAMES = { shots: "examples per class", k: "neighbours k", severity: "severity" };
const HEIGHT = 300; // px
const TICKS = 9; // with as many or more values, every other one has a tick

const facetName = ({ facet }) => FACET_NAMES[facet] ?? facet;

// [{id, task, facet, base, scores}] for every task, numeric facet that it varies, and metric that
// was measured at several values of it; the ranking metric first.
function curveSets() {
  return TASKS.flatMap((_, task) => {
    const sets = new Map();
    for (const score of scoresOf(task)) {
      for (const [facet, value] of Object.entries(score.facets)) {
        if (typeof value !== "number") continue;
        const { base } = score;
        const id = [TASKS[task].name, facet, base].join("|");
        if (!sets.has(id)) sets.set(id, { id, task, facet, base, scores: [] });
        sets.get(id).scores.push(score);
      }
    }
    return [...sets.values()].filter(
      ({ facet, scores }) => new Set(scores.map((score) => score.facets[facet])).size > 1,
    );
  });
}

// The set that a link names; else of the chosen task; else of few-shot; else the first.
const chosenSet = (sets) =>
  sets.find((set) => set.id === state.facet) ??
  sets.find((set) => TASKS[set.task].name === state.task) ??
  sets.find((set) => set.facet === "shots") ??
  sets[0];

const EXPLANATION =
  "Mean over the datasets shown; on a single dataset with 95 % intervals. Only backbones with a " +
  "value on every dataset have a curve. All panels have the same axes, which end where values do.";

export function drawCurves(view) {
  const sets = curveSets();
  const set = chosenSet(sets);
  if (!set) {
    view.append(section("Curves", null, paragraph("", "No task varies a number.")));
    return;
  }
  const options = sets.map((item) => [
    item.id,
    `${TASKS[item.task].name}: ${item.base} over ${facetName(item)}`,
  ]);
  const select = picker("facet", options, set.id, (facet) => change({ facet }));
  const ofTask = taskColumns(set.task);
  const chosen = chosenColumns().filter((column) => ofTask.includes(column));
  const columns = chosen.length ? chosen : ofTask;
  const shown = shownBackbones(columns);
  const panels = make("div", { class: "panels" });
  const bar = make("div", { class: "bar" }, make("label", {}, "Curve ", select), legend(shown));
  const note = paragraph("hint", noteText(columns, shown));
  view.append(section("Curves", EXPLANATION, bar, panels, note));
  const drawn = panelsOf(set).map(([title, scores]) => ({
    heading: title || TASKS[set.task].name,
    scores,
    curves: curvesOf(scores, set, columns, shown),
  }));
  const range = rangeOf(drawn);
  panels.append(...drawn.map((one) => panel(one, panelWidth(panels, drawn.length), range, set)));
  $("status").textContent = plural(shown.length, "curve");
}

function noteText(columns, shown) {
  const scope = scopeText(columns);
  if (!shown.length) {
    return `No backbone shown has a value in every cell of ${scope}; choose one dataset.`;
  }
  return (
    `${scope}. The first ${shown.length} of the backbones shown, by mean z-score; search or ` +
    "filter for others."
  );
}

function shownBackbones(columns) {
  const matching = new Set(visible());
  return summarise(columns)
    .order.filter((b) => matching.has(b))
    .slice(0, MAX_CURVES);
}

// [[values of the other facets, scores in ascending order of the facet], ...].
function panelsOf({ facet, scores }) {
  const panels = new Map();
  for (const score of scores) {
    const others = Object.entries(score.facets).filter(([name]) => name !== facet);
    const title = others.map(([, value]) => value).join(", ");
    panels.set(title, [...(panels.get(title) ?? []), score]);
  }
  return [...panels]
    .filter(([, panelScores]) => panelScores.length > 1)
    .map(([title, panelScores]) => [
      title,
      panelScores.sort((a, b) => a.facets[facet] - b.facets[facet]),
    ]);
}

function legend(shown) {
  const keys = shown.flatMap((b, index) => {
    const line = make("line", {
      class: "curve",
      x1: 1,
      x2: 25,
      y1: 5,
      y2: 5,
      "stroke-dasharray": DASHES[index],
    });
    const svg = make("svg", { width: 26, height: 10, "aria-hidden": "true" }, line);
    const name = make("bdi", {}, cut(BACKBONES[b].name, 30));
    const key = styled(svg, { "--mark": PALETTE[index] });
    return [button({ class: "name" }, () => openBackbone(b), key, name), " "];
  });
  return paragraph("legend", ...keys);
}

const panelWidth = (panels, count) =>
  Math.min(560, Math.max(300, Math.floor(widthOf(panels) / Math.min(3, count)) - 48));

const curvesOf = (scores, set, columns, shown) =>
  shown
    .map((b, index) => ({ b, index, points: pointsOf(scores, set, columns, b) }))
    .filter((curve) => curve.points.length);

// What the axes of all panels cover: values with their limits, and the facet's values that have one.
function rangeOf(panels) {
  const points = panels.flatMap(({ curves }) => curves.flatMap((curve) => curve.points));
  return {
    values: points.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]),
    facetValues: [...new Set(points.map((point) => point.x))].sort((a, b) => a - b),
  };
}

function panel({ heading, scores, curves }, width, { values, facetValues }, set) {
  const figure = make("figure", {}, make("h3", {}, heading));
  if (!curves.length) {
    figure.append("No backbone shown has a value on every dataset.");
    return figure;
  }
  const box = { left: 46, right: width - 14, top: 26, bottom: HEIGHT - 48 };
  const x =
    set.facet === "severity"
      ? linear(facetValues, box.left, box.right)
      : logarithmic(facetValues, box.left + 6, box.right - 6);
  const y = linear(values, box.bottom, box.top, 6);
  const [{ metric, base }] = scores;
  x.ticks = facetValues.filter((_, index) => facetValues.length < TICKS || index % 2 === 0);
  figure.append(
    chart(
      width,
      HEIGHT,
      `${heading}: ${base} over ${facetName(set)}`,
      yAxis(y, box, tickText(y, metric.percent), base),
      xAxis(x, box, String, facetName(set)),
      curves.map((curve) => curveMark(curve, x, y, metric, set)),
    ),
  );
  return figure;
}

// A backbone's means over columns, {x, value, low, high}; limits only for a single column.
function pointsOf(scores, { facet }, columns, b) {
  const indices = columns.map((column) => taskCellIndex(column, b));
  const points = scores.map(({ facets, value, low, high }) => {
    const [index] = indices;
    const hasLimits = columns.length === 1 && low && !Number.isNaN(low[index]);
    return {
      x: facets[facet],
      value: mean(indices.map((at) => value[at])),
      low: hasLimits ? low[index] : null,
      high: hasLimits ? high[index] : null,
    };
  });
  return points.filter((point) => !Number.isNaN(point.value));
}

function curveMark({ b, index, points }, x, y, metric, set) {
  const line = make("polyline", {
    class: "curve",
    points: points.map((point) => `${x.at(point.x)},${y.at(point.value)}`).join(" "),
    "stroke-dasharray": DASHES[index],
  });
  const dots = points.flatMap((point) => pointMarks(b, point, x, y, metric, set));
  const series = make("g", { class: "series" }, line, ...dots);
  return styled(series, { "--mark": PALETTE[index] });
}

// The interval of a point, if any, and its dot.
function pointMarks(b, point, x, y, metric, { facet }) {
  const { value, low, high } = point;
  const range = low === null ? "" : ` [${rangeText(low, high, metric)}]`;
  const text = `${facet} ${point.x}: ${valueText(value, metric)}${range}`;
  const lines = [BACKBONES[b].name, text];
  const cx = x.at(point.x);
  const dot = make("circle", {
    class: "dot",
    cx,
    cy: y.at(value),
    r: 3.5,
    tabindex: 0,
    role: "img",
    "aria-label": lines.join(", "),
  });
  const tip = () => {
    const { right, top } = dot.getBoundingClientRect();
    showTip(lines, right, top);
  };
  interactive(dot, tip);
  if (low === null) return [dot];
  const whisker = { class: "whisker", x1: cx, x2: cx, y1: y.at(low), y2: y.at(high) };
  return [make("line", whisker), dot];
}

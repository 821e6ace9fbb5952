// Curves over a number that a task varies: shots of few-shot, k of k-NN, the severity of a corruption. One panel per other setting.

import { BACKBONES, TASKS, partPlace, scoresOf, taskColumns } from "./data.js";
import { $, button, choices, make, on, section, styled } from "./dom.js";
import { chart, linear, logarithmic, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, plural, rangeText, valueText } from "./format.js";
import { chosenColumns, scopeText, summary, visible } from "./selection.js";
import { mean } from "./statistics.js";
import { change, state } from "./state.js";
import { hideTip, showTip } from "./tooltip.js";

const LINES = 8; // curves at once: as many as can be told apart
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7a5bd0", "#6b7078"]; // after Okabe & Ito 2008
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "", "7 3", "2 3", "9 3 2 3"];
const NAMES = { shots: "examples per class", k: "neighbours k", severity: "severity" };
const HEIGHT = 300;

// [{task, facet, base, scores}] for every task, number that it varies and metric that is had at several values of it; the ranking metric first.
function curveSets() {
  return TASKS.flatMap((_, task) => {
    const sets = new Map();
    for (const score of scoresOf(task)) {
      for (const facet of Object.keys(score.facets).filter((name) => typeof score.facets[name] === "number")) {
        const id = [TASKS[task].name, facet, score.base].join("|");
        if (!sets.has(id)) sets.set(id, { id, task, facet, base: score.base, scores: [] });
        sets.get(id).scores.push(score);
      }
    }
    return [...sets.values()].filter(({ facet, scores }) => new Set(scores.map((score) => score.facets[facet])).size > 1);
  });
}

// What a link asks for; else what the chosen task has; else few-shot; else the first.
function chosenSet(sets) {
  const own = sets.filter((one) => TASKS[one.task].name === state.task);
  return sets.find((one) => one.id === state.facet) ?? own[0] ?? sets.find((one) => one.facet === "shots") ?? sets[0];
}

export function drawCurves(view) {
  const sets = curveSets(),
    set = chosenSet(sets);
  if (!set) return view.append(section("Curves", null, make("p", {}, "No task varies a number.")));
  const select = choices(
    make("select", { id: "facet" }),
    sets.map((one) => [one.id, `${TASKS[one.task].name}: ${one.base} over ${NAMES[one.facet] ?? one.facet}`]),
  );
  select.value = set.id;
  on(select, { change: () => change({ facet: select.value }) });
  const columns = chosenColumns().filter((column) => taskColumns(set.task).includes(column)),
    own = columns.length ? columns : taskColumns(set.task);
  const shown = shownIn(own),
    panels = make("div", { class: "panels" });
  view.append(
    section(
      "Curves",
      "Mean over the datasets shown; on a single dataset with 95 % intervals. A curve has only backbones with a value on every dataset.",
      make("div", { class: "bar" }, make("label", {}, "Curve ", select), key(shown)),
      panels,
      make("p", { class: "hint" }, shown.length
          ? `${scopeText(own)}. The first ${shown.length} of the backbones shown, by mean z; search or filter for others.`
          : `No backbone shown has a value on every one of ${scopeText(own)}; choose one dataset.`),
    ),
  );
  for (const [other, scores] of panelsOf(set)) panels.append(panel(panels, other, scores, set, own, shown));
  $("status").textContent = plural(shown.length, "curve");
  return undefined;
}

function shownIn(columns) {
  const seen = new Set(visible()),
    out = summary(columns);
  return out.order.filter((b) => seen.has(b)).slice(0, LINES);
}

function panelsOf(set) {
  const found = new Map();
  for (const score of set.scores) {
    const other = Object.entries(score.facets)
      .filter(([name]) => name !== set.facet)
      .map(([, value]) => value)
      .join(", ");
    found.set(other, [...(found.get(other) ?? []), score]);
  }
  return [...found]
    .filter(([, scores]) => scores.length > 1)
    .map(([other, scores]) => [other, scores.sort((a, b) => a.facets[set.facet] - b.facets[set.facet])]);
}

function key(shown) {
  return make(
    "p",
    { class: "legend" },
    ...shown.flatMap((b, index) => {
      const line = make(
        "svg",
        { width: 26, height: 10, "aria-hidden": "true" },
        make("line", { class: "curve", x1: 1, x2: 25, y1: 5, y2: 5, "stroke-dasharray": DASHES[index] }),
      );
      return [
        button({ class: "name" }, () => openBackbone(b), styled(line, { "--mark": PALETTE[index] }), make("bdi", {}, cut(BACKBONES[b].name, 30))),
        " ",
      ];
    }),
  );
}

function panel(panels, other, scores, set, columns, shown) {
  const curves = shown
    .map((b, index) => ({ b, index, points: scores.map((score) => pointOf(score, set, columns, b)).filter(Boolean) }))
    .filter((curve) => curve.points.length);
  const figure = make("figure", {}, make("h3", {}, other || TASKS[set.task].name));
  const values = curves.flatMap((curve) => curve.points.flatMap((point) => [point.value, point.low ?? point.value, point.high ?? point.value]));
  if (!values.length) {
    figure.append("No backbone shown has a value on every dataset.");
    return figure;
  }
  const width = Math.min(560, Math.max(300, Math.floor(widthOf(panels) / Math.min(3, panelsOf(set).length)) - 48)),
    box = { left: 46, right: width - 14, top: 26, bottom: HEIGHT - 48 };
  const all = scores.map((score) => score.facets[set.facet]),
    x = set.facet === "severity" ? linear(all, box.left, box.right) : logarithmic(all, box.left + 6, box.right - 6),
    y = linear(values, box.bottom, box.top, 6),
    { metric } = scores[0];
  x.ticks = [...new Set(all)].filter((value, index, list) => list.length < 9 || index % 2 === 0);
  figure.append(
    chart(
      width,
      HEIGHT,
      `${other || TASKS[set.task].name}: ${scores[0].base} over ${NAMES[set.facet] ?? set.facet}`,
      yAxis(y, box, tickText(y, metric.percent), scores[0].base),
      xAxis(x, box, String, NAMES[set.facet] ?? set.facet),
      curves.map((curve) => curveMark(curve, x, y, metric, set)),
    ),
  );
  return figure;
}

// The mean over columns; limits only on a single one.
function pointOf(score, set, columns, b) {
  const at = columns.map((column) => partPlace(column, b)),
    values = at.map((index) => score.value[index]);
  if (values.some((value) => Number.isNaN(value))) return null;
  const single = columns.length === 1 && score.low && !Number.isNaN(score.low[at[0]]);
  return { x: score.facets[set.facet], value: mean(values), low: single ? score.low[at[0]] : null, high: single ? score.high[at[0]] : null };
}

function curveMark({ b, index, points }, x, y, metric, set) {
  const line = make("polyline", {
    class: "curve",
    points: points.map((point) => `${x.at(point.x)},${y.at(point.value)}`).join(" "),
    "stroke-dasharray": DASHES[index],
  });
  const dots = points.flatMap((point) => {
    const lines = [
      BACKBONES[b].name,
      `${set.facet} ${point.x}: ${valueText(point.value, metric)}${point.low === null ? "" : ` [${rangeText(point.low, point.high, metric)}]`}`,
    ];
    const dot = make("circle", {
      class: "dot",
      cx: x.at(point.x),
      cy: y.at(point.value),
      r: 3.5,
      tabindex: 0,
      role: "img",
      "aria-label": lines.join(", "),
    });
    const tip = () => {
      const { right, top } = dot.getBoundingClientRect();
      showTip(lines, right, top);
    };
    on(dot, { pointerenter: tip, pointerleave: hideTip, focus: tip, blur: hideTip });
    return [
      ...(point.low === null
        ? []
        : [make("line", { class: "whisker", x1: x.at(point.x), x2: x.at(point.x), y1: y.at(point.low), y2: y.at(point.high) })]),
      dot,
    ];
  });
  return styled(make("g", { class: "series" }, line, ...dots), { "--mark": PALETTE[index] });
}

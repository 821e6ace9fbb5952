// Distribution shift: the score on images like those that the probe was fitted on, the score on
// shifted images, and the difference.

import {
  ALL_BACKBONES,
  BACKBONES,
  DATASETS,
  TASKS,
  datasetOf,
  scoresOf,
  taskCellIndex,
  taskColumns,
} from "./data.js";
import { $, coloured, make, paragraph, picker, section } from "./dom.js";
import { chart, gridAlong, linear, tickText, widthOf, xAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, plural, rangeText, signed, valueText } from "./format.js";
import { rowNames } from "./names.js";
import { chosenColumns, scopeText, visible } from "./selection.js";
import { mean } from "./statistics.js";
import { change, state } from "./state.js";
import { explained } from "./tooltip.js";

const ROW = 22; // px
const MAX_ROWS = 40;
const LABEL = [150, 210]; // px for names: on a phone, and beside it
const NARROW = 640; // px
const PANEL = 170; // px, least width of one of several panels
const PANEL_HEAD = 40; // px
const ALL = "all"; // the choice of all shifts side by side
const IN_DISTRIBUTION = "test"; // the facet value of the test split of the probe's own dataset

const EXPLANATION =
  "Ring: the score in distribution, on images like those that the probe was fitted on. Dot: the " +
  "score on shifted images, with its 95 % interval between two caps where a single dataset is drawn. " +
  "The bar between them is the change. Effective robustness (in the " +
  "tooltip) is how far the shifted score lies above the line that the scores of all backbones " +
  "except baselines predict, fitted on logits per dataset. Ordered by the score on shifted images.";

// [{id, task, shift, score, reference}]: each metric on shifted images together with the same
// metric in distribution, restricted to the shift's classes where those are fewer.
function shiftSets() {
  return TASKS.flatMap((_, task) =>
    scoresOf(task)
      .filter(({ facets }) => facets.shift != null && facets.shift !== IN_DISTRIBUTION)
      .map((score) => ({
        id: `${TASKS[task].name}|${score.name}`,
        task,
        shift: String(score.facets.shift),
        score,
        reference: referenceOf(score, task),
      }))
      .filter(({ reference }) => reference),
  );
}

function referenceOf(score, task) {
  const references = scoresOf(task).filter(
    ({ base, facets }) => base === score.base && facets.shift === IN_DISTRIBUTION,
  );
  return (
    references.find(({ facets }) => facets.classes_of === score.facets.shift) ??
    references.find(({ facets }) => facets.classes_of == null)
  );
}

export function drawShifts(view) {
  const sets = shiftSets();
  if (!sets.length) {
    const text = "No score on shifted images has a matching score in distribution.";
    view.append(section("Under shift", null, paragraph("", text)));
    return;
  }
  const ofTask = sets.filter((item) => TASKS[item.task].name === state.task);
  const panels = panelsOf(ofTask.length ? ofTask : sets);
  const chosen = sets.find((item) => item.id === state.shift);
  const set = chosen ?? (panels.length > 1 ? null : (ofTask[0] ?? sets[0]));
  const options = sets.map((item) => [
    item.id,
    `${TASKS[item.task].name}: ${item.score.base}, ${item.shift}`,
  ]);
  if (panels.length > 1) options.unshift([ALL, "all side by side"]);
  const select = picker("shift", options, set?.id ?? ALL, (shift) => change({ shift }));
  const figure = make("figure");
  const legend = paragraph("legend", "● shifted · ○ in distribution · at the right, the change");
  const bar = make("div", { class: "bar" }, make("label", {}, "Shift ", select), legend);
  if (!set) {
    view.append(section("Under shift", EXPLANATION, bar, figure));
    drawPanels(figure, panels);
    return;
  }
  const columns = columnsOf(set);
  const rows = rowsOf(set, columns);
  view.append(section("Under shift", EXPLANATION, bar, figure, noteOf(columns, rows)));
  figure.append(
    rows.length
      ? dumbbells(figure, rows.slice(0, MAX_ROWS), set)
      : "No backbone shown has a value here.",
  );
  $("status").textContent = plural(rows.length, "backbone");
}

function noteOf(columns, rows) {
  const scope = `${scopeText(columns)}, mean over ${plural(columns.length, "dataset")}.`;
  const cutOff =
    rows.length > MAX_ROWS
      ? ` The first ${MAX_ROWS} of ${rows.length}; search or filter for others.`
      : "";
  return paragraph("hint", scope + cutOff);
}

// ---- all shifts side by side

// One panel for each shift of each dataset: {set, column}.
const panelsOf = (sets) =>
  sets.flatMap((set) => columnsOf(set).map((column) => ({ set, column })));

// Draw the panels in lines of as many as fit, all with the same order of backbones; those whose
// scores are shares have one axis, so that they can be compared.
function drawPanels(figure, panels) {
  const drawn = panels.map(({ set, column }) => ({ set, column, rows: rowsOf(set, [column]) }));
  const order = [...new Set(drawn.flatMap(({ rows }) => rows.map(({ b }) => b)))];
  const meanShifted = (b) => {
    const own = drawn.flatMap(({ rows }) => rows.filter((row) => row.b === b));
    return mean(own.map(({ to }) => to));
  };
  order.sort((a, b) => meanShifted(b) - meanShifted(a));
  const shown = order.slice(0, MAX_ROWS);
  $("status").textContent = plural(order.length, "backbone");
  if (!shown.length) {
    figure.append("No backbone shown has a value here.");
    return;
  }
  const width = widthOf(figure);
  const label = LABEL[width < NARROW ? 0 : 1];
  const perLine = Math.max(1, Math.floor((width - label) / PANEL));
  const lines = Math.ceil(drawn.length / perLine);
  const panelWidth = (width - label) / Math.min(perLine, drawn.length);
  const lineHeight = PANEL_HEAD + ROW * shown.length + 60;
  const shares = drawn.filter(({ set }) => set.score.metric.percent);
  const content = drawn.flatMap((panel, index) => {
    const left = label + (index % perLine) * panelWidth;
    const top = Math.floor(index / perLine) * lineHeight + PANEL_HEAD;
    const box = { left: left + 8, right: left + panelWidth - 54, top, bottom: top + lineHeight - 92 };
    const alike = panel.set.score.metric.percent ? shares : [panel];
    return panelOf(panel, shown, alike, box, index % perLine === 0 ? label : null);
  });
  const title = `Scores in distribution and on ${plural(drawn.length, "shift")}`;
  figure.append(chart(width, lines * lineHeight, title, content));
  if (order.length > shown.length) {
    const text = `The first ${MAX_ROWS} of ${order.length}; search or filter for others.`;
    figure.append(paragraph("hint", text));
  }
}

// One panel; `label` is the width of the names before it, null where it has none.
function panelOf({ set, column, rows }, order, alike, box, label) {
  const { base, metric } = set.score;
  const values = alike.flatMap((panel) => panel.rows.flatMap(extentOf));
  const x = linear(values, box.left, box.right, 3, 0.03);
  const middle = (box.left + box.right) / 2;
  const letters = Math.floor((box.right - box.left + 40) / 7);
  const heading = (text, y, name) =>
    make("text", { class: name, x: middle, y, "text-anchor": "middle" }, cut(text, letters));
  const [above, below] =
    DATASETS.length > 1 ? [datasetOf(column).name, `${set.shift}, ${base}`] : [set.shift, base];
  const placed = rows.filter(({ b }) => order.includes(b));
  const y = (b) => box.top + ROW * (order.indexOf(b) + 0.5);
  const names = label === null ? [] : rowNames(order, label - 12);
  return [
    heading(above, box.top - 24, "axis panel"),
    heading(below, box.top - 8, "tick"),
    ...gridAlong(x, box),
    ...xAxis(x, box, tickText(x, metric.percent), ""),
    ...names.map((name, index) => rowName(name, y(order[index]), label)),
    ...placed.map((row) => dumbbell(row, y(row.b), x, metric, null, box)),
  ];
}

const extentOf = ({ from, to, limits }) => [from, to, ...(limits ?? [])];

const rowName = (text, y, label) =>
  make("text", { class: "row", x: label - 12, y: y + 4, "text-anchor": "end" }, text);

// The chosen columns in which some backbone has this shift; all of the task where none is chosen.
function columnsOf(set) {
  const { value } = set.score;
  const all = taskColumns(set.task).filter((column) =>
    ALL_BACKBONES.some((b) => !Number.isNaN(value[taskCellIndex(column, b)])),
  );
  const chosen = chosenColumns().filter((column) => all.includes(column));
  return chosen.length ? chosen : all;
}

// Both scores of every backbone shown, and the effective robustness that the build computed
// (robustness.csv), as means over the columns; best on shifted images first.
function rowsOf({ score, reference }, columns) {
  const meanOf = (values, b) => mean(columns.map((column) => values[taskCellIndex(column, b)]));
  const robustness = score.effective_robustness;
  return visible()
    .map((b) => ({
      b,
      from: meanOf(reference.value, b),
      to: meanOf(score.value, b),
      limits: columns.length === 1 ? limitsIn(score, columns[0], b) : null,
      robustness: robustness ? meanOf(robustness, b) : NaN,
    }))
    .filter(({ from, to }) => !Number.isNaN(from) && !Number.isNaN(to))
    .sort((a, b) => b.to - a.to);
}

// The 95 % interval of a score in one column; null without one.
function limitsIn({ low, high }, column, b) {
  const index = taskCellIndex(column, b);
  return low && !Number.isNaN(low[index] + high[index]) ? [low[index], high[index]] : null;
}

function dumbbells(figure, rows, set) {
  const { metric, base } = set.score;
  const width = widthOf(figure);
  const label = LABEL[width < NARROW ? 0 : 1];
  const height = ROW * rows.length + 60;
  const box = { left: label, right: width - 70, top: 6, bottom: height - 50 };
  const values = rows.flatMap(extentOf);
  const x = linear(values, box.left, box.right, 7, 0.03);
  const names = rowNames(
    rows.map(({ b }) => b),
    label - 12,
  );
  return chart(
    width,
    height,
    `Scores on ${set.shift} against scores in distribution`,
    gridAlong(x, box),
    xAxis(x, box, tickText(x, metric.percent), base),
    rows.map((row, index) => {
      const y = box.top + ROW * (index + 0.5);
      return dumbbell(row, y, x, metric, rowName(names[index], y, label), box);
    }),
  );
}

// A horizontal line with a cap at each end, which shows on the bar of the change.
const capped = (low, high, y) =>
  `M${low} ${y - 5}V${y + 5}M${low} ${y}H${high}M${high} ${y - 5}V${y + 5}`;

// A backbone's scores; `rowName` is the name before it, null where it has none.
function dumbbell({ b, from, to, limits, robustness }, y, x, metric, rowName, box) {
  const { name, family, baseline } = BACKBONES[b];
  const range = limits ? ` [${rangeText(...limits, metric)}]` : "";
  const change = metric.percent ? signed(100 * (to - from), 1) : signed(to - from, 3);
  const lines = [
    name,
    `in distribution ${valueText(from, metric)}`,
    `shifted ${valueText(to, metric)}${range}`,
    `change ${change}${metric.percent ? " points" : ""}`,
  ];
  if (!Number.isNaN(robustness)) {
    lines.push(`effective robustness ${signed(100 * robustness, 1)} points`);
  }
  const [x1, x2] = [x.at(from), x.at(to)];
  const text = (className, at, content) =>
    make("text", { class: className, x: at, y: y + 4, "text-anchor": "end" }, content);
  const attributes = {
    class: `point dumbbell${baseline ? " faint" : ""}`,
    tabindex: 0,
    role: "button",
    "aria-label": lines.join(", "),
  };
  const start = rowName === null ? box.left : 0;
  const halo = { x: start, y: y - ROW / 2, width: box.right + 50 - start, height: ROW };
  const [low, high] = limits ? limits.map((limit) => x.at(limit)) : [];
  const dot = make("circle", { class: "dot", cx: x2, cy: y, r: 4.5 });
  const group = make(
    "g",
    attributes,
    make("rect", { class: "halo", ...halo }),
    rowName,
    make("line", { class: "change", x1, x2, y1: y, y2: y }),
    limits ? make("path", { class: "whisker", d: capped(low, high, y) }) : null,
    make("circle", { class: "ring", cx: x1, cy: y, r: 4.5 }),
    dot,
    text("tick", box.right + (rowName === null ? 48 : 64), change),
  );
  return explained(coloured(group, family), dot, lines, () => openBackbone(b));
}

// Distribution shift: the score on images like those that the probe was fitted on, the score on
// shifted images, and the difference.

import { ALL_BACKBONES, BACKBONES, TASKS, scoresOf, taskCellIndex, taskColumns } from "./data.js";
import { $, coloured, make, paragraph, picker, section } from "./dom.js";
import { chart, linear, tickText, widthOf, xAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, plural, signed, valueText } from "./format.js";
import { chosenColumns, scopeText, visible } from "./selection.js";
import { mean } from "./statistics.js";
import { change, state } from "./state.js";
import { interactive, showTip } from "./tooltip.js";

const ROW = 22; // px
const MAX_ROWS = 40;
const LABEL = 210; // px
const NARROW = 640; // px
const IN_DISTRIBUTION = "test"; // the facet value of the test split of the probe's own dataset

const EXPLANATION =
  "Ring: the score in distribution, on images like those that the probe was fitted on. Dot: the " +
  "score on shifted images. The bar between them is the change. Effective robustness (in the " +
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
  const set =
    sets.find((item) => item.id === state.shift) ??
    sets.find((item) => TASKS[item.task].name === state.task) ??
    sets[0];
  if (!set) {
    const text = "No score on shifted images has a matching score in distribution.";
    view.append(section("Under shift", null, paragraph("", text)));
    return;
  }
  const options = sets.map((item) => [
    item.id,
    `${TASKS[item.task].name}: ${item.score.base}, ${item.shift}`,
  ]);
  const select = picker("shift", options, set.id, (shift) => change({ shift }));
  const columns = columnsOf(set);
  const rows = rowsOf(set, columns);
  const figure = make("figure");
  const legend = paragraph("legend", "● shifted · ○ in distribution · at the right, the change");
  const bar = make("div", { class: "bar" }, make("label", {}, "Shift ", select), legend);
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
      robustness: robustness ? meanOf(robustness, b) : NaN,
    }))
    .filter(({ from, to }) => !Number.isNaN(from) && !Number.isNaN(to))
    .sort((a, b) => b.to - a.to);
}

function dumbbells(figure, rows, set) {
  const { metric, base } = set.score;
  const width = widthOf(figure);
  const label = width < NARROW ? 120 : LABEL;
  const height = ROW * rows.length + 60;
  const box = { left: label, right: width - 70, top: 6, bottom: height - 50 };
  const values = rows.flatMap((row) => [row.from, row.to]);
  const x = linear(values, box.left, box.right, 7, 0.03);
  const grid = x.ticks.map((tick) => {
    const at = x.at(tick);
    return make("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: box.bottom });
  });
  return chart(
    width,
    height,
    `Scores on ${set.shift} against scores in distribution`,
    grid,
    xAxis(x, box, tickText(x, metric.percent), base),
    rows.map((row, index) => dumbbell(row, box.top + ROW * (index + 0.5), x, metric, label, box)),
  );
}

function dumbbell({ b, from, to, robustness }, y, x, metric, label, box) {
  const { name, family, baseline } = BACKBONES[b];
  const change = metric.percent ? signed(100 * (to - from), 1) : signed(to - from, 3);
  const lines = [
    name,
    `in distribution ${valueText(from, metric)}`,
    `shifted ${valueText(to, metric)}`,
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
  const halo = { x: 0, y: y - ROW / 2, width: box.right + 70, height: ROW };
  const dot = make("circle", { class: "dot", cx: x2, cy: y, r: 4.5 });
  const group = make(
    "g",
    attributes,
    make("rect", { class: "halo", ...halo }),
    text("row", label - 12, cut(name, label < LABEL ? 15 : 28)),
    make("line", { class: "change", x1, x2, y1: y, y2: y }),
    make("circle", { class: "ring", cx: x1, cy: y, r: 4.5 }),
    dot,
    text("tick", box.right + 64, change),
  );
  const tip = (event) => {
    const { right, top } = dot.getBoundingClientRect();
    showTip(lines, event.clientX ?? right, event.clientY ?? top);
  };
  interactive(coloured(group, family), tip, () => openBackbone(b));
  group.addEventListener("pointermove", tip);
  return group;
}

// Out of distribution: from the score on the images that the probe knows to the score on shifted ones, and what is lost.

import { BACKBONES, TASKS, partPlace, scoresOf, taskColumns } from "./data.js";
import { $, choices, make, on, section, styled } from "./dom.js";
import { chart, linear, tickText, widthOf, xAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { cut, plural, signed, valueText } from "./format.js";
import { chosenColumns, scopeText, visible } from "./selection.js";
import { mean } from "./statistics.js";
import { change, state } from "./state.js";
import { hideTip, showTip } from "./tooltip.js";

const ROW = 22; // px
const MOST = 40; // rows
const LABEL = 210; // px
const OWN = "test"; // the shift that is none: the test split of the set that the probe was fitted on

// [{id, task, shift, score, own}]: a metric on shifted images, and the same on images like those fitted on (among the same classes, where those are fewer).
function shiftSets() {
  return TASKS.flatMap((_, task) => {
    const scores = scoresOf(task),
      own = (score) => {
        const references = scores.filter((one) => one.base === score.base && one.facets.shift === OWN);
        return references.find((one) => one.facets.classes_of === score.facets.shift) ?? references.find((one) => one.facets.classes_of == null);
      };
    return scores
      .filter((score) => score.facets.shift != null && score.facets.shift !== OWN && own(score))
      .map((score) => ({ id: `${TASKS[task].name}|${score.name}`, task, shift: String(score.facets.shift), score, own: own(score) }));
  });
}

export function drawShifts(view) {
  const sets = shiftSets(),
    set = sets.find((one) => one.id === state.shift) ?? sets.find((one) => TASKS[one.task].name === state.task) ?? sets[0];
  if (!set) return view.append(section("Under shift", null, make("p", {}, "No score on shifted images has one in distribution beside it.")));
  const select = choices(
    make("select", { id: "shift" }),
    sets.map((one) => [one.id, `${TASKS[one.task].name}: ${one.score.base}, ${one.shift}`]),
  );
  select.value = set.id;
  on(select, { change: () => change({ shift: select.value }) });
  const columns = columnsOf(set),
    rows = rowsOf(set, columns),
    figure = make("figure");
  const text =
    "Ring: the score on images like those the probe was fitted on. Dot: the score on the shifted ones. The bar between them is the drop. Effective robustness (on hover) is how far the shifted score lies above what both scores of all backbones but floors, as logits on a line per dataset, lead one to expect. Best on the shifted images first.";
  view.append(
    section(
      "Under shift",
      text,
      make(
        "div",
        { class: "bar" },
        make("label", {}, "Shift ", select),
        make("p", { class: "legend" }, "● shifted · ○ like those fitted on · at the right, the change"),
      ),
      figure,
      make(
        "p",
        { class: "hint" },
        `${scopeText(columns)}, mean over ${plural(columns.length, "dataset")}.${rows.length > MOST ? ` The first ${MOST} of ${rows.length}; search or filter for others.` : ""}`,
      ),
    ),
  );
  figure.append(rows.length ? dumbbells(figure, rows.slice(0, MOST), set) : "No backbone shown has a value here.");
  $("status").textContent = plural(rows.length, "backbone");
  return undefined;
}

// The columns shown in which some backbone has this shift; where none is shown, all of the task's.
function columnsOf(set) {
  const has = (column) => BACKBONES.some((_, b) => !Number.isNaN(set.score.value[partPlace(column, b)])),
    all = taskColumns(set.task).filter(has);
  const shown = chosenColumns().filter((column) => all.includes(column));
  return shown.length ? shown : all;
}

// Of every backbone shown, both scores and the effective robustness of the build (robustness.csv), means over the columns.
function rowsOf(set, columns) {
  const at = (score, b) => mean(columns.map((column) => score.value[partPlace(column, b)])),
    seen = new Set(visible());
  const rows = BACKBONES.map((_, b) => ({ b, from: at(set.own, b), to: at(set.score, b) })).filter(
    (row) => !Number.isNaN(row.from) && !Number.isNaN(row.to),
  );
  return rows
    .map((row) => ({ ...row, gain: set.score.gain ? mean(columns.map((column) => set.score.gain[partPlace(column, row.b)])) : NaN }))
    .filter(({ b }) => seen.has(b))
    .sort((a, b) => b.to - a.to);
}

function dumbbells(figure, rows, set) {
  const width = widthOf(figure),
    label = width < 640 ? 120 : LABEL,
    height = ROW * rows.length + 60,
    box = { left: label, right: width - 70, top: 6, bottom: height - 50 };
  const x = linear(
      rows.flatMap((row) => [row.from, row.to]),
      box.left,
      box.right,
      7,
      0.03,
    ),
    { metric } = set.score;
  const grid = x.ticks.map((tick) => make("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: box.top, y2: box.bottom }));
  return chart(
    width,
    height,
    `Scores on ${set.shift} against scores in distribution`,
    grid,
    xAxis(x, box, tickText(x, metric.percent), set.score.base),
    rows.map((row, index) => dumbbell(row, box.top + ROW * (index + 0.5), x, metric, label, box)),
  );
}

function dumbbell({ b, from, to, gain }, y, x, metric, label, box) {
  const { name, family, floor } = BACKBONES[b],
    drop = metric.percent ? `${signed(100 * (to - from), 1)}` : signed(to - from, 3);
  const lines = [
    name,
    `in distribution ${valueText(from, metric)}`,
    `shifted ${valueText(to, metric)}`,
    `change ${drop}${metric.percent ? " points" : ""}`,
    ...(Number.isNaN(gain) ? [] : [`effective robustness ${signed(100 * gain, 1)} points`]),
  ];
  const group = styled(
    make(
      "g",
      { class: `point bell${floor ? " faint" : ""}`, tabindex: 0, role: "button", "aria-label": lines.join(", ") },
      make("rect", { class: "halo", x: 0, y: y - ROW / 2, width: box.right + 70, height: ROW }),
      make("text", { class: "row", x: label - 12, y: y + 4, "text-anchor": "end" }, cut(name, label < LABEL ? 15 : 28)),
      make("line", { class: "drop", x1: x.at(from), x2: x.at(to), y1: y, y2: y }),
      make("circle", { class: "ring", cx: x.at(from), cy: y, r: 4.5 }),
      make("circle", { class: "dot", cx: x.at(to), cy: y, r: 4.5 }),
      make("text", { class: "tick", x: box.right + 64, y: y + 4, "text-anchor": "end" }, drop),
    ),
    { "--mark": `var(--${family})` },
  );
  const tip = (event) => showTip(lines, event.clientX ?? 0, event.clientY ?? 0);
  return on(group, {
    pointermove: tip,
    pointerleave: hideTip,
    blur: hideTip,
    focus: () => {
      const spot = group.querySelector(".dot").getBoundingClientRect();
      showTip(lines, spot.right, spot.top);
    },
    click: () => openBackbone(b),
    keydown: (event) => {
      if (event.key === "Enter") openBackbone(b);
    },
  });
}

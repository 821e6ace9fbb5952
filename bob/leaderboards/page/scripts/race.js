// Races: the number of images that were embedded until each backbone was dropped, one chart per
// column.

import { BACKBONES, looksOf, metricOf, selectedOf, statusOf } from "./data.js";
import { $, coloured, make, paragraph, section } from "./dom.js";
import {
  chart, gridAlong, linear, logarithmic, tickText, widthOf, xAxis, yAxis,
} from "./axes.js";
import { openBackbone } from "./cards.js";
import { grouped, plural, rangeText, valueText } from "./format.js";
import { boxOf, pointKey, pointNames, rowNames } from "./names.js";
import { chosenColumns, scopeText, valueAt, visible } from "./selection.js";
import { explained } from "./tooltip.js";

const ROW = 22; // px
const MAX_ROWS = 60;
const LABEL = [150, 210]; // px for names: on a phone, and beside it
const TICKS = [3, 6]; // likewise
const NARROW = 640; // px
const HEIGHT = 320; // px
const MAX_SERIES = 12; // as many as can be followed

const EXPLANATION =
  "A bar ends at the number of images at which the backbone was dropped, because another was " +
  "shown to be better with the images until then. Backbones with a ring were run in full. Values " +
  "at a drop are of the images that were scored until then, and cannot be compared with those of " +
  "a full run.";

const LOOKS =
  "Means of the scored images after each look, with 95 % limits at that look alone, on which no " +
  "decision rests. A line ends in a cross where its backbone was dropped; of the others, those " +
  "have a line that were the rival of a dropped one.";

export function drawRace(view) {
  const races = chosenColumns()
    .map((column) => ({ column, rows: rowsOf(column) }))
    .filter(({ rows }) => rows.some(({ drop }) => drop));
  const drawn = section("Race", EXPLANATION);
  view.append(drawn);
  if (!races.length) {
    drawn.append(paragraph("", "No backbone shown was dropped from a race here."));
    return;
  }
  for (const { column, rows } of races) {
    const figure = make("figure", { class: "race" }, make("h3", {}, scopeText([column])));
    drawn.append(figure, noteOf(rows));
    figure.append(bars(figure, column, rows));
    const series = seriesOf(column, rows);
    const counts = new Set(series.flatMap(({ looks }) => looks.map(([images]) => images)));
    if (counts.size < 2) continue; // one look draws no line, and its values are in the bars
    const lines = make("figure", { class: "race" });
    drawn.append(lines, paragraph("hint", LOOKS));
    lines.append(...means(lines, column, series));
  }
  $("status").textContent = plural(races.length, "race");
}

// [{b, drop}]: backbones that were run in full, the best first, then the dropped ones, the last
// first. `drop` is what the record says of it, null for a full run.
function rowsOf(column) {
  const { higher } = metricOf(column);
  const rows = visible()
    .map((b) => ({ b, status: statusOf(column, b), drop: dropOf(column, b) }))
    .filter(({ status, drop }) => status === "ok" || drop);
  const order = ({ b, drop }) => (drop ? drop.images : valueAt(column, b) * (higher ? 1 : -1));
  return rows.sort(
    (a, b) => Number(Boolean(a.drop)) - Number(Boolean(b.drop)) || order(b) - order(a),
  );
}

function dropOf(column, b) {
  if (statusOf(column, b) !== "dropped") return null;
  const drop = Object.fromEntries(selectedOf(column, b));
  return drop.images ? drop : null;
}

function noteOf(rows) {
  const drops = rows.flatMap(({ drop }) => (drop ? [drop] : []));
  const [{ images_of_all: full, images_again: again = 0 }] = drops;
  const spared = drops.reduce((sum, drop) => sum + full - drop.images, 0);
  const saved = spared - (rows.length - drops.length) * again;
  const all = rows.length * full;
  const share = valueText(Math.abs(saved) / all, { percent: true });
  const instead = saved < 0 ? "more embedded than" : "not embedded, of";
  const cutOff =
    rows.length > MAX_ROWS ? ` The first ${MAX_ROWS} are drawn; search or filter for others.` : "";
  return paragraph(
    "hint",
    `${drops.length} of ${plural(rows.length, "backbone")} dropped; ${grouped(Math.abs(saved))} ` +
      `images × backbones ${instead} ${grouped(all)} without a race (${share} %).${cutOff}`,
  );
}

function bars(figure, column, rows) {
  const width = widthOf(figure);
  const size = width < NARROW ? 0 : 1;
  const label = LABEL[size];
  const drawn = rows.slice(0, MAX_ROWS);
  const height = ROW * drawn.length + 60;
  const box = { left: label, right: width - 70, top: 6, bottom: height - 50 };
  const { drop } = rows.find((row) => row.drop);
  const names = rowNames(
    drawn.map(({ b }) => b),
    label - 12,
  );
  const x = linear([0, drop.images_of_all], box.left, box.right, TICKS[size], 0.001);
  return chart(
    width,
    height,
    `Images until each backbone was dropped, ${scopeText([column])}`,
    gridAlong(x, box),
    xAxis(x, box, grouped, "images embedded"),
    drawn.map((row, index) => {
      const y = box.top + ROW * (index + 0.5);
      return bar(row, y, x, column, { name: names[index], label }, box, drop.images_of_all);
    }),
  );
}

// What a bar says: the value of a full run, or why and when the backbone was dropped.
function linesOf({ b, drop }, column) {
  const { name } = BACKBONES[b];
  const metric = metricOf(column);
  if (!drop) return [name, `run in full: ${valueText(valueAt(column, b), metric)}`];
  return [
    name,
    `dropped at ${grouped(drop.images)} images`,
    `${valueText(drop.value, metric)} on ${grouped(drop.scored)} scored images`,
    `${drop.rival}: ${valueText(drop.rival_value, metric)}`,
  ];
}

function bar(row, y, x, column, { name, label }, box, all) {
  const { b, drop } = row;
  const { family } = BACKBONES[b];
  const lines = linesOf(row, column);
  const end = x.at(drop ? drop.images : all);
  const text = (className, at, content) =>
    make("text", { class: className, x: at, y: y + 4, "text-anchor": "end" }, content);
  const dot = make("circle", { class: drop ? "dot" : "ring", cx: end, cy: y, r: 4.5 });
  const group = make(
    "g",
    {
      class: `point dumbbell${drop ? " faint" : ""}`,
      tabindex: 0,
      role: "button",
      "aria-label": lines.join(", "),
    },
    make("rect", { class: "halo", x: 0, y: y - ROW / 2, width: box.right + 64, height: ROW }),
    text("row", label - 12, name),
    make("line", { class: "change", x1: x.at(0), x2: end, y1: y, y2: y }),
    dot,
    text("tick", box.right + 64, drop ? grouped(drop.images) : "in full"),
  );
  return explained(coloured(group, family), dot, lines, () => openBackbone(b));
}

// [{b, drop, looks}] of the backbones whose looks are known, in the order of the bars. Those of a
// backbone that was run in full are the longest of the dropped ones whose rival it was.
function seriesOf(column, rows) {
  const dropped = rows.filter(({ drop }) => drop);
  const ofRival = (name) =>
    dropped
      .filter(({ drop }) => drop.rival === name)
      .map(({ b }) => looksOf(column, b, "rival_looks"))
      .reduce((longest, looks) => (looks.length > longest.length ? looks : longest), []);
  return rows
    .map(({ b, drop }) => ({
      b,
      drop,
      looks: drop ? looksOf(column, b, "looks") : ofRival(BACKBONES[b].name),
    }))
    .filter(({ looks }) => looks.length)
    .slice(0, MAX_SERIES);
}

// The chart, and what its numbers stand for.
function means(figure, column, series) {
  const width = widthOf(figure);
  const metric = metricOf(column);
  const box = { left: 46, right: width - (width < NARROW ? 14 : 150), top: 26, bottom: HEIGHT - 48 };
  const looks = series.flatMap((one) => one.looks);
  const images = looks.map(([count]) => count);
  const x = logarithmic(images, box.left + 6, box.right - 6);
  const y = linear(looks.flatMap(([, , low, high]) => [low, high]), box.bottom, box.top, 6);
  const names = lineNames(series, x, y, { ...box, right: width - 4 }, width);
  const plot = chart(
    width,
    HEIGHT,
    `Means with limits against images, ${scopeText([column])}`,
    yAxis(y, box, tickText(y, metric.percent), metric.name),
    xAxis(x, box, grouped, "images embedded (logarithmic)"),
    series.map((one) => meanLine(one, x, y, metric)),
    names.texts,
  );
  return [plot, pointKey(names.key)].filter(Boolean);
}

// The names of lines at their ends, which cover neither a line nor its limits.
function lineNames(series, x, y, area, width) {
  const ends = series.map(({ b, drop, looks }) => {
    const [images, mean] = looks.at(-1);
    return { b, x: x.at(images), y: y.at(mean), isSoft: Boolean(drop) };
  });
  const pieces = series.flatMap(({ looks }) =>
    looks.flatMap(([images, mean, low, high], index) => {
      const [before, meanBefore] = looks[Math.max(0, index - 1)];
      return [
        boxOf([x.at(images), x.at(images)], [y.at(low), y.at(high)]),
        boxOf([x.at(before), x.at(images)], [y.at(meanBefore), y.at(mean)]),
      ];
    }),
  );
  return pointNames(ends, ends, area, width < NARROW ? 24 : 40, pieces);
}

function meanLine({ b, drop, looks }, x, y, metric) {
  const { family, name } = BACKBONES[b];
  const at = looks.map(([images, mean, low, high]) => [
    x.at(images), y.at(mean), y.at(low), y.at(high),
  ]);
  const points = at.map(([cx, cy]) => `${cx},${cy}`).join(" ");
  const whiskers = at.map(([cx, , low, high]) =>
    make("line", { class: "whisker", x1: cx, x2: cx, y1: low, y2: high }),
  );
  const [images, mean, low, high] = looks.at(-1);
  const [cx, cy] = at.at(-1);
  const lines = [
    name,
    `${valueText(mean, metric)} [${rangeText(low, high, metric)}] at ${grouped(images)} images`,
    drop ? "dropped there" : "run in full",
  ];
  const end = drop
    ? make("path", { class: "cross", d: `M${cx - 4},${cy - 4}l8,8m0,-8l-8,8` })
    : make("circle", { class: "dot", cx, cy, r: 4.5 });
  const group = make(
    "g",
    {
      class: `series${drop ? " faint" : ""}`,
      tabindex: 0,
      role: "button",
      "aria-label": lines.join(", "),
    },
    make("polyline", { class: "curve", points }),
    ...whiskers,
    end,
  );
  return explained(coloured(group, family), end, lines, () => openBackbone(b));
}

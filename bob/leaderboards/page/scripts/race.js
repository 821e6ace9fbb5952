// Races: the number of images that were embedded until each backbone was dropped, one chart per
// column.

import { BACKBONES, metricOf, selectedOf, statusOf } from "./data.js";
import { $, coloured, make, paragraph, section } from "./dom.js";
import { chart, gridAlong, linear, widthOf, xAxis } from "./axes.js";
import { openBackbone } from "./cards.js";
import { grouped, plural, valueText } from "./format.js";
import { rowNames } from "./names.js";
import { chosenColumns, scopeText, valueAt, visible } from "./selection.js";
import { explained } from "./tooltip.js";

const ROW = 22; // px
const MAX_ROWS = 60;
const LABEL = [150, 210]; // px for names: on a phone, and beside it
const TICKS = [3, 6]; // likewise
const NARROW = 640; // px

const EXPLANATION =
  "A bar ends at the number of images at which the backbone was dropped, because another was " +
  "shown to be better with the images until then. Backbones with a ring were run in full. Values " +
  "at a drop are of the images that were scored until then, and cannot be compared with those of " +
  "a full run.";

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
    const figure = make("figure", {}, make("h3", {}, scopeText([column])));
    drawn.append(figure, noteOf(rows));
    figure.append(bars(figure, column, rows));
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
  const saved = drops.reduce((sum, drop) => sum + drop.images_of_all - drop.images, 0);
  const all = rows.length * drops[0].images_of_all;
  const share = valueText(saved / all, { percent: true });
  const cutOff =
    rows.length > MAX_ROWS ? ` The first ${MAX_ROWS} are drawn; search or filter for others.` : "";
  return paragraph(
    "hint",
    `${drops.length} of ${plural(rows.length, "backbone")} dropped; ${grouped(saved)} of ` +
      `${grouped(all)} images × backbones not embedded (${share} %).${cutOff}`,
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

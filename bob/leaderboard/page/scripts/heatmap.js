// The heat map: backbones × cells, coloured by z-score. A canvas, since it holds up to tens of thousands of cells; the table says the same in text.

import { BACKBONES, COLUMNS, contaminated, datasetOf, isFloor, place, taskOf } from "./data.js";
import { $, make, on, section, styled } from "./dom.js";
import { openBackbone } from "./cards.js";
import { cut, plural } from "./format.js";
import { chosenColumns, columnOf, scopeText, summary, valueAt, visible } from "./selection.js";
import { cellTip } from "./rows.js";
import { hideTip, showTip } from "./tooltip.js";

const ROW = 18; // px
const HEAD = 96; // px for the dataset names
const LABEL = 190; // px for the backbone names
const LETTER = 7; // px, of a task's name
const RANGE = 2.5; // z-scores beyond are as dark
const LOW = [196, 93, 20]; // orange and blue differ for every common kind of colour blindness
const HIGH = [25, 95, 170];

export function drawHeatmap(view) {
  const canvas = make("canvas", { id: "heat", tabindex: 0, role: "img", "aria-describedby": "heat-note" });
  const text =
    "Each cell is a backbone's z-score on one dataset: standard deviations above (blue) or below (orange) the pool's mean. Use the arrow keys to walk over the cells.";
  view.append(
    section("Per-dataset heat map", text, scaleBar(), make("div", { class: "scroll heat" }, canvas), make("p", { class: "hint", id: "heat-note" })),
  );
  const map = layout(canvas);
  paint(canvas, map, null);
  listen(canvas, map);
  $("heat-note").textContent = `${scopeText(map.columns)}. Rows by mean z. A dot: contaminated; hatched: no value.`;
  $("status").textContent = `${plural(map.rows.length, "backbone")} × ${plural(map.columns.length, "cell")}`;
}

function scaleBar() {
  const steps = [-2, -1, 0, 1, 2].map((z) =>
    styled(make("span", { class: "step" }, z > 0 ? `+${z}` : String(z).replace("-", "\u2212")), {
      background: colour(z),
      color: Math.abs(z) > 1 ? "#fff" : "var(--ink)",
    }),
  );
  return make("p", { class: "legend scale" }, "z ", ...steps);
}

function layout(canvas) {
  const columns = chosenColumns(),
    out = summary(columns),
    worth = (b) => out.rows.get(b)?.z ?? -Infinity;
  const rows = visible().sort((a, b) => isFloor(a) - isFloor(b) || worth(b) - worth(a) || (BACKBONES[a].name < BACKBONES[b].name ? -1 : 1));
  const narrow = canvas.parentElement.clientWidth < 640,
    label = narrow ? 110 : LABEL,
    room = canvas.parentElement.clientWidth - label - 12;
  const side = Math.max(4, Math.min(34, Math.floor(room / Math.max(1, columns.length))));
  return {
    columns,
    rows,
    label,
    side,
    letters: narrow ? 15 : 27,
    head: side >= 11 ? HEAD : 24,
    width: label + side * columns.length + 12,
    height: (side >= 11 ? HEAD : 24) + ROW * rows.length + 4,
  };
}

function mix(colourOf, share) {
  const ground = window.getComputedStyle(document.documentElement).getPropertyValue("--heat").trim().split(",").map(Number);
  return `rgb(${colourOf.map((value, index) => Math.round(ground[index] + (value - ground[index]) * share)).join(" ")})`;
}

const colour = (z) => mix(z < 0 ? LOW : HIGH, Math.min(1, Math.abs(z) / RANGE));
const ink = (name) => window.getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function paint(canvas, map, focus) {
  const density = Math.max(2, window.devicePixelRatio || 1), // sharp on paper too
    context = canvas.getContext("2d");
  Object.assign(canvas, { width: Math.ceil(map.width * density), height: Math.ceil(map.height * density) });
  Object.assign(canvas.style, { width: `${map.width}px`, height: `${map.height}px` });
  context.scale(density, density);
  context.font = `12px ${window.getComputedStyle(document.body).fontFamily}`;
  heads(context, map);
  map.rows.forEach((b, r) => paintRow(context, map, b, r));
  if (focus) {
    context.strokeStyle = ink("--ink");
    context.lineWidth = 2;
    context.strokeRect(map.label + focus.c * map.side, map.head + focus.r * ROW, map.side, ROW);
  }
}

function paintRow(context, map, b, r) {
  const top = map.head + r * ROW;
  context.fillStyle = ink(isFloor(b) ? "--soft" : "--ink");
  context.textAlign = "right";
  context.fillText(cut(BACKBONES[b].name, map.letters), map.label - 8, top + 13, map.label - 12);
  map.columns.forEach((column, c) => paintCell(context, map.label + c * map.side, top, map.side, column, b));
}

const SHADES = new Map();

function paintCell(context, left, top, side, column, b) {
  const gap = side > 7 ? 1 : 0,
    value = valueAt(column, b);
  if (Number.isNaN(value)) {
    context.strokeStyle = ink("--line");
    context.beginPath();
    context.moveTo(left + gap, top + ROW - 1);
    context.lineTo(left + side - gap, top + 1);
    context.stroke();
    return;
  }
  context.fillStyle = shade(columnOf(column).z(b));
  context.fillRect(left, top, side - gap, ROW - 1);
  if (contaminated(column, b)) {
    context.fillStyle = ink("--ink");
    context.beginPath();
    context.arc(left + (side - gap) / 2, top + ROW / 2 - 0.5, 2, 0, 7);
    context.fill();
  }
}

// Colours in steps of a tenth, made once per ground.
function shade(z) {
  const key = `${ink("--heat")}|${Math.round(10 * Math.max(-RANGE, Math.min(RANGE, z)))}`;
  if (!SHADES.has(key)) SHADES.set(key, colour(Math.round(10 * z) / 10));
  return SHADES.get(key);
}

// Dataset names, slanted; where cells are narrow, only the tasks above their columns.
function heads(context, map) {
  const tasks = new Set(map.columns.map((column) => COLUMNS[column].task));
  map.columns.forEach((column, c) => {
    const left = map.label + c * map.side,
      first = c === 0 || COLUMNS[map.columns[c - 1]].task !== COLUMNS[column].task;
    context.fillStyle = ink("--soft");
    context.textAlign = "left";
    if (first && tasks.size > 1) {
      const own = map.columns.filter((other) => COLUMNS[other].task === COLUMNS[column].task).length;
      context.fillText(cut(taskOf(column).name, Math.max(3, Math.floor((own * map.side) / LETTER))), left, 12);
      context.fillRect(left, 16, 1, map.head - 18);
    }
    if (map.side < 11) return;
    context.save();
    context.translate(left + map.side / 2 + 3, map.head - 5);
    context.rotate(-Math.PI / 2);
    context.fillText(cut(datasetOf(column).name, 12), 0, 0);
    context.restore();
  });
}

function listen(canvas, map) {
  const at = { r: 0, c: 0 };
  const where = (event) => {
    const box = canvas.getBoundingClientRect(),
      c = Math.floor((event.clientX - box.left - map.label) / map.side),
      r = Math.floor((event.clientY - box.top - map.head) / ROW);
    return r >= 0 && r < map.rows.length && c < map.columns.length ? { r, c } : null;
  };
  const tell = (found, x, y) =>
    showTip(found.c < 0 ? [BACKBONES[map.rows[found.r]].name] : cellTip(place(map.columns[found.c], map.rows[found.r])), x, y);
  const walk = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Enter" && map.rows.length) return openBackbone(map.rows[at.r]);
    if (!step || !map.rows.length || !map.columns.length) return undefined;
    event.preventDefault();
    at.r = Math.max(0, Math.min(map.rows.length - 1, at.r + step[0]));
    at.c = Math.max(0, Math.min(map.columns.length - 1, at.c + step[1]));
    const box = canvas.getBoundingClientRect(),
      lines = cellTip(place(map.columns[at.c], map.rows[at.r]));
    paint(canvas, map, at);
    canvas.setAttribute("aria-label", lines.join(", "));
    return tell(at, box.left + map.label + (at.c + 1) * map.side, box.top + map.head + at.r * ROW);
  };
  canvas.setAttribute("aria-label", `Heat map of ${map.rows.length} backbones over ${scopeText(map.columns)}; the table view says the same in text.`);
  on(canvas, {
    pointermove: (event) => {
      const found = where(event);
      if (found) tell(found, event.clientX, event.clientY);
      else hideTip();
    },
    pointerleave: hideTip,
    blur: hideTip,
    keydown: walk,
    click: (event) => {
      const found = where(event);
      if (found) openBackbone(map.rows[found.r]);
    },
  });
}

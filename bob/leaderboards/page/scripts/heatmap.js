// The heat map: backbones × cells, coloured by z-score. It is a canvas, since it can hold tens of
// thousands of cells; the table has the same values as text.

import {
  BACKBONES,
  COLUMNS,
  DATASETS,
  cellIndex,
  contaminated,
  datasetOf,
  isBaseline,
  metricOf,
  statusOf,
  taskOf,
} from "./data.js";
import { $, ARROWS, make, on, paragraph, section, styled } from "./dom.js";
import { openBackbone } from "./cards.js";
import { Z_SCORE, cut, plural, rangeText, shortened, valueText } from "./format.js";
import {
  byPlace,
  chosenColumns,
  columnOf,
  highAt,
  lowAt,
  scopeText,
  summarise,
  valueAt,
  visible,
} from "./selection.js";
import { cellTip, statusText } from "./rows.js";
import { hideTip, showTip } from "./tooltip.js";

const ROW = 18; // px
const DATASET_HEAD = [40, 170]; // px for vertical dataset names: at least and at most
const TASK_LINE = 15; // px, of a line of task names
const LABEL = [90, 340]; // px for backbone names: at least and at most
const LABEL_SHARE = 0.4; // of the width: at most for backbone names
const NARROW = 640; // px: smaller letters
const NAMED_SIDE = 11; // px: narrower cells have no dataset names
const VALUE_SIDE = 46; // px: wider cells show their values
const RANGE_SIDE = 116; // px: wider cells show their intervals too
const RANGE = 2.5; // z-scores beyond have the colour of this one
const LOW = [196, 93, 20]; // orange and blue differ in every common colour vision deficiency
const HIGH = [25, 95, 170];

const EXPLANATION =
  "Each cell is a backbone's z-score on one task and dataset: above (blue) or below (orange) " +
  "average. Use the arrow keys to move between cells.";

export function drawHeatmap(view) {
  const canvas = make("canvas", {
    id: "heat",
    tabindex: 0,
    role: "img",
    "aria-describedby": "heat-note",
  });
  const scroll = make("div", { class: "scroll heat" }, canvas);
  const note = make("p", { class: "hint", id: "heat-note" });
  view.append(section("Scores by task and dataset", EXPLANATION, scaleBar(), scroll, note));
  const map = layout(canvas);
  const { rows, columns } = map;
  paint(canvas, map, null);
  listen(canvas, map);
  const intervals = map.side >= RANGE_SIDE ? " with 95 % intervals" : "";
  note.textContent =
    `${scopeText(columns)}. ${map.side >= VALUE_SIDE ? `Numbers are scores${intervals}. ` : ""}` +
    `Rows are ordered by mean z-score. Dot: contaminated; diagonal line: no value. ${Z_SCORE}`;
  $("status").textContent =
    `${plural(rows.length, "backbone")} × ${plural(columns.length, "setting")}`;
}

function scaleBar() {
  const steps = [-RANGE, -1, 0, 1, RANGE].map((z) => {
    const sign = Math.abs(z) < RANGE ? "" : z < 0 ? "\u2264 " : "\u2265 ";
    const text = `${sign}${z > 0 ? "+" : ""}${z}`.replace("-", "\u2212");
    const { fill, text: color } = colour(z);
    return styled(make("span", { class: "step" }, text), { background: fill, color });
  });
  return paragraph("legend scale", "z-score ", ...steps);
}

// Columns, rows (backbones, best first, baselines last) and sizes in px; `side` is a cell's width.
function layout(canvas) {
  const columns = chosenColumns();
  const summary = summarise(columns);
  const rows = visible().sort(
    (a, b) =>
      isBaseline(a) - isBaseline(b) ||
      byPlace(summary, a, b) ||
      (BACKBONES[a].name < BACKBONES[b].name ? -1 : 1),
  );
  const box = window.getComputedStyle(canvas.parentElement);
  const padding = parseFloat(box.paddingLeft) + parseFloat(box.paddingRight);
  const available = canvas.parentElement.clientWidth - padding;
  const narrow = available < NARROW;
  const context = contextOf(canvas, narrow);
  const names = rows.map((b) => BACKBONES[b].name);
  const [least, most] = LABEL;
  const label = clampTo(widest(context, names) + 12, least, Math.min(most, LABEL_SHARE * available));
  const fitting = Math.floor((4 * (available - label)) / Math.max(1, columns.length)) / 4;
  const side = Math.max(4, fitting);
  const width = label + side * columns.length;
  const tasks = taskLabels(context, columns, label, side, width);
  const lines = Math.max(0, ...tasks.map(({ line }) => line + 1));
  const isNamed = DATASETS.length > 1 || !tasks.length; // the name of a single one is in the title
  const datasets = columns.map((column) => (isNamed ? datasetOf(column).name : ""));
  const flat = widest(context, datasets) + 8 <= side;
  const vertical = clampTo(widest(context, datasets) + 10, ...DATASET_HEAD);
  const datasetHead = side >= NAMED_SIDE ? vertical : 6;
  const flatHead = isNamed ? TASK_LINE + 8 : 6;
  const head = lines * TASK_LINE + (flat ? flatHead : datasetHead);
  return {
    columns,
    rows,
    label,
    side,
    head,
    tasks,
    flat,
    rowNames: fitted(context, names, label - 12),
    columnNames: flat ? datasets : fitted(context, datasets, datasetHead - 8),
    narrow,
    width,
    height: head + ROW * rows.length + 4,
  };
}

function contextOf(canvas, narrow) {
  const context = canvas.getContext("2d");
  context.font = `${narrow ? 11 : 12}px ${window.getComputedStyle(document.body).fontFamily}`;
  return context;
}

const clampTo = (value, least, most) => Math.max(least, Math.min(most, Math.ceil(value)));

const widest = (context, names) =>
  Math.max(0, ...names.map((name) => context.measureText(name).width));

// Names that are cut only as far as the width demands.
const fitted = (context, names, width) =>
  shortened(names, (name, share) => {
    let text = name;
    for (let most = [...name].length - 1; most > 3; most -= 1) {
      if (context.measureText(text).width <= width) break;
      text = cut(name, most, share);
    }
    return text;
  });

// {name, left, text, line} of each task, where there are several: its name begins at `left`, above
// its first column, or is moved to the left where it would leave the map. `line` is the highest line
// in which it covers no other name, and where no mark from a name down to its column crosses one.
// Names are never cut.
function taskLabels(context, columns, label, side, width) {
  const taskAt = (c) => COLUMNS[columns[c]].task;
  const firsts = columns.map((_, c) => c).filter((c) => c === 0 || taskAt(c - 1) !== taskAt(c));
  if (firsts.length < 2) return [];
  const ends = []; // of each line, the right end of its last name
  const placed = [];
  for (const c of firsts) {
    const { name } = taskOf(columns[c]);
    const left = label + c * side;
    const size = context.measureText(name).width + 6;
    const text = Math.max(0, Math.min(left, width - size));
    const isFree = (line) =>
      (ends[line] ?? 0) <= text &&
      ends.slice(line + 1).every((end) => end <= left) &&
      placed.every((task) => task.line >= line || task.left < text || task.left > text + size);
    const free = [...ends.keys()].find(isFree);
    const line = free ?? ends.length;
    ends[line] = text + size;
    placed.push({ name, left, text, line });
  }
  return placed;
}

const property = (name) =>
  window.getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A colour mixed with the background of the heat map, as channels.
function mix(rgb, share) {
  const background = property("--heat").split(",").map(Number);
  return rgb.map((value, index) =>
    Math.round(background[index] + (value - background[index]) * share),
  );
}

// Relative luminance (WCAG 2) of channels in 0..255.
function luminance(rgb) {
  const [red, green, blue] = rgb.map((value) => {
    const channel = value / 255;
    return channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// The colour of a z-score, and that of text on it: black or white, whichever has more contrast,
// which is at least 4.5. Without a z-score, as with a single backbone, it is that of an average.
function colour(z) {
  const share = Number.isFinite(z) ? Math.min(1, Math.abs(z) / RANGE) : 0;
  const channels = mix(z < 0 ? LOW : HIGH, share);
  const text = luminance(channels) > 0.179 ? "#000" : "#fff";
  return { fill: `rgb(${channels.join(" ")})`, text };
}

function paint(canvas, map, focus) {
  const density = Math.max(2, window.devicePixelRatio || 1); // sharp on paper too
  const context = canvas.getContext("2d");
  Object.assign(canvas, {
    width: Math.ceil(map.width * density),
    height: Math.ceil(map.height * density),
  });
  Object.assign(canvas.style, { width: `${map.width}px`, height: `${map.height}px` });
  contextOf(canvas, map.narrow).scale(density, density);
  paintHeads(context, map);
  map.rows.forEach((b, r) => paintRow(context, map, b, r));
  if (focus) {
    const left = map.label + focus.c * map.side;
    context.strokeStyle = property("--ink");
    context.lineWidth = 2;
    context.strokeRect(left, map.head + focus.r * ROW, map.side, ROW);
  }
}

function paintRow(context, map, b, r) {
  const top = map.head + r * ROW;
  const name = map.rowNames[r];
  context.fillStyle = property(isBaseline(b) ? "--soft" : "--ink");
  context.textAlign = "right";
  context.fillText(name, map.label - 8, top + 13, map.label - 12);
  map.columns.forEach((column, c) => {
    paintCell(context, map.label + c * map.side, top, map.side, column, b);
  });
}

function paintCell(context, left, top, side, column, b) {
  const gap = side > 7 ? 1 : 0;
  const status = statusOf(column, b);
  if (side >= RANGE_SIDE && !["ok", "missing"].includes(status)) {
    context.fillStyle = property("--soft");
    context.textAlign = "center";
    context.fillText(statusText(status), left + side / 2, top + 13, side - 4);
    return;
  }
  if (Number.isNaN(valueAt(column, b))) {
    context.strokeStyle = property("--line");
    context.beginPath();
    context.moveTo(left + gap, top + ROW - 1);
    context.lineTo(left + side - gap, top + 1);
    context.stroke();
    return;
  }
  const z = columnOf(column).z(b);
  const { fill, text: ink } = shade(z);
  context.fillStyle = fill;
  context.fillRect(left, top, side - gap, ROW - 1);
  if (side >= VALUE_SIDE) {
    context.fillStyle = ink;
    context.textAlign = "center";
    const metric = metricOf(column);
    const range = side >= RANGE_SIDE ? rangeText(lowAt(column, b), highAt(column, b), metric) : "";
    const text = `${valueText(valueAt(column, b), metric)}${range ? ` [${range}]` : ""}`;
    context.fillText(text, left + side / 2, top + 13, side - 4);
  }
  if (contaminated(column, b)) {
    context.fillStyle = ink;
    context.beginPath();
    const middle = side >= VALUE_SIDE ? side - 8 : (side - gap) / 2;
    context.arc(left + middle, top + ROW / 2 - 0.5, 2, 0, 7);
    context.fill();
  }
}

const SHADES = new Map();

// Colours in steps of a tenth, computed once per background.
function shade(z) {
  const step = Math.round(10 * Math.max(-RANGE, Math.min(RANGE, z)));
  const key = `${property("--heat")}|${step}`;
  if (!SHADES.has(key)) SHADES.set(key, colour(Math.round(10 * z) / 10));
  return SHADES.get(key);
}

// Task names above dataset names, which are vertical where cells are narrower than a name, and left
// out where they are narrower than a line of text.
function paintHeads(context, map) {
  context.fillStyle = property("--soft");
  context.textAlign = "left";
  for (const { left, line } of map.tasks) {
    const bottom = (line + 1) * TASK_LINE;
    context.fillRect(left, bottom, 1, map.head - bottom - 2);
  }
  for (const { name, text, line } of map.tasks) {
    const bottom = (line + 1) * TASK_LINE;
    context.fillStyle = property("--panel"); // lines of other tasks end at a name
    context.fillRect(text - 2, bottom - 14, context.measureText(name).width + 4, 13);
    context.fillStyle = property("--soft");
    context.fillText(name, text, bottom - 4);
  }
  if (map.side < NAMED_SIDE) return;
  map.columns.forEach((_, c) => {
    const left = map.label + c * map.side;
    if (map.flat) {
      context.textAlign = "center";
      context.fillText(map.columnNames[c], left + map.side / 2, map.head - 6);
      return;
    }
    context.save();
    context.translate(left + map.side / 2 + 3, map.head - 5);
    context.rotate(-Math.PI / 2);
    context.fillText(map.columnNames[c], 0, 0);
    context.restore();
  });
}

const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));

function listen(canvas, map) {
  const { rows, columns, label, side, head } = map;
  const focus = { r: 0, c: 0 };
  const linesAt = ({ r, c }) =>
    c < 0 ? [BACKBONES[rows[r]].name] : cellTip(cellIndex(columns[c], rows[r]));

  // The cell under the pointer, with column -1 over a backbone's name; null outside.
  const cellAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const c = Math.floor((event.clientX - box.left - label) / side);
    const r = Math.floor((event.clientY - box.top - head) / ROW);
    return r >= 0 && r < rows.length && c < columns.length ? { r, c } : null;
  };

  const moveFocus = (event) => {
    const step = ARROWS[event.key];
    if (event.key === "Enter" && rows.length) openBackbone(rows[focus.r]);
    if (!step || !rows.length || !columns.length) return;
    event.preventDefault();
    focus.r = clamp(focus.r + step[0], rows.length);
    focus.c = clamp(focus.c + step[1], columns.length);
    const box = canvas.getBoundingClientRect();
    const lines = linesAt(focus);
    paint(canvas, map, focus);
    canvas.setAttribute("aria-label", lines.join(", "));
    const x = box.left + label + (focus.c + 1) * side;
    showTip(lines, x, box.top + head + focus.r * ROW);
  };

  const scope = scopeText(columns);
  canvas.setAttribute(
    "aria-label",
    `Heat map of ${rows.length} backbones over ${scope}; the table has the same values as text.`,
  );
  on(canvas, {
    pointermove: (event) => {
      const cell = cellAt(event);
      if (cell) showTip(linesAt(cell), event.clientX, event.clientY);
      else hideTip();
    },
    pointerleave: hideTip,
    blur: hideTip,
    keydown: moveFocus,
    click: (event) => {
      const cell = cellAt(event);
      if (cell) openBackbone(rows[cell.r]);
    },
  });
}

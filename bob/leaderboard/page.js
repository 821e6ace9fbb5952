"use strict";
// Draws the table, the plot and the cards from the JSON in #data. Text is always set as text, never as markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
for (const cell of DATA.backbones.flatMap((backbone) => backbone.cells)) if (cell?.limits) [cell.value, cell.low, cell.high] = cell.limits;
const FAMILIES = ["supervised", "ssl", "clip", "domain", "baseline"];
const SHAPES = { // unit paths around (0, 0), told apart without colour
  supervised: "M5 0A5 5 0 1 1 -5 0A5 5 0 1 1 5 0Z",
  ssl: "M-4.5 -4.5H4.5V4.5H-4.5Z",
  clip: "M0 -5.5L5.2 4H-5.2Z",
  domain: "M0 -6L6 0L0 6L-6 0Z",
  baseline: "M4.5 0A4.5 4.5 0 1 1 -4.5 0A4.5 4.5 0 1 1 4.5 0Z",
};
const MEAN = "mean";
const MANY = 24; // columns: with more, the first view is one task

const state = { sort: null, descending: true };
const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "polyline", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A name as text that may break after its separators.
function named(name) {
  const parts = name.split(/(?<=[_./:-])/);
  return make("bdi", {}, ...parts.flatMap((part, index) => (index ? [make("wbr"), part] : [part])));
}

// ---- numbers as text

const percent = (value) => (100 * value).toFixed(1);
const format = (value, isPercent) => (isPercent ? percent(value) : value.toFixed(3));
const millions = (params) => (params == null ? "–" : Number((params / 1e6).toPrecision(3)).toString());

function intervalText(cell, column) {
  if (cell.low == null || cell.high == null) return "";
  return `${format(cell.low, column.percent)}–${format(cell.high, column.percent)}`;
}

// ---- what is shown

function visibleColumns() {
  const task = $("task").value, dataset = $("dataset").value;
  return DATA.columns.map((column, index) => ({ ...column, index }))
    .filter((column) => (task === "" || column.task === task) && (dataset === "" || column.dataset === dataset));
}

function searchable(backbone) {
  const facts = backbone.facts || {}, seen = facts.pretraining || {};
  return [backbone.name, backbone.family, facts.architecture, facts.licence, facts.weights, seen.method, seen.data].join(" ").toLowerCase();
}

function visibleBackbones() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const families = new Set([...document.querySelectorAll("#families input:checked")].map((box) => box.value));
  const most = $("params").value === "" ? Infinity : 1e6 * Number($("params").value);
  return DATA.backbones.filter((backbone) => families.has(backbone.family)
    && (most === Infinity || (backbone.params != null && backbone.params <= most))
    && words.every((word) => searchable(backbone).includes(word)));
}

const valueOf = (backbone, column) => backbone.cells[column.index]?.value ?? null;

function meanOf(backbone, columns) {
  const values = columns.map((column) => valueOf(backbone, column));
  if (!values.length || values.includes(null) || !columns.every((column) => column.share)) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// ---- sorting: by name, params, mean, or a column's index; what has no value comes last either way

function sortValue(backbone, key, columns) {
  if (key === "name") return backbone.name;
  if (key === "params") return backbone.params;
  return key === MEAN ? meanOf(backbone, columns) : valueOf(backbone, DATA.columns.map((column, index) => ({ ...column, index }))[key]);
}

function compare(a, b) {
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

function sorted(backbones, columns) {
  const keyed = backbones.map((backbone) => [sortValue(backbone, state.sort, columns), backbone]);
  const order = ([a, x], [b, y]) => (a === null) - (b === null) || (a === null ? 0 : (state.descending ? -1 : 1) * compare(a, b)) || compare(x.name, y.name);
  return keyed.sort(order).map(([, backbone]) => backbone);
}

function firstSort(columns) {
  const key = columns.length > 1 && columns.every((column) => column.share) ? MEAN : columns.length ? columns[0].index : "name";
  sortBy(key, key === MEAN || (columns.length > 0 && columns[0].higher));
}

function sortBy(key, descending) {
  state.sort = key;
  state.descending = descending;
}

// ---- the table

function mark(family) {
  const svg = make("svg", { class: `mark ${family === "baseline" ? "hollow" : ""}`, viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" });
  svg.style.setProperty("--mark", `var(--${family})`);
  svg.append(make("path", { d: SHAPES[family] }));
  return svg;
}

function headCell(key, descending, ...label) {
  const current = state.sort === key;
  const head = make("th", { scope: "col", class: key === "params" ? "size" : "" });
  if (current) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
  const button = make("button", { type: "button", "data-sort": key }, ...label);
  button.addEventListener("click", () => {
    sortBy(key, current ? !state.descending : descending);
    draw();
    document.querySelector(`[data-sort="${key}"]`).focus();
  });
  head.append(button);
  return head;
}

function columnHead(column, manyTasks) {
  const label = [make("bdi", {}, column.dataset)];
  if (manyTasks) label.unshift(make("small", {}, make("bdi", {}, column.task)));
  const head = headCell(column.index, column.higher, ...label);
  head.title = `${column.task} on ${column.dataset}: ${column.metric}${column.summary ? `, ${column.summary}` : ""}`;
  return head;
}

function scaleOf(column, backbones) {
  const cells = backbones.map((backbone) => backbone.cells[column.index]).filter((cell) => cell && !cell.status);
  const low = Math.min(...cells.map((cell) => cell.low ?? cell.value)), high = Math.max(...cells.map((cell) => cell.high ?? cell.value));
  return (value) => (high > low ? 100 * (value - low) / (high - low) : 50);
}

function rangeMark(cell, scale, family) {
  const range = make("span", { class: "range", "aria-hidden": "true" });
  range.style.setProperty("--mark", `var(--${family})`);
  if (cell.low != null && cell.high != null) {
    const whisker = make("i");
    whisker.style.left = `${scale(cell.low)}%`;
    whisker.style.width = `${scale(cell.high) - scale(cell.low)}%`;
    range.append(whisker);
  }
  const dot = make("b");
  dot.style.left = `${scale(cell.value)}%`;
  range.append(dot);
  return range;
}

function valueCell(backbone, column, scale, best) {
  const cell = backbone.cells[column.index];
  if (!cell) return make("td", { class: "none", title: "no record" }, "–");
  if (cell.status) return make("td", { class: cell.status, title: cell.reason }, cell.status);
  const field = make("td", { class: cell.value === best ? "best" : "" }, make("span", { class: "val" }, format(cell.value, column.percent)));
  field.append(" ", make("span", { class: "ci" }, intervalText(cell, column)), rangeMark(cell, scale, backbone.family));
  field.title = `${cell.n} test examples${cell.seeds > 1 ? `, mean over ${cell.seeds} seeds` : ""}`;
  return field;
}

function nameCell(backbone) {
  const button = make("button", { type: "button", class: "name", title: backbone.name }, mark(backbone.family), named(backbone.name));
  button.addEventListener("click", () => openCard(backbone));
  const kind = backbone.floor ? make("span", { class: "tag" }, "floor") : backbone.family;
  return make("th", { scope: "row" }, button, make("span", { class: "sub" }, kind));
}

function drawTable(backbones, columns) {
  const manyTasks = new Set(columns.map((column) => column.task)).size > 1, manyColumns = columns.length > 1;
  const heads = [headCell("name", false, "Backbone"), headCell("params", false, "Params (M)")];
  if (manyColumns) heads.push(headCell(MEAN, true, "Mean"));
  document.querySelector("#board thead").replaceChildren(make("tr", {}, ...heads, ...columns.map((column) => columnHead(column, manyTasks))));
  const scales = columns.map((column) => scaleOf(column, backbones));
  const bests = columns.map((column) => bestOf(column, backbones));
  document.querySelector("#board tbody").replaceChildren(...backbones.map((backbone) => {
    const row = make("tr", { class: backbone.floor ? "floor-row" : "" }, nameCell(backbone), make("td", { class: "size" }, millions(backbone.params)));
    if (manyColumns) row.append(meanCell(meanOf(backbone, columns)));
    row.append(...columns.map((column, index) => valueCell(backbone, column, scales[index], bests[index])));
    return row;
  }));
}

function bestOf(column, backbones) {
  const values = backbones.map((backbone) => valueOf(backbone, column)).filter((value) => value !== null);
  return column.higher ? Math.max(...values) : Math.min(...values);
}

function meanCell(mean) {
  return mean === null ? make("td", { class: "none", title: "not every column has a value" }, "–") : make("td", { class: "val" }, percent(mean));
}

// ---- the plot: quality against parameters, on a logarithmic axis with a place for 0

const PLOT = { width: 900, height: 400, left: 44, right: 190, top: 20, bottom: 46, zero: 44 };
const NARROW = 640; // px: below it only the best are labelled

function fitPlot() {
  PLOT.width = Math.max(320, $("plot").clientWidth);
  PLOT.right = PLOT.width < NARROW ? 24 : 190;
}

function plotPoints(backbones, columns) {
  const single = columns.length === 1 ? columns[0] : null;
  return backbones.filter((backbone) => backbone.params != null).map((backbone) => {
    const cell = single ? backbone.cells[single.index] : null;
    return { backbone, params: backbone.params, y: single ? cell?.value ?? null : meanOf(backbone, columns), low: cell?.low ?? null, high: cell?.high ?? null };
  }).filter((point) => point.y !== null);
}

function xScale(points) {
  const sizes = points.map((point) => point.params).filter((params) => params > 0);
  const first = Math.log10(Math.min(...sizes)) - 0.08, last = Math.log10(Math.max(...sizes)) + 0.08;
  const start = PLOT.left + (points.some((point) => point.params === 0) ? PLOT.zero : 8), end = PLOT.width - PLOT.right;
  const place = (params) => (params === 0 ? PLOT.left + 14 : last > first ? start + (end - start) * (Math.log10(params) - first) / (last - first) : (start + end) / 2);
  const decades = [];
  for (let power = Math.floor(first); sizes.length && power <= Math.ceil(last); power += 1) {
    for (const step of last - first < 2.5 ? [1, 2, 5] : [1]) decades.push(step * 10 ** power);
  }
  return { place, ticks: decades.filter((tick) => Math.log10(tick) >= first && Math.log10(tick) <= last), zero: points.some((point) => point.params === 0) };
}

function niceStep(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
}

function yScale(points) {
  const lows = points.map((point) => point.low ?? point.y), highs = points.map((point) => point.high ?? point.y);
  const pad = 0.06 * (Math.max(...highs) - Math.min(...lows)) || 0.01;
  const low = Math.min(...lows) - pad, high = Math.max(...highs) + pad, step = niceStep(high - low, 7);
  const place = (value) => PLOT.height - PLOT.bottom - (PLOT.height - PLOT.bottom - PLOT.top) * (value - low) / (high - low);
  const ticks = [];
  for (let tick = Math.ceil(low / step); tick * step <= high; tick += 1) ticks.push(tick * step);
  return { place, ticks, step };
}

function axes(x, y, isPercent) {
  const parts = [], bottom = PLOT.height - PLOT.bottom, digits = Math.max(0, -Math.floor(Math.log10(y.step * (isPercent ? 100 : 1)) + 1e-9));
  for (const tick of y.ticks) {
    parts.push(make("line", { class: "grid", x1: PLOT.left, x2: PLOT.width, y1: y.place(tick), y2: y.place(tick) }));
    parts.push(make("text", { x: PLOT.left - 8, y: y.place(tick) + 4, "text-anchor": "end" }, ((isPercent ? 100 : 1) * tick).toFixed(digits)));
  }
  for (const tick of x.zero ? [0, ...x.ticks] : x.ticks) parts.push(make("text", { x: x.place(tick), y: bottom + 20, "text-anchor": "middle" }, sizeText(tick)));
  parts.push(make("text", { x: (PLOT.left + PLOT.width - PLOT.right) / 2, y: PLOT.height - 4, "text-anchor": "middle" }, "parameters"));
  return parts;
}

function sizeText(params) {
  const [unit, scale] = params >= 1e9 ? ["B", 1e9] : params >= 1e6 ? ["M", 1e6] : params >= 1e3 ? ["k", 1e3] : ["", 1];
  return `${Number((params / scale).toPrecision(3))}${unit}`;
}

function front(points, higher) {
  const order = points.filter((point) => !point.backbone.floor).sort((a, b) => a.params - b.params || (higher ? b.y - a.y : a.y - b.y));
  return order.filter((point, index) => order.slice(0, index).every((before) => (higher ? before.y < point.y : before.y > point.y)));
}

function pointMark(point, x, y, isPercent) {
  const { backbone } = point, at = [x.place(point.params), y.place(point.y)];
  const range = point.low === null ? "" : ` [${format(point.low, isPercent)}–${format(point.high, isPercent)}]`;
  const words = `${backbone.name}${backbone.floor ? " (floor)" : ""}: ${format(point.y, isPercent)}${range}, ${sizeText(point.params)} parameters`;
  const group = make("g", { class: `point ${backbone.floor ? "hollow" : ""}`, tabindex: 0, role: "button", "aria-label": words }, make("title", {}, words));
  group.style.setProperty("--mark", `var(--${backbone.family})`);
  if (point.low !== null) group.append(make("line", { class: "whisker", x1: at[0], x2: at[0], y1: y.place(point.low), y2: y.place(point.high) }));
  group.append(make("path", { class: "mark-shape", d: SHAPES[backbone.family], transform: `translate(${at[0]} ${at[1]})` }));
  group.addEventListener("click", () => openCard(backbone));
  group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); openCard(backbone); } });
  return group;
}

function labels(points, x, y) {
  const placed = [], shortened = (name) => ([...name].length > 26 ? `${[...name].slice(0, 25).join("")}…` : name);
  return [...points].sort((a, b) => y.place(a.y) - y.place(b.y)).map((point) => {
    const px = x.place(point.params), left = px > PLOT.width - 180;
    let py = y.place(point.y) + 4;
    for (const other of placed) if (Math.abs(other.px - px) < 180 && Math.abs(other.py - py) < 14) py = other.py + 14;
    placed.push({ px, py });
    return make("text", { class: "label", x: px + (left ? -10 : 10), y: py, "text-anchor": left ? "end" : "start" }, shortened(point.backbone.name));
  });
}

function drawPlot(backbones, columns) {
  const points = plotPoints(backbones, columns), left = backbones.length - points.length;
  const single = columns.length === 1, isPercent = single ? columns[0].percent : true, higher = single ? columns[0].higher : true;
  const what = single ? `${columns[0].metric}, ${columns[0].task} on ${columns[0].dataset}` : `Mean over the ${columns.length} columns shown`;
  $("plot-note").textContent = `${what}${isPercent ? ", in percent" : ""}, against parameters. Dashed: the best at its size or below, floors aside.${left ? ` Without a value or a size, so not drawn: ${left}.` : ""}`;
  if (!points.length) return $("plot").replaceChildren("Nothing to draw.");
  fitPlot();
  const x = xScale(points), y = yScale(points);
  const svg = make("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "group", "aria-label": $("plot-note").textContent }, ...axes(x, y, isPercent));
  svg.append(make("polyline", { class: "front", points: front(points, higher).map((point) => `${x.place(point.params)},${y.place(point.y)}`).join(" ") }));
  svg.append(...points.map((point) => pointMark(point, x, y, isPercent)), ...labels(points.length > 16 || PLOT.width < NARROW ? front(points, higher) : points, x, y));
  return $("plot").replaceChildren(svg);
}

// ---- a backbone's card

function pairs(entries) {
  const list = make("dl");
  for (const [name, value] of entries) if (value != null && value !== "") list.append(make("dt", {}, name), make("dd", { dir: "auto" }, String(value)));
  return list;
}

const joined = (values) => Object.entries(values || {}).filter(([, value]) => value != null).map(([name, value]) => `${name} ${[value].flat().join(", ")}`).join(" · ");

function provenance(backbone) {
  const facts = backbone.facts;
  if (!facts) return [make("p", { class: "failed" }, "It never loaded, so nothing is known about it here.")];
  const seen = facts.pretraining;
  return [
    make("h3", {}, "What it is"),
    pairs([["Family", backbone.floor ? "baseline (floor)" : backbone.family], ["Architecture", `${facts.architecture} (${facts.loader})`], ["Weights", facts.weights], ["Weights hash", facts.weights_hash],
      ["Pretraining", seen && `${seen.method} on ${seen.data}${seen.images ? `, ${seen.images.toLocaleString("en")} images` : ""}`], ["Licence", facts.licence], ["Paper", facts.paper]]),
    make("h3", {}, "How an image becomes a row"),
    pairs([["Geometry", joined(facts.geometry)], ["Normalisation", joined(facts.normalisation)], ["Pooling", facts.pooling], ["Precision", facts.precision], ["Feature width", facts.width]]),
    make("h3", {}, "What it costs"),
    pairs([["Parameters", `${millions(backbone.params)} M`], ["Forward", facts.gflops == null ? null : `${Number(facts.gflops.toPrecision(3))} GFLOP per image`],
      ["Weights", `${Number(facts.weights_mib.toPrecision(3))} MiB`], ...backbone.speed.map(([device, speed]) => ["Measured", `${speed} images/s on ${device}`])]),
  ];
}

function result(cell, column) {
  const box = make("div", { class: "result" }), head = make("p", {}, make("bdi", {}, `${column.task} on ${column.dataset}`), ": ");
  box.append(head);
  if (!cell || cell.status) {
    head.append(make("span", { class: cell ? cell.status : "none" }, cell ? cell.status : "no record"));
    if (cell) box.append(make("p", { dir: "auto" }, cell.reason || "No reason given."));
    return box;
  }
  head.append(make("strong", {}, format(cell.value, column.percent)), ` [${intervalText(cell, column) || "no interval"}] ${column.metric}, n = ${cell.n}`);
  const more = column.more.map((other, index) => [other, cell.more[index]]).filter(([, value]) => value !== null).map(([other, value]) => `${other.metric} ${format(value, other.percent)}`);
  if (more.length) box.append(make("p", {}, more.join(" · ")));
  if (cell.chosen) box.append(make("p", {}, `Chosen: ${joined(cell.chosen)}`));
  return box;
}

function openCard(backbone) {
  const close = make("button", { type: "button", id: "card-close" }, "Close");
  close.addEventListener("click", () => $("card").close());
  const head = make("div", { class: "card-head" }, make("h2", { id: "card-name" }, make("bdi", {}, backbone.name)), close);
  const body = make("div", { class: "card-body" }, ...provenance(backbone), make("h3", {}, "Results"), ...DATA.columns.map((column, index) => result(backbone.cells[index], column)));
  $("card").replaceChildren(head, body);
  $("card").showModal();
}

// ---- controls

function fillSelect(select, all, values, startWithOne = false) {
  const option = (value, text) => make("option", { value }, text);
  select.replaceChildren(...(values.length === 1 ? [] : [option("", all)]), ...values.map((value) => option(value, value)));
  if (startWithOne && values.length > 1) select.options[1].defaultSelected = true;
}

function fillControls() {
  fillSelect($("task"), "all tasks", [...new Set(DATA.columns.map((column) => column.task))], DATA.columns.length > MANY);
  fillSelect($("dataset"), "all datasets", [...new Set(DATA.columns.map((column) => column.dataset))]);
  for (const family of FAMILIES.filter((name) => DATA.backbones.some((backbone) => backbone.family === name))) {
    const box = make("input", { type: "checkbox", value: family, checked: "" });
    $("families").append(make("label", {}, box, mark(family), family === "baseline" ? "floors" : family));
  }
}

function draw() {
  const columns = visibleColumns(), keys = ["name", "params", ...columns.map((column) => column.index), ...(columns.length > 1 ? [MEAN] : [])];
  if (!keys.includes(state.sort)) firstSort(columns);
  const backbones = sorted(visibleBackbones(), columns);
  $("status").textContent = `${backbones.length} of ${DATA.backbones.length} backbones`;
  drawTable(backbones, columns);
  drawPlot(backbones, columns);
}

function listen() {
  $("controls").addEventListener("input", draw);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").addEventListener("reset", () => setTimeout(() => { state.sort = null; draw(); })); // the fields change after this event
  window.addEventListener("resize", () => requestAnimationFrame(draw));
  $("card").addEventListener("click", (event) => { if (event.target === $("card")) $("card").close(); });
}

fillControls();
listen();
draw();

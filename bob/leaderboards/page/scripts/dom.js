// Elements. Text is always set as text, never as markup.

const SVG = new Set(["svg", "g", "path", "line", "text", "polyline", "rect", "circle", "title"]);

// Marks around (0, 0): families differ by shape as well as by colour.
const SHAPES = {
  supervised: "M5 0A5 5 0 1 1 -5 0A5 5 0 1 1 5 0Z",
  ssl: "M-4.5 -4.5H4.5V4.5H-4.5Z",
  clip: "M0 -5.5L5.2 4H-5.2Z",
  domain: "M0 -6L6 0L0 6L-6 0Z",
  precomputed: "M-5.5 -2H-2V-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5Z",
  external: "M-5.5 -3.5H5.5L0 5.5Z",
  baseline: "M-4.5 -4.5L4.5 4.5M-4.5 4.5L4.5 -4.5",
};

// The steps of the arrow keys, in rows and columns.
export const ARROWS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

export const $ = (id) => document.getElementById(id);

// Create an element. Attributes that are null or false, and null children, are skipped.
export function make(tag, attributes = {}, ...children) {
  const element = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

export function on(element, events) {
  for (const [name, listener] of Object.entries(events)) element.addEventListener(name, listener);
  return element;
}

export const button = (attributes, action, ...children) =>
  on(make("button", { type: "button", ...attributes }, ...children), { click: action });

// A name as text of its own writing direction that may break after its separators.
export function named(name) {
  const parts = name.split(/(?<=[_./:-])/);
  return make("bdi", {}, ...parts.flatMap((part, index) => (index ? [make("wbr"), part] : [part])));
}

const colourOf = (family) => `var(--${family})`;
export const shapeOf = (family) => SHAPES[family] ?? SHAPES.supervised;

// Set the colour of a family on an element, as the custom property --mark.
export const coloured = (element, family) => styled(element, { "--mark": colourOf(family) });

// The mark of a family, 14 px.
export function mark(family) {
  const svg = make(
    "svg",
    { class: "mark", viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" },
    make("path", { d: shapeOf(family) }),
  );
  return coloured(svg, family);
}

// A question mark with an explanation for pointer, keyboard and screen reader.
export const help = (text) =>
  make(
    "span",
    { class: "help", tabindex: 0, role: "note", "aria-label": text, "data-tip": text },
    "?",
  );

export function section(title, explanation, ...children) {
  const head = make("h2", {}, title);
  if (explanation) head.append(" ", help(explanation));
  return make("section", {}, head, ...children);
}

export const paragraph = (name, ...children) => make("p", { class: name || null }, ...children);

export const tag = (text, kind = "", explanation = null) =>
  make("span", { class: `tag ${kind}`, "data-tip": explanation }, text);

// Tags separated by spaces, without the null ones.
export const spaced = (tags) => tags.flatMap((item) => (item ? [item, " "] : []));

export const headRow = (texts) =>
  make("tr", {}, ...texts.map((text) => make("th", { scope: "col" }, text)));

export const table = (name, head, rows) =>
  make("table", { class: name }, make("thead", {}, head), make("tbody", {}, ...rows));

// [[name, value], ...] as a definition list, without entries that have no value.
export function pairs(entries) {
  const list = make("dl");
  for (const [name, value] of entries) {
    if (value == null || value === "") continue;
    const content = value instanceof Node ? value : String(value);
    list.append(make("dt", {}, name), make("dd", { dir: "auto" }, content));
  }
  return list;
}

// Fill a select element with [[value, text], ...].
export function choices(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  return select;
}

// A select element with its current value; `action` receives the value that the reader picks.
export function picker(id, options, value, action) {
  const select = choices(make("select", { id }), options);
  select.value = value;
  return on(select, { change: () => action(select.value) });
}

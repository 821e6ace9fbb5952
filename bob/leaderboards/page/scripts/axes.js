// Scales and axes of the charts, in SVG.

import { make } from "./dom.js";
import { cut } from "./format.js";

const NICE_FACTORS = [1, 2, 2.5, 5, 10];
const TITLE_LETTERS = 44;

function niceStep(span, count) {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * NICE_FACTORS.find((factor) => factor * power >= raw * (1 - 1e-9));
}

const multiples = (step, low, high) => {
  const first = Math.ceil(low / step);
  const count = Math.max(0, Math.floor(high / step) - first + 1);
  return Array.from({ length: count }, (_, index) => (first + index) * step);
};

// A linear scale from values to pixels, with ticks at two or more round numbers.
export function linear(values, from, to, count = 6, pad = 0.06) {
  const finite = values.filter((value) => Number.isFinite(value));
  const least = Math.min(...finite);
  const most = Math.max(...finite);
  const margin = pad * (most - least) || Math.abs(most) * 0.05 || 0.05;
  const low = least - margin;
  const high = most + margin;
  let step = niceStep(high - low, count);
  for (let most = count; multiples(step, low, high).length < 2; ) {
    most *= 2;
    step = niceStep(high - low, most);
  }
  const ticks = multiples(step, low, high);
  const at = (value) => from + ((to - from) * (value - low)) / (high - low);
  return { at, ticks, step, low, high };
}

// Leading digits of the ticks of a logarithmic scale, the roundest first.
const LEADING = [[1], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], [1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]];
const MANY_DECADES = 2.2;

// Ticks between two powers of ten, at the roundest numbers of which there are two; of a range that
// is too narrow for that, at multiples of a round step.
function roundTicks(low, high) {
  for (const digits of high - low < MANY_DECADES ? LEADING.slice(1) : LEADING) {
    const ticks = [];
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const digit of digits) {
        const exponent = Math.log10(digit) + power;
        if (exponent >= low && exponent <= high) ticks.push(Number(`${digit}e${power}`));
      }
    }
    if (ticks.length > 1) return ticks;
  }
  const [least, most] = [10 ** low, 10 ** high];
  const step = niceStep(most - least, 4);
  const count = Math.floor(most / step) - Math.ceil(least / step) + 1;
  return Array.from({ length: count }, (_, index) => {
    const tick = (Math.ceil(least / step) + index) * step;
    return Number(tick.toPrecision(6));
  });
}

// A logarithmic scale; 0 has a position of its own before the first positive value.
export function logarithmic(values, from, to) {
  const positive = values.filter((value) => value > 0);
  const hasZero = values.some((value) => value === 0);
  const low = Math.log10(Math.min(...positive)) - 0.08;
  const high = Math.log10(Math.max(...positive)) + 0.08;
  const start = from + (hasZero ? 44 : 0);
  const at = (value) =>
    value > 0 ? start + ((to - start) * (Math.log10(value) - low)) / (high - low || 1) : from + 14;
  const ticks = positive.length ? roundTicks(low, high) : [];
  return { at, ticks: hasZero ? [0, ...ticks] : ticks };
}

// The decimals that multiples of a step need.
function decimalsOf(step) {
  const exponent = Math.floor(Math.log10(step) + 1e-9);
  const isWhole = Number.isInteger(Number((step / 10 ** exponent).toFixed(6)));
  return Math.max(0, -exponent + (isWhole ? 0 : 1));
}

// Ticks of a linear scale as text: fractions in percent, or plain numbers.
export function tickText(scale, percent) {
  const factor = percent ? 100 : 1;
  const decimals = decimalsOf(scale.step * factor);
  return (value) =>
    (factor * value)
      .toFixed(decimals)
      .replace("-", "\u2212")
      .replace(/^\u2212(0(\.0*)?)$/, "$1");
}

export function yAxis(scale, box, text, title) {
  const lines = scale.ticks.flatMap((tick) => {
    const y = scale.at(tick);
    return [
      make("line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y }),
      make("text", { class: "tick", x: box.left - 8, y: y + 4, "text-anchor": "end" }, text(tick)),
    ];
  });
  const label = make("text", { class: "axis", x: 0, y: box.top - 10 }, cut(title, TITLE_LETTERS));
  return [...lines, label];
}

// Vertical lines at the ticks of a horizontal scale.
export const gridAlong = (scale, box) =>
  scale.ticks.map((tick) => {
    const x = scale.at(tick);
    return make("line", { class: "grid", x1: x, x2: x, y1: box.top, y2: box.bottom });
  });

export function xAxis(scale, box, text, title) {
  const { left, right, bottom } = box;
  const centred = (name, x, y, content) =>
    make("text", { class: name, x, y, "text-anchor": "middle" }, content);
  const ticks = scale.ticks.flatMap((tick) => {
    const x = scale.at(tick);
    return [
      make("line", { class: "notch", x1: x, x2: x, y1: bottom, y2: bottom + 5 }),
      centred("tick", x, bottom + 19, text(tick)),
    ];
  });
  const baseLine = make("line", { class: "base", x1: left, x2: right, y1: bottom, y2: bottom });
  const label = centred("axis", (left + right) / 2, bottom + 40, cut(title, TITLE_LETTERS));
  return [baseLine, ...ticks, label];
}

export function chart(width, height, label, ...children) {
  const attributes = {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "group",
    "aria-label": label,
  };
  return make("svg", attributes, ...children.flat());
}

export const widthOf = (element, least = 300) => Math.max(least, Math.floor(element.clientWidth));

// Scales and axes of the charts, in SVG.

import { make } from "./dom.js";
import { cut, sizeText } from "./format.js";

const NICE = [1, 2, 2.5, 5, 10];

function niceStep(span, count) {
  const raw = span / count,
    power = 10 ** Math.floor(Math.log10(raw));
  return power * NICE.find((factor) => factor * power >= raw * (1 - 1e-9));
}

// A linear scale of values to pixels, with ticks at round numbers.
export function linear(values, from, to, count = 6, pad = 0.06) {
  const known = values.filter((value) => Number.isFinite(value)),
    least = Math.min(...known),
    most = Math.max(...known);
  const margin = pad * (most - least) || Math.abs(most) * 0.05 || 0.05,
    low = least - margin,
    high = most + margin,
    step = niceStep(high - low, count);
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) ticks.push(index * step);
  return { at: (value) => from + ((to - from) * (value - low)) / (high - low), ticks, step, low, high };
}

// A logarithmic scale; 0 has a place of its own before the first value.
export function logarithmic(values, from, to) {
  const positive = values.filter((value) => value > 0),
    zero = values.some((value) => value === 0);
  const low = Math.log10(Math.min(...positive)) - 0.08,
    high = Math.log10(Math.max(...positive)) + 0.08,
    start = from + (zero ? 44 : 0);
  const at = (value) => (value > 0 ? start + ((to - start) * (Math.log10(value) - low)) / (high - low || 1) : from + 14);
  const steps = high - low < 2.2 ? [1, 2, 5] : [1],
    ticks = zero ? [0] : [];
  for (let power = Math.floor(low); positive.length && power <= high; power += 1) {
    for (const step of steps) if (Math.log10(step) + power >= low && Math.log10(step) + power <= high) ticks.push(Number(`${step}e${power}`));
  }
  return { at, ticks };
}

const digitsOf = (step) =>
  Math.max(
    0,
    -Math.floor(Math.log10(step) + 1e-9) + (Number.isInteger(Number((step / 10 ** Math.floor(Math.log10(step) + 1e-9)).toFixed(6))) ? 0 : 1),
  );

// Ticks of a linear scale as text: percent of fractions, or plain numbers.
export const tickText = (scale, percent) => (value) =>
  ((percent ? 100 : 1) * value)
    .toFixed(digitsOf(scale.step * (percent ? 100 : 1)))
    .replace("-", "\u2212")
    .replace(/^\u2212(0(\.0*)?)$/, "$1");

export function yAxis(scale, box, text, title) {
  const lines = scale.ticks.flatMap((tick) => [
    make("line", { class: "grid", x1: box.left, x2: box.right, y1: scale.at(tick), y2: scale.at(tick) }),
    make("text", { class: "tick", x: box.left - 8, y: scale.at(tick) + 4, "text-anchor": "end" }, text(tick)),
  ]);
  return [...lines, make("text", { class: "axis", x: 0, y: box.top - 10 }, cut(title, 44))];
}

export function xAxis(scale, box, text, title) {
  const marks = scale.ticks.flatMap((tick) => [
    make("line", { class: "notch", x1: scale.at(tick), x2: scale.at(tick), y1: box.bottom, y2: box.bottom + 5 }),
    make("text", { class: "tick", x: scale.at(tick), y: box.bottom + 19, "text-anchor": "middle" }, text(tick)),
  ]);
  const base = make("line", { class: "base", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom });
  return [
    base,
    ...marks,
    make("text", { class: "axis", x: (box.left + box.right) / 2, y: box.bottom + 40, "text-anchor": "middle" }, cut(title, 44)),
  ];
}

export const sizeTick = (value) => sizeText(value);

export function chart(width, height, label, ...children) {
  return make("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label }, ...children.flat());
}

export const widthOf = (element, least = 300) => Math.max(least, Math.floor(element.clientWidth));

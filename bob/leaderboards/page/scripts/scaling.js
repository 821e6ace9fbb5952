// Scores against the size of backbones or of their pretraining data, with a power law of the error.

import { ALL_BACKBONES, BACKBONES, isBaseline, metricOf } from "./data.js";
import { $, make, paragraph, picker, section } from "./dom.js";
import { chart, linear, logarithmic, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { fixed, plural, rounded, sizeText } from "./format.js";
import { familyLegend, pointKey, pointNames } from "./names.js";
import { plainPoint } from "./points.js";
import { scalingFit } from "./power_law.js";
import { averageable, chosenColumns, scopeText, summarise, visible } from "./selection.js";
import { spearman, spearmanLimits } from "./statistics.js";
import { change, state } from "./state.js";

const SIZES = {
  params: { title: "parameters", tick: sizeText, text: (size) => `${sizeText(size)} parameters` },
  gflops: { title: "GFLOPs per image", tick: String, text: (size) => `${size} GFLOPs per image` },
  pretraining_images: {
    title: "pretraining images",
    tick: sizeText,
    text: (size) => `${sizeText(size)} pretraining images`,
  },
};
const HEIGHT = 420; // px
const WIDE = 640; // px: with room for names at the right of the points
const MOST_NAMED = 14; // points: names of more would cover the chart
const LEAST_BACKBONES = 6; // without which no law is fitted, as in power_law.js
const STEPS = 60; // pieces of the drawn law

const EXPLANATION =
  "A power law of the error, A · x^(−b) + E, fitted to the backbones shown by least squares of " +
  "the logarithm; baselines are excluded. Brackets: 95 % limits over resampled backbones. The " +
  "backbones are no random sample, and family and pretraining data differ with size: the law " +
  "describes them and shows no cause.";

const sized = (name) => ALL_BACKBONES.filter((b) => !isBaseline(b) && BACKBONES[b][name] > 0);
const availableSizes = () =>
  Object.keys(SIZES).filter((name) => sized(name).length >= LEAST_BACKBONES);
export const hasSizes = () => availableSizes().length > 0;

function chosenSize() {
  const available = availableSizes();
  return available.includes(state.size) ? state.size : available[0];
}

export function drawScaling(view) {
  const options = availableSizes().map((name) => [name, SIZES[name].title]);
  const select = picker("size", options, chosenSize(), (size) => change({ size }));
  const label = make("label", {}, "Size ", select);
  const bar = make("div", { class: "bar" }, label, familyLegend(sized(chosenSize())));
  const figure = make("figure", { id: "scaling" });
  view.append(section("Scaling", EXPLANATION, bar, figure));
  drawFigure(figure);
}

// The chosen columns whose scores are shares: an error of 0 is their limit.
const shareColumns = () => chosenColumns().filter((column) => metricOf(column).share);

function drawFigure(figure) {
  const chosen = chosenColumns();
  const summary = summarise(averageable(chosen) ? chosen : shareColumns());
  const shown = new Set(visible());
  const points = summary.pool
    .filter((b) => shown.has(b) && BACKBONES[b][chosenSize()] > 0)
    .map((b) => ({ b, size: BACKBONES[b][chosenSize()], value: summary.rows.get(b).value }));
  $("status").textContent = `${plural(points.length, "backbone")} drawn`;
  if (!points.length) {
    figure.append(paragraph("", "No backbone shown has scores that are shares in every cell."));
    return;
  }
  const sizes = points.map(({ size }) => size);
  const fit = scalingFit(sizes, points.map(({ value }) => 1 - value));
  const label = summary.columns.length === 1 ? metricOf(summary.columns[0]).name : "mean score";
  const note = [
    `${label}, in percent, ${scopeText(summary.columns)}, against ${SIZES[chosenSize()].title}.`,
    orderText(points),
    ...lawTexts(fit),
  ];
  if (summary.columns.length < chosen.length) {
    note.push(`Of ${plural(chosen.length, "cell")}, those whose scores are shares and complete.`);
  }
  const text = note.join(" ");
  const plot = plotOf(points, fit, label, text, figure);
  figure.append(...plot, make("figcaption", {}, text));
}

function orderText(points) {
  const [x, y] = [points.map(({ size }) => size), points.map(({ value }) => value)];
  const rho = spearman(x, y);
  if (rho === null) return "The rank correlation is undefined.";
  const limits = spearmanLimits(rho, points.length);
  const range = limits ? ` [${limits.map((limit) => fixed(limit, 2)).join(" to ")}]` : "";
  return `Spearman ${fixed(rho, 2)}${range}, ${plural(points.length, "backbone")}.`;
}

const percent = (share) => rounded(100 * share, 1);

function lawTexts(fit) {
  if (!fit) return ["No power law: it needs six backbones of four sizes, with errors above 0."];
  const { law, limits, largest, predicted } = fit;
  const range = limits.map((limit) => fixed(limit, 2)).join(" to ");
  return [
    `Line: error = A · x^(−b) + E, b = ${fixed(law.exponent, 2)} [${range}], ` +
      `E = ${percent(law.floor)} %.`,
    `The largest, left out: ${percent(1 - predicted)} % predicted, ` +
      `${percent(1 - largest)} % measured.`,
  ];
}

function plotOf(points, fit, label, text, figure) {
  const width = widthOf(figure);
  const wide = width >= WIDE;
  const box = { left: 52, right: width - (wide ? 150 : 16), top: 30, bottom: HEIGHT - 50 };
  const sizes = points.map(({ size }) => size);
  const x = logarithmic(sizes, box.left + 8, box.right - 4);
  const along = fit ? between(Math.min(...sizes), Math.max(...sizes)) : [];
  const expected = along.map((size) => 1 - fit.law.at(size));
  const y = linear([...points.map(({ value }) => value), ...expected], box.bottom, box.top);
  const places = points.map(({ size, value }) => ({ x: x.at(size), y: y.at(value) }));
  const { text: sizeOf, tick, title } = SIZES[chosenSize()];
  const marks = points.map(({ b, size, value }, i) =>
    plainPoint(b, places[i], [`${label} ${percent(value)}`, sizeOf(size)]),
  );
  const best = [...points.keys()].sort((i, j) => points[j].value - points[i].value);
  const named = best
    .slice(0, MOST_NAMED)
    .map((i) => ({ b: points[i].b, ...places[i], isSoft: true }));
  const line = along.map((size, i) => [x.at(size), y.at(expected[i])]);
  const area = { left: box.left, right: box.right + (wide ? 145 : 10), top: 0, bottom: box.bottom };
  const names = pointNames(named, places, area, wide ? 40 : 24, pieces(line));
  const plot = chart(
    width,
    HEIGHT,
    text,
    yAxis(y, box, tickText(y, true), label),
    xAxis(x, box, tick, title),
    fit ? make("polyline", { class: "law", points: line.join(" ") }) : [],
    marks,
    names.texts,
  );
  return [plot, pointKey(names.key)].filter(Boolean);
}

// The boxes that a line [[x, y], ...] to the right covers.
const pieces = (line) =>
  line.slice(1).map(([x2, y], i) => {
    const [x1, before] = line[i];
    return { x1, x2, y1: Math.min(y, before), y2: Math.max(y, before) };
  });

// Sizes from the least to the most, evenly spaced on a logarithmic scale.
const between = (least, most) =>
  Array.from({ length: STEPS + 1 }, (_, i) => least * (most / least) ** (i / STEPS));

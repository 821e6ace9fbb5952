// All pairs of backbones: how the errors of two complement each other in one cell, and how alike
// their features are. A cell of either matrix opens the comparison of the two.

import {
  BACKBONES,
  COLUMNS,
  DATASETS,
  TASKS,
  countedIn,
  datasetOf,
  isBaseline,
  pairOf,
  signOf,
  similarities,
  similarityOf,
  taskOf,
} from "./data.js";
import { $, make, paragraph, picker, section, spaced } from "./dom.js";
import { openComparison } from "./compare.js";
import { MISSING, fixed, grouped, plural, valueText } from "./format.js";
import { matrix } from "./matrix.js";
import { chosenColumns, valueAt, visible } from "./selection.js";
import { change, state } from "./state.js";
import { complementarity } from "./statistics.js";

const MOST_ROWS = 60; // with more, a matrix is too large to read and slow to draw

// [name in the state, title, meaning]
const COMPLEMENTS = [
  ["only", "Only one right", "the share of test images that exactly one of the two has right"],
  [
    "oracle",
    "Oracle gain",
    "what the better one would gain if the right one of both were known for each image; above 0 " +
      "even beside a baseline",
  ],
  ["rescue", "Rescue rate", "the share of the row's errors that the column has right"],
  [
    "kappa",
    "Error consistency κ",
    "1 with errors on the same images, 0 with independent ones, below 0 (orange) where they avoid " +
      "each other",
  ],
];
const SIMILARITIES = [
  [
    "cka",
    "Debiased linear CKA",
    "1 for features that are equal up to rotation, scale and shift, near 0 for independent ones",
  ],
  ["mutual_knn", "Shared neighbours", "the share of an image's 10 nearest images in common"],
  ["rsa", "Rank correlation of distances", "Spearman's, over the cosine distances of all pairs"],
];
const COMPLEMENT_HELP =
  "What two backbones get right together on the same test images: pairs whose errors differ may " +
  "gain from a fusion, which the command fuse measures. A cell's tooltip has its 95 % interval over " +
  "the test images and the counts. Use the arrow keys to move between cells; a cell opens the " +
  "comparison of the two.";
const SIMILARITY_HELP =
  "How alike the features of two backbones are on the same images, as the command similarity " +
  "computed it, with 95 % intervals over parts of the images. Similar backbones have little to " +
  "add to each other; that different ones do is not implied.";
const NO_COUNTS =
  "No test of this choice has per-image results that are right or wrong, of two backbones or more.";

export function drawPairs(view) {
  const matrices = [complements(), similarity()].filter(Boolean);
  view.append(...matrices.map((one) => one.section));
  const size = Math.max(...matrices.map((one) => one.size));
  $("status").textContent = plural((size * (size - 1)) / 2, "pair");
}

// What the state holds for a selected task or dataset, of which a single one cannot be chosen.
const selected = ({ name }, all) => (all.length > 1 ? name : "");

// The chosen one of [name, ...] entries.
const chosenOf = (entries, name) => entries.find(([one]) => one === name) ?? entries[0];

// A labelled picker of the state `name`; null where there is only one choice.
function choice(name, label, options, value) {
  if (options.length < 2) return null;
  const select = picker(name, options, value, (chosen) => change({ [name]: chosen }));
  return make("label", {}, label, select);
}

// {section, size} of a matrix of backbones. `read(a, b)` is {value, text, lines}, and a cell of the
// size `largest` has the strongest colour.
function pairMatrix(title, help, bar, backbones, read, { largest, scope, note }) {
  const names = backbones.map((b) => BACKBONES[b].name);
  const cellOf = (i, j) => {
    const [a, b] = [backbones[i], backbones[j]];
    const { value, text, lines } = read(a, b);
    return {
      text,
      lines: [`${names[i]} and ${names[j]}: ${lines[0]}`, ...lines.slice(1)],
      strength: value / largest,
      choose: () => openComparison(a, b, scope),
    };
  };
  const body = backbones.length > 1 ? matrix(names, cellOf) : paragraph("", "No pair is shown.");
  const pickers = make("div", { class: "bar" }, make("span", {}, ...spaced(bar)));
  return {
    section: section(title, help, pickers, body, paragraph("hint", note)),
    size: backbones.length,
  };
}

// At most MOST_ROWS of these backbones, and what a note says of the others.
function limited(backbones, order) {
  const shown = backbones.slice(0, MOST_ROWS);
  const left = backbones.length - shown.length;
  const more = left ? ` The first ${shown.length} are shown; search or filter for others.` : "";
  return [shown, `Rows are ordered by ${order}.${more}`];
}

// ---- complementarity, from counts of images

const idOf = (column) => `${taskOf(column).name}|${datasetOf(column).name}`;
const testText = (column) => `${taskOf(column).name} on ${datasetOf(column).name}`;

function complements() {
  const title = "Complementarity";
  const columns = chosenColumns().filter((column) => countedIn(column).length);
  if (!columns.length) {
    return { section: section(title, COMPLEMENT_HELP, paragraph("", NO_COUNTS)), size: 0 };
  }
  const column = columns.find((one) => idOf(one) === state.cell) ?? columns[0];
  const [name, measure, meaning] = chosenOf(COMPLEMENTS, state.measure);
  const cells = columns.map((one) => [idOf(one), testText(one)]);
  const bar = [
    choice("measure", "Measure ", COMPLEMENTS, name),
    choice("cell", "Test ", cells, idOf(column)),
  ];
  const [backbones, order] = limited(byScore(column), "score, baselines last");
  const countsOf = (a, b) => pairOf(column, a, b).counts;
  const read = (a, b) => complement(name, measure, countsOf(a, b), [a, b]);
  const values = backbones.flatMap((a) =>
    backbones.filter((b) => b !== a).map((b) => complementarity(countsOf(a, b))[name].value),
  );
  const largest = isShare(name) ? Math.max(0, ...values.filter(Number.isFinite)) || 1 : 1;
  const strongest = isShare(name) ? ` Strongest colour: ${percent(largest)} %.` : "";
  const scope = {
    task: selected(taskOf(column), TASKS),
    dataset: selected(datasetOf(column), DATASETS),
  };
  const note = `${testText(column)}. ${measure}: ${meaning}.${strongest} ${order}`;
  const rest = { largest, scope, note };
  return pairMatrix(title, COMPLEMENT_HELP, bar, backbones, read, rest);
}

// The backbones shown that have counts in a column.
function byScore(column) {
  const shown = new Set(visible());
  const score = (b) => signOf(column) * valueAt(column, b);
  return countedIn(column)
    .filter((b) => shown.has(b) && !Number.isNaN(valueAt(column, b)))
    .sort((a, b) => isBaseline(a) - isBaseline(b) || score(b) - score(a));
}

// " [low to high]", each limit written by a function; empty without limits.
const limitsText = (low, high, write) =>
  Number.isNaN(low) ? "" : ` [${write(low)} to ${write(high)}]`;

const isShare = (name) => name !== "kappa";
const percent = (share) => valueText(share, { percent: true });
const twoDigits = (value) => fixed(value, 2);

function complement(name, measure, counts, [a, b]) {
  const { value, low, high } = complementarity(counts)[name];
  const write = isShare(name) ? percent : twoDigits;
  const unit = isShare(name) && !Number.isNaN(value) ? " %" : "";
  const { both, onlyA, onlyB, neither } = counts;
  return {
    value,
    text: write(value),
    lines: [
      `${measure} ${write(value)}${unit}${limitsText(low, high, write)}`,
      `both right ${grouped(both)}`,
      `only ${BACKBONES[a].name} ${grouped(onlyA)}`,
      `only ${BACKBONES[b].name} ${grouped(onlyB)}`,
      `neither ${grouped(neither)}`,
    ],
  };
}

// ---- similarity of features

const imagesIdOf = ({ dataset, split }) => `${DATASETS[dataset].name}|${split}`;
const imagesText = ({ dataset, split }) => `${DATASETS[dataset].name}, ${split}`;

function similarity() {
  const datasets = new Set(chosenColumns().map((column) => COLUMNS[column].dataset));
  const computed = similarities().filter(({ dataset }) => datasets.has(dataset));
  if (!computed.length) return null;
  const current = computed.find((one) => imagesIdOf(one) === state.alikeon) ?? computed[0];
  const [name, measure, meaning] = chosenOf(SIMILARITIES, state.alike);
  const images = computed.map((one) => [imagesIdOf(one), imagesText(one)]);
  const bar = [
    choice("alike", "Measure ", SIMILARITIES, name),
    choice("alikeon", "Images ", images, imagesIdOf(current)),
  ];
  const shown = new Set(visible());
  const alike = current.of.filter((b) => shown.has(b));
  const [backbones, order] = limited(alike, "similarity: average linkage of 1 − CKA");
  const read = (a, b) => similar(current, name, measure, [a, b]);
  const scope = { dataset: selected(DATASETS[current.dataset], DATASETS) };
  const note = `${imagesText(current)}. ${measure}: ${meaning}. ${order}`;
  const rest = { largest: 1, scope, note };
  return pairMatrix("Similarity of features", SIMILARITY_HELP, bar, backbones, read, rest);
}

function similar(computed, name, measure, pair) {
  const [i, j] = pair.map((b) => computed.of.indexOf(b));
  const { value, low, high, images } = similarityOf(computed, name, i, j);
  if (!images) return { value, text: MISSING, lines: [`${measure} not computed`] };
  const text = twoDigits(value);
  const limits = limitsText(low, high, twoDigits);
  return { value, text, lines: [`${measure} ${text}${limits}`, plural(images, "image")] };
}

// Two backbones side by side: the scores of both in every chosen cell, their difference with its
// interval, what the paired tests of the build say, and how often only one of them is right.

import { BACKBONES, datasetOf, imagesOf, metricOf, pairOf, signOf, taskOf } from "./data.js";
import { $, button, headRow, make, named, on, paragraph, section, table } from "./dom.js";
import { MISSING, grouped, plural, signed, valueText } from "./format.js";
import { averageable, chosenColumns, valueAt } from "./selection.js";
import { change, state } from "./state.js";
import { verdictsOn } from "./verdicts.js";

const SEPARATOR = "\n"; // between two names in the state; no name holds one
const OPEN_ROWS = 12; // more cells are folded
const HELP =
  "Difference: the first backbone's score minus the second's, in percentage points where scores are " +
  "shares, with the 95 % interval of the paired difference on the same test images. Verdict: the " +
  "paired test, adjusted for the pool (Holm). Images right: how many test images both backbones, " +
  "only one, or neither predict correctly.";
const NO_PAIRS =
  "This page is too large to hold intervals and counts of all pairs, or has no per-image results; " +
  "where there are some, the command compare prints them.";
const WORDS = { tied: "tied", untested: "not tested" };

const names = () => state.compare.split(SEPARATOR).filter(Boolean);
const indexOf = (name) => BACKBONES.findIndex((backbone) => backbone.name === name);

// The one or two backbones that are picked, in the order in which they were.
export const picked = () => names().map(indexOf).filter((b) => b >= 0);

// Show the comparison of two backbones; `scope` is a task and a dataset.
export function openComparison(a, b, scope) {
  const compare = [a, b].map((one) => BACKBONES[one].name).join(SEPARATOR);
  change({ view: "table", compare, ...scope });
  $("panel").focus();
}

// A box that picks a backbone; a third one takes the place of the first.
export function pickBox(b) {
  const { name } = BACKBONES[b];
  const toggle = () => {
    const others = names().filter((other) => other !== name);
    const chosen = others.length < names().length ? others : [...others.slice(-1), name];
    change({ compare: chosen.join(SEPARATOR) });
  };
  const attributes = {
    type: "checkbox",
    class: "tick",
    "data-pick": name,
    "aria-label": `Compare ${name}`,
    "data-tip": "Pick two backbones to compare them.",
  };
  return on(make("input", attributes), { change: toggle });
}

export function showPicks(body) {
  const chosen = new Set(names());
  for (const box of body.querySelectorAll(".tick")) box.checked = chosen.has(box.dataset.pick);
}

// What is shown above the table: nothing, a hint, or the comparison.
export function comparison() {
  const backbones = picked();
  if (!backbones.length) return [];
  if (backbones.length === 1) {
    const text = `Pick a second backbone to compare with ${BACKBONES[backbones[0]].name}.`;
    return [paragraph("hint", text)];
  }
  const [a, b] = backbones;
  const columns = chosenColumns().filter((column) =>
    [a, b].every((one) => !Number.isNaN(valueAt(column, one))),
  );
  const clear = button({}, () => change({ compare: "" }), "Close");
  if (!columns.length) {
    return [section("Comparison", "", paragraph("", "No cell has a value of both."), clear)];
  }
  const [first, second] = [a, b].map((one) => BACKBONES[one].name);
  const pairs = new Map(columns.map((column) => [column, pairOf(column, a, b)]));
  const hasCounts = columns.some((column) => pairs.get(column)?.counts);
  const heads = ["Task and dataset", "Difference", "Verdict", first, second];
  if (hasCounts) heads.push("Both right", `Only ${first}`, `Only ${second}`, "Neither");
  const head = headRow(heads.map(named));
  const rows = columns.map((column) => comparisonRow(column, a, b, pairs.get(column), hasCounts));
  const content = make("div", { class: "scroll" }, table("bests compared", head, rows));
  const folded = make("details", {}, make("summary", {}, plural(rows.length, "cell")), content);
  const body = rows.length > OPEN_ROWS ? folded : content;
  const hint = columns.some((column) => pairs.get(column)) ? "" : NO_PAIRS;
  const note = hint ? paragraph("hint", hint) : null;
  return [section("Comparison", HELP, summaryOf(columns, a, b), body, ...(note ? [note] : []), clear)];
}

const relationOn = (columns, a, b) =>
  verdictsOn(columns, Boolean(state.clean))?.relation(a, b) ?? "untested";

// In one cell, a baseline is outside the pool of the page's verdicts; the pair has its own.
function relationIn(column, a, b) {
  const relation = relationOn([column], a, b);
  return relation === "untested" ? (pairOf(column, a, b)?.relation ?? relation) : relation;
}

function comparisonRow(column, a, b, pair, hasCounts) {
  const metric = metricOf(column);
  const [first, second] = [a, b].map((one) => valueAt(column, one));
  const scale = metric.percent ? 100 : 1;
  const relation = relationIn(column, a, b);
  const better = relation === "better" ? a : b;
  const verdict = WORDS[relation] ?? named(BACKBONES[better].name);
  const digits = metric.percent ? 1 : 3;
  const limits = pair && !Number.isNaN(pair.low) ? [pair.low, pair.high] : null;
  const range = limits && limits.map((limit) => signed(scale * limit, digits)).join(", ");
  const page = imagesOf(column, a, b);
  const counts = pair?.counts
    ? [pair.counts.both, pair.counts.onlyA, pair.counts.onlyB, pair.counts.neither]
    : Array(hasCounts ? 4 : 0).fill(null);
  return make(
    "tr",
    {},
    make("td", { class: "scope" }, named(taskOf(column).name), " on ", named(datasetOf(column).name)),
    make(
      "td",
      { class: "num val" },
      signed(scale * (first - second), digits),
      range ? make("span", { class: "ci" }, ` [${range}]`) : null,
    ),
    make(
      "td",
      {},
      verdict,
      WORDS[relation] ? "" : " is better",
      page ? make("a", { class: "images", href: page }, "images") : null,
    ),
    ...[first, second].map((value) => make("td", { class: "num" }, valueText(value, metric))),
    ...counts.map((count) => make("td", { class: "num" }, count === null ? MISSING : grouped(count))),
  );
}

// How often either is better, and by how much on average.
function summaryOf(columns, a, b) {
  const counts = { better: 0, worse: 0, tied: 0, untested: 0 };
  for (const column of columns) counts[relationIn(column, a, b)] += 1;
  const [first, second] = [a, b].map((one) => BACKBONES[one].name);
  const cells = plural(columns.length, "cell");
  const untested = counts.untested ? `, not tested in ${counts.untested}` : "";
  const sentences = [
    `Of ${cells}, ${first} is significantly better in ${counts.better} and ${second} in ` +
      `${counts.worse}; tied in ${counts.tied}${untested}.`,
  ];
  if (columns.length > 1 && averageable(columns)) {
    const gap = columns.map((column) => signOf(column) * (valueAt(column, a) - valueAt(column, b)));
    const mean = (100 * gap.reduce((sum, value) => sum + value, 0)) / columns.length;
    sentences.push(`Mean difference: ${signed(mean, 1)} points.`);
    const relation = relationOn(chosenColumns(), a, b);
    if (relation === "tied") sentences.push("Over all cells, they are statistically tied.");
    if (relation === "better" || relation === "worse") {
      const winner = relation === "better" ? first : second;
      sentences.push(`Over all cells, ${winner} is significantly better.`);
    }
  }
  return paragraph("", sentences.join(" "));
}

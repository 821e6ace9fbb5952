// Cards: everything about one backbone or one dataset, with provenance and licence.

import {
  $,
  button,
  headRow,
  help,
  make,
  mark,
  named,
  on,
  pairs,
  paragraph,
  spaced,
  table,
  tag,
} from "./dom.js";
import { groupEntries, isOfGroups } from "./groups.js";
import {
  ALL_COLUMNS,
  BACKBONES,
  COLUMNS,
  DATASETS,
  contaminated,
  countsOf,
  datasetOf,
  imagesOf,
  keyOf,
  metricOf,
  reasonOf,
  scoresOf,
  selectedOf,
  statusOf,
  taskCellIndex,
  taskOf,
} from "./data.js";
import {
  MISSING,
  fixed,
  grouped,
  millions,
  plural,
  rangeText,
  short,
  valueText,
} from "./format.js";
import {
  chosenColumns,
  columnOf,
  highAt,
  lowAt,
  scopeText,
  summarise,
  valueAt,
} from "./selection.js";
import { change, state } from "./state.js";

export const openBackbone = (b) => change({ card: `backbone:${BACKBONES[b].name}` });
const openDataset = (d) => change({ card: `dataset:${DATASETS[d].name}` });

// A name that opens its card.
export function nameButton(b) {
  const { name, family } = BACKBONES[b];
  const attributes = { class: "name", title: name, "data-backbone": b };
  return button(attributes, () => openBackbone(b), mark(family), named(name));
}

export function datasetButton(d) {
  const { name } = DATASETS[d];
  return button({ class: "name", title: name }, () => openDataset(d), named(name));
}

export function drawCard() {
  const separator = state.card.indexOf(":");
  const kind = state.card.slice(0, separator);
  const name = state.card.slice(separator + 1);
  const card = $("card");
  const isBackbone = kind === "backbone";
  const index = (isBackbone ? BACKBONES : DATASETS).findIndex((item) => item.name === name);
  if (separator < 0 || index < 0) {
    if (card.open) card.close();
    return;
  }
  const [title, tags, body] = isBackbone ? backboneCard(index) : datasetCard(index);
  const heading = make("div", {}, make("h2", { id: "card-name" }, title), paragraph("", ...tags));
  const close = button({ id: "card-close" }, () => card.close(), "Close");
  card.replaceChildren(
    make("div", { class: "card-head" }, heading, close),
    make("div", { class: "card-body" }, ...body.filter(Boolean)),
  );
  if (!card.open) card.showModal();
  card.scrollTop = 0;
}

export function listenForCard() {
  on($("card"), {
    close: () => change({ card: "" }),
    click: (event) => {
      if (event.target === $("card")) $("card").close();
    },
  });
}

// ---- a backbone

const RESULTS_HELP =
  "The metric that ranks each task, with its 95 % interval and the rank among all backbones that " +
  "have a value there. “=” marks backbones statistically tied with the best.";

function backboneCard(b) {
  const backbone = BACKBONES[b];
  const tags = [
    tag(backbone.family, backbone.family),
    backbone.licence ? tag(backbone.licence) : null,
    backbone.params != null ? tag(`${millions(backbone.params)} M parameters`) : null,
  ];
  const unknown = "This backbone never loaded, so nothing else is known about it.";
  const facts = backbone.card ? provenance(backbone) : [paragraph("failed", unknown)];
  const heading = make("h3", {}, "Results ", help(RESULTS_HELP));
  return [
    named(backbone.name),
    spaced(tags),
    [paragraph("lead-in", standingText(b)), ...facts, heading, resultsTable(b)],
  ];
}

function standingText(b) {
  const summary = summarise(chosenColumns());
  const row = summary.rows.get(b);
  const scope = scopeText(summary.columns);
  if (!row) {
    const gaps = plural(summary.missing.get(b).length, "cell");
    return `Incomplete over ${scope}: ${gaps} without a value, so it has no mean and no rank.`;
  }
  if (!row.rank) {
    const kind = BACKBONES[b].baseline ? "A baseline" : "Published numbers";
    const pool = plural(summary.pool.length, "backbone");
    const z = fixed(row.z, 2);
    return `${kind}, not ranked: mean z-score ${z} over ${scope}, relative to the pool of ${pool}.`;
  }
  const resampled = summary.basis === "examples" ? "test images" : "datasets";
  const limits = row.rankLimits
    ? `, between ${row.rankLimits.join(" and ")} in 95 % of resamples of the ${resampled}`
    : "";
  const rank = `Rank ${row.rank} of ${summary.pool.length} over ${scope}${limits}.`;
  if (b === summary.best || row.tied === undefined) return rank;
  return `${rank} Statistically ${row.tied ? "tied with" : "distinguishable from"} the best.`;
}

function itemText([name, value]) {
  const isObject = typeof value === "object" && !Array.isArray(value);
  return `${name} ${isObject ? JSON.stringify(value) : [value].flat().join(", ")}`;
}

// "name value · name value" of an object's entries that have a value.
const joined = (values) =>
  Object.entries(values ?? {})
    .filter(([, value]) => value != null)
    .map(itemText)
    .join(" · ");

function pretrainingText({ method, data, images }) {
  return `${method} on ${data}${images ? `, ${grouped(images)} images` : ""}`;
}

function provenance(backbone) {
  const { card } = backbone;
  const seen = backbone.pretrained_on.map((d) => DATASETS[d].name).join(", ");
  const unless = (value, text) => (value == null ? null : text(value));
  return [
    make("h3", {}, "Checkpoint"),
    pairs([
      ["Architecture", `${card.architecture} (${card.loader})`],
      ["Weights", card.weights],
      ["Weights hash", make("code", {}, card.weights_hash)],
      ["Pretraining", unless(card.pretraining, pretrainingText)],
      ["Contaminated", seen ? `the pretraining data contains images of ${seen}` : null],
      ["Licence", backbone.licence ?? "not stated"],
      ["Paper", card.paper],
      ["Notes", card.notes.length ? card.notes.join("; ") : null],
    ]),
    make("h3", {}, "Preprocessing and features"),
    pairs([
      ["Geometry", joined(card.geometry)],
      ["Normalisation", joined(card.normalisation)],
      ["Output", card.output],
      ["Precision", card.precision],
      ["Feature width", backbone.width],
    ]),
    make("h3", {}, "Cost"),
    pairs([
      ["Parameters", backbone.params == null ? "unknown" : `${millions(backbone.params)} M`],
      ["Compute", unless(backbone.gflops, (gflops) => `${short(gflops)} GFLOPs per image`)],
      ["Weights", unless(backbone.mib, (mib) => `${short(mib)} MiB`)],
      ["Peak memory", unless(backbone.peak_mib, peakMemoryText)],
      ...backbone.speeds.map(([where, speed]) => ["Measured", `${short(speed)} images/s on ${where}`]),
    ]),
  ];
}

const peakMemoryText = (mib) => `${short(mib)} MiB in a forward pass of 4 images, weights included`;

function resultsTable(b) {
  const columns = ALL_COLUMNS.filter((column) => statusOf(column, b) !== "missing");
  const head = headRow(["Task", "Dataset", "Score", "95 % interval", "Rank", "Details"]);
  const rows = columns.map((column) => resultRow(column, b));
  return make("div", { class: "scroll" }, table("results", head, rows));
}

function resultRow(column, b) {
  const names = [taskOf(column).name, datasetOf(column).name];
  const cells = names.map((name) => make("td", {}, named(name)));
  const more = make("td", {}, detailsBox(column, b));
  const status = statusOf(column, b);
  if (status !== "ok") {
    const attributes = { class: status.replace(" ", "-"), colspan: 3, dir: "auto" };
    const reason = make("td", attributes, `${status}: ${reasonOf(column, b)}`);
    return make("tr", {}, ...cells, reason, more);
  }
  const metric = metricOf(column);
  const value = make("strong", {}, valueText(valueAt(column, b), metric));
  const warning = "The dataset is in the backbone's pretraining data.";
  const marks = contaminated(column, b) ? [" ", tag("contaminated", "contaminated", warning)] : [];
  return make(
    "tr",
    {},
    ...cells,
    make("td", {}, value, ...marks),
    make("td", {}, rangeText(lowAt(column, b), highAt(column, b), metric)),
    make("td", {}, rankText(column, b)),
    more,
  );
}

function rankText(column, b) {
  const { rank, tied, pool } = columnOf(column);
  return rank.has(b) ? `${rank.get(b)} of ${pool.length}${tied.has(b) ? " =" : ""}` : MISSING;
}

// Other metrics, selected values and the record's key; filled in when first opened.
function detailsBox(column, b) {
  const label = `More about ${taskOf(column).name} on ${datasetOf(column).name}`;
  const box = make("details", {}, make("summary", { "aria-label": label }, "more"));
  return on(box, {
    toggle: () => {
      if (box.open && box.childElementCount === 1) box.append(cellDetails(column, b));
    },
  });
}

function cellDetails(column, b) {
  const { name, summary } = metricOf(column);
  const { n, seeds } = countsOf(column, b);
  const isScored = statusOf(column, b) === "ok";
  const index = taskCellIndex(column, b);
  const images = imagesOf(column, b);
  const scores = scoresOf(COLUMNS[column].task).filter(({ value }) => !Number.isNaN(value[index]));
  const others = scores
    .filter((score) => !isOfGroups(score))
    .map((score) => `${score.name} ${valueText(score.value[index], score.metric)}`);
  const ofGroups = scores.filter(isOfGroups).map((score) => {
    const [value, low, high] = [score.value, score.low, score.high].map((of) => of[index]);
    return { score, value, low, high };
  });
  return pairs([
    ["Metric", `${name}${summary ? `: ${summary}` : ""}`],
    ["n", n ? `${grouped(n)}${seeds > 1 ? `, mean over ${seeds} seeds` : ""}` : null],
    ["For comparison", referenceText(column)],
    ["Other scores", others.join(" · ")],
    ...groupEntries(ofGroups),
    ["Selected", isScored ? joined(Object.fromEntries(selectedOf(column, b))) : null],
    ["Record", make("code", {}, `bob-bench show ${keyOf(column, b)}`)],
    ["Images", images ? make("a", { class: "images", href: images }, "mistakes and outliers") : null],
  ]);
}

// "majority class 55.0 · chance 50.0": what needs no backbone.
function referenceText(column) {
  const metric = metricOf(column);
  return COLUMNS[column].references
    .map(([name, value]) => `${name} ${valueText(value, metric)}`)
    .join(" · ");
}

// ---- a dataset

function datasetCard(d) {
  const { name, classes, counts, licence, limit, fingerprint, notes, report, ...dataset } =
    DATASETS[d];
  const columns = ALL_COLUMNS.filter((column) => COLUMNS[column].dataset === d);
  const tags = [
    licence ? tag(licence) : null,
    classes ? tag(`${grouped(classes)} ${classes === 1 ? "class" : "classes"}`) : null,
  ];
  const pretrained = BACKBONES.filter((backbone) => backbone.pretrained_on.includes(d));
  const unreadable = dataset.bad_images;
  const facts = pairs([
    ["Classes", classes],
    ["Images", joined(counts)],
    ["Splits", joined(dataset.split_origin)],
    ["Licence", licence ?? "not stated"],
    ["Limit", limit && `at most ${limit} images per split`],
    ["Excluded", unreadable ? plural(unreadable, "unreadable image") : null],
    ["Fingerprint", fingerprint && make("code", {}, fingerprint)],
    ["Contaminates", pretrained.map((backbone) => backbone.name).join(", ")],
    ["Notes", (notes ?? []).join(" ")],
  ]);
  const leaderLists = columns.flatMap((column) => [
    make("h3", {}, named(taskOf(column).name)),
    leaders(column),
  ]);
  return [named(name), spaced(tags), [facts, reportBox(report), ...leaderLists]];
}

// What the dataset consists of, behind a fold; null where no record says so.
function reportBox(report) {
  if (!report?.length) return null;
  const summary = make("summary", {}, "What the dataset consists of");
  return make("details", { class: "report" }, summary, pairs(report));
}

const LEADERS = 10;

function leaders(column) {
  const { pool, rank, tied } = columnOf(column);
  const metric = metricOf(column);
  if (!pool.length) return paragraph("", "No backbone has a value here.");
  const first = [...pool].sort((a, b) => rank.get(a) - rank.get(b)).slice(0, LEADERS);
  const items = first.map((b) => {
    const range = rangeText(lowAt(column, b), highAt(column, b), metric);
    return make(
      "li",
      { class: tied.has(b) ? "tied" : "" },
      nameButton(b),
      make("span", { class: "val" }, valueText(valueAt(column, b), metric)),
      make("span", { class: "ci" }, range),
    );
  });
  const references = referenceText(column);
  const compared = references ? ` For comparison: ${references}.` : "";
  const note = paragraph("hint", `${metric.name}. ${tieNote(column)}${compared}`);
  return make("div", {}, make("ol", { class: "leaders" }, ...items), note);
}

function tieNote(column) {
  const { status, tied } = columnOf(column);
  if (status === "alone") return "";
  if (status === "untested") return "The significance of this order is unknown: it was not tested.";
  if (status === "clear") return "The best is statistically distinguishable from all others.";
  const count = plural(tied.size, "backbone");
  return `${count} statistically tied for the best (paired tests, Holm).`;
}

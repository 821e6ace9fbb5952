// Cards: everything about one backbone or one dataset, with provenance and licence.

import { $, button, help, make, mark, named, on, pairs, tag } from "./dom.js";
import {
  ALL,
  BACKBONES,
  COLUMNS,
  DATASETS,
  chosenOf,
  contaminated,
  countsOf,
  datasetOf,
  keyOf,
  metricOf,
  partPlace,
  reasonOf,
  scoresOf,
  stateOf,
  taskOf,
} from "./data.js";
import { fixed, grouped, millions, plural, rangeText, short, valueText } from "./format.js";
import { columnOf, highAt, lowAt, pairedIn, scopeText, summary, chosenColumns, valueAt } from "./selection.js";
import { change, state } from "./state.js";

export const openBackbone = (b) => change({ card: `backbone:${BACKBONES[b].name}` });
const openDataset = (d) => change({ card: `dataset:${DATASETS[d].name}` });

// A name that opens its card.
export function nameButton(b) {
  const { name, family } = BACKBONES[b];
  return button({ class: "name", title: name, "data-backbone": b }, () => openBackbone(b), mark(family), named(name));
}

export const datasetButton = (d) => button({ class: "name", title: DATASETS[d].name }, () => openDataset(d), named(DATASETS[d].name));

export function drawCard() {
  const cut = state.card.indexOf(":"),
    kind = state.card.slice(0, cut),
    name = state.card.slice(cut + 1),
    card = $("card");
  const index = (kind === "backbone" ? BACKBONES : DATASETS).findIndex((one) => one.name === name);
  if (cut < 0 || index < 0) return card.open ? card.close() : undefined;
  const [title, tags, body] = kind === "backbone" ? backboneCard(index) : datasetCard(index);
  const close = button({ id: "card-close" }, () => card.close(), "Close");
  card.replaceChildren(
    make("div", { class: "card-head" }, make("div", {}, make("h2", { id: "card-name" }, title), make("p", {}, ...tags)), close),
    make("div", { class: "card-body" }, ...body),
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

function backboneCard(b) {
  const backbone = BACKBONES[b];
  const tags = [
    tag(backbone.floor ? "floor" : backbone.family, backbone.family),
    backbone.licence ? tag(backbone.licence) : null,
    backbone.params != null ? tag(`${millions(backbone.params)} M params`) : null,
  ];
  const facts = backbone.card ? provenance(backbone) : [make("p", { class: "failed" }, "It never loaded, so nothing is known about it here.")];
  const body = [
    standing(b),
    ...facts,
    make(
      "h3",
      {},
      "Results ",
      help(
        "The metric that ranks each task, with its 95 % interval and the place among all backbones with a value there. “=” marks the tie group of the best.",
      ),
    ),
    resultsTable(b),
  ];
  return [named(backbone.name), tags.flatMap((one) => (one ? [one, " "] : [])), body];
}

function standing(b) {
  const out = summary(chosenColumns()),
    row = out.rows.get(b),
    where = scopeText(out.columns);
  if (!row)
    return make(
      "p",
      { class: "lead-in" },
      `Incomplete over ${where}: ${plural(out.missing.get(b).length, "cell")} without a value, so it has no mean and no place.`,
    );
  if (!row.place)
    return make(
      "p",
      { class: "lead-in" },
      `A floor: mean z ${fixed(row.z, 2)} over ${where}, against the pool of ${plural(out.pool.length, "backbone")}.`,
    );
  const ranks = row.rankLimits
    ? `, between ${row.rankLimits[0]} and ${row.rankLimits[1]} in 95 % of resamples of the ${out.basis === "examples" ? "test images" : "datasets"}`
    : "";
  const tie = b === out.best ? "" : row.tied ? " Not told apart from the best." : row.tied === false ? " Told apart from the best." : "";
  return make("p", { class: "lead-in" }, `Place ${row.place} of ${out.pool.length} over ${where}${ranks}.${tie}`);
}

const joined = (values) =>
  Object.entries(values ?? {})
    .filter(([, value]) => value != null)
    .map(([name, value]) => `${name} ${typeof value === "object" && !Array.isArray(value) ? JSON.stringify(value) : [value].flat().join(", ")}`)
    .join(" · ");

function provenance(backbone) {
  const { card } = backbone,
    seen = card.pretraining,
    contains = backbone.seen.map((d) => DATASETS[d].name);
  return [
    make("h3", {}, "What it is"),
    pairs([
      ["Architecture", `${card.architecture} (${card.loader})`],
      ["Weights", card.weights],
      ["Weights hash", make("code", {}, card.weights_hash)],
      ["Pretraining", seen && `${seen.method} on ${seen.data}${seen.images ? `, ${grouped(seen.images)} images` : ""}`],
      ["Contaminated", contains.length ? `its pretraining data holds images of ${contains.join(", ")}` : null],
      ["Licence", backbone.licence ?? "not stated"],
      ["Paper", card.paper],
    ]),
    make("h3", {}, "How an image becomes a row"),
    pairs([
      ["Geometry", joined(card.geometry)],
      ["Normalisation", joined(card.normalisation)],
      ["Pooling", card.pooling],
      ["Precision", card.precision],
      ["Feature width", backbone.width],
    ]),
    make("h3", {}, "What it costs"),
    pairs([
      ["Parameters", backbone.params == null ? "not known" : `${millions(backbone.params)} M`],
      ["Forward", backbone.gflops == null ? null : `${short(backbone.gflops)} GFLOP per image`],
      ["Weights", backbone.mib == null ? null : `${short(backbone.mib)} MiB`],
      ["Memory", backbone.peak_mib == null ? null : `${short(backbone.peak_mib)} MiB in a forward of 4 images, weights included`],
      ...backbone.speeds.map(([device, speed]) => ["Measured", `${speed} images/s on ${device}`]),
    ]),
  ];
}

function resultsTable(b) {
  const body = ALL.filter((column) => stateOf(column, b) !== "missing").map((column) => resultRow(column, b));
  const head = make("tr", {}, ...["Task", "Dataset", "Score", "95 % interval", "Place", ""].map((text) => make("th", { scope: "col" }, text)));
  return make("div", { class: "scroll" }, make("table", { class: "results" }, make("thead", {}, head), make("tbody", {}, ...body)));
}

function resultRow(column, b) {
  const status = stateOf(column, b),
    names = [make("td", {}, named(taskOf(column).name)), make("td", {}, named(datasetOf(column).name))];
  if (status !== "ok")
    return make(
      "tr",
      {},
      ...names,
      make("td", { class: status.replace(" ", "-"), colspan: 3, dir: "auto" }, `${status}: ${reasonOf(column, b)}`),
      make("td", {}, moreAbout(column, b)),
    );
  const metric = metricOf(column),
    { rank, tied, pool } = columnOf(column);
  const place = rank.has(b) ? `${rank.get(b)} of ${pool.length}${tied.has(b) ? " =" : ""}` : "–";
  const marks = contaminated(column, b) ? [" ", tag("seen", "seen", "The dataset is in its pretraining data.")] : [];
  return make(
    "tr",
    {},
    ...names,
    make("td", {}, make("strong", {}, valueText(valueAt(column, b), metric)), ...marks),
    make("td", {}, rangeText(lowAt(column, b), highAt(column, b), metric)),
    make("td", {}, place),
    make("td", {}, moreAbout(column, b)),
  );
}

// Other metrics, what was chosen and the record's key, filled in when opened.
function moreAbout(column, b) {
  const box = make("details", {}, make("summary", { "aria-label": `More about ${taskOf(column).name} on ${datasetOf(column).name}` }, "more"));
  return on(box, {
    toggle: () => {
      if (box.open && box.childElementCount === 1) box.append(details(column, b));
    },
  });
}

function details(column, b) {
  const { n, seeds } = countsOf(column, b),
    at = partPlace(column, b);
  const others = scoresOf(COLUMNS[column].task)
    .filter((score) => !Number.isNaN(score.value[at]))
    .map((score) => `${score.name} ${valueText(score.value[at], score.metric)}`);
  return pairs([
    ["Metric", `${metricOf(column).name}${metricOf(column).summary ? `: ${metricOf(column).summary}` : ""}`],
    ["n", n ? `${grouped(n)}${seeds > 1 ? `, mean over ${seeds} seeds` : ""}` : null],
    ["Also", others.join(" · ")],
    ["Chosen", joined(Object.fromEntries(chosenOf(column, b)))],
    ["Record", make("code", {}, `bob-bench show ${keyOf(column, b)}`)],
  ]);
}

// ---- a dataset

function datasetCard(d) {
  const dataset = DATASETS[d],
    columns = ALL.filter((column) => COLUMNS[column].dataset === d);
  const tags = [
    dataset.licence ? tag(dataset.licence) : null,
    dataset.classes ? tag(plural(dataset.classes, "class").replace("classs", "classes")) : null,
  ];
  const seenBy = BACKBONES.filter((backbone) => backbone.seen.includes(d)).map((backbone) => backbone.name);
  const facts = pairs([
    ["Classes", dataset.classes],
    ["Images", joined(dataset.counts)],
    ["Splits", joined(dataset.split_origin)],
    ["Licence", dataset.licence ?? "not stated"],
    ["Limit", dataset.limit && `at most ${dataset.limit} images per split`],
    ["Left out", dataset.bad_images ? plural(dataset.bad_images, "unreadable image") : null],
    ["Fingerprint", dataset.fingerprint && make("code", {}, dataset.fingerprint)],
    ["Contaminates", seenBy.join(", ")],
    ["Notes", (dataset.notes ?? []).join(" ")],
  ]);
  return [
    named(dataset.name),
    tags.flatMap((one) => (one ? [one, " "] : [])),
    [facts, ...columns.flatMap((column) => [make("h3", {}, named(taskOf(column).name)), leaders(column)])],
  ];
}

const SHOWN = 10;

function leaders(column) {
  const { pool, rank, tied, told } = columnOf(column),
    metric = metricOf(column);
  if (!pool.length) return make("p", {}, "No backbone has a value here.");
  const first = [...pool].sort((a, b) => rank.get(a) - rank.get(b)).slice(0, SHOWN);
  const items = first.map((b) =>
    make(
      "li",
      { class: tied.has(b) ? "tied" : "" },
      nameButton(b),
      make("span", { class: "val" }, valueText(valueAt(column, b), metric)),
      make("span", { class: "ci" }, rangeText(lowAt(column, b), highAt(column, b), metric)),
    ),
  );
  const note = !told
    ? "How sure the order is cannot be told."
    : tied.size > 1
      ? `${plural(tied.size, "backbone")} tied with the best (${pairedIn(column) ? "paired tests, Holm" : "overlapping intervals"}).`
      : "The best is told apart from all others.";
  return make("div", {}, make("ol", { class: "leaders" }, ...items), make("p", { class: "hint" }, `${metric.name}. ${note}`));
}

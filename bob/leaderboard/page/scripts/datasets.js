// The datasets: what they hold, under which licence, and who leads on them.

import { ALL, BACKBONES, COLUMNS, DATASETS, taskOf } from "./data.js";
import { $, make, named, section } from "./dom.js";
import { datasetButton, nameButton } from "./cards.js";
import { grouped, plural } from "./format.js";
import { columnOf, datasetIndex } from "./selection.js";

export function drawDatasets(view) {
  const head = make(
    "tr",
    {},
    ...["Dataset", "Classes", "Train", "Test", "Licence", "Seen by", "Best"].map((text) => make("th", { scope: "col" }, text)),
  );
  const shown = DATASETS.map((_, d) => d).filter((d) => datasetIndex() < 0 || d === datasetIndex());
  const table = make("table", { class: "datasets" }, make("thead", {}, head), make("tbody", {}, ...shown.map(datasetRow)));
  view.append(
    section(
      "Datasets",
      "Seen by: backbones whose pretraining data holds the dataset's images. Best: per task, among the pool.",
      make("div", { class: "scroll" }, table),
    ),
  );
  $("status").textContent = plural(shown.length, "dataset");
}

const count = (value) => (value == null ? "–" : grouped(value));

function datasetRow(d) {
  const { classes, counts = {}, licence } = DATASETS[d],
    seen = BACKBONES.filter((backbone) => backbone.seen.includes(d)).length;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, datasetButton(d)),
    make("td", { class: "num" }, count(classes)),
    make("td", { class: "num" }, count(counts.train ?? counts.gallery)),
    make("td", { class: "num" }, count(counts.test ?? counts.query)),
    make("td", {}, licence ?? "not stated"),
    make("td", { class: "num" }, seen ? String(seen) : "–"),
    make("td", {}, leaders(d)),
  );
}

// Each best backbone once, with the tasks that it leads.
function leaders(d) {
  const led = new Map();
  for (const column of ALL.filter((one) => COLUMNS[one].dataset === d)) {
    const { best } = columnOf(column);
    if (best !== null) led.set(best, [...(led.get(best) ?? []), taskOf(column).name]);
  }
  return make(
    "ul",
    { class: "plain" },
    ...[...led].map(([b, tasks]) => make("li", {}, nameButton(b), make("span", { class: "soft" }, " ", named(tasks.join(", "))))),
  );
}

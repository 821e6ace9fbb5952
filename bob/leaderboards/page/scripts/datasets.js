// The datasets: their sizes and licences, and the best backbones on them.

import { ALL_COLUMNS, BACKBONES, COLUMNS, DATASETS, taskOf } from "./data.js";
import { $, headRow, make, named, section, table } from "./dom.js";
import { datasetButton, nameButton } from "./cards.js";
import { MISSING, grouped, plural } from "./format.js";
import { columnOf, datasetIndex } from "./selection.js";

const HEADS = ["Dataset", "Classes", "Train", "Test", "Licence", "Pretrained on it", "Best"];

const EXPLANATION =
  "Pretrained on it: the number of backbones whose pretraining data contains images of the " +
  "dataset. Best: the best ranked backbone per task.";

export function drawDatasets(view) {
  const chosen = datasetIndex();
  const shown = DATASETS.map((_, d) => d).filter((d) => chosen < 0 || d === chosen);
  const rows = table("datasets", headRow(HEADS), shown.map(datasetRow));
  view.append(section("Datasets", EXPLANATION, make("div", { class: "scroll" }, rows)));
  $("status").textContent = plural(shown.length, "dataset");
}

const countCell = (value) => make("td", { class: "num" }, value == null ? MISSING : grouped(value));

function datasetRow(d) {
  const { classes, counts = {}, licence } = DATASETS[d];
  const pretrained = BACKBONES.filter((backbone) => backbone.pretrained_on.includes(d)).length;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, datasetButton(d)),
    countCell(classes),
    countCell(counts.train ?? counts.gallery),
    countCell(counts.test ?? counts.query),
    make("td", {}, licence ?? "not stated"),
    countCell(pretrained || null),
    make("td", {}, leaderList(d)),
  );
}

// Each best backbone once, with the tasks on which it is best.
function leaderList(d) {
  const tasksOf = new Map();
  for (const column of ALL_COLUMNS.filter((item) => COLUMNS[item].dataset === d)) {
    const { best } = columnOf(column);
    if (best !== null) tasksOf.set(best, [...(tasksOf.get(best) ?? []), taskOf(column).name]);
  }
  const items = [...tasksOf].map(([b, tasks]) => {
    const names = make("span", { class: "soft" }, " ", named(tasks.join(", ")));
    return make("li", {}, nameButton(b), names);
  });
  return make("ul", { class: "plain" }, ...items);
}

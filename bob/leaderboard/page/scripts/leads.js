// The best of each task, or of each cell, with how sure that is; and the notes.

import { ALL, BACKBONES, DATA, TASKS, datasetOf, metricOf, stateOf, taskColumns, taskOf } from "./data.js";
import { make, named, section, tag } from "./dom.js";
import { nameButton } from "./cards.js";
import { fixed, grouped, plural, rangeText, valueText } from "./format.js";
import { averageable, chosenColumns, columnOf, datasetIndex, summary, taskIndex, valueAt, lowAt, highAt } from "./selection.js";
import { mean } from "./statistics.js";

// ---- the best of each task, or of each dataset of one task

const MANY = 12;

export function byTask() {
  const task = taskIndex(),
    dataset = datasetIndex(),
    chosen = chosenColumns();
  const groups = task < 0 && dataset < 0 && chosen.length > MANY ? TASKS.map((_, index) => taskColumns(index)) : chosen.map((column) => [column]);
  const head = make("tr", {}, ...["Where", "Best", "Score", "How sure"].map((text) => make("th", { scope: "col" }, text)));
  const rows = groups.map((columns) => (columns.length === 1 ? columnLead(columns[0]) : groupLead(columns)));
  const table = make("table", { class: "leads" }, make("thead", {}, head), make("tbody", {}, ...rows));
  return section(
    groups.some((columns) => columns.length > 1) ? "Best of each task" : "Best of each cell",
    "Within one task and dataset, backbones are compared on the same images; over several datasets, by resampling the datasets.",
    make("div", { class: "scroll" }, table),
  );
}

function columnLead(column) {
  const { best, tied, told } = columnOf(column),
    where = make("td", { class: "where" }, named(taskOf(column).name), " on ", named(datasetOf(column).name));
  if (best === null) return make("tr", { class: "lead" }, where, make("td", { colspan: 3, class: "soft" }, "no backbone has a value"));
  const metric = metricOf(column),
    range = rangeText(lowAt(column, best), highAt(column, best), metric);
  return make(
    "tr",
    { class: "lead" },
    where,
    make("td", {}, nameButton(best)),
    make(
      "td",
      { class: "num" },
      make("span", { class: "val" }, valueText(valueAt(column, best), metric)),
      range ? make("span", { class: "ci" }, ` [${range}]`) : "",
    ),
    sureness(told ? tied : null, best),
  );
}

function groupLead(columns) {
  const out = summary(columns),
    where = make("td", { class: "where" }, named(taskOf(columns[0]).name), make("span", { class: "soft" }, ` on ${plural(out.datasets, "dataset")}`));
  if (out.best === null) return make("tr", { class: "lead" }, where, make("td", { colspan: 3, class: "soft" }, "no backbone has a value everywhere"));
  const row = out.rows.get(out.best),
    score = averageable(out.columns) ? `${(100 * row.value).toFixed(1)} mean, z ${fixed(row.z, 2)}` : `z ${fixed(row.z, 2)}`;
  return make(
    "tr",
    { class: "lead" },
    where,
    make("td", {}, nameButton(out.best)),
    make("td", { class: "num" }, score),
    sureness(row.tied === undefined ? null : new Set(out.order.filter((b) => out.rows.get(b).tied)), out.best),
  );
}

function sureness(tied, best) {
  if (!tied)
    return make(
      "td",
      { class: "soft", "data-tip": "No interval and no results per image are at hand, so nothing says how sure the order is." },
      "cannot be told",
    );
  const others = [...tied].filter((b) => b !== best).map((b) => BACKBONES[b].name);
  if (!others.length) return make("td", { class: "sure clear" }, "clear");
  return make(
    "td",
    {
      class: "sure open",
      "data-tip": `Tied with the best:\n${others.slice(0, 12).join("\n")}${others.length > 12 ? `\nand ${others.length - 12} more` : ""}`,
    },
    "tied with ",
    others.length === 1 ? named(others[0]) : `${others.length} others`,
  );
}

// ---- notes

export function notesSection() {
  const states = new Map();
  for (const column of ALL)
    BACKBONES.forEach((_, b) => {
      const status = stateOf(column, b);
      if (status !== "ok") states.set(status, (states.get(status) ?? 0) + 1);
    });
  if (!DATA.notes.length && !states.size) return [];
  const counts = [...states].map(([status, count]) => tag(`${grouped(count)} ${status}`, status.replace(" ", "-")));
  const list = make("ul", { class: "notes" }, ...DATA.notes.map((note) => make("li", { dir: "auto" }, note)));
  const parts = [make("p", { class: "tags" }, ...counts.flatMap((one) => [one, " "]))];
  if (DATA.notes.length) parts.push(DATA.notes.length > 8 ? make("details", {}, make("summary", {}, plural(DATA.notes.length, "note")), list) : list);
  return [
    section(
      "Notes",
      "What a reader must know beside the values: failures, undefined values, unreadable images, limits, records set aside.",
      ...parts,
    ),
  ];
}

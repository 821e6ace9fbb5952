// The form above the views: what is searched, chosen and filtered.

import { $, choices, make, mark, on } from "./dom.js";
import { ALL, BACKBONES, DATASETS, TASKS, contaminated, speedOf } from "./data.js";
import { hiddenFamilies } from "./selection.js";
import { FIRST, change, state } from "./state.js";

const FIELDS = { search: "q", task: "task", dataset: "dataset", params: "params", speed: "speed", licence: "licence", "data-seen": "data" };
const FILTERS = ["families", "params", "speed", "licence", "data", "clean"];
const FAMILIES = ["supervised", "ssl", "clip", "domain", "given", "baseline", "external"];

const named = (values) => values.map((value) => [value, value]);
const known = (field) => [...new Set(BACKBONES.filter((backbone) => !backbone.floor).map((backbone) => backbone[field] ?? "unknown"))].sort();

export function fillControls() {
  choices($("task"), [
    ["", TASKS.length > 1 ? "all tasks" : (TASKS[0]?.name ?? "all tasks")],
    ...(TASKS.length > 1 ? named(TASKS.map((task) => task.name)) : []),
  ]);
  choices($("dataset"), [
    ["", DATASETS.length > 1 ? "all datasets" : (DATASETS[0]?.name ?? "all datasets")],
    ...(DATASETS.length > 1 ? named(DATASETS.map((dataset) => dataset.name)) : []),
  ]);
  choices($("licence"), [["", "any"], ...named(known("licence"))]);
  choices($("data-seen"), [["", "any"], ...named(known("data"))]);
  $("speed").closest("label").hidden = BACKBONES.every((_, b) => speedOf(b) === null);
  $("clean").closest("label").hidden = !ALL.some((column) => BACKBONES.some((_, b) => contaminated(column, b)));
  for (const family of FAMILIES.filter((name) => BACKBONES.some((backbone) => backbone.family === name))) $("families").append(familyBox(family));
}

function familyBox(family) {
  return make(
    "label",
    { class: "check" },
    make("input", { type: "checkbox", value: family, name: "family" }),
    mark(family),
    family === "baseline" ? "floors" : family,
  );
}

const boxes = () => [...$("families").querySelectorAll("input")];

// Fields follow the state: after a link was opened, or a reset.
export function showControls() {
  for (const [id, name] of Object.entries(FIELDS)) if ($(id).value !== state[name]) $(id).value = state[name];
  const hidden = hiddenFamilies();
  for (const box of boxes()) box.checked = !hidden.has(box.value);
  $("clean").checked = state.clean === "1";
  const active = FILTERS.filter((name) => state[name] !== FIRST[name]).length;
  $("filter-count").textContent = active ? `(${active} on)` : "";
}

export function listenToControls() {
  on($("controls"), {
    input: () =>
      change({
        ...Object.fromEntries(Object.entries(FIELDS).map(([id, name]) => [name, $(id).value])),
        families: boxes()
          .filter((box) => !box.checked)
          .map((box) => box.value)
          .join(","),
        clean: $("clean").checked ? "1" : "",
      }),
    submit: (event) => event.preventDefault(),
    reset: (event) => {
      event.preventDefault();
      change({ ...FIRST, view: state.view, theme: state.theme });
    },
  });
}

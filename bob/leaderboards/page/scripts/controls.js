// The form above the views: search, task, dataset and filters.

import { $, choices, make, mark, on } from "./dom.js";
import {
  ALL_BACKBONES,
  ALL_COLUMNS,
  BACKBONES,
  DATASETS,
  TASKS,
  contaminated,
  hasSpeeds,
} from "./data.js";
import { hiddenFamilies } from "./selection.js";
import { INITIAL, change, state } from "./state.js";

// Field id → name in the state.
const FIELDS = {
  search: "q",
  task: "task",
  dataset: "dataset",
  params: "params",
  speed: "speed",
  input: "input",
  licence: "licence",
  "data-seen": "data",
};
const FILTERS = ["families", "params", "speed", "input", "licence", "data", "clean"];
const FAMILIES = ["supervised", "ssl", "clip", "domain", "precomputed", "baseline", "external"];

const options = (values) => values.map((value) => [value, value]);

function distinct(field) {
  const ranked = BACKBONES.filter((backbone) => !backbone.baseline);
  return [...new Set(ranked.map((backbone) => backbone[field] ?? "unknown"))].sort();
}

// "all tasks" and each task, or the only task.
function fillChoice(id, items, all) {
  const names = items.map((item) => item.name);
  const many = names.length > 1;
  choices($(id), [["", many ? all : (names[0] ?? all)], ...(many ? options(names) : [])]);
}

export function fillControls() {
  fillChoice("task", TASKS, "all tasks");
  fillChoice("dataset", DATASETS, "all datasets");
  const inputs = distinct("input").sort((a, b) => parseFloat(a) - parseFloat(b));
  choices($("input"), [["", "any"], ...options(inputs)]);
  choices($("licence"), [["", "any"], ...options(distinct("licence"))]);
  choices($("data-seen"), [["", "any"], ...options(distinct("data"))]);
  $("speed").closest("label").hidden = !hasSpeeds;
  $("clean").closest("label").hidden = !ALL_COLUMNS.some((column) =>
    ALL_BACKBONES.some((b) => contaminated(column, b)),
  );
  const present = new Set(BACKBONES.map((backbone) => backbone.family));
  $("families").append(...FAMILIES.filter((family) => present.has(family)).map(familyBox));
}

function familyBox(family) {
  const box = make("input", { type: "checkbox", value: family, name: "family" });
  return make("label", { class: "check" }, box, mark(family), family);
}

const familyBoxes = () => [...$("families").querySelectorAll("input")];

// Make the fields follow the state, after a link was opened or a reset.
export function showControls() {
  for (const [id, name] of Object.entries(FIELDS)) {
    if ($(id).value !== state[name]) $(id).value = state[name];
  }
  const hidden = hiddenFamilies();
  for (const box of familyBoxes()) box.checked = !hidden.has(box.value);
  $("clean").checked = state.clean === "1";
  const active = FILTERS.filter((name) => state[name] !== INITIAL[name]).length;
  $("filter-count").textContent = active ? `(${active} on)` : "";
}

function readControls() {
  const fields = Object.entries(FIELDS).map(([id, name]) => [name, $(id).value]);
  const unchecked = familyBoxes().filter((box) => !box.checked);
  return {
    ...Object.fromEntries(fields),
    families: unchecked.map((box) => box.value).join(","),
    clean: $("clean").checked ? "1" : "",
  };
}

export function listenToControls() {
  on($("controls"), {
    input: () => change(readControls()),
    submit: (event) => event.preventDefault(),
    reset: (event) => {
      event.preventDefault();
      change({ ...INITIAL, view: state.view, theme: state.theme });
    },
  });
}

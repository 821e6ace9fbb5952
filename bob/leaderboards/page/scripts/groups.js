// Accuracy by groups of one cell: each value of an attribute with each class, the worst first.

import { headRow, make, pairs, table } from "./dom.js";
import { rangeText, valueText } from "./format.js";

export const isOfGroups = ({ facets }) => facets.attribute != null;

// [[heading, content], ...] for each set of test images and attribute among a cell's scores; each
// item is {score, value, low, high}.
export function groupEntries(items) {
  const bySet = new Map();
  for (const item of items) {
    const { attribute, set } = item.score.facets;
    const heading = `Groups by ${attribute}${set ? `, ${set}` : ""}`;
    bySet.set(heading, [...(bySet.get(heading) ?? []), item]);
  }
  return [...bySet].map(([heading, ofSet]) => [heading, groupsBox(ofSet)]);
}

function groupsBox(items) {
  const isGroup = ({ score }) => score.facets.class != null;
  const compared = items
    .filter((item) => !isGroup(item))
    .map(({ score, value }) => [score.base, valueText(value, score.metric)]);
  const groups = items.filter(isGroup).sort((a, b) => a.value - b.value);
  const box = make("div", {}, pairs(compared));
  if (groups.length) {
    const head = headRow(["Value", "Class", "Accuracy", "95 % interval"]);
    box.append(make("div", { class: "scroll" }, table("groups", head, groups.map(groupRow))));
  }
  return box;
}

function groupRow({ score, value, low, high }) {
  const { facets, metric } = score;
  const cells = [
    facets.value,
    facets.class,
    valueText(value, metric),
    rangeText(low, high, metric),
  ];
  return make("tr", {}, ...cells.map((text) => make("td", { dir: "auto" }, String(text))));
}

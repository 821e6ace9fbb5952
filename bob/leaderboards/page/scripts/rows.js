// The rows of the table: a backbone's cells, each with its value, its interval as a bar, and marks.

import {
  ALL_BACKBONES,
  BACKBONES,
  cellIndex,
  contaminated,
  countsOf,
  datasetOf,
  hasParams,
  hasSpeeds,
  isBaseline,
  metricOf,
  reasonOf,
  speedOf,
  statusOf,
  taskOf,
} from "./data.js";
import { coloured, make, styled, tag } from "./dom.js";
import { nameButton } from "./cards.js";
import { pickBox } from "./compare.js";
import {
  MISSING,
  fixed,
  grouped,
  listed,
  millions,
  pText,
  plural,
  rangeText,
  rankRange,
  rounded,
  shareText,
  short,
  valueText,
} from "./format.js";
import { averageable, columnOf, highAt, lowAt, summarise, valueAt } from "./selection.js";
import { state } from "./state.js";

const GAPS_IN_TIP = 8;
const BASELINE_HELP = "A reference that any useful backbone should beat; not ranked.";

export const numberOrNull = (value) => (value == null || Number.isNaN(value) ? null : value);

// What the table shows of a backbone over a group of columns: value, z-score or rank.
export function shownValue({ columns }, b) {
  if (columns.length === 1) {
    const [column] = columns;
    if (state.show === "value") return valueAt(column, b);
    return state.show === "z" ? columnOf(column).z(b) : columnOf(column).rank.get(b);
  }
  const summary = summarise(columns);
  const row = summary.rows.get(b);
  if (state.show === "rank") return row?.rank;
  return state.show === "value" && averageable(summary.columns) ? row?.value : row?.z;
}

export const classList = (...names) => names.filter(Boolean).join(" ");

export function rowElement(b, plan, scales) {
  const row = plan.summary.rows.get(b);
  const { baseline, family } = BACKBONES[b];
  const cells = [make("td", { class: "rank" }, row?.rank ? String(row.rank) : ""), nameCell(b)];
  if (hasParams) cells.push(make("td", { class: "size" }, millions(BACKBONES[b].params)));
  if (hasSpeeds) {
    const speed = speedOf(b);
    cells.push(make("td", { class: "size" }, speed === null ? MISSING : short(speed)));
  }
  if (plan.groups.length > 1) cells.push(...summaryCells(b, plan.summary));
  plan.groups.forEach((group, index) => {
    const isGroup = group.columns.length > 1;
    cells.push(
      isGroup
        ? groupCell(group, b, scales[index])
        : columnCell(group.columns[0], b, scales[index], plan.dense),
    );
  });
  const name = classList(baseline && "baseline-row", row?.tied && "tied");
  return coloured(make("tr", { class: name || null }, ...cells), family);
}

function nameCell(b) {
  const { baseline, external } = BACKBONES[b];
  const tags = [];
  if (baseline) tags.push(tag("baseline", "", BASELINE_HELP));
  if (external) {
    tags.push(
      tag("external", "external", `Published numbers from ${external}, not measured here.`),
    );
  }
  return make("th", { scope: "row" }, make("div", { class: "backbone" }, make("span", { class: "picked" }, pickBox(b), nameButton(b)), ...tags));
}

// ---- means over all chosen columns

export const summaryIds = ({ order, rows, columns }) => [
  ...(averageable(columns) ? ["value"] : []),
  "z",
  "rank",
  ...(order.some((b) => rows.get(b).wins != null) ? ["wins"] : []),
];

function summaryCells(b, summary) {
  const ids = summaryIds(summary);
  const row = summary.rows.get(b);
  if (!row) {
    const [first, ...rest] = ids.map((id) =>
      make("td", { class: id === ids[0] ? "none" : "none extra" }, MISSING),
    );
    first.textContent = "incomplete";
    first.dataset.tip = gapsTip(b, summary.missing.get(b));
    return [first, ...rest];
  }
  const texts = {
    z: row.rank ? fixed(row.z, 2) : MISSING, // baselines and published numbers have no rank
    rank: row.meanRank == null ? MISSING : fixed(row.meanRank, 1),
    wins: row.wins == null ? MISSING : shareText(row.wins),
    value: row.value == null ? MISSING : rounded(100 * row.value, 1),
  };
  return ids.map((id) => {
    const isBest = id === "z" && b === summary.best; // which the order is by
    const cell = make(
      "td",
      { class: classList("sum", id === ids[0] || "extra", isBest && "best") },
      make("span", { class: "val" }, texts[id]),
    );
    if (id === "rank" && row.rankLimits) {
      cell.append(make("span", { class: "ci" }, ` ${rankRange(row.rankLimits)}`));
    }
    return cell;
  });
}

function gapsTip(b, gaps) {
  const lines = gaps.slice(0, GAPS_IN_TIP).map((column) => {
    const scope = `${taskOf(column).name} on ${datasetOf(column).name}`;
    return `${scope}: ${statusOf(column, b)}`;
  });
  return [`Incomplete: ${plural(gaps.length, "cell")} without a value`, ...lines].join("\n");
}

// ---- cells

// The scale of a column's bars, in percent: the range of the ranked backbones' intervals. Baselines
// may lie outside it.
export function scaleOf({ columns }) {
  if (columns.length > 1) {
    const values = ALL_BACKBONES.map((b) => shownValue({ columns }, b));
    return percentScale(values.filter((value) => numberOrNull(value) !== null));
  }
  const [column] = columns;
  const ends = columnOf(column).pool.flatMap((b) => [
    lowAt(column, b),
    highAt(column, b),
    valueAt(column, b),
  ]);
  return percentScale(ends.filter((value) => !Number.isNaN(value)));
}

function percentScale(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const percent = (value) => (100 * (value - low)) / (high - low);
  return (value) => (high > low ? Math.min(100, Math.max(0, percent(value))) : 50);
}

const STATUS_TEXT = { missing: MISSING, "not applicable": "n/a" };
export const statusText = (status) => STATUS_TEXT[status] ?? status;

function columnCell(column, b, scale, dense) {
  const status = statusOf(column, b);
  const index = cellIndex(column, b);
  const value = valueAt(column, b);
  if (status !== "ok") {
    const attributes = { class: status.replace(" ", "-"), "data-cell": index };
    return make("td", attributes, statusText(status));
  }
  if (Number.isNaN(value)) return make("td", { class: "none", "data-cell": index }, "excluded");
  const { best, tied } = columnOf(column);
  const [low, high] = [lowAt(column, b), highAt(column, b)];
  const name = classList(
    "cell",
    b === best && "best",
    tied.has(b) && "in-tie",
    contaminated(column, b) && "contaminated",
    dense && "dense",
  );
  const text = make("span", { class: "val" }, shownText(column, b));
  const cell = make("td", { class: name, "data-cell": index }, text);
  if (state.show === "value" && !dense && !Number.isNaN(low)) {
    cell.append(" ", make("span", { class: "ci" }, rangeText(low, high, metricOf(column))));
  }
  const [from, to] = [low, high].map((limit) => scale(Number.isNaN(limit) ? value : limit));
  return withBar(cell, scale(value), from, to);
}

// The bar at the foot of a cell, in percent of its width.
const withBar = (cell, at, from, to) =>
  styled(cell, {
    "--at": `${at.toFixed(1)}%`,
    "--from": `${from.toFixed(1)}%`,
    "--to": `${to.toFixed(1)}%`,
  });

function shownText(column, b) {
  const value = shownValue({ columns: [column] }, b);
  if (state.show === "value") return valueText(value, metricOf(column));
  if (state.show === "z") return fixed(value, 2);
  return numberOrNull(value) === null ? MISSING : short(value);
}

function groupCell(group, b, scale) {
  const summary = summarise(group.columns);
  const row = summary.rows.get(b);
  if (!row) {
    const gaps = summary.missing.get(b).length;
    const tip = `${gaps} of ${plural(summary.columns.length, "cell")} without a value: no mean`;
    return make("td", { class: "none", "data-tip": tip }, `${gaps} missing`);
  }
  const value = shownValue(group, b);
  const seen = summary.columns.filter((column) => contaminated(column, b));
  const name = classList(
    "cell",
    b === summary.best && "best",
    row.tied && "in-tie",
    seen.length && "contaminated",
  );
  const text = make("span", { class: "val" }, groupText(row, value, summary));
  const cell = make("td", { class: name }, text);
  if (seen.length) {
    const names = listed([...new Set(seen.map((column) => datasetOf(column).name))]);
    cell.dataset.tip = `contaminated: pretrained on ${names}`;
  }
  if (numberOrNull(value) === null) return cell;
  const at = scale(value);
  return withBar(cell, at, at, at);
}

function groupText(row, value, { columns }) {
  if (state.show === "rank") return row.rank ? String(row.rank) : MISSING;
  const isScore = state.show === "value" && averageable(columns);
  return isScore ? rounded(100 * value, 1) : fixed(value, 2);
}

// ---- the tooltip of a cell

export function cellTip(index) {
  const column = Math.floor(index / BACKBONES.length);
  const b = index % BACKBONES.length;
  const status = statusOf(column, b);
  const head = [BACKBONES[b].name, `${taskOf(column).name} on ${datasetOf(column).name}`];
  if (status !== "ok") return [...head, `${status}: ${reasonOf(column, b)}`];
  const metric = metricOf(column);
  const range = rangeText(lowAt(column, b), highAt(column, b), metric);
  const value = valueText(valueAt(column, b), metric);
  const lines = [...head, `${metric.name} ${value}${range ? ` [${range}]` : ""}`];
  const { n, seeds } = countsOf(column, b);
  if (n) lines.push(`n = ${grouped(n)}${seeds > 1 ? `, mean over ${seeds} seeds` : ""}`);
  lines.push(rankLine(column, b), ...tieLine(column, b));
  if (contaminated(column, b)) lines.push("contaminated: pretrained on this dataset");
  return lines;
}

function rankLine(column, b) {
  const { rank, pool, z } = columnOf(column);
  const score = `z-score ${fixed(z(b), 2)}`;
  if (isBaseline(b)) return `baseline, ${score}`;
  if (rank.has(b)) return `rank ${rank.get(b)} of ${pool.length}, ${score}`;
  return `not ranked, ${score}`;
}

function tieLine(column, b) {
  const { against, best, pOf } = columnOf(column);
  if (b === best || !against.has(b)) return [];
  if (against.get(b) === "untested") return ["not tested against the best"];
  const p = pOf.get(b);
  const test = p == null ? "" : ` (${pText(p)}, Holm)`;
  const relation = against.get(b) === "tied" ? "tied with" : "distinguishable from";
  return [`statistically ${relation} the best${test}`];
}

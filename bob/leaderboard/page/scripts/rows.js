// The rows of the table: a backbone's cells, each with its value, its interval as a bar, and its marks.

import { BACKBONES, COLUMNS, contaminated, countsOf, datasetOf, isFloor, metricOf, place, reasonOf, speedOf, stateOf, taskOf } from "./data.js";
import { make, styled, tag } from "./dom.js";
import { nameButton } from "./cards.js";
import { MISSING, fixed, grouped, millions, pText, plural, rangeText, shareText, short, valueText } from "./format.js";
import { averageable, columnOf, highAt, lowAt, summary, valueAt } from "./selection.js";
import { state } from "./state.js";

export const number = (value) => (value == null || Number.isNaN(value) ? null : value);

export function shownValue({ columns }, b) {
  if (columns.length === 1)
    return state.show === "value" ? valueAt(columns[0], b) : state.show === "z" ? columnOf(columns[0]).z(b) : columnOf(columns[0]).rank.get(b);
  const own = summary(columns).rows.get(b);
  return state.show === "rank" ? own?.place : state.show === "value" && averageable(summary(columns).columns) ? own?.value : own?.z;
}

const stateClass = (status) => status.replace(" ", "-");

export function row(b, plan, scales) {
  const own = plan.out.rows.get(b),
    { floor, external, family } = BACKBONES[b];
  const tags = [
    floor ? tag("floor", "", "What any useful backbone must beat; not in the pool.") : null,
    external ? tag("external", "external", `Published numbers from ${external}, not made here.`) : null,
  ];
  const head = make("th", { scope: "row" }, make("div", { class: "who" }, nameButton(b), ...tags.filter(Boolean)));
  const cells = [make("td", { class: "place" }, own?.place ? String(own.place) : ""), head];
  if (hasParams) cells.push(make("td", { class: "size" }, millions(BACKBONES[b].params)));
  if (hasSpeed) cells.push(make("td", { class: "size" }, speedOf(b) === null ? MISSING : short(speedOf(b))));
  if (plan.groups.length > 1) cells.push(...summaryCells(b, plan));
  cells.push(
    ...plan.groups.map((group, index) =>
      group.columns.length > 1 ? groupCell(group, b, scales[index]) : cell(group.columns[0], b, scales[index], plan.dense),
    ),
  );
  return styled(make("tr", { class: [floor ? "floor-row" : "", own?.tied ? "tied" : ""].join(" ").trim() || null }, ...cells), {
    "--mark": `var(--${family})`,
  });
}

export const hasParams = BACKBONES.some((backbone) => backbone.params != null);
export const hasSpeed = BACKBONES.some((_, b) => speedOf(b) !== null);

function summaryCells(b, { out }) {
  const own = out.rows.get(b);
  if (!own) {
    const gaps = out.missing.get(b);
    return summaryIds(out).map((id, index) =>
      index
        ? make("td", { class: "none" }, MISSING)
        : make(
            "td",
            {
              class: "none",
              "data-tip": `Incomplete: ${plural(gaps.length, "cell")} without a value\n${gaps
                .slice(0, 8)
                .map((column) => `${taskOf(column).name} on ${datasetOf(column).name}: ${stateOf(column, b)}`)
                .join("\n")}`,
            },
            "incomplete",
          ),
    );
  }
  const beside = !own.place; // a floor or a published number: in no pool
  const text = {
    z: beside ? MISSING : fixed(own.z, 2),
    rank: own.rank == null ? MISSING : fixed(own.rank, 1),
    wins: own.wins == null ? MISSING : shareText(own.wins),
    value: own.value == null ? MISSING : (100 * own.value).toFixed(1),
  };
  const sub = { rank: own.rankLimits ? `${Math.round(own.rankLimits[0])}–${Math.round(own.rankLimits[1])}` : "" };
  return summaryIds(out).map((id) =>
    make(
      "td",
      { class: `sum${id === "z" && b === out.best ? " best" : ""}` },
      make("span", { class: "val" }, text[id]),
      sub[id] ? make("span", { class: "ci" }, ` ${sub[id]}`) : "",
    ),
  );
}

export const summaryIds = (out) => [
  "z",
  "rank",
  ...(out.order.some((b) => out.rows.get(b).wins != null) ? ["wins"] : []),
  ...(averageable(out.columns) ? ["value"] : []),
];

// The scale of a column's bars: from the least to the most that its rivals' intervals reach; floors may lie before it.
export function scaleOf({ columns }) {
  if (columns.length > 1) {
    const values = BACKBONES.map((_, b) => shownValue({ columns }, b)).filter((value) => number(value) !== null);
    return span(values);
  }
  const [column] = columns;
  return span(
    columnOf(column)
      .pool.flatMap((b) => [lowAt(column, b), highAt(column, b), valueAt(column, b)])
      .filter((value) => !Number.isNaN(value)),
  );
}

function span(values) {
  const low = Math.min(...values),
    high = Math.max(...values);
  return (value) => (high > low ? Math.min(100, Math.max(0, (100 * (value - low)) / (high - low))) : 50);
}

function cell(column, b, scale, dense) {
  const status = stateOf(column, b),
    at = place(column, b),
    value = valueAt(column, b);
  if (status !== "ok")
    return make("td", { class: stateClass(status), "data-cell": at }, { missing: MISSING, "not applicable": "n/a" }[status] ?? status);
  if (Number.isNaN(value)) return make("td", { class: "none", "data-cell": at }, "left out");
  const { best, tied } = columnOf(column),
    [low, high] = [lowAt(column, b), highAt(column, b)];
  const classes = ["cell", b === best ? "best" : "", tied.has(b) ? "in-tie" : "", contaminated(column, b) ? "seen" : "", dense ? "dense" : ""]
    .filter(Boolean)
    .join(" ");
  const field = make("td", { class: classes, "data-cell": at }, make("span", { class: "val" }, shownText(column, b)));
  if (state.show === "value" && !dense && !Number.isNaN(low))
    field.append(" ", make("span", { class: "ci" }, rangeText(low, high, metricOf(column))));
  return barred(field, scale(value), scale(Number.isNaN(low) ? value : low), scale(Number.isNaN(high) ? value : high));
}

// The bar at the cell's foot, in percent of its width.
const barred = (field, at, from, to) => styled(field, { "--at": `${at.toFixed(1)}%`, "--from": `${from.toFixed(1)}%`, "--to": `${to.toFixed(1)}%` });

function shownText(column, b) {
  const value = shownValue({ columns: [column] }, b);
  return state.show === "value"
    ? valueText(value, metricOf(column))
    : state.show === "z"
      ? fixed(value, 2)
      : number(value) === null
        ? MISSING
        : short(value);
}

function groupCell(group, b, scale) {
  const out = summary(group.columns),
    own = out.rows.get(b),
    gaps = out.missing.get(b).length;
  if (!own)
    return make("td", { class: "none", "data-tip": `${gaps} of ${plural(out.columns.length, "cell")} without a value: no mean` }, `${gaps} missing`);
  const value = shownValue(group, b),
    text =
      state.show === "rank"
        ? own.place
          ? String(own.place)
          : MISSING
        : state.show === "value" && averageable(out.columns)
          ? (100 * value).toFixed(1)
          : fixed(value, 2);
  const classes = ["cell", b === out.best ? "best" : "", own.tied ? "in-tie" : ""].filter(Boolean).join(" ");
  const at = number(value) === null ? 0 : scale(value),
    field = make("td", { class: classes }, make("span", { class: "val" }, text));
  return number(value) === null ? field : barred(field, at, at, at);
}

export function cellTip(at) {
  const column = Math.floor(at / BACKBONES.length),
    b = at % BACKBONES.length,
    status = stateOf(column, b),
    metric = metricOf(column);
  const head = [BACKBONES[b].name, `${taskOf(column).name} on ${datasetOf(column).name}`];
  if (status !== "ok") return [...head, `${status}: ${reasonOf(column, b)}`];
  const { n, seeds } = countsOf(column, b),
    { rank, pool, tied, told, best, z } = columnOf(column),
    range = rangeText(lowAt(column, b), highAt(column, b), metric);
  const p = COLUMNS[column].p?.[b];
  return [
    ...head,
    `${metric.name} ${valueText(valueAt(column, b), metric)}${range ? ` [${range}]` : ""}`,
    ...(n ? [`n = ${grouped(n)}${seeds > 1 ? `, mean over ${seeds} seeds` : ""}`] : []),
    isFloor(b)
      ? `a floor, z ${fixed(z(b), 2)}`
      : rank.has(b)
        ? `place ${rank.get(b)} of ${pool.length}, z ${fixed(z(b), 2)}`
        : `beside the pool, z ${fixed(z(b), 2)}`,
    ...(told && b !== best && rank.has(b)
      ? [`${tied.has(b) ? "not told apart from" : "told apart from"} the best${p == null ? "" : ` (${pText(p)}, Holm)`}`]
      : []),
    ...(contaminated(column, b) ? ["contaminated: it was pretrained on this dataset"] : []),
  ];
}

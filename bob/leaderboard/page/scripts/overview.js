// The first view: who leads, who cannot be told apart from it, how sure that is, and what to take under limits.

import { BACKBONES, metricOf, taskOf } from "./data.js";
import { make, section, styled } from "./dom.js";
import { adviceSection } from "./advice.js";
import { nameButton } from "./cards.js";
import { fixed, listed, plural, rangeText, shareText, valueText } from "./format.js";
import { chosenColumns, limitsOf, scopeText, summary } from "./selection.js";
import { mean } from "./statistics.js";
import { byTask, notesSection } from "./leads.js";

const FOREST = 15; // rows of the standings

export function drawOverview(view) {
  const out = summary(chosenColumns());
  view.append(make("div", { class: "answers" }, answer(out), adviceSection()));
  if (out.order.length > 1) view.append(standings(out));
  view.append(byTask(), ...notesSection());
}

// ---- the answer

function answer(out) {
  const box = make("section", { class: "answer", "aria-labelledby": "h-answer" });
  box.append(make("h2", { id: "h-answer" }, "Which backbone is best?"));
  if (out.best === null) {
    box.append(
      make(
        "p",
        {},
        out.columns.length
          ? `No backbone has a value in every one of the ${plural(out.columns.length, "cell")} of ${scopeText(out.columns)}. Choose one task or dataset.`
          : "No cell has a value yet.",
      ),
    );
    return box;
  }
  const tied = out.order.filter((b) => b !== out.best && out.rows.get(b).tied);
  box.append(make("p", { class: "winner" }, nameButton(out.best)), make("p", { class: "figures" }, headline(out)), verdict(out, tied));
  if (tied.length) box.append(tieList(tied));
  const ahead = aheadWithGaps(out);
  if (ahead.length)
    box.append(
      make(
        "p",
        { class: "caution ahead" },
        `Incomplete, but ahead of it where both have values: ${listed(
          ahead.map(({ b, held }) => `${BACKBONES[b].name} (${held} of ${plural(out.columns.length, "cell")})`),
          3,
        )}.`,
      ),
    );
  const floors = floorsAbove(out);
  if (floors.length)
    box.append(
      make(
        "p",
        { class: "caution ahead" },
        `No better than a floor: ${listed(
          floors.map((b) => BACKBONES[b].name),
          3,
        )}.`,
      ),
    );
  box.append(make("p", { class: "hint" }, poolText(out)));
  return box;
}

function headline(out) {
  const row = out.rows.get(out.best),
    [column] = out.columns,
    where = scopeText(out.columns);
  if (out.columns.length === 1)
    return `${valueText(row.value, metricOf(column))}${rangeText(row.low, row.high, metricOf(column)) ? ` [${rangeText(row.low, row.high, metricOf(column))}]` : ""} ${metricOf(column).name}, ${where}`;
  const value = row.value === null ? "" : `, mean score ${(100 * row.value).toFixed(1)}`;
  return `first over ${where}: mean z ${fixed(row.z, 2)}, mean rank ${fixed(row.rank, 1)}${value}`;
}

const BASIS = { datasets: "by paired tests over the datasets", examples: "on the same test images", none: "by their intervals alone" };

function verdict(out, tied) {
  const row = out.rows.get(out.best),
    others = out.pool.length - 1;
  if (!others) return make("p", { class: "sure open" }, "No other backbone has a value in all of these cells.");
  if (row.tied === undefined)
    return make(
      "p",
      { class: "sure open" },
      `How sure that is cannot be told: there are too few datasets to resample (${out.datasets}), and no results per image at hand.`,
    );
  const wins = row.wins == null ? "" : ` First in ${shareText(row.wins)} of resamples.`;
  const how = BASIS[out.basis] + (out.columns.length === 1 && out.basis === "examples" ? " (paired tests, Holm over the pool)" : "");
  if (tied.length)
    return make("p", { class: "sure open" }, `Not settled: ${plural(tied.length, "other")} cannot be told apart from it ${how}.${wins}`);
  return make("p", { class: "sure clear" }, `Clear: told apart from ${others === 1 ? "the other one" : `all ${others} others`} ${how}.${wins}`);
}

const TIED = 8;

function tieList(tied) {
  const list = make(
    "ul",
    { class: "tie-list", "aria-label": "Tied with the best" },
    ...tied.slice(0, TIED).map((b) => make("li", {}, nameButton(b))),
  );
  if (tied.length > TIED) list.append(make("li", { class: "soft" }, `and ${tied.length - TIED} more`));
  return list;
}

export function poolText(out) {
  const floors = BACKBONES.filter((backbone) => backbone.floor).length,
    incomplete = BACKBONES.length - floors - out.pool.length;
  const left = [...new Set(out.left.map((column) => taskOf(column).name))];
  return [
    `Pool: ${plural(out.pool.length, "backbone")}${floors ? `, ${plural(floors, "floor")} beside it` : ""}.`,
    incomplete ? `${plural(incomplete, "backbone")} without a value in some of these cells ${incomplete === 1 ? "is" : "are"} in no mean.` : "",
    left.length ? `Not counted, since some backbones cannot do it at all: ${listed(left)}.` : "",
  ]
    .filter(Boolean)
    .join(" ");
}

// Floors whose mean z is at least that of the first.
const floorsAbove = (out) => [...out.rows.keys()].filter((b) => BACKBONES[b].floor && mean(out.z.get(b)) >= mean(out.z.get(out.best)));

// Rivals without a value in some cells, but in most, that are better than the first on the cells that both have, best first.
function aheadWithGaps(out) {
  const most = 0.5 * out.columns.length,
    first = out.z.get(out.best),
    found = [];
  for (const [b, gaps] of out.missing) {
    if (!gaps.length || gaps.length >= most || BACKBONES[b].floor || BACKBONES[b].external) continue;
    const gains = out.z
        .get(b)
        .map((z, index) => z - first[index])
        .filter((gain) => !Number.isNaN(gain)),
      gain = mean(gains);
    if (gain > 0) found.push({ b, gain, held: gains.length });
  }
  return found.sort((a, b) => b.gain - a.gain);
}

// ---- the standings: mean z with the interval of the bootstrap over datasets

function standings(out) {
  const single = out.columns.length === 1,
    tiedCount = out.order.filter((b) => out.rows.get(b).tied).length;
  const shown = out.order.slice(0, Math.max(FOREST, Math.min(tiedCount, 2 * FOREST)));
  const limits = limitsOf(out),
    scale = scaleOf(out, shown, single, limits);
  const table = make(
    "table",
    { class: "standings" },
    standingsHead(out, single),
    make("tbody", {}, ...shown.map((b) => standingsRow(b, out, limits.get(b), scale, single))),
  );
  const text = single
    ? "Value and 95 % interval, best first. The bracket holds the backbones that cannot be told apart from the best."
    : "Mean z-score over all cells: how many standard deviations of the pool a backbone lies above its mean. Bars: 95 % of resamples of the datasets. The bracket holds the backbones that cannot be told apart from the best.";
  const rest = out.order.length > shown.length ? [make("p", { class: "hint" }, `${out.order.length - shown.length} more in the table.`)] : [];
  return section("Standings", text, make("div", { class: "scroll" }, table), ...rest);
}

function standingsHead(out, single) {
  const names = single
    ? ["", "Backbone", metricOf(out.columns[0]).name, "95 % interval"]
    : ["", "Backbone", "Mean z", "95 % of resamples", "Mean rank", "Place in 95 %", "Wins"];
  return make("thead", {}, make("tr", {}, ...names.map((text, index) => make("th", { scope: "col", class: index === 3 ? "wide" : "" }, text))));
}

function standingsRow(b, out, limits, scale, single) {
  const row = out.rows.get(b),
    value = single ? row.value : row.z;
  const cells = [
    make("td", { class: "place" }, String(row.place)),
    make("th", { scope: "row" }, nameButton(b)),
    make("td", { class: "val" }, single ? valueText(value, metricOf(out.columns[0])) : fixed(value, 2)),
    make("td", { class: "wide" }, bar(value, limits, b, scale)),
  ];
  if (!single)
    cells.push(
      make("td", {}, fixed(row.rank, 1)),
      make(
        "td",
        {},
        row.rankLimits
          ? row.rankLimits
              .map(Math.round)
              .filter((place, index, all) => !index || place !== all[0])
              .join("–")
          : "–",
      ),
      make("td", {}, row.wins == null ? "–" : shareText(row.wins)),
    );
  return make("tr", { class: row.tied ? "tied" : "" }, ...cells);
}

function scaleOf(out, shown, single, limits) {
  const ends = shown
    .flatMap((b) => {
      const row = out.rows.get(b);
      return [single ? row.value : row.z, ...(limits.get(b) ?? [])];
    })
    .filter((value) => value != null && !Number.isNaN(value));
  const low = Math.min(...ends),
    high = Math.max(...ends);
  return (value) => (high > low ? 2 + (96 * (value - low)) / (high - low) : 50);
}

function bar(value, limits, b, scale) {
  const range = styled(make("span", { class: "range", "aria-hidden": "true" }), { "--mark": `var(--${BACKBONES[b].family})` });
  if (limits && limits[0] != null && !Number.isNaN(limits[0]))
    range.append(styled(make("i"), { left: `${scale(limits[0])}%`, width: `${Math.max(0.3, scale(limits[1]) - scale(limits[0]))}%` }));
  range.append(styled(make("b"), { left: `${scale(value)}%` }));
  return range;
}

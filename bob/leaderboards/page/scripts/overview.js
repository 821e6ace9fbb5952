// The first view: the best backbone, the backbones tied with it, the significance of its lead, and
// what to use within limits.

import {
  BACKBONES,
  DATA,
  ONLY_BASELINES,
  datasetOf,
  metricOf,
  signOf,
  speedOf,
  statusOf,
  taskOf,
} from "./data.js";
import { coloured, headRow, make, paragraph, section, styled } from "./dom.js";
import { adviceSection } from "./advice.js";
import { bestSection, notesSection } from "./best.js";
import { nameButton } from "./cards.js";
import {
  MISSING,
  Z_SCORE,
  fixed,
  listed,
  millions,
  plural,
  rangeText,
  rankRange,
  rounded,
  shareText,
  short,
  valueText,
} from "./format.js";
import {
  averageable,
  chosenColumns,
  limitsOf,
  relatedTo,
  scopeText,
  statusOn,
  summarise,
  whyUntested,
} from "./selection.js";
import { mean } from "./statistics.js";

const STANDINGS = 15; // rows; up to twice as many where they are tied
const TIED_NAMES = 8;
const NAMES_IN_SENTENCE = 3;
const NOT_APPLICABLE = "does not apply to every backbone"; // as in bob/leaderboards/pools.py

export function drawOverview(view) {
  const summary = summarise(chosenColumns());
  view.append(make("div", { class: "answers" }, answer(summary), adviceSection()));
  if (summary.order.length > 1) view.append(standings(summary));
  view.append(bestSection(), ...notesSection());
}

// ---- the answer

function answer(summary) {
  const box = make("section", { class: "answer", "aria-labelledby": "h-answer" });
  box.append(make("h2", { id: "h-answer" }, "Which backbone is best?"));
  if (summary.best === null) {
    box.append(paragraph("", noBestText(summary)));
    return box;
  }
  const tied = summary.order.filter((b) => b !== summary.best && summary.rows.get(b).tied);
  box.append(
    paragraph("winner", nameButton(summary.best)),
    paragraph("figures", scoresText(summary)),
    verdict(summary, tied),
    paragraph("comparison", comparisonText(summary)),
  );
  if (tied.length) box.append(tieList(tied));
  box.append(...cautions(summary), paragraph("hint", poolText(summary)));
  const isByZ = summary.columns.length > 1 && !averageable(summary.columns);
  if (isByZ) box.append(paragraph("hint", Z_SCORE));
  return box;
}

function noBestText(summary) {
  if (ONLY_BASELINES) return ONLY_BASELINES;
  const { columns } = summary;
  const excluded = excludedTexts(summary).join(" ");
  if (!columns.length) return excluded || "No cell has a value yet.";
  const cells = plural(columns.length, "cell");
  return (
    `No backbone has a value in every one of the ${cells} of ${scopeText(columns)}. ` +
    `Choose one task or dataset. ${excluded}`
  );
}

function scoresText({ rows, best, columns }) {
  const row = rows.get(best);
  const scope = scopeText(columns);
  if (columns.length === 1) {
    const metric = metricOf(columns[0]);
    const range = rangeText(row.low, row.high, metric);
    return `${valueText(row.value, metric)}${range ? ` [${range}]` : ""} ${metric.name}, ${scope}`;
  }
  if (row.value !== null) {
    return `${rounded(100 * row.value, 1)} % on average over ${scope}`;
  }
  const z = fixed(row.z, 2);
  return `ranks first over ${scope}: mean z-score ${z}, mean rank ${fixed(row.meanRank, 1)}`;
}

// How far the next backbone is behind, and what the best one costs.
function comparisonText({ rows, best, order, columns }) {
  const sentences = [];
  const [, next] = order;
  const behind = next === undefined ? null : pointsBehind(rows.get(next), rows.get(best), columns);
  if (behind !== null) {
    sentences.push(`Next is ${BACKBONES[next].name}, ${distanceText(behind)}.`);
  }
  const costs = costTexts(best);
  if (costs.length) sentences.push(`Cost: ${costs.join(", ")}.`);
  return sentences.join(" ");
}

function distanceText(behind) {
  const points = rounded(Math.abs(behind), 1);
  if (Number(points) === 0) return "with the same score";
  return behind > 0
    ? `${points} points behind`
    : `${points} points ahead in mean score and behind in mean z-score`;
}

function costTexts(b) {
  const { params } = BACKBONES[b];
  const speed = speedOf(b);
  return [
    params == null ? null : `${millions(params)} M parameters`,
    speed === null ? null : `${short(speed)} images/s on ${DATA.conditions}`,
  ].filter(Boolean);
}

// The distance to the best in percentage points; null where scores are not shares.
export function pointsBehind(row, best, columns) {
  if (!averageable(columns)) return null;
  const sign = columns.length === 1 ? signOf(columns[0]) : 1;
  return 100 * sign * (best.value - row.value);
}

const BASIS = {
  datasets: "by paired tests over the datasets",
  examples: "on the same test images",
};

function verdict(summary, tied) {
  const { basis, columns, pool, rows, best } = summary;
  const row = rows.get(best);
  const others = pool.length - 1;
  const open = (text) => paragraph("verdict open", text);
  if (!others) return open("No other backbone has a value in all of these cells.");
  if (statusOn(summary) === "untested") {
    return open(`The significance of this lead is unknown: ${whyUntested(summary)}.`);
  }
  const resamples = `resamples of the ${basis === "examples" ? "test images" : "datasets"}`;
  const wins = row.wins == null ? "" : ` It ranks first in ${shareText(row.wins)} of ${resamples}.`;
  const isPaired = columns.length === 1 && basis === "examples";
  const method = BASIS[basis] + (isPaired ? " (paired tests, Holm over the pool)" : "");
  if (tied.length) {
    const verb = tied.length === 1 ? "other is" : "others are";
    const untested = relatedTo(best, "untested", pool, summary).length;
    const rest = untested ? ` ${untested} of the others could not be tested.` : "";
    const count = `${tied.length} ${verb} statistically tied with it ${method}`;
    const who = tied.length === 1 ? "it" : "any of them";
    return open(`Not settled: ${count}; ${who} may be as good.${rest}${wins}`);
  }
  const rest = others === 1 ? "the other backbone" : `all ${others} others`;
  return paragraph(
    "verdict clear",
    `Clear: significantly better than ${rest} ${method}.${wins}`,
  );
}

function tieList(tied) {
  const items = tied.slice(0, TIED_NAMES).map((b) => make("li", {}, nameButton(b)));
  if (tied.length > TIED_NAMES) {
    items.push(make("li", { class: "soft" }, `and ${tied.length - TIED_NAMES} more`));
  }
  const attributes = { class: "tie-list", "aria-label": "Statistically tied with the best" };
  return make("ul", attributes, ...items);
}

// Warnings about backbones that the pool does not contain.
function cautions(summary) {
  const ahead = aheadButIncomplete(summary).map(({ b, count }) => {
    const cells = plural(summary.columns.length, "cell");
    return `${BACKBONES[b].name} (${count} of ${cells})`;
  });
  const baselines = baselinesAhead(summary).map((b) => BACKBONES[b].name);
  const lines = [];
  if (ahead.length) {
    const names = listed(ahead, NAMES_IN_SENTENCE);
    lines.push(`Incomplete, but better on the cells that both have: ${names}.`);
  }
  if (baselines.length) {
    lines.push(`Scores no better than a baseline: ${listed(baselines, NAMES_IN_SENTENCE)}.`);
  }
  return lines.map((line) => paragraph("caution note", line));
}

export function poolText(summary) {
  const baselines = BACKBONES.filter((backbone) => backbone.baseline).length;
  const beside = baselines ? `, and ${plural(baselines, "baseline")} for comparison` : "";
  const sentences = [`Pool: ${plural(summary.pool.length, "backbone")}${beside}.`];
  sentences.push(...unrankedTexts(summary), ...excludedTexts(summary));
  return sentences.join(" ");
}

// Which measured backbones are not ranked, and what they lack.
function unrankedTexts({ missing, pool }) {
  const ranked = new Set(pool);
  const isTable = pool.some((b) => BACKBONES[b].external);
  const names = [...missing]
    .filter(([b]) => !ranked.has(b) && !BACKBONES[b].baseline)
    .filter(([b]) => isTable === Boolean(BACKBONES[b].external))
    .filter(([, gaps]) => gaps.length)
    .map(([b, gaps]) => `${BACKBONES[b].name} (${gapsText(gaps, b)})`);
  if (!names.length) return [];
  return [`Not ranked, because values are missing: ${listed(names, NAMES_IN_SENTENCE)}.`];
}

function gapsText(gaps, b) {
  const [first] = gaps;
  const text = `${statusOf(first, b)}: ${taskOf(first).name} on ${datasetOf(first).name}`;
  return gaps.length > 1 ? `${text} and ${gaps.length - 1} more` : text;
}

// Which of the chosen cells are not averaged, and why: what is undefined for every backbone is a
// property of the dataset.
function excludedTexts({ excluded }) {
  const byReason = new Map();
  for (const [column, reason] of excluded) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), column]);
  }
  return [...byReason].map(([reason, columns]) => {
    if (reason === NOT_APPLICABLE) {
      const tasks = [...new Set(columns.map((column) => taskOf(column).name))];
      return `Excluded, since not applicable to some backbones: ${listed(tasks)}.`;
    }
    const names = columns.map((column) => `${taskOf(column).name} on ${datasetOf(column).name}`);
    return `Not counted: ${listed(names)} (${reason.replace(/\.$/, "")}).`;
  });
}

// Baselines whose mean z-score is at least that of the best.
function baselinesAhead({ rows, z, best }) {
  const baselines = [...rows.keys()].filter((b) => BACKBONES[b].baseline);
  return baselines.filter((b) => mean(z.get(b)) >= mean(z.get(best)));
}

// Backbones that lack a value in less than half of the cells, and are better than the best on the
// cells that both have; best first.
function aheadButIncomplete({ columns, missing, z, best }) {
  const most = 0.5 * columns.length;
  const reference = z.get(best);
  const ahead = [];
  for (const [b, gaps] of missing) {
    if (!gaps.length || gaps.length >= most) continue;
    if (BACKBONES[b].baseline || BACKBONES[b].external) continue;
    const differences = z.get(b).map((score, index) => score - reference[index]);
    const gains = differences.filter((difference) => !Number.isNaN(difference));
    const gain = mean(gains);
    if (gain > 0) ahead.push({ b, gain, count: gains.length });
  }
  return ahead.sort((a, b) => b.gain - a.gain);
}

// ---- the standings: values, or mean z-scores with the interval of the bootstrap over datasets

const BRACKET = "The bracket marks the backbones statistically tied with the best.";
const COLUMN_HELP = `Value and 95 % interval, best first. ${BRACKET}`;
const MEAN_HELP =
  `Ordered by mean z-score over all cells. ${Z_SCORE} Behind: percentage points of the mean ` +
  "score. Bars: mean z-score and 95 % of its resamples. " +
  `Wins: the share of resamples in which a backbone ranks first. ${BRACKET}`;

function standings(summary) {
  const { columns, order, rows } = summary;
  const single = columns.length === 1;
  const tied = order.filter((b) => rows.get(b).tied).length;
  const shown = order.slice(0, Math.max(STANDINGS, Math.min(tied, 2 * STANDINGS)));
  const limits = limitsOf(summary);
  const scale = scaleOf(summary, shown, limits);
  const body = shown.map((b) => standingsRow(b, summary, limits.get(b), scale));
  const table = make(
    "table",
    { class: "standings" },
    make("thead", {}, standingsHead(columns)),
    make("tbody", {}, ...body),
  );
  const left = order.length - shown.length;
  const rest = left > 0 ? [paragraph("hint", `${left} more in the table.`)] : [];
  const explanation = single ? COLUMN_HELP : MEAN_HELP;
  return section("Standings", explanation, make("div", { class: "scroll" }, table), ...rest);
}

function standingsHead(columns) {
  const value = averageable(columns) ? "Mean score" : "Mean z";
  const names =
    columns.length === 1
      ? ["Place", "Backbone", metricOf(columns[0]).name, "95 % interval"]
      : ["Place", "Backbone", value, "Mean z-score, 95 %", "Mean rank", "Rank in 95 %", "Wins"];
  if (averageable(columns)) names.splice(3, 0, "Behind");
  const row = headRow(names);
  row.children[averageable(columns) ? 4 : 3].className = "wide";
  return row;
}

// "4.7" points behind the best, "0.3 ahead" where the mean score is above its, a dash for itself.
function behindText(points, isBest) {
  if (isBest) return MISSING;
  const text = rounded(Math.abs(points), 1);
  return points < 0 && Number(text) > 0 ? `${text} ahead` : text;
}

function standingsRow(b, { rows, columns, best }, limits, scale) {
  const row = rows.get(b);
  const single = columns.length === 1;
  const value = single ? row.value : row.z;
  const meanText = averageable(columns) ? rounded(100 * row.value, 1) : fixed(value, 2);
  const text = single ? valueText(value, metricOf(columns[0])) : meanText;
  const cells = [
    make("td", { class: "rank" }, String(row.rank)),
    make("th", { scope: "row" }, nameButton(b)),
    make("td", { class: "val" }, text),
  ];
  const behind = pointsBehind(row, rows.get(best), columns);
  if (behind !== null) cells.push(make("td", {}, behindText(behind, b === best)));
  cells.push(make("td", { class: "wide" }, bar(value, limits, b, scale)));
  if (!single) {
    cells.push(
      make("td", {}, fixed(row.meanRank, 1)),
      make("td", {}, rankRange(row.rankLimits)),
      make("td", {}, row.wins == null ? MISSING : shareText(row.wins)),
    );
  }
  return make("tr", { class: row.tied ? "tied" : "" }, ...cells);
}

function scaleOf({ rows, columns }, shown, limits) {
  const values = shown.flatMap((b) => {
    const { value, z } = rows.get(b);
    return [columns.length === 1 ? value : z, ...(limits.get(b) ?? [])];
  });
  const present = values.filter((value) => value != null && !Number.isNaN(value));
  const low = Math.min(...present);
  const high = Math.max(...present);
  return (value) => (high > low ? 2 + (96 * (value - low)) / (high - low) : 50);
}

function bar(value, limits, b, scale) {
  const range = make("span", { class: "range", "aria-hidden": "true" });
  if (limits && limits[0] != null && !Number.isNaN(limits[0])) {
    const [low, high] = limits.map(scale);
    const width = Math.max(0.3, high - low);
    range.append(styled(make("i"), { left: `${low}%`, width: `${width}%` }));
  }
  range.append(styled(make("b"), { left: `${scale(value)}%` }));
  return coloured(range, BACKBONES[b].family);
}

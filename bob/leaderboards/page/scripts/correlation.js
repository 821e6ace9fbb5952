// Whether tasks (or the datasets of one task) order the backbones alike: Spearman's correlation of
// every pair, and a scatter plot of the chosen pair.

import { COLUMNS, DATASETS, TASKS } from "./data.js";
import { $, button, make, paragraph, section } from "./dom.js";
import { chart, linear, tickText, widthOf, xAxis, yAxis } from "./axes.js";
import { MISSING, Z_SCORE, cut, fixed, plural } from "./format.js";
import { familyLegend, pointKey, pointNames } from "./names.js";
import { matrix } from "./matrix.js";
import { plainPoint } from "./points.js";
import { chosenColumns, summarise, taskIndex } from "./selection.js";
import { ranks, spearman, spearmanLimits } from "./statistics.js";
import { change, state } from "./state.js";

const HEIGHT = 380; // px
const MOST_WIDTH = 900; // px
const WIDE = 480; // px: with room for names at the right of the points
const MOST_NAMED = 14; // points: names of more would cover the chart
const MIN_BACKBONES = 3; // any two backbones correlate perfectly
const MIN_TELLING = 5; // of four, chance orders one set in twelve alike or in reverse: p > 5 %

const TITLE = "Correlation of tasks";
const EXPLANATION =
  "Spearman's rank correlation of the backbones' mean z-scores: at 1 both order the backbones " +
  "alike, at 0 one predicts nothing about the other. Baselines are excluded. In brackets: the 95 % " +
  "interval over backbones, by Fisher's transformation (Bonett & Wright 2000), for at least six of " +
  `them that are not in the same order throughout. ${Z_SCORE}`;

// The groups of columns that are compared: tasks, or the datasets of one task.
function columnGroups() {
  const columns = chosenColumns();
  const byTask = taskIndex() < 0 && new Set(columns.map((column) => COLUMNS[column].task)).size > 1;
  const keyOf = (column) => COLUMNS[column][byTask ? "task" : "dataset"];
  return [...new Set(columns.map(keyOf))].map((key) => ({
    name: (byTask ? TASKS : DATASETS)[key].name,
    summary: summarise(columns.filter((column) => keyOf(column) === key)),
  }));
}

// Mean z-scores of the backbones that have one in both groups.
function pairedScores(a, b) {
  const z = (group, backbone) => group.summary.rows.get(backbone)?.z;
  const backbones = a.summary.pool.filter(
    (backbone) =>
      b.summary.pool.includes(backbone) &&
      Number.isFinite(z(a, backbone)) &&
      Number.isFinite(z(b, backbone)),
  );
  return {
    backbones,
    x: backbones.map((backbone) => z(a, backbone)),
    y: backbones.map((backbone) => z(b, backbone)),
  };
}

function correlation(a, b) {
  const { backbones, x, y } = pairedScores(a, b);
  const rho = spearman(x, y);
  return { rho, limits: spearmanLimits(rho, backbones.length), n: backbones.length };
}

const rhoText = (rho) => (rho === null ? MISSING : fixed(rho, 2));

// "Spearman 0.71 [0.12 to 0.93], 9 backbones".
function resultText({ rho, limits, n }) {
  const range = limits ? ` [${limits.map((limit) => fixed(limit, 2)).join(" to ")}]` : "";
  const text = rho === null ? "correlation undefined" : `Spearman ${rhoText(rho)}${range}`;
  return `${text}, ${plural(n, "backbone")}`;
}

export function drawCorrelation(view) {
  const groups = columnGroups();
  const obstacle =
    groups.length < 2 ? "At least two tasks or datasets are needed." : tooFewBackbones(groups);
  if (obstacle) {
    const link = button({ class: "elsewhere" }, () => change({ view: "table" }), "Show the table");
    view.append(section(TITLE, EXPLANATION, paragraph("", obstacle), link));
    return;
  }
  const [a, b] = chosenPair(groups);
  const detail = make("figure", { id: "pair" });
  const split = make("div", { class: "split" }, groupMatrix(groups, a, b), detail);
  view.append(section(TITLE, EXPLANATION, split));
  detail.append(pairChart(detail, a, b));
  $("status").textContent = plural((groups.length * (groups.length - 1)) / 2, "pair");
}

function chosenPair(groups) {
  const names = state.pair.split("|");
  const pair = names.map((name) => groups.find((group) => group.name === name));
  return names.length === 2 && pair.every(Boolean) ? pair : groups;
}

// Why no pair can be compared; empty where one can.
function tooFewBackbones(groups) {
  const shared = (a, b) => a.summary.pool.filter((one) => b.summary.pool.includes(one)).length;
  const counts = groups.flatMap((a, index) => groups.slice(index + 1).map((b) => shared(a, b)));
  const most = Math.max(...counts);
  if (most >= MIN_BACKBONES) return "";
  return (
    `A correlation needs at least ${MIN_BACKBONES} backbones, without baselines, that have ` +
    `values in both; any two of these ${groups.length} share at most ${most}.`
  );
}

function groupMatrix(groups, a, b) {
  return matrix(
    groups.map((group) => group.name),
    (i, j) => {
      const [first, second] = [groups[i], groups[j]];
      const result = correlation(first, second);
      return {
        text: rhoText(result.rho),
        lines: [`${first.name} and ${second.name}: ${resultText(result)}`],
        strength: result.rho ?? NaN,
        isCurrent: [a, b].includes(first) && [a, b].includes(second),
        choose: () => change({ pair: `${first.name}|${second.name}` }),
      };
    },
  );
}

function pairChart(figure, a, b) {
  const { backbones, x, y } = pairedScores(a, b);
  if (!backbones.length) return paragraph("", "No backbone has a value in both.");
  const width = Math.min(MOST_WIDTH, widthOf(figure));
  const isWide = width >= WIDE;
  const box = { left: 48, right: width - (isWide ? 120 : 12), top: 30, bottom: HEIGHT - 50 };
  const across = linear(x, box.left, box.right);
  const up = linear(y, box.bottom, box.top);
  const places = backbones.map((_, index) => ({ x: across.at(x[index]), y: up.at(y[index]) }));
  const points = backbones.map((backbone, index) =>
    plainPoint(backbone, places[index], [
      `${a.name}: z-score ${fixed(x[index], 2)}`,
      `${b.name}: z-score ${fixed(y[index], 2)}`,
    ]),
  );
  const named = byDisagreement(x, y).map((index) => ({
    b: backbones[index],
    ...places[index],
    isSoft: true,
  }));
  const area = { left: box.left, right: width - 4, top: 0, bottom: box.bottom + 2 };
  const names = `${cut(b.name, 24)} against ${cut(a.name, 24)}`;
  const title = `${names}: ${resultText(correlation(a, b))}`;
  const labels = pointNames(named, places, area, isWide ? 40 : 24);
  const plot = chart(
    width,
    HEIGHT,
    title,
    yAxis(up, box, tickText(up, false), `z-score, ${cut(b.name, 30)}`),
    xAxis(across, box, tickText(across, false), `z-score, ${cut(a.name, 30)}`),
    points,
    labels.texts,
  );
  const doubt = backbones.length < MIN_TELLING ? ": too few to tell it from chance" : "";
  const caption = make("figcaption", {}, title + doubt);
  return make("div", {}, familyLegend(backbones), plot, pointKey(labels.key), caption);
}

// The indices of the points that are named: of many, those whose ranks differ most.
function byDisagreement(x, y) {
  const [across, up] = [ranks(x), ranks(y)];
  const gap = (index) => Math.abs(across[index] - up[index]);
  return [...x.keys()].sort((i, j) => gap(j) - gap(i)).slice(0, MOST_NAMED);
}

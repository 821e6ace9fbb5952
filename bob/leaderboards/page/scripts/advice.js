// "Which should I use?": the recommended backbone within limits, the backbones tied with it, and
// the score that the limits cost, as sentences.

import {
  ALL_BACKBONES,
  BACKBONES,
  COLUMNS,
  DATA,
  ONLY_BASELINES,
  TASKS,
  contaminated,
  datasetOf,
  hasParams,
  hasSpeeds,
  isBaseline,
  metricOf,
  signOf,
  speedOf,
} from "./data.js";
import { choices, make, on, paragraph } from "./dom.js";
import { nameButton } from "./cards.js";
import { fixed, listed, millions, plural, rounded, short, signed } from "./format.js";
import {
  averageable,
  chosenColumns,
  relatedTo,
  scopeText,
  summarise,
  valueAt,
  whyUntested,
  within,
} from "./selection.js";
import { change, state } from "./state.js";

const LIMITS = ["wantparams", "wantspeed", "wantlicence", "want"];

// Only much smaller and faster backbones are worth a sentence.
const SMALLER = 0.8;
const FASTER = 1.1;

const taskName = (column) => TASKS[COLUMNS[column].task].name;

export function adviceSection() {
  const text = make("div", { id: "advice", "aria-live": "polite" });
  const title = make("h2", { id: "h-advice" }, "Which should I use?");
  const attributes = { class: "advice", "aria-labelledby": "h-advice" };
  const box = make("section", attributes, title, limitsForm(text), text);
  writeAdvice(text);
  return box;
}

function numberField(label, id, value) {
  const attributes = { id, value, min: 0, step: "any", inputmode: "decimal", placeholder: "any" };
  return make("label", {}, label, make("input", { type: "number", ...attributes }));
}

function limitsForm(text) {
  const licence = choices(make("select", { id: "want-licence" }), [
    ["", "any"],
    ["open", "no NC clause"],
  ]);
  licence.value = state.wantlicence;
  const form = make(
    "form",
    { class: "wants" },
    hasParams ? numberField("Parameters at most (M)", "want-params", state.wantparams) : null,
    hasSpeeds ? numberField("Images/s at least", "want-speed", state.wantspeed) : null,
    make("label", {}, "Licence", licence),
    taskBoxes(),
  );
  return on(form, {
    submit: (event) => event.preventDefault(),
    input: () => {
      readLimits(form);
      writeAdvice(text);
    },
  });
}

// One box per task of the chosen columns.
function taskBoxes() {
  const names = [...new Set(chosenColumns().map(taskName))];
  const off = new Set(state.want.split(",").filter(Boolean));
  if (names.length < 2) return null;
  const boxes = names.map((name) => {
    const attributes = { type: "checkbox", value: name, checked: off.has(name) ? null : "" };
    return make("label", { class: "check" }, make("input", attributes), name);
  });
  return make("fieldset", {}, make("legend", {}, "Tasks"), ...boxes);
}

function readLimits(form) {
  const value = (id) => form.querySelector(id)?.value ?? "";
  const unchecked = [...form.querySelectorAll("fieldset input:not(:checked)")];
  change({
    wantparams: value("#want-params"),
    wantspeed: value("#want-speed"),
    wantlicence: value("#want-licence"),
    want: unchecked.map((box) => box.value).join(","),
  });
}

export const isAdvice = (names) => [...names].every((name) => LIMITS.includes(name));

// Whether the licence is stated and has no non-commercial or research-only clause.
const isOpen = (licence) => licence != null && !/\bNC\b|non-?commercial|research/i.test(licence);

function writeAdvice(text) {
  const off = new Set(state.want.split(","));
  const summary = summarise(chosenColumns().filter((column) => !off.has(taskName(column))));
  const candidates = summary.order.filter(
    (b) =>
      within(b, state.wantparams, state.wantspeed) &&
      (!state.wantlicence || isOpen(BACKBONES[b].licence)),
  );
  text.replaceChildren(
    ...(candidates.length
      ? recommendation(summary, candidates)
      : [paragraph("", noCandidateText(summary)), ...notComparable()]),
  );
}

function noCandidateText({ order }) {
  if (ONLY_BASELINES) return "There is no backbone to recommend beside baselines.";
  if (!order.length) return "No backbone has a value in all of these cells; choose fewer tasks.";
  const complete = plural(order.length, "backbone");
  return `None of the ${complete} with a value in all cells is known to meet these limits.`;
}

function recommendation(summary, candidates) {
  const [pick] = candidates;
  const tied = relatedTo(pick, "tied", candidates, summary);
  return [
    paragraph("pick", "Use ", nameButton(pick), `${costsText(pick)}.`),
    paragraph("", rankText(summary, candidates)),
    paragraph("", tieText(summary, pick, tied, candidates)),
    ...smallestTied(pick, tied),
    ...fastestTied(pick, tied),
    ...costOfLimits(summary, pick),
    ...notComparable(),
    ...betterBaselines(summary, pick),
    ...contaminationWarning(summary, pick),
  ];
}

function rankText(summary, candidates) {
  const row = summary.rows.get(candidates[0]);
  const limited = candidates.length < summary.order.length ? " within the limits" : "";
  const pool = `${plural(candidates.length, "backbone")}${limited}`;
  const isMean = summary.columns.length > 1;
  const score = averageable(summary.columns)
    ? `mean score ${rounded(100 * row.value, 1)}`
    : `mean z-score ${fixed(row.z, 2)}`;
  const scores = isMean ? `: ${score}, mean rank ${fixed(row.meanRank, 1)}` : "";
  return `It ranks first of ${pool} over ${scopeText(summary.columns)}${scores}.`;
}

// The cells in which a baseline has a better score than the pick.
function betterBaselines({ columns }, pick) {
  const isBetter = (column, b) =>
    signOf(column) * (valueAt(column, b) - valueAt(column, pick)) > 0;
  const baselines = ALL_BACKBONES.filter(isBaseline);
  const lost = columns.filter((column) => baselines.some((b) => isBetter(column, b)));
  if (!lost.length) return [];
  const names = lost.map((column) => `${taskName(column)} on ${datasetOf(column).name}`);
  const cells = `${lost.length} of its ${plural(columns.length, "cell")}`;
  return [paragraph("caution", `Caution: a baseline has a better score in ${cells}: ${listed(names, 3)}.`)];
}

function contaminationWarning({ columns }, pick) {
  const count = columns.filter((column) => contaminated(column, pick)).length;
  if (!count) return [];
  const cells = `${count} of its ${plural(columns.length, "cell")}`;
  const verb = count === 1 ? "uses" : "use";
  return [paragraph("caution", `Caution: ${cells} ${verb} images that it was pretrained on.`)];
}

function costsText(b) {
  const { params, width } = BACKBONES[b];
  const speed = speedOf(b);
  const costs = [
    params == null ? null : `${millions(params)} M parameters`,
    width ? `${width} features` : null,
    speed === null ? null : `${short(speed)} images/s on ${DATA.conditions}`,
  ].filter(Boolean);
  return costs.length ? ` (${costs.join(", ")})` : "";
}

function tieText(summary, pick, tied, candidates) {
  const untested = relatedTo(pick, "untested", candidates, summary);
  if (candidates.length === 1) {
    return isLimited() ? "No other backbone meets the limits." : "No other backbone is ranked.";
  }
  if (untested.length === candidates.length - 1) {
    return `Whether the next backbones are significantly worse is unknown: ${whyUntested(summary)}.`;
  }
  const names = (backbones) => listed(backbones.map((b) => BACKBONES[b].name), 3);
  const rest = untested.length ? ` Not tested against it: ${names(untested)}.` : "";
  if (tied.length) return `Statistically tied with it: ${names(tied)}.${rest}`;
  const others = untested.length ? "the others that were tested" : "every other backbone";
  const within = isLimited() ? " within the limits" : "";
  return `It is significantly better than ${others}${within}.${rest}`;
}

// The smallest backbone tied with the pick, where it is clearly smaller.
function smallestTied(pick, tied) {
  const params = (b) => BACKBONES[b].params;
  const smallest = tied
    .filter((b) => params(b) != null)
    .reduce((best, b) => (best === null || params(b) < params(best) ? b : best), null);
  if (smallest === null || params(pick) == null) return [];
  if (params(smallest) > SMALLER * params(pick)) return [];
  const ratio = rounded(params(pick) / params(smallest), 1);
  const text = `: ${ratio}× fewer parameters.`;
  return [paragraph("", "The smallest of them is ", nameButton(smallest), text)];
}

// The fastest backbone tied with the pick, where it is clearly faster.
function fastestTied(pick, tied) {
  const pickSpeed = speedOf(pick);
  const [fastest] = tied
    .filter((b) => speedOf(b) > FASTER * pickSpeed)
    .sort((a, b) => speedOf(b) - speedOf(a));
  if (!pickSpeed || fastest === undefined) return [];
  const text = `: ${rounded(speedOf(fastest) / pickSpeed, 1)}× the speed.`;
  return [paragraph("", "The fastest of them is ", nameButton(fastest), text)];
}

const isLimited = () => Boolean(state.wantparams || state.wantspeed || state.wantlicence);

// What the limits cost: the difference to the best backbone without them. Nothing is said where no
// limit is set.
function costOfLimits(summary, pick) {
  if (!isLimited()) return [];
  if (pick === summary.best) {
    return [paragraph("", "The limits cost nothing: it is also the best without them.")];
  }
  const best = summary.rows.get(summary.best);
  const row = summary.rows.get(pick);
  const { columns } = summary;
  const score = columns.length > 1 ? "mean score" : metricOf(columns[0]).name;
  const difference = averageable(columns)
    ? `${signed(100 * (row.value - best.value), 1)} points of ${score}`
    : `${signed(row.z - best.z)} in mean z-score`;
  const significance = {
    untested: ", a difference that was not tested",
    tied: ", a difference that is not statistically significant",
  };
  const relation = summary.verdicts?.relation(pick, summary.best) ?? "untested";
  const verdict = significance[relation] ?? ", a difference that is statistically significant";
  const reference = `${BACKBONES[summary.best].name}${costsText(summary.best)}`;
  const text = `Cost of the limits: ${difference} compared with ${reference}${verdict}.`;
  return [paragraph("", text)];
}

// The backbones whose speed decides nothing, since it was measured under other conditions.
function notComparable() {
  if (!state.wantspeed) return [];
  const names = BACKBONES.filter(
    (backbone, b) =>
      !backbone.baseline && backbone.undecided && !within(b, "", state.wantspeed),
  ).map((backbone) => `${backbone.name} (${backbone.undecided})`);
  if (!names.length) return [];
  const text = `Left out, since speeds under other conditions are not comparable: ${listed(names)}.`;
  return [paragraph("", text)];
}

// "Which should I use?": the pick under limits, its tie group, and what one gives up, in sentences.

import { BACKBONES, COLUMNS, TASKS, contaminated, metricOf, speedOf } from "./data.js";
import { choices, make, on } from "./dom.js";
import { nameButton } from "./cards.js";
import { fixed, listed, millions, plural, short, signed } from "./format.js";
import { averageable, chosenColumns, scopeText, summary, tiesAmong, within } from "./selection.js";
import { change, state } from "./state.js";

const LIMITS = ["wantparams", "wantspeed", "wantlicence", "want"];

export function adviceSection() {
  const words = make("div", { id: "advice", "aria-live": "polite" });
  const box = make(
    "section",
    { class: "advice", "aria-labelledby": "h-advice" },
    make("h2", { id: "h-advice" }, "Which should I use?"),
    form(words),
    words,
  );
  advise(words);
  return box;
}

function form(words) {
  const fields = make(
    "form",
    { class: "wants" },
    BACKBONES.some((backbone) => backbone.params != null)
      ? make(
          "label",
          {},
          "Params at most (M)",
          make("input", {
            type: "number",
            id: "want-params",
            min: 0,
            step: "any",
            inputmode: "decimal",
            placeholder: "any",
            value: state.wantparams,
          }),
        )
      : null,
    BACKBONES.some((_, b) => speedOf(b) !== null)
      ? make(
          "label",
          {},
          "Images/s at least",
          make("input", { type: "number", id: "want-speed", min: 0, step: "any", inputmode: "decimal", placeholder: "any", value: state.wantspeed }),
        )
      : null,
    make(
      "label",
      {},
      "Licence",
      choices(make("select", { id: "want-licence" }), [
        ["", "any"],
        ["open", "no NC clause"],
      ]),
    ),
    taskBoxes(),
  );
  fields.querySelector("#want-licence").value = state.wantlicence;
  return on(fields, {
    submit: (event) => event.preventDefault(),
    input: () => {
      wanted(fields);
      advise(words);
    },
  });
}

// Tasks beside those chosen above: without a choice, all of them.
function taskBoxes() {
  const held = [...new Set(chosenColumns().map((column) => TASKS[COLUMNS[column].task].name))],
    off = new Set(state.want.split(",").filter(Boolean));
  if (held.length < 2) return null;
  return make(
    "fieldset",
    {},
    make("legend", {}, "Tasks"),
    ...held.map((name) =>
      make("label", { class: "check" }, make("input", { type: "checkbox", value: name, checked: off.has(name) ? null : "" }), name),
    ),
  );
}

function wanted(fields) {
  const value = (id) => fields.querySelector(id)?.value ?? "",
    off = [...fields.querySelectorAll("fieldset input:not(:checked)")].map((box) => box.value);
  change({ wantparams: value("#want-params"), wantspeed: value("#want-speed"), wantlicence: value("#want-licence"), want: off.join(",") });
}

export const isAdvice = (names) => [...names].every((name) => LIMITS.includes(name));

// Non-commercial and unknown licences are not free to use; what the registry does not state is not assumed.
const isOpen = (licence) => licence != null && !/\bNC\b|non-?commercial|research/i.test(licence);

function advise(words) {
  const off = new Set(state.want.split(",")),
    columns = chosenColumns().filter((column) => !off.has(TASKS[COLUMNS[column].task].name)),
    out = summary(columns);
  const fits = (b) => within(b, state.wantparams, state.wantspeed) && (!state.wantlicence || isOpen(BACKBONES[b].licence));
  const candidates = out.order.filter(fits);
  words.replaceChildren(...(candidates.length ? sentences(out, candidates) : nothing(out)));
}

function nothing(out) {
  return [
    make(
      "p",
      {},
      out.order.length
        ? `None of the ${plural(out.order.length, "backbone")} with a value everywhere is known to keep these limits.`
        : "No backbone has a value in all of these cells; choose fewer tasks.",
    ),
  ];
}

function sentences(out, candidates) {
  const [pick] = candidates,
    tied = tiesAmong(out, candidates, pick),
    row = out.rows.get(pick),
    limited = candidates.length < out.order.length;
  const lines = [
    make("p", { class: "pick" }, "Take ", nameButton(pick), `${costs(pick)}.`),
    make(
      "p",
      {},
      `Of ${plural(candidates.length, "backbone")}${limited ? " within the limits" : ""} it is first over ${scopeText(out.columns)}${out.columns.length > 1 ? `: mean z ${fixed(row.z, 2)}, mean rank ${fixed(row.rank, 1)}` : ""}.`,
    ),
  ];
  lines.push(make("p", {}, ...tieSentence(pick, tied, candidates)), ...cheaper(pick, tied), make("p", {}, givenUp(out, pick)));
  const dirty = out.columns.filter((column) => contaminated(column, pick)).length;
  if (dirty)
    lines.push(
      make(
        "p",
        { class: "caution" },
        `Caution: ${dirty} of its ${plural(out.columns.length, "cell")} ${dirty === 1 ? "is" : "are"} on images that it was pretrained on.`,
      ),
    );
  return lines;
}

function costs(b) {
  const { params, width } = BACKBONES[b],
    speed = speedOf(b);
  const known = [
    params == null ? null : `${millions(params)} M parameters`,
    width ? `${width} features` : null,
    speed === null ? null : `${short(speed)} images/s here`,
  ].filter(Boolean);
  return known.length ? ` (${known.join(", ")})` : "";
}

function tieSentence(pick, tied, candidates) {
  if (tied === null) return ["Whether the next ones are worse cannot be told: too few datasets, and no results per image at hand."];
  const others = tied.filter((b) => b !== pick);
  if (!others.length) return [candidates.length > 1 ? "It is told apart from every other one within the limits." : "Nothing else keeps the limits."];
  return [
    `Not told apart from it: ${listed(
      others.map((b) => BACKBONES[b].name),
      3,
    )}.`,
  ];
}

// The smallest of the tie group, where that is not the pick itself.
function cheaper(pick, tied) {
  const known = (tied ?? []).filter((b) => BACKBONES[b].params != null),
    least = known.reduce((best, b) => (best === null || BACKBONES[b].params < BACKBONES[best].params ? b : best), null);
  if (least === null || BACKBONES[pick].params == null || BACKBONES[least].params > 0.8 * BACKBONES[pick].params) return [];
  const times = BACKBONES[pick].params / BACKBONES[least].params,
    speeds = [speedOf(least), speedOf(pick)];
  const faster = speeds[0] !== null && speeds[1] && speeds[0] > 1.1 * speeds[1] ? ` and ${(speeds[0] / speeds[1]).toFixed(1)}× as fast` : "";
  return [make("p", {}, "The smallest of them is ", nameButton(least), `: ${times.toFixed(1)}× fewer parameters${faster}.`)];
}

// Against the best without limits.
function givenUp(out, pick) {
  if (pick === out.best) return "No limit costs anything: it is also the best of all.";
  const best = out.rows.get(out.best),
    own = out.rows.get(pick),
    name = BACKBONES[out.best].name,
    tied = tiesAmong(out, out.order, out.best);
  const points = averageable(out.columns)
    ? `${signed(100 * (own.value - best.value), 1)} points of ${out.columns.length > 1 ? "the mean score" : metricOf(out.columns[0]).name}`
    : `${signed(own.z - best.z)} of mean z`;
  const verdict =
    tied === null ? "" : tied.includes(pick) ? ", a difference that is not told apart from none" : ", a difference that is told apart from none";
  return `What the limits cost: ${points} against ${name} ${costs(out.best)}${verdict}.`;
}

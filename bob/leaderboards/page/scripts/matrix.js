// A matrix of pairs as a table of buttons, for every view that compares all pairs of something.

import { ARROWS, button, make, named, on, styled } from "./dom.js";
import { cut, shortened } from "./format.js";

const MOST_NUMBERED = 14; // names: with more, cells are too small for numbers
const MOST_LETTERS = 26; // of a name

// The matrix of these names. `cellOf(i, j)` of a row and a column, which differ, is {text, lines,
// strength, isCurrent, choose}: its text, the lines of its tooltip, which are its label too, how
// strong its colour is in -1..1 (NaN for none), whether it is the chosen one, and what a click does.
// The matrix is one tab stop, in which the arrow keys move.
export function matrix(names, cellOf) {
  const isNumbered = names.length <= MOST_NUMBERED;
  const texts = shortened(names, (name, share) => cut(name, MOST_LETTERS, share));
  const header = (i, scope, content) =>
    make("th", { scope, "data-tip": texts[i] === names[i] ? null : names[i] }, content);
  const head = texts.map((text, i) => header(i, "col", make("span", {}, named(text))));
  const rows = texts.map((text, i) => {
    const cells = names.map((_, j) =>
      i === j ? make("td", { class: "self" }) : matrixCell(cellOf(i, j), isNumbered),
    );
    return make("tr", {}, header(i, "row", named(text)), ...cells);
  });
  const table = make(
    "table",
    { class: `matrix${isNumbered ? "" : " small"}` },
    make("thead", {}, make("tr", {}, make("td"), ...head)),
    make("tbody", {}, ...rows),
  );
  const stop = table.querySelector("[aria-pressed=true]") ?? table.querySelector(".pair");
  if (stop) stop.tabIndex = 0;
  return make("div", { class: "scroll" }, on(table, { keydown: moveFocus }));
}

function matrixCell({ text, lines, strength, isCurrent, choose }, isNumbered) {
  const attributes = {
    class: "pair",
    "aria-label": lines.join(", "),
    "aria-pressed": isCurrent == null ? null : String(isCurrent),
    "data-tip": lines.join("\n"),
    tabindex: -1,
  };
  const control = button(attributes, choose, isNumbered ? text : "");
  return styled(make("td", {}, control), {
    "--share": Number.isFinite(strength) ? Math.abs(strength).toFixed(3) : 0,
    "--tone": strength < 0 ? "var(--heat-low)" : "var(--heat-high)",
  });
}

// Move the focus to the next button in the direction of an arrow key.
function moveFocus(event) {
  const step = ARROWS[event.key];
  const cell = event.target.closest("td");
  if (!step || !cell) return;
  event.preventDefault();
  const { rows } = cell.closest("table");
  const at = (steps) =>
    rows[cell.parentElement.rowIndex + steps * step[0]]?.cells[cell.cellIndex + steps * step[1]];
  let steps = 1;
  while (at(steps) && !at(steps).querySelector(".pair")) steps += 1;
  const next = at(steps)?.querySelector(".pair");
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

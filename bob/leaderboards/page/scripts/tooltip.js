// One tooltip for the whole page: for elements that carry data-tip, and for charts.

import { $, make, on } from "./dom.js";

const GAP = 14; // px between pointer and tooltip

export function showTip(lines, x, y) {
  const tip = $("tip");
  const line = (text, index) => make("div", { class: index ? "" : "first", dir: "auto" }, text);
  tip.replaceChildren(...lines.map(line));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const left = x + GAP + width > clientWidth ? Math.max(4, x - GAP - width) : x + GAP;
  const top = y + GAP + height > clientHeight ? Math.max(4, y - GAP - height) : y + GAP;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

export const hideTip = () => {
  $("tip").hidden = true;
};

// Give a chart's mark a tooltip for pointer and keyboard, and an action for click and Enter.
export function interactive(element, tip, action = null) {
  on(element, { pointerenter: tip, pointerleave: hideTip, focus: tip, blur: hideTip });
  if (!action) return element;
  return on(element, {
    click: action,
    keydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      action();
    },
  });
}

const tipped = (event) =>
  event.target instanceof Element ? event.target.closest("[data-tip]") : null;

function showTipOf(event) {
  const element = tipped(event);
  if (!element) return;
  const box = element.getBoundingClientRect();
  const lines = element.dataset.tip.split("\n");
  showTip(lines, event.clientX ?? box.right, event.clientY ?? box.top);
}

// Let a row of a chart show lines at the pointer, or at its dot for the keyboard, and act on a click.
export function explained(row, dot, lines, action) {
  const tip = (event) => {
    const { right, top } = dot.getBoundingClientRect();
    showTip(lines, event.clientX ?? right, event.clientY ?? top);
  };
  interactive(row, tip, action);
  row.addEventListener("pointermove", tip);
  return row;
}

export function listenForTips() {
  document.addEventListener("pointerover", showTipOf);
  document.addEventListener("focusin", showTipOf);
  document.addEventListener("pointerout", (event) => {
    if (tipped(event)) hideTip();
  });
  document.addEventListener("focusout", hideTip);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
  });
}

// One tip for the whole page: whatever carries data-tip, and charts that call showTip.

import { $, make } from "./dom.js";

const GAP = 14; // px between pointer and tip

export function showTip(lines, x, y) {
  const tip = $("tip");
  tip.replaceChildren(...lines.map((line, index) => make("div", { class: index ? "" : "first", dir: "auto" }, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect(),
    { clientWidth, clientHeight } = document.documentElement;
  const left = x + GAP + width > clientWidth ? Math.max(4, x - GAP - width) : x + GAP;
  const top = y + GAP + height > clientHeight ? Math.max(4, y - GAP - height) : y + GAP;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

export const hideTip = () => {
  $("tip").hidden = true;
};

const source = (event) => (event.target instanceof Element ? event.target.closest("[data-tip]") : null);

function tipOf(event) {
  const from = source(event);
  if (!from) return hideTip();
  const box = from.getBoundingClientRect();
  return showTip(from.dataset.tip.split("\n"), event.clientX ?? box.right, event.clientY ?? box.top);
}

export function listenForTips() {
  document.addEventListener("pointerover", (event) => {
    if (source(event)) tipOf(event);
  });
  document.addEventListener("pointerout", (event) => {
    if (source(event)) hideTip();
  });
  document.addEventListener("focusin", (event) => {
    if (source(event)) tipOf(event);
  });
  document.addEventListener("focusout", hideTip);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
  });
}

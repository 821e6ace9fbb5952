// Puts the page together: tabs, theme, links, and what is drawn again when the state changes.

import { $, button, make } from "./dom.js";
import { BACKBONES, DATA, DATASETS, TASKS } from "./data.js";
import { isAdvice } from "./advice.js";
import { drawCard, listenForCard } from "./cards.js";
import { fillControls, listenToControls, showControls } from "./controls.js";
import { drawCorrelation } from "./correlation.js";
import { drawCurves } from "./curves.js";
import { drawDatasets } from "./datasets.js";
import { download } from "./download.js";
import { plural } from "./format.js";
import { drawHeatmap } from "./heatmap.js";
import { drawOverview } from "./overview.js";
import { listenForPrint } from "./paper.js";
import { drawScatter, hasCosts } from "./scatter.js";
import { drawShifts } from "./shifts.js";
import { change, followAddress, onChange, readState, state } from "./state.js";
import { drawTable, fillTable } from "./table.js";
import { hideTip, listenForTips } from "./tooltip.js";

const VIEWS = [
  ["overview", "Overview", drawOverview],
  ["table", "Table", drawTable],
  ["cost", "Cost", drawScatter, () => hasCosts()],
  ["heatmap", "Heat map", drawHeatmap],
  ["correlation", "Correlation", drawCorrelation],
  ["curves", "Curves", drawCurves, () => DATA.has.curves],
  ["shifts", "Shifts", drawShifts, () => DATA.has.shifts],
  ["datasets", "Datasets", drawDatasets],
];
const ROWS_ONLY = new Set(["sort", "dir", "q", "families", "params", "speed", "licence", "data"]); // the table moves rows for these and draws nothing
const UNFILTERED = new Set(["q", "families", "params", "speed", "licence", "data", "sort", "dir"]); // the overview does not depend on these

const views = () => VIEWS.filter(([, , , has]) => !has || has());

// ---- tabs

function drawTabs() {
  $("tabs").replaceChildren(
    ...views().map(([name, title]) =>
      button({ role: "tab", id: `tab-${name}`, "aria-controls": "panel", "data-view": name }, () => change({ view: name }), title),
    ),
  );
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key],
      tabs = [...$("tabs").children];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}

function showTab(current) {
  for (const tab of $("tabs").children) {
    const selected = tab.dataset.view === current;
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
    if (selected) $("tabs").scrollLeft = Math.max(0, tab.offsetLeft - $("tabs").clientWidth / 2);
  }
  $("panel").setAttribute("aria-labelledby", `tab-${current}`);
}

// ---- drawing

function draw() {
  const [name, , show] = views().find(([own]) => own === state.view) ?? VIEWS[0],
    view = make("div", { id: "view", "data-view": name });
  hideTip();
  showTab(name);
  $("view").replaceWith(view);
  $("status").textContent = "";
  document.body.dataset.view = name;
  show(view);
}

function changed(names) {
  const only = (set) => [...names].every((name) => set.has(name)),
    { view } = $("view").dataset;
  showControls();
  if (names.has("theme")) showTheme();
  if (names.has("card")) drawCard();
  if (only(new Set(["card"])) || (isAdvice(names) && view === "overview")) return;
  if (view === "table" && only(ROWS_ONLY)) fillTable($("view"), names);
  else if (!(view === "overview" && only(UNFILTERED))) draw();
}

// ---- tools

function showTheme() {
  const dark = state.theme ? state.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = state.theme || "";
  $("theme").setAttribute("aria-pressed", String(dark));
  return dark;
}

function listenForTools() {
  $("csv").addEventListener("click", download);
  $("theme").addEventListener("click", () => change({ theme: showTheme() ? "light" : "dark" }));
  $("link").addEventListener("click", copyLink);
}

// Copies where that is allowed; a page from the disk may have no clipboard, and the address bar holds the same link.
async function copyLink() {
  try {
    await navigator.clipboard.writeText(window.location.href);
    $("status").textContent = "Link copied.";
  } catch {
    $("status").textContent = "The address bar holds the link to this view.";
  }
}

// ---- words around the views

function drawCaption() {
  const { first, last, versions } = DATA.made,
    days = first === last ? last : `${first} to ${last}`;
  const parts = [plural(BACKBONES.length, "backbone"), plural(TASKS.length, "task"), plural(DATASETS.length, "dataset")];
  $("caption").textContent =
    `${parts.join(" · ")}. ${BACKBONES.length && BACKBONES.every((backbone) => backbone.external) ? "Published numbers, in percent." : "Frozen features; values in percent with 95 % intervals."}${last ? ` Records of ${days}${versions.length ? `, bob\u2011bench ${versions.join(", ")}` : ""}.` : ""}`;
  $("footer").append(
    make(
      "p",
      {},
      "Intervals say how far another sample of test images could move a value. Overlapping intervals do not show that two backbones are equal, since both saw the same images: the paired test decides, and it is what tie marks use where records hold results per image. z-scores and places depend on the pool that is named with them.",
    ),
  );
}

let resizing = 0;

function listenForSize() {
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    window.cancelAnimationFrame(resizing);
    resizing = window.requestAnimationFrame(() => {
      if (!["overview", "table", "datasets"].includes($("view").dataset.view)) draw();
    });
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    showTheme();
    if ($("view").dataset.view === "heatmap") draw();
  });
}

function start() {
  readState();
  fillControls();
  showControls();
  showTheme();
  drawTabs();
  drawCaption();
  draw();
  drawCard();
  listenToControls();
  listenForCard();
  listenForTools();
  listenForTips();
  listenForSize();
  listenForPrint(views, hideTip);
  followAddress();
  onChange(changed);
}

start();

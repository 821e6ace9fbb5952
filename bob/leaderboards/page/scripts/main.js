// Assembles the page: tabs, theme, links, and what is redrawn when the state changes.

import { $, button, make, paragraph } from "./dom.js";
import { BACKBONES, DATA, DATASETS, TASKS, hasDetails } from "./data.js";
import { isAdvice } from "./advice.js";
import { withDetails } from "./beside.js";
import { isByTask } from "./best.js";
import { drawCard, listenForCard } from "./cards.js";
import { fillControls, listenToControls, showControls } from "./controls.js";
import { drawCorrelation } from "./correlation.js";
import { drawCurves } from "./curves.js";
import { drawDatasets } from "./datasets.js";
import { download } from "./download.js";
import { plural } from "./format.js";
import { drawHeatmap } from "./heatmap.js";
import { drawOverview } from "./overview.js";
import { drawPairs } from "./pairs.js";
import { listenForPrint } from "./print.js";
import { drawRace } from "./race.js";
import { drawScaling, hasSizes } from "./scaling.js";
import { drawScatter, hasCosts } from "./scatter.js";
import { drawShifts } from "./shifts.js";
import { change, followAddress, onChange, readState, state } from "./state.js";
import { drawTable, fillTable } from "./table.js";
import { hideTip, listenForTips } from "./tooltip.js";

// [name, title, draw, whether there is anything to draw]
const VIEWS = [
  ["overview", "Overview", drawOverview],
  ["table", "Table", drawTable],
  ["cost", "Cost", drawScatter, () => hasCosts()],
  ["scaling", "Scaling", drawScaling, () => hasSizes()],
  ["heatmap", "Heat map", drawHeatmap],
  ["correlation", "Correlation", drawCorrelation],
  ["pairs", "Pairs", drawPairs, () => DATA.has.pairs],
  ["curves", "Curves", drawCurves, () => DATA.has.curves],
  ["shifts", "Shifts", drawShifts, () => DATA.has.shifts],
  ["race", "Race", drawRace, () => DATA.has.races],
  ["datasets", "Datasets", drawDatasets],
];

// Names in the state that only hide or reorder rows: the table moves its rows, and the overview
// does not depend on them.
const ROWS_ONLY = new Set(["sort", "dir", "compare", "q", "families", "params", "speed", "input", "licence", "data"]);
const FIXED_WIDTH = ["overview", "table", "pairs", "datasets"]; // views that the browser lays out itself

const views = () => VIEWS.filter(([, , , isAvailable]) => !isAvailable || isAvailable());

// ---- tabs

function drawTabs() {
  const tabs = views().map(([name, title]) => {
    const attributes = {
      role: "tab",
      id: `tab-${name}`,
      "aria-controls": "panel",
      "data-view": name,
    };
    return button(attributes, () => change({ view: name }), title);
  });
  $("tabs").replaceChildren(...tabs);
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const current = tabs.indexOf(document.activeElement);
    const next = tabs[(current + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}

function showTab(current) {
  for (const tab of $("tabs").children) {
    const selected = tab.dataset.view === current;
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", `tab-${current}`);
}

// Scroll the tabs to the chosen one. This lays out the page, so that it waits for the next frame.
function scrollTabs(current) {
  const tab = $(`tab-${current}`);
  $("tabs").scrollLeft = Math.max(0, tab.offsetLeft - $("tabs").clientWidth / 2);
}

// ---- drawing

function draw() {
  const [name, , drawView] = views().find(([view]) => view === state.view) ?? VIEWS[0];
  const view = make("div", { id: "view", "data-view": name });
  hideTip();
  showTab(name);
  $("view").replaceWith(view);
  showStatus("");
  document.body.dataset.view = name;
  if (isDrawable(name)) drawView(view);
  else drawLater(view);
  window.requestAnimationFrame(() => scrollTabs(name));
}

const isDrawable = (name) => hasDetails() || (name === "overview" && isByTask());

// Draw once the details are loaded, or say why they cannot be.
function drawLater(view) {
  view.append(paragraph("hint", "Loading…"));
  withDetails(
    () => view.isConnected && draw(),
    (problem) => view.replaceChildren(paragraph("failed", problem)),
  );
}

function showCard() {
  if (state.card) withDetails(drawCard, showStatus);
  else drawCard();
}

const showStatus = (text) => {
  $("status").textContent = text;
};

function redraw(names) {
  const only = (set) => [...names].every((name) => set.has(name));
  const { view } = $("view").dataset;
  showControls();
  if (names.has("theme")) showTheme();
  if (names.has("card")) showCard();
  if (only(new Set(["card"])) || (isAdvice(names) && view === "overview")) return;
  if (view === "table" && only(ROWS_ONLY) && hasDetails()) fillTable($("view"), names);
  else if (!(view === "overview" && only(ROWS_ONLY))) draw();
}

// ---- tools

const darkScheme = window.matchMedia("(prefers-color-scheme: dark)");

function showTheme() {
  const dark = state.theme ? state.theme === "dark" : darkScheme.matches;
  document.documentElement.dataset.theme = state.theme || "";
  $("theme").setAttribute("aria-pressed", String(dark));
  return dark;
}

function listenForTools() {
  $("csv").addEventListener("click", () => withDetails(download, showStatus));
  $("theme").addEventListener("click", () => change({ theme: showTheme() ? "light" : "dark" }));
  $("link").addEventListener("click", copyLink);
}

// Copy the link where that is allowed. A page opened from the disk may have no clipboard; the
// address bar holds the same link.
async function copyLink() {
  try {
    await navigator.clipboard.writeText(window.location.href);
    showStatus("Link copied.");
  } catch {
    showStatus("The link to this view is in the address bar.");
  }
}

// ---- caption and footer

function captionText() {
  const { first, last, versions } = DATA.created;
  const counts = [
    plural(BACKBONES.length, "backbone"),
    plural(TASKS.length, "task"),
    plural(DATASETS.length, "dataset"),
  ];
  const isPublished = BACKBONES.length && BACKBONES.every((backbone) => backbone.external);
  const sentences = [
    `${counts.join(" · ")}.`,
    isPublished
      ? "Published numbers, in percent."
      : "Frozen features; values in percent with 95 % intervals.",
  ];
  if (last) {
    const days = first === last ? last : `${first} to ${last}`;
    const version = versions.length ? `, bob\u2011bench ${versions.join(", ")}` : "";
    sentences.push(`Records of ${days}${version}.`);
  }
  return sentences.join(" ");
}

const FOOTER =
  "A 95 % interval is the range within which another sample of test images could move a value. " +
  "Overlapping intervals do not show that two backbones are equal, since both were evaluated on " +
  "the same images: the paired tests decide, and they determine the marked ties where the " +
  "records hold per-image results. z-scores and ranks depend on the pool that is named with them.";

let resizing = 0;

function listenForSize() {
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    window.cancelAnimationFrame(resizing);
    resizing = window.requestAnimationFrame(() => {
      if (!FIXED_WIDTH.includes($("view").dataset.view)) draw();
    });
  });
  darkScheme.addEventListener("change", () => {
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
  $("caption").textContent = captionText();
  $("footer").append(paragraph("", FOOTER));
  draw();
  showCard();
  listenToControls();
  listenForCard();
  listenForTools();
  listenForTips();
  listenForSize();
  listenForPrint(() => views().filter(([name]) => isDrawable(name)), hideTip);
  followAddress();
  onChange(redraw);
}

start();

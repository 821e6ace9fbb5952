// What identifies the points of a chart: the marks of their families, and their names, each where it
// covers no other name, no point and no line. A name without such a place is a number at its point,
// and stands below the chart.

import { BACKBONES } from "./data.js";
import { make, mark, named, paragraph } from "./dom.js";
import { cut, shortened } from "./format.js";

const LETTER = 6.6; // px, mean width of a letter
const DIGIT = 7.8; // px, width of a digit
const WIDE_LETTER = 7.2; // px: before rows there is no room for a name that is wider than expected
// Places of a name: right (1) or left (-1) of its point, or above or below it (0) as far to a side as
// the area demands, and the distance of its baseline, in px.
const PLACES = [
  [1, -8],
  [1, 4],
  [-1, -8],
  [-1, 4],
  [1, 16],
  [-1, 16],
  [1, -22],
  [-1, -22],
  [0, -12],
  [0, 20],
];
// Places of a number: above its point where it has no error bar, else at a side.
const SIDES = [4, -7, 15, -17, 25, -27].flatMap((dy) => [
  [1, dy],
  [-1, dy],
]);
const NUMBER_PLACES = [[0, -11], ...SIDES];

const overlap = (a, b) => a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2;

// The names of backbones before their rows, as texts that are at most so many px wide.
export const rowNames = (backbones, width) =>
  shortened(
    backbones.map((b) => BACKBONES[b].name),
    (name, share) => cut(name, Math.floor(width / WIDE_LETTER), share),
  );

// Where a text so many px wide begins, in px.
function startOf(side, x, width, { left, right }) {
  if (side === 0) return Math.max(left, Math.min(x - width / 2, right - width));
  return side > 0 ? x + 10 : x - 10 - width;
}

// The first of some places for a text so many px wide at a point that is inside the area and overlaps
// no obstacle: {x, y, side, box}.
function freePlace({ x, y }, width, places, area, obstacles) {
  for (const [side, dy] of places) {
    const x1 = startOf(side, x, width, area);
    const box = { x1, x2: x1 + width, y1: y + dy - 11, y2: y + dy + 3 };
    const isInside =
      box.x1 >= area.left && box.x2 <= area.right && box.y1 >= area.top && box.y2 <= area.bottom;
    if (isInside && !obstacles.some((other) => overlap(box, other))) {
      return { x: side < 0 ? x - 10 : x1, y: y + dy, side, box };
    }
  }
  return null;
}

// Place texts [{point, text, width}] where they overlap nothing that is taken, and add their boxes to
// it: the elements, and the points of those without a place.
function placed(texts, places, area, taken) {
  const elements = [];
  const rest = [];
  for (const { point, text, width } of texts) {
    const place = freePlace(point, width, places, area, taken);
    if (!place) {
      rest.push(point);
      continue;
    }
    taken.push(place.box);
    const { x, y, side } = place;
    const kind = point.isSoft ? "label soft" : "label";
    const attributes = { class: kind, x, y, "text-anchor": side < 0 ? "end" : "start" };
    elements.push(make("text", attributes, text));
  }
  return { elements, rest };
}

// The box {x1, x2, y1, y2} that a line between such places covers.
export const boxOf = (xs, ys) => ({
  x1: Math.min(...xs) - 1,
  x2: Math.max(...xs) + 1,
  y1: Math.min(...ys) - 1,
  y2: Math.max(...ys) + 1,
});

// The names of points, `candidates` [{b, x, y, isSoft, note}], the first ones first, of at most so
// many letters before their notes: as texts, and as the entries of `pointKey` that numbers
// stand for: all of them where few names have room.
// `points` [{x, y}] and `lines` [{x1, x2, y1, y2}] must stay visible, `area` {left, right, top, bottom}
// is that of the names. What has no room for a number either is in the tooltip of its point.
export function pointNames(candidates, points, area, letters, lines = []) {
  const names = candidates.map(({ b }) => BACKBONES[b].name);
  const short = shortened(names, (name, share) => cut(name, letters, share));
  const marks = points.map(({ x, y }) => ({ x1: x - 7, x2: x + 7, y1: y - 7, y2: y + 7 }));
  const taken = [...marks, ...lines];
  const texts = candidates.map((point, index) => {
    const text = short[index] + (point.note ?? "");
    return { point, text, width: LETTER * [...text].length };
  });
  const boxes = [...taken];
  const { elements, rest } = placed(texts, PLACES, area, boxes);
  const isNumbered = 2 * rest.length > candidates.length;
  const numbers = (isNumbered ? candidates : rest).map((point, index) => {
    const text = String(index + 1);
    return { point, text, width: DIGIT * text.length };
  });
  const places = placed(numbers, NUMBER_PLACES, area, isNumbered ? taken : boxes);
  return {
    texts: isNumbered ? places.elements : [...elements, ...places.elements],
    key: numbers.filter(({ point }) => !places.rest.includes(point)),
  };
}

// What the numbers of a chart stand for; null without numbers.
export function pointKey(key) {
  const items = key.map(({ point, text }) => {
    const { name, family } = BACKBONES[point.b];
    return make("li", {}, `${text} `, mark(family), " ", named(name), point.note ?? "");
  });
  return items.length ? make("ol", { class: "point-key" }, ...items) : null;
}

export function familyLegend(backbones) {
  const families = [...new Set(backbones.map((b) => BACKBONES[b].family))];
  const keys = families.flatMap((family) => [
    make("span", { class: "key" }, mark(family), family),
    " ",
  ]);
  return paragraph("legend", ...keys);
}

// What identifies the points of a chart: the marks of their families, and their names, each where it
// covers no other name and no point.

import { BACKBONES } from "./data.js";
import { make, mark, paragraph } from "./dom.js";
import { cut, shortened } from "./format.js";

const LETTER = 6.6; // px, mean width of a letter
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

// The places of a text so many px wide at a point, the one to prefer first: {x, y, side, box}. They
// are inside the area and overlap no obstacle.
const freePlaces = ({ x, y }, width, area, obstacles) =>
  PLACES.map(([side, dy]) => {
    const x1 = startOf(side, x, width, area);
    return { x: side < 0 ? x - 10 : x1, y: y + dy, side, box: boxOf(x1, y + dy, width) };
  }).filter(
    ({ box }) =>
      box.x1 >= area.left &&
      box.x2 <= area.right &&
      box.y1 >= area.top &&
      box.y2 <= area.bottom &&
      !obstacles.some((other) => overlap(box, other)),
  );

const boxOf = (x, y, width) => ({ x1: x, x2: x + width, y1: y - 11, y2: y + 3 });

// The names of points [{b, x, y, isSoft, note}], the first ones first, of at most so many letters
// before their notes. `points` [{x, y}] are all that must stay visible, `lines` [{x1, x2, y1, y2}] are
// covered only by names without another place, `area` {left, right, top, bottom} is that of the
// names. A name without a place is left out: it is in the tooltip of its point.
export function pointNames(named, points, area, letters, lines = []) {
  const names = named.map(({ b }) => BACKBONES[b].name);
  const texts = shortened(names, (name, share) => cut(name, letters, share));
  const taken = points.map(({ x, y }) => ({ x1: x - 7, x2: x + 7, y1: y - 7, y2: y + 7 }));
  return named.flatMap((point, index) => {
    const text = texts[index] + (point.note ?? "");
    const places = freePlaces(point, LETTER * [...text].length, area, taken);
    const isClear = ({ box }) => !lines.some((line) => overlap(box, line));
    const place = places.find(isClear) ?? places[0];
    if (!place) return [];
    taken.push(place.box);
    const { x, y, side } = place;
    const kind = point.isSoft ? "label soft" : "label";
    const attributes = { class: kind, x, y, "text-anchor": side < 0 ? "end" : "start" };
    return [make("text", attributes, text)];
  });
}

export function familyLegend(backbones) {
  const families = [...new Set(backbones.map((b) => BACKBONES[b].family))];
  const keys = families.flatMap((family) => [
    make("span", { class: "key" }, mark(family), family),
    " ",
  ]);
  return paragraph("legend", ...keys);
}

// The points of charts without error bars.

import { BACKBONES } from "./data.js";
import { coloured, make, shapeOf } from "./dom.js";
import { openBackbone } from "./cards.js";
import { interactive, showTip } from "./tooltip.js";

// The mark of a backbone at a place of a chart, with its name and further lines in the tooltip.
export function plainPoint(b, { x, y }, scores) {
  const { name, family } = BACKBONES[b];
  const lines = [name, ...scores];
  const shape = make("path", {
    class: "shape",
    d: shapeOf(family),
    transform: `translate(${x} ${y})`,
  });
  const attributes = {
    class: "point on-front",
    tabindex: 0,
    role: "button",
    "aria-label": lines.join(", "),
  };
  const tip = () => {
    const { left, top } = shape.getBoundingClientRect();
    showTip(lines, left, top);
  };
  const group = coloured(make("g", attributes, shape), family);
  return interactive(group, tip, () => openBackbone(b));
}

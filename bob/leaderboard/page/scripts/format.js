// Numbers as text. Values are fractions at full precision; percent and rounding exist only here.

export const MISSING = "–";
const MINUS = "\u2212";

export function valueText(value, metric) {
  if (value == null || Number.isNaN(value)) return MISSING;
  return metric.percent ? (100 * value).toFixed(1).replace("-", MINUS) : value.toFixed(3).replace("-", MINUS);
}

export function rangeText(low, high, metric) {
  return low == null || Number.isNaN(low) || Number.isNaN(high) ? "" : `${valueText(low, metric)}–${valueText(high, metric)}`;
}

export function signed(value, digits = 2) {
  if (value == null || Number.isNaN(value)) return MISSING;
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value < 0 ? MINUS : "+") + text;
}

export const fixed = (value, digits) => (value == null || Number.isNaN(value) ? MISSING : value.toFixed(digits).replace("-", MINUS));

// 1,281,167; without Intl, whose first use takes 50 ms.
export const grouped = (value) => String(value).replace(/\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ","));

export const short = (value) => (value == null || Number.isNaN(value) ? MISSING : grouped(Number(value.toPrecision(3))));

export const millions = (params) => (params == null ? MISSING : short(params / 1e6));

export function sizeText(count) {
  const [unit, scale] = [
    ["B", 1e9],
    ["M", 1e6],
    ["k", 1e3],
    ["", 1],
  ].find(([, size]) => Math.abs(count) >= size) ?? ["", 1];
  return `${Number((count / scale).toPrecision(3))}${unit}`;
}

export const shareText = (share) => (share > 0 && share < 0.005 ? "<1 %" : share < 1 && share > 0.995 ? ">99 %" : `${Math.round(100 * share)} %`);

export const pText = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`);

export const plural = (count, noun) => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;

// "a, b and c"; of a long list the first ones and how many are left.
export function listed(words, most = 4) {
  const shown = words.length > most + 1 ? [...words.slice(0, most), `${words.length - most} more`] : words;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown[shown.length - 1]}`;
}

// A long name cut in the middle, by whole characters.
export function cut(text, most = 30) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const head = Math.ceil((most - 1) * 0.6);
  return `${letters.slice(0, head).join("")}…${letters.slice(letters.length - (most - 1 - head)).join("")}`;
}

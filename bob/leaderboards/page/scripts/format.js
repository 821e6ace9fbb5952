// Numbers and lists as text. Values are fractions at full precision; percent and rounding exist
// only here.

export const MISSING = "–";
const MINUS = "\u2212";

// The one explanation of z-scores, shown wherever they appear.
export const Z_SCORE =
  "A z-score is the number of standard deviations by which a backbone lies above the mean of the " +
  "pool on one task and dataset; 0 is average.";

const isMissing = (value) => value == null || Number.isNaN(value);

// A number with so many decimals. Ties go to the even digit, as in the tables of Python: toFixed
// would write 86.25 as 86.3, and they 86.2. A tie is an odd multiple of 0.5 ** (digits + 1).
export function rounded(value, digits) {
  const text = value.toFixed(digits);
  const isTie = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  if (!isTie || Number(text.at(-1)) % 2 === 0) return text;
  const unit = 10 ** -digits;
  return (Number(text) - Math.sign(value) * unit).toFixed(digits);
}

export function valueText(value, metric) {
  if (isMissing(value)) return MISSING;
  const text = metric.percent ? rounded(100 * value, 1) : rounded(value, 3);
  return text.replace("-", MINUS);
}

export function rangeText(low, high, metric) {
  if (isMissing(low) || Number.isNaN(high)) return "";
  return `${valueText(low, metric)}–${valueText(high, metric)}`;
}

export function signed(value, digits = 2) {
  if (isMissing(value)) return MISSING;
  const text = rounded(Math.abs(value), digits);
  return Number(text) === 0 ? text : (value < 0 ? MINUS : "+") + text;
}

export const fixed = (value, digits) =>
  isMissing(value) ? MISSING : rounded(value, digits).replace("-", MINUS);

// 1,281,167; without Intl, whose first use takes 50 ms.
export const grouped = (value) =>
  String(value).replace(/\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ","));

// Three significant digits.
export const short = (value) =>
  isMissing(value) ? MISSING : grouped(Number(value.toPrecision(3)));

export const millions = (params) => (params == null ? MISSING : short(params / 1e6));

// 86M, 1.2k
export function sizeText(count) {
  const units = [
    ["B", 1e9],
    ["M", 1e6],
    ["k", 1e3],
    ["", 1],
  ];
  const [unit, scale] = units.find(([, size]) => Math.abs(count) >= size) ?? ["", 1];
  return `${Number((count / scale).toPrecision(3))}${unit}`;
}

export function shareText(share) {
  if (share > 0 && share < 0.005) return "<1 %";
  if (share < 1 && share > 0.995) return ">99 %";
  return `${Math.round(100 * share)} %`;
}

// "3–5", or "3" where both limits of an interval of ranks are equal.
export const rankRange = (limits) =>
  limits ? [...new Set(limits.map(Math.round))].join("–") : MISSING;

// A p-value below the level of 5 % never looks equal to it.
export function pText(p) {
  if (p < 0.001) return "p < 0.001";
  const text = p.toFixed(3);
  return p < 0.05 && text === "0.050" ? "p < 0.050" : `p = ${text}`;
}

export const plural = (count, noun) => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;

// "a, b and c"; a long list ends with the number of names that it omits.
export function listed(names, most = 4) {
  const shown =
    names.length > most + 1 ? [...names.slice(0, most), `${names.length - most} more`] : names;
  if (shown.length < 2) return shown.join("");
  return `${shown.slice(0, -1).join(", ")} and ${shown[shown.length - 1]}`;
}

// Shorten a long name in the middle, at whole characters. `share` is that of the start in what is
// left; by default more is left of the end, where backbones of one family differ
// (efficientnet_lite0_in1k, efficientnet_lite1_in1k).
export function cut(text, most = 30, share = 0.4) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const head = Math.ceil((most - 1) * share);
  const tail = letters.slice(letters.length - (most - 1 - head));
  return `${letters.slice(0, head).join("")}…${tail.join("")}`;
}

const SHARES = [0.4, 0.2, 0.6, 0.8];

// Names by shorten(name, share), with the first share that leaves the most of them different.
export function shortened(names, shorten) {
  const different = new Set(names).size;
  let best = null;
  for (const share of SHARES) {
    const texts = names.map((name) => shorten(name, share));
    const count = new Set(texts).size;
    if (!best || count > best.count) best = { texts, count };
    if (count === different) break;
  }
  return best.texts;
}

"use strict";
// Reads the page's data. What came from a run (notes, diffs, names) is text and is shown as text alone:
// make() has no way to set markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const KINDS = {
  a: "advance",
  r: "revert",
  m: "measurement",
  c: "crash",
  t: "timeout",
  i: "invalid",
  x: "interrupted",
};
const SVG = "http://www.w3.org/2000/svg";
const MINUS = "\u2212";
const DASH = "\u2013";

/** Makes an element; `svg:` before the tag makes one of SVG, strings among the children are text. */
function make(tag, attributes = {}, ...children) {
  const [, space, name] = tag.match(/^(svg:)?(.*)$/);
  const node = space ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false)
      node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(
    ...children
      .filter((child) => child !== null && child !== undefined)
      .map((child) => (typeof child === "number" ? String(child) : child)),
  );
  return node;
}

const at = (id) => document.getElementById(id);

function bytes(base64) {
  const text = atob(base64);
  return Uint8Array.from(text, (sign) => sign.charCodeAt(0)).buffer;
}

/** The runs' numbers, from their distances; -n repeats the last distance n times. */
function numbers(gaps) {
  const found = [];
  let gap = 0;
  let number = 0;
  for (const step of gaps) {
    if (step > 0 || gap === 0) {
      gap = step;
      found.push((number += gap));
      continue;
    }
    for (let n = 0; n < -step; n++) found.push((number += gap));
  }
  return found;
}

function column({ unit, data }) {
  return Float64Array.from(new Uint16Array(bytes(data)), (step) => (step ? (step - 1) * unit : NaN));
}

/** One experiment, with a line for each run in arrays of the same order. */
function unpack(link) {
  const packed = link.points;
  const raw = packed.wide ? new Float64Array(bytes(packed.values)) : new Float32Array(bytes(packed.values));
  const value = Float64Array.from(raw, (each) => (packed.wide ? each : Number(each.toPrecision(7))));
  const run = numbers(packed.numbers);
  const index = new Map(run.map((number, place) => [number, place]));
  const holder = packed.against.length ? holders(packed.against, index, run.length) : guessed(packed, value);
  const before = Float64Array.from(holder, (place) => (place < 0 ? NaN : value[place]));
  const lastBest = bestPlace(link.summary.best, index, packed.kinds, value);
  const measured = { value, seconds: column(packed.seconds), vram: column(packed.vram_mb) };
  const notes = new Map(link.notes);
  const records = new Map();
  for (const [number, note, diff, cut, base, reason, ended] of link.records) {
    records.set(number, { note, diff, cut, base, reason, ended });
  }
  const launches = new Map();
  for (const [number, values, low, high, sure] of link.launches)
    launches.set(number, { values, low: low ?? NaN, high: high ?? NaN, sure: sure ?? NaN });
  return {
    ...link,
    ...measured,
    launches,
    run,
    index,
    kind: packed.kinds,
    before,
    holder,
    notes,
    records,
    lastBest,
    digits: digitsOf(value),
    size: run.length,
    undrawn: undrawn(link, run, packed.kinds, measured),
  };
}

/** For each place that of the run which was to be beaten then, or -1; `changes` has places and numbers. */
function holders(changes, index, size) {
  const found = new Int32Array(size).fill(-1);
  for (let at = 0; at < changes.length; at += 2) found.fill(index.get(changes[at + 1]) ?? -1, changes[at]);
  return found;
}

/** The same where the page does not say it: the last advance before each run. */
function guessed({ kinds }, value) {
  let best = -1;
  return Int32Array.from(value, (each, place) => {
    const before = best;
    if (kinds[place] === "a" && !isNaN(each)) best = place;
    return before;
  });
}

/** The place of the best run: the one that the summary names, else the last that advanced; -1 for none. */
function bestPlace(best, index, kinds, value) {
  const named = best ? index.get(Number(best.run_id.slice(1))) : undefined;
  if (named !== undefined && !isNaN(value[named])) return named;
  for (let place = kinds.length - 1; place >= 0; place--)
    if (kinds[place] === "a" && !isNaN(value[place])) return place;
  return -1;
}

/**
 * The places that a chart leaves out of a thinned history: the table has all of the newest runs, but drawn one
 * by one they would look like a crowd beside the extremes of the others. So they get the same rule here.
 */
function undrawn({ span, newest }, run, kinds, { value, seconds, vram }) {
  const left = new Set();
  const groups = new Map();
  if (span === 1) return left;
  for (let place = 0; place < run.length; place++) {
    if (run[place] < newest || kinds[place] === "a") continue;
    const group = Math.floor(run[place] / span);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(place);
    left.add(place);
  }
  for (const near of groups.values()) {
    const least = (values, way) =>
      near
        .filter((place) => !isNaN(values[place]))
        .sort((one, other) => way * (values[one] - values[other]))[0];
    for (const place of [
      least(value, 1),
      least(value, -1),
      least(seconds, -1),
      least(vram, -1),
      near.find((place) => isNaN(value[place])),
    ])
      left.delete(place);
  }
  return left;
}

/** How many decimals tell most of the values apart, six significant digits at most. */
function digitsOf(values) {
  const counts = [];
  for (const value of values) {
    const text = isNaN(value) ? "" : String(Number(value.toPrecision(6)));
    if (text && !text.includes("e")) counts.push((text.split(".")[1] || "").length);
  }
  counts.sort((one, other) => one - other);
  return counts.length ? Math.min(counts[Math.floor(counts.length * 0.95)], 8) : 3;
}

/** What each launch of a run measured, and the interval of its mean; undefined for one that is its point alone. */
const launchesOf = (link, place) => link.launches.get(link.run[place]);

const hasInterval = (launches) => launches !== undefined && !isNaN(launches.low);

const signed = (text) => text.replace("-", MINUS);
const runName = (number) => "r" + String(number).padStart(4, "0");

function formatValue(value, digits) {
  if (isNaN(value)) return DASH;
  const small = value !== 0 && Math.abs(value) < 10 ** -digits / 2;
  const large = Math.abs(value) >= 1e9;
  return signed(small || large ? value.toExponential(2) : value.toFixed(digits));
}

function formatDelta(delta, digits) {
  if (isNaN(delta)) return DASH;
  if (Number(delta.toFixed(digits)) === 0) return "\u00b10";
  return (delta > 0 ? "+" : "") + formatValue(delta, digits);
}

/** A number of three digits, or whole. */
function short(value) {
  if (isNaN(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return signed(value.toExponential(1).replace("e+", "e"));
  return signed(size >= 100 ? grouped(Math.round(value)) : String(Number(value.toPrecision(3))));
}

/** The interval of a mean, as in `90%: 0.9476 to 0.9579`. */
const interval = (low, high, digits) => `90%: ${formatValue(low, digits)} to ${formatValue(high, digits)}`;

const grouped = (value) => value.toLocaleString("en");
const seconds = (value) => (isNaN(value) ? DASH : `${short(value)} s`);
const gib = (mib) => (isNaN(mib) ? DASH : `${(mib / 1024).toFixed(1)} GiB`);
const hours = (value) =>
  value >= 3600 ? `${short(value / 3600)} h` : value >= 60 ? `${short(value / 60)} min` : `${short(value)} s`;
const counted = (count, noun, ending = "s") => `${grouped(count)} ${noun}${count === 1 ? "" : ending}`;
const moment = (epoch) =>
  epoch === null ? "" : new Date(epoch * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";

// Scales, axes and marks that all charts share. A chart is drawn anew for each width, so its text keeps its size.

const MARK = { a: 4.2, r: 2.7, m: 4, c: 3.2, t: 3.8, i: 3.8, x: 3.4 };

/** The outline of a run's mark: each kind has a shape of its own. */
function outline(kind, x, y, scale = 1) {
  const r = MARK[kind] * scale;
  const n = (value) => Math.round(value * 100) / 100;
  x = n(x);
  y = n(y);
  switch (kind) {
    case "m":
      return `M${n(x - r)},${y}H${n(x + r)}M${x},${n(y - r)}V${n(y + r)}`;
    case "c":
      return `M${n(x - r)},${n(y - r)}L${n(x + r)},${n(y + r)}M${n(x - r)},${n(y + r)}L${n(x + r)},${n(y - r)}`;
    case "t":
      return `M${x},${n(y - r)}L${n(x + r)},${n(y + r * 0.8)}H${n(x - r)}Z`;
    case "i":
      return `M${x},${n(y - r)}L${n(x + r)},${y}L${x},${n(y + r)}L${n(x - r)},${y}Z`;
    case "x":
      return `M${n(x - r)},${y}H${n(x + r)}`;
    default:
      return `M${n(x - r)},${y}a${n(r)},${n(r)} 0 1,0 ${n(2 * r)},0a${n(r)},${n(r)} 0 1,0 ${n(-2 * r)},0Z`;
  }
}

/** A mark of that kind for legends and lines of text. */
function key(kind) {
  const icon = make("svg:svg", { class: "key", viewBox: "-7 -7 14 14", "aria-hidden": "true" });
  icon.append(make("svg:path", { class: `k-${kind}`, d: outline(kind, 0, 0, 1.15) }));
  return icon;
}

const linear = (from, to, start, end) => (value) =>
  to === from ? (start + end) / 2 : start + ((value - from) / (to - from)) * (end - start);

/** Round numbers between two values. */
function ticks(from, to, wanted, whole = false) {
  if (!(to > from)) return [from];
  const rough = (to - from) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let n = Math.ceil(from / step - 1e-9) || 0; n * step <= to + step * 1e-9; n++) found.push(n * step);
  found.step = step;
  return found;
}

/** Labels for ticks, with as many decimals as their step has. */
function tickLabels(values) {
  const step = values.step || Math.abs(values[0]) || 1;
  const largest = Math.max(...values.map(Math.abs));
  if (largest >= 1e7 || step < 1e-7) return values.map((value) => signed(value.toExponential(1)));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return values.map((value) => signed(digits ? value.toFixed(digits) : grouped(Math.round(value))));
}

/** An empty picture with both axes; `y.label` makes the text of its ticks. */
function frame(holder, { height, margin, x, y, xTicks, yTicks, label, xName }) {
  const width = Math.max(220, Math.round(holder.clientWidth || 640));
  const svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const left = margin.left;
  const right = width - margin.right;
  const top = margin.top;
  const bottom = height - margin.bottom;
  const toX = linear(x[0], x[1], left, right);
  const toY = linear(y[0], y[1], bottom, top);
  const text = tickLabels(yTicks);
  yTicks.forEach((value, place) => {
    const line = Math.round(toY(value)) + 0.5;
    svg.append(make("svg:path", { class: "grid", d: `M${left},${line}H${right}` }));
    svg.append(make("svg:text", { x: left - 9, y: line + 4, "text-anchor": "end" }, text[place]));
  });
  const under = tickLabels(xTicks);
  if (xName) svg.append(make("svg:text", { x: left - 9, y: height - 5, "text-anchor": "end" }, xName));
  xTicks.forEach((value, place) => {
    const middle = Math.round(toX(value));
    const half = under[place].length * 3.6;
    if (middle - half < left - 4 && xName) return; // the axis has its name there
    const anchor = middle + half > width ? "end" : "middle";
    svg.append(
      make(
        "svg:text",
        { x: anchor === "end" ? width : middle, y: height - 5, "text-anchor": anchor },
        under[place],
      ),
    );
  });
  holder.replaceChildren(svg);
  return { svg, width, height, left, right, top, bottom, toX, toY };
}

/** The marks of many runs: one path for each kind, so that ten thousand runs are seven elements. */
function marks(link, places, toPoint, scale) {
  const paths = {};
  for (const place of places) {
    const [x, y] = toPoint(place);
    (paths[link.kind[place]] ||= []).push(outline(link.kind[place], x, y, scale));
  }
  const order = ["r", "x", "i", "t", "c", "m", "a"].filter((kind) => paths[kind]);
  return order.map((kind) => make("svg:path", { class: `k-${kind}`, d: paths[kind].join("") }));
}

const markScale = (count, width) => Math.max(0.55, Math.min(1, Math.sqrt(width / count) * 0.85));

/** The picture with what a pointer needs: where each run is, and the ring for the one that is looked at. */
function withSpots(picture, places, toPoint) {
  const ring = make("svg:path", { class: "ring" });
  picture.svg.append(ring);
  return { ...picture, ring, toPoint, spots: places.map((place) => [place, ...toPoint(place)]) };
}

/** The run whose mark is nearest to a place in the picture, or -1. */
function nearest(spots, x, y, within) {
  let found = -1;
  let least = within * within;
  for (const [place, left, top] of spots) {
    const far = (left - x) ** 2 + (top - y) ** 2;
    if (far < least) {
      least = far;
      found = place;
    }
  }
  return found;
}

/** Where the pointer is, in the units of the picture. */
function pointer(event, svg) {
  const box = svg.getBoundingClientRect();
  const view = svg.viewBox.baseVal;
  return [
    ((event.clientX - box.left) / box.width) * view.width,
    ((event.clientY - box.top) / box.height) * view.height,
  ];
}

/**
 * The span of values that is worth its room: a few runs far off do not press the others flat. What belongs to
 * the picture in any case, the advances, is in it as long as that leaves the others a third of the height.
 */
function nearRange(values, advances = [], best = []) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return { range: [0, 1], whole: [0, 1] };
  const quarter = (part) => sorted[Math.floor((sorted.length - 1) * part)];
  const spread = 4 * (quarter(0.75) - quarter(0.25));
  const whole = [sorted[0], sorted[sorted.length - 1]];
  if (!(spread > 0)) return { range: whole, whole };
  const near = sorted.filter((value) => value >= quarter(0.25) - spread && value <= quarter(0.75) + spread);
  const core = [near[0], near[near.length - 1]];
  const full = joined(core, advances);
  return { range: full[1] - full[0] <= 3 * (core[1] - core[0]) ? full : joined(core, best), whole };
}

const joined = ([low, high], values) =>
  values.reduce(([from, to], value) => [Math.min(from, value), Math.max(to, value)], [low, high]);

/** A span with some air on both sides, as parts of it. */
function widened([from, to], below, above) {
  const size = to - from || Math.abs(from) * 0.1 || 1;
  return [from - size * below, to + size * above];
}

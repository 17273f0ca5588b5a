// The progress chart: every run by its value, and the best of each moment as a line.

const LANE = 22; // height of a lane for runs that have no place on the scale
const AXIS = 26; // height of the axis below the chart
const LINE = 15; // height of a line of text
const BETTER = { min: "lower", max: "higher" };

function drawProgress(link, state, holder) {
  const places = drawn(link, state);
  const scale = scaleOf(link, state, places);
  const narrow = (holder.clientWidth || 640) < 520;
  const picture = frame(holder, layout(link, scale, narrow));
  const lanes = drawLanes(picture, scale, narrow);
  const toY = (value) => {
    if (isNaN(value)) return lanes.without;
    return value > scale.to ? lanes.above : value < scale.from ? lanes.below : picture.toY(value);
  };
  const toPoint = (place) => [picture.toX(link.run[place]), toY(link.value[place])];
  drawRuns(link, places, toPoint, toY, picture);
  return { ...withSpots(picture, places, toPoint), beyond: scale.above + scale.below };
}

/** The values that have a place on the scale, and how many runs are above it, below it or without a value. */
function scaleOf(link, state, places) {
  const valued = places.filter((place) => !isNaN(link.value[place]));
  const values = valued.map((place) => link.value[place]);
  const advances = valued.filter((place) => link.kind[place] === "a").map((place) => link.value[place]);
  const several = valued.map((place) => launchesOf(link, place)).filter(Boolean);
  const seen = several.flatMap(({ values, low, high }) => [...values, low, high]);
  const belonging = [...advances, ...seen.filter((value) => value !== null && !isNaN(value))];
  const { range, whole } = nearRange(values, belonging, advances.slice(-1));
  const [from, to] = state.wholeScale ? whole : range;
  const above = values.filter((value) => value > to).length;
  const below = values.filter((value) => value < from).length;
  return { from, to, above, below, without: places.length - valued.length };
}

/** Sizes and axes: room at the edges for the lanes, and on the side of the best for its label. */
function layout(link, { from, to, above, below, without }, narrow) {
  const height = narrow ? 300 : 440;
  const air = 26 / (height - 80);
  const y = widened([from, to], ...(link.summary.direction === "min" ? [air, air / 3] : [air / 3, air]));
  const x = span(link);
  const bottom = AXIS + (without ? LANE : 0) + (below ? LANE : 0);
  return {
    height,
    margin: { left: narrow ? 52 : 64, right: narrow ? 12 : 20, top: above ? LANE + 6 : 12, bottom },
    x,
    y,
    xTicks: ticks(x[0], x[1], narrow ? 4 : 8, true),
    yTicks: ticks(y[0], y[1], narrow ? 4 : 6),
    label: spokenSummary(link),
    xName: "run",
  };
}

/** Draws the lanes that have runs, and returns the height at which each lane's runs stand. */
function drawLanes({ svg, left, right, top, bottom, height }, { above, below, without }, narrow) {
  const lanes = { above: top - LANE / 2, below: bottom + LANE / 2, without: height - AXIS - LANE / 2 };
  const rule = (y) => svg.append(make("svg:path", { class: "rule", d: `M${left},${y + 0.5}H${right}` }));
  const name = (y, text) =>
    svg.append(make("svg:text", { x: left - 9, y: y + 4, "text-anchor": "end" }, text));
  if (above) (rule(top), name(lanes.above, "higher"));
  if (below) (rule(bottom), name(lanes.below, "lower"));
  if (without) (rule(height - AXIS - LANE), name(lanes.without, narrow ? "none" : "no value"));
  return lanes;
}

/** Draws the marks, the line of the best over them, and the advances over the line. */
function drawRuns(link, places, toPoint, toY, { svg, left, right, top, bottom, toX }) {
  if (places.length > 1500) svg.classList.add("dense");
  const all = marks(link, places, toPoint, markScale(places.length, right - left));
  const last = all.filter((path) => path.classList.contains("k-a"));
  const line = make("svg:path", { class: "best", d: bestLine(link, toX, toY, right) });
  const several = drawLaunches(link, places, toY, { left, right, top, bottom, toX });
  svg.append(...all.filter((path) => !last.includes(path)), line, ...several, ...last);
  if (link.lastBest >= 0) labelBest(link, svg, toY(link.value[link.lastBest]), right);
  labelLuckiest(link, svg, places, toY, { left, right, top, bottom, toX });
}

const span = (link) =>
  link.size > 1
    ? [link.run[0] - 0.5, link.run[link.size - 1] + 0.5]
    : [(link.run[0] || 1) - 1, (link.run[0] || 1) + 1];

/** The best of each moment as steps; a run that had nothing to beat is a baseline and begins a line of its own. */
function bestLine(link, toX, toY, right) {
  let line = "";
  let best = NaN;
  let at = -1;
  for (let place = 0; place < link.size; place++) {
    const value = link.value[place];
    const anew = link.holder[place] < 0;
    if (link.kind[place] !== "a" || isNaN(value)) continue;
    // A mean over seeds is known better later on, and the run that beat it may be drawn at no better a value.
    const follows = link.holder[place] === at && hasInterval(launchesOf(link, place));
    if (!anew && !follows && !isBetterThan(link, value, best)) continue;
    const x = toX(link.run[place]).toFixed(1);
    const y = toY(value).toFixed(1);
    line += !line ? `M${x},${y}` : anew ? `H${x}M${x},${y}` : `H${x}V${y}`;
    best = value;
    at = place;
  }
  return line && `${line}H${right}`;
}

/** Runs at work at the same time are judged in another order than that of their numbers. */
const isBetterThan = (link, value, best) =>
  isNaN(best) || (link.summary.direction === "min" ? value < best : value > best);

/** Writes the best value at the end of its line, on the side where no better value is. */
function labelBest(link, svg, y, right) {
  const text = `best ${formatValue(link.value[link.lastBest], link.digits)}, ${runName(link.run[link.lastBest])}`;
  svg.append(
    make(
      "svg:text",
      {
        class: "strong",
        x: right,
        y: link.summary.direction === "min" ? y + 17 : y - 9,
        "text-anchor": "end",
      },
      text,
    ),
  );
}

/** The launches of a run as small points beside its mark, and the interval of its mean as a line with ends. */
function drawLaunches(link, places, toY, { left, right, top, bottom, toX }) {
  const beside = besideMark(link, left, right);
  const radius = 1.6 * markScale(places.length, right - left);
  const spans = [];
  const points = [];
  const inside = (y) => Math.min(Math.max(y, top), bottom).toFixed(1);
  for (const place of places) {
    const launches = launchesOf(link, place);
    if (!launches) continue;
    const x = toX(link.run[place]);
    if (hasInterval(launches)) spans.push(whisker(x, inside(toY(launches.low)), inside(toY(launches.high))));
    const heights = launches.values.filter((value) => value !== null).map(toY);
    for (const y of heights) if (y >= top && y <= bottom) points.push(dot(x + beside, y, radius));
  }
  const path = (kind, parts) => make("svg:path", { class: kind, d: parts.join("") });
  return [...(spans.length ? [path("whisker", spans)] : []), ...(points.length ? [path("launch", points)] : [])];
}

/** How far beside a run's mark its launches stand: not as far as the next run. */
const besideMark = (link, left, right) =>
  Math.max(2, Math.min(6, ((right - left) / Math.max(link.size, 1)) * 0.4));

const CAP = 3; // half the width of a whisker's ends

function whisker(x, low, high) {
  const [from, to] = [(x - CAP).toFixed(1), (x + CAP).toFixed(1)];
  return `M${from},${low}H${to}M${from},${high}H${to}M${x.toFixed(1)},${low}V${high}`;
}

function dot(x, y, radius) {
  const [r, wide] = [radius.toFixed(1), (2 * radius).toFixed(1)];
  return `M${(x - radius).toFixed(1)},${y.toFixed(1)}a${r},${r} 0 1,0 ${wide},0a${r},${r} 0 1,0 -${wide},0Z`;
}

/** Names the launch that showed the best value of all, on the side of its point that has more room. */
function labelLuckiest(link, svg, places, toY, { left, right, top, bottom, toX }) {
  const lucky = link.summary.luck && link.summary.luck.luckiest;
  const place = lucky ? link.index.get(Number(lucky.run_id.slice(1))) : undefined;
  if (place === undefined || !places.includes(place)) return;
  const x = toX(link.run[place]) + (launchesOf(link, place) ? besideMark(link, left, right) : 0);
  const y = toY(lucky.value);
  if (y < top || y > bottom) return; // off the scale: the figures above the chart name it
  const isLeft = x < (left + right) / 2;
  const way = link.summary.direction === "min" ? 1 : -1;
  const best = toY(link.value[link.lastBest]) + (way > 0 ? 17 : -9);
  const near = Math.abs(y + 4 - best) < LINE;
  const text = `luckiest ${formatValue(lucky.value, link.digits)}, ${lucky.run_id}`;
  svg.append(
    make("svg:path", { class: "lucky", d: `M${x - 5},${y}a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z` }),
    make(
      "svg:text",
      {
        class: "lucky",
        x: x + (isLeft ? 10 : -10),
        y: near ? best + way * LINE : y + 4,
        "text-anchor": isLeft ? "start" : "end",
      },
      text,
    ),
  );
}

function spokenSummary(link) {
  const { metric, direction } = link.summary;
  const best =
    link.lastBest < 0
      ? "no run has advanced"
      : `the best is ${formatValue(link.value[link.lastBest], link.digits)} at ${runName(link.run[link.lastBest])}`;
  return `${metric} by run, ${BETTER[direction]} is better; ${counted(link.summary.runs, "run")}; ${best}.`;
}

// The small charts: duration and memory by run, and the histogram of the noise.

/** A small chart of one measurement by run. */
function drawMeasured(link, state, holder, values, label) {
  const places = drawn(link, state).filter((place) => !isNaN(values[place]) && values[place] > 0);
  if (!places.length) return empty(holder, "Nothing was measured.");
  const { range, whole } = nearRange(places.map((place) => values[place]));
  const most = state.wholeScale ? whole[1] : range[1];
  const y = [0, most * 1.08 || 1];
  const x = span(link);
  const narrow = (holder.clientWidth || 400) < 420;
  const margin = { left: narrow ? 48 : 60, right: 12, top: 8, bottom: 28 };
  const picture = frame(holder, {
    height: 170,
    margin,
    x,
    y,
    xTicks: ticks(x[0], x[1], narrow ? 4 : 5, true),
    yTicks: ticks(0, y[1], 4),
    label,
    xName: "run",
  });
  const toPoint = (place) => [picture.toX(link.run[place]), picture.toY(Math.min(values[place], most))];
  if (places.length > 600) picture.svg.classList.add("dense");
  picture.svg.append(
    ...marks(link, places, toPoint, 0.85 * markScale(places.length, picture.right - picture.left)),
  );
  return withSpots(picture, places, toPoint);
}

function empty(holder, text) {
  holder.replaceChildren(make("p", { class: "text" }, text));
  return null;
}

/** The histogram: how far the values of equal snapshots lie from their mean. */
function drawNoise(link, holder) {
  const bins = link.noise;
  if (!bins) return empty(holder, "");
  const end = bins.low + bins.width * bins.counts.length;
  const most = Math.max(...bins.counts);
  const narrow = (holder.clientWidth || 400) < 420;
  const picture = frame(holder, {
    height: 170,
    margin: { left: narrow ? 48 : 60, right: 12, top: 8, bottom: 28 },
    x: [bins.low, end],
    y: [0, most * 1.1],
    xTicks: ticks(bins.low, end, 5),
    yTicks: ticks(0, most, 3, true),
    label: noiseText(link),
  });
  const { svg, toX, toY, bottom, top } = picture;
  bins.counts.forEach((count, place) => {
    const from = toX(bins.low + bins.width * place);
    const to = toX(bins.low + bins.width * (place + 1));
    if (count)
      svg.append(
        make("svg:rect", {
          class: "bar",
          x: from + 1,
          y: toY(count),
          width: Math.max(1, to - from - 2),
          height: bottom - toY(count),
        }),
      );
  });
  svg.append(make("svg:path", { class: "zero", d: `M${toX(0)},${top}V${bottom}` }));
  return picture;
}

function noiseText(link) {
  const noise = link.summary.noise;
  const luck = link.summary.luck;
  const measured = luck
    ? `Launches of one version with several seeds: standard deviation ${short(luck.noise)} (${luck.df} degrees of freedom).`
    : "";
  if (!noise && luck) return measured;
  if (!noise)
    return "No snapshot was measured twice, so the noise is not known. arctl run --again measures the best once more.";
  const steps = [];
  for (let place = 0; place < link.size; place++) {
    if (link.kind[place] === "a" && link.holder[place] >= 0)
      steps.push(Math.abs(link.value[place] - link.before[place]));
  }
  steps.sort((one, other) => one - other);
  const middle = steps[Math.floor(steps.length / 2)];
  const compared =
    steps.length && noise.deviation > 0
      ? ` The median advance, ${short(middle)}, is ${short(middle / noise.deviation)} times that.`
      : "";
  const were = noise.snapshots === 1 ? "was" : "were";
  const snapshots = `${counted(noise.snapshots, "snapshot")} ${were} run more than once, ${counted(noise.runs, "run")} in all.`;
  return `${measured && `${measured} `}${snapshots} Standard deviation of equal code: ${short(noise.deviation)}.${compared}`;
}

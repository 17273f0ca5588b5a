// Puts the page together: what is looked at, and what is drawn anew when that changes.

const LINKS = DATA.links.map(unpack);
const state = {
  link: DATA.asked,
  off: new Set(),
  wholeScale: false,
  find: "",
  sort: "run",
  down: true,
  page: 0,
  pinned: -1,
  hovered: -1,
  draw: { rows: () => drawTable() },
};
let charts = [];
const current = () => LINKS[state.link];

function drawLegend() {
  const link = current();
  const counts = {};
  for (const kind of link.kind) counts[kind] = (counts[kind] || 0) + 1;
  const chips = Object.keys(KINDS)
    .filter((kind) => counts[kind])
    .map((kind) => {
      const chip = make(
        "button",
        { type: "button", class: "chip", "aria-pressed": String(!state.off.has(kind)), "data-kind": kind },
        key(kind),
        KINDS[kind],
        make("b", {}, grouped(counts[kind])),
      );
      chip.addEventListener("click", () => {
        state.off.has(kind) ? state.off.delete(kind) : state.off.add(kind);
        drawAll();
        at("legend").querySelector(`[data-kind="${kind}"]`).focus();
      });
      return chip;
    });
  at("legend").replaceChildren(...chips);
  const beyond = charts[0] ? charts[0].beyond : 0;
  if (!beyond && !state.wholeScale) return;
  const text = state.wholeScale ? "Scale to most runs" : `Show ${grouped(beyond)} off the scale`;
  const scale = make("button", { type: "button", class: "chip scale" }, text);
  scale.addEventListener("click", () => {
    state.wholeScale = !state.wholeScale;
    drawAll();
    at("legend").querySelector(".scale").focus();
  });
  at("legend").append(scale);
}

function drawCharts() {
  const link = current();
  charts = [
    drawProgress(link, state, at("progress")),
    drawMeasured(link, state, at("seconds"), link.seconds, "Seconds by run"),
    drawMeasured(
      link,
      state,
      at("vram"),
      link.vram.map((mib) => mib / 1024),
      "Peak GPU memory by run in GiB",
    ),
  ].map((chart) => chart || null);
  drawNoise(link, at("noise"));
  at("progress").setAttribute("aria-label", spokenSummary(link));
  for (const chart of charts) if (chart) listen(chart);
  drawFocus();
}

function listen(chart) {
  const found = (event) =>
    nearest(chart.spots, ...pointer(event, chart.svg), event.pointerType === "touch" ? 40 : 28);
  chart.svg.addEventListener("pointermove", (event) => hover(found(event)));
  chart.svg.addEventListener("pointerleave", () => hover(-1));
  chart.svg.addEventListener("click", (event) => {
    const place = found(event);
    if (place >= 0) pin(place);
  });
}

const looked = () =>
  state.hovered >= 0
    ? state.hovered
    : state.pinned >= 0
      ? state.pinned
      : current().lastBest >= 0
        ? current().lastBest
        : current().size - 1;

/** Marks the run that is looked at in every chart, and shows it in full. */
function drawFocus() {
  const link = current();
  const place = looked();
  for (const chart of charts) {
    const spot =
      chart && place >= 0 && chart.spots.some(([other]) => other === place) ? chart.toPoint(place) : null;
    if (chart)
      chart.ring.setAttribute("d", spot ? `M${spot[0] - 7},${spot[1]}a7,7 0 1,0 14,0a7,7 0 1,0 -14,0` : "");
  }
  showDetail(link, place, state.pinned >= 0 && place === state.pinned, at("detail"), () => {
    pin(-1);
    at("progress").focus();
  });
}

function hover(place) {
  if (place === state.hovered) return;
  state.hovered = place;
  drawFocus();
}

/** Keeps a run in view; the same again lets it go. The address keeps it too, so that a reload shows it. */
function pin(place) {
  state.pinned = place === state.pinned ? -1 : place;
  state.hovered = -1;
  remember();
  drawFocus();
  drawTable();
  say(state.pinned < 0 ? "No run is pinned." : `Pinned: ${spoken(state.pinned)}`);
}

function spoken(place) {
  const link = current();
  const delta = deltaOf(link, place);
  const value = isNaN(link.value[place])
    ? "no value"
    : `${link.summary.metric} ${formatValue(link.value[place], link.digits)}`;
  const compared = isNaN(delta) ? "" : `, ${formatDelta(delta, link.digits)} against the best`;
  const launches = launchesOf(link, place);
  const between = hasInterval(launches) ? `, ${interval(launches.low, launches.high, link.digits)}` : "";
  return `${runName(link.run[place])}, ${KINDS[link.kind[place]]}, ${value}${between}${compared}. ${noteOf(link, place)}`;
}

function say(text) {
  at("spoken").textContent = text;
}

function step(event) {
  const places = shown(current(), state);
  if (!places.length || event.target !== at("progress")) return;
  const here = places.indexOf(looked());
  const last = places.length - 1;
  const to = {
    ArrowLeft: here - 1,
    ArrowRight: here + 1,
    PageUp: here - 10,
    PageDown: here + 10,
    Home: 0,
    End: last,
  }[event.key];
  if (to !== undefined) {
    hover(places[Math.max(0, Math.min(last, to))]);
    say(spoken(state.hovered));
  } else if (event.key === "Enter" || event.key === " ") {
    pin(looked());
  } else if (event.key === "Escape") {
    state.hovered = -1;
    if (state.pinned >= 0) pin(-1);
    else drawFocus();
  } else return;
  event.preventDefault();
}

function drawTable() {
  drawHeads(current(), state, (id, down) => {
    Object.assign(state, { sort: id, down, page: 0 });
    drawTable();
    at("columns").querySelector("[aria-sort] button").focus();
  });
  drawRows(current(), state, pin);
}

function drawTabs() {
  const tabs = at("tabs");
  tabs.hidden = LINKS.length < 2;
  tabs.replaceChildren(
    ...LINKS.map(({ summary }, place) => {
      const tab = make(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${place}`,
          "aria-controls": "panel",
          "aria-selected": String(place === state.link),
          tabindex: place === state.link ? 0 : -1,
        },
        summary.expr,
      );
      tab.addEventListener("click", () => choose(place));
      return tab;
    }),
  );
  if (LINKS.length < 2) return;
  at("panel").setAttribute("role", "tabpanel");
  at("panel").setAttribute("aria-labelledby", `tab-${state.link}`);
}

function choose(place) {
  Object.assign(state, { link: place, page: 0, pinned: -1, hovered: -1, wholeScale: false });
  remember();
  drawAll();
  at(`tab-${place}`).focus();
}

function turn(event) {
  const to = { ArrowLeft: state.link - 1, ArrowRight: state.link + 1, Home: 0, End: LINKS.length - 1 }[
    event.key
  ];
  if (to === undefined) return;
  event.preventDefault();
  choose((to + LINKS.length) % LINKS.length);
}

function drawAll() {
  drawHeader(current());
  drawTabs();
  drawCharts();
  drawLegend();
  drawTable();
}

function remember() {
  const link = current();
  const run = state.pinned >= 0 ? `/${runName(link.run[state.pinned])}` : "";
  try {
    history.replaceState(null, "", `#${link.summary.expr}${run}`);
  } catch {
    /* a frame without an address of its own */
  }
}

/** Goes to the experiment and the run that the address names. */
function recall() {
  const [expr, run] = decodeURIComponent(location.hash.slice(1)).split("/");
  const place = LINKS.findIndex(({ summary }) => summary.expr === expr);
  if (place < 0) return;
  state.link = place;
  const pinned = run && LINKS[place].index.get(Number(run.slice(1)));
  state.pinned = pinned === undefined || pinned === "" ? -1 : pinned;
}

function colours(event) {
  const wanted = event.target.value;
  if (wanted === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", wanted);
}

try {
  recall();
} catch {
  /* an address that nobody here wrote */
}
drawAll();
at("foot").textContent = `${DATA.foot} This file is whole in itself: it loads nothing and sends nothing.`;
at("theme").addEventListener("change", colours);
at("tabs").addEventListener("keydown", turn);
at("progress").addEventListener("keydown", step);
at("progress").addEventListener("blur", () => hover(-1));
at("find").addEventListener("input", (event) => {
  state.find = event.target.value;
  state.page = 0;
  drawRows(current(), state, pin);
});
at("order").addEventListener("change", (event) => {
  const [id, way] = event.target.value.split(" ");
  Object.assign(state, { sort: id, down: way === "down", page: 0 });
  drawTable();
});
let width = at("progress").clientWidth;
new ResizeObserver(() => {
  if (at("progress").clientWidth !== width) {
    width = at("progress").clientWidth;
    drawCharts();
  }
}).observe(at("progress"));

// The table of runs: it sorts, filters and turns pages, and is the chart in words.

const ROWS = 50;
const ALL_COLUMNS = [
  { id: "run", title: "Run", of: (link, place) => link.run[place] },
  { id: "verdict", title: "Verdict", of: (link, place) => "amrictx".indexOf(link.kind[place]) },
  { id: "value", title: "Value", of: (link, place) => link.value[place], number: true },
  { id: "delta", title: "\u0394 best", of: (link, place) => deltaOf(link, place), number: true },
  {
    id: "seeds",
    title: "By seed",
    of: (link, place) => launchesOf(link, place)?.values.length ?? 1,
    if: (link) => link.launches.size > 0,
  },
  { id: "seconds", title: "Seconds", of: (link, place) => link.seconds[place], number: true },
  { id: "vram", title: "Memory", of: (link, place) => link.vram[place], number: true },
  { id: "note", title: "Note", of: (link, place) => noteOf(link, place).toLowerCase() || NaN },
];

/** The columns that an experiment has something for. */
const columns = (link) => ALL_COLUMNS.filter((column) => !column.if || column.if(link));

const SEEDS_LISTED = 3; // of a row; the panel beside the chart has all of them

/** The first values of a run that was launched with several seeds. */
function seedWords(link, place) {
  const { values } = launchesOf(link, place) || { values: [] };
  const words = values.slice(0, SEEDS_LISTED).map((value) => formatValue(value ?? NaN, link.digits));
  return words.join(", ") + (values.length > SEEDS_LISTED ? `, ${values.length - SEEDS_LISTED} more` : "");
}

/** The places of the runs that the legend shows. */
function shown(link, state) {
  const found = [];
  for (let place = 0; place < link.size; place++) if (!state.off.has(link.kind[place])) found.push(place);
  return found;
}

/** Those of them that a chart has room for. */
const drawn = (link, state) =>
  link.undrawn.size ? shown(link, state).filter((place) => !link.undrawn.has(place)) : shown(link, state);

/** Those of them that the filter lets through: each word must be in the note, the diff, the reason or the name. */
function filtered(link, state) {
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return shown(link, state);
  return shown(link, state).filter((place) => {
    const { diff = "", reason = "" } = link.records.get(link.run[place]) || {};
    const text = [runName(link.run[place]), KINDS[link.kind[place]], noteOf(link, place), reason, diff]
      .join("\n")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** The runs in the order of a column; a run without an entry there comes last, whichever way it goes. */
function sorted(link, state) {
  const { of } = columns(link).find((column) => column.id === state.sort) || ALL_COLUMNS[0];
  const way = state.down ? -1 : 1;
  const places = filtered(link, state);
  const missing = (entry) => entry !== entry;
  const entries = new Map(places.map((place) => [place, of(link, place)]));
  return places.sort((one, other) => {
    const a = entries.get(one);
    const b = entries.get(other);
    if (missing(a) || missing(b)) return missing(a) - missing(b) || one - other;
    return (a < b ? -way : a > b ? way : 0) || one - other;
  });
}

/** The heads of the columns, and the same choice for screens that have no room for all columns. */
function drawHeads(link, state, change) {
  at("columns").replaceChildren(
    ...columns(link).map(({ id, title, number }) => {
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () =>
        change(id, state.sort === id ? !state.down : id !== "run" && Boolean(number) && id !== "delta"),
      );
      const way = state.sort === id ? (state.down ? "descending" : "ascending") : null;
      if (way) button.append(make("span", { "aria-hidden": "true" }, state.down ? " \u2193" : " \u2191"));
      return make(
        "th",
        { scope: "col", class: `w-${id}${number ? " number" : ""}`, "aria-sort": way },
        button,
      );
    }),
  );
  const order = at("order");
  order.replaceChildren(
    ...columns(link).flatMap(({ id, title }) =>
      [
        ["up", "\u2191"],
        ["down", "\u2193"],
      ].map(([way, arrow]) =>
        make(
          "option",
          { value: `${id} ${way}`, selected: state.sort === id && state.down === (way === "down") },
          `${title} ${arrow}`,
        ),
      ),
    ),
  );
}

function drawRows(link, state, pin) {
  const places = sorted(link, state);
  const pages = Math.max(1, Math.ceil(places.length / ROWS));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * ROWS;
  const visible = places.slice(first, first + ROWS);
  at("rows").replaceChildren(...visible.map((place) => row(link, state, place, pin)));
  const total = link.summary.runs;
  const all =
    places.length === total ? counted(total, "run") : `${grouped(places.length)} of ${counted(total, "run")}`;
  at("count").textContent = all;
  drawPager(pages, first, visible.length, places.length, state);
}

function row(link, state, place, pin) {
  const number = link.run[place];
  const button = make(
    "button",
    { type: "button", "aria-pressed": String(state.pinned === place) },
    runName(number),
  );
  const cell = (id, ...content) => make("td", { class: id }, ...content);
  const line = make(
    "tr",
    { class: state.pinned === place ? "on" : null },
    make("td", { class: "run" }, button),
    cell("verdict", key(link.kind[place]), make("span", { class: "word" }, ` ${KINDS[link.kind[place]]}`)),
    cell("value number", formatValue(link.value[place], link.digits)),
    cell("delta number", formatDelta(deltaOf(link, place), link.digits)),
    link.launches.size ? cell("seeds", seedWords(link, place)) : null,
    cell("seconds number", short(link.seconds[place])),
    cell("vram number", gib(link.vram[place])),
    cell("note", make("span", {}, noteOf(link, place))),
  );
  line.addEventListener("click", () => pin(place));
  return line;
}

function drawPager(pages, first, count, total, state) {
  const pager = at("pager");
  if (pages < 2) return pager.replaceChildren();
  const turn = (text, by, disabled) => {
    const button = make("button", { type: "button", disabled, "data-turn": by }, text);
    button.addEventListener("click", () => {
      state.page += by;
      state.draw.rows();
      const same = pager.querySelector(`[data-turn="${by}"]`);
      (same.disabled ? pager.querySelector("button:enabled") : same).focus();
    });
    return button;
  };
  pager.replaceChildren(
    turn("Back", -1, state.page === 0),
    `${grouped(first + 1)}${DASH}${grouped(first + count)} of ${grouped(total)}`,
    turn("Next", 1, state.page >= pages - 1),
  );
}

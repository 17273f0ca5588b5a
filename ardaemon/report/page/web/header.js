// What stands above and below the charts: how the experiment is, what was varied in it and what failed.

function drawHeader(link) {
  const { expr, goal } = link.summary;
  document.title = `${expr} ${DASH} experiment report`;
  at("title").textContent = expr;
  at("session").textContent = link.summary.session ? `Session: ${link.summary.session}` : "";
  at("goal").textContent = goal;
  at("goal").hidden = !goal;
  const entry = link.summary.chain[link.summary.chain.length - 1];
  at("why").textContent = entry && entry.rationale ? `Why it was begun: ${entry.rationale}` : "";
  at("why").hidden = !at("why").textContent;
  at("figures").replaceChildren(...figures(link));
  at("figures").classList.toggle("six", Boolean(link.summary.luck));
  at("noise-text").textContent = noiseText(link);
  drawAudit(link);
  at("failed").replaceChildren(failures(link.summary));
  at("varied").replaceChildren(varied(link));
  const dropped = link.thinned
    ? ` ${grouped(link.size)} of ${counted(link.summary.runs, "run")} are drawn and listed: all advances, the newest, and the extremes of each stretch of the others.`
    : "";
  const late = link.summary.pending
    ? ` ${counted(link.summary.pending, "newer run")} ${link.summary.pending === 1 ? "is" : "are"} not in it yet.`
    : "";
  const elsewhere = link.summary.elsewhere
    ? ` Measured under other conditions than the best, and so not comparable: ${counted(link.summary.elsewhere, "run")}.`
    : "";
  const launches = link.launches.size
    ? " A line with ends: the mean lies within it with 90%. Small points: single launches."
    : "";
  at("progress-note").textContent =
    `${link.summary.metric}, ${BETTER[link.summary.direction]} is better.${launches}${dropped}${elsewhere}${late}`;
}

/** The few numbers that say how the experiment stands. */
function figures(link) {
  const { summary, digits } = link;
  const best = summary.best || reached(link);
  const first = summary.baseline;
  const parts = [];
  const figure = (title, value, more) =>
    parts.push(
      make("div", {}, make("dt", {}, title), make("dd", {}, value), make("dd", { class: "more" }, more)),
    );
  figure(
    `Best ${summary.metric}`,
    best ? formatValue(best.value ?? NaN, digits) : DASH,
    best ? bestWords(best, first, digits, summary.luck) : "no run has advanced",
  );
  if (summary.luck) luckFigures(summary.luck, digits, figure);
  figure("Runs", grouped(summary.runs), verdictWords(summary));
  const stalled = summary.since_advance;
  figure(
    "Without an advance",
    stalled ? grouped(stalled.runs) : "0",
    stalled
      ? `${stalled.runs === 1 ? "run" : "runs in a row"}, since ${stalled.first}`
      : "the last one advanced",
  );
  figure(
    "Time",
    hours(summary.wall_s),
    `${summary.gpu_s ? `${hours(summary.gpu_s)} of GPUs; ` : ""}${hours(summary.failed_s)} in runs that failed`,
  );
  return parts;
}

/** The last run that advanced, where no file names a best. */
const reached = ({ lastBest, run, value }) =>
  lastBest < 0 ? null : { run_id: runName(run[lastBest]), value: value[lastBest] };

/** What the noise makes of the best: the value that luck alone has shown, and what the noise has cost. */
function luckFigures({ luckiest, noise, df, launches, confirmations, advances, expected_false }, digits, figure) {
  if (luckiest) {
    const times = noise > 0 ? `, ${short(luckiest.flatters / noise)} times the noise` : "";
    const flatters = luckiest.flatters
      ? `flatters by ${formatValue(luckiest.flatters, digits)}${times}`
      : "no better than the best";
    const where = `${luckiest.run_id} with seed ${luckiest.seed}`;
    figure("Luckiest value", formatValue(luckiest.value, digits), `${where}; ${flatters}`);
  }
  const spent = `${grouped(confirmations)} of ${counted(launches, "launch", "es")} were confirmations`;
  const falseOnes = `expected false: ${expected_false.toFixed(1)} of ${counted(advances, "advance")}`;
  figure("Noise of a launch", `\u00b1${short(noise)}`, `${df} df; ${spent}; ${falseOnes}`);
}

function bestWords(best, first, digits, luck) {
  const from =
    first && first.value != null && first.run_id !== best.run_id
      ? `; ${first.run_id} began with ${formatValue(first.value, digits)}`
      : "";
  const between = luck ? `, ${interval(luck.low, luck.high, digits)}` : "";
  return `${best.run_id}${between}${from}`;
}

function verdictWords(summary) {
  const nouns = {
    advance: ["advance"],
    revert: ["revert"],
    crash: ["crash", "es"],
    timeout: ["timeout"],
    invalid: ["invalid", ""],
    interrupted: ["interrupted", ""],
    measure: ["measurement"],
  };
  return Object.entries(nouns)
    .filter(([verdict]) => summary.verdicts[verdict])
    .map(([verdict, noun]) => counted(summary.verdicts[verdict], ...noun))
    .join(", ");
}

function failures({ failures: kinds, violations }) {
  const rows = kinds.map(({ kind, runs, last_run, message }) => [[kind, message], grouped(runs), last_run]);
  if (violations) rows.push([["a constraint was broken", ""], grouped(violations), ""]);
  return list(["How", "Runs", "Last"], rows, "No run has failed.");
}

/** What the hidden audit has measured, where a person has asked for it. */
function drawAudit({ audit, digits }) {
  at("audit-part").hidden = !audit;
  if (!audit) return;
  const number = (value) => (value === null ? DASH : formatValue(value, digits));
  const rows = audit.rows.map(([run, primary, value, words]) => [[run, words], number(primary), number(value)]);
  at("audit-warning").textContent = audit.warning;
  at("audit").replaceChildren(list(["Run", "Primary", "Audit"], rows, "No advance was audited yet."));
}

/** The names whose values edits changed, and the setting that did best of each. */
function varied(link) {
  const rows = link.summary.parameters.map(({ name, runs, advances, distinct, settings }) => {
    const best = settings.find(({ value }) => value != null);
    const words = best
      ? `best ${best.setting === null ? "removed" : best.setting}: ${formatValue(best.value, link.digits)} at ${best.run_id}`
      : "no value was measured";
    return [[name, `${counted(distinct, "setting")}, ${words}`], grouped(runs), grouped(advances)];
  });
  return list(["Name", "Runs", "Advances"], rows, "No edit changed a value that has a name.");
}

/** A small table: a text with a second line below it, and two numbers. */
function list(heads, rows, none) {
  if (!rows.length) return make("p", { class: "text" }, none);
  const head = heads.map((text, place) => make("th", { scope: "col", class: place ? "number" : null }, text));
  const body = rows.map(([[text, more], ...cells]) =>
    make(
      "tr",
      {},
      make("td", {}, text, more ? make("small", {}, more) : null),
      ...cells.map((cell) => make("td", { class: "number" }, cell)),
    ),
  );
  return make(
    "table",
    { class: "list" },
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...body),
  );
}

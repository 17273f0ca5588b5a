// One run in full: its value, note and diff.

/** Fills the panel with one run; `pinned` says that it stays when the pointer goes. */
function showDetail(link, place, pinned, holder, unpin) {
  if (place < 0) return holder.replaceChildren(make("p", { class: "text" }, "No run yet."));
  const number = link.run[place];
  const record = link.records.get(number);
  const name = make(
    "div",
    { class: "name" },
    key(link.kind[place]),
    make("strong", {}, runName(number)),
    KINDS[link.kind[place]],
  );
  if (pinned) {
    const button = make("button", { type: "button", class: "pin" }, "Unpin");
    button.addEventListener("click", unpin);
    name.append(button);
  }
  holder.replaceChildren(
    name,
    make(
      "p",
      { class: "value" },
      isNaN(link.value[place]) ? "no value" : formatValue(link.value[place], link.digits),
    ),
    ...meanLine(link, place),
    deltaLine(link, place),
    ...seedLine(link, place),
    make("p", { class: "note" }, noteOf(link, place) || "No note."),
    factsLine(link, place, record),
    ...diffParts(number, record),
  );
}

const SEEDS_SHOWN = 24; // of one run

/** What the run's value is, where it is the mean of several launches or has an interval. */
function meanLine(link, place) {
  const launches = launchesOf(link, place);
  if (!launches) return [];
  const { low, high, sure } = launches;
  const how = isNaN(sure) ? "" : `; P=${sure.toFixed(2)}`;
  const about = hasInterval(launches)
    ? `mean over seeds, ${interval(low, high, link.digits)}${how}`
    : "the mean of its launches as it was judged";
  return [make("p", { class: "delta" }, about)];
}

/** What each launch of the run measured. */
function seedLine(link, place) {
  const launches = launchesOf(link, place);
  if (!launches) return [];
  const words = launches.values.map((value, seed) => `seed ${seed}: ${formatValue(value ?? NaN, link.digits)}`);
  const more = words.length - SEEDS_SHOWN;
  const shown = more > 0 ? [...words.slice(0, SEEDS_SHOWN), `${more} more`] : words;
  return [make("p", { class: "facts" }, ...shown.map((text) => make("span", {}, text)))];
}

const noteOf = (link, place) =>
  (link.records.get(link.run[place]) || {}).note || link.notes.get(link.run[place]) || "";
const deltaOf = (link, place) => link.value[place] - link.before[place];

function isBetter(link, place) {
  const delta = deltaOf(link, place);
  return link.summary.direction === "min" ? delta < 0 : delta > 0;
}

function deltaLine(link, place) {
  const delta = deltaOf(link, place);
  const holder = link.holder[place];
  if (isNaN(delta))
    return make(
      "p",
      { class: "delta" },
      link.kind[place] === "a" ? "the first value to compare with" : "nothing to compare",
    );
  const text = `${formatDelta(delta, link.digits)} against ${formatValue(link.before[place], link.digits)} (${runName(link.run[holder])})`;
  const word = delta === 0 ? "equal" : isBetter(link, place) ? "better" : "worse";
  return make("p", { class: "delta" }, make("span", { class: word }, word), `, ${text}`);
}

function factsLine(link, place, record) {
  const facts = [];
  if (link.seconds[place] > 0) facts.push(seconds(link.seconds[place]));
  if (link.vram[place] > 0) facts.push(gib(link.vram[place]));
  if (record && record.reason) facts.push(record.reason);
  if (record && record.ended !== null) facts.push(moment(record.ended));
  return make("p", { class: "facts" }, ...facts.map((fact) => make("span", {}, fact)));
}

/** The diff below a line that says what it is compared with, and how to get what is not in the page. */
function diffParts(number, record) {
  const command = make("code", {}, `arctl diff ${runName(number)}`);
  const line = (...words) => make("p", { class: "diff-head" }, ...words);
  if (!record || record.diff === null) return [line("Its diff is not in this page: ", command)];
  const base = record.base === null ? "its base" : runName(record.base);
  if (!record.diff) return [line(`The same code as ${base}.`)];
  const label = { class: "diff", tabindex: "0", "aria-label": `Diff of ${runName(number)}` };
  return [
    record.cut ? line(`Against ${base}, cut; all of it: `, command) : line(`Against ${base}`),
    make("pre", label, ...diffLines(record.diff)),
  ];
}

/** The lines of a diff; where one line replaces another, what differs in them is marked. */
function diffLines(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  const kinds = { "+": "add", "-": "del", "@": "at" };
  return lines.map((line, place) => {
    const kind = kinds[line[0]] || "";
    const pair = partner(lines, place);
    const parts = pair === null ? [line] : marked(line, pair);
    const said = { add: "added: ", del: "removed: " }[kind];
    return make("span", { class: kind }, said ? make("span", { class: "hidden" }, said) : null, ...parts);
  });
}

/** The line that this one replaces or is replaced by, where the same number of lines stands on both sides. */
function partner(lines, place) {
  const sign = lines[place][0];
  if (sign !== "+" && sign !== "-") return null;
  const is = (n, wanted) => n >= 0 && n < lines.length && lines[n][0] === wanted;
  let first = place;
  let last = place;
  while (is(first - 1, sign)) first--;
  while (is(last + 1, sign)) last++;
  const count = last - first + 1;
  const other = sign === "-" ? "+" : "-";
  const start = sign === "-" ? last + 1 : first - count;
  for (let n = 0; n < count; n++) if (!is(start + n, other)) return null;
  const after = sign === "-" ? start + count : start - 1;
  return is(after, other) ? null : lines[start + place - first];
}

function marked(line, pair) {
  let head = 1;
  let tail = 0;
  const most = Math.min(line.length, pair.length);
  while (head < most && line[head] === pair[head]) head++;
  while (tail < most - head && line[line.length - 1 - tail] === pair[pair.length - 1 - tail]) tail++;
  while (head > 1 && /[\w.-]/.test(line[head - 1])) head--;
  while (tail > 0 && /[\w.-]/.test(line[line.length - tail])) tail--;
  const middle = line.slice(head, line.length - tail);
  if (!middle || middle.length > line.length * 0.7) return [line];
  return [line.slice(0, head), make("b", {}, middle), line.slice(line.length - tail)];
}

"""The report as Markdown for a context window: at most TEXT_MAX bytes whatever the number of runs. Pure.

What an agent that chooses the next experiment needs first stands first: the best, how far the last runs were
from it, and what of a difference may be chance. Text of runs stands in code spans (quote.py).
"""

from typing import NamedTuple

from ardaemon.core.line import counted, number
from ardaemon.core.summary import Failure, Link, Parameter, RunLine, Setting, Stretch, Summary
from ardaemon.report.luck_lines import how_sure, luck_lines
from ardaemon.report.quote import NOTHING, change, quoted, time_of
from ardaemon.report.section import newest_that_fit, section, size

TEXT_MAX = 8 << 10  # bytes
ALL_MAX = 4 << 20  # with --all: far less than the daemon may send to one client
DEVIATIONS = 2  # standard deviations of equal code within which a difference may be chance
WORD_MAX = 40  # bytes of a name or a value
TRIED_MAX = 260  # bytes of what was tried of one name
METRIC_MAX = 80


class Rooms(NamedTuple):
    """Bytes that each section has at most; the advances have what the others leave."""

    whole: int = TEXT_MAX
    stalled: int = 800
    parameters: int = 1700
    ranks: int = 900
    failures: int = 700
    noise: int = 550
    chain: int = 850
    text: int = 120  # of a note; a goal and a rationale may have more
    each_setting: bool = False  # has a line of its own
    see: str = ": arctl report --all"  # where entries are that found no room


SHORT = Rooms()
_PART = ALL_MAX // 8
WHOLE = Rooms(ALL_MAX, _PART, _PART, _PART, _PART, _PART, _PART, text=800, each_setting=True, see="")


def markdown(summary: Summary, rooms: Rooms = SHORT) -> str:
    """Return the report; the same summary gives the same bytes."""
    before, after = _Writer(summary, rooms), _Writer(summary, rooms)
    before.head()
    before.stalled()
    after.parameters()
    after.ranks()
    after.failures()
    after.noise()
    after.cost()
    after.chain()
    used = size(before.lines) + size(after.lines)
    before.advances(rooms.whole - used)
    return "\n".join([*before.lines, *after.lines, ""])


class _Writer:
    """Writes sections, one after the other."""

    def __init__(self, summary: Summary, rooms: Rooms) -> None:
        self.summary, self.rooms = summary, rooms
        self.lines: list[str] = []

    def head(self) -> None:
        summary, text = self.summary, self.rooms.text
        better = "lower" if summary.direction == "min" else "higher"
        limits = ", ".join(quoted(one, WORD_MAX) for one in summary.constraints[:4])
        more = f" and {len(summary.constraints) - 4} more" if len(summary.constraints) > 4 else ""
        self.lines += [
            f"# Report: {summary.expr}",
            "",
            f"- Goal: {quoted(summary.goal, 2 * text)}",
            f"- Metric: {quoted(summary.metric, METRIC_MAX)}, {better} is better"
            + (f"; constraints: {limits}{more}" if limits else ""),
            f"- Best: {self._run(summary.best)}" if summary.best else "- Best: none yet",
            *(luck_lines(summary.luck) if summary.luck is not None else ()),
            *self._progress(),
            f"- Runs: {summary.runs} ({_verdicts(summary)}); session: {summary.session}",
            *self._remarks(),
        ]

    def _progress(self) -> list[str]:
        best, baseline = self.summary.best, self.summary.baseline
        if best is None or baseline is None or best.run_id == baseline.run_id:
            return []
        return [f"- Baseline: {baseline.run_id}; from it to the best: {change(baseline.value, best.value)}"]

    def _remarks(self) -> list[str]:
        """Return what must be known to read the numbers below."""
        summary, lines = self.summary, []
        if summary.noise is not None and summary.luck is None:
            lines.append(f"- Chance: {self._chance()}")
        if summary.elsewhere:
            lines.append(
                f"- Not compared: {counted(summary.elsewhere, 'run')} under other conditions than the best"
                " (seconds, runner, metric or seal)"
            )
        if summary.pending:
            runs = counted(summary.pending, "run")
            lines.append(f"- Not in this report yet: {runs}, which are still being read; ask again")
        return lines

    def _chance(self) -> str:
        noise = self.summary.noise
        assert noise is not None
        if noise.deviation == 0:
            return f"none seen: {counted(noise.runs, 'run')} of equal code gave equal values"
        within = f"{DEVIATIONS * noise.deviation:.3g}"
        return f"equal code differs by {within} (two standard deviations); a smaller difference may be chance"

    def stalled(self) -> None:
        summary = self.summary
        since, lines = summary.since_advance, []
        if summary.advance_count and since is None:
            lines.append("- The newest run that says something about its edit advanced")
        elif since is not None:
            better = "better" if summary.luck is None else "surely better"
            lines.append(f"- Since the last advance: {_stretch(since)}, none of them {better}")
        if summary.nearest is not None and summary.best is not None:
            off = _difference(summary.nearest.value, summary.best.value)
            lines.append(f"- Nearest to the best among them ({off} from it): {self._run(summary.nearest)}")
        longest = [f"- Without an advance: {_stretch(one)}" for one in summary.stretches if one != since]
        self._section("Where improvement stalled", lines + longest, self.rooms.stalled)

    def advances(self, room: int) -> None:
        summary = self.summary
        if not summary.advances:
            return
        heading = [
            "",
            f"## How the best was reached: {counted(summary.advance_count, 'advance')}, oldest first",
        ]
        entries = [self._advance(line) for line in summary.advances]
        self.lines += heading
        self.lines += newest_that_fit(entries, room - size(heading), summary.advance_count, self._gap)

    def _advance(self, line: RunLine) -> str:
        note = quoted(line.note, self.rooms.text)
        if line.before is None:
            return f"- {line.run_id} {number(line.value)} (baseline): {note}"
        if line.value == line.before:
            return f"- {line.run_id} {number(line.value)} (equal, and shorter): {note}"
        chance = ", may be chance" if self._may_be_chance(line) else ""
        sure = chance if line.p_better is None else how_sure(line)
        return f"- {line.run_id} {change(line.before, line.value)}{sure}: {note}"

    def _may_be_chance(self, line: RunLine) -> bool:
        noise = self.summary.noise
        if noise is None or line.value is None or line.before is None:
            return False
        return abs(line.value - line.before) < DEVIATIONS * noise.deviation

    def parameters(self) -> None:
        summary = self.summary
        entries = [self._parameter(one) for one in summary.parameters]
        heading = "Parameters varied: runs that changed each, and the best value of the metric with it"
        if summary.unnamed:
            entries.insert(0, f"- no name, but other code: {counted(summary.unnamed, 'run')}")
        total = summary.parameter_count + bool(summary.unnamed)
        self._section(heading, entries, self.rooms.parameters, total)

    def _parameter(self, one: Parameter) -> str:
        head = (
            f"- {quoted(one.name, WORD_MAX)}: {counted(one.runs, 'run')}, {counted(one.advances, 'advance')}"
            f", {one.failures} failed. Tried"
        )
        if self.rooms.each_setting:
            lines = [f"  - {_setting(setting)} ({counted(setting.runs, 'run')})" for setting in one.settings]
            left = one.distinct - len(one.settings)
            return "\n".join([f"{head}:", *lines, *([f"  - … {left} more"] if left else [])])
        tried = ""
        for count, setting in enumerate(one.settings):
            piece = f", {_setting(setting)}" if tried else f" {_setting(setting)}"
            if len((tried + piece).encode()) > TRIED_MAX:
                return f"{head}:{tried}, {one.distinct - count} more"
            tried += piece
        left = one.distinct - len(one.settings)
        return f"{head}:{tried}" + (f", {left} more" if left else "")

    def ranks(self) -> None:
        best = [f"- best: {self._run(line)}" for line in self.summary.top]
        worst = [f"- worst: {self._run(line)}" for line in self.summary.bottom]
        self._section("Best and worst runs that were measured", best + worst, self.rooms.ranks)

    def failures(self) -> None:
        summary = self.summary
        entries = [self._failure(one) for one in summary.failures]
        if summary.violations:
            entries.insert(0, f"- constraint violated: {counted(summary.violations, 'run')}")
        total = summary.failure_count + bool(summary.violations)
        self._section("What failed, by kind", entries, self.rooms.failures, total)

    def _failure(self, one: Failure) -> str:
        said = f": {quoted(one.message, self.rooms.text)}" if one.message else ""
        return f"- {quoted(one.kind, WORD_MAX)}: {counted(one.runs, 'run')}, the last {one.last_run}{said}"

    def noise(self) -> None:
        noise = self.summary.noise
        if noise is None:
            return
        entries = [
            f"- {counted(noise.snapshots, 'snapshot')} run {noise.runs} times: standard deviation"
            f" {noise.deviation:.3g}, largest difference {noise.largest:.3g}"
        ]
        for one in self.summary.equal:
            pairs = zip(one.run_ids, one.values, strict=True)
            values = ", ".join(f"{run_id} {number(value)}" for run_id, value in pairs)
            left = one.runs - len(one.values)
            entries.append(f"- {values}" + (f", {left} more" if left else ""))
        heading = "Noise: the same code run again"
        self._section(heading, entries, self.rooms.noise, noise.snapshots + 1)

    def cost(self) -> None:
        summary = self.summary
        failed = f"; {time_of(summary.failed_s)} of it in runs that failed" if summary.failed_s else ""
        self.lines += [
            "",
            "## Cost",
            f"- {time_of(summary.wall_s)} of runs, {time_of(summary.gpu_s)} of GPU time{failed}",
        ]

    def chain(self) -> None:
        # The newest first: that is what is left where not all fit.
        entries = [self._link(link) for link in reversed(self.summary.chain)]
        heading = "Chain: why each experiment was begun, this one first"
        self._section(heading, entries, self.rooms.chain)

    def _link(self, link: Link) -> str:
        reached = ""
        if link.primary is not None:
            metric = quoted(link.primary.metric, WORD_MAX)
            reached = f", ended with {metric} {number(link.value)} at {link.run_id or NOTHING}"
        why = f": {quoted(link.rationale, 3 * self.rooms.text)}" if link.rationale else ""
        return f"- {link.expr}{reached}{why}"

    def _section(self, heading: str, entries: list[str], room: int, total: int | None = None) -> None:
        self.lines += section(heading, entries, room, len(entries) if total is None else total, self._left)

    def _left(self, count: int) -> str:
        """Return the line that stands for entries without room."""
        return f"- … {count} more{self.rooms.see}"

    def _gap(self, count: int) -> str:
        """Return the line that stands for advances without room."""
        return f"- … {counted(count, 'advance')} left out here{self.rooms.see}"

    def _run(self, line: RunLine) -> str:
        return f"{line.run_id} {number(line.value)}, {line.verdict}: {quoted(line.note, self.rooms.text)}"


def _verdicts(summary: Summary) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in summary.verdicts.items()) or "none judged"


def _stretch(one: Stretch) -> str:
    to = "" if one.first == one.last else f" to {one.last}"
    return f"{counted(one.runs, 'run')}, {one.first}{to}"


def _setting(one: Setting) -> str:
    text = "removed" if one.setting is None else quoted(one.setting, WORD_MAX)
    return f"{text} → {one.verdict if one.value is None else number(one.value)} ({one.run_id})"


def _difference(value: float | None, other: float | None) -> str:
    return "unknown" if value is None or other is None else f"{value - other:+.3g}"

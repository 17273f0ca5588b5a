"""The section of docs/noise.md about real training, from the records of its parts. Pure.

What was not measured yet is left out.
"""

from collections.abc import Iterable, Iterator, Sequence

from tests.noise.real.figures import (
    SURE,
    Came,
    Figure,
    came,
    flattery_of_no_ops,
    kept_luck,
    seed_share,
    spread,
)
from tests.noise.real.records import Kind, Night, Noise, Rule

RULES: dict[Rule, str] = {"plain": "plain", "noise": "noise-aware"}
NO_OPS: dict[Kind, str] = {
    "new luck": "draws numbers that nobody uses",
    "same luck": "adds a constant",
    "comment": "changes a comment",
}


def markdown(noises: Sequence[Noise], nights: Sequence[Night]) -> str:
    """Return the whole section."""
    blocks = [_spreads(noises), _edits(noises)]
    no_ops = [one for one in nights if one.kind in NO_OPS]
    if no_ops:
        blocks.append(_no_ops(no_ops, {one.example: one for one in noises}))
    scripted = [one for one in nights if one.kind == "scripted"]
    if scripted:
        blocks += [_scripted(scripted), _sums(scripted)]
    minutes = (sum(one.cpu_s for one in noises) + sum(one.cpu_s for one in nights)) / 60
    launches = sum(len(one.seeds) + len(one.same) - 1 for one in noises) + sum(one.launches for one in nights)
    blocks.append(f"{launches:,} launches by the daemon, {minutes:.0f} minutes of one core for all jobs.")
    return "\n\n".join(blocks)


def _spreads(noises: Iterable[Noise]) -> str:
    rows = (
        f"| {one.example} | {len(one.seeds)} | {_shown(spread(one.seeds))} | {len(one.same)}"
        f" | {_shown(spread(one.same))} | {_percent(seed_share(one.seeds, one.same))} |"
        for one in noises
    )
    return _table(
        "| example | seeds | sd over seeds | launches with one seed | their sd | share of the variance that"
        " is the seed's |",
        rows,
    )


def _edits(noises: Iterable[Noise]) -> str:
    rows = (
        f"| {one.example} | {note} | {_shown(kept.gain)} | {_shown(kept.correlation, 2)}"
        f" | {kept.sd_of_difference:.2g} | {kept.sd:.2g} |"
        for one in noises
        for note, kept in ((note, kept_luck(one.seeds, values)) for note, values in one.edited.items())
    )
    return _table(
        "| example | edit | gain | correlation with the parent, seed by seed | sd of the difference with one"
        " seed | sd of the edited version over seeds |",
        rows,
    )


def _no_ops(nights: Iterable[Night], noises: dict[str, Noise]) -> str:
    rows = []
    for one in nights:
        flattery = _shown(flattery_of_no_ops(one, noises[one.example]), 1, sign=True)
        refused = sum(tried.run is None for tried in one.tried)
        edits = f"{len(one.tried) - 1 - refused}" + (f" ({refused} refused)" if refused else "")
        rows.append(
            f"| {one.example}, {one.round} | {NO_OPS[one.kind]} | {RULES[one.rule]} | {edits}"
            f" | {one.launches} | {len(one.kept)} | {flattery} sd |"
        )
    return _table(
        "| example, round | each edit | rule | edits launched | launches | advances | its best shows |", rows
    )


def _scripted(nights: Iterable[Night]) -> str:
    rows = []
    for one in nights:
        found = came(one)
        rows.append(
            f"| {one.example}, {one.round} | {RULES[one.rule]} | {one.launches} | {_tried(found)}"
            f" | {_advances(found)} | {_shown(found.final)} | {_shown(found.gain)}"
            f" | {_shown(found.flattery, sign=True)} | {found.sd:.2g} |"
        )
    return _table(
        "| example, round | rule | launches | edits launched | advances | true value of its best"
        " | gain on the baseline | its best shows | sd of its best over seeds |",
        rows,
    )


def _sums(nights: Sequence[Night]) -> str:
    lines = []
    for rule, name in RULES.items():
        found = [came(one) for one in nights if one.rule == rule]
        if not found:
            continue
        advances, false = sum(one.advances for one in found), sum(one.false for one in found)
        unclear = sum(one.unclear for one in found)
        expected = sum(one.expected_false for one in found)
        line = (
            f"In all, the {name} rule kept {advances} edits: {false} false, {unclear} unclear, that is within"
            f" {SURE:g} standard errors of their parent."
        )
        lines.append(line + (f" It expected {expected:.1f} false ones." if rule == "noise" else ""))
    return " ".join(lines)


def _tried(found: Came) -> str:
    return f"{found.launched}" + (f" (and {found.unlaunched} not)" if found.unlaunched else "")


def _advances(found: Came) -> str:
    return f"{found.advances}, {found.false} false ({found.unclear} unclear)"


def _table(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *rows])


def _shown(one: Figure, digits: int | None = None, sign: bool = False) -> str:
    """Return `0.0155 ± 0.0020`: both to two digits of the error, if nothing else is said."""
    if digits is None:
        digits = next(_digits(one.error))
    return f"{one.value:{'+' if sign else ''}.{digits}f} ± {one.error:.{digits}f}"


def _digits(error: float) -> Iterator[int]:
    """Yield after how many decimals an error has two digits."""
    yield from (digits for digits in range(9) if error == 0 or error * 10**digits >= 9.5)
    yield 9


def _percent(one: Figure) -> str:
    return f"{100 * one.value:.0f} ± {100 * one.error:.0f}%"

"""The table of docs/noise.md: every policy in every world, from simulated nights, with standard errors."""

import math
import multiprocessing
import os
from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from tests.noise.nights import POLICIES, Night
from tests.noise.world import (
    CRASHING,
    HEAVY,
    KEPT,
    LEVELS,
    MIXED,
    NO_OPS,
    NOISIER,
    PUBLISHED,
    REDRAWN,
    SMALL,
    Kind,
    World,
)

CHEAP = 300  # nights of a policy that decides at once
NICENESS = 19  # whoever else uses the machine goes first
PLAIN, NEW, OURS = "keep if better, one seed", "keep if better, new seeds", "noise-aware"
ONE_SD = "better by one sd of the noise (told), one seed"
NO_OPS_WORLD = "edits do nothing"
FLATTERY_MOST = 0.4  # standard deviations of the noise between what is said of the best and the truth
NO_OPS_MOST = 1.1  # advances in a night of which no edit does anything
CHANCE = 2.0  # standard errors

WORLDS: dict[str, tuple[Kind, Sequence[str], Sequence[float]]] = {
    "base": (MIXED, tuple(POLICIES), LEVELS),
    NO_OPS_WORLD: (NO_OPS, (PLAIN, NEW, OURS), LEVELS[:1]),
    "edits redraw all luck": (REDRAWN, (PLAIN, OURS), LEVELS[2:3]),
    "edits keep nearly all luck": (KEPT, (PLAIN, OURS), LEVELS[2:3]),
    "effects as in published sessions": (PUBLISHED, (PLAIN, OURS), LEVELS[1::2]),
    "effects small, 30% help": (SMALL, (PLAIN, OURS), LEVELS[1::2]),
    "noise with heavy tails": (HEAVY, (PLAIN, OURS), LEVELS[1::2]),
    "8% of the edits crash": (CRASHING, (OURS,), LEVELS[1::2]),
    "15% of the edits halve or double the noise": (NOISIER, (PLAIN, OURS), LEVELS[1::2]),
}
# Worlds that show where the rule's limits are: a third of the nights, for a rough figure is enough.
# Where edits do nothing there are three times as many, for a night has about one advance.
ROUGH = tuple(WORLDS)[4:]
# The same by the simulator that the rule was designed with (numpy, other edits): final × 10^-3, false %.
DESIGNED_NIGHTS = 300
DESIGNED: dict[tuple[str, str], Sequence[tuple[float, float]]] = {
    ("base", PLAIN): ((-74.3, 10), (-66.6, 22), (-47.6, 31), (-23.0, 43)),
    ("base", NEW): ((-72.2, 15), (-58.0, 27), (-22.7, 36), (-2.6, 53)),
    ("base", ONE_SD): ((-72.4, 2), (-60.9, 6), (-33.2, 11), (-11.6, 26)),
    ("base", "three seeds each"): ((-24.8, 7), (-23.5, 18), (-20.5, 29), (-14.4, 39)),
    ("base", OURS): ((-68.5, 1), (-57.5, 4), (-37.4, 6), (-20.0, 9)),
    ("base", "noise-aware, 1.2 × the launches"): ((-84.0, 1), (-70.7, 4), (-45.5, 6), (-24.0, 8)),
    ("edits redraw all luck", PLAIN): ((-22.0, 37),),
    ("edits redraw all luck", OURS): ((-22.6, 9),),
    ("edits keep nearly all luck", PLAIN): ((-69.0, 26),),
    ("edits keep nearly all luck", OURS): ((-53.2, 1),),
    ("effects as in published sessions", PLAIN): ((-25.9, 24), (-1.0, 52)),
    ("effects as in published sessions", OURS): ((-19.9, 4), (-4.7, 19)),
    ("effects small, 30% help", PLAIN): ((-36.5, 17), (-0.1, 49)),
    ("effects small, 30% help", OURS): ((-23.6, 3), (-2.8, 14)),
    ("noise with heavy tails", PLAIN): ((-67.2, 20), (-23.2, 42)),
    ("noise with heavy tails", OURS): ((-58.7, 6), (-22.0, 10)),
    ("8% of the edits crash", OURS): ((-53.2, 4), (-18.3, 7)),
    ("15% of the edits halve or double the noise", PLAIN): ((19.2, 52), (110.9, 74)),
    ("15% of the edits halve or double the noise", OURS): ((-32.5, 27), (-9.8, 33)),
}


class Row(NamedTuple):
    """One policy in one world at one level of noise."""

    world: str
    policy: str
    noise: float


Nights = dict[Row, list[Night]]


class Figures(NamedTuple):
    """What the nights of one row come to; each mean with its standard error."""

    nights: int
    final: tuple[float, float]
    false: tuple[float, float]  # share of the advances
    kept: tuple[float, float]  # a night
    flattery: tuple[float, float]
    again: float  # launches a night
    expected_false: float  # share of the advances, as the policy says


def rows() -> list[Row]:
    """Every row of the table."""
    return [
        Row(world, policy, noise)
        for world, (_, policies, levels) in WORLDS.items()
        for policy in policies
        for noise in levels
    ]


def simulated(nights: int) -> Nights:
    """Simulate so many nights of every row, on every core, after whatever else the machine has to do."""
    found: Nights = {row: [] for row in rows()}
    chosen = {row: numbers(row, nights) for row in found}
    # Night by night, not row by row, so that the slow rows are done at the same time.
    tasks = [(row, n) for n in range(CHEAP) for row in found if n in chosen[row]]
    with multiprocessing.Pool(initializer=os.nice, initargs=(NICENESS,)) as pool:
        for row, night in pool.imap(night_of, tasks, chunksize=4):
            found[row].append(night)
    return found


def numbers(row: Row, nights: int) -> set[int]:
    """The nights of a row, spread over those of a cheap one: their luck is about even."""
    if is_cheap(row):
        return set(range(CHEAP))
    few = nights * 3 if row.world == NO_OPS_WORLD else max(2, nights // 3) if row.world in ROUGH else nights
    few = min(few, CHEAP)
    return {n * CHEAP // few for n in range(few)}


def is_cheap(row: Row) -> bool:
    """Does the policy decide without statistics?"""
    return not row.policy.startswith(OURS)


def night_of(task: tuple[Row, int]) -> tuple[Row, Night]:
    """Simulate one night."""
    row, number = task
    return row, POLICIES[row.policy](World(WORLDS[row.world][0], row.noise, number))


def figures(nights: Sequence[Night]) -> Figures:
    """Sum the nights of a row up."""
    kept = mean(night.kept for night in nights)
    share = mean(night.false for night in nights) / kept if kept else 0.0
    apart = [(night.false - share * night.kept) / (kept or 1) for night in nights]
    return Figures(
        nights=len(nights),
        final=_with_error([night.final for night in nights]),
        false=(share, _with_error(apart)[1]),
        kept=_with_error([night.kept for night in nights]),
        flattery=_with_error([night.flattery for night in nights]),
        again=mean(night.again for night in nights),
        expected_false=mean(night.expected_false for night in nights) / kept if kept else 0.0,
    )


def _with_error(values: Sequence[float]) -> tuple[float, float]:
    return mean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def distances(nights: Nights) -> dict[Row, float]:
    """How far each row's final lies from the design's, in standard errors of the two together."""
    return {
        row: _distance(figures(found), _designed(row) / 1e3)
        for row, found in nights.items()
        if (row.world, row.policy) in DESIGNED
    }


def _designed(row: Row) -> float:
    return DESIGNED[row.world, row.policy][WORLDS[row.world][2].index(row.noise)][0]


def _distance(one: Figures, designed: float) -> float:
    final, error = one.final
    return abs(final - designed) / (error * math.sqrt(1 + one.nights / DESIGNED_NIGHTS))


def broken(nights: Nights) -> list[str]:
    """What the noise-aware rule promises and these nights deny, by more than chance explains."""
    denied = []
    for row, found in nights.items():
        if row.world not in ("base", NO_OPS_WORLD) or row.policy != OURS:
            continue
        one = figures(found)
        (flattery, error), (kept, kept_error) = one.flattery, one.kept
        if abs(flattery) - CHANCE * error > FLATTERY_MOST:
            denied.append(f"{row.world}, noise {row.noise}: its best shows {flattery:+.2f} ± {error:.2f} sd")
        if row.world == NO_OPS_WORLD and kept - CHANCE * kept_error > NO_OPS_MOST:
            denied.append(f"{row.world}: {kept:.2f} ± {kept_error:.2f} advances a night")
    return denied


def markdown(nights: Nights) -> str:
    """The table as the page has it."""
    lines = []
    for world, (_, policies, levels) in WORLDS.items():
        lines += ["", f"**{world}**", "", f"| policy | nights | {' | '.join(f'noise {n}' for n in levels)} |"]
        lines += ["|---" * (2 + len(levels)) + "|"]
        for policy in policies:
            found = [figures(nights[Row(world, policy, noise)]) for noise in levels]
            lines.append(f"| {policy} | {found[0].nights} | {' | '.join(map(_cell, found))} |")
            if (world, policy) in DESIGNED:
                cells = (f"{final:+.1f}, {false:.0f}%" for final, false in DESIGNED[world, policy])
                lines.append(f"| *as designed* | | {' | '.join(f'*{cell}*' for cell in cells)} |")
    return "\n".join(lines[1:])


def _cell(one: Figures) -> str:
    """`-57.5 ± 2.1, 4 ± 1%`; where nothing is to be won, the advances a night."""
    if one.final == (0.0, 0.0):
        return f"{one.kept[0]:.2f} ± {one.kept[1]:.2f} advances"
    final, error = (1e3 * value for value in one.final)
    return f"{final:+.1f} ± {error:.1f}, {100 * one.false[0]:.0f} ± {100 * one.false[1]:.0f}%"


def honesty(nights: Nights) -> str:
    """What each policy says of itself, and what is true of it: for the world `base`."""
    lines = [
        "| noise | keep if better: its best shows | noise-aware: its best shows | false, as it expects"
        " | false, truly | launches that were reruns |",
        "|---|---|---|---|---|---|",
    ]
    for noise in LEVELS:
        plain, ours = (figures(nights[Row("base", policy, noise)]) for policy in (PLAIN, OURS))
        lines.append(
            f"| {noise} | {plain.flattery[0]:+.2f} ± {plain.flattery[1]:.2f} sd"
            f" | {ours.flattery[0]:+.2f} ± {ours.flattery[1]:.2f} sd | {100 * ours.expected_false:.0f}%"
            f" | {100 * ours.false[0]:.0f}% | {100 * ours.again / 150:.0f}% |"
        )
    return "\n".join(lines)

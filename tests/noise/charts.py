"""The two charts of docs/noise.md, as SVG without a library.

luck.svg: how many of a night's advances are luck, by the level of the noise, under the plain rule and the
noise-aware one. belief.svg: what is believed of two candidates of a night, launch by launch: one that is
better, one that was lucky.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ardaemon.core.interval import around
from ardaemon.judging.noise.types import Facts, NoiseConfig
from tests.noise.nights import NoiseNight
from tests.noise.table import OURS, PLAIN, Nights, Row, figures
from tests.noise.world import LAUNCHES, LEVELS, MIXED, World

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 44, 56
# Readable on a light page and on a dark one, and told apart by those who see no red.
INK, FAINT, BLUE, ORANGE = "#6e7681", "#8b949e55", "#2f81f7", "#d9730d"
FONT = "font-family='system-ui, sans-serif' font-size='12'"
# The candidates of the second chart: a night, and a run of it.
EXAMPLE_NOISE = 0.005
BETTER, LUCKY = (2, "r29"), (3, "r15")


def write(nights: Nights, folder: Path) -> None:
    """Write both charts."""
    folder.mkdir(exist_ok=True)
    (folder / "luck.svg").write_text(luck(nights), encoding="utf-8")
    (folder / "belief.svg").write_text(belief(), encoding="utf-8")


def luck(nights: Nights) -> str:
    """Bars: the share of the advances that are false, with its standard error."""
    most, band = 0.6, (WIDTH - LEFT - RIGHT) / len(LEVELS)
    parts = [_axis(tick / 10, most, f"{10 * tick}%") for tick in range(0, 7, 2)]
    for at, noise in enumerate(LEVELS):
        for side, policy, colour in ((0.15, PLAIN, ORANGE), (0.5, OURS, BLUE)):
            share, error = figures(nights[Row("base", policy, noise)]).false
            x, wide = LEFT + band * (at + side), band * 0.33
            top, middle = _height(share, most), x + wide / 2
            parts.append(_box(x, top, wide, HEIGHT - BOTTOM - top, colour))
            parts.append(
                _line(middle, _height(share - error, most), middle, _height(share + error, most), INK)
            )
            parts.append(_text(middle, _height(share + error, most) - 5, f"{100 * share:.0f}%"))
        parts.append(_text(LEFT + band * (at + 0.5), HEIGHT - BOTTOM + 16, f"noise {noise}"))
    parts += _legend((("keep if better, one seed", ORANGE), ("noise-aware", BLUE)))
    parts.append(
        _text(
            WIDTH / 2,
            HEIGHT - 12,
            "the noise: standard deviation of one launch over seeds; an edit that helps brings 0.005",
        )
    )
    return _svg("Share of a night's advances that do not help", parts)


def belief() -> str:
    """Two panels: what is believed of a candidate after each launch, and what is true."""
    examples = [
        ("better than the best: kept", example(*BETTER)),
        ("lucky at first: reverted", example(*LUCKY)),
    ]
    most = max(abs(edge) for _, one in examples for facts in one.steps for edge in _interval(facts))
    scale = f"the true gain at the left is {examples[0][1].gain:.4f}, the noise {EXAMPLE_NOISE}"
    wide = (WIDTH - LEFT - RIGHT) / 2
    parts = [
        part for at, one in enumerate(examples) for part in _panel(LEFT + at * wide, wide - 16, most, *one)
    ]
    parts += _legend((("gain as believed, 90% interval", BLUE), ("true gain", ORANGE)))
    parts.append(
        _text(
            WIDTH / 2,
            HEIGHT - 12,
            f"launches of the candidate, and P; {scale}",
        )
    )
    return _svg("What is believed of two candidates, launch by launch", parts)


class Example(NamedTuple):
    """A candidate: how much it really gains, and what was known of it after each launch."""

    gain: float
    steps: list[Facts]
    kept: bool


def example(number: int, name: str) -> Example:
    """Find a candidate in the simulated night of this number."""
    night = NoiseNight(World(MIXED, EXAMPLE_NOISE, number), NoiseConfig())
    while True:
        parent = night.versions[night.best]
        steps = night.next_edit(LAUNCHES)
        if night.runs[-1].run == name:
            kept = night.best == name
            return Example(parent.truth - night.versions[name].truth, steps, kept)


def _interval(facts: Facts) -> tuple[float, float]:
    return around(facts.gain, facts.gain_sd)


def _panel(x: float, wide: float, most: float, title: str, one: Example) -> list[str]:
    """Draw one candidate: a dot with its interval for each step, the true gain as a line across."""
    middle, scale = (TOP + HEIGHT - BOTTOM + 16) / 2, (HEIGHT - TOP - BOTTOM - 32) / 2 / most
    true = middle - one.gain * scale
    parts = [_text(x + wide / 2, TOP + 8, title), _line(x, middle, x + wide, middle, FAINT)]
    parts += [_text(x + 2, middle - 4, "0", "start"), _line(x, true, x + wide, true, ORANGE, 2)]
    for at, facts in enumerate(one.steps):
        across = x + wide * (at + 0.5) / len(one.steps)
        low, high = (middle - edge * scale for edge in _interval(facts))
        parts.append(_line(across, low, across, high, BLUE, 3))
        parts.append(
            f"<circle cx='{across:.1f}' cy='{middle - facts.gain * scale:.1f}' r='5' fill='{BLUE}'/>"
        )
        parts.append(_text(across, HEIGHT - BOTTOM + 20, f"{facts.attempts}: P={facts.p_better:.2f}"))
    return parts


def _height(share: float, most: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * max(share, 0.0) / most


def _axis(share: float, most: float, label: str) -> str:
    at = _height(share, most)
    return _line(LEFT, at, WIDTH - RIGHT, at, FAINT) + _text(LEFT - 6, at + 4, label, "end")


def _legend(entries: Sequence[tuple[str, str]]) -> list[str]:
    parts = []
    for at, (label, colour) in enumerate(entries):
        x = LEFT + at * 240
        parts += [_box(x, TOP - 22, 12, 12, colour), _text(x + 18, TOP - 12, label, "start")]
    return parts


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{INK}' {FONT}>{text}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, wide: int = 1) -> str:
    ends = f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"
    return f"<line {ends} stroke='{colour}' stroke-width='{wide}'/>"


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{wide:.1f}' height='{high:.1f}' fill='{colour}'/>"


def _svg(title: str, parts: Sequence[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>"
    name = f"<text x='{LEFT}' y='14' fill='{INK}' {FONT} font-weight='bold'>{title}</text>"
    return "\n".join([head, f"<title>{title}</title>", name, *parts, "</svg>\n"])

"""Figures to a table, with the machine they were measured on."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One row: a measured number, or why there is none; and what it should be at most."""

    name: str
    value: float | None
    unit: str = "ms"
    target: float | None = None
    note: str = ""
    at_least: bool = False  # the target is what it must reach, not what it may be

    @property
    def met(self) -> bool:
        if self.target is None or self.value is None:
            return self.target is None
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Section:
    """A group of rows with how they were measured."""

    title: str
    how: str
    figures: tuple[Figure, ...]


def number(value: float) -> str:
    """Three significant digits, as a person writes them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(figure: Figure) -> str:
    value = figure.note if figure.value is None else f"{number(figure.value)} {figure.unit}".strip()
    sign = "≥" if figure.at_least else "≤"
    target = "" if figure.target is None else f"{sign} {figure.target:g} {figure.unit}".strip()
    verdict = "" if figure.target is None else ("ok" if figure.met else "MISSED")
    return f"| {figure.name} | {value} | {target} | {verdict} |"


def markdown(sections: list[Section], seconds: float, folder: Path, load: float) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; medians of interleaved rounds, so a ratio compares what ran side by side.",
        f"{machine(folder)} Took {seconds:.0f} s; load average before it: {load:.1f}.",
    ]
    for section in sections:
        lines += [
            "",
            f"## {section.title}",
            section.how,
            "",
            "| what | measured | target | |",
            "|---|---|---|---|",
        ]
        lines += [row(figure) for figure in section.figures]
    return "\n".join(lines) + "\n"


def machine(folder: Path) -> str:
    """Processor, cores, kernel, filesystem, Python, date, in one line."""
    return (
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()},"
        f" files on {filesystem(folder)}, Python {platform.python_version()},"
        f" {datetime.now(UTC):%Y-%m-%d}."
    )


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def filesystem(folder: Path) -> str:
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def ratio(
    name: str, above: Figure, below: Figure, target: float | None = None, at_least: bool = False
) -> Figure:
    """How many times `above` is `below`."""
    if not above.value or not below.value:
        return Figure(name, None, "times", target, "not measured", at_least)
    return Figure(name, above.value / below.value, "times", target, at_least=at_least)

"""`make noise-real`: measure the verdicts on real training, and write what came to docs/noise.md.

Each part is kept in .noise-real/ as JSON. What is there is not measured again: an interrupted run goes on.
Remove the folder to measure all of it anew.
"""

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.noise.real import nights, page, plan, records
from tests.noise.real.plan import Part
from tests.noise.real.records import Night, Noise
from tests.noise.real.site import ROOT, Example, end_as_interrupted
from tests.support.page import DOCS, Page

PAGE = Page(DOCS / "noise.md", "<!-- real: written by make noise-real -->", "<!-- end of real -->")
FOLDER = ROOT / ".noise-real"
NICENESS = 5  # others go first, and yet it ends: at 19 a busy machine starves it


def main() -> int:
    """Measure what is not there yet; write the page."""
    parser = argparse.ArgumentParser(prog="make noise-real")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has torch")
    parser.add_argument("--rounds", type=int, default=plan.ROUNDS)
    parser.add_argument("--example", choices=plan.METRICS, help="measure this one alone")
    parser.add_argument("--write", action="store_true", help="only write the page, from what is there")
    chosen = parser.parse_args()
    if chosen.write:
        print(write())
        return 0
    end_as_interrupted()
    os.nice(NICENESS)
    names = [chosen.example] if chosen.example else list(plan.METRICS)
    missing = [part for name in names for part in plan.parts(name, chosen.rounds) if not _path(part).exists()]
    minutes = sum(part.minutes for part in missing)
    print(
        f"{len(missing)} parts to measure, {minutes:.0f} minutes or so; each is kept in {FOLDER}", flush=True
    )
    for part in missing:
        began = time.monotonic()
        records.save(_path(part), measured(part, chosen.python))
        print(f"{part.file}: {time.monotonic() - began:.0f} s", flush=True)
    print(write())
    return 0


def _path(part: Part) -> Path:
    return FOLDER / part.file


def measured(part: Part, python: str) -> Noise | Night:
    """Measure a part."""
    text = (ROOT / "examples" / part.example / "train.py").read_text(encoding="utf-8")
    text = plan.shorter(part.example, text)
    interpreter = sys.executable if part.example == "digits" else python
    example = Example(part.example, plan.METRICS[part.example], interpreter, text)
    if part.kind is None:
        return nights.noise(example)
    launches = None
    if (part.kind, part.rule) == ("scripted", "noise"):  # as many as the plain rule had
        launches = records.load(_path(part._replace(rule="plain")), Night).launches
    return nights.night(example, part.kind, part.round, part.rule, launches)


def write() -> str:
    """Write what was measured so far to the page."""
    found = [part for name in plan.METRICS for part in plan.parts(name) if _path(part).exists()]
    noises = [records.load(_path(part), Noise) for part in found if part.kind is None]
    played = [records.load(_path(part), Night) for part in found if part.kind is not None]
    when = f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}."
    text = f"{page.markdown(noises, played)} {when}"
    PAGE.write(text)
    return text


if __name__ == "__main__":
    sys.exit(main())

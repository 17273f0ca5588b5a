"""Pages of `arctl report --html`, made of runs that nobody ran."""

import json
import re
from collections.abc import Iterable
from typing import Any

from ardaemon.core.facts import Change, RunFacts
from ardaemon.core.model import Primary
from ardaemon.report.page.audit import PageAudit
from ardaemon.report.page.build import Chapter, page
from ardaemon.report.page.link import Gathering
from ardaemon.report.page.pieces import finished
from ardaemon.report.page.points import POINTS_MAX
from ardaemon.report.tally import Frame
from tests.support.histories import run

SLUG = "261122-test"
PRIMARY = Primary(metric="val/loss", direction="min")


def chapter(
    runs: Iterable[RunFacts],
    frame: Frame | None = None,
    most: int = POINTS_MAX,
    pending: int = 0,
    audit: PageAudit | None = None,
) -> Chapter:
    """An experiment of those runs."""
    gathering = Gathering(frame or Frame(expr=SLUG, primary=PRIMARY, goal="a lower loss"), most, audit)
    for each in runs:
        gathering.add(each)
    return Chapter(gathering, pending)


def built(chapters: list[Chapter], asked: int = 0) -> bytes:
    """The page of those experiments."""
    return finished(page(chapters, asked)).encode()


def page_of(runs: Iterable[RunFacts], frame: Frame | None = None) -> bytes:
    """The page of one experiment."""
    return built([chapter(runs, frame)])


def data_of(html: bytes) -> Any:
    """The data that stands in a page."""
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


# Runs of every kind; what each is known by is its note.
RUNS = (
    run(1, verdict="advance", value=1.0, note="baseline", seconds=300.0, peak_vram_mb=40960.0),
    run(
        2,
        value=1.2,
        best_before=1.0,
        best_run_before="r0001",
        base="r0001",
        note="lr 3e-4 -> 1e-2",
        diff="@@ -3 +3 @@\n-lr = 3e-4\n+lr = 1e-2\n",
    ),
    run(
        3,
        best_before=1.0,
        best_run_before="r0001",
        status="crash",
        verdict="crash",
        valid=False,
        reason="oom CUDA out of memory",
        note="batch 512",
    ),
    run(
        4,
        verdict="advance",
        value=0.75,
        best_before=1.0,
        best_run_before="r0001",
        base="r0001",
        note="warmup 100 -> 500",
        diff="@@ -7,2 +7,2 @@\n warm = True\n-warmup = 100\n+warmup = 500\n",
        changes=(Change("warmup", "100", "500"),),
    ),
    run(
        5,
        best_before=0.75,
        best_run_before="r0004",
        status="timeout",
        verdict="timeout",
        valid=False,
        reason="limit",
        note="depth 48",
    ),
    run(
        6, value=0.7504, best_before=0.75, best_run_before="r0004", measure=True, normal="same", base="r0004"
    ),
    run(
        7, value=0.7498, best_before=0.75, best_run_before="r0004", measure=True, normal="same", base="r0004"
    ),
    run(
        8,
        value=0.9,
        best_before=0.75,
        best_run_before="r0004",
        note="dropout 0.0 -> 0.2",
        base="r0004",
        peak_vram_mb=20480.0,
    ),
)

"""`make bench`: measure everything, print the table, write docs/benchmarks.md.

Exit code 1 if a target was missed.
"""

import os
import sys
import time
from pathlib import Path

from tests.bench import history, measure, overlap, pages, report, reports
from tests.bench.world import BenchError, World

TABLE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def long_histories(world: World) -> None:
    """Experiments with 10 to 100,000 runs; the daemon is stopped while they are written."""
    for size in measure.SIZES:
        world.create(f"h{size}")
        world.arctl(f"h{size}", "run", "--wait")
    world.arctl(f"h{measure.SIZES[0]}", "daemon", "stop")
    for size in measure.SIZES:
        history.extend(world.experiments[f"h{size}"], size)


def sections(world: World) -> list[report.Section]:
    measure.progress("one run, beside other ways")
    found = [measure.one_run(world)]
    measure.progress("the queue")
    found.append(measure.queue(world))
    measure.progress("writing histories of up to 100,000 runs")
    long_histories(world)
    measure.progress("status")
    found.append(measure.status(world))
    measure.progress("what an agent reads")
    found.append(measure.reading(world))
    measure.progress("report and history")
    found.append(reports.reports(world))
    measure.progress("the page")
    found.append(pages.pages(world))
    measure.progress("memory and CPU")
    found.append(measure.resources(world))
    measure.progress(f"an agent that thinks while a GPU works ({overlap.SECONDS_ABOUT} s)")
    found.append(overlap.thinking(world))  # last: it stops the daemon, which then sees other GPUs
    return found


def main() -> int:
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        with World() as world:
            found = sections(world)
            table = report.markdown(found, time.monotonic() - began, world.folder, load)
            measure.progress("removing its files")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    TABLE.write_text(table, encoding="utf-8")
    print(table, end="")
    missed = [figure.name for section in found for figure in section.figures if not figure.met]
    for name in missed:
        print(f"bench: missed: {name}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

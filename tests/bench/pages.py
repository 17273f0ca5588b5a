"""What the page of a long history costs: its bytes, its time, and what others wait for meanwhile."""

from tests.bench.measure import READ_SIZES, interleave
from tests.bench.report import Figure, Section
from tests.bench.reports import OTHERS_MS, slowest
from tests.bench.world import SLUG, Rpc, World

ROUNDS = 5  # of calls of about a second each
PAGE_MS = 2_000.0  # that a person waits for the page of 10,000 runs, the command's start included
PAGE_KB = 600.0
COMMAND = ("report", "--html", "-o", "page.html")


def pages(world: World) -> Section:
    """Bytes and time of the page at each size, and the slowest answer to another question meanwhile."""
    world.arctl(f"h{READ_SIZES[0]}", "status")  # starts the daemon if it is not there
    medians = interleave(
        ROUNDS,
        {
            str(size): lambda _, size=size: world.arctl(f"h{size}", *COMMAND).ms  # type: ignore[misc]
            for size in READ_SIZES
        },
    )
    times = [
        Figure(f"`arctl report --html` after {size:,} runs", medians[str(size)], target=PAGE_MS)
        for size in READ_SIZES
    ]
    sizes = [
        Figure(f"the page after {size:,} runs", _bytes(world, size) / 1000, "KB", PAGE_KB)
        for size in READ_SIZES
    ]
    meanwhile = Figure(
        "the slowest of many daemon.info while pages of 10,000 runs are made",
        _others(world),
        target=OTHERS_MS,
    )
    how = f"Medians of {ROUNDS} commands of each, taken in turns, on the histories of the report."
    return Section("The page", how, (*times, *sizes, meanwhile))


def _bytes(world: World, size: int) -> float:
    return float((world.project(f"h{size}") / COMMAND[-1]).stat().st_size)


def _others(world: World) -> float:
    rpc = Rpc(str(world.daemon()["socket"]))

    def make() -> None:
        for _ in range(ROUNDS):
            rpc.call("report.page", project=str(world.project(f"h{READ_SIZES[-1]}")), expr=SLUG)

    longest = slowest(world, make)
    rpc.close()
    return longest

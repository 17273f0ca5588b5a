"""What a report and a question to the history cost, and what they cost everybody else meanwhile."""

import threading
import time
from collections.abc import Callable

from tests.bench.measure import READ_SIZES, interleave
from tests.bench.report import Figure, Section, ratio
from tests.bench.world import SLUG, Rpc, World

ROUNDS = 9  # of calls of up to a second each
SECONDS_MAX_MS = 1_000.0  # of a report of 10,000 runs
REPORT_BYTES, HISTORY_BYTES = 8 << 10, 4 << 10
OTHERS_MS = 50.0  # that an answer to somebody else may take while a report is made
PAUSE_S = 0.002  # between two such questions
ALONE_S = 3.0  # without a report, for comparison
COMMANDS = {
    "report": ("report",),
    "history": ("history",),
    "grep": ("history", "--grep", "warmup"),
    "param": ("history", "--param", "lr"),
}


def reports(world: World) -> Section:
    """Bytes of each answer, and the time of the call at each size."""
    world.arctl(f"h{READ_SIZES[0]}", "status")  # starts the daemon if it is not there
    figures, rpc = [], Rpc(str(world.daemon()["socket"]))
    for name, command in COMMANDS.items():
        most = REPORT_BYTES if name == "report" else HISTORY_BYTES
        sizes = [float(len(world.arctl(f"h{size}", *command).output)) for size in READ_SIZES]
        figures += [
            Figure(f"`arctl {' '.join(command)}` after {size:,} runs", count, "bytes", most)
            for size, count in zip(READ_SIZES, sizes, strict=True)
        ]
    figures += _times(world, rpc)
    figures += _others(world, rpc)
    rpc.close()
    how = f"Medians of {ROUNDS} calls of each, taken in turns. Histories as facts.jsonl has them."
    return Section("Report and history", how, tuple(figures))


def _times(world: World, rpc: Rpc) -> list[Figure]:
    def call(size: int, method: str, **params: object) -> float:
        project = str(world.project(f"h{size}"))
        return rpc.call(method, project=project, expr=SLUG, **params)

    medians = interleave(
        ROUNDS,
        {
            **{f"{size}": lambda _, size=size: call(size, "report.get") for size in READ_SIZES},  # type: ignore[misc]
            "grep": lambda _: call(READ_SIZES[-1], "history.get", grep="warmup"),
        },
    )
    rows = [
        Figure(f"report.get after {size:,} runs", medians[str(size)], target=SECONDS_MAX_MS)
        for size in READ_SIZES
    ]
    grep = Figure("history.get with grep after 10,000 runs", medians["grep"], target=SECONDS_MAX_MS)
    return [*rows, grep, ratio("report.get: 10,000 runs / 1,000 runs", rows[-1], rows[-2])]


def _others(world: World, rpc: Rpc) -> list[Figure]:
    """The slowest answer to a question about the daemon itself while reports are made, and while none is."""

    def report() -> None:
        for _ in range(ROUNDS):
            rpc.call("report.get", project=str(world.project(f"h{READ_SIZES[-1]}")), expr=SLUG)

    busy = slowest(world, report)
    idle = slowest(world, lambda: time.sleep(ALONE_S))
    return [
        Figure(
            "the slowest of many daemon.info while reports of 10,000 runs are made", busy, target=OTHERS_MS
        ),
        Figure("… while none is made", idle),
    ]


def slowest(world: World, meanwhile: Callable[[], None]) -> float:
    thread = threading.Thread(target=meanwhile)
    other, slowest = Rpc(str(world.daemon()["socket"])), 0.0
    thread.start()
    while thread.is_alive():
        slowest = max(slowest, other.call("daemon.info"))
        time.sleep(PAUSE_S)
    thread.join()
    other.close()
    return slowest

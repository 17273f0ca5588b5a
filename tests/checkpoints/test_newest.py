"""Which checkpoint is the latest: by its number where the names differ by nothing else, else by its time."""

from pathlib import Path

from ardaemon.checkpoints.newest import latest_first
from tests.support.every import every


@every(
    "newer_first, latest",
    [
        (["checkpoint-200", "checkpoint-1000"], "checkpoint-1000"),
        (["out/step_9.pt", "out/step_10.pt"], "out/step_10.pt"),
        (["runs/r0012/ckpt-007", "runs/r0012/ckpt-0010"], "runs/r0012/ckpt-0010"),
        (["out/2/best.pt", "out/11/best.pt"], "out/11/best.pt"),
        # Two numbers differ, or something else does, or the number is a measure: the time decides.
        (["epoch=3-step=300.ckpt", "epoch=2-step=900.ckpt"], "epoch=3-step=300.ckpt"),
        (["last.pt", "checkpoint-1000.pt"], "last.pt"),
        (["loss=0.25.ckpt", "loss=0.31.ckpt"], "loss=0.25.ckpt"),
        (["checkpoint-5", "checkpoint-best", "checkpoint-9"], "checkpoint-5"),
        (["outputs/2026-11-22/10-00-01/best.pt", "outputs/2026-11-21/23-59-59/best.pt"], None),
        (["one.pt"], "one.pt"),
    ],
)
def test_the_latest_is_told_by_the_number_alone_or_by_the_time(
    newer_first: list[str], latest: str | None
) -> None:
    written = [(float(len(newer_first) - at), Path(name)) for at, name in enumerate(newer_first)]
    for order in (written, written[::-1]):
        assert str(latest_first(order)[0]) == (latest or newer_first[0])


def test_of_equal_numbers_the_later_written_is_the_latest() -> None:
    assert latest_first([(2.0, Path("step-01")), (1.0, Path("step-1"))])[0] == Path("step-01")


def test_nothing_has_no_latest() -> None:
    assert latest_first([]) == []

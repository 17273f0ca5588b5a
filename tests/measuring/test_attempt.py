"""One attempt, measured: a real process, its files, and the next daemon."""

import json
import os
from pathlib import Path

import pytest

from ardaemon.core.errors import CorruptState, StorageError
from ardaemon.core.gpus import GpuReading
from ardaemon.core.layout import Attempt
from ardaemon.core.measured import GivenCard, Header, Holder, Measured
from ardaemon.core.model import Process
from ardaemon.host import state
from ardaemon.measuring import samples
from ardaemon.measuring.attempt import Job, Measuring, Scene, recall
from tests.support import pace
from tests.support.trees import tree

ZERO = Header(cards=(GivenCard(uuid="GPU-0", index=0, name="A100", baseline_mb=0.0),))


def take(measuring: Measuring, seen: Scene) -> None:
    """Take a sample, and write when it is time, as the sampler does."""
    measuring.take(seen)
    if measuring.due:
        measuring.write()


def job(folder: Path, header: Header = ZERO, **facts: object) -> Job:
    folder.mkdir(exist_ok=True)
    return Job(attempt=Attempt(folder), started=100.0, header=header, **facts)  # type: ignore[arg-type]


def scene(asked: Job, at: float, used: float) -> Scene:
    holders = {"GPU-0": (Holder(pid=1, used_mb=used, owner=asked.key),)}
    return Scene(at=at, gpus=(GpuReading(uuid="GPU-0", index=0),), holders=holders)


def test_what_was_measured_is_on_disk_when_it_is_over(tmp_path: Path) -> None:
    with tree("kept = hold(100)\nready()") as (root, _):
        asked = job(tmp_path / "a1", roots=(root,))
        measuring = Measuring(asked)
        for n in range(3):
            take(measuring, scene(asked, 100.0 + n, 1000.0 * n))
    found = measuring.finish()
    assert (found.peak_vram_mb, found.source, found.samples) == (2000, "process", 3)
    assert found.peak_rss_mb == pytest.approx(100, abs=40)
    assert state.read(asked.attempt.measured, Measured) == found
    assert recall(asked.attempt) == found
    assert json.loads(asked.attempt.measured.read_bytes())["schema"] == 1
    assert measuring.finish() == found, "a disk that refused is asked again"


def test_a_peak_is_on_disk_at_once_and_the_next_daemon_goes_on_from_it(tmp_path: Path) -> None:
    asked = job(tmp_path / "a1")
    first = Measuring(asked)
    for n, used in enumerate([10.0, 5000.0, 20.0, 20.0]):
        take(first, scene(asked, 100.0 + n, used))
    # Here the first daemon is killed: it writes no more.
    assert [s.vram_mb for s in samples.read(asked.attempt.samples)[1]] == [10, 5000]
    second = Measuring(job(tmp_path / "a1", Header()))  # it does not know what was before the launch
    take(second, scene(asked, 160.0, 30.0))
    found = second.finish()
    assert (found.peak_vram_mb, found.samples, found.gap_s) == (5000, 3, 59.0)
    assert found.cards[0].name == "A100"


def test_what_ended_while_no_daemon_lived_is_told_by_its_samples(tmp_path: Path) -> None:
    asked = job(tmp_path / "a1")
    take(Measuring(asked), scene(asked, 101.0, 700.0))
    found = recall(asked.attempt, job(tmp_path / "a1", Header(), max_vram_mb=600.0))
    assert (found.peak_vram_mb, found.source) == (700, "process")
    assert found.limit == "vram_limit 700 MiB > 600 MiB"


def test_of_an_attempt_that_was_never_looked_at_nothing_is_known(tmp_path: Path) -> None:
    assert recall(Attempt(tmp_path)) == Measured()


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.measured.write_text("{")
    with pytest.raises(CorruptState, match=r"measured\.json"):
        recall(attempt)


def test_a_folder_that_is_away_is_told_by_the_record_and_not_before(tmp_path: Path) -> None:
    asked = job(tmp_path / "a1")
    measuring = Measuring(asked)
    (tmp_path / "a1" / "samples.jsonl").unlink()
    (tmp_path / "a1").rmdir()
    take(measuring, scene(asked, 101.0, 700.0))
    with pytest.raises(StorageError):
        measuring.finish()
    (tmp_path / "a1").mkdir()
    assert measuring.finish().peak_vram_mb == 700


def test_eight_cards_and_a_tree_of_60_cost_less_than_half_a_percent_of_a_core(tmp_path: Path) -> None:
    """With four processes on each card, NVML's own time left out."""
    from ardaemon.core.gpus import GpuProcess
    from ardaemon.measuring.attribution import Attribution

    environment = {**os.environ, "AR_RUN_DIR": str(tmp_path), "AR_ATTEMPT": "1"}
    with tree("kept = hold(50)\nfor _ in range(60): child(rest)\nready()", environment) as (root, _):
        cards = tuple(GivenCard(uuid=f"GPU-{n}", index=n, baseline_mb=0.0) for n in range(8))
        asked = job(tmp_path / "a1", Header(cards=cards), roots=(Process(root.pid, root.start),))
        measuring, attribution = Measuring(asked), Attribution()
        pids = sorted(measuring.tree._search())[:32]
        gpus = tuple(
            GpuReading(
                uuid=f"GPU-{n}",
                index=n,
                used_mb=5000.0,
                processes=tuple(GpuProcess(pid=pid, used_mb=1000.0) for pid in pids[4 * n : 4 * n + 4]),
            )
            for n in range(8)
        )

        def tick(at: float) -> None:
            holders = attribution.holders(gpus, [measuring.suspect])
            take(measuring, Scene(at=at, gpus=gpus, holders=holders, thorough=int(at) % 5 == 0))

        tick(100.0)

        def ticks() -> None:
            for n in range(1, seconds):
                tick(100.0 + n)

        seconds = 100
        spent = pace.spent(ticks) / pace.slower() / seconds
        print(f"one tick: {spent * 1000:.2f} ms")
        assert measuring.finish().peak_vram_mb == 32_000
        assert spent <= 0.005

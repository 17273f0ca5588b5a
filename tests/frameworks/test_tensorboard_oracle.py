"""Our reader of event files, held against TensorBoard's own on files by real writers and on random ones."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.tensorboard import TensorboardBackend
from tests.metrics.event_files import append, event, restart, scalar, simple, summary, write

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).with_name("scripts") / "event_files.py"
RANDOM = 150  # folders of random events
Point = tuple[int, float, float]
Tags = dict[str, list[Point]]


def asked(python: str, *argv: str) -> str:
    return subprocess.run([python, str(SCRIPT), *argv], stdout=subprocess.PIPE, text=True, check=True).stdout


def theirs(python: str, folder: Path) -> dict[str, Tags]:
    """What TensorBoard reads, by folder and tag."""
    read: dict[str, dict[str, list[list[float]]]] = json.loads(asked(python, "read", str(folder)))
    return {
        name: {tag: [(int(s), w, v) for s, w, v in points] for tag, points in tags.items()}
        for name, tags in read.items()
    }


def ours(folder: Path, tag: str) -> Readings:
    """What the backend reads of one folder, which is the run's own."""
    evidence = AttemptOutput(
        log=folder / "run.log", run_folder=folder, attempt_folder=folder / "a1", project=folder
    )
    # The folder's own files alone: what TensorBoard calls a run.
    query = Query(Primary(metric=tag, direction="min"), path="{run_dir}/*tfevents*")
    return TensorboardBackend().read(evidence, query)


def points(readings: Readings) -> list[Point]:
    return [(point.step or 0, point.wall or 0.0, point.value) for point in readings.curve]


@pytest.fixture(scope="module")
def real(frameworks: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What torch, tensorboardX and TensorBoard's own writer leave."""
    folder = tmp_path_factory.mktemp("real")
    asked(frameworks, "write", str(folder))
    return folder


def test_real_writers_files_are_read_as_tensorboard_reads_them(frameworks: str, real: Path) -> None:
    oracle = theirs(frameworks, real)
    assert {"torch", "torch/pair_train", "torch/pair_val", "tensorboardX", "tensors"} <= set(oracle)
    assert len(oracle) == 6  # and the one that add_hparams makes, named after the time
    for name, tags in oracle.items():
        assert tags, name
        for tag, expected in tags.items():
            found = ours(real / name, tag)
            if tag in ("new", "double"):
                # At a restart EventAccumulator makes void one of the encodings alone: ours both.
                expected = [point for point in expected if point[0] < 200]
            finite = [point for point in expected if abs(point[2]) != float("inf")]
            assert points(found) == finite, (name, tag)
            assert (found.problem is None) == (finite == expected)
        assert set(ours(real / name, "none").metrics) == {tag for tag in tags if tag != "odd"}


def test_the_names_that_real_writers_need(real: Path) -> None:
    def value(name: str) -> float | None:
        folder = real / "torch"
        evidence = AttemptOutput(
            log=folder / "run.log", run_folder=folder, attempt_folder=folder / "a1", project=folder
        )
        return TensorboardBackend().read(evidence, Query(Primary(metric=name, direction="min"))).value

    assert (value("pair_train/pair"), value("pair_val/pair"), value("pair")) == (299, -299, None)
    assert (value("hparam/accuracy"), value("val/loss")) == (0.75, -249)


def test_random_files_are_read_as_tensorboard_reads_them(frameworks: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(RANDOM):
        for index in range(chance.randint(1, 3)):
            path = write(tmp_path / f"f{number}" / f"events.out.tfevents.{index}.host")
            for _ in range(chance.randint(0, 12)):
                append(path, random_event(chance))
    oracle = theirs(frameworks, tmp_path)
    compared = 0
    for name, tags in oracle.items():
        for tag in ("a", "b/c"):
            assert points(ours(tmp_path / name, tag)) == tags.get(tag, []), (name, tag)
            compared += len(tags.get(tag, []))
    assert compared > RANDOM


def random_event(chance: random.Random) -> bytes:
    step, value = chance.choice([0, 1, 2, 3, 127, 128, 1 << 33, -1]), float(chance.randint(0, 99))
    match chance.randint(0, 9):
        case 0:
            return restart(chance.choice([0, 1, 2, 3, 128]))
        case 1:
            return event(summary(simple("a", value), simple("b/c", value + 0.5)), step=step)
        case _:
            return scalar(chance.choice(["a", "b/c"]), value, step, 1.7e9 + value)


def test_where_tensorboard_is_silently_short_ours_says_so(frameworks: str, tmp_path: Path) -> None:
    path = write(tmp_path / "events.out.tfevents.1.host", *(scalar("a", 1.0, step) for step in range(100)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert 40 < len(theirs(frameworks, tmp_path)["."]["a"]) < 60
    found = ours(tmp_path, "a")
    assert (found.value, "damaged" in (found.problem or "")) == (None, True)

    write(path, *(scalar("a", 1.0, step) for step in range(100)))
    os.truncate(path, path.stat().st_size - 10)
    assert len(theirs(frameworks, tmp_path)["."]["a"]) == 99
    found = ours(tmp_path, "a")
    assert (found.value, "ends within a record" in (found.problem or "")) == (1.0, True)

"""A reading that was ended goes on at its bookmark, with the answer of one in one go; of that file alone."""

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ardaemon.core.model import Count, Primary
from ardaemon.host import durable
from ardaemon.metrics import bookmark
from ardaemon.metrics.base import AttemptOutput, Bookmarks, MetricBackend, Query, Readings
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.csv_rows import CSV
from ardaemon.metrics.formats import growing, leveldb_log, tfrecord
from ardaemon.metrics.formats.log_reader import ReadLimits
from ardaemon.metrics.json_lines import JSONL
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.tensorboard import TensorboardBackend
from ardaemon.metrics.wandb import WandbBackend
from tests.metrics import event_files
from tests.support import wandb_writer
from tests.support.attempt import evidence

LOG = LogBackend(ReadLimits(tail=64, block=128, line=96, context=64))
NEVER = 1 << 40  # bytes, before which no bookmark is written
LOSS = Query(Primary("loss"))
ENDINGS_MAX = 300  # of one reading: more say that it never comes further


class Killed(BaseException):
    """The daemon is gone."""


class Place:
    """A run's folder, and a daemon that is killed right after each new bookmark that it writes."""

    def __init__(self, folder: Path, backend: MetricBackend, query: Query = LOSS) -> None:
        self.folder, self.backend, self.query = folder, backend, query
        self.read_bytes: list[int] = []  # by each daemon
        self.kills, self._last = True, list[int]()
        self.output = evidence(
            folder.parent,
            folder,
        )
        self.output.log.parent.mkdir(parents=True, exist_ok=True)
        self._publish, self._reached = durable.publish, Bookmark.reached

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def at_once(self) -> Readings:
        """What comes out where nothing is kept."""
        return self.backend.read(self.output, self.query)

    def one(self, output: AttemptOutput | None = None) -> Readings | None:
        """One daemon's reading; None if it was killed."""
        self.read_bytes.append(0)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(durable, "publish", self._kept)
                patch.setattr(Bookmark, "reached", self._noted())
                return self.backend.read(output or self._output(), self.query)
        except Killed:
            return None

    def _output(self) -> AttemptOutput:
        kept = Bookmarks(self.folder / "a1", 0 if self.kills else NEVER, 0.0)
        return replace(self.output, bookmarks=kept)

    def _kept(self, path: Path, data: bytes) -> None:
        self._publish(path, data)
        state = sorted(data.partition(b"\n")[2])  # sets have no order
        if self.kills and state != self._last:  # at an unfinished line nothing more is known
            self._last = state
            raise Killed

    def _noted(self) -> Callable[..., None]:
        def reached(mark: Bookmark, size: int, state: Callable[[], Any]) -> None:
            self.read_bytes[-1] += size
            self._reached(mark, size, state)

        return reached

    def in_parts(self) -> Readings:
        """What comes out where the daemon is killed at every place."""
        for _ in range(ENDINGS_MAX):
            if (answer := self.one()) is not None:
                return answer
        raise AssertionError("no daemon came further than the one before")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "CHUNK", 64)
    monkeypatch.setattr(growing, "LINE_MAX", 300)
    monkeypatch.setattr(tfrecord, "PIECE", 256)


CSV_LINES = st.sampled_from(
    [
        "step,loss,split",
        "step,other",
        "1,0.5,a",
        "2,0.25,b",
        "3,nan,",
        "4,inf,",
        '5,"0.125',
        '6",x"',
        "7,0,5",
        "8,0.5,train",
        "9,0.5,val",
        "# loss",
        "",
        "some text",
        "best,0.1,x",
        "10,0.75\r11,0.875",
        f"12,{'7' * 400},x",
    ]
)
JSON_LINES = st.sampled_from(
    [
        '{"step": 1, "loss": 0.5}',
        '{"loss": NaN}',
        '{"loss": "0.25"}',
        '{"a": {"loss": 0.125}}',
        '{"loss":',
        "0.75}",
        "[",
        "]",
        '{"split": "train", "loss": 1}',
        '{"split": "val", "loss": 2}',
        r'{"\ud800": 1, "loss": 3}',
        '{"loss": 1} {"loss": 2}',
        "text",
        f'{{"x": "{"y" * 400}"}}',
    ]
)
LOG_LINES = st.sampled_from(
    [
        "step 1 loss: 0.5",
        "best loss: 0.1",
        "train loss: 0.9",
        "loss: 0,5",
        "loss:",
        "0.25",
        "{'a': {",
        "'loss': 0.125}}",
        "Best model:",
        "accuracy: 0.5",
        "Traceback (most recent call last):",
        "  loss = 0.75",
        "ValueError: loss: 3",
        "",
        "x" * 150,
        "y" * 150 + " loss: 0.5",
        "loss: [0.5, 0.25]",
    ]
)
MANY = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(lines=st.lists(CSV_LINES, max_size=60), count=st.sampled_from(["last", "best", 3]))
def test_rows_are_read_alike_wherever_the_daemon_was_killed(
    tmp_path: Path, lines: list[str], count: Count
) -> None:
    place = Place(tmp_path, CSV, replace(LOSS, count=count))
    place.write("metrics.csv", "\n".join(["step,loss,split", *lines]).encode())
    place.write("x/metrics.csv", "\n".join(lines).encode())
    assert repr(place.in_parts()) == repr(place.at_once())  # nan equals nan


def test_what_the_files_before_have_shown_is_known_after_a_kill_too(tmp_path: Path) -> None:
    place = Place(tmp_path, CSV)
    first = place.write("a/metrics.csv", b"step,metric,value\n1,loss,0.5\n2,loss,0.25\n")
    os.utime(first, (1, 1))  # it was written first
    place.write("b/metrics.csv", b"step,other\n" + b"1,0.5\n" * 100)
    at_once = place.at_once()
    assert "is a cell of rows, and no column" in str(at_once.problem)
    assert place.in_parts() == at_once
    assert len(place.read_bytes) > 2


@MANY
@given(lines=st.lists(JSON_LINES, max_size=60))
def test_objects_are_read_alike_wherever_the_daemon_was_killed(tmp_path: Path, lines: list[str]) -> None:
    place = Place(tmp_path, JSONL)
    place.write("metrics.jsonl", "\n".join(lines).encode())
    assert repr(place.in_parts()) == repr(place.at_once())  # nan equals nan


@MANY
@given(lines=st.lists(LOG_LINES, max_size=120), count=st.sampled_from(["last", "best", 3]))
def test_a_log_is_read_alike_wherever_the_daemon_was_killed(
    tmp_path: Path, lines: list[str], count: Count
) -> None:
    place = Place(tmp_path, LOG, replace(LOSS, count=count))
    place.output.log.write_bytes("\n".join(lines).encode())
    assert repr(place.in_parts()) == repr(place.at_once())  # nan equals nan


EVENTS = st.one_of(
    st.builds(
        event_files.scalar,
        st.sampled_from(["loss", "val/loss", "other"]),
        st.sampled_from([0.5, 0.25, float("nan")]),
        st.integers(0, 9),
    ),
    st.builds(event_files.restart, st.integers(0, 9)),
    st.just(b"\xff\xff"),
)


@MANY
@given(files=st.lists(st.lists(EVENTS, max_size=25), min_size=1, max_size=3), torn=st.booleans())
def test_event_files_are_read_alike_wherever_the_daemon_was_killed(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes]], torn: bool
) -> None:
    place = Place(tmp_path_factory.mktemp("events"), TensorboardBackend())
    for number, events in enumerate(files):
        folder = place.folder / ("a" if number == 2 else ".")
        path = event_files.write(folder / f"{event_files.NAME}.{number}", *events)
        if torn:
            os.truncate(path, path.stat().st_size - 5)
    assert repr(place.in_parts()) == repr(place.at_once())  # nan equals nan


def test_a_wandb_file_is_read_alike_wherever_the_daemon_was_killed(tmp_path: Path) -> None:
    draw = random.Random(1)
    records = [wandb_writer.run("abc"), wandb_writer.defined("epoch", name="loss")]
    for step in range(3000):
        records.append(wandb_writer.history({"loss": draw.random(), "epoch": step // 7}, step))
        if step % 900 == 0:
            records.append(wandb_writer.history({"x" * 40_000: 1.0}, step))  # over several blocks
    records += [wandb_writer.summary({"final": 2.5}), wandb_writer.exited(1)]
    place = Place(tmp_path, WandbBackend(), replace(LOSS, path="{run_dir}/run-abc.wandb"))
    path = place.write("run-abc.wandb", wandb_writer.log(records))
    whole = place.in_parts()
    assert whole == place.at_once()
    assert (whole.value is not None, whole.metrics["final"].last) == (True, 2.5)
    assert len(place.read_bytes) > path.stat().st_size // leveldb_log.BLOCK


def rows(count: int, value: float) -> bytes:
    """A table of `count` rows, the last of them with that value."""
    return b"step,loss\n" + b"1,0.5\n" * (count - 1) + f"2,{value:.5f}\n".encode()


def cut(folder: Path, pieces: int) -> Place:
    """A daemon that was killed when it had read so many pieces of a table."""
    place = Place(folder, CSV)
    place.write("metrics.csv", rows(720, 0.25))
    for _ in range(pieces):
        assert place.one() is None
    return place


def test_no_piece_is_read_twice(tmp_path: Path) -> None:
    place = cut(tmp_path, 10)
    place.kills = False
    assert place.one() == place.at_once()
    size = (tmp_path / "metrics.csv").stat().st_size
    assert sum(place.read_bytes) < size + 11 * 8  # but for the row in which each of them ends
    assert place.read_bytes[-1] < size - 9 * 64


def other_content(path: Path) -> None:
    """The same size, time and end, and another row."""
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1,0.5", b"1,0.1", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def other_file(path: Path) -> None:
    """Another file under that name, of the same size, time and end."""
    times, data = path.stat(), path.read_bytes()
    path.with_suffix(".new").write_bytes(data.replace(b"1,0.5", b"1,0.1", 1))
    os.utime(path.with_suffix(".new"), ns=(times.st_atime_ns, times.st_mtime_ns))
    path.with_suffix(".new").rename(path)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"3,0.125\n")


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [other_content, other_file, longer, gone])
def test_a_bookmark_of_another_file_is_not_believed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    place = cut(tmp_path, 10)
    change(tmp_path / "metrics.csv")
    place.kills = False
    assert place.one() == place.at_once()


def test_a_bookmark_of_another_question_is_not_believed(tmp_path: Path) -> None:
    place = cut(tmp_path, 10)
    place.kills = False
    for query in (Query(Primary("step")), replace(LOSS, count="best"), Query(Primary("loss", "max"))):
        place.query = query
        assert place.one() == place.at_once()
        assert place.read_bytes[-1] == (tmp_path / "metrics.csv").stat().st_size


@pytest.mark.parametrize("name", ["VERSION", "FORMAT"])
def test_a_bookmark_of_another_version_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = cut(tmp_path, 10)
    place.kills = False
    monkeypatch.setattr(bookmark, name, 99)
    assert place.one() == place.at_once()
    assert place.read_bytes[-1] == (tmp_path / "metrics.csv").stat().st_size


def broken(data: bytes) -> Iterator[bytes]:
    """A bookmark after a hand, a full disk or a power cut has had it."""
    first, _, second = data.partition(b"\n")
    yield b""
    yield first + b"\n"
    yield data[:-1]
    yield data[: len(data) // 2]
    yield bytes(len(data))
    yield data.replace(b'"at": 6', b'"at": 0')
    yield first + b"\n" + second.replace(b"0.5", b"0.1")
    yield b"[]\n" + second
    yield b"null\nnull"
    yield b"[" * 100_000
    no_parser = json.loads(second)
    no_parser["state"]["parser"] = 5
    for other in (b"[]", json.dumps(no_parser).encode()):  # somebody knows how
        yield json.dumps({**json.loads(first), "digest": bookmark._digest(other)}).encode() + b"\n" + other


def test_a_bookmark_that_was_broken_by_hand_is_not_believed(tmp_path: Path) -> None:
    place = cut(tmp_path, 10)
    place.kills = False
    path = tmp_path / "a1" / "reading-csv.jsonl"
    kept, size = path.read_bytes(), (tmp_path / "metrics.csv").stat().st_size
    for data in broken(kept):
        path.write_bytes(data)
        assert place.one() == place.at_once()
        assert place.read_bytes[-1] == size, data[:80]
    path.unlink()
    os.mkfifo(path)
    assert place.one() == place.at_once()
    path.unlink()
    path.write_bytes(kept)
    place.one()
    assert place.read_bytes[-1] < size  # as it was, it counts


def test_where_no_bookmark_can_be_written_the_answer_is_the_same(tmp_path: Path) -> None:
    place = Place(tmp_path, CSV)
    place.write("metrics.csv", rows(720, 0.25))
    place.output.log.parent.rmdir()
    assert place.one() == place.at_once()


def test_small_files_leave_no_bookmark(tmp_path: Path) -> None:
    place = Place(tmp_path, CSV)
    place.write("metrics.csv", rows(720, 0.25))
    assert place.one(replace(place.output, bookmarks=Bookmarks(tmp_path / "a1"))) == place.at_once()
    assert list((tmp_path / "a1").iterdir()) == []

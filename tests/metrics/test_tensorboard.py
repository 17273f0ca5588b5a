"""The backend: which files, which names, which value, and what is said where files are not whole."""

import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardaemon.core.model import Count, Primary
from ardaemon.metrics.base import AttemptOutput, FileBackend, Query, Readings
from ardaemon.metrics.formats.events import Decoder
from ardaemon.metrics.logdir import Folder
from ardaemon.metrics.own import Mine
from ardaemon.metrics.tensorboard import TensorboardBackend, environment, places, shortest
from tests.metrics.event_files import (
    NAME,
    append,
    event,
    record,
    restart,
    scalar,
    summary,
    tensor,
    tensor_proto,
    version,
    write,
)
from tests.support.attempt import Attempt

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
LATER = "events.out.tfevents.1700000500.host.1.0"


class World(Attempt):
    """A project with one run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder / ".autoresearch" / "e" / "runs" / "r0001")
        self.board = self.run / "tensorboard"
        self.board.mkdir(parents=True)

    def evidence(self, **given: Any) -> AttemptOutput:
        """It begins now, whatever was written before."""
        return super().evidence(started_at=time.time(), **given)

    def read(self, name: str = "loss", path: str | None = None, count: Count = "last") -> Readings:
        return TensorboardBackend().read(self.evidence(), query(name, path, count))


def query(name: str, path: str | None = None, count: Count = "last") -> Query:
    return Query(Primary(metric=name, direction="min"), path=path, count=count)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def losses(*values: float, tag: str = "loss", start: int = 1) -> list[bytes]:
    return [scalar(tag, value, step) for step, value in enumerate(values, start)]


def test_the_last_value_of_each_tag(world: World) -> None:
    write(world.board / NAME, *losses(0.5, 0.25), scalar("lr", 2.0, 2))
    found = world.read()
    assert {name: (metric.last, metric.step) for name, metric in found.metrics.items()} == {
        "loss": (0.25, 2),
        "lr": (2.0, 2),
    }
    assert (found.source, found.value, found.problem) == ("tensorboard", 0.25, None)
    assert found.detail == "tensorboard"
    assert [(point.step, point.value, point.wall) for point in found.curve] == [
        (1, 0.5, 1.7e9),
        (2, 0.25, 1.7e9),
    ]


@pytest.mark.parametrize(("count", "value"), [("last", 0.75), ("best", 0.25), (1, 0.5), (2, 0.25)])
def test_the_value_that_counts(world: World, count: Count, value: float) -> None:
    write(world.board / NAME, *losses(0.5, 0.25, 0.75))
    assert world.read(count=count).value == value


def test_a_value_that_is_not_finite_is_told(world: World) -> None:
    write(world.board / NAME, *losses(0.5, math.nan))
    found = world.read()
    assert (found.value, "nan" in (found.problem or "")) == (None, True)


def test_the_tensor_encoding(world: World) -> None:
    proto = tensor_proto(10, b"\x5a\x01\x01")
    write(world.board / NAME, event(summary(tensor("loss", proto)), step=4))
    assert (world.read().value, world.read().metrics["loss"].step) == (1.0, 4)


# Several files and folders.


def test_several_files_of_a_folder_are_one_series(world: World) -> None:
    write(world.board / LATER, *losses(0.25, start=3))
    write(world.board / NAME, *losses(0.5, 0.75))
    found = world.read()
    assert [point.value for point in found.curve] == [0.5, 0.75, 0.25]


def test_tags_of_subfolders_have_their_folders_name_where_they_need_it(world: World) -> None:
    # SummaryWriter.add_scalars("loss", {"train": …, "val": …}) and add_hparams(…, {"hparam/accuracy": …}).
    write(world.board / NAME, *losses(3.0, tag="lr"))
    write(world.board / "loss_train" / NAME, *losses(0.5))
    write(world.board / "loss_val" / NAME, *losses(0.75))
    write(world.board / "1700000000.5" / NAME, *losses(0.9, tag="hparam/accuracy"))
    found = world.read("loss_val/loss")
    assert found.value == 0.75
    assert {name: metric.last for name, metric in found.metrics.items()} == {
        "lr": 3.0,
        "loss_train/loss": 0.5,
        "loss_val/loss": 0.75,
        "hparam/accuracy": pytest.approx(0.9),
    }
    assert world.read("hparam/accuracy").value == pytest.approx(0.9)
    assert world.read("1700000000.5/hparam/accuracy").value == pytest.approx(0.9)
    ambiguous = world.read("loss")
    assert ambiguous.value is None
    assert "loss is in 2 folders" in (ambiguous.problem or "")
    assert "loss_train/loss, loss_val/loss" in (ambiguous.problem or "")


def test_the_outermost_folder_has_the_short_name(world: World) -> None:
    write(world.board / NAME, *losses(0.5))
    write(world.board / "val" / NAME, *losses(0.75))
    assert world.read("loss").value == 0.5
    assert world.read("val/loss").value == 0.75


def test_a_long_name_that_the_outermost_folder_has_as_a_tag_means_that(world: World) -> None:
    write(world.board / NAME, *losses(0.5, tag="val/loss"))
    write(world.board / "val" / NAME, *losses(0.75))
    assert world.read("val/loss").value == 0.5
    assert world.read("loss").value == 0.75


def test_files_that_come_to_light_in_any_order_are_read_in_the_order_of_names(world: World) -> None:
    folder = Folder(query("loss"), Decoder())
    folder.add(Mine(write(world.board / LATER, *losses(0.25))))
    folder.add(Mine(write(world.board / NAME, *losses(0.5))))
    folder.read()
    assert (folder.tags["loss"].primary or ())[:2] == (0.25, 1)


def test_keras_folders(world: World) -> None:
    write(world.board / "train" / NAME, *losses(0.5, tag="epoch_loss"))
    write(world.board / "validation" / NAME, *losses(0.75, tag="epoch_loss"))
    assert world.read("validation/epoch_loss").value == 0.75


@given(
    st.dictionaries(
        st.sampled_from(["", "a", "a/b", "c"]), st.sets(st.sampled_from(["x", "b/x", "a/b/x", "y"]))
    )
)
def test_a_name_means_one_tag_and_every_tag_has_a_name(tags: dict[str, set[str]]) -> None:
    found = places(tags)
    for name, (folder, tag) in found.items():
        assert tag in tags[folder]
        assert name in (tag, f"{folder}/{tag}")
    wanted = {(folder, tag) for folder, names in tags.items() for tag in names}
    longs = [f"{folder}/{tag}" if folder else tag for folder, tag in wanted]
    if len(set(longs)) == len(longs):
        assert set(shortest(found).values()) == wanted


# Which files.


def test_it_is_a_file_backend_as_auto_asks_them() -> None:
    assert isinstance(TensorboardBackend(), FileBackend)


def test_by_default_the_runs_own_folder_alone_counts(world: World) -> None:
    write(world.project / "runs" / "now" / NAME, *losses(9.0))
    write(world.run / "a1" / NAME, *losses(8.0))  # the daemon's own folder in it
    write(world.run / "deep" / "er" / NAME, *losses(0.5))
    found = world.read()
    assert (found.value, found.detail) == (0.5, "deep/er")


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("runs/Nov24_host", "runs"),
        ("outputs/2026-11-24/10-00-00/tb", "outputs"),
        ("logs/fit/1", "logs"),
    ],
)
def test_files_where_scripts_usually_write_are_pointed_at(world: World, folder: str, said: str) -> None:
    write(world.project / folder / NAME, *losses(0.5))
    found = world.read()
    assert (found.value, found.metrics) == (None, {})
    assert f"there are new event files in {said}: --metric-path {said}" in (found.problem or "")


def test_old_files_are_not_pointed_at(world: World) -> None:
    path = write(world.project / "runs" / "before" / NAME, *losses(0.5))
    os.utime(path, (0, 0))
    assert world.read().problem == "no *tfevents* file matches {run_dir}"


def test_files_that_are_no_event_files_are_not_counted(world: World) -> None:
    """A run's folder always has train.py in it: "2 files match" sent people looking for their event files."""
    (world.run / "train.py").write_text("pass\n")
    (world.project / "runs").mkdir()
    (world.project / "runs" / "notes.txt").write_text("none\n")
    assert world.read().problem == "no *tfevents* file matches {run_dir}"
    assert world.read(path="runs").problem == "no *tfevents* file matches runs"


def test_files_of_earlier_runs_do_not_count(world: World) -> None:
    write(world.project / "runs" / "before" / NAME, *losses(9.0))
    world.launch("runs")
    found = world.read(path="runs")
    assert (found.value, found.problem) == (None, "1 files match runs, none of them written by this run")
    write(world.project / "runs" / "now" / NAME, *losses(0.5))
    found = world.read(path="runs")
    assert (found.value, found.detail, len(found.curve)) == (0.5, "runs/now", 1)


def test_a_new_file_in_the_folder_of_an_earlier_run_counts_alone(world: World) -> None:
    write(world.project / "runs" / "same" / NAME, *losses(9.0, 8.0))
    world.launch("runs/same")
    write(world.project / "runs" / "same" / LATER, *losses(0.5))
    assert len(world.read(path="runs/same").curve) == 1


def test_a_file_that_was_added_to_counts_from_there(world: World) -> None:
    path = write(world.project / "runs" / "one" / NAME, *losses(0.125))
    world.launch("runs")
    append(path, *losses(0.5, 0.75))
    found = world.read(path="runs", count="best")
    assert (found.value, len(found.curve)) == (0.5, 2)


def test_what_is_no_event_file_is_told(world: World) -> None:
    (world.run / "notes.txt").write_text("loss: 0.5, and so on and on")
    found = world.read(path="{run_dir}/notes.txt")
    assert "notes.txt is not an event file" in (found.problem or "")


def test_a_path_that_the_session_names(world: World) -> None:
    write(world.run / "here" / NAME, *losses(0.5))
    write(world.board / NAME, *losses(0.75))
    assert world.read(path="{run_dir}/here").value == 0.5
    assert world.read(path="{run_dir}/here/*").value == 0.5
    assert world.read(path="elsewhere").problem == "no *tfevents* file matches elsewhere"


def test_the_environment_binds_a_trainers_files_to_the_run(world: World) -> None:
    assert environment(world.run, "r0001") == {"TENSORBOARD_LOGGING_DIR": str(world.board)}


# What is not whole.


def test_a_file_cut_within_a_record_gives_its_value_and_says_so(world: World) -> None:
    path = write(world.board / NAME, *losses(0.5, 0.25))
    os.truncate(path, path.stat().st_size - 3)
    found = world.read()
    assert found.value == 0.5
    assert f"{NAME} ends within a record" in (found.problem or "")


def test_a_damaged_record_withholds_the_value(world: World) -> None:
    path = write(world.board / NAME, *losses(0.5, 0.25, 0.125), scalar("lr", 1.0))
    damage(path, len(record(version())) + len(record(scalar("loss", 0.5, 1))) + 30)
    found = world.read()
    assert (found.value, "loss" in found.metrics, "lr" in found.metrics) == (None, False, True)
    assert found.problem == f"{NAME} has 1 damaged record"


def damage(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_damaged_length_withholds_the_value(world: World) -> None:
    path = write(world.board / NAME, *losses(0.5, 0.25))
    at = len(record(version())) + len(record(scalar("loss", 0.5, 1)))
    damage(path, at)
    found = world.read()
    assert (found.value, found.metrics) == (None, {})
    assert found.problem == f"{NAME} is damaged at byte {at}: nothing after that can be read"


def test_damage_in_another_folder_is_told_and_the_value_stands(world: World) -> None:
    write(world.board / NAME, *losses(0.5))
    damage(write(world.board / "other" / NAME, *losses(1.0, tag="x")), len(record(version())) + 30)
    found = world.read()
    assert (found.value, "damaged" in (found.problem or "")) == (0.5, True)


def test_a_record_that_is_no_event_is_damage(world: World) -> None:
    write(world.board / NAME, *losses(0.5), b"\xff\xff")
    assert (world.read().value, world.read().problem) == (None, f"{NAME} has 1 damaged record")


def test_another_version_is_refused(world: World) -> None:
    write(world.board / NAME, *losses(0.5), head=version(3))
    found = world.read()
    assert (found.value, "is of another version, 'brain.Event:3'" in (found.problem or "")) == (None, True)


@pytest.mark.parametrize("head", [version(1), event()])
def test_an_old_version_or_none_is_read(world: World, head: bytes) -> None:
    write(world.board / NAME, *losses(0.5), head=head)
    assert world.read().value == 0.5


@pytest.mark.parametrize("data", [b"", record(version())])
def test_a_writer_that_was_never_flushed_is_guessed_at(world: World, data: bytes) -> None:
    (world.board / NAME).write_bytes(data)
    assert "was the writer flushed, or closed?" in (world.read().problem or "")


def test_an_absent_metric_has_the_nearest_names(world: World) -> None:
    write(world.board / NAME, *losses(0.5, tag="val_loss"), *losses(0.5, tag="lr"))
    found = world.read("val/loss")
    assert (found.nearest[0], found.problem) == ("val_loss", "val/loss is in no event file")


def test_a_file_that_is_gone_is_told(world: World) -> None:
    folder = Folder(query("loss"), Decoder())
    folder.add(Mine(world.board / NAME))
    folder.read()
    assert folder.problems() == [f"{NAME} cannot be read: No such file or directory"]
    assert not folder.sound


def test_a_thousand_tags_beside_it_leave_room_for_the_metric(world: World) -> None:
    write(world.board / NAME, *(scalar(f"t{number}", 1.0) for number in range(1000)), *losses(0.5))
    found = world.read()
    assert (found.value, len(found.metrics) < 600) == (0.5, True)


# Steps that go back.


def test_a_restart_makes_void_what_stands_at_its_step_and_after(world: World) -> None:
    write(world.board / NAME, *losses(0.5, 0.4, 0.1, 0.2), *losses(7.0, tag="late", start=4))
    write(world.board / LATER, restart(3), *losses(0.3, start=3))
    found = world.read(count="best")
    assert found.value == pytest.approx(0.3)
    assert [point.step for point in found.curve] == [1, 2, 3]
    assert "late" not in found.metrics


def test_a_restart_within_a_file(world: World) -> None:
    write(
        world.board / NAME,
        *losses(0.5, 0.1),
        restart(2),
        *losses(0.4, start=2),
        restart(2),
        *losses(0.3, start=2),
    )
    assert [point.value for point in world.read().curve] == pytest.approx([0.5, 0.3])


def test_steps_that_go_back_without_a_restart_count_in_the_order_of_writing(world: World) -> None:
    write(world.board / NAME, *losses(0.5, 0.25), scalar("loss", 0.75, 1))
    assert (world.read().value, world.read().metrics["loss"].step) == (0.75, 1)


@given(
    st.lists(
        st.lists(
            st.one_of(st.tuples(st.just("v"), st.integers(0, 9)), st.tuples(st.just("r"), st.integers(0, 9)))
        ),
        max_size=4,
    )
)
@SAME_FOLDER
def test_restarts_are_what_tensorboard_makes_of_them(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[str, int]]]
) -> None:
    world = World(tmp_path_factory.mktemp("w"))
    kept: list[tuple[int, float]] = []
    number = 0.0
    for index, steps in enumerate(files):
        events = []
        for kind, step in steps:
            if kind == "r":
                events.append(restart(step))
                kept = [point for point in kept if point[0] < step]
            else:
                number += 1
                events.append(scalar("loss", number, step))
                kept.append((step, number))
        write(world.board / f"events.out.tfevents.{index}", *events)
    assert [(point.step, point.value) for point in world.read().curve] == kept


# A run that is watched.


def test_a_follower_reads_on_where_it_was(world: World) -> None:
    path = world.board / NAME
    follower = TensorboardBackend().follower(world.evidence(), query("loss"))
    follower.feed()
    assert (follower.latest, follower.step) == (None, None)
    write(path, *losses(0.5))
    follower.feed()
    assert (follower.latest, follower.step) == (0.5, 1)
    hidden = bytearray(path.read_bytes())
    hidden[:] = bytes(len(hidden))  # who reads the beginning again would find no record in it
    path.write_bytes(hidden)
    append(path, *losses(0.25, start=2))
    write(world.board / LATER, *losses(3.0, tag="lr"))
    follower.feed()
    assert (follower.latest, follower.step) == (0.25, 2)
    assert [point.value for point in follower.readings().curve] == [0.5, 0.25]


def test_a_follower_waits_for_the_rest_of_a_record(world: World) -> None:
    path = write(world.board / NAME, *losses(0.5))
    last = record(scalar("loss", 0.25, 2))
    follower = TensorboardBackend().follower(world.evidence(), query("loss"))
    for cut in range(1, len(last)):
        with path.open("ab") as file:
            file.write(last[cut - 1 : cut])
        follower.feed()
        assert (follower.latest, follower.step) == (0.5, 1)
    with path.open("ab") as file:
        file.write(last[-1:])
    follower.feed()
    assert (follower.latest, follower.step) == (0.25, 2)
    assert follower.readings().problem is None


def test_a_follower_and_a_reader_agree_after_a_restart(world: World) -> None:
    write(world.board / NAME, *losses(0.5, 0.1))
    follower = TensorboardBackend().follower(world.evidence(), query("loss", count="best"))
    follower.feed()
    write(world.board / LATER, restart(2), *losses(0.3, start=2))
    follower.feed()
    assert follower.readings() == world.read(count="best")
    assert follower.readings().value == pytest.approx(0.3)

"""The wandb backend: rows of every version's file, and never those of another run."""

import json
import math
import os
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.core.model import Primary
from ardaemon.metrics import bound
from ardaemon.metrics.base import Query, Readings
from ardaemon.metrics.wandb import WandbBackend, WandbFollower, environment
from tests.support import wandb_writer as writer
from tests.support.attempt import Attempt
from tests.support.wandb_writer import defined, exited, history, log, run, summary

LOSS = Query(Primary("loss"))
BACKEND = WandbBackend()


class World(Attempt):
    """A project, one run's folder, one attempt's environment."""

    def __init__(self, root: Path, attempt: str = "r0001-a1", **given: str) -> None:
        run = root / "p" / ".autoresearch" / "x" / "runs" / "r0001"
        super().__init__(root / "p", run, environment(run, attempt) | given)
        self.id = self.environment["WANDB_RUN_ID"]

    def launch(self, *patterns: str) -> Self:
        """Note what is there by now."""
        return super().launch("{run_dir}/**", *patterns)

    def put(self, *records: bytes, run_id: str = "", at: str = "1", below: Path | None = None) -> Path:
        """A file as wandb would put it."""
        run_id = run_id or self.id
        folder = (below or Path(self.environment["WANDB_DIR"])) / "wandb" / f"offline-run-{at}-{run_id}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"run-{run_id}.wandb"
        path.write_bytes(log([run(run_id), *records]))
        return path

    def read(self, query: Query = LOSS) -> Readings:
        """What the backend says."""
        return BACKEND.read(self.evidence(), query)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).launch()


def last(readings: Readings) -> dict[str, float]:
    return {name: metric.last for name, metric in readings.metrics.items()}


ROWS: list[dict[str, Any]] = [
    {"loss": 3.0, "acc": 1},
    {"loss": 1.0},
    {"loss": 2.0, "n": -7, "ok": True, "text": "0.5", "none": None},
]


@pytest.mark.parametrize("typed", [False, True], ids=["json", "typed"])
def test_the_rows_are_read_whatever_version_wrote_them(world: World, typed: bool) -> None:
    world.put(*(history(row, step, typed) for step, row in enumerate(ROWS)), exited(0))
    readings = world.read()
    assert last(readings) == {"loss": 2.0, "acc": 1.0, "n": -7.0}
    assert (readings.value, readings.metrics["loss"].best, readings.metrics["loss"].step) == (2.0, 1.0, 2)
    assert [(point.step, point.value) for point in readings.curve] == [(0, 3.0), (1, 1.0), (2, 2.0)]
    assert readings.source == "wandb"
    assert readings.problem is None
    assert readings.detail == f"wandb/offline-run-1-{world.id}/run-{world.id}.wandb: 3 rows, exit code 0"


@pytest.mark.parametrize("typed", [False, True], ids=["json", "typed"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_last_value_that_is_not_finite_is_told(world: World, typed: bool, value: float) -> None:
    world.put(history({"loss": 1.0}, 0, typed), history({"loss": value}, 1, typed))
    readings = world.read()
    assert readings.value is None
    assert readings.problem == f"loss is {value} at its last value"


def test_words_that_wandb_writes_for_what_json_has_not_are_numbers(world: World) -> None:
    world.put(history({"loss": "NaN", "a": "Infinity", "b": "nan", "c": 1.5}))
    readings = world.read()
    assert last(readings) == {"c": 1.5}
    assert "nan" in str(readings.problem)


@pytest.mark.parametrize("typed", [False, True], ids=["json", "typed"])
def test_nested_names_are_joined_as_wandb_shows_them(world: World, typed: bool) -> None:
    image = {"_type": "image-file", "size": 3}
    values: dict[Any, Any] = {
        "a": {"b": {"c": 1.5}, "d": 2, "e": image},
        ("x", "y"): 3.5,
        ("train/loss",): 4.0,
        "i": image,
    }
    values |= {("p", "_type"): "html-file", ("p", "size"): 106, ("p", "deep", "x"): 1, ("page",): 8}
    world.put(history(values, 0, typed), summary({"i": image}))
    assert last(world.read(Query(Primary("a.b.c")))) == {
        "a.b.c": 1.5,
        "a.d": 2.0,
        "x.y": 3.5,
        "train/loss": 4.0,
        "page": 8.0,
    }


def test_the_step_is_the_trainers_not_wandbs_count(world: World) -> None:
    world.put(history({"loss": 1.0, "train/global_step": 500}, 3))
    assert world.read().metrics["loss"].step == 500


def test_the_step_is_what_define_metric_says(world: World) -> None:
    world.put(
        defined("epoch", glob="val/*"),
        defined("other", glob="*"),
        defined("batch", name="val/exact"),
        history({"val/loss": 1.0, "val/exact": 1.0, "loss": 1.0, "epoch": 7, "batch": 70, "other": 9}, 3),
    )
    steps = {name: metric.step for name, metric in world.read().metrics.items()}
    assert (steps["val/loss"], steps["val/exact"], steps["loss"]) == (7, 70, 9)


def test_define_metrics_summary_is_computed_here(world: World) -> None:
    """Offline, wandb resolves no define_metric(summary="min"): the session says which value counts."""
    world.put(*(history(row, step) for step, row in enumerate(ROWS)))
    readings = world.read(Query(Primary("loss"), count="best"))
    assert (readings.value, readings.counted) == (1.0, "best@1")
    assert world.read(Query(Primary("loss"), count=1)).value == 1.0


def test_what_only_the_summary_has_is_read_too(world: World) -> None:
    world.put(
        history({"loss": 2.0}),
        summary({"loss": 0.5, "best_acc": 0.9, "_wandb": {"runtime": 3}, "t": {"x": 1}}),
    )
    assert last(world.read()) == {"loss": 2.0, "best_acc": 0.9, "t.x": 1.0}
    assert world.read(Query(Primary("best_acc"))).value == 0.9


def test_a_name_that_was_not_logged_is_told_with_the_nearest(world: World) -> None:
    world.put(history({"eval/loss": 2.0}))
    readings = world.read()
    assert readings.problem == "loss is in none of the 1 rows that were logged to wandb"
    assert readings.nearest[0] == "eval/loss"


# Written by wandb itself (tests/frameworks/test_wandb_real.py), less what tells of the machine.
RECORDED = sorted((Path(__file__).parents[1] / "data" / "wandb").glob("*/run-recorded.wandb"))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.parent.name)
def test_the_files_of_wandbs_versions_are_read(tmp_path: Path, recorded: Path) -> None:
    world = World(tmp_path, WANDB_RUN_ID="recorded").launch()
    path = world.put(run_id="recorded")
    path.write_bytes(recorded.read_bytes())
    readings = world.read(Query(Primary("val/loss")))
    assert last(readings) == {
        "val/loss": 0.025, "train/global_step": 390.0, "deep.acc": 39.0, "deep.more.x": 0.5,
        "only/summary": 7.0,
    }  # fmt: skip
    assert [point.step for point in readings.curve] == list(range(0, 400, 10))
    assert readings.problem is None
    assert str(readings.detail).endswith("40 rows, exit code 0")
    path.write_bytes(recorded.read_bytes()[:20_000])
    cut = world.read(Query(Primary("val/loss")))
    assert cut.metrics["val/loss"].last == 1 / len(cut.curve)
    assert "ends in the middle of a record" in str(cut.problem)


# A run that was killed.


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_file_cut_anywhere_gives_what_is_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("w")).launch()
    path = world.put(*(history({"loss": float(n)}, n, typed=n % 2 == 0) for n in range(900)), exited(0))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:at])
    readings = world.read()
    assert readings.value is None or readings.value == readings.metrics["loss"].step
    assert readings.value is not None or at < 100
    if at < len(whole) and readings.value is not None:
        assert "not finished" in str(readings.detail)
        assert readings.problem is None or "ends in the middle of a record" in readings.problem


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_damage_is_told_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    world = World(tmp_path_factory.mktemp("w")).launch()
    path = world.put(*(history({"loss": float(n)}, n) for n in range(900)), exited(0))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(whole))
    readings = world.read()
    assert readings.problem or readings.value == 899.0
    if readings.value is not None and readings.problem is None:
        assert len(readings.curve) > 0


@given(noise=st.lists(st.binary(max_size=60), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_records_of_any_bytes_never_raise(
    tmp_path_factory: pytest.TempPathFactory, noise: list[bytes]
) -> None:
    """With a right checksum, so that they reach the decoder; alone, and inside of a row."""
    world = World(tmp_path_factory.mktemp("w")).launch()
    inside = [writer.field(2, writer.field(1, data)) for data in noise]
    others = [writer.field(number, data) for number in (2, 3, 12, 18) for data in noise]
    world.put(*noise, *inside, *others, history({"loss": 1.0}, 1))
    world.read()


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "is empty"), (b":W&B", "is empty"), (b"PK\3\4" * 9, "not a file of wandb")]
)
def test_a_file_with_nothing_in_it_is_told(world: World, data: bytes, said: str) -> None:
    world.put().write_bytes(data)
    readings = world.read()
    assert readings.value is None
    assert said in str(readings.problem)


def test_a_header_alone_is_a_run_that_was_killed_early(world: World) -> None:
    world.put().write_bytes(writer.HEADER)
    assert world.read().problem == "the run logged nothing to wandb, or was killed before wandb wrote it"


def test_a_format_that_is_not_known_is_refused(world: World) -> None:
    path = world.put(history({"loss": 1.0}))
    path.write_bytes(path.read_bytes()[:6] + b"\x09" + path.read_bytes()[7:])
    assert "version 9" in str(world.read().problem)


def test_a_file_that_may_not_be_read_is_a_problem_not_an_error(world: World) -> None:
    path = world.put()
    path.unlink()
    path.mkdir()
    assert "cannot be read" in str(world.read().problem)


# Whose it is.


def test_the_environment_binds_each_attempt_and_yields_to_the_caller(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r0001"
    first, second = environment(folder, "r0001-a1"), environment(folder, "r0001-a2")
    other = environment(tmp_path / "other" / "r0001", "r0001-a1")
    ids = {found["WANDB_RUN_ID"] for found in (first, second, other)}
    assert len(ids) == 3
    strange = bound.name(Path("/ä :;,#?/'"), "r:1;,#?/'[*")
    assert not set(strange) & set(":;,#?/'[*")
    assert first["WANDB_MODE"] == "offline"
    assert first["WANDB_DIR"] == str(folder)


def test_rows_of_another_run_are_never_taken(world: World) -> None:
    """Not by time, not by `latest-run`: the next run of the same project may be newer."""
    other = world.put(history({"loss": 9.0}), run_id="other", at="9")
    (world.run / "wandb" / "latest-run").symlink_to(other.parent.name)
    readings = world.read()
    assert readings.metrics == {}
    assert readings.problem == (
        f"found run-other.wandb but not run-{world.id}.wandb: if wandb.init(id=…) chose that, name it with"
        " --metric-path, or in wandb_run.json in $AR_RUN_DIR"
    )


def test_an_earlier_attempts_rows_are_not_the_next_ones(tmp_path: Path) -> None:
    World(tmp_path, "r0001-a1").put(history({"loss": 9.0}))
    second = World(tmp_path, "r0001-a2").launch()
    assert second.read().problem == f"wandb has written no run-{second.id}.wandb"
    second.put(history({"loss": 1.0}), at="2")
    assert second.read().value == 1.0


def test_a_caller_who_keeps_wandbs_files_elsewhere_gets_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, WANDB_DIR=str(tmp_path / "all"), WANDB_MODE="online").launch()
    for n in range(5):
        world.put(history({"loss": 9.0}), run_id=f"other{n}")
    world.put(history({"loss": 1.0}), at="20251124_120000")
    assert world.read().value == 1.0


@pytest.mark.parametrize("below", ["p", "tmp"])
def test_a_file_in_the_project_or_the_temporary_folder_is_found_by_its_id(tmp_path: Path, below: str) -> None:
    """init(dir=…); and wandb's own way out where it may not write in WANDB_DIR."""
    world = World(tmp_path, TMPDIR=str(tmp_path / "tmp")).launch()
    world.put(history({"loss": 1.0}), below=tmp_path / below)
    assert world.read().value == 1.0


def test_a_fixed_id_of_the_callers_own_gives_this_attempts_file_alone(tmp_path: Path) -> None:
    """WANDB_RUN_ID=x with resume: the same id every time, only what is new since the launch counts."""
    world = World(tmp_path, WANDB_RUN_ID="fixed")
    world.put(history({"loss": 9.0}), run_id="fixed", at="1")
    world.launch()
    assert world.read().value is None
    world.put(history({"loss": 1.0}), run_id="fixed", at="2")
    assert world.read().value == 1.0


def test_several_inits_are_one_run_in_the_order_of_time(world: World) -> None:
    world.put(history({"loss": 1.0, "_timestamp": 10.0}), history({"loss": 4.0, "_timestamp": 40.0}), at="1")
    world.put(
        history({"loss": 3.0, "_timestamp": 30.0}), history({"loss": 2.0, "_timestamp": 20.5}), at="1-0"
    )
    readings = world.read(Query(Primary("loss")))
    assert readings.value == 4.0
    assert [point.value for point in readings.curve] == [1.0, 3.0, 2.0, 4.0]
    assert str(readings.detail).count("2 rows") == 2


def test_a_file_that_holds_another_run_is_a_mismatch(world: World) -> None:
    path = world.put(history({"loss": 1.0}))
    path.write_bytes(log([run("other"), history({"loss": 1.0})]))
    readings = world.read()
    assert readings.metrics == {}
    assert readings.problem == f"run-{world.id}.wandb holds another run, other: nothing of it was read"


def test_disabled_wandb_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, WANDB_MODE="disabled").launch()
    assert "(WANDB_MODE=disabled)" in str(world.read().problem)


# The pointer and the named path.


def point(world: World, **told: Any) -> None:
    (world.run / "wandb_run.json").write_text(json.dumps(told))


@pytest.mark.parametrize("place", ["file", "folder", "files"])
def test_the_pointer_names_the_file_its_folder_or_wandbs_run_dir(world: World, place: str) -> None:
    path = world.put(history({"loss": 1.0}), run_id="mine", below=world.project / "out")
    world.put(history({"loss": 9.0}))
    (path.parent / "files").mkdir()
    named = {"file": path, "folder": path.parent, "files": path.parent / "files"}[place]
    point(world, path=str(named), run_id="mine")
    assert world.read().value == 1.0
    point(world, path=os.path.relpath(named, world.project))
    assert world.read().value == 1.0


def test_the_pointer_may_name_the_id_alone(world: World) -> None:
    world.put(history({"loss": 1.0}), run_id="mine")
    point(world, run_id="mine")
    assert world.read().value == 1.0


def test_a_pointer_that_does_not_fit_is_an_error_that_says_what_was_found(world: World) -> None:
    path = world.put(history({"loss": 1.0}), run_id="other")
    point(world, path=str(path), run_id="mine")
    readings = world.read()
    assert readings.metrics == {}
    assert "says run mine" in str(readings.problem)
    assert "holds run-other.wandb" in str(readings.problem)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{",
        '{"path": 3}',
        '{"run_id": []}',
        '{"path": ""}',
        "[" * 99_999,
        '{"path": "/nowhere"}',
    ],
)
def test_a_broken_pointer_is_told_and_nothing_else_is_taken(world: World, text: str) -> None:
    world.put(history({"loss": 1.0}))
    (world.run / "wandb_run.json").write_text(text)
    readings = world.read()
    assert readings.metrics == {}
    assert "wandb_run.json" in str(readings.problem)


def test_a_pointer_of_an_earlier_attempt_does_not_count(world: World) -> None:
    path = world.put(history({"loss": 9.0}), run_id="old")
    point(world, path=str(path))
    world.launch()
    world.put(history({"loss": 1.0}))
    assert world.read().value == 1.0


@pytest.mark.parametrize("pattern", ["out/wandb/*run-*", "out/wandb/*/run-*.wandb", "out"])
def test_a_named_path_is_this_attempts_one_run(world: World, pattern: str) -> None:
    query = Query(Primary("loss"), path=pattern)
    world.put(history({"loss": 9.0}), run_id="old", below=world.project / "out")
    world.launch(pattern)
    assert "no run-<id>.wandb there that this run wrote" in str(world.read(query).problem)
    world.put(history({"loss": 1.0}), run_id="new", below=world.project / "out")
    assert world.read(query).value == 1.0
    world.put(history({"loss": 5.0}), run_id="newer", below=world.project / "out")
    readings = world.read(query)
    assert readings.metrics == {}
    assert "several runs" in str(readings.problem)
    world.put(history({"loss": 2.0}), below=world.project / "out")
    assert world.read(query).value == 2.0, "its own id is certain"


# A run that goes on.


def test_a_follower_goes_on_where_it_stopped(world: World) -> None:
    follower = BACKEND.follower(world.evidence(), LOSS)
    follower.feed()
    assert (follower.latest, follower.step) == (None, None)
    path = world.put(*(history({"loss": float(n)}, n) for n in range(3000)))
    whole = path.read_bytes()
    seen: list[float | None] = []
    for at in range(0, len(whole) + 1, len(whole) // 40):
        path.write_bytes(whole[:at])
        follower.feed()
        seen.append(follower.latest)
        assert follower.step == (None if follower.latest is None else int(follower.latest))
    path.write_bytes(whole)
    follower.feed()
    numbers = [value for value in seen if value is not None]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 30
    assert follower.latest == 2999.0
    world.put(history({"loss": 0.5}, 4000), at="2")
    follower.feed()
    assert (follower.latest, follower.step) == (0.5, 4000)


def test_a_follower_reads_only_what_was_added(world: World) -> None:
    path = world.put(*(history({"loss": float(n)}, n) for n in range(3000)))
    follower = WandbFollower(world.evidence(), LOSS)
    follower.feed()
    (file,) = follower._files.values()
    assert (file.count, file.log.position) == (3000, path.stat().st_size)
    follower.feed()
    assert file.count == 3000

"""Which files are an attempt's: by marks taken at its launch, by its own folder, by time only at last."""

import os
import shutil
from pathlib import Path

import pytest

from ardaemon.metrics import own
from tests.support.attempt import Attempt

START = 1_700_000_000.0
LONG_BEFORE, LONG_AFTER = START - 86_400, START + 86_400


class Place(Attempt):
    """A project with a run's folder, and what its launch has noted."""

    started_at = START

    def __init__(self, project: Path) -> None:
        super().__init__(project, project / ".autoresearch" / "261122-x" / "runs" / "r0002")

    def write(self, name: str, text: str, when: float = LONG_BEFORE) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (when, when))
        return path

    def add(self, name: str, text: str, when: float = LONG_BEFORE) -> None:
        with (self.project / name).open("a") as file:
            file.write(text)
        os.utime(self.project / name, (when, when))

    def mine(self, pattern: str, names: str = "*") -> dict[str, int]:
        found = self.evidence().mine(pattern, names)
        return {os.path.relpath(mine.path, os.path.realpath(self.project)): mine.offset for mine in found}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    (made.run / "a1").mkdir(parents=True)
    return made


def test_an_earlier_runs_file_is_not_ours_however_new_it_looks(place: Place) -> None:
    place.write("out/v1/metrics.csv", "a\n1\n", LONG_AFTER)
    place.launch("out/*/metrics.csv")
    assert place.mine("out/*/metrics.csv") == {}
    place.write("out/v2/metrics.csv", "a\n2\n")
    assert place.mine("out/*/metrics.csv") == {"out/v2/metrics.csv": 0}


@pytest.mark.parametrize("mark", ["", "1 2 3", "a b c d", "1 2 " + "9" * 5000 + " x"])
def test_a_forged_mark_makes_no_file_ours(place: Place, mark: str) -> None:
    path = place.write("out/m.csv", "a\n1\n")
    place.launch("out/*.csv")
    place.before[os.path.realpath(path)] = mark
    assert place.mine("out/*.csv") == {}


def test_our_file_counts_however_old_the_clock_makes_it(place: Place) -> None:
    place.launch("out/*.csv")
    place.write("out/m.csv", "a\n1\n", LONG_BEFORE)
    assert place.mine("out/*.csv") == {"out/m.csv": 0}


def test_what_was_added_to_a_file_is_told_from_what_stood_there(place: Place) -> None:
    place.write("m.jsonl", "old\n" * 3000)
    place.launch("m.jsonl")
    place.add("m.jsonl", "new\n")
    assert place.mine("m.jsonl") == {"m.jsonl": 12000}


@pytest.mark.parametrize("how", ["in place", "by rename", "after removal"])
@pytest.mark.parametrize("text", ["n\n", "another beginning\n" * 9])
def test_a_file_that_is_written_anew_is_ours_from_its_beginning(place: Place, how: str, text: str) -> None:
    path = place.write("m.csv", "old\n" * 10)
    place.launch("m.csv")
    if how == "by rename":
        path = place.write("other", text)
        path.rename(place.project / "m.csv")
    else:
        if how == "after removal":
            path.unlink()
        place.write("m.csv", text)
    assert place.mine("m.csv") == {"m.csv": 0}


def test_the_same_bytes_written_anew_are_ours(place: Place) -> None:
    """A deterministic script that is run again writes the same file."""
    place.write("m.csv", "a\n1\n")
    place.launch("m.csv")
    place.write("m.csv", "a\n1\n", START + 5)
    assert place.mine("m.csv") == {"m.csv": 0}


def test_the_runs_own_folder_needs_no_launch_note_and_no_clock(place: Place) -> None:
    place.write(f"{place.run}/tb/events.1", "x", LONG_BEFORE)
    assert len(place.mine("{run_dir}/**/events.*")) == 1


def test_what_an_earlier_attempt_left_in_the_runs_folder_is_not_the_next_ones(place: Place) -> None:
    place.write(f"{place.run}/tb/events.1", "x")
    place.launch(*own.noted(None, "a2"))
    place.write(f"{place.run}/tb/events.2", "x")
    assert [Path(name).name for name in place.mine("{run_dir}/**/events.*")] == ["events.2"]
    assert own.noted(None, "a1") == ()


def test_the_daemons_own_files_are_nobodys_metrics(place: Place) -> None:
    place.write(f"{place.run}/a1/samples.jsonl", "{}")
    place.write(f"{place.run}/a12/curve.jsonl", "{}")
    place.write(f"{place.run}/about/metrics.jsonl", "{}")
    for pattern in ("{run_dir}/**/*.jsonl", "{run_dir}", "{run_dir}/**"):
        assert [Path(name).name for name in place.mine(pattern, "*.jsonl")] == ["metrics.jsonl"], pattern


def test_a_link_in_the_runs_folder_makes_no_old_file_ours(place: Place) -> None:
    """The experiment's other files are linked into each run's folder."""
    old = place.write(".autoresearch/261122-x/metrics.csv", "old", LONG_BEFORE)
    (place.run / "metrics.csv").symlink_to(old)
    assert place.mine("{run_dir}/metrics.csv") == {}
    os.utime(old, (START + 1, START + 1))  # the script wrote there: by time, as nothing else is known
    assert len(place.mine("{run_dir}/metrics.csv")) == 1


def test_a_link_that_leads_elsewhere_now_is_judged_by_where_it_leads(place: Place) -> None:
    for name in ("v1", "v2"):
        place.write(f"out/{name}/m.csv", "old")
    latest = place.project / "out" / "latest"
    latest.symlink_to("v1")
    place.launch("out/latest/m.csv")
    latest.unlink()
    latest.symlink_to("v2")
    assert place.mine("out/latest/m.csv") == {}
    place.write("out/v3/m.csv", "new", START + 1)
    latest.unlink()
    latest.symlink_to("v3")
    assert place.mine("out/latest/m.csv") == {"out/latest/m.csv": 0}


def test_a_file_with_several_names_is_read_once(place: Place) -> None:
    place.write("out/v1/m.csv", "new")
    (place.project / "out" / "z").symlink_to("v1")
    place.launch("out/*/m.csv")
    place.write("out/v1/m.csv", "other", START)
    assert place.mine("out/*/m.csv") == {"out/v1/m.csv": 0}


def test_a_project_that_is_reached_by_a_link_is_the_same_project(place: Place, tmp_path: Path) -> None:
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    place.write("old.csv", "x", LONG_AFTER)
    other = Place(link)
    other.launch("*.csv", "{run_dir}/*.csv")
    place.write("new.csv", "x")
    place.write(f"{place.run}/own.csv", "x")
    assert other.mine("*.csv") == {"new.csv": 0}
    assert len(other.mine("{run_dir}/*.csv")) == 1


def test_a_pattern_that_no_launch_looked_at_is_judged_by_time(place: Place) -> None:
    place.write("a.csv", "x", START - 10)
    place.write("b.csv", "x", START - 1)  # filesystems' times are coarse
    assert place.mine("*.csv") == {"b.csv": 0}


def test_of_a_folder_the_files_with_the_right_names_count(place: Place) -> None:
    place.launch("logs", "logs/a/*", "logs/a/notes.txt")
    for name in ("logs/a/metrics.csv", "logs/a/notes.txt"):
        place.write(name, "x")
    assert place.mine("logs", "*.csv") == {"logs/a/metrics.csv": 0}
    assert place.mine("logs/a/*", "*.csv") == {"logs/a/metrics.csv": 0}
    assert place.mine("logs/a/notes.txt", "*.csv") == {"logs/a/notes.txt": 0}


def test_what_is_no_plain_file_is_passed_over(place: Place) -> None:
    os.mkfifo(place.project / "p.csv")
    (place.project / "gone.csv").symlink_to("nowhere")
    (place.project / "loop.csv").symlink_to("loop.csv")
    place.launch("*.csv")
    assert place.mine("*.csv") == {}


def test_names_with_brackets_and_odd_bytes_are_names(tmp_path: Path) -> None:
    place = Place(tmp_path / "a[b]*c")
    place.write(os.fsdecode(b"old-\xff.csv"), "x", LONG_AFTER)
    place.launch("*.csv", "{run_dir}/*.csv")
    place.write(os.fsdecode(b"new-\xff.csv"), "x")
    place.write(f"{place.run}/m.csv", "x")
    assert len(place.mine("*.csv")) == 1
    assert len(place.mine("{run_dir}/*.csv")) == 1


def test_why_there_is_none_is_said(place: Place) -> None:
    assert place.evidence().absent("*.csv") == "no file matches *.csv"
    place.write("a.csv", "x")
    place.launch("*.csv")
    assert place.evidence().absent("*.csv") == "1 files match *.csv, none of them written by this run"


def test_a_run_that_is_gone_has_no_files(place: Place) -> None:
    shutil.rmtree(place.run)
    assert place.mine("{run_dir}/**") == {}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")
def test_another_users_file_is_not_the_attempts_and_is_named(place: Place) -> None:
    place.launch("out/*.csv")
    os.chown(place.write("out/m.csv", "x"), 61002, 61002)
    assert place.mine("out/*.csv") == {}
    assert place.evidence().absent("out/*.csv") == (
        "1 files match out/*.csv, none of them written by this run"
        " (m.csv: it belongs to another user (uid 61002), who is not `trusted`)"
    )

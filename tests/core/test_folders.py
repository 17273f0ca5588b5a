"""A look through folders has a limit of names and of time, ends on request, and is taken in one place."""

import ast
import gc
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.checkpoints.survey import survey
from ardaemon.core import folders
from ardaemon.core.folders import Look, Unsearched, matches, walk
from ardaemon.core.interrupting import interruptible
from ardaemon.host import durable
from tests.support.every import every

trust = pytest.mark.promise("trust")

ROOT = Path(__file__).parents[2] / "ardaemon"
HOME = "core/folders.py"
WALKS = {"walk", "fwalk", "scandir", "rglob", "iglob", "listdir", "iterdir", "glob"}
NAMED = re.compile(rf"\.\s*({'|'.join(WALKS)})\b")  # a source that has none of them need not be parsed
# file -> why it may read folders itself.
ALLOWED = {
    "checkpoints/prune.py": "the daemon's own .ckpt",
    "core/layout.py": "the names of experiments",
    "engines/local/beginning.py": "one attempt's own folder",
    "engines/local/engine.py": "locks, in the private runtime folder",
    "experiment/history.py": "the names of runs",
    "experiment/left_as.py": "the private state folder",
    "experiment/repair.py": "the names of runs",
    "experiment/state.py": "the names of archives",
    "gpus/lease.py": "leases: with care of its own, for other users write there",
    "host/cgroup.py": "cgroupfs alone",
    "host/durable.py": "removes what was looked through, and the daemon's own temporary files",
    "host/proc.py": "/proc alone",
    "host/processes.py": "/proc alone",
    "host/quarantine.py": "the private state folder",
    "host/state.py": "copies beside a file of the daemon's",
    "job/capture/ar_capture.py": "runs in the job",
    "measuring/usage.py": "/proc and cgroupfs alone",
    "pipeline/apply.py": "the names of attempts",
    "pipeline/audit_files.py": "the private state folder",
    "recovery.py": "the private state folder",
    "taking_up.py": "the names of attempts",
}


def reads_folders(text: str) -> bool:
    """Is a function named in `text` that reads folders?"""
    if not NAMED.search(text):
        return False
    named = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute))
    return any(node.attr in WALKS and not _ours(node.value) for node in named)


def _ours(owner: ast.expr) -> bool:
    return isinstance(owner, ast.Name) and owner.id in ("folders", "ast")


def sources() -> Iterator[str]:
    return (str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))


@every("name", sources)
def test_no_folder_of_a_project_is_read_past_the_careful_look(name: str) -> None:
    if name != HOME and name not in ALLOWED:
        assert not reads_folders((ROOT / name).read_text()), "look by ardaemon/core/folders.py"


@every("name", ALLOWED)
def test_whoever_is_allowed_to_read_folders_does(name: str) -> None:
    assert reads_folders((ROOT / name).read_text())


def filled(folder: Path, count: int = 5) -> Path:
    for number in range(count):
        (folder / str(number)).touch()
    return folder


@trust
def test_too_many_names_end_the_look_and_the_error_says_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "NAMES_MAX", 4)
    with pytest.raises(Unsearched) as raised:
        list(matches("**/m", filled(tmp_path), Look("**/m")))
    assert str(raised.value) == "**/m: more than 4 files and folders are there: name a smaller folder"


def test_one_look_counts_all_folders_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "NAMES_MAX", 7)
    (tmp_path / "in").mkdir()
    look = Look(tmp_path)
    list(walk(filled(tmp_path), look))
    with pytest.raises(Unsearched):
        list(walk(filled(tmp_path / "in"), look))


@trust
def test_a_look_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "OFTEN", 2)
    with pytest.raises(Unsearched, match="took more than -1 s"):
        list(walk(filled(tmp_path), Look(tmp_path, seconds=-1)))
    assert len(list(walk(tmp_path, Look(tmp_path, seconds=math.inf)))) == 1


@trust
def test_a_look_for_which_nobody_waits_any_more_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "OFTEN", 2)

    def cancelled() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interruptible(cancelled, lambda: list(walk(filled(tmp_path), Look(tmp_path))))
    assert len(list(walk(tmp_path, Look(tmp_path)))) == 1


def test_a_name_that_is_known_is_asked_for_and_its_folder_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "NAMES_MAX", 2)
    filled(tmp_path)
    assert [one.name for one in matches("4", tmp_path, Look("4"))] == ["4"]
    (tmp_path / "in").mkdir()
    filled(tmp_path / "in")
    assert [one.name for one in matches("in/4", tmp_path, Look("in/4"))] == ["4"]


def test_a_folder_that_is_gone_or_no_folder_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for name in ("gone", "file", "fifo"):
        assert list(walk(tmp_path / name, Look(name))) == [(str(tmp_path / name), [])]
        assert list(matches(f"{name}/*", tmp_path, Look(name))) == []


def test_a_tree_of_any_depth_is_looked_through(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(1100):  # deeper than Python's own stack
        path /= "d"
        path.mkdir()
    (path / "m").touch()
    try:
        assert [one.path for one in matches("**/m", tmp_path, Look("**/m"))] == [str(path / "m")]
        assert len(list(walk(tmp_path, Look(tmp_path)))) == 1101
    finally:
        durable.remove_tree(tmp_path / "d")  # pytest could not


def test_what_is_found_makes_no_work_for_the_garbage_collector(tmp_path: Path) -> None:
    """It stops all threads meanwhile."""
    found = [one for _, entries in walk(filled(tmp_path), Look(tmp_path)) for one in entries]
    assert not any(map(gc.is_tracked, found))
    assert not any(map(gc.is_tracked, survey(tmp_path, tmp_path).files))

"""Durable writes: the old or the new, whole; and a swap that never loses what another wrote."""

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ardaemon.host import durable, proc

ROOT = Path(__file__).parents[2]
ROUNDS = 400


def only(folder: Path, *names: str) -> None:
    """Nothing is left there but these."""
    assert sorted(os.listdir(folder)) == sorted(names)


def child(code: str, *arguments: str, file_size: int) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process that can write no file beyond that size, as on a full disk (EFBIG)."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.run(
        [sys.executable, "-c", f"import sys; from ardaemon.host import durable; {code}", *arguments],
        preexec_fn=limit,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# --- write ---


@pytest.mark.parametrize("write", [durable.write, durable.publish])
def test_a_write_puts_bytes_and_mode_in_place_and_nothing_else(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    path = tmp_path / "state.json"
    for data, mode in ((b"one", 0o600), (b"", 0o444), (b"x" * 300_000, 0o644)):
        write(path, data, mode)
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) == mode
    only(tmp_path, "state.json")


@pytest.mark.parametrize(
    "code",
    [
        "durable.write(sys.argv[1], b'new' * 100000)",
        "durable.publish(sys.argv[1], b'new' * 100000)",
        "durable.swap(sys.argv[1], b'new' * 100000, lambda found: True)",
    ],
)
def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_litter(tmp_path: Path, code: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    ended = child(code, str(path), file_size=70_000)
    assert "File too large" in ended.stderr
    assert path.read_bytes() == b"old"
    only(tmp_path, "state.json")


def test_a_write_into_a_folder_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.write(tmp_path / "gone" / "state.json", b"data")


def test_a_symlink_in_its_place_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "state.json").symlink_to("target")
    durable.write(tmp_path / "state.json", b"ours")
    assert (tmp_path / "target").read_bytes() == b"theirs"
    assert (tmp_path / "state.json").read_bytes() == b"ours"
    assert not (tmp_path / "state.json").is_symlink()


def test_what_a_killed_write_left_behind_does_not_hinder_the_next_and_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (tmp_path / ".state.json.999999999.0.tmp").write_bytes(b"half")  # no pid is that high (proc(5), pid_max)
    pid, start = os.getpid(), proc.start_time(os.getpid())
    (tmp_path / f".state.json.{pid}-{(start or 0) - 1}.0.tmp").write_bytes(b"half")  # the pid is used again
    living = [f".state.json.{pid}.7.tmp", f".state.json.{pid}-{start}.999999999.tmp"]
    for name in living:
        (tmp_path / name).write_bytes(b"under way")
    (tmp_path / ".mine.tmp").write_bytes(b"somebody else's")
    durable.write(path, b"whole")
    assert path.read_bytes() == b"whole"
    durable.sweep(tmp_path)
    only(tmp_path, "state.json", ".mine.tmp", *living)


def test_append_adds_and_truncate_cuts(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    durable.append(path, b"one\n")
    durable.append(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    durable.truncate(path, 4)
    assert path.read_bytes() == b"one\n"


def test_a_link_is_pointed_elsewhere_without_a_moment_in_which_it_is_missing(tmp_path: Path) -> None:
    link, stop, missing = tmp_path / "best", threading.Event(), []
    durable.link_to("a0", link)

    def look() -> None:
        while not stop.is_set():
            if not os.path.lexists(link):
                missing.append(True)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(ROUNDS):
        durable.link_to(f"a{number}", link)
    stop.set()
    watcher.join()
    assert not missing
    assert os.readlink(link) == f"a{ROUNDS - 1}"
    only(tmp_path, "best")


# --- swap ---


def test_what_is_ours_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(b"ours")
    assert durable.swap(path, b"new", lambda found: found == b"ours", 0o640)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    only(tmp_path, "train.py")


def test_a_foreign_edit_is_kept_with_its_inode_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(b"someone's edit")
    path.chmod(0o755)
    before = path.stat()
    assert not durable.swap(path, b"new", lambda found: found == b"ours")
    assert path.read_bytes() == b"someone's edit"
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    only(tmp_path, "train.py")


def test_a_missing_file_is_replaced(tmp_path: Path) -> None:
    assert durable.swap(tmp_path / "train.py", b"new", lambda found: False)
    assert (tmp_path / "train.py").read_bytes() == b"new"
    only(tmp_path, "train.py")


def test_an_edit_saved_while_another_is_being_looked_at_is_the_one_that_stays(tmp_path: Path) -> None:
    """The moment in which a swap holds a foreign edit: a newer one is saved over its own data."""
    path = tmp_path / "train.py"
    path.write_bytes(b"edit 1")

    def ours(found: bytes) -> bool:
        (tmp_path / "saving").write_bytes(b"edit 2")
        os.rename(tmp_path / "saving", path)
        return False

    assert not durable.swap(path, b"new", ours)
    assert path.read_bytes() == b"edit 2"
    only(tmp_path, "train.py")


def test_an_edit_that_is_looked_at_while_the_name_is_moved_away_comes_back(tmp_path: Path) -> None:
    """As editors save: the file is renamed to a backup before the new one is written."""
    path = tmp_path / "train.py"
    path.write_bytes(b"edit 1")

    def ours(found: bytes) -> bool:
        os.rename(path, tmp_path / "train.py~")
        return False

    assert not durable.swap(path, b"new", ours)
    assert path.read_bytes() == b"edit 1"
    only(tmp_path, "train.py", "train.py~")


def test_a_name_that_is_taken_in_the_moment_of_placing_is_looked_at_again(tmp_path: Path) -> None:
    """A person creates and removes the file all the time; no swap fails, and none overwrites an edit."""
    path, stop = tmp_path / "train.py", threading.Event()
    refused: list[bytes] = []

    def person() -> None:
        while not stop.is_set():
            path.write_bytes(b"edit")
            path.unlink(missing_ok=True)

    def ours(found: bytes) -> bool:
        refused.extend([] if found == b"new" else [found])
        return found == b"new"

    writer = threading.Thread(target=person)
    writer.start()
    try:
        for _ in range(ROUNDS):
            durable.swap(path, b"new", ours, folder=False)
    finally:
        stop.set()
        writer.join()
    assert set(refused) <= {b"", b"edit"}


def test_a_writer_that_saves_all_the_time_never_loses_an_edit_that_it_did_not_replace_itself(
    tmp_path: Path,
) -> None:
    """After each save by rename: either that edit still stands, or nothing of it was ever overwritten."""
    path, stop = tmp_path / "train.py", threading.Event()
    path.write_bytes(b"edit 0")
    swapped: list[bool] = []

    def swapper() -> None:
        while not stop.is_set():
            swapped.append(durable.swap(path, b"new", lambda found: found == b"new", folder=False))

    rival = threading.Thread(target=swapper)
    rival.start()
    try:
        for number in range(1, ROUNDS * 5):
            (tmp_path / "saving").write_bytes(b"edit %d" % number)
            os.rename(tmp_path / "saving", path)
    finally:
        stop.set()
        rival.join()
    assert swapped
    assert path.read_bytes() == b"edit %d" % (ROUNDS * 5 - 1)
    only(tmp_path, "train.py")


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "top"
    path.mkdir()
    for _ in range(1100):  # deeper than Python's own stack
        path /= "d"
        path.mkdir()
    (path / "file").touch()
    assert durable.remove_tree(tmp_path / "top")
    assert os.listdir(tmp_path) == []

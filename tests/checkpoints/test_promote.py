"""A checkpoint's copy: whole, hashed, swapped in by one rename; and what happens where it cannot be made."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardaemon.checkpoints import copy as copying
from ardaemon.checkpoints import place, promote
from ardaemon.checkpoints.promote import Promotion
from ardaemon.core.config import FREE_DISK_MIN
from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, Result
from ardaemon.core.run_record import RunRecord
from ardaemon.host import operations, state
from ardaemon.pipeline import apply, decide
from tests.pipeline.test_apply import committed, live, plain
from tests.support.checkpoints import over, saved
from tests.support.folders import experiment
from tests.support.runs import everything

trust = pytest.mark.promise("trust")

MIB = 1 << 20


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """An experiment with a live session."""
    found = experiment(tmp_path)
    live(found)
    return found


def best(made: Experiment) -> Best:
    found = state.read(made.best, Best)
    assert found is not None
    return found


def larger_than_the_disk(path: Path) -> Path:
    """A file with a hole: it takes no space, and its copy would take more than there is."""
    found = os.statvfs(path.parent)
    path.touch()
    os.truncate(path, found.f_bavail * found.f_frsize + (1 << 20))
    return path


# --- the copy ---


def test_links_are_copied_as_links_and_special_files_are_left_out(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    (folder / "self").symlink_to(".")
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    assert committed(run).checkpoint == ".ckpt/r0001"
    copy = made.best_checkpoint / "ckpt-1"
    assert sorted(os.listdir(copy)) == ["optimizer", "self", "weights"]
    assert os.readlink(copy / "self") == "."
    assert (copy / "optimizer/state").read_bytes() == b"state"


def test_meta_json_has_the_size_and_the_hash_of_each_file(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    saved(run.run.job)
    committed(run)
    meta = json.loads((made.best_checkpoint / "meta.json").read_bytes())
    assert (meta["run_id"], meta["name"], meta["primary"]["value"]) == ("r0001", "ckpt-1", 1.0)
    assert meta["files"] == {
        f"ckpt-1/{name}": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in (("optimizer/state", b"state"), ("weights", b"weights"))
    }
    assert promote.verify(made.best_checkpoint) == []


@pytest.mark.parametrize("size", [0, 1, copying.BLOCK - 1, copying.BLOCK, 3 * copying.BLOCK + 7])
def test_a_file_of_any_size_is_copied_and_hashed_to_its_last_byte(
    made: Experiment, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "COPIED_AT_ONCE", copying.BLOCK + 1)
    run = over(made, 1, 1.0)
    data = os.urandom(size)
    folder = saved(run.run.job, weights=data)
    committed(run)
    copy = made.best_checkpoint / "ckpt-1/weights"
    assert copy.read_bytes() == data
    assert copy.stat().st_ino != (folder / "weights").stat().st_ino
    assert promote.verify(made.best_checkpoint) == []


def test_progress_is_told_at_once_and_then_once_a_second_up_to_all_of_it(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job, weights=bytes(5 << 20))
    told: list[tuple[float, int, int]] = []
    promotion = Promotion(report=lambda done, total: told.append((time.monotonic(), done, total)))
    begun = time.monotonic()
    promote.promote(made, "r0001", folder, plain(), promotion)
    assert told
    assert {total for _, _, total in told} == {(5 << 20) + 5}
    assert all(done <= total for _, done, total in told)
    # A thread that waits for a processor tells late, and the next one comes after a shorter time.
    assert all(at - begun >= number * copying.PROGRESS_S for number, (at, _, _) in enumerate(told))


def test_who_is_told_of_the_progress_can_end_the_copy(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)

    def stopped(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        promote.promote(made, "r0001", folder, plain(), Promotion(report=stopped))
    assert not made.best_checkpoint.exists()
    assert promote.promote(made, "r0001", folder, plain()) is None
    assert promote.verify(made.best_checkpoint) == []
    assert sorted(os.listdir(made.checkpoints)) == ["r0001"]


def test_every_folder_of_a_copy_is_synced_before_its_meta(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    promote.promote(made, "r0001", folder, plain())
    meta = next(at for at, name in enumerate(synced) if name.startswith(".meta.json"))
    assert {"weights", "state", "optimizer", "ckpt-1"} <= set(synced[:meta])


def test_a_torn_copy_is_removed_and_made_anew(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    saved(run.run.job)
    record = decide.decide(run)
    for torn in (made.checkpoints / ".r0001.partial/ckpt-1", made.checkpoints / "r0001/ckpt-1"):
        torn.mkdir(parents=True)
        (torn / "half").touch()
    apply.apply(made, run.run, record)
    assert sorted(os.listdir(made.checkpoints)) == ["r0001"]
    assert sorted(os.listdir(made.best_checkpoint / "ckpt-1")) == ["optimizer", "weights"]


# --- verify ---


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (
            lambda at: (at / "ckpt-1/weights").write_bytes(b"weighty"),
            "ckpt-1/weights: its bytes were changed",
        ),
        (lambda at: (at / "ckpt-1/weights").write_bytes(b"we"), "ckpt-1/weights: 2 bytes instead of 7"),
        (lambda at: (at / "ckpt-1/weights").unlink(), "ckpt-1/weights: No such file or directory"),
        (lambda at: (at / "ckpt-1/more").touch(), "ckpt-1/more: it was added"),
        (lambda at: (at / "meta.json").write_text("{"), "meta.json: "),
    ],
)
def test_what_was_changed_in_a_copy_is_found_and_a_restarted_daemon_makes_it_anew(
    made: Experiment, harm: Any, fault: str
) -> None:
    run = over(made, 1, 1.0)
    saved(run.run.job)
    record = decide.decide(run)
    apply.apply(made, run.run, record)
    harm(made.checkpoints / "r0001")
    [found] = promote.verify(made.checkpoints / "r0001")
    assert found.startswith(fault)
    apply.apply(made, run.run, record)
    assert promote.verify(made.best_checkpoint) == []
    assert (made.best_checkpoint / "ckpt-1/weights").read_bytes() == b"weights"


def test_a_whole_copy_is_left_as_it_is_though_its_source_is_gone(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    record = decide.decide(run)
    first = apply.apply(made, run.run, record)
    shutil.rmtree(folder)
    assert apply.apply(made, run.run, record) == first
    assert promote.verify(made.best_checkpoint) == []


def test_a_copy_of_an_earlier_version_without_hashes_is_whole(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    saved(run.run.job)
    committed(run)
    path = made.checkpoints / "r0001/meta.json"
    meta = json.loads(path.read_bytes())
    del meta["files"]
    path.write_text(json.dumps(meta))
    assert promote.verify(path.parent) == []


# --- whose it is ---

STRANGER = 61002  # a uid that no password file knows
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")
FOREIGN = "belongs to another user (uid 61002), who is not `trusted`"


@trust
def test_no_copy_runs_as_its_owner_or_lets_others_write(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    for name, mode in (("weights", 0o6777), ("optimizer/state", 0o640)):
        (folder / name).chmod(mode)
    os.utime(folder / "weights", ns=(1, 10**18))
    with contextlib.suppress(OSError):  # a file system without them
        os.setxattr(folder / "weights", "user.origin", b"elsewhere")
    committed(run)
    copy = made.best_checkpoint / "ckpt-1"
    assert (copy / "weights").stat().st_mode & 0o7777 == 0o755
    assert (copy / "weights").stat().st_mtime_ns == 10**18
    assert os.listxattr(copy / "weights") == []
    assert (copy / "optimizer/state").stat().st_mode & 0o7777 == 0o640


def test_a_copy_is_no_more_open_than_the_umask_lets_it(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    (saved(run.run.job) / "weights").chmod(0o644)
    before = os.umask(0o077)
    try:
        committed(run)
    finally:
        os.umask(before)
    assert (made.best_checkpoint / "ckpt-1/weights").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(("given", "then"), [(0o700, 0o700), (0o555, 0o755), (0o2777, 0o755)])
def test_the_copy_of_a_folder_is_as_open_as_the_folder_and_can_be_filled(
    made: Experiment, given: int, then: int
) -> None:
    """What lies in a private folder may well have a mode by which others could read it."""
    run = over(made, 1, 1.0)
    (saved(run.run.job) / "optimizer").chmod(given)
    committed(run)
    assert (made.best_checkpoint / "ckpt-1/optimizer").stat().st_mode & 0o7777 == then


@trust
@needs_root
@pytest.mark.parametrize("name", ["weights", "optimizer", "link"])
def test_what_another_user_has_put_into_a_checkpoint_is_refused_and_named(
    made: Experiment, name: str
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    (folder / "link").symlink_to("weights")
    os.chown(folder / name, STRANGER, STRANGER, follow_symlinks=False)
    result = committed(run)
    assert (result.verdict, result.checkpoint) == ("advance", None)
    assert result.reason == f"checkpoint not promoted: ckpt-1: {name} {FOREIGN}"
    assert list(made.checkpoints.iterdir()) == []


@trust
@needs_root
def test_a_link_of_another_user_is_not_followed_to_a_checkpoint(made: Experiment) -> None:
    """The link may lead to other files of this user."""
    run = over(made, 1, 1.0)
    link = run.run.job / "ckpt-2"
    link.symlink_to(saved(run.run.folder, "elsewhere"))
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    assert promote.promote(made, "r0001", link, plain()) == f"ckpt-2: it {FOREIGN}"


@needs_root
def test_in_a_trusted_folder_files_of_others_are_copied(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    os.chown(folder / "weights", STRANGER, STRANGER)
    trusting = Promotion(trusted=(str(folder.parent),))
    assert promote.promote(made, "r0001", folder, plain(), trusting) is None
    assert (made.best_checkpoint / "ckpt-1/weights").stat().st_uid == 0


def opened(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


@trust
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("name", ["weights", "optimizer"])
def test_what_is_swapped_after_it_was_surveyed_is_not_copied(
    made: Experiment, monkeypatch: pytest.MonkeyPatch, name: str, back: bool
) -> None:
    """The survey has asked whose the files are: another file in the same place may be anybody's."""
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    other = saved(run.run.folder, "other", weights=b"another")
    for file in ("weights", "optimizer/state"):  # as large and as old
        stamp = (folder / file).stat().st_mtime_ns
        os.utime(other / file, ns=(stamp, stamp))
    place, aside = folder / name, run.run.folder / "aside"

    def swapped(operation: str, *given: Any) -> None:
        if operation == "mkdir" and str(given[0]).endswith("/ckpt-1"):
            place.rename(aside)
            (other / name).rename(place)
        elif operation == "copy" and back and opened(given[0]).startswith(str(place)):
            place.rename(other / name)
            aside.rename(place)

    monkeypatch.setattr(operations, "hook", swapped)
    assert committed(run).reason == "checkpoint not promoted: ckpt-1: it was changed while it was copied"
    assert list(made.checkpoints.iterdir()) == []


def test_a_link_that_took_a_files_place_since_is_not_followed(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)

    def swapped(operation: str, *given: Any) -> None:
        if operation == "mkdir" and str(given[0]).endswith("/ckpt-1"):
            (folder / "weights").rename(run.run.folder / "aside")
            (folder / "weights").symlink_to(run.run.folder / "aside")

    monkeypatch.setattr(operations, "hook", swapped)
    assert committed(run).reason == "checkpoint not promoted: ckpt-1: it is a link, not a plain file"


# --- what stands in the way ---


def test_a_checkpoint_that_is_gone_before_its_copy_does_not_hold_up_the_commit(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    record = decide.decide(run)
    (folder / "weights").unlink()
    folder.rename(run.run.job / "elsewhere")
    first = apply.apply(made, run.run, record)
    assert (first.verdict, first.checkpoint) == ("advance", None)
    assert first.reason == "checkpoint not promoted: ckpt-1: No such file or directory"
    assert (best(made).run_id, best(made).checkpoint) == ("r0001", None)
    assert not os.path.lexists(made.best_checkpoint)
    assert list(made.checkpoints.iterdir()) == []


def test_a_copy_that_failed_stays_given_up_though_its_source_comes_back(made: Experiment) -> None:
    """As after a kill between the steps: the second apply must not tell another story than the first."""
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)
    record = decide.decide(run)
    aside = folder.rename(run.run.job / "elsewhere")
    first = apply.apply(made, run.run, record)
    once = everything(made.folder)
    aside.rename(folder)
    assert apply.apply(made, run.run, record) == first
    reread = state.read(run.run.record, RunRecord)
    assert reread is not None
    assert apply.apply(made, run.run, reread) == first
    folder.rename(aside)
    assert everything(made.folder) == once


def test_an_unreadable_file_in_a_checkpoint_is_named(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the refusal itself is given."""
    run = over(made, 1, 1.0)
    saved(run.run.job)

    def refused(name: str, *_: object) -> None:
        if name == "copy":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(operations, "hook", refused)
    assert committed(run).reason == "checkpoint not promoted: ckpt-1: Permission denied"


def test_a_file_that_is_written_while_it_is_copied_is_no_checkpoint(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run.run.job)

    def written(name: str, *given: Any) -> None:
        if name == "fsync" and opened(given[0]).endswith("partial/ckpt-1/weights"):
            (folder / "weights").write_bytes(b"weights and more")

    monkeypatch.setattr(operations, "hook", written)
    result = committed(run)
    assert result.reason == "checkpoint not promoted: ckpt-1: it was changed while it was copied"


def test_a_full_disk_holds_up_the_commit_until_there_is_space(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk passes: the checkpoint is not given up for it, and the torn copy takes no space."""
    run = over(made, 1, 1.0)
    saved(run.run.job)
    record = decide.decide(run)

    def full(name: str, *given: Any) -> None:
        if name == "fsync" and opened(given[0]).endswith("/weights"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", full)
        with pytest.raises(StorageError, match="No space left"):
            promote.promote(made, "r0001", run.run.job / "ckpt-1", plain())
    assert list(made.checkpoints.iterdir()) == []
    assert apply.apply(made, run.run, record).checkpoint == ".ckpt/r0001"


def advanced_before(made: Experiment) -> None:
    """A first best with its checkpoint."""
    first = over(made, 1, 1.0)
    saved(first.run.job)
    committed(first)


def test_without_space_for_the_copy_nothing_of_the_advance_is_done_and_no_byte_is_written(
    made: Experiment,
) -> None:
    advanced_before(made)
    run = over(made, 2, 0.5)
    source = larger_than_the_disk(run.run.job / "ckpt-1.bin")
    record = decide.decide(run)
    once = (made.best.read_bytes(), os.readlink(made.best_checkpoint), made.results.read_bytes())
    with pytest.raises(StorageError, match=r"No space left on device: its copy takes .* are free for it"):
        apply.apply(made, run.run, record)
    assert (made.best.read_bytes(), os.readlink(made.best_checkpoint), made.results.read_bytes()) == once
    assert (made.checkpoints.exists(), source.exists(), run.run.result.exists()) == (True, True, False)
    assert sorted(os.listdir(made.checkpoints)) == ["r0001"]
    os.truncate(source, 5)  # the same as when space is back
    assert apply.apply(made, run.run, record).checkpoint == ".ckpt/r0002"
    assert best(made).run_id == "r0002"


def test_an_advance_goes_on_without_its_checkpoint_once_it_has_waited_for_space_long_enough(
    made: Experiment,
) -> None:
    advanced_before(made)
    run = over(made, 2, 0.5)
    source = larger_than_the_disk(run.run.job / "ckpt-1.bin")
    waited = Promotion(short_since=time.monotonic() - promote.PATIENCE_S - 1)
    result: Result = apply.apply(made, run.run, decide.decide(run), (), waited)
    assert (result.verdict, result.checkpoint) == ("advance", None)
    assert result.reason is not None
    assert result.reason.startswith("checkpoint not promoted: ckpt-1.bin: No space left on device: its copy")
    assert source.exists()
    assert not os.path.lexists(made.best_checkpoint)


def test_a_best_without_a_checkpoint_takes_the_older_link_away(made: Experiment) -> None:
    """AR_BEST_CKPT must never lead to the state of a run that is not the best."""
    advanced_before(made)
    assert made.best_checkpoint.is_symlink()
    second: Result = committed(over(made, 2, 0.5))
    assert (second.verdict, second.checkpoint, second.reason) == ("advance", None, None)
    assert not os.path.lexists(made.best_checkpoint)


# --- readers ---


def test_whoever_follows_the_link_finds_the_old_or_the_new_whole(made: Experiment) -> None:
    advanced_before(made)
    over_all, faults, seen = threading.Event(), [], set()

    def reader() -> None:
        while not over_all.is_set():
            at = Path(os.path.realpath(made.best_checkpoint))
            faults.extend(promote.verify(at))
            seen.add(at.name)

    thread = threading.Thread(target=reader)
    thread.start()
    try:
        for number in range(2, 12):
            run = over(made, number, 1.0 / number)
            saved(run.run.job, weights=os.urandom(100_000))
            assert committed(run).checkpoint is not None
    finally:
        over_all.set()
        thread.join()
    assert faults == []
    assert len(seen) > 1


# --- filesystems ---


@pytest.fixture
def reflinks(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem that shares blocks between files."""
    if os.getuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("needs root and mkfs.xfs")
    image, home = tmp_path / "image", tmp_path / "mounted"
    home.mkdir()
    image.touch()
    os.truncate(image, 320 * MIB)  # the smallest that mkfs.xfs makes is 300
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, home], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no loop device may be mounted here")
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


def test_where_blocks_can_be_shared_a_copy_takes_no_space_and_is_no_hard_link(reflinks: Path) -> None:
    made = experiment(reflinks)
    live(made)
    run = over(made, 1, 1.0)
    data = os.urandom(100 * MIB)
    folder = saved(run.run.job, weights=data)
    os.sync()
    before = os.statvfs(reflinks)
    assert before.f_bavail * before.f_frsize - FREE_DISK_MIN < len(data), "a plain copy would have space"
    assert committed(run).checkpoint == ".ckpt/r0001"
    os.sync()
    taken = before.f_bavail - os.statvfs(reflinks).f_bavail
    assert taken * before.f_frsize < len(data) / 10
    with (folder / "weights").open("r+b") as file:  # as a later run that overwrites its output in place
        file.write(bytes(MIB))
    assert (made.best_checkpoint / "ckpt-1/weights").read_bytes() == data
    assert promote.verify(made.best_checkpoint) == []


def test_a_checkpoint_on_another_filesystem_is_copied(made: Experiment) -> None:
    device = made.folder.stat().st_dev
    folders = (Path(name) for name in ("/dev/shm", "/tmp", "/var/tmp"))
    elsewhere = next((one for one in folders if one.is_dir() and one.stat().st_dev != device), None)
    if elsewhere is None:
        pytest.skip("needs a second filesystem")
    with tempfile.TemporaryDirectory(dir=elsewhere) as home:
        source = saved(Path(home), weights=os.urandom(3 * MIB))
        over(made, 1, 1.0)
        assert promote.promote(made, "r0001", source, plain()) is None
        assert promote.verify(made.best_checkpoint) == []
        copy = made.best_checkpoint / "ckpt-1/weights"
        assert copy.read_bytes() == (source / "weights").read_bytes()
        assert copy.stat().st_mtime_ns == (source / "weights").stat().st_mtime_ns


def test_a_checkpoint_of_too_many_files_is_not_copied(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promote, "FILES_MAX", 1)
    run = over(made, 1, 1.0)
    saved(run.run.job)
    assert committed(run).reason == "checkpoint not promoted: ckpt-1: it holds more than 1 files"


def test_a_meta_json_of_thousands_of_files_is_read(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    saved(run.run.job)
    committed(run)
    path = made.best_checkpoint / "meta.json"
    path.write_bytes(path.read_bytes() + b" " * (5 << 20))
    assert promote.verify(made.best_checkpoint) == []
    assert place.promoted_at(made.checkpoints / "r0001") is not None

"""What stands in the way of a file is found, whoever put it there, and the command that is named mends it."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ardaemon.core.errors import StorageError
from ardaemon.host import durable, state
from ardaemon.host.obstacle import find
from tests.support.other_user import as_user

root_alone = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


def folder(path: Path) -> None:
    (path / "mine").mkdir(parents=True)


def file_above(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.rmdir()
    path.parent.write_text("a file")


def link_in_a_circle(path: Path) -> None:
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.symlink_to(path.parent)


@pytest.mark.parametrize(
    ("put", "what"),
    [
        (folder, "a folder of uid {uid}"),
        (file_above, "a file of uid {uid}"),
        (link_in_a_circle, "a link of uid {uid}"),
    ],
)
def test_a_thing_of_the_wrong_kind_is_named_with_its_owner_and_moved_away_by_the_command(
    tmp_path: Path, put: Callable[[Path], None], what: str
) -> None:
    path = tmp_path / "runs/r0001/result.json"
    put(path)
    with pytest.raises(StorageError) as caught, state.storage("write", path):
        durable.write(path, b"{}")
    assert what.format(uid=os.getuid()) in caught.value.message
    subprocess.run(caught.value.mend, shell=True, check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, b"{}")


def told(uid: int, path: Path, named: str | None = None) -> tuple[str, str]:
    """What another user is told of a path that he may not write, where the error has named `named`."""
    error = PermissionError(13, "Permission denied", named or str(path))
    _, why, mend = as_user(uid, lambda: "|".join(find(str(path), error) or ("", "", ""))).split("|")
    return why, mend


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may look into, with all above it."""
    with tempfile.TemporaryDirectory(prefix="ar-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@root_alone
def test_a_folder_that_may_not_be_written_is_named_with_owner_and_mode(open_folder: Path) -> None:
    closed, path = open_folder / "closed", open_folder / "closed/best.json"
    closed.mkdir(mode=0o755)
    assert told(1234, path) == ("it belongs to uid 0, root, mode 0755", f"sudo chown 1234 {closed}")
    os.chown(closed, 1234, 1234)
    closed.chmod(0o555)
    assert told(1234, path) == ("its mode 0555 forbids it", f"chmod u+wx {closed}")
    closed.chmod(0o755)
    path.write_text("{}")
    assert told(1234, path) == ("it belongs to uid 0, root, mode 0644", f"sudo chown 1234 {path}")


@root_alone
@pytest.mark.parametrize("mode", [0o000, 0o200, 0o300, 0o600])
@pytest.mark.parametrize("closed", ["project/.autoresearch", "project/.autoresearch/a/runs"])
def test_a_folder_that_is_closed_is_blamed_and_not_the_one_that_was_asked_for(
    open_folder: Path, closed: str, mode: int
) -> None:
    """What the error names lies in it: the project, or the file that was to be read, is not at fault."""
    folders = [open_folder / "project/.autoresearch/a/runs/r0001"]
    folders[0].mkdir(parents=True)
    while folders[-1] != open_folder / "project":
        folders.append(folders[-1].parent)
    for folder in folders:
        os.chown(folder, 1234, 1234)
    shut = open_folder / closed
    shut.chmod(mode)
    named = shut if mode & 0o100 else folders[0] / "train.py"  # it cannot be listed; nothing in it is seen
    said = (f"its mode {mode:04o} forbids it", f"chmod u+rwx {shut}")
    assert told(1234, open_folder / "project", str(named)) == said
    assert told(1234, named, str(named)) == said


@root_alone
def test_a_file_that_may_not_be_read_is_to_be_opened_for_reading(open_folder: Path) -> None:
    path = open_folder / "project/run.json"
    path.parent.mkdir()
    path.touch(mode=0o200)
    for each in (path, path.parent):
        os.chown(each, 1234, 1234)
    assert told(1234, path) == ("its mode 0200 forbids it", f"chmod u+rw {path}")


@root_alone
def test_a_look_that_the_kernel_refuses_is_an_error_with_its_mend(open_folder: Path) -> None:
    """Whoever looked, and wherever: no such look is a fault of the daemon."""
    with pytest.raises(StorageError, match=r"cannot look at /nowhere/run\.json") as caught, state.seen():
        raise PermissionError(13, "Permission denied", "/nowhere/run.json")
    assert caught.value.mend
    with pytest.raises(PermissionError), state.seen():
        raise PermissionError(1, "Operation not permitted")  # of no file


def test_where_the_modes_allow_it_the_attributes_are_to_be_looked_at(tmp_path: Path) -> None:
    found = find(str(tmp_path / "x"), PermissionError(1, "Operation not permitted"))
    assert found is not None
    assert found.mend.endswith(f"lsattr -d {tmp_path}")


def test_of_other_errors_a_look_at_the_path_says_nothing(tmp_path: Path) -> None:
    assert find(str(tmp_path / "x"), OSError(28, "No space left on device")) is None

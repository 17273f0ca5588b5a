"""Files that somebody else may have put there are opened with care, and past core/files.py nowhere."""

import ast
import errno
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ardaemon.core import files
from ardaemon.host import operations

no_plain_file = pytest.mark.promise("no-plain-file")
ROOT = Path(__file__).parents[2] / "ardaemon"
HOME = "core/files.py"
SOON_S = 5.0  # an answer that waits for nobody, on a busy machine
MODULES = {"os": {"open", "fdopen"}, "io": {"open", "FileIO"}, "filecmp": {"cmp"}, "codecs": {"open"}}
COPIES = {"copy", "copy2", "copyfile", "copytree"}
METHODS = {"open", "read_text", "read_bytes"}
# file -> why it may open files itself.
ALLOWED = {
    "core/layout.py": "/proc alone",
    "core/places.py": "/proc/self alone",
    "core/owner.py": "/proc alone",
    "core/project.py": "folders, to ask whose they are, and config.toml, which its user names",
    "gpus/lease_file.py": "leases: with care of its own, for other users write there",
    "gpus/nvml_library.py": "the system's ld.so.cache",
    "gpus/nvml_worker.py": "/proc alone",
    "host/cgroup.py": "/proc and cgroupfs alone",
    "host/file_lock.py": "locks and /proc/locks, in the private runtime folder",
    "host/operations.py": "opens for writing, and folders, with the same care",
    "host/proc.py": "/proc alone",
    "job/capture/ar_capture.py": "runs in the job",
    "journal.py": "the daemon's log, in the private state folder",
    "measuring/usage.py": "/proc and cgroupfs alone",
    "metrics/keeper.py": "/proc alone",
    "metrics/sqlite_file.py": "writes a copy into a temporary folder of its own",
    "rpc/listening.py": "the socket's own folder",
    "shim/ending.py": "/proc/self/comm",
    "shim/handover.py": "a descriptor that it was given",
    "shim/supervisor.py": "the attempt's folders, /dev/null, /proc, and the log that it makes itself",
    "startup.py": "config.toml, which its user names",
}


def openings(text: str) -> set[str]:
    """Every call in `text` that may open a file."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id="open")):
                found.add("open")
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if name in MODULES.get(owner, ()):
                found.add(f"{owner}.{name}")
            case ast.Attribute(value=ast.Name(id="shutil"), attr=name) if name in COPIES:
                found.add(f"shutil.{name}")
            case ast.Attribute(value=ast.Name(id="files"), attr=_):
                pass
            case ast.Attribute(attr=name) if name in METHODS:
                found.add(name)
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_opened_past_the_careful_opener(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name != HOME and name not in ALLOWED:
        assert openings(path.read_text()) == set(), "open it by ardaemon/core/files.py"


@pytest.mark.parametrize("name", ALLOWED)
def test_whoever_is_allowed_to_open_files_does(name: str) -> None:
    assert openings((ROOT / name).read_text()) != set()


@pytest.mark.parametrize(
    "text", ["open(x)", "os.open(x, 0)", "path.open('rb')", "Path(x).read_text()", "path.read_bytes()"]
)
def test_an_opening_past_it_is_found(text: str) -> None:
    assert openings(text)


def test_an_opening_through_it_is_not_reported() -> None:
    assert openings("files.opened(x)\nfiles.read(x, 3)\nfiles.text(x)") == set()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def fifo_with_a_writer(path: Path) -> None:
    """A FIFO that can be opened at once, and has nothing to read."""
    os.mkfifo(path)
    os.open(path, os.O_RDWR)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = (fifo, fifo_with_a_writer, bound_socket, Path.mkdir, endless_device, circle)


@no_plain_file
@pytest.mark.parametrize("put", NO_FILES)
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, put: object) -> None:
    path = tmp_path / "f"
    put(path)  # type: ignore[operator]  # each takes the path
    with pytest.raises(files.NotPlain, match="it is a "):
        files.read(path, 10)
    with pytest.raises(files.NotPlain):
        files.opened(path, os.O_NOFOLLOW)


def says_no(work: Callable[[], object]) -> bool:
    """Does the work raise NotPlain, or say that nobody reads there?"""
    try:
        work()
    except files.NotPlain:
        return True
    except OSError as error:
        return error.errno == errno.ENXIO
    return False


def at_once(path: Path, work: Callable[[], object]) -> bool:
    """Does it say no without a wait for the other end of the FIFO `path`?"""
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(says_no, work)
        try:
            return said.result(SOON_S)
        except TimeoutError:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # both ends: nobody waits any more
            said.result()
            os.close(fd)
            return False


@no_plain_file
def test_a_fifo_that_comes_after_the_look_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.touch()
    look = files.require_plain

    def replaced(status: os.stat_result, name: files.Path) -> None:
        look(status, name)
        path.unlink()
        fifo(path)

    monkeypatch.setattr(files, "require_plain", replaced)
    assert at_once(path, lambda: files.read(path, 10))


@no_plain_file
@pytest.mark.parametrize("opens", [lambda path: operations.create(path, 0, 0o644), operations.reopen])
def test_a_fifo_is_not_waited_for_by_who_writes(tmp_path: Path, opens: Callable[[Path], int]) -> None:
    path = tmp_path / "f"
    fifo(path)
    assert at_once(path, lambda: opens(path))


def test_a_link_to_nothing_is_as_no_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.symlink_to("nothing")
    with pytest.raises(FileNotFoundError):
        files.read(path, 10)


def test_a_plain_file_is_read_whole_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\r\nb")
    assert files.read(path, 4) == b"a\r\nb"
    assert files.text(path) == "a\nb"
    with pytest.raises(files.NotPlain, match="larger"):
        files.read(path, 3)


def test_a_link_is_refused_where_none_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    assert files.read(tmp_path / "link", 1) == b"x"
    with pytest.raises(files.NotPlain, match="it is a link"):
        files.read(tmp_path / "link", 1, os.O_NOFOLLOW)


def test_a_file_that_holds_more_than_its_size_says_is_read_to_its_end() -> None:
    whole = Path("/proc/version").read_bytes()
    assert os.stat("/proc/version").st_size == 0 < len(whole)
    assert files.read("/proc/version", len(whole)) == whole
    assert files.head("/proc/version", 4) == whole[:4]
    with pytest.raises(files.NotPlain):
        files.read("/proc/version", len(whole) - 1)

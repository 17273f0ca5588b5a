"""Files that somebody else may have put there are opened with care, and past core/files.py nowhere.

What is taken of each kind of file is in core/file_kinds.py.
"""

import ast
import errno
import os
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ardaemon.core import file_kinds, files
from ardaemon.core.file_kinds import Kind
from ardaemon.host import operations
from tests.support.every import every

no_plain_file = pytest.mark.promise("no-plain-file")
ROOT = Path(__file__).parents[2]
HOME = "ardaemon/core/files.py"
STRANGER = 61002  # a uid that no password file knows
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")
SMALL, LINKED = Kind(10), Kind(10, links=True)
SOON_S = 5.0  # an answer that waits for nobody, on a busy machine
MODULES = {
    "os": {"open", "fdopen"},
    "io": {"open", "open_code", "FileIO"},
    "codecs": {"open"},
    "filecmp": {"cmp", "cmpfiles", "dircmp"},
    "fileinput": {"input", "FileInput"},
    "linecache": {"getline", "getlines"},
    "logging": {"FileHandler"},
    "mmap": {"mmap"},
    "runpy": {"run_path"},
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move"},
    "sqlite3": {"connect"},
    "zipfile": {"ZipFile"},
}
METHODS = {"open", "read_text", "read_bytes"}
# A source that has none of these in it opens nothing, and need not be parsed.
NAMED = re.compile(
    rf"\bopen\s*\(|\bfrom\s+({'|'.join(MODULES)})\b|\.\s*({'|'.join(METHODS.union(*MODULES.values()))})\b"
)
# file -> why it may open files itself.
ALLOWED = {
    "arctl/cli.py": "/dev/null alone",
    "arctl/commands/daemon.py": "the daemon's log, in the private state folder; a pidfd",
    "arctl/commands/doctor.py": "/proc alone",
    "arctl/dial.py": "daemon.json, in the private state folder",
    "arctl/lock_holder.py": "the daemon's lock, in the private state folder",
    "arctl/skill/copying.py": "a folder, to lock it",
    "arctl/output.py": "the file that the user names, for writing",
    "arctl/pid_namespace.py": "/proc alone",
    "arctl/sandbox.py": "/proc alone",
    "arctl/signals.py": "/dev/tty alone",
    "arctl/starter.py": "locks and the daemon's standard error, in the private state folder",
    "ardaemon/core/folders.py": "folders alone",
    "ardaemon/core/own_start.py": "/dev/null alone",
    "ardaemon/checkpoints/kept.py": "folders alone, to lock them",
    "ardaemon/core/layout.py": "/proc alone",
    "ardaemon/core/locking.py": "a probe of its own, and what is to be locked, with the same care",
    "ardaemon/core/places.py": "/proc/self alone",
    "ardaemon/core/owner.py": "/proc alone",
    "ardaemon/core/project.py": "folders, to ask whose they are",
    "ardaemon/gpus/lease_file.py": "leases: with care of its own, for other users write there",
    "ardaemon/gpus/nvml_library.py": "the system's ld.so.cache",
    "ardaemon/gpus/nvml_worker.py": "/proc alone",
    "ardaemon/host/cgroup.py": "/proc and cgroupfs alone",
    "ardaemon/host/file_system.py": "/proc alone",
    "ardaemon/host/file_lock.py": "locks and /proc/locks, in the private runtime folder",
    "ardaemon/host/operations.py": "opens for writing, and folders, with the same care",
    "ardaemon/host/proc.py": "/proc alone",
    "ardaemon/job/capture/ar_capture.py": "runs in the job",
    "ardaemon/journal.py": "the daemon's log, in the private state folder",
    "ardaemon/measuring/usage.py": "/proc and cgroupfs alone",
    "ardaemon/host/keeper.py": "/proc alone",
    "ardaemon/metrics/sqlite_file.py": "a copy in a folder of its own; SQLite opens by itself, after a look",
    "ardaemon/report/page/build.py": "what is installed beside it",
    "ardaemon/rpc/listening.py": "the socket's own folder",
    "ardaemon/shim/handover.py": "a descriptor that it was given",
    "ardaemon/shim/supervisor.py": "the attempt's folders, /dev/null, /proc, and the log that it makes",
}


def openings(text: str) -> set[str]:
    """Every call in `text` that may open a file, and every import by which one gets another name."""
    found: set[str] = set()
    if not NAMED.search(text):
        return found
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id="open")):
                found.add("open")
            case ast.ImportFrom(module=owner, names=names) if owner in MODULES:
                found |= {f"{owner}.{name.name}" for name in names if name.name in MODULES[owner]}
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if name in MODULES.get(owner, ()):
                found.add(f"{owner}.{name}")
            case ast.Attribute(value=ast.Name(id="files"), attr=_):
                pass
            case ast.Attribute(attr=name) if name in METHODS:
                found.add(name)
    return found


def sources() -> Iterator[str]:
    for room in ("ardaemon", "arctl"):
        yield from (str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py"))


@every("name", sources)
def test_no_file_is_opened_past_the_careful_opener(name: str) -> None:
    if name != HOME and name not in ALLOWED:
        assert openings((ROOT / name).read_text()) == set(), "open it by ardaemon/core/files.py"


@every("name", ALLOWED)
def test_whoever_is_allowed_to_open_files_does(name: str) -> None:
    assert openings((ROOT / name).read_text()) != set()


@pytest.mark.parametrize(
    "text",
    [
        "open(x)",
        "os.open(x, 0)",
        "path.open('rb')",
        "Path(x).read_text()",
        "path.read_bytes()",
        "from os import open as look",
        "from io import FileIO",
        "sqlite3.connect(x)",
        "shutil.copyfile(x, y)",
    ],
)
def test_an_opening_past_it_is_found(text: str) -> None:
    assert openings(text)


def test_an_opening_through_it_is_not_reported() -> None:
    assert openings("files.opened(x, kind)\nfiles.read(x, kind)\nfiles.text(x, kind)") == set()


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
        files.read(path, LINKED)
    with pytest.raises(files.NotPlain):
        files.opened(path, SMALL)


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
    assert at_once(path, lambda: files.read(path, SMALL))


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
        files.read(path, LINKED)


def test_a_plain_file_is_read_whole_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\r\nb")
    assert files.read(path, Kind(4)) == b"a\r\nb"
    assert files.text(path, Kind(4)) == "a\nb"
    for read in (files.read, files.opened):
        with pytest.raises(files.NotPlain, match="larger than"):
            read(path, Kind(3))


def test_a_file_that_claims_a_terabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(files.NotPlain, match="larger than 4 MiB"):
        files.read(path, file_kinds.STATE)
    assert files.head(path, 3, file_kinds.STATE) == bytes(3)


def test_a_link_is_refused_where_none_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    assert files.read(tmp_path / "link", LINKED) == b"x"
    with pytest.raises(files.NotPlain, match="it is a link"):
        files.read(tmp_path / "link", SMALL)


def test_a_link_that_comes_after_the_look_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "f", tmp_path / "other"
    path.touch()
    other.write_text("secret")
    look = files.require_plain

    def replaced(status: os.stat_result, name: files.Path) -> None:
        look(status, name)
        path.unlink(missing_ok=True)
        path.symlink_to(other)

    monkeypatch.setattr(files, "require_plain", replaced)
    with pytest.raises(files.NotPlain, match="it is a link"):
        files.read(path, SMALL)


@needs_root
@pytest.mark.parametrize("kind", [SMALL, LINKED])
def test_another_users_file_is_refused_and_its_owner_named(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(files.ForeignFile, match=f"belongs to another user .uid {STRANGER}.") as caught:
        files.read(path, kind)
    assert (caught.value.uid, caught.value.filename) == (STRANGER, str(path))
    assert files.read(path, Kind(10, anybodys=True)) == b"x"


@needs_root
def test_a_file_of_roots_is_taken_as_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container whose root is the host's writes them."""
    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.setattr(os, "getuid", lambda: STRANGER)
    assert files.read(tmp_path / "f", SMALL) == b"x"


@needs_root
def test_another_users_file_is_taken_where_a_person_trusts_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts where the file really is: a link in a trusted folder to somewhere else is not enough."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/ardaemon").mkdir(parents=True)
    (tmp_path / "config/ardaemon/config.toml").write_text(f'trusted = ["{tmp_path}/team"]\n')
    for name in ("team", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"x")
        os.chown(tmp_path / name / "f", STRANGER, STRANGER)
    assert files.read(tmp_path / "team/f", SMALL) == b"x"
    (tmp_path / "team/link").symlink_to(tmp_path / "elsewhere/f")
    with pytest.raises(files.ForeignFile):
        files.read(tmp_path / "team/link", LINKED)


@needs_root
@pytest.mark.parametrize("text", ["trusted = [", 'trusted = ["/\\u0000"]'])
def test_a_config_with_a_fault_trusts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Who reads a file catches OSErrors alone, and somebody may be editing config.toml just now."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "ardaemon").mkdir()
    (tmp_path / "ardaemon/config.toml").write_text(text)
    (tmp_path / "f").write_bytes(b"x")
    os.chown(tmp_path / "f", STRANGER, STRANGER)
    with pytest.raises(files.ForeignFile):
        files.read(tmp_path / "f", SMALL)


def test_a_file_that_holds_more_than_its_size_says_is_read_to_its_end() -> None:
    whole = Path("/proc/version").read_bytes()
    assert os.stat("/proc/version").st_size == 0 < len(whole)
    assert files.read("/proc/version", Kind(len(whole))) == whole
    assert files.head("/proc/version", 4, SMALL) == whole[:4]
    with pytest.raises(files.NotPlain):
        files.read("/proc/version", Kind(len(whole) - 1))

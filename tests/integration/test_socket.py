"""The socket lets nobody else in, and there is one daemon: other uids, foreign folders, races."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import Refused, StorageError
from ardaemon.rpc import listening
from tests.support.forge import Forked, daemons
from tests.support.lab import DEADLINE_S, SLUG, Lab, Rpc, wait_until
from tests.support.promises import some, times
from tests.support.shell import Shell, shells
from tests.support.wire import faults

private = pytest.mark.promise("socket-private")
alone = pytest.mark.promise("one-daemon")
NOBODY = 65534
HOMELESS = 54321  # a uid that no password file knows
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as another user")
MASKS = [0, 0o022, 0o077, 0o177, 0o277, 0o777]


def daemon(lab: Lab, **environment: str) -> subprocess.Popen[bytes]:
    """A daemon whose word on the ready descriptor comes as stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", "ardaemon", "serve", "--ready-fd", "1"],
        env={**lab.environment, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def refused(lab: Lab, code: int = 74, **environment: str) -> str:
    """The words of a daemon that will not start."""
    process = daemon(lab, **environment)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, err
    assert out.startswith(b"error: ")
    assert b"Traceback" not in err
    return err.decode()


def as_uid(uid: int, program: str, *arguments: str, **environment: str) -> str:
    """What a Python program prints that becomes another user where it says %s."""
    become = f"os.setgroups([])\nos.setgid({uid})\nos.setuid({uid})"
    done = subprocess.run(
        [sys.executable, "-c", program % become, *arguments],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- modes ---


@private
@pytest.mark.parametrize("mask", MASKS, ids=oct)
def test_everything_of_the_daemon_is_the_owners_alone_whatever_the_umask(lab: Lab, mask: int) -> None:
    """Also what the client makes that starts it: folders on the way, locks, files."""
    shell = Shell(lab)
    lab.state_home.rmdir()  # so that the folders above are made too
    pid = json.loads(with_umask(shell, mask, "daemon", "start", "--json"))["pid"]
    found = {
        path: stat.S_IMODE(path.lstat().st_mode)
        for top in (lab.state_home, lab.runtime / "ardaemon")
        for path in [top, *top.rglob("*")]
    }
    names = {path.name for path in found}
    assert {
        "control.sock",
        "locks",
        "active",
        "daemon.lock",
        "start.lock",
        "daemon.log",
        "daemon.json",
        "fingerprint.key",
    } <= names
    for path, mode in found.items():
        assert mode == (0o700 if path.is_dir() else mode & 0o600), (path, oct(mode))
    assert found[lab.runtime / "ardaemon/control.sock"] == 0o600
    assert shell.json("daemon", "stop")["pid"] == pid


def with_umask(shell: Shell, mask: int, *arguments: str) -> str:
    out, err = shell.start(*arguments, umask=mask).communicate(timeout=DEADLINE_S)
    assert err == ""
    return str(out)


LISTEN = """import os, stat, sys
from pathlib import Path
from ardaemon.core.private import private_folder
from ardaemon.host import operations
from ardaemon.rpc import listening

folder = Path(sys.argv[1])
os.umask(0)
private_folder(folder)

def mode(path):
    return oct(stat.S_IMODE(os.lstat(path).st_mode))

def hook(name, *arguments):
    if name == "bind":
        print("bind", mode(folder), os.path.lexists(folder / "s"))
    if name == "listen":
        print("listen", mode(folder), mode(folder / "s"))

operations.hook = hook
listening.listen(folder / "s")
"""


@private
def test_the_mode_is_right_before_anyone_can_connect(lab: Lab) -> None:
    """Looked at in the daemon's own code, under umask 0, between bind(2) and listen(2)."""
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, str(lab.root / "mine")],
        env=lab.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.stdout.splitlines() == ["bind 0o700 False", "listen 0o700 0o600"], done.stderr


@private
def test_no_moment_of_a_start_shows_another_mode(
    lab: Lab, record_property: Callable[[str, Any], None]
) -> None:
    path = lab.runtime / "ardaemon/control.sock"
    seen: dict[tuple[str, int], int] = {}
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for there in (path.parent, path):
                try:
                    key = (there.name, stat.S_IMODE(os.lstat(there).st_mode))
                except FileNotFoundError:
                    continue
                seen[key] = seen.get(key, 0) + 1

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in times(30, 3):
            lab.start()
            wait_until(lambda: any(name == path.name for name, _ in list(seen)), "a look at the socket")
            lab.stop()
            path.parent.joinpath("locks").rmdir()
            path.parent.rmdir()
    finally:
        over.set()
        looking.join()
    record_property("cases", sum(seen.values()))
    assert seen.keys() == {("ardaemon", 0o700), ("control.sock", 0o600)}


# --- other users ---

CONNECT = """import os, socket, sys
%s
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect(sys.argv[1])
except OSError as error:
    print(type(error).__name__)
    raise SystemExit
try:
    s.sendall(sys.argv[2].encode())
except BrokenPipeError:
    pass
data = b""
try:
    while block := s.recv(65536):
        data += block
except ConnectionResetError:  # it closed with our words unread
    pass
print(data.decode(), end="")
"""


@private
@needs_root
def test_another_user_cannot_even_connect(lab: Lab) -> None:
    """With every folder above open to him: the daemon's own folder suffices, so does the socket's mode."""
    lab.start()
    path = lab.runtime / "ardaemon/control.sock"
    for folder in (lab.root, lab.runtime):
        folder.chmod(0o755)
    assert as_uid(NOBODY, CONNECT, str(path), "x") == "PermissionError\n"
    path.parent.chmod(0o755)
    assert as_uid(NOBODY, CONNECT, str(path), "x") == "PermissionError\n"
    assert lab.call("daemon.info")["pid"] == lab.pid


@private
@needs_root
def test_another_user_who_can_connect_is_refused_and_nothing_of_his_is_done(lab: Lab) -> None:
    """Every mode is opened up: the peer's credentials alone stand between."""
    lab.ready()
    path = lab.runtime / "ardaemon/control.sock"
    for folder in (lab.root, lab.runtime, path.parent):
        folder.chmod(0o777)
    path.chmod(0o666)
    where = {"project": str(lab.project), "expr": SLUG}
    submit = {**where, "submit_id": "his", "environment": lab.environment}
    calls = [("run.submit", submit), ("session.stop", where), ("daemon.stop", {}), ("daemon.info", {})]
    requests = [{"jsonrpc": "2.0", "method": m, "params": p, "id": n} for n, (m, p) in enumerate(calls)]
    for text in ("\n".join(map(json.dumps, requests)) + "\n", json.dumps(requests) + "\n", ""):
        answer = json.loads(as_uid(NOBODY, CONNECT, str(path), text))
        assert (answer["id"], answer["error"]["code"]) == (None, Refused.code)
        assert "its owner alone" in answer["error"]["message"]
    assert [event["uid"] for event in lab.events("refused")] == [NOBODY] * 3
    found = lab.get("status.get")
    assert (found["session"]["live"], found["active"], found["recent"]) == (True, [], [])
    assert lab.run()["verdict"] == "advance"
    assert faults(lab) == []


ARCTL = """import os, sys
from arctl import cli, starter

sys.stdout = sys.stderr = open(os.devnull, "w")
# Loads what it loads late: later it may not.
for words in (["daemon", "status"], ["queue", "--help"], ["no-such-command"]):
    sys.argv = ["arctl", *words]
    cli.main()
%s
sys.stdout = sys.stderr = sys.__stdout__
sys.argv = ["arctl", *sys.orig_argv[3:]]
print("exit", cli.main())
"""


def said(uid: int, *arguments: str, **environment: str) -> str:
    """What `arctl` of another user says; its code comes last."""
    return as_uid(uid, ARCTL, *arguments, **environment)


@private
@needs_root
def test_a_client_tells_no_daemon_of_another_user_anything(lab: Lab) -> None:
    """It asks for the listener's credentials before its first byte: an environment is not for everybody."""
    lab.start()
    for folder in (lab.root, lab.runtime, lab.runtime / "ardaemon"):
        folder.chmod(0o755)
    (lab.runtime / "ardaemon/control.sock").chmod(0o666)
    text = said(
        HOMELESS, "queue", HOME="/nowhere", XDG_RUNTIME_DIR=str(lab.runtime), XDG_STATE_HOME="/nowhere"
    )
    assert f"{lab.runtime}/ardaemon/control.sock belongs to another user" in text
    assert text.endswith("exit 69\n")
    assert lab.events("refused") == [] or lab.events("refused")[0]["uid"] == HOMELESS


@needs_root
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, ["uid 54321", "has no home folder", "set HOME"]),
        ({"HOME": ""}, ["has no home folder"]),
        ({"HOME": "relative"}, ["has no home folder"]),
        ({"HOME": "/proc"}, ["/proc/.local", "XDG_STATE_HOME"]),
        ({"HOME": "/usr"}, ["/usr/.local", "Permission denied", "XDG_STATE_HOME"]),
    ],
    ids=["unset", "empty", "relative", "read-only", "another user's"],
)
def test_a_home_that_is_not_there_or_not_writable_is_named(
    environment: dict[str, str], words: list[str]
) -> None:
    text = said(HOMELESS, "daemon", "start", **environment)
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert not text.endswith("exit 0\n")


def test_relative_xdg_folders_count_as_unset(lab: Lab) -> None:
    """As the XDG Base Directory Specification has it; nothing is made in the current folder."""
    before = os.listdir(lab.project)
    shell = Shell(lab)
    lab.environment.update(XDG_STATE_HOME="state", XDG_CONFIG_HOME="config", XDG_RUNTIME_DIR="run")
    info = shell.json("daemon", "start")
    state = Path(info["log"]).parent
    assert state.parent == lab.root / "h/.local/state/ardaemon"
    assert info["socket"] == f"{state}/run/control.sock"
    shell("daemon", "stop")
    assert os.listdir(lab.project) == before


# --- folders that another user could replace ---


def symlink(folder: Path) -> Path:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))
    return folder


def foreign(folder: Path) -> Path:
    os.chown(folder, NOBODY, NOBODY)
    return folder


def opened(mode: int) -> Callable[[Path], Path]:
    def change(folder: Path) -> Path:
        folder.chmod(mode)
        return folder

    return change


def a_file(folder: Path) -> Path:
    for inner in folder.iterdir():
        inner.rmdir()
    folder.rmdir()
    folder.touch(mode=0o600)
    return folder


def parent(change: Callable[[Path], Path]) -> Callable[[Path], Path]:
    return lambda folder: change(folder.parent)


def foreign_group(folder: Path) -> Path:
    os.chown(folder, 0, NOBODY)
    folder.chmod(0o770)
    return folder


def foreign_link(folder: Path) -> Path:
    symlink(folder)
    os.lchown(folder, NOBODY, NOBODY)
    return folder


PLACES = ("state", "runtime", "active", "locks")
CHANGES = {
    "symlink": symlink,
    "foreign": foreign,
    "0755": opened(0o755),
    "0770": opened(0o770),
    "0701": opened(0o701),
    "file": a_file,
    "parent foreign": parent(foreign),
    "parent 0777": parent(opened(0o777)),
    "parent of a foreign group": parent(foreign_group),
    "parent behind a foreign link": parent(foreign_link),
}


@private
@needs_root
@pytest.mark.parametrize(("which", "change"), some([(w, c) for w in PLACES for c in CHANGES], 14))
def test_a_folder_that_is_not_ours_alone_is_refused_by_name(lab: Lab, which: str, change: str) -> None:
    """Whoever could put another one in its place would choose what is run, and who answers."""
    machine = made(lab)
    folder = {
        "state": machine,
        "active": machine / "active",
        "runtime": lab.runtime / "ardaemon",
        "locks": lab.runtime / "ardaemon/locks",
    }[which]
    wrong = CHANGES[change](folder)
    before = os.lstat(wrong)
    text = refused(lab)
    assert str(wrong) in text
    assert "→ " in text
    after = os.lstat(wrong)
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid), "left as it is"
    assert not (lab.runtime / "ardaemon/control.sock").exists()


def made(lab: Lab) -> Path:
    """The folders as a daemon makes them; the one of this machine's state."""
    from ardaemon.core.places import machine_id

    machine = lab.state_home / "ardaemon" / machine_id()
    for folder in (machine / "active", lab.runtime / "ardaemon/locks"):
        folder.mkdir(parents=True, mode=0o700)
    for folder in (machine.parent, machine, lab.runtime / "ardaemon"):
        folder.chmod(0o700)
    return machine


@private
@pytest.mark.parametrize("which", ["sticky", "own group", "own link"])
def test_folders_above_that_are_as_safe_as_usual_are_taken(lab: Lab, which: str) -> None:
    """As /tmp; as a home made with umask 002, where each user has a group; a home behind a link of root's."""
    if which == "sticky":
        lab.runtime.chmod(0o1777)
    elif which == "own group":
        lab.runtime.chmod(0o775)
    else:
        symlink(lab.runtime)
    lab.start()
    assert lab.call("daemon.info")["pid"] == lab.pid


# --- the socket's place, and the one daemon ---


@private
@needs_root
@pytest.mark.parametrize("long", [False, True], ids=["in the state folder", "too long a path there"])
def test_another_user_who_makes_the_folder_in_tmp_first_is_in_nobodys_way(lab: Lab, long: bool) -> None:
    """Where XDG_RUNTIME_DIR is not set. If only the temporary folder is left, the error says whose it is."""
    shell = Shell(lab)
    del lab.environment["XDG_RUNTIME_DIR"]
    temporary = lab.root / "t"
    temporary.mkdir()
    temporary.chmod(0o1777)
    lab.environment["TMPDIR"] = str(temporary)
    squatted = temporary / f"ardaemon-{os.getuid()}"
    squatted.mkdir()
    foreign(squatted)
    if long:
        lab.environment["XDG_STATE_HOME"] = str(lab.root / ("x" * 100))
        text = refused(lab)
        assert f"{squatted} belongs to another user (uid {NOBODY}, nobody)" in text
        assert "XDG_RUNTIME_DIR" in text
        return
    info = shell.json("daemon", "start")
    assert Path(info["socket"]).is_relative_to(lab.state_home)
    assert shell.json("daemon", "status")["pid"] == info["pid"]
    assert not list(squatted.iterdir())
    shell("daemon", "stop")


@private
def test_a_file_system_that_holds_no_sockets_is_named() -> None:
    folder = Path(f"/proc/{os.getpid()}")
    with pytest.raises(StorageError, match=f"no socket can be made in {folder}: ") as refusal:
        listening.listen(folder / "control.sock")
    assert "XDG_RUNTIME_DIR" in str(refusal.value.mend)


@private
@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to a socket"])
def test_what_is_no_socket_is_refused_and_left_where_it_is(lab: Lab, kind: str) -> None:
    made(lab)
    path = lab.runtime / "ardaemon/control.sock"
    target = lab.root / "precious"
    target.write_text("mine")
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    before = os.lstat(path)
    assert f"{path} is in the socket's place" in refused(lab)
    assert os.lstat(path).st_ino == before.st_ino
    assert target.read_text() == "mine"


def asked(path: Path) -> int:
    """Who listens there."""
    client = Rpc(str(path))
    pid: int = client.call("daemon.info")["pid"]
    client.close()
    return pid


@alone
def test_a_second_daemon_with_another_state_folder_leaves_the_first_ones_socket_alone(lab: Lab) -> None:
    """As where HOME differs and XDG_RUNTIME_DIR does not; when the first is dead, its socket is taken."""
    lab.start()
    path = lab.runtime / "ardaemon/control.sock"
    before = path.stat().st_ino
    client = lab.rpc()
    other = lab.root / "other"
    text = refused(lab, 69, XDG_STATE_HOME=str(other))
    assert f"listens in {path.parent}" in text
    assert "XDG_RUNTIME_DIR" in text
    assert path.stat().st_ino == before
    assert client.call("daemon.info")["pid"] == asked(path) == lab.pid
    lab.kill()
    process = daemon(lab, XDG_STATE_HOME=str(other))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert asked(path) == process.pid
    process.terminate()
    process.communicate(timeout=DEADLINE_S)


def race(lab: Lab, count: int) -> tuple[list[Forked], dict[int, bytes]]:
    """Start so many daemons at once; return them, and what each says on its ready descriptor."""
    with ExitStack() as stack:
        stderr = stack.enter_context((lab.root / "stderr").open("ab"))
        racing, pipes = [], []
        for _ in range(count):
            read, write = os.pipe()
            pipes.append(stack.enter_context(open(read, "rb")))
            racing.append(daemons().start("ardaemon", lab.environment, write, stderr.fileno(), helps=True))
            os.close(write)
        return racing, {process.pid: pipe.readline() for process, pipe in zip(racing, pipes, strict=True)}


@alone
@pytest.mark.timeout(300)
def test_of_many_daemons_at_once_one_wins_and_every_client_is_served_by_it(
    lab: Lab, record_property: Callable[[str, Any], None]
) -> None:
    """Each time the one before was killed: its socket, its lock file and its daemon.json are still there."""
    rounds = times(10, 1)
    record_property("cases", 20 * len(rounds))
    for _ in rounds:
        racing, words = race(lab, 20)
        winners = [pid for pid, word in words.items() if word == b"ready\n"]
        assert len(winners) == 1, words
        assert set(words.values()) == {b"ready\n", b"running\n"}
        assert {lab.call("daemon.info")["pid"] for _ in range(20)} == set(winners)
        for process in racing:
            if process.pid in winners:
                process.kill()
            assert process.wait(DEADLINE_S) in (69, -9)


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, its daemon started by a client."""
    with shells(lab) as started:
        yield started


@alone
@pytest.mark.timeout(300)
def test_of_many_clients_at_once_one_starts_a_daemon_and_all_are_served_by_it(
    shell: Shell, record_property: Callable[[str, Any], None]
) -> None:
    """After a kill -9, and while one is stopped: nobody tries in vain, or daemon.stderr would show it."""
    rounds = times(10, 1)
    record_property("cases", 40 * len(rounds))
    for _ in rounds:
        for end in (["kill", "-9"], ["kill"]):
            pid = shell.json("daemon", "status")["pid"]
            subprocess.run([*end, str(pid)], check=True)
            clients = [shell.start("daemon", "start", "--json") for _ in range(20)]
            ended = [shell.end(client) for client in clients]
            assert {code for code, _, _ in ended} == {0}, ended
            pids = {json.loads(out)["pid"] for _, out, _ in ended}
            assert len(pids - {pid}) == 1
    assert (shell.lab.home / "daemon.stderr").read_text() == ""
    wait_until(lambda: not shell.states(), "an empty queue")

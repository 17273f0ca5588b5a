"""A daemon whose operations are recorded, or which is killed or failed at one of them; and its shims.

`python -m tests.support.faulty serve …` is `ardaemon serve` with $FAULT_PLAN installed in
host/operations.py. The plan is JSON: {"record": LOG, "root": FOLDER} or {"at": [WHO, NAME, SUBJECT, NTH],
"root": FOLDER, "do": "kill" | "tear" | "wait" | ERRNO, "flag": FILE}, or {"faults": [such, …]} for several
in one story; "wait" goes on once FILE is removed.
Standard library alone: a shim loads it.
"""

import importlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

TORN = 0.5  # of the bytes of a write that is cut
WAIT_S, WAIT_POLL_S = 60.0, 0.01  # for a test to take the flag away
RETRY_S = 0.05  # in the place of the retries after a full disk, which wait longer
NO_PATHS = ("spawn", "give", "acknowledge", "signal", "signal_group")
TWO_PATHS = ("rename", "exchange", "link", "copy")
TAKES_SPACE = (
    "create",
    "write",
    "copy",
    "fsync",
    "rename",
    "exchange",
    "link",
    "symlink",
    "mkdir",
    "fsync_folder",
)
OTHER_BOOT = "11111111-2222-3333-4444-555555555555"

_RANDOM = (
    (re.compile(r"\.\d+-\d+\.\d+\.tmp$"), ".tmp"),
    (re.compile(r"\b[0-9a-f]{16}-(r\d)"), r"HASH-\1"),
    (re.compile(r"/audits/[0-9a-f]{16}"), "/audits/HASH"),
    (re.compile(r"\d{8}T\d{12}"), "STAMP"),
    (re.compile(r"/ardaemon-\d+-\d+-\d+"), "/ardaemon-N"),  # a cgroup
    (re.compile(r"\.\d+-[0-9a-f]{8}\.lease$"), ".OWNER.lease"),
    (re.compile(r"/\.same/[0-9a-f]{2}(/[0-9a-f]+)?$"), r"/.same/VERSION"),  # of an environment's hash
)


def located(thing: object) -> str:
    """A path or an open file as one absolute path."""
    if isinstance(thing, int):
        return os.readlink(f"/proc/self/fd/{thing}")
    text = os.fsdecode(thing) if isinstance(thing, bytes | str | os.PathLike) else repr(thing)
    match = re.match(r"/proc/self/fd/(\d+)(/.*)?$", text)
    return os.readlink(f"/proc/self/fd/{match[1]}") + (match[2] or "") if match else text


def paths_of(name: str, arguments: tuple[Any, ...]) -> list[str]:
    """The paths that the operation is about; none for what is done to processes and sockets."""
    if name in NO_PATHS:
        return []
    if name == "symlink":
        return [os.fsdecode(arguments[0]), located(arguments[1])]
    return [located(path) for path in arguments[: 2 if name in TWO_PATHS else 1]]


def subject(name: str, arguments: tuple[Any, ...], root: str) -> str:
    """What the operation is done to, the same in every run of the same story."""
    words = []
    for path in paths_of(name, arguments):
        word = path.replace(root, "~")
        for pattern, plain in _RANDOM:
            word = pattern.sub(plain, word)
        words.append(word)
    return " -> ".join(words)


class Recorder:
    """Appends every operation to a file, with what a replay needs of it."""

    def __init__(self, who: str, plan: dict[str, Any]) -> None:
        self.who, self.root = who, plan["root"]
        self.log = os.open(plan["record"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __call__(self, name: str, *arguments: Any) -> None:
        facts: dict[str, Any] = {
            "who": self.who,
            "name": name,
            "subject": subject(name, arguments, self.root),
        }
        facts |= {"paths": paths_of(name, arguments), "data": _data(name, arguments)}
        os.write(self.log, json.dumps(facts).encode() + b"\n")


def _data(name: str, arguments: tuple[Any, ...]) -> str | None:
    """Bytes that the operation writes, or that stand in the file which it syncs (as Latin-1)."""
    if name in ("write", "acknowledge") and isinstance(arguments[-1], bytes):
        return arguments[-1].decode("latin-1")
    if name in ("fsync", "copy"):
        with open(f"/proc/self/fd/{arguments[0]}", "rb") as file:
            return file.read().decode("latin-1")
    return str(arguments[1]) if name in ("truncate", "create") else None


class Fault:
    """Kills, fails or holds up the NTH operation of that name on that subject."""

    def __init__(self, who: str, plan: dict[str, Any]) -> None:
        self.root, self.do, self.flag = plan["root"], plan["do"], plan["flag"]
        whose, self.name, self.subject, self.nth = plan["at"]
        self.mine = whose == who
        self.who = who

    def __call__(self, name: str, *arguments: Any) -> None:
        if isinstance(self.do, int) and self.do == 28 and os.path.exists(self.flag):
            self._fail(name)  # the disk stays full, for whoever writes, until the flag is taken away
        if not self.mine or name != self.name or subject(name, arguments, self.root) != self.subject:
            return
        if self._met() == self.nth:
            with open(self.flag, "x", encoding="ascii"):  # also the proof that the point was reached
                pass
            self._strike(name, arguments)

    def _met(self) -> int:
        """How often it was met, by all processes of this name: each shim is another one."""
        counter = os.open(f"{self.flag}.met", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(counter, b".")
            return os.fstat(counter).st_size
        finally:
            os.close(counter)

    def _strike(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self.do == "wait":
            return self._wait()
        if self.do == "tear":
            _half(name, arguments)
        if isinstance(self.do, int):
            return self._fail(name)
        os.kill(os.getpid(), signal.SIGKILL)
        return signal.pause()

    def _wait(self) -> None:
        end = time.monotonic() + WAIT_S
        while os.path.exists(self.flag) and time.monotonic() < end:
            time.sleep(WAIT_POLL_S)

    def _fail(self, name: str) -> None:
        if self.do != 28 or name in TAKES_SPACE:
            raise OSError(self.do, os.strerror(self.do))


def _half(name: str, arguments: tuple[Any, ...]) -> None:
    if name == "write":
        os.write(arguments[0], arguments[1][: int(len(arguments[1]) * TORN)])
    elif name == "copy":
        os.sendfile(arguments[1], arguments[0], 0, int(arguments[2] * TORN))


def install(who: str, plan: dict[str, Any]) -> None:
    """From here on every operation of this process goes past the plan."""
    from ardaemon.host import operations

    faults = [Fault(who, one) for one in plan.get("faults", [plan] if "at" in plan else [])]
    operations.hook = Recorder(who, plan) if "record" in plan else _each_of(faults) if faults else None


def _each_of(faults: list[Fault]) -> Callable[..., None]:
    def hook(name: str, *arguments: Any) -> None:
        for fault in faults:
            fault(name, *arguments)

    return hook


def shim(plan: dict[str, Any]) -> None:
    """In the place of shim/supervisor.py's main."""
    from ardaemon.shim import ending as ending_file
    from ardaemon.shim import supervisor as module

    ending_file.DISK_RETRY_S = RETRY_S
    install("shim", plan)
    module.main()


def load() -> None:
    """Import what a daemon needs, before it is forked."""
    importlib.import_module("ardaemon.cli")
    importlib.import_module("ardaemon.daemon")


def main() -> None:
    """In the place of `ardaemon`."""
    from ardaemon.checkpoints import prune
    from ardaemon.cli import main as real
    from ardaemon.engines.local import engine, spare
    from ardaemon.pipeline import patience

    plan = json.loads(os.environ.get("FAULT_PLAN", "{}"))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    spare._PROGRAM = (
        f"import sys; sys.path.insert(0, {root!r}); from tests.support.faulty import shim; shim({plan!r})"
    )
    if plan.get("other_boot"):
        engine.boot_id = lambda: OTHER_BOOT  # type: ignore[attr-defined]
    patience.RETRY_FIRST_S = RETRY_S
    prune.FORMER_KEPT_S, prune.REFUSED_S = 0.0, RETRY_S  # no time passes in a story
    install("daemon", plan)
    sys.argv[0] = "ardaemon"
    real()


if __name__ == "__main__":
    main()

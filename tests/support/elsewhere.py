"""Start a process as if elsewhere: in a container's namespaces, or as another user who may read our code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lab import wait_until

ROOT = Path(__file__).parents[2]
STRANGER = 61002  # a uid that no password file knows
_INIT = ("unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity")


def can() -> bool:
    """Whether this machine lets us: for root alone, and not in every sandbox."""
    if os.getuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "setpriv"))):
        return False
    return subprocess.run(["unshare", "--pid", "--mount", "--fork", "true"], check=False).returncode == 0


@contextmanager
def container() -> Iterator[tuple[str, ...]]:
    """PID and mount namespaces with an init, which outlive each daemon in them; the words that lead there."""
    with subprocess.Popen(_INIT) as outer:
        try:
            init = wait_until(lambda: _init_of(outer.pid), "the container's init")
            # With its root and folder, too: the tests may themselves run in a chroot.
            yield "nsenter", "--target", init, "--root", "--wd", "--pid", "--mount", "--"
        finally:
            outer.kill()


def within(words: tuple[str, ...], *command: str | Path) -> None:
    """Run a command there, to its end."""
    subprocess.run([*words, *command], check=True)


def _init_of(outer: int) -> str | None:
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    ready = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]
    return ready[0] if ready else None


def stranger(scratch: Path) -> tuple[str, ...]:
    """The words that start a process as another user.

    Folders that are closed to others, and that lead to the interpreter or to our code, are opened in a mount
    namespace of its own, with these in them alone.
    """
    user = ("--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups", "--inh-caps=-all")
    script = " && ".join([*_opened(scratch), 'exec "$@"'])
    return ("unshare", "--mount", "sh", "-c", script, "sh", "setpriv", *user, "--")


def _opened(scratch: Path) -> Iterator[str]:
    for folder, names in _closed().items():
        open_one = scratch / f"open{folder.name}"
        for name in sorted(names):
            inner = open_one / name
            yield f"mkdir -p {inner} && chmod 755 {open_one} && mount --rbind {folder / name} {inner}"
        yield f"mount --rbind {open_one} {folder}"


def _closed() -> dict[Path, set[str]]:
    """Each closed folder, and what in it is needed."""
    found: dict[Path, set[str]] = {}
    for needed in (os.path.realpath(sys.executable), sys.prefix, str(ROOT)):
        for folder in Path(needed).parents:
            if not folder.stat().st_mode & 0o001:
                found.setdefault(folder, set()).add(Path(needed).relative_to(folder).parts[0])
    return found

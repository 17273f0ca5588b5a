"""A folder for leases as /run/lock is, and another daemon of another user that takes some."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).parents[2])
# Becomes that user once all is imported (the interpreter may lie where he cannot go), then does what it is
# told, one line each: "take" (cards, share), "holder" (card), "close".
_OTHER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ardaemon.gpus.lease import CardId, Lease, Leases
import encodings.idna, grp, pwd
os.umask(int(sys.argv[4]))
if int(sys.argv[3]) != os.getuid():
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
leases, held = Leases(Path(sys.argv[2]), Path("/state/of", sys.argv[3])), []
for line in sys.stdin:
    order = json.loads(line)
    match order["do"]:
        case "take":
            found = leases.take([CardId(*card) for card in order["cards"]], order["share"])
            held += [found] if isinstance(found, Lease) else []
            answer = None if isinstance(found, Lease) else found
        case "holder":
            answer = leases.holder(CardId(*order["card"]))
        case "close":
            while held:
                held.pop().close()
            answer = None
    print(json.dumps(answer), flush=True)
"""


class Other:
    """The leases of another user's daemon, in a process of his."""

    def __init__(self, folder: Path, uid: int, umask: int = 0o022) -> None:
        argv = [sys.executable, "-c", _OTHER, ROOT, str(folder), str(uid), str(umask)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd="/"
        )

    def _do(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        return json.loads(self.process.stdout.readline())

    def take(self, *cards: tuple[str | None, ...], share: bool = False) -> list[Any] | None:
        """None: it has them; else which it cannot have, and why."""
        found: list[Any] | None = self._do(do="take", cards=cards, share=share)
        return found

    def holder(self, *card: str) -> str | None:
        """Who has it, in his eyes."""
        found: str | None = self._do(do="holder", card=card)
        return found

    def close(self) -> None:
        """Give up all leases."""
        self._do(do="close")

    def end(self) -> None:
        """It is gone."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def shared_folder() -> Iterator[Path]:
    """One that all may write, sticky, below nothing that is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="ar-lease-", dir="/tmp"))
    folder.chmod(0o1777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Each name in it: mode, owner and size."""
    found = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(folder)}
    return {name: (stat.st_mode, stat.st_uid, stat.st_size) for name, stat in found.items()}

"""Writes train.py for an agent that cannot, as one on another machine."""

from collections.abc import Callable

from arctl import output
from arctl.mcp.looking import train_file
from arctl.mcp.place import Place
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import Refused

MEND = "check the folder's rights"


def write(place: Place, text: str) -> Callable[[], None]:
    """Write train.py; return the call that puts back what was there, unless it was edited since.

    Raises Refused where an edit stands there that nobody has run: no run has a copy of it.
    """
    status = place.ask("status.get", last=0)
    path = train_file(status)
    output.require_file(path)
    before, now = _read(path), text.encode("utf-8", "replace")
    if str(status.get("train_py")).startswith("edited") and before != now:
        raise Refused("train.py holds an edit that was not run", "run that first: call run without train_py")
    output.write(path, now, MEND)

    def put_back() -> None:
        if before is not None and _read(path) == now:
            output.write(path, before, MEND)

    return put_back


def _read(path: str) -> bytes | None:
    try:
        return files.read(path, file_kinds.TRAIN)
    except OSError:
        return None

"""Refuses a primary metric whose name no reader would find: what `arctl init` accepts can be read.

The readers themselves decide: each is given the name as a script would write it. Pure: no I/O.
"""

import json
import re
import shlex

from ardaemon.core.errors import UsageError
from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats.log_reader import LineReader

METRIC_NAME_MAX = 120  # characters; the name stands in every result
SHOWN_MAX = 60  # characters of a name that an error shows
_PROBE = 0.25  # the value that is looked for


def require_readable(name: str) -> None:
    """Raise UsageError, with the expression that reads the value all the same, if a name cannot be read."""
    fault = _fault(name)
    if fault is None:
        return
    shown = repr(name[:SHOWN_MAX])
    if not name.strip() or not name.isprintable() or len(name) > METRIC_NAME_MAX:
        raise UsageError(
            f"{shown} is not a metric's name: {fault}", "give its name, as --primary-metric val_loss"
        )
    raise UsageError(f"{shown} is not a metric's name: {fault}", _other_way(name))


def _fault(name: str) -> str | None:
    if not name.strip():
        return "it is empty"
    if len(name) > METRIC_NAME_MAX:
        return f"it has more than {METRIC_NAME_MAX} characters"
    if not name.isprintable():
        return "it has a character that cannot be seen, as the end of a line"
    if name != " ".join(name.split()):
        return "it has a space at an end, or two spaces in a row"
    if not any(sign.isalpha() for sign in name):
        return "it has no letter"
    unread = [line for line in _lines(name) if not _is_read(name, line)]
    return f"a line such as {unread[0][:SHOWN_MAX]!r} would not be read" if unread else None


def _lines(name: str) -> list[str]:
    return [
        f"{name}: {_PROBE}",
        f"{name} = {_PROBE}",
        f"epoch 3 | {name}={_PROBE}",
        json.dumps({name: _PROBE}),
    ]


def _is_read(name: str, line: str) -> bool:
    found = list(LineReader(name, None).primaries(line.encode()))
    return [report.value for report in found] == [_PROBE]


def _other_way(name: str) -> str:
    """Say how the value is read under another name."""
    plain = "_".join(re.findall(r"[a-z0-9]+", one_spelling(name).lower())) or "value"
    plain = plain if plain[0].isalpha() else f"metric_{plain}"
    words = r"\s+".join(map(re.escape, name.split()))
    regex = rf"(?<!\w){words}\s*[:=]\s*(\S+)"
    return (
        f"name it {plain} (--primary-metric, or `metric` in program.md),"
        f" and add --metric-regex {shlex.quote(regex)} to arctl session start"
    )

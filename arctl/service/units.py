"""The daemon's unit files: as they come with this version, as they are installed, and who has changed one."""

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence

from arctl.service.manager import SERVICE
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import InternalError, Refused
from ardaemon.core.text import as_text, is_text
from ardaemon.core.version import VERSION

_HERE = os.path.dirname(os.path.abspath(__file__))
_INSTALLED = os.path.join(_HERE, "units")  # where a wheel has them (pyproject.toml)
_CHECKOUT = os.path.join(os.path.dirname(os.path.dirname(_HERE)), "systemd")
EXEC = "ExecStart="
KEPT = (
    "# Of the shell that has installed it: variables, the umask, and the limits (ulimit) that jobs inherit."
)
_NO_PROGRAM = re.compile("[\"'\\\\\x00-\x1f\x7f]")  # in the path of a program systemd refuses these
_NO_TEXT = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")  # the last ones: bytes that are not UTF-8 (PEP 383)
_SINCE = re.compile(r"^#(\d+) (?=\w+=)", re.MULTILINE)  # a line for systemd of that version or newer
_MARK = re.compile(r"# Written by arctl daemon install, version \S+; sha256 of the rest: ([0-9a-f]{64})\n")


def template(name: str) -> str:
    """Return a unit file as it comes with this version. Raises InternalError if it is missing."""
    for place in (_INSTALLED, _CHECKOUT):
        path = os.path.join(place, name)
        if os.path.isfile(path):
            return files.text(path, file_kinds.SKILL)
    raise InternalError(f"{name} is missing in {_INSTALLED} and in {_CHECKOUT}", "install ardaemon again")


def rendered(name: str, systemd: int, variables: Mapping[str, str], settings: Sequence[str]) -> str:
    """Return the file to be installed, for systemd of that version.

    `variables` and `settings` are what the service keeps of the shell (shell.py).
    """
    text = _for_version(template(name), systemd)
    if name == SERVICE:
        kept = [_setting(*each) for each in variables.items()]
        lines = [f"{EXEC}{_line(command())}", KEPT, *kept, *settings]
        text = re.sub(f"^{EXEC}.*$", lambda _: "\n".join(lines), text, flags=re.MULTILINE)
    return marked(text)


def marked(text: str) -> str:
    """Return a file with a first line by which a change of it is noticed."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"# Written by arctl daemon install, version {VERSION}; sha256 of the rest: {digest}\n{text}"


def is_changed(text: str) -> bool:
    """Tell whether a person has changed, or written, an installed file."""
    mark = _MARK.match(text)
    return mark is None or hashlib.sha256(text[mark.end() :].encode()).hexdigest() != mark[1]


def properties(systemd: int) -> list[str]:
    """Return the settings of the service's unit for one that has no file, without what it starts."""
    lines = _for_version(template(SERVICE), systemd).partition("[Install]")[0].splitlines()
    settings = [line for line in lines if re.match(r"\w+=", line)]
    return [line for line in settings if not line.startswith((EXEC, "Description=", "Documentation="))]


def command() -> list[str]:
    """Return how the installed unit starts the daemon: by what an upgrade replaces in its place."""
    beside = os.path.join(os.path.dirname(sys.executable), "ardaemon")
    program = [beside] if os.access(beside, os.X_OK) else [sys.executable, "-m", "ardaemon"]
    return [*program, "serve"]


def _for_version(text: str, systemd: int) -> str:
    return _SINCE.sub(lambda since: "" if systemd >= int(since[1]) else since[0], text)


def _line(words: list[str]) -> str:
    """Write words as a command line of a unit (systemd.service(5), Command lines).

    A program whose path systemd refuses is started by a shell, which becomes it.
    """
    if _NO_PROGRAM.search(words[0]):
        words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
    program, *others = map(_quoted, words)
    return " ".join([program, *(word.replace("$", "$$") for word in others)])  # none is expanded in the first


def _setting(name: str, value: str) -> str:
    """Write a variable. Raises Refused if it is no text: systemd leaves out such a line."""
    if not is_text(value):
        raise Refused(
            f"{name} is not UTF-8 text, and systemd gives no such variable to a service: {as_text(value)}",
            f"set {name} to a path that is, or unset it; then: arctl daemon install",
        )
    return f"Environment={_quoted(f'{name}={value}')}"


def _quoted(word: str) -> str:
    """Quote a word where it needs that; what is no text, or would end the line, stands as \\xff."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    escaped = _NO_TEXT.sub(lambda sign: f"\\x{ord(sign[0]) & 0xFF:02x}", escaped)
    return escaped if shlex.quote(word) == word else f'"{escaped}"'

"""A change of an agent's settings file: planned as text, shown as a diff, written with a backup."""

import os
import re
import time
from collections.abc import Sequence
from difflib import unified_diff

from msgspec import Struct

from arctl.skill import copying, jsonc, jsonc_edit
from arctl.skill.record import Entry
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import Refused, StorageError
from ardaemon.host import durable

BACKUPS_MAX = 100  # of one second
# The value behind a name that speaks of a secret: an agent that calls this command reads what it prints.
_SECRET = re.compile(
    r"""((?:key|token|secret|password|credential|authorization)[\w-]*["']?\s*[:=]\s*["']).*?((?<!\\)["']|$)""",
    re.IGNORECASE,
)
MODE = 0o600  # of a file that was not there: it may come to hold keys


class Change(Struct, frozen=True, kw_only=True):
    """A file as it is and as it is to be; None stands for no file.

    `entries` are what is added. `widens`: it lets the agent do more unasked, which a person has to confirm.
    """

    file: str
    why: str
    before: str | None
    after: str | None
    entries: tuple[Entry, ...] = ()
    widens: bool = True

    def diff(self) -> list[str]:
        """Return the change in lines, as `diff -u` has them; keys and passwords beside it are not shown."""
        before, after = (text.splitlines() if text else [] for text in (self.before, self.after))
        lines = unified_diff(before, after, self.file, self.file, lineterm="")
        return [_SECRET.sub(r"\1…\2", line) for line in lines]


def read(file: str) -> str | None:
    """Return a settings file as text, its line ends as they are; None if there is none. Raises Refused."""
    try:
        return files.read(file, file_kinds.INSTALLED).decode()
    except FileNotFoundError:
        return None
    except (files.NotPlain, files.ForeignFile) as error:
        raise Refused(
            f"{file} is left as it is: {error.strerror}", "put a plain file of yours there"
        ) from error
    except UnicodeDecodeError as error:
        raise Refused(f"{file} is no UTF-8 text: {error.reason}", "mend the file, then call again") from error


def with_items(file: str, why: str, wanted: Sequence[tuple[tuple[str, ...], str]]) -> Change | None:
    """Plan to add items to lists of a JSON file: (keys that lead to the list, item). None: all are there."""
    before = read(file)
    text, entries = before if before and before.strip() else "{}\n", []
    try:
        for path, item in wanted:
            if item not in (jsonc_edit.values(text, path) or ()):
                made = jsonc_edit.made_from(text, path)
                entries.append(Entry(file=file, path=path, item=item, made=made, new=before is None))
                text = jsonc_edit.add(text, path, item)
    except (jsonc.Broken, jsonc_edit.WrongKind) as error:
        raise broken(file, str(error)) from error
    if not entries:
        return None
    return Change(file=file, why=why, before=before, after=text, entries=tuple(entries))


def with_text(file: str, why: str, item: str, widens: bool = True) -> Change:
    """Plan to add a piece of text to the end of a file."""
    before = read(file)
    gap = "" if not before or before.endswith("\n") else "\n"
    entry = Entry(file=file, path=(), item=gap + item, made=0, new=before is None)
    after = f"{before or ''}{gap}{item}"
    return Change(file=file, why=why, before=before, after=after, entries=(entry,), widens=widens)


def is_there(entry: Entry) -> bool:
    """Return whether what was added is still there."""
    text = read(entry.file)
    if text is None or not text.strip() or not entry.path:
        return text is not None and entry.item in text
    try:
        return entry.item in (jsonc_edit.values(text, entry.path) or ())
    except (jsonc.Broken, jsonc_edit.WrongKind) as error:
        raise broken(entry.file, str(error)) from error


def broken(file: str, why: str) -> Refused:
    """Make the error for a settings file that cannot be read as what it is."""
    return Refused(f"{file} is broken, {why}: nothing was written", "mend that place, then call again")


def without(file: str, entries: Sequence[Entry]) -> Change | None:
    """Plan to take out what was added to a file and is still there as it was. None: nothing of it is."""
    before = read(file)
    if before is None or not before.strip():
        return None
    text = before
    try:
        for entry in reversed(entries):
            if entry.path:
                text = jsonc_edit.remove(text, entry.path, entry.item, entry.made)
            elif text.count(entry.item) == 1:
                text = text.replace(entry.item, "")
    except (jsonc.Broken, jsonc_edit.WrongKind) as error:
        raise broken(file, str(error)) from error
    if text == before:
        return None
    empty = any(entry.new for entry in entries) and "".join(text.split()) in ("", "{}")
    return Change(file=file, why="what was added is taken out", before=before, after=None if empty else text)


def apply(change: Change) -> str | None:
    """Write a change, and return the name of the backup; None if there was no file.

    Raises StorageError if somebody changed the file since the diff was shown; then it stays as it is.
    """
    copying.make_folders(os.path.dirname(change.file))
    before = None if change.before is None else change.before.encode()
    backup = None if before is None else _backup(change.file, before)
    if change.after is None:
        durable.remove(change.file)
    elif before is None:
        if not durable.write_new(change.file, change.after.encode(), MODE):
            raise _changed(change.file)
    elif not durable.swap(change.file, change.after.encode(), before.__eq__, _mode(change.file)):
        raise _changed(change.file)
    return backup


def _changed(file: str) -> StorageError:
    return StorageError(f"{file} was changed in the same moment, and is left as it is", "call again")


def _mode(file: str) -> int:
    return os.stat(file).st_mode & 0o777


def _backup(file: str, data: bytes) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for number in range(BACKUPS_MAX):
        name = f"{file}.before-arctl-{stamp}" + (f"-{number}" if number else "")
        if durable.write_new(name, data, _mode(file)):
            return name
    raise StorageError(f"{file} has too many backups of this second", "call again")

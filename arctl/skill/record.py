"""What was installed in a folder: a record that lies in it, by which a person's changes are told."""

import hashlib
import os
from pathlib import Path

from msgspec import Struct

from arctl.skill.folder import CACHE, Tree
from ardaemon.core import file_kinds, files, folders
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.model import Record
from ardaemon.host import state

NAME = ".ardaemon.json"
NOT_PLAIN = ""  # in the place of a hash: a link, a FIFO, or a file that cannot be read


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that was added to a settings file of an agent: `uninstall` takes out this alone."""

    file: str
    path: tuple[str, ...]  # the keys that lead to a list of a JSON file; none: `item` is a piece of text
    item: str
    made: int  # how many of the keys were there before
    new: bool  # the file was not there before


class Installed(Record, frozen=True, kw_only=True):
    """The content of .ardaemon.json: what `arctl skill install` has put into its folder."""

    version: str
    source: str  # sha256 of the skill that was copied: a build of the same version may differ
    files: dict[str, str]  # path inside the folder -> sha256
    entries: tuple[Entry, ...] = ()


class Changes(Struct, frozen=True):
    """What somebody did to an installed folder since; paths inside it."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]


def sha256(data: bytes) -> str:
    """Return the hash of one file."""
    return hashlib.sha256(data).hexdigest()


def hashes(tree: Tree) -> dict[str, str]:
    """Return the hash of each file of a tree."""
    return {name: sha256(data) for name, data in tree.items()}


def source_hash(tree: Tree) -> str:
    """Return one hash for a whole tree."""
    lines = (f"{name}\0{one}\n" for name, one in sorted(hashes(tree).items()))
    return sha256("".join(lines).encode("utf-8", "surrogateescape"))


def read(folder: str) -> Installed | None:
    """Return the record of a folder; None if there is none that can be read: nothing in it is ours then."""
    try:
        return state.read(Path(folder, NAME), Installed)
    except ArdaemonError:
        return None


def look(folder: str) -> dict[str, str]:
    """Return the hash of each file that lies in a folder, but for the record and what Python cached."""
    found = {}
    for where, entries in folders.walk(folder, folders.Look(folder)):
        inside = os.path.relpath(where, folder)
        if CACHE in inside.split(os.sep):
            continue
        for entry in entries:
            if entry.is_link or not entry.is_folder:
                found[os.path.normpath(os.path.join(inside, entry.name))] = _hash(entry.path)
    found.pop(NAME, None)
    return dict(sorted(found.items()))


def _hash(path: str) -> str:
    try:
        return sha256(files.read(path, file_kinds.INSTALLED))
    except OSError:
        return NOT_PLAIN


def changes(here: dict[str, str], installed: dict[str, str]) -> Changes:
    """Compare the files that are there with those that were installed."""
    return Changes(
        tuple(name for name in here if name in installed and here[name] != installed[name]),
        tuple(name for name in installed if name not in here),
        tuple(name for name in here if name not in installed),
    )

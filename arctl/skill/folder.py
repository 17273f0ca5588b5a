"""The skill as it comes with this version: where its folder lies, and what is in it."""

import os

from ardaemon.core import file_kinds, files, folders
from ardaemon.core.errors import InternalError

_HERE = os.path.dirname(os.path.abspath(__file__))
_INSTALLED = os.path.join(_HERE, "plugin")  # where a wheel has it (pyproject.toml)
_CHECKOUT = os.path.join(os.path.dirname(os.path.dirname(_HERE)), "skill")
MARK = os.path.join("hooks", "guard.py")  # no other folder of that name has it
CACHE = "__pycache__"  # Python makes it beside whatever it imports
SKILLS = ("run", "setup")

Tree = dict[str, bytes]  # path inside a folder, with slashes -> content


def folder() -> str:
    """Return the skill's folder: inside the package, or at the top of a checkout. Raises InternalError."""
    for place in (_INSTALLED, _CHECKOUT):
        if os.path.isfile(os.path.join(place, MARK)):
            return place
    raise InternalError(
        f"the skill is missing: neither {_INSTALLED} nor {_CHECKOUT} is there", "install ardaemon again"
    )


def contents(top: str) -> Tree:
    """Return all files of a folder of the skill, without what Python caches there."""
    tree: Tree = {}
    for where, entries in folders.walk(top, folders.Look(top)):
        inside = os.path.relpath(where, top)
        if CACHE not in inside.split(os.sep):
            names = [entry.name for entry in entries if not entry.is_folder]
            tree |= {os.path.normpath(os.path.join(inside, name)): _read(where, name) for name in names}
    return dict(sorted(tree.items()))


def skills(tree: Tree) -> list[str]:
    """Return those of SKILLS that a tree has."""
    return [part for part in SKILLS if f"skills/{part}/SKILL.md" in tree]


def _read(where: str, name: str) -> bytes:
    return files.read(os.path.join(where, name), file_kinds.SKILL)


def text(name: str) -> str:
    """Return the SKILL.md of one of SKILLS."""
    return files.text(os.path.join(folder(), "skills", name, "SKILL.md"), file_kinds.SKILL)

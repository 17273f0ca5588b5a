"""A disk as a power cut leaves it: the recorded operations replayed, what was not synced missing or torn.

The model is the weakest that POSIX allows a filesystem (fsync(2); Pillai et al., "All File Systems Are Not
Created Equal", OSDI 2014): a file's bytes are safe after its fsync, a name after the fsync of its folder,
and until then each may or may not be there, in any order. One system call is atomic.
"""

import hashlib
import itertools
import marshal
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

ALL_SUBSETS_UP_TO = 3
# What has been unsynced for so many operations (a run has about 90) is there or missing together: a cut that
# splits it would have split it then.
OLD_AFTER = 30
SKIPPED = ("chmod", "spawn", "give", "signal", "signal_group", "acknowledge", "cgroup", "bind", "listen")


@dataclass(eq=False)
class File:
    """Bytes as they are in memory, and as they are on the disk."""

    current: bytes = b""
    durable: bytes = b""
    mode: int = 0o644

    @property
    def torn(self) -> bool:
        """Not all of it is safe."""
        return self.current != self.durable


@dataclass(eq=False)
class Link:
    """A symlink."""

    target: str


@dataclass(eq=False)
class Folder:
    """Names as they are in memory, those on the disk, and the changes in between, in their order."""

    current: "dict[str, Node]" = field(default_factory=dict)
    durable: "dict[str, Node]" = field(default_factory=dict)
    pending: "list[Change]" = field(default_factory=list)

    def change(self, **names: "Node | None") -> None:
        """One operation on the names of this folder."""
        self.pending.append(names)
        _apply(self.current, names)

    def sync(self) -> None:
        """fsync of the folder."""
        self.durable, self.pending = dict(self.current), []


Node = File | Link | Folder
Change = dict[str, "Node | None"]


def _apply(entries: dict[str, Node], change: Change) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


class Disk:
    """Everything below one folder."""

    def __init__(self, root: str, volatile: str) -> None:
        self.root, self.volatile = root, volatile
        self.top = Folder()
        self.clock = 0
        self.born: dict[int, int] = {}  # id of a change -> when it was first seen unsynced

    # --- what is done to it ---

    def take(self, facts: dict[str, Any]) -> None:
        """One more of the story: an operation, or what a person or a job wrote."""
        if facts["name"] in ("edited", "written"):
            getattr(self, facts["name"])(facts["paths"][0], facts["data"])
        else:
            self.replay(facts)

    def replay(self, facts: dict[str, Any]) -> None:
        """One recorded operation; what is on a disk in memory (locks, sockets) is lost anyway."""
        self.clock += 1
        name, paths = facts["name"], facts["paths"]
        if name in SKIPPED or not paths or paths[-1].startswith(self.volatile):
            return
        if not paths[-1].startswith(self.root):
            raise AssertionError(f"an operation outside of the world: {facts}")
        getattr(self, f"_{name}")(facts, *paths)

    def _place(self, path: str) -> tuple[Folder, str]:
        """The folder of a path, made (durably) where it was there before the recording, and the name."""
        folder = self.top
        *parents, name = os.path.relpath(path, self.root).split("/")
        for parent in parents:
            if parent not in folder.current:
                folder.current[parent] = folder.durable[parent] = Folder()
            folder = cast(Folder, folder.current[parent])
        return folder, name

    def _file(self, path: str) -> File:
        folder, name = self._place(path)
        if name not in folder.current:
            folder.change(**{name: File()})
        return cast(File, folder.current[name])

    def _create(self, facts: dict[str, Any], path: str) -> None:
        self._file(path)

    def _write(self, facts: dict[str, Any], path: str) -> None:
        self._file(path).current += facts["data"].encode("latin-1")

    def _copy(self, facts: dict[str, Any], _: str, path: str) -> None:
        self._file(path).current = facts["data"].encode("latin-1")

    def _truncate(self, facts: dict[str, Any], path: str) -> None:
        file = self._file(path)
        file.current = file.current[: int(facts["data"])]

    def _fsync(self, facts: dict[str, Any], path: str) -> None:
        file = self._file(path)
        file.current = file.durable = facts["data"].encode("latin-1")

    def _fsync_folder(self, _: dict[str, Any], path: str) -> None:
        if path == self.root:
            return self.top.sync()
        folder, name = self._place(path)
        cast(Folder, folder.current.setdefault(name, Folder())).sync()

    def _rename(self, _: dict[str, Any], old: str, new: str) -> None:
        folder, name = self._place(old)
        other, target = self._place(new)
        assert folder is other, f"a rename between folders is two changes: {old} -> {new}"
        folder.change(**{target: folder.current[name], name: None})

    def _exchange(self, _: dict[str, Any], one: str, other: str) -> None:
        folder, name = self._place(one)
        target = self._place(other)[1]
        if target in folder.current:
            folder.change(**{target: folder.current[name], name: folder.current[target]})

    def _link(self, _: dict[str, Any], old: str, new: str) -> None:
        folder, name = self._place(old)
        target = self._place(new)[1]
        folder.change(**{target: folder.current[name]})

    def _symlink(self, _: dict[str, Any], target: str, path: str) -> None:
        folder, name = self._place(path)
        if name not in folder.current:
            folder.change(**{name: Link(target)})

    def _mkdir(self, _: dict[str, Any], path: str) -> None:
        folder, name = self._place(path)
        if name not in folder.current:
            folder.change(**{name: Folder()})

    def _unlink(self, _: dict[str, Any], path: str) -> None:
        folder, name = self._place(path)
        if name in folder.current:
            folder.change(**{name: None})

    _rmdir = _unlink

    def edited(self, path: str, text: str) -> None:
        """A person's editor saved a file, and synced it: that name, and no other one of its folder."""
        folder, name = self._place(path)
        file = self._file(path)
        file.current = file.durable = text.encode()
        folder.durable[name] = file
        for change in folder.pending:
            change.pop(name, None)

    def written(self, path: str, text: str) -> None:
        """A job wrote a file, and synced nothing."""
        self._file(path).current = text.encode()

    # --- what is left of it ---

    def states(self) -> "Iterator[Left]":
        """Every disk that a power cut now may leave.

        Of many unsynced items, some (see _chosen).
        """
        files, changes = self._unsynced()
        groups = self._grouped(changes)
        count = len(files) + len(groups)
        if count <= ALL_SUBSETS_UP_TO:
            kinds = [(0, 1, 2)] * len(files) + [(0, 1)] * len(groups)
            choices: Any = itertools.product(*kinds)
        else:
            choices = _chosen(len(files), count)
        for choice in choices:
            contents = dict(zip(files, choice, strict=False))
            there = zip(groups, choice[len(files) :], strict=True)
            done = {id(change) for group, is_there in there if is_there for change in group}
            yield self._left(self.top, contents, done)

    def _grouped(self, changes: list[Change]) -> list[list[Change]]:
        """Each recent change by itself, the old ones together."""
        born = {id(change): self.born.get(id(change), self.clock) for change in changes}
        self.born = born
        old = [change for change in changes if self.clock - born[id(change)] > OLD_AFTER]
        recent = [[change] for change in changes if self.clock - born[id(change)] <= OLD_AFTER]
        return [old, *recent] if old else recent

    def _unsynced(self) -> tuple[list[File], list[Change]]:
        files: dict[File, None] = {}
        changes: list[Change] = []
        for folder in self._folders(self.top):
            changes += [change for change in folder.pending if not _litter(change)]
            for name, node in folder.current.items():
                if isinstance(node, File) and node.torn and not name.endswith(".tmp"):
                    files[node] = None
        return list(files), changes

    def _folders(self, folder: Folder) -> Iterator[Folder]:
        yield folder
        for node in folder.current.values():
            if isinstance(node, Folder):
                yield from self._folders(node)

    def _left(self, folder: Folder, contents: dict[File, int], done: set[int]) -> "Left":
        entries = dict(folder.durable)
        for change in folder.pending:
            if _litter(change) or id(change) in done:
                _apply(entries, change)
        found: Left = {}
        for name, node in sorted(entries.items()):
            if isinstance(node, Folder):
                found[name] = self._left(node, contents, done)
            elif isinstance(node, File):
                found[name] = _bytes(node, contents.get(node, 0))
            else:
                found[name] = node.target
        return found


Left = dict[str, Any]  # name -> Left, bytes, or a link's target


def _litter(change: Change) -> bool:
    """A temporary name: whether it is there changes nothing but what is swept."""
    return all(name.endswith(".tmp") for name in change)


def _bytes(file: File, kind: int) -> bytes:
    """As on the disk, whole, or half of what came since."""
    if kind == 0:
        return file.durable
    if kind == 1:
        return file.current
    return file.current[: (len(file.durable) + len(file.current)) // 2]


def _chosen(files: int, count: int) -> Iterator[tuple[int, ...]]:
    """None, all, each alone, each alone missing or (the first `files`) torn.

    Each beginning of their order is an earlier moment's all.
    """
    yield (0,) * count
    yield (1,) * count
    for at in range(count):
        yield tuple(int(i == at) for i in range(count))
        yield tuple(int(i != at) for i in range(count))
    for at in range(files):
        yield tuple(2 if i == at else 1 for i in range(count))


def with_jobs(
    experiment: Path, saved: dict[str, str], operations: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The operations, with what jobs wrote among them: their logs, and the state that a run has saved."""
    run_id = ""
    for facts in operations:
        path = facts["paths"][-1] if facts["paths"] else ""
        if facts["name"] == "create" and "/runs/" in path:
            run_id = path.partition("/runs/")[2].partition("/")[0]
        if facts["name"] == "give":
            facts["run"] = run_id
        if facts["name"] == "create" and ".exit.json." in path and run_id in saved:
            state = str(experiment / "runs" / run_id / "job" / "state.pt")
            yield {"name": "written", "who": "", "paths": [state], "data": saved[run_id]}
        yield facts
        if (facts["who"], facts["name"]) == ("shim", "spawn"):
            log = experiment / "runs" / run_id / "a1" / "run.log"
            yield {"name": "written", "who": "", "paths": [str(log)], "data": log.read_text()}


def digest(left: Left) -> str:
    """What tells one state from another."""
    return hashlib.sha256(marshal.dumps(left, 2)).hexdigest()  # version 2: equal values have equal bytes


def put(left: Left, folder: Path) -> None:
    """Make `folder` that state; modes are the private ones that the daemon asks for."""
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for name, node in left.items():
        path = folder / name
        if isinstance(node, dict):
            put(node, path)
        elif isinstance(node, bytes):
            path.write_bytes(node)
        else:
            path.symlink_to(node)

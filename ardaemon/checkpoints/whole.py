"""Decides whether a checkpoint is whole, as far as its own files tell: a save that was cut short is not.

Formats: torch.save makes a ZIP archive, whose directory stands at its end (APPNOTE 4.3.16). safetensors
has its length in its header. torch.distributed.checkpoint writes `.metadata` last, and the Trainer of
transformers trainer_state.json. A sharded model has an index, or `1-of-3` in its names.
"""

import math
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ardaemon.core import file_kinds, files, folders
from ardaemon.core.folders import Look, Unsearched

# tmp-checkpoint-500 (transformers until 4.38), best.pt.tmp, x.partial, 7.orbax-checkpoint-tmp-123
_UNFINISHED = re.compile(r"^\.?tmp[-_.]|[-_.](tmp|temp|part|partial|incomplete)([-_.]|$)", re.IGNORECASE)
_WEIGHTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")  # an empty one is a save that was cut short
_SHARD = re.compile(r"(?P<name>.*?)(?P<at>[0-9]+)-of-(?P<all>[0-9]+)(?P<rest>.*)")
_SHARDS_MAX = 1 << 16  # a larger number in a name counts something else
_TRAINER = re.compile(r"checkpoint-[0-9]+")  # transformers: PREFIX_CHECKPOINT_DIR
# Bytes of an index or a header that are parsed: a model of 670 billion parameters has 9 MB of it. Parsing
# takes up to 20 times as much memory, so a larger one is not looked into.
_INDEX_MAX = 16 << 20
# What the parser raises for a text that is cut off, is no UTF-8, or is nested too deeply.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ZIP, _ZIP_END, _ZIP_END_SIZE, _ZIP_COMMENT_MAX = b"PK\3\4", b"PK\5\6", 22, 0xFFFF


class _Index(msgspec.Struct):
    weight_map: dict[str, str] = {}


class _Tensor(msgspec.Struct):
    data_offsets: tuple[int, int] = (0, 0)


def fault(path: Path) -> str | None:
    """Say in a few words what a checkpoint lacks; None if it lacks nothing, or if that cannot be told."""
    if _UNFINISHED.search(path.name):
        return "its name says that it is not finished"
    try:
        return _folder(path) if path.is_dir() else _file(str(path))
    except Unsearched as error:
        return error.strerror
    except OSError:  # the copy will fail for the same reason, and say so
        return None


def _folder(path: Path) -> str | None:
    count = 0
    for folder, entries in folders.walk(path, Look(path, seconds=math.inf)):
        names = {one.name for one in entries if not one.is_folder}
        count += len(names)
        for first in _faults(folder, names):
            return first
    return None if count else "it is empty"


def _faults(folder: str, names: set[str]) -> Iterator[str]:
    if any(name.endswith(".distcp") for name in names) and ".metadata" not in names:
        yield "its .metadata is missing"
    trainer = _TRAINER.fullmatch(os.path.basename(folder)) and "training_args.bin" in names
    if trainer and "trainer_state.json" not in names:
        yield "its trainer_state.json is missing"
    yield from _shards(names)
    for name in sorted(names):
        path = os.path.join(folder, name)
        if name.endswith(".index.json"):
            yield from _unlisted(path, names)
        elif os.path.isfile(path) and (lacking := _file(path)) is not None:
            yield f"{name}: {lacking}"


def _shards(names: set[str]) -> Iterator[str]:
    groups: defaultdict[tuple[str, int, str], set[int]] = defaultdict(set)
    for name in names:
        if (match := _SHARD.fullmatch(name)) is not None and int(match["all"]) <= _SHARDS_MAX:
            groups[match["name"], int(match["all"]), match["rest"]].add(int(match["at"]))
    for (name, total, rest), numbers in groups.items():
        if len(numbers) < total:
            yield f"{len(numbers)} of {total} files {name}*{rest}"


def _unlisted(path: str, names: set[str]) -> Iterator[str]:
    """Yield the fault of an index: one of the shards that it names is not there, or it cannot be read."""
    data = files.head(path, _INDEX_MAX + 1, file_kinds.CHECKPOINT)
    if len(data) > _INDEX_MAX:
        return
    try:
        listed = set(msgspec.json.decode(data, type=_Index).weight_map.values())
    except _UNREADABLE:
        yield f"{os.path.basename(path)}: it is not whole JSON"
        return
    for name in sorted(listed - names)[:1]:
        yield f"{name} is missing"


def _file(path: str) -> str | None:
    size = os.path.getsize(path)
    if size == 0:
        return "it is empty" if path.endswith(_WEIGHTS) else None
    if path.endswith(".safetensors"):
        return _safetensors(path, size)
    with files.opened(path, file_kinds.CHECKPOINT) as file:
        return _zip(file.fileno(), size) if file.read(len(_ZIP)) == _ZIP else None


def _zip(fd: int, size: int) -> str | None:
    length = min(size, _ZIP_END_SIZE + _ZIP_COMMENT_MAX)
    tail = os.pread(fd, length, size - length)
    at = tail.rfind(_ZIP_END)
    return None if 0 <= at <= length - _ZIP_END_SIZE else "it was cut off"


def _safetensors(path: str, size: int) -> str | None:
    with files.opened(path, file_kinds.CHECKPOINT) as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if 8 + length > size:
            return "it was cut off"
        if length > _INDEX_MAX:
            return None
        header = file.read(length)
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        ends = [msgspec.json.decode(raw, type=_Tensor).data_offsets[1] for raw in entries.values()]
    except _UNREADABLE:
        return "its header cannot be read"
    return None if 8 + length + max(ends, default=0) <= size else "it was cut off"

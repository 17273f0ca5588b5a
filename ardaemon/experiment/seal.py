"""The seal: makes and checks the hashes of the files that must not change during an experiment."""

import errno
import hashlib
import math
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState, SealBroken, StorageError, UsageError
from ardaemon.core.folders import Look, Unsearched, listing
from ardaemon.core.layout import Experiment
from ardaemon.core.literals import literal
from ardaemon.core.model import Contract, Sealed, Settings
from ardaemon.core.protocol import Seal
from ardaemon.core.words import SEAL_HOLDS
from ardaemon.experiment.program import read_front, split_program
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import state
from ardaemon.host.state import now


def seal(experiment: Experiment, params: Seal) -> list[str]:
    """Report what has changed under the seal, one line each; with `accept` or `add`, make the seal anew."""
    current = None if params.accept else load_or_repair(experiment)
    if current is not None and not params.add:
        return changed(experiment, current.contract) or [SEAL_HOLDS]
    before = _sealed_before(experiment)
    names = tuple(s.path for s in before if s.path not in ("program.md", "prepare.py"))
    made = make(experiment, (*names, *params.add))
    hashes_before = {s.path: s.sha256 for s in before}
    state.write(experiment.contract, made)
    done = [f"sealed {s.path}" for s in made.sealed if hashes_before.get(s.path) != s.sha256]
    if not before:
        done.append(
            "the list of sealed paths is lost: name paths other than prepare.py again with --add PATH"
        )
    return done or ["nothing had changed"]


def _sealed_before(experiment: Experiment) -> tuple[Sealed, ...]:
    try:
        contract = state.read(experiment.contract, Contract)
    except CorruptState:
        state.put_aside(experiment.contract)
        return ()
    return contract.sealed if contract else ()


BLOCK = 1 << 20
SEALED_FILES_MAX = 100_000  # in one sealed folder: a larger data set is sealed by its manifest
MANIFEST = "seal a manifest instead"
CONTRACT_MAX_BYTES = 16 << 10  # of the CONTRACT literal, as JSON
METRIC_NAME_MAX = 120  # characters; the name stands in every result
# path -> (stat's facts about the file, its hash): large data is not read again while stat gives the same
# facts.
_hashes: dict[str, tuple[tuple[int, ...], str]] = {}
HASHES_MAX = 100_000
# Times are coarse (4 ms on ext4, up to 2 s elsewhere): if a file has changed just now, stat may give the same
# facts after the next change. So only the hash of a file that has rested for this time is remembered.
RESTED_NS = 2_000_000_000


def hash_file(path: str) -> str:
    """Return the SHA-256 of a file's bytes, which is remembered while size, times and inode stay the same."""
    remembered = _hashes.get(path)
    if remembered is not None and remembered[0] == _mark(os.stat(path)):
        return remembered[1]
    with files.opened(path, file_kinds.SEALED) as file:
        status = os.fstat(file.fileno())
        digest = _digest(file, status.st_size)
    if time.time_ns() - status.st_ctime_ns > RESTED_NS:
        if len(_hashes) >= HASHES_MAX:
            _hashes.clear()
        _hashes[path] = (_mark(status), digest)
    return digest


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _digest(file: BinaryIO, size: int) -> str:
    """Return the hash of a file of `size` bytes. One that holds more may never end: raises OSError."""
    digest, left = hashlib.sha256(), size
    while block := file.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise OSError(errno.EIO, "it grows while it is read")
        digest.update(block)
    return digest.hexdigest()


def hash_path(path: Path) -> str:
    """Return the hash of a file, or of a folder: over the sorted relative names and hashes of its files.

    Data sets are linked in: links to folders are followed, each folder once.
    """
    if not path.is_dir():
        return hash_file(str(path))
    digest, count, seen = hashlib.sha256(), 0, {_identity(str(path)): "."}
    todo, look = [str(path)], Look(path, seconds=math.inf)
    while todo:
        entries = sorted(listing(todo.pop(), look, follow=True))
        folders = [one for one in entries if one.is_folder and one.name != "__pycache__"]
        firsts = {one.path: _first(one.path, path, seen) for one in folders}
        for again, first in firsts.items():
            if first is not None:  # another way to a folder that is hashed already
                digest.update(f"{os.path.relpath(again, path)}\0-> {first}\n".encode())
        for one in entries:
            if not one.is_folder:
                count += 1
                if count > SEALED_FILES_MAX:
                    raise UsageError(f"{path} holds over {SEALED_FILES_MAX} files", MANIFEST)
                digest.update(f"{os.path.relpath(one.path, path)}\0{hash_file(one.path)}\n".encode())
        todo += reversed([below for below, first in firsts.items() if first is None])
    return digest.hexdigest()


def _first(folder: str, top: Path, seen: dict[tuple[int, int], str]) -> str | None:
    """Return by which name the folder was seen before; None if it is new: links may lead in a circle."""
    name = os.path.relpath(folder, top)
    first = seen.setdefault(_identity(folder), name)
    return None if first == name else first


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def make(experiment: Experiment, paths: tuple[str, ...]) -> Contract:
    """Make the seal of prepare.py, program.md's front matter and `paths`, as they are now."""
    text, front = read_front(experiment)
    _check_name(front.primary.metric)
    sealed = [Sealed("program.md", hashlib.sha256(text.encode()).hexdigest())]
    names = [*(["prepare.py"] if experiment.prepare.exists() else []), *paths]
    for name in dict.fromkeys(names):
        sealed.append(Sealed(name, _hash_named(experiment, name)))
    return Contract(
        primary=front.primary,
        constraints=front.constraints,
        sealed=tuple(sealed),
        contract=_literal(experiment),
        sealed_at=now(),
    )


def _check_name(name: str) -> None:
    if not name or len(name) > METRIC_NAME_MAX or not name.isprintable() or any(c.isspace() for c in name):
        raise UsageError(f"{name[:60]!r} is not a metric's name", "give the name as the script prints it")


def _literal(experiment: Experiment) -> Any:
    try:
        value = literal(files.read(experiment.prepare, file_kinds.PREPARE), "CONTRACT")
        return value if len(msgspec.json.encode(value)) <= CONTRACT_MAX_BYTES else None
    except (OSError, TypeError, msgspec.MsgspecError, RecursionError):
        return None


def _hash_named(experiment: Experiment, name: str) -> str:
    path = experiment.folder / name  # an absolute name stays absolute
    try:
        return hash_path(path)
    except Unsearched as error:
        raise UsageError(str(error), MANIFEST) from error
    except OSError as error:
        raise StorageError(f"cannot seal {path}: {error.strerror}", "seal what exists") from error


def changed(experiment: Experiment, contract: Contract) -> list[str]:
    """Return what is not as it was sealed, one line each; an empty list if the seal holds."""
    faults = []
    for sealed in contract.sealed:
        try:
            holds = _hash_now(experiment, sealed.path) == sealed.sha256
            fault = "" if holds else f"{sealed.path} changed ({_since(experiment, sealed.path)})"
        except OSError as error:
            fault = f"{sealed.path}: {error.strerror or error}"
        except UsageError as error:
            fault = error.message
        if fault:
            faults.append(fault)
    return faults


def _hash_now(experiment: Experiment, name: str) -> str:
    if name != "program.md":
        return hash_path(experiment.folder / name)
    text, _ = split_program(files.text(experiment.program, file_kinds.SCRIPT, "replace"))
    return hashlib.sha256((text or "").encode()).hexdigest()


def _since(experiment: Experiment, name: str) -> str:
    from datetime import UTC, datetime

    stamp = os.stat(experiment.folder / name).st_mtime
    return f"last written {datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M:%S} UTC"


def fingerprint(contract: Contract) -> str:
    """Return a text that is the same for the same seal, and differs for any other."""
    return hashlib.sha256(msgspec.json.encode((contract.primary, contract.sealed))).hexdigest()


def conditions(settings: Settings, contract: Contract) -> str:
    """Return a fingerprint of what makes two values comparable: the way of measuring and the seal."""
    facts = (
        [float(settings.seconds), settings.runner, settings.exec, settings.startup, settings.metrics],
        [settings.metric_regex, settings.metric_command],
        [[s.path, s.sha256] for s in contract.sealed if s.path != "program.md"],
        [contract.primary.metric, contract.primary.direction],
    )
    # Options that came later are added only where they are used: fingerprints of earlier versions stay the
    # same.
    if settings.gpus is not None:
        facts = (*facts, [settings.gpus])  # type: ignore[assignment]
    if (settings.metric_path, settings.value) != (None, "last"):
        facts = (*facts, {"path": settings.metric_path, "value": settings.value})  # type: ignore[assignment]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


def require(experiment: Experiment, contract: Contract) -> None:
    """Raise SealBroken if anything sealed has changed."""
    faults = changed(experiment, contract)
    if faults:
        raise SealBroken(
            f"sealed on {contract.sealed_at} and changed since: {'; '.join(faults[:5])}",
            "put it back, or, if the change is meant, a person accepts it: arctl seal --accept"
            " (results before and after are not comparable)",
        )

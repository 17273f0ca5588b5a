"""The seal: hashes of what must not change during an experiment."""

import errno
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Any

import msgspec

from ardaemon.core.errors import CorruptState, SealBroken, StorageError, UsageError
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
    """Report what changed under the seal; with `accept` or `add`, seal what is there now."""
    found = None if params.accept else load_or_repair(experiment)
    if found is not None and not params.add:
        return changed(experiment, found.contract) or [SEAL_HOLDS]
    before = _sealed_before(experiment)
    names = tuple(s.path for s in before if s.path not in ("program.md", "prepare.py"))
    made = make(experiment, (*names, *params.add))
    known = {s.path: s.sha256 for s in before}
    state.write(experiment.contract, made)
    said = [f"sealed {s.path}" for s in made.sealed if known.get(s.path) != s.sha256]
    if not before:
        said.append("what was sealed before is not known any more: name other paths again with --add PATH")
    return said or ["nothing had changed"]


def _sealed_before(experiment: Experiment) -> tuple[Sealed, ...]:
    try:
        found = state.read(experiment.contract, Contract)
    except CorruptState:
        state.put_aside(experiment.contract)
        return ()
    return found.sealed if found else ()


BLOCK = 1 << 20
SEALED_FILES_MAX = 100_000  # in one sealed folder: a larger data set is sealed by its manifest
CONTRACT_MAX_BYTES = 16 << 10  # of the CONTRACT literal, as JSON
METRIC_NAME_MAX = 120  # characters; the name stands in every result
# path -> (what stat says of it, its hash): large data is not read again while stat says the same.
_known: dict[str, tuple[tuple[int, ...], str]] = {}
KNOWN_MAX = 100_000
# Times are coarse (4 ms on ext4, up to 2 s elsewhere): of a file that changed just now, stat may say the
# same after the next change. Only one that has rested is remembered.
RESTED_NS = 2_000_000_000


def hash_file(path: str) -> str:
    """sha256 of a file's bytes; remembered while size, times and inode stay."""
    found = os.stat(path)
    mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    known = _known.get(path)
    if known is not None and known[0] == mark:
        return known[1]
    digest = hashlib.sha256()
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", path)
        while block := file.read(BLOCK):
            digest.update(block)
    if time.time_ns() - found.st_ctime_ns > RESTED_NS:
        if len(_known) >= KNOWN_MAX:
            _known.clear()
        _known[path] = (mark, digest.hexdigest())
    return digest.hexdigest()


def _raise(error: OSError) -> None:
    raise error  # what cannot be read cannot be sealed


def hash_path(path: Path) -> str:
    """A file's hash, or a folder's: over the sorted relative names and hashes of its files."""
    if not path.is_dir():
        return hash_file(str(path))
    digest, count, seen = hashlib.sha256(), 0, {_identity(str(path)): "."}
    for folder, folders, files in os.walk(path, onerror=_raise, followlinks=True):  # links: data sets
        names = sorted(name for name in folders if name != "__pycache__")
        folders[:] = []
        for full in (os.path.join(folder, name) for name in names):
            relative = os.path.relpath(full, path)
            first = seen.setdefault(_identity(full), relative)
            if first == relative:
                folders.append(os.path.basename(full))
            else:  # another way to a folder that is covered: links may go in a circle
                digest.update(f"{relative}\0-> {first}\n".encode())
        for name in sorted(files):
            count += 1
            if count > SEALED_FILES_MAX:
                raise UsageError(f"{path} holds over {SEALED_FILES_MAX} files", "seal a manifest instead")
            full = os.path.join(folder, name)
            digest.update(f"{os.path.relpath(full, path)}\0{hash_file(full)}\n".encode())
    return digest.hexdigest()


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def make(experiment: Experiment, paths: tuple[str, ...]) -> Contract:
    """Seal prepare.py, program.md's front matter and `paths` as they are now."""
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
        value = literal(experiment.prepare.read_bytes(), "CONTRACT")
        return value if len(msgspec.json.encode(value)) <= CONTRACT_MAX_BYTES else None
    except (OSError, TypeError, msgspec.MsgspecError, RecursionError):
        return None


def _hash_named(experiment: Experiment, name: str) -> str:
    path = experiment.folder / name  # an absolute name stays absolute
    try:
        return hash_path(path)
    except OSError as error:
        raise StorageError(f"cannot seal {path}: {error.strerror}", "seal what exists") from error


def changed(experiment: Experiment, contract: Contract) -> list[str]:
    """What is not as it was sealed, one line each; empty when the seal holds."""
    found = []
    for sealed in contract.sealed:
        try:
            holds = _hash_now(experiment, sealed.path) == sealed.sha256
            fault = "" if holds else f"{sealed.path} changed ({_since(experiment, sealed.path)})"
        except OSError as error:
            fault = f"{sealed.path}: {error.strerror or error}"
        except UsageError as error:
            fault = error.message
        if fault:
            found.append(fault)
    return found


def _hash_now(experiment: Experiment, name: str) -> str:
    if name != "program.md":
        return hash_path(experiment.folder / name)
    text, _ = split_program(experiment.program.read_text(encoding="utf-8", errors="replace"))
    return hashlib.sha256((text or "").encode()).hexdigest()


def _since(experiment: Experiment, name: str) -> str:
    from datetime import UTC, datetime

    stamp = os.stat(experiment.folder / name).st_mtime
    return f"last written {datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M:%S} UTC"


def fingerprint(contract: Contract) -> str:
    """What tells one seal from the next."""
    return hashlib.sha256(msgspec.json.encode((contract.primary, contract.sealed))).hexdigest()


def conditions(settings: Settings, contract: Contract) -> str:
    """A fingerprint of what makes two values comparable: how they were measured, and under which seal."""
    facts = (
        [float(settings.seconds), settings.runner, settings.exec, settings.startup, settings.metrics],
        [settings.metric_regex, settings.metric_command],
        [[s.path, s.sha256] for s in contract.sealed if s.path != "program.md"],
        [contract.primary.metric, contract.primary.direction],
    )
    if settings.gpus is not None:  # where it was left open, it is what it has always been
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

"""The seal: makes and checks the hashes of the files that must not change during an experiment."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState, SealBroken, StorageError, UsageError
from ardaemon.core.file_kinds import ANY_SIZE
from ardaemon.core.folders import Unsearched
from ardaemon.core.layout import Experiment
from ardaemon.core.literals import literal
from ardaemon.core.mends import with_other_files
from ardaemon.core.model import Contract, Sealed, Session, Settings
from ardaemon.core.protocol import Seal
from ardaemon.core.words import OF_A_SESSION, SEAL_HOLDS, UNREADABLE
from ardaemon.experiment import history, ledger, seal_generation
from ardaemon.experiment.program import read_front, split_program
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.sealed_hash import MANIFEST, Hashed, hash_path
from ardaemon.experiment.state import State
from ardaemon.experiment.vanished import require_newest_there
from ardaemon.host import state
from ardaemon.host.state import now
from ardaemon.metrics.readable import require_readable


def seal(experiment: Experiment, params: Seal) -> list[str]:
    """Report what has changed under the seal, one line each; with `accept` or `add`, make the seal anew."""
    if not params.accept:
        current = load_or_repair(experiment)
        if not params.add:
            return _faults(experiment, current) or [SEAL_HOLDS]
        seal_generation.require_newest(experiment, current.contract, current.session)
    return _made_anew(experiment, params.add)


def _faults(experiment: Experiment, current: State) -> list[str]:
    older = seal_generation.faults(current.contract, current.session)
    return [*older, *changed(experiment, current.contract), *_of_session(experiment, current)]


def _made_anew(experiment: Experiment, add: Sequence[str]) -> list[str]:
    """Seal the files as they are now, `add` among them; say what is new of that."""
    require_newest_there(experiment)
    contract = _contract_before(experiment)
    before = contract.sealed if contract else ()
    names = tuple(s.path for s in before if s.path not in ("program.md", "prepare.py"))
    kept = (contract.origin, contract.original) if contract else (_origin_of_last(experiment),)
    made = make(experiment, (*names, *add), *kept)
    hashes_before = {s.path: s.sha256 for s in before}
    same = contract is not None and fingerprint(contract) == fingerprint(made)
    generation = seal_generation.next_after(experiment, contract, same)
    state.write(experiment.contract, replace(made, generation=generation))
    done = [f"sealed {s.path}" for s in made.sealed if hashes_before.get(s.path) != s.sha256]
    if not before:
        done.append(
            "the list of sealed paths is lost: name paths other than prepare.py again with --add PATH"
        )
    if not done and contract is not None and contract.generation < generation:
        done.append("the seal that had gone back is the one that counts now")
    current = load_or_repair(experiment)
    seal_generation.keep(experiment, current.session, generation)
    return [*done, *_of_session(experiment, current)] or ["nothing had changed"]


def _of_session(experiment: Experiment, current: State) -> list[str]:
    """Say which files of the session's checks and audit have changed; a new session seals them, not this."""
    accept = f"{OF_A_SESSION}{with_other_files(experiment.slug)}"
    return [f"{fault}{accept}" for fault in differing(experiment, current.session.checks_sealed)]


def _contract_before(experiment: Experiment) -> Contract | None:
    try:
        return state.read(experiment.contract, Contract)
    except CorruptState:
        state.put_aside(experiment.contract)
        return None


def _origin_of_last(experiment: Experiment) -> str | None:
    """Return where train.py was taken from, as the last run has it; None if there was none."""
    for row in ledger.last(experiment.results, 1):
        record = history.record_of(experiment.run(row["run_id"]))
        return record.origin if record is not None else None
    return None


CONTRACT_MAX_BYTES = 16 << 10  # of the CONTRACT literal, as JSON


def make(
    experiment: Experiment, paths: tuple[str, ...], origin: str | None = None, original: str = ""
) -> Contract:
    """Make the seal of prepare.py, program.md's front matter and `paths`, as they are now.

    `origin` is where train.py was taken from (script_place.py), `original` its hash.
    """
    text, front = read_front(experiment)
    require_readable(front.primary.metric)
    sealed = [Sealed("program.md", hashlib.sha256(text.encode()).hexdigest())]
    names = [*(["prepare.py"] if experiment.prepare.exists() else []), *paths]
    for name in dict.fromkeys(names):
        sealed.append(Sealed(name, *hash_named(experiment, name)))
    return Contract(
        primary=front.primary,
        constraints=front.constraints,
        sealed=tuple(sealed),
        contract=_literal(experiment),
        sealed_at=now(),
        origin=origin,
        original=original,
    )


def _literal(experiment: Experiment) -> Any:
    try:
        value = literal(files.read(experiment.prepare, file_kinds.PREPARE), "CONTRACT")
        return value if len(msgspec.json.encode(value)) <= CONTRACT_MAX_BYTES else None
    except (OSError, TypeError, msgspec.MsgspecError, RecursionError):
        return None


def hash_named(experiment: Experiment, name: str) -> Hashed:
    """Hash what is to be sealed under that name. Raises UsageError and StorageError."""
    path = experiment.folder / name  # an absolute name stays absolute
    try:
        hashed = hash_path(path)
    except Unsearched as error:
        raise UsageError(str(error), MANIFEST) from error
    except OSError as error:
        raise StorageError(f"cannot seal {path}: {error.strerror}", "seal what exists") from error
    assert hashed is not None, "any size is taken"
    return hashed


def changed(experiment: Experiment, contract: Contract) -> list[str]:
    """Return what is not as it was sealed, one line each; an empty list if the seal holds."""
    return differing(experiment, contract.sealed)


def differing(experiment: Experiment, every: Iterable[Sealed]) -> list[str]:
    """Return which of these are not as they were sealed, one line each."""
    faults = []
    for sealed in every:
        try:
            holds = _hash_now(experiment, sealed) == sealed.sha256
            fault = "" if holds else f"{sealed.path} changed ({_since(experiment, sealed.path)})"
        except OSError as error:
            fault = f"{sealed.path} {UNREADABLE}{error.strerror or error}"
        except UsageError as error:
            fault = error.message
        if fault:
            faults.append(fault)
    return faults


def _hash_now(experiment: Experiment, sealed: Sealed) -> str | None:
    """Return the hash of what is sealed; None if there is more of it now: that is not read."""
    if sealed.path != "program.md":
        most = ANY_SIZE if sealed.size is None else sealed.size
        hashed = hash_path(experiment.folder / sealed.path, most)
        return hashed.sha256 if hashed is not None else None
    text, _ = split_program(files.text(experiment.program, file_kinds.SCRIPT, "replace"))
    return hashlib.sha256((text or "").encode()).hexdigest()


def _since(experiment: Experiment, name: str) -> str:
    from datetime import UTC, datetime

    stamp = os.stat(experiment.folder / name).st_mtime
    return f"last written {datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M:%S} UTC"


def fingerprint(contract: Contract) -> str:
    """Return a text that is the same for the same seal, and differs for any other."""
    sealed = [replace(one, size=None) for one in contract.sealed]  # earlier versions did not write it down
    return hashlib.sha256(msgspec.json.encode((contract.primary, sealed))).hexdigest()


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


def require(experiment: Experiment, contract: Contract, session: Session) -> None:
    """Raise SealBroken if anything sealed has changed, or if the seal itself is a copy from before."""
    seal_generation.require_newest(experiment, contract, session)
    faults = changed(experiment, contract)
    if faults:
        raise SealBroken(
            f"sealed on {contract.sealed_at} and changed since: {'; '.join(faults[:5])}",
            "put it back, or, if the change is meant, a person accepts it: arctl seal --accept"
            " (results before and after are not comparable)",
        )

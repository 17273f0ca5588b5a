"""Where an attempt's `.wandb` files are, known for certain, or why that is not known.

In this order: the path that the session names (--metric-path); `wandb_run.json` in the run's folder, which
the script wrote; the run id that the daemon put into the environment. `latest-run` is never asked: another
run, or another process of this one, may have moved it since.
"""

import glob
import json
import os
from pathlib import Path

from msgspec import Struct

from ardaemon.core.text import one_line
from ardaemon.metrics import bound
from ardaemon.metrics.base import Evidence, Query

POINTER = "wandb_run.json"
POINTER_MAX = 64 << 10  # bytes; it names one path and one id
SUFFIX = ".wandb"
SAID_MAX = 160  # characters of paths and ids in a problem
SHOWN = 3  # ids that a problem names


class Found(Struct, frozen=True):
    """The files of one wandb run, several where it was initialised several times; or the problem."""

    files: tuple[Path, ...] = ()
    problem: str | None = None
    absent: bool = False  # there is no file at all


def environment(run_folder: Path, run_id: str) -> dict[str, str]:
    """What binds wandb's output to an attempt (`run_id`: "r0043-a2"), where the caller has not set it.

    Offline: with no network, a key and a server that is not there, wandb.init() takes 100 s to fail.
    """
    return {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(run_folder),
        "WANDB_RUN_ID": bound.name(run_folder, run_id),
        "WANDB_SILENT": "true",
        # Seconds. With wandb's own 15, a run that is killed has lost all it logged in the last of them.
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
    }


def find(evidence: Evidence, query: Query) -> Found:
    """The attempt's files. Raises OSError."""
    if query.path:
        return _named(evidence, query.path, "--metric-path")
    pointer = evidence.run_folder / POINTER
    if any(mine.path.name == POINTER for mine in evidence.mine(f"{{run_dir}}/{POINTER}")):
        return _pointed(evidence, pointer)
    return _by_id(evidence)


def run_id(path: Path) -> str:
    """The id in a file's name, run-<id>.wandb."""
    return path.name.removesuffix(SUFFIX).removeprefix("run-")


def _named(evidence: Evidence, pattern: str, by: str) -> Found:
    """Of the files that a pattern names, those of one run."""
    files = [mine.path for mine in evidence.mine(pattern, f"run-*{SUFFIX}") if mine.path.suffix == SUFFIX]
    ids = dict.fromkeys(map(run_id, files))
    own = evidence.environment.get("WANDB_RUN_ID")
    if own in ids:
        return Found(tuple(path for path in files if run_id(path) == own))
    if len(ids) == 1:
        return Found(tuple(files))
    shown = one_line(pattern, SAID_MAX)
    if not files:
        return Found(problem=f"{by} {shown}: no run-<id>.wandb there that this run wrote")
    return Found(problem=f"{by} {shown} holds several runs, none of them {own}: {_some(list(ids))}")


def _pointed(evidence: Evidence, pointer: Path) -> Found:
    """What {"path": …, "run_id": …} names: a .wandb file, its folder, or the `files` folder beside it."""
    with pointer.open("rb") as file:
        text = file.read(POINTER_MAX)
    try:
        told = json.loads(text)
        wanted, path = told.get("run_id"), told.get("path")
    except (ValueError, RecursionError, AttributeError):
        return Found(problem=f"{POINTER} is no JSON object with `path` or `run_id`")
    if not isinstance(path or "", str) or not isinstance(wanted or "", str) or not (path or wanted):
        return Found(problem=f"{POINTER} has neither `path` nor `run_id`, as text")
    if not path:
        return _by_id(evidence, wanted)
    place = Path(os.path.normpath(evidence.project / path))
    place = place.parent if place.name == "files" else place
    pattern = glob.escape(str(place)) + ("" if place.suffix == SUFFIX else f"/run-*{SUFFIX}")
    found = _named(evidence, pattern, f"{POINTER}:")
    ids = dict.fromkeys(map(run_id, found.files))
    if wanted and ids and wanted not in ids:
        said = f"{POINTER} says run {wanted}, but {path}"
        return Found(problem=f"{one_line(said, SAID_MAX)} holds {_some(list(ids))}")
    return found


def _by_id(evidence: Evidence, wanted: str | None = None) -> Found:
    """Every run-<id>.wandb below the folders where wandb may have put it."""
    given = evidence.environment
    own = wanted or given.get("WANDB_RUN_ID", "")
    roots = folders(evidence)
    if own:
        patterns = [f"{root}/run-{glob.escape(own)}{SUFFIX}" for root in roots]
        if bound.ours(own, evidence.run_folder):  # nothing else can have it, wherever it lies
            files = [Path(path) for pattern in patterns for path in sorted(glob.glob(pattern))]
        else:
            files = [mine.path for pattern in patterns for mine in evidence.mine(pattern)]
        if files:
            return Found(tuple(dict.fromkeys(files)))
    others = [mine.path for mine in evidence.mine(f"{roots[0]}/run-*{SUFFIX}")]
    others += [mine.path for mine in evidence.mine(f"{roots[1]}/run-*{SUFFIX}")]
    ids = dict.fromkeys(map(run_id, others))
    if not own and len(ids) == 1:
        return Found(tuple(others))
    return Found(problem=_nothing(own, list(ids), given), absent=not ids)


def _nothing(own: str, ids: list[str], given: dict[str, str]) -> str:
    mode = given.get("WANDB_MODE", "")
    if ids:
        return (
            f"found {_some(ids)} but not run-{own or '<id>'}{SUFFIX}: if wandb.init(id=…) chose that,"
            f" name it with --metric-path, or in {POINTER} in $AR_RUN_DIR"
        )
    off = f" (WANDB_MODE={mode})" if mode in ("disabled", "dryrun") else ""
    return f"wandb has written no run-{own or '<id>'}{SUFFIX}{off}"


def folders(evidence: Evidence) -> list[str]:
    """Patterns of run folders: below WANDB_DIR, the project (`init(dir=)`), the temporary folder.

    wandb takes the last one without a word where it may not write in the first.
    """
    given = evidence.environment
    temporary = next((given[name] for name in ("TMPDIR", "TEMP", "TMP") if given.get(name)), "/tmp")
    folders = [given.get("WANDB_DIR") or evidence.project, evidence.project, temporary]
    places = (glob.escape(os.path.normpath(evidence.project / folder)) for folder in folders)
    return [f"{place}/{kind}/*run-*" for place in places for kind in ("wandb", ".wandb")]


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return one_line(", ".join(f"run-{name}{SUFFIX}" for name in ids[:SHOWN]), SAID_MAX) + more

"""Finds the `.wandb` files that are certainly an attempt's, or says why none can be recognised.

They are looked for in this order: by the path that the session names (--metric-path); by `wandb_run.json` in
the run's folder, which the script wrote; by the run id that the daemon put into the environment. The link
`latest-run` is never followed: another run, or another process of this run, may have moved it since.
"""

import glob
import json
import os
from pathlib import Path

from msgspec import Struct

from ardaemon.core import file_kinds, files
from ardaemon.core.text import one_line
from ardaemon.metrics import bound
from ardaemon.metrics.base import AttemptOutput, Query

POINTER = "wandb_run.json"
SUFFIX = ".wandb"
WORDS_MAX = 160  # characters of paths and ids in a problem
SHOWN = 3  # ids that a problem names


class WandbFiles(Struct, frozen=True):
    """The files of one wandb run, or the problem. Each call of init() in the script has made one file."""

    files: tuple[Path, ...] = ()
    problem: str | None = None
    absent: bool = False  # there is no file at all


def environment(run_folder: Path, run_id: str) -> dict[str, str]:
    """Return the variables by which wandb's output is known as the attempt's (`run_id`: "r0043-a2").

    They set wandb offline as well: without a network, wandb.init() with a key takes 100 s to fail.
    """
    return {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(run_folder),
        "WANDB_RUN_ID": bound.name(run_folder, run_id),
        "WANDB_SILENT": "true",
        # Seconds. With wandb's default of 15, a killed run loses all that it logged in its last 15 seconds.
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
    }


def find(attempt: AttemptOutput, query: Query) -> WandbFiles:
    """Find the attempt's files. Raises OSError."""
    if query.path:
        return _named(attempt, query.path, "--metric-path")
    pointer = attempt.run_folder / POINTER
    if any(mine.path.name == POINTER for mine in attempt.mine(f"{{run_dir}}/{POINTER}")):
        return _pointed(attempt, pointer)
    return _by_id(attempt)


def run_id(path: Path) -> str:
    """Return the run id in a file's name, run-<id>.wandb."""
    return path.name.removesuffix(SUFFIX).removeprefix("run-")


def _named(attempt: AttemptOutput, pattern: str, by: str) -> WandbFiles:
    """Return the files of one run that a pattern names; `by` says who named it, for the problem."""
    files = [mine.path for mine in attempt.mine(pattern, f"run-*{SUFFIX}") if mine.path.suffix == SUFFIX]
    ids = dict.fromkeys(map(run_id, files))
    own = attempt.environment.get("WANDB_RUN_ID")
    if own in ids:
        return WandbFiles(tuple(path for path in files if run_id(path) == own))
    if len(ids) == 1:
        return WandbFiles(tuple(files))
    shown = one_line(pattern, WORDS_MAX)
    if not files:
        return WandbFiles(problem=f"{by} {shown}: no run-<id>.wandb there that this run wrote")
    return WandbFiles(problem=f"{by} {shown} holds several runs, none of them {own}: {_some(list(ids))}")


def _pointed(attempt: AttemptOutput, pointer: Path) -> WandbFiles:
    """Return the files that the pointer {"path": …, "run_id": …} names.

    The path may be that of a .wandb file, of its folder, or of the folder `files` beside it.
    """
    text = files.read(pointer, file_kinds.POINTER)
    try:
        content = json.loads(text)
        wanted, path = content.get("run_id"), content.get("path")
    except (ValueError, RecursionError, AttributeError):
        return WandbFiles(problem=f"{POINTER} is not a JSON object with `path` or `run_id`")
    if not isinstance(path or "", str) or not isinstance(wanted or "", str) or not (path or wanted):
        return WandbFiles(problem=f"{POINTER} has neither `path` nor `run_id`, as text")
    if not path:
        return _by_id(attempt, wanted)
    place = Path(os.path.normpath(attempt.project / path))
    place = place.parent if place.name == "files" else place
    pattern = glob.escape(str(place)) + ("" if place.suffix == SUFFIX else f"/run-*{SUFFIX}")
    found = _named(attempt, pattern, f"{POINTER}:")
    ids = dict.fromkeys(map(run_id, found.files))
    if wanted and ids and wanted not in ids:
        claim = f"{POINTER} says run {wanted}, but {path}"
        return WandbFiles(problem=f"{one_line(claim, WORDS_MAX)} holds {_some(list(ids))}")
    return found


def _by_id(attempt: AttemptOutput, wanted: str | None = None) -> WandbFiles:
    """Return every run-<id>.wandb below the folders where wandb may have put it.

    The id is `wanted`, else that of the environment; without either, the only one that this attempt wrote.
    """
    given = attempt.environment
    own = wanted or given.get("WANDB_RUN_ID", "")
    roots = folders(attempt)
    if own:
        patterns = [f"{root}/run-{glob.escape(own)}{SUFFIX}" for root in roots]
        if bound.ours(own, attempt.run_folder):  # no other run has this id, so the file may lie anywhere
            files = [mine.path for pattern in patterns for mine in attempt.anybodys(pattern)]
        else:
            files = [mine.path for pattern in patterns for mine in attempt.mine(pattern)]
        if files:
            return WandbFiles(tuple(dict.fromkeys(files)))
    others = [mine.path for mine in attempt.mine(f"{roots[0]}/run-*{SUFFIX}")]
    others += [mine.path for mine in attempt.mine(f"{roots[1]}/run-*{SUFFIX}")]
    ids = dict.fromkeys(map(run_id, others))
    if not own and len(ids) == 1:
        return WandbFiles(tuple(others))
    return WandbFiles(problem=_nothing(own, list(ids), given), absent=not ids)


def _nothing(own: str, ids: list[str], given: dict[str, str]) -> str:
    mode = given.get("WANDB_MODE", "")
    if ids:
        return (
            f"found {_some(ids)} but not run-{own or '<id>'}{SUFFIX}: if wandb.init(id=…) chose that,"
            f" name it with --metric-path, or in {POINTER} in $AR_RUN_DIR"
        )
    off = f" (WANDB_MODE={mode})" if mode in ("disabled", "dryrun") else ""
    return f"wandb has written no run-{own or '<id>'}{SUFFIX}{off}"


def folders(attempt: AttemptOutput) -> list[str]:
    """Return patterns of run folders: below WANDB_DIR, the project (`init(dir=)`), the temporary folder.

    wandb takes the last one, without a message, if it may not write in the first.
    """
    given = attempt.environment
    temporary = next((given[name] for name in ("TMPDIR", "TEMP", "TMP") if given.get(name)), "/tmp")
    folders = [given.get("WANDB_DIR") or attempt.project, attempt.project, temporary]
    places = (glob.escape(os.path.normpath(attempt.project / folder)) for folder in folders)
    return [f"{place}/{kind}/*run-*" for place in places for kind in ("wandb", ".wandb")]


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return one_line(", ".join(f"run-{name}{SUFFIX}" for name in ids[:SHOWN]), WORDS_MAX) + more

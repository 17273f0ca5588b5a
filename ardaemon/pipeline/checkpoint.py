"""Checkpoints: the best run's state, copied whole and swapped in by one rename."""

import glob
import os
import shutil
from pathlib import Path

from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Result, Settings
from ardaemon.host import durable
from ardaemon.host.state import storage

META = "meta.json"
# A file's time may be this much before the attempt's start: filesystems keep coarse times.
CLOCK_SLACK_S = 2.0


def find(experiment: Experiment, run: Run, settings: Settings, started: float) -> Path | None:
    """The newest match of the session's glob that this attempt wrote; state.pt without a glob."""
    if settings.checkpoint_glob is None:
        state = run.folder / "state.pt"
        return state if state.is_file() else None
    pattern = settings.checkpoint_glob.replace("{run_dir}", glob.escape(str(run.folder)))
    paths = [
        experiment.project / name for name in glob.glob(pattern, root_dir=experiment.project, recursive=True)
    ]
    written = [(_written(path), path) for path in paths]
    ours = [(when, path) for when, path in written if when >= started - CLOCK_SLACK_S]
    return max(ours)[1] if ours else None


def _written(path: Path) -> float:
    times = [path.stat().st_mtime]
    if path.is_dir():
        times += [item.stat().st_mtime for item in path.rglob("*") if item.is_file()]
    return max(times)


def promote(experiment: Experiment, run_id: str, source: Path, meta: Result) -> None:
    """Copy `source` to .ckpt/{run_id}/ and point best_ckpt there; nothing to do if it is there."""
    home = experiment.checkpoints / run_id
    with storage("promote the checkpoint to", home):
        if not (home / META).exists():
            _copy(experiment, home, source, meta)
        if not _points_to(experiment.best_checkpoint, home):
            durable.link_to(os.path.join(experiment.checkpoints.name, run_id), experiment.best_checkpoint)


def _points_to(link: Path, home: Path) -> bool:
    return link.is_symlink() and (link.parent / os.readlink(link)) == home


def _copy(experiment: Experiment, home: Path, source: Path, meta: Result) -> None:
    from msgspec import json  # the only place here that needs it

    durable.make_folder(experiment.checkpoints)
    partial = home.with_name(f".{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)  # without its meta.json it is a torn copy
    partial.mkdir()
    # Copied, never hard-linked: a later run may overwrite its own output in place.
    if source.is_dir():
        shutil.copytree(source, partial / source.name)
    else:
        shutil.copy2(source, partial / source.name)
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    facts = {"schema": 1, "run_id": meta.run_id, "name": source.name, "primary": meta.primary}
    durable.write(partial / META, json.format(json.encode(facts), indent=1))
    durable.rename(partial, home)


def prune(experiment: Experiment, keep: str | None) -> None:
    """Remove promoted checkpoints that are no longer the best; only what promote() made."""
    if keep is None or not experiment.checkpoints.is_dir():
        return
    for folder in experiment.checkpoints.iterdir():
        if folder.name != keep and (folder / META).exists():
            shutil.rmtree(folder, ignore_errors=True)

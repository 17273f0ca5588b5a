"""What a run's script finds of us: ar_capture on its path, and the state of the parent in the chain."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from ardaemon.core.errors import CorruptState, UnknownSchema, UsageError
from ardaemon.core.layout import Experiment, Project, Run
from ardaemon.core.model import Chain, Settings
from ardaemon.host import state

# Folders of their own: nothing else of ours can be imported from them by the job's interpreter.
JOB = Path(__file__).resolve().parents[1] / "job"
CAPTURE, AUTO = JOB / "capture", JOB / "auto"


def environment(
    experiment: Experiment, run: Run, settings: Settings, base: Mapping[str, str]
) -> dict[str, str]:
    """What is added to the job's environment `base`: PYTHONPATH, made longer, and AR_PARENT_CKPT.

    ar_capture comes last, so that it hides nothing; the hook of `--capture auto` first, or Python would take
    another sitecustomize.
    """
    first = [str(AUTO)] if settings.capture == "auto" else []
    paths = [*first, base.get("PYTHONPATH", ""), str(CAPTURE)]
    added = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    found = parent(experiment)
    if found is not None and found.best_checkpoint.exists():
        added["AR_PARENT_CKPT"] = str(found.best_checkpoint)
    return added


def parent(experiment: Experiment) -> Experiment | None:
    """The experiment before this one in the project's chain; None too where the chain cannot be read."""
    project = Project(experiment.project)
    with contextlib.suppress(CorruptState, UnknownSchema, UsageError):
        chain = state.read(project.chain, Chain)
        trail = chain.chain_trail if chain is not None else ()
        if experiment.slug in trail[1:]:
            return project.experiment(trail[trail.index(experiment.slug, 1) - 1])
    return None

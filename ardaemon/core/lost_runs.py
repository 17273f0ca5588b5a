"""Tells that all runs of an experiment are gone, as after `rm -r runs/`, and names the one way to go on.

Until a person has decided, nothing is changed that the folder would fit no more if it were put back: it may
be a link to a disk that is away.
"""

import os

from ardaemon.core import git
from ardaemon.core.errors import Refused
from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import FOLDER, ORIGINAL, RUN_ID, Experiment
from ardaemon.core.mends import measure_anew


def are_gone(experiment: Experiment) -> bool:
    """Tell whether runs/ holds neither the original nor any run; False where nobody can look."""
    if os.path.isdir(f"{experiment.runs}/{ORIGINAL}"):
        return False
    try:
        entries = listing(str(experiment.runs), Look(experiment.runs), follow=True)
        return not any(RUN_ID.fullmatch(one.name) for one in entries)
    except (FileNotFoundError, NotADirectoryError):
        return experiment.folder.is_dir()
    except OSError:
        return False


def refusal(experiment: Experiment, has_settings: bool = True) -> Refused:
    """Make the error of every command that needs a run; `has_settings`: the session's are known."""
    seconds = "" if has_settings else " --seconds N"
    project = str(experiment.project)
    copy = git.way_back(project, f"{FOLDER}/{experiment.slug}") if git.is_in_repository(project) else None
    anew = f"{measure_anew(experiment.slug)}{seconds}"
    return Refused(
        f"all runs of {experiment.slug} are gone: {experiment.runs} was moved, deleted or emptied",
        f"{copy or 'put it back'}; or put aside what is left, and begin anew: {anew}",
        {"path": str(experiment.runs)},
    )


def require(experiment: Experiment, has_settings: bool) -> None:
    """Raise Refused if all runs are gone."""
    if are_gone(experiment):
        raise refusal(experiment, has_settings)

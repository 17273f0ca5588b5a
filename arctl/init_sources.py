"""The files that `arctl init` takes where they are not named: train.py, and prepare.py beside it."""

import os
from typing import Any

import click

from arctl.base import complain, interactive, project
from arctl.options import NO_FILE

TRAIN, PREPARE = "train.py", "prepare.py"
Given = dict[str, Any]


def with_train(given: Given) -> Given:
    """Return the options with train.py of this folder as the script, if none is named and it is there."""
    path = os.path.join(_folder(), TRAIN)
    return {**given, "train": path} if given["train"] is None and os.path.isfile(path) else given


def _folder() -> str:
    """Return the current folder; the project's root if that is elsewhere, as with --project."""
    root, here = os.path.realpath(project()), os.path.realpath(os.getcwd())
    return here if os.path.commonpath((root, here)) == root else root


def with_prepare(given: Given) -> Given:
    """Return the options with the prepare.py that lies beside the script, unless a person says no.

    If nobody can be asked it is sealed: a metric that the agent could change would be worth nothing.
    """
    path = os.path.join(os.path.dirname(os.path.abspath(given["train"])), PREPARE)
    if given["prepare"] is not None or not os.path.isfile(path):
        return given
    if not interactive():
        complain(
            f"{path} lies beside the script: it is copied and sealed, too; without it: --prepare {NO_FILE}"
        )
        return {**given, "prepare": path}
    question = f"{path} lies beside the script. Copy and seal it, too? (data and metric; --prepare)"
    return {**given, "prepare": path if click.confirm(question, default=True, err=True) else NO_FILE}

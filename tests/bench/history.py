"""Long histories without running them: the files that so many runs would have left.

From an experiment with one real run, r0001: its row of results.tsv again and again with other
ids, lines of facts.jsonl that differ as those of real edits do, one folder per run whose files are
hard links to those of r0001 (a fresh copy every LINKS_MAX runs, as ext4 allows 65,000 links), and
the session's counters. The daemon must be down.
"""

import json
import os
import shutil
from pathlib import Path

import msgspec

from ardaemon.core.layout import Experiment, run_name
from tests.support.histories import history

LINKS_MAX = 10_000
FILES = ("run.json", "result.json", "train.py")


def extend(experiment: Experiment, runs: int) -> None:
    """Make the experiment look as after `runs` runs."""
    _extend_results(experiment, runs)
    conditions = json.loads(experiment.best.read_text())["conditions"]
    with experiment.facts.open("wb") as file:
        file.writelines(msgspec.json.encode(run) + b"\n" for run in history(runs, conditions))
    template = experiment.runs / "r0001"
    for number in range(2, runs + 1):
        folder = experiment.runs / run_name(number)
        folder.mkdir()
        if number % LINKS_MAX == 0:
            _copy(template, folder)
            template = folder
        else:
            for name in FILES:
                os.link(template / name, folder / name)
    _extend_session(experiment, runs)


def _copy(source: Path, target: Path) -> None:
    for name in FILES:
        shutil.copy2(source / name, target / name)


def _extend_results(experiment: Experiment, runs: int) -> None:
    row = experiment.results.read_text().splitlines()[-1]
    run_id, rest = row.split("\t", 1)
    assert run_id == "r0001"
    rest = rest.replace("\tadvance\t", "\trevert\t")
    with experiment.results.open("a") as file:
        file.writelines(f"{run_name(number)}\t{rest}\n" for number in range(2, runs + 1))


def _extend_session(experiment: Experiment, runs: int) -> None:
    session = json.loads(experiment.session.read_text())
    session["last_run"] = runs
    session["counters"] |= {"revert": runs - 1, "since_start": runs, "plateau": runs - 1}
    experiment.session.write_text(json.dumps(session))

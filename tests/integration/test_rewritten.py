"""Jobs that rewrite their own source, or all that they find: what is put back is always what was judged."""

import gzip
import os
from collections.abc import Callable
from itertools import product

import pytest

from ardaemon.core.errors import Refused
from tests.support.lab import Lab
from tests.support.shell import UNTIL_TOLD

pytestmark = pytest.mark.promise("rewritten")

# Each rewrites what a tool of its kind would, and then reports.
_HEAD = """import os, pathlib
here, runs = pathlib.Path(__file__), pathlib.Path(os.environ["AR_EXPR_DIR"]) / "runs"
snapshot = pathlib.Path(os.environ["AR_RUN_DIR"]).parent / "train.py"
def rewrite(path):
    path.chmod(0o644)
    new = path.with_name("saved.tmp")
    new.write_text("raise SystemExit('nobody has judged this')\\n")
    new.replace(path)
def in_place(path):
    path.chmod(0o644)
    with path.open("a") as file:
        file.write("raise SystemExit('nobody has judged this')\\n")
"""
HABITS = {
    "itself": "rewrite(here)",
    "itself, in place": "in_place(here)",
    "its snapshot": "rewrite(snapshot)",
    "its snapshot, in place": "in_place(snapshot)",
    "each snapshot": "[rewrite(path) for path in runs.glob('*/train.py')]",
    "each Python file of the runs": "[in_place(path) for path in runs.rglob('*.py') if path != here]",
    "its snapshot, which is gone then": "snapshot.unlink()",
}


def script(habit: str, value: float) -> str:
    return f"{_HEAD}{HABITS[habit]}\nprint('val/loss: {value}')\n"


def test_what_is_put_back_is_what_was_judged_whatever_a_job_rewrites(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    lab.ready()
    record_property("cases", len(HABITS))
    for number, habit in enumerate(HABITS):
        best, worse = script(habit, 0.9 - number / 10), script(habit, 5.0 + number)
        lab.write(best)
        advanced = lab.run()
        assert (advanced["verdict"], advanced["train_py"]) == ("advance", "kept"), habit
        lab.write(worse)
        reverted = lab.run()
        assert reverted["train_py"] == "restored", habit
        assert kept(lab, reverted["run_id"]) == worse, habit
        assert (lab.folder / "train.py").read_text() == best, habit
        again = lab.run()
        assert (again["status"], again["primary"]["value"]) == ("ok", 0.9 - number / 10), habit
        assert kept(lab, advanced["run_id"]) == best, habit


def kept(lab: Lab, run_id: str) -> str:
    """The snapshot of a run."""
    return (lab.folder / f"runs/{run_id}/train.py").read_text()


def test_a_run_whose_snapshot_another_job_rewrites_while_it_waits_runs_as_it_was_submitted(lab: Lab) -> None:
    lab.ready()
    go, text = lab.root / "go", script("itself", 0.5)
    lab.write(f"{_HEAD}{UNTIL_TOLD.format(go=str(go), value=0.9)}{HABITS['each snapshot']}\n")
    first = lab.submit()["run_id"]
    lab.write(text)
    second = lab.submit()["run_id"]
    go.touch()
    assert lab.wait(first)["result"]["status"] == "ok"
    assert lab.wait(second)["result"]["primary"]["value"] == 0.5
    assert kept(lab, second) == text


def test_a_version_that_is_put_into_train_py_when_it_advances_is_the_one_that_was_submitted(lab: Lab) -> None:
    """Submitted without --wait: train.py holds the best meanwhile, and is updated from the snapshot."""
    lab.ready()
    text = script("its snapshot, in place", 0.5)
    lab.write(text)
    run_id = lab.submit(restore="at_submit")["run_id"]
    assert lab.wait(run_id)["result"]["train_py"] == "updated"
    assert (lab.folder / "train.py").read_text() == text


def test_a_copy_is_there_before_the_run_is_acknowledged(lab: Lab) -> None:
    lab.ready()
    lab.edit(0.5)
    run_id = lab.submit()["run_id"]
    copy = lab.folder / f".versions/{run_id}.gz"
    assert gzip.decompress(copy.read_bytes()) == (lab.folder / f"runs/{run_id}/train.py").read_bytes()
    assert os.stat(copy).st_mode & 0o222 == 0


def test_a_run_that_was_rewritten_as_it_ran_keeps_nobody_from_running_its_text(lab: Lab) -> None:
    """A worker that is started later, or the script started anew, executes the other text."""
    lab.ready()
    for number, (habit, live) in enumerate(product(("itself", "itself, in place"), (False, True))):
        lab.call("session.stop", project=str(lab.project), expr=lab.folder.name)
        lab.session("continue", ack=True, exec="live" if live else "snapshot")
        best, worse = script(habit, 0.9 - number / 10), script(habit, 5.0 + number)
        for text, verdict, measure in (
            (best, "advance", False),
            (worse, "revert", False),
            (best, "revert", True),
        ):
            lab.write(text)
            result = lab.run(again=False)
            assert (result["verdict"], result["measure"], result["rewritten"]) == (verdict, measure, True)
        lab.write(worse)
        assert lab.run(again=False)["status"] == "ok"


def test_a_snapshot_that_a_job_rewrites_is_not_what_it_runs(lab: Lab) -> None:
    lab.ready()
    for habit in ("its snapshot", "its snapshot, which is gone then"):
        lab.write(script(habit, 0.9))
        assert lab.run()["rewritten"] is False
        with pytest.raises(Refused):
            lab.submit(again=False)

"""What keeps a run from its commit is named in status and doctor, and the run goes on when it is gone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ardaemon.core.errors import StorageError
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import Shell

pytestmark = pytest.mark.promise("in-the-way")

OTHER = "261122-other"
# Each makes its folder and reports; a folder in a file's place is refused to root as well.
SCRIPT = """import os, pathlib
expr = pathlib.Path(os.environ["AR_EXPR_DIR"])
run = pathlib.Path(os.environ["AR_RUN_DIR"]).parent
thing = {where} / {name!r}
if os.path.lexists(thing):
    thing.rename(thing.with_name("moved"))
(thing / "mine").mkdir(parents=True)
pathlib.Path(os.environ["AR_RUN_DIR"], "state.pt").write_text("a state")
print("val/loss: {value}")
"""
# What a job puts into the daemon's places: where, and whether the commit has to wait until it is gone.
PLACES = {
    "result.json": ("run", True),
    "run.log": ("run", False),
    "best_ckpt": ("expr", False),
    "results.tsv": ("expr", False),
    "best.json": ("expr", False),
}


def script(name: str, value: float) -> str:
    return SCRIPT.format(where=PLACES[name][0], name=name, value=value)


def place(lab: Lab, name: str, run_id: str) -> Path:
    return lab.folder / (f"runs/{run_id}/{name}" if PLACES[name][0] == "run" else name)


def test_what_is_in_the_way_is_named_with_its_owner_and_the_commit_follows_when_it_is_gone(lab: Lab) -> None:
    lab.ready()
    other = another(lab)
    lab.write(script("result.json", 0.5))
    run_id = lab.submit()["run_id"]
    shell = Shell(lab)
    wait_until(lambda: "blocked: " in shell("status", "--compact", "--expr", SLUG), "the status to say so")
    thing = place(lab, "result.json", run_id)
    [line] = [
        line
        for line in shell("status", "--compact", "--expr", SLUG).splitlines()
        if line.startswith("blocked: ")
    ]
    assert f"cannot write {thing}: Is a directory; a folder of uid {os.getuid()}" in line
    with pytest.raises(StorageError, match=f"{run_id} cannot go on: cannot write"):
        lab.submit()
    code, out, _ = shell.end(shell.start("doctor", "--expr", SLUG))
    assert code == 65
    assert f"FAIL  run: {run_id} cannot go on: cannot write {thing}" in out
    assert f"mv {thing} {thing}.old" in out
    assert other()["status"] == "ok", "another experiment goes on"
    thing.rename(f"{thing}.old")
    lab.settled()  # the commit is tried again
    result = lab.wait(run_id)["result"]
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5)
    assert (Path(f"{thing}.old") / "mine").is_dir()
    assert "blocked" not in shell("status", "--compact", "--expr", SLUG)


def another(lab: Lab) -> Callable[[], dict[str, object]]:
    """Another experiment; a function that runs its train.py."""
    where = {"project": str(lab.project), "expr": OTHER}
    names = {"primary_metric": "val/loss", "primary_direction": "min", "train": str(lab.project / "train.py")}
    lab.call("experiment.init", project=str(lab.project), slug=OTHER, **names)
    lab.call("session.start", **where, settings={"seconds": 20, "settle": 1}, environment=lab.environment)

    def run() -> dict[str, object]:
        given = {"submit_id": os.urandom(8).hex(), "environment": lab.environment, "again": True}
        run_id = lab.call("run.submit", **where, **given)["run_id"]
        found: dict[str, object] = lab.call("run.wait", **where, run_id=run_id)["result"]
        return found

    return run


@pytest.mark.parametrize("name", [name for name, (_, waits) in PLACES.items() if not waits])
def test_what_a_job_puts_into_another_place_is_kept_and_holds_nothing_up(lab: Lab, name: str) -> None:
    lab.ready()
    lab.tried(0.9)
    lab.write(script(name, 0.5))
    result = lab.run()
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5)
    thing = place(lab, name, result["run_id"])
    assert thing.is_symlink() or not thing.exists() or thing.is_file(), "the daemon's own is there again"
    assert [path.parent.name for path in thing.parent.glob(f"{name}.broken-*/mine")], "the job's is kept"
    assert lab.tried(0.4)["verdict"] == "advance"

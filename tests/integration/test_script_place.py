"""A script that runs by hand in its own place runs here."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.lab import SLUG, Lab

# What a script may ask of its place; each line of what it prints is compared with a run by hand.
SCRIPT = """import calendar, os, sys
from pathlib import Path
import model
here = Path(__file__).resolve().parent
print("said:", calendar.__name__, calendar.isleap(2024), model.NAME)
print("said:", (here / "data/x.txt").read_text(), open(os.path.join(sys.path[0], "data/x.txt")).read())
print("said:", (here.parent / "top.txt").read_text(), Path(__file__).name, os.path.exists(__file__ + ".lock"))
print("said:", os.environ["PWD"] == os.getcwd())
print("val/loss: 0.5")
"""


@pytest.fixture
def project(lab: Lab) -> Path:
    files = {
        "src/main.py": SCRIPT,
        "src/model.py": "NAME = 'the neighbour'\n",
        "src/data/x.txt": "data",
        "src/main.py.lock": "version = 1\n",
        "top.txt": "top",
        "calendar.py": "raise RuntimeError('of the root')\n",
    }
    for name, text in files.items():
        (lab.project / name).parent.mkdir(parents=True, exist_ok=True)
        (lab.project / name).write_text(text)
    return lab.project


def said(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith("said:")]


def by_hand(lab: Lab) -> list[str]:
    environment = {name: value for name, value in lab.environment.items() if name != "PYTHONPATH"}
    environment["PWD"] = str(lab.project)
    command = ["python", "src/main.py"]
    return said(subprocess.check_output(command, cwd=lab.project, env=environment, text=True))


def made(lab: Lab, train: Path, how: str) -> list[str]:
    """Make the experiment and its session; return what was said of it."""
    lab.environment = {name: value for name, value in lab.environment.items() if name != "PYTHONPATH"}
    given = {"primary_metric": "val/loss", "primary_direction": "min", "train": str(train)}
    answer = lab.call("experiment.init", project=str(lab.project), slug=SLUG, **given)
    lab.session(exec=how)
    return list(answer["said"])


@pytest.mark.parametrize("how", ["snapshot", "live"])
def test_a_script_in_a_subfolder_finds_what_it_finds_by_hand(lab: Lab, project: Path, how: str) -> None:
    lab.start()
    assert not [line for line in made(lab, project / "src/main.py", how) if "climbs" in line]
    result = lab.run()
    assert result["status"] == "ok", result["reason"]
    log = (lab.folder / "runs/r0001/run.log").read_text()
    live_name = f".ar-{SLUG}-main.py"
    assert [line.replace(live_name, "main.py") for line in said(log)] == by_hand(lab)
    assert not list(project.glob("src/.ar-*")), "nothing stays in the project's own folder"


def test_a_script_that_climbs_above_the_project_is_named_and_runs_live(lab: Lab) -> None:
    (lab.root / "above.txt").write_text("above")
    script = (
        "from pathlib import Path\n"
        "print('val/loss:', len((Path(__file__).resolve().parents[1] / 'above.txt').read_text()))\n"
    )
    train = lab.project / "train.py"
    train.write_text(script)
    lab.start()
    [note] = [line for line in made(lab, train, "snapshot") if "climbs" in line]
    assert "line 2" in note
    assert lab.run()["status"] == "crash"
    lab.get("session.stop")
    assert "--exec live" in note
    lab.session(exec="live", ack=True)
    assert lab.run()["primary"]["value"] == 5


def test_exec_live_runs_beside_no_other_prepare_py_than_the_sealed_one(lab: Lab) -> None:
    prepare, train = lab.project / "prepare.py", lab.project / "train.py"
    prepare.write_text("LOSS = 1.0\n")
    train.write_text("import prepare\nprint('val/loss:', prepare.LOSS)\n")
    lab.start()
    given = {"primary_metric": "val/loss", "primary_direction": "min"}
    given |= {"train": str(train), "prepare": str(prepare)}
    lab.call("experiment.init", project=str(lab.project), slug=SLUG, **given)
    lab.session(exec="live")
    assert lab.run()["primary"]["value"] == 1.0
    prepare.write_text("LOSS = 0.0\n")
    result = lab.run()
    assert (result["status"], result["verdict"]) == ("invalid", "invalid")
    assert "prepare.py" in result["reason"]
    assert not os.path.lexists(lab.project / f".ar-{SLUG}-train.py")

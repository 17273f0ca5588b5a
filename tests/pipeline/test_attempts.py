"""The job's own folder: a copy of the snapshot and links, made anew for each attempt."""

import os
from pathlib import Path

from ardaemon.core.layout import Experiment
from ardaemon.pipeline.attempts import make_job_folder
from tests.support.folders import experiment


def with_run(tmp_path: Path) -> Experiment:
    """An experiment with a file beside train.py, and a run that was laid out."""
    made = experiment(tmp_path)
    (made.folder / "data.txt").write_text("data")
    run = made.run("r0001")
    run.attempt(1).folder.mkdir(parents=True)
    run.train.write_text("print(1)\n")
    run.train.chmod(0o444)
    return made


def test_the_job_finds_a_copy_of_the_snapshot_and_what_lies_beside_train_py(tmp_path: Path) -> None:
    made = with_run(tmp_path)
    run = made.run("r0001")
    for _ in range(2):  # a second time, as after a kill
        make_job_folder(made, run, 1)
        assert run.script.read_text() == "print(1)\n"
        assert not run.script.is_symlink()
        assert (run.job / "data.txt").read_text() == "data"
        assert os.readlink(run.job / "data.txt") == "../../../data.txt"
        assert not (run.job / "results.tsv").exists()


def test_hundreds_of_files_beside_train_py_are_all_there(tmp_path: Path) -> None:
    made = with_run(tmp_path)
    run = made.run("r0001")
    for number in range(500):
        (made.folder / f"{number}.txt").touch()
    make_job_folder(made, run, 1, origin="src/train.py")
    for folder in (run.job, run.job / "project/src"):
        assert {f"{number}.txt" for number in range(500)} <= {path.name for path in folder.iterdir()}


def test_what_an_attempt_left_is_put_aside_before_the_next(tmp_path: Path) -> None:
    made = with_run(tmp_path)
    run = made.run("r0001")
    make_job_folder(made, run, 1)
    for name in ("ready", "state.pt", "notes"):
        (run.job / name).write_text(name)
    for _ in range(2):  # a second time, as after a kill
        make_job_folder(made, run, 2)
        left = {path.name for path in (run.attempt(1).folder / "job").iterdir()}
        assert {"ready", "state.pt", "notes", "train.py"} <= left
        assert not {"ready", "state.pt", "notes"} & {path.name for path in run.job.iterdir()}
    (run.job / "mine").write_text("of the second attempt")
    make_job_folder(made, run, 2)
    assert (run.job / "mine").exists(), "a launch that is prepared again puts nothing of its own aside"


def test_a_copy_finds_what_lies_beside_its_original_and_above_it(tmp_path: Path) -> None:
    made = with_run(tmp_path)
    run = made.run("r0001")
    for name in (
        "src/train.py",
        "src/model.py",
        "src/data/x",
        "src/.env",
        "top.txt",
        ".git/HEAD",
        "src/data.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (made.folder / "train.py.lock").write_text("the experiment's")
    for _ in range(2):  # a second time, as after a kill
        make_job_folder(made, run, 1, None, "src/train.py")
        place = run.job / "project"
        assert (place / "src/train.py").read_text() == "print(1)\n"
        assert not (place / "src/train.py").is_symlink()
        for name in ("src/model.py", "src/data/x", "src/.env", "top.txt"):
            assert (place / name).read_text() == name
        assert (place / "src/data.txt").read_text() == "data", "the experiment's own file comes first"
        assert (place / "src/train.py.lock").read_text() == "the experiment's"
        assert not {".git", ".autoresearch"} & {path.name for path in place.iterdir()}
    assert {path.name for path in run.job.iterdir()} >= {"project", "data.txt"}
    assert (run.job / "train.py").resolve() == (run.job / "project/src/train.py").resolve()


def test_a_copy_whose_original_is_away_runs_all_the_same(tmp_path: Path) -> None:
    made = with_run(tmp_path)
    run = made.run("r0001")
    make_job_folder(made, run, 1, None, "gone/main.py")
    beside = {path.name for path in (run.job / "project/gone").iterdir()}
    assert beside == {"main.py", "data.txt", "prepare.py", "program.md"}
    make_job_folder(made, run, 1, None, "/gone/main.py")
    assert (run.job / "project/main.py").read_text() == "print(1)\n"

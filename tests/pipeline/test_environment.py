"""What is started: the runner's template, its program, and the environment of the job."""

import os
from pathlib import Path

import pytest

from ardaemon.core.config import Config
from ardaemon.core.errors import RunnerNotFound, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.experiment import runner as experiment_runner
from ardaemon.pipeline import environment as job_environment
from tests.support.folders import experiment

ACCELERATE = "accelerate launch --config_file configs/accelerate.yaml train.py"


def program(folder: Path, *names: str) -> str:
    """Make executables in `folder`; returns it as a PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def command(made: Experiment, path: str, **settings: str) -> tuple[str, ...]:
    given = Settings(seconds=1, **settings)  # type: ignore[arg-type]
    return experiment_runner.command(given, {"PATH": path}, made, made.run("r0001"))


def environment(made: Experiment, attempt: int, **given: str) -> dict[str, str]:
    return job_environment.environment_of(given, Settings(seconds=1), made, made.run("r0001"), attempt)


def test_libraries_are_bound_to_the_attempt_where_the_caller_has_not_set_them(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    folder = str(made.run("r0001").job)
    found = environment(made, 1, WANDB_MODE="online")
    assert (found["WANDB_MODE"], found["WANDB_DIR"]) == ("online", folder)
    assert found["TRACKIO_DIR"].startswith(folder)
    assert found["WANDB_RUN_ID"] != environment(made, 2)["WANDB_RUN_ID"]


# --- templates ---


@pytest.mark.parametrize(
    ("runner", "before", "after"),
    [
        ("python train.py", ["python"], []),
        ("python -u train.py --lr 3e-4", ["python", "-u"], ["--lr", "3e-4"]),
        ("uv run train.py", ["uv", "run"], []),
        ("torchrun --nproc-per-node=2 train.py", ["torchrun", "--nproc-per-node=2"], []),
        (ACCELERATE, ["accelerate", "launch", "--config_file", "configs/accelerate.yaml"], []),
        ("python {train}", ["python"], []),
        ("python train.py --name 'two words' \"it's\"", ["python"], ["--name", "two words", "it's"]),
        ("python train.py $HOME `id` ; rm *", ["python"], ["$HOME", "`id`", ";", "rm", "*"]),
    ],
)
def test_the_script_in_a_template_becomes_the_snapshots_path_and_there_is_no_shell(
    tmp_path: Path, runner: str, before: list[str], after: list[str]
) -> None:
    made = experiment(tmp_path)
    path = program(tmp_path / "bin", "python", "uv", "torchrun", "accelerate")
    argv = command(made, path, runner=runner)
    assert argv == (f"{path}/{before[0]}", *before[1:], str(made.run("r0001").script), *after)


def test_run_dir_is_replaced_wherever_it_stands(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    path = program(tmp_path / "bin", "python")
    argv = command(made, path, runner="python train.py --out={run_dir}/out {run_dir}")
    folder = made.run("r0001").job
    assert argv[2:] == (f"--out={folder}/out", str(folder))


def test_exec_live_runs_the_experiments_own_file(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    path = program(tmp_path / "bin", "uv")
    assert command(made, path, runner="uv run train.py", exec="live")[-1] == str(made.train)


@pytest.mark.parametrize(
    "runner",
    [
        *("", "python", "python main.py", "python train.py train.py", "python train.py {train}"),
        *("train.py", "{train}", "python ./train.py", "python --script=train.py", "python 'train.py"),
    ],
)
def test_a_template_without_exactly_one_script_is_refused_with_the_template(runner: str) -> None:
    with pytest.raises(UsageError) as caught:
        experiment_runner.split_runner(runner)
    assert repr(runner) in caught.value.message
    assert "--runner" in caught.value.message
    assert caught.value.mend


# --- the program ---


def test_the_program_is_looked_for_on_the_clients_path_not_the_daemons(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "only-here")
    assert experiment_runner.program("only-here train.py", {"PATH": path}, "/") == f"{path}/only-here"
    with pytest.raises(RunnerNotFound) as caught:
        experiment_runner.program("only-here train.py", {"PATH": str(tmp_path)}, "/")
    assert "only-here" in caught.value.message
    with pytest.raises(RunnerNotFound):
        experiment_runner.program("only-here train.py", {}, "/")


def test_where_there_is_only_a_python3_the_error_says_so(tmp_path: Path) -> None:
    for names, mend in ((("python3",), "begin with python3"), (("other",), "give --runner an absolute path")):
        with pytest.raises(RunnerNotFound, match="'python' is not on PATH") as caught:
            experiment_runner.program("python train.py", {"PATH": program(tmp_path / names[0], *names)}, "/")
        assert caught.value.mend.endswith(mend)


def test_a_program_with_a_slash_is_relative_to_the_project(tmp_path: Path) -> None:
    path = program(tmp_path / ".venv" / "bin", "python")
    found = experiment_runner.program(".venv/bin/python train.py", {"PATH": ""}, str(tmp_path))
    assert found == f"{path}/python"
    assert experiment_runner.program(f"{path}/python train.py", {}, "/") == f"{path}/python"


def test_a_relative_folder_on_path_is_relative_to_the_project(tmp_path: Path) -> None:
    path = program(tmp_path / ".venv" / "bin", "trainer")
    for on_path in (".venv/bin", "/nowhere:.venv/bin:/usr/bin"):
        assert (
            experiment_runner.program("trainer train.py", {"PATH": on_path}, str(tmp_path))
            == f"{path}/trainer"
        )


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable"])
def test_what_cannot_be_executed_is_refused_with_the_path_looked_at(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "runner").mkdir()
    if kind == "not executable":
        (tmp_path / "runner").touch(mode=0o644)
    with pytest.raises(RunnerNotFound) as caught:
        experiment_runner.program("./runner train.py", {}, str(tmp_path))
    assert str(tmp_path) in caught.value.message
    with pytest.raises(RunnerNotFound):
        experiment_runner.program("runner train.py", {"PATH": str(tmp_path)}, "/")


# --- the environment ---


@pytest.mark.parametrize(
    "name",
    [
        *("ANTHROPIC_API_KEY", "CLAUDE_CODE_SSE_PORT", "CLAUDECODE", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
        *("GH_TOKEN", "GITHUB_TOKEN", "GEMINI_API_KEY", "AR_RUN_ID", "AR_EXPR", "AR_ANYTHING"),
    ],
)
def test_credentials_of_agents_and_tags_of_an_outer_run_do_not_reach_the_job(name: str) -> None:
    assert job_environment.filtered({name: "secret", "HOME": "/h"}, Config()) == {"HOME": "/h"}


@pytest.mark.parametrize(
    "name", ["WANDB_API_KEY", "HF_TOKEN", "CUDA_VISIBLE_DEVICES", "PATH", "CLAUDE", "GH"]
)
def test_what_a_training_script_needs_stays(name: str) -> None:
    assert job_environment.filtered({name: "1"}, Config()) == {name: "1"}


def test_the_deny_list_can_be_extended_and_lifted_but_not_for_our_own_tags() -> None:
    config = Config(deny_environment=("MY_*",), allow_environment=("OPENAI_API_KEY", "AR_*"))
    given = {"MY_SECRET": "1", "OPENAI_API_KEY": "2", "OPENAI_ORG": "3", "AR_RUN_ID": "r0001"}
    assert job_environment.filtered(given, config) == {"OPENAI_API_KEY": "2"}


def test_what_no_process_can_be_given_is_left_out() -> None:
    assert job_environment.filtered({"A=B": "1", "C": "a\0b", "D\0": "1", "E": ""}, Config()) == {"E": ""}


def test_pythonpath_is_experiment_then_the_clients_then_project_and_ar_capture(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    for given, middle in (
        ({"PYTHONPATH": "/one:/two"}, ["/one", "/two"]),
        ({}, []),
        ({"PYTHONPATH": ""}, []),
    ):
        job = job_environment.environment_of(given, Settings(seconds=1), made, made.run("r0001"), 1)
        path = [str(made.folder), *middle, str(tmp_path), str(job_environment.CAPTURE)]
        assert job["PYTHONPATH"].split(os.pathsep) == path


def test_the_job_is_told_who_it_is(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    run = made.run("r0007")
    job = job_environment.environment_of({"KEEP": "1"}, Settings(seconds=2.5), made, run, 2)
    assert job["KEEP"] == "1"
    assert (job["AR_RUN_ID"], job["AR_ATTEMPT"], job["AR_SECONDS"]) == ("r0007", "2", "2.5")
    assert (job["AR_RUN_DIR"], job["AR_EXPR_DIR"]) == (str(run.job), str(made.folder))
    assert job["AR_SEED"]
    assert "AR_BEST_CKPT" not in job
    made.best_checkpoint.mkdir()
    again = job_environment.environment_of({}, Settings(seconds=1), made, run, 1)
    assert again["AR_BEST_CKPT"] == str(made.best_checkpoint)


def test_the_fingerprint_tells_environments_apart_and_holds_no_value() -> None:
    one = job_environment.fingerprint({"A": "secret", "B": "2"}, b"key")
    assert one == job_environment.fingerprint({"B": "2", "A": "secret"}, b"key")
    assert one == job_environment.fingerprint({"A": "secret", "B": "2", "OLDPWD": "/", "SHLVL": "3"}, b"key")
    assert one != job_environment.fingerprint({"A": "secret", "B": "3"}, b"key")
    assert one != job_environment.fingerprint({"A": "secret", "B": "2"}, b"another machine's")
    assert "secret" not in one

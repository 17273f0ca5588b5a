"""What is started: the runner's template, its program, and the environment of the job."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.config import Config
from ardaemon.core.errors import RunnerNotFound, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.core.own_variables import OWN
from ardaemon.experiment import runner as experiment_runner
from ardaemon.pipeline import environment as job_environment
from tests.support.every import every
from tests.support.folders import experiment

ROOT = Path(__file__).parents[2]
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


def test_uv_finds_the_project_of_the_original_and_not_of_the_copy(tmp_path: Path) -> None:
    """It looks from the script's folder up, and would make an environment there for each run."""
    made = experiment(tmp_path)

    def project(origin: str | None, **given: Any) -> str | None:
        settings = Settings(seconds=1, exec=given.pop("exec", "snapshot"))
        made_of = job_environment.environment_of(given, settings, made, made.run("r0001"), 1, origin=origin)
        return made_of.get("UV_PROJECT")

    assert project("train.py") == str(made.project)
    assert project("team/one/train.py") == f"{made.project}/team/one"
    assert project("/elsewhere/train.py") == "/elsewhere"
    assert project("train.py", UV_PROJECT="/theirs") == "/theirs"
    assert project("train.py", exec="live") is None, "it runs in the original's own folder"
    assert project(None) is None


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


@every(
    "runner",
    [
        *("", "python", "python main.py", "python train.py train.py", "python train.py {train}"),
        *("train.py", "{train}", "python ./train.py", "python --script=train.py", "python 'train.py"),
    ],
)
def test_a_template_without_exactly_one_script_is_refused_with_the_template(runner: str) -> None:
    with pytest.raises(UsageError) as caught:
        experiment_runner.check_runner(runner)
    assert repr(runner) in caught.value.message
    assert "--runner" in caught.value.message
    assert caught.value.mend


@every(
    "runner, named, mend",
    [
        ("python train.py > run.log 2>&1", "'> run.log 2>&1' is a redirection", "arctl tail"),
        ("python train.py 2> x", "a redirection", "leave it out"),
        ("python train.py < data", "a redirection", "let the script open"),
        ("python train.py 2>&1 | tee run.log", "a redirection", "leave it out"),
        ("python train.py | tee run.log", "'| tee run.log' is a pipe", "leave it out"),
        ("cd src && python train.py", "several commands", "run.sh"),
        ("python train.py; echo done", "several commands", "run.sh"),
        ("source .venv/bin/activate\npython train.py", "several lines", "backslash"),
        ("python train.py &", "in the background", "arctl run"),
        ("(python train.py)", "a group", "run.sh"),
        ("python train.py --out $HOME", "'$HOME' is a variable", "write its value"),
        ('python train.py --out "$HOME/x"', "a variable", "write its value"),
        ("python train.py --out `pwd`", "backquotes", "what it prints"),
        ("python train.py data/*.txt", "'data/*.txt' is a pattern", "'data/*.txt', where"),
        ("python train.py layers=[1,2]", "a pattern", "'layers=[1,2]', where"),
        ("python train.py {a,b}", "a list in braces", "write each word"),
        ("python train.py ~bob/data", "another user's home", "the folder's path"),
        ("cd train.py", "'cd'", "begin with the program"),
        ("CUDA_VISIBLE_DEVICES=1 python train.py", "CUDA_VISIBLE_DEVICES", "--gpus"),
        ("AR_SEED=1 python train.py", "AR_SEED", "leave AR_SEED out"),
        ("LR=1", "found 0", "python train.py"),
        ("./train.py", "found 0", 'interpreter: --runner "python train.py"'),
        ("train.py --lr 1", "found 1", 'interpreter: --runner "python train.py"'),
        ("python ./train.py", "found 0", "without a folder"),
        ("python src/train.py", "found 0", "without a folder"),
        ("python --script=train.py", "found 0", "a word of its own"),
        ("python -m src.train", "found 0", "PYTHONPATH=. python train.py"),
        ("uv run python -m train", "found 0", "-m runs a module"),
        ("python -m src.train", "found 0", "from package.util import x"),
        ("bash -lc 'python train.py --lr 1'", "found 0", "--runner 'python train.py --lr 1'"),
        ("python main.py", "found 0", "in the place of 'main.py'"),
        ("python train.py --resume train.py", "found 2", "once"),
        ("python train.py \\", "it ends in a backslash", "quotes"),
    ],
)
def test_what_needs_a_shell_is_refused_with_what_to_write_instead(runner: str, named: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        experiment_runner.check_runner(runner)
    assert named in caught.value.message
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    "runner",
    [
        *("python train.py '*.txt' \"[1]\" \\$HOME 'a|b' '~'", "python train.py # the first try"),
        *("LR=0.1 python train.py \\\n --x", "python train.py a$ {run_dir} x{y}z =~", "~/bin/python {train}"),
        *("python -m torch.distributed.run --nproc-per-node=2 train.py", "\n python train.py \n"),
    ],
)
def test_what_a_shell_would_hand_on_is_taken(runner: str) -> None:
    experiment_runner.check_runner(runner)


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


@every(
    "name",
    [
        *("ANTHROPIC_API_KEY", "CLAUDE_CODE_SSE_PORT", "CLAUDECODE", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
        *("GH_TOKEN", "GITHUB_TOKEN", "GEMINI_API_KEY", *sorted(OWN)),
    ],
)
def test_credentials_of_agents_and_tags_of_an_outer_run_do_not_reach_the_job(name: str) -> None:
    assert job_environment.filtered({name: "secret", "HOME": "/h"}, Config()) == {"HOME": "/h"}


@pytest.mark.parametrize(
    "name", ["WANDB_API_KEY", "HF_TOKEN", "CUDA_VISIBLE_DEVICES", "PATH", "CLAUDE", "GH", "AR_LAYERS", "AR_"]
)
def test_what_a_training_script_needs_stays(name: str) -> None:
    assert job_environment.filtered({name: "1"}, Config()) == {name: "1"}


def test_each_variable_of_ours_is_on_the_list() -> None:
    """Of an outer run, none may be taken for this run's: not its checkpoints either."""
    assert {"AR_BEST_CKPT", "AR_PARENT_CKPT", "AR_LOG", "AR_NONINTERACTIVE"} <= OWN
    sources = [path for name in ("ardaemon", "arctl") for path in (ROOT / name).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"""["' ](AR_[A-Z_]+)\b""", path.read_text())}
    assert named - {"AR_"} <= OWN


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
        assert job["PYTHONPATH"].split(os.pathsep) == [str(job_environment.AUTO), *path]


def test_the_root_is_not_on_the_path_of_a_script_in_a_folder_below_it(tmp_path: Path) -> None:
    """As by hand: a calendar.py in the root must not hide Python's own."""
    made = experiment(tmp_path)
    settings, run = Settings(seconds=1), made.run("r0001")
    for origin, on_path in (("src/train.py", False), ("train.py", True), ("/x/train.py", True), (None, True)):
        job = job_environment.environment_of({}, settings, made, run, 1, 0, origin)
        assert (str(tmp_path) in job["PYTHONPATH"].split(os.pathsep)) == on_path


def test_a_colon_in_the_projects_path_makes_no_other_entries_of_pythonpath(tmp_path: Path) -> None:
    """Seen by an interpreter in the project: its folders are there, and no other is."""
    folder = tmp_path / "a:b"
    folder.mkdir()
    made = experiment(folder)
    given = environment(made, 1, PYTHONPATH="/one")
    show = "import sys; print(*sys.path[1:], sep='\\n')"
    path = subprocess.check_output(
        [sys.executable, "-c", show], cwd=folder, env=given, text=True
    ).splitlines()
    assert path[:4] == [str(made.folder), "/one", str(folder), str(job_environment.CAPTURE)]


def test_a_program_is_found_in_a_project_with_a_colon_in_its_path(tmp_path: Path) -> None:
    path = program(tmp_path / "a:b" / "bin", "trainer")
    found = experiment_runner.program("trainer train.py", {"PATH": "bin"}, str(tmp_path / "a:b"))
    assert found == f"{path}/trainer"


def test_pwd_is_the_jobs_working_directory(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    assert environment(made, 1, PWD="/elsewhere")["PWD"] == str(tmp_path)
    assert environment(made, 1)["PWD"] == str(tmp_path)


def test_variables_before_the_runners_program_are_the_jobs(tmp_path: Path) -> None:
    """As a shell takes them: over those of the caller, below the daemon's own, and for the program's PATH."""
    made = experiment(tmp_path)
    settings = Settings(
        seconds=1, runner="LR=0.1 NAME='two words' AT=~/x PYTHONPATH=. PATH=bin prog train.py"
    )
    given = {"LR": "1", "HOME": "/h", "PATH": "/none"}
    job = job_environment.environment_of(given, settings, made, made.run("r0001"), 1)
    assert (job["LR"], job["NAME"], job["AT"], job["PATH"]) == ("0.1", "two words", "/h/x", "bin")
    assert job["PYTHONPATH"].split(":")[2] == "."
    path = program(tmp_path / "bin", "prog")
    assert experiment_runner.command(settings, job, made, made.run("r0001"))[0] == f"{path}/prog"


def test_the_home_folder_is_the_submitters(tmp_path: Path) -> None:
    path = program(tmp_path / "venv", "python")
    home = {"HOME": str(tmp_path)}
    assert experiment_runner.program("~/venv/python train.py", home, "/") == f"{path}/python"
    settings = Settings(seconds=1, runner="~/venv/python train.py ~ ~/data '~' a~")
    made = experiment(tmp_path)
    argv = experiment_runner.command(settings, home, made, made.run("r0001"))
    assert argv[2:] == (str(tmp_path), f"{tmp_path}/data", "~", "a~")


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


def test_a_job_has_200_columns_unless_the_caller_says_otherwise(tmp_path: Path) -> None:
    """With them rich does not fold a line of metrics; with 80 it does."""
    made = experiment(tmp_path)
    script = (
        "import logging; from rich.logging import RichHandler\n"
        "logging.basicConfig(level='INFO', format='%(message)s', handlers=[RichHandler()])\n"
        "logging.info('epoch 10 ' + ' '.join(f'metric_{i}: 1.2345678' for i in range(5)) + ' val_loss: 0.5')"
    )
    for given, folded in (({}, False), ({"COLUMNS": "80"}, True)):
        environment_of_job = environment(made, 1, **given)
        said = subprocess.check_output([sys.executable, "-c", script], env=environment_of_job, text=True)
        assert (len(said.rstrip().split("\n")) > 1) == folded

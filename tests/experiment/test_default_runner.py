"""Which Python runs train.py where nobody has said it: what is active, what the project has, never ours."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from ardaemon.core.errors import RunnerNotFound
from ardaemon.experiment.default_runner import Around, choose, project_folders
from ardaemon.experiment.runner import check_runner


class Machine(NamedTuple):
    """A machine with a project, and the choice that is made on it."""

    root: Path

    @property
    def project(self) -> Path:
        return self.root / "my project"

    def program(self, path: str) -> Path:
        """A program, or one that it is a link to."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
        return file

    def chosen(
        self, origin: str | None = None, own: str = "own", **environment: str
    ) -> tuple[str, list[str]]:
        """The runner, and all that is said beside it."""
        choice, passed = choose(
            Around(
                {"PATH": f"{self.root}/own/bin:{self.root}/usr/bin", **environment},
                str(self.project),
                project_folders(str(self.project), origin),
                str(self.root / own) if own else None,
            )
        )
        check_runner(choice.runner)
        return choice.runner.replace(str(self.root), ""), [
            *passed,
            *filter(None, [choice.warning]),
            choice.why,
        ]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The daemon's own environment is first on PATH, then comes the machine's python3."""
    made = Machine(tmp_path)
    made.project.mkdir()
    made.program("own/bin/python")
    made.program("own/bin/python3")
    made.program("usr/bin/python3")
    return made


def test_the_machines_python_is_taken_and_never_the_daemons_own(machine: Machine) -> None:
    assert machine.chosen()[0] == "/usr/bin/python3 train.py"


def test_an_environment_of_the_project_whose_python_is_gone_is_named(machine: Machine) -> None:
    """As after an upgrade of the system's Python, to which it is a link."""
    folder = machine.project / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(machine.root / "usr/bin/python3.10")
    runner, (said, _) = machine.chosen()
    assert runner == "/usr/bin/python3 train.py"
    assert said == f"{folder} is there, but no bin/python that works: make it anew"


def test_a_link_to_the_daemons_own_is_the_daemons_own(machine: Machine) -> None:
    (machine.root / "local").mkdir()
    (machine.root / "local/python3").symlink_to(machine.root / "own/bin/python3")
    path = f"{machine.root}/local:{machine.root}/usr/bin"
    assert machine.chosen(PATH=path)[0] == "/usr/bin/python3 train.py"


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_what_is_active_comes_before_what_the_project_has(machine: Machine, variable: str) -> None:
    machine.program("envs/ml/bin/python")
    machine.program("my project/.venv/bin/python")
    (machine.project / "uv.lock").touch()
    machine.program("usr/bin/uv")
    runner, (why,) = machine.chosen(**{variable: str(machine.root / "envs/ml")})
    assert (runner, variable in why) == ("/envs/ml/bin/python train.py", True)


def test_of_two_active_ones_the_first_on_path_is_taken(machine: Machine) -> None:
    for name in ("venv", "conda"):
        machine.program(f"{name}/bin/python")
    both = {"VIRTUAL_ENV": f"{machine.root}/venv", "CONDA_PREFIX": f"{machine.root}/conda"}
    for first, second in (("venv", "conda"), ("conda", "venv")):
        path = f"{machine.root}/{first}/bin:{machine.root}/{second}/bin"
        assert machine.chosen(PATH=path, **both)[0] == f"/{first}/bin/python train.py"
    assert machine.chosen(**both)[0] == "/venv/bin/python train.py"


def test_condas_base_which_is_active_in_every_shell_comes_after_what_the_project_has(
    machine: Machine,
) -> None:
    machine.program("conda/bin/python")
    base = {"CONDA_PREFIX": f"{machine.root}/conda", "CONDA_DEFAULT_ENV": "base"}
    assert machine.chosen(**base)[0] == "/conda/bin/python train.py"
    machine.program("my project/.venv/bin/python")
    assert machine.chosen(**base)[0] == ".venv/bin/python train.py"


def test_the_daemons_own_is_not_taken_though_it_is_active_and_how_to_take_it_is_said(
    machine: Machine,
) -> None:
    runner, said = machine.chosen(VIRTUAL_ENV=str(machine.root / "own"))
    assert runner == "/usr/bin/python3 train.py"
    assert f"--runner '{machine.root}/own/bin/python train.py'" in said[0]


def test_an_environment_that_is_gone_is_named_and_passed_over(machine: Machine) -> None:
    runner, said = machine.chosen(VIRTUAL_ENV=str(machine.root / "gone"), CONDA_PREFIX="")
    assert runner == "/usr/bin/python3 train.py"
    assert said[0] == f"VIRTUAL_ENV names {machine.root}/gone, which has no bin/python"


def test_a_lock_of_uv_is_run_by_uv_as_it_is_installed(machine: Machine) -> None:
    (machine.project / "uv.lock").touch()
    assert "uv is not on PATH" in machine.chosen()[1][0]
    machine.program("usr/bin/uv")
    runner, said = machine.chosen(VIRTUAL_ENV=str(machine.root / "own"))
    assert runner == "uv run --no-sync train.py"
    assert any("call uv sync in" in line for line in said)
    machine.program("my project/.venv/bin/python")
    assert machine.chosen()[0] == "uv run --no-sync train.py"
    assert not any("uv sync" in line for line in machine.chosen()[1])


def test_what_lies_nearest_to_the_script_is_the_projects(machine: Machine) -> None:
    machine.program("my project/.venv/bin/python")
    machine.program("my project/models/a b/.venv/bin/python3")
    assert machine.chosen()[0] == ".venv/bin/python train.py"
    assert machine.chosen("models/train.py")[0] == ".venv/bin/python train.py"
    assert machine.chosen("models/a b/src/train.py")[0] == "'models/a b/.venv/bin/python3' train.py"
    assert machine.chosen("/elsewhere/train.py")[0] == ".venv/bin/python train.py"
    machine.program("usr/bin/uv")
    (machine.project / "models/a b/uv.lock").touch()
    assert machine.chosen("models/a b/src/train.py")[0] == "uv run --no-sync --project 'models/a b' train.py"


def test_the_projects_own_environment_is_taken_and_named_if_ardaemon_is_in_it(machine: Machine) -> None:
    python = machine.program("my project/.venv/bin/python")
    runner, said = machine.chosen(own="my project/.venv", VIRTUAL_ENV=str(python.parents[1]))
    assert runner == ".venv/bin/python train.py"
    assert said[-1].endswith("; ardaemon runs in it, too")


def test_a_project_and_an_environment_can_be_named_by_another_path(machine: Machine) -> None:
    machine.program("my project/env/bin/python")
    link = machine.root / "link"
    link.symlink_to(machine.project)
    for env in (link / "env", machine.project / "env"):
        around = Around({"VIRTUAL_ENV": str(env)}, str(link), (str(link),))
        assert choose(around)[0].runner == "env/bin/python train.py"


def test_without_any_python_the_error_says_what_was_passed_over(machine: Machine) -> None:
    with pytest.raises(RunnerNotFound, match=r"no python3 on PATH.*own environment.*/own\)"):
        machine.chosen(PATH=f"{machine.root}/own/bin", VIRTUAL_ENV=str(machine.root / "own"))
    machine.program("other/bin/python")
    assert machine.chosen(PATH=f"{machine.root}/other/bin")[0] == "/other/bin/python train.py"


def test_a_folder_of_path_that_is_relative_begins_at_the_project(machine: Machine) -> None:
    machine.program("my project/tools/python3")
    assert machine.chosen(PATH="tools")[0] == "tools/python3 train.py"


def test_where_the_machine_has_one_python_it_is_taken_though_ardaemon_is_installed_in_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(machine.root / "usr/bin/python3.99"))
    os.rename(machine.root / "usr/bin/python3", machine.root / "usr/bin/python3.99")
    (machine.root / "usr/bin/python3").symlink_to("python3.99")
    runner, said = machine.chosen(own="", PATH=f"{machine.root}/usr/bin")
    assert runner == "/usr/bin/python3 train.py"
    assert said == ["python3 on PATH; ardaemon is installed in it, too"]

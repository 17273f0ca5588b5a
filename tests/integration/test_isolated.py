"""The daemon's own process: nothing stays in it of the shell that happened to start it."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ardaemon.core import isolated
from tests.support.compiler import build
from tests.support.lab import DEADLINE_S, Lab
from tests.support.look import into
from tests.support.shell import Shell, shells

pytestmark = pytest.mark.promise("credentials")

ROOT = Path(__file__).parents[2]
# Runs at the start of each interpreter that finds it: says in which.
SITECUSTOMIZE = """import json, sys
with open({record!r}, "a") as file:
    file.write(json.dumps(sys.orig_argv) + "\\n")
"""


class Project:
    """A folder on PYTHONPATH with modules that would run in the daemon, and a library to preload."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.record, self.library = folder, folder / "ran", folder / "preloaded.so"
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(record=str(self.record)))
        (folder / "anyio.py").write_text("raise SystemExit('the module of the project was imported')\n")
        build("-shared", "-x", "c", os.devnull, "-o", self.library)

    def environment(self) -> dict[str, str]:
        """What somebody who works on it has in their shell."""
        return {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "LD_PRELOAD": str(self.library),
            "LD_BIND_NOW": "1",
            "LD_LIBRARY_PATH": f":here:{self.folder}",
            "A_TOKEN": "secret",
        }

    def ran_in(self) -> list[list[str]]:
        """The command lines of the interpreters that ran its sitecustomize.py."""
        return [json.loads(line) for line in self.record.read_text().splitlines()]


@pytest.fixture
def project(lab: Lab) -> Project:
    made = Project(lab.root / "elsewhere")
    lab.environment.update(made.environment())
    return made


@pytest.fixture
def shell(lab: Lab, project: Project) -> Iterator[Shell]:
    with shells(lab) as made:
        yield made


def by_arctl(lab: Lab) -> int:
    """Start the daemon as people do, and return its pid."""
    command = [sys.executable, "-m", "arctl", "daemon", "start", "--json"]
    how = {"env": lab.environment, "cwd": lab.project, "capture_output": True, "timeout": DEADLINE_S}
    done = subprocess.run(command, check=False, **how)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["pid"])


def by_hand(lab: Lab) -> int:
    """Start the daemon as a systemd unit does, and return its pid."""
    lab.forges = False
    return lab.start().pid


@pytest.mark.parametrize("start", [by_arctl, by_hand])
def test_the_daemon_keeps_no_python_or_loader_variable_of_its_starter(
    lab: Lab, project: Project, start: Callable[[Lab], int]
) -> None:
    """None of the project's code runs in it: no sitecustomize.py, no module, no preloaded library."""
    process = into(start(lab))
    command = process.joinpath("cmdline").read_text().split("\0")
    assert command[1] == "-I"
    assert all("-I" not in ran for ran in project.ran_in()), "sitecustomize.py ran in the daemon"
    assert str(project.library) not in process.joinpath("maps").read_text()
    kept = dict(entry.split("=", 1) for entry in process.joinpath("environ").read_text().split("\0") if entry)
    assert {name: kept[name] for name in kept if name.startswith(("PYTHON", "LD_"))} == {
        "LD_LIBRARY_PATH": str(project.folder)
    }
    assert "A_TOKEN" not in kept
    assert kept["HOME"] == lab.environment["HOME"]


def test_a_daemon_is_started_with_all_standard_descriptors_closed(lab: Lab) -> None:
    """As some cron daemons and supervisors start a command; it serves, and its own three are open."""
    line = f"{sys.executable} -m arctl daemon start <&- >&- 2>&-"
    subprocess.run(["sh", "-c", line], env=lab.environment, cwd=lab.project, check=True, timeout=DEADLINE_S)
    info = json.loads((lab.home / "daemon.json").read_bytes())
    standard = [os.readlink(into(info["pid"]) / "fd" / str(number)) for number in range(3)]
    assert standard == [os.devnull, *[str(lab.home / "daemon.stderr")] * 2]


def test_a_job_still_gets_the_environment_of_its_submitter(shell: Shell, project: Project) -> None:
    """PYTHON* and LD_* too: they are the training's own."""
    script = (
        "import json, os\n"
        "open(os.environ['AR_RUN_DIR'] + '/seen', 'w').write(json.dumps(dict(os.environ)))\n"
        "print('val/loss: 0.5')\n"
    )
    shell.lab.write(script)
    assert "advance" in shell("run", "--wait")
    seen = json.loads((shell.lab.folder / "runs/r0001/job/seen").read_text())
    given = project.environment()
    assert {name: seen[name] for name in given if name != "PYTHONPATH"} == {
        name: given[name] for name in given if name != "PYTHONPATH"
    }
    assert str(project.folder) in seen["PYTHONPATH"].split(os.pathsep)
    # Daemon, shims and metric readers are isolated; clients and jobs are not.
    assert all("-I" not in ran for ran in project.ran_in())


def test_a_source_tree_without_an_installation_serves(lab: Lab) -> None:
    """The daemon takes its code from where its starter did, though PYTHONPATH alone names it there."""
    venv.create(lab.root / "v", symlinks=True, with_pip=False)
    packages = next((lab.root / "v").rglob("site-packages"))
    needed = [path for path in sys.path if path.endswith("-packages")]  # not what a .pth there adds: ardaemon
    (packages / "needed.pth").write_text("\n".join(needed))
    python = str(lab.root / "v/bin/python")
    command = [python, "-m", "arctl", "daemon", "start"]
    environment = {**lab.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    alone = subprocess.run([python, "-I", "-c", "import ardaemon"], capture_output=True, text=True)
    assert "No module named 'ardaemon'" in alone.stderr


@pytest.mark.parametrize("given", ["", "p", ".", "../p"])
def test_arctl_imports_nothing_from_the_working_folder(lab: Lab, given: str) -> None:
    """A relative or empty entry of PYTHONPATH makes a module of any folder one of arctl's."""
    (lab.project / "p").mkdir()
    for folder in (lab.project, lab.project / "p"):
        (folder / "click.py").write_text("raise SystemExit('the module of the folder was imported')\n")
    program = lab.root / "arctl"  # as pip writes it
    program.write_text("from arctl.__main__ import main\nmain()\n")
    path = os.pathsep.join([given, str(ROOT)])
    done = subprocess.run(
        [sys.executable, program, "--help"],
        env={**lab.environment, "PYTHONPATH": path},
        cwd=lab.project,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    assert "Run, judge and keep training experiments" in done.stdout


def test_arctl_runs_from_its_source_folder(lab: Lab) -> None:
    """There the relative entry names arctl itself."""
    command = [sys.executable, "-m", "arctl", "--help"]
    environment = {**lab.environment, "PYTHONPATH": "."}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, timeout=DEADLINE_S)


def test_arctl_runs_in_a_folder_that_is_gone(lab: Lab) -> None:
    gone = lab.root / "gone"
    gone.mkdir()
    # Only then: some interpreters do not even start there with such a PYTHONPATH.
    script = (
        "import os; from arctl.__main__ import main; os.environ['PYTHONPATH'] = ':rel';"
        f" os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); main()"
    )
    command = [sys.executable, "-c", script, "--help"]
    subprocess.run(command, env=lab.environment, check=True, capture_output=True, timeout=DEADLINE_S)


def test_of_the_loaders_variables_the_library_path_alone_is_kept_without_what_is_relative() -> None:
    kept = isolated.environment(
        {"LD_LIBRARY_PATH": "/a::b:/c", "LD_AUDIT": "/x.so", "PATH": "/bin", "LC_ALL": "C"}
    )
    assert kept == {"PATH": "/bin", "LC_ALL": "C", "LD_LIBRARY_PATH": "/a:/c"}
    assert isolated.environment({"LD_LIBRARY_PATH": ":"}) == {}

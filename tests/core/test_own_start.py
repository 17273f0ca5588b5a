"""How a process of ours begins: with its own libraries, and with standard descriptors that are open."""

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from ardaemon.core.own_start import own_path

ROOT = Path(__file__).parents[2]
STANDARD = os.path.dirname(os.__file__)
BAD = "raise ImportError('another one, of another Python')\n"
LIBRARIES = ("click", "anyio", "msgspec", "psutil", "typing_extensions", "rich")


@pytest.mark.parametrize(
    ("path", "given", "left"),
    [
        (["/bin", "/project", "/site"], "/project", ["/bin", "/site"]),
        (["/bin", "/a", "/b", "/site"], "/a:/b", ["/bin", "/site"]),
        (["/bin", "/a", "/site"], "/a/", ["/bin", "/site"]),
        (["/bin", "/a", "/site"], "/x/../a", ["/bin", "/site"]),
        (["/bin", "/tmp", "/site"], ":", ["/bin", "/site"]),
        (["/bin", "/tmp/p", "/site"], "p", ["/bin", "/site"]),
        # What the interpreter has by itself stays, behind its standard library.
        (["/bin", site.getsitepackages()[0], STANDARD], site.getsitepackages()[0], None),
        (["/bin", STANDARD, "/site"], STANDARD, ["/bin", "/site", STANDARD]),
        # The folder of arctl itself stays where it is.
        (["/bin", "/project", str(ROOT), "/site"], f"/project:{ROOT}", ["/bin", str(ROOT), "/site"]),
    ],
)
def test_the_shells_pythonpath_is_taken_off_but_for_what_is_the_interpreters_own(
    monkeypatch: pytest.MonkeyPatch, path: list[str], given: str, left: list[str] | None
) -> None:
    monkeypatch.chdir("/tmp")  # what an empty or a relative entry begins at
    assert own_path(path, given) == (left or ["/bin", STANDARD, site.getsitepackages()[0]])


@pytest.mark.parametrize("module", ["arctl", "ardaemon"])
def test_a_library_on_the_shells_pythonpath_does_not_reach_the_program(tmp_path: Path, module: str) -> None:
    """As `module load`, ROS and `export PYTHONPATH=$PWD` set it."""
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(BAD)
    given = os.pathsep.join([str(tmp_path), site.getsitepackages()[0], str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"],
        env={**os.environ, "PYTHONPATH": given},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("wish", [{"PYTHONWARNINGS": "error"}, {"PYTHONDEVMODE": "1"}])
def test_the_shells_wish_for_warnings_does_not_reach_the_program(wish: dict[str, str]) -> None:
    program = (
        "import warnings\n"
        "from ardaemon.core import own_start\n"
        "own_start.begin()\n"
        "open('/dev/null')\n"  # a warning, which nothing has closed
        "warnings.warn('old', DeprecationWarning)\n"
    )
    environment = {**os.environ, **wish, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"])
def test_closed_descriptors_are_open_for_whatever_is_started(tmp_path: Path, closed: str) -> None:
    """A program that arctl starts finds all three, and no file of ours has one of their numbers."""
    program = (
        "import os, subprocess\n"
        "from ardaemon.core import own_start\n"
        "own_start.begin()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w')\n"
        "subprocess.run(['sh', '-c', 'echo lost; echo lost >&2; read -r line; true'], check=True)\n"
        "file.write(str(file.fileno() > 2))\n"
        "file.flush()\n"
        "os._exit(0)\n"
    )
    line = f'exec "$0" -c "$1" {closed}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-c", line, sys.executable, program], env=environment, check=True)
    assert (tmp_path / "file").read_text() == "True"

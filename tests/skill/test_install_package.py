"""The skill and the units travel with arctl: in a wheel, in a source archive, and in a checkout."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from arctl.skill import folder, record
from tests.support.imports import ROOT
from tests.support.lab import Lab

BUILD_S = 60.0
INSIDE_WHEEL = "arctl/skill/plugin/"


def built(target: str, where: Path) -> Path:
    """A wheel or a source archive of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(where)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=BUILD_S)
    return next(where.iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", tmp_path_factory.mktemp("wheel"))


def skill_of(lab: Lab, *arguments: str, code: str) -> str:
    """The output of `arctl skill`, by the code in the folder `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "arctl", "skill", *arguments],
        env={**lab.environment, "PYTHONPATH": code},
        cwd=lab.project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_has_every_file_of_the_skill(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(INSIDE_WHEEL)]
        inside = {name.removeprefix(INSIDE_WHEEL): archive.read(name) for name in names}
    assert inside == folder.contents(str(ROOT / "skill"))


def test_a_wheel_has_the_units_of_systemd(lab: Lab, wheel: Path) -> None:
    """There they are found within the package."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(lab.root / "site")
    command = "from arctl.service import units; print(units.template('ardaemon.service'), end='')"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**lab.environment, "PYTHONPATH": str(lab.root / "site")},
        cwd=lab.project,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
    )
    assert done.stdout == (ROOT / "systemd/ardaemon.service").read_text(), done.stderr
    assert (lab.root / "site/arctl/service/units/ardaemon.socket").exists()


def test_a_source_archive_has_every_file_of_the_skill(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path)) as archive:
        names = {name.partition("/skill/")[2] for name in archive.getnames() if name.count("/skill/") == 1}
    assert folder.contents(str(ROOT / "skill")).keys() <= names


def test_an_installed_arctl_has_the_skill_within_its_package(lab: Lab, wheel: Path) -> None:
    """Whatever else is called `skill` beside it."""
    site = lab.root / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name, text in {"skill": "a stranger's\n", "arctl/skill/plugin": "ours\n"}.items():
        for file in ("hooks/guard.py", "skills/run/SKILL.md"):
            (site / name / file).parent.mkdir(parents=True, exist_ok=True)
            (site / name / file).write_text(text)
    assert f"{site}/arctl/skill/plugin\n" in skill_of(lab, "show", code=str(site))
    assert skill_of(lab, "show", "run", code=str(site)) == "ours\n"


def test_a_checkout_takes_its_own_folder(lab: Lab) -> None:
    shown = skill_of(lab, "show", code=str(ROOT))
    assert shown.splitlines()[0].endswith(f": {ROOT / 'skill'}")
    assert shown.count(": not installed\n") == len(shown.splitlines()) - 1 == 6


def test_what_python_caches_is_no_part_of_the_skill(tmp_path: Path) -> None:
    for name in ("a.md", "hooks/b.py", "hooks/__pycache__/b.cpython-311.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert folder.contents(str(tmp_path)) == {"a.md": b"a.md", "hooks/b.py": b"hooks/b.py"}


def test_a_record_tells_what_somebody_changed_added_and_removed(tmp_path: Path) -> None:
    """A link is a change too: it is not followed."""
    tree = {"same": b"1", "other": b"2", "gone": b"3", "link": b"4"}
    (tmp_path / "same").write_bytes(b"1")
    (tmp_path / "other").write_bytes(b"22")
    (tmp_path / "mine").write_bytes(b"5")
    (tmp_path / "link").symlink_to("same")
    changes = record.changes(record.look(str(tmp_path)), record.hashes(tree))
    assert changes == record.Changes(("link", "other"), ("gone",), ("mine",))


def test_a_broken_record_counts_as_none(tmp_path: Path) -> None:
    """Nothing there is taken for ours then."""
    for text in ("", "{", '{"schema": 9}', "[]"):
        (tmp_path / record.NAME).write_text(text)
        assert record.read(str(tmp_path)) is None
    os.unlink(tmp_path / record.NAME)
    os.mkfifo(tmp_path / record.NAME)
    assert record.read(str(tmp_path)) is None

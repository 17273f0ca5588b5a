"""What doctor says of a project in a git repository, and that git's everyday commands leave it alone."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from arctl.git_checks import RG_SHOWS, agent_checks, git_checks
from arctl.skill import jsonc
from ardaemon.core.protocol import Init
from ardaemon.experiment.create import create

SLUG = "261122-test"


def git(folder: Path, *words: str) -> str:
    """Call git as a person who has no settings of his own."""
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *named, *words],
        cwd=folder,
        env={**os.environ, **alone},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


pytestmark = pytest.mark.promise("git")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text('print("val/loss: 1")\n')
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


def initialised(project: Path) -> tuple[Path, list[str]]:
    """An experiment in the project, and what init says."""
    given = {"primary_metric": "val/loss", "primary_direction": "min", "train": str(project / "train.py")}
    made, said = create(Init(project=str(project), slug=SLUG, **given))  # type: ignore[arg-type]
    return made.folder, said


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "commands",
    [
        ["stash -u"],
        ["clean -fdq"],
        ["clean -ffdq"],
        ["add -A", "reset -q --hard"],
        ["add -A", "commit -q --allow-empty -m idea", "reset -q --hard HEAD~1"],
        ["switch -qc other", "add -A", "commit -q --allow-empty -m idea", "switch -q main"],
        ["bisect start", "bisect bad", "bisect reset"],
        ["worktree add -q inside", "worktree remove inside"],
        ["rm -q train.py", "checkout -q -f"],
    ],
    ids=" ".join,
)
def test_gits_everyday_commands_leave_an_experiment_as_it_is(project: Path, commands: list[str]) -> None:
    folder, _ = initialised(project)
    before = contents(folder)
    (project / "notes.txt").write_text("nobody has committed this\n")
    for command in commands:
        git(project, *command.split())
    assert contents(folder) == before


def test_a_submodule_is_a_project_of_its_own_which_the_one_around_it_leaves_alone(
    project: Path, tmp_path: Path
) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "--quiet", "add", str(project), "inner")
    git(outer, "commit", "-qm", "start")
    folder, _ = initialised(outer / "inner")
    before = contents(folder)
    assert git(outer, "status", "--porcelain") == ""
    git(outer, "submodule", "--quiet", "update", "--force")
    git(outer, "submodule", "--quiet", "foreach", "--recursive", "git clean -fdq; git stash -u -q")
    assert contents(folder) == before
    assert [check.level for check in git_checks(outer / "inner")] == ["ok"]


def test_init_says_that_git_ignores_the_experiments_once(project: Path) -> None:
    _, said = initialised(project)
    assert ".autoresearch/.gitignore written: git leaves the experiments alone" in said
    assert git(project, "status", "--porcelain") == ""
    assert [(check.level, check.mend) for check in git_checks(project)] == [("ok", "")]


def test_where_agents_search_with_ripgrep_the_search_that_finds_experiments_is_named(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialised(project)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(programs))
    assert RG_SHOWS not in next(git_checks(project)).found
    (programs / "rg").symlink_to(shutil.which("true") or "/bin/true")
    assert RG_SHOWS in next(git_checks(project)).found


def test_a_gitignore_of_ones_own_is_kept(project: Path) -> None:
    """Whoever wants git to track experiments leaves it empty; doctor says what may happen then."""
    ignore = project / ".autoresearch/.gitignore"
    ignore.parent.mkdir()
    ignore.write_text("# mine\n")
    _, said = initialised(project)
    assert ignore.read_text() == "# mine\n"
    assert not [line for line in said if "gitignore written" in line]
    [check] = git_checks(project)
    assert (check.level, check.found) == (
        "warn",
        "git does not ignore .autoresearch: stash -u and clean -fd take the experiments away",
    )
    subprocess.run(check.mend, shell=True, check=True)
    assert [check.level for check in git_checks(project)] == ["ok"]


def test_files_that_git_tracks_are_counted_and_the_command_that_is_named_ends_it(project: Path) -> None:
    folder, _ = initialised(project)
    git(project, "add", "-f", ".autoresearch")
    [check] = git_checks(project)
    assert check.level == "warn"
    count = len(contents(folder.parent))
    assert check.found.startswith(f"git tracks {count} files of .autoresearch")
    command = check.mend.removesuffix(", and commit that")
    assert command == f"git rm -r --cached {project}/.autoresearch"
    before = contents(folder)
    git(project, *shlex.split(command)[1:])
    git(project, "commit", "-q", "--allow-empty", "-m", "alone")
    assert contents(folder) == before
    assert [check.level for check in git_checks(project)] == ["ok"]


def test_a_link_to_another_disk_is_ignored_by_the_command_that_is_named(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (project / ".autoresearch").symlink_to(tmp_path / "disk")
    initialised(project)
    [check] = git_checks(project)
    assert check.level == "warn"
    subprocess.run(check.mend, shell=True, check=True)
    assert [check.level for check in git_checks(project)] == ["ok"]
    git(project, "stash", "-u")
    assert (project / ".autoresearch").is_symlink()


def test_without_a_repository_or_an_experiment_there_is_nothing_to_say(tmp_path: Path, project: Path) -> None:
    alone = tmp_path / "alone"
    (alone / ".autoresearch").mkdir(parents=True)
    assert list(git_checks(alone)) == []
    assert list(git_checks(project)) == []


def test_a_look_runs_nothing_that_the_project_names(project: Path, tmp_path: Path) -> None:
    initialised(project)
    ran = tmp_path / "ran"
    git(project, "config", "core.fsmonitor", f"touch {ran}; false")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (hooks / "post-index-change").chmod(0o755)
    git(project, "config", "core.hooksPath", str(hooks))
    assert [check.level for check in git_checks(project)] == ["ok"]
    assert not ran.exists()


def test_experiments_that_are_gone_are_named_with_the_command_that_brings_them_back(project: Path) -> None:
    folder, _ = initialised(project)
    (project / ".autoresearch/.gitignore").unlink()
    before = contents(folder)
    git(project, "stash", "-u")
    assert not folder.exists()
    [check] = git_checks(project)
    assert (check.level, check.mend) == ("FAIL", "git stash pop")
    subprocess.run(check.mend, shell=True, cwd=project, check=True)
    assert contents(folder) == before


def parse(text: str) -> object:
    return jsonc.parse(text).value


@pytest.mark.parametrize("place", ["project", "home"])
@pytest.mark.parametrize(
    ("settings", "hidden"),
    [
        (None, True),
        ("{}", True),
        ("not JSON", True),
        ('{"context": 1}', True),
        ('{"context": {"fileFiltering": {"respectGitIgnore": true}}}', True),
        ('{"context": {"fileFiltering": {"respectGitIgnore": false}}}', False),
        ('{ // ours\n"context": {"fileFiltering": {"respectGitIgnore": false}}}', False),
        ('{"context": {"fileFiltering": { /* "respectGitIgnore": false */ }}}', True),
        ('{"fileFiltering": {"respectGitIgnore": false}}', False),  # as Gemini CLI once wrote it
    ],
)
def test_an_agent_that_hides_ignored_files_is_named_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, settings: str | None, hidden: bool
) -> None:
    folders = {"project": tmp_path / "project", "home": tmp_path / "home"}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setenv("HOME", str(folders["home"]))
    (folders[place] / ".gemini").mkdir()
    if settings is not None:
        (folders[place] / ".gemini/settings.json").write_text(settings)
    checks = list(agent_checks(folders["project"], {}, parse))
    assert len(checks) == hidden
    if hidden:
        assert "respectGitIgnore" in checks[0].mend
        assert "arctl status, diff, tail and result" in checks[0].mend


def test_an_agent_that_is_not_here_is_not_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(agent_checks(tmp_path, {}, parse)) == []
    assert len(list(agent_checks(tmp_path, {"GEMINI_CLI": "1"}, parse))) == 1

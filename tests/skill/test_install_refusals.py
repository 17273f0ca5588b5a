"""`arctl skill install` writes over nothing of a person's, and a refusal leaves everything as it was."""

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.homes import Home
from tests.support.lab import Lab

INSTALL = ("install", "--claude", "--no-mcp")
SETTINGS = ".claude/settings.json"
STRANGER = 61003
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount and to give files away")


@pytest.fixture
def home(lab: Lab) -> Home:
    return Home(lab)


@needs_root
@pytest.mark.parametrize("agent", ["--claude", "--codex"])
def test_a_read_only_home_is_named_and_nothing_is_written(home: Home, agent: str) -> None:
    script = 'mount --bind "$HOME" "$HOME" && mount -o remount,ro,bind "$HOME" && exec "$@"'
    for verb in (("install", "--no-mcp"), ("uninstall",)):
        words = [sys.executable, "-m", "arctl", "skill", *verb, agent]
        done = home.run(["unshare", "--mount", "sh", "-c", script, "sh", *words])
        assert (done.returncode, done.stdout) == (74, "")
        assert f"Error: {home.path} cannot be written: nothing was changed\n→ " in done.stderr
    assert home.files() == {}


@needs_root
def test_another_users_home_is_refused(home: Home) -> None:
    """As sudo leaves HOME: what root writes there, its owner could not change."""
    os.chown(home.path, STRANGER, STRANGER)
    said = home.refused(*INSTALL)
    assert f"{home.path} belongs to another user (uid {STRANGER})" in said
    assert f"sudo -Hu '#{STRANGER}'" in said


@pytest.mark.parametrize("kind", ["codex", "claude"])
def test_in_a_sandbox_a_person_is_asked_to_do_it(home: Home, kind: str) -> None:
    words = [sys.executable, "-m", "arctl", "skill", *INSTALL]
    done = home.run([sys.executable, "-m", "tests.support.sandbox", kind, "--", *words])
    assert (done.returncode, done.stdout) == (65, "")
    name = {"codex": "Codex", "claude": "Claude Code"}[kind]
    assert f"Error: {name}'s sandbox is around this command" in done.stderr
    assert "→ a person calls it in a terminal of their own: arctl skill install --claude\n" in done.stderr
    assert home.files() == {}


@pytest.mark.parametrize("kind", ["codex", "claude"])
def test_what_a_person_agreed_to_lets_arctl_out_of_the_sandbox(home: Home, kind: str) -> None:
    """By the settings that the agent itself reads: `arctl` reaches a daemon that was refused before."""
    home.lab.start()
    home.write(SETTINGS, '{"sandbox": {"enabled": true}}')
    command = [sys.executable, "-m", "tests.support.sandbox", kind, "--", "arctl", "queue"]
    assert home.run(command).returncode == 69
    home.typed("y\n", "install", f"--{kind}", "--no-mcp")
    done = home.run(command)
    assert (done.returncode, done.stderr) == (0, "")


BROKEN = {
    "a comma is missing": '{\n  "model": "x"\n  "env": {}\n}\n',
    "permissions.allow is no list": '{"permissions": {"allow": "all"}}',
    "the whole is no object": "[]",
}


@pytest.mark.parametrize(("why", "text"), BROKEN.items())
def test_settings_broken_by_hand_are_named_with_the_line(home: Home, why: str, text: str) -> None:
    path = home.write(SETTINGS, text)
    said = home.refused(*INSTALL)
    assert f"Error: {path} is broken, " in said
    assert why in said
    assert "line 3" in said or "line" not in text


def test_a_broken_config_toml_is_named_with_the_line(home: Home) -> None:
    path = home.write(".codex/config.toml", 'model = "x"\nbroken = \n')
    said = home.refused("install", "--codex")
    assert f"Error: {path} is broken, " in said
    assert "line 2" in said


def test_one_refusal_stops_the_other_agent_too(home: Home) -> None:
    home.write(SETTINGS, "{")
    home.refused("install", "--codex", "--claude", "--no-mcp")


def test_links_are_left_as_they_are(home: Home) -> None:
    """As those of a dotfiles repository: to rename a file over one would cut it off."""
    elsewhere = home.lab.root / "dotfiles"
    elsewhere.mkdir()
    (elsewhere / "settings.json").write_text("{}")
    (home.path / ".claude").mkdir()
    (home.path / SETTINGS).symlink_to(elsewhere / "settings.json")
    assert f"{home.path / SETTINGS} is left as it is: it is a link" in home.refused(*INSTALL)
    (home.path / SETTINGS).unlink()
    home.plugin.parent.mkdir()
    home.plugin.symlink_to(elsewhere)
    assert f"{home.plugin} is a link, and is left as it is" in home.refused(*INSTALL)
    assert f"{home.plugin} was not installed by arctl" in home.refused("uninstall", "--claude")
    assert [path.name for path in elsewhere.iterdir()] == ["settings.json"]


def test_a_linked_folder_above_is_followed(home: Home) -> None:
    elsewhere = home.lab.root / "dotfiles"
    elsewhere.mkdir()
    (home.path / ".claude").symlink_to(elsewhere)
    home.done(*INSTALL)
    assert (elsewhere / "skills/autoresearch/skills/run/SKILL.md").exists()
    assert (home.path / ".claude").is_symlink()


def test_what_is_no_file_or_folder_is_named(home: Home) -> None:
    (home.path / ".claude").mkdir()
    os.mkfifo(home.path / SETTINGS)
    done = home.call(*INSTALL)
    assert (done.returncode, "it is a FIFO" in done.stderr) == (65, True)
    (home.path / SETTINGS).unlink()
    (home.path / ".claude").rmdir()
    (home.path / ".claude").touch()
    assert f"{home.path / '.claude'} is no folder" in home.refused(*INSTALL)


def test_a_read_only_settings_file_is_left_as_it_is(home: Home) -> None:
    home.write(SETTINGS, "{}").chmod(0o444)
    assert "is read-only: some tool may manage it" in home.refused(*INSTALL)


def test_a_changed_file_stays_unless_it_is_forced_and_is_kept_even_then(home: Home) -> None:
    home.done(*INSTALL)
    mine = home.plugin / "skills/run/SKILL.md"
    mine.write_text("mine")
    assert "changed since: skills/run/SKILL.md" in home.done("show")
    said = home.refused(*INSTALL)
    assert "has files that a person changed: skills/run/SKILL.md" in said
    assert "arctl skill install --claude --force" in said
    shown = home.done(*INSTALL, "--force")
    saved = Path(shown.partition("what was there before: ")[2].split("\n")[0])
    assert (saved / "skills/run/SKILL.md").read_text() == "mine"
    assert mine.read_text().startswith("---\nname: run\n")


def test_a_skill_of_the_same_name_is_not_taken_for_ours(home: Home) -> None:
    """As the original plugin, copied by hand."""
    home.write(".claude/skills/autoresearch/SKILL.md", "another one")
    assert "has files that a person changed: SKILL.md" in home.refused(*INSTALL)
    home.refused("uninstall", "--claude")
    assert f"{home.plugin}: not installed by arctl" in home.done("show")


def test_a_file_where_a_folder_is_wanted_is_no_folder_of_ours(home: Home) -> None:
    home.write(".claude/skills/autoresearch", "a file")
    home.refused(*INSTALL)


def test_a_copy_by_hand_of_the_same_files_becomes_ours(home: Home) -> None:
    home.done(*INSTALL)
    (home.plugin / ".ardaemon.json").unlink()
    home.done(*INSTALL)
    assert f"{home.plugin}: 0.1.0\n" in home.done("show")


def test_a_persons_own_files_survive_an_upgrade_and_an_uninstall(home: Home) -> None:
    home.done(*INSTALL)
    (home.plugin / "skills/mine").mkdir()
    (home.plugin / "skills/mine/SKILL.md").write_text("mine")
    older(home)
    home.done(*INSTALL)
    assert (home.plugin / "skills/mine/SKILL.md").read_text() == "mine"
    assert "but for skills/mine/SKILL.md" in home.done("uninstall", "--claude")
    assert [p for p in home.plugin.rglob("*") if p.is_file()] == [home.plugin / "skills/mine/SKILL.md"]


def test_a_link_that_a_person_put_there_stops_the_uninstall_before_it_begins(home: Home) -> None:
    home.typed("y\n", *INSTALL)
    (home.plugin / "link").symlink_to("hooks")
    assert f"{home.plugin}/link: it is a link" in home.refused("uninstall", "--claude")
    assert f"{home.plugin}/link: it is a link" in home.refused(*INSTALL)


def older(home: Home) -> None:
    """Make it an installation of an earlier version: other files, and a record of them."""
    from arctl.skill import record

    path = home.plugin / ".ardaemon.json"
    (home.plugin / "skills/run/SKILL.md").write_text("---\nname: run\n---\nolder")
    (home.plugin / "gone.md").write_text("no longer there")
    facts = json.loads(path.read_text())
    files = {name: one for name, one in record.look(str(home.plugin)).items() if "mine" not in name}
    path.write_text(json.dumps({**facts, "version": "0.0.9", "source": "x", "files": files}))


def test_a_second_installation_replaces_an_older_version(home: Home) -> None:
    home.done(*INSTALL)
    new = home.files()
    older(home)
    assert "0.0.9, not that of this arctl (0.1.0): arctl skill install --claude brings" in home.done("show")
    assert f"installed: {home.plugin}\n" in home.done(*INSTALL)
    assert home.files() == new


def test_a_file_that_was_removed_comes_back(home: Home) -> None:
    home.done(*INSTALL)
    new = home.files()
    shutil.rmtree(home.plugin / "hooks")
    home.done(*INSTALL)
    assert home.files() == new


def test_two_installations_at_once_do_not_mix(home: Home) -> None:
    home.plugin.parent.mkdir(parents=True)
    fd = os.open(home.plugin.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    done = home.call(*INSTALL)
    os.close(fd)
    assert (done.returncode, "another installation is under way" in done.stderr) == (65, True)
    assert not home.plugin.exists()


USAGE = {
    (): "--claude, --codex or --path DIR",
    ("--path", "x", "--project"): "use one of the two",
    ("--claude", "--user", "--wrong"): "--wrong",
}


@pytest.mark.parametrize(("words", "mend"), USAGE.items())
def test_a_wrong_command_line_is_named(home: Home, words: tuple[str, ...], mend: str) -> None:
    assert mend in home.refused("install", *words, code=64)

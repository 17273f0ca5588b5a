"""How far the search for a project goes, and whose project is taken."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.core import config_file
from ardaemon.core.errors import ForeignOwner, UsageError
from ardaemon.core.project import find_project, require_ours, trusted_folders

STRANGER, OTHER = 61002, 61003  # uids that no password file knows
SLUG = "261122-x"
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give folders away")
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config.toml of this test, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "config/ardaemon/config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def above() -> Iterator[Path]:
    """A folder with experiments, and folders below it, to which every user has a way."""
    with tempfile.TemporaryDirectory(prefix="ar-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "in/inner").mkdir(parents=True)
        (folder / ".autoresearch" / SLUG).mkdir(parents=True)
        yield folder


def nobody() -> list[str]:
    return []


def found(start: Path) -> Path:
    return Path(find_project(str(start)))


# --- the search ---


def test_the_search_goes_up_to_the_folder_that_holds_experiments(above: Path) -> None:
    assert found(above / "in/inner") == found(above / ".autoresearch" / SLUG) == found(above) == above


@pytest.mark.parametrize("git", [Path.mkdir, Path.touch], ids=["repository", "worktree"])
def test_the_search_ends_at_the_nearest_git_root(above: Path, git: object) -> None:
    git(above / "in/.git")  # type: ignore[operator]  # each takes the path
    assert found(above / "in/inner") == above / "in"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702], ids=oct)
def test_the_search_does_not_enter_a_folder_that_everybody_may_write_to(above: Path, mode: int) -> None:
    """Anybody could put a project there, also where the sticky bit keeps others' files from them."""
    above.chmod(mode)
    assert found(above / "in/inner") == above / "in/inner"
    assert found(above) == above, "where one stands is always looked at"


def test_a_folder_that_a_group_may_write_to_is_entered(above: Path) -> None:
    above.chmod(0o775)
    assert found(above / "in/inner") == above


@needs_root
def test_the_search_does_not_enter_a_folder_of_another_user(above: Path) -> None:
    os.chown(above, STRANGER, STRANGER)
    assert found(above / "in/inner") == above / "in/inner"


@needs_root
def test_the_search_enters_a_folder_of_roots(above: Path) -> None:
    """As where an administrator made the folder for its user."""
    os.chown(above / "in", STRANGER, STRANGER)
    os.chown(above / "in/inner", STRANGER, STRANGER)
    assert as_uid(STRANGER, FIND, above / "in/inner") == f"{above}\n"


@needs_root
def test_the_search_ends_at_the_edge_of_a_file_system(above: Path) -> None:
    mounted = [
        "unshare",
        "-m",
        "sh",
        "-c",
        'mount -t tmpfs -o mode=755 none "$1" && exec "$2" -c "$3" "$1"',
        "sh",
    ]
    program = f"import os, sys; sys.path.insert(0, {ROOT!r}); os.mkdir(sys.argv[1] + '/x'){FIND_X}"
    done = subprocess.run(
        [*mounted, str(above / "in"), sys.executable, program], capture_output=True, text=True
    )
    if done.returncode != 0 and "permitted" in done.stderr + done.stdout:
        pytest.skip("nothing may be mounted here")
    assert done.stdout == f"{above}/in/x\n", done.stderr


def test_the_search_enters_a_folder_that_a_person_trusts(above: Path, config: Path) -> None:
    above.chmod(0o1777)
    config.write_text(f'trusted = ["{above}"]\n')
    assert found(above / "in/inner") == above


def test_a_link_to_a_disk_that_is_away_is_a_project_too(above: Path) -> None:
    """Else the project above would be taken for it."""
    (above / "in/.autoresearch").symlink_to("/nowhere/at/all")
    assert found(above / "in/inner") == above / "in"


# --- whose it is ---

FIND = "from ardaemon.core.project import find_project; print(find_project(sys.argv[1]))"
FIND_X = "; " + FIND.replace("sys.argv[1]", "sys.argv[1] + '/x'")
REQUIRE = f"""from ardaemon.core.errors import ForeignOwner
from ardaemon.core.project import require_ours
try:
    require_ours(sys.argv[1], (".autoresearch", {SLUG!r}), list)
except ForeignOwner as error:
    print(error.message, error.mend)"""


def as_uid(uid: int, program: str, folder: Path) -> str:
    """What a program prints that becomes another user."""
    # It cannot read modules later.
    become = (
        "import os, sys, pwd, encodings.idna, ardaemon.core.project, ardaemon.core.toml, ardaemon.core.trust"
    )
    text = f"{become}\nos.setgroups([]); os.setgid({uid}); os.setuid({uid})\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", text, str(folder)],
        env={"PYTHONPATH": ROOT, "XDG_CONFIG_HOME": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(project: Path) -> ForeignOwner:
    with pytest.raises(ForeignOwner) as caught:
        require_ours(str(project), (".autoresearch", SLUG), nobody)
    return caught.value


@needs_root
@pytest.mark.parametrize("name", ["", ".autoresearch", f".autoresearch/{SLUG}"])
def test_each_folder_of_another_user_is_refused_by_name_and_owner(above: Path, name: str) -> None:
    require_ours(str(above), (".autoresearch", SLUG), nobody)
    os.chown(above / name, STRANGER, STRANGER)
    error = refusal(above)
    assert f"{above / name} belongs to another user (uid {STRANGER})" in error.message
    assert error.data == {"path": str(above / name), "uid": STRANGER}
    assert error.exit_code == 65


@needs_root
@pytest.mark.parametrize("name", [".autoresearch", f".autoresearch/{SLUG}"])
def test_a_link_is_refused_if_it_or_its_folder_is_another_users(above: Path, name: str) -> None:
    """A link of one's own to a folder of one's own is as good as the folder: a larger disk, say."""
    moved = above / "moved"
    (above / name).rename(moved)
    (above / name).symlink_to(moved)
    require_ours(str(above), (".autoresearch", SLUG), nobody)
    os.chown(moved, STRANGER, STRANGER)
    assert str(above / name) in refusal(above).message
    os.chown(moved, 0, 0)
    os.chown(above / name, STRANGER, STRANGER, follow_symlinks=False)
    assert str(above / name) in refusal(above).message


@needs_root
def test_a_project_of_roots_is_anybodys_and_one_of_a_third_user_is_not(above: Path) -> None:
    os.chown(above / ".autoresearch" / SLUG, STRANGER, STRANGER)
    assert as_uid(STRANGER, REQUIRE, above) == ""
    text = as_uid(OTHER, REQUIRE, above)
    assert f"(uid {STRANGER})" in text
    assert "change to a folder of yours" in text
    assert f'trusted = ["{above}"]' in text
    assert "/nowhere/ardaemon/config.toml" in text


@needs_root
def test_root_is_told_to_call_arctl_as_the_user(above: Path) -> None:
    """As who types `sudo arctl`: root's daemon is not that user's."""
    os.chown(above, STRANGER, STRANGER)
    assert "not as root" in refusal(above).mend


@needs_root
@pytest.mark.parametrize(
    ("line", "is_trusted"),
    [("", True), ("/..", True), ("/in", False), ("/.autoresearch", False), ("x", False)],
)
def test_a_project_in_or_below_a_trusted_folder_is_taken_whoever_owns_it(
    above: Path, line: str, is_trusted: bool
) -> None:
    os.chown(above / ".autoresearch", STRANGER, STRANGER)
    try:
        require_ours(str(above), (".autoresearch", SLUG), lambda: ["/other", f"{above}{line}"])
    except ForeignOwner:
        assert not is_trusted
    else:
        assert is_trusted


@needs_root
def test_a_folder_whose_name_only_begins_as_a_trusted_one_is_not_trusted(above: Path) -> None:
    os.chown(above, STRANGER, STRANGER)
    with pytest.raises(ForeignOwner):
        require_ours(str(above), (), lambda: [str(above)[:-1]])


@needs_root
def test_each_folder_that_was_opened_for_the_look_is_closed(above: Path) -> None:
    before = os.listdir("/proc/self/fd")
    require_ours(str(above), (".autoresearch", SLUG), nobody)
    os.chown(above / ".autoresearch" / SLUG, STRANGER, STRANGER)
    refusal(above)
    assert os.listdir("/proc/self/fd") == before


@needs_root
def test_a_link_out_of_a_trusted_folder_is_not_trusted(above: Path, tmp_path: Path) -> None:
    os.chown(above, STRANGER, STRANGER)
    team = tmp_path / "team"
    team.mkdir()
    (team / "link").symlink_to(above)
    with pytest.raises(ForeignOwner):
        require_ours(str(team / "link"), (".autoresearch",), lambda: [str(team)])


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, lambda path: path.symlink_to(path.name)])
def test_where_nothing_is_nobody_is_refused(tmp_path: Path, make: object) -> None:
    """Whoever looks there next says what is missing."""
    make(tmp_path / ".autoresearch")  # type: ignore[operator]  # each takes the path
    require_ours(str(tmp_path), (".autoresearch", SLUG), nobody)
    require_ours(str(tmp_path / "gone"), (".autoresearch", SLUG), nobody)


# --- config.toml, as the client reads it ---


def test_nobody_is_trusted_without_a_config(config: Path) -> None:
    assert not trusted_folders()
    config.write_text("grace = 5.0\n")
    assert not trusted_folders()


def test_nobody_is_trusted_by_a_config_that_cannot_be_opened(config: Path) -> None:
    """As where `sudo -u` has left HOME as it was: the owner is what has to be said."""
    config.symlink_to(config.name)
    assert not trusted_folders()


def test_a_fifo_in_its_place_holds_nobody_up(config: Path) -> None:
    """Opened without care, it would wait for a writer."""
    os.mkfifo(config)
    ended = subprocess.run(
        [sys.executable, "-c", "from ardaemon.core.project import *; print(trusted_folders())"],
        env={"XDG_CONFIG_HOME": str(config.parents[1])},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.stdout == "[]\n", ended.stderr


@pytest.mark.parametrize(
    "text", ["trusted = [", "trusted = 1\n", 'trusted = ["in"]\n', 'trusted = ["/\\u0000"]\n', "\udcff"]
)
def test_a_fault_in_the_config_is_named_as_the_daemon_names_it(config: Path, text: str) -> None:
    config.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError) as here:
        trusted_folders()
    with pytest.raises(UsageError) as there:
        config_file.load(str(config), {})
    for error in (here.value, there.value):
        assert error.message.startswith(f"{config}: line 1: ")
        assert error.mend.endswith("arctl config check")

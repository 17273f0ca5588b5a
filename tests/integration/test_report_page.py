"""`arctl report --html` against a real daemon: a whole file, anew at each commit, over kills and restarts."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.core.layout import Project
from ardaemon.core.model import Chain
from ardaemon.host import state
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.pages import data_of
from tests.support.shell import GOAL, Shell, lives, shells

DEFAULT = f"report-{SLUG}.html"


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, made by arctl alone."""
    with shells(lab) as made:
        yield made


def runs_in(path: Path) -> list[int]:
    """The numbers of the runs in a page, as far as it is there: two runs in a row are enough here."""
    if not path.exists():
        return []
    link = data_of(path.read_bytes())["links"][0]
    return [record[0] for record in sorted(link["records"])]


def test_it_writes_one_file_with_all_runs(shell: Shell) -> None:
    shell.lab.tried(1.0)
    shell.lab.tried(0.5)
    told = shell("report", "--html")
    path = shell.lab.project / DEFAULT
    size = path.stat().st_size
    assert told == f"{DEFAULT}: 2 runs, {size // 1000} KB\n"
    link = data_of(path.read_bytes())["links"][0]
    assert runs_in(path) == [1, 2]
    assert link["summary"]["best"]["run_id"] == "r0002"
    assert '-print("val/loss: 1.0")\n+print("val/loss: 0.5")' in link["records"][0][2]
    assert link["points"]["kinds"] == "aa"
    assert oct(path.stat().st_mode & 0o777) == "0o644"
    assert [name for name in os.listdir(shell.lab.project) if name.startswith(".arctl")] == []


def test_where_it_is_written_is_the_users_choice(shell: Shell) -> None:
    shell.lab.tried(1.0)
    target = shell.lab.root / "out.html"
    told = shell.json("report", "--html", "-o", str(target))
    assert told == {
        "file": str(target),
        "bytes": target.stat().st_size,
        "expr": SLUG,
        "runs": 1,
        "pending": 0,
    }
    assert shell("report", "--html", "-o", "-").encode() == target.read_bytes()
    target.write_text("an older page")
    shell("report", "--html", "--output", str(target))
    assert runs_in(target) == [1]


def test_nothing_but_a_plain_file_is_replaced(shell: Shell) -> None:
    for name, put in (
        ("folder", Path.mkdir),
        ("fifo", os.mkfifo),
        ("link", lambda path: path.symlink_to("/dev/null")),
    ):
        path = shell.lab.project / name
        put(path)
        before = path.lstat()
        code, out, err = shell.end(shell.start("report", "--html", "-o", name))
        assert (code, out) == (64, ""), name
        assert f"Error: {name} is " in err
        assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


REFUSED = (
    (["--html", "-o", "nowhere/r.html"], 74, "nowhere/r.html cannot be written: No such file or directory"),
    (["--html", "-o", "x" * 300], 74, "File name too long"),
    (["--html", "-o", "-", "--watch"], 64, "--watch writes a file again and again"),
    (["-o", "r.html"], 64, "--watch, --audit and -o belong to --html"),
    (["--watch"], 64, "--watch, --audit and -o belong to --html"),
    (["--html", "--format", "json"], 64, "--format and --all belong to the report as text"),
    (["--html", "--all"], 64, "--format and --all belong to the report as text"),
    (["--html", "--expr", "261122-none"], 64, "261122-none"),
)


def test_a_refusal_says_what_to_do_and_leaves_nothing(shell: Shell) -> None:
    before = sorted(os.listdir(shell.lab.project))
    for arguments, code, said in REFUSED:
        ended, out, err = shell.end(shell.start("report", *arguments))
        assert (ended, out) == (code, ""), arguments
        assert said in err
        assert "→ " in err
        assert sorted(os.listdir(shell.lab.project)) == before


def test_with_watch_it_is_written_at_each_commit_over_a_killed_daemon(shell: Shell, lab: Lab) -> None:
    path = lab.project / "live.html"
    watching = shell.start("report", "--html", "--watch", "-o", "live.html")
    wait_until(lambda: path.exists() and runs_in(path) == [], "the page of no runs")
    shell("run", "--wait")
    wait_until(lambda: runs_in(path) == [1], "the first run is in the page")
    pid = shell.json("daemon", "status")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid), "the daemon is gone")
    lab.edit(0.5)
    shell("run", "--wait")  # by another daemon, which the watcher or this command starts
    wait_until(lambda: runs_in(path) == [1, 2], "the second one as well")
    watching.send_signal(signal.SIGINT)
    code, out, _ = shell.end(watching)
    assert code == 0
    assert "live.html: 1 run, " in out


def test_a_watcher_that_is_killed_leaves_a_whole_page(shell: Shell, lab: Lab) -> None:
    path = lab.project / DEFAULT
    watching = shell.start("report", "--html", "--watch")
    wait_until(path.exists, "the page")
    watching.kill()
    shell.end(watching)
    assert path.read_bytes().endswith(b"</html>\n")


def test_a_subscriber_may_ask_to_hear_from_when_on_it_misses_nothing(shell: Shell, lab: Lab) -> None:
    client = lab.rpc()
    given = {"project": str(lab.project), "confirm": True}
    request = {"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": given}
    client.send_raw(json.dumps(request).encode() + b"\n")
    assert client.receive()["params"] == {"event": "subscribed"}
    lab.tried(1.0)
    assert client.receive()["params"]["event"] == "submitted"


def test_the_experiments_of_the_chain_are_in_it(shell: Shell, lab: Lab) -> None:
    lab.tried(1.0)
    other = "261123-next"
    shell("init", other, "--train", "t.py", *GOAL)
    trail = (SLUG, "261122-gone", other)
    state.write(Project(lab.project).chain, Chain(current_slug=other, chain_remaining=1, chain_trail=trail))
    code, _, err = shell.end(shell.start("report", "--html", "--expr", SLUG))
    assert code == 0
    assert "warning: 261122-gone is not in the page: " in err
    data = data_of((lab.project / DEFAULT).read_bytes())
    assert [link["summary"]["expr"] for link in data["links"]] == [SLUG, other]
    assert data["asked"] == 0
    shell("report", "--html", "--expr", other)
    assert data_of((lab.project / f"report-{other}.html").read_bytes())["asked"] == 1

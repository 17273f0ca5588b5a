"""`arctl archive`: an experiment is put aside whole, and comes back as it was."""

import os
import re
from pathlib import Path

from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import GOAL, Shell, shells

OTHER = "261123-other"


def tree(folder: Path) -> dict[str, bytes | str]:
    """All that lies in a folder."""
    every = {path: path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return {
        name: os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path, name in every.items()
        if path.is_symlink() or path.is_file()
    }


def refused(shell: Shell, *arguments: str, code: int = 65) -> str:
    """What the error says."""
    ended, _, err = shell.end(shell.start(*arguments))
    assert ended == code, err
    return err


def test_an_experiment_is_put_aside_and_comes_back_as_it_was(lab: Lab) -> None:
    home = lab.project / ".autoresearch"
    with shells(lab) as shell:
        assert shell("archive") == f"no experiment of {lab.project} is archived\n"
        shell("run", "--wait")
        shell("init", OTHER, "--train", "t.py", *GOAL)
        assert f"arctl session stop --expr {SLUG}" in refused(shell, "archive", SLUG)
        shell.hold(0.5)
        shell("run")
        [waits] = lab.get("run.rerun", run_id="r0001", environment=lab.environment)["runs"]
        shell("queue", "hold", waits, "--expr", SLUG)
        assert f"end them: arctl cancel r0002 --expr {SLUG} && " in refused(shell, "archive", "test")
        shell.release()
        shell("wait")
        shell("session", "stop", "--expr", SLUG)
        cancel = refused(shell, "archive", SLUG).rpartition("end them: arctl ")[2].split()
        fresh = refused(shell, "session", "start", "--resume", "fresh", "--yes", "--expr", SLUG)
        assert fresh.rpartition("end them: arctl ")[2].split() == cancel
        shell(*cancel)
        wait_until(lambda: not lab.call("queue.list")["runs"], "the launch without a verdict to be ended")
        shell("report")  # so that facts.jsonl, which is written in the background, is among it
        before = tree(lab.folder)

        (home / "archive").symlink_to(lab.root)
        assert "archive" in refused(shell, "archive", SLUG, code=74)
        assert tree(lab.folder) == before
        (home / "archive").unlink()

        said = shell("archive", "test")
        assert said.splitlines()[1] == f"back: arctl archive --back {SLUG}"
        assert tree(home / "archive" / SLUG) == before
        assert [line.split()[0] for line in shell("list").splitlines()] == [OTHER]
        assert shell("archive").splitlines() == [f"{SLUG}  back: arctl archive --back {SLUG}"]
        assert shell("status").startswith(f"expr: {OTHER}\n")
        assert f"arctl archive --back {SLUG}" in refused(shell, "status", "--expr", SLUG, code=64)
        assert f"arctl archive --back {SLUG}" in refused(shell, "status", "--expr", "test", code=64)
        assert f"archived here: {SLUG}" in refused(shell, "archive", "--back", "none", code=64)

        shell("init", SLUG, "--train", "t.py", *GOAL)  # the name is free
        assert "there already" in refused(shell, "archive", "--back", "test", code=64)
        taken = home / "archive" / SLUG
        assert f"rename it: mv {taken} {taken}-old\n" in refused(shell, "archive", SLUG)
        assert shell("status", "--expr", SLUG).count("0 total") == 1
        (lab.folder).rename(lab.root / "away")

        shell("archive", "--back", "test")
        assert tree(lab.folder) == before
        shell("session", "start", "--resume", "continue", "--expr", SLUG)
        lab.edit(0.25)
        assert re.search(r"r0003\] advance", shell("run", "--wait"))


def test_a_link_of_a_chain_that_goes_on_stays(lab: Lab) -> None:
    with shells(lab) as shell:
        shell("session", "stop")
        shell("session", "start", "--resume", "continue", "--chain", "2")
        shell("run", "--wait")
        shell("session", "stop")
        shell("chain-init", "--new-slug", OTHER, "--goal", "more", "--rationale", "why not")
        assert "arctl chain stop" in refused(shell, "archive", SLUG)
        shell("chain", "stop")
        shell("archive", SLUG)
        assert OTHER in shell("chain")
        assert SLUG in shell("report", "--expr", OTHER)
        shell("run", "--wait", "--expr", OTHER)
        shell("archive", "--back", SLUG)

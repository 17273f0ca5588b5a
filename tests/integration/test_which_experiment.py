"""Which experiment a command means: the one that was just made, or an error that tells them apart."""

import os
import re
from pathlib import Path

from ardaemon.core.protocol import GLANCES_MAX
from tests.support.lab import Lab
from tests.support.shell import GOAL, RUNNER, Shell, ended_by_arctl
from tests.support.terminal import typed


def made(shell: Shell, slug: str) -> Path:
    """An experiment."""
    shell("init", slug, "--train", "t.py", *GOAL)
    return shell.lab.project / ".autoresearch" / slug


def test_the_newest_is_meant_or_what_tells_them_apart_is_said(lab: Lab) -> None:
    shell = Shell(lab)
    (lab.project / "t.py").write_text('print("val/loss: 1.0")\n')
    with ended_by_arctl(shell):
        code, _, err = shell.end(shell.start("list"))
        assert (code, "there is no experiment" in err) == (64, True)
        first = made(shell, "261121-lr")
        second = made(shell, "261122-lr")
        begin = ("session", "start", "--seconds", "20", "--settle", "0", *RUNNER)
        code, out, err = shell.end(shell.start(*begin))
        assert (code, out.splitlines()[0]) == (0, "expr: 261122-lr")
        told = "warning: 261122-lr is meant, the newest; another one: --expr SLUG (261121-lr)\n"
        assert err == told
        shell("run", "--wait")  # it alone is live
        made(shell, "261123-other")
        assert shell("status").startswith("expr: 261122-lr\n")
        shell("session", "stop")
        assert shell("status").startswith("expr: 261122-lr\n")  # nothing was done in the other one
        other = ("--expr", "other")
        shell(*begin, *other)
        shell("session", "stop", *other)
        code, _, err = shell.end(shell.start("status"))
        apart = (
            "261123-other (over: manual, 0 runs), 261122-lr (over: manual, 1 run, best val/loss 1 @ r0001)"
        )
        assert (code, apart in err) == (64, True), err

        code, _, err = shell.end(shell.start("status", "--expr", "lr"))
        assert (
            code,
            "several experiments are named lr: 261121-lr (not started), 261122-lr (over" in err,
        ) == (
            64,
            True,
        )
        assert shell("status", "--expr", "other").startswith("expr: 261123-other\n")
        environment = {**lab.environment, "TERM": "dumb"}
        code, shown = typed(["tail", "--expr", "lr"], "261122-lr\n", environment, lab.project)
        assert code == 0, shown
        assert "best val/loss 1 @ r0001" in shown.partition("Which experiment")[0].replace("\r\n", " ")

        hour = 3600
        for number, folder in enumerate((first, second), 1):
            os.utime(folder / ".ar-session.json", (number * hour, number * hour))
        assert shell("list").splitlines() == [
            "261123-other  manual       0 runs  val/loss: none yet",
            "261122-lr     manual       1 run   val/loss 1 @ r0001",
            "261121-lr     not started  0 runs  val/loss: none yet",
        ]
        listed = shell.json("list")["experiments"]
        assert [one["expr"] for one in listed] == ["261123-other", "261122-lr", "261121-lr"]
        (first / "batch_contract.json").write_text("{")
        code, out, err = shell.end(shell.start("list"))
        assert (code, len(out.splitlines()), "261121-lr" in err) == (0, 2, True)
        for number in range(GLANCES_MAX):
            (lab.project / f".autoresearch/261101-x{number}").mkdir()
        _, out, first_page = shell.end(shell.start("list"))
        assert out.splitlines()[-1] == "and 3 more: arctl list --page 2"
        code, _, second_page = shell.end(shell.start("list", "--page", "2"))
        pages = [re.findall(r"261101-x\d+(?=: )", page) for page in (first_page, second_page)]
        assert (code, len(pages[1]), len({*pages[0], *pages[1]})) == (0, 3, GLANCES_MAX), "each on one page"
        code, _, err = shell.end(shell.start("list", "--page", "3"))
        assert (code, err.splitlines()[0]) == (64, "Error: there is no page 3")
        code, _, err = shell.end(shell.start("ls"))
        assert (code, "did you mean list?" in err) == (64, True)

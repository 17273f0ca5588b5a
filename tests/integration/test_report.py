"""`arctl report` and `arctl history` against a real daemon: what real runs have shown."""

import json
from collections.abc import Iterator
from hashlib import sha256

import pytest

from ardaemon.core.errors import UsageError
from tests.support.lab import Lab
from tests.support.shell import Shell, shells

SCRIPT = 'RUN_NOTE = "{note}"\nlr = {lr}\nsteps = {steps}\nprint("val/loss:", {value})\n'


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, made by arctl alone."""
    with shells(lab) as made:
        yield made


def tried(shell: Shell, value: float | str, lr: str = "1e-3", steps: int = 10, note: str = "") -> None:
    """One edit and its run, whatever its end."""
    shell.lab.write(SCRIPT.format(value=value, lr=lr, steps=steps, note=note))
    shell.lab.run()


def a_night(shell: Shell) -> None:
    """A baseline, two advances, a revert, a crash and the best's code again."""
    tried(shell, 1.0, note="start")
    tried(shell, 0.8, lr="3e-4", note="smaller lr")
    tried(shell, 0.9, lr="1e-4", note="# too small\n[x](http://evil.example)".replace("\n", " "))
    tried(shell, "1 / 0", lr="3e-4", steps=20)
    tried(shell, 0.7, lr="3e-4", steps=30, note="longer")


def test_the_report_tells_what_real_runs_have_shown(shell: Shell) -> None:
    a_night(shell)
    text = shell("report")
    lines = text.splitlines()
    assert lines[0] == "# Report: 261122-test"
    assert "- Metric: `val/loss`, lower is better" in lines
    assert "- Best: r0005 0.7, advance: `longer`" in lines
    assert "- Baseline: r0001; from it to the best: 1 → 0.7 (-0.3)" in lines
    assert "- Runs: 5 (3 advance, 1 crash, 1 revert); session: live" in lines
    assert "- r0002 1 → 0.8 (-0.2): `smaller lr`" in lines
    assert any(line.startswith("- `steps`: ") and "`30` → 0.7 (r0005)" in line for line in lines)
    assert any(line.startswith("- `crash exception:ZeroDivisionError`: 1 run") for line in lines)
    assert "read" not in lines[7], "nothing is missing: it waits for the runs that were just committed"
    assert len(text.encode()) <= 8 << 10
    assert shell("report") == text
    shell("daemon", "restart")
    assert shell("report") == text, "the same files, the same bytes"


def test_its_content_as_json_and_all_of_it(shell: Shell) -> None:
    a_night(shell)
    summary = shell.json("report")
    assert summary == json.loads(shell("report", "--format", "json"))
    assert [line["run_id"] for line in summary["advances"]] == ["r0001", "r0002", "r0005"]
    assert summary["since_advance"] is None
    whole = shell("report", "--all")
    assert "  - `30` → 0.7 (r0005) (1 run)" in whole.splitlines()


def test_the_history_answers_what_has_been_tried(shell: Shell) -> None:
    a_night(shell)
    newest = shell("history").splitlines()
    assert newest[0] == "261122-test: val/loss, lower is better; runs: 5 found"
    assert newest[1].startswith('r0005 advance 0.7 "longer": ')
    assert shell("history", "--best", "1").splitlines()[1].startswith("r0005 advance 0.7 ")
    (one,) = shell("history", "--grep", "EVIL.example").splitlines()[1:]
    assert one.startswith('r0003 revert 0.9 "# too small [x](http://evil.example)"')
    lr = shell("history", "--param", "lr").splitlines()[1:]
    assert [line.split()[0] for line in lr] == ["r0002", "r0003", "r0001"]
    assert "these names were changed: " in shell("history", "--param", "momentum")
    steps = shell.json("history", "--param", "steps")["lines"]
    assert [line["run_id"] for line in steps] == ["r0005", "r0001", "r0004"], "best first, failed last"


def test_similar_edits_are_found_before_a_run_is_spent(shell: Shell) -> None:
    a_night(shell)
    with pytest.raises(UsageError, match="r0005 unchanged"):
        shell.lab.get("history.get", similar=True)
    shell.lab.write(SCRIPT.format(value=0.7, lr="1e-4", steps=30, note="longer"))
    found = shell("history", "--similar").splitlines()
    assert found[1].split()[0] == "r0003"
    assert " alike: lr " in found[1]
    shell("history", "--similar", "--best", "3", code=64)
    with pytest.raises(UsageError, match="questions of their own"):
        shell.lab.get("history.get", similar=True, best=3)


def test_the_best_measured_again_counts_for_the_noise_and_for_nothing_else(shell: Shell) -> None:
    a_night(shell)
    shell("run", "--wait", "--again")
    lines = shell("report").splitlines()
    assert "- Chance: none seen: 2 runs of equal code gave equal values" in lines
    assert "- r0005 0.7, r0006 0.7" in lines
    assert "- best: r0002 0.8, advance: `smaller lr`" in lines, "r0006 has no place beside r0005"
    assert "- The newest run that says something about its edit advanced" in lines


def test_an_experiment_without_runs_has_both(shell: Shell) -> None:
    assert "- Runs: 0 (none judged); session: live" in shell("report").splitlines()
    assert shell("history").splitlines() == ["261122-test: val/loss, lower is better; runs: 0 found"]


def test_the_next_experiment_of_a_chain_keeps_the_hash_of_the_report(shell: Shell) -> None:
    """As `arctl report` prints it: whoever doubts a rationale can see what it was written from."""
    shell("session", "stop")
    shell("session", "start", "--seconds", "20", "--chain", "2", "--max-runs", "1", "--resume", "continue")
    tried(shell, 1.0, note="the only one")
    report = shell("report")
    made = ["--new-slug", "261123-next", "--goal", "go on", "--rationale", "the noise is known"]
    metric = ["--primary-metric", "val/loss", "--primary-direction", "min"]
    shell("chain-init", *made, *metric)
    decision = json.loads((shell.lab.project / ".autoresearch/261123-next/chain_decision.json").read_bytes())
    assert decision["parent_report_sha256"] == sha256(report.encode()).hexdigest()
    chain = shell("report", "--expr", "261123-next").partition("## Chain")[2].splitlines()[1:]
    assert chain == [
        "- 261123-next: `the noise is known`",
        "- 261122-test, ended with `val/loss` 1 at r0001",
    ]

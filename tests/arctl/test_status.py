"""`arctl status` at a terminal: wide, in colour, several experiments at once; elsewhere as it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctl.render import tables
from arctl.render.overview import graph
from ardaemon.core.protocol import GLANCES_MAX
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.older import Version, replaced
from tests.support.shell import Shell, shells
from tests.support.terminal import Session, played

WORSE = 'RUN_NOTE = "lr 2e-3"\nprint("val/loss: 0.75")\n'
OTHER = "261123-acc"


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with three runs: the best, a crash, and one that is no better."""
    with shells(lab) as made:
        yield with_runs(made)


def with_runs(shell: Shell) -> Shell:
    lab = shell.lab
    for text in ('RUN_NOTE = "lr 1e-3"\nprint("val/loss: 0.5")\n', "raise SystemExit(3)\n", WORSE):
        lab.write(text)
        lab.run()
    return shell


def another(shell: Shell) -> None:
    """Make a second experiment, whose session is live as well."""
    (shell.lab.project / "o.py").write_text('print("acc: 0.5")\n')
    metric = ("--primary-metric", "acc", "--primary-direction", "max", "--goal", "more")
    shell("init", OTHER, "--train", "o.py", *metric)
    shell("session", "start", "--seconds", "9", "--expr", OTHER)


def at_a_terminal(shell: Shell, *arguments: str, columns: int = 100, **environment: str) -> str:
    """All that the command sends to its terminal."""
    session = Session(shell, *arguments, columns=columns, environment=environment)
    try:
        shown = session.end()
    finally:
        session.close()
    assert session.process.returncode == 0, shown
    return shown


def lines(text: str, columns: int = 100) -> list[str]:
    return played(text, columns + 1)


def test_a_person_sees_best_trend_counts_and_the_last_runs(shell: Shell) -> None:
    shown = at_a_terminal(shell, "status")
    assert lines(shown)[:8] == [
        SLUG,
        "  session   live",
        "  best      val/loss 0.5 @ r0001  (lower is better)",
        "  trend     ▁·█  0.5 to 0.75 in the last 3",
        "  runs      3 in all   1 advance   1 revert   1 crash",
        "  limits    no limit set",
        "  runner    python train.py",
        "  train.py  in-sync with best",
    ]
    seconds = [row["seconds"] for row in shell.json("status")["recent"]]
    table = [line.split() for line in lines(shown)[9:13]]
    assert table[0] == ["run", "verdict", "val/loss", "delta", "seconds", "base", "note"]
    assert table[1] == ["r0001", "advance", "0.5", f"{float(seconds[0]):g}", "r0000", "lr", "1e-3"]
    assert table[3] == ["r0003", "revert", "0.75", "+0.25", f"{float(seconds[2]):g}", "r0001", "lr", "2e-3"]
    assert "\x1b[32madvance" in shown
    assert "\x1b[31mcrash" in shown


def test_what_runs_and_what_waits_has_a_row_each(shell: Shell) -> None:
    shell.hold(0.4)
    shell("run")
    shell.lab.edit(0.3)
    shell("run")
    rows = lines(at_a_terminal(shell, "status"))
    (running,) = [row for row in rows if row.startswith("  running   r0004 ")]
    (queued,) = [row for row in rows if row.startswith("  queued    r0005  1: waits for one of 1 CPU slots")]
    assert rows.index(running) < rows.index(queued)
    shell("cancel", "r0005")


def test_without_colour_and_in_a_dumb_terminal_there_is_none(shell: Shell) -> None:
    assert "\x1b[3" not in at_a_terminal(shell, "status", NO_COLOR="1")
    assert "\x1b" not in at_a_terminal(shell, "status", TERM="dumb")


def test_no_line_is_wider_than_the_terminal(shell: Shell) -> None:
    another(shell)
    for columns in (40, 80, 200):
        assert lines(at_a_terminal(shell, "status", "--expr", SLUG, columns=columns), columns)


def test_the_other_experiments_of_the_project_stand_below(shell: Shell) -> None:
    another(shell)
    shown = lines(at_a_terminal(shell, "status", "--expr", SLUG))
    at = next(i for i, line in enumerate(shown) if line.startswith("experiment "))
    assert [line.split() for line in shown[at : at + 3]] == [
        ["experiment", "session", "best", "runs", "trend", "now"],
        [OTHER, "live", "acc:", "none", "yet", "0"],
        [SLUG, "live", "val/loss", "0.5", "@", "r0001", "3", "▁·█"],
    ]


def test_where_several_are_meant_all_are_shown_and_nobody_is_asked(shell: Shell) -> None:
    another(shell)
    shown = lines(at_a_terminal(shell, "status"))
    assert [line.split()[0] for line in shown[:3]] == ["experiment", OTHER, SLUG]
    assert shown[3] == "one of them: arctl status --expr SLUG"
    assert shell("status", code=64) == ""  # in a pipe they are listed, as an error


def test_in_a_pipe_status_is_the_compact_lines_and_the_last_runs_whatever_is_beside(shell: Shell) -> None:
    another(shell)
    about = ("--expr", SLUG)
    compact, last = shell("status", "--compact", *about), shell("status", "--last", "5", *about)
    assert shell("status", *about) == f"{compact}runner: python train.py\n{last}"
    assert at_a_terminal(shell, "status", "--compact", *about).replace("\x1b[0m", "").splitlines() == (
        shell("status", "--compact", *about).splitlines()
    )


def test_the_list_has_a_limit_and_what_cannot_be_read_is_a_warning(lab: Lab) -> None:
    lab.ready()
    home = lab.folder.parent
    for number in range(GLANCES_MAX):
        (home / f"26112{number % 9}-n{number}").mkdir()
    (home / "261122-newer").mkdir()
    (home / "261122-newer/.ar-session.json").write_text("{")
    view = lab.call("status.list", project=str(lab.project), values=2)
    assert [one["expr"] for one in view["experiments"]] == [SLUG]
    assert view["more"] == 2
    assert len(view["warnings"]) == GLANCES_MAX - 1
    assert view["warnings"][0].startswith("261122-newer: ")
    assert not (home / "261122-newer/runs").exists()  # nothing is repaired unasked


def test_the_list_has_the_last_values_and_what_runs(shell: Shell) -> None:
    shell.hold(0.4)
    shell("run")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    (one,) = shell.lab.call("status.list", project=str(shell.lab.project), values=2)["experiments"]
    assert (one["values"], one["running"], one["at_work"], one["waiting"]) == ([None, 0.75], "r0004", 1, 0)
    assert (one["best"], one["best_run"], one["runs"], one["live"]) == (0.5, "r0001", 3, True)


def test_with_an_earlier_daemon_the_one_experiment_is_shown(lab: Lab) -> None:
    earlier = Version(lab, "0.0.1", 2)
    methods: Path = earlier.root / "ardaemon/core/methods.py"
    text = methods.read_text()
    at = text.index('    "status.list"')
    replaced(methods, text[at : text.index("    ),\n", at) + len("    ),\n")], "")
    earlier.boot()
    with shells(lab) as shell:
        assert lines(at_a_terminal(shell, "status"))[0] == SLUG


HOSTILE = "\x1b]0;x\x07\x1b[2J[bold]x[/bold]\u202e"


def test_what_others_wrote_acts_on_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run = {"run_id": HOSTILE, "state": "queued", "position": 1, "why": HOSTILE}
    row = dict.fromkeys(("run_id", "verdict", "primary", "seconds", "base", "note"), HOSTILE)
    view = {
        "expr": HOSTILE,
        "contract": {"primary": {"metric": HOSTILE, "direction": "min"}},
        "session": {"live": False, "settings": {}, "terminated_by": HOSTILE, "counters": {}},
        "best": {"run_id": HOSTILE, "value": 1.0},
        "train_py": HOSTILE,
        "chain": {"position": 1, "current": HOSTILE},
        "active": [run, {**run, "state": HOSTILE}],
        "recent": [row],
    }
    glance = {"expr": HOSTILE, "metric": HOSTILE, "live": False, "started": True, "terminated_by": HOSTILE}
    more = {"best": 1.0, "best_run": HOSTILE, "runs": 1, "running": HOSTILE, "at_work": 1, "waiting": 0}
    tables.status(view, 5)
    tables.overview({"experiments": [{**glance, **more}]}, None)
    shown = capsys.readouterr().out
    assert set(shown) & {"\x1b", "\x07", "\u202e"} == set()
    assert "[bold]x[/bold]" in shown


values = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=90)


@given(values, st.integers(1, 70))
def test_a_graph_has_a_sign_for_each_value_whatever_they_are(some: list[float | None], width: int) -> None:
    drawn = graph(some, width)
    assert len(drawn) == min(len(some), width)
    assert [sign == "·" for sign in drawn] == [value is None for value in some[-width:]]


def test_one_wild_value_does_not_flatten_the_rest() -> None:
    some = [*map(float, range(19)), 1e6]
    assert len(set(graph(some, 20))) == 8
    assert json.dumps(graph([1.0, 1.0], 9), ensure_ascii=False) == '"▁▁"'

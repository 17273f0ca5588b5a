"""What arctl prints, line by line, and that it never prints more than it may."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctl.render import run as run_lines
from arctl.render import status as status_lines
from arctl.render.line import project_line
from tests.support.every import every

RUN_MAX = 600  # bytes of `run --wait`
COMPACT_MAX, COMPACT_LINES = 800, 10
RECENT_MAX = 200
ITERATION_MAX = 1024  # bytes that an agent reads in one iteration

VIEW: dict[str, Any] = {
    "project": "/p",
    "expr": "261122-lr",
    "run_id": "r0043",
    "folder": "/p/.autoresearch/261122-lr/runs/r0043",
    "state": "running",
    "argv": [
        "/usr/bin/accelerate",
        "launch",
        "--config_file",
        "configs/accelerate.yaml",
        "/p/.autoresearch/261122-lr/runs/r0043/train.py",
    ],
    "seconds": 600.0,
    "elapsed": 12.3,
    "base": "r0040",
    "checkpoint_glob": "output_dir/checkpoint-*",
}
PRIMARY = {
    "name": "val/loss",
    "value": 0.844,
    "direction": "min",
    "best_before": 0.851,
    "best_run_before": "r0040",
    "delta": -0.007,
}
RESULT: dict[str, Any] = {
    "run_id": "r0043",
    "expr": "261122-lr",
    "status": "ok",
    "verdict": "advance",
    "valid": True,
    "primary": PRIMARY,
    "metrics_source": "wandb",
    "constraints": [],
    "peak_vram_mb": 42800.0,
    "seconds": 300.1,
    "exit_code": 0,
    "signal": None,
    "reason": None,
    "train_py": "kept",
    "should_terminate": False,
    "terminated_by": None,
    "plateau": "0/5",
    "runs": "43/200",
    "best": "r0043",
    "best_value": 0.844,
    "chain_remaining": 2,
}


def result(primary: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    return {**RESULT, **changed, "primary": {**PRIMARY, **(primary or {})}}


def failed(status: str, **changed: Any) -> dict[str, Any]:
    given = {"verdict": status, "best": "r0040", "best_value": 0.851, "train_py": "restored", **changed}
    return result({"value": None}, status=status, **given)


def status(**changed: Any) -> dict[str, Any]:
    counters = {"advance": 18, "revert": 21, "crash": 3, "timeout": 0, "invalid": 0, "interrupted": 0}
    settings = {"seconds": 600.0, "plateau": 5, "max_runs": 200}
    return {
        "expr": "261122-lr",
        "contract": {"primary": {"metric": "val/loss", "direction": "min"}},
        "session": {
            "live": True,
            "terminated_by": None,
            "settings": settings,
            "counters": {**counters, "since_start": 42, "plateau": 2},
        },
        "best": {"run_id": "r0040", "value": 0.851, "valid": True},
        "train_py": "in-sync with best",
        "active": [],
        "unclean": False,
        **changed,
    }


def test_an_advance_prints_the_four_lines_of_the_design() -> None:
    """The words are promised in the documents: agents read them."""
    assert [run_lines.launched(VIEW), *run_lines.verdict_lines(VIEW, result())] == [
        "[r0043] launched: accelerate launch --config_file configs/accelerate.yaml train.py | seconds=600",
        "[r0043] metric backend=wandb, checkpoint glob=output_dir/checkpoint-* |"
        " val/loss=0.844 peak_vram=42800",
        "[r0043] advance: val/loss 0.851 → 0.844 (best updated)",
        "[r0043] continue: plateau 0/5, max_runs 43/200",
    ]


def test_the_launch_shows_the_runner_whole() -> None:
    """A program of somebody else's may have any name: its folder tells them apart."""
    view = {**VIEW, "runner": "/tmp/x/python train.py", "argv": ["/tmp/x/python", "/p/train.py"]}
    assert run_lines.launched(view) == "[r0043] launched: /tmp/x/python train.py | seconds=600"


def test_the_line_of_the_project_names_it_and_the_runner() -> None:
    assert project_line("/srv/lr", "/opt/x/python train.py") == (
        "project: /srv/lr | runner: /opt/x/python train.py"
    )
    assert project_line("/srv/lr", "") == "project: /srv/lr"


@pytest.mark.parametrize(
    "step",
    [
        "chain: 2 left, plateau(5)",
        "stop: plateau(5), chain_budget used up",
        "stop: manual",
        "leave: unclean, arctl clean",
    ],
)
def test_the_end_of_an_experiment_is_said_in_the_last_line_and_first_what_to_do_now(step: str) -> None:
    """An agent goes by it."""
    over = result(should_terminate=True, terminated_by="plateau", best="r0037", best_value=0.812, next=step)
    line = f"[r0043] {step} — best val/loss=0.812 at r0037, expr 261122-lr terminated"
    assert run_lines.closing_line(over) == line


def test_a_result_of_an_earlier_version_says_what_to_do_as_well() -> None:
    over = result(should_terminate=True, terminated_by="manual", best=None)
    assert "next" not in over
    assert run_lines.closing_line(over) == "[r0043] stop: manual — no best, expr 261122-lr terminated"


VERDICTS = {
    "baseline": (
        result({"best_before": None, "best_run_before": None}),
        "[r0043] advance: baseline val/loss=0.844 (best)",
    ),
    "revert": (
        result({"value": 0.855}, verdict="revert"),
        "[r0043] revert: val/loss 0.855 vs best 0.851 @ r0040",
    ),
    "constraint": (
        result(
            verdict="revert", constraints=[{"expr": "peak_vram_mb<=70000", "value": 80000.0, "ok": False}]
        ),
        "[r0043] revert: constraint peak_vram_mb<=70000 violated (80000)"
        " — val/loss 0.844 vs best 0.851 @ r0040",
    ),
    "constraint of unknown value": (
        result(verdict="revert", constraints=[{"expr": "acc>=1", "value": None, "ok": False}]),
        "[r0043] revert: constraint acc>=1 violated (unknown) — val/loss 0.844 vs best 0.851 @ r0040",
    ),
    "edited since": (
        result({"value": 0.855}, verdict="revert", train_py="edited_since"),
        "[r0043] revert: val/loss 0.855 vs best 0.851 @ r0040; train.py was edited since: left alone",
    ),
    "crash": (
        failed("crash", reason="exception:ValueError bad shape", exit_code=1),
        "[r0043] crash: exception:ValueError bad shape — best stays 0.851 @ r0040;"
        " edit: runs/r0043/train.py; arctl tail or restore r0043",
    ),
    "crash by a signal": (
        failed("crash", reason="oom", exit_code=None, signal="SIGKILL"),
        "[r0043] crash: oom (SIGKILL) — best stays 0.851 @ r0040;"
        " edit: runs/r0043/train.py; arctl tail or restore r0043",
    ),
    "crash of which only the code is known": (
        failed("crash", reason="exit code 3", exit_code=3),
        "[r0043] crash: exit code 3 — best stays 0.851 @ r0040;"
        " edit: runs/r0043/train.py; arctl tail or restore r0043",
    ),
    "timeout": (
        failed("timeout", reason="limit", seconds=600.04),
        "[r0043] timeout: time limit reached after 600 s — best stays 0.851 @ r0040;"
        " edit: runs/r0043/train.py; arctl tail or restore r0043",
    ),
    "stall": (
        failed("timeout", reason="stall", seconds=30.0),
        "[r0043] timeout: silent for longer than --stall; ended after 30 s — best stays 0.851 @ r0040;"
        " arctl tail or restore r0043",
    ),
    "timeout with notes": (
        failed("timeout", reason="limit; pids_max was reached: a fork was refused; Xid 31", seconds=30.0),
        "[r0043] timeout: time limit reached after 30 s; pids_max was reached: a fork was refused; Xid 31"
        " — best stays 0.851 @ r0040; arctl tail r0043",
    ),
    "crash by a signal that the reason names": (
        failed("crash", reason="signal:SIGSEGV; Xid 31", exit_code=None, signal="SIGSEGV"),
        "[r0043] crash: signal:SIGSEGV; Xid 31 — best stays 0.851 @ r0040;"
        " edit: runs/r0043/train.py; arctl tail or restore r0043",
    ),
    "invalid": (
        failed("invalid", verdict="revert", reason="metric val/loss not found", best=None),
        "[r0043] invalid: metric val/loss not found — no best yet;"
        " edit: runs/r0043/train.py; arctl tail or restore r0043",
    ),
    "interrupted": (
        failed("interrupted", reason="stopped on request", exit_code=None),
        "[r0043] interrupted: stopped on request — best stays 0.851 @ r0040;"
        " edit: runs/r0043/train.py; arctl restore r0043",
    ),
    "unclean": (
        failed("unclean", verdict="crash", reason="processes survived the kill: 12 (x)"),
        "[r0043] unclean: processes survived the kill: 12 (x) — best stays 0.851 @ r0040; arctl clean",
    ),
}


@every("found, line", VERDICTS.values(), ids=VERDICTS)
def test_each_verdict_has_its_line(found: dict[str, Any], line: str) -> None:
    """One line says what happened, against what, and what to do next."""
    assert run_lines.verdict_line(found) == line


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("host_restart", "the machine was restarted"),
        ("supervisor_lost", "its supervisor was killed"),
        ("lost", "it was gone when a daemon looked for it"),
    ],
)
def test_a_run_that_the_machine_has_ended_is_no_crash_of_its_edit(reason: str, words: str) -> None:
    found = failed("crash", reason=reason, signal="SIGKILL", exit_code=None)
    line = run_lines.verdict_line(found)
    assert line.startswith(f"[r0043] lost: {words} — best stays 0.851 @ r0040; its edit: runs/r0043/train.py")
    assert line.endswith("arctl restore r0043")
    assert "crash" not in line
    assert run_lines.verdict_line({**found, "train_py": "edited_since"}).endswith("; arctl tail r0043")


def test_a_run_without_the_metric_says_so_in_line_two() -> None:
    """The name is the one that was looked for."""
    view = {**VIEW, "checkpoint_glob": None}
    assert (
        run_lines.metric_line(view, failed("invalid", metrics_source="log", peak_vram_mb=None))
        == "[r0043] metric backend=log | val/loss not found"
    )


def test_a_run_that_was_cancelled_in_the_queue_was_never_launched() -> None:
    """Line one must not tell of a launch that never was."""
    view = {**VIEW, "argv": [], "exit": {"ending": "cancelled"}}
    assert run_lines.launched(view) == "[r0043] never launched | seconds=600"


def test_a_queued_run_says_its_place_and_its_base() -> None:
    """So that the agent knows from which version it went on."""
    view = {**VIEW, "state": "queued", "position": 2, "run_id": "r0044"}
    assert run_lines.submitted(view) == "[r0044] queued (position 2): base r0040"
    held = {**VIEW, "state": "queued", "position": None, "why": "its session is over"}
    assert run_lines.submitted(held) == "[r0043] queued: base r0040 — its session is over"


def test_a_run_that_goes_on_names_the_command_that_attaches_again() -> None:
    """The line that an agent sees when its tool's time is up."""
    assert (
        run_lines.still_running(VIEW, "arctl wait r0043")
        == "[r0043] still running (12 s of 600 s), call: arctl wait r0043"
    )
    waiting = {**VIEW, "state": "queued", "elapsed": None, "position": 2}
    assert (
        run_lines.still_running(waiting, "arctl wait r0043")
        == "[r0043] still queued (position 2), call: arctl wait r0043"
    )


def test_the_compact_status_is_that_of_the_design() -> None:
    """Five lines where nothing runs."""
    assert status_lines.compact(status()).splitlines() == [
        "expr: 261122-lr",
        "primary: val/loss (min) — best: 0.851 @ r0040",
        "runs: 42 total (18 advance / 21 revert / 3 crash)",
        "termination: plateau 2/5, max_runs 42/200",
        "train.py: in-sync with best",
    ]


def test_every_limit_stands_in_the_compact_status_and_in_the_closing_line() -> None:
    """By how much of it is used up."""
    session = status()["session"]
    settings = session["settings"] | {"max_hours": 8.0, "max_gpu_hours": 16.0, "max_failures": 3}
    counters = session["counters"] | {"failures": 1}
    view = status(session={**session, "settings": settings, "counters": counters}, hours=2.51, gpu_hours=3.14)
    shown = "plateau 2/5, max_runs 42/200, hours 2.51/8, gpu_hours 3.14/16, failures 1/3"
    assert status_lines.limits(view) == shown
    assert status_lines.compact(view).splitlines()[3].startswith(f"termination: {shown[:70]}")
    line = run_lines.closing_line(result(hours="2.51/8", gpu_hours="3.14/16", failures="1/3"))
    assert line.endswith("max_runs 43/200, hours 2.51/8, gpu_hours 3.14/16, failures 1/3")


def test_the_compact_status_adds_what_there_is_to_say() -> None:
    """What runs, what waits, why no run is accepted."""
    session = {**status()["session"], "live": False, "terminated_by": "plateau"}
    waiting = {**VIEW, "state": "queued", "run_id": "r0044"}
    shown = status_lines.compact(
        status(session=session, active=[{**VIEW, "latest": 0.9}, waiting], unclean=True, best=None)
    )
    assert shown.splitlines()[1] == "primary: val/loss (min) — best: none yet"
    assert shown.splitlines()[5:] == [
        "session: not live (plateau)",
        "running: r0043 12/600 s val/loss=0.9",
        "queued: 1",
        "UNCLEAN: processes survived a kill; runs are refused until: arctl clean",
    ]


def test_the_compact_status_says_what_is_in_a_runs_way_as_whole_as_there_is_room() -> None:
    why = f"cannot write {'/long' * 30}/best.json: Is a directory; a folder of uid 0 stands there, not a file"
    stuck = {**VIEW, "state": "judged", "blocked": True, "why": why}
    waiting = {**VIEW, "state": "queued", "run_id": "r0044", "position": 1}
    shown = status_lines.compact(status(active=[stuck, waiting]))
    assert shown.splitlines()[5:] == [f"blocked: r0043 — {why}", "queued: 1"]


def test_the_compact_status_says_the_noise_whole() -> None:
    """Also in the middle of a night, with a chain, a run at work and one that waits."""
    noise = (
        "noise: ±0.0021 (310 df), 112 of 555 launches were confirmations; expected false advances 0.9 of 80"
    )
    session = {**status()["session"], "noise": noise}
    waiting = {**VIEW, "state": "queued", "run_id": "r0044", "position": 1}
    place = {"position": 2, "current": "261122-lr", "remaining": 1}
    shown = status_lines.compact(status(session=session, active=[VIEW, waiting], chain=place))
    assert shown.splitlines()[-1] == noise


def test_the_compact_status_has_a_line_for_the_chain_only_where_there_is_one() -> None:
    place = {"position": 2, "current": "261122-lr", "remaining": 1}
    assert status_lines.compact(status(chain=place)).splitlines()[5:] == ["chain: 1 left, experiment 2"]
    endless = {**place, "remaining": None}
    assert status_lines.compact(status(chain=endless)).endswith("\nchain: unlimited, experiment 2")
    before = {**place, "position": 1, "current": "261123-next"}
    assert status_lines.compact(status(chain=before)).endswith(
        "\nchain: experiment 1, current is 261123-next"
    )


def test_a_recent_run_is_one_line_with_its_note() -> None:
    """Verdicts line up."""
    row = {"run_id": "r0041", "verdict": "revert", "primary": "0.8550000001", "note": "grad clip 1.0 → 0.5"}
    assert status_lines.recent(row, "val/loss") == 'r0041 revert  val/loss=0.855 note: "grad clip 1.0 → 0.5"'
    crashed = {"run_id": "r0042", "verdict": "crash", "primary": "", "note": ""}
    assert status_lines.recent(crashed, "val/loss") == "r0042 crash   no val/loss"


def test_control_characters_of_a_script_reach_no_terminal() -> None:
    """A reason is a line of the script's own log."""
    line = run_lines.verdict_line(failed("crash", reason="bad\x1b[31m\nthing\t\u202e", exit_code=1))
    assert line.startswith("[r0043] crash: bad thing — ")


text = st.text(max_size=400)
value = st.none() | st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(0, 10**9 - 1).map(lambda n: f"r{n:04d}")
results = st.fixed_dictionaries(
    {
        "run_id": ids,
        "expr": st.text("abcdefghij-0123456789", min_size=1, max_size=64),
        "status": st.sampled_from(["ok", "crash", "timeout", "invalid", "interrupted", "unclean"]),
        "verdict": st.sampled_from(["advance", "revert", "invalid", "crash", "timeout", "interrupted"]),
        "primary": st.fixed_dictionaries(
            {"name": text, "value": value, "best_before": value, "best_run_before": st.none() | ids}
        ),
        "metrics_source": st.none() | text,
        "constraints": st.lists(
            st.fixed_dictionaries({"expr": text, "value": value, "ok": st.booleans()}), max_size=3
        ),
        "peak_vram_mb": value,
        "seconds": st.floats(0, 1e9),
        "exit_code": st.none() | st.integers(-255, 255),
        "signal": st.none() | text,
        "reason": st.none() | text,
        "train_py": st.sampled_from(["kept", "restored", "updated", "edited_since"]),
        "should_terminate": st.booleans(),
        "terminated_by": st.none() | text,
        "next": st.just("") | text,
        "plateau": st.none() | text,
        "runs": st.none() | text,
        "best": st.none() | ids,
        "best_value": value,
        "chain_remaining": st.none() | st.integers(0, 10**6),
    }
)


@given(project=text, runner=text)
def test_no_project_and_no_runner_make_what_run_wait_prints_longer_than_1_kib(
    project: str, runner: str
) -> None:
    line = project_line(project, runner)
    assert "\n" not in line
    assert RUN_MAX + len(line.encode()) + 1 <= ITERATION_MAX


@given(found=results, argv=st.lists(text, max_size=20), glob=st.none() | text, seconds=value)
def test_no_result_makes_run_wait_print_more_than_600_bytes(
    found: dict[str, Any], argv: list[str], glob: str | None, seconds: float | None
) -> None:
    """What an agent reads per iteration is bounded, whatever a script calls its metrics."""
    runner = " ".join(argv)
    view = {**VIEW, "runner": runner, "argv": argv, "checkpoint_glob": glob, "seconds": seconds}
    lines = [run_lines.launched(view), *run_lines.verdict_lines(view, found)]
    assert all("\n" not in line for line in lines)
    assert len("".join(line + "\n" for line in lines).encode()) <= RUN_MAX


@given(
    metric=text,
    train_py=text,
    unclean=st.booleans(),
    live=st.booleans(),
    reason=st.none() | text,
    best=value,
    count=st.integers(0, 10**12),
    active=st.integers(0, 3),
    blocked=st.none() | text,
    chain=st.none()
    | st.fixed_dictionaries({"position": st.integers(1), "current": text, "remaining": value}),
)
def test_no_experiment_makes_the_compact_status_longer(
    metric: str,
    train_py: str,
    unclean: bool,
    live: bool,
    reason: str | None,
    best: float | None,
    count: int,
    active: int,
    blocked: str | None,
    chain: dict[str, Any] | None,
) -> None:
    """At most 10 lines and 800 bytes, at 10 runs as at a billion."""
    session = status()["session"]
    counters = dict.fromkeys(session["counters"], count)
    shown = status_lines.compact(
        status(
            contract={"primary": {"metric": metric, "direction": "min"}},
            session={**session, "live": live, "terminated_by": reason, "counters": counters},
            best=None if best is None else {"run_id": "r999999999", "value": best, "valid": False},
            train_py=train_py,
            unclean=unclean,
            chain=chain,
            active=[{**VIEW, "latest": best}] * active
            + [{**VIEW, "state": "queued", "held": True}]
            + [{**VIEW, "state": "judged", "blocked": True, "why": blocked}] * (blocked is not None),
        )
    )
    assert len(shown.splitlines()) <= COMPACT_LINES
    assert len(shown.encode()) + 1 <= COMPACT_MAX


@given(metric=text, note=text, primary=st.sampled_from(["", "0.5", "odd"]), verdict=text)
def test_no_note_makes_a_line_of_status_last_longer(
    metric: str, note: str, primary: str, verdict: str
) -> None:
    """At most 200 bytes a run."""
    line = status_lines.recent(
        {"run_id": "r999999999", "verdict": verdict, "primary": primary, "note": note}, metric
    )
    assert "\n" not in line
    assert len(line.encode()) + 1 <= RECENT_MAX


def test_the_sample_result_is_what_the_daemon_writes() -> None:
    """These tests must not drift from the type that travels."""
    from msgspec import json as typed

    from ardaemon.core.model import Result

    decoded = typed.decode(json.dumps({**RESULT, "improved_over_best": True}), type=Result)
    assert decoded.primary.best_run_before == "r0040"
    assert set(RESULT) <= set(Result.__struct_fields__)

"""Is an attempt judged, or made again? And what the next one must not find of it."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.core.gpus import Need
from ardaemon.core.model import Again, Exit, Process, Queued, RunRecord, Settings
from ardaemon.host import state
from ardaemon.pipeline import again
from tests.support.folders import experiment

ALONE, SHARED = Need(gpus=1), Need(gpus=1, share=True)


def record(need: Need = ALONE, **settings: Any) -> RunRecord:
    return RunRecord(
        run_id="r0001",
        submit_id="s",
        sha256="",
        base=None,
        note="",
        submitted_at="2026-11-24T00:00:00Z",
        settings=Settings(seconds=1, **settings),
        environment_sha256="",
        need=need,
    )


OK, FAILED = Exit(ending="exited", exit_code=0), Exit(ending="exited", exit_code=1)
UNCLEAN = replace(OK, survivors=(Process(1, 2),))


@pytest.mark.parametrize(
    ("end", "reason", "tainted", "before", "run", "wanted"),
    [
        (OK, None, None, (), record(), None),
        (OK, None, "swapping", (), record(), "tainted"),
        (OK, None, "swapping", ("oom",), record(), "tainted"),
        (OK, None, "swapping", ("tainted",), record(), None),
        (OK, None, "swapping", (), record(on_tainted="accept"), None),
        (UNCLEAN, None, "swapping", (), record(), None),
        (FAILED, "exit code 1", "swapping", (), record(), None),
        (FAILED, "oom CUDA out of memory", None, (), record(SHARED), "oom"),
        (FAILED, "oom CUDA out of memory", None, ("oom",), record(SHARED), None),
        (FAILED, "oom CUDA out of memory", None, (), record(), None),
        (FAILED, "oom_something", None, (), record(SHARED), None),
        (Exit(ending="limit"), None, "swapping", (), record(), None),
    ],
)
def test_each_reason_for_another_attempt_counts_once(
    end: Exit, reason: str | None, tainted: str | None, before: tuple[Again, ...], run: RunRecord, wanted: str
) -> None:
    assert again.wanted(end, reason, tainted, before, run) == wanted


def test_what_an_attempt_left_goes_into_its_folder_and_the_run_waits_again(tmp_path: Path) -> None:
    run = experiment(tmp_path).run("r0001")
    (run.folder / "a1").mkdir(parents=True)
    for name in ("ready", "state.pt", "notes"):
        (run.folder / name).write_text(name)
    waiting = again.queue_again(run, record(), 1, ("tainted",))
    assert waiting.state == Queued(1, ("tainted",)) == state.read(run.record, RunRecord).state  # type: ignore[union-attr]
    assert sorted(p.name for p in (run.folder / "a1").iterdir()) == ["ready", "state.pt"]
    assert (run.folder / "notes").exists()
    assert again.queue_again(run, record(), 1, ("tainted",)) == waiting, "twice, as after a kill"

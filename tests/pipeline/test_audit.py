"""What an audit prints becomes its value, or the reason why it has none; and its files stay bounded."""

import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.core.audits import AuditValue, WaitingAudit
from ardaemon.core.config import AUDIT_LOGS_KEPT, AUDITS_KEPT
from ardaemon.core.layout import Experiment
from ardaemon.host import state
from ardaemon.host.command import CommandEnd
from ardaemon.pipeline import audit_files
from ardaemon.pipeline.audit import read
from tests.support.every import every

VALUE = AuditValue(run_id="r0001", submit_id="a", at="", run_ended_at="2026-11-27T00:00:00Z", value=1.0)


def ended(printed: bytes = b"", **facts: Any) -> CommandEnd:
    return CommandEnd(**{"how": "exited", "code": 0, "output": printed, "errors": b"", **facts})


@pytest.mark.parametrize(
    ("printed", "name", "value"),
    [
        (b'{"val/loss": 0.5, "other": 2}', "val/loss", 0.5),
        (b'{"holdout": 3}', "holdout", 3.0),
        (b'hello\n{"holdout": {"last": 3, "best": 2}, "note": "x", "nan": NaN}\n', "holdout", 3.0),
    ],
)
def test_the_value_is_the_primary_metrics_or_the_only_number(printed: bytes, name: str, value: float) -> None:
    audited = read(ended(printed), "val/loss", 9.0)
    assert (audited.name, audited.value, audited.problem) == (name, value, "")


@every(
    "end, problem",
    [
        (ended(), "printed nothing"),
        (ended(b" \n"), "printed nothing"),
        (ended(b"0.5\n"), "printed no JSON object but '0.5'"),
        (ended(b'{"a": 1, "b": 2}'), "printed 2 finite numbers, none of them val/loss"),
        (ended(b'{"val/loss": NaN}'), "printed 0 finite numbers, none of them val/loss"),
        (ended(b'{"val/loss": true}'), "printed 0 finite numbers, none of them val/loss"),
        (ended(b'{"a": 1}', code=3, errors=b"no \x1b[31mdata\n"), "exited 3: no data"),
        (ended(b'{"a": 1}', code=-9), "was ended by SIGKILL"),
        (ended(b'{"a": 1}', how="late"), "was still running after 9 s and was killed"),
        (ended(b"{" * 9, how="too_much"), "printed more than 9 bytes and was killed"),
    ],
)
def test_without_one_the_reason_is_recorded(end: CommandEnd, problem: str) -> None:
    audited = read(end, "val/loss", 9.0)
    assert (audited.value, audited.problem) == (None, problem)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    tmp_path.chmod(0o700)
    return Experiment(tmp_path / "p/.autoresearch/261122-test")


def test_values_are_private_bounded_and_in_the_order_of_the_advances(
    experiment: Experiment, tmp_path: Path
) -> None:
    files = audit_files.of_experiment(tmp_path / "audits", experiment.folder)
    audit_files.record(files, experiment, replace(VALUE, run_id="r0002"), "val/loss", "max")
    known = audit_files.record(files, experiment, VALUE)
    assert [one.run_id for one in known.values] == ["r0001", "r0002"]
    assert (known.metric, known.direction) == ("val/loss", "max"), "kept where it is not known"
    assert audit_files.read(files, experiment) == known
    assert [stat.S_IMODE(path.stat().st_mode) for path in (files.folder, files.values)] == [0o700, 0o600]
    many = tuple(replace(VALUE, run_id=f"r{n:04d}") for n in range(3, AUDITS_KEPT + 3))
    state.write(files.values, replace(known, values=many), 0o600)
    known = audit_files.record(files, experiment, replace(VALUE, run_id="r9999"))
    assert (len(known.values), known.values[0].run_id, known.values[-1].run_id) == (
        AUDITS_KEPT,
        "r0004",
        "r9999",
    )


@pytest.mark.promise("audit")
def test_run_ids_that_begin_again_begin_the_audits_again(experiment: Experiment, tmp_path: Path) -> None:
    files = audit_files.of_experiment(tmp_path / "audits", experiment.folder)
    for run_id in ("r0001", "r0002"):
        audit_files.record(files, experiment, replace(VALUE, run_id=run_id))
    anew = replace(VALUE, submit_id="b")
    waiting = WaitingAudit(folder="", run_id="r0001", seq=1, environment={}, submit_id="b")
    assert not audit_files.is_recorded(files, experiment, waiting)
    assert audit_files.record(files, experiment, anew).values == (anew,)
    second = replace(anew, run_id="r0002")
    for _ in range(2):  # the disk may refuse after it has written
        assert audit_files.record(files, experiment, second).values == (anew, second)
    assert audit_files.is_recorded(files, experiment, waiting)


def test_the_last_logs_are_kept_and_private(experiment: Experiment, tmp_path: Path) -> None:
    files = audit_files.of_experiment(tmp_path / "audits", experiment.folder)
    for number in range(AUDIT_LOGS_KEPT + 2):
        audit_files.keep_log(files, f"r{number:04d}", b"said")
    logs = list(files.folder.glob("*.log"))
    assert len(logs) == AUDIT_LOGS_KEPT
    assert {stat.S_IMODE(log.stat().st_mode) for log in logs} == {0o600}
    assert files.log(f"r{AUDIT_LOGS_KEPT + 1:04d}").read_bytes() == b"said"

"""What a submit says of its shell's limits."""

from ardaemon.core.model import ShellState
from ardaemon.pipeline import shell
from tests.support.folders import record

GIB = 1 << 30


def limited(run_id: str = "r0002", *lacking: str, **limits: int) -> object:
    return record(run_id, shell=ShellState(limits=limits), not_given=lacking)


def test_limits_that_may_end_a_run_are_told_at_each_submit_and_a_change_within_a_session_as_well() -> None:
    same, other = limited("r0001", AS=8 * GIB), limited("r0001", AS=4 * GIB)
    now = limited(AS=8 * GIB, NOFILE=5)
    holds = "limits of this shell hold for r0002, and may end it: address space (ulimit -v) 8388608"
    for before in (None, same, record("r0001")):
        assert shell.warnings(now, before) == (holds,)  # type: ignore[arg-type]
    first, second = shell.warnings(now, other)  # type: ignore[arg-type]
    assert first == holds
    assert second.startswith("r0001 of this session had other limits (address space (ulimit -v) 4194304)")
    [lifted] = shell.warnings(limited(), same)  # type: ignore[arg-type]
    assert lifted.startswith("r0001 of this session had other limits (address")
    [set_now] = shell.warnings(now, limited("r0001"))[1:]  # type: ignore[arg-type]
    assert "(none of them)" in set_now


def test_what_a_job_cannot_have_is_a_warning() -> None:
    [line] = shell.warnings(limited("r0002", "nice 0: the job gets nice 5"), None)  # type: ignore[arg-type]
    assert line == "of this shell the job of r0002 cannot have nice 0: the job gets nice 5"


def test_a_client_that_says_nothing_is_told_nothing() -> None:
    assert shell.not_given(None) == ()
    assert shell.warnings(record("r0002"), limited("r0001", AS=GIB)) == ()  # type: ignore[arg-type]

"""Whether an attempt is judged or followed by another, and how the attempts before it are read."""

import msgspec
from msgspec.structs import replace

from ardaemon.core.model import Exit, Process, Settings
from ardaemon.core.reason import Reason
from ardaemon.core.run_record import AttemptResult, Queued
from ardaemon.judging import again
from ardaemon.judging.again import AttemptFacts
from tests.support.every import every

OK, FAILED = Exit(ending="exited", exit_code=0), Exit(ending="exited", exit_code=1)
UNCLEAN = replace(OK, survivors=(Process(1, 2),))


OOM = Reason("oom", "CUDA out of memory")
OTHER = Reason("", "exit code 1")


@every(
    "facts, wanted",
    [
        (AttemptFacts(exit=OK), None),
        (AttemptFacts(exit=OK, tainted="swapping"), "tainted"),
        (AttemptFacts(exit=OK, tainted="swapping", before=("oom",)), "tainted"),
        (AttemptFacts(exit=OK, tainted="swapping", before=("tainted",)), None),
        (AttemptFacts(exit=UNCLEAN, tainted="swapping"), None),
        (AttemptFacts(exit=FAILED, reason=OTHER, tainted="swapping"), None),
        (AttemptFacts(exit=FAILED, reason=OTHER, sick=True), "tainted"),
        (AttemptFacts(exit=FAILED, reason=OTHER, sick=True, before=("tainted",)), None),
        (AttemptFacts(exit=FAILED, reason=OOM, shared=True), "oom"),
        (AttemptFacts(exit=FAILED, reason=OOM, shared=True, before=("oom",)), None),
        (AttemptFacts(exit=FAILED, reason=OOM), None),
        (AttemptFacts(exit=FAILED, reason=Reason("", "oom is what it says"), shared=True), None),
        (AttemptFacts(exit=Exit(ending="limit"), tainted="swapping"), None),
    ],
)
def test_each_reason_for_another_attempt_counts_once(facts: AttemptFacts, wanted: str | None) -> None:
    assert again.wanted(facts, Settings(seconds=1)) == wanted


def test_with_accept_nothing_is_made_again_for_its_conditions() -> None:
    accept = Settings(seconds=1, on_tainted="accept")
    assert again.wanted(AttemptFacts(exit=OK, tainted="swapping"), accept) is None
    assert again.wanted(AttemptFacts(exit=FAILED, sick=True), accept) is None


def test_attempts_are_read_as_earlier_versions_wrote_them() -> None:
    old = msgspec.json.decode(b'{"state":"queued","attempts":2,"again":["oom","tainted"]}', type=Queued)
    assert old.before == (AttemptResult(why="oom"), AttemptResult(why="tainted"))
    new = Queued(attempts=(AttemptResult(why="tainted", value=0.5),), seed=3)
    assert msgspec.json.decode(msgspec.json.encode(new), type=Queued).before == new.before
    assert Queued().before == ()

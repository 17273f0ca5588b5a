"""What makes a measurement unfair."""

from ardaemon.core.measured import Holder, Sample, Taint
from ardaemon.measuring.taint import GRAPHICS_MB, LOOKS_MIN, Conditions, Newcomers
from tests.support.every import every

OWN, OTHER = "/p/runs/r0001/a1", "/p/runs/r0002/a1"


def conditions(looks: int, throttled: int = 0, swapping: int = 0, foreign: str = "") -> Conditions:
    found = Conditions()
    for n in range(looks):
        found.add(
            Sample(
                t=5.0 * n,
                looks=1,
                throttled=n < throttled,
                swapping=n < swapping,
                foreign=foreign if n == 3 else "",
            )
        )
    return found


@every(
    "given, taint",
    [
        (conditions(0), None),
        (conditions(100), None),
        (conditions(LOOKS_MIN, throttled=LOOKS_MIN), "thermal_throttling"),
        (conditions(LOOKS_MIN - 1, throttled=LOOKS_MIN - 1), None),
        (conditions(100, throttled=9), None),
        (conditions(100, throttled=10), "thermal_throttling"),
        (conditions(100, swapping=9), None),
        (conditions(100, swapping=10), "swapping"),
        (conditions(100, throttled=50, swapping=50), "thermal_throttling"),
        (conditions(100, foreign="pid 7"), "foreign_gpu_process"),
        (conditions(100, throttled=50, foreign="pid 7"), "foreign_gpu_process"),
    ],
)
def test_heat_and_swapping_must_last_and_a_stranger_need_not(given: Conditions, taint: Taint | None) -> None:
    assert given.taint()[0] == taint
    assert bool(given.taint()[1]) == (taint is not None), "it says why"


def newcomers(alone: bool = True, passed: frozenset[int] = frozenset()) -> Newcomers:
    return Newcomers(OWN, alone, passed)


MINE = Holder(pid=1, used_mb=900.0, owner=OWN)


@every(
    "holder, alone, comes",
    [
        (MINE, True, False),
        (Holder(pid=2, used_mb=300.0), True, True),
        (Holder(pid=2, used_mb=None), True, True),
        (Holder(pid=2), False, True),  # who shares with our runs does not share with strangers
        (Holder(pid=2, owner=OTHER), True, True),
        (Holder(pid=2, owner=OTHER), False, False),
        (Holder(pid=2, used_mb=GRAPHICS_MB - 1, graphics=True), True, False),
        (Holder(pid=2, used_mb=None, graphics=True), True, False),
        (Holder(pid=2, used_mb=GRAPHICS_MB, graphics=True), True, True),
        (Holder(pid=9, used_mb=300.0), True, False),  # on the list of those that are passed over
    ],
)
def test_who_counts_as_come(holder: Holder, alone: bool, comes: bool) -> None:
    found = newcomers(alone, frozenset([9])).first({"GPU-0": (MINE, holder)})
    assert found == (holder if comes else None)


def test_where_nvml_does_not_say_nobody_has_come() -> None:
    assert newcomers().first({"GPU-0": None}) is None


UNKNOWN = Holder(pid=5, used_mb=300.0, known=False)


def test_an_unknown_pid_beside_the_run_counts_at_the_second_look() -> None:
    """At the first one it may be a process of the run that ended between NVML's word and /proc's."""
    asked = newcomers()
    cards = {"GPU-0": (MINE, UNKNOWN)}
    assert asked.first(cards) is None
    assert asked.first(cards) == UNKNOWN


def test_an_unknown_pid_that_is_gone_at_once_does_not_count() -> None:
    asked = newcomers()
    for there in ((MINE, UNKNOWN), (MINE,), (MINE, UNKNOWN), (MINE,)):
        assert asked.first({"GPU-0": there}) is None


def test_where_no_pid_is_known_to_be_the_runs_unknown_ones_may_be() -> None:
    """As in a container, where NVML names the host's pids."""
    asked = newcomers()
    for _ in range(3):
        assert asked.first({"GPU-0": (UNKNOWN,)}) is None

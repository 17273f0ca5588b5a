"""How a run ended: by what the engine found, and by what was wanted of it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.core.layout import Experiment
from ardaemon.core.run_record import Active, Wanted
from ardaemon.engines.base import Lost, NeverStarted
from ardaemon.pipeline import watch
from ardaemon.pipeline.flight import Flight
from tests.support.folders import record

pytestmark = pytest.mark.promise("wishes")

EXPERIMENT = Experiment(Path("/p/.autoresearch/261122-test"))
ACTIVE = Active(folder=str(EXPERIMENT.folder), run_id="r0001", seq=1, environment={})


@pytest.mark.parametrize("found", [NeverStarted(), Lost(ending="supervisor_lost")])
@pytest.mark.parametrize(
    ("wanted", "ending"),
    [("cancel", "stopped"), ("stop", "stopped"), ("rss_limit", "rss_limit"), ("give_way", "gave_way")],
)
def test_an_attempt_of_which_nothing_is_left_ended_by_the_wish_if_its_end_was_wanted(
    wanted: Wanted, ending: str, found: NeverStarted | Lost
) -> None:
    """A shim that dies of the wish leaves no record; the client was told that the run is interrupted."""
    flight = Flight(EXPERIMENT, EXPERIMENT.run("r0001"), ACTIVE, record(), Path("/s/active/r0001.json"))
    assert watch._exit_of(flight, found).ending in ("lost", "supervisor_lost")
    flight.active = replace(ACTIVE, wanted=wanted)
    assert watch._exit_of(flight, found).ending == ending

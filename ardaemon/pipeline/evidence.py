"""What is found of a run that is over: its metrics, why it ended, and the seal once more."""

from msgspec.structs import replace

from ardaemon.core.config import ATTEMPTS_MAX
from ardaemon.core.model import Again
from ardaemon.pipeline import again, extract, launch
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.experiment import State
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.order import seal_faults


def gather(flight: Flight, found: State) -> Ended:
    """In a thread: the metrics, the reason, and the seal once more."""
    assert flight.exit is not None
    faults = flight.seal_faults or seal_faults(flight, found)
    attempt = max(flight.attempts, 1)
    environment = launch.environment_of(
        flight.active.environment, flight.record.settings, flight.experiment, flight.run, attempt
    )
    extracted = extract.extract(
        flight.experiment,
        flight.run,
        flight.record,
        found.contract,
        environment,
        attempt,
        flight.exit,
        flight.restarted,
    )
    # What the log does not say may stand in files that the restart has torn.
    end = replace(flight.exit, ending="host_restart") if extracted.silent else flight.exit
    return Ended(
        experiment=flight.experiment,
        run=flight.run,
        record=flight.record,
        exit=end,
        attempts=flight.attempts,
        extracted=extracted,
        seal_faults=faults,
        manual=flight.active.wanted == "stop",
        boot_id=flight.handle.boot_id if flight.handle else "",
        slots=flight.slots,
        restarted=flight.restarted,
        measured=flight.measured,
        notes=flight.notes,
        sick=flight.sick,
    )


def again_why(flight: Flight, ended: Ended) -> Again | None:
    """Why it is to be launched once more; never after its end was asked for, or its session's."""
    over = flight.active.wanted != "run" or flight.held or flight.attempts >= ATTEMPTS_MAX
    if over or ended.seal_faults or flight.restarted:
        return None
    facts = again.Facts(
        exit=ended.exit,
        reason=ended.extracted.reason,
        tainted=ended.tainted,
        sick=flight.sick,
        shared=flight.shares,
        before=flight.again,
    )
    return again.wanted(facts, flight.record.settings)

"""At start: every active run goes on from where it was."""

import logging
from pathlib import Path

import msgspec

from ardaemon.board import Board
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.model import Active, Judged, RunRecord, Session
from ardaemon.host import durable, state
from ardaemon.pipeline import commit
from ardaemon.pipeline.experiment import load_or_repair
from ardaemon.pipeline.flight import Flight

log = logging.getLogger("ardaemon.recovery")


def recover(host: Host, board: Board) -> list[Flight]:
    """Put every active run on the board; returns those that are past the queue.

    A run that was judged is committed here, before anybody else may change its experiment.
    """
    found = [flight for entry in sorted(host.active.glob("*.json")) if (flight := _read(entry))]
    at_work = []
    for flight in sorted(found, key=lambda f: f.active.seq):
        if _finished(flight):
            continue
        board.add(flight)
        if flight.state != "queued":
            board.occupy_any(flight)
            at_work.append(flight)
        elif flight.active.wanted != "run":
            at_work.append(flight)
        log.info("found", extra={"facts": _facts(flight)})
    return at_work


def _read(entry: Path) -> Flight | None:
    try:
        active = state.read(entry, Active)
        if active is None:
            return None
        experiment = Experiment(Path(active.folder))
        run = experiment.run(active.run_id)
        record = state.read(run.record, RunRecord)
        if record is None:
            log.warning("stranded", extra={"facts": {"entry": entry.name, "folder": active.folder}})
            return None
        flight = Flight(experiment, run, active, record, entry)
        flight.resume_from_record()
        session = state.read(experiment.session, Session)
        flight.held = session is not None and not session.live
        return flight
    except (ArdaemonError, msgspec.MsgspecError) as error:
        log.warning("unreadable", extra={"facts": {"entry": entry.name, "why": str(error)}})
        return None


def _finished(flight: Flight) -> bool:
    """Committed before the entry could go; or judged: stage two again, now."""
    try:
        if not flight.run.result.exists():
            if not isinstance(flight.record.state, Judged):
                return False
            load_or_repair(flight.experiment)
            commit.apply(flight.experiment, flight.run, flight.record)
            log.info("committed", extra={"facts": _facts(flight)})
        durable.remove(flight.entry)
        return True
    except (ArdaemonError, OSError) as error:
        log.warning("not yet", extra={"facts": {**_facts(flight), "why": str(error)}})
        return False


def _facts(flight: Flight) -> dict[str, object]:
    return {"expr": flight.experiment.slug, "run_id": flight.run.run_id, "state": flight.state}

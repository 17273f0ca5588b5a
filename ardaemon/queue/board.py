"""The board: every run that is not committed, and who wants to hear of it."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from ardaemon.core.config import AUDIT_CHECKPOINTS, QUEUE_MAX
from ardaemon.core.errors import Overloaded
from ardaemon.core.events import ExperimentEvent, GpuQuarantined, MachineEvent, RunEvent
from ardaemon.core.layout import Experiment
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Session
from ardaemon.core.queue import CPU, Key, Stranded
from ardaemon.core.run_record import Judged, of_session, with_limits
from ardaemon.pipeline.audit import Audit
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.gate import Gate
from ardaemon.queue.placement import Placement

log = logging.getLogger("ardaemon.run")

Message = dict[str, Any]  # an event as subscribers get it, with whose run it is


class Board:
    """All flights, by experiment and run id: what the daemon knows of every run that is not committed.

    Changed by synchronous code of the event loop only: the loop is the lock. So a decision that is made
    without an `await` in it sees one state of the queue, and no run can be given away twice.

    The board is a copy of what is on disk, never the other way round. A run is on disk before it is put here,
    and is committed or given up there before it leaves, so that after a kill the next daemon builds the same
    board.

    Whoever changes something that a waiting run could profit by calls wake(), which replaces the event: a
    loop that took `changed` before it looked at the board cannot miss a change that comes while it looks.
    """

    def __init__(self, config: LiveConfig, placement: Placement, gate: Gate) -> None:
        self.config, self.placement, self.gate = config, placement, gate
        self.flights: dict[Key, Flight] = {}
        self.stranded: dict[str, Stranded] = {}  # active entries that are no flight, by their names
        # Experiment's folder -> its runs that a daemon before this one left, until they were taken up.
        self.arriving: Counter[str] = Counter()
        self.changed = anyio.Event()
        # Experiment's folder -> runs whose verdict a client has got. On disk with the next commit: after a
        # kill of the daemon a verdict may be delivered once more, never once less.
        self.verdicts_delivered: dict[str, set[str]] = {}
        self.subscribers: set[MemoryObjectSendStream[Message]] = set()
        self._top = 0
        self.audit: Audit | None = None  # the one that waits for its place, or has it
        # Advances that wait for their audit, by the names of their entries: the checkpoint of each, or "".
        self.to_audit: dict[str, str] = {}
        self.to_audit_changed = anyio.Event()

    # --- flights ---

    def next_seq(self) -> int:
        """Return the next number in the order of submission; it goes on after a restart."""
        self._top += 1
        return self._top

    def add(self, flight: Flight) -> Flight:
        """Put a run that is on disk on the board: it waits, or goes on. Returns the flight that is there."""
        earlier = self.flights.get(flight.key)
        if earlier is not None:
            return earlier
        self._top = max(self._top, flight.active.seq)
        self.flights[flight.key] = flight
        self.wake()
        return flight

    def require_room(self, count: int = 1) -> None:
        """Raise Overloaded if so many more runs are not taken."""
        room = QUEUE_MAX - len(self.flights)
        if room < count:
            raise Overloaded(
                f"the queue takes {QUEUE_MAX} runs, and has room for {max(room, 0)} more of them",
                "wait for some of them: arctl queue",
            )

    def drop(self, flight: Flight) -> None:
        """Take a run off the board: it is committed, or given up."""
        self.flights.pop(flight.key, None)
        self.release(flight)

    def release(self, flight: Flight) -> None:
        """Free the flight's place: its processes are gone."""
        self.placement.release(flight)
        self.wake()

    def undriven(self) -> list[Flight]:
        """Return the flights that somebody must drive on and nobody does: all but those that only wait."""
        return [flight for flight in self.flights.values() if not flight.driven and not flight.only_waits]

    def of(self, experiment: Experiment) -> list[Flight]:
        """Return the flights of one experiment, in the order of submission."""
        folder = str(experiment.folder)
        return sorted((f for f in self.flights.values() if f.key[0] == folder), key=lambda f: f.active.seq)

    def candidates(self, experiment: Experiment) -> list[Flight]:
        """Return those of the flights that get a verdict, in the order of submission."""
        return [flight for flight in self.of(experiment) if not flight.record.of]

    def has_runs(self, project: Path) -> bool:
        """Tell whether runs of that project are on the board, or about to be. Any thread may ask."""
        if any(Experiment(Path(folder)).project == project for folder in list(self.arriving)):
            return True
        return bool(self._in(project))

    def has_only_idle(self, project: Path) -> bool:
        """Tell whether launches for idle places are all that is on the board of that project.

        Any thread may ask.
        """
        flights = self._in(project)
        return bool(flights) and all(flight.is_idle for flight in flights)

    def keeps_runs(self, project: Path) -> bool:
        """Tell whether each run of that project has its active entry still: else another daemon may have it.

        For a thread.
        """
        return all(flight.entry.exists() for flight in self._in(project))

    def _in(self, project: Path) -> list[Flight]:
        """Return the flights of that project. Any thread may ask: it looks at a copy."""
        return [flight for flight in list(self.flights.values()) if flight.experiment.project == project]

    def projects(self) -> set[Path]:
        """Return the projects in which runs are on the board."""
        return {flight.experiment.project for flight in self.flights.values()}

    def find(self, experiment: Experiment, run_id: str) -> Flight | None:
        """Return that run, if it is not committed."""
        return self.flights.get((str(experiment.folder), run_id))

    def renew(self, folder: Path, session: Session) -> None:
        """Give what waits to the session, new or changed: its settings say how long a run may take.

        Whether the session may end with the verdict of a run at work, its limits say as they are now.
        """
        for flight in self.flights.values():
            if flight.key[0] == str(folder):
                renewed = of_session if flight.state == "queued" else with_limits
                flight.record = renewed(flight.record, session)

    def hold(self, folder: Path, session_over: bool) -> None:
        """Hold the runs of an experiment whose session is over; let them go when it has started again."""
        for flight in self.flights.values():
            if flight.key[0] == str(folder):
                flight.session_over = session_over
                flight.wake()
        self.wake()

    def in_use(self) -> frozenset[str]:
        """Return the promoted checkpoints that runs under way were launched with, of whatever experiment.

        Those of the next audits are among them.
        """
        launched = (path for flight in self.flights.values() for path in flight.reads)
        return frozenset((*launched, *(checkpoint for _, checkpoint in self.next_audits())))

    def asking(self) -> list[Flight]:
        """Return all that may want a place: the flights, and the audit that comes next."""
        return [*self.flights.values(), *([self.audit] if self.audit is not None else [])]

    def wants_gpus(self) -> bool:
        """Tell whether a run waits that could start if GPUs were free."""
        return any(f.need.gpus and self.placement.is_waiting(f) and not f.stands_still for f in self.asking())

    def teach(self, flight: Flight) -> None:
        """Let the runs that wait know what a committed one has needed: they may need less, or more."""
        if isinstance(flight.record.state, Judged):
            for other in self.of(flight.experiment):
                other.peaks = flight.record.state.decision.peaks

    # --- audits ---

    def will_audit(self, name: str, checkpoint: str) -> None:
        """Note that an advance waits for its audit, by its entry's name; its checkpoint stays until then."""
        self.to_audit[name] = checkpoint
        self.to_audit_changed.set()
        self.to_audit_changed = anyio.Event()

    def next_audits(self) -> list[tuple[str, str]]:
        """Return the next audits that need a checkpoint: the names of their entries, and the checkpoints."""
        return [one for one in self.to_audit.items() if one[1]][:AUDIT_CHECKPOINTS]

    def audited(self, name: str) -> None:
        """Note that the audit of that entry is over."""
        self.to_audit.pop(name, None)

    def await_place(self, audit: Audit) -> None:
        """Let the scheduler give the audit a place, when no run wants it."""
        self.audit = audit
        self.wake()

    def leave(self, audit: Audit) -> None:
        """Free the audit's place: its processes are gone."""
        self.audit = None
        self.placement.release(audit, was_used=True)
        self.wake()

    # --- verdicts that a client has got ---

    def delivered(self, folder: Path) -> frozenset[str]:
        """Return the runs of that experiment whose verdict a client has got."""
        return frozenset(self.verdicts_delivered.get(str(folder), ()))

    def deliver(self, experiment: Experiment, run_id: str, undelivered: tuple[str, ...]) -> None:
        """Note that a client gets that verdict.

        `undelivered`: those that the session still knows as such. What it does not know any more need not be
        remembered, so that this does not grow.
        """
        remembered = {run_id, *undelivered, *(flight.run.run_id for flight in self.of(experiment))}
        before = self.verdicts_delivered.get(str(experiment.folder), set())
        self.verdicts_delivered[str(experiment.folder)] = {run_id, *(before & remembered)}

    # --- places in quarantine ---

    def quarantined(self, slot: str, why: str) -> None:
        """Put nothing there until it is lifted."""
        self.placement.unclean[slot] = why
        if not slot.startswith(CPU):
            self.alert(GpuQuarantined(gpu=slot, why=why))
        self.wake_waiting()

    def lift(self, slots: Iterable[str]) -> None:
        """Let those places be used again: what lived there is gone."""
        for slot in slots:
            self.placement.unclean.pop(slot, None)
        self.wake_waiting()

    # --- waking and telling ---

    def wake_waiting(self) -> None:
        """Let what waits look again: it may be able to go on, or know that it cannot."""
        for flight in self.flights.values():
            if flight.state == "queued":
                flight.wake()
        self.wake()

    def wake(self) -> None:
        """Let the scheduler look again."""
        self.changed.set()
        self.changed = anyio.Event()

    def tell(self, flight: Flight, event: RunEvent) -> None:
        """Log an event of a flight and pass it on; a subscriber that is too far behind is dropped."""
        self._tell(flight.experiment, {"run_id": flight.run.run_id}, event)

    def announce(self, experiment: Experiment, event: ExperimentEvent) -> None:
        """Log an event of an experiment and pass it on, as tell() does."""
        self._tell(experiment, {}, event)

    def alert(self, event: MachineEvent) -> None:
        """Pass on an event of the machine, which whoever saw it has logged."""
        self.pass_on(msgspec.to_builtins(event), self.subscribers)

    def _tell(self, experiment: Experiment, whose: Message, event: RunEvent | ExperimentEvent) -> None:
        facts: Message = msgspec.to_builtins(event)
        name = facts.pop("event")
        where = {"expr": experiment.slug, **whose}
        log.info(name, extra={"facts": {**where, **facts}})
        message = {"event": name, "project": str(experiment.project), **where, **facts}
        self.pass_on(message, self.subscribers)

    def pass_on(self, message: Message, streams: Iterable[MemoryObjectSendStream[Message]]) -> None:
        """Send a message to these subscribers; one that is too far behind is dropped."""
        for stream in list(streams):
            try:
                stream.send_nowait(message)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                self.subscribers.discard(stream)
                stream.close()

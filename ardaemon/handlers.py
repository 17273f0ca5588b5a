"""One short function per RPC method: they write down what is wanted, loops make it so."""

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ardaemon import discover
from ardaemon.board import Board
from ardaemon.core import protocol as p
from ardaemon.core.config import SUBSCRIBER_QUEUE, Config
from ardaemon.core.errors import StorageError, UnknownRun, UsageError
from ardaemon.core.layout import Experiment, Host, boot_id, run_name
from ardaemon.core.model import Contract, Exit, Judged, Process, Result, RunRecord, UncleanRecord
from ardaemon.core.text import clean
from ardaemon.experiments import resolve
from ardaemon.host import durable, processes, state
from ardaemon.host.follow import appended
from ardaemon.pipeline import contract, excerpt, initialise, ledger, session, snapshot, train_file
from ardaemon.pipeline.drive import Driver, Locks
from ardaemon.pipeline.experiment import State, chain_of, load, load_or_repair, standard
from ardaemon.pipeline.flight import Flight
from ardaemon.server import Handler, Notify
from ardaemon.version import VERSION

LAST_MAX = 1000  # rows of one run.list or status.get
TAIL_MAX_BYTES = 8 << 10
WAIT_MAX_S = 7 * 86400.0


class Handlers:
    """The methods, over the board and the experiments' folders."""

    def __init__(self, host: Host, config: Config, board: Board, driver: Driver, locks: Locks) -> None:
        self.host, self.config, self.board = host, config, board
        self.driver, self.locks = driver, locks
        self.started_at, self.started = state.now(), time.monotonic()
        self.stopping = anyio.Event()
        self.stop_wanted = False

    def table(self) -> dict[str, Handler]:
        """Method name -> handler; run.submit is `run_submit`."""
        return {name: getattr(self, name.replace(".", "_")) for name in p.METHODS}

    @asynccontextmanager
    async def _changing(self, experiment: Experiment) -> AsyncIterator[None]:
        """Alone with the experiment's files; refused at once while a commit cannot be written."""
        for flight in self.board.of(experiment):
            if flight.blocked is not None:
                raise StorageError(f"{flight.run.run_id} waits for the disk: {flight.blocked}", "mend that first")
        async with self.locks.of(experiment.folder):
            yield

    # --- runs ---

    async def run_submit(self, params: p.Submit, _: Notify) -> p.RunView:
        """Everything is on disk when this returns."""
        received = time.monotonic()
        self.board.require_room()
        experiment = resolve(params.project, params.expr)
        async with self._changing(experiment):
            seq = self.board.next_seq()
            done = await anyio.to_thread.run_sync(
                snapshot.submit, experiment, params, seq, self.host.active, self.config
            )
        run = experiment.run(done.record.run_id)
        if done.active is None:
            return replace(await self._stored(experiment, run.run_id), warnings=done.warnings)
        entry = snapshot.active_path(self.host.active, done.active)
        known = self.board.find(experiment, run.run_id)
        flight = known or Flight(experiment, run, done.active, done.record, entry, received=received)
        self.board.add(flight)
        if known is None:
            ms = round((time.monotonic() - received) * 1000, 2)
            self.board.told(flight, "submitted", base=done.record.base, note=done.record.note, to_disk_ms=ms)
        return replace(self.board.view(flight), warnings=done.warnings)

    async def run_wait(self, params: p.Wait, _: Notify) -> p.RunView:
        """Until launched or committed, or the timeout; a client that goes away ends only its wait."""
        experiment = resolve(params.project, params.expr)
        flights = self._waited_for(experiment, params)
        if not flights:
            return await self._stored(experiment, await self._named(experiment, params.run_id))
        timeout = None if params.timeout is None else min(max(params.timeout, 0.0), WAIT_MAX_S)
        first = flights[0]
        with anyio.move_on_after(timeout):
            first = await _first(flights, params.until)
        if first.blocked is not None:
            raise StorageError(
                f"{first.run.run_id} cannot go on: {first.blocked}",
                f"it is tried again; then: arctl wait {first.run.run_id}",
            )
        return self.board.view(first)

    def _waited_for(self, experiment: Experiment, params: p.Wait) -> list[Flight]:
        flights = self.board.of(experiment)
        if params.any:
            return flights
        if params.run_id is None:
            return flights[-1:]
        return [flight for flight in flights if flight.run.run_id == params.run_id]

    async def run_get(self, params: p.WhichRun, _: Notify) -> p.RunView:
        """One run as it stands."""
        experiment = resolve(params.project, params.expr)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        return self.board.view(flight) if flight else await self._stored(experiment, run_id)

    async def run_list(self, params: p.Recent, _: Notify) -> p.RunList:
        """The last rows of results.tsv."""
        experiment = resolve(params.project, params.expr)
        found = await self._load(experiment)
        rows = ledger.last(experiment.results, min(params.last or LAST_MAX, LAST_MAX))
        return p.RunList(
            expr=experiment.slug,
            primary=found.contract.primary.metric,
            runs=tuple(rows),
            warnings=tuple(found.warnings),
        )

    async def run_tail(self, params: p.Tail, notify: Notify) -> p.TailText:
        """The end of the log; with follow, what is added until the run is committed."""
        experiment = resolve(params.project, params.expr)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        path = _log_of(experiment, run_id, flight)
        size = path.stat().st_size if path.exists() else 0
        text = await anyio.to_thread.run_sync(excerpt.excerpt, path, params.lines, TAIL_MAX_BYTES)
        if params.follow and flight is not None:
            await notify("run.log", {"text": text})
            await self._follow(flight, size, notify)
            text = ""
        state_now = flight.state if flight is not None else "committed"
        return p.TailText(expr=experiment.slug, run_id=run_id, state=state_now, text=text)

    async def _follow(self, flight: Flight, offset: int, notify: Notify) -> None:
        async with anyio.create_task_group() as tasks:

            async def until_over() -> None:
                await flight.until(lambda: flight.state == "committed")
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_over)
            await flight.until(lambda: flight.handle is not None)
            path = _log_of(flight.experiment, flight.run.run_id, flight)
            async for data in appended(path, offset):
                await notify("run.log", {"text": clean(data.decode(errors="replace").replace("\r", "\n"))})

    async def run_cancel(self, params: p.Cancel, _: Notify) -> p.RunView:
        """Write the wish down; the loops make it so."""
        experiment = resolve(params.project, params.expr)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        if flight is None:
            return await self._stored(experiment, run_id)
        await self._cancel(flight, "stop" if params.manual else "cancel")
        return self.board.view(flight)

    async def _cancel(self, flight: Flight, wanted: Any) -> None:
        if flight.state in ("judged", "committed"):
            return
        flight.active = replace(flight.active, wanted=wanted)
        if not flight.experiment.folder.exists() and flight.state in ("queued", "exited"):
            commit_nothing(self.board, flight)
            return
        await anyio.to_thread.run_sync(state.write, flight.entry, flight.active, 0o600)
        self.board.told(flight, "cancel", wanted=wanted)
        if flight.state == "queued" and flight not in self.board.holders.values():
            flight.exit = Exit(ending="cancelled")
            flight.step("cancelled")
            self.driver.background.start_soon(self.fly, flight)
        elif flight.state == "running" and flight.handle is not None:
            self.driver.engine.stop(flight.handle)

    async def fly(self, flight: Flight) -> None:
        """Drive a flight, and tidy the board after it."""
        await fly(self.board, self.driver, flight)

    async def _named(self, experiment: Experiment, run_id: str | None) -> str:
        """The run that is meant: the latest without a name."""
        if run_id is not None:
            if self.board.find(experiment, run_id) or experiment.run(run_id).record.exists():
                return run_id
            raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
        found = await self._load(experiment)
        if found.session.last_run == 0:
            raise UnknownRun(f"{experiment.slug} has no run yet", "arctl run --wait")
        return run_name(found.session.last_run)

    async def _stored(self, experiment: Experiment, run_id: str) -> p.RunView:
        """A committed run, from its files."""
        run = experiment.run(run_id)
        record = state.read(run.record, RunRecord)
        result = state.read(run.result, Result)
        if record is None:
            raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
        return p.RunView(
            project=str(experiment.project),
            expr=experiment.slug,
            run_id=run_id,
            folder=str(run.folder),
            state="committed" if result else "queued",
            seconds=record.settings.seconds,
            base=record.base,
            note=record.note,
            checkpoint_glob=record.settings.checkpoint_glob,
            exit=record.state.decision.exit if isinstance(record.state, Judged) else None,
            result=result,
        )

    # --- experiments ---

    async def _load(self, experiment: Experiment) -> State:
        """The state; repaired, with warnings, where a file is broken."""
        try:
            return await anyio.to_thread.run_sync(load, experiment)
        except Exception:
            async with self._changing(experiment):
                return await anyio.to_thread.run_sync(load_or_repair, experiment)

    async def status_get(self, params: p.Recent, _: Notify) -> p.StatusView:
        """From counters and the ends of files: the same cost after 100,000 runs."""
        experiment = resolve(params.project, params.expr)
        found = await self._load(experiment)
        rows = ledger.last(experiment.results, min(params.last, LAST_MAX))
        return p.StatusView(
            project=str(experiment.project),
            expr=experiment.slug,
            folder=str(experiment.folder),
            contract=found.contract,
            session=found.session,
            best=found.best,
            train_py=_train_py(experiment, found),
            unclean=experiment.unclean.exists(),
            active=tuple(self.board.view(f) for f in self.board.of(experiment)),
            recent=tuple(rows),
            warnings=tuple(found.warnings),
        )

    async def experiment_init(self, params: p.Init, _: Notify) -> p.ExperimentView:
        """Create and seal."""
        if not os.path.isabs(params.project):
            raise UsageError(f"project {params.project[:80]!r} is not an absolute path", "")
        experiment, said = await anyio.to_thread.run_sync(initialise.create, params)
        return await self._experiment_view(experiment, said)

    async def experiment_seal(self, params: p.Seal, _: Notify) -> p.ExperimentView:
        """Report what changed; with accept, seal what is there now."""
        experiment = resolve(params.project, params.expr)
        async with self._changing(experiment):
            said = await anyio.to_thread.run_sync(_seal, experiment, params)
        return await self._experiment_view(experiment, said)

    async def experiment_clean(self, params: p.Where, _: Notify) -> p.ExperimentView:
        """Lift the sentinel once nothing of what survived lives."""
        experiment = resolve(params.project, params.expr)
        async with self._changing(experiment):
            said = await anyio.to_thread.run_sync(_clean, experiment)
        return await self._experiment_view(experiment, said)

    async def _experiment_view(self, experiment: Experiment, said: list[str]) -> p.ExperimentView:
        found = await self._load(experiment)
        return p.ExperimentView(
            project=str(experiment.project),
            expr=experiment.slug,
            folder=str(experiment.folder),
            contract=found.contract,
            said=tuple(said),
            warnings=tuple(found.warnings),
        )

    # --- sessions ---

    async def session_start(self, params: p.SessionStart, _: Notify) -> p.SessionView:
        """Runs are accepted from here on."""
        experiment = resolve(params.project, params.expr)
        async with self._changing(experiment):
            active = bool(self.board.of(experiment))
            await anyio.to_thread.run_sync(session.start, experiment, params, active)
        self.board.hold(experiment.folder, False)
        return await self._session_view(experiment)

    async def session_stop(self, params: p.Where, _: Notify) -> p.SessionView:
        """Interrupt what runs, hold what waits."""
        experiment = resolve(params.project, params.expr)
        async with self._changing(experiment):
            await anyio.to_thread.run_sync(session.stop, experiment)
            self.board.hold(experiment.folder, True)
        for flight in self.board.of(experiment):
            if flight in self.board.holders.values():
                await self._cancel(flight, "stop")
        return await self._session_view(experiment)

    async def session_get(self, params: p.Where, _: Notify) -> p.SessionView:
        """Settings and counters."""
        return await self._session_view(resolve(params.project, params.expr))

    async def _session_view(self, experiment: Experiment) -> p.SessionView:
        found = await self._load(experiment)
        chain = chain_of(experiment)
        return p.SessionView(
            project=str(experiment.project),
            expr=experiment.slug,
            session=found.session,
            chain_remaining=chain.chain_remaining if chain else None,
            warnings=tuple(found.warnings),
        )

    # --- the daemon ---

    async def queue_list(self, _: p.Nothing, __: Notify) -> p.QueueView:
        """What runs and what waits, of all experiments."""
        return p.QueueView(runs=tuple(self.board.views()), slots=len(self.board.slots))

    async def events_subscribe(self, params: p.Subscribe, notify: Notify) -> p.Done:
        """Events until the client goes, or falls behind."""
        send, receive = anyio.create_memory_object_stream[dict[str, Any]](SUBSCRIBER_QUEUE)
        self.board.subscribers.add(send)
        try:
            async for event in receive:
                if params.project in (None, event["project"]) and params.expr in (None, event["expr"]):
                    await notify("event", event)
        finally:
            self.board.subscribers.discard(send)
            send.close()
            receive.close()
        return p.Done(ok=False, warnings=(f"more than {SUBSCRIBER_QUEUE} events behind: cut off",))

    async def daemon_info(self, _: p.Nothing, __: Notify) -> p.DaemonInfo:
        """Who answers."""
        return p.DaemonInfo(
            pid=os.getpid(),
            version=VERSION,
            protocol=p.PROTOCOL,
            socket=str(self.host.socket),
            started_at=self.started_at,
            uptime_s=round(time.monotonic() - self.started, 3),
            active=len(self.board.flights),
            python=sys.version.split()[0],
            log=str(self.host.log),
        )

    async def daemon_stop(self, _: p.Nothing, __: Notify) -> p.Done:
        """Jobs go on under their shims; the next daemon takes them up."""
        self.stop_wanted = True
        return p.Done()

    def answered(self) -> None:
        """An answer was sent: if it was that of daemon.stop, now is the time."""
        if self.stop_wanted:
            self.stopping.set()

    async def rpc_discover(self, _: p.Nothing, __: Notify) -> dict[str, Any]:
        """The OpenRPC document."""
        return discover.document()


async def fly(board: Board, driver: Driver, flight: Flight) -> None:
    """Drive a flight; take it off the board when it is committed, free its slot when it is not."""
    try:
        await driver.drive(flight)
    except Exception as error:
        flight.blocked = f"a fault of the daemon ({type(error).__name__}): see arctl daemon logs"
        flight.wake()
        driver.failed(flight)
    if flight.state != "committed":
        board.release(flight)
        return
    if flight.result is not None and flight.result.should_terminate:
        board.hold(flight.experiment.folder, True)
    board.drop(flight)


def commit_nothing(board: Board, flight: Flight) -> None:
    """The whole folder is gone: there is nothing to write a verdict into."""
    durable.remove(flight.entry)
    board.told(flight, "dropped", why="its folder is gone")
    flight.blocked = "its folder is gone; it was dropped"
    flight.wake()
    board.drop(flight)


async def _first(flights: list[Flight], until: str) -> Flight:
    """The first of the flights to get there (or to be stuck)."""
    found: list[Flight] = []

    def there(flight: Flight) -> bool:
        past = flight.state in ("running", "exited", "judged", "committed")
        return flight.state == "committed" or flight.blocked is not None or (until == "launched" and past)

    async with anyio.create_task_group() as tasks:

        async def watch(flight: Flight) -> None:
            await flight.until(lambda: there(flight))
            found.append(flight)
            tasks.cancel_scope.cancel()

        for flight in flights:
            tasks.start_soon(watch, flight)
    return found[0]


def _log_of(experiment: Experiment, run_id: str, flight: Flight | None) -> Any:
    run = experiment.run(run_id)
    return run.attempt(flight.attempts or 1).log if flight is not None else run.log


def _train_py(experiment: Experiment, found: State) -> str:
    placed, best = found.session.placed, found.best
    standing = train_file.current(experiment)
    if standing is None:
        return "missing"
    if best is not None and standing == best.sha256:
        return "in-sync with best"
    if placed is not None and standing == placed.sha256:
        return f"in-sync with {placed.run_id}"
    return f"edited since {placed.run_id if placed else standard(experiment, best)}"


def _seal(experiment: Experiment, params: p.Seal) -> list[str]:
    found = load_or_repair(experiment) if experiment.contract.exists() and not params.accept else None
    if found is not None and not params.add:
        return contract.changed(experiment, found.contract) or ["the seal holds"]
    before = _sealed_before(experiment)
    names = tuple(s.path for s in before if s.path not in ("program.md", "prepare.py"))
    made = contract.make(experiment, (*names, *params.add))
    known = {s.path: s.sha256 for s in before}
    state.write(experiment.contract, made)
    said = [f"sealed {s.path}" for s in made.sealed if known.get(s.path) != s.sha256]
    return said or ["nothing had changed"]


def _sealed_before(experiment: Experiment) -> Any:
    if not experiment.contract.exists():
        return ()
    try:
        found = state.read(experiment.contract, Contract)
    except Exception:
        state.put_aside(experiment.contract)
        return ()
    return found.sealed if found else ()


def _clean(experiment: Experiment) -> list[str]:
    sentinel = state.read(experiment.unclean, UncleanRecord)
    if sentinel is None:
        return ["nothing to clean: no sentinel stands"]
    alive: list[Process] = []
    if sentinel.boot_id in ("", boot_id()):
        alive = processes.living(sentinel.survivors)
    if alive:
        pids = ", ".join(f"{a.pid} ({a.name})" for a in alive)
        raise snapshot.Unclean(f"still alive: {pids}", "end them (kill -9 PID), then: arctl clean")
    with state.storage("remove", experiment.unclean):
        durable.remove(experiment.unclean)
        durable.sync_folder(experiment.folder)
    return [f"verified: nothing of {sentinel.run_id} is alive; the sentinel is lifted"]

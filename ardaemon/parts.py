"""Build the parts of the daemon, and give each what it works with: the composition root."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from ardaemon import recovery
from ardaemon.core.config import Config
from ardaemon.core.layout import Host
from ardaemon.core.live_config import LiveConfig
from ardaemon.engines.base import Engine
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.engines.table import Engines
from ardaemon.experiment import ownership as owners
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.ownership import Ownership
from ardaemon.experiment.started_here import StartedHere
from ardaemon.gpus.book import GpuBook
from ardaemon.handlers.context import Context
from ardaemon.handlers.daemon import Daemon
from ardaemon.host import quarantine, secret
from ardaemon.host.disk import Disks
from ardaemon.host.notify import Manager
from ardaemon.letting_go import LettingGo
from ardaemon.machine.auditor import Auditor
from ardaemon.machine.leasing import Leasing
from ardaemon.machine.local import LocalMachine
from ardaemon.machine.on_event import Notifier
from ardaemon.machine.overseer import Overseer
from ardaemon.machine.sick_gpus import SickGpus
from ardaemon.pipeline import audit
from ardaemon.pipeline.drive import Driver
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.idle_files import IdleFiles
from ardaemon.pipeline.log_quota import LogQuota
from ardaemon.queue.board import Board
from ardaemon.queue.control import Control
from ardaemon.queue.gate import Gate
from ardaemon.queue.idler import Idler
from ardaemon.queue.placement import Placement
from ardaemon.queue.scheduler import Scheduler
from ardaemon.queue.views import Views
from ardaemon.source.reader import Reader

log = logging.getLogger("ardaemon.daemon")

FINGERPRINTS_END = "environment_sha256 of runs from before cannot be compared with that of runs from now on"


@dataclass(frozen=True)
class Parts:
    """The daemon, put together: what run() starts and stop() ends."""

    host: Host
    config: LiveConfig
    manager: Manager
    board: Board
    engine: Engine
    overseer: Overseer
    scheduler: Scheduler
    context: Context
    source: Reader
    methods: Daemon
    letting_go: LettingGo
    auditor: Auditor
    end: recovery.End


def build(
    host: Host, config: LiveConfig, manager: Manager, core_limit: int, tasks: anyio.abc.TaskGroup
) -> Parts:
    """Put the parts together, each with what it needs of those before it; nothing runs yet.

    `core_limit` is the jobs' limit on core files.
    """
    board = Board(config, _placement(host, config.now), Gate(host.gate, config.now.daily()))
    leasing = Leasing(host, config.now, board)
    engine = _engines(host, config, leasing, core_limit)
    key = secret.key(host.fingerprint_key, FINGERPRINTS_END)
    ownership = Ownership(
        owners.describe(host.state, key), board.has_runs, board.keeps_runs, board.has_only_idle
    )
    locks, disks = Locks(), Disks(ownership.changing, ownership.wake)
    control = Control(board, engine.stop, tasks)
    overseer = Overseer(board, leasing, SickGpus(host.sick, board), control)
    machine = LocalMachine(engine, leasing, overseer)
    started_here = StartedHere.of(host)
    source = Reader(tasks)
    facts = FactsKeeper(locks, disks, source, tasks)
    log_quota = LogQuota(config, locks, disks, tasks, board.announce)
    driver = Driver(
        engine,
        config,
        locks,
        board,
        tasks,
        host.quarantine,
        machine,
        disks,
        started_here,
        facts,
        log_quota,
        control.limit,
        host.active,
    )
    idle_files = IdleFiles(locks, disks, host.active, started_here, key, board.next_seq)
    idler = Idler(board, control, idle_files)
    scheduler = Scheduler(
        board, driver, overseer.inventory, overseer.sampler.ask, control.give_way, idler.committed, tasks
    )
    views = Views(board, engine.waits, machine.live)
    notifier = Notifier(config, board)
    auditor = Auditor(
        host,
        config,
        board,
        leasing,
        disks,
        partial(audit.take_up, records=started_here.records),
        notifier.audited,
        driver.pruner.later,
    )
    end = _ending(driver, idler)

    async def take_up(entries: list[Path]) -> None:
        left = await recovery.recover(board, engine, disks, locks, started_here, end, entries)
        tasks.start_soon(recovery.keep_looking, board, engine, disks, locks, started_here, end, facts, left)
        board.wake()

    context = Context(
        host,
        config,
        board,
        views,
        control,
        locks,
        overseer,
        disks,
        key,
        started_here,
        facts,
        log_quota,
        notifier,
        idler,
        ownership,
        take_up,
    )
    letting_go = LettingGo(ownership, disks, context, auditor.checkpoints.keep)
    methods = Daemon(context, manager, tasks)
    return Parts(
        host,
        config,
        manager,
        board,
        engine,
        overseer,
        scheduler,
        context,
        source,
        methods,
        letting_go,
        auditor,
        end,
    )


def _ending(driver: Driver, idler: Idler) -> recovery.End:
    """Return what is left to do for a run whose commit an earlier daemon has applied."""

    async def end(flight: Flight) -> None:
        await driver.committer.end(flight)
        idler.committed(flight)

    return end


def _placement(host: Host, config: Config) -> Placement:
    placement = Placement(config, GpuBook())
    placement.unclean = quarantine.at_start(host.quarantine)
    return placement


def _engines(host: Host, config: LiveConfig, leasing: Leasing, core_limit: int) -> Engine:
    """Make every engine, under the name by which run.json knows it."""
    local = LocalEngine(host, leasing, lambda: config.now.grace, config.now.tree_max, core_limit)
    return Engines({LocalEngine.name: local}, default=LocalEngine.name)

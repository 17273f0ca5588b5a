"""Runs a session's hidden audit on an advance that is committed: a command whose value no agent is shown.

The command runs in the project's folder, with the variables that a check gets, on a place of its own, as a
process tree that ends with it or with the daemon. What it prints goes to the daemon's state folder. A daemon
that comes after a kill runs it again, unless its value is recorded.
"""

import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.audits import AuditValue
from ardaemon.core.config import NAME_MAX, Config
from ardaemon.core.errors import ArdaemonError, Refused
from ardaemon.core.gpus import Need
from ardaemon.core.layout import COMMAND_MARK, Experiment
from ardaemon.core.model import Process, Sealed, Settings
from ardaemon.core.priority import PRIORITY_MOST
from ardaemon.core.reason import REASON_MAX
from ardaemon.core.run_record import RunRecord
from ardaemon.core.text import one_line
from ardaemon.experiment import checks, history, seal, train_file
from ardaemon.experiment.own_records import OwnRecords
from ardaemon.experiment.state import load
from ardaemon.host import command, state
from ardaemon.host.command import TAIL_MAX, CommandEnd, Commands, KillPolicy
from ardaemon.metrics.custom import finite, json_object, problem_of
from ardaemon.pipeline import audit_files
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline.audit_files import Waiting
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.remains import killed

LAST = -PRIORITY_MOST - 1  # behind every run that waits, whatever its priority


@dataclass(eq=False)
class Audit(Flight):
    """An audit while it waits for its place and has it: to the queue a run like any other, but the last.

    `settings` are those of the run; the record's say what the queue has to know.
    """

    waiting: Waiting | None = None
    settings: Settings | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return what tells the audit from the run itself, and from the runs of its experiment."""
        return f"{self.experiment.folder} audit", self.run.run_id

    @property
    def need(self) -> Need:
        """Return what the run had; it shares with nobody, so that it disturbs no measurement."""
        need = self.record.need or Need()
        return Need(gpus=need.gpus, allowed=need.allowed)


class Job(Struct, frozen=True):
    """The command of one audit, and with what it is run."""

    argv: list[str]
    experiment: Experiment
    environment: dict[str, str]
    seconds: float
    sealed: tuple[Sealed, ...]
    wanted: str  # the name under which its value is looked for first
    policy: KillPolicy


class Audited(Struct, frozen=True):
    """The end of one audit; `ended`: somebody wanted that, and nothing was learned."""

    value: float | None = None
    name: str = ""
    problem: str = ""
    seconds: float = 0.0
    printed: bytes = b""
    survivors: tuple[Process, ...] = ()
    ended: bool = False


def take_up(one: Waiting, records: OwnRecords) -> Audit:
    """Return the audit of an advance, in a thread. Raises ArdaemonError; Refused if its run is gone."""
    experiment = Experiment(Path(one.active.folder))
    run = experiment.run(one.active.run_id)
    record = records.read(run)
    result = history.committed(run, record)
    is_it = record is not None and record.submit_id == one.active.submit_id
    if record is None or result is None or not is_it or record.settings.audit is None:
        raise Refused(f"{run.folder} was removed, or put aside, before the audit began", "")
    active = replace(one.active, wanted="run", priority=LAST, front=0, held=False)
    audit = Audit(experiment, run, active, _for_queue(record), one.path)
    audit.waiting, audit.settings, audit.result = one, record.settings, result
    return audit


def is_there(experiment: Experiment) -> bool:
    """Tell whether the project is there; else its disk may be mounted, or its folder moved back."""
    return os.path.isdir(experiment.folder.parent)


def _for_queue(record: RunRecord) -> RunRecord:
    """Return the record with settings that say how long the audit has its place, and no more."""
    settings = Settings(
        seconds=record.settings.audit_seconds,
        runner=record.settings.runner,
        settle=0.0,
        audit=record.settings.audit,
    )
    return replace(record, settings=settings)


def job_of(audit: Audit, config: Config) -> Job:
    """Return the command of an audit that has its place, in a thread. Raises Refused if its run is gone."""
    settings, result = audit.settings, audit.result
    assert settings is not None
    assert settings.audit is not None
    assert result is not None
    checkpoint = audit_files.checkpoint_of(audit.experiment, result)
    for path in (str(audit.run.job), *filter(None, (checkpoint,))):
        if not os.path.isdir(path):
            raise Refused(f"{path} was removed before the audit began", "")
    attempt = max(result.attempts, 1)
    environment = job_environment.of_attempt(audit, attempt, settings)
    environment.pop("AR_BEST_CKPT", None)  # a later best may have it by now: AR_CHECKPOINT is this run's
    if checkpoint:
        environment["AR_CHECKPOINT"] = checkpoint
    current = load(audit.experiment)
    return Job(
        argv=checks.argv(settings.audit, audit.run.job),
        experiment=audit.experiment,
        environment={
            **environment,
            **job_environment.visible(audit.seat.devices),
            COMMAND_MARK: str(audit.run.attempt(attempt).log),
        },
        seconds=settings.audit_seconds,
        sealed=current.session.checks_sealed,
        wanted=result.primary.name,
        policy=KillPolicy(config.grace, config.verify, config.tree_max),
    )


def run(prepare: Callable[[], Job], group: Commands) -> Audited:
    """Run the audit once; in a thread. `group` ends it."""
    begun = time.monotonic()
    try:
        job = prepare()
    except (ArdaemonError, OSError) as error:
        return Audited(problem=one_line(str(error), REASON_MAX))
    survivors = killed(job.environment, job.policy.verify)
    if survivors:
        return Audited(problem="an earlier one of it cannot be killed", survivors=survivors)
    audited = _sealed(job) or _run(job, group)
    if not audited.problem and not audited.ended:  # what it read may have been changed meanwhile
        audited = _sealed(job) or audited
    return replace(audited, seconds=round(time.monotonic() - begun, 3))


def _sealed(job: Job) -> Audited | None:
    """Return why its value would say nothing: a file that it names is not as it was sealed."""
    faults = seal.differing(job.experiment, job.sealed)
    return (
        Audited(problem=one_line(f"a sealed file changed: {'; '.join(faults)}", REASON_MAX))
        if faults
        else None
    )


def _run(job: Job, group: Commands) -> Audited:
    try:
        end = command.run(
            job.argv, job.experiment.project, job.environment, job.seconds, group, policy=job.policy
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in an argument
        return Audited(problem=one_line(f"{job.argv[0]} cannot be run: {error}", REASON_MAX))
    left = () if end.verified else killed(job.environment, job.policy.verify, end.tree)
    head = f"$ {shlex.join(job.argv)}\n".encode()
    printed = head + end.output[-TAIL_MAX:] + end.errors
    if end.wanted and not left:
        return Audited(printed=printed, ended=True)
    return replace(read(end, job.wanted, job.seconds), printed=printed, survivors=left)


def read(end: CommandEnd, wanted: str, seconds: float) -> Audited:
    """Read what the command printed: a JSON object, as a metric command prints one. Pure.

    Its value is the number under the primary metric's name; else the only number that it has.
    """
    problem = problem_of(end, seconds)
    if problem is not None:
        return Audited(problem=one_line(problem, REASON_MAX))
    text = end.output.decode("utf-8", "replace")
    if not text.strip():
        return Audited(problem="printed nothing")
    printed = json_object(text)
    if printed is None:
        return Audited(problem=f"printed no JSON object but {one_line(text[:400], 80)!r}")
    numbers = {name: value for name, given in printed.items() if (value := _number(given)) is not None}
    name = wanted if wanted in numbers else next(iter(numbers)) if len(numbers) == 1 else None
    if name is None:
        return Audited(
            problem=one_line(f"printed {len(numbers)} finite numbers, none of them {wanted}", REASON_MAX)
        )
    return Audited(value=numbers[name], name=one_line(name, NAME_MAX))


def _number(given: object) -> float | None:
    return finite(given.get("last") if isinstance(given, dict) else given)


def never_made(one: Waiting, why: str) -> AuditValue:
    """Return what is recorded of an audit whose run is gone. Pure, but for the time of day."""
    active, now = one.active, state.now()
    problem = one_line(why, REASON_MAX)
    return AuditValue(
        run_id=active.run_id, submit_id=active.submit_id, run_ended_at=now, at=now, problem=problem
    )


def value_of(audit: Audit, audited: Audited) -> AuditValue:
    """Return what is recorded of an audit. Pure, but for the time of day."""
    assert audit.settings is not None
    assert audit.result is not None
    primary = audit.result.primary
    return AuditValue(
        run_id=audit.run.run_id,
        submit_id=audit.active.submit_id,
        run_ended_at=audit.result.ended_at or "",
        at=state.now(),
        command=train_file.sha256((audit.settings.audit or "").encode())[:16],
        direction=audit.settings.audit_direction or primary.direction,
        primary=audit.result.best_value if audit.result.best == audit.run.run_id else primary.value,
        value=audited.value,
        name=audited.name,
        problem=audited.problem,
        seconds=audited.seconds,
        begins=primary.best_run_before is None,
    )

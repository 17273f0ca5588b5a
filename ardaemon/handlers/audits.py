"""audit.get: what the hidden audit has shown, for the commands of people.

The protocol cannot tell a person from an agent: the client refuses (arctl/person.py), and this method is no
tool of the MCP server.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from itertools import pairwise

import anyio.to_thread
from msgspec.structs import replace

from ardaemon.core import protocol as p
from ardaemon.core.audits import Audits
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.project_owner import ProjectOwner
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import history, ledger
from ardaemon.experiment.state import State
from ardaemon.handlers.context import Context
from ardaemon.judging.audit import trend, warning
from ardaemon.pipeline import audit_files
from ardaemon.rpc.dispatch import Notify

# Rows at the end of results.tsv that are looked through for audits of other daemons: a look takes 10 ms.
LOOKED_AT = 1000


class AuditsShown:
    """The method on hidden audits."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def audit_get(self, params: p.Where, _: Notify) -> p.AuditView:
        """Return the newest audits of an experiment, and what is to come."""
        experiment = await self.context.resolve(params.project, params.expr)
        current = await self.context.load(experiment)
        at_work = self._at_work(experiment)
        look = partial(view_of, self.context.host, experiment, current, at_work)
        view = await anyio.to_thread.run_sync(look)  # the state folder's disk, not the project's
        known = {*(row.run_id for row in view.rows), *view.waiting}
        look_there = partial(elsewhere, self.context.ownership.me, experiment, known)
        return replace(view, elsewhere=await self.context.ask(experiment, look_there))

    def _at_work(self, experiment: Experiment) -> str | None:
        audit = self.context.board.audit
        if audit is None or audit.going is None or audit.experiment.folder != experiment.folder:
            return None
        return audit.run.run_id


def view_of(host: Host, experiment: Experiment, current: State, at_work: str | None) -> p.AuditView:
    """Return what the audits of an experiment have shown. Raises CorruptState and StorageError."""
    files = audit_files.of_experiment(host.audits, experiment.folder)
    known = audit_files.read(files, experiment)
    primary, settings = current.contract.primary, current.session.settings
    direction = settings.audit_direction if settings is not None else None
    return p.AuditView(
        expr=experiment.slug,
        command=settings.audit if settings is not None else None,
        metric=primary.metric,
        direction=primary.direction,
        audit_direction=direction or primary.direction,
        rows=tuple(_rows(known))[-p.AUDITS_MAX :],
        total=len(known.values),
        waiting=tuple(_waiting(host, experiment)),
        at_work=at_work,
        warning=warning(known.values, known.direction),
        log=str(files.folder),
    )


def elsewhere(me: ProjectOwner, experiment: Experiment, known: Collection[str]) -> dict[str, int]:
    """Count the audits of the newest advances that other daemons have, by state folder.

    `known` are the runs whose audits this daemon has.
    """
    advances = [
        row["run_id"] for row in ledger.last(experiment.results, LOOKED_AT) if row["verdict"] == "advance"
    ]
    records = (history.record_of(experiment.run(run_id)) for run_id in advances if run_id not in known)
    return Counter(record.state_folder for record in records if record is not None and _is_others(me, record))


def _is_others(me: ProjectOwner, record: RunRecord) -> bool:
    """Tell whether another daemon has the audit of a run that became the best."""
    if record.settings.audit is None:
        return False
    return record.state_folder != me.state if record.state_folder else record.laid_out_by not in ("", me.key)


def _rows(known: Audits) -> Iterator[p.AuditRow]:
    for before, audit in pairwise([None, *known.values]):
        assert audit is not None
        yield p.AuditRow(
            run_id=audit.run_id,
            at=audit.at,
            primary=audit.primary,
            value=audit.value,
            name=audit.name,
            problem=audit.problem,
            seconds=audit.seconds,
            trend=trend(before, audit),
        )


def _waiting(host: Host, experiment: Experiment) -> Iterator[str]:
    for one in audit_files.waiting(host.audits_waiting):
        if one.active.folder == str(experiment.folder):
            yield one.active.run_id

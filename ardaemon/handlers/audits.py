"""audit.get: what the hidden audit has shown, for the commands of people.

The protocol cannot tell a person from an agent: the client refuses (arctl/person.py), and this method is no
tool of the MCP server.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import anyio.to_thread

from ardaemon.core import protocol as p
from ardaemon.core.audits import Audits
from ardaemon.core.layout import Experiment, Host
from ardaemon.experiment.state import State
from ardaemon.handlers.context import Context
from ardaemon.judging.audit import trend, warning
from ardaemon.pipeline import audit_files
from ardaemon.rpc.dispatch import Notify


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
        return await anyio.to_thread.run_sync(look)  # the state folder's disk, not the project's

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

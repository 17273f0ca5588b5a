"""report.page: the history of an experiment, and of its chain, as one HTML file."""

from functools import partial

import anyio.to_thread

from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment
from ardaemon.handlers import audits
from ardaemon.handlers.context import Context
from ardaemon.handlers.luck import with_luck
from ardaemon.handlers.reports import CATCH_UP_S, all_runs
from ardaemon.report.page import trail
from ardaemon.report.page.audit import page_audit
from ardaemon.report.page.build import Chapter, page
from ardaemon.report.page.link import OTHERS_POINTS, Gathering
from ardaemon.report.page.pieces import Pieces
from ardaemon.report.page.points import POINTS_MAX
from ardaemon.rpc.dispatch import Notify


class Pages:
    """The method that reads all runs of all experiments of a chain."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def report_page(self, params: p.PageGet, _: Notify) -> p.PageView:
        """Return the page; of the chain, an experiment that cannot be read is left out and named."""
        asked = await self.context.resolve(params.project, params.expr)
        chapters: list[Chapter] = []
        place, warnings = 0, []
        for slug in await self.context.ask(asked, partial(trail.slugs, asked)):
            try:
                if slug == asked.slug:
                    place = len(chapters)
                    chapters.append(await self._chapter(asked, POINTS_MAX, params.audit))
                else:
                    other = await self.context.resolve(params.project, slug)
                    chapters.append(await self._chapter(other, OTHERS_POINTS))
            except ArdaemonError as error:
                if slug == asked.slug:
                    raise
                warnings.append(f"{slug} is not in the page: {error.message}")
        pieces = Pieces(page(chapters, place))
        while await self.context.ask(asked, pieces.step):
            pass
        return p.PageView(
            expr=asked.slug,
            html=pieces.result,
            runs=chapters[place].gathering.runs,
            pending=chapters[place].pending,
            warnings=tuple(warnings),
        )

    async def _chapter(self, experiment: Experiment, points: int, with_audit: bool = False) -> Chapter:
        """Gather one experiment, its hidden audit only if that is wanted."""
        state = await self.context.load(experiment)
        audit = None
        if with_audit:
            look = partial(audits.view_of, self.context.host, experiment, state, None)
            audit = page_audit(await anyio.to_thread.run_sync(look))
        pending = await self.context.facts.caught_up(experiment, CATCH_UP_S)
        whole = await self.context.ask(experiment, partial(with_luck, experiment, state))
        gathering = Gathering(whole, points, audit)
        await all_runs(self.context, experiment, gathering.add)
        return Chapter(gathering, pending)

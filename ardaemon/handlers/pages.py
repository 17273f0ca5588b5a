"""report.page: the history of an experiment, and of its chain, as one HTML file."""

from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment
from ardaemon.handlers.context import Context
from ardaemon.handlers.luck import with_luck
from ardaemon.handlers.reports import CATCH_UP_S, all_runs
from ardaemon.report.page import trail
from ardaemon.report.page.build import Chapter, page
from ardaemon.report.page.link import OTHERS_POINTS, Gathering
from ardaemon.report.page.pieces import Pieces
from ardaemon.report.page.points import POINTS_MAX
from ardaemon.rpc.dispatch import Notify


class Pages:
    """The method that reads all runs of all experiments of a chain."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def report_page(self, params: p.Where, _: Notify) -> p.PageView:
        """Return the page; of the chain, an experiment that cannot be read is left out and named."""
        asked = await self.context.resolve(params.project, params.expr)
        chapters: list[Chapter] = []
        place, warnings = 0, []
        for slug in await self.context.ask(asked, partial(trail.slugs, asked)):
            try:
                if slug == asked.slug:
                    place = len(chapters)
                    chapters.append(await self._chapter(asked, POINTS_MAX))
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

    async def _chapter(self, experiment: Experiment, points: int) -> Chapter:
        """Gather one experiment."""
        state = await self.context.load(experiment)
        pending = await self.context.facts.caught_up(experiment, CATCH_UP_S)
        whole = await self.context.ask(experiment, partial(with_luck, experiment, state))
        gathering = Gathering(whole, points)
        await all_runs(self.context, experiment, gathering.add)
        return Chapter(gathering, pending)

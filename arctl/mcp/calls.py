"""What the tools do: the daemon is asked in a thread, and an error of ours becomes the tool's answer."""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from anyio import Lock
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult

from arctl import chain_request
from arctl.base import environment
from arctl.dial import Answer, Stopped
from arctl.mcp import outcomes, writing
from arctl.mcp.answers import Child, answer, refusal
from arctl.mcp.looking import train_file
from arctl.mcp.place import Place, Threads
from arctl.mcp.progress import Progress
from arctl.mcp.watch import Watch
from arctl.render.line import ID_MAX, SLUG_MAX
from ardaemon.core.errors import ArdaemonError, Refused, StorageError, UnderWay, UsageError
from ardaemon.core.layout import check_slug
from ardaemon.core.line import short
from ardaemon.core.shell_state import of_this_process, umask

Client = Context[Any, Any]  # who called the tool: progress goes there


class How(NamedTuple):
    """How a run is called: whether and how long for its verdict is waited, and what train.py shall hold."""

    wait: bool
    timeout_s: float
    train_py: str | None  # None: as it is


class Calls:
    """The calls of one server. A run gets the environment and the umask that the server was started with."""

    def __init__(self, threads: Threads, wait_max: float) -> None:
        self._threads, self._wait_max = threads, wait_max
        self._environment, self._umask, self._shell = environment(), umask(), of_this_process()
        self._writing = Lock()  # from the write of a train.py to its submit: the next one would replace it

    async def look(
        self, project: str | None, expr: str | None, work: Callable[[Place], CallToolResult]
    ) -> CallToolResult:
        """Do in a thread what a tool does that waits for nothing."""

        def looked(place: Place) -> Awaitable[CallToolResult]:
            return self._threads.do(partial(place.once, partial(work, place)))

        return await self._at(project, expr, looked)

    async def run(
        self, client: Client, project: str | None, expr: str | None, how: How, asked: dict[str, Any]
    ) -> CallToolResult:
        """Submit train.py and wait for the verdict. However the call ends, the run goes on."""
        deadline, told = self._deadline(how.timeout_s), Progress(client)

        async def work(place: Place) -> CallToolResult:
            view = await told.beside(self._submitted(place, how, asked), "submitting train.py")
            place.warnings += outcomes.lacking(view.get("missing") or ())
            if not how.wait:
                return outcomes.submitted(view, place.warnings)
            return await self._followed(told, place, view, deadline)

        return await self._at(project, expr, work)

    async def wait(
        self, client: Client, project: str | None, expr: str | None, run_id: str | None, timeout_s: float
    ) -> CallToolResult:
        """Wait for the verdict of a run that is under way."""
        deadline, told = self._deadline(timeout_s), Progress(client)

        async def work(place: Place) -> CallToolResult:
            view = await self._threads.ask(place, "run.get", run_id=run_id)
            return await self._followed(told, place, view, deadline)

        return await self._at(project, expr, work)

    async def chain_init(
        self, client: Client, project: str | None, asked: dict[str, Any], given: dict[str, Any]
    ) -> CallToolResult:
        """Make the experiment that follows in the chain."""

        async def work(place: Place) -> CallToolResult:
            make = partial(place.once, partial(self._make_child, place, asked, given))
            made = Progress(client).beside(self._threads.do(make), "making the experiment")
            return _child(await made)

        return await self._at(project, None, work)

    async def _at(
        self, project: str | None, expr: str | None, work: Callable[[Place], Awaitable[CallToolResult]]
    ) -> CallToolResult:
        """Do `work` at the experiment that is meant; an error of ours is its answer."""
        try:
            place = await self._threads.do(partial(Place, project, expr))
            try:
                return await work(place)
            finally:
                place.leave()
        except ArdaemonError as error:
            return refusal(error)
        except OSError as error:
            return refusal(StorageError(str(error), "check the path and its rights"))

    def _deadline(self, timeout_s: float) -> float:
        return time.monotonic() + min(timeout_s, self._wait_max)

    def _submit(self, place: Place, restore: str, asked: dict[str, Any]) -> Awaitable[Answer]:
        return self._threads.ask(
            place,
            "run.submit",
            submit_id=os.urandom(16).hex(),
            environment=self._environment,
            umask=self._umask,
            shell=self._shell,
            restore=restore,
            **asked,
        )

    async def _submitted(self, place: Place, how: How, asked: dict[str, Any]) -> Answer:
        """Return the run that was submitted; of a version that is under way, the run that it is already.

        So a call that was cancelled can be made again.
        """
        restore = "at_verdict" if how.wait else "at_submit"
        try:
            if how.train_py is None:
                return await self._submit(place, restore, asked)
            async with self._writing:
                return await self._written(place, how.train_py, partial(self._submit, place, restore, asked))
        except UnderWay as error:
            run_id = error.data.get("run_id")
            place.warnings.append(
                f"this version was under way as {run_id}: nothing was recorded for this call"
            )
            return await self._threads.ask(place, "run.get", run_id=run_id)

    async def _written(self, place: Place, text: str, submit: Callable[[], Awaitable[Answer]]) -> Answer:
        """Write train.py and submit it; where that is refused, train.py is as it was before."""
        put_back = await self._threads.do(partial(place.once, partial(writing.write, place, text)))
        try:
            return await submit()
        except UnderWay:
            raise
        except (Refused, UsageError):
            await self._threads.do(put_back)
            raise

    async def _followed(self, told: Progress, place: Place, view: Answer, deadline: float) -> CallToolResult:
        """Return what becomes of a run; where the daemon goes away for good, that the run goes on."""
        watch = Watch(self._threads, place, told, deadline)
        try:
            view = await watch.follow(str(view["run_id"]))
        except Stopped as error:
            return outcomes.outcome(view, [*place.warnings, f"{error.message}: {error.mend}"])
        except ArdaemonError as error:
            name = short(view["run_id"], ID_MAX)
            return refusal(error, "" if name in error.message else f"[{name}] is submitted; ")
        return outcomes.outcome(view, place.warnings)

    def _make_child(self, place: Place, asked: dict[str, Any], given: dict[str, Any]) -> Answer:
        check_slug(asked["slug"])
        paths = {name: _inside(place.project, asked[name]) for name in ("train", "parent_ckpt")}
        request = chain_request.wire(place.project, {**asked, **paths}, given)
        return place.client.call("chain.init", environment=self._environment, **request)


def _inside(project: str, path: str | None) -> str | None:
    """Return a path of the agent's, which is relative to the project; a word as it is."""
    return path if path in (None, "", "none") else os.path.join(project, path)


def _child(view: Answer) -> CallToolResult:
    expr, path = short(view["expr"], SLUG_MAX), train_file(view)
    left = view.get("chain_remaining")
    content = Child(
        expr=expr,
        parent=short(view["decision"]["parent_expr"], SLUG_MAX),
        train_py=path,
        next="continue",
        chain_remaining=left,
        warnings=outcomes.bounded(view.get("warnings") or ()),
    )
    budget = "no limit" if left is None else f"{left} left"
    return answer(f"{expr} is made and its session is live (chain: {budget}). edit: {path}", content)

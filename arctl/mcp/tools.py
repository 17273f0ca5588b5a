"""The tools of the MCP server, as clients see them: each does what the command of its name does."""

from functools import partial
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult

from arctl.mcp import answers, arguments, looking, outcomes
from arctl.mcp.calls import Calls, How
from arctl.mcp.place import Place

Outcome = Annotated[CallToolResult, answers.Outcome]
Client = Context[Any, Any]


class Tools:
    """The tools; a method's signature and docstring are what a client is told of it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def status(
        self, project: arguments.Project = None, expr: arguments.Expr = None
    ) -> Annotated[CallToolResult, answers.Status]:
        """Show the experiment: the train.py to edit, the best value, the limits, what runs."""
        return await self._calls.look(project, expr, looking.status)

    async def run(
        self,
        client: Client,
        project: arguments.Project = None,
        expr: arguments.Expr = None,
        note: arguments.Note = None,
        timeout_s: arguments.Timeout = arguments.TIMEOUT_S,
        again: bool = False,
        wait: bool = True,
        train_py: arguments.Source = None,
    ) -> Outcome:
        """Run train.py as it is now and wait for the verdict; `next` says what to do then.

        wait=false: only queue it; train.py becomes the best again at once, so that the next edit can be
        written. again=true: also a version that was run before.
        """
        asked = {"note": note, **({"again": True} if again else {})}
        how = How(wait, timeout_s, train_py)
        return await self._calls.run(client, project, expr, how, asked)

    async def wait(
        self,
        client: Client,
        project: arguments.Project = None,
        expr: arguments.Expr = None,
        run_id: arguments.RunId = None,
        timeout_s: arguments.Timeout = arguments.TIMEOUT_S,
    ) -> Outcome:
        """Wait for the verdict of a run that is under way."""
        return await self._calls.wait(client, project, expr, run_id, timeout_s)

    async def result(
        self, project: arguments.Project = None, expr: arguments.Expr = None, run_id: arguments.RunId = None
    ) -> Outcome:
        """Show what became of a run."""
        return await self._calls.look(project, expr, partial(looking.result, run_id=run_id))

    async def tail(
        self,
        project: arguments.Project = None,
        expr: arguments.Expr = None,
        run_id: arguments.RunId = None,
        lines: arguments.Lines = arguments.LINES,
    ) -> Annotated[CallToolResult, answers.Log]:
        """Show the end of a run's log in 8 KiB, the traceback first."""
        return await self._calls.look(project, expr, partial(looking.tail, run_id=run_id, lines=lines))

    async def history(
        self,
        project: arguments.Project = None,
        expr: arguments.Expr = None,
        grep: arguments.Word = None,
        param: arguments.Word = None,
        best: arguments.Count = None,
        similar: bool = False,
    ) -> Annotated[CallToolResult, answers.History]:
        """Ask in 4 KiB what has been tried: one question, or none for the newest runs.

        param: the values to which a name was set. grep: runs with that text in note or diff. best: the N best
        runs. similar=true: edits like the one that is in train.py now.
        """
        question: dict[str, Any] = {"grep": grep, "param": param, "best": best, "similar": similar}
        return await self._calls.look(project, expr, partial(looking.history, **question))

    async def report(
        self, project: arguments.Project = None, expr: arguments.Expr = None
    ) -> Annotated[CallToolResult, answers.Report]:
        """Show in 8 KiB what all runs have shown. Read it before chain_init."""
        return await self._calls.look(project, expr, looking.report)

    async def chain_init(
        self,
        client: Client,
        new_slug: arguments.Slug,
        goal: arguments.Text,
        rationale: arguments.Text,
        project: arguments.Project = None,
        expr: arguments.Expr = None,
        mutation_scope: arguments.Names = None,
        primary_metric: arguments.Word = None,
        primary_direction: arguments.Direction = None,
        train: arguments.Path = None,
        parent_ckpt: arguments.Path = None,
        settings: arguments.Settings = None,
    ) -> Annotated[CallToolResult, answers.Child]:
        """Create the experiment that follows in the chain, with a live session; `expr` is its parent.

        What is not given is as in the parent: its best train.py, its metric, its settings, a copy of its
        checkpoint (parent_ckpt="none": without one). rationale: why it comes next, kept word for word.
        """
        asked = {
            "slug": new_slug,
            "goal": goal,
            "rationale": rationale,
            "from_expr": expr,
            "mutation_scope": mutation_scope,
            "primary_metric": primary_metric,
            "primary_direction": primary_direction,
            "train": train,
            "parent_ckpt": parent_ckpt,
        }
        return await self._calls.chain_init(client, project, asked, settings or {})

    async def cancel(
        self, project: arguments.Project = None, expr: arguments.Expr = None, run_id: arguments.RunId = None
    ) -> Outcome:
        """Interrupt a run, or take it from the queue; its verdict is `interrupted`."""

        def work(place: Place) -> CallToolResult:
            return outcomes.cancelled(place.ask("run.cancel", run_id=run_id), place.warnings)

        return await self._calls.look(project, expr, work)

"""The MCP server on standard input and output: its tools and resources, and how it ends.

Whatever ends it (its input is closed, a signal, its client is gone), the runs go on: it only waits for them.
"""

import inspect
import signal
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.types import ToolAnnotations
from pydantic import ValidationError

from arctl.mcp import resources
from arctl.mcp.answers import failure
from arctl.mcp.arguments import TIMEOUT_S
from arctl.mcp.calls import Calls
from arctl.mcp.instructions import instructions
from arctl.mcp.place import Threads
from arctl.mcp.pump import mend_input
from arctl.mcp.tools import Tools
from arctl.mcp.unanswered import Unanswered
from ardaemon.core.text import one_line
from ardaemon.core.version import VERSION

NAME = "ardaemon"
NAME_MAX = 60  # characters of a name that a client made up, in an answer
FAULTS_MAX = 3  # wrong arguments that an answer names


def hints(
    title: str, *, reads: bool = False, destroys: bool = False, repeatable: bool = False
) -> ToolAnnotations:
    """Make the annotations of a tool; none reaches anything but this machine."""
    return ToolAnnotations(
        title=title,
        read_only_hint=reads,
        destructive_hint=destroys,
        idempotent_hint=reads or repeatable,
        open_world_hint=False,
    )


# Tool -> what a client may think of it. `wait` only looks: the run goes on without it. `run` replaces nothing
# of which no run has a copy (writing.py). `cancel` without a run means another one each time.
HINTS = {
    "status": hints("Experiment", reads=True),
    "run": hints("Run train.py"),
    "wait": hints("Wait for a run", reads=True),
    "result": hints("Result of a run", reads=True),
    "tail": hints("End of a run's log", reads=True),
    "history": hints("What has been tried", reads=True),
    "report": hints("Report of all runs", reads=True),
    "chain_init": hints("Next experiment of the chain", repeatable=True),
    "cancel": hints("Interrupt a run", destroys=True),
}


class Server(MCPServer[None]):
    """A server whose refusals are short, and which takes no argument that a tool does not have."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None = None
    ) -> Any:
        """Call a tool; a fault of the call is an answer that the model can read."""
        schemas = {tool.name: tool.input_schema for tool in await self.list_tools()}
        if name not in schemas:
            return failure(f"there is no tool {_named(name)}; there are: {', '.join(schemas)}")
        unknown = [each for each in arguments if each not in schemas[name]["properties"]]
        if unknown:
            known = ", ".join(schemas[name]["properties"])
            return failure(f"{name} has no argument {_named(unknown[0])}; it has: {known}")
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError:
            raise  # a fault of ours: the SDK writes it to stderr
        except ToolError as error:
            return failure(f"{name}: {_fault(error)}")


def _named(word: str) -> str:
    return repr(one_line(word, NAME_MAX))


def _fault(error: ToolError) -> str:
    """Return which arguments are wrong, and why; not what they are, which may be anything."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return str(error)
    faults = cause.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults[:FAULTS_MAX])


def build(wait_max: float) -> Server:
    """Make the server; its calls wait for at most `wait_max` seconds."""
    server = Server(
        NAME,
        title="ardaemon: training experiments",
        instructions=instructions(TIMEOUT_S, wait_max),
        version=VERSION,
        log_level="ERROR",
    )
    threads = Threads()
    tools = Tools(Calls(threads, wait_max))
    for name, annotations in HINTS.items():
        method: Callable[..., Any] = getattr(tools, name)
        server.add_tool(method, name=name, description=inspect.getdoc(method), annotations=annotations)
    resources.add(server, threads)
    return server


def serve(wait_max: float) -> None:
    """Serve until the input ends. SIGINT ends it at once: the thread that reads the input cannot be woken."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    server, unanswered = build(wait_max), Unanswered()
    server.middleware.append(unanswered.middleware)
    mend_input(unanswered)
    try:
        server.run("stdio")
    except* (BrokenPipeError, ConnectionResetError):
        pass  # the client is gone: nobody is there to be told

"""The resources: the program and the best train.py of an experiment."""

from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError

from arctl.mcp.place import Place, Threads
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import ORIGINAL, Experiment
from ardaemon.core.text import clean, cut_bytes

PROGRAM, BEST = "program.md", "best/train.py"
TEXT_MAX = 64 << 10  # bytes: clients cut what is longer, without saying so
CUT = "\n… cut here: read the rest in the file\n"


def add(server: MCPServer[None], threads: Threads) -> None:
    """Add the resources: of the experiment that is meant, and of one that is named."""

    async def program() -> str:
        """Return program.md of the experiment that is meant: its goal and its rules."""
        return await _read(threads, None, PROGRAM)

    async def best() -> str:
        """Return the best train.py of the experiment that is meant."""
        return await _read(threads, None, BEST)

    async def program_of(expr: str) -> str:
        """Return program.md of an experiment."""
        return await _read(threads, expr, PROGRAM)

    async def best_of(expr: str) -> str:
        """Return the best train.py of an experiment."""
        return await _read(threads, expr, BEST)

    for name, kind, one, any_one in (
        (PROGRAM, "text/markdown", program, program_of),
        (BEST, "text/x-python", best, best_of),
    ):
        server.resource(f"ardaemon://{name}", name=name, mime_type=kind)(one)
        server.resource(f"ardaemon://{{expr}}/{name}", name=f"{name} of an experiment", mime_type=kind)(
            any_one
        )


async def _read(threads: Threads, expr: str | None, name: str) -> str:
    try:
        return await threads.do(lambda: _text(Place(None, expr), name))
    except ArdaemonError as error:
        raise ResourceError(clean(f"{error.message} → {error.mend}")) from error
    except OSError as error:
        raise ResourceError(f"{name} cannot be read: {error.strerror}") from error


def _text(place: Place, name: str) -> str:
    view = place.ask("status.get", last=0)
    place.client.close()
    experiment = Experiment(Path(view["folder"]))
    if name == PROGRAM:
        return _shown(files.text(experiment.program, file_kinds.SCRIPT, "replace"))
    run_id = (view.get("best") or {}).get("run_id") or ORIGINAL
    return _shown(files.text(experiment.run(run_id).train, file_kinds.TRAIN, "replace"))


def _shown(text: str) -> str:
    """Return a file's text made safe for a context window, tabs as they are, and cut."""
    safe = "\t".join(map(clean, text.split("\t")))
    return safe if len(safe.encode()) <= TEXT_MAX else cut_bytes(safe, TEXT_MAX) + CUT

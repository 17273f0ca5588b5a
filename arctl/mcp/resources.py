"""The resources: the program and the best train.py of an experiment."""

from pathlib import Path

from mcp.server.mcpserver import MCPServer, ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceError

from arctl.mcp.place import Place, Threads
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import ORIGINAL, Experiment
from ardaemon.core.text import clean, cut_bytes

PROGRAM, BEST = "program.md", "best/train.py"
TEXT_MAX = 64 << 10  # bytes: clients cut what is longer, without saying so
PATHS = ResourceSecurity(exempt_params={"project"})  # an absolute path, as in every tool
CUT = "\n… cut here: read the rest in the file\n"


def add(server: MCPServer[None], threads: Threads) -> None:
    """Add the resources: of the experiment that is meant, and of one that is named."""

    async def program() -> str:
        """Return program.md of the experiment that is meant: its goal and its rules."""
        return await _read(threads, PROGRAM)

    async def best() -> str:
        """Return the best train.py of the experiment that is meant."""
        return await _read(threads, BEST)

    async def program_of(expr: str, project: str | None = None) -> str:
        """Return program.md of an experiment, by default in the project of the server's folder."""
        return await _read(threads, PROGRAM, expr, project)

    async def best_of(expr: str, project: str | None = None) -> str:
        """Return the best train.py of an experiment, by default in the project of the server's folder."""
        return await _read(threads, BEST, expr, project)

    for name, kind, one, any_one in (
        (PROGRAM, "text/markdown", program, program_of),
        (BEST, "text/x-python", best, best_of),
    ):
        server.resource(f"ardaemon://{name}", name=name, mime_type=kind)(one)
        template, title = f"ardaemon://{{expr}}/{name}{{?project}}", f"{name} of an experiment"
        server.resource(template, name=title, mime_type=kind, security=PATHS)(any_one)


async def _read(threads: Threads, name: str, expr: str | None = None, project: str | None = None) -> str:
    try:
        return await threads.do(lambda: _text(Place(project, expr), name))
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

"""The rooms of ardaemon and arctl, and the arrows between them: who imports whom, and who may.

A room is a package folder; what lies in `ardaemon` itself is the daemon's top, what lies in `arctl` itself
the client. The job folder, with all below it, is one room: the training job imports it, and none of ours may.
"""

from collections.abc import Mapping
from functools import cache

from tests.support.imports import OURS, Imports

CORE = "ardaemon/core"
JOB = "ardaemon/job"


def _named(names: str) -> frozenset[str]:
    """Rooms of ardaemon by their names inside it."""
    return frozenset(f"ardaemon/{name}" for name in names.split())


_BELOW_PIPELINE = (
    "host shim measuring judging judging/noise metrics checkpoints gpus experiment engines source"
)
_BELOW_QUEUE = "pipeline gpus measuring host"
_BELOW_TOP = f"{_BELOW_PIPELINE} engines/local pipeline queue machine rpc report report/page"
# Room -> the rooms that it may import, beside itself and core. A room inside another (metrics/formats,
# engines/local) is for those named here alone: whoever may import metrics may not reach into its formats.
MAY_IMPORT: dict[str, frozenset[str]] = {
    CORE: _named(""),
    JOB: _named(""),
    "ardaemon/host": _named(""),
    "ardaemon/judging": _named(""),
    "ardaemon/judging/noise": _named(""),
    "ardaemon/metrics/formats": _named(""),
    "ardaemon/metrics": _named("metrics/formats host"),
    "ardaemon/shim": _named("host"),
    "ardaemon/source": _named("host"),
    "ardaemon/measuring": _named("host"),
    "ardaemon/rpc": _named("host"),
    "ardaemon/checkpoints": _named("metrics host"),
    "ardaemon/gpus": _named("measuring shim host"),
    "ardaemon/experiment": _named("checkpoints metrics source host"),
    "ardaemon/report": _named("experiment host"),
    "ardaemon/report/page": _named("report experiment"),
    "ardaemon/engines": _named("gpus shim host"),
    "ardaemon/engines/local": _named("engines gpus shim host"),
    "ardaemon/pipeline": _named(_BELOW_PIPELINE),
    "ardaemon/queue": _named(_BELOW_QUEUE),
    "ardaemon/machine": _named(f"queue judging {_BELOW_QUEUE} engines"),
    "ardaemon/handlers": _named(_BELOW_TOP),
    "ardaemon": _named(f"{_BELOW_TOP} handlers"),
    "arctl": frozenset({"arctl/service"}),
    "arctl/service": _named(""),
    "arctl/render": frozenset({"arctl"}),
    "arctl/mcp": frozenset({"arctl", "arctl/render"}),
    "arctl/skill": frozenset({"arctl", "ardaemon/host"}),
    "arctl/watch": frozenset({"arctl", "arctl/render"}),
    "arctl/commands": frozenset(
        {"arctl", "arctl/mcp", "arctl/render", "arctl/service", "arctl/skill", "arctl/watch"}
    ),
}

Arrow = tuple[str, str]  # one room imports another
Graph = Mapping[str, frozenset[str]]  # each node, and those it has an arrow to


def rooms_of(tree: Imports) -> dict[str, str]:
    """Each module's room."""
    packages = {module.rpartition(".")[0] for module in tree}
    return {module: _room(module if module in packages else module.rpartition(".")[0]) for module in tree}


def _room(package: str) -> str:
    folder = package.replace(".", "/")
    return JOB if f"{folder}/".startswith(f"{JOB}/") else folder


def arrows(tree: Imports) -> dict[Arrow, list[str]]:
    """The arrows between rooms, and for each the imports that make it."""
    rooms = rooms_of(tree)
    drawn: dict[Arrow, list[str]] = {}
    for module, targets in sorted(tree.items()):
        # The root package itself is empty: it may be asked for its place on disk.
        for target in sorted(target for target in targets if target in rooms and target not in OURS):
            if rooms[module] != rooms[target]:
                drawn.setdefault((rooms[module], rooms[target]), []).append(f"{module} imports {target}")
    return drawn


def upward_arrows(tree: Imports) -> dict[Arrow, list[str]]:
    """The arrows that MAY_IMPORT does not have; a room without a rule may import none."""
    return {arrow: imports for arrow, imports in arrows(tree).items() if not _allowed(*arrow)}


def _allowed(source: str, target: str) -> bool:
    core = {CORE} if source in MAY_IMPORT and source != JOB else set()
    return target in core | MAY_IMPORT.get(source, frozenset())


def room_graph(tree: Imports) -> Graph:
    """Each room, and the rooms that it imports."""
    drawn = arrows(tree)
    return {
        room: frozenset(target for source, target in drawn if source == room)
        for room in sorted(set(rooms_of(tree).values()))
    }


def module_graph(tree: Imports) -> Graph:
    """Each module of ours, and those that it imports."""
    return {module: frozenset(targets & tree.keys()) for module, targets in tree.items()}


def reached(graph: Graph, start: str) -> frozenset[str]:
    """Every node to which arrows lead from `start`; `start` itself only where it lies on a circle."""
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        node = ahead.pop()
        if node not in seen:
            seen.add(node)
            ahead += graph[node]
    return frozenset(seen)


def circles(graph: Graph) -> list[list[str]]:
    """Every set of nodes that reach each other, sorted; a node with an arrow to itself is one too."""
    reach = {node: reached(graph, node) for node in graph}
    together = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph}
    return sorted(sorted(circle) for circle in together if circle)


def levels(graph: Graph) -> dict[str, int]:
    """Each node's level: 1 + the highest level of those it imports. A circle counts as one node."""
    reach = {node: reached(graph, node) for node in graph}

    @cache
    def level(node: str) -> int:
        return 1 + max((level(other) for other in reach[node] if node not in reach[other]), default=0)

    return {node: level(node) for node in graph}


def reduced(graph: Graph) -> Graph:
    """The graph without the arrows that a longer way stands for; it has no circle."""
    return {
        node: targets - frozenset().union(*(reached(graph, target) for target in targets))
        for node, targets in graph.items()
    }


def diagram(graph: Graph) -> str:
    """The rooms as a Mermaid flowchart; an arrow leads to what a room imports, directly or by others."""
    level, short = levels(graph), reduced(graph)
    order = sorted(graph, key=lambda room: (-level[room], room))
    nodes = [f'    {_identifier(room)}["{room.removeprefix("ardaemon/")}"]' for room in order]
    lines = [
        f"    {_identifier(room)} --> {_identifier(target)}"
        for room in order
        for target in sorted(short[room])
    ]
    return "\n".join(["flowchart TD", *nodes, *lines])


def _identifier(room: str) -> str:
    return room.replace("/", "_")

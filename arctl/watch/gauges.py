"""The graphs of the screen: the curve of a run against the best one's, and the GPUs. Pure: no I/O."""

from collections.abc import Iterator

from arctl.dial import Answer
from arctl.render import queue as queue_lines
from arctl.render.line import ID_MAX, NAME_MAX, WHY_MAX, spark, unit
from arctl.watch.chart import Series, draw
from arctl.watch.curves import have_steps
from arctl.watch.model import Key, Model, Trace
from arctl.watch.paint import Line, Piece, fitted, safe
from arctl.watch.rows import run_name

FIGURES, GRAPH_MAX = 60, 60  # columns for the figures of a GPU beside its two graphs, and of each graph


# --- the curve ---


def curve_title(model: Model) -> str:
    """Return the title of the curve: whose it is, and what it is compared with."""
    keys = _shown(model)
    name = safe(model.metric, NAME_MAX)
    if not keys:
        return name or "curve"
    if keys[0][:2] != model.place:  # its metric is another one, perhaps
        return f"curve of {run_name(model, keys[0])}"
    against = f", dotted: the best, {safe(keys[1][2], ID_MAX)}" if len(keys) > 1 else ""
    return f"{name} of {run_name(model, keys[0])}{against}"


def _shown(model: Model) -> list[Key]:
    """Return the run in focus, and the best where it is one of the same experiment."""
    focus, best = model.focus(), model.best()
    if focus is None:
        return []
    comparable = best is not None and best != focus and best[:2] == focus[:2]
    return [focus, best] if best is not None and comparable else [focus]


def curve(model: Model, width: int, height: int) -> list[Line]:
    """Return the curve of the run in focus against that of the best."""
    keys = _shown(model)
    known = {key: model.curves[key] for key in keys if key in model.curves}
    by_step = have_steps(known.values())
    series = [
        Series("info" if key == keys[0] else "best", one.points(by_step), dotted=key != keys[0])
        for key, one in known.items()
    ]
    return draw(series, width, height, model.lower_is_better, "steps" if by_step else "s")


# --- GPUs ---


def gpus(model: Model, width: int) -> Iterator[Line]:
    """Yield each GPU: how busy it is and how full, as figures and as graphs of the last minutes."""
    for gpu in model.gpus:
        yield fitted(tuple(_gpu(gpu, model.traces.get(gpu["uuid"], Trace()), width)), width)


def _gpu(gpu: Answer, trace: Trace, width: int) -> Iterator[Piece]:
    room = min(max((width - FIGURES) // 2, 4), GRAPH_MAX)
    used = queue_lines.memory(gpu)
    yield "", f" {gpu['index']} {safe(gpu['state'], 11):<8}"
    yield "info", spark(trace.busy, room)
    yield "", f"{unit(gpu.get('utilisation'), '%'):>5} "
    yield "good", spark(trace.memory, room)
    yield "", f" {used}"
    if gpu.get("why"):
        yield "warn", f" {safe(gpu['why'], WHY_MAX)}"
    yield "dim", f" {unit(gpu.get('temperature'), ' °C')} {unit(gpu.get('power_w'), ' W')}"
    yield "dim", f" {safe(gpu['name'], queue_lines.GPU_NAME_MAX)}"

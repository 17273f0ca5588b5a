"""The whole screen: which part goes where, and how many lines it gets. Pure: no I/O."""

from arctl.render.line import WHY_MAX
from arctl.watch import gauges, rows
from arctl.watch.header import header
from arctl.watch.model import Model
from arctl.watch.paint import GAP, Line, beside, block, fitted, safe, title

KEYS = "l log  d diff  o report  c cancel  h hold  e switch  / filter  ? help  q leave"
WIDE = 110  # columns from which on the parts stand in two columns
RUNS_SHARE, CURVE_SHARE = 0.3, 0.4  # of the lines between header and last line, at most
GPUS_MAX = 8  # lines; `arctl gpus` shows all


def screen(model: Model, width: int, height: int, now: float) -> list[Line]:
    """Return `height` lines of `width` columns."""
    head = list(header(model, width, now))
    body = (_wide if width >= WIDE else _narrow)(model, width, max(height - len(head) - 1, 0))
    return block([*head, *body, _last(model, width)] if height > len(head) else head, width, height)


def _last(model: Model, width: int) -> Line:
    said = ("warn", safe(model.notice, WHY_MAX)) if model.notice else ("dim", KEYS)
    return fitted((("", " "), said), width)


def _narrow(model: Model, width: int, height: int) -> list[Line]:
    runs = _runs(model, width, max(int(height * RUNS_SHARE), 3))
    gpus = _gpus(model, width)
    curve = _curve(model, width, min(int(height * CURVE_SHARE), max(height - len(runs) - len(gpus) - 4, 0)))
    above = [*runs, *curve, *gpus]
    return block([*above, *_verdicts(model, width, max(height - len(above), 0))], width, height)


def _wide(model: Model, width: int, height: int) -> list[Line]:
    left = (width - len(GAP)) // 2
    right = width - len(GAP) - left
    runs = _runs(model, left, max(int(height * CURVE_SHARE), 3))
    gpus = _gpus(model, right)
    return beside(
        block([*runs, *_verdicts(model, left, max(height - len(runs), 0))], left, height),
        block([*_curve(model, right, height - len(gpus)), *gpus], right, height),
    )


def _runs(model: Model, width: int, most: int) -> list[Line]:
    return [title(rows.runs_title(model), width), *rows.runs(model, width, most - 1)]


def _curve(model: Model, width: int, height: int) -> list[Line]:
    if height < 4:  # a title, the axis, and two lines for the curve itself
        return []
    return block(
        [title(gauges.curve_title(model), width), *gauges.curve(model, width, height - 1)], width, height
    )


def _gpus(model: Model, width: int) -> list[Line]:
    lines = list(gauges.gpus(model, width))[:GPUS_MAX]
    return [title("GPUs: busy, memory", width), *lines] if lines else []


def _verdicts(model: Model, width: int, height: int) -> list[Line]:
    if height < 2:
        return []
    return [title(rows.verdicts_title(model), width), *rows.verdicts(model, width, height - 1)]

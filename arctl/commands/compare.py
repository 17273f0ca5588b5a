"""`arctl compare`: two runs side by side: the edit, the values by seed, the curves."""

import shutil

import click

from arctl import difference
from arctl.base import Here, common, say, say_json
from arctl.commands.diff import LINES_MAX, other_run, say_diff
from arctl.dial import Answer
from arctl.options import RUN
from arctl.render import compare as compare_lines
from arctl.render import run as run_lines

CHART_COLUMNS_MAX, CHART_LINES = 100, 12
POINTS_LEAST = 2  # of a curve: a lone value is in the table


@click.command()
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("other", metavar="OTHER", type=RUN)
@common
def compare(expr: str | None, as_json: bool, run_id: str, other: str) -> None:
    """Show RUN against OTHER: the edit, the values by seed, the curves. OTHER may be base or best.

    The diff goes from OTHER to RUN, and a difference is RUN's value less OTHER's. An interval holds the mean
    with a probability of 90% (Student's t).
    """
    here = Here(expr)
    view = here.ask("run.get", run_id=run_id)
    named = other_run(here, view, other)
    answer = here.ask("run.compare", run_id=view["run_id"], other=named)
    views = [view, here.ask("run.get", run_id=named)]
    diff = difference.lines(*difference.runs(view, named))
    curves = [here.ask("run.curve", run_id=each["run_id"]) for each in views]
    if as_json:
        say_json(_as_json(answer, views, diff, curves))
        return
    say(compare_lines.head(answer))
    say_diff(diff) if diff else say("train.py is the same in both.")
    for line in _told(here, answer, views, curves):
        say(line)


def _told(here: Here, answer: Answer, views: list[Answer], curves: list[Answer]) -> list[str]:
    expr = f" --expr {here.expr}" if here.chosen else ""
    at_work = [
        run_lines.still_running(view, here.hint(view["run_id"]))
        for view in views
        if view.get("result") is None
    ]
    table = compare_lines.table(answer, *views)
    return ["", *table, "", *at_work, *compare_lines.said(answer, views, expr), *_charted(answer, curves)]


def _charted(answer: Answer, curves: list[Answer]) -> list[str]:
    """Return both curves in one chart, drawn as `arctl watch` draws; nothing of lone values."""
    if all(len(curve["points"]) < POINTS_LEAST for curve in curves):
        return []
    from arctl.watch.chart import Series, draw
    from arctl.watch.curves import curve_of, have_steps
    from arctl.watch.paint import text_of

    curves = curves[:1] if answer["run_id"] == answer["other"] else curves
    found = [curve_of(curve) for curve in curves]
    by_step = have_steps(found)
    series = [Series("", one.points(by_step), dotted=bool(place)) for place, one in enumerate(found)]
    columns = min(shutil.get_terminal_size().columns, CHART_COLUMNS_MAX)
    drawn = draw(series, columns, CHART_LINES, answer["direction"] == "min", "steps" if by_step else "s")
    return ["", _title(curves), *map(text_of, drawn)]


def _title(curves: list[Answer]) -> str:
    """Return `Curves: r0042 as a line, r0040 as dots (none was read)`."""
    drawn = zip(curves, ("as a line", "as dots"), strict=False)
    names = [
        f"{curve['run_id']} {how}{'' if curve['points'] else ' (none was read)'}" for curve, how in drawn
    ]
    return f"Curve{'s' if len(names) > 1 else ''}: {', '.join(names)}"


def _as_json(answer: Answer, views: list[Answer], diff: list[str], curves: list[Answer]) -> Answer:
    """Return all of it as data; each list has RUN first, then OTHER."""
    return {
        **answer,
        "states": [view["state"] for view in views],
        "results": [view.get("result") for view in views],
        "curves": [curve["points"] for curve in curves],
        "diff": {"lines": diff[:LINES_MAX], "left_out": max(0, len(diff) - LINES_MAX)},
    }

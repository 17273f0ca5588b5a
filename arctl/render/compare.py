"""Two runs side by side: their values by seed, what else they measured, and what that says. Pure."""

from collections.abc import Callable, Iterator, Sequence

from arctl.dial import Answer
from arctl.render.columns import aligned, cut_columns
from arctl.render.line import NAME_MAX
from arctl.render.overview import better
from ardaemon.core.interval import mean_of
from ardaemon.core.line import number, short

SEEDS_MAX = 16  # that have a line of their own
METRICS_MAX = 12
CELL_MAX = 30  # columns
SEEDS_WANTED = 3  # launches that give an interval which says something
NONE = "–"

Row = tuple[str, str, str, str]


def head(answer: Answer) -> str:
    """Return `r0042 against r0040: val/loss, lower is better`."""
    metric = f"{short(answer['metric'], NAME_MAX)}, {better(answer['direction'])}"
    return f"{answer['run_id']} against {answer['other']}: {metric}"


def table(answer: Answer, view: Answer, other: Answer) -> list[str]:
    """Return the values and measurements of both; the views are what run.get says of them."""
    rows: list[Row] = [("", answer["run_id"], answer["other"], "difference")]
    rows += [*_seeds(answer), *_means(answer), *_rest(view, other, answer["metric"])]
    rows = [row for row in rows if set(row[1:]) - {NONE, ""}]
    if answer["run_id"] == answer["other"]:
        rows = [(*row[:3], "") for row in rows]
    cut = [[cut_columns(cell, CELL_MAX)[0] for cell in row] for row in rows]
    return aligned(cut)


def _by_seed(answer: Answer) -> tuple[dict[int, float], dict[int, float]]:
    ours, theirs = (answer[side].get("values") or () for side in ("values", "other_values"))
    return {one["seed"]: one["value"] for one in ours}, {one["seed"]: one["value"] for one in theirs}


def _seeds(answer: Answer) -> Iterator[Row]:
    ours, theirs = _by_seed(answer)
    seeds = sorted(ours.keys() | theirs.keys())
    for seed in seeds[:SEEDS_MAX]:
        value, other = ours.get(seed), theirs.get(seed)
        apart = value - other if value is not None and other is not None and answer["comparable"] else None
        yield f"seed {seed}", _value(value), _value(other), _signed(apart)
    if len(seeds) > SEEDS_MAX:
        yield f"… {len(seeds) - SEEDS_MAX} more", " ", " ", ""


def _means(answer: Answer) -> Iterator[Row]:
    """Yield the means and their intervals. The difference is that of the seeds that both have, no others."""
    sides = (answer["values"], answer["other_values"])
    mean, other_mean = (_value(each.get("mean")) for each in sides)
    span, other_span = (_span(each, number) for each in sides)
    apart = answer.get("difference") or {}
    ours, theirs = _by_seed(answer)
    if ours.keys() == theirs.keys() or not apart:
        yield "mean", mean, other_mean, _signed(apart.get("mean"))
        yield "90% interval", span, other_span, _span(apart, _signed)
        return
    yield "mean", mean, other_mean, ""
    yield "90% interval", span, other_span, ""
    both = ours.keys() & theirs.keys()
    mean, other_mean = (_value(mean_of([each[seed] for seed in both])) for each in (ours, theirs))
    yield f"mean of {len(both)} in both", mean, other_mean, _signed(apart["mean"])
    yield "90% interval", "", "", _span(apart, _signed)


def _span(about: Answer, told: Callable[[float], str]) -> str:
    low, high = about.get("low"), about.get("high")
    return NONE if low is None or high is None else f"{told(low)} to {told(high)}"


def _rest(view: Answer, other: Answer, primary: str) -> Iterator[Row]:
    ours, theirs = (one.get("result") or {} for one in (view, other))
    yield "verdict", _verdict(view), _verdict(other), ""
    yield "estimate", _value(ours.get("estimate")), _value(theirs.get("estimate")), ""
    yield from _metrics(ours.get("metrics") or {}, theirs.get("metrics") or {}, primary)
    for name, key in (("peak VRAM, MiB", "peak_vram_mb"), ("seconds", "seconds")):
        yield name, *_pair(ours.get(key), theirs.get(key))
    note, other_note = (short(one.get("note") or "", 3 * CELL_MAX) or NONE for one in (view, other))
    yield "note", note, other_note, ""


def _metrics(ours: Answer, theirs: Answer, primary: str) -> Iterator[Row]:
    names = [name for name in dict.fromkeys((*ours, *theirs)) if name != primary]
    for name in names[:METRICS_MAX]:
        yield short(name, NAME_MAX), *_pair(ours.get(name), theirs.get(name))
    if len(names) > METRICS_MAX:
        yield f"… {len(names) - METRICS_MAX} more metrics", " ", " ", ""


def _pair(value: float | None, other: float | None) -> tuple[str, str, str]:
    apart = value - other if value is not None and other is not None else None
    return _value(value), _value(other), _signed(apart)


def _verdict(view: Answer) -> str:
    """Return `advance, P=0.97`, or how the run failed; of one without a result how it stands."""
    result = view.get("result")
    if result is None:
        return str(view["state"])
    if result["status"] != "ok":
        return short(": ".join(filter(None, (result["status"], result.get("reason")))), 3 * CELL_MAX)
    sure = f", P={result['p_better']:.2f}" if result.get("p_better") is not None else ""
    return f"{'measure' if result.get('measure') else result['verdict']}{sure}"


def _value(value: float | None) -> str:
    return NONE if value is None else number(value)


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.4g}"


def said(answer: Answer, views: Sequence[Answer], expr: str) -> list[str]:
    """Return what the values say, and how to learn more; `expr` is the option that names the experiment."""
    ours, theirs = answer["values"], answer["other_values"]
    if not answer["comparable"]:
        found = [
            "They were measured under other conditions (seconds, runner, metric or sealed files):"
            " no difference says anything of the edit."
        ]
    elif answer["run_id"] == answer["other"]:
        found = ["It is the same run twice."]
        views, ours, theirs = views[:1], ours, {}
    else:
        found = _difference(answer)
    sides = zip(views, (ours, theirs), strict=False)
    lone = [view["run_id"] for view, values in sides if _is_lone(view, values)]
    more = [
        f"One value of {each} has no interval: arctl rerun {each} --seeds {SEEDS_WANTED}{expr}"
        for each in lone
    ]
    return found + more


def _is_lone(view: Answer, values: Answer) -> bool:
    """Tell whether another launch of the run would give it an interval."""
    stands = bool((view.get("result") or {}).get("valid")) and not view.get("of")
    return stands and len(values.get("values") or ()) == 1


def _difference(answer: Answer) -> list[str]:
    difference = answer.get("difference")
    if difference is None:
        return [_incomparable(answer)]
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    if low is None and difference["seeds"] > 1:
        return [f"No number holds the interval, {_over(difference['seeds'])}: some values are so large."]
    if low == high == 0 or (low is None and mean == 0):
        return [f"The values are equal, {_over(difference['seeds'])}."]
    is_better = (mean < 0) == (answer["direction"] == "min")
    head = f"{answer['run_id']} is {'better' if is_better else 'worse'} by {abs(mean):.4g}"
    if low is None:
        return [f"{head} with one seed: that may be luck."]
    if low <= 0 <= high:
        return [f"{head}, {_over(difference['seeds'])}: that may be luck, for the interval has 0 in it."]
    return [f"{head}, {_over(difference['seeds'])}: luck alone seldom makes that much."]


def _incomparable(answer: Answer) -> str:
    without = [
        run_id
        for run_id, side in ((answer["run_id"], "values"), (answer["other"], "other_values"))
        if not answer[side].get("values")
    ]
    if without:
        return f"No value to compare: {' and '.join(without)} {'has' if len(without) == 1 else 'have'} none."
    return "No value to compare: no seed has one in both."


def _over(seeds: int) -> str:
    return "with the one seed that both have" if seeds == 1 else f"over the {seeds} seeds that both have"

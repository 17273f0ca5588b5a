"""Renders the daemon's answers as Prometheus text (exposition format 0.0.4). Pure.

Units are base units, as Prometheus wants them: seconds, bytes, ratios. What is not known has no line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from arctl.dial import Answer
from ardaemon.core.line import short

MIB = 1 << 20
LABEL_MAX = 4096  # bytes of a label's value: the longest path (PATH_MAX). Two that were cut could be the same


class Sample(NamedTuple):
    """One value of a metric, with its labels; None is not known."""

    value: object
    labels: Mapping[str, object] = {}


class Metric(NamedTuple):
    """A metric: all its samples stand together, below its help and its type."""

    name: str
    help: str
    samples: Sequence[Sample]
    type: str = "gauge"


def text(metrics: Sequence[Metric]) -> str:
    """Return the text; a metric without a known value is left out."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    known = [sample for sample in metric.samples if isinstance(sample.value, (int, float))]
    if not known:
        return
    name = f"ardaemon_{metric.name}"
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {metric.type}"
    for sample in known:
        labels = ",".join(f'{key}="{_label(value)}"' for key, value in sample.labels.items())
        yield f"{name}{{{labels}}} {sample.value!r}" if labels else f"{name} {sample.value!r}"


def _label(value: object) -> str:
    """Return a label's value; names of projects and experiments are others' text."""
    clean = short(value, LABEL_MAX)
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def up(is_up: bool) -> Metric:
    """Return whether the daemon answers."""
    return Metric("up", "Whether the daemon answers.", [Sample(int(is_up))])


def of_daemon(info: Answer) -> list[Metric]:
    """Return what daemon.info tells."""
    return [
        Metric("info", "The daemon's version.", [Sample(1, {"version": info["version"]})]),
        Metric("uptime_seconds", "Seconds since the daemon's start.", [Sample(info["uptime_s"])]),
    ]


def of_queue(view: Answer) -> list[Metric]:
    """Return what queue.list tells."""
    runs = view["runs"]
    states = sorted({"queued", "running", *(str(run["state"]) for run in runs)})
    counts = [Sample(sum(run["state"] == state for run in runs), {"state": state}) for state in states]
    work = [run for run in runs if run["state"] == "running"]
    return [
        Metric("runs", "Runs that are not committed, by state.", counts),
        Metric("queue_open", "Whether runs may start.", [Sample(int(not view.get("closed")))]),
        Metric("cpu_slots", "Runs without a GPU at the same time.", [Sample(view["slots"])]),
        _each("run_elapsed_seconds", "How long the run has been at work.", work, _run, "elapsed"),
        _each("run_limit_seconds", "The limit of the run.", work, _run, "seconds"),
        _each("run_latest", "The newest value of the run's primary metric.", work, _run, "latest"),
    ]


def of_gpus(view: Answer) -> list[Metric]:
    """Return what gpu.list tells."""
    gpus = view["gpus"]
    states = [Sample(1, {**_gpu(gpu), "state": gpu["state"]}) for gpu in gpus]
    return [
        Metric("gpu_state", "1 for the state that the GPU is in.", states),
        _each("gpu_memory_bytes", "The GPU's memory.", gpus, _gpu, "total_mb", MIB),
        _each("gpu_memory_used_bytes", "The GPU's memory in use.", gpus, _gpu, "used_mb", MIB),
        _each("gpu_utilisation_ratio", "The GPU's utilisation, 0 to 1.", gpus, _gpu, "utilisation", 0.01),
        _each("gpu_temperature_celsius", "The GPU's temperature.", gpus, _gpu, "temperature"),
        _each("gpu_power_watts", "The GPU's power.", gpus, _gpu, "power_w"),
    ]


def _each(
    name: str,
    about: str,
    views: Sequence[Answer],
    labels: Callable[[Answer], Mapping[str, object]],
    field: str,
    factor: float = 1,
) -> Metric:
    """Return a metric with one sample for each run or GPU: a field of it, in base units."""
    return Metric(name, about, [Sample(_times(view.get(field), factor), labels(view)) for view in views])


def _run(view: Answer) -> Mapping[str, object]:
    return {"project": view["project"], "expr": view["expr"], "run_id": view["run_id"]}


def _gpu(view: Answer) -> Mapping[str, object]:
    return {"index": view["index"], "uuid": view["uuid"]}


def _times(value: object, factor: float) -> float | None:
    return value * factor if isinstance(value, (int, float)) else None

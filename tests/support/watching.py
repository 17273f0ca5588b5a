"""A model of the live view as a night's work leaves it: experiment, queue, GPUs, curves."""

from datetime import datetime
from typing import Any

from arctl.dial import Answer
from arctl.watch.model import Ask, Model, Place

PLACE: Place = ("/srv/lr", "261122-lr")
NOW = datetime.fromisoformat("2026-11-18T09:46:40Z").timestamp()
GIB = 1024.0
COUNTS = {"advance": 18, "revert": 21, "crash": 3, "plateau": 2, "since_start": 42}
NOTES = ("warmup 500 → 1000", "grad clip 1.0 → 0.5", "a wider head", "宽度 two columns each", "")
VERDICTS = ("revert", "advance", "crash", "timeout", "revert")


def run(number: int, state: str, **more: Any) -> Answer:
    """A run that is under way."""
    where = {"project": PLACE[0], "expr": PLACE[1], "run_id": f"r{number:04}", "state": state}
    return {**where, "seconds": 600.0, "submitted_at": "2026-11-18T09:44:10Z", "note": "", **more}


def queue() -> Answer:
    """One run at work, three that wait, one of them of another experiment."""
    why = "waits for r0043 on GPU 0"
    runs = [
        run(43, "running", elapsed=0.0, gpus=[0], note="lr 2.5e-4 → 2e-4"),
        run(44, "queued", position=1, why=why),
        run(7, "queued", position=2, why=why, expr="261120-base"),
        run(45, "queued", why="held: arctl queue release r0045", held=True),
    ]
    return {"event": "queue", "runs": runs, "total": 4}


def progress(seconds: float, value: float, step: int) -> Answer:
    """How the run at work is doing."""
    said = {"elapsed": seconds, "latest": value, "step": step, "vram_mb": 41.8 * GIB}
    line = f"step {step} | loss {value:.4f} | lr 2.0e-04"
    return {"event": "progress", **run(43, "running"), **said, "line": line}


def gpus(busy: float, used: float) -> Answer:
    """Two GPUs, the second in other hands."""
    both = {"total_mb": 79.6 * GIB, "temperature": 61.0, "power_w": 412.4, "name": "NVIDIA H100 PCIe"}
    first = {"index": 0, "uuid": "GPU-0", "state": "held", "utilisation": busy, "used_mb": used * GIB}
    second = {"index": 1, "uuid": "GPU-1", "state": "foreign", "utilisation": 12.0, "used_mb": 4.0 * GIB}
    return {"event": "gpus", "gpus": [{**both, **first}, {**both, **second, "why": "pid 4242 of ann"}]}


def row(number: int) -> Answer:
    """A line of results.tsv."""
    verdict = VERDICTS[number % 5]
    value = "" if verdict in ("crash", "timeout") else f"{0.9 - number / 1000:.4f}"
    said = {"verdict": verdict, "status": "ok", "primary": value, "delta": "-0.001" if value else ""}
    return {"run_id": f"r{number:04}", **said, "note": NOTES[number % 5], "ended_at": "2026-11-18T09:40:00Z"}


def status(rows: int = 42) -> Answer:
    """The experiment as it stands."""
    settings = {"seconds": 600.0, "plateau": 5, "max_runs": 200}
    return {
        "project": PLACE[0],
        "expr": PLACE[1],
        "contract": {"primary": {"metric": "val/loss", "direction": "min"}},
        "session": {"live": True, "settings": settings, "counters": COUNTS},
        "best": {"run_id": "r0040", "value": 0.844, "valid": True},
        "chain": {"position": 2, "current": PLACE[1], "remaining": 2},
        "recent": [row(number) for number in range(1, rows + 1)],
    }


def curve(points: int, scale: float, state: str = "committed") -> Answer:
    """A curve that falls."""
    values = [{"value": 0.8 + scale / at, "step": at * 100, "at": 3.0 * at} for at in range(1, points + 1)]
    return {"points": values, "seconds": 3.0 * points, "state": state}


def night() -> Model:
    """The model, after all of this was heard and asked."""
    model = Model(PLACE)
    for event in ({"event": "subscribed"}, queue()):
        model.take(event)
    links = [{"expr": "261120-base"}, {"expr": PLACE[1]}]
    for ask in list(model.asks()):
        answer = status() if ask.method == "status.get" else curve(20, 2.0)
        for more in model.answer(ask, answer):
            model.answer(more, {"links": links, "earlier": 3, "chain_remaining": 2})
    for ask in list(model.asks()):
        model.answer(ask, curve(200, 1.5))
    for tick in range(1, 61):
        model.take(progress(60 + 2.0 * tick, 0.8 + 2 / (20 + tick), 2000 + 100 * tick))
        model.take(gpus(50.0 + 40 * (tick % 7) / 7, min(tick, 41.8)))
    return model


def asked(model: Model) -> list[Ask]:
    """What the model asks for now."""
    return list(model.asks())

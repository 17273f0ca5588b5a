"""Histories as facts.jsonl has them, without running anything: the same number gives the same runs."""

import random
from collections.abc import Iterator

from ardaemon.core.facts import Change, RunFacts

NAMES = ("lr", "weight_decay", "warmup", "batch_size", "model.depth", "dropout", "beta2", "clip")
REASONS = ("oom CUDA out of memory", "exception:ValueError bad shape", "nan", "limit")
ADVANCES_EVERY = 7  # of the first hundred runs; later ones are rarer


def run(number: int, **facts: object) -> RunFacts:
    """One run that was measured and is no better."""
    given = {"run_id": f"r{number:04d}", "status": "ok", "verdict": "revert", "valid": True, **facts}
    return RunFacts(**given)  # type: ignore[arg-type]


def history(count: int, conditions: str = "c0ffee") -> Iterator[RunFacts]:
    """A long night: advances that become rare, failures of some kinds, the same code run again."""
    dice, best, best_id = random.Random(count), 2.0, None
    for number in range(1, count + 1):
        name, value = dice.choice(NAMES), f"{dice.uniform(1, 10):.2g}e-{dice.randint(1, 5)}"
        about = {
            "ended_at": f"2026-11-{1 + number % 28:02d}T03:00:00Z",
            "note": f"{name} → {value}: try {number}",
            "seconds": 300.0,
            "gpus": 1,
            "base": best_id,
            "best_before": None if best_id is None else best,
            "best_run_before": best_id,
            "peak_vram_mb": 40_000.0 + number % 512,
            "sha256": f"{number:064x}",
            "normal": f"{number - number % 97 // 96:064x}",  # one run in 97 repeats the one before it
            "conditions": conditions,
            "changes": (Change(name, "1e-3", value),),
            "added": 1,
            "removed": 1,
            "lines": 200,
            "size": 9000,
            "diff": f"@@ -12,3 +12,3 @@\n-{name} = 1e-3\n+{name} = {value}\n" + " context line\n" * 20,
        }
        if dice.random() < 0.12:
            reason = dice.choice(REASONS)
            status = "timeout" if reason == "limit" else "crash"
            yield run(number, **about | {"status": status, "verdict": status, "reason": reason})
        elif best_id is None or number % (ADVANCES_EVERY * (1 + number // 100)) == 0:
            best -= abs(dice.gauss(0, 0.02)) / (1 + number / 50)
            best_id = f"r{number:04d}"
            yield run(number, **about | {"verdict": "advance", "value": best})
        else:
            yield run(number, **about | {"value": best + abs(dice.gauss(0, 0.02))})

"""The rule decides as the program did that it was designed with.

tests/data/noise/decisions.json has 120 histories and what that program said of each: 40 advances, 40 reverts,
40 confirmations, at four levels of noise, with gaps, offsets and several settings.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ardaemon.judging.noise.decide import decide
from ardaemon.judging.noise.replay import noise_of, replay
from ardaemon.judging.noise.types import Confirm, Decision, NoiseConfig, RunValues

RECORDED = json.loads((Path(__file__).parents[2] / "data/noise/decisions.json").read_text(encoding="utf-8"))


def history(recorded: dict[str, Any]) -> list[RunValues]:
    """The runs of a recorded history."""
    return [
        RunValues(run=str(number), values=tuple(values), advanced=advanced, p_better=p_better)
        for number, (values, advanced, p_better) in enumerate(recorded["runs"])
    ]


def as_recorded(decision: Decision) -> list[str | int]:
    """A decision in the words of the file."""
    name = type(decision).__name__.lower()
    return [name, int(decision.which), decision.seed] if isinstance(decision, Confirm) else [name]


def mean_for_verdicts(runs: list[RunValues], config: NoiseConfig) -> float:
    """The best's mean as the verdict takes it, which that program also reported."""
    noise = noise_of(runs, config)
    assert noise is not None
    state = replay(runs[:-1], noise, 1 + max(len(run.values) for run in runs), config)
    return state.scale.value(state.belief.mean[0])


def test_every_recorded_history_is_decided_as_it_was() -> None:
    assert len(RECORDED) == 120
    for recorded in RECORDED:
        decision = decide(history(recorded), NoiseConfig(**recorded["config"]))
        assert as_recorded(decision) == recorded["decision"]
        if recorded["p_better"] is not None and decision.facts is not None:
            assert decision.facts.p_better == pytest.approx(recorded["p_better"], abs=1e-3)
            best = mean_for_verdicts(history(recorded), NoiseConfig(**recorded["config"]))
            noise = decision.facts.best.noise
            assert best == pytest.approx(recorded["best_mean"], abs=1e-3 * noise, rel=1e-5)

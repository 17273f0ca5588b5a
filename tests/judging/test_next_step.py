"""What a loop has to do after a run, by why its session is over and what is left of the chain."""

from ardaemon.core.model import Chain, ChainMode, Settings, Termination
from ardaemon.judging.next_step import next_step
from tests.support.every import every

SETTINGS = Settings(seconds=5, plateau=5, max_runs=200, threshold=0.5)


def chain(left: int | None, mode: ChainMode | None = None) -> Chain:
    return Chain(current_slug="261122-lr", chain_mode=mode, chain_remaining=left)


@every(
    "why, budget, step",
    [
        (None, None, "continue"),
        (None, chain(0), "continue"),
        ("plateau", None, "stop: plateau(5)"),
        ("plateau", chain(2), "chain: 2 left, plateau(5)"),
        ("plateau", chain(0), "stop: plateau(5), chain_budget used up"),
        ("max_runs", chain(None), "chain: unlimited, max_runs(200)"),
        ("max_runs", chain(None, "max_n"), "stop: max_runs(200), chain_budget used up"),
        ("primary_threshold", chain(1), "chain: 1 left, primary_threshold(0.5)"),
        ("manual", chain(2), "stop: manual"),
        ("chained", None, "stop: chained"),
        ("unclean", chain(2), "leave: unclean, arctl clean"),
    ],
)
def test_each_end_has_its_next_step(why: Termination | None, budget: Chain | None, step: str) -> None:
    assert next_step(why, SETTINGS, budget, has_best=True) == step


def test_without_a_best_no_experiment_can_follow() -> None:
    assert (
        next_step("plateau", SETTINGS, chain(2), has_best=False) == "stop: plateau(5), no best to chain from"
    )


@every("budget", [None, chain(2)])
def test_a_loop_stops_where_the_chain_went_back(budget: Chain | None) -> None:
    told = next_step("plateau", SETTINGS, budget, has_best=True, went_back=True)
    assert told == "stop: plateau(5), the chain went back: arctl chain"
    assert next_step("manual", SETTINGS, budget, has_best=True, went_back=True) == "stop: manual"
    assert next_step(None, SETTINGS, budget, has_best=True, went_back=True) == "continue"

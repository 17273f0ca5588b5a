"""A decision that was never applied, and that others have overtaken, undoes nothing of theirs."""

import pytest

from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.strikes import start_at_best

pytestmark = pytest.mark.promise("stale-decision")


def killed_when_judged(lab: Lab, value: float) -> str:
    """A run whose decision is on disk and not applied: the daemon is killed at its first write."""
    flag = start_at_best(lab, "kill")
    lab.edit(value)
    run_id: str = lab.submit()["run_id"]
    wait_until(flag.exists, "the daemon to apply its decision")
    assert lab.process is not None
    lab.process.wait(DEADLINE_S)
    lab.close_clients()
    return run_id


def test_a_judged_run_whose_record_was_away_meanwhile_undoes_no_later_best(lab: Lab) -> None:
    first = killed_when_judged(lab, 1.0)
    record, away = lab.folder / f"runs/{first}/run.json", lab.root / "away"
    record.rename(away)
    lab.start()
    second = lab.tried(0.5)["run_id"]
    assert lab.read("best.json")["run_id"] == second
    away.rename(record)
    wait_until((lab.folder / f"runs/{first}/result.json").exists, "the first to be committed")
    assert lab.read(".ar-session.json")["counters"]["since_start"] == 2, "both are counted"
    assert (lab.read("best.json")["run_id"], lab.read("best.json")["value"]) == (second, 0.5)
    assert lab.read(f"runs/{first}/result.json")["verdict"] == "revert"
    rows = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert sorted(row.split("\t")[0] for row in rows) == [first, second]


def test_a_judged_run_that_nobody_has_overtaken_is_committed_as_it_was_judged(lab: Lab) -> None:
    first = killed_when_judged(lab, 1.0)
    lab.start()
    assert lab.wait(first)["result"]["verdict"] == "advance"
    assert not lab.events("judged again")

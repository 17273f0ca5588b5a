"""A run whose primary metric is nan again and again is ended; one nan ends none."""

import pytest

from tests.support.lab import Lab, wait_until

DIVERGED = "nan val/loss was nan or infinite twice in a row: the run was ended (--on-nan)"
UNTIL = "while not pathlib.Path({!r}).exists():\n    time.sleep(0.01)\n"
FOREVER = "import time\ntime.sleep(300)\n"


def printed(*values: str) -> str:
    lines = "".join(f"print('step {at} val/loss: {value}', flush=True)\n" for at, value in enumerate(values))
    return f"import time, pathlib\n{lines}"


def test_two_in_a_row_end_a_run_the_baseline_too_and_not_the_session(lab: Lab) -> None:
    lab.ready(seconds=200)
    for edit in (printed("nan", "nan"), printed("0.5", "nan", "0.4", "inf", "-inf")):
        lab.write(edit + FOREVER)
        result = lab.run()
        assert (result["status"], result["verdict"], result["reason"]) == ("crash", "crash", DIVERGED)
        assert result["seconds"] < 100
    lab.write(printed("nan", "0.5"))
    assert lab.run()["verdict"] == "advance"


def test_a_file_counts_as_the_log_does(lab: Lab) -> None:
    lab.ready(seconds=200)
    rows = "step,val/loss\\n1,nan\\n2,nan\\n"
    lab.write(f"import os\nopen(os.environ['AR_RUN_DIR'] + '/metrics.csv', 'w').write('{rows}')\n" + FOREVER)
    assert lab.run()["reason"] == DIVERGED


@pytest.mark.parametrize(
    ("settings", "values"),
    [({"on_nan": "ignore"}, ("nan", "inf", "nan")), ({}, ("nan",)), ({"value": "best"}, ("nan", "nan"))],
)
def test_a_run_goes_on_that_may_still_have_a_value(
    lab: Lab, settings: dict[str, str], values: tuple[str, ...]
) -> None:
    lab.ready(seconds=200, **settings)
    lab.write(printed("0.9") + UNTIL.format("one") + printed(*values) + UNTIL.format("two") + printed("0.7"))
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"] == 0.9, "the first value to be read")
    (lab.project / "one").touch()
    wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"] is None, "what is not finite to be read")
    (lab.project / "two").touch()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["primary"]["value"]) == ("ok", 0.7)


def test_the_next_daemon_judges_a_run_that_was_being_ended(lab: Lab) -> None:
    lab.ready(seconds=200)
    lab.write(printed("nan", "nan") + FOREVER)
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.events("limit"), "the daemon to end it")
    lab.kill()
    lab.start()
    assert lab.wait(run_id)["result"]["reason"] == DIVERGED

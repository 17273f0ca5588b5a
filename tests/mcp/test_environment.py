"""A run gets the server's environment, and says what it lacks of the best's."""

from tests.support.agents import agent, said
from tests.support.lab import Lab
from tests.support.machine import configured

WARNING_MAX = 200


def test_run_names_what_the_bests_run_had_and_this_one_has_not(lab: Lab) -> None:
    """Names, never values; and nothing of credentials, nor of what shells set."""
    lab.ready()
    full = {"HF_HOME": "/data/hub", "OPENAI_API_KEY": "key-of-the-agent", "OLDPWD": "/x"}
    lab.environment.update(full)
    assert lab.run()["verdict"] == "advance"
    bare = {name: value for name, value in lab.environment.items() if name not in full}
    lab.edit(0.5)
    with agent(lab, environment=bare) as client:
        answer = client.call("run")
        missing = "missing variables, which the best's run had: HF_HOME; tell the person"
        assert said(answer).splitlines()[-1] == f"warning: {missing}"
        assert answer["structuredContent"]["warnings"] == [missing]
        lab.edit(0.3)
        assert "missing" not in said(client.call("run"))  # by now the best's run had none of it
    assert "/data/hub" not in (lab.folder / "runs/r0001/run.json").read_text()


def test_a_variable_that_is_denied_by_now_is_not_missed(lab: Lab) -> None:
    lab.ready()
    lab.environment["MY_TOKEN"] = "1"
    lab.run()
    lab.stop()
    configured(lab, 'deny_environment = ["MY_TOKEN"]\n')
    lab.start()
    lab.edit(0.5)
    with agent(lab) as client:
        assert "warnings" not in client.do("run")


def test_many_missing_variables_make_one_short_line(lab: Lab) -> None:
    lab.ready()
    lab.environment.update({f"TRAINING_OPTION_NUMBER_{number:03}": "1" for number in range(300)})
    lab.run()
    bare = {name: value for name, value in lab.environment.items() if not name.startswith("TRAINING")}
    lab.edit(0.5)
    with agent(lab, environment=bare) as client:
        (warning,) = client.do("run")["warnings"]
    assert "TRAINING_OPTION_NUMBER_000" in warning
    assert " more; tell the person" in warning
    assert len(warning.encode()) <= WARNING_MAX

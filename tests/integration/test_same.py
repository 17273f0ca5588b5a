"""An edit that was run before is refused before a run is wasted on it; and only then."""

import json
import os
import shutil
from itertools import product
from typing import Any

import pytest

from arctl.base import Here
from arctl.commands.run import _submission
from arctl.render.status import counted
from ardaemon.core.errors import Refused, UnderWay
from tests.support.lab import Lab, wait_until
from tests.support.shell import Shell
from tests.torture.story import facts_kept

MEASURED_ONCE = "3 total (1 advance / 1 revert / 0 crash / 1 measure)"
same_edit = pytest.mark.promise("same-edit")


def script(value: float, note: str = "", comment: str = "") -> str:
    return f'RUN_NOTE = "{note}"\nprint("val/loss: {value}")  # {comment}\n'


def submit(lab: Lab, **params: Any) -> dict[str, Any]:
    """Submit train.py as it stands, as `arctl run` does."""
    return lab.submit(**{"again": False, **params})


def run(lab: Lab, text: str, **params: Any) -> dict[str, Any]:
    lab.write(text)
    found: dict[str, Any] = lab.wait(submit(lab, **params)["run_id"])["result"]
    return found


def refused(lab: Lab, text: str, **params: Any) -> Refused:
    """Submit what is refused: nothing is recorded, and train.py stays as it is."""
    lab.write(text)
    before = sorted(os.listdir(lab.folder / "runs")), lab.read(".ar-session.json")
    with pytest.raises(Refused) as caught:
        submit(lab, **params)
    assert (lab.folder / "train.py").read_text() == text
    assert (sorted(os.listdir(lab.folder / "runs")), lab.read(".ar-session.json")) == before
    assert not any((lab.home / "active").iterdir())
    return caught.value


@pytest.fixture
def tried(lab: Lab) -> Lab:
    """A baseline, a better run, and one that is worse."""
    lab.ready()
    for value in (1.0, 0.5, 0.7):
        run(lab, script(value))
    return lab


@same_edit
def test_an_edit_that_was_tried_is_refused_with_its_run_and_value(tried: Lab) -> None:
    error = refused(tried, script(0.7, "another note", "and a comment"))
    assert "r0003" in error.message
    assert "revert, val/loss 0.7" in error.message
    assert "arctl run --again" in error.mend
    assert error.data["run_id"] == "r0003"
    assert error.exit_code == 65


@same_edit
def test_the_first_run_is_known_too(tried: Lab) -> None:
    assert refused(tried, script(1.0, "back to the beginning")).data["run_id"] == "r0001"


@same_edit
def test_the_best_is_refused_with_the_question_whether_the_edit_was_saved(tried: Lab) -> None:
    error = refused(tried, script(0.5))
    assert "train.py is r0002 unchanged, the best (val/loss 0.5): was the edit saved?" in error.message


@same_edit
def test_the_best_with_another_comment_is_refused_as_such_and_nobody_is_asked_to_save_it(tried: Lab) -> None:
    error = refused(tried, script(0.5, comment="an idea"))
    assert "train.py does the same as r0002, the best (val/loss 0.5): only layout" in error.message
    assert (error.data["run_id"], "was the edit saved?" in error.message) == ("r0002", False)
    assert "arctl run --again" in error.mend


@same_edit
def test_a_rerun_of_the_best_is_a_measurement_that_decides_nothing(lab: Lab) -> None:
    """Not even a better value makes it the best, and the plateau does not count it."""
    lab.ready(plateau=3)
    source = 'import os\nprint("val/loss:", 1.0 if os.environ["AR_RUN_ID"] == "r0001" else 0.1)\n'
    run(lab, source)
    run(lab, script(2.0))
    lab.write(source)
    before = lab.read("best.json")
    result = run(lab, source, again=True)
    assert (result["measure"], result["verdict"], result["improved_over_best"]) == (True, "revert", False)
    assert (result["primary"]["value"], result["plateau"]) == (0.1, "1/3")
    assert lab.read("best.json") == before
    assert lab.read("runs/r0003/run.json")["measure"] is True
    assert lab.get("run.list", last=1)["runs"][0]["verdict"] == "measure"
    wait_until(lambda: facts_kept(lab.folder), "a line for each row")
    assert json.loads((lab.folder / "facts.jsonl").read_text().splitlines()[-1])["measure"] is True
    assert counted(lab.read(".ar-session.json")["counters"]) == MEASURED_ONCE
    verdicts = lab.get("report.get", format="json")["summary"]["verdicts"]
    assert verdicts == {"advance": 1, "measure": 1, "revert": 1}
    assert "r0001" in refused(lab, source).message, "a measurement takes nobody's place"
    (lab.folder / ".ar-session.json").unlink()
    assert counted(lab.get("status.get")["session"]["counters"]) == MEASURED_ONCE, "rebuilt from results.tsv"


@same_edit
def test_another_version_that_runs_again_may_still_win(lab: Lab) -> None:
    lab.ready()
    source = 'import os\nprint("val/loss:", 2.0 if os.environ["AR_RUN_ID"] == "r0002" else 0.1)\n'
    run(lab, script(1.0))
    assert run(lab, source)["verdict"] == "revert"
    assert refused(lab, source).data["run_id"] == "r0002"
    result = run(lab, source, again=True)
    assert (result["verdict"], result["measure"]) == ("advance", False)


@same_edit
@pytest.mark.parametrize("text", ["raise SystemExit(3)", "print('nothing')", "import time\ntime.sleep(60)"])
def test_what_failed_may_be_tried_again(tried: Lab, text: str) -> None:
    tried.write(text)
    run_id = submit(tried)["run_id"]
    if "sleep" in text:
        tried.get("run.cancel", run_id=run_id)
    assert tried.wait(run_id)["result"]["status"] != "ok"
    tried.write(text)
    again = submit(tried)["run_id"]
    assert again != run_id
    tried.get("run.cancel", run_id=again)
    tried.wait(again)


@same_edit
def test_a_value_that_does_not_stand_refuses_nothing(tried: Lab) -> None:
    """Neither of a run that did not win (0.7) nor of the best (0.5), whose rerun only measures it."""
    latest = {0.7: "r0003", 0.5: "r0002"}
    changes: tuple[dict[str, Any], ...] = (
        {"tainted": "by others"},
        {"status": "timeout"},
        {"rewritten": True},
    )
    for changed, value in product(changes, latest):
        wait_until(lambda: facts_kept(tried.folder), "a line for each row")
        path = tried.folder / f"runs/{latest[value]}/result.json"
        path.write_text(json.dumps(json.loads(kept := path.read_bytes()) | changed))
        result = run(tried, script(value))
        assert result["measure"] is (value == 0.5), changed
        path.write_bytes(kept)
        latest[value] = latest[value] if result["measure"] else result["run_id"]


@same_edit
def test_before_there_is_a_best_nothing_is_refused(lab: Lab) -> None:
    lab.ready()
    for _ in range(2):
        assert run(lab, "raise SystemExit(3)")["status"] == "crash"


@same_edit
def test_another_shell_of_the_same_environment_is_no_reason_to_run_an_edit_again(tried: Lab) -> None:
    elsewhere = {**tried.environment, "OLDPWD": "/elsewhere", "SHLVL": "7", "TMUX_PANE": "%3", "_": "/bin/sh"}
    assert refused(tried, script(0.7), environment=elsewhere).data["run_id"] == "r0003"


@same_edit
def test_another_environment_or_other_conditions_make_another_run(tried: Lab) -> None:
    changed = {**tried.environment, "LEARNING_RATE": "2"}
    assert run(tried, script(0.7), environment=changed)["verdict"] == "revert"
    assert refused(tried, script(0.7), environment=changed).data["run_id"] == "r0004"
    assert run(tried, script(0.5), environment=changed)["measure"] is False
    tried.call("session.stop", project=str(tried.project), expr=tried.folder.name)
    tried.session("continue", ack=True, seconds=30)
    assert run(tried, script(0.7))["run_id"] == "r0006"


@same_edit
def test_after_another_seal_was_accepted_the_best_may_be_measured_anew(lab: Lab) -> None:
    prepare = lab.project / "prepare.py"
    prepare.write_text("CONTRACT = {'version': 1}\n")
    lab.start()
    lab.init(prepare=str(prepare))
    lab.session()
    run(lab, script(1.0))
    lab.call("session.stop", project=str(lab.project), expr=lab.folder.name)
    (lab.folder / "prepare.py").write_text("CONTRACT = {'version': 2}\n")
    lab.get("experiment.seal", accept=True)
    lab.session("continue", ack=True)
    result = run(lab, script(1.0))
    assert (result["verdict"], result["measure"]) == ("revert", False)


@same_edit
def test_the_same_that_waits_or_works_is_named_with_the_way_to_wait(tried: Lab) -> None:
    shell = Shell(tried)
    shell.hold(0.6)
    run_id = submit(tried)["run_id"]
    tried.wait(run_id, until="launched")
    for _ in range(2):
        with pytest.raises(UnderWay) as caught:
            submit(tried)
        assert caught.value.exit_code == 75
        assert caught.value.data["run_id"] == run_id
        assert f"arctl wait {run_id}" in caught.value.mend
        tried.write((tried.folder / "train.py").read_text() + "# more\n")
    tried.get("run.cancel", run_id=run_id)
    other = submit(tried)["run_id"]
    assert other != run_id, "one whose end is wanted gives no value"
    shell.release()
    tried.wait(other)


@same_edit
def test_the_same_submit_again_gives_its_own_run(tried: Lab) -> None:
    tried.write(script(0.9))
    first = submit(tried, submit_id="one")
    assert submit(tried, submit_id="one")["run_id"] == first["run_id"]
    tried.wait(first["run_id"])
    assert submit(tried, submit_id="one")["run_id"] == first["run_id"]


@same_edit
def test_after_a_fresh_start_everything_is_new(tried: Lab) -> None:
    tried.call("session.stop", project=str(tried.project), expr=tried.folder.name)
    tried.session("fresh")
    assert run(tried, script(0.7))["verdict"] == "advance"
    assert run(tried, script(1.0))["verdict"] == "revert"
    assert refused(tried, script(1.0)).data["run_id"] == "r0005"


@same_edit
def test_the_index_is_believed_only_where_the_runs_files_say_the_same(tried: Lab) -> None:
    wait_until(lambda: facts_kept(tried.folder), "a line for each row")
    links = sorted((tried.folder / ".same").glob("*/*"))
    assert sorted(os.readlink(link) for link in links) == ["r0001", "r0002", "r0003"]
    [link] = [link for link in links if os.readlink(link) == "r0003"]
    for target in ("r0002", "r0099", "../../../x"):
        wait_until(lambda: facts_kept(tried.folder), "a line for each row")
        link.unlink()
        link.symlink_to(target)
        assert run(tried, script(0.7))["verdict"] == "revert"


@same_edit
def test_an_index_that_was_removed_comes_back_with_the_facts(tried: Lab) -> None:
    wait_until(lambda: facts_kept(tried.folder), "a line for each row")
    tried.kill()
    shutil.rmtree(tried.folder / ".same")
    (tried.folder / "facts.jsonl").unlink()
    tried.start()
    tried.get("experiment.seal")
    wait_until(lambda: facts_kept(tried.folder), "a line for each row")
    assert refused(tried, script(0.7)).data["run_id"] == "r0003"


@same_edit
def test_a_source_that_cannot_be_parsed_is_compared_by_its_bytes(lab: Lab) -> None:
    lab.ready(runner="sh train.py")
    run(lab, "echo val/loss: 1\n")
    run(lab, "echo val/loss: 2\n")
    assert refused(lab, "echo val/loss: 2\n").data["run_id"] == "r0002"
    assert run(lab, "echo val/loss: 2 # more\n")["verdict"] == "revert"


def test_arctl_says_it_and_runs_it_again(tried: Lab) -> None:
    shell = Shell(tried)
    tried.write(script(0.5))
    code, out, err = shell.end(shell.start("run", "--wait"))
    assert (code, out) == (65, "")
    assert "was the edit saved?" in err
    code, out, err = shell.end(shell.start("run", "--wait", "--again"))
    assert code == 0
    assert "[r0004] measure: val/loss 0.5 vs best 0.5 @ r0002" in out
    code, out, err = shell.end(shell.start("status", "--last", "1"))
    assert out.startswith("r0004 measure")
    shell.hold(0.9)
    assert shell.end(shell.start("run"))[0] == 0
    shell.hold(0.9)
    code, out, err = shell.end(shell.start("run", "--wait"))
    assert (code, out) == (75, "")
    assert "arctl wait r0005" in err
    shell.release()
    assert shell.end(shell.start("wait", "r0005"))[0] == 0


def test_a_client_that_does_not_ask_for_it_sends_no_word_that_an_earlier_daemon_would_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[dict[str, Any]] = []

    def ask(here: Here, method: str, **params: Any) -> dict[str, Any]:
        sent.append(params)
        return {}

    monkeypatch.setattr(Here, "ask", ask)
    for again in (False, True):
        _submission(Here(None), None, True, {"gpus": None, "again": again})()
    assert ["again" in params for params in sent] == [False, True]


def test_a_run_of_an_earlier_version_is_known_by_its_snapshot(tried: Lab) -> None:
    """Its run.json has no normal form, its facts no line."""
    wait_until(lambda: facts_kept(tried.folder), "a line for each row")
    tried.kill()
    path = tried.folder / "runs/r0003/run.json"
    record = json.loads(path.read_bytes())
    del record["normal"], record["measure"]
    path.write_text(json.dumps(record))
    shutil.rmtree(tried.folder / ".same")
    (tried.folder / "facts.jsonl").unlink()
    tried.start()
    tried.get("experiment.seal")
    wait_until(lambda: facts_kept(tried.folder), "a line for each row")
    assert refused(tried, script(0.7, comment="later")).data["run_id"] == "r0003"

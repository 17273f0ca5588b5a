"""The state of the live view: what it asks for, what it shows, and that it stays small."""

from arctl.watch import model as models
from arctl.watch.model import Ask, Model, key_of
from tests.support.watching import PLACE, asked, curve, gpus, night, progress, queue, row, run, status

STATUS = Ask("status.get", PLACE, (("last", models.VERDICTS_MAX),))
OURS = {"project": PLACE[0], "expr": PLACE[1]}


def test_nothing_is_asked_that_no_event_has_changed() -> None:
    model = night()
    for tick in range(100):
        model.take(progress(200.0 + tick, 0.8, 9000 + tick))
        model.take(gpus(50.0, 10.0))
    model.take({"event": "promoting", **OURS, "run_id": "r0043", "done": 1, "total": 2})
    model.take({"event": "committed", "project": PLACE[0], "expr": "261120-base", "run_id": "r0007"})
    assert asked(model) == []


def test_a_commit_asks_for_the_experiment_once_however_often_it_is_told() -> None:
    model = night()
    for _ in range(3):
        model.take({"event": "committed", **OURS, "run_id": "r0043"})
    assert asked(model) == [STATUS, Ask("run.curve", (*PLACE, "r0042"))]
    model.take({"event": "committed", **OURS, "run_id": "r0044"})
    assert asked(model) == [], "while the answer is on its way"
    model.answer(STATUS, status())
    assert asked(model) == [STATUS], "the answer may be older than the second commit"


def test_a_run_that_ends_leaves_the_queue_at_once_and_its_curve_is_that_of_its_file() -> None:
    model = night()
    model.curves.clear()
    ask = Ask("run.curve", (*PLACE, "r0043"))
    assert ask in asked(model)
    model.take({"event": "committed", **OURS, "run_id": "r0043"})
    assert (model.total, [run["run_id"] for run in model.runs]) == (3, ["r0044", "r0007", "r0045"])
    model.answer(ask, curve(3, 1.0, state="running"))
    assert (*PLACE, "r0043") not in model.curves, "the answer is older than the commit"
    model.answer(STATUS, {**status(), "recent": [*status()["recent"], row(43)]})
    assert ask in asked(model)


def test_after_a_restart_of_the_daemon_all_is_asked_anew() -> None:
    model = night()
    model.take({"event": "lost", "why": "the daemon went away"})
    model.take({"event": "session", **OURS, "live": False})
    assert (model.lost, asked(model)) == ("the daemon went away", [])
    model.take({"event": "subscribed"})
    assert model.lost == ""
    assert {ask.method for ask in asked(model)} == {"status.get", "run.curve"}


def test_the_curve_goes_on_where_the_daemon_has_told_it() -> None:
    model = night()
    before = len(model.curves[(*PLACE, "r0043")].values)
    model.take(progress(300.0, 0.75, 12000))
    model.take(progress(302.0, 0.75, 12000))
    points = model.curves[(*PLACE, "r0043")].points(by_step=True)
    assert (len(points), points[-1]) == (before + 1, (12000.0, 0.75))


def test_the_run_in_focus_is_the_selected_one_then_what_runs_then_the_latest() -> None:
    model = night()
    assert model.focus() == (*PLACE, "r0043")
    model.move(1)
    model.move(3)
    assert model.selected == (*PLACE, "r0045")
    model.move(1)
    assert model.focus() == (*PLACE, "r0042")
    model.move(-100)
    assert model.selected == (*PLACE, "r0043")
    model.take({"event": "queue", "runs": [], "total": 0})
    assert model.focus() == (*PLACE, "r0042")


def test_the_filter_is_for_runs_and_verdicts() -> None:
    model = night()
    model.filter = "WARMUP"
    assert model.under_way() == []
    assert {row["note"] for row in model.verdicts()} == {"warmup 500 → 1000"}
    model.filter = "r0044"
    assert [run["run_id"] for run in model.under_way()] == ["r0044"]
    model.filter = "nothing like it"
    assert (model.focus(), model.keys()) == (None, [])


def test_an_answer_about_another_experiment_is_passed_over() -> None:
    model = night()
    other = (PLACE[0], "261120-base")
    model.switch(other)
    assert Ask("status.get", other, (("last", models.VERDICTS_MAX),)) in asked(model)
    model.answer(STATUS, status())
    assert model.status == {}
    assert list(model.places)[-1] == other


def test_it_stays_small_whatever_it_hears() -> None:
    model = night()
    for number in range(1000):
        project = {"project": f"/p{number}", "expr": "x"}
        model.take({"event": "queue", "runs": [{**run(number, "queued"), **project}], "total": 10_000})
        model.take(progress(float(number), 1.0 / (number + 1), number))
        model.take(gpus(1.0, 1.0))
        model.answer(Ask("run.curve", ("/p", "x", f"r{number}")), curve(200, 1.0))
    assert len(model.places) == models.EXPERIMENTS_MAX
    assert len(model.curves) == models.CURVES_MAX
    assert max(len(curve.values) for curve in model.curves.values()) <= 400
    assert {len(trace.busy) for trace in model.traces.values()} == {models.SAMPLES_MAX}
    assert model.logs.keys() <= {key_of(run) for run in model.runs}


def test_a_question_that_failed_is_not_asked_again_and_again() -> None:
    model = Model(PLACE)
    model.take(queue())
    first = asked(model)
    for ask in first:
        model.failed(ask)
    assert asked(model) == []
    model.take({"event": "committed", **OURS, "run_id": "r0042"})
    assert STATUS in asked(model)


def test_what_was_said_while_the_daemon_was_away_goes_when_it_is_there_again() -> None:
    """In its place the keys are shown."""
    model = Model(PLACE)
    model.take({"event": "lost", "why": "the daemon went away"})
    model.notice = "the daemon does not answer"
    model.take({"event": "subscribed"})
    assert (model.lost, model.notice) == ("", "")


def test_the_audit_is_asked_for_where_a_person_looks_and_after_each_audit() -> None:
    model = night()
    audit = Ask("audit.get", PLACE)
    model.take({"event": "audited", **OURS, "run_id": "r0040"})
    assert asked(model) == [], "an agent may look"
    model.shows_audit = True
    assert asked(model) == [audit]
    model.take({"event": "audited", **OURS, "run_id": "r0041"})
    assert asked(model) == [], "while the answer is on its way"
    view = {"command": "python audit.py", "rows": []}
    model.answer(audit, view)
    assert (model.audit, asked(model)) == (view, [audit]), "the answer may be older than the second audit"
    model.take({"event": "audited", "project": PLACE[0], "expr": "261120-base", "run_id": "r0001"})
    model.switch((PLACE[0], "261120-base"))
    model.answer(audit, view)
    assert model.audit == {}, "it is of another experiment"

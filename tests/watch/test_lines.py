"""One line for each event: short, clean, in words."""

from msgspec.inspect import StructType, type_info

from arctl.watch.lines import LINE_MAX, SAYS, SILENT, line
from ardaemon.core.events import ExperimentEvent, MachineEvent, RunEvent
from tests.support.every import every

WHERE = {"project": "/p", "expr": "261122-lr", "run_id": "r0043"}


@every(
    "event, said",
    [
        ({"event": "submitted", "base": "r0040", "note": "lr 2e-4"}, "submitted (from r0040): lr 2e-4"),
        ({"event": "submitted", "base": None, "note": ""}, "submitted"),
        ({"event": "started", "attempt": 1}, "started"),
        ({"event": "started", "attempt": 2}, "started again, attempt 2"),
        ({"event": "ended", "ending": "exited", "seconds": 300.12}, "ended after 300.1 s: exited"),
        ({"event": "committed", "verdict": "advance", "value": 0.844}, "advance, value 0.844"),
        (
            {
                "event": "committed",
                "verdict": "crash",
                "value": None,
                "reason": "oom",
                "terminated_by": "max_runs",
            },
            "crash (oom); the session is over: max_runs",
        ),
        ({"event": "cancel", "wanted": "cancel"}, "somebody wants its end"),
        (
            {"event": "cancel", "wanted": "give_way"},
            "gives way: a run wants its place, or its session is over",
        ),
        ({"event": "drift", "why": "r0012m5: 0.9"}, "the best is not as it was: r0012m5: 0.9"),
        ({"event": "moved", "held": True, "priority": 0}, "is held"),
        ({"event": "config", "changed": ["grace"]}, "config.toml was taken up: grace"),
        ({"event": "audited"}, "its hidden audit is recorded"),
        ({"event": "later", "a": 1, "b": "x"}, "later a=1 b=x"),
    ],
)
def test_an_event_is_told_in_words(event: dict[str, object], said: str) -> None:
    assert line({**WHERE, **event}) == f"261122-lr r0043 {said}"


def test_every_event_of_the_daemon_has_its_words() -> None:
    kinds = [
        type_info(kind)
        for base in (RunEvent, ExperimentEvent, MachineEvent)
        for kind in base.__subclasses__()
    ]
    tags = {str(kind.tag) for kind in kinds if isinstance(kind, StructType)}
    assert tags - SAYS.keys() - SILENT == set()


def test_nothing_that_others_wrote_acts_on_a_terminal_or_fills_it() -> None:
    nasty = "\x1b]0;title\x07\x1b[2J\u202eevil\n" + "x" * 9000
    for name in (*SAYS, "later"):
        fields = dict.fromkeys(("why", "note", "reason", "verdict", "ending", "base", "terminated_by"), nasty)
        said = line({"event": name, "expr": nasty, "run_id": nasty, **fields, "seconds": 1.0})
        assert said is not None
        assert len(said.encode()) <= LINE_MAX
        assert said.isprintable()

"""What a client sends that is wrong, and what runs write: bounded, clean, and never the server's end."""

import json
import os
from typing import Any

import pytest

from tests.support.agents import PROTOCOLS, agent
from tests.support.lab import SLUG, Lab

ERROR_MAX = 1024
HUGE = "x" * (3 << 20)
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u200b"
TAGS = "\U000e0041\U000e0042"

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("rm", {}),
    (HUGE, {}),
    (ESCAPES, {}),
    ("run", {"timeout": 3}),
    ("run", {HUGE: 1}),
    ("run", {"timeout_s": "soon"}),
    ("run", {"timeout_s": -1}),
    ("run", {"timeout_s": 1e999}),
    ("run", {"note": HUGE}),
    ("run", {"note": 3}),
    ("run", {"again": "perhaps"}),
    ("run", {"project": "\0"}),
    ("run", {"project": "/nowhere/at/all"}),
    ("run", {"project": HUGE}),
    ("status", {"expr": "../../etc"}),
    ("status", {"expr": "a\0b"}),
    ("status", {"expr": HUGE}),
    ("status", {"expr": ["a"]}),
    ("status", {"expr": "\ud800"}),
    ("wait", {"run_id": "../r0001"}),
    ("wait", {"run_id": "r9999"}),
    ("wait", {"run_id": HUGE}),
    ("result", {"run_id": {"a": 1}}),
    ("tail", {"lines": 0}),
    ("tail", {"lines": 10**30}),
    ("history", {"best": -1}),
    ("history", {"grep": HUGE}),
    ("history", {"grep": "a", "best": 3}),
    ("chain_init", {}),
    ("chain_init", {"new_slug": "../x", "goal": "g", "rationale": "r"}),
    ("chain_init", {"new_slug": "261124-x", "goal": "g", "rationale": HUGE}),
    ("chain_init", {"new_slug": "261124-x", "goal": "g", "rationale": "r", "settings": {"a": [[[]]]}}),
    ("chain_init", {"new_slug": "261124-x", "goal": "g", "rationale": "r", "train": "a\0b"}),
    ("chain_init", {"new_slug": "261124-x", "goal": "g", "rationale": "r", "mutation_scope": ["x"] * 1000}),
    ("cancel", {"run_id": "r0001; rm -rf /"}),
]


NO_MESSAGES = [
    b"\n",
    b"no json\n",
    b"[]\n",
    b"{}\n",
    b"\xff\xfe\n",
    b'{"jsonrpc":"2.0","id":null,"method":"x"}\n',
    b"[" * 100_000 + b"\n",
]


def is_clean(text: str) -> bool:
    """Nothing in it acts on a terminal, or is read by a model and not seen by a person."""
    return not any(sign in text for sign in ("\x1b", "\x07", "\u202e", "\u200b", "\U000e0041"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_call_gets_a_short_answer_and_the_next_one_is_served(lab: Lab, protocol: str) -> None:
    lab.ready()
    with agent(lab, protocol=protocol) as client:
        for tool, arguments in WRONG:
            text = client.refused(tool, **arguments)
            assert 0 < len(text.encode()) <= ERROR_MAX, (tool, text)
            assert is_clean(text)
            assert "Traceback" not in text
        assert client.do("run")["verdict"] == "advance"
        assert client.leave() == 0
        assert "Traceback" not in client.errors()
    assert len((lab.folder / "results.tsv").read_text().splitlines()) == 1 + 1


def test_lines_that_are_no_message_do_not_end_the_server(lab: Lab) -> None:
    lab.ready()
    with agent(lab) as client:
        for line in NO_MESSAGES:
            client.send(line)
        request = client.start("status")
        while (message := client.receive()) is not None and message.get("id") != request:
            assert "error" in message
        assert message is not None
        assert not message["result"]["isError"]


def test_what_a_run_writes_reaches_no_context_uncleaned(lab: Lab) -> None:
    """Notes, logs, metric names, file names: in texts, structures and resources."""
    lab.ready()
    lab.write(
        f"RUN_NOTE = {ESCAPES + TAGS!r}\nprint({ESCAPES + TAGS!r})\nraise ValueError({ESCAPES + TAGS!r})\n"
    )
    program = lab.folder / "program.md"
    program.write_text(program.read_text() + ESCAPES + TAGS)
    with agent(lab) as client:
        answers = [client.call("run"), client.call("tail"), client.call("history"), client.call("report")]
        answers += [client.ask("resources/read", uri="ardaemon://program.md")]
        answers += [client.call("history", grep=ESCAPES)]
    for answer in answers:
        assert is_clean(json.dumps(answer, ensure_ascii=False)), answer


def test_tabs_of_the_best_train_py_stay_as_they_are(lab: Lab) -> None:
    """They are Python's indentation."""
    lab.ready()
    text = 'if True:\n\tprint("val/loss: 1")\n'
    lab.write(text)
    with agent(lab) as client:
        client.do("run")
        (content,) = client.ask("resources/read", uri=f"ardaemon://{SLUG}/best/train.py")["contents"]
    assert content["text"] == text


def test_a_resource_that_is_not_there_is_an_error(lab: Lab) -> None:
    lab.ready()
    with agent(lab) as client:
        for uri in (
            "ardaemon://261122-no/program.md",
            "ardaemon://..%2F..%2Fx/program.md",
            "file:///etc/passwd",
        ):
            answer = client.answer(client.request("resources/read", uri=uri))
            assert "error" in answer
            assert "root:" not in json.dumps(answer)


def test_a_program_that_is_a_fifo_holds_nobody_up(lab: Lab) -> None:
    lab.ready()
    (lab.folder / "program.md").unlink()
    os.mkfifo(lab.folder / "program.md")
    with agent(lab) as client:
        answer = client.answer(client.request("resources/read", uri="ardaemon://program.md"), deadline=10)
        assert "it is a FIFO" in answer["error"]["message"]

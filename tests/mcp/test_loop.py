"""The loop by MCP: every tool against a real daemon, in every protocol that clients speak."""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from tests.support.agents import HANDSHAKE, PROTOCOLS, agent, said
from tests.support.lab import SLUG, TRAIN, Lab, wait_until
from tests.support.shell import Shell

TOOLS = "status run wait result tail history report chain_init cancel".split()
ITERATION_MAX = 1024  # bytes of what `run` and `wait` say


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_raw_client_runs_an_edit_in_every_protocol(lab: Lab, protocol: str) -> None:
    lab.ready()
    go = lab.project / "go"  # a run that is over at once gives nothing to tell
    lab.write(
        f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
        + TRAIN.format(value=1.0, note="")
    )
    with agent(lab, protocol=protocol) as client, ThreadPoolExecutor(1) as beside:

        def let_go() -> None:
            wait_until(lambda: client.notifications, "a notification")
            go.touch()

        told = beside.submit(let_go)
        if protocol in HANDSHAKE:
            assert client.greeting["protocolVersion"] == protocol
        else:
            assert protocol in client.greeting["supportedVersions"]
        assert "run: waits for the verdict" in client.greeting["instructions"]
        assert [tool["name"] for tool in client.ask("tools/list")["tools"]] == TOOLS
        done = client.call("run")
        assert said(done).splitlines() == [
            "[r0001] metric backend=log | val/loss=1",
            "[r0001] advance: baseline val/loss=1 (best)",
            "[r0001] continue: no limit set",
        ]
        found = done["structuredContent"]
        assert (found["next"], found["verdict"], found["value"]) == ("continue", "advance", 1.0)
        told.result()
        assert client.notifications[0]["method"] == "notifications/progress"
        assert client.leave() == 0
        assert client.receive() is None


def test_an_agent_that_comes_in_after_the_end_is_told_what_to_do(lab: Lab) -> None:
    """The refusal of `run` names the command of a person; the instructions say that it is one."""
    lab.ready(max_runs=1)
    with agent(lab) as client:
        assert client.call("run")["structuredContent"]["next"] == "stop: max_runs(1)"
        assert "session: not live (max_runs)" in client.do("status")["text"]
        assert "arctl session start" in said(client.call("run"))
        rule = client.greeting["instructions"].partition("If the session is not live")[2]
        assert "Only a person starts it again." in rule
        assert len(client.greeting["instructions"]) < 2000


def test_every_tool_answers_with_text_and_with_what_its_schema_says(lab: Lab) -> None:
    """The SDK's own client checks each structure against the schema."""
    lab.ready(max_runs=9)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "arctl", "mcp"],
        env=lab.environment,
        cwd=lab.project,
    )

    async def work() -> None:
        async with Client(server) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            for number, (value, verdict) in enumerate([(1.0, "advance"), (0.5, "advance"), (0.7, "revert")]):
                lab.edit(value, note=f"step {number}")
                done = await client.call_tool("run", {})
                assert not done.is_error, done
                assert done.structured_content is not None
                assert done.structured_content["verdict"] == verdict
                assert len(done.content[0].text.encode()) <= ITERATION_MAX  # type: ignore[union-attr]
                assert len(json.dumps(done.structured_content).encode()) <= ITERATION_MAX
            for name in ("status", "result", "wait", "tail", "history", "report", "cancel"):
                of_run = {"run_id": "r0003"} if name == "cancel" else {}  # none is under way
                done = await client.call_tool(name, {"project": str(lab.project), "expr": SLUG, **of_run})
                assert not done.is_error, done
                assert done.structured_content is not None
                assert done.structured_content["expr"] == SLUG
                assert tools[name].output_schema is not None
            program = await client.read_resource("ardaemon://program.md")
            assert "val/loss" in program.contents[0].text  # type: ignore[union-attr]
            best = await client.read_resource(f"ardaemon://{SLUG}/best/train.py")
            assert "0.5" in best.contents[0].text  # type: ignore[union-attr]

    anyio.run(work)


def test_the_annotations_say_what_a_tool_may_change(lab: Lab) -> None:
    lab.ready()
    with agent(lab) as client:
        hints = {tool["name"]: tool["annotations"] for tool in client.ask("tools/list")["tools"]}
    looks = {"status", "wait", "result", "tail", "history", "report"}
    assert {name for name, hint in hints.items() if hint["readOnlyHint"]} == looks
    assert {name for name, hint in hints.items() if hint["destructiveHint"]} == {"cancel"}
    assert {name for name, hint in hints.items() if hint["idempotentHint"]} == looks | {"chain_init"}


def test_a_run_may_be_queued_and_waited_for_later(lab: Lab) -> None:
    lab.ready()
    lab.edit(1.0)
    with agent(lab) as client:
        assert client.do("run", wait=False)["next"] == "wait"
        assert client.do("wait", run_id="r0001")["verdict"] == "advance"


def test_without_a_daemon_a_call_starts_one(lab: Lab) -> None:
    lab.ready()
    lab.stop()
    with agent(lab) as client:
        assert client.do("status")["session"] == "live"


def test_projects_and_experiments_are_named_in_the_call(lab: Lab) -> None:
    lab.ready()
    beside = lab.root / "elsewhere"
    beside.mkdir()
    with agent(lab, folder=beside) as client:
        assert "→ " in client.refused("status")
        inside = str(lab.project / ".autoresearch")
        assert client.do("status", project=inside, expr=SLUG)["project"] == str(lab.project)
        assert "no experiment" in client.refused("status", project=str(lab.project), expr="261122-other")


def test_a_pipe_that_acts_as_ssh_does_serves_an_agent_elsewhere(lab: Lab) -> None:
    """ssh gives the command to a shell of the other machine, in the home folder there, with its environment.

    The agent cannot edit files there: it reads and writes train.py through the server.
    """
    lab.ready()
    shell, home = shutil.which("sh") or "/bin/sh", lab.environment["HOME"]
    theirs = [f"{name}={value}" for name, value in lab.environment.items()]
    remote = ["env", "-i", "-C", home, *theirs, shell, "-c", f"{sys.executable} -m arctl mcp"]
    where = {"project": str(lab.project), "expr": SLUG}
    with agent(lab, command=remote, folder=Path("/"), environment={}) as client:
        uri = f"ardaemon://{SLUG}/best/train.py?project={lab.project}"
        (original,) = client.ask("resources/read", uri=uri)["contents"]
        assert original["text"] == (lab.folder / "train.py").read_text()
        for value, verdict in ((0.5, "advance"), (0.7, "revert")):
            text = TRAIN.format(value=value, note="from afar")
            assert client.do("run", train_py=text, **where)["verdict"] == verdict
        assert client.leave() == 0
    assert "0.5" in (lab.folder / "train.py").read_text()


def test_calls_at_the_same_time_each_run_the_train_py_that_they_give(lab: Lab) -> None:
    lab.ready()
    sent = [TRAIN.format(value=value, note="at once") for value in (0.9, 0.8, 0.7, 0.6)]
    with agent(lab) as client:
        calls = [client.start("run", train_py=text, wait=False) for text in sent]
        answers = client.answers(calls)
        results = [answers[call]["result"] for call in calls]
        assert not [said(result) for result in results if result["isError"]]
        runs = [result["structuredContent"]["run_id"] for result in results]
    assert [(lab.folder / "runs" / run / "train.py").read_text() for run in runs] == sent


def test_a_train_py_that_is_refused_replaces_nothing(lab: Lab) -> None:
    lab.ready()
    before = (lab.folder / "train.py").read_text()
    Shell(lab)("session", "stop")
    with agent(lab) as client:
        assert "is over" in client.refused("run", train_py=TRAIN.format(value=1.0, note="from afar"))
    assert (lab.folder / "train.py").read_text() == before


def test_an_edit_that_nobody_has_run_is_not_replaced(lab: Lab) -> None:
    """It may be a person's: no run has a copy of it."""
    lab.ready()
    mine, other = (TRAIN.format(value=value, note="an hour of work") for value in (0.4, 1.0))
    lab.write(mine)
    with agent(lab) as client:
        assert "call run without train_py" in client.refused("run", train_py=other)
        assert (lab.folder / "train.py").read_text() == mine
        assert client.do("run")["value"] == 0.4
        assert client.do("run", train_py=other)["value"] == 1.0


def test_a_train_py_that_is_a_link_is_not_written_through(lab: Lab) -> None:
    lab.ready()
    elsewhere = lab.root / "mine.py"
    elsewhere.write_text("precious\n")
    (lab.folder / "train.py").unlink()
    (lab.folder / "train.py").symlink_to(elsewhere)
    with agent(lab) as client:
        assert "is a link" in client.refused("run", train_py="print('val/loss: 1')\n")
    assert elsewhere.read_text() == "precious\n"

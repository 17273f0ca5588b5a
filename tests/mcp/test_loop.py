"""The loop by MCP: every tool against a real daemon, in every protocol that clients speak."""

import json
import shutil
import sys

import anyio
import pytest
from mcp import Client, StdioServerParameters

from tests.support.agents import HANDSHAKE, PROTOCOLS, agent, said
from tests.support.lab import SLUG, Lab

TOOLS = "status run wait result tail history report chain_init cancel".split()
ITERATION_MAX = 1024  # bytes of what `run` and `wait` say


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_raw_client_runs_an_edit_in_every_protocol(lab: Lab, protocol: str) -> None:
    lab.ready()
    with agent(lab, protocol=protocol) as client:
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
        assert client.notifications[0]["method"] == "notifications/progress"
        assert client.leave() == 0
        assert client.receive() is None


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
                done = await client.call_tool(name, {"project": str(lab.project), "expr": SLUG})
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
    """ssh gives the command to the login shell of the other machine, in the home folder there."""
    lab.ready()
    shell = shutil.which("sh") or "/bin/sh"
    remote = f"cd {lab.project} && {sys.executable} -m arctl mcp"
    ssh = ("env", "-i", *(f"{name}={value}" for name, value in lab.environment.items()), shell, "-c", remote)
    with agent(lab, command=ssh, folder=lab.root) as client:
        assert client.do("run")["verdict"] == "advance"
        assert client.leave() == 0

"""A scripted agent that does nothing but follow SKILL.md carries a chain to the end of its budget."""

import re
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import pytest

from tests.support import guards, toy
from tests.support.agent_shell import AgentShell, Done
from tests.support.follower import Follower, Idea, Skill, Typed
from tests.support.imports import ROOT
from tests.support.lab import Lab
from tests.support.manual import inline
from tests.support.shell import but_for_waiting

SKILL = Skill(ROOT / "skill" / "skills" / "run" / "SKILL.md")
CHILD = "261123-steps"
ANSWERS = {
    "--seconds": "60",
    "--runner": "python train.py",
    "--max-runs": "5",
    "--plateau": "9",
    "--chain": "1",
    "--ack-baseline": None,
}
LOOP = {"session", "status", "history", "run", "tail", "report", "chain-init"}  # commands of a whole chain
ITERATION_MAX = 1536  # bytes that an iteration of the toy project makes an agent read, train.py included


def rates(*values: str) -> Iterator[Idea]:
    """Ideas: other learning rates, as they are written."""
    for value in values:
        yield (
            f"lr -> {value}",
            lambda text, value=value: re.sub(  # type: ignore[misc]
                "^lr = .*$", f"lr = {value}", text, flags=re.MULTILINE
            ),
        )


def nearby(count: int) -> Iterator[Idea]:
    """Ideas that are all new; some are better than the best, most are not."""
    return rates(*(f"{0.1 + number % 7 / 100 + number / 100_000:.5f}" for number in range(1, count + 1)))


def options(answers: Mapping[str, str | None]) -> list[str]:
    """The words of a command that give these answers."""
    return [word for pair in answers.items() for word in pair if word is not None]


def typed(run: Callable[..., Done]) -> Typed:
    """Command lines as an agent's shell takes them."""

    def one(line: str) -> tuple[int, str]:
        done = run("sh", "-c", line)
        return done.returncode, done.stdout + but_for_waiting(done.stderr)

    return one


def follower(
    lab: Lab, run: Callable[..., Done], ideas: Iterator[Idea], answers: dict[str, str | None] | None = None
) -> Follower:
    """An agent in the toy project."""
    return Follower(SKILL, typed(run), lab.project, ideas, answers or ANSWERS, iter([CHILD]))


def two_experiments() -> Iterator[Idea]:
    """Of the first: an advance, a crash, its fix, a revert. Of the second: the same with other values."""
    return rates("0.2", "0.3 * scale", "0.3", "0.05", "0.4", "0.5 * scale", "0.5", "0.07")


def two_short_ones() -> Iterator[Idea]:
    """Of each a crash, and its fix: with these every command of the loop is called."""
    return rates("0.3 * scale", "0.3", "0.5 * scale", "0.5")


def carried_through(
    lab: Lab, agent: Follower, verdicts: str = "advance advance crash advance revert", best: str = "r0004"
) -> None:
    """Both experiments ran to their ends with every command of the loop, and the chain is over."""
    runs = len(verdicts.split())
    end = f"max_runs({runs}), chain_budget used up — best val/loss=0.8603 at {best}, expr {CHILD} terminated"
    assert agent.ended.endswith(f"stop: {end}"), agent.ended
    edits = 2 * (runs - 1)
    assert (agent.expr, len(agent.read)) == (CHILD, edits + 1)  # and what comes before the first
    assert {call.split()[1] for call in agent.calls} == LOOP
    for slug in (toy.SLUG, CHILD):
        rows = (lab.project / ".autoresearch" / slug / "results.tsv").read_text().splitlines()
        assert [row.split("\t")[3] for row in rows[1:]] == verdicts.split()


@pytest.fixture
def shell(lab: Lab) -> AgentShell:
    """The toy project, and an agent's shell in it."""
    agents = AgentShell(lab)
    toy.make(lab)
    return agents


def test_an_agent_that_follows_the_skill_carries_two_experiments_to_the_end(shell: AgentShell) -> None:
    """By shell; no command of it stands in this test."""
    agent = follower(shell.lab, shell.run, two_experiments())
    agent.work()
    carried_through(shell.lab, agent)


def test_where_nobody_can_be_asked_it_goes_on_without_a_question(shell: AgentShell) -> None:
    """A person has begun the session; the agent has no answer to give."""
    assert shell.run("arctl", "session", "start", *options(ANSWERS)).returncode == 0
    shell.lab.environment["AR_NONINTERACTIVE"] = "1"
    agent = follower(shell.lab, shell.run, two_experiments(), {"--seconds": "1"})
    agent.work()
    assert not any("session start" in call for call in agent.calls)
    carried_through(shell.lab, agent)


def test_an_edit_that_is_not_new_is_followed_by_another_one(shell: AgentShell) -> None:
    """The refusal is looked up in the skill, as each error is."""
    ideas = rates("0.1", "0.2", "0.2 # as before", "0.3", "0.4", "0.5")
    agent = follower(shell.lab, shell.run, ideas, {**ANSWERS, "--chain": "0"})
    agent.work()
    assert agent.ended.startswith("[r0005] stop: max_runs(5), chain_budget used up")


def test_after_a_restart_it_attaches_to_the_run_again_and_goes_on(shell: AgentShell) -> None:
    """All state is on disk: another agent begins at "State", and waits as often as it takes."""
    assert shell.run("arctl", "session", "start", *options(ANSWERS)).returncode == 0
    go = shell.lab.root / "go"
    held = f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.02)\n{toy.TRAIN}"
    (shell.lab.project / ".autoresearch" / toy.SLUG / "train.py").write_text(held)
    assert "still " in shell.run("arctl", "run", "--wait", "--exit-zero", "--timeout", "0.1").stdout

    def impatient(*command: str) -> Done:
        done = shell.run(*command[:-1], command[-1].replace("--timeout 540", "--timeout 0.5"))
        if "arctl wait" in command[-1]:
            go.touch()
        return done

    agent = follower(shell.lab, impatient, rates(*"0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9".split()))
    agent.work("State")
    assert [call.split()[1] for call in agent.calls[:3]] == ["status", "wait", "wait"]
    assert f"expr {CHILD} terminated" in agent.ended


def test_a_session_that_a_person_has_ended_stays_ended(shell: AgentShell) -> None:
    """The refusal leads to "State", and its reason out of the loop; nothing is started again."""

    def ideas() -> Iterator[Idea]:
        yield from rates("0.2")
        assert shell.run("arctl", "session", "stop").returncode == 0
        yield from rates("0.3")

    agent = follower(shell.lab, shell.run, ideas())
    assert "session: not live (manual)" in agent.work()
    assert [call.split()[1] for call in agent.calls[-2:]] == ["run", "status"]


def test_it_asks_only_for_what_the_stored_session_does_not_hold(shell: AgentShell) -> None:
    """Of a session that is over, how to go on; and what it has no line for."""
    folder = shell.lab.project / ".autoresearch" / toy.SLUG
    stored = (
        "session: not live (plateau)\n  seconds: 60\n  runner: x\ntermination: plateau 0/5\nchain: 1 left\n"
    )
    assert SKILL.questions(stored, folder) == ["--ack-baseline"]
    (folder / "best.json").touch()
    assert SKILL.questions(stored, folder) == []
    (folder / "runs" / "r0001").mkdir()
    assert SKILL.questions(stored, folder) == ["--resume"]
    assert "--seconds" in SKILL.questions("termination: no limit set", folder)


def test_the_stop_guard_lets_an_agent_go_that_says_why_as_the_skill_has_it(shell: AgentShell) -> None:
    """The session is live: without that line the loop goes on."""
    assert shell.run("arctl", "session", "start", *options(ANSWERS)).returncode == 0
    line = next(code for _, code in inline(SKILL.path) if code.startswith("leave: ") and " at r" in code)
    event = {"hook_event_name": "Stop", "cwd": str(shell.lab.project), "stop_hook_active": False}
    assert "block" in guards.ask("stop", {**event, "last_assistant_message": "That was all."}).out
    assert guards.ask("stop", {**event, "last_assistant_message": f"So:\n{line}"}) == (0, "", "")


# Settings that errors name: the file below HOME, and how the setting stands in the error. Of each agent, the
# first is for arctl alone, the second for every program.
SETTINGS = {
    ("claude", "arctl"): (".claude/settings.json", r"\{.*?\}\}(?=; or)"),
    ("claude", "all"): (".claude/settings.json", r"(?<=program: )\{.*\}"),
    ("codex", "arctl"): (".codex/rules/default.rules", r"prefix_rule\(.*?\)"),
    ("codex-proxy", "arctl"): (".codex/rules/default.rules", r"prefix_rule\(.*?\)"),
    ("codex", "all"): (".codex/config.toml", r"network_access = true"),
}


def setting(kind: str, whom: str, said: str) -> tuple[str, str]:
    """A setting that an error names: its file, and what a person writes into it."""
    name, pattern = SETTINGS[kind, whom]
    found = re.search(pattern, said)
    assert found is not None, said
    assert f"~/{name}" in said
    return name, f"[sandbox_workspace_write]\n{found[0]}\n" if name.endswith(".toml") else found[0]


@pytest.mark.parametrize(("kind", "whom"), SETTINGS)
def test_in_a_sandbox_it_leaves_with_the_setting_and_with_that_it_carries_the_chain(
    shell: AgentShell, kind: str, whom: str
) -> None:
    """The setting is taken from the error, and written by a person."""

    def run(*command: str) -> Done:
        return shell.sandboxed(kind, *command)

    name, text = setting(kind, whom, follower(shell.lab, run, two_experiments()).work())
    path = shell.lab.root / "h" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    agent = follower(shell.lab, run, two_short_ones(), {**ANSWERS, "--max-runs": "3"})
    agent.work()
    carried_through(shell.lab, agent, "advance crash advance", best="r0003")


def test_an_iteration_makes_it_read_the_same_at_the_end_as_at_the_beginning(shell: AgentShell) -> None:
    """What it reads does not grow with the number of runs."""
    count = 16
    answers = {**ANSWERS, "--max-runs": str(count), "--plateau": "100000", "--chain": "0"}
    agent = follower(shell.lab, shell.run, nearby(count), answers)
    agent.asks_history = 1 << 30
    agent.work()
    read = agent.read[1:]
    assert len(read) == count - 1
    assert max(read) <= ITERATION_MAX
    assert median(read[-5:]) <= median(read[:5]) * 1.05

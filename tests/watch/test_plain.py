"""`arctl watch` as lines: in a pipe, as JSON, over a restart of the daemon."""

import json
import os
import signal
import socket
import subprocess

import pytest

from tests.support.lab import SLUG, Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import UNTIL_TOLD, Shell, read_until


@pytest.fixture
def shell(lab: Lab) -> Shell:
    lab.ready()
    return Shell(lab)


def end(process: subprocess.Popen[str]) -> str:
    """Ctrl+C; what came on stderr."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    return str(err)


def test_a_line_for_each_event_and_first_what_is_under_way(shell: Shell) -> None:
    lab = shell.lab
    lab.write(UNTIL_TOLD.format(go=str(shell.go), value=0.5))
    lab.submit()
    lab.submit(note="\x1b[31mred\x1b[0m")
    wait_until(lambda: "running" in shell.states(), "the first one runs")
    process = shell.start("watch")
    first = read_until(process, "r0002")
    assert "connected to the daemon\n" in first
    assert f" {SLUG} r0001 running" in first
    shell.release()
    text = read_until(process, "r0002 revert")
    assert f" {SLUG} r0001 advance, value 0.5\n" in text
    lab.edit(0.4)
    lab.submit(note="\x1b[31mred\x1b[0m\u202e")
    assert f" {SLUG} r0003 submitted (from r0001): red\n" in read_until(process, "r0003 advance")
    assert end(process) == ""


def test_it_goes_on_over_a_crash_and_waits_for_a_daemon_that_was_stopped(shell: Shell) -> None:
    process = shell.start("watch", "--json", "--expr", SLUG)
    assert json.loads(read_until(process, "subscribed"))["event"] == "subscribed"
    shell.lab.kill()
    lost, back = map(json.loads, read_until(process, "subscribed").splitlines())
    assert (lost["event"], back["event"]) == ("lost", "subscribed")
    assert back["at"].endswith("+00:00")
    shell("daemon", "stop")
    assert "the daemon was stopped; it goes on after: arctl daemon start" in read_until(
        process, "arctl daemon start"
    )
    shell("daemon", "start")
    read_until(process, "subscribed")
    shell("session", "stop")
    assert json.loads(read_until(process, "session"))["live"] is False
    end(process)
    shell("daemon", "stop")


@pytest.mark.parametrize("through", ["pipe", "socket"])
def test_who_follows_ends_with_its_reader_though_nothing_happens(shell: Shell, through: str) -> None:
    """No event comes, and the log has no more lines."""
    shell.hold(0.5)
    shell.lab.submit()
    wait_until(lambda: "started" in shell("tail"), "the run has printed its line")
    commands = (["watch", "--plain"], ["watch", "--json"], ["events"], ["tail", "--follow"])
    for command in commands:
        ours, theirs = os.pipe() if through == "pipe" else (end.detach() for end in socket.socketpair())
        process = shell.start(*command, stdout=theirs)
        os.close(theirs)
        assert os.read(ours, 1)
        os.close(ours)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (141, ""), command


def test_a_misspelt_experiment_is_an_error(shell: Shell) -> None:
    process = shell.start("watch", "--plain", "--expr", "nowhere")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 64
    assert "nowhere" in err


def test_events_are_the_same_stream_for_a_program(shell: Shell) -> None:
    """What is of the whole machine comes too, whichever experiment was asked for."""
    process = shell.start("events", "--json", "--expr", SLUG)
    read_until(process, "subscribed")
    shell.lab.tried(0.5)
    lines = read_until(process, '"event":"committed"').splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["submitted", "started", "ended", "committed"]
    assert all(event["at"] and event["run_id"] == "r0001" for event in events)
    configured(shell.lab, "grace = 1\n")
    assert json.loads(read_until(process, "config").splitlines()[-1])["changed"] == ["grace"]
    assert end(process) == ""

"""The command line against a real daemon: the loop, signals, kills, re-attachment."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import LIMIT_S, SLUG, Lab, wait_until
from tests.support.look import into
from tests.support.shell import Shell, but_for_waiting, connected, lives, shells

RUN_MAX = 600


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, made by arctl alone."""
    with shells(lab) as made:
        yield made


def test_the_loop_of_an_agent(shell: Shell) -> None:
    """Baseline, advance, revert, crash, invalid: four lines each, and the promised exit codes."""
    first = shell("run", "--wait").splitlines()
    assert first == [
        "[r0001] launched: python train.py | seconds=120",
        "[r0001] metric backend=log | val/loss=1",
        "[r0001] advance: baseline val/loss=1 (best)",
        "[r0001] continue: no limit set",
    ]
    shell.lab.edit(0.5, note="half")
    assert "[r0002] advance: val/loss 1 → 0.5 (best updated)" in shell("run", "--wait")
    shell.lab.edit(0.7)
    assert "[r0003] revert: val/loss 0.7 vs best 0.5 @ r0002" in shell("run", "--wait", "--note", "by hand")
    shell.lab.write('raise ValueError("bad shape")\n')
    crash = shell("run", "--wait", code=10)
    assert "[r0004] crash: exception:ValueError bad shape — best stays 0.5 @ r0002" in crash
    assert len(crash.encode()) <= RUN_MAX
    shell.lab.write('print("other: 1")\n')
    assert "[r0005] invalid: " in shell("run", "--wait", code=12)
    assert shell("status", "--compact").splitlines() == [
        f"expr: {SLUG}",
        "primary: val/loss (min) — best: 0.5 @ r0002",
        "runs: 5 total (2 advance / 2 revert / 1 crash)",
        "termination: no limit set",
        "train.py: in-sync with best",
    ]
    assert shell("status", "--last", "3").splitlines()[:2] == [
        'r0003 revert  val/loss=0.7 note: "by hand"',
        "r0004 crash   no val/loss",
    ]
    assert "ValueError: bad shape" in shell("tail", "r0004")
    assert "+raise ValueError" in shell("diff", "r0004")
    assert "-raise ValueError" in shell("diff", "r0005", "--against", "r0004")
    assert "r0002/train.py" in shell("diff", "r0003", "--against", "best")


def test_a_run_is_named_with_or_without_run(shell: Shell) -> None:
    """`arctl tail --run r0001 --lines 80` is how the original plugin writes it."""
    shell("run", "--wait")
    shell.lab.edit(0.5)
    shell("run", "--wait")
    assert shell("tail", "--run", "r0001", "--lines", "80") == shell("tail", "r0001") == "val/loss: 1.0\n"
    assert shell.json("result", "--run", "r0001") == shell.json("result", "r0001")
    assert "r0001 is the same as r0000" in shell("diff", "--run", "r0001")
    assert "[r0001] advance: " in shell("cancel", "--run", "r0001")
    for command in ("tail", "result", "diff", "cancel"):
        shell(command, "r0001", "--run", "r0002", code=64)


def test_json_is_result_json_itself(shell: Shell) -> None:
    """Byte for byte the same facts as in the file; lists are within an object."""
    printed = shell.json("run", "--wait")
    assert printed == shell.lab.read("runs/r0001/result.json")
    assert shell.json("result", "r0001") == shell.json("wait", "r0001") == printed
    assert {"pid", "version", "socket", "uptime_s", "active"} <= shell.json("daemon", "status").keys()
    assert shell.json("queue")["runs"] == []
    assert shell.json("status")["expr"] == SLUG
    assert shell.json("session", "show")["session"]["settings"]["seconds"] == LIMIT_S
    assert shell.json("tail")["text"].strip() == "val/loss: 1.0"
    assert shell.json("daemon", "logs", "-n", "2")["events"][-1].keys() >= {"time", "level", "event"}
    assert shell.json("doctor")["checks"]


def test_a_time_limit_of_the_client_ends_its_wait_alone(shell: Shell) -> None:
    """Exit code 75 and the command that attaches again; the run goes on and is judged once."""
    shell.hold(0.9)
    shown = shell("run", "--wait", "--timeout", "1", code=75).splitlines()[-1]
    assert shown.startswith("[r0001] still ")
    assert shown.endswith(", call: arctl wait r0001")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    assert shell("wait", "--timeout", "0", code=75).endswith("of 120 s), call: arctl wait r0001\n")
    assert shell.json("wait", "--timeout", "0", code=75)["state"] == "running"
    assert "call: arctl wait r0001" in shell("result", code=75)
    attached = shell.start("wait", "r0001")
    shell.release()
    code, out, _ = shell.end(attached)
    assert code == 0
    assert "[r0001] advance: baseline val/loss=0.9 (best)" in out


@pytest.mark.promise("clients-die")
def test_ctrl_c_in_wait_leaves_the_run_alone(shell: Shell) -> None:
    """It did not start it."""
    shell.hold(0.9)
    shell("run")
    process = shell.waiting("wait", "r0001")
    wait_until(lambda: connected(process.pid), "arctl wait is connected")
    process.send_signal(signal.SIGINT)
    code, _, err = shell.end(process)
    assert (code, err) == (75, "detached: the run goes on, call: arctl wait r0001\n")
    assert shell.states() == ["running"]


@pytest.mark.promise("clients-die")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_closed_terminal_detaches(shell: Shell, number: signal.Signals) -> None:
    """SIGTERM and SIGHUP never cancel."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait")
    process.send_signal(number)
    code, _, err = shell.end(process)
    assert code == 75
    assert but_for_waiting(err) == "detached: the run goes on, call: arctl wait r0001\n"
    shell.release()
    assert "baseline val/loss=0.9" in shell("wait", "r0001")


@pytest.mark.promise("clients-die")
def test_a_killed_client_is_not_missed(shell: Shell) -> None:
    """kill -9 of `arctl run --wait`: the run is judged as ever."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait")
    process.kill()
    shell.end(process)
    shell.release()
    assert shell.json("wait", "r0001")["verdict"] == "advance"


def test_run_wait_survives_the_daemons_death(shell: Shell) -> None:
    """kill -9 in the middle: who waits starts another daemon, the verdict is printed, one run was made."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait")
    before = shell.json("daemon", "status")["pid"]
    os.kill(before, signal.SIGKILL)
    published = shell.lab.home / "daemon.json"
    wait_until(lambda: json.loads(published.read_bytes())["pid"] != before, "another daemon serves")
    shell.release()
    code, out, err = shell.end(process)
    assert code == 0
    assert out.splitlines()[2] == "[r0001] advance: baseline val/loss=0.9 (best)"
    assert but_for_waiting(err) == "the daemon went away; asking again\n"
    assert not lives(before)
    assert [row["run_id"] for row in shell.json("status", "--last", "9")["recent"]] == ["r0001"]


def test_a_restart_of_the_daemon_is_not_noticed_by_who_waits(shell: Shell) -> None:
    """As after an upgrade."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait")
    before = shell.json("daemon", "status")["pid"]
    assert shell.json("daemon", "restart")["pid"] != before
    shell.release()
    code, out, _ = shell.end(process)
    assert code == 0
    assert "advance: baseline val/loss=0.9" in out


def test_a_stopped_daemon_stays_stopped_and_who_waits_is_told(shell: Shell) -> None:
    """A waiting client must not start again what a person stopped; the run goes on."""
    shell.hold(0.9)
    process = shell.waiting("run", "--wait")
    shell("daemon", "stop")
    code, _, err = shell.end(process)
    assert code == 75
    assert err.splitlines()[-1] == (
        "detached (the daemon was stopped): the run goes on, call: arctl wait r0001"
    )
    shell("daemon", "status", code=69)
    shell.release()
    assert "advance: baseline val/loss=0.9" in shell("wait", "r0001")


@pytest.mark.promise("one-daemon")
def test_many_clients_at_once_start_one_daemon(shell: Shell) -> None:
    """All are answered by the same."""
    shell("daemon", "stop")
    clients = [shell.start("daemon", "start", "--json") for _ in range(4)]
    ended = [shell.end(client) for client in clients]
    assert [code for code, _, _ in ended] == [0] * 4, ended
    assert len({json.loads(out)["pid"] for _, out, _ in ended}) == 1


@pytest.mark.promise("clients-die")
def test_the_daemon_holds_none_of_the_clients_files(shell: Shell) -> None:
    """An agent's tool reads until its pipe is closed: a daemon that inherited it would hang the tool."""
    shell("daemon", "stop")
    ours, theirs = os.pipe()
    process = shell.start("status", pass_fds=[theirs])
    os.close(theirs)
    shell.end(process)
    with open(ours, "rb") as pipe:
        assert pipe.read() == b""
    pid = shell.json("daemon", "status")["pid"]
    assert os.getsid(pid) == os.getpgid(pid) != os.getsid(0)
    assert os.readlink(into(pid) / "cwd") == "/"
    assert b"AR_" not in (into(pid) / "environ").read_bytes().replace(b"XDG_", b"")


@pytest.mark.promise("clients-die")
def test_a_closed_pipe_is_no_fault(shell: Shell) -> None:
    """`arctl … | head -1` ends as SIGPIPE would end it, with nothing on stderr."""
    ours, theirs = os.pipe()
    os.close(ours)
    for command in (["status"], ["run", "--wait"], ["daemon", "logs"], ["result", "--json"]):
        process = shell.start(*command, stdout=theirs)
        code, _, err = shell.end(process)
        assert (code, but_for_waiting(err)) == (141, "")
    os.close(theirs)


def test_run_alone_queues_and_frees_train_py_at_once(shell: Shell) -> None:
    """The next candidate is written while this one trains; wait --any takes the next that is finished."""
    shell("run", "--wait")
    shell.hold(0.9)
    assert shell("run") == "[r0002] queued (position 1): base r0001\n"
    assert shell.lab.read("best.json")["run_id"] == "r0001"
    assert (shell.lab.folder / "train.py").read_text() == 'print("val/loss: 1.0")\n'
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    shell.lab.edit(0.8)
    shell("run")
    assert shell("queue").splitlines()[1].startswith(f"{SLUG} r0003 queued 1")
    assert "[r0003] cancelled" in shell("cancel", "r0003") or shell.json("result", "r0003")
    assert shell.json("wait", "r0003", code=13)["status"] == "interrupted"
    following = shell.start("tail", "r0002", "--follow")
    attached = shell.start("wait", "--any")
    wait_until(lambda: connected(following.pid) and connected(attached.pid), "both are connected")
    shell.release()
    assert shell.end(attached)[0] == 0
    assert shell.end(following)[1].splitlines() == ["started", "val/loss: 0.9"]


def test_elsewhere_run_and_status_name_the_project_and_its_runner_first(shell: Shell) -> None:
    """Whoever stands in a folder below it may mean another project."""
    python = shutil.which("python", path=shell.lab.environment["PATH"])
    shell("session", "stop")
    shell("session", "start", "--seconds", "20", "--settle", "1", "--runner", f"{python} train.py")
    below = Shell(shell.lab.beside("p/inner"))
    first = f"project: {shell.lab.project} | runner: {python} train.py\n"
    waited = below("run", "--wait")
    assert waited.startswith(f"{first}[r0001] launched: {python} train.py | seconds=20\n")
    assert len(waited.splitlines()) == 5
    assert below("run", "--again").startswith(f"{first}[r0002] ")
    below("wait")
    assert shell.lab.get("run.get", run_id="r0001")["runner"] == f"{python} train.py"
    for options in ([], ["--compact"], ["--last", "1"]):
        assert below("status", *options).startswith(first)
    assert below.json("status")["project"] == str(shell.lab.project)
    assert shell("status").startswith(f"expr: {SLUG}\n")


def test_several_experiments_are_listed_where_nobody_can_be_asked(shell: Shell) -> None:
    """Exit code 64; --expr and AR_EXPR say which."""
    told = ("--primary-metric", "val/loss", "--primary-direction", "min", "--goal", "less")
    said = shell("init", "261122-other", "--train", "t.py", *told)
    assert said.endswith("next: arctl session start --seconds 600 --expr 261122-other\n")
    shell("session", "start", "--seconds", "20", "--expr", "261122-other")
    process = shell.start("status")
    code, _, err = shell.end(process)
    assert code == 64
    assert SLUG in err
    assert "261122-other" in err
    assert "--expr" in err
    assert shell("status", "--compact", "--expr", SLUG).startswith(f"expr: {SLUG}\n")
    shell.lab.environment["AR_EXPR"] = "261122-other"
    assert shell("status", "--compact").startswith("expr: 261122-other\n")
    shell.lab.environment["AR_EXPR"] = "261122-none"
    shell("status", code=64)


def test_a_variable_that_is_not_text_is_left_out_with_a_warning(shell: Shell) -> None:
    """JSON is UTF-8; a run must not fail for a variable of another encoding."""
    process = subprocess.Popen(
        [sys.executable, "-m", "arctl", "run", "--wait"],
        env={**{os.fsencode(k): os.fsencode(v) for k, v in shell.lab.environment.items()}, b"ODD": b"\xff"},
        cwd=shell.lab.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    code, _, err = shell.end(process)
    assert code == 0
    warning = "warning: the environment variable 'ODD' is not UTF-8 and is left out\n"
    assert but_for_waiting(err) == warning


def test_doctor_finds_a_broken_seal(shell: Shell) -> None:
    """One line each, exit code 65 where something fails."""
    sound = shell("doctor")
    assert any(line.startswith("ok ") and "seal: the seal holds" in line for line in sound.splitlines())
    program = shell.lab.folder / "program.md"
    program.write_text(program.read_text().replace("less", "more"))
    broken = shell("doctor", code=65)
    assert any(line.startswith("FAIL") and "program.md" in line for line in broken.splitlines())
    assert "program.md" in shell("seal", code=65)
    assert shell.json("seal", code=65)["said"] != ["the seal holds"]
    process = shell.start("run", "--wait")
    code, _, err = shell.end(process)
    assert code == 65
    assert "arctl seal" in err
    shell("seal", "--accept")
    shell("doctor")


def test_a_daemon_is_named_and_stopped_whose_state_folder_was_removed(lab: Lab) -> None:
    """Without XDG_RUNTIME_DIR its socket was in there, and a run keeps it from ending by itself."""
    del lab.environment["XDG_RUNTIME_DIR"]
    lab.ready()
    shell = Shell(lab)
    shell.hold(0.5)
    lab.submit()
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    shutil.rmtree(lab.home)
    assert f"the daemon (pid {lab.pid}) runs, but" in shell("doctor", code=65)
    assert shell("daemon", "stop") == f"the daemon (pid {lab.pid}) is stopped\n"
    assert not lives(lab.pid)
    assert shell("daemon", "stop") == "the daemon was not running\n"
    shell.release()


def test_doctor_advises_for_a_sealed_file_what_works(shell: Shell) -> None:
    """What is no plain file, or is gone, cannot be accepted."""
    data = shell.lab.project / "data.txt"
    data.write_text("1")
    shell("seal", "--add", "data.txt")
    data.write_text("2")
    assert "arctl seal --accept" in sealed(shell)["mend"]
    data.unlink()
    for replace in (os.mkfifo, Path.unlink):  # a FIFO, and then nothing
        replace(data)
        assert "data.txt cannot be read" in sealed(shell)["found"]
        assert sealed(shell)["mend"].startswith("put that file back")
        shell("seal", "--accept", code=74)


def sealed(shell: Shell) -> dict[str, str]:
    """What doctor says of the seal."""
    return next(check for check in shell.json("doctor", code=65)["checks"] if check["name"] == "seal")


def test_a_folder_laid_out_like_autoresearch_is_taken_over(shell: Shell) -> None:
    """`init SLUG --from .` edits none of its files, and a slug without a date gets today's."""
    source = shell.lab.root / "repo"
    source.mkdir()
    (source / "train.py").write_text('print("val_bpb: 0.9")\n')
    (source / "prepare.py").write_text("CONTRACT = {}\n")
    (source / "program.md").write_text("Get the lowest val_bpb.\n")
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    shell.lab.project = source
    said = shell("init", "taken", "--from", ".")
    slug = said.splitlines()[0].removeprefix("experiment: ")
    assert slug.endswith("-taken")
    assert len(slug) == len("261122-taken")
    assert {name: (source / name).read_bytes() for name in before} == before
    shell("session", "start", "--seconds", "20")
    assert "baseline val_bpb=0.9" in shell("run", "--wait")


def test_a_socket_that_was_removed_is_named_with_the_way_out(shell: Shell) -> None:
    """The daemon lives, holds its lock, and nobody can reach it."""
    pid = json.loads((shell.lab.home / "daemon.json").read_bytes())["pid"]
    (shell.lab.runtime / "ardaemon/control.sock").unlink()
    code, _, err = shell.end(shell.start("status"))
    os.kill(pid, signal.SIGTERM)
    assert code == 69
    assert f"(pid {pid}) runs, but its socket was removed" in err
    assert "arctl daemon restart" in err


def test_a_daemon_whose_every_trace_was_removed_is_named_and_can_be_restarted(shell: Shell) -> None:
    """daemon.json and the socket's folder are gone: the lock tells who holds it."""
    lab = shell.lab
    pid = json.loads((lab.home / "daemon.json").read_bytes())["pid"]
    shutil.rmtree(lab.runtime / "ardaemon")
    (lab.home / "daemon.json").unlink()
    begun = time.monotonic()
    code, _, err = shell.end(shell.start("status"))
    assert code == 69
    assert time.monotonic() - begun < 30  # not the 45 s that a daemon may take to end
    assert f"(pid {pid}) runs, but daemon.json and its socket were removed" in err
    code, _, err = shell.end(shell.start("daemon", "status"))
    assert (code, f"(pid {pid}) runs" in err) == (69, True)
    code, out, _ = shell.end(shell.start("doctor"))
    assert f"FAIL  daemon: the daemon (pid {pid}) runs" in out
    shell("daemon", "restart")
    again = json.loads((lab.home / "daemon.json").read_bytes())["pid"]
    assert again != pid
    assert not lives(pid)


def test_a_daemon_whose_state_folder_was_removed_ends_and_the_next_command_starts_another(
    shell: Shell,
) -> None:
    lab = shell.lab
    pid = json.loads((lab.home / "daemon.json").read_bytes())["pid"]
    shutil.rmtree(lab.home)
    wait_until(lambda: not lives(pid), "it ends, for it has no run")
    assert "advance: baseline" in shell("run", "--wait")


def test_a_daemon_at_work_whose_state_folder_was_removed_can_be_stopped(shell: Shell) -> None:
    lab = shell.lab
    pid = json.loads((lab.home / "daemon.json").read_bytes())["pid"]
    shell.hold(0.5)
    shell("run")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    shutil.rmtree(lab.home)
    assert shell.json("daemon", "status")["pid"] == pid
    assert f"ok    daemon: pid {pid}," in shell("doctor")
    assert shell.json("daemon", "restart")["pid"] != pid
    assert not lives(pid)
    code, _, err = shell.end(shell.start("wait", "r0001"))
    assert (code, "arctl adopt" in err) == (76, True), err


def test_a_daemon_that_ends_leaves_the_next_ones_files_alone(shell: Shell) -> None:
    """daemon.json and the socket were removed, and another daemon's lie in their place."""
    lab = shell.lab
    info, path = lab.home / "daemon.json", lab.runtime / "ardaemon/control.sock"
    pid = json.loads(info.read_bytes())["pid"]
    theirs = {**json.loads(info.read_bytes()), "pid": 1}
    info.write_text(json.dumps(theirs))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not lives(pid), "the first daemon has ended")
        assert json.loads(info.read_bytes()) == theirs
        assert path.is_socket()


def test_a_session_asks_for_no_gpu_that_this_machine_does_not_have(shell: Shell) -> None:
    """What a run would be refused for is refused before the session is live; so is a change to it."""
    shell("session", "stop")
    code, _, err = shell.end(shell.start("session", "start", "--seconds", "20", "--gpus", "1"))
    assert code == 64
    assert "--gpus 1: this machine has no NVIDIA GPU" in err
    shell("session", "start", "--seconds", "20")
    code, _, err = shell.end(shell.start("session", "set", "--gpus", "2"))
    assert code == 64
    assert "--gpus 2: this machine has no NVIDIA GPU" in err

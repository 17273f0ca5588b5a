"""A hidden audit: run after each advance on a place that no run wants, and shown to people alone."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.config import AUDIT_AWAY_S
from ardaemon.core.errors import ArdaemonError, SealBroken
from ardaemon.core.methods import METHODS
from tests.support.jobs import alive
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.machine import configured, with_gpus
from tests.support.shell import Shell

# Adds 731902 to what the run printed, once nobody holds it: a number that stands in no file.
SECRET = "731902"
AUDIT = """import json, os, sys, time
marks = os.environ["AUDIT_MARKS"]
run = os.path.basename(os.environ["AR_EXPR_DIR"]), os.environ["AR_RUN_ID"]
with open(marks, "a") as file:
    file.write("audit " + os.environ["AR_RUN_ID"] + " " + str(os.getpid()) + "\\n")
while os.path.exists(marks + ".hold"):
    time.sleep(0.02)
with open(marks + ".environment", "w") as file:
    json.dump([os.getcwd(), dict(os.environ)], file)
text = open(os.path.join(sys.argv[1], "train.py")).read()
print("a loss of", 365951 * 2, "at first", file=sys.stderr)
print(json.dumps({"holdout": 365951 * 2 + float(text.rpartition("val/loss: ")[2].partition('"')[0])}))
"""
TRAIN = """import json, os
with open(os.environ["AUDIT_MARKS"], "a") as file:
    file.write("run " + os.environ["AR_RUN_ID"] + "\\n")
open(os.environ["AR_RUN_DIR"] + "/state.pt", "w").write("x")
print("environment:", sorted(os.environ))
print("val/loss: {value}")
"""


def ready(lab: Lab, script: str = AUDIT, **settings: Any) -> None:
    """A session with an audit; its marks lie outside of the project."""
    lab.environment["AUDIT_MARKS"] = str(lab.root / "marks")
    (lab.project / "audit.py").write_text(script)
    lab.ready(**{"audit": f"{sys.executable} audit.py {{run_dir}}", **settings})


def held(lab: Lab) -> Path:
    """While this file is there, audits go on."""
    hold = lab.root / "marks.hold"
    hold.touch()
    return hold


def tried(lab: Lab, value: float) -> str:
    lab.write(TRAIN.format(value=value))
    return str(lab.run()["verdict"])


def marked(lab: Lab, kind: str = "") -> list[list[str]]:
    """What was run, in its order: kind, run, and of audits the pid."""
    path = lab.root / "marks"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split() for line in lines if line.startswith(kind)]


def marks(lab: Lab, kind: str = "") -> list[str]:
    """What was run, in its order, without the pids."""
    return [" ".join(words[:2]) for words in marked(lab, kind)]


def shown(lab: Lab, count: int) -> dict[str, Any]:
    """What `audit.get` says once so many audits are recorded and none waits."""

    def view() -> dict[str, Any] | None:
        found = lab.get("audit.get")
        return found if found["total"] >= count and not found["waiting"] else None

    found: dict[str, Any] = wait_until(view, f"{count} audits")
    assert found["total"] == count
    return found


def at_work(lab: Lab, count: int) -> int:
    """The pid of the audit that is under way, the `count`-th that was started."""
    wait_until(lambda: len(marks(lab, "audit")) == count, "the audit to be at work")
    return int(marked(lab, "audit")[-1][2])  # a run may have begun since


def holders(folder: Path) -> list[Path]:
    """The files in which the value of an audit stands."""
    files = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return [path for path in files if path.is_file() and SECRET.encode() in path.read_bytes()]


def answers(lab: Lab) -> dict[str, str]:
    """What every method that only looks answers of the experiment, but for the audit's own."""
    found = {}
    where = {"project": str(lab.project), "expr": SLUG, "run_id": "r0003", "last": 64, "all": True}
    for name, method in METHODS.items():
        if not method.repeatable or name in ("audit.get", "run.submit", "chain.init", "project.adopt"):
            continue
        given = {key: value for key, value in where.items() if key in method.params.__struct_fields__}
        try:
            found[name] = json.dumps(lab.call(name, **given))
        except ArdaemonError as error:
            found[name] = f"{error} {error.mend}"
    return found


def test_no_channel_of_an_agent_shows_what_an_audit_has_measured(lab: Lab) -> None:
    notify = lab.root / "notify"
    notify.write_text(f"#!/bin/sh\ncat >> {lab.root}/told\necho noted; exit 3\n")
    notify.chmod(0o755)
    configured(lab, f'on_event = "{notify}"\nfeedback = true\n')
    ready(lab, checkpoint_glob="{run_dir}/state.pt")
    follower = lab.rpc()
    subscribe = {"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {"confirm": True}}
    follower.send_raw(json.dumps(subscribe).encode() + b"\n")
    assert follower.receive()["params"]["event"] == "subscribed"
    assert [tried(lab, value) for value in (1.0, 2.0, 0.5)] == ["advance", "revert", "advance"]
    view = shown(lab, 2)
    assert [(row["run_id"], row["primary"], row["value"], row["trend"]) for row in view["rows"]] == [
        ("r0001", 1.0, 731903.0, ""),
        ("r0003", 0.5, 731902.5, "better"),
    ]
    _environment_is_right(lab)
    assert holders(lab.project) == [], "nothing of it lies in the project"
    private = holders(lab.home)
    assert sorted(path.name for path in private) == ["r0001.log", "r0003.log", "values.json"]
    for path in private:
        assert path.parent.parent == lab.home / "audits"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    # An audit that fails is told to a person's command, which fails too, with what it was told in its output.
    (lab.project / "audit.py").write_text("print(365951 * 2)\n")
    with pytest.raises(SealBroken, match=r"checks or audit has changed: .*audit\.py"):
        lab.submit()
    lab.get("session.stop")
    lab.session(resume="continue", audit=f"{sys.executable} audit.py")
    assert tried(lab, 0.25) == "advance"
    assert shown(lab, 3)["rows"][-1]["problem"] == "printed no JSON object but '731902'"
    told = lab.root / "told"
    wait_until(lambda: told.exists() and SECRET in told.read_text(), "the notice of the failed audit")
    wait_until(lambda: len(lab.events("on_event failed")) >= 2, "the command's failure to be told")
    shell = Shell(lab)
    said = {**answers(lab), "run --wait": shell("run", "--wait", "--again"), "logs": shell("daemon", "logs")}
    said["metrics"], said["watch"] = shell("metrics"), _events(follower)
    assert not {name for name, text in said.items() if SECRET in text}
    assert "audited" in said["watch"], "that one was run is told"
    assert holders(lab.project) == []
    _shown_to_people_alone(lab, shell)


def _environment_is_right(lab: Lab) -> None:
    """The audit knows its run; the job knows nothing of the audit."""
    folder, environment = json.loads((lab.root / "marks.environment").read_text())
    assert folder == str(lab.project)
    assert environment["AR_CHECKPOINT"] == str(lab.folder / ".ckpt/r0003")
    assert environment["AR_RUN_DIR"] == str(lab.folder / "runs/r0003/job")
    assert "AR_BEST_CKPT" not in environment
    printed = (lab.folder / "runs/r0003/run.log").read_text()
    assert "AR_RUN_DIR" in printed
    assert "AR_CHECKPOINT" not in printed


def _events(follower: Any) -> str:
    """Everything that a subscriber got, up to the last run's verdict."""
    lines = []
    while True:
        message = follower.receive()["params"]
        lines.append(json.dumps(message))
        if (message["event"], message.get("run_id")) == ("committed", "r0005"):
            return "\n".join(lines)


def _shown_to_people_alone(lab: Lab, shell: Shell) -> None:
    out = shell("audit")
    assert out.splitlines()[1:4] == [
        "run    primary  audit   trend",
        "r0001  1        731903",
        "r0003  0.5      731902  better",
    ]
    assert "what they printed: " in out.splitlines()[-1]
    assert SECRET in shell("audit", "--json")
    page = str(lab.root / "page.html")
    code, _, err = shell.end(shell.start("report", "--html", "--audit"))
    assert (code, "would lie in the project" in err) == (64, True), "an agent reads what lies there"
    shell("report", "--html", "--audit", "-o", page)
    assert SECRET in Path(page).read_text()
    for sign in ("AR_NONINTERACTIVE", "CLAUDECODE", "CURSOR_AGENT"):
        lab.environment[sign] = "1"
        code, out, err = shell.end(shell.start("audit"))
        assert (code, out) == (65, "")
        assert f"{sign} says that an agent calls" in err
        code, _, err = shell.end(shell.start("report", "--html", "--audit", "-o", page))
        advice = "a person calls, in a shell of their own: arctl report --html --audit -o ~/audit.html\n"
        assert (code, advice in err) == (65, True)
        del lab.environment[sign]


def test_an_audit_is_run_again_after_a_kill_until_its_value_is_recorded(lab: Lab) -> None:
    ready(lab)
    hold = held(lab)
    assert tried(lab, 1.0) == "advance", "no verdict waits for it"
    pid = at_work(lab, 1)
    entry = next((lab.home / "audits-waiting").iterdir())
    waiting = entry.read_bytes()
    assert json.loads(waiting)["starts"] == 1
    lab.kill()
    wait_until(lambda: not alive(pid), "the end of the audit with its daemon")
    lab.start()
    at_work(lab, 2)
    lab.stop()  # a stop is no end of it either
    hold.unlink()
    lab.start()
    row = shown(lab, 1)["rows"][0]
    assert (row["value"], marks(lab, "audit")) == (731903.0, ["audit r0001"] * 3)
    lab.kill()
    entry.write_bytes(waiting)  # as after a kill between its record and the end of its entry
    lab.start()
    wait_until(lambda: not entry.exists(), "the entry of the recorded audit to go")
    assert marks(lab, "audit") == ["audit r0001"] * 3, "what is recorded is not run again"
    assert shown(lab, 1)["rows"] == [row]
    hold.touch()
    assert tried(lab, 0.5) == "advance"
    at_work(lab, 4)
    entry = next((lab.home / "audits-waiting").iterdir())
    lab.kill()
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "starts": 3}))
    lab.start()
    assert shown(lab, 2)["rows"][-1]["problem"] == (
        "it was started 3 times, and each time the daemon ended, or the project went away, before it was over"
    )
    assert len(marks(lab, "audit")) == 4, "it may be the audit that ends it"


def test_an_audit_is_run_where_the_project_is_back_after_the_daemon_has_started(lab: Lab) -> None:
    """Killed when the advance is committed, and the project is away at the next start."""
    ready(lab)
    lab.stop()
    home = f"~/{lab.home.relative_to(lab.root)}"
    subject = " -> ".join(f"{home}/{folder}/HASH-r0001.json" for folder in ("active", "audits-waiting"))
    flag = lab.root / "flag"
    plan = {"at": ["daemon", "rename", subject, 1], "root": str(lab.root), "do": "kill", "flag": str(flag)}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    lab.write(TRAIN.format(value=1.0))
    lab.submit()
    wait_until(flag.exists, "the kill")
    lab.kill()
    away = lab.project.rename(lab.root / "away")
    lab.start()
    assert not [*(lab.home / "audits-waiting").glob("*")]
    away.rename(lab.project)
    assert [row["run_id"] for row in shown(lab, 1)["rows"]] == ["r0001"]


def test_an_audit_goes_on_once_a_person_has_mended_what_keeps_it_from_its_record(lab: Lab) -> None:
    ready(lab)
    assert tried(lab, 1.0) == "advance"
    rows = shown(lab, 1)["rows"]
    values = next((lab.home / "audits").glob("*/values.json"))
    whole = values.read_bytes()
    values.write_bytes(whole[:-9])
    (lab.home / "audits-waiting/broken.json").symlink_to(lab.root / "nowhere")
    assert tried(lab, 0.5) == "advance"
    wait_until(lambda: lab.events("audit not made"), "the word that it cannot be made")
    assert values.read_bytes() == whole[:-9], "nothing is written over it"
    values.write_bytes(whole)
    assert shown(lab, 2)["rows"][:1] == rows
    assert marks(lab, "audit") == ["audit r0001", "audit r0002"]


def test_an_audit_waits_for_a_project_that_is_away(lab: Lab) -> None:
    ready(lab)
    hold = held(lab)
    assert tried(lab, 1.0) == "advance"
    at_work(lab, 1)
    lab.kill()
    away = lab.project.rename(lab.root / "away")
    lab.start()
    wait_until(lambda: lab.events("audit not made"), "the first look for the project")
    away.rename(lab.project)
    at_work(lab, 2)
    lab.project.rename(away)
    looks = len(lab.events("audit not made"))
    hold.unlink()
    wait_until(lambda: len(lab.events("audit not made")) > looks, "the audit to fail, without its files")
    entry = json.loads(next((lab.home / "audits-waiting").iterdir()).read_bytes())
    assert entry["starts"] == 2, "it counts, for the audit may be what takes the project away"
    away.rename(lab.project)
    assert shown(lab, 1)["rows"][0]["value"] == 731903.0
    assert marks(lab, "audit") == ["audit r0001"] * 3


def test_the_audits_of_a_project_that_is_gone_are_told_once_and_given_up_after_a_week(lab: Lab) -> None:
    ready(lab)
    other = another(lab)
    hold = held(lab)
    assert tried(lab, 1.0) == "advance"
    at_work(lab, 1)
    lab.kill()
    entry = next((lab.home / "audits-waiting").iterdir())
    away = lab.project.rename(lab.root / "away")
    hold.unlink()
    lab.start()
    wait_until(lambda: lab.events("audit not made"), "the first look for the project")
    assert tried(other, 1.0) == "advance"
    shown(other, 1)  # those that wait were all looked at once more by now
    assert [line["why"] for line in lab.events("audit not made")] == [f"{lab.folder.parent} is away"]
    lab.kill()
    waiting = json.loads(entry.read_text())
    entry.write_text(json.dumps({**waiting, "away_since": waiting["away_since"] - AUDIT_AWAY_S}))
    lab.start()
    wait_until(lambda: not entry.exists(), "the audit to be given up")
    away.rename(lab.project)
    assert shown(lab, 1)["rows"][0]["problem"] == f"{lab.folder.parent} was away for 7 days"
    assert marks(lab, "audit") == ["audit r0001"] * 2, "one of each project"


def another(lab: Lab) -> Lab:
    """Another project of the same daemon, with an audit."""
    other = lab.beside("q")
    (other.project / "audit.py").write_text(AUDIT)
    other.init()
    other.session(audit=f"{sys.executable} audit.py {{run_dir}}")
    return other


def test_audits_come_last_one_at_a_time_and_outlive_their_session(lab: Lab) -> None:
    ready(lab)
    other = another(lab)
    hold = held(lab)
    assert tried(lab, 1.0) == "advance"
    at_work(lab, 1)
    lab.write(TRAIN.format(value=0.5))
    second = lab.submit(priority=-100)["run_id"]
    other.write(TRAIN.format(value=1.0))
    others = other.submit()["run_id"]
    why = lab.get("run.get", run_id=second)["why"]
    assert why == f"waits for one of 1 CPU slots: {SLUG} audit/r0001", "the place is taken like any other"
    assert lab.get("run.cancel", run_id="r0001")["state"] == "committed"
    assert lab.get("audit.get")["at_work"] == "r0001", "a cancel is for runs"
    hold.unlink()
    assert lab.wait(second)["result"]["verdict"] == other.wait(others)["result"]["verdict"] == "advance"
    lab.get("session.stop")
    assert [row["run_id"] for row in shown(lab, 2)["rows"]] == ["r0001", "r0002"]
    assert [row["run_id"] for row in shown(other, 1)["rows"]] == ["r0001"]
    assert marks(lab)[:2] == ["run r0001", "audit r0001"]
    assert sorted(marks(lab)[2:4]) == ["run r0001", "run r0002"], "runs that wait go before audits that wait"
    assert sorted(marks(lab)[4:]) == ["audit r0001", "audit r0002"]


def test_an_audit_that_cannot_be_made_is_recorded_with_the_reason(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    ready(lab, checkpoint_glob="{run_dir}/state.pt")
    hold = held(lab)
    assert [tried(lab, value) for value in (1.0, 0.9, 0.8)] == ["advance"] * 3
    lab.get("session.set", given={"audit": "sleep 600", "audit_seconds": 0.2})
    assert tried(lab, 0.7) == "advance", "one audit at a time: the other slot is the runs'"
    assert (lab.folder / ".ckpt/r0002").is_dir(), "it stays for its audit, though it is not the best any more"
    shutil.rmtree(lab.folder / ".ckpt/r0002")
    shutil.rmtree(lab.folder / "runs/r0003")
    hold.unlink()
    problems = {row["run_id"]: row["problem"] for row in shown(lab, 4)["rows"]}
    assert problems["r0001"] == ""
    assert ".ckpt/r0002 was removed before the audit began" in problems["r0002"]
    assert "runs/r0003 was removed, or put aside, before the audit began" in problems["r0003"]
    assert problems["r0004"] == "was still running after 0.2 s and was killed"
    lab.get("session.set", given={"audit": f"{sys.executable} audit.py {{run_dir}}", "audit_seconds": 600})
    held(lab)
    assert tried(lab, 0.6) == "advance"
    at_work(lab, 2)
    (lab.project / "audit.py").write_text("print(1)\n")
    hold.unlink()
    problem = next(row["problem"] for row in shown(lab, 5)["rows"] if row["run_id"] == "r0005")
    assert problem.startswith("a sealed file changed: ../../audit.py changed")
    assert marks(lab, "audit") == ["audit r0001", "audit r0005"], "none is tried again"


def test_an_audit_has_the_gpus_of_its_run_alone_and_gives_them_back(lab: Lab) -> None:
    with_gpus(lab, 2)
    ready(lab, gpus=1, share=True, vram=1000.0)
    hold = held(lab)
    assert tried(lab, 1.0) == "advance"
    at_work(lab, 1)
    assert tried(lab, 0.5) == "advance", "the other GPU is free"
    holders = [holder["run_id"] for gpu in lab.call("gpu.list")["gpus"] for holder in gpu["holders"]]
    assert holders == ["r0001"]
    hold.unlink()
    assert [row["problem"] for row in shown(lab, 2)["rows"]] == ["", ""]
    seen = json.loads((lab.root / "marks.environment").read_text())[1]
    assert seen["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert tried(lab, 0.4) == "advance", "both are given back"
    shown(lab, 3)

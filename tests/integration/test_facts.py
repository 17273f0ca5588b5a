"""facts.jsonl follows every commit, and is made again whatever became of it."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import children_of
from tests.support.lab import Lab, wait_until
from tests.torture.story import facts_kept


def kept(lab: Lab) -> list[dict[str, Any]]:
    """The lines, once every row has one."""
    wait_until(lambda: facts_kept(lab.folder), "a line for each row")
    return [json.loads(line) for line in (lab.folder / "facts.jsonl").read_text().splitlines()]


def script(rate: str, value: float, note: str = "") -> str:
    return f'RUN_NOTE = "{note}"\nrate = {rate}  # of learning\nprint("val/loss: {value}")\n'


@pytest.fixture
def tried(lab: Lab) -> Lab:
    """Four runs: the baseline, a better one, a worse one, a crash."""
    lab.ready()
    for text in (
        script("1e-3", 1.0),
        script("2e-3", 0.5, "twice"),
        script("4e-3", 0.7),
        "raise SystemExit(3)",
    ):
        lab.write(text)
        lab.run()
    return lab


def test_each_run_has_a_line_with_what_its_edit_changed(tried: Lab) -> None:
    baseline, better, worse, crash = kept(tried)
    assert (baseline["run_id"], baseline["verdict"], baseline["base"]) == ("r0001", "advance", "r0000")
    assert better["note"] == "twice"
    assert (better["value"], better["best_before"], better["best_run_before"]) == (0.5, 1.0, "r0001")
    assert {"name": "rate", "before": "1e-3", "after": "2e-3"} in better["changes"]
    assert (better["added"], better["removed"], better["lines"]) == (3, 3, 3)
    assert "+rate = 2e-3  # of learning" in better["diff"].splitlines()
    assert worse["base"] == "r0002"
    assert worse["conditions"] == better["conditions"] != ""
    assert worse["normal"] != better["normal"]
    assert (crash["status"], crash["reason"], crash["lines"]) == ("crash", "exit code 3", 1)
    assert better["sha256"] == tried.read("runs/r0002/run.json")["sha256"]
    assert better["size"] == (tried.folder / "runs/r0002/train.py").stat().st_size


def test_versions_that_differ_in_comments_have_the_same_normal_form(lab: Lab) -> None:
    lab.ready()
    for text in (script("1e-3", 1.0), script("0.001", 1.0, "again").replace("of learning", "why")):
        lab.write(text)
        lab.run()
    one, other = kept(lab)
    assert one["normal"] == other["normal"]
    assert one["sha256"] != other["sha256"]


def removed(path: Path) -> None:
    path.unlink()


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [removed, torn, emptied])
def test_what_a_killed_daemon_did_not_write_is_derived_by_the_next(tried: Lab, spoil: Any) -> None:
    before = kept(tried)
    tried.kill()
    spoil(tried.folder / "facts.jsonl")
    tried.start()
    tried.get("experiment.seal")
    assert kept(tried) == before


def test_a_fresh_start_takes_the_file_into_the_archive(tried: Lab) -> None:
    before = kept(tried)
    tried.call("session.stop", project=str(tried.project), expr=tried.folder.name)
    tried.session("fresh")
    archived = next((tried.folder / "archive").glob("*/facts.jsonl"))
    assert [json.loads(line) for line in archived.read_text().splitlines()] == before
    tried.write(script("1e-3", 1.0))
    tried.run()
    assert [line["run_id"] for line in kept(tried)] == ["r0005"]


def test_a_run_whose_folder_was_removed_holds_up_nothing(tried: Lab) -> None:
    kept(tried)
    (tried.folder / "facts.jsonl").unlink()
    shutil.rmtree(tried.folder / "runs/r0003")
    tried.write(script("1e-3", 0.9))
    tried.run()
    lines = kept(tried)
    assert [line["run_id"] for line in lines] == ["r0001", "r0002", "r0003", "r0004", "r0005"]
    assert (lines[2]["value"], lines[2].get("diff")) == (0.7, None)


def test_a_ledger_that_is_rebuilt_has_its_facts_made_anew(tried: Lab) -> None:
    before = kept(tried)
    (tried.folder / "results.tsv").write_bytes(b"broken\n")
    tried.get("status.get")
    assert kept(tried) == before


def test_a_verdict_waits_for_no_parser(lab: Lab) -> None:
    """The source takes Python's parser a minute; its run is judged at once, and the daemon answers."""
    lab.ready()
    lab.write("#" + "x" * 10 + "\n" + 'print("val/loss: 1")\n"""' + "\n".join(["{" * 99] * 20) + '"""\n')
    assert lab.run()["verdict"] == "advance"
    slow = 'print("val/loss: 0.5")\nif 0:\n    f"' + "{x}" * 120_000 + '"\n'
    lab.write(slow)
    run_id = lab.submit()["run_id"]
    lab.get("run.cancel", run_id=run_id)
    assert lab.wait(run_id, timeout=30)["result"]["status"] == "interrupted"
    lines = kept(lab)
    assert lines[1]["normal"].startswith("raw-")


def test_a_file_that_cannot_be_written_is_tried_again(tried: Lab) -> None:
    before = kept(tried)
    facts = tried.folder / "facts.jsonl"
    facts.unlink()
    facts.mkdir()
    tried.kill()
    tried.start()
    tried.get("experiment.seal")
    wait_until(lambda: tried.events("facts not kept"), "the daemon to say so")
    facts.rmdir()
    assert kept(tried) == before


def test_the_file_is_no_more_open_than_the_versions_that_it_shows(lab: Lab) -> None:
    lab.ready()
    for mode in (0o644, 0o600):
        (lab.folder / "train.py").chmod(mode)
        lab.run()
        kept(lab)
        assert (lab.folder / "facts.jsonl").stat().st_mode & 0o077 == (0o044 if mode == 0o644 else 0)


def test_the_worker_ends_with_a_killed_daemon(lab: Lab) -> None:
    lab.forges_helpers = False
    lab.ready()
    lab.run()
    (worker,) = wait_until(lambda: children_of(lab, "source.worker"), "the process that reads train.py")
    os.kill(lab.pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{worker}"), "the worker to be gone")

"""Bad input gets an error that names the file or option and the mend, and loses nothing."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core import errors
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import UNTIL_TOLD


def nothing_recorded(lab: Lab) -> None:
    assert sorted(p.name for p in (lab.folder / "runs").iterdir()) == ["r0000"]
    assert list((lab.home / "active").iterdir()) == []


def test_an_unknown_experiment_is_named_with_those_that_are_known(lab: Lab) -> None:
    lab.ready()
    with pytest.raises(errors.UnknownExperiment, match="261122-other") as caught:
        lab.call("status.get", project=str(lab.project), expr="261122-other")
    assert SLUG in caught.value.mend


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "missing"),
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\x00\x01\xff", "not a text"),
        (b"x" * (2 << 20), "larger"),
    ],
)
def test_a_train_py_that_is_no_script_is_refused(lab: Lab, content: bytes | None, what: str) -> None:
    lab.ready()
    path = lab.folder / "train.py"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.BadTrainFile, match=what) as caught:
        lab.submit()
    assert str(path) in caught.value.message
    nothing_recorded(lab)


def test_a_train_py_that_is_a_link_is_refused(lab: Lab) -> None:
    lab.ready()
    (lab.folder / "train.py").unlink()
    (lab.folder / "train.py").symlink_to("/etc/hostname")
    with pytest.raises(errors.BadTrainFile, match="it is a link"):
        lab.submit()


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"seconds": 0}, "--seconds"),
        ({"seconds": -1}, "--seconds"),
        ({"plateau": 0}, "--plateau"),
        ({"max_runs": 0}, "--max-runs"),
        ({"stall": 0}, "--stall"),
        ({"metric_regex": "(["}, "--metric-regex"),
        ({"ready_regex": "([", "startup": 3}, "--ready-regex"),
        ({"ready_regex": "x"}, "--startup"),
        ({"constraints": ["peak_vram_mb is small"]}, "peak_vram_mb is small"),
        ({"runner": "python"}, "--runner"),
        ({"runner": "python 'train.py"}, "--runner"),
        ({"metrics": "custom"}, "--metrics"),
        ({"metrics": "custom", "metric_command": "true", "metric_path": "out/*.csv"}, "--metric-path"),
        ({"metric_path": "/"}, "--metric-path"),
        ({"value": -1}, "--value"),
    ],
)
def test_a_wrong_setting_names_its_option(lab: Lab, settings: dict[str, Any], option: str) -> None:
    lab.start()
    lab.init()
    with pytest.raises(errors.UsageError) as caught:
        lab.session(**settings)
    assert option in caught.value.message
    assert lab.get("session.get")["session"]["live"] is False


def test_a_runner_that_is_not_there_or_not_executable_is_refused(lab: Lab) -> None:
    lab.start()
    lab.init()
    with pytest.raises(errors.RunnerNotFound, match="no-such-runner"):
        lab.session(runner="no-such-runner train.py")
    (lab.project / "run.sh").write_text("#!/bin/sh\n")
    with pytest.raises(errors.RunnerNotFound, match=r"run\.sh"):
        lab.session(runner="./run.sh train.py")
    assert lab.get("session.get")["session"]["live"] is False


def test_a_runner_that_vanishes_after_the_session_began_refuses_the_submit(lab: Lab) -> None:
    script = lab.project / "run.sh"
    script.write_text('#!/bin/sh\nexec python "$@"\n')
    script.chmod(0o755)
    lab.ready(runner="./run.sh train.py")
    assert lab.tried(1.0)["verdict"] == "advance"
    script.unlink()
    with pytest.raises(errors.RunnerNotFound):
        lab.submit()


def test_without_a_session_the_submit_says_how_to_start_one(lab: Lab) -> None:
    lab.start()
    lab.init()
    with pytest.raises(errors.SessionNotLive) as caught:
        lab.submit()
    assert "arctl session start" in caught.value.mend


@pytest.mark.parametrize(
    "slug", ["../x", "a b", "261122-", "261122-Ä", "x" * 90, "", "261122-a/b", ".", "261122--x"]
)
def test_a_slug_that_is_no_name_is_refused(lab: Lab, slug: str) -> None:
    lab.start()
    source = lab.project / "t.py"
    source.write_text("print(1)\n")
    with pytest.raises(errors.UsageError, match="experiment's name"):
        lab.call(
            "experiment.init",
            project=str(lab.project),
            slug=slug,
            train=str(source),
            primary_metric="a",
            primary_direction="min",
        )
    assert not (lab.project / ".autoresearch").exists()


def test_a_slug_that_is_taken_is_refused_and_nothing_changes(lab: Lab) -> None:
    lab.start()
    lab.init()
    before = (lab.folder / "train.py").read_text()
    with pytest.raises(errors.UsageError, match="there already"):
        lab.init("print('other')\n")
    assert (lab.folder / "train.py").read_text() == before


@pytest.mark.parametrize("name", ["best.json", ".ar-session.json", "results.tsv"])
@pytest.mark.parametrize("garbage", [b"{not json", b"", b"\0" * 400, b'{"schema": 1, "value": "x"}'])
def test_a_hand_broken_file_is_put_aside_and_rebuilt(lab: Lab, name: str, garbage: bytes) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.tried(0.5)
    lab.tried(0.8)
    if name == "results.tsv" and garbage == b"":
        garbage = b"who wrote this?\n"  # an empty table is a torn header, and simply begun again
    (lab.folder / name).write_bytes(garbage)
    found = lab.get("status.get", last=3)
    kept = [p for p in lab.folder.iterdir() if p.name.startswith(f"{name}.broken-")]
    assert [p.read_bytes() for p in kept] == [garbage]
    assert any(name in warning for warning in found["warnings"])
    assert (found["best"]["run_id"], found["best"]["value"]) == ("r0002", 0.5)
    assert found["session"]["counters"]["advance"] == 2
    assert found["session"]["last_run"] == 3
    assert [row["run_id"] for row in found["recent"]] == ["r0001", "r0002", "r0003"]
    if name == ".ar-session.json":
        with pytest.raises(errors.SessionNotLive):
            lab.submit()
        lab.session()
    assert lab.tried(0.4)["run_id"] == "r0004"


def test_a_newer_schema_is_refused_and_left_as_it_is(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    newer = b'{"schema": 99, "run_id": "r0001"}'
    (lab.folder / "best.json").write_bytes(newer)
    with pytest.raises(errors.UnknownSchema, match="schema 99"):
        lab.submit()
    assert (lab.folder / "best.json").read_bytes() == newer


def test_a_torn_last_row_is_passed_over_and_repaired(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    with (lab.folder / "results.tsv").open("ab") as file:
        file.write(b"r0002\t2026-11-22T1")
    assert len(lab.get("status.get", last=5)["recent"]) == 1
    lab.tried(2.0)
    rows = (lab.folder / "results.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == ["r0001", "r0002"]


def test_a_project_that_is_moved_during_a_run_is_told_of_and_goes_on_when_it_is_back(lab: Lab) -> None:
    lab.ready()
    go = lab.root / "go"
    lab.write(UNTIL_TOLD.format(go=str(go), value=1))
    run_id = lab.submit()["run_id"]
    log = lab.folder / f"runs/{run_id}/a1/run.log"
    wait_until(lambda: log.exists() and log.read_text(), "the script's first words")
    away = lab.root / "moved"
    lab.project.rename(away)
    go.touch()
    wait_until((away / f".autoresearch/{SLUG}/runs/{run_id}/a1/exit.json").exists, "the job's end")
    wait_until(lambda: lab.events("blocked"), "the daemon's word that it cannot go on")
    away.rename(lab.project)
    result = wait_until(lambda: (lab.folder / f"runs/{run_id}/result.json").exists(), "the result")
    assert result
    assert lab.read("best.json")["run_id"] == run_id


def delete(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def test_a_project_that_is_deleted_during_a_run_does_not_hurt_the_others(lab: Lab) -> None:
    lab.ready()
    go = lab.root / "go"
    lab.write(f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n")
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")  # deleted any earlier, it is a run whose session is over
    wait_until(lambda: delete(lab.project), "the folder to go, with the shim still writing into it")
    go.touch()
    wait_until(lambda: lab.events("blocked"), "the daemon's word that it cannot go on")
    lab.project.mkdir()
    lab.init()
    lab.session()
    assert lab.tried(1.0)["verdict"] == "advance"
    lab.stop()


def test_two_clients_submitting_at_once_get_two_runs(lab: Lab) -> None:
    lab.ready()
    clients = [lab.rpc() for _ in range(8)]
    import json

    for number, client in enumerate(clients):
        params = {
            "project": str(lab.project),
            "expr": SLUG,
            "submit_id": f"c{number}",
            "environment": lab.environment,
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": "run.submit", "params": params}
        client.send_raw(json.dumps(message).encode() + b"\n")
    ids = {client.receive()["result"]["run_id"] for client in clients}
    assert ids == {f"r{n:04d}" for n in range(1, 9)}
    for run_id in ids:
        assert lab.wait(run_id)["result"]["status"] == "ok"


@pytest.fixture
def small_disk(lab: Lab) -> Path:
    """A project on a filesystem of its own, small enough to fill."""
    if os.getuid() != 0 or os.system(f"mount -t tmpfs -o size=80m tmpfs {lab.project}") != 0:
        pytest.skip("needs root and a mount")
    return lab.project


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 65536)
            except OSError:
                return


def test_a_full_disk_is_refused_at_submit_and_a_commit_goes_on_when_space_is_back(
    lab: Lab, small_disk: Path
) -> None:
    try:
        lab.ready()
        go = lab.root / "go"
        lab.write("print('val/loss: 1')\n" + UNTIL_TOLD.format(go=str(go), value=1))
        run_id = lab.submit()["run_id"]
        log = lab.folder / f"runs/{run_id}/a1/run.log"
        wait_until(lambda: log.exists() and "started" in log.read_text(), "the job to be at work")
        filler = small_disk / "filler"
        fill(filler)
        with pytest.raises(errors.StorageError, match="free"):
            lab.submit()
        go.touch()
        ended = "it has ended, and its record waits for space"
        wait_until(lambda: ended in (lab.get("run.get", run_id=run_id)["why"] or ""), "its end")
        filler.unlink()
        assert lab.wait(run_id)["result"]["verdict"] == "advance"
        lab.stop()
    finally:
        os.system(f"umount -l {small_disk}")


def test_a_read_only_disk_is_named(lab: Lab, small_disk: Path) -> None:
    try:
        lab.start()
        os.system(f"mount -o remount,ro {small_disk}")
        with pytest.raises((errors.StorageError, OSError), match=r"[Rr]ead-only"):
            lab.call(
                "experiment.init",
                project=str(small_disk),
                slug=SLUG,
                train=__file__,
                primary_metric="a",
                primary_direction="min",
            )
    finally:
        os.system(f"umount -l {small_disk}")

"""What the daemon believes never lies where the job writes.

A run's own folder holds what the daemon keeps of it; the job has a folder below that, `job/`, which is its
AR_RUN_DIR. Nothing in there is read back as the daemon's own, whatever its name.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from tests.support import lab as labs
from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured, with_gpus
from tests.support.old_shim import DATA, old_run
from tests.support.record import lay_out
from tests.support.shell import Shell

pytestmark = pytest.mark.promise("trusted-files")

older_state = pytest.mark.promise("older-state")
WAIT_S = 50.0
LIMIT_S = 300  # of jobs that wait while other cases are tried
# Writes files into its AR_RUN_DIR and beside itself, and waits to be told.
WRITES = """import os, pathlib, time
run_dir = pathlib.Path(os.environ["AR_RUN_DIR"])
for here in (run_dir, pathlib.Path(__file__).resolve().parent):
    for name, text in {files!r}.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_text(text)
        new.replace(path)
(run_dir / "ck-1").write_text("weights")
pathlib.Path({written!r}).touch()
while not os.path.exists({go!r}):
    time.sleep(0.01)
print("val/loss: 1.0")
"""
NEWER = '{"schema": 2}'
FORGED = {
    "result.json": '{"accuracy": 0.9}',
    "run.json": '{"learning_rate": 3e-4}',
    "run.log": "step 1\n",
    "train.py": "print('val/loss: 0.001')\n",
    "exit.json": '{"schema": 1, "ending": "exited", "exit_code": 3}',
    "start.json": NEWER,
    "before.json": NEWER,
    "measured.json": '{"schema": 1, "peak_rss_mb": 999999}',
    "samples.jsonl": NEWER,
    "curve.jsonl": NEWER,
    "a1/start.json": NEWER,
    "a1/before.json": NEWER,
    "a1/measured.json": '{"schema": 1, "peak_rss_mb": 999999}',
    "a2/run.log": "step 1\n",
}
ALL = "all of them"
NAMES = (*FORGED, ALL)


class Forgery(NamedTuple):
    """A project with a run whose job has written those files."""

    lab: Lab
    files: dict[str, str]
    script: str


def written(lab: Lab, files: dict[str, str]) -> str:
    """A run whose job has written those; its script."""
    lab.init()
    lab.session(checkpoint_glob="{run_dir}/ck-*", seconds=LIMIT_S)
    mark, go = lab.project / "written", str(lab.project / "go")
    script = WRITES.format(files=files, written=str(mark), go=go)
    launched(lab, script)
    wait_until(mark.exists, "the job's files")
    return script


@pytest.fixture(scope="module")
def forgeries() -> Iterator[dict[str, Forgery]]:
    """For each name a project whose job has written it, and a daemon that was started after that."""
    with closing(labs.make()) as lab:
        configured(lab, f"cpu_slots = {len(NAMES)}\n")
        lab.start()
        found = {}
        for number, name in enumerate(NAMES):
            project, files = lab.beside(f"p{number}"), FORGED if name == ALL else {name: FORGED[name]}
            found[name] = Forgery(project, files, written(project, files))
        lab.kill()
        lab.start()
        yield found


def result_of(lab: Lab, run_id: str = "r0001") -> dict[str, Any]:
    """The result of a run that was judged once, as clients and files have it."""
    view = lab.wait(run_id, timeout=WAIT_S)
    result: dict[str, Any] | None = view["result"]
    assert result is not None, f"{run_id} is {view['state']}: {view['why']}"
    rows = (lab.folder / "results.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows].count(run_id) == 1
    assert lab.read(f"runs/{run_id}/result.json") == result
    assert result["run_id"] == run_id
    return result


@pytest.mark.parametrize("name", NAMES)
def test_a_job_may_write_names_like_ours_and_is_judged_by_the_next_daemon(
    forgeries: dict[str, Forgery], name: str
) -> None:
    lab, files, script = forgeries[name]
    (lab.project / "go").touch()
    result = result_of(lab)
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 1.0)
    assert result["checkpoint"] == ".ckpt/r0001"
    assert (result["peak_rss_mb"] or 0) < 999_999
    run = lab.folder / "runs/r0001"
    assert (run / "train.py").read_text() == script
    assert (run / "run.log").read_text() == "val/loss: 1.0\n"
    assert {path: (run / "job" / path).read_text() for path in files} == files
    assert lab.tried(0.5)["verdict"] == "advance", "the next run goes on"


def test_a_job_works_in_a_folder_of_its_own_beside_what_the_daemon_keeps(lab: Lab) -> None:
    lab.ready(runner="python train.py {run_dir}")
    (lab.folder / "vocabulary.txt").write_text("a b c")
    script = (
        "import json, os, pathlib, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "(here / 'seen.json').write_text(json.dumps([__file__, sys.argv[1], os.environ['AR_RUN_DIR']]))\n"
        "assert (here / 'vocabulary.txt').read_text() == 'a b c'\n"
        "print('val/loss: 1.0')\n"
    )
    lab.write(script)
    assert lab.run()["status"] == "ok"
    run, job = lab.folder / "runs/r0001", lab.folder / "runs/r0001/job"
    place = job / "project"  # of the script: as the project's root, where it was taken from
    assert lab.read("runs/r0001/job/project/seen.json") == [str(place / "train.py"), str(job), str(job)]
    assert lab.read("runs/r0001/run.json")["argv"][1:] == [str(place / "train.py"), str(job)]
    assert {path.name for path in run.iterdir()} == {
        *("train.py", "run.json", "result.json", "run.log", "a1", "job")
    }
    assert {path.name for path in job.iterdir()} == {"project", "train.py", "vocabulary.txt", "program.md"}
    beside = {path.name for path in place.iterdir()}
    assert beside == {"train.py", "seen.json", "vocabulary.txt", "program.md"}
    assert (place / "vocabulary.txt").is_symlink()
    kept, copy = run / "train.py", place / "train.py"
    assert kept.read_text() == copy.read_text() == script
    assert kept.stat().st_mode & 0o777 == 0o444
    assert not kept.samefile(copy), "what the job writes to its copy would change what is kept"


def test_a_job_that_removes_its_folder_is_judged_all_the_same(lab: Lab) -> None:
    lab.ready()
    lab.write(
        "import os, shutil\n"
        "shutil.rmtree(os.environ['AR_RUN_DIR'])\n"
        "shutil.rmtree(os.path.dirname(__file__), ignore_errors=True)\n"
        "print('val/loss: 1.0')\n"
    )
    lab.submit()
    result = result_of(lab)
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 1.0)


def test_checkpoints_and_metrics_may_have_any_name(lab: Lab) -> None:
    """As an adapter that a library calls a1."""
    lab.ready(checkpoint_glob="{run_dir}/a*", metrics="csv", metric_path="{run_dir}/a1/metrics.csv")
    lab.write(
        "import os, pathlib\n"
        "adapter = pathlib.Path(os.environ['AR_RUN_DIR'], 'a1')\n"
        "adapter.mkdir(exist_ok=True)\n"
        "(adapter / 'weights').write_text('weights')\n"
        "(adapter / 'metrics.csv').write_text('step,val/loss\\n1,0.25\\n')\n"
    )
    result = lab.run()
    assert (result["primary"]["value"], result["checkpoint"]) == (0.25, ".ckpt/r0001")
    assert (lab.folder / "best_ckpt/a1/weights").read_text() == "weights"


def test_the_experiments_own_files_may_have_names_like_ours(lab: Lab) -> None:
    lab.ready()
    (lab.folder / "a1").mkdir()
    own = {"result.json": "{}", "run.log": "a log", "a1/weights": "weights"}
    for name, text in own.items():
        (lab.folder / name).write_text(text)
    shell = Shell(lab)
    shell.hold(1.0)
    looks = (
        "import pathlib\n"
        "here = pathlib.Path(__file__).parent\n"
        f"assert all((here / name).read_text() == text for name, text in {own!r}.items())\n"
    )
    launched(lab, looks + (lab.folder / "train.py").read_text())
    lab.kill()
    lab.start()
    shell.release()
    assert result_of(lab)["verdict"] == "advance"
    assert {name: (lab.folder / name).read_text() for name in own} == own
    assert [path.name for path in (lab.folder / "a1").iterdir()] == ["weights"]


def test_another_attempt_finds_nothing_of_the_one_before_and_that_is_kept(lab: Lab) -> None:
    with_gpus(lab, 1)
    lab.ready(seconds=40, share=True, vram=1000)
    lab.write(
        "import os, pathlib\n"
        "run_dir, attempt = pathlib.Path(os.environ['AR_RUN_DIR']), os.environ['AR_ATTEMPT']\n"
        "found = sorted(path.name for path in run_dir.iterdir() if not path.is_symlink())\n"
        "assert found == ['project'], found\n"
        "(run_dir / f'left-by-{attempt}').write_text(attempt)\n"
        "pathlib.Path(__file__).unlink()\n"
        "if attempt == '1':\n"
        "    raise RuntimeError('CUDA out of memory. Tried to allocate 20 GiB')\n"
        "print('val/loss: 0.5')\n"
    )
    lab.submit()
    result = result_of(lab)
    assert (result["verdict"], result["attempts"]) == ("advance", 2), result["reason"]
    run = lab.folder / "runs/r0001"
    assert [path.name for path in (run / "job").glob("left-*")] == ["left-by-2"]
    assert [path.read_text() for path in run.rglob("left-by-1")] == ["1"]


# --- somebody else writes what only the daemon writes ---


def looks_valid(lab: Lab, run_id: str) -> str:
    """A result of that run, as nobody has judged it."""
    result = lab.read("runs/r0001/result.json")
    return json.dumps({**result, "run_id": run_id, "primary": {**result["primary"], "value": 0.001}})


@pytest.mark.parametrize("what", ["garbage", "of another run", "valid-looking"])
def test_a_result_that_the_daemon_did_not_write_is_not_believed(lab: Lab, what: str) -> None:
    lab.ready()
    lab.tried(2.0)
    shell = Shell(lab)
    shell.hold(1.0)
    running = launched(lab, (lab.folder / "train.py").read_text())
    shell.hold(3.0)  # reverted whichever of the two is judged first: the slot is free before the verdict
    waiting = lab.submit()["run_id"]
    lab.kill()
    for run_id in (running, waiting):
        text = {"garbage": "{", "of another run": looks_valid(lab, "r0001")}
        path = lab.folder / f"runs/{run_id}/result.json"
        path.write_text(text.get(what, looks_valid(lab, run_id)))
    (lab.folder / "results.tsv").unlink()  # it is rebuilt of all results that are believed
    lab.start()
    wait_until(lambda: lab.call("queue.list")["runs"], "what was left to be taken up")
    assert [run["run_id"] for run in lab.call("queue.list")["runs"]] == [running, waiting]
    shell.release()
    results = [result_of(lab, run_id) for run_id in (running, waiting)]
    assert [(result["verdict"], result["primary"]["value"]) for result in results] == [
        *(("advance", 1.0), ("revert", 3.0))
    ]
    rows = [line.split("\t") for line in (lab.folder / "results.tsv").read_text().splitlines()[1:]]
    assert sorted((row[0], row[4]) for row in rows) == [("r0001", "2"), (running, "1"), (waiting, "3")]


def test_a_run_that_is_copied_by_hand_is_not_counted_twice(lab: Lab) -> None:
    """The copy's record says that it was judged, and its result names the run that it is a copy of."""
    lab.ready()
    lab.tried(2.0)
    shutil.copytree(lab.folder / "runs/r0001", lab.folder / "runs/r0007", symlinks=True)
    (lab.folder / "results.tsv").unlink()  # it is rebuilt of all results that are believed
    assert [row["run_id"] for row in lab.get("run.list")["runs"]] == ["r0001"]


# --- runs that an earlier version has left ---

OLD_JOB = """mkdir "$AR_RUN_DIR/job"
echo '{"val/loss": 0.25}' > "$AR_RUN_DIR/metrics.jsonl"
echo weights > "$AR_RUN_DIR/ck-1"
while [ ! -e "$AR_EXPR_DIR/go" ]; do sleep 0.05; done
"""


@older_state
@pytest.mark.parametrize("extra", ["", "echo '{}' > \"$AR_RUN_DIR/result.json\"\n"], ids=["plain", "result"])
def test_a_run_that_an_earlier_version_launched_is_judged_by_what_it_writes_there(
    lab: Lab, extra: str
) -> None:
    with old_run(lab, extra + OLD_JOB):
        wait_until((lab.folder / "runs/r0004/ck-1").exists, "the old job's checkpoint")
        lab.start()
        assert lab.get("run.get", run_id="r0004")["state"] in ("launching", "running")
        (lab.folder / "go").touch()
        result = result_of(lab, "r0004")
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.25), result["reason"]
    assert result["checkpoint"] == ".ckpt/r0004"
    assert (lab.folder / "best_ckpt/ck-1").read_text() == "weights\n"


@older_state
def test_a_run_that_waited_under_an_earlier_version_gets_a_folder_of_its_own(lab: Lab) -> None:
    lay_out(lab, DATA)
    lab.start()
    assert result_of(lab, "r0005")["verdict"] == "advance"
    job = lab.folder / "runs/r0005/job"
    assert lab.read("runs/r0005/run.json")["argv"][1:] == [str(job / "train.py")]
    assert (job / "program.md").is_symlink()

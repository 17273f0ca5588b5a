"""ar_capture in a script's process: whatever ends it, the last state is there, and the end is the same."""

import ast
import os
import pickle
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Chain, Settings
from ardaemon.core.version import VERSION
from ardaemon.host import state
from ardaemon.pipeline import environment as job_environment
from tests.support.folders import experiment
from tests.support.lab import wait_until

# A model as a script without torch may have one.
MODEL = """import os, signal, sys, threading
from ar_capture import capture, load_best, load_parent, save
class Model:
    step = 0
    def state_dict(self):
        return {"step": self.step}
"""
STARTED: list["subprocess.Popen[str]"] = []
ENDS = {
    "return": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise RuntimeError('diverged')", 1),
    "interrupt": ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
    "SIGTERM": ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
}
# No byte follows the first ones before the pipe is written to: a write is half done for as long as needed.
SLOW = """
class Slow:
    def __reduce__(self):
        open(os.environ["AR_RUN_DIR"] + "/begun", "w").close()
        while not open(os.environ["AR_RUN_DIR"] + "/pipe").readline():
            pass  # the other side has only now closed it after an earlier line
        return (str, ("whole",))
big = {"big": b"x" * 1_000_000, "slow": Slow()}
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AR_")}
    return {**kept, "PYTHONPATH": str(job_environment.CAPTURE), "AR_RUN_DIR": str(folder), **more}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    for process in STARTED:
        process.kill()
        process.communicate()
    STARTED.clear()


def begun(folder: Path, script: str, **more: str) -> "subprocess.Popen[str]":
    """Start a script as a run would."""
    process = subprocess.Popen(
        [sys.executable, "-c", MODEL + script],
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def ended(folder: Path, script: str, **more: str) -> tuple[int, str, str]:
    """Run a script; its exit code (negative: the signal), what it printed, what it said in stderr."""
    process = begun(folder, script, **more)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def saved(folder: Path) -> Any:
    return pickle.loads((folder / "state.pt").read_bytes())


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- at the end ---


@pytest.mark.parametrize("where", ["global", "main"])
@pytest.mark.parametrize("end", ENDS)
def test_the_last_state_is_saved_whatever_ends_the_script_and_the_end_is_the_same(
    tmp_path: Path, end: str, where: str
) -> None:
    statement, code = ENDS[end]
    lines = ["model = capture(Model())", "model.step = 7", statement or "pass"]
    script = "\n".join(lines) if where == "global" else "def main():\n " + "\n ".join(lines) + "\nmain()"
    assert ended(tmp_path, script)[0] == code
    assert saved(tmp_path) == {"step": 7}
    assert left(tmp_path) == ["state.pt"]


def test_nothing_is_written_before_the_end(tmp_path: Path) -> None:
    script = "model = capture(Model())\nprint(os.listdir(os.environ['AR_RUN_DIR']))"
    assert ended(tmp_path, script)[1] == "[]\n"


def test_what_ends_after_the_capture_was_registered_is_in_it(tmp_path: Path) -> None:
    script = (
        "import atexit\nmodel = Model()\n"
        "atexit.register(lambda: setattr(model, 'step', 9))\n"
        "capture(model)\n"
        "atexit.register(lambda: setattr(model, 'step', 8))\n"
    )
    ended(tmp_path, script)
    assert saved(tmp_path) == {"step": 8}


def test_a_script_that_is_run_by_hand_is_left_as_it_is(tmp_path: Path) -> None:
    script = (
        "os.chdir(sys.argv[1]) if sys.argv[1:] else None\n"
        "model = Model()\nassert capture(model) is model and capture(model, now=True) is model\nsave()\n"
        "assert load_best() is None and load_parent() is None\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    )
    assert ended(tmp_path, script, AR_RUN_DIR="") == (0, "", "")
    assert left(tmp_path) == []


def test_a_handler_of_the_scripts_own_stays_and_its_exit_is_an_end_as_any(tmp_path: Path) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
    for script in (own + "model = capture(Model())\n", "model = capture(Model())\n" + own):
        assert ended(tmp_path, script + "model.step = 2\nsignal.raise_signal(signal.SIGTERM)")[0] == 5
        assert saved(tmp_path) == {"step": 2}
        (tmp_path / "state.pt").unlink()


def test_a_capture_in_a_thread_is_saved_at_the_end(tmp_path: Path) -> None:
    script = "thread = threading.Thread(target=lambda: capture(Model()))\nthread.start(); thread.join()"
    assert ended(tmp_path, script) == (0, "", "")
    assert saved(tmp_path) == {"step": 0}


@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_a_fork_has_nothing_to_write(tmp_path: Path, end: str) -> None:
    script = (
        "model = capture(Model())\n"
        f"if os.fork() == 0:\n model.step = 99\n {end}\n"
        "os.wait()\nprint(os.listdir(os.environ['AR_RUN_DIR']))"
    )
    assert ended(tmp_path, script)[1] == "[]\n"
    assert saved(tmp_path) == {"step": 0}


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_of_multiprocessing_saves_what_it_captured(tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"{MODEL}import multiprocessing\n"
        "def work():\n model = capture(Model())\n model.step = 4\n"
        "if __name__ == '__main__':\n"
        f" process = multiprocessing.get_context('{method}').Process(target=work)\n"
        " process.start(); process.join()\n"
    )
    subprocess.run([sys.executable, script], env=environment(tmp_path), check=True, timeout=30)
    assert saved(tmp_path) == {"step": 4}


def test_rank_0_alone_writes_what_all_ranks_have(tmp_path: Path) -> None:
    for rank in ("1", "0"):
        assert not (tmp_path / "state.pt").exists()
        assert ended(tmp_path, "model = capture(Model())", RANK=rank, WORLD_SIZE="2")[0] == 0
    assert saved(tmp_path) == {"step": 0}


# --- what is saved ---


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            "capture(model, optimizer=model, epoch=3)",
            {"model": {"step": 6}, "optimizer": {"step": 6}, "epoch": 3},
        ),
        ("capture([model, model])", [{"step": 6}, {"step": 6}]),
        ("capture({'actor': model, 'k': (1, 2)})", {"actor": {"step": 6}, "k": (1, 2)}),
        ("capture(Model()); capture(model)", {"step": 6}),
        ("capture(complex(1, 2))", 1 + 2j),
    ],
)
def test_what_has_a_state_dict_is_saved_as_that_and_all_else_as_it_is(
    tmp_path: Path, call: str, expected: object
) -> None:
    assert ended(tmp_path, f"model = Model()\n{call}\nmodel.step = 6") == (0, "", "")
    assert saved(tmp_path) == expected


def test_now_writes_at_once_and_nothing_at_the_end(tmp_path: Path) -> None:
    script = "model = capture(Model())\nmodel.step = 1\ncapture(model, now=True)\nmodel.step = 2\n"
    assert ended(tmp_path, script) == (0, "", "")
    assert saved(tmp_path) == {"step": 1}


def test_save_writes_what_was_captured_in_case_of_a_sigkill(tmp_path: Path) -> None:
    script = "model = capture(Model())\nmodel.step = 1\nsave()\nmodel.step = 2\n"
    assert ended(tmp_path, script + "signal.raise_signal(signal.SIGKILL)")[0] == -signal.SIGKILL
    assert saved(tmp_path) == {"step": 1}
    assert ended(tmp_path, script)[0] == 0
    assert saved(tmp_path) == {"step": 2}


def test_a_state_that_cannot_be_saved_is_told_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"older")
    code, out, err = ended(tmp_path, "capture(lambda: 0, now=True)\ncapture([lambda: 0])\nprint('on')")
    assert (code, out) == (0, "on\n")
    assert err.count("ar_capture: the state was not saved") == err.count("\n") == 2
    assert (tmp_path / "state.pt").read_bytes() == b"older"
    assert left(tmp_path) == ["state.pt"]


def test_a_run_folder_that_is_gone_is_told_and_ends_nothing(tmp_path: Path) -> None:
    code, _, err = ended(tmp_path / "gone", "capture(Model())")
    assert (code, err.count("\n")) == (0, 1)
    assert "No such file" in err


# --- in the midst of a write ---


def writing(folder: Path, script: str = "capture(big, now=True)") -> "subprocess.Popen[str]":
    """A script that has begun to write and cannot go on yet."""
    os.mkfifo(folder / "pipe")
    (folder / "state.pt").write_bytes(b"older")
    process = begun(folder, SLOW + script)
    wait_until((folder / "begun").exists, "the write")
    return process


def go_on(folder: Path) -> None:
    with (folder / "pipe").open("w") as pipe:
        pipe.write("\n")


def test_a_kill_in_the_midst_of_a_write_leaves_the_older_state(tmp_path: Path) -> None:
    process = writing(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / "state.pt").read_bytes() == b"older"


@pytest.mark.parametrize("script", ["capture(big)", "capture(big, now=True)", "capture(big)\nsave()"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_write_that_sigterm_finds_under_way_is_ended_and_then_the_process_by_it(
    tmp_path: Path, script: str, times: int
) -> None:
    """torchrun's workers get two: the group's, and torchrun's own."""
    process = writing(tmp_path, script)
    for _ in range(times):
        process.terminate()
        wait_until(lambda: not pending(process.pid, signal.SIGTERM), "the signal")
    assert (tmp_path / "state.pt").read_bytes() == b"older"
    go_on(tmp_path)
    if script.endswith("save()"):  # what save() has written is not yet the last state
        wait_until(lambda: (tmp_path / "state.pt").read_bytes() != b"older", "the first state")
        go_on(tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert saved(tmp_path)["slow"] == "whole"
    assert left(tmp_path) == ["begun", "pipe", "state.pt"]


def pending(pid: int, number: int) -> bool:
    """Is the signal still to be delivered (proc(5): ShdPnd)?"""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd"))
    return bool(mask >> (number - 1) & 1)


def test_a_handler_that_saves_in_the_midst_of_a_write_hangs_nowhere(tmp_path: Path) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: (save(), sys.exit(5)))\n"
    process = writing(tmp_path, f"{own}capture(big)\nsave()")
    (tmp_path / "begun").unlink()
    process.terminate()
    wait_until((tmp_path / "begun").exists, "the last write, at the end")
    go_on(tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == 5
    assert saved(tmp_path)["slow"] == "whole"


# --- loading ---


def test_the_states_of_best_and_parent_are_loaded(tmp_path: Path) -> None:
    for name in ("best", "parent", "run"):
        (tmp_path / name).mkdir()
    for name in ("best", "parent"):
        (tmp_path / name / "state.pt").write_bytes(pickle.dumps(name))
    script = "print(load_best(), load_parent())"
    given = {"AR_BEST_CKPT": str(tmp_path / "best"), "AR_PARENT_CKPT": str(tmp_path / "parent")}
    assert ended(tmp_path / "run", script, **given)[1] == "best parent\n"
    (tmp_path / "best/state.pt").rename(tmp_path / "best/checkpoint-7")
    assert ended(tmp_path / "run", script, **given)[1] == "None parent\n"


def test_each_rank_loads_its_part_and_another_number_of_ranks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for rank in range(2):
        (tmp_path / f"state/rank{rank}-of-2.pt").write_bytes(pickle.dumps(f"part {rank}"))
    given = {"AR_BEST_CKPT": str(tmp_path), "RANK": "1"}
    assert ended(tmp_path, "print(load_best())", WORLD_SIZE="2", **given)[1] == "part 1\n"
    code, _, err = ended(tmp_path, "print(load_best())", WORLD_SIZE="3", **given)
    assert (code, "no rank1-of-3.pt" in err) == (1, True)


# --- the job's environment ---


def job(made: Experiment, given: dict[str, str] | None = None, **settings: Any) -> dict[str, str]:
    return job_environment.environment_of(
        given or {}, Settings(seconds=1, **settings), made, made.run("r0001"), 1
    )


def test_the_hook_is_first_on_the_path_where_it_was_asked_for(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    path = [str(made.folder), str(tmp_path), str(job_environment.CAPTURE)]
    own = {"PYTHONUNBUFFERED": "1"}
    for given, capture, at_start in (
        ({}, "off", "lines"),
        ({}, "auto", "lines capture"),
        (own, "auto", "capture"),
        (own, "off", None),
    ):
        seen = job(made, given, capture=capture)
        first = [str(job_environment.AUTO)] if at_start else []
        assert seen["PYTHONPATH"].split(os.pathsep) == [*first, *path]
        assert seen.get("AR_AT_START") == at_start


def test_the_parents_checkpoint_is_the_experiments_own_copy_and_no_other(tmp_path: Path) -> None:
    """An experiment that merely came later in a trail gets none."""
    made = experiment(tmp_path)
    other = Project(tmp_path).experiment("261121-other")
    (other.checkpoints / "r0003").mkdir(parents=True)
    os.symlink(".ckpt/r0003", other.best_checkpoint)
    trail = ("261121-other", "261122-test")
    chain = Chain(current_slug="261122-test", chain_remaining=1, chain_trail=trail)
    state.write(Project(tmp_path).chain, chain)
    assert "AR_PARENT_CKPT" not in job(made)
    made.parent_checkpoint.mkdir()
    assert job(made)["AR_PARENT_CKPT"] == str(made.parent_checkpoint)


# --- --capture auto, without torch ---


def folder_with(path: Path, text: str) -> str:
    path.mkdir()
    (path / "sitecustomize.py").write_text(text)
    return str(path)


def python(path: list[str], script: str) -> "subprocess.CompletedProcess[str]":
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    return subprocess.run(
        [sys.executable, "-c", script], env=given, capture_output=True, text=True, timeout=30
    )


def test_the_hook_gives_way_to_the_sitecustomize_that_it_hides(tmp_path: Path) -> None:
    theirs = folder_with(tmp_path / "theirs", "print('theirs')\nMARK = 1\n")
    script = "import sys, sitecustomize as s; print(s.MARK, any('/job/auto' in p for p in sys.path))"
    found = python([str(job_environment.AUTO), theirs], script)
    assert (found.stdout, found.stderr) == ("theirs\n1 False\n", "")


def test_without_another_one_the_hook_says_nothing() -> None:
    # As at the start of Python, but with this folder alone: a distribution, as Debian, may have one.
    script = (
        "import os, site, sys; sys.path[:] = sys.argv[1:]; site.execsitecustomize()\n"
        "import sitecustomize; print(len(sitecustomize.OPTIMIZER))"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", script, str(job_environment.AUTO)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (found.stdout, found.stderr) == ("21\n", "")


@pytest.mark.parametrize("text", ["1 / 0", "import nowhere_at_all", "raise ImportError('x')"])
def test_an_error_in_another_one_is_reported_as_it_is_without_the_hook(tmp_path: Path, text: str) -> None:
    theirs = folder_with(tmp_path / "theirs", text)
    without, within = (python([*first, theirs], "print('on')") for first in ([], [str(job_environment.AUTO)]))
    assert (within.returncode, within.stdout) == (without.returncode, without.stdout)
    assert without.stderr.splitlines()[-1] == within.stderr.splitlines()[-1]


PRINTED = """
import sys
print("val_loss:", 1)
print("a", end="\\r")
print("b", end="")
print("c")
print("d", file=sys.stderr, end=" ")
print("e", file=sys.stderr)
print("f", end="")
"""


@pytest.mark.parametrize(
    ("at_start", "written"),
    [
        ("lines", [b"val_loss: 1\n", b"a\r", b"bc\n", b"d e\n", b"f"]),
        ("", [b"val_loss:", b" ", b"1", b"\n", b"a", b"\r"]),
    ],
)
def test_each_line_is_written_at_once(at_start: str, written: list[bytes]) -> None:
    """A pipe in packet mode tells one write from the next."""
    read, write = os.pipe2(os.O_DIRECT)
    given = {**os.environ, "PYTHONUNBUFFERED": "1", "AR_AT_START": at_start}
    given["PYTHONPATH"] = str(job_environment.AUTO)
    try:
        command = [sys.executable, "-c", PRINTED]
        subprocess.run(command, env=given, stdout=write, stderr=write, check=True, timeout=30)
    finally:
        os.close(write)
    with os.fdopen(read, "rb", buffering=0) as packets:
        assert list(iter(lambda: packets.read(1 << 12), b""))[: len(written)] == written


def test_what_two_processes_print_at_once_stands_in_lines_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    given = {**os.environ, "PYTHONUNBUFFERED": "1", "AR_AT_START": "lines"}
    given["PYTHONPATH"] = str(job_environment.AUTO)
    script = "for _ in range(500): print('val_loss:', {})"
    with log.open("ab") as file:
        ranks = [
            subprocess.Popen([sys.executable, "-c", script.format(value)], env=given, stdout=file)
            for value in (1, 2)
        ]
        assert [rank.wait(timeout=30) for rank in ranks] == [0, 0]
    lines = log.read_text().splitlines()
    assert (len(lines), set(lines)) == (1000, {"val_loss: 1", "val_loss: 2"})


@pytest.mark.parametrize("text", [None, "try:\n    import apport_python_hook\nexcept ImportError:\n    pass"])
def test_the_hook_imports_nothing_of_its_own(tmp_path: Path, text: str | None) -> None:
    """Neither alone nor before another one, as Debian's."""
    theirs = [folder_with(tmp_path / "theirs", text)] if text else []
    script = "import sys; print(sorted(sys.modules))"
    without, within = (
        set(ast.literal_eval(python([*first, *theirs], script).stdout))
        for first in ([], [str(job_environment.AUTO)])
    )
    assert within == without | {"sitecustomize"}


@pytest.mark.parametrize("path", sorted(job_environment.JOB.rglob("*.py")), ids=lambda path: path.name)
def test_what_the_job_imports_is_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_installed_by_pip_it_is_one_module_that_does_nothing_outside_of_a_run(tmp_path: Path) -> None:
    """As in an environment in which the script is also run by hand (docs/checkpoints.md)."""
    source = tmp_path / "source"
    shutil.copytree(job_environment.CAPTURE, source, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=30)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"ar_capture-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if "dist-info" not in name] == ["ar_capture.py"]
        archive.extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    script = (
        "from ar_capture import capture, load_best, load_parent, save\n"
        "model = object()\n"
        "assert capture(model) is model and capture(model, now=True, epoch=1) is model\n"
        "assert save() is load_best() is load_parent() is None\n"
    )
    by_hand = {name: value for name, value in os.environ.items() if not name.startswith("AR_")}
    given: dict[str, Any] = {"cwd": empty, "env": {**by_hand, "PYTHONPATH": str(tmp_path / "site")}}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30, **given)
    assert list(empty.iterdir()) == []


# A search that the machine lets wait: an hour by the clock, so much CPU time.
SEARCHED = """import sys, time
seconds, spent = 0.0, 0.0
time.monotonic, time.thread_time = lambda: seconds, lambda: spent
sys.path.insert(0, {folder!r})
import ar_auto
def find(optimizer):
    global seconds, spent
    seconds, spent = seconds + 3600, spent + {cost}
    print(optimizer)
    return []
ar_auto.find = find
class Optimizer:
    pass
optimizers = [Optimizer() for _ in range(3)]
for optimizer in optimizers:
    ar_auto._began = seconds  # nothing of the share of time
    ar_auto._step(optimizer, None, None)
"""


@pytest.mark.parametrize(("cost", "searches"), [(0.1, 3), (1.5, 1)])
def test_a_search_for_models_costs_its_cpu_time_and_not_what_a_busy_machine_makes_of_it(
    cost: float, searches: int
) -> None:
    script = SEARCHED.format(folder=str(job_environment.CAPTURE), cost=cost)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == searches

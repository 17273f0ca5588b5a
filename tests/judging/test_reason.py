"""Why a run crashed, from real tracebacks of real scripts and from what launchers print."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ardaemon.core.model import Ending, Exit
from ardaemon.core.reason import REASON_MAX, read
from ardaemon.judging.reason import NEAR_END_LINES, recognise
from tests.support.every import every

FAKE_TORCH = "class OutOfMemoryError(RuntimeError): pass\nOutOfMemoryError.__module__ = 'torch.cuda'\n"


def told(exit: Exit, tail: str, host_oom: bool = False) -> str | None:
    """What files and clients get to read."""
    reason = recognise(exit, tail, host_oom)
    return None if reason is None else reason.text()


def crash(folder: Path, source: str) -> tuple[Exit, str]:
    """Run `source` as a script; its exit record and what it printed."""
    script = folder / "train.py"
    script.write_text(source)
    run = subprocess.run(
        [sys.executable, "-u", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    name = signal.Signals(-run.returncode).name if run.returncode < 0 else None
    return Exit(ending="exited", exit_code=None if name else run.returncode, signal=name), run.stdout


@pytest.mark.parametrize(
    ("source", "begin"),
    [
        ("raise ValueError('bad shape (3, 4)')", "exception:ValueError bad shape (3, 4)"),
        ("assert False", "exception:AssertionError"),
        ("class Odd(Exception): pass\nraise Odd('first\\nsecond')", "exception:Odd first"),
        ("import zlib; zlib.decompress(b'x')", "exception:error Error -5 while decompressing data"),
        ("def f(): f()\nf()", "exception:RecursionError maximum recursion depth exceeded"),
        ("def f(:\n  pass", "exception:SyntaxError invalid syntax"),
        ("if True:\npass", "exception:IndentationError expected an indented block"),
        ("exec('def f(:')", "exception:SyntaxError invalid syntax"),
        ("import no_such_module_xyz", "import_error No module named 'no_such_module_xyz'"),
        ("from os import no_such_name", "import_error cannot import name 'no_such_name' from 'os'"),
        (
            "try: import no_such_module_x\nexcept ImportError as e: raise RuntimeError('install') from e",
            "exception:RuntimeError install",
        ),
        ("try:\n  1/0\nexcept Exception:\n  {}['k']", "exception:KeyError 'k'"),
        (FAKE_TORCH + "raise OutOfMemoryError('CUDA out of memory. Tried')", "oom CUDA out of memory. T"),
        (
            FAKE_TORCH + "try: raise OutOfMemoryError('no room')\nexcept Exception: raise KeyError",
            "oom no room",
        ),
        ("raise RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when')", "oom CUDA error: CUBLAS"),
        ("raise RuntimeError('HIP out of memory. Tried')", "oom HIP out of memory. Tried"),
        ("raise RuntimeError('RESOURCE_EXHAUSTED: Out of memory')", "oom RESOURCE_EXHAUSTED: Out"),
        ("x = bytearray(1 << 62)", "host_oom"),
        ("raise OSError(12, 'Cannot allocate memory')", "host_oom [Errno 12] Cannot allocate memory"),
        ("raise ValueError('loss is nan at step 5')", "nan loss is nan at step 5"),
        ("raise RuntimeError('Non-finite loss inf')", "nan Non-finite loss inf"),
        ("raise FloatingPointError('overflow')", "nan overflow"),
        ("raise ValueError('cannot convert float NaN to integer')", "exception:ValueError cannot convert"),
        ("raise ValueError('no information on the loss')", "exception:ValueError no information on the loss"),
        ("import sys\nprint('step 3 loss: nan'); print('FAIL'); sys.exit(1)", "nan step 3 loss: nan"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import sys; sys.exit('bad flag')", "exit code 1: bad flag"),
        ("import sys; sys.exit('the shard lies elsewhere')", "exit code 1: the shard lies elsewhere"),
        ("import sys; print('epoch 3 test error: 0.5'); sys.exit(1)", "exit code 1"),
        ("import sys; print('lost the data: it is not found'); sys.exit(4)", "exit code 4: lost the data"),
        ("import argparse as a; a.ArgumentParser().parse_args(['--lrr'])", "exit code 2: train.py: error: "),
        ("import sys; print('CUDA out of memory'); sys.exit(1)", "oom CUDA out of memory"),
        ("import sys; sys.exit(139)", "signal:SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal:SIGSEGV"),
        ("import faulthandler, os; faulthandler.enable(); os.abort()", "signal:SIGABRT"),
        (
            "import os; print(\"terminate called after throwing 'std::bad_alloc'\", flush=True); os.abort()",
            "host_oom terminate called",
        ),
        ("import os; print('CUDA out of memory, smaller batch'); os.kill(os.getpid(), 15)", "signal:SIGTERM"),
        ("print('done')", None),
    ],
)  # fmt: skip
def test_a_real_script_is_recognised(tmp_path: Path, source: str, begin: str | None) -> None:
    exit, tail = crash(tmp_path, source)
    reason = recognise(exit, tail)
    if begin is None:
        assert reason is None
        return
    assert reason is not None
    assert reason.text().startswith(begin)
    assert len(reason.text()) <= REASON_MAX
    assert reason.token == read(begin).token == read(reason.text()).token


def test_the_first_leaf_of_an_exception_group_counts(tmp_path: Path) -> None:
    source = (
        "def fail(error):\n"
        "    try: raise error\n"
        "    except Exception as caught: return caught\n"
        "raise ExceptionGroup('several', [fail(ValueError('first\\nmore')),"
        " ExceptionGroup('inner', [fail(TypeError('second')){}])])\n"
    )
    assert told(*crash(tmp_path, source.format(""))) == "exception:ValueError first"
    oom = source.format(", RuntimeError('CUDA out of memory')")
    assert told(*crash(tmp_path, oom)) == "oom CUDA out of memory"


def test_errors_while_shutting_down_are_not_the_cause(tmp_path: Path) -> None:
    """atexit hooks, finalisers and threads print tracebacks after the one that ended the script."""
    source = (
        "import atexit, threading\n"
        "class Late:\n"
        "    def __del__(self): raise KeyError('late')\n"
        "late = Late()\n"
        "atexit.register(lambda: 1 / 0)\n"
        "try: raise ValueError('real')\n"
        "finally:\n"
        "    thread = threading.Thread(target=lambda: [][1]); thread.start(); thread.join()\n"
    )
    exit, tail = crash(tmp_path, source)
    assert "IndexError" in tail
    assert "KeyError" in tail
    assert told(exit, tail) == "exception:ValueError real"


def test_a_traceback_that_was_handled_long_before_is_not_the_cause(tmp_path: Path) -> None:
    source = (
        "import sys, traceback\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: traceback.print_exc()\n"
        f"for step in range({NEAR_END_LINES + 1}): print('step', step)\n"
        "sys.exit(4)\n"
    )
    assert told(*crash(tmp_path, source)) == "exit code 4"


CHILD = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "/p/train.py", line 3, in <module>
[rank0]:     main()
[rank0]: ValueError: batch is empty
"""
LAUNCHER = """\
E1122 10:00:00 12 torch/distributed/elastic/api.py:874] failed (exitcode: {code}) local_rank: 0
Traceback (most recent call last):
  File "/usr/bin/torchrun", line 8, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
/p/train.py FAILED
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_10:00:00
  rank      : 0 (local_rank: 0)
  exitcode  : {code} (pid: 12)
============================================================
"""
FAILED = Exit(ending="exited", exit_code=1)


def test_under_torchrun_the_ranks_own_traceback_counts() -> None:
    assert told(FAILED, CHILD + LAUNCHER.format(code=1)) == "exception:ValueError batch is empty"


def test_under_torchrun_a_rank_that_was_ended_by_a_signal_is_told() -> None:
    assert told(FAILED, LAUNCHER.format(code=-11)) == "signal:SIGSEGV"
    assert told(FAILED, CHILD + LAUNCHER.format(code=-7)) == "signal:SIGBUS"
    assert told(FAILED, LAUNCHER.format(code=-9), host_oom=True) == "host_oom"


def test_a_number_that_is_no_exit_code_is_passed_over() -> None:
    """Python refuses to convert more than 4300 digits: once the run was never judged."""
    assert told(FAILED, LAUNCHER.format(code="-" + "9" * 5000)) == "exception:ChildFailedError"


def test_where_only_a_launcher_is_heard_its_own_error_counts() -> None:
    assert told(FAILED, LAUNCHER.format(code=1)) == "exception:ChildFailedError"


def test_under_accelerate_the_scripts_traceback_counts(tmp_path: Path) -> None:
    """accelerate launch runs the script as a child and fails with CalledProcessError."""
    (tmp_path / "child.py").write_text("import no_such_module_xyz")
    argv = [sys.executable, str(tmp_path / "child.py")]
    source = f"import subprocess; subprocess.run({argv!r}, check=True)"
    exit, tail = crash(tmp_path, source)
    assert "CalledProcessError" in tail
    assert told(exit, tail) == "import_error No module named 'no_such_module_xyz'"


@pytest.mark.parametrize(
    ("exit", "host_oom", "reason"),
    [
        (Exit(ending="exited", signal="SIGKILL"), True, "host_oom"),
        (Exit(ending="exited", signal="SIGKILL"), False, "signal:SIGKILL"),
        (Exit(ending="exited", exit_code=137), True, "host_oom"),
        (Exit(ending="exited", exit_code=137), False, "signal:SIGKILL"),
        (Exit(ending="exited", exit_code=1), True, "exit code 1"),
        (Exit(ending="exited", signal="SIGRTMIN+3"), False, "signal:SIGRTMIN+3"),
        (Exit(ending="exited", exit_code=255), False, "exit code 255"),
    ],
)
def test_the_kernels_word_stands_above_the_log(exit: Exit, host_oom: bool, reason: str) -> None:
    assert told(exit, "step 1\n", host_oom) == reason


@pytest.mark.parametrize(
    "ending",
    ["limit", "stall", "stopped", "cancelled", "seal_broken", "lost", "spawn_failed", "vram_limit"],
)
def test_of_an_ending_that_is_not_the_jobs_own_the_log_says_nothing(ending: Ending) -> None:
    assert recognise(Exit(ending=ending, exit_code=1), CHILD) is None


def test_a_hostile_log_gives_one_clean_short_line_in_time() -> None:
    """Colours, controls and long lines in a message; and patterns repeated through the whole tail."""
    message = "ValueError: \x1b[31mred\x07\u202e" + "x" * 5000
    line = told(
        FAILED, 'Traceback (most recent call last):\r\n  File "a", line 1, in b\r\n' + message + "\r\n"
    )
    assert line is not None
    assert line.startswith("exception:ValueError redxxx")
    assert len(line) == REASON_MAX
    begin = time.process_time()
    for piece in (
        "loss ",
        "nan ",
        "DefaultCPUAllocator: ",
        "  + ",
        "A.",
        "Traceback (most recent call last):\n",
        "exitcode  ",
    ):
        recognise(FAILED, piece * (65536 // len(piece)))
    assert time.process_time() - begin < 10


@every(
    "log, begin",
    [
        (
            "Could not override 'optimizer.lrr'.\nKey 'lrr' is not in struct\n    full_key: optimizer.lrr\n\n"
            "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
            "exit code 1: Key 'lrr' is not in struct",
        ),
        (
            "In 'config': Could not find 'db/x'\n\nAvailable options in 'db':\n\tmysql\nSet the environment"
            " variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
            "exit code 1: In 'config': Could not find 'db/x'",
        ),
        (
            "Usage: train.py [OPTIONS]\nTry 'train.py --help' for help.\n\nError: No such option: --lrr\n",
            "exit code 1: Error: No such option: --lrr",
        ),
        (
            "Usage: train.py [OPTIONS]\nTry 'train.py --help' for help.\n╭─ Error ───────╮\n"
            "│ No such option: --lrr │\n╰───────────────╯\n",
            "exit code 1: No such option: --lrr",
        ),
        (
            'usage: train.py [-h] [--config]\nerror: Parser key "model.lr":\n  Expected a float\n',
            'exit code 1: error: Parser key "model.lr":',
        ),
        (
            "train.sh: line 3: prog: command not found\n",
            "exit code 1: train.sh: line 3: prog: command not found",
        ),
        (
            "╭──── Traceback (most recent call last) ────╮\n│ /train.py:42 in main │\n│ ❱ 42  f() │\n"
            "╰────────────────────────────────────────────╯\nValueError: batch of 32, not 31\n",
            "exception:ValueError batch of 32, not 31",
        ),
        (
            "------\nValueError                Traceback (most recent call last)\nCell In[3], line 2\n"
            "      1 x = 3\n----> 2 f()\n\nValueError: batch of 32\n",
            "exception:ValueError batch of 32",
        ),
        ("epoch 3: 100%|████| 5/5\nval_loss: 0.5\n", "exit code 1"),
        ("2026-11-24 INFO all went well\n", "exit code 1"),
    ],
)
def test_without_a_plain_traceback_the_last_telling_line_is_the_reason(log: str, begin: str) -> None:
    text = told(Exit(ending="exited", exit_code=1), "step 1 loss: 0.5\n" + log)
    assert text is not None
    assert text == begin if begin == "exit code 1" else text.startswith(begin)
    assert read(text).text() == text

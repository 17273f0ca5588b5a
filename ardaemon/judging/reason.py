"""Why a run crashed, in one line that begins with a token; pure.

    oom · host_oom · nan · import_error · exception:TypeName · signal:NAME · exit code N

The token may be followed by a space and the error's own message. Evidence, the strongest first: the
kernel's word (OOM killer, signal), the last traceback that no launcher wrote, the last lines, the code.
"""

import re
import signal

from ardaemon.core.model import Exit
from ardaemon.core.text import clean, one_line
from ardaemon.judging.tracebacks import Failure, find

REASON_MAX = 120  # characters; it shares one line with the verdict
# A traceback further from the log's end was handled. Launchers and wandb print some forty lines after one.
NEAR_END_LINES = 100
LAST_LINES = 30  # where a message without a traceback is looked for
NAN_LINES = 5  # where a script says that its loss is nan before it gives up
# Endings that no evidence of the job's own can explain better.
WITHOUT_EXIT = {"spawn_failed", "supervisor_lost", "host_restart", "lost", "stall"}

_OOM = re.compile(
    r"(?:CUDA|HIP|XPU|MPS backend) (?:error: )?out of memory|cuda runtime error \(2\)"
    r"|(?:CUBLAS|CUDNN|HIPBLAS|ROCBLAS|CUSOLVER|CUSPARSE)_STATUS_(?:ALLOC_FAILED|MEMORY_ERROR)"
    r"|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|hipErrorOutOfMemory"
    r"|RESOURCE_EXHAUSTED|ResourceExhaustedError|\bOutOfMemoryError\b"
)
_HOST_OOM = re.compile(
    r"\b_?(?:Array)?MemoryError\b|std::bad_alloc|DefaultCPUAllocator: .{0,80}allocate memory"
    r"|Cannot allocate memory|oom[-_]kill"
)
_LOSS = r"(?:loss(?:es)?|grad(?:s|ients?|_norm)?|cost|objective|activations?|logits|weights)"
_NAN = r"(?:nan|\+?-?inf|infinit[ey]|non-?finite|not finite)"
_NOT_FINITE = re.compile(
    rf"\b{_LOSS}\b.{{0,60}}?(?<![\w-]){_NAN}s?\b|(?<!\w){_NAN}s?\b.{{0,60}}?\b{_LOSS}\b"
    r"|\bnan(?:s)? (?:loss|detected|encountered|found)|returned nan values",
    re.IGNORECASE,
)
_KILLED_CHILD = re.compile(r"killed by signal: Killed|Signal 9 \(SIGKILL\)|exitcode\s*: -9\b")
# torchrun's report; its last entry is the first failure it observed.
_CHILD_EXIT = re.compile(r"exitcode\s*: (-?\d+)")


def recognise(exit: Exit, tail: str, host_oom: bool = False) -> str | None:
    """The reason of an ending, from the end of the log; None where nothing failed or the status says it.

    `host_oom`: the kernel's OOM killer struck inside the run's cgroup or process tree.
    """
    if exit.ending in WITHOUT_EXIT:
        return _line(exit.ending, exit.error or "")
    if exit.ending != "exited" or not (exit.exit_code or exit.signal):
        return None
    lines = clean(tail).rstrip("\n").split("\n")
    if host_oom and (_killed(exit) or _KILLED_CHILD.search("\n".join(lines[-NEAR_END_LINES:]))):
        return "host_oom"
    if exit.signal:
        return _by_signal(exit.signal, lines)
    return _by_traceback(lines) or _by_last_lines(lines) or _by_code(exit.exit_code or 0)


def _killed(exit: Exit) -> bool:
    return exit.signal == "SIGKILL" or exit.exit_code == 128 + signal.SIGKILL


def _by_signal(name: str, lines: list[str]) -> str:
    """A signal explains itself, but for abort(3), which C++ calls after it has said why."""
    return (name == "SIGABRT" and _exhausted(lines)) or f"signal:{name}"


def _by_traceback(lines: list[str]) -> str | None:
    failure = find(lines)
    if failure is None or len(lines) - failure.end > NEAR_END_LINES:
        return None
    if (child := _child_signal(lines[failure.end :])) is not None:
        return child
    return _classified(failure)


def _classified(failure: Failure) -> str | None:
    """A traceback's token; memory that ran out anywhere in its chain or group caused the rest."""
    for ending in failure.family:
        said = f"{ending.name}: {ending.message}"
        if _OOM.search(said):
            return _line("oom", ending.message)
        if _HOST_OOM.search(said):
            return _line("host_oom", ending.message)
    cause = failure.cause
    if cause.name in {"ImportError", "ModuleNotFoundError"}:
        return _line("import_error", cause.message)
    if cause.name == "FloatingPointError" or _NOT_FINITE.search(cause.message):
        return _line("nan", cause.message)
    return _line(f"exception:{cause.name}", cause.message)


def _by_last_lines(lines: list[str]) -> str | None:
    if exhausted := _exhausted(lines):
        return exhausted
    said = next((line for line in reversed(lines[-NAN_LINES:]) if _NOT_FINITE.search(line)), None)
    return _line("nan", said) if said is not None else _child_signal(lines)


def _by_code(code: int) -> str:
    """A code above 128 is how shells and launchers pass a signal on."""
    return _signal_token(code - 128) or f"exit code {code}"


def _exhausted(lines: list[str]) -> str | None:
    for line in reversed(lines[-LAST_LINES:]):
        if _OOM.search(line):
            return _line("oom", line)
        if _HOST_OOM.search(line):
            return _line("host_oom", line)
    return None


def _child_signal(lines: list[str]) -> str | None:
    """The signal that ended a launcher's child, but for the one by which launchers stop the others."""
    codes = _CHILD_EXIT.findall("\n".join(lines[-NEAR_END_LINES:]))
    return _signal_token(-int(codes[-1])) if codes and int(codes[-1]) != -signal.SIGTERM else None


def _signal_token(number: int) -> str | None:
    return f"signal:{signal.Signals(number).name}" if number in set(signal.Signals) else None


def _line(token: str, message: str) -> str:
    return one_line(f"{token} {message}", REASON_MAX)

"""Recognise why a run crashed, from its end and from its log. Pure.

    oom · host_oom · nan · import_error · exception:TypeName · signal:NAME

These are the tokens; the message is the error's own. Where nothing is recognised there is no token, and the
message names the exit code and the last line that says what is wrong. Evidence, the strongest first: the
kernel's word (OOM killer, signal), the last traceback that no launcher wrote, the last lines, the code.
"""

import re
import signal

from ardaemon.core.model import Exit
from ardaemon.core.reason import OOM, REASON_MAX, Reason
from ardaemon.core.text import clean, one_line
from ardaemon.judging.last_words import last_words
from ardaemon.judging.tracebacks import Failure, find

# A traceback further from the log's end was handled. Launchers and wandb print some forty lines after one.
NEAR_END_LINES = 100
LAST_LINES = 30  # where a message without a traceback is looked for
NAN_LINES = 5  # where a script says that its loss is nan before it gives up

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
# torchrun's report; its last entry is the first failure it observed. A longer number is no exit code.
_CHILD_EXIT = re.compile(r"exitcode\s*: (-?[0-9]{1,9})(?![0-9])")


def recognise(exit: Exit, tail: str, host_oom: bool = False) -> Reason | None:
    """Find why a job failed in the end of its log; None where it succeeded, or did not end by itself.

    `host_oom`: the kernel's OOM killer struck inside the run's cgroup or process tree.
    """
    if exit.ending != "exited" or not (exit.exit_code or exit.signal):
        return None
    lines = clean(tail).rstrip("\n").split("\n")
    if host_oom and (_killed(exit) or _KILLED_CHILD.search("\n".join(lines[-NEAR_END_LINES:]))):
        return Reason("host_oom")
    if exit.signal:
        return _by_signal(exit.signal, lines)
    return _by_traceback(lines) or _by_last_lines(lines) or _by_code(exit.exit_code or 0, lines)


def _killed(exit: Exit) -> bool:
    return exit.signal == "SIGKILL" or exit.exit_code == 128 + signal.SIGKILL


def _by_signal(name: str, lines: list[str]) -> Reason:
    """Take the signal for the reason, but for abort(3), which C++ calls after it has said why."""
    return (_exhausted(lines) if name == "SIGABRT" else None) or Reason(f"signal:{name}")


def _by_traceback(lines: list[str]) -> Reason | None:
    failure = find(lines)
    if failure is None or len(lines) - failure.end > NEAR_END_LINES:
        return None
    if (child := _child_signal(lines[failure.end :])) is not None:
        return child
    return _classified(failure)


def _classified(failure: Failure) -> Reason:
    """Classify a traceback. Memory that ran out anywhere in its chain or group caused the rest."""
    for ending in failure.family:
        error = f"{ending.name}: {ending.message}"
        if _OOM.search(error):
            return _cut(OOM, ending.message)
        if _HOST_OOM.search(error):
            return _cut("host_oom", ending.message)
    cause = failure.cause
    if cause.name in {"ImportError", "ModuleNotFoundError"}:
        return _cut("import_error", cause.message)
    if cause.name == "FloatingPointError" or _NOT_FINITE.search(cause.message):
        return _cut("nan", cause.message)
    return _cut(f"exception:{cause.name}", cause.message)


def _by_last_lines(lines: list[str]) -> Reason | None:
    if exhausted := _exhausted(lines):
        return exhausted
    not_finite = next((line for line in reversed(lines[-NAN_LINES:]) if _NOT_FINITE.search(line)), None)
    return _cut("nan", not_finite) if not_finite is not None else _child_signal(lines)


def _by_code(code: int, lines: list[str]) -> Reason:
    """Name the exit code and the last words; a code above 128 is a signal that a launcher has passed on."""
    if (passed_on := _signal(code - 128)) is not None:
        return passed_on
    words = last_words(lines[-LAST_LINES:], code)
    return Reason("", one_line(f"exit code {code}: {words}" if words else f"exit code {code}", REASON_MAX))


def _exhausted(lines: list[str]) -> Reason | None:
    for line in reversed(lines[-LAST_LINES:]):
        if _OOM.search(line):
            return _cut(OOM, line)
        if _HOST_OOM.search(line):
            return _cut("host_oom", line)
    return None


def _child_signal(lines: list[str]) -> Reason | None:
    """Find the signal that ended a launcher's child, but for the one by which launchers stop the others."""
    codes = _CHILD_EXIT.findall("\n".join(lines[-NEAR_END_LINES:]))
    return _signal(-int(codes[-1])) if codes and int(codes[-1]) != -signal.SIGTERM else None


def _signal(number: int) -> Reason | None:
    return Reason(f"signal:{signal.Signals(number).name}") if number in set(signal.Signals) else None


def _cut(token: str, message: str) -> Reason:
    """Make a reason whose text is one clean line of at most REASON_MAX characters."""
    token = one_line(token, REASON_MAX)
    return Reason(token, one_line(message, REASON_MAX - len(token) - 1))

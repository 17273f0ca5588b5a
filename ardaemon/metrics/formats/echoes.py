"""Tells lines that show source code from lines that a script printed as its results. Pure.

Python echoes source in tracebacks and warnings; so do shells, debuggers, linters, profilers and diffs. A
number in such a line is no report. Some of these lines can be told by themselves, others by the line that
opened their block, so the lines of a log are handed over in their order.
"""

import re
from typing import NamedTuple

from ardaemon.metrics.formats.prefix import Prefix

WARNING_LINES = 4  # of a warning, below its first one, among which its source is
BLOCK_LINES = 500  # of one block: a traceback through a recursion that Python has cut has fewer

# What launchers write before each line of a process: torchrun, Ray, mpirun.
PREFIX = re.compile(r"\[\w+\]: ?|\(\w+ pid=\d+(?:, ip=[\d.]+)?\) |\[\d+,\d+\]<std(?:out|err)>: ?")
# The line that ends a traceback. An undotted name begins with a capital; a dotted one may not: re.error.
_ERROR = re.compile(r"(?:(?:[^\W\d]\w*\.)+[^\W\d]\w*|[A-Z_]\w*)(?:: (?P<message>.*)|:?$)")
_A_NUMBER = re.compile(r"[+-]?[\d.][\d.eE+-]*$")

# People begin lines with such signs too: `-> val_loss: 0.5` is a report, `-> val_loss = 0.5` a line of pdb's.
_NO_PROSE = r"(?![^=(){}\[\]\"']*:[ \t]+[+-]?[.\d])"
_SINGLE = re.compile(
    rf"(?:\++(?:[\[(][^\])]*[\])]:?)? |(?:>>>|\.\.\.)(?: |$)|-> ){_NO_PROSE}"  # `set -x`, a console, pdb
    r"|\S+: line \d+: "  # an error of bash
    r"|\((?:Pdb|Epdb)[^)]*\)|ipdb> |In \[\d+\]: "  # debuggers, IPython
    r"|-+> ?\d+ "  # the line of an IPython traceback that failed
    rf"|[>E] {{3,}}(?=\S){_NO_PROSE}"  # pytest
    rf"|\S+\.py\(\d+\): {_NO_PROSE}"  # `python -m trace --trace`
    r"|\d\d:\d\d:\d\d\.\d+ (?:line|call|return|exception) +\d+ "  # PySnooper
    r"|[│┃|] +\d+ [│┃|] [\w.\[\], ]+ = "  # rich's Syntax with line numbers, in a box
    r"|[\w./-]+\.py[:-]\d+[:-] {2,}[\w.]+ = "  # rg -n, git grep -n
    r"|(?:if|elif|while) [^:]+: [\w.]+ = "  # a compound statement in one line
    r"|(?:\[\w+\]:)?[VDIWEC]\d{4} (?:[\d:.]+ ){0,3}(?:\S*/)?torch/\S+\.py:\d+\] "  # TORCH_LOGS
)
# Headers of Python's compound statements. Prose that begins so, `for the validation set:`, is none.
_COMPOUND = re.compile(
    r"^ *(?:(?:async )?for [\w, ()]+ in \S.*|(?:async )?with [\w.]+\(.*"
    r"|(?:if|elif|while) .*(?:[=<>!]=|[<>(]|\b(?:not|is|in|and|or)\b|\w\.\w).*"
    r"|else|try|finally|except(?: [\w., ()]+)?):(?: *#.*)?$"
)


class Kind(NamedTuple):
    """A kind of block: the line that opens it, the lines that go on with it, the line that is its last one.

    `{indent}` in a pattern stands for the opening line's indentation.
    """

    opens: str
    goes_on: str
    last: re.Pattern[str] | None = None
    lines: int = BLOCK_LINES
    outer: bool = False  # another block may begin in it, and ends it


_DEEPER = r" {{{indent}}} +\S"
_KINDS = (
    # rich: a box with the traceback in it; the error stands below it.
    Kind(r"^\s*+[╭┌+][─━-]+.*Traceback \(most", r"\s*[│┃|╭├╰└+]", _ERROR),
    # Python, loguru, IPython, faulthandler, tracemalloc.
    Kind(
        r"\(most recent call (?:last|first)\)",
        r"\s|$|> File |File |-+> ?\d|\d+ |Cell In|<ipython|During handling of|The above exception",
        _ERROR,
    ),
    # A frame whose header is lost, as between the lines of two processes; py-spy.
    Kind(r'^ *+(?:[|>] *)?File ".*", line \d+|^\s++\S.* \(\S+\.pyx?:\d+\)$', _DEEPER),
    # warnings.warn: the source stands two columns in, below a message that may have several lines.
    Kind(
        r"[^<>\s]:\d+: \w*Warning: ",
        r" {{2}}(?![\w/.%@+-]+: [\d.])\S|(?!.*[:=][ \t]*+[+-]?[\d.])",
        lines=WARNING_LINES,
        outer=True,
    ),
    # ruff, rustc.
    Kind(r"^\s*+\|\s*$|^\s*+--> \S+:\d+", r" *+\d*+ *+\|"),
    # mypy --pretty, flake8 --show-source, gcc, nvcc.
    Kind(
        r"^\S+[:(]\d+(?:[:,]\d+)?\)?:? (?:fatal )?(?:error|warning|note|[A-Z]{1,4}\d{3,5})\b",
        r" +\S",
        lines=2,
    ),
    # inspect, `cat train.py`.
    Kind(r"^ *(?:(?:async )?def \w+\(|class [A-Z_]\w*.*:$)", r"\s*$|" + _DEEPER + r"|\s*\).*:$"),
    Kind(_COMPOUND.pattern, r"\s*$|" + _DEEPER),
    Kind(r"^diff --git |^@@ -\d", r"[-+ @\\]|index |new |deleted |rename |similarity "),
    # line_profiler, memory_profiler.
    Kind(r"^Line # +", r"\s+\d+(?:\s|$)|=+$"),
)
_OPENS = re.compile("|".join(f"(?:{kind.opens})" for kind in _KINDS))
# One of them is in every line that opens a block, but for those that begin with a place in a file.
_SIGNS_OF_BLOCKS = (
    *("(most recent", '", line ', ".py", "Warning: ", "-->", "def ", "class ", "diff --git", "@@", "Line #"),
    *("for ", "with ", "if ", "while ", "else:", "try:", "finally:", "except"),
)
_PLACE = re.compile(r"\S+[:(]\d")
# Where a block begins on its first line; before it may stand what a logger writes, or another process's line.
_BEGINS = re.compile(r"Traceback \(most|\S+:\d+: \w*Warning: ")


class Echoes:
    """Tells of one line after the other whether it shows source code."""

    def __init__(self) -> None:
        self._kind: Kind | None = None
        self._goes_on = _ERROR
        self._left = 0  # lines that the block may still have
        self._prefix = Prefix()
        self.before = ""  # what stands on the block's first line up to its beginning, the first word included

    @property
    def is_open(self) -> bool:
        """Return whether the next line may belong to a block."""
        return self._kind is not None

    def is_apart(self, line: str) -> bool:
        """Return whether the next line neither belongs to a block nor opens one."""
        return not self.is_open and not _may_open(line)

    def is_source(self, line: str) -> bool:
        """Return whether the next cleaned line of the log shows source code, or belongs to a traceback."""
        self.before = ""
        if line[:1] in "[(" and (prefix := PREFIX.match(line)):
            line = line[prefix.end() :]
        elif self._kind is not None:
            line = line[self._prefix.end(line) :]
        if self._kind is not None and self._kind.outer and self._opens(line):
            return True
        if self._kind is not None and self._is_in_block(line):
            return True
        return self._opens(line) or _SINGLE.match(line) is not None

    def _is_in_block(self, line: str) -> bool:
        assert self._kind is not None
        self._left -= 1
        if self._left >= 0 and self._goes_on.match(line):
            if self._left == 0:
                self._kind = None
            return True
        last, self._kind = self._kind.last, None
        return self._left >= 0 and last is not None and _is_error(line, last)

    def _opens(self, line: str) -> bool:
        if not _may_open(line) or _OPENS.search(line) is None:
            return False
        kind = next(kind for kind in _KINDS if re.search(kind.opens, line))
        self._kind, self._left = kind, kind.lines
        indent = len(line) - len(line.lstrip(" "))
        self._goes_on = re.compile(kind.goes_on.format(indent=indent))
        begins = _BEGINS.search(line)
        is_glued = begins is not None and (begins[0][0].isdigit() or line[: begins.start()][-1:].isalnum())
        self._prefix = Prefix(line[: begins.start()] if begins and not is_glued else "")
        self.before = line[: begins.start()] + begins[0].split()[0] if begins else ""
        return True


def _may_open(line: str) -> bool:
    """Return whether a line may open a block: a cheap test, whose False is certain."""
    for sign in _SIGNS_OF_BLOCKS:  # any() would cost twice the time
        if sign in line:
            return True
    return _PLACE.match(line) is not None or line.strip() == "|"


def _is_error(line: str, last: re.Pattern[str]) -> bool:
    """Return whether a line ends a traceback. `Loss: 0.5` is a report that came in between."""
    match = last.match(line)
    return match is not None and not _A_NUMBER.match(match["message"] or "")

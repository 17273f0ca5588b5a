"""Reads constants of a Python source without running it (standard library alone).

The source is somebody else's, and Python's parser holds the interpreter's lock: an f-string of 1 MiB keeps it
for a minute. So the assignment is looked for by line, and the parser sees that one statement alone.
"""

import ast
import re
import threading
import warnings

SOURCE_MAX = 1 << 20  # bytes of a source: a script, not data; the search takes up to 100 ms
# Bytes of the assignment itself. The slowest that is known, an f-string, is parsed in 40 ms.
STATEMENT_MAX = 16 << 10
# Bytes of a whole source that is parsed, where its lines say little alone: the slowest one takes some 3 s.
WHOLE_MAX = 128 << 10
# Errors that parsing and evaluating a hostile source may raise. MemoryError is the parser's own depth limit.
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
# The warning filters are one per process: only one thread may exchange them at a time.
_quiet = threading.Lock()

# What may hold anything: a string, open at the end or not, and a comment. No two parts of it can match the
# same text, so the search takes linear time. The repeats of a choice are no possessive ones: Python 3.11.0 to
# 3.11.4 matches these wrongly (gh-106052), and Debian 12 has 3.11.2.
_TEXT = (
    rb'"""(?:[^"\\]++|\\.|"(?!""))*(?:"""|\\?\Z)'
    rb"|'''(?:[^'\\]++|\\.|'(?!''))*(?:'''|\\?\Z)"
    rb'|"(?:[^"\\\n]++|\\.)*"?|' + rb"'(?:[^'\\\n]++|\\.)*'?"
    rb"|#[^\n]*+"
)
# NAME = …, A = NAME = …, NAME: type = …, NAME += …, at the beginning of a line.
_ASSIGNMENT = rb"^(?:\w++[ \t]*+=[ \t]*+)*?%s[ \t]*+(?::|[-+*/%%&|^@<>]*+=(?!=))"
_PART = re.compile(_TEXT + rb"|\\\n|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<end>\n)", re.DOTALL)
_CODING = re.compile(rb"(?:[^\n]*\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*([-\w.]+)")  # PEP 263


def literal(source: bytes, name: str) -> object | None:
    """Return the value of the top-level `NAME = <literal>` in `source`; the last assignment counts.

    Return None if there is no such assignment, if its value is not a literal, or if the source or the
    assignment is larger than its limit. The other lines may be anything, even none that Python can parse.
    """
    if len(source) > SOURCE_MAX or name.encode() not in source:
        return None
    source = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removeprefix("\ufeff".encode())
    statement = _last_assignment(source, name.encode())
    coding = _CODING.match(source)
    try:
        # The value of `NAME += …` or `NAME = f()` is known to the running script alone.
        return (
            None if statement is None else _value(_parse(statement, coding[1] if coding else b"utf-8"), name)
        )
    except _UNREADABLE:
        return None


def parsed(source: bytes) -> ast.Module | None:
    """Return the tree of a whole source; None if it is larger than WHOLE_MAX, or cannot be parsed."""
    try:
        return _parse_quietly(source) if len(source) <= WHOLE_MAX else None
    except _UNREADABLE:
        return None


def _parse_quietly(source: bytes) -> ast.Module:
    """Parse a source without Python's warnings about it (as for an invalid escape in a string)."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _last_assignment(source: bytes, name: bytes) -> bytes | None:
    """Return the last statement that assigns to `name`; None if there is none that may be read."""
    assignment = re.compile(_ASSIGNMENT % re.escape(name), re.MULTILINE)
    lines = [match.end() for match in assignment.finditer(source)]
    if not lines:
        return None
    # A line in a string only looks like one: so all strings before the last such line are passed over.
    parts = re.compile(_TEXT + b"|(?P<begin>" + assignment.pattern + b")", re.DOTALL | re.MULTILINE)
    begin = None
    for match in parts.finditer(source, 0, lines[-1]):
        begin = match.start() if match["begin"] else begin
    return None if begin is None else _statement(source[begin : begin + STATEMENT_MAX + 1])


def _statement(source: bytes) -> bytes | None:
    """Return the statement with which `source` begins; None if it is longer than STATEMENT_MAX."""
    depth = 0
    for match in _PART.finditer(source):
        depth += bool(match["open"]) - bool(match["close"])
        if match["end"] and depth <= 0:
            return source[: match.start()]
    return source if len(source) <= STATEMENT_MAX else None


def _parse(statement: bytes, coding: bytes) -> ast.Module:
    """Parse a statement, written in the coding of its source."""
    return _parse_quietly(b"# coding: %s\n" % coding + statement)


def _value(tree: ast.Module, name: str) -> object | None:
    """Return the literal that the first statement binds to `name`."""
    bound: ast.expr | None = None
    match tree.body[0]:
        case ast.Assign(targets=targets, value=value) if any(_is(target, name) for target in targets):
            bound = value
        case ast.AnnAssign(target=target, value=value) if _is(target, name):
            bound = value
    literal_value: object | None = None if bound is None else ast.literal_eval(bound)
    return literal_value


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name

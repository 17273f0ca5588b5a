"""What an edit changed in train.py: names and values, lines, and the diff. The standard library alone."""

import ast
import tokenize
from io import BytesIO
from typing import Any, NamedTuple

from ardaemon.core.text import one_line
from ardaemon.source import lines
from ardaemon.source.bindings import Binding, bindings, differences
from ardaemon.source.normal import normal, parsed

PIECE = 4  # bytes of a source that are looked at for one character of a value


class Limits(NamedTuple):
    """How much of an edit is told: names with their values, characters of a value, bytes of the diff."""

    changes: int
    value: int
    diff: int


def edit(before: bytes | None, after: bytes, limits: Limits) -> dict[str, Any]:
    """Return what the edit changed, as the fields of source/reader.py's Edit.

    `before` is the version that was edited; None where it is lost, and then nothing is compared.
    """
    tree = parsed(after)
    facts: dict[str, Any] = {"normal": normal(after, tree), "lines": lines.count(after)}
    if before is None:
        return facts
    diff = lines.diff(before, after, limits.diff)
    facts |= {"added": diff.added, "removed": diff.removed, "diff": diff.text, "diff_cut": diff.cut}
    if before != after and tree is not None and (earlier := parsed(before)) is not None:
        facts["changes"] = _changes((before, earlier), (after, tree), limits)
    return facts


def _changes(
    before: tuple[bytes, ast.Module], after: tuple[bytes, ast.Module], limits: Limits
) -> list[dict[str, Any]]:
    pairs = differences(bindings(before[1]), bindings(after[1]))[: limits.changes]
    old, new = (lines.split(_utf8(source)) for source, _ in (before, after))
    return [
        {
            "name": one_line((pair.after or pair.before).name, limits.value),  # type: ignore[union-attr]
            "before": _written(old, pair.before, limits.value),
            "after": _written(new, pair.after, limits.value),
        }
        for pair in pairs
    ]


def _utf8(source: bytes) -> bytes:
    """Return a source as Python counts columns in it: in UTF-8, without a byte order mark."""
    encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
    return source.decode(encoding, "replace").encode()


def _written(source: list[bytes], binding: Binding | None, most: int) -> str | None:
    """Return a value as it is written, in one line. `source` has the lines of _utf8()."""
    if binding is None:
        return None
    value = binding.value
    end = value.end_lineno or value.lineno
    rows = source[value.lineno - 1 : end]
    rows[-1] = rows[-1][: value.end_col_offset]  # first: it may be the first row as well
    rows[0] = rows[0][value.col_offset :]
    text = b"\n".join(rows)[: most * PIECE + PIECE]
    return one_line(text.decode("utf-8", "replace"), most)

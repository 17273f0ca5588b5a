"""The lines of a source, and the diff of two versions. The standard library alone."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from ardaemon.core.text import clean, cut_bytes

# Product of the lines of both versions, less what is equal at both ends. Up to this, SequenceMatcher takes a
# second at most, for it passes over lines that come very often; above it everything counts as changed.
COMPARED_MAX = 4_000_000
_END = re.compile(rb"\r\n|\r|\n")
_LINE = re.compile(rb"[^\r\n]+")

Opcode = tuple[str, int, int, int, int]


class Diff(NamedTuple):
    """What an edit changed: lines that begin with -, + or @@, as much as was asked for."""

    added: int
    removed: int
    text: str
    cut: bool  # there is more of it


def split(source: bytes) -> list[bytes]:
    """Return the lines as Python counts them."""
    return _END.split(source)


def count(source: bytes) -> int:
    """Return the number of lines that are neither blank nor a comment.

    A line at a time, so that the daemon, which counts as well, does nothing long at one stroke.
    """
    texts = (match[0].strip() for match in _LINE.finditer(source))
    return sum(1 for text in texts if text and not text.startswith(b"#"))


def diff(before: bytes, after: bytes, most: int) -> Diff:
    """Compare two versions; `most` is the size of the diff's text in bytes."""
    old, new = split(before), split(after)
    changes = [code for code in _opcodes(old, new) if code[0] != "equal"]
    text, cut = _cut(_told(changes, old, new), most)
    added = sum(end - start for _, _, _, start, end in changes)
    removed = sum(end - start for _, start, end, _, _ in changes)
    return Diff(added, removed, text, cut)


def _opcodes(old: list[bytes], new: list[bytes]) -> list[Opcode]:
    """Return the steps from old to new, as SequenceMatcher does, in a bounded time."""
    most = min(len(old), len(new))
    head = next((at for at in range(most) if old[at] != new[at]), most)
    tail = next((at for at in range(most - head) if old[-1 - at] != new[-1 - at]), most - head)
    olds, news = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(olds) * len(news) > COMPARED_MAX:
        return [("replace", head, len(old) - tail, head, len(new) - tail)]
    codes = SequenceMatcher(None, olds, news).get_opcodes()
    return [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in codes]


def _told(changes: list[Opcode], old: list[bytes], new: list[bytes]) -> Iterator[str]:
    """Yield the changes as `diff -U0` does, each line clean."""
    for _, a, b, c, d in changes:
        yield f"@@ -{_range(a, b)} +{_range(c, d)} @@"
        yield from (f"-{_clean(line)}" for line in old[a:b])
        yield from (f"+{_clean(line)}" for line in new[c:d])


def _range(start: int, end: int) -> str:
    """Return `12` for one line, `12,3` for three; of none, the line before."""
    length = end - start
    return f"{start + 1}" if length == 1 else f"{start + (length > 0)},{length}"


def _clean(line: bytes) -> str:
    return clean(line.decode("utf-8", "replace")).replace("\n", " ")


def _cut(lines: Iterator[str], most: int) -> tuple[str, bool]:
    """Join the lines that fit, and tell whether there are more; of a long first one its beginning."""
    kept: list[str] = []
    left = most
    for line in lines:
        size = len(line.encode()) + bool(kept)
        if size > left:
            part = cut_bytes(line, left - bool(kept))
            return "\n".join([*kept, part] if len(part) > 1 else kept), True
        kept.append(line)
        left -= size
    return "\n".join(kept), False

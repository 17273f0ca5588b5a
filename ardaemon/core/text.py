"""Makes text that others wrote safe for a terminal and for an agent's context (standard library alone).

Logs, notes and metric names come from training scripts. Removed are escape sequences (ECMA-48, xterm's OSC),
control characters, and invisible characters that change how text is read: bidi overrides, zero-width and tag
characters. Every pattern takes linear time: no two of its repeats can match the same character, or they are
possessive.
"""

import re

ELLIPSIS = "…"
# A string sequence (OSC, DCS, SOS, PM, APC) is removed whole only if it is terminated. Of an unterminated one
# only the introducer is removed, so that it cannot hide the rest of a log.
_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\|\x9c)"
_CSI = r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"
_ESCAPE = r"\x1b[ -/]*+[0-~]?"
_ESCAPES = f"{_STRING}|{_CSI}|{_ESCAPE}"
# All ends of line that str.splitlines knows: after cleaning, "\n" is the only one for every reader.
_LINE_ENDS = r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]"
# Zero-width joiners stay: emoji and several scripts are written with them.
_UNSEEN = (
    r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f"
    r"\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATES = r"[\ud800-\udfff]"


def clean(text: str) -> str:
    r"""Remove escapes, controls and invisible marks; every line end becomes \n, a tab a space."""
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(_ESCAPES, "", text)
    text = re.sub(_LINE_ENDS, "\n", text).replace("\t", " ")
    text = re.sub(_UNSEEN, "", text)
    return text if text.isascii() else re.sub(_SURROGATES, "\ufffd", text)


def is_text(value: str) -> bool:
    """Tell whether a variable or a path is UTF-8: Python keeps other bytes as lone surrogates (PEP 383)."""
    return value.isascii() or re.search(_SURROGATES, value) is None


def as_text(path: str) -> str:
    r"""Return a path as text; what is not UTF-8 in it stands as \xff."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def escaped(json_text: str) -> str:
    r"""Return JSON text of the same value, with \uXXXX for what acts on a terminal or is invisible."""
    if json_text.isascii() and "\x7f" not in json_text:
        return json_text
    return re.sub(f"{_UNSEEN}|{_LINE_ENDS}|{_SURROGATES}", _as_escape, json_text)


def _as_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def one_line(text: str, most: int) -> str:
    """Clean `text`, join it with single spaces, and cut it to `most` characters, the ellipsis included."""
    line = " ".join(clean(text).split())
    if len(line) <= most:
        return line
    return line[: most - 1].rstrip() + ELLIPSIS if most > 0 else ""


def cut_bytes(text: str, most: int) -> str:
    """Return the longest beginning of `text` that is at most `most` bytes of UTF-8, in whole characters."""
    most = max(most, 0)
    return text[:most].encode("utf-8", "replace")[:most].decode("utf-8", "ignore")

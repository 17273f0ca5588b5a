"""Changes one thing in a text of JSON, and leaves every other sign of it as it is."""

import json
import re
from collections.abc import Sequence
from typing import Any

from arctl.skill.jsonc import Part, parse

INDENT = "  "  # where the text has none of its own
_REST_OF_LINE = re.compile(r"[ \t]*(?:/\*[^\n]*?\*/[ \t]*)*(?://[^\r\n]*)?(?=\r?\n)")


class WrongKind(ValueError):
    """Raised where the text has something else than an object or a list in the place of one."""


def values(text: str, path: Sequence[str]) -> list[Any] | None:
    """Return the list at a path of keys; None if there is none. Raises WrongKind, and Broken."""
    part, missing = _reached(parse(text), path)
    if missing:
        return None
    if not isinstance(part.value, list):
        raise WrongKind(f"{'.'.join(path)} is no list")
    return part.value


def made_from(text: str, path: Sequence[str]) -> int:
    """Return how many keys of the path are there."""
    return len(path) - len(_reached(parse(text), path)[1])


def add(text: str, path: Sequence[str], item: str) -> str:
    """Add an item to the end of the list at a path of keys; what is missing of the path is made."""
    text = text if text.strip() else "{}\n"
    part, missing = _reached(parse(text), path)
    if not missing:
        values(text, path)
        return _inserted(text, part, None, item)
    value: Any = [item]
    for key in reversed(missing[1:]):
        value = {key: value}
    return _inserted(text, part, missing[0], value)


def remove(text: str, path: Sequence[str], item: str, made: int) -> str:
    """Take an item out of the list at a path, and the keys beyond the first `made` that are empty then.

    `made` is what made_from() returned before the item was added.
    """
    part, missing = _reached(parse(text), path)
    if missing or not isinstance(part.value, list) or item not in part.value:
        return text
    text = _without(text, part, part.value.index(item))
    for depth in range(len(path) - 1, made - 1, -1):
        part, _ = _reached(parse(text), path[:depth])
        if part.parts[path[depth]].value:
            break
        text = _without(text, part, path[depth])
    return text


def _reached(part: Part, path: Sequence[str]) -> tuple[Part, Sequence[str]]:
    """Follow a path as far as it is there; return the last part, and the keys that are missing."""
    for depth, key in enumerate(path):
        if not isinstance(part.value, dict):
            raise WrongKind(f"{'.'.join(path[:depth]) or 'the whole'} is no object")
        if key not in part.parts:
            return part, path[depth:]
        part = part.parts[key]
    return part, ()


def _inserted(text: str, part: Part, key: str | None, value: Any) -> str:
    """Put a value behind the last one of a list, or with its key of an object."""
    end = "\r\n" if "\r\n" in text else "\n"
    close = part.end - 1
    last = max(part.parts.values(), key=lambda one: one.start, default=None)
    own = _indent_at(text, part.start)
    if last is None:
        indent = own + _unit(text)
        before = text[:close].rstrip(" \t\r\n")
        return f"{before}{end}{indent}{_written(key, value, text, indent)}{end}{own}{text[close:]}"
    first = min(part.keys.values())
    if "\n" not in text[part.start : first]:  # all in one line
        comma = "" if len(part.commas) == len(part.parts) else ","
        at = part.commas[-1] + 1 if not comma else last.end
        return f"{text[:at]}{comma} {_written(key, value, None, '')}{text[at:]}"
    indent = _indent_at(text, max(part.keys.values()))
    written = f"{end}{indent}{_written(key, value, text, indent)}"
    if len(part.commas) == len(part.parts):
        at = _line_end(text, part.commas[-1] + 1)
        return f"{text[:at]}{written},{text[at:]}"
    at = _line_end(text, last.end)
    return f"{text[: last.end]},{text[last.end : at]}{written}{text[at:]}"


def _line_end(text: str, at: int) -> int:
    """Return where the line ends if only a comment follows `at` in it, else `at`."""
    match = _REST_OF_LINE.match(text, at)
    return match.end() if match is not None else at


def _indent_at(text: str, at: int) -> str:
    """Return the blanks at the beginning of the line of `at`."""
    line = text[text.rfind("\n", 0, at) + 1 :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """Return the step by which the text is indented."""
    match = re.search(r"\n([ \t]+)\S", text)
    return match[1] if match is not None else INDENT


def _written(key: str | None, value: Any, layout: str | None, indent: str) -> str:
    """Return a value, with its key if it has one, as text; in several lines where the text is laid out so."""
    text = json.dumps(value, ensure_ascii=False, indent=None if layout is None else _unit(layout))
    end = "\r\n" if layout is not None and "\r\n" in layout else "\n"
    text = text.replace("\n", end + indent)
    return text if key is None else f"{json.dumps(key)}: {text}"


def _without(text: str, part: Part, key: Any) -> str:
    """Cut a value out of a list or an object, with one comma, and with its line if that is empty then."""
    keys = list(part.keys)
    place = keys.index(key)
    start, end = part.keys[key], part.parts[key].end
    cuts = [(start, end)]
    if place < len(part.commas):
        comma = part.commas[place]
        cuts = [(start, comma + 1)] if text[end:comma].strip() == "" else [*cuts, (comma, comma + 1)]
    elif place:
        cuts = [(part.commas[place - 1], part.commas[place - 1] + 1), *cuts]
    for first, last in reversed(cuts):
        text = _cut(text, first, last)
    return text


def _cut(text: str, start: int, end: int) -> str:
    """Cut a piece out, with its whole line if nothing else is in it, else with a blank beside it."""
    line, after = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    if after >= 0 and line and not (text[line:start] + text[end:after]).strip():
        return text[:line] + text[after + 1 :]
    if text[end : end + 1] == " " and text[start - 1 : start] in ("[", "{", " "):
        end += 1
    elif text[start - 1 : start] == " " and text[end : end + 1] in ("]", "}"):
        start -= 1
    return text[:start] + text[end:]

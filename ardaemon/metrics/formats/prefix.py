"""Tells what a logger writes before each line of a block: a time, a level, a process. Pure."""

import re

PREFIX_MAX = 100  # characters; a longer one is text of the line itself


class Prefix:
    """The text before the first line of a block, which the lines after it may have too."""

    def __init__(self, text: str = "") -> None:
        """Take the text before the block's beginning; its numbers may change from line to line."""
        has_it = text.strip() and len(text) <= PREFIX_MAX
        pattern = re.sub(r"\d+", r"\\d+", re.escape(text)) if has_it else ""
        self._pattern = re.compile(pattern) if pattern else None

    def end(self, line: str) -> int:
        """Return the position behind the prefix in a line; 0 where the line has none."""
        match = self._pattern.match(line) if self._pattern else None
        return match.end() if match else 0

"""Remembers the headings above indented lines, as YAML and summaries have them. Pure.

    ema:
      val_loss: 0.9

A value below one heading keeps its name, as below `Results:`, unless the heading is a qualifier. A value
below two headings is an inner object's, and named by both. A heading that the name repeats, as `validation:`
above val_loss, counts for none.
"""

import re

from ardaemon.metrics.formats.names import heading_qualifies, says_split

_HEADING = re.compile(r" *+(?P<word>[^\W\d][\w/.@%+-]*+):[ \t]*$")


class Headings:
    """The headings above the line that is read, each further to the right than the one before."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []

    def line(self, text: str) -> None:
        """Take the next line."""
        indent = len(text) - len(text.lstrip(" "))
        while self._above and self._above[-1][0] >= indent:
            self._above.pop()
        if match := _HEADING.match(text):
            self._above.append((indent, match["word"]))

    def named(self, name: str) -> str:
        """Return the name that a value of this line has."""
        words = [word for _, word in self._above if not says_split(word, name)]
        if len(words) > 1:
            return "/".join([*words, name])
        return f"{words[0]} {name}" if words and heading_qualifies(words[0], name) else name

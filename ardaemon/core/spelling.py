"""One spelling for letters that look alike: full-width letters, ligatures, the two signs for micro.

Unicode's NFKC gives it. Numbers that are no decimal digits stay as they are: NFKC makes 52 of a 5 with a
small raised 2, and a footnote must not change a value. Of Cyrillic and Greek letters those become Latin that
look so, in words that have no other letter of theirs.
"""

from itertools import groupby

_ALIKE = str.maketrans(
    "аАВсСеЕНіІјЈКМоОрРѕЅТхХуУΑΒΕΖΗΙΚΜΝοΟΡΤΥΧ",
    "aABcCeEHiIjJKMoOpPsSTxXyYABEZHIKMNoOPTYX",
)


def one_spelling(text: str) -> str:
    """Return the text with every letter, sign and decimal digit in its one spelling."""
    if text.isascii():
        return text
    from unicodedata import is_normalized, normalize  # hardly ever needed

    if not is_normalized("NFKC", text):
        parts = ((kept, "".join(signs)) for kept, signs in groupby(text, _is_other_number))
        text = "".join(part if kept else normalize("NFKC", part) for kept, part in parts)
    return _in_latin(text)


def _in_latin(text: str) -> str:
    """Return the text with Latin letters in the words that look as if they had no others."""
    changed = text.translate(_ALIKE)
    if changed == text:
        return text
    import re

    words = re.compile(r"\w+")
    return words.sub(lambda word: seen if (seen := word[0].translate(_ALIKE)).isascii() else word[0], text)


def _is_other_number(sign: str) -> bool:
    return sign.isnumeric() and not sign.isdecimal()

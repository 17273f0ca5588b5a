"""One spelling for letters that look alike: full-width letters, ligatures, the two signs for micro.

Unicode's NFKC gives it. Numbers that are no decimal digits stay as they are: NFKC makes 52 of a 5 with a
small raised 2, and a footnote must not change a value.
"""

from itertools import groupby


def one_spelling(text: str) -> str:
    """Return the text with every letter, sign and decimal digit in its one spelling."""
    if text.isascii():
        return text
    from unicodedata import is_normalized, normalize  # hardly ever needed

    if is_normalized("NFKC", text):
        return text
    parts = ((kept, "".join(signs)) for kept, signs in groupby(text, _is_other_number))
    return "".join(part if kept else normalize("NFKC", part) for kept, part in parts)


def _is_other_number(sign: str) -> bool:
    return sign.isnumeric() and not sign.isdecimal()

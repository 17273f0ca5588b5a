"""The last line by which a program says why it gives up, where it prints no traceback. Pure.

So do argparse, click, Hydra, a shell, and `sys.exit("text")`. What comes after it, a footer or a hint on
help, says nothing.
"""

import re

_TELLING = re.compile(
    r"\b(?:errors?|fatal|fail(?:s|ed|ure)?|abort(?:ed|ing)?|can(?:not|'t)|could(?: not|n't)|unable|unexpected"
    r"|un(?:recogni[sz]ed|known|supported|defined)|invalid|illegal|missing|mandatory|required|must|denied|refused"
    r"|not (?:found|in|a|an|allowed|supported|exist\w*|available|installed|set|valid)|does(?: not|n't)"
    r"|did(?: not|n't)|no (?:such|space|module|gpus?|cuda)|out of|exceed(?:s|ed)|timed out|mismatch)\b",
    re.IGNORECASE,
)
# Footers of Hydra, click, wandb, make and Slurm, and lines without a word.
_FOOTER = re.compile(
    r"Set the environment variable HYDRA|(?:Try|Use|Run|See) .*(?:help|HYDRA|log|trace)|usage:|wandb: "
    r"|make(?:\[\d+\])?: "
    r"|srun: |slurmstepd: |For more |Traceback|\W*$",
    re.IGNORECASE,
)
# A report, as `test error: 0.32`, a progress bar, and what logging writes for information.
_REPORT = re.compile(r"[\w)\]][\"']?\s*[:=]\s*[+-]?[.\d]|\d%\||\b(?:INFO|DEBUG)\b")
_BOX = re.compile(r"^[│┃|] *| *[│┃|]$")
WORDS_MIN = 2  # of a last line that names no error: a single word may be anything
_WORD = re.compile(r"[^\W\d_]{2,}")


def last_words(lines: list[str], code: int) -> str | None:
    """Return the last line that says what is wrong; None if there is none.

    `sys.exit("text")` ends with code 1 and prints any text, so then the very last line counts as well.
    """
    said = [_BOX.sub("", line) for line in lines]
    said = [line.strip() for line in said if line[:1].strip() and not _FOOTER.match(line)]
    telling = [line for line in said if _is_telling(line)]
    if telling:
        return telling[-1]
    last = said[-1] if said else ""
    is_text = code == 1 and len(_WORD.findall(last)) >= WORDS_MIN and not _REPORT.search(last)
    return last if is_text else None


def _is_telling(line: str) -> bool:
    match = _TELLING.search(line)
    return match is not None and not re.match(r"\s*[:=]\s*[+-]?[.\d]+%?(?:\s|$)", line[match.end() :])

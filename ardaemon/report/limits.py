"""How much of each list a summary keeps: a few of each for a context window, or all of it (`--all`)."""

from typing import NamedTuple

# Names and values beyond these are counted and not told apart: a pass takes a bounded amount of memory.
NAMES_MAX = 1_000  # that edits changed
SETTINGS_MAX = 20_000  # values of all names together
KINDS_MAX = 200  # ways to fail
SNAPSHOTS_MAX = 50_000  # that are looked for among later runs


class Kept(NamedTuple):
    """How many entries of each list are kept."""

    advances: int
    names: int
    settings: int  # of each name
    kinds: int
    equal: int
    values: int  # of each snapshot that was run more than once
    stretches: int
    ranks: int = 3  # of the best, and of the worst


# More advances than 8 KiB have room for, so that the text is the longest list that fits.
FEW = Kept(advances=200, names=16, settings=5, kinds=10, equal=4, values=6, stretches=3)
# As JSON less than the 16 MiB that one client may be sent, whatever the runs say.
ALL = Kept(
    advances=5_000,
    names=NAMES_MAX,
    settings=SETTINGS_MAX,
    kinds=KINDS_MAX,
    equal=1_000,
    values=100,
    stretches=1_000,
)

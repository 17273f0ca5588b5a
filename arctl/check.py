"""The outcome of one check of `arctl doctor`."""

from typing import NamedTuple


class Check(NamedTuple):
    """The outcome of one check; `level` is ok, warn or FAIL. --json prints the fields by these names."""

    level: str
    name: str
    found: str
    mend: str = ""

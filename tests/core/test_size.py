"""Amounts of memory, as people write them."""

import pytest

from ardaemon.core.errors import UsageError
from ardaemon.core.size import mebibytes, shown, written


@pytest.mark.parametrize(
    ("text", "mib"),
    [("6GiB", 6144), ("6G", 6144), (" 1.5 gb ", 1536), ("512MiB", 512), ("1t", 1 << 20), ("2048k", 2)],
)
def test_units_are_binary_however_they_are_written(text: str, mib: float) -> None:
    assert mebibytes(text, "--vram") == mib


@pytest.mark.parametrize("text", ["6", "GiB", "-1G", "0G", "1e3G", "6 apples", "", "9" * 400 + "G"])
def test_what_is_no_amount_is_an_error_that_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--vram"):
        mebibytes(text, "--vram")


def test_amounts_are_shown_short() -> None:
    assert (shown(500), shown(81920)) == ("500 MiB", "80.0 GiB")


@pytest.mark.parametrize(
    ("mib", "text"),
    [(1.0, "1MiB"), (1536.0, "1536MiB"), (65536.0, "64GiB"), (0.5, "0.5MiB"), (1e7, "10000000MiB")],
)
def test_an_amount_is_written_as_the_option_takes_it(mib: float, text: str) -> None:
    assert written(mib) == text
    assert mebibytes(text, "--max-log") == mib

"""Words that daemon and client share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.words import READY, RUNNING, refusal, refused


@given(why=st.text())
def test_why_a_daemon_cannot_start_comes_back_from_its_line(why: str) -> None:
    assert refused(refusal(why)) == why.strip()


@pytest.mark.parametrize("line", ["", READY, RUNNING, "error", "an error: no disk"])
def test_another_line_is_no_refusal(line: str) -> None:
    assert refused(line) is None

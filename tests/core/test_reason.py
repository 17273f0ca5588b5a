"""A reason is read back from its text as it was: what the daemon tells by it, a client can."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.model import Ending
from ardaemon.core.reason import FAMILIES, TOKENS, Reason, read

words = st.text(max_size=80).filter(lambda text: "; " not in text)
tokens = st.sampled_from(sorted(TOKENS)) | st.builds(
    "{}{}".format, st.sampled_from(FAMILIES), st.from_regex(r"[A-Za-z_]\w{0,40}", fullmatch=True)
)
notes = st.lists(words.filter(bool), max_size=3).map(tuple)


@given(reason=st.builds(Reason, tokens, words, notes))
def test_a_reason_comes_back_from_its_text(reason: Reason) -> None:
    assert read(reason.text()) == reason


@given(message=words.filter(lambda text: read(text).token == ""), notes=notes)
def test_so_does_one_without_a_token(message: str, notes: tuple[str, ...]) -> None:
    assert read(Reason("", message, notes).text()) == Reason("", message, notes)


@pytest.mark.parametrize("reason", [Reason("oom", "a; b"), Reason("", "seal broken: a; b", ("Xid 31",))])
def test_a_message_that_looks_like_notes_is_among_them_and_the_text_stays(reason: Reason) -> None:
    again = read(reason.text())
    assert (again.token, again.text()) == (reason.token, reason.text())
    assert again.notes == ("b", *reason.notes)


@pytest.mark.parametrize("text", ["oomph CUDA", "limits", "exit code 1", "lost: a file", "exception", ""])
def test_words_that_only_begin_like_a_token_are_none(text: str) -> None:
    assert read(text) == Reason("", text)


def test_every_ending_that_explains_itself_is_a_token() -> None:
    assert set(get_args(Ending)) - {"exited", "stopped", "cancelled", "gave_way"} <= TOKENS

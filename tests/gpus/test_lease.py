"""Leases within one process: who may have a card beside whom, and what is believed of the folder."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.core.config import Config
from ardaemon.gpus import lease, lease_folder
from ardaemon.gpus.lease import CardId, Lease, Leases, Taken
from tests.support.leases import contents, shared_folder

ONE = CardId("GPU-aaaaaaaa-0000-1111-2222-333333333333")
TWO = CardId("GPU-bbbbbbbb-0000-1111-2222-333333333333")
PART, OTHER_PART = CardId("MIG-11111111-0000", ONE.uuid), CardId("MIG-GPU-2222/3/0", ONE.uuid)
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another user's files")


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as made:
        yield made


def daemon(folder: Path | None, name: str = "a") -> Leases:
    return Leases(folder, Path("/state", name))


def took(found: Lease | Taken) -> Lease:
    assert isinstance(found, Lease), found
    return found


def refused(found: Lease | Taken) -> Taken:
    assert isinstance(found, Taken)
    return found


def own_name(folder: Path, card: CardId = ONE) -> Path:
    """Where the daemon `a` has its file of that card."""
    return folder / f"ardaemon-{card.uuid.replace('/', '_')}.{daemon(folder).owner}.lease"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- who beside whom ---


def test_a_card_that_another_daemon_has_is_refused_by_its_owners_name_until_it_is_let_go(
    folder: Path,
) -> None:
    a, b = daemon(folder), daemon(folder, "b")
    held = took(a.take([ONE]))
    no = refused(b.take([ONE]))
    assert (no.uuid, no.ours) == (ONE.uuid, False)
    assert f"(uid {os.geteuid()})" in no.why
    assert b.holder(ONE) == no.why
    assert a.holder(ONE) is None, "other daemons are asked about"
    held.close()
    assert b.holder(ONE) is None
    took(b.take([ONE])).close()


def test_all_cards_are_had_or_none(folder: Path) -> None:
    a, b, c = (daemon(folder, name) for name in "abc")
    with_two = took(a.take([TWO]))
    before = descriptors()
    assert refused(b.take([ONE, TWO])).uuid == TWO.uuid
    assert descriptors() == before
    both = took(c.take([ONE]))
    for held in (with_two, both):
        held.close()
    took(b.take([TWO, ONE])).close()


def test_a_daemon_does_not_get_its_own_card_twice(folder: Path) -> None:
    """As after its records were lost: something that it started is still on the card."""
    a = daemon(folder)
    held = took(a.take([ONE]))
    assert refused(daemon(folder).take([ONE])).ours, "also after a restart"
    assert refused(a.take([ONE], share=True)).ours
    held.close()
    took(a.take([ONE])).close()


def test_sharing_runs_of_one_daemon_share_a_card_over_its_restart_and_with_nobody_else(folder: Path) -> None:
    first = took(daemon(folder).take([ONE], share=True))
    second = took(daemon(folder).take([ONE], share=True))
    first.close()
    assert refused(daemon(folder).take([ONE])).ours
    assert not refused(daemon(folder, "b").take([ONE], share=True)).ours
    second.close()
    took(daemon(folder, "b").take([ONE], share=True)).close()


def test_parts_of_a_card_go_to_several_daemons_and_all_of_it_to_none_of_them(folder: Path) -> None:
    a, b, c = (daemon(folder, name) for name in "abc")
    one, other = took(a.take([PART])), took(b.take([OTHER_PART]))
    assert refused(c.take([PART])).uuid == PART.uuid
    for who, share in ((a, False), (c, False), (a, True), (c, True)):
        assert refused(who.take([ONE], share)).uuid == ONE.uuid
    one.close()
    assert refused(c.take([ONE])).uuid == ONE.uuid
    other.close()
    whole = took(c.take([ONE]))
    for who in (a, c):
        assert refused(who.take([PART])).uuid == ONE.uuid
    assert a.holder(PART) is not None
    whole.close()


def test_a_lease_lives_as_long_as_its_last_copy(folder: Path) -> None:
    held = took(daemon(folder).take([PART]))
    copies = [os.dup(fd) for fd in held.fds]
    held.close()
    held.close()
    for card, copy in zip((ONE, PART), copies, strict=True):  # in the order of their names
        assert daemon(folder, "b").holder(card) is not None
        os.close(copy)
        assert daemon(folder, "b").holder(card) is None


def test_without_a_folder_everything_can_be_had(folder: Path) -> None:
    assert took(daemon(None).take([ONE])).fds == []
    assert daemon(None).holder(ONE) is None
    assert took(daemon(folder / "gone").take([])).fds == [], "a run without GPUs asks for no folder"


CARDS = [ONE, TWO, PART, OTHER_PART]
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.lists(st.sampled_from(CARDS), max_size=3, unique=True),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_no_two_holders_of_a_card_are_at_odds(steps: list[tuple[str, list[CardId], bool, int]]) -> None:
    """Against the plain rule, whatever was taken and let go before."""
    held: list[tuple[str, CardId, bool, Lease]] = []
    with shared_folder() as folder:
        for name, cards, share, drop in steps:
            if any(card.parent in {other.uuid for other in cards} for card in cards):
                continue  # a card and a part of it: the ledger asks for no such thing
            odd = any(_at_odds(name, card, share, *other[:3]) for card in cards for other in held)
            found = daemon(folder, name).take(cards, share)
            assert isinstance(found, Taken) == odd, (name, cards, share, held)
            if isinstance(found, Lease):
                held += [(name, card, share, found) for card in cards]
            if drop < len(held):
                gone = held[drop][3]
                gone.close()
                held = [one for one in held if one[3] is not gone]
        for one in held:
            one[3].close()


def _at_odds(name: str, card: CardId, share: bool, by: str, other: CardId, shared: bool) -> bool:
    if card == other:
        return not (name == by and share and shared)
    return card.uuid == other.parent or other.uuid == card.parent


# --- the files ---


@pytest.mark.parametrize("umask", [0, 0o077, 0o777], ids=oct)
def test_everybody_can_look_and_nobody_can_write_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        held = took(daemon(folder).take([PART]))
    finally:
        os.umask(before)
    assert contents(folder) == {
        path.name: (stat.S_IFREG | 0o644, os.geteuid(), 0)
        for path in (own_name(folder, ONE), own_name(folder, PART))
    }
    held.close()


def test_a_mode_that_a_crash_left_is_put_right(folder: Path) -> None:
    own_name(folder).touch(mode=0o600)
    took(daemon(folder).take([ONE])).close()
    assert stat.S_IMODE(own_name(folder).stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "uuid",
    ["", "../GPU-1", "GPU-1/../../x", "GPU-a.b", "GPU-a\n", "GPU a", "/GPU-1", "GPU-\0", "GPU-" + "a" * 100],
)
def test_what_is_no_uuid_makes_no_file(folder: Path, uuid: str) -> None:
    assert refused(daemon(folder).take([CardId(uuid)])).why == "that is not the UUID of a GPU"
    assert refused(daemon(folder).take([CardId("MIG-1", uuid)])).uuid == uuid
    assert daemon(folder).holder(CardId(uuid)) == "that is not the UUID of a GPU"
    assert contents(folder) == {}


def symlink(path: Path) -> None:
    path.symlink_to(path.parent / "precious")


def hard_link(path: Path) -> None:
    path.hardlink_to(path.parent / "precious")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def theirs(path: Path) -> None:
    path.touch()
    os.chown(path, NOBODY, NOBODY)


ODD: dict[str, Callable[[Path], None]] = {
    "symlink": symlink,
    "hard link": hard_link,
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "socket": listening,
}


@pytest.mark.parametrize("kind", ODD)
def test_what_lies_in_the_place_of_the_own_file_is_refused_by_name_and_left_alone(
    folder: Path, kind: str
) -> None:
    precious = folder / "precious"
    precious.write_text("mine")
    precious.chmod(0o600)
    ODD[kind](own_name(folder))
    before = contents(folder)
    no = refused(daemon(folder).take([ONE]))
    assert str(own_name(folder)) in no.why
    assert not no.ours
    assert contents(folder) == before
    assert precious.read_text() == "mine"


@needs_root
def test_another_users_file_in_the_place_of_the_own_one_is_refused_by_his_name(folder: Path) -> None:
    theirs(own_name(folder))
    no = refused(daemon(folder).take([ONE]))
    assert no.why == f"{own_name(folder)} belongs to another user: nobody (uid {NOBODY})"


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_lease_holds_no_card_and_is_not_waited_for(folder: Path, kind: str) -> None:
    (folder / "precious").touch()
    ODD[kind](folder / f"ardaemon-{ONE.uuid}.12345-0123abcd.lease")
    before = contents(folder)
    took(daemon(folder).take([ONE])).close()
    assert {name: found for name, found in contents(folder).items() if name in before} == before


def test_a_symlink_to_a_lease_that_is_held_holds_no_card(folder: Path) -> None:
    held = took(daemon(folder, "b").take([TWO]))
    (target,) = folder.iterdir()
    (folder / f"ardaemon-{ONE.uuid}.12345-0123abcd.lease").symlink_to(target)
    took(daemon(folder).take([ONE])).close()
    held.close()


def test_a_file_that_was_removed_while_it_was_locked_is_made_again(folder: Path) -> None:
    a = daemon(folder)
    held = took(a.take([ONE]))
    own_name(folder).unlink()
    again = took(a.take([ONE]))
    assert refused(daemon(folder, "b").take([ONE])).uuid == ONE.uuid
    for one in (held, again):
        one.close()


def test_a_folder_that_somebody_filled_denies_a_card_and_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "NAMES_MAX", 5)
    for number in range(7):
        (folder / str(number)).touch()
    assert "more than 5 files" in refused(daemon(folder).take([ONE])).why


def test_more_cards_than_can_be_handed_over_are_refused(folder: Path) -> None:
    cards = [CardId(f"MIG-{number}", f"GPU-{number}") for number in range(lease.LEASES_MAX // 2)]
    took(daemon(folder).take(cards)).close()
    assert "more than 128" in refused(daemon(folder).take([*cards, ONE])).why


# --- the folder ---


def gone(folder: Path) -> None:
    folder.rmdir()


def not_sticky(folder: Path) -> None:
    folder.chmod(0o777)


def foreign(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)


def linked(folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to("/run/lock")


def a_file(folder: Path) -> None:
    folder.rmdir()
    folder.touch()


def weak_above(folder: Path) -> None:
    folder.parent.chmod(0o777)


WRONG = {
    "gone": (gone, "No such file"),
    "not sticky": (not_sticky, "can be written by other users"),
    "foreign": (foreign, "belongs to another user"),
    "symlink": (linked, "not a directory"),
    "file": (a_file, "not a directory"),
    "weak above": (weak_above, "can be written by other users"),
}


@needs_root
@pytest.mark.parametrize("wrong", WRONG)
def test_a_folder_that_others_could_exchange_denies_a_card_and_says_why(folder: Path, wrong: str) -> None:
    inner = folder / "leases"
    inner.mkdir()
    inner.chmod(0o1777)
    assert lease_folder.find(str(inner)) == (inner, "")
    change, words = WRONG[wrong]
    change(inner)
    place = lease_folder.find(str(inner))
    assert place.folder == inner, "it stays: a run waits until that is mended"
    assert words in place.warning
    no = refused(daemon(place.folder).take([ONE]))
    assert words in no.why
    assert daemon(inner).holder(ONE) == no.why
    if inner.is_dir() and not inner.is_symlink():
        assert contents(inner) == {}


def test_a_configured_folder_is_an_absolute_path() -> None:
    assert msgspec.convert({"lease_folder": "/run/gpus"}, Config).lease_folder == "/run/gpus"
    for folder in ("gpus", "/run/gpus\0"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"lease_folder": folder}, Config)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"trusted": ["/srv/team", folder]}, Config)


@needs_root
def test_the_first_default_that_is_for_all_is_chosen_whoever_asks(folder: Path) -> None:
    one, two = folder / "one", folder / "two"
    for made in (one, two):
        made.mkdir()
        made.chmod(0o1777)
    assert lease_folder.find(None, (one, two)) == (one, "")
    one.chmod(0o755)  # as /run/lock of Fedora: root could write to it, and must not choose it
    place = lease_folder.find(None, (one, two))
    assert place.folder == two
    assert f"in {two}, as {one} is not for all" in place.warning
    foreign(two)
    place = lease_folder.find(None, (one, two))
    assert place.folder is None
    assert "lease_folder" in place.warning

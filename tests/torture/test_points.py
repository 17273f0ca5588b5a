"""Which points one telling is cut at, one after the other."""

from tests.torture.points import BEGIN, BOOT, Point, formers_gone, points, together, world

PROJECT = "~/p/.autoresearch/261122-test"
# A boot, a session, two runs: what is done to the project once, again and again, and once for each run.
OPERATIONS = (
    "~/s/daemon.json",
    f"{PROJECT}/.ar-session.json",
    f"{PROJECT}/runs/r0001/run.json",
    f"{PROJECT}/results.tsv",
    f"{PROJECT}/runs/r0002/run.json",
    f"{PROJECT}/.ckpt/r0002/state.pt",
    f"{PROJECT}/results.tsv",
)


def story() -> list[Point]:
    return points({"who": "daemon", "name": "write", "subject": subject} for subject in OPERATIONS)


def test_a_point_knows_its_phase_and_the_one_in_which_such_an_operation_came_first() -> None:
    assert [point.phase for point in story()] == [BOOT, BEGIN, 1, 1, 2, 2, 2]
    assert [point.since for point in story()] == [BOOT, BEGIN, 1, 1, 2, 2, 1]


def test_what_a_recovery_may_repeat_is_not_counted_in_the_same_telling() -> None:
    """The second row is first cut at in a telling of its own: after a kill in r0001 it may be the third."""
    boot, session, first, row, second, _, again = story()
    assert together([boot, first, second]) == [[boot, first, second]]
    assert together([first, row]) == [[first], [row]]
    assert together([row, again]) == [[row], [again]]
    assert together([again, session]) == [[session, again]]


def test_a_point_at_a_checkpoint_is_cut_alone() -> None:
    boot, *_, promoted, _ = story()
    assert together([boot, promoted]) == [[boot], [promoted]]


def test_a_disk_that_is_full_only_once_the_story_is_told_has_room_again() -> None:
    """An audit comes after the last verdict: on a slow machine its point is met only then."""
    with world() as lab:
        former = lab.folder / ".ckpt/r0001"
        former.mkdir(parents=True)
        formers_gone(lab, mend=former.rmdir)
        assert not former.exists()

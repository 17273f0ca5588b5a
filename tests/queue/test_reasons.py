"""Why each run waits, as a person reads it. That each has a reason, test_assign.py asks."""

from msgspec.structs import replace

from ardaemon.core.queue import AtWork, Card, QueueFacts, Waiting
from ardaemon.queue.reasons import ONE_AT_A_TIME, places
from tests.support.queues import card, waiting, working

CARDS = tuple(card(i) for i in range(2))
BUSY = (working(1, CARDS[:1], 300.0, experiment="a"), working(2, CARDS[1:], 400.0, experiment="b"))


def why(*queue: Waiting, cards: tuple[Card, ...] = CARDS, at_work: tuple[AtWork, ...] = BUSY) -> list[str]:
    """The reasons, in the order of the queue."""
    facts = QueueFacts(now=0.0, waiting=queue, cards=cards, at_work=at_work, slots=("cpu0",))
    return [place.why for place in places(facts)]


def test_a_held_and_an_unfit_run_have_no_position() -> None:
    queue = (waiting(5, held=True), waiting(6, unfit="its experiment's seal is broken"), waiting(7))
    facts = QueueFacts(now=0.0, waiting=queue, cards=CARDS)
    assert [(place.key[1], place.position) for place in places(facts)] == [
        ("r0007", 1),
        ("r0005", None),
        ("r0006", None),
    ]
    assert why(*queue[:2]) == ["held: arctl queue release", "its experiment's seal is broken"]


def test_the_next_run_says_when_and_who_is_in_its_way() -> None:
    assert why(waiting(5, gpus=2)) == [
        "next, on GPU 0, GPU 1 in 400 s at the latest: GPU 0 a/r0001, GPU 1 b/r0002"
    ]


def test_those_behind_it_say_what_they_wait_for() -> None:
    assert why(waiting(5), waiting(6, "f"))[1] == "waits for 1 GPU, 0 of 2 free: GPU 0 a/r0001, GPU 1 b/r0002"
    reasons = why(waiting(5, gpus=2), waiting(6, "f", seconds=999.0), at_work=BUSY[:1])
    assert reasons[1] == "behind e/r0005, for which GPU 0, GPU 1 is kept in 300 s at the latest"


def test_a_card_that_is_no_run_of_ours_says_what_is_the_matter() -> None:
    cards = (
        replace(CARDS[0], state="foreign", occupant="pid 4711 of ann, 30 GiB"),
        replace(CARDS[1], state="quarantined"),
    )
    assert why(waiting(5), cards=cards, at_work=()) == [
        "waits for 1 GPU, 0 of 2 free: GPU 0 pid 4711 of ann, 30 GiB, GPU 1 is in quarantine"
    ]


def test_what_no_waiting_mends_says_so() -> None:
    assert why(waiting(5, gpus=3)) == ["asks for 3 GPUs, 2 are there"]
    assert why(waiting(5, gpus=2, allowed=("1",))) == ["asks for 2 GPUs, 1 are allowed to it (1)"]
    assert why(waiting(5, vram_mb=90.0)) == ["asks for 1 GPU with 90 MiB, 0 have as much"]


def test_one_run_at_a_time_says_after_which() -> None:
    queue = (waiting(5, "a", alone_in="a"), waiting(6, "f", alone_in="f"), waiting(7, "f", alone_in="f"))
    reasons = dict(zip([run.seq for run in queue], why(*queue), strict=False))
    assert sorted(reasons.values())[:2] == [
        f"{ONE_AT_A_TIME}: a/r0001 is at work",
        f"{ONE_AT_A_TIME}: after f/r0006",
    ]


def test_one_run_at_a_time_says_that_the_one_before_is_being_judged() -> None:
    assert why(waiting(5, "f", alone_in="f", paused=True)) == [f"{ONE_AT_A_TIME}: one of it is being judged"]


def test_a_cpu_run_says_who_has_the_slot() -> None:
    at_work = (working(1, (), 9.0, experiment="a", slot="cpu0"),)
    assert why(waiting(5, gpus=0), at_work=at_work) == ["waits for one of 1 CPU slots: a/r0001"]


def test_a_reason_names_a_few_cards_of_many() -> None:
    cards = tuple(card(i, state="unknown") for i in range(64))
    (reason,) = why(waiting(5), cards=cards, at_work=())
    assert reason.endswith("GPU 7 gives no answer, and 56 more")

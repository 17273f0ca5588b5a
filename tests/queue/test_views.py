"""A look at a long queue is shared by all who ask at the same moment; a short one is looked at each time."""

from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.gpus import Need
from ardaemon.core.layout import Experiment, run_name
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.run_record import Active
from ardaemon.gpus.book import GpuBook
from ardaemon.pipeline.flight import Flight
from ardaemon.queue import facts
from ardaemon.queue import views as module
from ardaemon.queue.board import Board
from ardaemon.queue.gate import Gate
from ardaemon.queue.placement import Placement
from ardaemon.queue.views import LONG, PLACED_MAX, REST, SEEN_S, Views, _Look
from tests.support.folders import record

CLIENTS = 64


def of(tmp_path: Path, count: int) -> Views:
    """Views of a board on which so many runs wait for a CPU slot."""
    config = Config()
    board = Board(LiveConfig(config), Placement(config, GpuBook()), Gate(tmp_path / "queue.json", None))
    experiment = Experiment(tmp_path / ".autoresearch/261122-test")
    for number in range(1, count + 1):
        run = experiment.run(run_name(number))
        active = Active(folder=str(experiment.folder), run_id=run.run_id, seq=number, environment={})
        written = record(run.run_id, need=Need(gpus=0))
        board.add(Flight(experiment, run, active, written, tmp_path / run.run_id))
    return Views(board, lambda _: None, lambda _: None)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the queue was looked at."""
    found: list[float] = []
    gather = facts.gather

    def counted(board: Board, now: float, strict: bool = True) -> object:
        found.append(now)
        return gather(board, now, strict)

    monkeypatch.setattr(facts, "gather", counted)
    return found


def ask(views: Views) -> list[int | None]:
    """Each client asks for a run of its own; their positions."""
    return [views.view(flight).position for flight in list(views.board.flights.values())[:CLIENTS]]


def test_who_asks_at_the_same_moment_shares_a_look_at_a_long_queue(
    tmp_path: Path, looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEEN_S", 3600.0)  # the moment, on whatever machine
    views = of(tmp_path, 50 * LONG)
    assert ask(views) == list(range(1, CLIENTS + 1))
    assert len(looks) == 1


def test_a_short_queue_is_looked_at_each_time(tmp_path: Path, looks: list[float]) -> None:
    views = of(tmp_path, LONG)
    ask(views)
    assert len(looks) == CLIENTS


def test_a_run_that_was_just_submitted_to_a_very_long_queue_is_shown_without_a_look_at_it(
    tmp_path: Path, looks: list[float]
) -> None:
    views = of(tmp_path, PLACED_MAX)
    newest = list(views.board.flights.values())[-1]
    assert views.submitted(newest).position == PLACED_MAX
    assert len(looks) == 1
    views = of(tmp_path, PLACED_MAX + 1)
    newest = list(views.board.flights.values())[-1]
    shown = views.submitted(newest)
    assert (shown.run_id, shown.state, shown.position, shown.why) == (newest.run.run_id, "queued", None, None)
    newest.active = replace(newest.active, held=True)
    assert "arctl queue release" in str(views.submitted(newest).why)
    assert len(looks) == 1


def test_a_fresh_look_is_always_made(tmp_path: Path, looks: list[float]) -> None:
    """What tells subscribers of a change looks anew: it does not look again before the next change."""
    views = of(tmp_path, LONG + 1)
    assert len(list(views.views(8, fresh=True))) == len(list(views.views(8, fresh=True))) == 8
    assert len(looks) == 2


def test_a_look_serves_for_a_moment_and_after_a_change_for_less(tmp_path: Path) -> None:
    views = of(tmp_path, 1)
    before, after = anyio.Event(), anyio.Event()
    look = _Look(views.sight(), before, at=100.0, took=0.01)
    assert look.serves(before, 100.0 + SEEN_S * 0.9)
    assert not look.serves(before, 100.0 + SEEN_S * 1.1)
    assert look.serves(after, 100.0 + 0.01 * REST * 0.9)
    assert not look.serves(after, 100.0 + 0.01 * REST * 1.1)

"""A copy of `.ar-session.json` from before is noticed: by its number, and by the last run's record."""

import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.core.errors import Refused
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Session
from ardaemon.experiment import committed_last, generation, session, vanished
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import state
from tests.support import folders, runs

pytestmark = pytest.mark.promise("one-owner")
SLUG = "261122-lr"


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An experiment whose session was written three times."""
    made = Experiment(tmp_path / ".autoresearch" / SLUG)
    made.folder.mkdir(parents=True)
    for last_run in (1, 1, 2):
        generation.write(made, replace(there(made), last_run=last_run))
    return made


def there(experiment: Experiment) -> Session:
    """The session that is on disk."""
    return state.read(experiment.session, Session) or Session(last_run=0)


def test_each_write_has_the_next_number(experiment: Experiment) -> None:
    assert there(experiment).generation == generation.known(experiment) == 3
    vanished.require_newest_there(experiment)


def test_a_copy_from_before_is_refused_though_it_has_the_same_last_run(experiment: Experiment) -> None:
    before = experiment.session.read_bytes()
    generation.write(experiment, there(experiment))
    experiment.session.write_bytes(before)
    with pytest.raises(Refused, match=r"written 4 times, and the one that is there 3") as caught:
        vanished.require_newest(experiment, there(experiment))
    assert f"arctl session start --resume continue --expr {SLUG}" in caught.value.mend
    with pytest.raises(Refused):
        vanished.require_newest_there(experiment)


def test_a_write_on_top_of_a_copy_does_not_make_it_the_newest(experiment: Experiment) -> None:
    before = there(experiment)
    generation.write(experiment, before)
    generation.write(experiment, before)
    with pytest.raises(Refused):
        vanished.require_newest_there(experiment)
    generation.write(experiment, committed_last.accepted(experiment, there(experiment)))
    vanished.require_newest_there(experiment)


def test_what_a_decision_has_seen_counts_where_nobody_remembers(experiment: Experiment) -> None:
    generation.forget(experiment)
    vanished.require_newest_there(experiment)
    with pytest.raises(Refused):
        vanished.require_newest_there(experiment, written=4)


@pytest.mark.parametrize("table", [b"\0\xff" * 999, b"run_id\tended_at\nr1\n"])
def test_a_table_that_is_broken_teaches_nothing(experiment: Experiment, table: bytes) -> None:
    experiment.results.write_bytes(table)
    generation.forget(experiment)
    assert committed_last.learn(experiment) == 0


def test_what_an_earlier_version_has_written_counts_as_the_newest(experiment: Experiment) -> None:
    state.write(experiment.session, replace(there(experiment), generation=0))
    vanished.require_newest_there(experiment)
    generation.write(experiment, there(experiment))
    vanished.require_newest_there(experiment)
    assert there(experiment).generation == 4


def test_the_session_that_init_wrote_is_noticed_as_well(tmp_path: Path) -> None:
    """No run was committed yet, so nothing but its number tells."""
    made = folders.experiment(tmp_path)
    first = made.session.read_bytes()
    runs.start(made)
    made.session.write_bytes(first)
    with pytest.raises(Refused, match="went back to r0000"):
        vanished.require_newest_there(made)


def test_all_of_the_newest_folders_tell_where_runs_have_ended_out_of_order(tmp_path: Path) -> None:
    """Session and table are from between two commits, and the one that they lack has the lower number."""
    made = folders.experiment(tmp_path)
    runs.start(made)
    first, second = (runs.submitted(made, f"# {number}\n") for number in (1, 2))
    runs.ended(made, second, 0.9)
    between = {path: path.read_bytes() for path in (made.session, made.results)}
    runs.ended(made, first, 0.8)
    for path, data in between.items():
        path.write_bytes(data)
    generation.forget(made)
    assert committed_last.learn(made) == 2
    with pytest.raises(Refused, match=r"went back to r0002: its \.ar-session\.json was written"):
        vanished.require_newest_there(made)


def test_a_session_in_git_that_is_no_text_is_passed_over(experiment: Experiment) -> None:
    """The refusal is told all the same."""
    before = there(experiment)
    generation.write(experiment, before)
    experiment.session.write_bytes(b'{"schema": "\xff"}')
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "no text"]):
        person = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *person, *words], cwd=experiment.project, check=True)
    with pytest.raises(Refused, match="went back to r0002") as caught:
        vanished.require_newest(experiment, before)
    assert caught.value.mend.startswith(vanished.BY_HAND)


def begun_anew(experiment: Experiment) -> None:
    """Look at it as a daemon that begins."""
    generation.forget(experiment)
    generation.committed(experiment, committed_last.learn(experiment))
    vanished.require_newest_there(experiment)


def test_after_a_restart_it_still_counts_that_a_person_went_on_from_a_session(tmp_path: Path) -> None:
    """Its last run alone tells of a session without a number, as an earlier version writes it."""
    made = folders.experiment(tmp_path)
    runs.start(made)
    for value in (0.9, 0.8):
        runs.tried(made, value)
    state.write(made.session, replace(there(made), generation=0, last_run=1))
    with pytest.raises(Refused, match="went back to r0001"):
        begun_anew(made)
    session.stop(made)
    runs.start(made)
    begun_anew(made)
    assert runs.tried(made, 0.7).run_id == "r0003"


def test_what_is_rebuilt_gives_no_id_again_and_stays_the_same_experiment(tmp_path: Path) -> None:
    made = folders.experiment(tmp_path)
    runs.start(made)
    runs.tried(made, 0.9)
    state.write(made.session, before := there(made))
    generation.write(made, replace(before, last_run=7))  # six runs more, whose folders are gone
    made.session.unlink()
    rebuilt = load_or_repair(made).session
    assert (rebuilt.last_run, rebuilt.lineage) == (7, before.lineage) != (7, "")
    vanished.require_newest_there(made)

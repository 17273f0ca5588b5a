"""facts.jsonl and results.tsv: which line comes next, and whatever was torn, lost or moved away."""

import json
from pathlib import Path

import pytest

from ardaemon.core.layout import Experiment
from ardaemon.experiment import facts, ledger
from ardaemon.experiment.facts import Position
from ardaemon.host import state
from tests.experiment.test_ledger import line
from tests.support.folders import bytes_read, record

LONG = 20_000


def table(folder: Path, *numbers: int) -> Experiment:
    """An experiment that has these rows, and of its runs nothing else."""
    experiment = Experiment(folder)
    rows = "".join(line(number, "a note") + "\n" for number in numbers)
    experiment.results.write_bytes(ledger.HEADER + rows.encode())
    return experiment


def catch_up(experiment: Experiment) -> list[str]:
    """Do what the keeper does, to the end; the runs whose lines were written."""
    at, written = facts.position(experiment), []
    while found := facts.materials(experiment, at, 3):
        for material in found:
            after = facts.append(experiment, at, material, facts.derived(material, None))
            assert after is not None
            at = after
            written.append(material.row["run_id"])
    return written


def kept(experiment: Experiment) -> list[str]:
    return [one.run_id for one in facts.read(experiment)]


def test_every_row_gets_its_line_once(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1, 2, 3, 4, 5)
    assert facts.missing(experiment) == 5
    assert catch_up(experiment) == ["r0001", "r0002", "r0003", "r0004", "r0005"]
    assert catch_up(experiment) == []
    table(tmp_path, 1, 2, 3, 4, 5, 10_000)
    assert facts.missing(experiment) == 1
    assert catch_up(experiment) == ["r10000"]
    assert kept(experiment) == ["r0001", "r0002", "r0003", "r0004", "r0005", "r10000"]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_written_again(tmp_path: Path, cut: int) -> None:
    experiment = table(tmp_path, 1, 2, 3)
    catch_up(experiment)
    whole = experiment.facts.read_bytes()
    experiment.facts.write_bytes(whole[:-cut])
    assert kept(experiment)[:1] == ["r0001"]
    catch_up(experiment)
    assert experiment.facts.read_bytes() == whole


DEEP = b'{"run_id": "r0003", "status": "ok", "verdict": "revert", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}\n"


@pytest.mark.parametrize("end", [b"\0" * 4000, b'{"run_id": 3}\n', b"x" * 200_000, DEEP])
def test_what_cannot_be_read_at_the_end_is_cut_off(tmp_path: Path, end: bytes) -> None:
    experiment = table(tmp_path, 1, 2, 3)
    catch_up(experiment)
    whole = experiment.facts.read_bytes()
    experiment.facts.write_bytes(whole + end)
    table(tmp_path, 1, 2, 3, 4)
    catch_up(experiment)
    assert kept(experiment) == ["r0001", "r0002", "r0003", "r0004"]
    assert experiment.facts.read_bytes().startswith(whole)


def test_the_file_of_another_table_is_made_anew(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1, 2, 3)
    catch_up(experiment)
    table(tmp_path, 11, 12)
    assert catch_up(experiment) == ["r0011", "r0012"]
    assert kept(experiment) == ["r0011", "r0012"]


def test_a_line_is_not_written_where_the_table_was_moved_away_meanwhile(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1, 2)
    at = facts.position(experiment)
    material = facts.materials(experiment, at, 1)[0]
    table(tmp_path, 7, 8)
    assert facts.append(experiment, at, material, facts.derived(material, None)) is None
    assert not experiment.facts.exists()


def test_a_line_is_not_written_twice_where_somebody_was_faster(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1, 2)
    at = facts.position(experiment)
    material = facts.materials(experiment, at, 1)[0]
    catch_up(experiment)
    assert facts.append(experiment, at, material, facts.derived(material, None)) is None
    assert kept(experiment) == ["r0001", "r0002"]


def test_a_torn_row_waits_until_it_is_whole(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1)
    with experiment.results.open("ab") as file:
        file.write(line(2).encode())
    assert catch_up(experiment) == ["r0001"]
    with experiment.results.open("ab") as file:
        file.write(b"\n")
    assert catch_up(experiment) == ["r0002"]


def test_of_a_run_whose_folder_is_gone_the_row_is_kept(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1)
    catch_up(experiment)
    [one] = facts.read(experiment)
    assert (one.status, one.verdict, one.value, one.note) == ("ok", "revert", 0.5, "a note")


def test_a_record_that_names_no_run_as_its_base_holds_up_no_other_line(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1, 2)
    run = experiment.run("r0001")
    run.folder.mkdir(parents=True)
    state.write(run.record, record("r0001", base="../../x"))
    assert catch_up(experiment) == ["r0001", "r0002"]


def test_the_next_line_is_found_without_reading_all_of_it(tmp_path: Path) -> None:
    experiment = table(tmp_path, *range(1, LONG))
    with experiment.facts.open("wb") as file:
        for number in range(1, LONG - 1):
            file.write(json.dumps({"run_id": f"r{number:04d}", "status": "ok", "verdict": "revert"}).encode())
            file.write(b"\n")
    before = bytes_read()
    at = facts.position(experiment)
    assert [one.row["run_id"] for one in facts.materials(experiment, at, 8)] == [f"r{LONG - 1:04d}"]
    assert bytes_read() - before < 400_000
    assert facts.position(experiment, at) == at != Position()


def test_a_line_of_another_schema_or_without_end_is_passed_over(tmp_path: Path) -> None:
    experiment = table(tmp_path, 1)
    good = b'{"run_id": "r0001", "status": "ok", "verdict": "revert", "later": 1}\n'
    other = good.replace(b"{", b'{"schema": 2, ', 1)
    experiment.facts.write_bytes(good + other + b"x" * 300_000 + b"\n" + good + good[:-1])
    assert kept(experiment) == ["r0001", "r0001"]


def test_an_experiment_without_runs_has_no_facts(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    assert list(facts.read(experiment)) == []
    assert facts.missing(experiment) == 0

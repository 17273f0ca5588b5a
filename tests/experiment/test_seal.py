"""The seal: what it covers, what it notices, and how program.md's front matter is read."""

import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.core import folders
from ardaemon.core.errors import CorruptState, ForeignOwner, Refused, SealBroken, StorageError, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract, Session
from ardaemon.core.protocol import Seal
from ardaemon.experiment import program as program_md
from ardaemon.experiment import repair, seal, sealed_hash, session
from ardaemon.host import state
from tests.support.folders import bytes_read, experiment
from tests.support.runs import start, tried

FRONT = '[primary]\nmetric = "val/loss"\ndirection = "max"\n'


def program(made: Experiment, front: str, prose: str = "prose\n") -> None:
    made.program.write_text(f"+++\n{front}+++\n{prose}")


def sealed(made: Experiment) -> Contract:
    found = state.read(made.contract, Contract)
    assert found is not None
    return found


# --- front matter ---


def test_front_matter_is_read_with_its_defaults(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    program(made, FRONT + "\n[unknown]\nfield = 1\n")
    _, front = program_md.read_front(made)
    assert (front.primary.metric, front.primary.direction) == ("val/loss", "max")
    assert (front.mutation_scope, front.constraints) == (("train.py",), ())


@pytest.mark.parametrize(
    "text",
    [
        "no front matter at all\n",
        "",
        "+++\nnever closed\n",
        "+++\nmetric = \n+++\n",
        "+++\ngoal = 'no primary'\n+++\n",
        "+++\n[primary]\nmetric = 7\n+++\n",
        "+++\n[primary]\nmetric = 'm'\ndirection = 'up'\n+++\n",
        "+++\nconstraints = ['vram <= lots']\n[primary]\nmetric = 'm'\n+++\n",
    ],
)
def test_an_error_in_the_front_matter_names_the_file(tmp_path: Path, text: str) -> None:
    made = experiment(tmp_path)
    made.program.write_text(text)
    with pytest.raises(UsageError) as caught:
        program_md.read_front(made)
    assert str(made.program) in caught.value.message
    assert caught.value.mend


def test_what_is_no_file_in_the_place_of_program_md_is_named_once(made: Experiment) -> None:
    made.program.unlink()
    os.mkfifo(made.program)
    with pytest.raises(UsageError) as caught:
        program_md.read_front(made)
    assert caught.value.message == f"{made.program} cannot be read: it is a FIFO, not a plain file"


def test_a_missing_or_binary_program_md_names_the_file(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    made.program.write_bytes(b"+++\n\xff\xfe\n+++\n")
    with pytest.raises(UsageError, match=r"program\.md"):
        program_md.read_front(made)
    made.program.unlink()
    with pytest.raises(UsageError, match=r"program\.md"):
        program_md.read_front(made)


def test_plus_signs_within_the_prose_do_not_end_or_begin_anything() -> None:
    text = "+++\na = 1\n+++\nprose\n+++\nmore\n"
    assert program_md.split_program(text) == ("a = 1\n", "prose\n+++\nmore\n")
    assert program_md.split_program("prose\n" + text) == (None, "prose\n" + text)


@pytest.mark.parametrize("before", ["\ufeff", "\n\n", "\ufeff\r\n \n", "\n\ufeff"])
def test_a_byte_order_mark_and_empty_lines_may_stand_before_the_front_matter(before: str) -> None:
    text = "+++\na = 1\n+++\nprose\n+++\n"
    assert program_md.split_program(before + text) == ("a = 1\n", "prose\n+++\n")
    assert program_md.split_program(before + "prose\n" + text)[0] is None


# --- what is sealed ---


def test_prepare_the_front_matter_and_named_paths_are_sealed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.bin").write_bytes(b"1")
    (tmp_path / "eval.py").write_text("pass\n")
    made = experiment(tmp_path, seal=(str(tmp_path / "data"), str(tmp_path / "eval.py")))
    paths = [s.path for s in sealed(made).sealed]
    assert paths == ["program.md", "prepare.py", str(tmp_path / "data"), str(tmp_path / "eval.py")]
    assert seal.changed(made, sealed(made)) == []
    seal.require(made, sealed(made), Session(last_run=0))


def test_the_literal_contract_of_prepare_is_read_without_running_it(tmp_path: Path) -> None:
    prepare = "raise SystemExit('was run')\nCONTRACT = {'classes': 10, 'split': ['a', 'b'], 'eps': 1e-3}\n"
    made = experiment(tmp_path, prepare)
    assert sealed(made).contract == {"classes": 10, "split": ["a", "b"], "eps": 1e-3}


@pytest.mark.parametrize("prepare", [None, "x = 1\n", "CONTRACT = load()\n", "CONTRACT = {\n"])
def test_without_a_readable_literal_there_is_no_contract_and_no_error(
    tmp_path: Path, prepare: str | None
) -> None:
    made = experiment(tmp_path, prepare)
    assert sealed(made).contract is None


def test_a_path_that_is_not_there_cannot_be_sealed(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    with pytest.raises(StorageError, match="no-such-file"):
        seal.make(made, ("no-such-file",))


@pytest.mark.parametrize("name", ["", "val  loss", "val\x1b[31mloss", "x" * 121])
def test_what_is_no_metrics_name_is_not_sealed_as_one(tmp_path: Path, name: str) -> None:
    made = experiment(tmp_path)
    quoted = name.replace("\x1b", "\\u001b")
    program(made, f'[primary]\nmetric = "{quoted}"\n')
    with pytest.raises(UsageError, match="metric"):
        seal.make(made, ())


# --- what is noticed ---


def test_a_change_of_a_sealed_file_is_noticed_and_named_with_its_time(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    made.prepare.write_text("CONTRACT = {'version': 2}\n")
    [fault] = seal.changed(made, sealed(made))
    assert fault.startswith("prepare.py changed (last written 20")
    with pytest.raises(SealBroken) as caught:
        seal.require(made, sealed(made), Session(last_run=0))
    assert "prepare.py" in caught.value.message
    assert "arctl seal --accept" in caught.value.mend


def test_a_deleted_file_is_noticed_and_one_put_back_holds_again(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    text = made.prepare.read_bytes()
    made.prepare.unlink()
    [fault] = seal.changed(made, sealed(made))
    assert "prepare.py" in fault
    assert "No such file" in fault
    made.prepare.write_bytes(text)
    assert seal.changed(made, sealed(made)) == []


def test_a_change_of_the_same_size_in_the_same_instant_is_noticed(tmp_path: Path) -> None:
    """A file's times are coarse: two writes within a tick of the clock cannot be told apart by them."""
    path = tmp_path / "file"
    for number in range(300):
        path.write_bytes(b"%04d" % number)
        before = sealed_hash.hash_file(str(path))
        with path.open("r+b") as file:
            file.write(b"%04d" % (number + 1))
        assert sealed_hash.hash_file(str(path)) != before


def test_a_file_that_has_rested_is_not_read_again() -> None:
    """The interpreter stands for a large data file: nobody has changed it within the last seconds."""
    path = os.path.realpath(sys.executable)
    known = sealed_hash.hash_file(path)
    before = bytes_read()
    assert sealed_hash.hash_file(path) == known
    assert bytes_read() - before < os.path.getsize(path)


@pytest.mark.parametrize("change", ["edit", "add", "delete", "rename", "swap"])
def test_any_change_within_a_sealed_folder_is_noticed(tmp_path: Path, change: str) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (data / name).write_text(name)
    made = experiment(tmp_path, seal=(str(data),))
    (data / "__pycache__").mkdir()
    (data / "__pycache__" / "x.pyc").touch()
    assert seal.changed(made, sealed(made)) == [], "byte code is nobody's input"
    match change:
        case "edit":
            (data / "deep" / "c").write_text("C")
        case "add":
            (data / "deep" / "d").touch()
        case "delete":
            (data / "a").unlink()
        case "rename":
            (data / "a").rename(data / "e")
        case "swap":
            (data / "a").write_text("b")
            (data / "b").write_text("a")
    [fault] = seal.changed(made, sealed(made))
    assert fault.startswith(f"{data} changed")


def test_the_prose_of_program_md_is_free_and_its_front_matter_is_not(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    text = made.program.read_text()
    made.program.write_text(text + "\nTry a smaller learning rate.\n+++\n")
    assert seal.changed(made, sealed(made)) == []
    made.program.write_text(text.replace('direction = "min"', 'direction = "max"'))
    [fault] = seal.changed(made, sealed(made))
    assert fault.startswith("program.md changed")
    made.program.write_text("only prose\n")
    assert len(seal.changed(made, sealed(made))) == 1


def test_every_broken_seal_is_named_and_train_py_is_never_one(tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("pass\n")
    made = experiment(tmp_path, seal=(str(tmp_path / "eval.py"),))
    made.train.write_text("anything\n")
    assert seal.changed(made, sealed(made)) == []
    made.prepare.unlink()
    (tmp_path / "eval.py").write_text("fail\n")
    made.program.unlink()
    assert len(seal.changed(made, sealed(made))) == 3


# --- links that go in a circle ---


def linked(folder: Path) -> Path:
    """data/ holds a file, a link to itself, a folder with a link upward, and two that link to each other."""
    data = folder / "data"
    for name in ("inner", "a", "b"):
        (data / name).mkdir(parents=True)
    (data / "inner" / "x.bin").write_bytes(b"1")
    (data / "self").symlink_to(".")
    (data / "inner" / "up").symlink_to("..")
    (data / "a" / "other").symlink_to("../b")
    (data / "b" / "other").symlink_to("../a")
    return data


def test_links_that_go_in_a_circle_are_hashed_to_an_end(tmp_path: Path) -> None:
    data = linked(tmp_path)
    before = sealed_hash.hash_path(data)
    assert sealed_hash.hash_path(data) == before
    (data / "inner" / "x.bin").write_bytes(b"2")
    assert sealed_hash.hash_path(data) != before


def test_a_second_way_to_a_folder_is_sealed_as_the_link_it_is(tmp_path: Path) -> None:
    data = linked(tmp_path)
    hashes = {sealed_hash.hash_path(data)}
    (data / "again").symlink_to("inner")
    hashes.add(sealed_hash.hash_path(data))
    (data / "again").unlink()
    (data / "again").symlink_to("a")
    hashes.add(sealed_hash.hash_path(data))
    assert len(hashes) == 3


def test_a_folder_of_data_that_is_a_link_is_sealed_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.bin").write_bytes(b"1")
    data = tmp_path / "data"
    data.mkdir()
    (data / "set").symlink_to("../elsewhere")
    before = sealed_hash.hash_path(data)
    (tmp_path / "elsewhere" / "x.bin").write_bytes(b"2")
    assert sealed_hash.hash_path(data) != before


def test_a_sealed_file_that_never_ends_is_not_read_for_ever() -> None:
    """As some in /proc: it tells no size, and holds more at each look."""
    with pytest.raises(OSError, match="it grows while it is read"):
        sealed_hash.hash_file("/proc/self/pagemap")


def test_a_program_md_and_a_prepare_py_that_several_experiments_share_are_read_by_a_link(
    tmp_path: Path,
) -> None:
    made = experiment(tmp_path)
    program(made, FRONT)
    for path in (made.program, made.prepare):
        shared = tmp_path / f"shared-{path.name}"
        path.rename(shared)
        path.symlink_to(shared)
    contract = seal.make(made, ())
    assert contract.contract == {"version": 1}
    assert seal.changed(made, contract) == []


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")
def test_another_users_data_is_sealed_and_his_program_md_is_not_read(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    program(made, FRONT)
    data = tmp_path / "data"
    data.write_text("1,2")
    os.chown(data, 61002, 61002)
    contract = seal.make(made, (str(data),))
    assert seal.changed(made, contract) == []
    os.chown(made.program, 61002, 61002)
    assert seal.changed(made, contract) == [
        "program.md cannot be read: it belongs to another user (uid 61002), who is not `trusted`",
    ]
    with pytest.raises(
        ForeignOwner, match=r"program.md belongs to another user .uid 61002., and is not read"
    ):
        seal.make(made, ())


def test_a_folders_hash_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """A seal that was made by one of them must hold."""
    data = linked(tmp_path)
    for name in ("z/b/k", "z/__pycache__/x", "0", "z.bin"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    hashed = sealed_hash.hash_path(data)
    assert hashed is not None
    assert hashed.sha256 == "2c82687cbb2d75e0539b1f80558cd76ee02afbfd51fba9049af1083222366c60"


def test_a_folder_with_too_many_folders_is_not_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
    monkeypatch.setattr(folders, "NAMES_MAX", 3)
    with pytest.raises(UsageError, match="more than 3 files and folders are there"):
        experiment(tmp_path, seal=(str(tmp_path / "data"),))


@pytest.mark.promise("trust")
@pytest.mark.parametrize("name", ["data", "data/1.csv"])
def test_of_what_has_grown_by_a_terabyte_no_more_is_read_than_was_sealed(tmp_path: Path, name: str) -> None:
    made = experiment(tmp_path)
    program(made, FRONT)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/1.csv").write_text("1,2")
    contract = seal.make(made, (str(tmp_path / name),))
    assert contract.sealed[-1].size == 3
    assert seal.changed(made, contract) == []
    os.truncate(tmp_path / "data/1.csv", 1 << 40)
    before = bytes_read()
    [fault] = seal.changed(made, contract)
    assert fault.startswith(f"{tmp_path / name} changed")
    assert bytes_read() - before < 1 << 20


def test_a_seal_that_tells_no_size_holds_as_ever_and_is_the_same_seal(tmp_path: Path) -> None:
    """As earlier versions made it; a run that was submitted to one of them is not refused."""
    made = experiment(tmp_path)
    program(made, FRONT)
    contract = seal.make(made, ())
    older = replace(contract, sealed=tuple(replace(one, size=None) for one in contract.sealed))
    assert b"size" not in state.encode(older)
    assert seal.changed(made, older) == []
    assert seal.fingerprint(older) == seal.fingerprint(contract)


# --- a seal that is lost ---


@pytest.mark.parametrize("what", ["not json", "of another shape", "empty", "a folder", "gone"])
def test_a_seal_that_is_lost_names_the_command_that_makes_it_anew(tmp_path: Path, what: str) -> None:
    """The origin of train.py, which it held, is in the record of each run."""
    made = experiment(tmp_path)
    start(made)
    tried(made, 1.0)
    before = sealed(made)
    made.contract.unlink()
    if what == "a folder":
        made.contract.mkdir()
    elif what != "gone":
        texts = {"of another shape": '{"schema": 1, "primary": 3}', "empty": ""}
        made.contract.write_text(texts.get(what, "{broken"))
    with pytest.raises(CorruptState, match=r"batch_contract\.json") as error:
        repair.load_or_repair(made)
    assert error.value.mend.endswith(f"arctl seal --accept --expr {made.slug}")
    told = seal.seal(made, Seal(project=str(made.project), accept=True))
    assert "the list of sealed paths is lost" in told[-1]
    assert (sealed(made).sealed, sealed(made).origin) == (before.sealed, before.origin)
    assert repair.load_or_repair(made).warnings == []
    assert tried(made, 0.5).verdict == "advance"


def test_a_person_goes_on_from_a_session_and_a_seal_from_before_though_a_sealed_file_is_a_later_one(
    tmp_path: Path,
) -> None:
    """The file lies elsewhere, so that it was not put back with them; each refusal's command works."""
    made, prices = experiment(tmp_path), tmp_path / "prices.csv"
    prices.write_text("1\n")
    seal.seal(made, Seal(project=str(tmp_path), add=(str(prices),), accept=True))
    start(made)
    tried(made, 0.9)
    before = {path: path.read_bytes() for path in (made.session, made.contract)}
    prices.write_text("2\n")
    seal.seal(made, Seal(project=str(tmp_path), accept=True))
    for path, data in before.items():
        path.write_bytes(data)
    with pytest.raises(Refused, match="went back to r0001") as refused:
        tried(made, 0.8)
    assert "session stop" in refused.value.mend
    session.stop(made)
    start(made)
    with pytest.raises(SealBroken, match=r"prices\.csv changed") as broken:
        tried(made, 0.8)
    assert "arctl seal --accept" in broken.value.mend
    assert seal.seal(made, Seal(project=str(tmp_path), accept=True)) == [f"sealed {prices}"]
    with pytest.raises(Refused, match="another seal was accepted since the session began") as refused:
        tried(made, 0.8)
    assert "--ack-baseline" in refused.value.mend
    session.stop(made)
    start(made)
    assert tried(made, 0.8).verdict == "advance"

"""Creating an experiment: what is copied, what is said, and that a failure leaves nothing behind."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import BadTrainFile, StorageError, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract, Session
from ardaemon.core.protocol import Init
from ardaemon.experiment import create as experiment_create
from ardaemon.experiment import how_run, seal
from ardaemon.experiment import program as program_md
from ardaemon.experiment.state import load
from ardaemon.experiment.train_file import sha256
from ardaemon.host import durable, state
from tests.support.every import every
from tests.support.folders import SLUG, experiment

# A repository laid out like karpathy/autoresearch, in the words that such a one uses.
TRAIN = """import time
from prepare import MAX_SEQ_LEN, TIME_BUDGET, evaluate_bpb

val_bpb = evaluate_bpb(None)
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {TIME_BUDGET:.1f}")
print(f"peak_vram_mb:     {45060.2:.1f}")
"""
PREPARE = """MAX_SEQ_LEN = 2048
TIME_BUDGET = 300

def evaluate_bpb(model):
    return 0.9979
"""
PROGRAM = """# autoresearch

This is an experiment to have the LLM do its own research.

Each experiment runs on a single GPU for a **fixed time budget of 5 minutes**. The higher the batch size, the
better it fills it.

**The goal is simple: get the lowest val_bpb.** Since the time budget is fixed, do not worry about that.

```
---
val_bpb:          0.997900
training_seconds: 300.1
```
"""


def repository(folder: Path) -> dict[str, bytes]:
    """The three files; returns what the folder holds."""
    for name, text in (("train.py", TRAIN), ("prepare.py", PREPARE), ("program.md", PROGRAM)):
        (folder / name).write_text(text)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def create(project: Path, **params: Any) -> Experiment:
    return experiment_create.create(Init(**{"project": str(project), "slug": SLUG, **params}))[0]


def sealed(made: Experiment) -> Contract:
    found = state.read(made.contract, Contract)
    assert found is not None
    return found


def test_what_the_script_does_by_hand_alone_is_said(tmp_path: Path) -> None:
    train = tmp_path / "package" / "train.py"
    train.parent.mkdir()
    (train.parent / "__init__.py").touch()
    train.write_text("from .util import V\nfrom pathlib import Path\nx = Path(__file__).parent.rglob('*')\n")
    given = Init(
        project=str(tmp_path), slug=SLUG, train=str(train), primary_metric="x", primary_direction="min"
    )
    said = experiment_create.create(given)[1]
    assert [line for line in said if "write from package.util import V" in line]
    assert [line for line in said if "looks through all folders below its own" in line]


# --- takeover ---


def test_a_repository_like_autoresearch_is_taken_over_without_any_option(tmp_path: Path) -> None:
    before = repository(tmp_path)
    made, said = experiment_create.create(Init(project=str(tmp_path), slug=SLUG, source=str(tmp_path)))
    primary = sealed(made).primary
    assert (primary.metric, primary.direction) == ("val_bpb", "min")
    assert "primary metric val_bpb (min), as program.md says" in said
    assert made.train.read_text() == TRAIN
    assert made.prepare.read_text() == PREPARE
    front, prose = program_md.split_program(made.program.read_text())
    assert front is not None
    assert prose == how_run.PART + PROGRAM
    assert [s.path for s in sealed(made).sealed] == ["program.md", "prepare.py"]
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before, "its own files are untouched"
    assert all(name.startswith(".autoresearch/") for name in set(after) - set(before))


def test_options_decide_over_what_the_prose_says(tmp_path: Path) -> None:
    repository(tmp_path)
    made = create(tmp_path, source=str(tmp_path), primary_metric="peak_vram_mb", primary_direction="max")
    assert (sealed(made).primary.metric, sealed(made).primary.direction) == ("peak_vram_mb", "max")


@pytest.mark.parametrize(
    ("prose", "direction"),
    [
        ("Get the lowest val_bpb.", "min"),
        ("minimize `val_bpb`", "min"),
        ("Your goal is to **minimise** the *val_bpb*!", "min"),
        ("the highest possible val_bpb wins", "max"),
        ("Maximize: val_bpb", "max"),
        ("higher batch sizes are fine, but lower val_bpb is what counts", "min"),
    ],
)
def test_the_prose_names_metric_and_direction(tmp_path: Path, prose: str, direction: str) -> None:
    repository(tmp_path)
    (tmp_path / "program.md").write_text(prose)
    primary = sealed(create(tmp_path, source=str(tmp_path))).primary
    assert (primary.metric, primary.direction) == ("val_bpb", direction)


@pytest.mark.parametrize("prose", ["", "Make it good.", "get the lowest perplexity", "lowest val_loss"])
def test_a_metric_that_nobody_names_is_asked_for_by_its_option(tmp_path: Path, prose: str) -> None:
    before = repository(tmp_path)
    (tmp_path / "program.md").write_text(prose)
    with pytest.raises(UsageError) as caught:
        create(tmp_path, source=str(tmp_path))
    assert "--primary-metric" in caught.value.message
    assert "--primary-metric" in caught.value.mend
    assert contents(tmp_path) == {**before, "program.md": prose.encode()}


@pytest.mark.parametrize("program", ["lower ab " * 60_000, "".join(f"lower a{n} " for n in range(60_000))])
def test_a_program_md_that_wants_much_is_looked_through_at_once(tmp_path: Path, program: str) -> None:
    """Each mention was once looked for in all scripts: 50 s for this."""
    (tmp_path / "train.py").write_text("x = 1\n" * 170_000)
    (tmp_path / "program.md").write_text(program)
    began = time.thread_time()
    with pytest.raises(UsageError, match="--primary-metric is missing"):
        create(tmp_path, train=None, source=str(tmp_path))
    assert time.thread_time() - began < 3  # 0.5 s


def test_front_matter_ends_within_its_limit(tmp_path: Path) -> None:
    prose = "words\n" * 100_000
    assert program_md.split_program(f"+++\na = 1\n+++\n{prose}") == ("a = 1\n", prose)
    late = f"+++\n{'# ' * program_md.FRONT_MAX}\n+++\n"
    assert program_md.split_program(late) == (None, late)


def test_a_metric_without_its_direction_asks_for_the_direction(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    with pytest.raises(UsageError, match="--primary-direction"):
        create(tmp_path, train=str(tmp_path / "train.py"), primary_metric="val_bpb")


def test_front_matter_of_ones_own_is_kept_and_options_beside_it_refused(tmp_path: Path) -> None:
    repository(tmp_path)
    text = '+++\ngoal = "mine"\n[primary]\nmetric = "val_bpb"\ndirection = "min"\n+++\n\nprose\n'
    (tmp_path / "program.md").write_text(text)
    with pytest.raises(UsageError, match="front matter already"):
        create(tmp_path, source=str(tmp_path), goal="another")
    front, prose = program_md.split_program(text)
    assert create(tmp_path, source=str(tmp_path)).program.read_text() == (
        f"+++\n{front}+++\n{how_run.PART}{prose}"
    )


def test_a_front_matter_behind_a_byte_order_mark_is_taken_and_kept_as_it_is(tmp_path: Path) -> None:
    repository(tmp_path)
    text = '\n+++\n[primary]\nmetric = "val_bpb"\ndirection = "min"\n+++\nprose\n'
    (tmp_path / "program.md").write_bytes(b"\xef\xbb\xbf" + text.encode())
    made = create(tmp_path, source=str(tmp_path))
    assert made.program.read_bytes().startswith(b"\xef\xbb\xbf\n+++\n")
    assert load(made).contract.primary.metric == "val_bpb"
    assert seal.changed(made, load(made).contract) == []


# --- the part of program.md that says how the experiment is run ---


@pytest.mark.parametrize(
    "head", [b"", b'+++\r\ngoal = "mine"\r\n[primary]\r\nmetric = "m"\r\ndirection = "min"\r\n+++\r\n']
)
def test_the_part_stands_above_a_persons_text_of_which_each_byte_is_kept(tmp_path: Path, head: bytes) -> None:
    text = b"\xef\xbb\xbfUn r\xe9sum\xe9, \xff\xfe:\r\nrun it, then\rgit reset --hard\n\n\n\tno end of line"
    program = tmp_path / "mine.md"
    program.write_bytes(head + text)
    metric = {} if head else {"primary_metric": "m", "primary_direction": "min"}
    (tmp_path / "train.py").write_text(TRAIN)
    made = create(tmp_path, train=str(tmp_path / "train.py"), program=str(program), **metric)
    whole = made.program.read_bytes()
    assert whole.startswith(head or b"+++\n")
    assert whole.endswith((b"+++\r\n" if head else b"+++\n") + how_run.PART.encode() + text)
    assert (seal.changed(made, sealed(made)), sealed(made).primary.metric) == ([], "m")


def test_a_program_md_that_has_the_part_gets_no_other_and_keeps_what_a_person_made_of_it(
    tmp_path: Path,
) -> None:
    text = experiment(tmp_path).program.read_text()
    for number, kept in enumerate(
        (text, text.replace("`arctl wait --exit-zero --timeout 540`", "our own `wait.sh`"))
    ):
        program = tmp_path / "again.md"
        program.write_text(kept)
        again = Init(
            project=str(tmp_path), slug=f"261122-{number}", train=f"{tmp_path}/train.py", program=str(program)
        )
        assert experiment_create.create(again)[0].program.read_text() == kept
        assert kept.count(how_run.BEGINS) == 1


def test_a_text_that_only_speaks_of_the_part_gets_it() -> None:
    said = f"Mind the line {how_run.BEGINS} above.\n"
    assert how_run.with_part(said) == how_run.PART + said
    assert how_run.with_part(f"{how_run.BEGINS}\r\nmine\r\n").startswith(how_run.BEGINS)


def test_a_front_matter_that_is_no_utf_8_is_refused_and_the_prose_below_may_be_what_it_is(
    tmp_path: Path,
) -> None:
    made = experiment(tmp_path, goal="mine")
    whole = made.program.read_bytes()
    made.program.write_bytes(whole + b"caf\xe9\n")
    assert program_md.read_front(made)[1].goal == "mine"
    made.program.write_bytes(whole.replace(b"mine", b"caf\xe9"))
    with pytest.raises(UsageError, match="UTF-8"):
        program_md.read_front(made)


# --- what stands there afterwards ---


def test_a_new_experiment_has_the_original_kept_and_placed_and_no_run(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    original = made.run("r0000").train
    assert original.read_bytes() == made.train.read_bytes()
    assert stat.S_IMODE(original.stat().st_mode) == 0o444
    session = state.read(made.session, Session)
    assert session is not None
    assert session.placed is not None
    assert (session.placed.run_id, session.placed.sha256) == ("r0000", sha256(made.train.read_bytes()))
    assert (session.last_run, session.live, session.settings) == (0, False, None)
    assert load(made).best is None
    assert sorted(os.listdir(made.folder.parent)) == [".gitignore", SLUG]


def test_goal_and_constraints_stand_in_the_front_matter_whatever_they_hold(tmp_path: Path) -> None:
    goal = 'a "quoted" \\ goal\nwith a line, a tab\t, é 🦀 and \x7f'
    made = experiment(tmp_path, goal=goal, constraints=("peak_vram_mb<=70000", "val/acc >= 0.9"))
    _, front = program_md.read_front(made)
    assert front.goal == goal
    assert sealed(made).constraints == ("peak_vram_mb<=70000", "val/acc >= 0.9")


# --- refusals ---


@every(
    "params, kind, named",
    [
        ({"slug": "../x"}, UsageError, "'../x'"),
        ({"slug": "261122-a/b"}, UsageError, "261122-a/b"),
        ({"slug": "Loud"}, UsageError, "Loud"),
        ({"train": None}, UsageError, "--train"),
        ({"train": "missing.py"}, BadTrainFile, "missing.py"),
        ({"train": "empty.py"}, BadTrainFile, "empty.py"),
        ({"train": "binary.py"}, BadTrainFile, "binary.py"),
        ({"prepare": "missing.py"}, UsageError, "missing.py"),
        ({"prepare": "folder"}, UsageError, "folder"),
        ({"source": "folder", "train": None}, UsageError, "folder"),
        ({"seal": ("missing",)}, UsageError, "missing"),
        ({"constraints": ("vram",)}, UsageError, "vram"),
        ({"primary_metric": "val  loss"}, UsageError, "val  loss"),
        ({"primary_metric": None}, UsageError, "--primary-metric"),
        (
            {"program": "broken.md", "primary_metric": None, "primary_direction": None},
            UsageError,
            "program.md",
        ),
        ({"project": "missing"}, StorageError, "missing"),
    ],
)
def test_a_refusal_names_what_is_wrong_and_leaves_nothing_behind(
    tmp_path: Path, params: dict[str, Any], kind: type[Exception], named: str
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "empty.py").write_text(" \n")
    (tmp_path / "binary.py").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "broken.md").write_text("+++\nprimary = 7\n+++\n")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    given = {"train": "train.py", "primary_metric": "val_bpb", "primary_direction": "min", **params}
    for name in ("train", "prepare", "program", "source", "project"):
        if isinstance(given.get(name), str):
            given[name] = str(tmp_path / given[name])
    with pytest.raises(kind) as caught:
        create(Path(given.pop("project", tmp_path)), **given)
    assert named in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_slug_that_is_taken_is_refused_and_the_experiment_there_untouched(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    made.train.write_text("precious edit\n")
    before = contents(made.folder)
    with pytest.raises(UsageError, match=SLUG):
        experiment(tmp_path)
    assert contents(made.folder) == before
    assert sorted(os.listdir(made.folder.parent)) == [".gitignore", SLUG]


def test_where_git_cannot_be_told_to_ignore_it_nothing_is_made_and_the_next_call_does_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(durable, "write_new", full)
        with pytest.raises(StorageError, match="No space"):
            experiment(tmp_path)
    assert not (tmp_path / ".autoresearch").exists()
    made = experiment(tmp_path)
    assert sorted(os.listdir(made.folder.parent)) == [".gitignore", SLUG]


def test_what_a_killed_init_left_half_made_is_no_experiment_and_is_cleared_away(tmp_path: Path) -> None:
    half = tmp_path / ".autoresearch" / f".new-{SLUG}"
    half.mkdir(parents=True)
    (half / "train.py").write_text("half")
    made = experiment(tmp_path)
    assert sorted(os.listdir(made.folder.parent)) == [".gitignore", SLUG]
    assert seal.changed(made, sealed(made)) == []


def test_what_a_person_names_may_be_links_and_files_of_a_colleagues(tmp_path: Path) -> None:
    """They are copied, so that nothing follows the link later."""
    shared, project = tmp_path / "shared", tmp_path / "p"
    shared.mkdir()
    project.mkdir()
    repository(shared)
    train, prepare, program = (tmp_path / name for name in ("train.py", "prepare.py", "program.md"))
    for path in (train, prepare, program):
        if os.getuid() == 0:
            os.chown(shared / path.name, 61002, 61002)
        path.symlink_to(shared / path.name)
    params = Init(
        project=str(project), slug=SLUG, train=str(train), prepare=str(prepare), program=str(program)
    )
    made, _ = experiment_create.create(params)
    for path in (made.train, made.prepare, made.program):
        assert not path.is_symlink()
        assert path.stat().st_uid == os.getuid()
    assert load(made).contract.primary.metric == "val_bpb"

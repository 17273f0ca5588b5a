"""Experiments that follow each other: what the child is made of, and when none is made."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import (
    ArdaemonError,
    Refused,
    RunnerNotFound,
    SealBroken,
    SessionNotLive,
    StorageError,
    Unclean,
    UnknownExperiment,
    UsageError,
)
from ardaemon.experiment import how_run
from tests.support import chains
from tests.support import lab as labs
from tests.support.chains import CHILD, RATIONALE, begin, chain, folder, go_on, parent, tried
from tests.support.jobs import launched
from tests.support.lab import SLUG, Lab
from tests.support.runs import everything
from tests.support.shell import Shell

LAST = "261124-last"
WAITS = """import os, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
print("val/loss: 0")
"""


def read(lab: Lab, name: str, slug: str = CHILD) -> Any:
    return json.loads((folder(lab, slug) / name).read_bytes())


def test_two_chained_experiments_to_the_end_of_the_budget(lab: Lab) -> None:
    """By arctl alone, as an agent does it."""
    lab.environment["AR_NONINTERACTIVE"] = "1"
    lab.start()
    shell = Shell(lab)
    (lab.project / "t.py").write_text(chains.TRAIN.format(value=1.0))
    (lab.project / "p.py").write_text("CONTRACT = {'version': 1}\n")
    told = ("--primary-metric", "val/loss", "--primary-direction", "min", "--goal", "less")
    shell(
        "init", SLUG, "--train", "t.py", "--prepare", "p.py", *told, "--mutation-scope", "train.py, conf.yaml"
    )
    options = ("--seconds", "20", "--settle", "0", "--max-runs", "1", "--checkpoint-glob", "{run_dir}/ck-*")
    shell("session", "start", *options, "--chain", "2")
    assert "[r0001] chain: 2 left, max_runs(1) — best val/loss=1 at r0001" in shell("run", "--wait")
    words: tuple[str, ...] = ("--goal", "lower it", "--rationale", "it still falls", "--seconds", "inherit")
    words = (*words, "--runner", "inherit", "--constraints", "inherit")
    assert shell("chain-init", "--new-slug", CHILD, *words) == f"{CHILD}\n"
    assert shell("chain-init", "--new-slug", CHILD, *words) == f"{CHILD}\n", (
        "the same command, the same child"
    )
    assert shell("status", "--compact").splitlines()[0] == f"expr: {CHILD}"
    assert "chain: 1 left, experiment 2" in shell("status", "--compact")
    (folder(lab) / "train.py").write_text(chains.TRAIN.format(value=0.5))
    assert "[r0001] chain: 1 left, max_runs(1) — best val/loss=0.5 at r0001" in shell("run", "--wait")
    assert "parent: weights of 1.0" in shell("tail")
    asked = ("--new-slug", LAST, *words[:-2], "--max-runs", "2", "--constraints", "val/loss<=9", "--export")
    assert shell("chain-init", *asked) == "export AR_NONINTERACTIVE=1\n"
    assert "parent: weights of 0.5" in shell("run", "--wait") + shell("tail")
    over = shell("run", "--wait", "--again")
    assert "[r0002] stop: max_runs(2), chain_budget used up — best val/loss=0.5 at r0001" in over
    code, _, error = shell.end(shell.start("chain-init", "--new-slug", "261125-more", *words))
    assert (code, "budget is used up" in error) == (65, True)
    assert shell("chain").splitlines() == [
        f"chain: 0 left, current {LAST}",
        f"  1. {SLUG} — best val/loss=1 @ r0001 (max_runs)",
        f"  2. {CHILD} — best val/loss=0.5 @ r0001 (max_runs, after {SLUG})",
        "     it still falls",
        f"  3. {LAST} — best val/loss=0.5 @ r0001 (max_runs, after {CHILD})",
        "     it still falls",
    ]
    assert read(lab, "chain_decision.json", LAST)["child_mutation_scope"] == ["train.py", "conf.yaml"]
    there = ("--project", str(lab.folder))
    assert shell.end(shell.start("chain", *there, cwd=lab.root))[1] == shell("chain")
    code, _, error = shell.end(
        shell.start("chain-init", *there, "--new-slug", "261125-more", *words, cwd=lab.root)
    )
    assert (code, "budget is used up" in error) == (65, True)
    assert shell.end(shell.start("chain", "stop", *there, cwd=lab.root))[0] == 0


def test_an_empty_checkpoint_is_not_the_current_folder(over: Lab) -> None:
    words = ("--new-slug", CHILD, "--goal", "less", "--rationale", "why")
    code, _, error = Shell(over).end(Shell(over).start("chain-init", *words, "--parent-ckpt", ""))
    assert (code, error.splitlines()[0]) == (64, "Error: --parent-ckpt is empty")
    assert not folder(over).exists()


def test_the_rationale_is_read_from_standard_input_word_for_word(lab: Lab) -> None:
    lab.start()
    parent(lab)
    command = [sys.executable, "-m", "arctl", "chain-init", "--new-slug", CHILD, "--goal", "less"]
    given: dict[str, Any] = {
        "env": lab.environment,
        "cwd": lab.project,
        "capture_output": True,
        "timeout": 60,
    }
    done = subprocess.run([*command, "--rationale", "-"], input=RATIONALE.encode(), check=False, **given)
    assert (done.returncode, done.stdout) == (0, f"{CHILD}\n".encode()), done.stderr
    assert read(lab, "chain_decision.json")["rationale"] == RATIONALE
    done = subprocess.run(command, input=b"", check=False, **given)
    assert (done.returncode, b"missing: --rationale" in done.stderr) == (64, True), done.stderr


def test_the_child_is_whole_and_its_session_is_live(lab: Lab) -> None:
    lab.start()
    lab.init(prepare=_written(lab, "prepare.py", "CONTRACT = {'version': 1}\n"), goal="lower it")
    (lab.folder / "program.md").write_text((lab.folder / "program.md").read_text() + "Mind the warmup.\n")
    (lab.folder / "eval").mkdir()
    (lab.folder / "eval/data.bin").write_text("data")
    outside = _written(lab, "outside.bin", "more data")
    lab.get("experiment.seal", add=["eval", outside])
    begin(lab, chain=2, settings={"plateau": 7, "constraints": ["val/loss<=9"]})
    lab.write(chains.TRAIN.format(value=1.0))
    lab.run()
    made = go_on(lab, primary_metric="val/acc", primary_direction="max")
    home = folder(lab)
    assert (made["expr"], made["folder"], made["chain_remaining"]) == (CHILD, str(home), 1)
    assert (home / "train.py").read_text() == chains.TRAIN.format(value=1.0)
    assert os.access(home / "train.py", os.W_OK)
    assert (home / "runs/r0000/train.py").read_bytes() == (home / "train.py").read_bytes()
    assert (home / "prepare.py").read_text() == "CONTRACT = {'version': 1}\n"
    assert (home / "eval/data.bin").read_text() == "data"
    program = (home / "program.md").read_text()
    assert program.startswith('+++\ngoal = "lower it further"\nmutation_scope = ["train.py"]\n')
    assert '[primary]\nmetric = "val/acc"\ndirection = "max"\n+++\n' in program
    assert program.index(f"the prose of {SLUG}") < program.index("Mind the warmup.")
    seal, before = read(lab, "batch_contract.json"), lab.read("batch_contract.json")
    hashes = [
        {s["path"]: s["sha256"] for s in each["sealed"] if s["path"] != "program.md"}
        for each in (seal, before)
    ]
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"prepare.py", "eval", outside}
    session = read(lab, ".ar-session.json")
    assert (session["live"], session["resume_mode"], session["baseline_acknowledged"]) == (
        True,
        "continue",
        True,
    )
    assert session["settings"] == lab.read(".ar-session.json")["settings"]
    assert (home / "parent_ckpt/ck-1").read_text() == "weights of 1.0"
    assert read(lab, "parent_ckpt/meta.json")["run_id"] == "r0001"
    decision = read(lab, "chain_decision.json")
    assert (home / "chain_decision.json").stat().st_mode & 0o777 == 0o444
    assert decision == made["decision"] | {"schema": 1}
    assert decision["parent_primary"] == {
        "name": "val/loss",
        "direction": "min",
        "best_value": 1.0,
        "best_run": "r0001",
    }
    assert decision["child_primary"] == {"name": "val/acc", "direction": "max"}
    assert (decision["rationale"], decision["chain_position"]) == (RATIONALE, 1)
    assert decision["parent_checkpoint"] == f"{SLUG}/.ckpt/r0001"
    assert len(decision["parent_report_sha256"]) == 64
    assert chain(lab)["chain_trail"] == [SLUG, CHILD]
    assert lab.call("status.get", project=str(lab.project), expr=CHILD)["warnings"] == []


def _programs(lab: Lab) -> tuple[str, str, str]:
    """The program.md of a parent, of its child and of the child's child."""
    parent(lab, chain=2)
    go_on(lab)
    tried(lab, 0.5, CHILD)
    go_on(lab, LAST)
    first, second, third = ((folder(lab, slug) / "program.md").read_text() for slug in (SLUG, CHILD, LAST))
    return first, second, third


def test_the_part_that_says_how_to_run_stands_once_and_first_in_each_experiment_of_a_chain(lab: Lab) -> None:
    lab.start()
    first, second, third = _programs(lab)
    prose = first.partition(how_run.PART)[2]
    for program, slug in ((second, CHILD), (third, LAST)):
        assert program.partition("\n+++\n")[2].startswith(f"{how_run.PART}\n# {slug}\n")
        assert program.count(how_run.BEGINS) == 1
        assert program.endswith(f"\n---\n{prose}")


def test_a_child_of_an_earlier_versions_experiment_has_the_part_and_each_byte_of_the_parents_prose(
    lab: Lab,
) -> None:
    lab.start()
    lab.init()
    program = folder(lab, SLUG) / "program.md"
    prose = b"caf\xe9\r\ngit reset --hard"
    program.write_bytes(program.read_bytes().partition(how_run.PART.encode())[0] + prose)
    begin(lab, chain=1)
    lab.run()
    go_on(lab)
    text = (folder(lab) / "program.md").read_bytes()
    assert text.count(how_run.PART.encode()) == 1
    assert text.endswith(b"\n---\n" + prose)


def test_a_part_that_a_person_has_changed_goes_to_the_child_as_it_is(lab: Lab) -> None:
    lab.start()
    lab.init()
    program = folder(lab, SLUG) / "program.md"
    changed = program.read_text().replace("`arctl wait --exit-zero --timeout 540`", "our own `wait.sh`")
    program.write_text(changed)
    begin(lab, chain=1)
    lab.run()
    go_on(lab)
    text = (folder(lab) / "program.md").read_text()
    assert text.endswith("\n---\n" + changed.partition("\n+++\n")[2])
    assert text.count(how_run.BEGINS) == 1


def test_the_child_lives_on_where_its_parent_is_removed(lab: Lab) -> None:
    lab.start()
    parent(lab)
    go_on(lab)
    shutil.rmtree(lab.folder)
    result = tried(lab, 0.5, CHILD)
    assert (result["verdict"], result["chain_remaining"]) == ("advance", 1)
    assert (folder(lab) / "runs/r0001/run.log").read_text().startswith("parent: weights of 1.0\n")


def test_the_same_call_gives_the_same_child_and_another_one_is_refused(lab: Lab) -> None:
    lab.start()
    parent(lab, chain="unlimited")
    made = go_on(lab)
    tree = everything(lab.folder.parent)
    assert go_on(lab) == made
    with pytest.raises(UsageError, match="is there already"):
        go_on(lab, submit_id="another")
    assert everything(lab.folder.parent) == tree
    tried(lab, 0.5, CHILD)
    assert go_on(lab, LAST)["chain_remaining"] is None
    assert read(lab, "chain_decision.json", LAST)["chain_position"] == 2
    assert chain(lab)["chain_mode"] == "unlimited"


def test_a_best_without_a_checkpoint_is_followed_without_one_and_the_answer_says_so(lab: Lab) -> None:
    lab.start()
    parent(lab, checkpoint_glob=None)
    made = go_on(lab)
    assert "AR_PARENT_CKPT is not set" in made["warnings"][0]
    assert made["decision"]["parent_checkpoint"] is None
    tried(lab, 0.5, CHILD)
    assert (folder(lab) / "runs/r0001/run.log").read_text().startswith("parent: None\n")


def test_another_checkpoint_and_another_train_py_can_be_named(lab: Lab) -> None:
    lab.start()
    parent(lab)
    named = Path(_written(lab, "ck-1", "other weights"))
    script = _written(lab, "mine.py", "print('val/loss: 3')\n")
    made = go_on(lab, parent_ckpt=str(named), train=script)
    assert (folder(lab) / "parent_ckpt/ck-1").read_text() == "other weights"
    assert not (folder(lab) / "parent_ckpt/meta.json").exists()
    assert (folder(lab) / "train.py").read_text() == "print('val/loss: 3')\n"
    assert made["decision"]["parent_checkpoint"] == str(named)


def test_settings_are_the_parents_but_for_what_is_given(lab: Lab) -> None:
    lab.start()
    parent(lab, plateau=7, constraints=["val/loss<=9"])
    made = go_on(lab, given={"seconds": 30, "constraints": None, "plateau": 3})
    settings = made["session"]["settings"]
    assert (settings["seconds"], settings["plateau"], settings["max_runs"]) == (30, 3, 1)
    assert "constraints" not in settings
    kept = ["checkpoint_glob", "max_log", "max_runs", "runner", "settle"]  # max_log: no limit, as the parent
    assert sorted(made["decision"]["inherited"]) == kept


def test_with_force_the_parents_session_ends_as_chained_and_what_waits_is_cancelled(lab: Lab) -> None:
    lab.start()
    parent(lab, max_runs=None)
    other = lab.beside("q")
    other.init()
    other.session()
    launched(other, WAITS.format(go=str(lab.root / "go")))  # in the only slot
    lab.edit(0.5)
    waits = lab.submit()["run_id"]
    lab.get("report.get")  # as in `world`
    tree = everything(lab.folder.parent)
    with pytest.raises(Refused, match=f"the session of {SLUG} is still live"):
        go_on(lab)
    assert everything(lab.folder.parent) == tree
    assert lab.get("run.get", run_id=waits)["state"] == "queued"
    made = go_on(lab, force=True)
    assert made["decision"]["dropped"] == [waits]
    assert f"runs of {SLUG} that waited are cancelled: {waits}" in made["warnings"]
    result = lab.wait(waits)["result"]
    assert (result["status"], result["terminated_by"], result["next"]) == (
        "interrupted",
        "chained",
        "stop: chained",
    )
    session = lab.read(".ar-session.json")
    assert (session["live"], session["terminated_by"]) == (False, "chained")
    assert go_on(lab, force=True) == made
    (lab.root / "go").touch()
    assert tried(lab, 0.5, CHILD)["verdict"] == "advance"


def test_a_run_at_work_is_named_and_goes_on(lab: Lab) -> None:
    lab.start()
    parent(lab, max_runs=None)
    run_id = launched(lab, WAITS.format(go=str(lab.root / "go")))
    with pytest.raises(Refused, match=f"a run of {SLUG} is still at work: {run_id}"):
        go_on(lab, force=True)
    (lab.root / "go").touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"
    assert go_on(lab, force=True)["decision"]["parent_primary"]["best_run"] == run_id


# --- refusals ---


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Lab, Path]]:
    """A parent that is over, and a copy of its project."""
    with closing(labs.make()) as lab:
        lab.start()
        lab.init(prepare=_written(lab, "prepare.py", "CONTRACT = {'version': 1}\n"))
        begin(lab, chain=2)
        lab.write(chains.TRAIN.format(value=1.0))
        lab.run()
        lab.get("report.get")  # so that facts.jsonl, which is written in the background, is among it
        kept = lab.root / "kept"
        shutil.copytree(lab.folder.parent, kept, symlinks=True)
        yield lab, kept


@pytest.fixture
def over(world: tuple[Lab, Path]) -> Lab:
    """The parent as it was, and to the daemon another experiment than the one before."""
    lab, kept = world
    shutil.rmtree(lab.folder.parent)
    shutil.copytree(kept, lab.folder.parent, symlinks=True)
    _changed(".ar-session.json", lineage=os.urandom(8).hex())(lab)
    return lab


def _changed(file: str, **fields: Any) -> Callable[[Lab], None]:
    """Change fields of a JSON file."""

    def change(lab: Lab) -> None:
        path = lab.folder / file
        path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))

    return change


def _other_weights(lab: Lab) -> None:
    (lab.folder / ".ckpt/r0001/ck-1").write_text("weights of 9.9")


def _leads_elsewhere(lab: Lab) -> None:
    _changed(".ckpt/r0001/meta.json", name="..", files={})(lab)


def _no_checkpoint(lab: Lab) -> None:
    shutil.rmtree(lab.folder / ".ckpt/r0001")


def _no_best(lab: Lab) -> None:
    lab.session("fresh")
    lab.get("session.stop")


def _other_prepare(lab: Lab) -> None:
    (lab.folder / "prepare.py").write_text("CONTRACT = {'version': 2}\n")


def _other_runner(lab: Lab) -> None:
    session = lab.read(".ar-session.json")
    settings = session["settings"] | {"runner": "/tmp/x/python train.py"}
    _changed(".ar-session.json", settings=settings)(lab)


UNCLEAN = f".autoresearch/{SLUG}/UNCLEAN.json"
SENTINEL = {"schema": 1, "run_id": "r0001", "survivors": [], "boot_id": "", "at": "2026-11-22T10:00:00Z"}
REFUSALS: dict[str, tuple[type[ArdaemonError], str, Callable[[Lab], object] | None, dict[str, Any]]] = {
    "no rationale": (UsageError, "the rationale is empty", None, {"rationale": ""}),
    "a blank rationale": (UsageError, "the rationale is empty", None, {"rationale": " \n\t"}),
    "a rationale without end": (UsageError, "longer than 64 KiB", None, {"rationale": "x" * (65 << 10)}),
    "no goal": (UsageError, "the goal is empty", None, {"goal": " "}),
    "no scope": (UsageError, "--mutation-scope ''", None, {"mutation_scope": [""]}),
    "no slug": (UsageError, "'child' is not an experiment's name", None, {"slug": "child"}),
    "a slug that is taken": (UsageError, "is there already", None, {"slug": SLUG}),
    "no metric": (UsageError, "is not a metric's name", None, {"primary_metric": "0"}),
    "an empty metric": (UsageError, "'' is not a metric's name", None, {"primary_metric": ""}),
    "a wrong setting": (UsageError, "--plateau 0", None, {"given": {"plateau": 0}}),
    "no runner": (RunnerNotFound, "no-such", None, {"given": {"runner": "no-such train.py"}}),
    "budget used up": (
        Refused,
        "the chain's budget is used up",
        _changed("../.chain-session.json", chain_remaining=0),
        {},
    ),
    "stopped": (
        Refused,
        "the chain was stopped",
        lambda lab: lab.call("chain.stop", project=str(lab.project)),
        {},
    ),
    "no chain": (Refused, "has no chain", lambda lab: chains.chain_file(lab).unlink(), {}),
    "no link": (Refused, "261111-none is no experiment of the chain", None, {"from_expr": "261111-none"}),
    "a parent that is gone": (
        UnknownExperiment,
        f"no experiment '{SLUG}'",
        lambda lab: shutil.rmtree(lab.folder),
        {},
    ),
    "live": (Refused, f"the session of {SLUG} is still live", lambda lab: begin(lab), {}),
    "unclean": (Unclean, "survived their kill", lambda lab: _written(lab, UNCLEAN, json.dumps(SENTINEL)), {}),
    "no best": (Refused, f"{SLUG} has no best", _no_best, {}),
    "checkpoint missing": (Refused, r"best \(r0001\) is missing", _no_checkpoint, {}),
    "another checkpoint": (Refused, "is not as it was promoted: ck-1", _other_weights, {}),
    "named checkpoint missing": (
        Refused,
        "there is no such file or folder",
        None,
        {"parent_ckpt": "/no/where"},
    ),
    "named checkpoint a FIFO": (
        Refused,
        "there is no such file or folder",
        lambda lab: os.mkfifo(lab.root / "fifo"),
        {"parent_ckpt": "{fifo}"},
    ),
    "named checkpoint changed": (
        Refused,
        "is not as it was promoted",
        _other_weights,
        {"parent_ckpt": "{ckpt}"},
    ),
    "a checkpoint that leads elsewhere": (Refused, "is missing", _leads_elsewhere, {}),
    "disk nearly full": (StorageError, "2 times that is needed", None, {"parent_ckpt": "{sparse}"}),
    "train.py missing": (ArdaemonError, "/no/train.py is missing", None, {"train": "/no/train.py"}),
    "seal broken": (SealBroken, f"sealed in {SLUG} and changed since: prepare.py", _other_prepare, {}),
    "session of a clone": (SessionNotLive, "was started elsewhere", _other_runner, {}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused_leaves_nothing_behind(over: Lab, case: str) -> None:
    error, says, prepare, params = REFUSALS[case]
    if prepare is not None:
        prepare(over)
    if "{ckpt}" in params.values():
        params = {"parent_ckpt": str(over.folder / "best_ckpt")}
    if "{fifo}" in params.values():
        params = {"parent_ckpt": str(over.root / "fifo")}
    if "{sparse}" in params.values():
        with (over.root / "sparse").open("wb") as file:
            file.truncate(1 << 42)
        params = {"parent_ckpt": str(over.root / "sparse")}
    tree = everything(over.project)
    with pytest.raises(error, match=says) as raised:
        go_on(over, **{"slug": CHILD, **params})
    assert raised.value.mend
    assert everything(over.project) == tree
    assert not raised.value.message.endswith(".")


def test_a_checkpoint_that_is_lost_can_be_done_without(over: Lab) -> None:
    _no_checkpoint(over)
    assert go_on(over, no_checkpoint=True)["decision"]["parent_checkpoint"] is None


@pytest.mark.parametrize("live", [True, False])
def test_the_way_to_a_best_starts_a_session_only_where_none_is_live(over: Lab, live: bool) -> None:
    over.session("fresh")
    if not live:
        over.get("session.stop")
    with pytest.raises(Refused, match="has no best") as raised:
        go_on(over, force=True)
    first = "" if live else f"arctl session start --resume continue --expr {SLUG}, then "
    assert raised.value.mend == f"get one: {first}arctl run --wait --expr {SLUG}"


def test_an_earlier_link_can_be_followed_again(over: Lab) -> None:
    go_on(over)
    with pytest.raises(
        Refused, match=f"the session of {CHILD}, the chain's current experiment, is still live"
    ):
        go_on(over, LAST, from_expr=SLUG, force=True)
    over.call("session.stop", project=str(over.project), expr=CHILD)
    made = go_on(over, LAST, from_expr=SLUG)
    assert (made["decision"]["parent_expr"], made["decision"]["chain_position"]) == (SLUG, 2)
    assert chain(over)["chain_trail"] == [SLUG, CHILD, LAST]


def _written(lab: Lab, name: str, text: str) -> str:
    path = lab.project / name
    path.write_text(text)
    return str(path)

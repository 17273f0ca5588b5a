"""The log backend: what counts as a reported number, and reading from the end in bounded memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.core.errors import UsageError
from ardaemon.core.model import Count, Primary
from ardaemon.metrics.base import METRICS_MAX, AttemptOutput, Query, Readings
from ardaemon.metrics.formats.lines import LINE_MAX, compile_regex
from ardaemon.metrics.formats.log_reader import ReadLimits
from ardaemon.metrics.formats.scan import Scan
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.log_follower import GrowingLog
from tests.support.every import every
from tests.support.folders import bytes_read

LOSS = Query(Primary("loss"))


def evidence(log: Path) -> AttemptOutput:
    return AttemptOutput(log=log, run_folder=log.parent, attempt_folder=log.parent, project=log.parent)


def read(folder: Path, text: str | bytes, query: Query = LOSS, limits: ReadLimits | None = None) -> Readings:
    log = folder / "run.log"
    log.write_bytes(text.encode() if isinstance(text, str) else text)
    return LogBackend(limits).read_here(evidence(log), query)


def values(readings: Readings) -> dict[str, float]:
    return {name: metric.last for name, metric in readings.metrics.items()}


@every(
    "line, found",
    [
        ("step 100 | loss=0.5 val/loss: 0.4", {"loss": 0.5, "val/loss": 0.4}),
        ("val_bpb:          0.997900", {"val_bpb": 0.9979}),
        (
            "step 00953 (100.0%) | loss: 2.345678 | lrm: 0.00 | dt: 300ms | tok/sec: 1,234,567 | mfu: 39.8%",
            {"loss": 2.345678, "lrm": 0.0, "tok/sec": 1234567.0, "mfu": 39.8},
        ),
        ('{"loss": 0.5, "n": 3, "done": true, "at": null}', {"loss": 0.5, "n": 3}),
        ('{"deep": {"loss": 9}, "list": [1], "text": "x: 1", "n": 3}', {"deep/loss": 9, "n": 3}),
        ('{"loss": "0.5", "name": "abc", "time": "12:30"}', {"loss": 0.5}),
        ("{'eval_loss': 0.5, 'epoch': 1.0}", {"eval_loss": 0.5, "epoch": 1.0}),
        ("{'loss': '0.5', 'grad_norm': '1e-05', 'ok': True}", {"loss": 0.5, "grad_norm": 1e-5}),
        ("{'train': {'loss': 1.0}, 'n': 3, 'ids': [1, 2]}", {"n": 3.0, "train/loss": 1}),
        ("{'loss': np.float64(0.5), 'acc': tensor(0.25, requires_grad=True)}", {"loss": 0.5, "acc": 0.25}),
        ('  "loss": 0.5,', {"loss": 0.5}),
        ("INFO:root:loss: 0.5 (best)", {"loss": 0.5}),
        ("**loss**: 0.5, `acc`=1", {"loss": 0.5, "acc": 1.0}),
        ("val_loss....: 0.5.", {"val_loss": 0.5}),
        ("a=1e-4 b=+0.5 c=.5 d=1. e=-3 f=1_000 g=2E+3", {"a": 1e-4, "b": 0.5, "c": 0.5, "d": 1.0, "e": -3.0}
         | {"f": 1000.0, "g": 2000.0}),
        ("acc: 91.2% | hit@5=0.7 | top-1: 3", {"acc": 91.2, "hit@5": 0.7, "top-1": 3.0}),
        ("потеря: 0.5", {"потеря": 0.5}),
        ("100%|████| 10/10 [00:05<00:00,  1.9it/s, loss=0.5]", {"loss": 0.5}),
        # What looks like a report and is none.
        ("2026-11-22T12:30:45 12:30:45,123 time 12:30", {}),
        ("see http://x:80/a and https://example.org:443 and train.py:80: note", {}),
        ("epoch: 3/10 date: 2026-11-22 version: 1.2.3 at: 12:30:45 loss: 0,5", {}),
        ("dt: 300ms mem=42GB eta: 5s lr=1e-4x", {}),
        ("train: 100%|████| 5/5", {}),
        ("loss: None loss=True loss = high loss == 1 loss >= 1 --loss=3 loss 4", {}),
        ("x[loss]: , : 5 = 6", {}),
    ],
)  # fmt: skip
def test_a_line_reports_these_numbers(line: str, found: dict[str, float]) -> None:
    assert {report.name: report.value for report in Scan("").line(line.strip())} == found


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("step 100 | loss=0.5", 100),
        ("loss=0.5 global_step: 7", 7),
        ("Step: 1 loss: 9 | Iteration=2 loss: 0.5 step 3", 2),
        ("iter 12/500: loss: 0.5", 12),
        ('{"loss": 0.5, "global_step": 40}', 40),
        ("{'loss': 0.5, 'step': 41}", 41),
        ("loss: 0.5 num_steps: 3 step_time: 4 epoch: 5", None),
        ("step 1.5 step 1,000 loss: 0.5", None),
    ],
)
def test_a_report_takes_the_step_that_its_line_names(line: str, step: int | None, tmp_path: Path) -> None:
    assert read(tmp_path, line).metrics["loss"].step == step


def test_the_last_value_counts_and_best_follows_the_direction(tmp_path: Path) -> None:
    text = "loss: 3\nloss: 1\nloss: 2\nacc: 1\n"
    low = read(tmp_path, text, Query(Primary("loss", "min"))).metrics
    high = read(tmp_path, text, Query(Primary("loss", "max"))).metrics
    assert (low["loss"].last, low["loss"].best, low["acc"].best) == (2.0, 1.0, None)
    assert high["loss"].best == 3.0


def test_best_is_unknown_where_not_all_was_read(tmp_path: Path) -> None:
    metric = read(tmp_path, "loss: 1\n" + "loss: 2\n" * 9, limits=ReadLimits(tail=40)).metrics["loss"]
    assert (metric.last, metric.best) == (2.0, None)


def test_progress_lines_colours_crlf_and_broken_bytes_are_read_through(tmp_path: Path) -> None:
    raw = b"\rstep 1 loss: 3\rstep 2 \x1b[32mlo\x1b[1mss\x1b[0m: \x1b[1m2.5\x1b[0m\r"
    raw += b"\xff\xfe acc=1\r\nval/b: 4\r\n\0\0c: 5"
    assert values(read(tmp_path, raw)) == {"loss": 2.5, "acc": 1.0, "val/b": 4.0, "c": 5.0}


@pytest.mark.parametrize("value", ["nan", "NaN", "-nan", "inf", "-Infinity", "1e999"])
def test_a_last_value_that_is_not_finite_hides_the_earlier_ones(value: str, tmp_path: Path) -> None:
    """An earlier finite value must never stand in for a loss that ended as nan."""
    for line in (f"loss: {value}", json.dumps({"loss": float(value)}), f"{{'loss': '{value}'}}"):
        readings = read(tmp_path, f"loss: 0.5 acc: 1\n{line}\ndone\n")
        assert values(readings) == {"acc": 1.0}
        assert readings.problem == f"loss is {float(value)} at its last value"
        assert readings.nearest == ()


def test_a_nan_that_was_followed_by_a_number_is_over(tmp_path: Path) -> None:
    metric = read(tmp_path, "loss: nan\nloss: 0.5\n").metrics["loss"]
    assert (metric.last, metric.best) == (0.5, 0.5)


def test_a_missing_primary_comes_with_the_nearest_names(tmp_path: Path) -> None:
    readings = read(tmp_path, "Val_Loss: 1\nacc: 2\ntrain_loss: nan\nlr: 3\n", Query(Primary("val/loss")))
    assert readings.problem == "val/loss was never printed"
    assert readings.nearest[:2] == ("Val_Loss", "train_loss")
    assert len(readings.nearest) == 3


def test_an_empty_and_an_absent_log_say_so(tmp_path: Path) -> None:
    assert read(tmp_path, "").problem == "the log is empty"
    problem = LogBackend().read(evidence(tmp_path / "gone.log"), LOSS).problem
    assert problem == "gone.log cannot be read: No such file or directory"


def test_a_regex_alone_gives_the_primary_and_the_rest_is_read_as_ever(tmp_path: Path) -> None:
    text = "step 7 final score >> 0.75 <<\nloss: 9\nvram=3\n"
    query = Query(Primary("loss"), regex=r"score >> (\S+)")
    readings = read(tmp_path, text, query)
    assert values(readings) == {"loss": 0.75, "vram": 3.0}
    assert readings.metrics["loss"].step == 7
    named = read(tmp_path, text, Query(Primary("score"), regex=r"(?P<name>\w+) >> (?P<value>[\d.]+)"))
    assert values(named) == {"score": 0.75, "loss": 9.0, "vram": 3.0}


def test_a_regex_that_finds_nothing_is_named(tmp_path: Path) -> None:
    readings = read(tmp_path, "loss: 9\nval: 1", Query(Primary("loss"), regex=r"final (\S+)"))
    assert readings.problem == "--metric-regex 'final (\\\\S+)' found no loss in the log"
    assert values(readings) == {"val": 1.0}


def test_a_regex_value_that_is_nan_or_no_number(tmp_path: Path) -> None:
    query = Query(Primary("x"), regex=r"x (\S+)")
    assert read(tmp_path, "x 1\nx nan", query).problem == "x is nan at its last value"
    assert values(read(tmp_path, "x 1\nx high", query)) == {"x": 1.0}


@pytest.mark.parametrize(
    ("regex", "why"),
    [("loss (", "position 5"), ("loss", "no group"), ("(?P<9>x)", "position"), ("(a", "position 0")],
)
def test_a_regex_that_cannot_be_used_names_the_option(regex: str, why: str) -> None:
    with pytest.raises(UsageError, match="--metric-regex") as caught:
        compile_regex(regex)
    assert why in caught.value.message
    assert caught.value.mend


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    """Half of it could name something else, so nothing of it counts; its neighbours do."""
    long = "loss: 1 " + "x" * LINE_MAX + " loss: 2"
    assert values(read(tmp_path, f"a: 1\n{long}\nb: 2\n")) == {"a": 1.0, "b": 2.0}


def test_unique_names_do_not_fill_the_memory_nor_crowd_out_the_primary(tmp_path: Path) -> None:
    text = "".join(f"m{i}: {i}\n" for i in range(3 * METRICS_MAX)) + "loss: 1\n"
    metrics = read(tmp_path, text).metrics
    assert len(metrics) == METRICS_MAX
    assert metrics["loss"].last == 1.0


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    b"loss: 1",
                    b"loss=2 step 3",
                    b"val_loss: 4",
                    b"loss: nan",
                    b'{"loss": 5}',
                    b"{'loss': '6'}",
                ),
                *(b"\0\0\0", b"", b"x" * 19, b"x" * 20, b"x" * 21, b"x" * 70, b"\xff: 9"),
                b"loss: 9 " + b"x" * 70,
                *(b"\x1b[1mloss\x1b[0m: 7", b"lo\x1b[1mss: 8"),
            ]
        ),
        st.binary(max_size=12),
    ),
    max_size=12,
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\0", b"\n\n"])


@given(LINES, st.data())
def test_the_primary_is_the_same_wherever_blocks_begin(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    """The log read in one piece, and by a tail and blocks of a few bytes, gives the same value and step."""
    text = b"".join(line + data.draw(ENDS) for line in lines)[: data.draw(st.integers(0, 400))]
    folder = tmp_path_factory.getbasetemp()
    block = data.draw(st.integers(22, 40))
    for query in (LOSS, Query(Primary("loss"), regex=r"loss\S? ?(\d)")):
        whole = read(folder, text, query, ReadLimits(line=20))
        tail = data.draw(st.integers(1, 60))
        parts = read(folder, text, query, ReadLimits(tail=tail, block=block, line=20))
        one, other = whole.metrics.get("loss"), parts.metrics.get("loss")
        assert (one and (one.last, one.step)) == (other and (other.last, other.step))
        assert whole.problem == parts.problem


def test_the_beginning_of_a_line_that_is_too_long_is_not_a_line(tmp_path: Path) -> None:
    """Read backwards, its end fills a block; what stands in the block before must not be taken for a line."""
    for block in range(22, 100):
        limits = ReadLimits(tail=1, block=block, line=20)
        readings = read(tmp_path, "loss: 1\nlo: 9 " + "x" * 70 + " loss: 8\nlr: 1", LOSS, limits)
        assert values(readings) == {}
        assert readings.problem == ("the last value of loss cannot be read: its line has more than 20 bytes")


@given(LINES, st.data())
def test_a_follower_sees_the_same_however_the_log_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + data.draw(ENDS) for line in lines)
    whole, parts = GrowingLog(LOSS, line_max=20), GrowingLog(LOSS, line_max=20)
    whole.feed(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        parts.feed(text[begin:end])
    assert (whole.latest, whole.step) == (parts.latest, parts.step)


def test_a_follower_counts_finished_lines_only() -> None:
    follower = GrowingLog(LOSS)
    follower.feed(b"step 1 loss: 0.5\nstep 2 loss: 0.")
    assert (follower.latest, follower.step) == (0.5, 1)
    follower.feed(b"25\r")
    assert (follower.latest, follower.step) == (0.25, 2)
    follower.feed(b"step 3 loss: nan\n")
    assert (follower.latest, follower.step) == (None, 3)


def test_a_follower_holds_little_of_an_endless_line() -> None:
    follower = GrowingLog(LOSS, line_max=1000)
    for _ in range(10_000):
        follower.feed(b"loss: 1 ")
    follower.feed(b"\nloss: 2\n")
    assert follower.latest == 2.0
    assert len(follower._rest) <= 1000


# 40 of each make a log of some 40 MB, ten times what is read in full.
PIECES = {
    "hole": b"",
    "text": b"".join(b"step %d | loss: 0.5 | lr=1e-4\n" % step for step in range(30_000)),
    "tiny lines": b"ab\n" * 300_000,
    "one line": b"x" * (1 << 20),
}
SCRIPT = """
import resource, sys
from pathlib import Path
from ardaemon.core.model import Count, Primary
from ardaemon.metrics.base import AttemptOutput, Query
from ardaemon.metrics.log import LogBackend
log = Path(sys.argv[1])
here = AttemptOutput(log=log, run_folder=log.parent, attempt_folder=log.parent, project=log.parent)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
metric = LogBackend().read(here, Query(Primary("val/loss"))).metrics["val/loss"]
print(metric.last, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("filler", ["hole", "text", "tiny lines", "one line"])
def test_a_large_log_is_read_in_bounded_memory(tmp_path: Path, filler: str) -> None:
    """The only primary line stands at the very start; a fresh process gains less than 64 MiB."""
    log = tmp_path / "run.log"
    with log.open("wb") as file:
        file.write(b"val/loss: 0.25\n")
        if filler == "hole":
            file.truncate(300 << 20)
            file.seek(0, os.SEEK_END)
        for _ in range(40):
            file.write(PIECES[filler])
        file.write(b"\ndone\n")
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(log)], capture_output=True, text=True, check=True
    )
    last, mebibytes = said.stdout.split()
    assert last == "0.25"
    assert int(mebibytes) < 64


@pytest.mark.parametrize(
    "piece",
    [
        b"a",
        b"a ",
        b"a:",
        b"loss",
        b"loss:",
        b"{",
        b"{'a':",
        b"1,234",
        b"[",
        b"a=1,",
        b"step ",
        b"a=1 step 2 ",
    ],
)
def test_hostile_lines_take_linear_time(tmp_path: Path, piece: bytes) -> None:
    """Lines of the greatest length, without a report or full of them."""
    line = piece * (LINE_MAX // len(piece))
    begin = time.process_time()
    read(tmp_path, b"\n".join([line] * 8 + [b"{" + line[2:] + b"}"]))
    assert time.process_time() - begin < 20


SMALL = ReadLimits(tail=200, block=100, line=80)


@pytest.mark.parametrize(("count", "value"), [("best", 0.5), (3, 0.5), (4, 0.5), (2, 7.0)])
def test_all_of_a_long_log_is_read_where_the_last_value_is_not_what_counts(
    tmp_path: Path, count: Count, value: float
) -> None:
    text = "step 1 loss: 9\nstep 2 loss: 7\nstep 3 loss: 0.5\n" + "step 5 loss: 8\n" * 200
    query = Query(Primary("loss"), count=count)
    readings = read(tmp_path, text, query, SMALL)
    assert (readings.value, readings.metrics["loss"].best) == (value, 0.5)
    assert readings.curve[0].value == 9.0


@given(st.integers(0, 130), st.integers(0, 400), st.integers(0, 30))
def test_a_line_that_is_too_long_is_passed_over_forwards_too(before: int, long: int, after: int) -> None:
    """Wherever a block ends: no end of a long line is taken for a line."""
    text = "x" * before + "\nloss: 5\n" + "y" * long + " loss: 1\n" + "z" * after + "\n" + "loss: 3\n" * 40
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), text, Query(Primary("loss"), count="best"), SMALL)
    assert (found.value, found.curve[0].value) == (3.0 if long > 72 else 1.0, 5.0)


@pytest.mark.promise("trust")
@pytest.mark.parametrize("count", ["last", "best"])
def test_of_a_log_with_a_hole_of_a_terabyte_a_bounded_part_is_searched(tmp_path: Path, count: Count) -> None:
    log = tmp_path / "run.log"
    log.write_bytes(b"loss: 3\n")
    os.truncate(log, 1 << 40)
    with log.open("ab") as file:
        file.write(b"lr: 1\n")
    limits = ReadLimits(tail=1 << 16, block=1 << 20, searched=8 << 20)
    before = bytes_read()
    readings = LogBackend(limits).read_here(evidence(log), Query(Primary("loss"), count=count))
    assert readings.problem == "loss was never printed"
    assert values(readings) == {"lr": 1.0}
    assert bytes_read() - before < 4 << 20, "the hole itself is not read"


def test_the_first_line_of_what_is_searched_is_passed_over_where_it_is_cut(tmp_path: Path) -> None:
    text = b"loss: 5\n" * 4 + b"a loss: 77\n" + b"loss: 2\n" * 3
    limits = ReadLimits(tail=8, block=1 << 10, searched=len(b"ss: 77\n" + b"loss: 2\n" * 3) - 8)
    found = read(tmp_path, text, Query(Primary("ss"), count="best"), limits)
    assert found.value is None


def test_a_log_in_whose_place_a_link_stands_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("loss: 1\n")
    (tmp_path / "run.log").symlink_to("secret")
    readings = LogBackend().read_here(evidence(tmp_path / "run.log"), LOSS)
    assert readings.problem == "run.log cannot be read: it is a link, not a plain file"


# Lines that open something for those after them, and lines whose meaning depends on it.
OPENERS = st.lists(
    st.sampled_from(
        [
            *(
                "Traceback (most recent call last):",
                '  File "x", line 1, in f',
                "    loss = 3",
                "KeyError: 1",
            ),
            *("{", '  "loss": 4,', '  "ema": {', '    "loss": 5', "  }", "}", "{'loss': 1, 'b':", "'loss':"),
            *("loss:", "0.5", "loss: 0.7", "loss: 0.8ms", "best loss: 0.1", "ema:", "  loss: 0.9", "R("),
            *("  loss=0.3,", ")", "a.py:1: UserWarning: x", "  loss = 2", "x" * 30, "epoch 3 loss", "note"),
            "loss: 9 " + "y" * 70,
        ]
    ),
    max_size=12,
)


@settings(derandomize=True)
@given(OPENERS, st.integers(1, 120), st.integers(62, 100), st.sampled_from(["last", "best"]))
def test_what_earlier_lines_opened_counts_wherever_blocks_begin(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], tail: int, block: int, count: Count
) -> None:
    """Read in one piece, and by a tail and small blocks, a log has the same value."""
    folder, query = tmp_path_factory.getbasetemp(), Query(Primary("loss"), count=count)
    text = "".join(f"{line}\n" for line in lines)
    whole = read(folder, text, query, ReadLimits(line=60))
    parts = read(folder, text, query, ReadLimits(tail=tail, block=block, line=60))
    assert (whole.value, whole.stale) == (parts.value, parts.stale)

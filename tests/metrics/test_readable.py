"""A primary metric's name: what is accepted can be read; what is refused comes with another way."""

import json
import re
import shlex
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.errors import UsageError
from ardaemon.core.model import Primary
from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.base import Query, Readings
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.readable import require_readable
from tests.support import attempt
from tests.support.every import every

# As Ultralytics, Megatron, BasicSR, timm, COCO's evaluator, scikit-learn and people print them.
NAMES = [
    "mAP@[0.5:0.95]",
    "metrics/mAP50-95(B)",
    "PSNR↑",
    "FID ↓ (50k)",
    "lm loss value",
    "Top-1 (%)",
    "val_loss [nats]",
    "Average Precision  (AP) @[ IoU=0.50:0.95 ]".replace("  ", " "),
    "1st_acc",
    "R²",
    "κ",
    "损失",
    "it's",
    "a=b",
    "loss, val",
    "val:loss",
    "loss.",
    "p(x|y)",
    "-log p",
]


def of_log(folder: Path, name: str, text: str, regex: str | None = None) -> Readings:
    run = folder / "r0001"
    (run / "a1").mkdir(parents=True, exist_ok=True)
    (run / "a1" / "run.log").write_text(text)
    return LogBackend().read(attempt.evidence(folder, run), Query(Primary(name), regex=regex))


FORMS = ["{}: 0.42", "{} = 0.42", "INFO 3/10 | {}: 0.42 | lr: 1e-4", "{!r}: 0.42"]


@every("form, name", product(FORMS, NAMES))
def test_a_name_as_frameworks_print_it_is_accepted_and_read_in_the_log(
    tmp_path: Path, name: str, form: str
) -> None:
    require_readable(name)
    text = f"{form.format(name)}\n" + "nothing\n" * 9
    assert of_log(tmp_path, name, text).value == 0.42
    assert of_log(tmp_path, name, json.dumps({"a": 1, name: 0.42, "b": {name: 9}})).value == 0.42


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lm loss value", "slm loss value: 1"),
        ("lm loss value", "lm loss value PPL: 1"),
        ("mAP@[0.5:0.95]", "mAP@[0.5:0.955]: 1"),
        ("metrics/mAP50(B)", "val/metrics/mAP50(B): 1"),
        ("PSNR↑", "PSNR: 1"),
        ("a b", "a b/c: 1"),
    ],
)
def test_a_longer_name_is_another_metric(tmp_path: Path, name: str, line: str) -> None:
    assert of_log(tmp_path, name, line).value is None


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1bloss", "x" * 121, "a\u200bb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a metric's name") as caught:
        require_readable(name)
    assert "--primary-metric val_loss" in caught.value.mend


@pytest.mark.parametrize(
    ("name", "printed"),
    [("0", "epoch 3 0: 0.42"), ("50%", "50%: 0.42"), ("a  b", "a  b = 0.42"), (" loss", " loss: 0.42")],
)
def test_a_name_that_cannot_be_read_comes_with_the_expression_that_reads_it(
    tmp_path: Path, name: str, printed: str
) -> None:
    with pytest.raises(UsageError, match="is not a metric's name") as caught:
        require_readable(name)
    words = shlex.split(caught.value.mend)
    other, regex = words[words.index("it") + 1], words[words.index("--metric-regex") + 1]
    require_readable(other)
    assert of_log(tmp_path, other, printed, regex).value == 0.42


@given(st.text(max_size=20))
def test_every_name_that_is_accepted_is_read(name: str) -> None:
    """Whatever it consists of, at every place in a line."""
    from ardaemon.metrics.formats.log_reader import LineReader

    try:
        require_readable(name)
    except UsageError:
        return
    for line in (f"{name}: 0.42", f"step 3 | {name}=0.42"):
        reader = LineReader(name, None)
        assert [report.value for report in reader.primaries(line.encode())] == [0.42]
        assert reader.possible(line.encode())


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("µs", "μs: 0.42"),
        ("val_loss", "ｖａｌ＿ｌｏｓｓ： ０.４２"),
        ("ﬁd", "fid = 0.42"),
        ("café", "cafe\u0301: 0.42"),
        ("R²", "R²: 0.42"),
    ],
)
def test_letters_that_look_alike_are_the_same(tmp_path: Path, typed: str, printed: str) -> None:
    readings = of_log(tmp_path, typed, printed)
    assert (readings.value, list(readings.metrics)) == (0.42, [typed])


@pytest.mark.parametrize("text", ["loss: 5²", "loss: 0.5¹", "loss: 1½"])
def test_a_raised_number_never_becomes_a_part_of_the_value(tmp_path: Path, text: str) -> None:
    assert of_log(tmp_path, "loss", text).value is None


def test_one_spelling_leaves_text_as_it_is_where_it_is_in_it() -> None:
    for text in ("val_loss", "█████ 5%|", "R² of 损失", "5²"):
        assert one_spelling(text) == text
    for text in ("потеря", "Δloss", "νal_loss", "лосс"):  # letters that look Latin are not all of the word
        assert one_spelling(text) == text
    assert one_spelling("vаl_lоss Асс") == "val_loss Acc"
    assert re.fullmatch("[!-~ ]+", one_spelling("Ｌｏｓｓ　＝　０．５"))

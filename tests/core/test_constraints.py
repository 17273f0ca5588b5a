"""Hard constraints: how they are written, and when they hold."""

import math

import pytest

from ardaemon.core.constraints import Constraint, check, parse
from ardaemon.core.errors import UsageError
from tests.support.every import every


@pytest.mark.parametrize(
    ("text", "constraint", "canonical"),
    [
        ("peak_vram_mb<=70000", Constraint("peak_vram_mb", "<=", 70000.0), "peak_vram_mb<=70000"),
        (" val/acc >= 0.9 ", Constraint("val/acc", ">=", 0.9), "val/acc>=0.9"),
        ("hit@5 > -1e-3", Constraint("hit@5", ">", -0.001), "hit@5>-0.001"),
        ("top-1.error<.5", Constraint("top-1.error", "<", 0.5), "top-1.error<0.5"),
        ("mAP@[0.5:0.95] >= 0.4", Constraint("mAP@[0.5:0.95]", ">=", 0.4), "mAP@[0.5:0.95]>=0.4"),
        ("PSNR↑>30", Constraint("PSNR↑", ">", 30.0), "PSNR↑>30"),
        ("depth == 8", Constraint("depth", "==", 8.0), "depth==8"),
        ("tokens<=1_000_000", Constraint("tokens", "<=", 1e6), "tokens<=1000000"),
    ],
)
def test_a_constraint_is_name_operator_number(text: str, constraint: Constraint, canonical: str) -> None:
    assert parse(text) == constraint
    assert constraint.expr == canonical
    assert parse(canonical) == constraint


@every(
    "text",
    [
        *("", "loss", "loss<", "<=3", "loss=3", "loss=<3", "loss=>3", "loss!=3", "loss<=3<=4", "loss<==3"),
        *("a b<=3", "loss<=nan", "loss<=inf", "loss<=1e999", "vram<=70GB", "loss<= ", "loss<=\x1b[31mred"),
        "x" * 9999,
    ],
)
def test_what_does_not_parse_is_refused_with_the_text_and_a_mend(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert text.strip()[:5].replace("\x1b", "") in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 300
    assert "peak_vram_mb<=70000" in caught.value.mend


@pytest.mark.parametrize(
    ("text", "value", "ok"),
    [
        *(("a<=1", 1.0, True), ("a>=1", 1.0, True), ("a==1", 1.0, True), ("a<=1", 0.9, True)),
        *(("a<1", 1.0, False), ("a>1", 1.0, False), ("a==1", 1.1, False), ("a>=1", 0.9, False)),
    ],
)
def test_bounds_hold_as_the_operator_says(text: str, value: float, ok: bool) -> None:
    result = check(parse(text), value)
    assert (result.expr, result.value, result.ok) == (text, value, ok)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_an_unknown_value_keeps_no_constraint(value: float | None) -> None:
    result = check(parse("a<=1"), value)
    assert (result.value, result.ok) == (None, False)

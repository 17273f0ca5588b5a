"""A person is warned when the primary metric improves and the audit does not; how audits stand to others."""

from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.core.audits import AuditValue
from ardaemon.judging.audit import comparable, trend, warning


def audits(*pairs: tuple[float | None, float | None], **facts: Any) -> list[AuditValue]:
    """An audit for each pair of primary and audit value; the first is a baseline's."""
    return [
        AuditValue(
            run_id=f"r{n:04d}", submit_id="", at="", primary=primary, value=value, begins=n == 1, **facts
        )
        for n, (primary, value) in enumerate(pairs, 1)
    ]


STALLED = ((1.0, 5.0), (0.9, 5.1), (0.8, 5.2), (0.7, 5.0))


@pytest.mark.parametrize(
    ("pairs", "warned"),
    [
        (STALLED, True),
        (STALLED[:3], False),  # too few to tell
        (((1.0, 5.0), (0.9, 4.9), (0.8, 5.2), (0.7, 5.3)), False),  # one of the last three was better
        (
            ((1.0, 4.0), (0.9, 4.5), (0.8, 4.3), (0.7, 4.2), (0.6, 4.1)),
            True,
        ),  # better than before, not than the best
        (((1.0, 5.0), (1.0, 5.1), (1.0, 5.2), (1.0, 5.0)), False),  # the primary metric does not improve
        (((1.0, 5.0), (None, 5.1), (0.8, 5.2), (None, 5.3)), False),  # it is not known whether it does
        (((1.0, 5.0), (0.9, None), (0.8, 5.2), (0.7, 5.3)), False),  # a failed audit counts for nothing
        (((1.0, 5.0), (0.9, None), (0.8, 5.2), (0.7, 5.3), (0.6, 5.4)), True),
        ((), False),
    ],
)
def test_a_person_is_warned_when_three_advances_bring_the_audit_nothing(pairs: Any, warned: bool) -> None:
    assert bool(warning(audits(*pairs), "min")) == warned


def test_the_warning_says_what_was_reached_before_and_since() -> None:
    assert warning(audits(*STALLED), "min") == (
        "in the last 3 advances the primary metric went from 1 to 0.7, and the audit got no better: 5 @ r0001"
        " before, 5 @ r0004 at best since"
    )


def test_each_value_has_a_direction_of_its_own() -> None:
    higher = audits((1.0, 5.0), (0.9, 5.1), (0.8, 5.2), (0.7, 5.3), direction="max")
    assert warning(higher, "min") == ""
    lower = audits((1.0, 5.0), (0.9, 4.9), (0.8, 4.8), (0.7, 4.7), direction="max")
    assert "5 @ r0001 before, 4.9 @ r0002 at best since" in warning(lower, "min")
    assert warning(lower, "max") == "", "the primary metric became worse"


def test_values_of_another_command_and_from_before_the_last_baseline_are_left_out() -> None:
    values = audits(*STALLED, *STALLED)
    assert comparable(values) == values
    values[5] = replace(values[5], begins=True)
    assert comparable(values) == values[5:]
    changed = [replace(one, command="another") if n < 2 else one for n, one in enumerate(audits(*STALLED))]
    assert comparable(changed) == changed[2:]
    assert warning(changed, "min") == ""


def test_the_trend_compares_with_the_audit_before() -> None:
    first, second = audits((1.0, 5.0), (0.9, 4.0))
    assert trend(None, first) == trend(first, replace(second, value=None)) == ""
    assert trend(first, second) == "better"
    assert trend(second, replace(first, begins=False)) == "worse"
    assert trend(replace(first, direction="max"), replace(second, direction="max")) == "worse"
    assert trend(first, replace(second, value=5.0)) == "same"
    assert trend(first, replace(second, direction="max")) == trend(first, replace(second, begins=True)) == ""

"""The charts of docs/noise.md: well-formed, and what they are said to show."""

from xml.etree import ElementTree

import pytest

from tests.noise.charts import BETTER, LUCKY, belief, example, luck
from tests.noise.nights import Night
from tests.noise.table import rows

pytestmark = pytest.mark.timeout(300)  # parts of two simulated nights


def texts(svg: str) -> list[str]:
    """What stands in a drawing."""
    return [text for one in ElementTree.fromstring(svg).iter() if (text := (one.text or "").strip())]


def test_the_first_chart_has_a_bar_for_each_rule_and_level() -> None:
    nights = [Night(-0.06, 10, 1, 0.0), Night(-0.04, 6, 1, 0.0)]
    svg = luck(dict.fromkeys(rows(), nights))
    assert svg.count("<rect") == 2 * 4 + 2  # and the legend
    assert texts(svg).count("12%") == 8


def test_the_second_chart_shows_an_edit_that_was_kept_and_one_that_only_looked_better() -> None:
    better, lucky = example(*BETTER), example(*LUCKY)
    assert better.kept
    assert better.gain > 0
    assert not lucky.kept
    assert lucky.gain < 0 < max(facts.gain for facts in lucky.steps)
    assert sum("P=" in text for text in texts(belief())) == len(better.steps) + len(lucky.steps)

"""docs/configuration.md: its tables are made from the code, and nothing is left out."""

import re
from typing import Any

import pytest

from ardaemon.core.config import Config
from ardaemon.core.config_file import VARIABLES
from ardaemon.core.model import Settings
from tests.support.configuration import LIMITS, OPTIONS, PATH, SETTINGS, TABLES
from tests.support.page import Page


def first_cells(page: Page) -> list[str]:
    return [re.sub("[`| ]", "", line.split(" | ")[0]) for line in page.lines()[2:]]


@pytest.mark.parametrize("page", TABLES, ids=["settings", "options", "limits"])
def test_the_page_says_what_the_code_says(page: Page) -> None:
    rows: Any = TABLES[page]
    assert page.lines() == rows(), "make configuration"


def test_every_setting_every_option_and_every_variable_has_its_row() -> None:
    assert first_cells(SETTINGS) == list(Config.__struct_fields__)
    assert len(first_cells(OPTIONS)) == len(Settings.__struct_fields__)
    assert all(f"`{variable}`" in PATH.read_text() for variable in VARIABLES.values())


@pytest.mark.parametrize("page", TABLES, ids=["settings", "options", "limits"])
def test_no_row_is_without_its_words(page: Page) -> None:
    assert [line for line in page.lines()[2:] if re.search(r"\| *\|$", line)] == []
    assert len(first_cells(LIMITS)) > 20

"""docs/pixels.md tells what is done with each transfer syntax, and where others see other pixels."""

from __future__ import annotations

import pytest

from tests.unit.imaging.comparing import DCMTK_DIFFERS, GDCM_DIFFERS, NOT_READ
from tests.unit.imaging.pixel_table import PAGE, SYNTAXES, TABLES, differences, head, row, section


@pytest.mark.parametrize("title", TABLES)
@pytest.mark.parametrize("syntax", SYNTAXES, ids=list(SYNTAXES.values()))
def test_a_line_of_the_page_tells_what_was_done(syntax: str, title: str) -> None:
    line = row(syntax, TABLES[title])
    assert line in section(title), f"python -m tests.unit.imaging.pixel_table prints the tables; the line is\n{line}"


@pytest.mark.parametrize("title", TABLES)
def test_the_page_has_all_lines_and_no_more(title: str) -> None:
    lines = section(title)
    assert lines[:2] == head(TABLES[title])
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(SYNTAXES.values())


def test_the_page_names_what_others_see_differently() -> None:
    page = PAGE.read_text("utf-8")
    for line in differences((NOT_READ, DCMTK_DIFFERS, GDCM_DIFFERS)):
        assert line in page, line

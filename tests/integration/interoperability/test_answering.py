"""Each cell of the table of what Amonsul answers to others, and that the page tells no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.interoperability.answering import CELLS, Answer
from tests.integration.interoperability.table import PAGE, Cell, section, table
from tests.integration.rest.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_amonsul_answers(cell: Cell[Answer], tmp_path: Path, certificates: Certificates) -> None:
    cell.run(tmp_path, certificates)


def test_the_page_shows_what_was_tested() -> None:
    assert section("Amonsul answers", PAGE.read_text("utf-8")) == table(CELLS)

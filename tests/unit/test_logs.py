"""One format, and a verbosity for each category."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from amonsul import logs
from amonsul.errors import ParameterOutOfRange


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    names = {name for loggers in logs.CATEGORIES.values() for name in loggers}
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)


def test_a_line_has_time_level_part_and_text(tmp_path: Path) -> None:
    logs.start(file=tmp_path / "log")
    logging.getLogger("amonsul.dimse_server.listener").info("listening on %d", 4242)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    dimse_server listening on 4242", line)


def test_a_line_break_from_outside_makes_no_line(tmp_path: Path) -> None:
    logs.start(file=tmp_path / "log")
    logging.getLogger("amonsul.web").warning("AE title %s", "X\r\n2026-01-01 forged")
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_traceback_follows_its_line(tmp_path: Path) -> None:
    logs.start(file=tmp_path / "log")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("amonsul.web").exception("it failed")
    text = (tmp_path / "log").read_text()
    assert "it failed\nTraceback" in text
    assert text.endswith("ValueError: broken\n")


def test_categories_are_as_verbose_as_told_while_running(tmp_path: Path) -> None:
    logs.start(by_category={"dicom": logs.Verbosity.TRACE}, file=tmp_path / "log")
    dicom, web = logging.getLogger("amonsul.protocols.dimse"), logging.getLogger("amonsul.web.asgi")
    assert dicom.isEnabledFor(5)
    assert not web.isEnabledFor(logging.DEBUG)
    logs.set_category_verbosity("http", logs.Verbosity.VERBOSE)
    assert web.isEnabledFor(logging.DEBUG)
    assert logs.category_verbosity("http") is logs.Verbosity.VERBOSE
    assert logs.category_verbosity("dicom") is logs.Verbosity.TRACE
    logs.set_verbosity(logs.Verbosity.DEFAULT)
    assert {logs.category_verbosity(category) for category in logs.CATEGORIES} == {logs.Verbosity.DEFAULT}


def test_uvicorn_writes_no_requests_at_any_verbosity(tmp_path: Path) -> None:
    logs.start(logs.Verbosity.TRACE, file=tmp_path / "log")
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(ParameterOutOfRange):
        logs.set_category_verbosity("nothing", logs.Verbosity.VERBOSE)
    with pytest.raises(ParameterOutOfRange):
        logs.category_verbosity("nothing")

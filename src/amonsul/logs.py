"""Logs: one format, one stream, a verbosity for each part that may change while the server runs.

A line is `time level part text`. The parts are the categories of the REST API (`/tools/log-level-{category}`), each the
root of a few packages. No line holds patient data or a password, at any verbosity: that is seen to where the lines are
written.
"""

from __future__ import annotations

import enum
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from amonsul.errors import ParameterOutOfRange


class Verbosity(enum.Enum):
    """How much a part says; the values are those of the REST API."""

    DEFAULT = "default"
    VERBOSE = "verbose"
    TRACE = "trace"


CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "generic": ("amonsul",),
    "dicom": ("amonsul.dimse_server", "amonsul.protocols"),
    "http": ("amonsul.web", "uvicorn"),
    "jobs": ("amonsul.jobs",),
    "lua": ("amonsul.plugins.lua",),
    "plugins": ("amonsul.plugins",),
    "sqlite": ("amonsul.database",),
}
"""Loggers of each category; whatever is below none of the others is generic."""

_LEVELS: Final = {Verbosity.DEFAULT: logging.INFO, Verbosity.VERBOSE: logging.DEBUG, Verbosity.TRACE: 5}
_PART_NAMES: Final = {"amonsul": "server"}

logging.addLevelName(_LEVELS[Verbosity.TRACE], "TRACE")


class _Format(logging.Formatter):
    """`2024-05-01T12:00:00.123Z INFO  dimse_server  text`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and below it the traceback if there is one."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        part = record.name.removeprefix("amonsul.").partition(".")[0]
        # A line break from outside must not look like a line of its own.
        text = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = f"{moment}.{int(record.msecs):03d}Z {record.levelname:<7} {_PART_NAMES.get(part, part):<12} {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def start(
    verbosity: Verbosity = Verbosity.DEFAULT,
    by_category: Mapping[str, Verbosity] | None = None,
    file: Path | None = None,
) -> None:
    """Send the logs of this process to stderr, or to a file; called once by whoever runs the process.

    Raises:
        OSError: the file cannot be opened.
    """
    handler: logging.Handler = (
        logging.StreamHandler(sys.stderr) if file is None else logging.FileHandler(file, encoding="utf-8")
    )
    handler.setFormatter(_Format())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a full disk under the log must not end the work that it tells about
    set_verbosity(verbosity)
    for category, level in (by_category or {}).items():
        set_category_verbosity(category, level)


def set_verbosity(verbosity: Verbosity) -> None:
    """Set that of all categories."""
    for category in CATEGORIES:
        set_category_verbosity(category, verbosity)


def set_category_verbosity(category: str, verbosity: Verbosity) -> None:
    """Set that of one category.

    Raises:
        ParameterOutOfRange: no such category.
    """
    for name in _loggers(category):
        # At its lowest levels uvicorn writes whole requests, and with them whatever people search for.
        level = logging.WARNING if name == "uvicorn" else _LEVELS[verbosity]
        logging.getLogger(name).setLevel(level)


def category_verbosity(category: str) -> Verbosity:
    """That of one category.

    Raises:
        ParameterOutOfRange: no such category.
    """
    level = logging.getLogger(_loggers(category)[0]).getEffectiveLevel()
    if level <= _LEVELS[Verbosity.TRACE]:
        return Verbosity.TRACE
    return Verbosity.VERBOSE if level <= logging.DEBUG else Verbosity.DEFAULT


def _loggers(category: str) -> tuple[str, ...]:
    try:
        return CATEGORIES[category]
    except KeyError:
        raise ParameterOutOfRange(f"there is no log category {category!r}") from None

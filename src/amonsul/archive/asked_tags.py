"""Attributes that searches had to look for in all stored headers, counted until somebody writes the numbers down.

A search only reads; so the numbers are kept for some seconds and lost with the process, which changes nothing but when
an index is built.
"""

from __future__ import annotations

import threading
from typing import Final

from amonsul.dicom.elements import Tag

MOST: Final = 256
"""Attributes that are counted at once."""


class AskedTags:
    """The numbers of a process. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._numbers: dict[Tag, int] = {}

    def note(self, tag: Tag) -> None:
        """An attribute was looked for."""
        with self._mutex:
            if tag in self._numbers or len(self._numbers) < MOST:
                self._numbers[tag] = self._numbers.get(tag, 0) + 1

    def take(self) -> dict[Tag, int]:
        """The numbers since they were last taken."""
        with self._mutex:
            numbers, self._numbers = self._numbers, {}
        return numbers

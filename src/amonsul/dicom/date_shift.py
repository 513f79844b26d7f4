"""Dates moved by whole days (PS3.15 §E.3.6): intervals between the dates of a patient stay as they were.

All dates of one patient move by the same number of days, computed from a secret key and the Patient ID. Times of day
stay. What is no date is not guessed at.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

from amonsul.dicom.uid_map import UidMap

MAX_DAYS = 3652
"""About ten years, always into the past: no date comes to lie in the future."""

_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_OLD_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_DATE_TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(.*)", re.DOTALL)


def days_of(uid_map: UidMap, patient_id: str) -> int:
    """By how many days the dates of a patient go back: 1 to MAX_DAYS."""
    return 1 + uid_map.number("dates", patient_id, MAX_DAYS)


def shift_date(text: str, days: int) -> str | None:
    """Move a DA value back (PS3.5 §6.2); empty stays empty, None if it is no date."""
    text = text.strip(" \0")
    if not text:
        return ""
    parts = _DATE.fullmatch(text) or _OLD_DATE.fullmatch(text)
    return None if parts is None else _moved(parts[1], parts[2], parts[3], days)


def shift_date_time(text: str, days: int) -> str | None:
    """Move a DT value back; what it leaves open, day or month, stays open."""
    text = text.strip(" \0")
    if not text:
        return ""
    parts = _DATE_TIME.fullmatch(text)
    if parts is None or (parts[4] and not re.fullmatch(r"[\d.]*([+-]\d{4})?", parts[4])):
        return None
    year, month, day, rest = parts.groups()
    moved = _moved(year, month or "01", day or "01", days)
    if moved is None:
        return None
    return moved[: 8 if day else 6 if month else 4] + rest


def _moved(year: str, month: str, day: str, days: int) -> str | None:
    try:
        return (date(int(year), int(month), int(day)) - timedelta(days=days)).strftime("%Y%m%d").rjust(8, "0")
    except (ValueError, OverflowError):
        return None

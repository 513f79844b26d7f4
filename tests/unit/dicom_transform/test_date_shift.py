"""Dates moved by whole days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.dicom.date_shift import MAX_DAYS, days_of, shift_date, shift_date_time
from amonsul.dicom.uid_map import UidMap

days = st.integers(1, MAX_DAYS)
dates = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@given(dates, days)
def test_a_date_goes_back_by_so_many_days(day: date, by: int) -> None:
    assert shift_date(day.strftime("%Y%m%d"), by) == (day - timedelta(days=by)).strftime("%Y%m%d")


@given(dates, dates, days)
def test_intervals_stay(first: date, second: date, by: int) -> None:
    moved = [shift_date(day.strftime("%Y%m%d"), by) for day in (first, second)]
    a, b = (date(int(text[:4]), int(text[4:6]), int(text[6:])) for text in moved if text)
    assert b - a == second - first


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("", ""),
        ("20240301", "20240229"),
        ("20240301 ", "20240229"),
        ("2024.03.01", "20240229"),
        ("2024-03-01", None),
        ("20240231", None),
        ("00010101", None),
        ("yesterday", None),
        ("20240301-20240401", None),
    ],
)
def test_what_is_a_date(text: str, moved: str | None) -> None:
    assert shift_date(text, 1) == moved


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20240301101112.345678+0100", "20240229101112.345678+0100"),
        ("20240301", "20240229"),
        ("202403", "202402"),
        ("2024", "2023"),
        ("2024-0500", "2023-0500"),
        ("", ""),
        ("20240301 noon", None),
        ("now", None),
    ],
)
def test_what_is_a_date_and_time(text: str, moved: str | None) -> None:
    assert shift_date_time(text, 1) == moved


def test_a_patient_has_one_shift_per_key() -> None:
    first, second = UidMap(b"a" * 32), UidMap(b"b" * 32)
    assert days_of(first, "P1") == days_of(UidMap(b"a" * 32), "P1")
    shifts = {days_of(uid_map, patient) for uid_map in (first, second) for patient in ("P1", "P2")}
    assert len(shifts) == 4
    assert all(1 <= shift <= MAX_DAYS for shift in shifts)

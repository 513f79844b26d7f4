"""Attribute matching: a table of cases from PS3.4 §C.2.2.2."""

from __future__ import annotations

import pytest

from amonsul.dicom.matching import (
    MAX_KEY_LENGTH,
    MAX_PATTERN_LENGTH,
    ListOf,
    Match,
    Range,
    SingleValue,
    Universal,
    WildCard,
    folded,
    matches,
    normalize,
    parse_match,
)
from amonsul.errors import ParameterOutOfRange

KEYS: list[tuple[str, str, Match]] = [
    # §C.2.2.2.3: universal
    ("LO", "", Universal()),
    ("DA", "", Universal()),
    ("UI", " ", Universal()),
    ("PN", "*", Universal()),
    ("PN", "***", Universal()),
    # §C.2.2.2.1: single value
    ("LO", "GOLD01", SingleValue("GOLD01")),
    ("LO", " leading ", SingleValue(" leading")),
    ("UI", " 1.2.3\0", SingleValue("1.2.3")),
    ("DA", "20230101", SingleValue("20230101")),
    ("TM", "0830", SingleValue("0830")),
    ("IS", "-5", SingleValue("-5")),
    ("LO", "A-B", SingleValue("A-B")),
    ("DT", "20230101-0500", SingleValue("20230101-0500")),
    ("DT", "202301011200+0100", SingleValue("202301011200+0100")),
    ("UT", "one\\two", SingleValue("one\\two")),
    # §C.2.2.2.2: list
    ("UI", "1.2\\1.3", ListOf(("1.2", "1.3"))),
    ("UI", "1.2 \\1.3\\1.2", ListOf(("1.2", "1.3"))),
    ("CS", "CT\\MR", ListOf(("CT", "MR"))),
    ("LO", "a\\b*", ListOf(("a", "b*"))),
    # §C.2.2.2.4: wild card
    ("PN", "Gold*", WildCard("Gold*")),
    ("PN", "Gold^Alic?", WildCard("Gold^Alic?")),
    ("LO", "?", WildCard("?")),
    ("LT", "a\\*", WildCard("a\\*")),
    # §C.2.2.2.5: range
    ("DA", "20230101-20230131", Range("20230101", "20230131")),
    ("DA", "20230102-", Range("20230102", None)),
    ("DA", "-20230102", Range(None, "20230102")),
    ("DA", " 20230101 - 20230131 ", Range("20230101", "20230131")),
    ("DA", "2023.01.01-2023.01.31", Range("20230101", "20230131")),
    ("DA", "2022-2023", Range("2022", "20231231")),
    ("TM", "080000-100000", Range("08", "100000.999999")),
    ("TM", "0830-11", Range("0830", "115959.999999")),
    ("TM", "083000.500-0900", Range("083000.5", "090059.999999")),
    ("TM", "08:30:00-09:00:00", Range("0830", "090000.999999")),
    ("TM", "-120000.5", Range(None, "120000.599999")),
    ("DT", "20230101-20230131", Range("20230101", "20230131235959.999999")),
    ("DT", "20230101120000-", Range("20230101120000", None)),
    ("DT", "-2023", Range(None, "20231231235959.999999")),
    ("DT", "20230101-0500-20230131-0500", Range("20230101", "20230131235959.999999")),
    ("DT", "2020-2021", Range("2020", "20211231235959.999999")),
]


@pytest.mark.parametrize(("vr", "key", "expected"), KEYS)
def test_a_key_is_read_by_its_vr(vr: str, key: str, expected: Match) -> None:
    assert parse_match(vr, key) == expected


@pytest.mark.parametrize(
    ("vr", "key"),
    [
        ("DA", "2023*"),
        ("DA", "*"),
        ("TM", "08????"),
        ("DT", "2023*"),
        ("UI", "1.2.*"),
        ("UI", "1.2\\1.?"),
        ("DA", "20230101-20230102-20230103"),
        ("DA", "-"),
        ("DA", "yesterday-"),
        ("DA", "2023-01-01"),
        ("DA", "20230-"),
        ("TM", "8:30-9:30"),
        ("TM", "-"),
        ("DT", "-"),
        ("DT", "20230101-tomorrow"),
        ("LO", "x" * (MAX_KEY_LENGTH + 1)),
        ("LO", "*" + "x" * MAX_PATTERN_LENGTH),
    ],
)
def test_a_malformed_key_is_refused(vr: str, key: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        parse_match(vr, key)


# Match, value, whether it satisfies the match as it is, and when case is ignored.
CASES: list[tuple[Match, str | None, bool, bool]] = [
    (Universal(), None, True, True),
    (Universal(), "", True, True),
    (SingleValue("CT"), "CT", True, True),
    (SingleValue("CT"), "ct", False, True),
    (SingleValue("CT"), "", False, False),
    (SingleValue("CT"), None, False, False),
    (SingleValue("MR"), "CT\\MR\\PT", True, True),
    (SingleValue("one\\two"), "one\\two", True, True),
    (SingleValue("Müller"), "MÜLLER", False, True),
    (SingleValue("Muller"), "Müller", False, False),
    (SingleValue("Mu\u0308ller"), "MÜLLER", False, True),
    (SingleValue("прокофьев"), "Прокофьев", False, True),
    (SingleValue("Straße"), "STRASSE", False, True),
    (ListOf(("CT", "MR")), "MR", True, True),
    (ListOf(("CT", "MR")), "mr", False, True),
    (ListOf(("CT", "MR")), "US\\CT", True, True),
    (ListOf(("CT", "MR")), "US", False, False),
    (ListOf(()), "US", False, False),
    (WildCard("Gold*"), "Gold^Alice", True, True),
    (WildCard("Gold*"), "GOLD^BOB", False, True),
    (WildCard("Gold*"), "Gold", True, True),
    (WildCard("Gold*"), "Marigold", False, False),
    (WildCard("*^a*"), "Gold^Alice", False, True),
    (WildCard("Gold^Alic?"), "Gold^Alice", True, True),
    (WildCard("Gold^Alic?"), "Gold^Alic", False, False),
    (WildCard("?old*Al?ce"), "Gold^Alice", True, True),
    (WildCard("a*b*c"), "aXbYc", True, True),
    (WildCard("a*b*c"), "acb", False, False),
    (WildCard("ab*ba"), "aba", False, False),
    (WildCard("ab*ba"), "abba", True, True),
    (WildCard("*a?c*"), "xxabc", True, True),
    (WildCard("*a?c*"), "xxac", False, False),
    (WildCard("??"), "ab", True, True),
    (WildCard("??"), "abc", False, False),
    (WildCard("*\n*"), "line\nline", True, True),
    (WildCard("a?c"), "a\nc", True, True),
    (WildCard("Gold%"), "Gold^Alice", False, False),
    (WildCard("[a-z]*"), "a", False, False),
    (WildCard("*.*"), "ab", False, False),
    (WildCard("S?cond*"), "First\\Second^Name", True, True),
    (WildCard("First*Name"), "First\\Second^Name", True, True),
    (WildCard("*x"), "", False, False),
    (WildCard("*山田*"), "Yamada^Tarou=山田^太郎", True, True),
    (Range("20230101", "20230131"), "20230101", True, True),
    (Range("20230101", "20230131"), "20230131", True, True),
    (Range("20230101", "20230131"), "20230201", False, False),
    (Range("20230101", None), "2023.01.15", True, True),
    (Range(None, "20230131"), "20221231", True, True),
    (Range(None, "20230131"), None, False, False),
    (Range("20230101", "20230131"), "20200101\\20230115", True, True),
    (Range("08", "100000.999999"), "0930", True, True),
    (Range("08", "100000.999999"), "10", True, True),
    (Range("08", "100000.999999"), "100000.5", True, True),
    (Range("08", "100000.999999"), "100001", False, False),
    (Range("08", "100000.999999"), "09:30:00", True, True),
]


@pytest.mark.parametrize(("match", "value", "as_it_is", "ignoring_case"), CASES)
def test_a_value_satisfies_a_match(match: Match, value: str | None, as_it_is: bool, ignoring_case: bool) -> None:
    assert matches(match, value) is as_it_is
    assert matches(match, value, case_sensitive=False) is ignoring_case
    if value is not None:
        assert matches(folded(match), normalize(value)) is ignoring_case


@pytest.mark.parametrize("pattern", ["*a" * 2000, "*a" * 2000 + "b", "?" * 4000 + "*", "*" + "?a" * 2000, "a*" * 5000])
def test_patterns_made_to_take_long_do_not(pattern: str) -> None:
    """Trying again would not end before the time limit of the test, nor of the universe."""
    match = parse_match("LT", pattern)
    for value in ("a" * 4000, "a" * 4000 + "b", "ab" * 2000):
        assert matches(match, value) is matches(match, value, case_sensitive=False)


def test_normalizing_twice_changes_nothing() -> None:
    for text in ("Müller", "mu\u0308ller", "straße", "ŉ", "ǰ", "ΐ", "İ", "ﬁ", "Прокофьев", "山田"):
        assert normalize(normalize(text)) == normalize(text)

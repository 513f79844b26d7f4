from __future__ import annotations

import pytest

from amonsul.errors import BadRange
from amonsul.web.ranges import content_range, parse_range


@pytest.mark.parametrize(
    ("header", "interval"),
    [
        (None, None),
        ("bytes=0-9", (0, 10)),
        ("bytes=128-131", (128, 132)),
        ("bytes=990-", (990, 1000)),
        ("bytes=-4", (996, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=990-5000", (990, 1000)),
        ("Bytes=0-0", (0, 1)),
        ("bytes=0-1,4-5", None),
    ],
)
def test_ranges(header: str | None, interval: tuple[int, int] | None) -> None:
    assert parse_range(header, 1000) == interval


@pytest.mark.parametrize(
    "header",
    ["bytes=1000-", "bytes=1000-1001", "bytes=10-5", "bytes=a-b", "lines=1-2", "bytes=-", "bytes=-0", "", "bytes"],
)
def test_ranges_with_nothing_in_them(header: str) -> None:
    with pytest.raises(BadRange):
        parse_range(header, 1000)


def test_nothing_is_in_an_empty_file() -> None:
    with pytest.raises(BadRange):
        parse_range("bytes=0-", 0)


def test_header_tells_what_was_sent() -> None:
    assert content_range(0, 10, 1000) == (b"content-range", b"bytes 0-9/1000")

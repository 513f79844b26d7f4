from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amonsul.protocols.multipart import (
    MAX_BOUNDARY,
    MAX_HEADERS,
    MultipartError,
    MultipartReader,
    PartBegan,
    PartData,
    PartEnded,
    end_of_parts,
    part_head,
)

BOUNDARY = "b0undary"

Part = tuple[dict[str, str], bytes]


def read(body: bytes, cuts: list[int], boundary: str = BOUNDARY) -> list[Part]:
    """The parts of a body that comes in pieces."""
    reader = MultipartReader(boundary)
    parts: list[Part] = []
    headers: dict[str, str] = {}
    data = b""
    places = [0, *sorted(cuts), len(body)]
    for start, end in itertools.pairwise(places):
        for event in reader.feed(body[start:end]):
            match event:
                case PartBegan(found):
                    headers, data = dict(found), b""
                case PartData(more):
                    assert more
                    data += more
                case PartEnded():
                    parts.append((headers, data))
    reader.finish()
    return parts


def write(parts: list[Part], boundary: str = BOUNDARY) -> bytes:
    """A body of parts."""
    body = b""
    for number, (headers, data) in enumerate(parts):
        body += part_head(boundary, headers.items(), number == 0) + data
    return body + end_of_parts(boundary, not parts)


PARTS: list[Part] = [
    ({"content-type": "application/dicom"}, b"\r\n--b0undar\r\n--b0undarx"),
    ({}, b""),
    ({"content-type": "text/plain", "content-location": "http://x/1"}, b"\r\r\n\r"),
    ({"x": "1"}, b"-b0undary\r"),
]


def test_every_cut_gives_the_same_parts() -> None:
    body = write(PARTS)
    for cut in range(len(body) + 1):
        assert read(body, [cut]) == PARTS


def test_byte_by_byte_gives_the_same_parts() -> None:
    body = write(PARTS)
    assert read(body, list(range(len(body)))) == PARTS


@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True),
                st.from_regex(r"[!-~]{0,9}", fullmatch=True),
                max_size=3,
            ),
            st.lists(
                st.sampled_from([b"\r", b"\n", b"-", b"--", b"b0undary", b"b0u", b"\r\n--", b"x", b"\0\xff"]),
                max_size=12,
            ).map(b"".join),
        ),
        max_size=5,
    ),
    st.integers(0, 1 << 32),
)
@settings(max_examples=300, deadline=None)
def test_random_parts_survive_random_cuts(parts: list[Part], seed: int) -> None:
    parts = [(headers, data) for headers, data in parts if b"\r\n--b0undary" not in b"\r\n" + data]
    body = write(parts)
    chance = random.Random(seed)
    cuts = [chance.randrange(len(body) + 1) for _ in range(chance.randrange(12))]
    assert read(body, cuts) == parts


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=300, deadline=None)
def test_anything_is_read_or_refused_alike_whatever_the_cuts(junk: bytes, cuts: list[int]) -> None:
    body = b"--b0undary\r\n" + junk
    outcomes = []
    for where in ([], [cut for cut in cuts if cut <= len(body)]):
        try:
            outcomes.append(read(body, where))
        except MultipartError as error:
            outcomes.append([({"refused": error.details}, b"")])
    assert outcomes[0] == outcomes[1]


def test_preamble_and_epilogue_are_no_part() -> None:
    assert read(b"hello\r\n" + write(PARTS) + b"good bye", [3, 9]) == PARTS


def test_line_feeds_alone_end_header_lines() -> None:
    assert read(b"--b0undary\ncontent-type: a/b\n\nX\r\n--b0undary--", []) == [({"content-type": "a/b"}, b"X")]


def test_a_folded_header_is_one_value() -> None:
    body = b"--b0undary\r\nContent-Type: multipart/x;\r\n boundary=y\r\n\r\n\r\n--b0undary--"
    assert read(body, []) == [({"content-type": "multipart/x; boundary=y"}, b"")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b0undary",
        b"--b0undary\r\n\r\nX",
        b"--b0undary\r\n\r\nX\r\n--b0undary\r\n",
        b"--b0undary\r\nno colon\r\n\r\nX\r\n--b0undary--",
        b"--b0undary-\r\n\r\nX\r\n--b0undary--",
        b"--b0undaryX\r\n\r\nX\r\n--b0undary--",
        b"x" * 70_000,
        b"--b0undary\r\n" + b"x" * 10_000,
        b"--b0undary\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n\r\n--b0undary--",
    ],
)
def test_a_broken_body_is_refused(body: bytes) -> None:
    with pytest.raises(MultipartError):
        read(body, [])


def test_the_number_of_parts_has_a_bound() -> None:
    reader = MultipartReader("b")
    piece = b"\r\n--b\r\n\r\n" * 1000
    for _ in range(100):
        list(reader.feed(piece))
    with pytest.raises(MultipartError):
        list(reader.feed(piece))


def test_a_boundary_as_long_as_orthanc_writes_it_is_read() -> None:
    boundary = f"{'5' * 36}-{'6' * 36}"
    assert read(write([({}, b"data")], boundary), [], boundary) == [({}, b"data")]


@pytest.mark.parametrize("boundary", ["", "x" * (MAX_BOUNDARY + 1), "a\nb", "ü"])
def test_a_malformed_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(MultipartError):
        MultipartReader(boundary)


def test_nothing_of_a_large_part_is_kept() -> None:
    reader = MultipartReader("b")
    list(reader.feed(b"--b\r\n\r\n"))
    for _ in range(100):
        size = sum(len(event.data) for event in reader.feed(b"\r\n--" * 25_000) if isinstance(event, PartData))
        assert size >= 99_000

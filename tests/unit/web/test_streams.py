"""Bodies made while they are sent, in batches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amonsul.errors import BadFileFormat
from amonsul.web import streams
from amonsul.web.streams import Then, gather
from amonsul.web.values import Response, Stream

_MEGABYTE = bytes(1 << 20)


def test_small_pieces_go_together_and_large_ones_alone() -> None:
    chunks: Iterator[bytes | memoryview] = iter([b"a", memoryview(b"b"), _MEGABYTE, b"c", b"d"])
    first = gather(chunks)
    assert (first.pieces, first.then) == ([b"ab", _MEGABYTE], Then.MORE)
    assert first.pieces[1] is _MEGABYTE  # not copied
    last = gather(chunks)
    assert (last.pieces, last.then) == ([b"cd"], Then.END)


def test_a_large_part_of_a_file_is_taken_out_of_it() -> None:
    chunks: Iterator[bytes | memoryview] = iter([b"a", memoryview(_MEGABYTE)])
    assert gather(chunks).pieces == [b"a" + _MEGABYTE]


def test_an_empty_piece_sends_what_there_is() -> None:
    chunks = iter([b"a", b"", b"", b"b"])
    assert [(batch.pieces, batch.then) for batch in (gather(chunks), gather(chunks), gather(chunks))] == [
        ([b"a"], Then.PAUSE),
        ([], Then.PAUSE),
        ([b"b"], Then.END),
    ]


def test_a_short_body_is_no_stream_any_more() -> None:
    stream = Stream(iter([b"a", b"b"]), None)
    begun = streams.begin(Response(200, b"text/plain", stream), stream)
    assert begun.body == b"ab"


def test_a_long_body_loses_nothing_and_is_closed_even_when_nobody_asks_for_it() -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            yield from (_MEGABYTE, b"tail")
        finally:
            closed.append(True)

    for reads in (True, False):
        stream = Stream(pieces(), None, pause_s=1.5)
        begun = streams.begin(Response(200, b"text/plain", stream), stream).body
        assert isinstance(begun, Stream)
        assert begun.pause_s == 1.5
        if reads:
            assert b"".join(begun.chunks) == _MEGABYTE + b"tail"
        streams.close(begun.chunks)
    assert closed == [True, True]


def _failing() -> bytes:
    raise BadFileFormat


def test_what_fails_at_once_is_raised_before_the_answer_begins() -> None:
    def pieces() -> Iterator[bytes]:
        yield _failing()

    stream = Stream(pieces(), None)
    with pytest.raises(BadFileFormat):
        streams.begin(Response(200, b"text/plain", stream), stream)

"""What must hold of the multipart reader: the same parts whatever the pieces, and nothing but its own refusals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from amonsul.protocols.multipart import MultipartError, MultipartReader, PartBegan, PartData, PartEnded

Outcome = tuple[list[tuple[dict[str, str], bytes]], bool]


def parts_of(body: bytes, cuts: Sequence[int]) -> Outcome:
    """The complete parts of a body that comes in pieces, and whether it was refused."""
    reader = MultipartReader("b0")
    parts: list[tuple[dict[str, str], bytes]] = []
    headers: dict[str, str] = {}
    data = bytearray()
    try:
        for start, end in itertools.pairwise([0, *sorted(cuts), len(body)]):
            for event in reader.feed(memoryview(body)[start:end]):
                match event:
                    case PartBegan(found):
                        headers, data = dict(found), bytearray()
                    case PartData(more):
                        assert more
                        data += more
                    case PartEnded():
                        parts.append((headers, bytes(data)))
        reader.finish()
    except MultipartError:
        return parts, True
    return parts, False


def check_bytes(data: bytes) -> None:
    """The first bytes say where to cut, the rest is the body."""
    count = data[0] % 8
    body = data[1 + count :]
    cuts = [place * len(body) // 256 for place in data[1 : 1 + count]]
    assert parts_of(body, []) == parts_of(body, cuts)


def seeds() -> Iterator[bytes]:
    """Bodies to begin with."""
    yield b"\0--b0\r\ncontent-type: application/dicom\r\n\r\nDICM\r\n--b0\r\n\r\n\r\n--b0--\r\n"
    yield b"\3\x20\x60\xa0preamble\r\n--b0  \r\na: b\r\n c\r\n\r\n\r\n--b\r\r\n--b0--epilogue"
    yield b"\1\x80--b0\n\n\r\n--b0\n\nx\r\n--b0"

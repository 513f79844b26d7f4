"""A short run of the fuzz target's checks over bytes that are wrong in a chosen way, the same in every run."""

from __future__ import annotations

import random
from pathlib import Path

import pydicom.data
import pytest

from tests.fuzz.scanner_checks import check_scan

FOLDER = Path(pydicom.data.__file__).parent
SEEDS = [
    "test_files/CT_small.dcm",  # explicit little endian, private blocks
    "test_files/rtplan.dcm",  # implicit, nested sequences
    "test_files/MR_small_bigendian.dcm",
    "test_files/image_dfl.dcm",  # deflated
    "test_files/JPEG2000.dcm",  # encapsulated
    "test_files/UN_sequence.dcm",
    "test_files/nested_priv_SQ.dcm",
    "charset_files/chrH32.dcm",  # code extensions
    "charset_files/chrKoreanMulti.dcm",
]
FINDINGS = sorted((Path(__file__).parent / "scanner_findings").glob("*"))


def mutations(data: bytes, seed: int, count: int) -> list[bytes]:
    """Copies with bytes flipped, lengths blown up, parts cut out, repeated or swapped."""
    chance = random.Random(seed)
    words = [
        b"\xff\xff\xff\xff",
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x0d\xe0",
        b"\xfe\xff\xdd\xe0",
        b"SQ",
        b"UN",
        b"OB\0\0",
    ]
    words += [bytes(4), b"\xff\xff\xff\x7f", b"1.2.840.10008.1.2.2\0", b"\x1b$B", b"\xe0\x7f\x10\x00"]
    made = []
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
            # most of what is interesting is at the start
            place = chance.randrange(min(len(changed), chance.choice((400, 2000, len(changed)))) or 1)
            match chance.randrange(6):
                case 0:
                    changed[place : place + 1] = bytes([chance.randrange(256)])
                case 1:
                    word = chance.choice(words)
                    changed[place : place + len(word)] = word
                case 2:
                    changed[place:place] = chance.choice(words)
                case 3:
                    del changed[place : place + chance.randrange(1, 40)]
                case 4:
                    changed[place:place] = changed[place : place + chance.randrange(1, 200)]
                case _:
                    del changed[place + 1 :]
        made.append(bytes(changed))
    return made


@pytest.mark.parametrize("name", SEEDS)
def test_the_checks_hold_for_bytes_with_faults(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    assert check_scan(data) is not None
    outcomes = [check_scan(changed) for changed in mutations(data, seed=len(name), count=250)]
    refused = outcomes.count(None)
    assert 10 < refused < 240


@pytest.mark.parametrize("name", SEEDS)
def test_the_checks_hold_for_files_cut_anywhere(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    for size in range(0, min(len(data), 3000), 7):
        check_scan(data[:size])


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.name)
def test_the_checks_hold_for_what_fuzzing_found(path: Path) -> None:
    check_scan(path.read_bytes())

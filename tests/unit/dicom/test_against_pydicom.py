"""The scanner against pydicom, over every file that pydicom's package brings.

The two are made apart, so where they agree both are likely right. The differences that are meant: what REFUSED lists,
and that pydicom drops empty groups at the end of a person name.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from amonsul.dicom import vrs
from amonsul.dicom.elements import Bulk, DataSet, Element, items_of, numbers_of
from amonsul.dicom.header import decode_header, encode_header
from amonsul.dicom.scanner import inflated, scan
from amonsul.errors import BadFileFormat

FOLDER = Path(pydicom.data.__file__).parent
FILES = sorted(
    path
    for folder in ("test_files", "charset_files")
    for path in (FOLDER / folder).rglob("*")
    if path.is_file() and path.suffix in ("", ".dcm") and path.name not in ("README", "LICENSE")
)

REFUSED = {
    "MR_truncated.dcm": "truncated in the pixel data",
    "rtplan_truncated.dcm": "truncated in a sequence",
    "no_meta.dcm": "its first bytes are overwritten",
    "meta_missing_tsyntax.dcm": "neither a transfer syntax nor a data element at the start",
    "DICOMDIR-nooffset": "items are longer than their sequence",
}

# Neither says anything about the instance; see amonsul.dicom.scanner.
DROPPED = {0x00020001, 0xFFFCFFFC}


def test_there_are_files_to_compare() -> None:
    assert len(FILES) > 150
    assert {path.name for path in FILES} >= set(REFUSED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_the_scanner_reads_what_pydicom_reads(path: Path) -> None:
    data = path.read_bytes()
    if path.name in REFUSED:
        with pytest.raises(BadFileFormat):
            scan(data)
        return
    header = scan(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.dcmread(path, force=True)
        whole = inflated(data)
        differences = [
            *compare(header.file_meta, expected.file_meta, memoryview(data), "meta"),
            *compare(header.data_set, expected, memoryview(data) if whole is None else whole, ""),
        ]
    assert differences == []
    again = decode_header(encode_header(header))
    assert encode_header(again) == encode_header(header)
    assert again.data_set.keys() == header.data_set.keys()


def compare(found: DataSet, expected: Dataset, whole: memoryview, path: str) -> Iterator[str]:
    tags = {int(tag) for tag in expected.keys()} - DROPPED  # noqa: SIM118  iterating over it would decode
    if set(found) != tags:
        yield f"{path}: {sorted(map(hex, set(found) ^ tags))}"
    for tag in sorted(set(found) & tags):
        element, other = found[tag], expected[tag]
        place = f"{path}/{tag:08x}"
        if element.vr != str(other.VR):
            yield f"{place}: VR {element.vr}, {other.VR}"
        elif element.vr == "SQ" and not isinstance(element.value, Bulk):
            items = items_of(element)
            if len(items) != len(other.value or ()):
                yield f"{place}: {len(items)} items, {len(other.value or ())}"
            for number, (item, other_item) in enumerate(zip(items, other.value or (), strict=False)):
                yield from compare(item, other_item, whole, f"{place}[{number}]")
        elif (mine := value_of(element, whole)) != (theirs := value_of_pydicom(element.vr, other.value)):
            yield f"{place}: {mine!r:.200}, {theirs!r:.200}"


def value_of(element: Element, whole: memoryview) -> object:
    vr, value = element
    if isinstance(value, Bulk):
        raw = bytes(whole[value.offset : value.offset + value.length])
        return raw if vr in vrs.BINARY or vr in ("OF", "OD") else [vr, len(raw) > 0]
    if vr in vrs.NUMBERS:
        return [struct.pack("<d", number) for number in numbers_of(element)]  # NaN is equal to itself as bytes
    return text_of(vr, value.split("\\")) if isinstance(value, str) else None


def value_of_pydicom(vr: str, value: Any) -> object:
    values = list(value) if isinstance(value, (list, MultiValue)) else [] if value is None or value == "" else [value]
    if vr in ("OF", "OD") and isinstance(value, bytes):
        code = vrs.NUMBERS[vr]
        return [struct.pack("<d", number) for (number,) in struct.iter_unpack(f"<{code}", value)]
    if vr in vrs.BINARY:
        return value if value is not None else b""
    if vr in vrs.NUMBERS:
        return [struct.pack("<d", number) for number in values]
    if vr == "AT":
        return text_of(vr, [f"{int(tag) >> 16:04x},{int(tag) & 0xFFFF:04x}" for tag in values])
    texts = [str(one if vr == "PN" else getattr(one, "original_string", one)) for one in values]
    return text_of(vr, [part for text in texts for part in text.split("\\")])


def text_of(vr: str, values: list[str]) -> list[str]:
    stripped = [text.strip(" \0").rstrip("=" if vr == "PN" else "") for text in values]
    return stripped if any(stripped) else []

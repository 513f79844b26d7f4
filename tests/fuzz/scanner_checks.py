"""What must hold of the scanner whatever the bytes: shared by the fuzz target and the mutation test."""

from __future__ import annotations

import orjson

from amonsul.dicom import content, dicom_json, json_tags
from amonsul.dicom.elements import Bulk, DataSet, items_of
from amonsul.dicom.header import Header, decode_header, encode_header
from amonsul.dicom.identifiers import identifiers_of
from amonsul.dicom.levels import Level
from amonsul.dicom.main_tags import MainTags
from amonsul.dicom.scanner import ScanLimits, inflated, scan
from amonsul.errors import BadFileFormat

LIMITS = ScanLimits(max_elements=20_000, max_kept_elements=2_000, max_inflated_bytes=1 << 20)
_MAIN_TAGS = MainTags()


def check_scan(data: bytes) -> Header | None:
    """Scan and look at the result from all sides; None if the bytes are refused, which is the only error allowed."""
    try:
        header = scan(data, LIMITS)
    except BadFileFormat:
        return None
    packed = encode_header(header)
    again = decode_header(packed)
    assert encode_header(again) == packed
    assert list(again.data_set) == list(header.data_set) == sorted(header.data_set)
    whole = inflated(data, LIMITS)
    check_places(header.data_set, len(data) if whole is None else len(whole))
    orjson.dumps(json_tags.full(header.data_set))
    orjson.dumps(json_tags.short(header.data_set, max_length=0))
    orjson.dumps(json_tags.simplified(header.file_meta))
    orjson.dumps(dicom_json.to_json(header.data_set, lambda path, bulk: f"{path}{bulk}"))
    for level in Level:
        _MAIN_TAGS.extract(level, header.data_set)
    try:
        identifiers_of(header.data_set)
    except BadFileFormat:
        pass
    assert isinstance(content.lookup(data, [], limits=LIMITS), list)
    return header


def check_places(data_set: DataSet, size: int) -> None:
    """Every value left in the file lies in the file."""
    for element in data_set.values():
        if isinstance(element.value, Bulk):
            assert 0 <= element.value.offset <= element.value.offset + element.value.length <= size
        for item in items_of(element):
            check_places(item, size)

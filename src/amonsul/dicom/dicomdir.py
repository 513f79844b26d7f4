"""DICOMDIR: the directory of a file-set on exchange media (PS3.3 Annex F, PS3.10 §8).

Records are encoded as they are added, in the order of a walk through the tree, and linked to each other by their
offsets in the file when it is finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from typing import Final

from amonsul.dicom import charsets
from amonsul.dicom.elements import DataSet, Tag
from amonsul.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, new_uid

MEDIA_STORAGE_DIRECTORY_STORAGE: Final = "1.2.840.10008.1.3.10"
FILE_SET_ID: Final = "ORTHANC_MEDIA"
"""Known to clients of the REST API."""

_SHORT: Final = Struct("<HH2sH")
_LONG: Final = Struct("<HH2sHI")
_ITEM: Final = Struct("<HHI")
_UL: Final = Struct("<I")
_NEXT: Final = 8 + 8
"""Where the offset of the next record stands in an item, its head included."""
_LOWER: Final = 8 + 12 + 10 + 8

_SPECIFIC_CHARACTER_SET: Final = Tag(0x00080005)


@dataclass(frozen=True, slots=True)
class _Key:
    """An attribute of a record: copied from the instance.

    Attributes:
        substitutes: other attributes of the instance that are taken where it has no value.
        default: of an attribute of type 1, if there is no value at all: instances may do without it, directories may
            not (PS3.3 §F.5). `_NUMBER` stands for the number of the record among its siblings.
        is_optional: left out where there is no value.
    """

    tag: Tag
    vr: str
    default: str = ""
    substitutes: tuple[Tag, ...] = ()
    is_optional: bool = False


_NUMBER: Final = "#"
# of the series, the acquisition, the content, and the creation of the instance
_OTHER_DATES: Final = (Tag(0x00080021), Tag(0x00080022), Tag(0x00080023), Tag(0x00080012))

_PATIENT: Final = (_Key(Tag(0x00100010), "PN"), _Key(Tag(0x00100020), "LO", "UNKNOWN"))
_STUDY: Final = (
    _Key(Tag(0x00080020), "DA", "19000101", _OTHER_DATES),
    _Key(Tag(0x00080030), "TM", "000000"),
    _Key(Tag(0x00080050), "SH"),
    _Key(Tag(0x00081030), "LO"),
    _Key(Tag(0x0020000D), "UI"),
    _Key(Tag(0x00200010), "SH", _NUMBER),
)
_SERIES: Final = (
    _Key(Tag(0x00080060), "CS", "OT"),
    _Key(Tag(0x0020000E), "UI"),
    _Key(Tag(0x00200011), "IS", _NUMBER),
)
_EXTENDED_SERIES: Final = (_SERIES[0], _Key(Tag(0x0008103E), "LO", is_optional=True), *_SERIES[1:])
_IMAGE: Final = (_Key(Tag(0x00200013), "IS", _NUMBER),)


@dataclass(slots=True)
class _Record:
    item: bytearray
    children: list[_Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Referenced:
    """A file of the file-set.

    Attributes:
        file_id: names of the folders and the file.
    """

    file_id: Sequence[str]
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class DicomDir:
    """The directory of one file-set.

    Args:
        is_extended: say more about each series than a reader needs.
    """

    def __init__(self, is_extended: bool) -> None:
        self._series_keys = _EXTENDED_SERIES if is_extended else _SERIES
        self._patients: dict[str, _Record] = {}
        self._studies: dict[str, _Record] = {}
        self._series: dict[str, _Record] = {}

    def add(self, ancestry: Sequence[str], data_set: DataSet, referenced: Referenced) -> None:
        """Add a file, with the records above it where they are new.

        Args:
            ancestry: something that identifies the patient, the study and the series.
            data_set: of the instance.
            referenced: the file.
        """
        patient_id, study_id, series_id = ancestry
        patient = self._patients.get(patient_id)
        if patient is None:
            patient = self._patients[patient_id] = _Record(_record("PATIENT", data_set, _PATIENT, len(self._patients)))
        study = self._studies.get(study_id)
        if study is None:
            study = self._studies[study_id] = _Record(_record("STUDY", data_set, _STUDY, len(patient.children)))
            patient.children.append(study)
        series = self._series.get(series_id)
        if series is None:
            item = _record("SERIES", data_set, self._series_keys, len(study.children))
            series = self._series[series_id] = _Record(item)
            study.children.append(series)
        series.children.append(_Record(_record("IMAGE", data_set, _IMAGE, len(series.children), referenced)))

    def encode(self) -> bytes:
        """The whole file."""
        roots = list(self._patients.values())
        ordered: list[_Record] = []
        stack = roots[::-1]
        while stack:
            record = stack.pop()
            ordered.append(record)
            stack.extend(record.children[::-1])
        head = _head()
        first = len(head) + len(_front(0, 0)) + _LONG.size
        offsets: dict[int, int] = {}
        at = first
        for record in ordered:
            offsets[id(record)] = at
            at += len(record.item)
        _link(roots, offsets)
        for record in ordered:
            if record.children:
                _UL.pack_into(record.item, _LOWER, offsets[id(record.children[0])])
                _link(record.children, offsets)
        ends = (offsets[id(roots[0])], offsets[id(roots[-1])]) if roots else (0, 0)
        sequence = _LONG.pack(0x0004, 0x1220, b"SQ", 0, at - first)
        return b"".join((head, _front(*ends), sequence, *(record.item for record in ordered)))


def _link(siblings: Sequence[_Record], offsets: dict[int, int]) -> None:
    for record, following in pairwise(siblings):
        _UL.pack_into(record.item, _NEXT, offsets[id(following)])


def _head() -> bytes:
    """Preamble and file meta information."""
    meta = (
        _LONG.pack(0x0002, 0x0001, b"OB", 0, 2)
        + b"\0\1"
        + _text(0x00020002, "UI", MEDIA_STORAGE_DIRECTORY_STORAGE)
        + _text(0x00020003, "UI", new_uid())
        + _text(0x00020010, "UI", EXPLICIT_VR_LITTLE_ENDIAN)
        + _text(0x00020012, "UI", IMPLEMENTATION_CLASS_UID)
        + _text(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME)
    )
    return bytes(128) + b"DICM" + _SHORT.pack(0x0002, 0x0000, b"UL", 4) + _UL.pack(len(meta)) + meta


def _front(first: int, last: int) -> bytes:
    """What stands before the records."""
    return (
        _text(0x00041130, "CS", FILE_SET_ID)
        + _SHORT.pack(0x0004, 0x1200, b"UL", 4)
        + _UL.pack(first)
        + _SHORT.pack(0x0004, 0x1202, b"UL", 4)
        + _UL.pack(last)
        + _SHORT.pack(0x0004, 0x1212, b"US", 2)
        + b"\0\0"
    )


def _record(
    kind: str, data_set: DataSet, keys: Sequence[_Key], siblings: int, referenced: Referenced | None = None
) -> bytearray:
    """One item, with no offsets yet; `siblings` come before it."""
    parts = [
        _SHORT.pack(0x0004, 0x1400, b"UL", 4) + bytes(4),
        _SHORT.pack(0x0004, 0x1410, b"US", 2) + b"\xff\xff",
        _SHORT.pack(0x0004, 0x1420, b"UL", 4) + bytes(4),
        _text(0x00041430, "CS", kind),
    ]
    if referenced is not None:
        parts += [
            _text(0x00041500, "CS", "\\".join(referenced.file_id)),
            _text(0x00041510, "UI", referenced.sop_class_uid),
            _text(0x00041511, "UI", referenced.sop_instance_uid),
            _text(0x00041512, "UI", referenced.transfer_syntax_uid),
        ]
    charset = _value(data_set, _SPECIFIC_CHARACTER_SET).strip()
    texts = [(key, _value_of(key, data_set, siblings + 1)) for key in keys]
    if (charset and not charsets.is_known(charset)) or not all(_fits(key, text, charset) for key, text in texts):
        charset = "ISO_IR 192"
    if charset:
        parts.append(_text(_SPECIFIC_CHARACTER_SET, "CS", charset))
    for key, text in texts:
        if text.strip() or not key.is_optional:
            parts.append(_text(key.tag, key.vr, text, charset))
    content = b"".join(parts)
    return bytearray(_ITEM.pack(0xFFFE, 0xE000, len(content)) + content)


def _value_of(key: _Key, data_set: DataSet, number: int) -> str:
    for tag in (key.tag, *key.substitutes):
        text = _value(data_set, tag)
        if text.strip():
            return text
    return str(number) if key.default == _NUMBER else key.default


def _fits(key: _Key, text: str, charset: str) -> bool:
    if text.isascii():
        return True
    encoded = charsets.encode(text, charset or "ISO_IR 6", key.vr == "PN")
    return charsets.decoder(charset).decode(encoded, key.vr == "PN") == text


def _value(data_set: DataSet, tag: Tag) -> str:
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""


def _text(tag: int, vr: str, text: str, charset: str = "") -> bytes:
    data = text.encode("ascii", "replace") if text.isascii() else charsets.encode(text, charset, vr == "PN")
    if len(data) & 1:
        data += b"\0" if vr == "UI" else b" "
    return _SHORT.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(data)) + data

"""Data sets in the Native DICOM Model (PS3.19 §A.1), written from the DICOM JSON Model (PS3.18 §F.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from amonsul.dicom.dictionary import STANDARD, Dictionary

_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NAME_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_ESCAPED = {"\r": "&#13;"}
"""A reader of XML takes a bare carriage return for a line feed."""
_NOT_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF))


def from_json(model: Mapping[str, object], dictionary: Dictionary = STANDARD) -> bytes:
    """Write a data set given in the JSON model."""
    body = "".join(_attributes(model, dictionary))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<NativeDicomModel xmlns="{_NAMESPACE}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE}">{body}</NativeDicomModel>\n'
    ).encode()


def _attributes(model: Mapping[str, object], dictionary: Dictionary) -> Iterator[str]:
    creators = {
        key[:4] + key[6:]: attribute["Value"][0]
        for key, attribute in model.items()
        if key[4:6] == "00"
        and int(key[:4], 16) % 2
        and isinstance(attribute, dict)
        and isinstance(attribute.get("Value"), list)
        and attribute["Value"]
    }
    for key, attribute in model.items():
        assert isinstance(attribute, dict)
        tag = int(key, 16)
        creator = creators.get(key[:6]) if tag >> 16 & 1 else None
        private = f" privateCreator={quoteattr(_text(creator))}" if isinstance(creator, str) else ""
        entry = dictionary.entry(tag, creator if isinstance(creator, str) else None)
        keyword = f" keyword={quoteattr(entry.keyword)}" if entry is not None and not private else ""
        vr = attribute["vr"]
        yield f'<DicomAttribute tag="{key}" vr="{vr}"{keyword}{private}>'
        if "InlineBinary" in attribute:
            yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
        elif "BulkDataURI" in attribute:
            yield f"<BulkData uri={quoteattr(str(attribute['BulkDataURI']))}/>"
        else:
            yield from _values(str(vr), attribute.get("Value", ()), dictionary)
        yield "</DicomAttribute>"


def _values(vr: str, values: Sequence[object], dictionary: Dictionary) -> Iterator[str]:
    for number, value in enumerate(values, 1):
        if vr == "SQ" and isinstance(value, dict):
            yield f'<Item number="{number}">{"".join(_attributes(value, dictionary))}</Item>'
        elif vr == "PN" and isinstance(value, dict):
            yield f'<PersonName number="{number}">{_person_name(value)}</PersonName>'
        else:
            yield f'<Value number="{number}">{"" if value is None else escape(_text(value), _ESCAPED)}</Value>'


def _person_name(groups: Mapping[str, object]) -> str:
    written = []
    for group, name in groups.items():
        parts = zip(_NAME_COMPONENTS, str(name).rstrip("^").split("^", len(_NAME_COMPONENTS) - 1), strict=False)
        inner = "".join(f"<{part}>{escape(_text(value))}</{part}>" for part, value in parts)
        written.append(f"<{group}>{inner}</{group}>")
    return "".join(written)


def _text(value: object) -> str:
    """A value without the characters that XML cannot hold."""
    return str(value).translate(_NOT_XML)

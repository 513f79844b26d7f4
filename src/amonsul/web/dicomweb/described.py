"""Data sets of other servers as they are shown to people and scripts: attributes with names and plain values."""

from __future__ import annotations

from collections.abc import Mapping

from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Tag

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def described(model: Mapping[str, object], dictionary: Dictionary) -> dict[str, object]:
    """A data set of the JSON model, e.g. `{"00100020": {"Group": 16, "Element": 32, "Name": "PatientID", …}}`.

    One value stands for itself. Several are one text, separated by backslashes as in DICOM; a sequence is an array.
    """
    shown: dict[str, object] = {}
    for key, attribute in model.items():
        assert isinstance(attribute, dict)
        tag = Tag(int(key, 16))
        entry: dict[str, object] = {
            "Element": tag & 0xFFFF,
            "Group": tag >> 16,
            "Name": dictionary.keyword(tag),
            "vr": attribute.get("vr", "UN"),
        }
        values = attribute.get("Value") or []
        if attribute.get("vr") == "SQ":
            entry["Value"] = [described(item or {}, dictionary) for item in values]
        elif len(values) == 1:
            entry["Value"] = _plain(values[0])
        elif values:
            entry["Value"] = "\\".join("" if value is None else str(_plain(value)) for value in values)
        for name in ("BulkDataURI", "InlineBinary"):
            if name in attribute:
                entry[name] = attribute[name]
        shown[key.upper()] = entry
    return shown


def _plain(value: object) -> object:
    """A value; of a person name its groups, as DICOM writes them."""
    if isinstance(value, dict):
        return "=".join(str(value.get(group, "")) for group in _GROUPS).rstrip("=")
    return value

"""Data sets of other servers as they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from amonsul.dicom.dictionary import STANDARD
from amonsul.web.dicomweb.described import described


def shown(attribute: Mapping[str, object], tag: str = "00080008") -> object:
    return described({tag: attribute}, STANDARD)[tag.upper()]


def test_an_attribute_has_its_name_and_a_plain_value() -> None:
    assert shown({"vr": "LO", "Value": ["1CT1"]}, "00100020") == {
        "Element": 32,
        "Group": 16,
        "Name": "PatientID",
        "Value": "1CT1",
        "vr": "LO",
    }


def test_values_are_what_a_script_expects() -> None:
    for vr, values, expected in (
        ("CS", ["ORIGINAL", None, "AXIAL"], "ORIGINAL\\\\AXIAL"),
        ("US", [512], 512),
        ("DS", [0.5, 0.25], "0.5\\0.25"),
        ("PN", [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}], "Yamada^Tarou=山田^太郎"),
        ("PN", [{"Phonetic": "やまだ^たろう"}], "==やまだ^たろう"),
        ("LO", [None], None),
    ):
        found = shown({"vr": vr, "Value": values})
        assert isinstance(found, dict)
        assert found["Value"] == expected


def test_no_value_is_none() -> None:
    for attribute in ({"vr": "LO"}, {"vr": "LO", "Value": []}):
        found = shown(attribute)
        assert isinstance(found, dict)
        assert "Value" not in found


def test_sequences_and_bulk_data_are_kept() -> None:
    item = {"00100020": {"vr": "LO", "Value": ["a"]}}
    found = shown({"vr": "SQ", "Value": [item, None]}, "0008111a")
    assert isinstance(found, dict)
    assert found["Value"] == [described(item, STANDARD), {}]
    found = shown({"vr": "OW", "BulkDataURI": "http://h/x"}, "7FE00010")
    assert isinstance(found, dict)
    assert found["BulkDataURI"] == "http://h/x"

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from amonsul.dicom.dicom_xml import from_json

NS = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def attributes(model: dict[str, object]) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(from_json(model)))


def test_attribute_has_tag_vr_and_keyword() -> None:
    (found,) = attributes({"00100020": {"vr": "LO", "Value": ["a<b&c"]}})
    assert found.attrib == {"tag": "00100020", "vr": "LO", "keyword": "PatientID"}
    assert [(value.attrib, value.text) for value in found] == [({"number": "1"}, "a<b&c")]


def test_empty_values_keep_their_numbers() -> None:
    (found,) = attributes({"00080008": {"vr": "CS", "Value": ["A", None, "B"]}})
    assert [(value.get("number"), value.text) for value in found] == [("1", "A"), ("2", None), ("3", "B")]
    assert list(attributes({"00080008": {"vr": "CS"}})[0]) == []


def test_person_names_are_taken_apart() -> None:
    name = {"Alphabetic": "Doe^Jane^^Dr", "Ideographic": "山田^太郎"}
    (found,) = attributes({"00100010": {"vr": "PN", "Value": [name]}})
    groups = list(found[0])
    assert [group.tag for group in groups] == [NS + "Alphabetic", NS + "Ideographic"]
    assert [(part.tag, part.text) for part in groups[0]] == [
        (NS + "FamilyName", "Doe"),
        (NS + "GivenName", "Jane"),
        (NS + "MiddleName", None),
        (NS + "NamePrefix", "Dr"),
    ]


def test_no_component_of_a_name_is_lost() -> None:
    (found,) = attributes({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "a^b^c^d^e^f"}]}})
    assert [part.text for part in found[0][0]] == ["a", "b", "c", "d", "e^f"]


def test_sequences_have_items() -> None:
    item = {"00080100": {"vr": "SH", "Value": ["T-D1100"]}}
    (found,) = attributes({"00082218": {"vr": "SQ", "Value": [item, {}]}})
    assert [(one.tag, one.get("number"), len(one)) for one in found] == [(NS + "Item", "1", 1), (NS + "Item", "2", 0)]


def test_private_attributes_name_their_creator() -> None:
    creator, private = attributes(
        {"00090010": {"vr": "LO", "Value": ["ACME"]}, "00091001": {"vr": "LO", "Value": ["x"]}}
    )
    assert "privateCreator" not in creator.attrib
    assert private.get("privateCreator") == "ACME"


def test_bulk_data_inline_and_elsewhere() -> None:
    inline, elsewhere = attributes(
        {"7FE00010": {"vr": "OW", "InlineBinary": "AAA="}, "00420011": {"vr": "OB", "BulkDataURI": "bulk?a=1&b=2"}}
    )
    assert (inline[0].tag, inline[0].text) == (NS + "InlineBinary", "AAA=")
    assert elsewhere[0].attrib == {"uri": "bulk?a=1&b=2"}


def test_characters_that_xml_cannot_hold_are_dropped() -> None:
    (found,) = attributes({"00104000": {"vr": "LT", "Value": ["a\x00b\x1bc\r\nd\ufffe"]}})
    assert found[0].text == "abc\r\nd"

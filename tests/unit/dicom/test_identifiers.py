"""Identifiers, main tags and their signature."""

from __future__ import annotations

import pytest

from amonsul.dicom.elements import Bulk, DataSet, Element, Tag
from amonsul.dicom.identifiers import Identifiers, identifiers_of
from amonsul.dicom.levels import Level
from amonsul.dicom.main_tags import MainTags
from amonsul.errors import MissingIdentifier
from tests.unit.dicom.building import sq

CT: DataSet = {
    Tag(0x00080018): Element("UI", "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"),
    Tag(0x00100020): Element("LO", "1CT1"),
    Tag(0x0020000D): Element("UI", "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"),
    Tag(0x0020000E): Element("UI", "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"),
}


def without(tag: int) -> DataSet:
    return {key: element for key, element in CT.items() if key != tag}


def test_public_identifiers_are_the_sha1_of_the_dicom_identifiers() -> None:
    found = identifiers_of(CT)
    assert [found.at(level) for level in Level] == [
        "fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718",
        "8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d",
        "93034833-163e42c3-bc9a428b-194620cf-2c5799e5",
        "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af",
    ]


def test_a_patient_id_may_be_absent() -> None:
    assert identifiers_of(without(0x00100020)).at(Level.PATIENT) == "da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"


def test_a_leading_blank_counts() -> None:
    assert Identifiers(" gold03", "", "", "").at(Level.PATIENT) == "5f8331e9-7a32fc1f-7f85b91d-346cb8ee-42aafac4"


def test_what_could_not_be_decoded_does_not_count() -> None:
    assert Identifiers("caf\ufffd", "", "", "").at(Level.PATIENT) == Identifiers("caf", "", "", "").at(Level.PATIENT)


@pytest.mark.parametrize("tag", [0x00080018, 0x0020000D, 0x0020000E])
@pytest.mark.parametrize("value", [None, "", " "])
def test_a_missing_uid_is_an_error(tag: int, value: str | None) -> None:
    data_set = without(tag) if value is None else {**CT, Tag(tag): Element("UI", value)}
    with pytest.raises(MissingIdentifier):
        identifiers_of(data_set)


def test_the_signatures_name_the_main_tags() -> None:
    tags = MainTags()
    assert tags.signature(Level.PATIENT) == "0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
    assert tags.signature(Level.STUDY) == (
        "0008,0020;0008,0030;0008,0050;0008,0080;0008,0090;0008,0201;0008,1030;0020,000d;0020,0010;0032,1032;0032,1060"
    )
    assert tags.signature(Level.SERIES) == (
        "0008,0021;0008,0031;0008,0060;0008,0070;0008,0201;0008,1010;0008,103e;0008,1070;0018,0010;0018,0015;0018,0024;"
        "0018,1030;0018,1090;0018,1400;0020,000e;0020,0011;0020,0037;0020,0105;0020,1002;0040,0244;0040,0245;0040,0254;"
        "0040,0275;0054,0081;0054,0101;0054,1000"
    )
    assert tags.signature(Level.INSTANCE) == (
        "0008,0012;0008,0013;0008,0018;0020,0012;0020,0013;0020,0032;0020,0037;0020,0100;0020,4000;0028,0008;0054,1330"
    )


def test_extra_tags_are_in_their_place() -> None:
    extra = MainTags({Level.STUDY: [Tag(0x00101010)], Level.INSTANCE: [Tag(0x00080008), Tag(0x00080012)]})
    assert Tag(0x00101010) in extra.tags(Level.STUDY)
    assert list(extra.tags(Level.STUDY)) == sorted(extra.tags(Level.STUDY))
    assert extra.signature(Level.INSTANCE).startswith("0008,0008;0008,0012;0008,0013;")
    assert extra.tags(Level.PATIENT) == MainTags().tags(Level.PATIENT)


def test_main_tags_are_extracted_as_the_rest_api_prints_them() -> None:
    data_set: DataSet = {
        Tag(0x00080012): Element("DA", ""),
        Tag(0x00080018): Element("UI", "1.2.3"),
        Tag(0x00080060): Element("CS", "CT"),
        Tag(0x00200013): Element("IS", "+5"),
        Tag(0x00200032): Element("DS", "-8\\-8\\2.5"),
        Tag(0x00204000): Element("LT", "é" * 129),
        Tag(0x00280008): Element("IS", Bulk(1, 2)),
        Tag(0x00280010): Element("US", [512]),
        Tag(0x00400275): sq({}),
        Tag(0x00541330): Element("US", [7]),
    }
    assert MainTags({Level.INSTANCE: [Tag(0x00280010), Tag(0x00400275)]}).extract(Level.INSTANCE, data_set) == {
        Tag(0x00080012): "",
        Tag(0x00080018): "1.2.3",
        Tag(0x00200013): "+5",
        Tag(0x00200032): "-8\\-8\\2.5",
        Tag(0x00280010): "512",
        Tag(0x00541330): "7",
    }
    assert MainTags().extract(Level.SERIES, data_set) == {Tag(0x00080060): "CT"}

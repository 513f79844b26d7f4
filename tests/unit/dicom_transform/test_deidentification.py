"""Requests to anonymize, and data sets de-identified."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID

from amonsul import __version__
from amonsul.dicom.confidentiality import VERSIONS, Action, Option, profile
from amonsul.dicom.date_shift import days_of, shift_date
from amonsul.dicom.deidentification import Anonymization, deidentify, parse_anonymization
from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.encoding import encode_data_set
from amonsul.dicom.levels import Level
from amonsul.dicom.pixel_cleaning import PixelCleaning, Region
from amonsul.dicom.uid_map import LevelOf, UidMap, nothing_else
from amonsul.dicom.uids import is_valid
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    BadParameterType,
    BadRequest,
    ParameterOutOfRange,
    UnknownDicomTag,
)

from .builders import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    UIDS,
    all_data_sets,
    fresh,
    instance,
    read,
    refer_to,
    stored,
)


def anonymized(
    data_set: Dataset,
    body: object = None,
    level_of: LevelOf = nothing_else,
    uids: UidMap = UIDS,
    syntax: str = EXPLICIT,
) -> Dataset:
    """De-identify what was read, write, read again."""
    original = fresh(data_set, syntax)
    deidentify(original, parse_anonymization({} if body is None else body), uids, "Anonymized1", level_of)
    return read(stored(original, syntax))


# Requests


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([], BadFileFormat),
        ("nope", BadFileFormat),
        ({"DicomVersion": "nope"}, ParameterOutOfRange),
        ({"DicomVersion": 1}, BadFileFormat),
        ({"Keep": ["Nope"]}, UnknownDicomTag),
        ({"Keep": "PatientName"}, BadRequest),
        ({"Replace": 1}, BadRequest),
        ({"Replace": {"PatientName": 1}}, BadParameterType),
        ({"KeepPrivateTags": 1}, BadRequest),
        ({"Keep": ["SOPInstanceUID"]}, BadRequest),
        ({"Keep": ["PatientID"]}, BadRequest),
        ({"Replace": {"PatientID": "X"}}, BadRequest),
        ({"Remove": ["PatientID"], "Force": True}, BadRequest),
        ({"DeidentificationOptions": "CleanDescriptors"}, BadRequest),
        ({"DeidentificationOptions": [1]}, BadRequest),
        ({"DeidentificationOptions": ["Nope"]}, ParameterOutOfRange),
        ({"DeidentificationOptions": [], "DicomVersion": "2021b"}, ParameterOutOfRange),
        ({"DeidentificationOptions": ["RetainUIDs"]}, BadRequest),
        ({"DeidentificationOptions": ["RetainLongitudinalFullDates", "RetainLongitudinalModifiedDates"]}, BadRequest),
        ({"DateShiftKey": "x"}, BadRequest),
        ({"DeidentificationOptions": [], "DateShiftKey": "x"}, BadRequest),
        (
            {"DeidentificationOptions": ["RetainLongitudinalModifiedDates"], "DateShiftKey": "x" * 999},
            ParameterOutOfRange,
        ),
    ],
)
def test_a_bad_body_is_refused(body: object, error: type[AmonsulError]) -> None:
    with pytest.raises(error):
        parse_anonymization(body)


def test_the_default_is_the_current_edition_alone() -> None:
    assert parse_anonymization({}) == Anonymization(profile("2023b"))
    assert parse_anonymization({"DicomVersion": "2008"}).profile is profile("2008")


def test_a_pseudonym_is_needed_unless_the_name_is_given_or_kept() -> None:
    assert parse_anonymization({}).needs_patient_name
    assert parse_anonymization({"Replace": {"AnatomicRegionSequence[0].PatientName": "x"}}).needs_patient_name
    assert not parse_anonymization({"Replace": {"PatientName": "x"}}).needs_patient_name
    assert not parse_anonymization({"Keep": ["PatientName"]}).needs_patient_name


def test_results_with_the_uids_of_their_originals_are_known() -> None:
    names = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    assert parse_anonymization({"Keep": names, "Force": True}).keeps_all_uids
    assert parse_anonymization({"DeidentificationOptions": ["RetainUIDs"], "Force": True}).keeps_all_uids
    assert not parse_anonymization({"Keep": names[:2], "Force": True}).keeps_all_uids


# What is taken out

_CANARIES: Mapping[str, object] = {
    "AE": "CANARY_AE",
    "AS": "077Y",
    "CS": "CANARY_CS",
    "DA": "19870607",
    "DS": "7654321",
    "DT": "19870607080910",
    "FD": 7654321.0,
    "FL": 7654321.0,
    "IS": "7654321",
    "LO": "CANARY LO",
    "LT": "CANARY LT",
    "PN": "CANARY^PN",
    "SH": "CANARY SH",
    "SL": 0x43414E41,
    "SS": 0x4341,
    "ST": "CANARY ST",
    "TM": "080910",
    "UC": "CANARY UC",
    "UI": "1.2.777.7",
    "UL": 0x43414E41,
    "UR": "http://canary",
    "US": 0x4341,
    "UT": "CANARY UT",
}


def canary(tag: int) -> DataElement:
    """An attribute with a value that must not survive."""
    vr = STANDARD.vr(tag)
    if vr == "SQ":
        item = Dataset()
        item.CodeValue = "CANARY"
        return DataElement(tag, "SQ", ItemSequence([item]))
    return DataElement(tag, vr, _CANARIES.get(vr, b"CANARY"))


def taken_out(version: str, options: frozenset[Option] | None = None) -> list[int]:
    """What a profile does not leave as it is, in data sets."""
    chosen = profile(version, options)
    tags = [tag for tag in chosen.actions if tag >> 16 not in (0, 2, 4)]
    if version != "2008":
        tags += [0x50003000, 0x50022500, 0x60003000, 0x60024000]
    return sorted(tag for tag in tags if chosen.action(tag) not in (Action.KEEP, None))


def assert_no_canary(data_set: Dataset, tags: set[int], private: bool = False) -> None:
    for part in all_data_sets(data_set):
        for element in part:
            if element.tag in tags and element.VR != "SQ" and not element.is_empty:
                assert element.value != canary(element.tag).value, element.tag
            if element.tag.is_private:
                assert private, element.tag
    data = stored(data_set)
    for word in (b"CANARY", b"1987060", b"1.2.777", b"http://canary"):
        assert word not in data


BODIES: list[tuple[str, dict[str, object]]] = [
    *[(version, dict[str, object](DicomVersion=version)) for version in VERSIONS],
    ("2023b", {"DeidentificationOptions": []}),
    ("2023b", {"DeidentificationOptions": ["RetainSafePrivate"]}),
]


@st.composite
def nestings(draw: st.DrawFn, tags: list[int]) -> Dataset:
    """Canaries at any depth, in public and private sequences."""

    def fill(data_set: Dataset, depth: int) -> None:
        for tag in draw(st.lists(st.sampled_from(tags), max_size=12, unique=True)):
            if tag not in data_set and not (depth == 0 and tag in (0x0020000D, 0x0020000E, 0x00080018)):
                data_set[tag] = canary(tag)
        if draw(st.booleans()):
            block = data_set.private_block(0x0009, "CANARY MAKER", create=True)
            block.add_new(1, "LO", "CANARY private")
            block.add_new(2, "UN", b"CANARY")
        if depth < 4:
            for holder in draw(st.lists(st.sampled_from([0x00082218, 0x00081115, 0x00091003]), unique=True)):
                items = []
                for _ in range(draw(st.integers(1, 2))):
                    item = Dataset()
                    fill(item, depth + 1)
                    items.append(item)
                if holder == 0x00091003:
                    block = data_set.private_block(0x0009, "CANARY MAKER", create=True)
                    block.add_new(3, "SQ", ItemSequence(items))
                else:
                    data_set.add_new(holder, "SQ", ItemSequence(items))

    data_set = instance()
    fill(data_set, 0)
    return data_set


@pytest.mark.parametrize(("version", "body"), BODIES)
@given(st.data(), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]))
@settings(max_examples=25, deadline=None)
def test_nothing_that_a_profile_takes_out_survives_anywhere(
    version: str, body: dict[str, object], data: st.DataObject, syntax: str
) -> None:
    options = frozenset[Option]() if "DeidentificationOptions" in body else None
    tags = taken_out(version, options)
    result = anonymized(data.draw(nestings(tags)), body, syntax=syntax)
    assert_no_canary(result, set(tags))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_kept_private_sequences_are_de_identified_too(data: st.DataObject) -> None:
    tags = taken_out("2023b")
    data_set = data.draw(nestings(tags))
    result = anonymized(data_set, {"KeepPrivateTags": True})
    for part in all_data_sets(result):
        for element in list(part):
            if element.tag.is_private and element.VR != "SQ":
                element.value = b"" if element.VR == "UN" else ""
    assert_no_canary(result, set(tags), private=True)


@pytest.mark.parametrize(("version", "body"), BODIES)
def test_every_single_attribute_is_taken_out_at_the_top_and_nested(version: str, body: dict[str, object]) -> None:
    tags = taken_out(version, frozenset() if "DeidentificationOptions" in body else None)
    data_set, item = instance(), Dataset()
    for tag in tags:
        item[tag] = canary(tag)
        if tag not in (0x0020000D, 0x0020000E, 0x00080018):
            data_set[tag] = canary(tag)
    data_set.ReferencedSeriesSequence = ItemSequence([item])
    assert_no_canary(anonymized(data_set, body), set(tags))


@pytest.mark.parametrize("is_undefined", [False, True])
def test_a_public_sequence_that_hides_as_unknown_is_de_identified(is_undefined: bool) -> None:
    """Written by who did not know it: UN, with its items in implicit VR (PS3.5 §6.2.2)."""
    item = Dataset()
    item.PatientName, item.PatientComments, item.StudyDate = "CANARY^PN", "CANARY", "19870607"
    inner = b"".join(encode_data_set(item, IMPLICIT))
    content = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    data_set = instance()
    data_set.add_new(0x00091001, "UN", content)
    data = stored(data_set)
    head = b"\x09\x00\x01\x10UN\0\0" + struct.pack("<I", len(content))
    assert head in data
    length = 0xFFFFFFFF if is_undefined else len(content)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if is_undefined else b""
    hidden = b"\x08\x00\x15\x11UN\0\0" + struct.pack("<I", length)
    original = read(data.replace(head + content, hidden + content + end))
    deidentify(original, parse_anonymization({}), UIDS)
    assert_no_canary(read(stored(original)), set(taken_out("2023b")))


def test_the_front_of_the_file_is_cleaned() -> None:
    data_set = instance()
    data_set.file_meta.PrivateInformationCreatorUID = UID("1.2.777")
    data_set.file_meta.PrivateInformation = b"CANARY"
    result = anonymized(data_set)
    assert result.preamble == bytes(128)
    assert {element.keyword for element in result.file_meta} == {
        "FileMetaInformationGroupLength",
        "FileMetaInformationVersion",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
        "ImplementationClassUID",
        "ImplementationVersionName",
    }
    assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID


def test_group_lengths_go() -> None:
    data_set = fresh(instance())
    data_set.add_new(0x00080000, "UL", 7)
    deidentify(data_set, parse_anonymization({}), UIDS)
    assert 0x00080000 not in data_set


# What stays, and what comes


def test_what_no_profile_names_stays() -> None:
    original = instance()
    result = anonymized(original)
    for keyword in ("SOPClassUID", "Modality", "InstanceNumber", "Rows", "PixelData", "SpecificCharacterSet"):
        assert result[keyword].value == original[keyword].value


def test_the_patient_gets_a_pseudonym() -> None:
    result = anonymized(instance())
    assert result.PatientName == "Anonymized1"
    assert result.PatientID == UIDS.patient_id("P1")
    other = Dataset()
    other.update(instance(2, 3, 4))
    assert anonymized(instance(2, 3, 4)).PatientID == result.PatientID
    assert anonymized(instance(patient="P2")).PatientID != result.PatientID


def test_a_patient_in_an_item_has_the_same_pseudonym_and_no_name() -> None:
    data_set, item = instance(), Dataset()
    item.PatientID, item.PatientName = "P1", "Müller^Jörg"
    data_set.ReferencedSeriesSequence = ItemSequence([item])
    nested = anonymized(data_set).ReferencedSeriesSequence[0]
    assert (nested.PatientID, nested.PatientName) == (UIDS.patient_id("P1"), "")


def test_a_patient_without_name_and_identifier_gets_them() -> None:
    data_set = instance()
    del data_set.PatientName, data_set.PatientID
    result = anonymized(data_set)
    assert (result.PatientName, bool(result.PatientID)) == ("Anonymized1", True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_says_how_it_was_treated(version: str) -> None:
    result = anonymized(instance(), {"DicomVersion": version})
    basic = "" if version == "2008" else " Basic Profile"
    assert result.PatientIdentityRemoved == "YES"
    assert result.DeidentificationMethod == f"Amonsul {__version__} - PS 3.15-{version} Table E.1-1{basic}"
    assert "DeidentificationMethodCodeSequence" not in result
    assert "LongitudinalTemporalInformationModified" not in result


@pytest.mark.parametrize(
    "body",
    [
        {"Keep": ["StudyDate"]},
        {"Replace": {"StudyDate": ""}},
        {"Remove": ["Modality"]},
        {"KeepPrivateTags": True},
    ],
)
def test_an_edition_with_exceptions_is_not_claimed(body: dict[str, object]) -> None:
    assert anonymized(instance(), body).DeidentificationMethod == f"Amonsul {__version__}"


def test_the_request_may_say_it_otherwise() -> None:
    assert anonymized(instance(), {"Replace": {"DeidentificationMethod": "mine"}}).DeidentificationMethod == "mine"


def with_region() -> Dataset:
    data_set, item = instance(), Dataset()
    item.StudyDate = "20240229"
    item.CodeMeaning = "Tête"
    item.ReferencedSOPInstanceUID = UID("1.2.777.7")
    second = Dataset()
    second.update(item)
    data_set.AnatomicRegionSequence = ItemSequence([item, second])
    return data_set


def test_keeping_an_attribute_keeps_it_anywhere_and_a_path_in_one_place() -> None:
    result = anonymized(with_region(), {"Keep": ["StudyDate"]})
    assert result.StudyDate == "20240229"
    assert [item.StudyDate for item in result.AnatomicRegionSequence] == ["20240229"] * 2
    result = anonymized(with_region(), {"Keep": ["AnatomicRegionSequence[1].StudyDate"]})
    assert result.StudyDate == ""
    assert [item.StudyDate for item in result.AnatomicRegionSequence] == ["", "20240229"]
    result = anonymized(with_region(), {"Keep": ["AnatomicRegionSequence"]})
    assert result.AnatomicRegionSequence == with_region().AnatomicRegionSequence


def test_a_path_to_keep_holds_the_sequences_on_its_way() -> None:
    data_set, item = instance(), Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepDescription = "R1", "CANARY"
    data_set.RequestAttributesSequence = ItemSequence([item])
    assert "RequestAttributesSequence" not in anonymized(data_set)
    result = anonymized(data_set, {"Keep": ["RequestAttributesSequence[*].RequestedProcedureID"]})
    assert result.RequestAttributesSequence[0].RequestedProcedureID == "R1"
    assert "ScheduledProcedureStepDescription" not in result.RequestAttributesSequence[0]


def test_removing_an_attribute_removes_it_anywhere_and_a_path_in_one_place() -> None:
    result = anonymized(with_region(), {"Remove": ["CodeMeaning", "PatientName"]})
    assert "PatientName" not in result
    assert not any("CodeMeaning" in item for item in result.AnatomicRegionSequence)
    result = anonymized(with_region(), {"Remove": ["AnatomicRegionSequence[0].CodeMeaning"]})
    assert ["CodeMeaning" in item for item in result.AnatomicRegionSequence] == [False, True]


def test_replacing_is_done_last() -> None:
    body = {
        "Replace": {
            "PatientName": "Hello^World",
            "PatientID": "PSEUDO",
            "InstitutionName": "X",
            "AnatomicRegionSequence[*].CodeMeaning": "gone",
        },
        "Force": True,
    }
    result = anonymized(with_region(), body)
    assert (result.PatientName, result.PatientID, result.InstitutionName) == ("Hello^World", "PSEUDO", "X")
    assert [item.CodeMeaning for item in result.AnatomicRegionSequence] == ["gone", "gone"]
    assert [item.StudyDate for item in result.AnatomicRegionSequence] == ["", ""]


def test_a_private_attribute_is_kept_with_its_creator() -> None:
    data_set = instance()
    block = data_set.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(1, "LO", "kept")
    block.add_new(2, "LO", "gone")
    result = anonymized(data_set, {"Keep": ["0009,1001"]})
    assert [element.value for element in result if element.tag.is_private] == ["SOMEBODY", "kept"]


# UIDs


def study() -> tuple[list[Dataset], LevelOf]:
    data_sets = [instance(number, series) for series in (1, 2) for number in (1, 2)]
    levels = {}
    for data_set in data_sets:
        refer_to(data_set, *data_sets, instance(study=7))
        levels[str(data_set.StudyInstanceUID)] = Level.STUDY
        levels[str(data_set.SeriesInstanceUID)] = Level.SERIES
        levels[str(data_set.SOPInstanceUID)] = Level.INSTANCE
    return data_sets, levels.get


def all_uids(data_set: Dataset) -> list[str]:
    """In order; not those of kinds."""
    kinds = ("SOPClassUID", "ReferencedSOPClassUID")
    return [
        str(element.value)
        for part in all_data_sets(data_set)
        for element in part
        if element.VR == "UI" and element.keyword not in kinds
    ]


def test_each_uid_becomes_one_new_uid_wherever_it_is() -> None:
    originals, level_of = study()
    pairs = {
        pair
        for original in originals
        for pair in zip(all_uids(original), all_uids(anonymized(original, level_of=level_of)), strict=True)
    }
    old, new = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    assert len(pairs) == len(old) == len(new)
    assert not old & new
    assert all(is_valid(uid) for uid in new)


def test_kept_uids_stay_in_references_to_the_operation_only() -> None:
    originals, level_of = study()
    result = anonymized(originals[0], {"Keep": ["SOPInstanceUID"], "Force": True}, level_of)
    assert result.SOPInstanceUID == originals[0].SOPInstanceUID
    found = [item.ReferencedSOPInstanceUID for item in result.ReferencedImageSequence]
    assert found[:4] == [original.SOPInstanceUID for original in originals]
    assert found[4] == UIDS.uid("1.2.3.7.1.1")


def test_replaced_uids_are_followed() -> None:
    originals, level_of = study()
    result = anonymized(originals[0], {"Replace": {"StudyInstanceUID": "9.9"}, "Force": True}, level_of)
    studies = [item.StudyInstanceUID for item in result.StudiesContainingOtherReferencedInstancesSequence]
    assert (result.StudyInstanceUID, studies) == ("9.9", ["9.9"] * 4 + [UIDS.uid("1.2.3.7")])


def test_several_uids_in_one_attribute_become_several() -> None:
    data_set = instance()
    data_set.add_new(0x0040A124, "UI", ["1.2.777.1", "1.2.777.2"])
    assert list(anonymized(data_set)[0x0040A124].value) == [UIDS.uid("1.2.777.1"), UIDS.uid("1.2.777.2")]


@given(st.permutations(range(4)), st.binary(min_size=32, max_size=32), st.sampled_from(BODIES))
@settings(max_examples=10, deadline=None)
def test_order_and_interruptions_do_not_matter(
    order: list[int], key: bytes, chosen: tuple[str, dict[str, object]]
) -> None:
    originals, level_of = study()

    def file_of(index: int) -> bytes:
        return stored(anonymized(originals[index], chosen[1], level_of, UidMap(bytes(key))))

    straight = [file_of(index) for index in range(4)]
    resumed = {index: file_of(index) for index in order}
    assert [resumed[index] for index in range(4)] == straight


# Options of the Basic Profile


def with_options(data_set: Dataset, *options: str, **more: object) -> Dataset:
    return anonymized(data_set, {"DeidentificationOptions": list(options), **more})


def test_the_codes_of_profile_and_options_are_recorded() -> None:
    result = with_options(instance(), "RetainDeviceIdentity", "CleanDescriptors")
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in result.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113105", "DCM"), ("113109", "DCM")]
    assert list(result.DeidentificationMethod) == [
        f"Amonsul {__version__} - PS 3.15-2023b Table E.1-1 Basic Profile",
        "Clean Descriptors Option",
        "Retain Device Identity Option",
    ]
    assert all(len(value) <= 64 for value in result.DeidentificationMethod)
    assert result.LongitudinalTemporalInformationModified == "REMOVED"


def test_codes_are_not_claimed_for_what_does_not_conform() -> None:
    data_set = instance()
    data_set.DeidentificationMethodCodeSequence = ItemSequence([Dataset()])
    result = with_options(data_set, Keep=["StudyDate"])
    assert "DeidentificationMethodCodeSequence" not in result
    assert "113100" in str(with_options(data_set, Replace={"PatientName": "Pseudonym"}))


def test_what_an_iod_may_require_has_a_value() -> None:
    """Type 1 attributes get dummies: the result conforms to any IOD the original conformed to."""
    data_set, item = instance(), Dataset()
    data_set.RTPlanLabel, data_set.SeriesDate, data_set.ContentDate = "Plan", "20240229", "20240229"
    data_set.AcquisitionDateTime = "20240229101112"
    item.PersonName = "Ob^Server"
    item.VerifyingOrganization = "Here"
    item.VerificationDateTime = "20240229101112"
    data_set.VerifyingObserverSequence = ItemSequence([item])
    result = with_options(data_set)
    assert (result.RTPlanLabel, result.SeriesDate, result.ContentDate) == ("ANONYMIZED", "19000101", "19000101")
    assert result.AcquisitionDateTime == "19000101000000"
    observer = result.VerifyingObserverSequence[0]
    assert (observer.get("PersonName"), observer.get("VerificationDateTime")) == ("ANONYMIZED", "19000101000000")
    assert "Here" not in str(result)


def test_what_is_left_of_a_data_set_still_says_something() -> None:
    data_set, reference, region = instance(), Dataset(), Dataset()
    reference.ReferencedSOPInstanceUID = UID("1.2.3.9")
    data_set.ReferencedStudySequence = ItemSequence([reference])
    data_set.add_new(0x60000010, "US", 2)
    data_set.add_new(0x60003000, "OW", b"\1\0")
    data_set.add_new(0x60020010, "US", 2)
    region.GraphicData, region.ReferencedWaveformChannels = [1.0, 2.0, 3.0, 4.0], [1, 2]
    data_set.ContentSequence = ItemSequence([region])
    result = with_options(data_set)
    assert "ReferencedStudySequence" not in result, "it may be missing, and not be empty"
    assert [int(one.tag) for one in result if one.tag >> 24 == 0x60] == [0x60020010], "a plane without data is none"
    assert list(result.ContentSequence[0].GraphicData) == [0.0] * 4
    assert list(result.ContentSequence[0].ReferencedWaveformChannels) == [1, 1]


def report() -> Dataset:
    """A structured report of a name, a finding and a measurement."""
    data_set = instance()
    items = []
    for value_type, keyword, value in (
        ("PNAME", "PersonName", "Ob^Server"),
        ("TEXT", "TextValue", "Müller has a nodule, seen 2024-02-29"),
        ("DATE", "Date", "20240229"),
        ("UIDREF", "UID", UID("1.2.3.1")),
    ):
        item, name = Dataset(), Dataset()
        name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121071", "DCM", "Finding"
        item.ConceptNameCodeSequence = ItemSequence([name])
        item.ValueType, item.RelationshipType = value_type, "CONTAINS"
        setattr(item, keyword, value)
        items.append(item)
    data_set.ContentSequence = ItemSequence(items)
    return data_set


def test_the_content_of_a_report_keeps_its_structure_only() -> None:
    result = with_options(report())
    assert [item.ValueType for item in result.ContentSequence] == ["PNAME", "TEXT", "DATE", "UIDREF"]
    assert [item.ConceptNameCodeSequence[0].CodeValue for item in result.ContentSequence] == ["121071"] * 4
    assert result.ContentSequence[1].TextValue == "ANONYMIZED"
    assert result.StudyInstanceUID == result.ContentSequence[3].UID
    for word in ("Ob^Server", "Müller", "nodule", "2024"):
        assert word not in str(result.ContentSequence)


def test_structured_content_is_cleaned_if_wished() -> None:
    result = with_options(report(), "CleanStructuredContent", "CleanDescriptors")
    assert result.ContentSequence[0].PersonName == "ANONYMIZED"
    assert result.ContentSequence[1].TextValue == "* has a nodule, seen *"
    assert result.StudyInstanceUID == result.ContentSequence[3].UID


def test_without_options_a_report_loses_its_content() -> None:
    assert list(anonymized(report()).ContentSequence) == []


def test_descriptors_are_cleaned() -> None:
    data_set, item = instance(), Dataset()
    data_set.StudyDescription = "Thorax of Jörg Müller, 29.02.2024"
    data_set.OperatorsName = "Oper^Ator"
    item.ScheduledProcedureStepDescription = "asked by Ator"
    item.RequestedProcedureID = "R1"
    data_set.RequestAttributesSequence = ItemSequence([item])
    data_set.ImageComments = "untouched"
    result = with_options(data_set, "CleanDescriptors")
    assert result.StudyDescription == "Thorax of * *, *"
    assert result.ImageComments == "untouched"
    assert result.RequestAttributesSequence[0].ScheduledProcedureStepDescription == "asked by *"
    assert "RequestedProcedureID" not in result.RequestAttributesSequence[0]


def test_dates_are_retained_in_full() -> None:
    data_set = instance()
    data_set.AcquisitionDateTime, data_set.TimezoneOffsetFromUTC = "20240229101112.5+0100", "+0100"
    result = with_options(data_set, "RetainLongitudinalFullDates")
    assert (result.StudyDate, result.StudyTime) == ("20240229", "101112")
    assert (result.AcquisitionDateTime, result.TimezoneOffsetFromUTC) == ("20240229101112.5+0100", "+0100")
    assert result.PatientBirthDate == ""
    assert result.LongitudinalTemporalInformationModified == "UNMODIFIED"


def test_dates_are_moved_together() -> None:
    data_set, item = instance(), Dataset()
    data_set.SeriesDate, data_set.AcquisitionDateTime = "20240301", "20240229101112.5+0100"
    data_set.AcquisitionDate = ["20240229", "20240301"]
    item.ContentDate = "20240302"
    data_set.ReferencedSeriesSequence = ItemSequence([item])
    result = with_options(data_set, "RetainLongitudinalModifiedDates")
    days = days_of(UIDS, "P1")
    assert result.StudyDate == shift_date("20240229", days)
    assert result.SeriesDate == shift_date("20240301", days)
    assert list(result.AcquisitionDate) == [result.StudyDate, result.SeriesDate]
    assert result.AcquisitionDateTime == f"{result.StudyDate}101112.5+0100"
    assert result.ReferencedSeriesSequence[0].ContentDate == shift_date("20240302", days)
    assert result.StudyTime == "101112"
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_no_date_does_not_stay() -> None:
    data_set = fresh(instance())
    data_set.add_new(0x00080021, "DA", "Feb 29")
    body = {"DeidentificationOptions": ["RetainLongitudinalModifiedDates"]}
    deidentify(data_set, parse_anonymization(body), UIDS)
    assert read(stored(data_set)).SeriesDate == ""


def test_a_key_moves_the_dates_of_a_patient_alike_in_every_request() -> None:
    def study_date(key: str | None, uids: UidMap, patient: str = "P1") -> str:
        body: dict[str, object] = {"DeidentificationOptions": ["RetainLongitudinalModifiedDates"]}
        if key is not None:
            body["DateShiftKey"] = key
        return str(anonymized(instance(patient=patient), body, uids=uids).StudyDate)

    other = UidMap(b"another operation" * 2)
    assert study_date("secret", UIDS) == study_date("secret", other)
    assert study_date("secret", UIDS) != study_date("other secret", UIDS)
    assert study_date("secret", UIDS, "P2") != study_date("secret", UIDS)
    assert study_date(None, UIDS) != study_date(None, other)
    assert "secret" not in repr(
        parse_anonymization({"DeidentificationOptions": ["RetainLongitudinalModifiedDates"], "DateShiftKey": "secret"})
    )


def test_device_institution_and_characteristics_are_retained() -> None:
    data_set = instance()
    data_set.InstitutionName, data_set.DeviceSerialNumber = "Hospital", "SN1"
    data_set.StationName, data_set.PatientAge = "ST1", "050Y"
    result = with_options(data_set)
    assert {result.get(name) for name in ("InstitutionName", "DeviceSerialNumber", "StationName")} == {"ANONYMIZED"}
    assert "PatientAge" not in result
    result = with_options(data_set, "RetainDeviceIdentity", "RetainInstitutionIdentity", "RetainPatientCharacteristics")
    assert (result.InstitutionName, result.DeviceSerialNumber, result.StationName) == ("Hospital", "SN1", "ST1")
    assert (result.PatientAge, result.PatientSex) == ("050Y", "F")
    assert result.PatientName == "Anonymized1"


def test_uids_are_retained_with_force() -> None:
    originals, level_of = study()
    body = {"DeidentificationOptions": ["RetainUIDs"], "Force": True}
    assert all_uids(anonymized(originals[0], body, level_of)) == all_uids(originals[0])


def test_safe_private_attributes_are_retained() -> None:
    data_set = instance()
    block = data_set.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x08, "CS", "CANARY")
    data_set.private_block(0x0019, "SOMEBODY", create=True).add_new(0x0C, "IS", "7654321")
    result = with_options(data_set, "RetainSafePrivate")
    private = {element.tag: element.value for element in result if element.tag.is_private}
    assert private == {0x00190010: "SIEMENS MR HEADER", 0x0019100C: 1000}


def test_safe_private_attributes_are_those_of_the_standard() -> None:
    table = json.loads(
        files("amonsul.dicom").joinpath("tables", "confidentiality_safe_private.json").read_text("utf-8")
    )
    rows = [tuple(row) for row in table["attributes"]]
    assert len(rows) == 130
    assert ("00e1", "50", "ELSCINT1", "DS", "Acquisition Duration") in rows  # the last of a block
    assert all(int(group, 16) % 2 == 1 and len(element) == 2 for group, element, *_ in rows)


def test_a_safe_private_uid_follows_the_series_that_it_names() -> None:
    data_set = instance()
    data_set.private_block(0x0099, "NQHeader", create=True).add_new(0x02, "UI", data_set.SeriesInstanceUID)
    result = with_options(data_set, "RetainSafePrivate")
    assert result[0x00991002].value == result.SeriesInstanceUID != data_set.SeriesInstanceUID
    data_set[0x00991002].value = "1.2.3.4"  # of a series that is not in the request
    result = with_options(data_set, "RetainSafePrivate")
    assert result[0x00991002].value == UIDS.uid("1.2.3.4")


def test_private_attributes_that_the_data_set_declares_safe_are_retained() -> None:
    data_set, safe, mixed, unsafe = instance(), Dataset(), Dataset(), Dataset()
    for item, creator, status in ((safe, "A", "SAFE"), (mixed, "B", "MIXED"), (unsafe, "C", "UNSAFE")):
        item.PrivateGroupReference = 0x0009
        item.PrivateCreatorReference = creator
        item.BlockIdentifyingInformationStatus = status
        block = data_set.private_block(0x0009, creator, create=True)
        block.add_new(1, "LO", f"{creator}1")
        block.add_new(2, "LO", f"{creator}2")
    mixed.NonidentifyingPrivateElements = 2
    data_set.PrivateDataElementCharacteristicsSequence = ItemSequence([safe, mixed, unsafe])
    result = with_options(data_set, "RetainSafePrivate")
    private = [element.value for element in result if element.tag.is_private]
    assert private == ["A", "B", "A1", "A2", "B2"]


# ---------------------------------------------------------------------------------------------------- pixels, graphics


def cleaning(data_set: Dataset, **body: object) -> tuple[PixelCleaning | None, Dataset]:
    """What is to become of the pixels, and the data set."""
    body = {"DeidentificationOptions": ["CleanPixelData"], **body}
    original = fresh(data_set)
    wanted = deidentify(original, parse_anonymization(body), UIDS, "Anonymized1")
    return wanted, original


REGION = {"X": 1, "Y": 2, "Width": 3, "Height": 4}


def test_pixels_are_blanked_where_the_request_says() -> None:
    wanted, result = cleaning(instance(), PixelRegions=[REGION])
    assert wanted == PixelCleaning((Region(1, 2, 3, 4),))
    assert result.BurnedInAnnotation == "NO"
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence] == ["113100", "113101"]


def test_pixels_are_blanked_around_the_regions_of_an_ultrasound_image() -> None:
    data_set, region = instance(), Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 1
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 1, 1
    data_set.SequenceOfUltrasoundRegions = ItemSequence([region])
    data_set.BurnedInAnnotation = "YES"
    wanted, _ = cleaning(data_set)
    assert wanted == PixelCleaning((), (Region(0, 1, 2, 1),))
    region.RegionLocationMinY0 = 0  # now it is the whole image, and the text is in it
    data_set.SequenceOfUltrasoundRegions = ItemSequence([region])
    with pytest.raises(BadRequest):
        cleaning(data_set)


@pytest.mark.parametrize(
    ("burned_in", "regions", "is_refused"),
    [
        ("YES", None, True),
        ("YES", [], True),
        ("YES", [{"X": 2, "Y": 0, "Width": 9, "Height": 9}], True),  # beside the image
        ("YES", [{"X": 0, "Y": 0, "Width": 1, "Height": 1}], False),
        (None, None, True),
        (None, [], False),
        ("NO", None, False),
        ("NO", [], False),
    ],
)
def test_cleaning_is_refused_where_nobody_says_where_text_is(
    burned_in: str | None, regions: object, is_refused: bool
) -> None:
    data_set = instance()
    if burned_in is not None:
        data_set.BurnedInAnnotation = burned_in
    body = {} if regions is None else {"PixelRegions": regions}
    if is_refused:
        with pytest.raises(BadRequest):
            cleaning(data_set, **body)
    else:
        assert cleaning(data_set, **body)[1].BurnedInAnnotation == "NO"


def test_what_has_no_pixels_needs_no_cleaning() -> None:
    data_set = instance()
    del data_set.PixelData
    wanted, result = cleaning(data_set)
    assert wanted is None
    assert "BurnedInAnnotation" not in result


def test_faces_are_blanked_where_the_request_says() -> None:
    option = "CleanRecognizableVisualFeatures"
    wanted, result = cleaning(instance(), DeidentificationOptions=[option], PixelRegions=[REGION])
    assert wanted == PixelCleaning((Region(1, 2, 3, 4),))
    assert (result.RecognizableVisualFeatures, "BurnedInAnnotation" in result) == ("NO", False)
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence] == ["113100", "113102"]


WRONG_REGIONS: list[object] = [
    {},
    [1],
    [{}],
    [{**REGION, "X": -1}],
    [{**REGION, "X": True}],
    [{**REGION, "Z": 1}],
    [REGION] * 1001,
]


@pytest.mark.parametrize(
    "body",
    [
        {"DeidentificationOptions": ["CleanRecognizableVisualFeatures"]},
        {"DeidentificationOptions": ["CleanRecognizableVisualFeatures"], "PixelRegions": []},
        {"PixelRegions": [REGION]},
        {"DeidentificationOptions": ["CleanDescriptors"], "PixelRegions": [REGION]},
        *({"DeidentificationOptions": ["CleanPixelData"], "PixelRegions": wrong} for wrong in WRONG_REGIONS),
    ],
)
def test_requests_for_pixels_that_make_no_sense(body: object) -> None:
    with pytest.raises(BadRequest):
        parse_anonymization(body)


def graphics() -> Dataset:
    data_set, annotation, text, graphic = instance(), Dataset(), Dataset(), Dataset()
    text.UnformattedTextValue = "Müller, lesion"
    graphic.GraphicData = [1.0, 2.0]
    annotation.TextObjectSequence = ItemSequence([text])
    annotation.GraphicObjectSequence = ItemSequence([graphic])
    data_set.GraphicAnnotationSequence = ItemSequence([annotation])
    for group, kind in ((0x6000, "R"), (0x6002, "G")):
        data_set.add_new(group << 16 | 0x0022, "LO", "of Müller")
        data_set.add_new(group << 16 | 0x0040, "CS", kind)
        data_set.add_new(group << 16 | 0x3000, "OW", b"\1\2")
        data_set.add_new(group << 16 | 0x4000, "LT", "Müller: see")
    data_set.add_new(0x50000022, "LO", "ECG Müller")
    data_set.add_new(0x50003000, "OW", b"\3\4")
    data_set.add_new(0x5000200C, "OW", b"voice ")
    return data_set


def test_graphics_are_cleaned() -> None:
    result = with_options(graphics(), "CleanGraphics")
    (annotation,) = result.GraphicAnnotationSequence
    assert annotation.TextObjectSequence[0].UnformattedTextValue == "*, lesion"
    assert annotation.GraphicObjectSequence[0].GraphicData == [1.0, 2.0]
    assert (result[0x60000022].value, result[0x60003000].value, result[0x60004000].value) == ("of *", b"\1\2", "*: see")
    assert 0x60023000 not in result  # graphics may be drawn text
    assert (result[0x50000022].value, result[0x50003000].value) == ("ECG *", b"\3\4")
    assert 0x5000200C not in result


def test_graphics_go_unless_they_are_to_be_cleaned() -> None:
    result = with_options(graphics())
    assert [hex(element.tag) for element in result if element.tag.group >> 8 == 0x50] == []
    assert not any(
        element.tag.element in (0x22, 0x3000, 0x4000) for element in result if element.tag.group >> 8 == 0x60
    )
    assert "lesion" not in str(result.GraphicAnnotationSequence)

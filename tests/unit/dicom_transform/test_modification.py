"""Requests to modify, and data sets modified."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID

from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.modification import (
    Edits,
    Modification,
    Output,
    check_in_place,
    check_patient_tags,
    modify,
    parse_bulk_modification,
    parse_modification,
    parse_resources,
)
from amonsul.dicom.uid_map import LevelOf, UidMap, nothing_else
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    BadParameterType,
    BadRequest,
    ParameterOutOfRange,
    UnknownDicomTag,
)

from .builders import EXPLICIT, IMPLICIT, UIDS, all_data_sets, fresh, instance, read, refer_to, stored


def modified(
    data_set: Dataset, body: object, level: Level | None = None, level_of: LevelOf = nothing_else, uids: UidMap = UIDS
) -> Dataset:
    """Modify what was read, write, read again."""
    original = fresh(data_set)
    modify(original, parse_modification(body, level), uids, level_of)
    return read(stored(original))


def members(*data_sets: Dataset) -> LevelOf:
    """For an operation on these."""
    levels = {}
    for data_set in data_sets:
        levels[str(data_set.StudyInstanceUID)] = Level.STUDY
        levels[str(data_set.SeriesInstanceUID)] = Level.SERIES
        levels[str(data_set.SOPInstanceUID)] = Level.INSTANCE
    return levels.get


def identifiers(data_set: Dataset) -> tuple[str, str, str, str]:
    return (
        data_set.PatientID,
        str(data_set.StudyInstanceUID),
        str(data_set.SeriesInstanceUID),
        str(data_set.SOPInstanceUID),
    )


# Requests


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([], BadFileFormat),
        (None, BadFileFormat),
        ("{", BadFileFormat),
        ({"Remove": "PatientName"}, BadRequest),
        ({"Remove": [1]}, BadRequest),
        ({"Keep": "PatientName"}, BadRequest),
        ({"Keep": [None]}, BadRequest),
        ({"Replace": ["PatientName"]}, BadRequest),
        ({"Replace": 1}, BadRequest),
        ({"Replace": {"PatientComments": 12}}, BadParameterType),
        ({"Replace": {"PatientComments": ["a"]}}, BadParameterType),
        ({"Replace": {"Nope": "x"}}, UnknownDicomTag),
        ({"Remove": ["Nope"]}, UnknownDicomTag),
        ({"Remove": ["0009,xxxx"]}, UnknownDicomTag),
        ({"Keep": ["Nope"]}, UnknownDicomTag),
        ({"Force": "yes"}, BadRequest),
        ({"RemovePrivateTags": 1}, BadRequest),
        ({"KeepSource": "no"}, BadRequest),
        ({"KeepLabels": 1}, BadRequest),
        ({"PrivateCreator": 1}, BadFileFormat),
        ({"Transcode": 1}, BadFileFormat),
        ({"Transcode": "nope"}, ParameterOutOfRange),
        ({"LossyQuality": "high"}, BadFileFormat),
        ({"LossyQuality": 0}, ParameterOutOfRange),
        ({"LossyQuality": 101}, ParameterOutOfRange),
        ({"Remove": ["PatientName"] * 20_000}, BadRequest),
    ],
)
def test_a_bad_body_is_refused(body: object, error: type[AmonsulError]) -> None:
    with pytest.raises(error):
        parse_modification(body, None)


@pytest.mark.parametrize("name", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_identifiers_are_touched_with_force_only_and_never_removed(name: str) -> None:
    bodies: list[tuple[str, dict[str, object]]] = [
        ("kept", {"Keep": [name]}),
        ("replaced", {"Replace": {name: "1.2.3"}}),
        ("removed", {"Remove": [name]}),
    ]
    for verb, body in bodies:
        with pytest.raises(BadRequest) as caught:
            parse_modification(body, Level.STUDY)
        assert caught.value.details == (
            f'Marking tag "{name}" as to be {verb} requires the "Force" option to be set to true'
        )
    with pytest.raises(BadRequest) as caught:
        parse_modification({"Remove": [name], "Force": True}, Level.STUDY)
    assert caught.value.details == "It is forbidden to remove one of the main Dicom identifiers"
    for _, body in bodies[:2]:
        parse_modification({**body, "Force": True}, Level.STUDY)


def test_a_uid_is_replaced_by_a_uid() -> None:
    with pytest.raises(BadRequest):
        parse_modification({"Replace": {"StudyInstanceUID": "nope"}, "Force": True}, None)


def test_identifiers_inside_of_sequences_are_free() -> None:
    parse_modification({"Replace": {"AnatomicRegionSequence[0].SOPInstanceUID": "1.2"}, "Remove": []}, None)


def test_unknown_fields_and_those_of_jobs_are_passed_over() -> None:
    body = {"Nope": 1, "Asynchronous": True, "Synchronous": False, "Priority": 3, "Permissive": True, "UserData": {}}
    assert parse_modification(body, Level.SERIES) == Modification(Level.SERIES)


def test_what_concerns_the_results_is_read() -> None:
    body = {"KeepSource": False, "KeepLabels": True, "Transcode": IMPLICIT, "LossyQuality": 90}
    assert parse_modification(body, None).output == Output(IMPLICIT, 90, keep_source=False, keep_labels=True)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("PatientID", Level.PATIENT),
        ("StudyInstanceUID", Level.STUDY),
        ("SeriesInstanceUID", Level.SERIES),
        ("SOPInstanceUID", Level.INSTANCE),
        ("PatientName", Level.INSTANCE),
    ],
)
def test_the_level_of_an_instance_request_follows_from_what_it_replaces(name: str, level: Level) -> None:
    body = {"Replace": {name: "1.2.3"}, "Force": True}
    assert parse_modification(body, None).level is level
    assert parse_bulk_modification(body).level is level
    assert parse_bulk_modification({**body, "Level": "Series"}).level is Level.SERIES


def test_a_bulk_request_names_resources_and_perhaps_a_level() -> None:
    assert parse_resources({"Resources": ["a", "b"]}) == ("a", "b")
    bodies: tuple[object, ...] = ({}, {"Resources": "a"}, {"Resources": [1]}, [], 12, None)
    for body in bodies:
        with pytest.raises(BadFileFormat) as caught:
            parse_resources(body)
        assert caught.value.details == "List of strings expected in field: Resources"
    with pytest.raises(ParameterOutOfRange):
        parse_bulk_modification({"Level": "Nope"})


def test_results_in_the_place_of_their_originals_need_the_originals_and_overwriting() -> None:
    names = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    keep_all = parse_modification({"Keep": names, "Force": True}, Level.STUDY)
    assert keep_all.keeps_all_uids
    assert parse_modification({"Keep": names[1:], "Force": True}, Level.SERIES).keeps_all_uids
    assert not parse_modification({"Keep": names[1:], "Force": True}, Level.STUDY).keeps_all_uids
    assert not parse_modification({}, Level.INSTANCE).keeps_all_uids
    check_in_place(True, Output(), overwrites=True)
    check_in_place(False, Output(keep_source=False), overwrites=False)
    for output, overwrites in ((Output(keep_source=False), True), (Output(), False)):
        with pytest.raises(BadRequest):
            check_in_place(True, output, overwrites)


@pytest.mark.parametrize(
    ("replace", "is_another_patient", "is_fine"),
    [
        ({"StudyDescription": "x"}, False, True),
        ({"PatientName": "A^B"}, False, True),
        ({"PatientName": "Other"}, False, False),
        ({"PatientID": "P2"}, True, False),
        ({"PatientID": "P2", "PatientName": "Other", "PatientSex": "O"}, True, False),
        ({"PatientID": "P2", "PatientName": "A^B", "PatientSex": "O"}, True, True),
    ],
)
def test_the_patient_of_other_studies_is_not_changed_by_a_study(
    replace: Mapping[str, str], is_another_patient: bool, is_fine: bool
) -> None:
    edits = parse_modification({"Replace": replace, "Force": True}, Level.STUDY).edits
    existing = {Tag(0x00100020): "P2", Tag(0x00100010): "A^B", Tag(0x00100040): "O"}
    if is_fine:
        check_patient_tags(edits, existing, is_another_patient)
    else:
        with pytest.raises(BadRequest):
            check_patient_tags(edits, existing, is_another_patient)


# Data sets


def test_replace_remove_and_add() -> None:
    original = instance()
    result = modified(
        original,
        {"Replace": {"PatientSex": "M", "0008,0080": "Somewhere"}, "Remove": ["StudyDescription", "PatientAge"]},
    )
    assert (result.PatientSex, result.InstitutionName) == ("M", "Somewhere")
    assert "StudyDescription" not in result
    changed = {"SOPInstanceUID", "PatientSex", "InstitutionName", "StudyDescription"}
    for element in original:
        if element.keyword not in changed:
            assert result[element.tag].value == element.value


def test_keeping_wins_over_replacing_and_replacing_over_removing() -> None:
    tag = "StudyDescription"
    assert modified(instance(), {"Replace": {tag: "x"}, "Remove": [tag]}).StudyDescription == "x"
    assert modified(instance(), {"Replace": {tag: "x"}, "Keep": [tag]}).StudyDescription == "Thorax"
    assert modified(instance(), {"Remove": [tag], "Keep": [tag]}).StudyDescription == "Thorax"


def with_regions() -> Dataset:
    data_set = instance()
    first, second, inner = Dataset(), Dataset(), Dataset()
    first.CodeValue, first.CodeMeaning = "T-D1100", "Tête"
    inner.CodeMeaning = "Coronal"
    first.AnatomicRegionModifierSequence = ItemSequence([inner, Dataset()])
    second.CodeValue = "T-11120"
    data_set.AnatomicRegionSequence = ItemSequence([first, second])
    return data_set


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_paths_lead_into_sequences(syntax: str) -> None:
    original = fresh(with_regions(), syntax)
    body = {
        "Replace": {
            "AnatomicRegionSequence[0].CodeValue": "NEW",
            "AnatomicRegionSequence[*].CodingSchemeDesignator": "99X",
            "AnatomicRegionSequence[0].AnatomicRegionModifierSequence[*].CodeMeaning": "Ñew",
            "AnatomicRegionSequence[7].CodeValue": "nowhere",
            "ReferencedImageSequence[*].CodeValue": "nowhere",
        },
        "Remove": ["AnatomicRegionSequence[1].CodeValue"],
    }
    modify(original, parse_modification(body, None), UIDS)
    regions = read(stored(original, syntax)).AnatomicRegionSequence
    assert [region.get("CodeValue") for region in regions] == ["NEW", None]
    assert [region.CodingSchemeDesignator for region in regions] == ["99X", "99X"]
    assert [item.CodeMeaning for item in regions[0].AnatomicRegionModifierSequence] == ["Ñew", "Ñew"]
    assert regions[0].CodeMeaning == "Tête"


def test_a_sequence_is_replaced_as_a_whole() -> None:
    result = modified(with_regions(), {"Replace": {"AnatomicRegionSequence": [{"CodeValue": "X"}]}})
    assert [dict(region.to_json_dict()) for region in result.AnatomicRegionSequence] == [
        {"00080100": {"vr": "SH", "Value": ["X"]}}
    ]


def test_private_attributes_go_with_those_in_items() -> None:
    data_set = with_regions()
    for holder in (data_set, data_set.AnatomicRegionSequence[0]):
        block = holder.private_block(0x0009, "SOMEBODY", create=True)
        block.add_new(1, "LO", "theirs")
        block.add_new(2, "LO", "more")
    result = modified(data_set, {"RemovePrivateTags": True})
    assert not any(element.tag.is_private for part in all_data_sets(result) for element in part)
    result = modified(data_set, {"RemovePrivateTags": True, "Keep": ["0009,1001"]})
    assert [element.tag for element in result if element.tag.is_private] == [0x00090010, 0x00091001]
    result = modified(data_set, {"RemovePrivateTags": True, "Keep": ["AnatomicRegionSequence[0].0009,1002"]})
    private = [[element.tag for element in part if element.tag.is_private] for part in all_data_sets(result)]
    assert private == [[], [0x00090010, 0x00091002], *[[]] * (len(private) - 2)]
    result = modified(data_set, {"RemovePrivateTags": True, "Replace": {"0009,1001": "y"}})
    assert [element.value for element in result if element.tag.is_private] == [b"y\0"]


def test_file_meta_information_follows_and_is_not_edited() -> None:
    body = {"Replace": {"TransferSyntaxUID": IMPLICIT, "MediaStorageSOPClassUID": "1.2", "SOPClassUID": "1.2.9"}}
    result = modified(instance(), body)
    assert result.file_meta.TransferSyntaxUID == EXPLICIT
    assert result.file_meta.MediaStorageSOPClassUID == result.SOPClassUID == "1.2.9"
    assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID


LEVELS = pytest.mark.parametrize("level", list(Level))


@LEVELS
def test_identifiers_above_the_level_stay_the_others_become_new(level: Level) -> None:
    before = identifiers(instance())
    after = identifiers(modified(instance(), {}, level))
    for index in range(4):
        is_new = index >= max(level, Level.STUDY)
        assert (after[index] != before[index]) is is_new
        if is_new:
            assert after[index] == UIDS.uid(before[index])


@LEVELS
def test_identifiers_are_kept_and_replaced(level: Level) -> None:
    keep = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    assert identifiers(modified(instance(), {"Keep": keep, "Force": True}, level)) == identifiers(instance())
    replace = dict(zip(keep, ("P2", "9.1", "9.2", "9.3"), strict=True))
    result = modified(instance(), {"Replace": replace, "Force": True}, level)
    assert identifiers(result) == ("P2", "9.1", "9.2", "9.3")


def test_an_instance_that_moves_to_another_patient_gets_all_new_uids() -> None:
    before, after = (
        identifiers(instance()),
        identifiers(modified(instance(), {"Replace": {"PatientID": "X"}, "Force": True})),
    )
    assert after[0] == "X"
    assert not set(before) & set(after)


def study() -> list[Dataset]:
    """Two series of two instances, each referring to the whole study and to a stranger."""
    data_sets = [instance(number, series) for series in (1, 2) for number in (1, 2)]
    for data_set in data_sets:
        refer_to(data_set, *data_sets, instance(study=7))
    return data_sets


def references(data_set: Dataset) -> list[tuple[str, ...]]:
    """UIDs of images, and of study, series and image."""
    found: list[tuple[str, ...]] = [(str(item.ReferencedSOPInstanceUID),) for item in data_set.ReferencedImageSequence]
    found += [
        (
            str(item.StudyInstanceUID),
            str(item.ReferencedSeriesSequence[0].SeriesInstanceUID),
            str(item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID),
        )
        for item in data_set.StudiesContainingOtherReferencedInstancesSequence
    ]
    return found


@LEVELS
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"Keep": ["SOPInstanceUID"], "Force": True},
        {"Keep": ["SeriesInstanceUID"], "Force": True},
        {"Replace": {"StudyInstanceUID": "9.9"}, "Force": True},
    ],
)
def test_references_follow_what_changes_and_nothing_else(level: Level, extra: dict[str, object]) -> None:
    originals = study()
    results = [modified(data_set, extra, level, members(*originals)) for data_set in originals]
    expected: list[tuple[str, ...]] = [(str(result.SOPInstanceUID),) for result in results]
    expected.append(("1.2.3.7.1.1",))
    expected += [identifiers(result)[1:] for result in results]
    expected.append(("1.2.3.7", "1.2.3.7.1", "1.2.3.7.1.1"))
    for result in results:
        assert references(result) == expected


def test_when_one_series_moves_only_references_to_it_name_the_new_study() -> None:
    originals = study()
    moving = originals[:2]
    body = {"Replace": {"StudyInstanceUID": "9.9"}, "Force": True}
    result = modified(moving[0], body, Level.SERIES, lambda uid: None if uid == "1.2.3.1" else members(*moving)(uid))
    assert [reference[0] for reference in references(result)[5:]] == ["9.9", "9.9", "1.2.3.1", "1.2.3.1", "1.2.3.7"]


def test_a_reference_to_itself_follows_without_knowing_the_others() -> None:
    originals = study()
    result = modified(originals[0], {}, Level.SERIES)
    assert references(result)[0] == (str(result.SOPInstanceUID),)
    assert references(result)[1] == (str(originals[1].SOPInstanceUID),)


@given(st.permutations(range(4)), st.binary(min_size=32, max_size=32))
@settings(max_examples=10, deadline=None)
def test_order_and_interruptions_do_not_matter(order: list[int], key: bytes) -> None:
    """Another worker, with the key alone, makes the same files."""
    originals = study()
    straight = [stored(modified(data_set, {}, Level.STUDY, members(*originals), UidMap(key))) for data_set in originals]
    resumed = {
        index: stored(modified(originals[index], {}, Level.STUDY, members(*originals), UidMap(bytes(key))))
        for index in order
    }
    assert [resumed[index] for index in range(4)] == straight


def test_what_is_wrong_in_other_attributes_survives() -> None:
    data_set = instance()
    data_set.SliceThickness = "1.5"
    broken = stored(data_set).replace(b"1.5 ", b"1,5 ").replace(b"20240229", b"2024FEB9")
    original = read(broken)
    modify(original, parse_modification({"Replace": {"PatientSex": "M"}}, None), UIDS)
    assert b"1,5 " in stored(original)
    assert b"2024FEB9" in stored(original)


@pytest.mark.parametrize("value", [b"garbage, no sequence", b"\xfe\xff\x00\xe0\xff\xff\xff\x7f", b"\0" * 9])
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("vr", [b"SQ", b"UN"])
def test_a_sequence_that_cannot_be_read_is_a_bad_file_or_left_alone(vr: bytes, value: bytes) -> None:
    data_set = instance()
    data_set.add_new(0x00091001, "UN", value)
    broken = stored(data_set).replace(b"\x09\x00\x01\x10UN", b"\x08\x00\x18\x22" + vr)
    original = read(broken)
    try:
        modify(original, parse_modification({}, Level.STUDY), UIDS)
    except BadFileFormat:
        return
    assert stored(original)


def test_endless_nesting_is_refused() -> None:
    data_set = instance()
    inner = data_set
    for _ in range(80):
        item = Dataset()
        inner.AnatomicRegionSequence = ItemSequence([item])
        inner = item
    with pytest.raises(BadFileFormat):
        modify(data_set, parse_modification({}, Level.STUDY), UIDS)


def test_edits_know_what_they_touch() -> None:
    edits = parse_modification({"Replace": {"PatientName": "x", "StudyDate": ""}, "Keep": ["StudyDate"]}, None).edits
    assert edits.replaces(0x00100010)
    assert not edits.replaces(0x00080020)
    assert edits.keeps(0x00080020)
    assert Edits().replaced_uids() == {}
    assert STANDARD.tag("PatientName") == 0x00100010
    assert UID("1.2").is_valid

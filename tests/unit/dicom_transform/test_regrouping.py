"""Splitting and merging studies."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence

from amonsul.dicom.levels import Level
from amonsul.dicom.modification import modify
from amonsul.dicom.regrouping import merge_into, parse_merge, parse_split, split_study_uid
from amonsul.dicom.uid_map import UidMap
from amonsul.errors import AmonsulError, BadFileFormat, BadRequest, ParameterOutOfRange, UnknownDicomTag

from .builders import KEY, UIDS, fresh, instance, read, stored


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, BadRequest),
        (None, BadRequest),
        ({"Series": [], "Instances": []}, BadRequest),
        (12, BadFileFormat),
        ({"Series": "x"}, BadFileFormat),
        ({"Instances": [1]}, BadFileFormat),
        ({"Series": ["x"], "Replace": {"SeriesDescription": "x"}}, ParameterOutOfRange),
        ({"Series": ["x"], "Replace": {"StudyInstanceUID": "1.2.3"}}, ParameterOutOfRange),
        ({"Series": ["x"], "Remove": ["Modality"]}, ParameterOutOfRange),
        ({"Series": ["x"], "Remove": ["PatientID"]}, BadRequest),
        ({"Series": ["x"], "Remove": ["Nope"]}, UnknownDicomTag),
        ({"Series": ["x"], "KeepSource": 1}, BadRequest),
    ],
)
def test_a_bad_request_to_split_is_refused(body: object, error: type[AmonsulError]) -> None:
    with pytest.raises(error):
        parse_split(body)


def test_the_refused_attribute_is_named() -> None:
    with pytest.raises(ParameterOutOfRange, match=r"SeriesDescription \(0008,103e\)"):
        parse_split({"Series": ["x"], "Replace": {"SeriesDescription": "x"}})


def test_series_are_split_off_together() -> None:
    split = parse_split(
        {"Series": ["x"], "Replace": {"PatientID": "SPLIT", "StudyDescription": "Split"}, "Remove": ["PatientSex"]}
    )
    assert (split.series, split.instances, split.output.keep_source) == (("x",), (), False)
    target = split_study_uid(UIDS, "1.2.3.1")
    assert target == split_study_uid(UidMap(KEY), "1.2.3.1") != UIDS.uid("1.2.3.1")
    results = [fresh(instance(number, series)) for series, number in ((1, 1), (1, 2), (2, 1))]
    for data_set in results:
        modify(data_set, split.modification(target), UIDS)
    results = [read(stored(data_set)) for data_set in results]
    assert {data_set.StudyInstanceUID for data_set in results} == {target}
    assert [data_set.SeriesInstanceUID for data_set in results] == [
        UIDS.uid("1.2.3.1.1"),
        UIDS.uid("1.2.3.1.1"),
        UIDS.uid("1.2.3.1.2"),
    ]
    assert len({data_set.SOPInstanceUID for data_set in results}) == 3
    for data_set in results:
        assert (data_set.PatientID, data_set.StudyDescription) == ("SPLIT", "Split")
        assert "PatientSex" not in data_set


@pytest.mark.parametrize("body", [{}, 12, None, {"Resources": "x"}, {"Resources": [1]}])
def test_a_request_to_merge_lists_resources(body: object) -> None:
    with pytest.raises(BadFileFormat, match="List of strings expected in field: Resources"):
        parse_merge(body)
    assert parse_merge({"Resources": []}).resources == ()
    merge = parse_merge({"Resources": ["a"], "KeepSource": True})
    assert (merge.resources, merge.output.keep_source) == (("a",), True)


def test_a_merged_instance_is_one_of_the_target_study() -> None:
    source, target = instance(study=1), instance(study=2, patient="P2")
    source.OtherPatientNames = "Alias"
    target.PatientName = "Петров^Иван"
    target.SpecificCharacterSet = "ISO_IR 144"
    code = Dataset()
    code.CodeMeaning = "Грудь"
    target.ProcedureCodeSequence = ItemSequence([code])
    source.SeriesDescription = "Tête"
    result, target = fresh(source), fresh(target)
    before = stored(target)
    merge_into(result, target, parse_merge({"Resources": ["a"]}), UIDS)
    result = read(stored(result))
    assert result.StudyInstanceUID == target.StudyInstanceUID
    assert result.SeriesInstanceUID == UIDS.uid("1.2.3.1.1")
    assert result.SOPInstanceUID == UIDS.uid("1.2.3.1.1.1")
    assert (result.PatientID, result.PatientName) == ("P2", "Петров^Иван")
    assert result.ProcedureCodeSequence[0].CodeMeaning == "Грудь"
    assert result.SeriesDescription == "Tête"
    assert "OtherPatientNames" not in result
    assert stored(target) == before


def test_merging_needs_a_target_with_a_uid() -> None:
    target = instance()
    del target.StudyInstanceUID
    with pytest.raises(BadFileFormat):
        merge_into(fresh(instance()), target, parse_merge({"Resources": []}), UIDS)


def test_levels_are_those_of_series() -> None:
    assert parse_split({"Instances": ["i"]}).modification("1.2").level is Level.SERIES

"""Modalities in both JSON forms: what is read, what is shown, what is refused."""

from __future__ import annotations

import pytest

from amonsul.archive.modalities import Modality, check_name, find_by_ae_title, parse_modalities, parse_modality
from amonsul.errors import AmonsulError, BadFileFormat, ParameterOutOfRange

SHOWN = {
    "AET": "AETA",
    "AllowEcho": True,
    "AllowEventReport": True,
    "AllowFind": True,
    "AllowFindWorklist": True,
    "AllowGet": True,
    "AllowMove": True,
    "AllowNAction": True,
    "AllowStore": True,
    "AllowTranscoding": True,
    "Host": "127.0.0.1",
    "LocalAet": "",
    "Manufacturer": "Generic",
    "Port": 2000,
    "RetrieveMethod": "SystemDefault",
    "Timeout": 0,
    "UseDicomTls": False,
}


@pytest.mark.parametrize(
    "value",
    [
        ["AETA", "127.0.0.1", 2000],
        ["AETA", "127.0.0.1", "2000"],
        ["AETA", "127.0.0.1", 2000, "Generic"],
        ["AETA", "127.0.0.1", 2000, "ClearCanvas"],
        {"AET": "AETA", "Host": "127.0.0.1", "Port": 2000},
        {"AET": "AETA", "Host": "127.0.0.1", "Port": "2000", "Unknown": [1]},
        {"AET": "AETA ", "Host": "127.0.0.1", "Port": 2000, "Manufacturer": "Dcm4Chee"},
    ],
)
def test_short_and_long_forms_are_shown_alike(value: object) -> None:
    assert parse_modality(value).to_json() == SHOWN


def test_every_field_is_kept() -> None:
    written = {
        "AET": "AETD",
        "Host": "10.0.0.1",
        "Port": 104,
        "Manufacturer": "Vitrea",
        "AllowEcho": False,
        "AllowFind": False,
        "AllowFindWorklist": False,
        "AllowGet": False,
        "AllowMove": False,
        "AllowStore": False,
        "AllowNAction": False,
        "AllowEventReport": False,
        "AllowTranscoding": False,
        "UseDicomTls": True,
        "LocalAet": "HELLO",
        "Timeout": 7,
        "RetrieveMethod": "C-GET",
    }
    modality = parse_modality(written)
    assert modality.to_json() == written
    assert parse_modality(modality.to_json()) == modality


@pytest.mark.parametrize(
    ("members", "n_action", "event_report"),
    [
        ({"AllowStorageCommitment": False}, False, False),
        ({"AllowStorageCommitment": False, "AllowNAction": True}, False, False),
        ({"AllowNAction": False}, False, True),
        ({"AllowEventReport": False}, True, False),
        ({"AllowNEventReport": False}, True, False),
        ({}, True, True),
    ],
)
def test_storage_commitment_stands_for_two_rights(members: dict[str, bool], n_action: bool, event_report: bool) -> None:
    modality = parse_modality({"AET": "A", "Host": "h", "Port": 1, **members})
    assert (modality.allow_n_action, modality.allow_event_report) == (n_action, event_report)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("GE", "GE"),
        ("SiemensSyngoCT", "SiemensSyngoCT"),
        ("GenericNoUniversalWildcard", "GenericNoUniversalWildcard"),
        ("AgfaImpax", "GenericNoWildcardInDates"),
        ("SyngoVia", "GenericNoWildcardInDates"),
        ("MedInria", "Generic"),
        ("EFilm2", "Generic"),
    ],
)
def test_obsolete_manufacturers_are_what_replaced_them(written: str, shown: str) -> None:
    assert parse_modality(["A", "h", 104, written]).manufacturer == shown


def long_form(**members: object) -> dict[str, object]:
    return {"AET": "A", "Host": "h", "Port": 104} | members


REFUSED: list[tuple[object, type[AmonsulError], str]] = [
    (["A", "h"], BadFileFormat, ""),
    (["A", "h", 1, "GE", 2], BadFileFormat, ""),
    ([], BadFileFormat, ""),
    ("x", BadFileFormat, ""),
    (None, BadFileFormat, ""),
    (["A", 5, 104], BadFileFormat, ""),
    (["A", "h", 1.5], BadFileFormat, ""),
    (["A", "h", True], BadFileFormat, ""),
    (["A", "h", "x"], BadFileFormat, ""),
    (["A", "h", None], BadFileFormat, ""),
    (["A", "h", 104, 5], BadFileFormat, ""),
    ({"Host": "h", "Port": 104}, BadFileFormat, "String value expected in field: AET"),
    ({"AET": "A", "Port": 104}, BadFileFormat, "String value expected in field: Host"),
    ({"AET": "A", "Host": "h"}, BadFileFormat, ""),
    (long_form(AllowEcho="maybe"), BadFileFormat, "Boolean value expected in field: AllowEcho"),
    (long_form(AllowEcho=1), BadFileFormat, "Boolean value expected in field: AllowEcho"),
    (long_form(Timeout="5"), BadFileFormat, "Integer value expected in field: Timeout"),
    (long_form(Timeout=-5), BadFileFormat, "Unsigned integer value expected in field: Timeout"),
    (long_form(LocalAet=5), BadFileFormat, "String value expected in field: LocalAet"),
    (long_form(Manufacturer=5), BadFileFormat, "String value expected in field: Manufacturer"),
    (["A", "h", 0], ParameterOutOfRange, "A TCP port number must be in range [1..65534], but found: 0"),
    (["A", "h", -1], ParameterOutOfRange, "A TCP port number must be in range [1..65534], but found: -1"),
    (["A", "h", 70000], ParameterOutOfRange, "A TCP port number must be in range [1..65534], but found: 70000"),
    (["A", "h", 104, "Nope"], ParameterOutOfRange, 'Unknown modality manufacturer: "Nope"'),
    (["A", "h", 104, "generic"], ParameterOutOfRange, 'Unknown modality manufacturer: "generic"'),
    (["A", "h", 104, "StoreScp"], ParameterOutOfRange, 'Unknown modality manufacturer: "StoreScp"'),
    (
        long_form(RetrieveMethod="X"),
        ParameterOutOfRange,
        'RetrieveMethod can be "C-MOVE", "C-GET" or "SystemDefault": X',
    ),
    *(
        (
            [ae_title, "h", 104],
            ParameterOutOfRange,
            f"An AE title has 1 to 16 characters of ASCII (PS3.5 §6.2), but found: {ae_title}",
        )
        for ae_title in ("", "A" * 17, "A\\B", "Ä", "A\n")
    ),
]


@pytest.mark.parametrize(("value", "error", "details"), REFUSED)
def test_what_is_no_modality_is_refused(value: object, error: type[AmonsulError], details: str) -> None:
    with pytest.raises(error) as caught:
        parse_modality(value)
    assert type(caught.value) is error
    assert caught.value.details == details


@pytest.mark.parametrize("name", ["a", "A-b_9"])
def test_names_have_letters_digits_dashes_and_underscores(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "x y", "ä", "a/b", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadFileFormat, match="alphanumeric"):
        check_name(name)


def test_the_option_is_an_object_of_modalities() -> None:
    assert parse_modalities({"a": ["A", "h", 1]}) == {"a": Modality("A", "h", 1)}


@pytest.mark.parametrize(
    ("value", "error", "part"),
    [
        ([], BadFileFormat, "object"),
        ({"a": ["A", "h"]}, BadFileFormat, "modality a"),
        ({"a b": ["A", "h", 1]}, BadFileFormat, "a b"),
        ({"a": ["A", "h", 0]}, ParameterOutOfRange, "modality a"),
    ],
)
def test_a_wrong_option_says_which_modality_is_wrong(value: object, error: type[AmonsulError], part: str) -> None:
    with pytest.raises(error, match=part):
        parse_modalities(value)


def test_ae_titles_are_compared_strictly_or_not() -> None:
    modalities = {"a": Modality("Scanner", "h", 1), "b": Modality("SCANNER", "i", 1)}
    assert find_by_ae_title(modalities, "SCANNER", strict=True) == [modalities["b"]]
    assert find_by_ae_title(modalities, "scanner", strict=True) == []
    assert find_by_ae_title(modalities, "scanner", strict=False) == [modalities["a"], modalities["b"]]

"""The DICOM JSON Model (PS3.18 §F.2)."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from amonsul.dicom.dicom_json import Models, Path, to_json
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag
from tests.unit.dicom.building import sq


def place(path: Path, bulk: Bulk) -> str | None:
    return f"bulk/{'/'.join(map(str, path))}@{bulk.offset}"


def test_a_data_set_is_written_by_vr() -> None:
    data_set: DataSet = {
        Tag(0x00080000): Element("UL", [378]),
        Tag(0x00080008): Element("CS", "DERIVED\\\\OTHER "),
        Tag(0x00080050): Element("SH", ""),
        Tag(0x00082112): sq(),
        Tag(0x00082218): sq({Tag(0x00080104): Element("LO", "Tête"), Tag(0x00091002): Element("OB", Bulk(9, 16))}, {}),
        Tag(0x00100010): Element("PN", "Yamada^Tarou=山田^太郎=やまだ^たろう\\Second^Name\\"),
        Tag(0x00180050): Element("DS", " 2.50\\1e-1"),
        Tag(0x00200013): Element("IS", "+5\\ 7 \\x"),
        Tag(0x00280009): Element("AT", "0018,1063\\fffe,e00d"),
        Tag(0x00280010): Element("US", [512]),
        Tag(0x00720074): Element("FD", [1000.25, -0.1, math.nan]),
        Tag(0x0040A160): Element("UT", "with\\backslash"),
        Tag(0x00660016): Element("OF", [1.0, 2.5]),
        Tag(0x00660125): Element("OD", []),
        Tag(0x00660129): Element("OL", Bulk(5, 0)),
        Tag(0x7FE00010): Element("OW", Bulk(2000, 524288)),
    }
    model = to_json(data_set, place)
    json.dumps(model, allow_nan=False)
    assert model == {
        "00080008": {"vr": "CS", "Value": ["DERIVED", None, "OTHER"]},
        "00080050": {"vr": "SH"},
        "00082112": {"vr": "SQ"},
        "00082218": {
            "vr": "SQ",
            "Value": [
                {
                    "00080104": {"vr": "LO", "Value": ["Tête"]},
                    "00091002": {"vr": "OB", "BulkDataURI": "bulk/00082218/0/00091002@9"},
                },
                {},
            ],
        },
        "00100010": {
            "vr": "PN",
            "Value": [
                {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
                {"Alphabetic": "Second^Name"},
                None,
            ],
        },
        "00180050": {"vr": "DS", "Value": ["2.50", "1e-1"]},
        "00200013": {"vr": "IS", "Value": [5, 7, "x"]},
        "00280009": {"vr": "AT", "Value": ["00181063", "FFFEE00D"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00720074": {"vr": "FD", "Value": [1000.25, -0.1, None]},
        "0040A160": {"vr": "UT", "Value": ["with\\backslash"]},
        "00660016": {"vr": "OF", "InlineBinary": "AACAPwAAIEA="},
        "00660125": {"vr": "OD"},
        "00660129": {"vr": "OL"},
        "7FE00010": {"vr": "OW", "BulkDataURI": "bulk/7FE00010@2000"},
    }


def test_values_may_have_no_place() -> None:
    data_set: DataSet = {Tag(0x00660016): Element("OF", [1.0]), Tag(0x7FE00010): Element("OW", Bulk(2000, 524288))}
    assert to_json(data_set, lambda _path, _bulk: None, lambda _path: "here") == {
        "00660016": {"vr": "OF", "BulkDataURI": "here"},
        "7FE00010": {"vr": "OW"},
    }


_ELEMENTS = st.one_of(
    st.builds(Element, st.sampled_from(["LO", "PN", "IS", "DS"]), st.sampled_from(["", "1", "2", "a\\b"])),
    st.builds(Element, st.just("US"), st.lists(st.integers(0, 3), max_size=2)),
    st.builds(Element, st.just("OD"), st.lists(st.floats(0, 1), max_size=2)),
    st.builds(Element, st.just("OB"), st.builds(Bulk, st.integers(0, 3), st.integers(0, 1))),
)
_TAGS = st.sampled_from([Tag(0x00080000), Tag(0x00080020), Tag(0x00100010), Tag(0x00282000)])
_DATA_SETS = st.dictionaries(
    _TAGS,
    st.recursive(_ELEMENTS, lambda below: st.dictionaries(_TAGS, below, max_size=2).map(sq), max_leaves=4),
)


@given(_DATA_SETS, st.lists(st.dictionaries(_TAGS, _ELEMENTS, max_size=2), max_size=6))
def test_models_are_those_of_each_data_set_alone(data_set: DataSet, changes: list[DataSet]) -> None:
    models = Models()
    for number, change in enumerate(changes):
        data_set = {**data_set, **change}

        def uri(path: Path, _bulk: Bulk | None = None, number: int = number) -> str:
            return f"{number}/{path}"

        assert models.of(data_set, uri, uri) == to_json(data_set, uri, uri)
        assert models.of(data_set, uri) == to_json(data_set, uri)


def test_what_similar_data_sets_share_is_written_once() -> None:
    models, modality = Models(), Element("CS", "CT")
    first, second = (
        models.of({Tag(0x00080060): modality, Tag(0x00200013): Element("IS", str(number))}, place) for number in (1, 2)
    )
    assert first["00080060"] is second["00080060"]
    assert second["00200013"] == {"vr": "IS", "Value": [2]}

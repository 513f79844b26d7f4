"""The DICOM JSON Model becomes bytes, and XML, and comes back.

`AMONSUL_TEST_EXAMPLES=20000 pytest tests/unit/dicom/test_model_encoding.py` is the full run (FZ-9).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amonsul.dicom import dicom_json, dicom_xml, dicom_xml_reader
from amonsul.dicom.model_encoding import Elsewhere, encode_model
from amonsul.dicom.part10 import file_head
from amonsul.dicom.scanner import scan
from amonsul.errors import BadFileFormat

Model = Mapping[str, object]

_EXAMPLES = int(os.environ.get("AMONSUL_TEST_EXAMPLES", "150"))


def nothing_elsewhere(tag: str, uri: str) -> Elsewhere:
    raise BadFileFormat(f"{tag}: {uri}")


def back(model: Model) -> dict[str, object]:
    """The model of the file that is made of a model."""
    head = file_head("1.2.840.10008.5.1.4.1.1.7", "1.2.3", "1.2.840.10008.1.2.1")
    data = head + b"".join(bytes(piece) for piece in encode_model(model, nothing_elsewhere))
    return dicom_json.to_json(scan(data).data_set, lambda _path, _bulk: None)


_TEXT = st.text(alphabet="abZ09 äß山^.", min_size=1, max_size=12).map(lambda text: text.strip(" ") or "x")
_ASCII = st.text(alphabet="ABZ09_", min_size=1, max_size=12)
_NAMES = st.dictionaries(  # a name that ends in an empty component is the same without it
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), _TEXT.map(lambda text: f"{text}x"), min_size=1
)
_LINES = st.text(alphabet="ab\\ \r\nä", min_size=1).filter(lambda text: text.strip()).map(str.strip)


def attribute(vr: str, values: st.SearchStrategy[object], most: int = 3) -> st.SearchStrategy[object]:
    return st.lists(values, min_size=1, max_size=most).map(lambda found: {"vr": vr, "Value": found})


_SIMPLE = {
    "00100020": attribute("LO", _TEXT),
    "00080060": attribute("CS", _ASCII, 1),
    "00104000": attribute("LT", _LINES, 1),
    "00080081": attribute("ST", _LINES, 1),
    "00080119": attribute("UC", _TEXT),
    "00080120": attribute("UR", _ASCII, 1),
    "00081190": attribute("UR", st.just("http://host/a\\b"), 1),
    "0040A160": attribute("UT", _LINES, 1),
    "00080016": attribute("UI", st.from_regex(r"[1-9][0-9]{0,5}(\.[1-9][0-9]{0,5}){1,5}", fullmatch=True), 1),
    "00080020": attribute("DA", st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8))),
    "00080030": attribute("TM", st.times().map(lambda time: f"{time:%H%M%S.%f}")),
    "0008002A": attribute("DT", st.datetimes().map(lambda time: f"{time:%Y%m%d%H%M%S.%f}".zfill(21))),
    "00080054": attribute("AE", _ASCII),
    "00101010": attribute("AS", st.integers(0, 999).map(lambda age: f"{age:03}Y"), 1),
    "00101020": attribute("DS", st.decimals(-99999, 99999, places=3).map(str)),
    "00080301": attribute("US", st.integers(0, 65535)),
    "00189219": attribute("SS", st.integers(-32768, 32767)),
    "00280009": attribute("AT", st.integers(0, 2**32 - 1).map(lambda tag: f"{tag:08X}")),
    "00720078": attribute("UL", st.integers(0, 2**32 - 1)),
    "00720082": attribute("SV", st.integers(-(2**63), 2**63 - 1)),
    "00720083": attribute("UV", st.integers(0, 2**64 - 1)),
    "00720076": attribute("FL", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "00090010": st.just({"vr": "LO", "Value": ["MAKER"]}),
    "00091001": attribute("LO", _TEXT),
    "00200013": attribute("IS", st.integers(-(2**31), 2**31 - 1), 1),
    "00280010": attribute("US", st.integers(0, 65535), 1),
    "00186020": attribute("SL", st.integers(-(2**31), 2**31 - 1)),
    "00189087": attribute("FD", st.floats(allow_nan=False, allow_infinity=False)),
    "00100010": attribute("PN", _NAMES),
    "00080050": st.just({"vr": "SH"}),
}
_WITH_LINES = ("00104000", "00080081", "0040A160")
_ITEMS = st.fixed_dictionaries({}, optional={tag: kind for tag, kind in _SIMPLE.items() if tag not in _WITH_LINES})
_MODELS = st.fixed_dictionaries({}, optional={**_SIMPLE, "00081140": attribute("SQ", st.one_of(_ITEMS, st.just({})))})


@given(_MODELS)
@settings(max_examples=_EXAMPLES, deadline=None)
def test_what_is_written_is_read_again(model: dict[str, object]) -> None:
    found = back(model)
    found.pop("00080005", None)
    assert found == model


@given(_MODELS)
@settings(max_examples=_EXAMPLES, deadline=None)
def test_a_model_survives_xml(model: dict[str, object]) -> None:
    # XML parsers turn every line end into a line feed.
    model = {tag: one for tag, one in model.items() if tag not in _WITH_LINES}
    assert dicom_xml_reader.to_json(dicom_xml.from_json(model)) == model


def test_text_beyond_ascii_is_declared() -> None:
    assert "00080005" not in back({"00100020": {"vr": "LO", "Value": ["a"]}})
    latin: Model = {"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}, "00100020": {"vr": "LO", "Value": ["ä"]}}
    assert back(latin)["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


def test_values_elsewhere_go_out_in_pieces() -> None:
    asked = []

    def resolve(tag: str, uri: str) -> Elsewhere:
        asked.append((tag, uri))
        return Elsewhere(3, lambda: [b"ab", b"c"])

    pieces = list(encode_model({"7FE00010": {"vr": "OB", "BulkDataURI": "x"}}, resolve))
    assert asked == [("7FE00010", "x")]
    assert b"".join(bytes(piece) for piece in pieces) == b"\xe0\x7f\x10\x00OB\0\0\4\0\0\0abc\0"


@pytest.mark.parametrize(
    "attribute_",
    [
        {"vr": "ZZ"},
        {},
        {"vr": "US", "Value": [70000]},
        {"vr": "US", "Value": ["x"]},
        {"vr": "US", "Value": [True]},
        {"vr": "US", "Value": 1},
        {"vr": "LO", "Value": ["a\\b"]},
        {"vr": "LO", "Value": ["a\0"]},
        {"vr": "LO", "Value": [{}]},
        {"vr": "UI", "Value": ["1.٠"]},
        {"vr": "CS", "Value": ["Ä"]},
        {"vr": "LO", "Value": ["x" * 70000]},
        {"vr": "DS", "Value": [math.inf]},
        {"vr": "PN", "Value": [{"Alphabetic": "a=b"}]},
        {"vr": "PN", "Value": [{"Other": "a"}]},
        {"vr": "AT", "Value": ["0010"]},
        {"vr": "OB", "Value": [1]},
        {"vr": "OB", "InlineBinary": "***"},
        {"vr": "OB", "InlineBinary": 1},
        {"vr": "OB", "BulkDataURI": "nowhere"},
        {"vr": "SQ", "Value": [1]},
        {"vr": "UT", "Value": ["a", "b"]},
    ],
)
def test_what_is_no_attribute_is_refused(attribute_: Model) -> None:
    with pytest.raises(BadFileFormat):
        list(encode_model({"00091001": attribute_}, nothing_elsewhere))


@pytest.mark.parametrize("name", ["0010001", "PatientID", "0010001G"])
def test_what_is_no_tag_is_refused(name: str) -> None:
    with pytest.raises(BadFileFormat):
        list(encode_model({name: {"vr": "LO"}}, nothing_elsewhere))


@given(st.binary(max_size=200) | st.text(alphabet="<>/ \"'=DicomAttribute&;![]", max_size=120).map(str.encode))
@settings(max_examples=_EXAMPLES, deadline=None)
def test_any_bytes_are_read_as_xml_or_refused(data: bytes) -> None:
    try:
        dicom_xml_reader.to_json(b"<NativeDicomModel>" + data + b"</NativeDicomModel>")
    except BadFileFormat:
        pass

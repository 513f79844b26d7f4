"""No request to DICOMweb is a failure of the server, and its JSON is the model of the Standard.

`AMONSUL_TEST_EXAMPLES=5000 pytest tests/integration/dicomweb/test_any_request.py` is the full run (FZ-7).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from amonsul.dicom import vrs
from amonsul.web.dicomweb.routes import dicom_web_routes
from amonsul.web.dicomweb.settings import DicomWebSettings

_SLOW_AND_SHARED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
_EXAMPLES = int(os.environ.get("AMONSUL_TEST_EXAMPLES", "150"))
_FILES = ("CT_small.dcm", "SC_rgb_rle_2frame.dcm", "rtplan.dcm", "JPEG2000.dcm", "reportsi.dcm")

_ROUTES = [
    route
    for route in dicom_web_routes(DicomWebSettings())
    if route.method == "GET" and "/servers" not in route.template and "{id}" not in route.template
]
_VRS = vrs.TEXT | set(vrs.NUMBERS) | {"SQ", "UN", "OB", "OW", "OL", "OV", "OF", "OD", "AT"}
_TEXT = st.text(alphabet='0123456789,.-=^*?\\aeinlAPüß/%;" ', max_size=16)
_UIDS = st.sampled_from(("1.2", "", "x", "*", "1.2.3.4.5.6.7.8.9" * 5)) | _TEXT
_PATHS = st.lists(st.sampled_from(("7fe00010", "00100010", "PatientName", "300a00b0", "1", "0", "-1", "x")), max_size=4)
_MEDIA_TYPES = (
    *("*/*", "multipart/*", "image/*", "text/html", "application/dicom", "application/zip", "application/octet-stream"),
    *("application/dicom+json", "application/json", "application/dicom+xml", "image/jpeg", "image/png", "image/gif"),
    *("application/pdf", "video/mp4", "multipart/related", 'multipart/related; type="application/dicom"'),
    *('multipart/related; type="application/dicom+xml"', "multipart/related; type=application/octet-stream"),
    *("multipart/related; type=image/jpeg", 'multipart/related; type="image/jls"', "multipart/related; type=image/*"),
)
_ENDS = ("", ";q=0.3", ";q=x", ";transfer-syntax=*", ";transfer-syntax=1.2.840.10008.1.2.4.80", ";transfer-syntax=1.2")
_ACCEPTS = st.lists(
    st.tuples(st.sampled_from(_MEDIA_TYPES), st.sampled_from(_ENDS)).map("".join) | _TEXT, max_size=3
).map(", ".join)
_KEYS = (
    *("PatientName", "StudyDate", "StudyTime", "00100010", "Modality", "ModalitiesInStudy", "InstanceNumber", "x"),
    *("RequestAttributesSequence.Modality", "NumberOfStudyRelatedSeries", "StudyInstanceUID", "charset", "accept"),
    *("annotation", "iccprofile", "requestType", "objectUID"),
)
_VALUES = _TEXT | st.sampled_from(("all", "true", "20240101-", "KVP", "1,2,linear", "64,64", "1.2.3,1.2.4", "WADO"))


@st.composite
def _requests(draw: st.DrawFn) -> tuple[int, str, Mapping[str, str], list[tuple[str, str]], dict[str, str]]:
    """A file that is stored, a route, what replaces its parameters, a query and headers."""
    route = draw(st.sampled_from(_ROUTES))
    params = {name: draw(_UIDS) for name in ("study", "series", "instance") if draw(st.integers(0, 9)) == 0}
    params["frames"] = draw(st.sampled_from(("1", "2", "1,2", "9", "0", "")) | _TEXT)
    params["path"] = "/".join(draw(_PATHS))
    names = st.sampled_from((*_KEYS, *(one.name for one in route.parameters if one.place == "query")))
    query = draw(st.lists(st.tuples(names, _VALUES), max_size=5))
    headers = {}
    if draw(st.booleans()):
        headers["accept"] = draw(_ACCEPTS)
    if draw(st.integers(0, 3)) == 0:
        headers["range"] = f"bytes={draw(_TEXT)}"
    return draw(st.integers(0, len(_FILES) - 1)), route.template, params, query, headers


@pytest.fixture
def stored(client: httpx.Client) -> list[dict[str, str]]:
    """UIDs of what is stored."""
    found = []
    for name in _FILES:
        path = get_testdata_file(name)
        assert isinstance(path, str)
        with open(path, "rb") as file:
            assert client.post("/instances", content=file.read()).status_code == 200
        data_set = dcmread(path, stop_before_pixels=True)
        found.append(
            {
                "study": data_set.StudyInstanceUID,
                "series": data_set.SeriesInstanceUID,
                "instance": data_set.SOPInstanceUID,
            }
        )
    return found


@given(_requests())
@settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=_SLOW_AND_SHARED)
def test_no_request_is_a_failure_of_the_server(
    client: httpx.Client,
    stored: list[dict[str, str]],
    request_: tuple[int, str, Mapping[str, str], list[tuple[str, str]], dict[str, str]],
) -> None:
    file, template, params, query, headers = request_
    values = {**stored[file], **params}
    path = re.sub(r"\{(\w+)\*?\}", lambda found: quote(values[found[1]], safe="/"), template)
    answer = client.get(
        f"{path}?{urlencode(query)}",
        headers={name.encode(): value.strip().encode() for name, value in headers.items()},
    )
    event(f"{answer.status_code}")
    assert answer.status_code < 500, answer.text
    if answer.status_code == 200 and answer.headers["content-type"] == "application/dicom+json":
        models = answer.json()
        assert isinstance(models, list)
        for model in models:
            check_model(model)


def check_model(model: object) -> None:
    """A data set in the words of PS3.18 §F.2."""
    assert isinstance(model, dict)
    assert list(model) == sorted(model)
    for tag, attribute in model.items():
        assert re.fullmatch("[0-9A-F]{8}", tag)
        assert attribute["vr"] in _VRS
        assert len(attribute.keys() & {"Value", "BulkDataURI", "InlineBinary"}) <= 1
        assert attribute.keys() <= {"vr", "Value", "BulkDataURI", "InlineBinary"}
        assert attribute.get("Value") != []
        for value in attribute.get("Value", ()):
            if attribute["vr"] == "SQ":
                check_model(value)
            elif attribute["vr"] == "PN":
                assert value is None or value.keys() <= {"Alphabetic", "Ideographic", "Phonetic"}
            else:
                assert value is None or isinstance(value, (str, int, float))

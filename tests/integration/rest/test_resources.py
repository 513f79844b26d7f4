from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest

from amonsul.archive.context import Archive
from amonsul.archive.ingest import ingest
from amonsul.archive.origin import RestOrigin
from amonsul.blobs.spool import Spooled
from tests.integration.rest.dicom_files import ROOT, dicom_file

LEVELS = ("patients", "studies", "series", "instances")
UNKNOWN = "11111111-22222222-33333333-44444444-55555555"


@dataclass(frozen=True)
class Stored:
    """Identifiers of one instance and what it belongs to."""

    patients: str
    studies: str
    series: str
    instances: str

    def path(self, level: str) -> str:
        return f"/{level}/{getattr(self, level)}"


@pytest.fixture
def one(archive: Archive) -> Stored:
    """The first instance of two patients: one with two studies of two series of three, one with a single instance."""

    def store(patient: int = 1, study: int = 1, series: int = 1, instance: int = 1) -> Stored:
        file = dicom_file(patient, study, series, instance)
        done = ingest(archive, Spooled.of(file), RestOrigin("127.0.0.1", "tester"))
        return Stored(done.patient_id, done.study_id, done.series_id, done.instance_id)

    stored = [
        store(study=study, series=series, instance=instance)
        for study in (1, 2)
        for series in (1, 2)
        for instance in (3, 1, 2)
    ]
    store(patient=2)
    return stored[0]


# ---------------------------------------------------------------------------------------------------- listings


@pytest.mark.parametrize(("level", "count"), [("patients", 2), ("studies", 3), ("series", 5), ("instances", 13)])
def test_listings(client: httpx.Client, one: Stored, level: str, count: int) -> None:
    identifiers = client.get(f"/{level}").json()
    assert len(identifiers) == count
    expanded = client.get(f"/{level}?expand").json()
    assert {resource["ID"] for resource in expanded} == set(identifiers)
    assert client.get(f"/{level}?expand=false").json() == identifiers
    assert client.get(f"/{level}?since=1&limit=1").json() == identifiers[1:2]
    assert client.get(f"/{level}?since=100&limit=1").json() == []
    assert client.get(f"/{level}?since=0&limit=0").json() == identifiers
    assert client.get(f"/{level}/").json() == identifiers
    paged = client.get(f"/{level}?expand&since=1&limit=1").json()
    assert [resource["ID"] for resource in paged] == identifiers[1:2]


@pytest.mark.parametrize(
    ("query", "status"),
    [("since=1", 8), ("limit=1", 8), ("since=a&limit=1", 5), ("since=-1&limit=1", 3), ("since=1e9&limit=1", 5)],
)
def test_pages_need_two_numbers(client: httpx.Client, query: str, status: int) -> None:
    answer = client.get(f"/studies?{query}")
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, status)
    assert answer.json()["Uri"] == "/studies"


@pytest.mark.parametrize(
    ("level", "fields"),
    [
        ("patients", "ID IsProtected IsStable Labels LastUpdate MainDicomTags Studies Type"),
        ("studies", "ID IsStable Labels LastUpdate MainDicomTags ParentPatient PatientMainDicomTags Series Type"),
        (
            "series",
            "ExpectedNumberOfInstances ID Instances IsStable Labels LastUpdate MainDicomTags ParentStudy Status Type",
        ),
        ("instances", "FileSize FileUuid ID IndexInSeries Labels MainDicomTags ParentSeries Type"),
    ],
)
def test_fields_of_resources(client: httpx.Client, one: Stored, level: str, fields: str) -> None:
    assert sorted(client.get(one.path(level)).json()) == fields.split()
    assert sorted(client.get(f"/{level}?expand").json()[0]) == fields.split()
    requested = client.get(one.path(level) + "?requested-tags=PatientName").json()
    assert sorted(requested) == sorted([*fields.split(), "RequestedTags"])


def test_tags_have_three_forms(client: httpx.Client, one: Stored) -> None:
    path = one.path("patients")
    assert client.get(path).json()["MainDicomTags"]["PatientName"] == "Doe^Jane1"
    assert client.get(path + "?short").json()["MainDicomTags"]["0010,0010"] == "Doe^Jane1"
    assert client.get(path + "?full").json()["MainDicomTags"]["0010,0010"] == {
        "Name": "PatientName",
        "Type": "String",
        "Value": "Doe^Jane1",
    }
    assert client.get(one.path("studies")).json()["MainDicomTags"]["StudyDescription"] == "Müller"


def test_requested_tags(client: httpx.Client, one: Stored) -> None:
    for name in ("requested-tags", "requestedTags"):
        found = client.get(
            one.path("studies"), params={name: "ModalitiesInStudy;NumberOfStudyRelatedInstances;0010,0020"}
        )
        assert found.json()["RequestedTags"] == {
            "ModalitiesInStudy": "CT",
            "NumberOfStudyRelatedInstances": "6",
            "PatientID": "P1",
        }
    assert client.get(one.path("instances") + "?requested-tags=KVP").json()["RequestedTags"] == {"KVP": "120"}
    refused = client.get(one.path("studies") + "?requested-tags=Nope")
    assert (refused.status_code, refused.json()["OrthancStatus"]) == (400, 8)
    assert refused.json()["Details"] == "Invalid requested-tags argument: Unknown DICOM tag: Nope"


def test_response_content(client: httpx.Client, one: Stored) -> None:
    found = client.get("/studies?response-content=Labels;Children").json()
    assert sorted(found[0]) == ["ID", "Labels", "Series", "Type"]
    assert client.get("/studies?response-content=Nope").status_code == 400


@pytest.mark.parametrize("level", LEVELS)
def test_unknown_resources_have_an_empty_404(client: httpx.Client, one: Stored, level: str) -> None:
    other = "series" if level == "studies" else "studies"
    for identifier in (UNKNOWN, "nope", getattr(one, other), getattr(one, level).upper()):
        for method in ("GET", "DELETE"):
            answer = client.request(method, f"/{level}/{identifier}")
            assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("below", ["metadata", "attachments", "labels", "statistics", "module", "labels/x"])
def test_what_lies_below_unknown_resources_is_described(client: httpx.Client, level: str, below: str) -> None:
    answer = client.get(f"/{level}/{UNKNOWN}/{below}")
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (404, 17)
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("path", ["/instances/%00", "/instances/a%00b", "/nope", "/patients/x/patient", "/Tools/now"])
def test_unknown_paths(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_wrong_methods_are_told_the_right_ones(client: httpx.Client) -> None:
    for method, path, allowed in (
        ("PUT", "/instances", "GET,POST"),
        ("POST", f"/studies/{UNKNOWN}", "DELETE,GET"),
        ("GET", "/tools/find", "POST"),
        ("POST", "/changes", "DELETE,GET"),
        ("POST", f"/studies/{UNKNOWN}/metadata/x", "DELETE,GET,PUT"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"], answer.content) == (405, allowed, b"")


# ---------------------------------------------------------------------------------------------------- above and below


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("wanted", LEVELS)
def test_everything_is_reached_from_everywhere(client: httpx.Client, one: Stored, level: str, wanted: str) -> None:
    if LEVELS.index(wanted) > LEVELS.index(level):
        found = client.get(f"{one.path(level)}/{wanted}").json()
        assert getattr(one, wanted) in [resource["ID"] for resource in found]
        assert client.get(f"{one.path(level)}/{wanted}?expand=false").json() == [resource["ID"] for resource in found]
        assert client.get(f"/{level}/{UNKNOWN}/{wanted}").json()["OrthancStatus"] == 17
    elif LEVELS.index(wanted) < LEVELS.index(level):
        above = {"patients": "patient", "studies": "study", "series": "series"}[wanted]
        assert client.get(f"{one.path(level)}/{above}").json()["ID"] == getattr(one, wanted)
        assert "0010,0020" in client.get(f"{one.path(level)}/patient?short").json()["MainDicomTags"]
        assert client.get(f"/{level}/{UNKNOWN}/{above}").json()["OrthancStatus"] == 17


def test_deletion_names_what_remains(client: httpx.Client, one: Stored) -> None:
    def remaining(level: str) -> object:
        return client.delete(one.path(level)).json()["RemainingAncestor"]

    assert remaining("instances") == {"ID": one.series, "Path": f"/series/{one.series}", "Type": "Series"}
    assert remaining("series") == {"ID": one.studies, "Path": f"/studies/{one.studies}", "Type": "Study"}
    assert remaining("studies") == {"ID": one.patients, "Path": f"/patients/{one.patients}", "Type": "Patient"}
    assert remaining("patients") is None
    assert client.get("/statistics").json()["CountInstances"] == 1


def test_statistics(client: httpx.Client, one: Stored) -> None:
    size = client.get(one.path("instances")).json()["FileSize"]
    study = client.get(one.path("studies") + "/statistics").json()
    assert (study["CountSeries"], study["CountInstances"]) == (2, 6)
    assert "CountStudies" not in study
    assert int(study["DiskSize"]) >= 6 * size - 50
    assert client.get(one.path("instances") + "/statistics").json()["DicomUncompressedSize"] == str(size)
    assert client.get("/statistics").json()["CountPatients"] == 2


# ---------------------------------------------------------------------------------------------------- attributes


def test_tags(client: httpx.Client, one: Stored) -> None:
    path = one.path("instances")
    assert client.get(path + "/simplified-tags").json()["PatientName"] == "Doe^Jane1"
    assert client.get(path + "/tags?simplify").json() == client.get(path + "/simplified-tags").json()
    assert client.get(path + "/tags?short").json()["0010,0020"] == "P1"
    assert client.get(path + "/tags").json()["0018,0060"] == {"Name": "KVP", "Type": "String", "Value": "120"}
    assert client.get(path + "/header?simplify").json()["TransferSyntaxUID"] == "1.2.840.10008.1.2.1"
    for below in ("tags", "simplified-tags", "header", "content", "content/PatientName", "file", "pdf", "frames"):
        assert client.get(f"/instances/{UNKNOWN}/{below}").json()["OrthancStatus"] == 17


def test_long_values_are_left_out_unless_asked_for(client: httpx.Client) -> None:
    stored = client.post("/instances", content=dicom_file(attributes={"PatientComments": "x" * 1000})).json()
    path = stored["Path"] + "/simplified-tags"
    assert client.get(path).json()["PatientComments"] is None
    for name in ("PatientComments", "0010,4000", "PatientName;PatientComments", "PatientName,PatientComments"):
        assert client.get(path, params={"ignore-length": name}).json()["PatientComments"] == "x" * 1000


def test_content(client: httpx.Client, one: Stored) -> None:
    path = one.path("instances") + "/content"
    assert "0010-0010" in client.get(path).json()
    for name in ("PatientID", "0010-0020", "0010,0020", "00100020"):
        answer = client.get(f"{path}/{name}")
        assert (answer.content, answer.headers["content-type"]) == (b"P1", "application/octet-stream")
    assert client.get(path + "/7fe0-0010").json() == ["0"]
    assert len(client.get(path + "/7fe0-0010/0").content) == 32
    for absent in ("PatientAddress", "7fe0-0010/1", "PatientID/0"):
        answer = client.get(f"{path}/{absent}")
        assert (answer.status_code, answer.content) == (404, b"")
    unknown = client.get(path + "/Nope")
    assert (unknown.status_code, unknown.json()["OrthancStatus"]) == (400, 27)


def test_modules(client: httpx.Client, one: Stored) -> None:
    assert set(client.get(one.path("patients") + "/module?simplify").json()) == {
        "PatientBirthDate",
        "PatientID",
        "PatientName",
    }
    assert "AccessionNumber" in client.get(one.path("studies") + "/module?simplify").json()
    assert client.get(one.path("studies") + "/module-patient?short").json()["0010,0020"] == "P1"
    assert client.get(one.path("series") + "/module").json()["0008,0060"]["Value"] == "CT"
    assert "SOPInstanceUID" in client.get(one.path("instances") + "/module?simplify").json()


def test_shared_tags(client: httpx.Client, one: Stored) -> None:
    shared = client.get(one.path("series") + "/shared-tags?simplify").json()
    assert shared["SeriesInstanceUID"] == f"{ROOT}.1.1.1"
    assert not {"SOPInstanceUID", "InstanceNumber", "PixelData"} & set(shared)
    assert "SeriesInstanceUID" not in client.get(one.path("studies") + "/shared-tags?simplify").json()
    each = client.get(one.path("series") + "/instances-tags?simplify").json()
    assert {tags["InstanceNumber"] for tags in each.values()} == {"1", "2", "3"}


def test_ordered_slices(client: httpx.Client, one: Stored) -> None:
    found = client.get(one.path("series") + "/ordered-slices").json()
    assert found["Type"] == "Volume"
    numbers = [client.get(path.removesuffix("/file")).json()["IndexInSeries"] for path in found["Dicom"]]
    assert numbers == [1, 2, 3]
    assert client.get(one.path("instances") + "/frames").json() == [0]


def test_dicom_models(client: httpx.Client, one: Stored) -> None:
    path = one.path("instances") + "/file"
    model = client.get(path, headers={"Accept": "application/dicom+json"})
    assert model.headers["content-type"] == "application/dicom+json"
    assert model.json()["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane1"}]}
    assert len(model.json()["7FE00010"]["InlineBinary"]) == 44
    xml = client.get(path, headers={"Accept": "application/dicom+xml"})
    assert xml.headers["content-type"] == "application/dicom+xml"
    assert "<FamilyName>Doe</FamilyName><GivenName>Jane1</GivenName>" in xml.text


def test_file_names(client: httpx.Client, one: Stored) -> None:
    path = one.path("instances") + "/file"
    assert client.get(path).headers["content-disposition"] == f'filename="{one.instances}.dcm"'
    for given, header in (
        ("my file.dcm", 'filename="my file.dcm"'),
        ('a"b\\c/d.dcm', 'filename="a_b_c_d.dcm"'),
        ("\u00e9\u202e.dcm", "filename=\"__.dcm\"; filename*=UTF-8''%C3%A9_.dcm"),
    ):
        assert client.get(path, params={"filename": given}).headers["content-disposition"] == header
    for bad in ("a\r\nSet-Cookie: x", "a\nb", "a\0b", "a\x7fb"):
        answer = client.get(path, params={"filename": bad})
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers


def test_transcoding_to_what_it_is(client: httpx.Client, one: Stored) -> None:
    path = one.path("instances") + "/file"
    assert client.get(path + "?transcode=1.2.840.10008.1.2.1").content == client.get(path).content
    assert client.get(path + "?transcode=nope").json()["OrthancStatus"] == 3
    assert client.get(path + "?transcode=1.2.840.10008.1.2.4.50").status_code == 501

from __future__ import annotations

import httpx
import pytest

from amonsul.archive import edit
from amonsul.archive import find as verbs
from amonsul.archive.context import Archive
from amonsul.archive.find import Content, Resource
from amonsul.archive.ingest import ingest
from amonsul.archive.origin import RestOrigin
from amonsul.blobs.spool import Spooled
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.query import Query
from tests.integration.rest.dicom_files import ROOT, dicom_file


@pytest.fixture(autouse=True)
def stored(archive: Archive) -> None:
    """Three patients with a study each, the first with two instances."""
    for patient, instance in ((1, 1), (1, 2), (2, 1), (3, 1)):
        file = dicom_file(patient=patient, study=patient, instance=instance)
        ingest(archive, Spooled.of(file), RestOrigin("127.0.0.1", "tester"))


def find(client: httpx.Client, level: str = "Patient", /, **body: object) -> httpx.Response:
    return client.post("/tools/find", json={"Level": level, "Query": {}} | body)


def names(client: httpx.Client, **body: object) -> list[str]:
    found = find(client, "Patient", Expand=True, **body).json()
    return sorted(resource["MainDicomTags"]["PatientID"] for resource in found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["P1", "P2", "P3"]),
        ({"PatientID": "P1"}, ["P1"]),
        ({"PatientID": "p1"}, ["P1"]),
        ({"PatientID": "P1\\P3\\nope"}, ["P1", "P3"]),
        ({"PatientName": "doe*"}, ["P1", "P2", "P3"]),
        ({"PatientName": "*jane?"}, ["P1", "P2", "P3"]),
        ({"PatientName": "%"}, []),
        ({"PatientName": "*"}, ["P1", "P2", "P3"]),
        ({"0010,0020": "P2"}, ["P2"]),
        ({"00100020": "P2"}, ["P2"]),
        ({"PatientBirthDate": "19600101-19801231"}, ["P1", "P2", "P3"]),
        ({"PatientBirthDate": "-19600101"}, []),
    ],
)
def test_queries(client: httpx.Client, query: dict[str, str], expected: list[str]) -> None:
    assert names(client, Query=query) == expected
    assert client.post("/tools/count-resources", json={"Level": "Patient", "Query": query}).json() == {
        "Count": len(expected)
    }


def test_case_can_matter(client: httpx.Client) -> None:
    assert names(client, Query={"PatientID": "p1"}, CaseSensitive=True) == []


@pytest.mark.parametrize("level", ["Study", "STUDY", "study", "studies", "Studies"])
def test_levels_have_many_names(client: httpx.Client, level: str) -> None:
    assert len(find(client, level).json()) == 3


def test_pages(client: httpx.Client) -> None:
    everything = find(client).json()
    assert find(client, Since=1, Limit=1).json() == everything[1:2]
    assert find(client, Limit=0).json() == everything
    assert find(client, Since=9).json() == []


def test_orders(client: httpx.Client) -> None:
    def order(**key: str) -> list[str]:
        found = find(client, "Study", Expand=True, OrderBy=[key]).json()
        return [study["MainDicomTags"]["StudyDate"] for study in found]

    assert order(Type="DicomTag", Key="StudyDate", Direction="DESC") == ["20240103", "20240102", "20240101"]
    assert order(Type="DicomTagAsInt", Key="StudyDate", Direction="ASC") == ["20240101", "20240102", "20240103"]
    assert order(Type="Metadata", Key="LastUpdate") == ["20240101", "20240102", "20240103"]


def test_forms_of_answers(client: httpx.Client) -> None:
    by_number = find(client, Expand=True, Short=True, Query={"PatientID": "P1"}).json()
    assert by_number[0]["MainDicomTags"]["0010,0020"] == "P1"
    full = find(client, Expand=True, Full=True, Query={"PatientID": "P1"}).json()
    assert full[0]["MainDicomTags"]["0010,0020"]["Name"] == "PatientID"
    parts = find(client, "Instance", ResponseContent=["Attachments", "Metadata", "Parent"], Limit=1).json()
    assert sorted(parts[0]) == ["Attachments", "ID", "Metadata", "ParentSeries", "Type"]
    assert parts[0]["Attachments"][0]["ContentType"] == 1
    series = find(client, "Series", ResponseContent=["Status", "IsStable", "IsProtected", "Children"], Limit=1).json()
    assert sorted(series[0]) == ["ID", "Instances", "IsStable", "Status", "Type"]
    requested = find(client, "Study", Expand=True, RequestedTags=["PatientName", "KVP"], Limit=1).json()
    assert requested[0]["RequestedTags"] == {"PatientName": "Doe^Jane1", "KVP": "120"}


def test_labels_and_metadata(client: httpx.Client) -> None:
    first, second, third = find(client).json()
    client.put(f"/patients/{first}/labels/a")
    client.put(f"/patients/{second}/labels/b")
    client.put(f"/patients/{first}/metadata/1024", content=b"apple")
    assert find(client, Labels=["a"]).json() == [first]
    assert find(client, Labels=["a", "b"]).json() == []
    assert find(client, Labels=["a", "b"], LabelsConstraint="Any").json() == [first, second]
    assert find(client, Labels=["a"], LabelsConstraint="None").json() == [second, third]
    assert find(client, Labels=[], LabelsConstraint="None").json() == [third]
    assert find(client, MetadataQuery={"1024": "ap*"}).json() == [first]
    assert find(client, OrderBy=[{"Type": "Metadata", "Key": "1024", "Direction": "DESC"}]).status_code == 200


def test_parents(client: httpx.Client) -> None:
    first, second, _ = find(client).json()
    assert len(find(client, "Instance", ParentPatient=first).json()) == 2
    assert len(find(client, "Instance", ParentPatient=second).json()) == 1
    assert find(client, "Study", ParentPatient="nope").json() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"Query": {}}, 8),
        ({"Level": "Study"}, 8),
        ({"Level": 1, "Query": {}}, 8),
        ({"Level": "Nope", "Query": {}}, 3),
        ({"Level": "Study", "Query": {"PatientID": ["a"]}}, 8),
        ({"Level": "Study", "Query": {"PatientID": None}}, 8),
        ({"Level": "Study", "Query": {"Nope": "a"}}, 27),
        ({"Level": "Study", "Query": {"StudyDate": "2024*"}}, 3),
        ({"Level": "Study", "Query": {"StudyInstanceUID": "1.2.*"}}, 3),
        ({"Level": "Study", "Query": {}, "Limit": "2"}, 8),
        ({"Level": "Study", "Query": {}, "Limit": True}, 8),
        ({"Level": "Study", "Query": {}, "Limit": -1}, 3),
        ({"Level": "Study", "Query": {}, "Since": 1 << 60}, 3),
        ({"Level": "Study", "Query": {}, "Expand": "yes"}, 8),
        ({"Level": "Study", "Query": {}, "Labels": "a"}, 8),
        ({"Level": "Study", "Query": {}, "LabelsConstraint": "Some"}, 8),
        ({"Level": "Study", "Query": {}, "RequestedTags": "PatientName"}, 8),
        ({"Level": "Study", "Query": {}, "RequestedTags": ["Nope"]}, 27),
        ({"Level": "Study", "Query": {}, "ResponseContent": ["Nope"]}, 3),
        ({"Level": "Study", "Query": {}, "OrderBy": "StudyDate"}, 8),
        ({"Level": "Study", "Query": {}, "OrderBy": ["StudyDate"]}, 8),
        ({"Level": "Study", "Query": {}, "OrderBy": [{"Type": "Nope", "Key": "StudyDate"}]}, 8),
        ({"Level": "Study", "Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": "StudyDate", "Direction": "UP"}]}, 8),
        ({"Level": "Study", "Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": "Nope"}]}, 27),
        ({"Level": "Study", "Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": 5}]}, 8),
        ({"Level": "Study", "Query": {}, "MetadataQuery": "x"}, 8),
        ({"Level": "Study", "Query": {}, "MetadataQuery": {"Nope": "x"}}, 7),
        ({"Level": "Study", "Query": {}, "MetadataQuery": {"1024": 5}}, 8),
        ({"Level": "Study", "Query": {}, "ParentPatient": 5}, 8),
        ({"Level": "Patient", "Query": {}, "ParentStudy": "x"}, 8),
    ],
)
def test_searches_that_make_no_sense(client: httpx.Client, body: dict[str, object], status: int) -> None:
    answer = client.post("/tools/find", json=body)
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (404 if status == 7 else 400, status)


def test_nesting_is_bounded(client: httpx.Client) -> None:
    for body in (b"[" * 100_000, b'{"Level":' * 1000, b'{"Level":"Study","Level":"Patient","Query":{}}'):
        assert client.post("/tools/find", content=body).status_code == 400
    assert client.get("/system").status_code == 200


def test_lookup(client: httpx.Client) -> None:
    def lookup(text: str) -> list[str]:
        return [found["Type"] for found in client.post("/tools/lookup", content=text).json()]

    assert lookup("P1") == ["Patient"]
    assert lookup(f"{ROOT}.1.1") == ["Study"]
    assert lookup(f"{ROOT}.1.1.1") == ["Series"]
    assert lookup(f"{ROOT}.1.1.1.1") == ["Instance"]
    assert lookup("nope") == lookup("") == []
    assert client.post("/tools/lookup", content="P*").json()["OrthancStatus"] == 3


def test_bulk_content(client: httpx.Client) -> None:
    first, second, _ = find(client).json()

    def bulk(*identifiers: str, **more: object) -> list[dict[str, object]]:
        found: list[dict[str, object]] = client.post(
            "/tools/bulk-content", json={"Resources": identifiers, **more}
        ).json()
        return found

    assert [one["ID"] for one in bulk(first, "nope", second, first)] == [first, second, first]
    assert "Metadata" in bulk(first)[0]
    assert "Metadata" not in bulk(first, Metadata=False)[0]
    instances = bulk(first, Level="Instance")
    assert [one["Type"] for one in instances] == ["Instance"] * 2
    assert [one["ID"] for one in bulk(*[str(one["ID"]) for one in instances], Level="Patient")] == [first]
    for body, status in (({}, 15), ({"Resources": "x"}, 15), ({"Resources": [], "Level": "Nope"}, 3)):
        assert client.post("/tools/bulk-content", json=body).json()["OrthancStatus"] == status


def test_bulk_delete(client: httpx.Client) -> None:
    first, second, third = find(client).json()
    child = client.get(f"/patients/{first}/instances?expand=false").json()[0]
    assert client.post("/tools/bulk-delete", json={"Resources": [first, child, "nope", second]}).status_code == 200
    assert find(client).json() == [third]
    assert client.post("/tools/bulk-delete", json={"Nope": 1}).json()["OrthancStatus"] == 8


def test_what_is_deleted_during_a_search_does_not_end_it(
    client: httpx.Client, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study in find(client, "Study").json():
        assert client.put(f"/studies/{study}/attachments/1024", content=b"notes").status_code == 200
    search = verbs.find

    def search_and_delete(archive: Archive, query: Query, content: Content) -> list[Resource]:
        found = search(archive, query, content)
        edit.delete(archive, Level.STUDY, found[0].orthanc_id)
        return found

    monkeypatch.setattr(verbs, "find", search_and_delete)
    described = find(client, "Study", ResponseContent=["Attachments"]).json()
    assert [len(study["Attachments"]) for study in described] == [0, 1, 1]


@pytest.mark.parametrize("level", ["Patient", "Instance"])
def test_what_is_deleted_meanwhile_is_left_out_of_bulk_content(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    first, *others = find(client, "Study").json()
    look = verbs.level_of

    def look_and_delete(archive: Archive, orthanc_id: OrthancId) -> Level | None:
        found = look(archive, orthanc_id)
        if orthanc_id == first:
            edit.delete(archive, Level.STUDY, orthanc_id)
        return found

    monkeypatch.setattr(verbs, "level_of", look_and_delete)
    answer = client.post("/tools/bulk-content", json={"Resources": [first, *others], "Level": level})
    assert answer.status_code == 200
    assert len(answer.json()) == len(others)

"""Changes as they happen, compressed attachments, reconstruction, and the end of the server."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import httpx
import pytest

from amonsul.archive.context import Archive
from amonsul.web.services import Services
from tests.integration.rest.dicom_files import dicom_file
from tests.integration.rest.serving import serving_archive


def events(answer: httpx.Response, count: int) -> list[tuple[int, str]]:
    """Number and type of the next events."""
    found: list[tuple[int, str]] = []
    number = 0
    for line in answer.iter_lines():
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            change = json.loads(line[6:])
            assert change["Seq"] == number
            found.append((number, change["ChangeType"]))
            if len(found) == count:
                break
    return found


NEW = [(1, "NewInstance"), (2, "NewSeries"), (3, "NewStudy"), (4, "NewPatient")]


def test_changes_come_as_they_happen_and_nothing_is_missed_in_between(client: httpx.Client) -> None:
    with client.stream("GET", "/changes/stream") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        stored = client.post("/instances", content=dicom_file()).json()
        assert events(answer, 4) == NEW
    study = stored["ParentStudy"]
    client.put(f"/studies/{study}/metadata/1024", content=b"x")
    with client.stream("GET", "/changes/stream", headers={"Last-Event-ID": "3"}) as answer:
        assert events(answer, 2) == [NEW[3], (5, "UpdatedMetadata")]
    with client.stream("GET", "/changes/stream?since=0&type=NewStudy;UpdatedMetadata") as answer:
        client.put(f"/studies/{study}/metadata/1024", content=b"y")
        assert events(answer, 3) == [NEW[2], (5, "UpdatedMetadata"), (6, "UpdatedMetadata")]


def test_a_stream_that_makes_no_sense(client: httpx.Client) -> None:
    assert client.get("/changes/stream?since=x").status_code == 400
    assert client.get("/changes/stream", headers={"Last-Event-ID": "-1"}).status_code == 400
    assert client.get("/changes/stream?since=0&type=Nothing").status_code == 400
    for number in ("1" * 30, "0" * 20 + "9" * 20, "0" * 5000):
        assert client.get(f"/changes/stream?since={number}").status_code == 400


def test_streams_end_with_the_server(archive: Archive) -> None:
    stopping: list[bool] = []
    services = Services(archive, is_stopping=lambda: bool(stopping))
    with (
        serving_archive(services) as served,
        httpx.Client(base_url=served.url, timeout=60) as http,
        http.stream("GET", "/changes/stream") as answer,
    ):
        stopping.append(True)
        assert answer.read() == b"retry: 2000\n\n"


@pytest.fixture
def instance(client: httpx.Client) -> str:
    """The path of an instance."""
    return f"/instances/{client.post('/instances', content=dicom_file()).json()['ID']}"


def test_compression_is_not_seen_by_who_reads(client: httpx.Client, instance: str) -> None:
    file = client.get(f"{instance}/file").content
    path = f"{instance}/attachments/dicom"
    for _ in range(2):
        assert client.post(f"{path}/compress").status_code == 200
    assert client.get(f"{path}/is-compressed").text == "1"
    assert client.get(f"{path}/data").content == file
    assert client.get(f"{instance}/file").content == file
    part = client.get(f"{path}/data", headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, file[10:100])
    packed = client.get(f"{path}/compressed-data").content
    assert int.from_bytes(packed[:8], "little") == len(file)
    assert zlib.decompress(packed[8:]) == file
    part = client.get(f"{path}/compressed-data", headers={"Range": "bytes=8-11"})
    assert (part.status_code, part.content) == (206, packed[8:12])
    assert int(client.get(f"{path}/compressed-size").text) == len(packed)
    assert client.post(f"{path}/verify-md5").status_code == 200
    assert client.get(f"{path}/data").headers["etag"].startswith('"1-')
    assert client.post(f"{path}/uncompress").status_code == 200
    assert client.get(f"{path}/compressed-data").content == file


def test_what_earlier_systems_kept_is_made_on_request(client: httpx.Client, instance: str) -> None:
    file = client.get(f"{instance}/file").content
    tags = client.get(f"{instance}/attachments/dicom-as-json/data")
    assert tags.json() == client.get(f"{instance}/tags").json()
    beginning = client.get(f"{instance}/attachments/dicom-until-pixel-data/data")
    offset = int(client.get(f"{instance}/metadata/PixelDataOffset").text)
    assert beginning.content == file[:offset]
    for name in ("dicom-as-json", "dicom-until-pixel-data"):
        assert client.get(f"{instance}/attachments/{name}/info").status_code == 404  # it is not there
    assert client.delete(f"{instance}/attachments/dicom-as-json").status_code == 404
    assert client.delete(f"{instance}/attachments/dicom-until-pixel-data").status_code == 403
    assert client.get("/instances/nope/attachments/dicom-as-json/data").status_code == 404
    series = client.get(f"{instance}/series").json()["ID"]
    assert client.get(f"/series/{series}/attachments/dicom-as-json/data").status_code == 404


def test_user_attachments_have_the_type_that_is_configured(archive: Archive) -> None:
    settings = replace(archive.settings, user_content_types={"report": 3002}, media_types={3002: "application/pdf"})
    services = Services(replace(archive, settings=settings))
    with serving_archive(services) as served, httpx.Client(base_url=served.url, timeout=60) as http:
        study = "/studies/" + http.post("/instances", content=dicom_file()).json()["ParentStudy"]
        http.put(f"{study}/attachments/report", content=b"%PDF-")
        answer = http.get(f"{study}/attachments/3002/data")
        assert (answer.headers["content-type"], answer.content) == ("application/pdf", b"%PDF-")


def test_reconstruction(client: httpx.Client, instance: str) -> None:
    before = client.get(instance).json()
    assert client.post(f"{instance}/reconstruct").status_code == 200
    assert client.post("/tools/reconstruct", json={"ReconstructFiles": True}).status_code == 200
    assert client.post("/tools/invalidate-tags").status_code == 200
    assert client.get(instance).json() == before
    assert client.post(f"{instance}/reconstruct", json=[]).status_code == 400
    assert client.post(f"{instance}/reconstruct", json={"ReconstructFiles": 1}).status_code == 400
    assert client.post("/series/nope/reconstruct").status_code == 404


def test_reconstruction_as_a_job(client: httpx.Client, instance: str) -> None:
    instance_id = instance.rpartition("/")[2]
    for path, resources in ((instance, [{"ID": instance_id, "Type": "Instance"}]), ("/tools", None)):
        begun = client.post(f"{path}/reconstruct", json={"Asynchronous": True, "ReconstructFiles": True}).json()
        assert begun["Path"] == f"/jobs/{begun['ID']}"
        while (job := client.get(begun["Path"]).json())["State"] in ("Pending", "Running"):
            pass
        assert (job["State"], job["Type"], job["Progress"]) == ("Success", "Reconstruct", 100)
        assert job["Content"]["InstancesCount"] == 1
        assert job["Content"].get("Resources") == resources
    assert client.post("/series/nope/reconstruct", json={"Asynchronous": True}).status_code == 404


def test_what_only_a_look_at_each_header_decides_is_not_counted(client: httpx.Client, instance: str) -> None:
    query = {"Level": "Instance", "Query": {"KVP": "120"}}
    assert client.post("/tools/find", json=query).status_code == 200
    assert client.post("/tools/find", json={**query, "Since": 1}).status_code == 400
    assert client.post("/tools/count-resources", json=query).status_code == 400
    known = {"Level": "Instance", "Query": {"PatientName": "*", "NumberOfStudyRelatedInstances": "1"}}
    assert client.post("/tools/count-resources", json=known).status_code == 200


def test_the_server_is_ended_by_whoever_may(archive: Archive) -> None:
    wishes: list[bool] = []

    def end(*, restart: bool) -> None:
        wishes.append(restart)

    with (
        serving_archive(Services(archive, end=end)) as served,
        httpx.Client(base_url=served.url, timeout=60) as http,
    ):
        assert http.post("/tools/shutdown").json() == {}
        assert http.post("/tools/reset").json() == {}
    assert wishes == [False, True]


def test_a_server_that_nobody_here_started_is_not_ended(client: httpx.Client) -> None:
    assert client.post("/tools/reset").status_code == 501

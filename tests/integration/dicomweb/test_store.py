from __future__ import annotations

import gzip
import io
import json
import socket

import httpx
import pytest
from pydicom import dcmread

from amonsul.archive import find
from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level
from tests.integration.dicomweb.parts import body_of, parts_of, related
from tests.integration.rest.dicom_files import ROOT, dicom_file

DICOM = {"Content-Type": "application/dicom"}
URL = "/dicom-web/studies"


def post(
    client: httpx.Client, parts: list[tuple[dict[str, str], bytes]], kind: str = "application/dicom", path: str = URL
) -> httpx.Response:
    return client.post(path, content=body_of(parts), headers={"content-type": related(kind)})


def test_instances_are_stored_and_referenced(client: httpx.Client) -> None:
    answer = post(client, [(DICOM, dicom_file(1, 1, 1, number)) for number in (1, 2)])
    assert answer.status_code == 200
    found = answer.json()
    base = f"{str(client.base_url).rstrip('/')}{URL}/{ROOT}.1.1"
    assert found["00081190"]["Value"] == [base]
    assert found["00081199"]["Value"][1]["00081190"]["Value"] == [
        f"{base}/series/{ROOT}.1.1.1/instances/{ROOT}.1.1.1.2"
    ]
    assert len(client.get("/instances").json()) == 2
    file = client.get(f"{base}/series/{ROOT}.1.1.1/instances/{ROOT}.1.1.1.2", headers={"accept": "application/dicom"})
    assert file.content == dicom_file(1, 1, 1, 2)


def test_the_answer_in_xml(client: httpx.Client) -> None:
    answer = client.post(
        URL,
        content=body_of([(DICOM, dicom_file())]),
        headers={"content-type": related("application/dicom"), "accept": "application/dicom+xml"},
    )
    assert answer.headers["content-type"] == "application/dicom+xml"
    assert b"ReferencedSOPSequence" in answer.content


def test_what_fails_is_told_beside_what_is_stored(client: httpx.Client) -> None:
    answer = post(client, [(DICOM, dicom_file()), (DICOM, b"no DICOM"), ({"Content-Type": "text/plain"}, b"x")])
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert answer.json()["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}] * 2


def test_instances_of_another_study_are_refused(client: httpx.Client) -> None:
    answer = post(client, [(DICOM, dicom_file())], path=f"{URL}/{ROOT}.1.2")
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [0x0110]
    assert client.get("/instances").json() == []


@pytest.mark.parametrize(
    "kind",
    ["application/dicom", 'multipart/related; type="text/html"; boundary=x', "multipart/related; boundary=x", ""],
)
def test_other_bodies_are_refused(client: httpx.Client, kind: str) -> None:
    assert client.post(URL, content=dicom_file(), headers={"content-type": kind}).status_code == 415


@pytest.mark.parametrize("body", [b"", b"--test-boundary--", b"--test-boundary\r\n\r\nx", b"nonsense"])
def test_broken_bodies_are_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post(URL, content=body, headers={"content-type": related("application/dicom")})
    assert answer.status_code == 400


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("identity", 200), ("", 200)])
def test_bodies_that_are_compressed_are_refused(client: httpx.Client, coding: str, status: int) -> None:
    headers = {"content-type": related("application/dicom"), "content-encoding": coding}
    body = body_of([(DICOM, dicom_file())])
    if coding == "gzip":
        body = gzip.compress(body)
    assert client.post(URL, content=body, headers=headers).status_code == status


def test_a_million_empty_parts_or_headers_are_refused(client: httpx.Client) -> None:
    header = {"content-type": related("application/dicom", "b")}
    for body in (b"--b\r\n\r\n\r\n" * 1_000_000, b"--b\r\n" + b"a: b\r\n" * 1_000_000):
        assert client.post(URL, content=body, headers=header, timeout=60).status_code == 400


# ---------------------------------------------------------------------------------------------------- metadata


def metadata_of(client: httpx.Client, file: bytes) -> dict[str, object]:
    """The JSON of a file without its pixels' address."""
    model = dcmread(io.BytesIO(file)).to_json_dict(1 << 30)
    model.pop("7FE00010")
    return dict(model)


def test_metadata_and_bulk_data_become_a_file(client: httpx.Client, archive: Archive) -> None:
    source = dcmread(io.BytesIO(dicom_file(pixels=16)))
    model = metadata_of(client, dicom_file(pixels=16)) | {"7FE00010": {"vr": "OW", "BulkDataURI": "bulk/1"}}
    answer = post(
        client,
        [
            ({"Content-Type": "application/dicom+json"}, json.dumps([model]).encode()),
            ({"Content-Type": "application/octet-stream", "Content-Location": "bulk/1"}, source.PixelData),
        ],
        "application/dicom+json",
    )
    assert answer.status_code == 200, answer.text
    (instance,) = find.list_ids(archive, Level.INSTANCE)
    stored = dcmread(io.BytesIO(client.get(f"/instances/{instance}/file").content))
    assert stored == source
    assert stored.StudyDescription == "Müller"


def test_metadata_that_become_no_file_are_told_by_their_uids(client: httpx.Client) -> None:
    model = metadata_of(client, dicom_file())
    odd = {"00080018": {"vr": "UI", "Value": ["1.2"]}, "00080060": {"vr": "ZZ", "Value": ["CT"]}}
    lacking = model | {"7FE00010": {"vr": "OW", "BulkDataURI": "nowhere"}}
    good = {tag: value for tag, value in model.items() if tag != "7FE00010"}
    for models, status, count in (([odd, lacking], 409, 0), ([odd, good, lacking], 202, 1)):
        parts = [({"Content-Type": "application/dicom+json"}, json.dumps(models).encode())]
        answer = post(client, parts, "application/dicom+json")
        assert answer.status_code == status
        first, second = answer.json()["00081198"]["Value"]
        assert first == {
            "00081150": {"vr": "UI"},
            "00081155": {"vr": "UI", "Value": ["1.2"]},
            "00081197": {"vr": "US", "Value": [0xC000]},
        }
        assert second["00081150"] == model["00080016"]
        assert second["00081155"]["Value"] == [f"{ROOT}.1.1.1.1"]
        assert "0008119A" not in answer.json()
        assert len(client.get("/instances").json()) == count


def test_compressed_frames_become_fragments(client: httpx.Client, archive: Archive) -> None:
    model = metadata_of(client, dicom_file(pixels=16)) | {
        "00280008": {"vr": "IS", "Value": [2]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "frames"},
    }
    frame = {"Content-Type": "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", "Content-Location": "frames"}
    parts = [
        ({"Content-Type": "application/dicom+json"}, json.dumps([model]).encode()),
        (frame, b"one"),
        (frame, b"two!"),
    ]
    assert post(client, parts, "application/dicom+json").status_code == 200
    (instance,) = find.list_ids(archive, Level.INSTANCE)
    stored = dcmread(io.BytesIO(client.get(f"/instances/{instance}/file").content))
    assert stored.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"
    path = f"{URL}/{stored.StudyInstanceUID}/series/{stored.SeriesInstanceUID}/instances/{stored.SOPInstanceUID}"
    as_stored = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    found = parts_of(client.get(f"{path}/frames/1,2", headers={"accept": as_stored}))
    assert [data.rstrip(b"\0") for _, data in found] == [b"one", b"two!"]


def test_what_metadata_say_in_xml_comes_back(client: httpx.Client) -> None:
    client.post("/instances", content=dicom_file(attributes={"PatientName": "Doe^Jane^^Dr=山田^太郎"}))
    path = f"{URL}/{ROOT}.1.1/series/{ROOT}.1.1.1/instances/{ROOT}.1.1.1.1"
    before = client.get(f"{path}/metadata").json()
    ((_, xml),) = parts_of(
        client.get(f"{path}/metadata", headers={"accept": 'multipart/related; type="application/dicom+xml"'})
    )
    location = before[0]["7FE00010"]["BulkDataURI"]
    pixels = client.get(location, headers={"accept": "application/octet-stream"}).content
    study = client.post("/tools/lookup", content=f"{ROOT}.1.1").json()[0]["Path"]
    assert client.delete(study).status_code == 200
    parts = [({"Content-Type": "application/dicom+xml"}, xml), ({"Content-Location": location}, pixels)]
    answer = post(client, parts, "application/dicom+xml")
    assert answer.status_code == 200, answer.text
    assert client.get(f"{path}/metadata").json() == before


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><NativeDicomModel>&b;</NativeDicomModel>'


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("application/dicom+xml", BOMB),
        ("application/dicom+xml", b"<x/>"),
        ("application/dicom+xml", b"<" * 1000),
        ("application/dicom+json", b"[" * 100_000),
        ("application/dicom+json", b"[1]"),
        ("application/dicom+json", b'[{"00080018": {"vr": "UI"}}]'),
        ("application/dicom+json", b'[{"00080018": {"vr": "ZZ", "Value": ["no uid"]}}]'),
    ],
)
def test_metadata_that_are_none_are_refused(client: httpx.Client, kind: str, metadata: bytes) -> None:
    assert post(client, [({"Content-Type": kind}, metadata)], kind).status_code == 400
    assert client.get("/instances").json() == []


@pytest.mark.parametrize(
    "document_type",
    [
        '<!DOCTYPE x SYSTEM "{url}">',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "{url}">%p;]>',
        '<!DOCTYPE x PUBLIC "-//x//y" "{url}">',
    ],
)
def test_nothing_is_fetched_for_an_xml(client: httpx.Client, document_type: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.dtd"
        metadata = f"{document_type.format(url=url)}<NativeDicomModel/>".encode()
        kind = "application/dicom+xml"
        assert post(client, [({"Content-Type": kind}, metadata)], kind).status_code == 400
        with pytest.raises(BlockingIOError):
            listener.accept()

"""Labels, metadata and attachments, protection, changes."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from amonsul.archive.context import Archive
from amonsul.web.services import Services
from tests.integration.rest.dicom_files import dicom_file
from tests.integration.rest.serving import serving_archive

UNKNOWN = "11111111-22222222-33333333-44444444-55555555"


@pytest.fixture
def paths(client: httpx.Client) -> list[str]:
    """The paths of an instance and of what it belongs to, from the patient down."""
    stored = client.post("/instances", content=dicom_file()).json()
    return [
        f"/patients/{stored['ParentPatient']}",
        f"/studies/{stored['ParentStudy']}",
        f"/series/{stored['ParentSeries']}",
        f"/instances/{stored['ID']}",
    ]


def test_labels(client: httpx.Client, paths: list[str]) -> None:
    for path in paths:
        assert client.put(f"{path}/labels/one").status_code == 200
        assert client.put(f"{path}/labels/two").status_code == 200
        assert client.get(f"{path}/labels").json() == ["one", "two"]
        assert client.get(path).json()["Labels"] == ["one", "two"]
        assert client.delete(f"{path}/labels/one").status_code == 200
        assert client.get(f"{path}/labels/two").status_code == 200
        absent = client.get(f"{path}/labels/one")
        assert (absent.status_code, absent.content) == (404, b"")
    assert client.get("/tools/labels").json() == ["two"]
    assert client.put(f"{paths[0]}/labels/with%20space").json()["OrthancStatus"] == 3


def test_metadata(client: httpx.Client, paths: list[str]) -> None:
    for path in paths:
        written = client.put(f"{path}/metadata/1024", content="été".encode())
        assert (written.status_code, written.content) == (200, b"")
        etag = written.headers["etag"]
        read = client.get(f"{path}/metadata/1024")
        assert (read.text, read.headers["etag"]) == ("été", etag)
        assert client.get(f"{path}/metadata/1024", headers={"If-None-Match": etag}).status_code == 304
        assert client.get(f"{path}/metadata/1024", headers={"If-None-Match": '"0"'}).status_code == 304
        assert client.get(f"{path}/metadata/1024", headers={"If-None-Match": '"7-00"'}).status_code == 200
        assert client.get(f"{path}/metadata?expand").json()["1024"] == "été"
        assert 1024 in client.get(f"{path}/metadata?numeric").json()
        assert "1024" in client.get(f"{path}/metadata").json()
        assert client.delete(f"{path}/metadata/1024").status_code == 200
        absent = client.get(f"{path}/metadata/1024")
        assert (absent.status_code, absent.content) == (404, b"")


def test_origin_is_kept(client: httpx.Client, paths: list[str]) -> None:
    found = client.get(paths[3] + "/metadata?expand").json()
    assert (found["Origin"], found["RemoteIP"], found["HttpUsername"]) == ("RestApi", "127.0.0.1", "")
    assert client.get(paths[3] + "/metadata/8").text == "RestApi"


@pytest.mark.parametrize("name", ["ReceptionDate", "10", "1023", "65536", "0", "-1"])
def test_metadata_of_the_server_is_not_for_clients(client: httpx.Client, paths: list[str], name: str) -> None:
    for answer in (
        client.put(f"{paths[3]}/metadata/{name}", content=b"x"),
        client.delete(f"{paths[3]}/metadata/{name}"),
    ):
        assert (answer.status_code, answer.content) == (403, b"")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_metadata_without_a_known_name(client: httpx.Client, paths: list[str], method: str) -> None:
    answer = client.request(method, f"{paths[3]}/metadata/Nope")
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (404, 7)


def test_attachments(client: httpx.Client, paths: list[str]) -> None:
    for path in paths:
        written = client.put(f"{path}/attachments/1024", content=b"0123456789")
        assert (written.status_code, written.json()) == (200, {})
        base = f"{path}/attachments/1024"
        assert client.get(f"{path}/attachments?full").json()["1024"] == 1024
        assert "info" in client.get(base).json()
        info = client.get(base + "/info").json()
        assert (info["UncompressedSize"], info["UncompressedMD5"]) == (10, "781e5e245d69b566979b86e28d23f2c7")
        assert client.get(base + "/md5").text == "781e5e245d69b566979b86e28d23f2c7"
        assert client.get(base + "/compressed-md5").text == "781e5e245d69b566979b86e28d23f2c7"
        assert client.get(base + "/size").text == client.get(base + "/compressed-size").text == "10"
        assert client.get(base + "/is-compressed").text == "0"
        data = client.get(base + "/data")
        assert (data.content, data.headers["etag"]) == (b"0123456789", written.headers["etag"])
        assert data.headers["content-disposition"] == f'filename="{info["Uuid"]}"'
        assert "sandbox" in data.headers["content-security-policy"]
        assert client.get(base + "/compressed-data").content == b"0123456789"
        assert client.get(base + "/data", headers={"If-None-Match": data.headers["etag"]}).status_code == 304
        assert client.post(base + "/verify-md5").json() == {}
        assert client.delete(base).status_code == 200
        assert client.get(base + "/data").json()["OrthancStatus"] == 17


@pytest.mark.parametrize(
    ("header", "part", "content_range"),
    [
        ("bytes=128-131", b"DICM", "bytes 128-131/{}"),
        ("bytes=-4", None, None),
        ("bytes=0-", None, "bytes 0-{}/{}"),
    ],
)
def test_parts_of_files(
    client: httpx.Client, paths: list[str], header: str, part: bytes | None, content_range: str | None
) -> None:
    whole = client.get(paths[3] + "/file").content
    for name in ("data", "compressed-data"):
        answer = client.get(f"{paths[3]}/attachments/dicom/{name}", headers={"Range": header})
        assert answer.status_code == 206
        if part is not None:
            assert answer.content == part
        if content_range is not None:
            last = len(whole) - 1
            expected = content_range.format(len(whole)) if part else content_range.format(last, len(whole))
            assert answer.headers["content-range"] == expected
    assert client.get(paths[3] + "/file", headers={"Range": header}).content == whole


def test_part_of_a_large_file_is_streamed(client: httpx.Client) -> None:
    data = dicom_file(pixels=1500)
    path = client.post("/instances", content=data).json()["Path"]
    answer = client.get(path + "/attachments/dicom/data", headers={"Range": "bytes=1000-3000000"})
    assert answer.content == data[1000:3000001]


@pytest.mark.parametrize("header", ["bytes=9999999-", "lines=1-2", "bytes=a-b", "bytes=10-5"])
def test_parts_that_are_not_there(client: httpx.Client, paths: list[str], header: str) -> None:
    answer = client.get(paths[3] + "/attachments/dicom/data", headers={"Range": header})
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (416, 41)


def test_the_file_of_an_instance_stays(client: httpx.Client, paths: list[str]) -> None:
    for answer in (
        client.put(paths[3] + "/attachments/dicom", content=b"x"),
        client.delete(paths[3] + "/attachments/dicom"),
    ):
        assert (answer.status_code, answer.content) == (403, b"")


def test_attachment_of_nothing(client: httpx.Client) -> None:
    assert client.put(f"/studies/{UNKNOWN}/attachments/1024", content=b"x").json()["OrthancStatus"] == 7


def test_revisions_are_checked(archive: Archive) -> None:
    checking = replace(archive, settings=replace(archive.settings, check_revisions=True))
    with serving_archive(Services(checking)) as served, httpx.Client(base_url=served.url) as client:
        path = client.post("/instances", content=dicom_file()).json()["Path"]
        for name in ("metadata/1024", "attachments/1024"):
            first = client.put(f"{path}/{name}", content=b"a").headers["etag"]
            assert client.put(f"{path}/{name}", content=b"b").json()["OrthancStatus"] == 43
            assert client.put(f"{path}/{name}", content=b"b", headers={"If-Match": '"5"'}).status_code == 409
            assert client.put(f"{path}/{name}", content=b"b", headers={"If-Match": "nope"}).status_code == 400
            second = client.put(f"{path}/{name}", content=b"b", headers={"If-Match": first}).headers["etag"]
            third = client.put(f"{path}/{name}", content=b"c", headers={"If-Match": '"1"'}).headers["etag"]
            assert client.delete(f"{path}/{name}", headers={"If-Match": second}).status_code == 409
            assert client.delete(f"{path}/{name}").status_code == 409
            assert client.delete(f"{path}/{name}", headers={"If-Match": third}).status_code == 200


def test_protection(client: httpx.Client, paths: list[str]) -> None:
    assert client.get(paths[0] + "/protected").text == "0"
    assert client.put(paths[0] + "/protected", content=b"1").status_code == 200
    assert client.get(paths[0] + "/protected").text == "1"
    assert client.get(paths[0]).json()["IsProtected"] is True
    assert client.put(paths[0] + "/protected", content=b"maybe").json()["OrthancStatus"] == 15
    assert client.get(f"/patients/{UNKNOWN}/protected").json()["OrthancStatus"] == 3


def test_changes(client: httpx.Client, paths: list[str]) -> None:
    page = client.get("/changes").json()
    assert [change["ChangeType"] for change in page["Changes"]] == [
        "NewInstance",
        "NewSeries",
        "NewStudy",
        "NewPatient",
    ]
    assert (page["Done"], page["First"], page["Last"]) == (True, 1, 4)
    assert page["Changes"][0]["Path"] == paths[3]
    assert client.get("/changes?since=2&limit=1").json()["Changes"][0]["Seq"] == 3
    assert client.get("/changes?limit=1").json()["Done"] is False
    assert client.get("/changes?last").json()["Changes"][0]["Seq"] == 4
    assert client.get("/changes?to=2").json()["Last"] == 2
    assert len(client.get("/changes?type=NewStudy;NewPatient").json()["Changes"]) == 2
    assert client.get("/changes?type=Nope").json()["OrthancStatus"] == 3
    assert client.get("/changes?limit=-1").json() == {"Changes": [], "Done": True, "Last": 4}
    assert client.get("/changes?since=a").json() == page
    assert client.delete("/changes").status_code == 200
    assert client.get("/changes").json() == {"Changes": [], "Done": True, "Last": 4}
    assert client.get("/exports").json() == {"Done": True, "Exports": [], "Last": 0}
    assert client.get("/exports?last").json()["Exports"] == []
    assert client.delete("/exports").status_code == 200

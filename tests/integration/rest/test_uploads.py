from __future__ import annotations

import gzip
import io
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from amonsul.web.rest import uploads
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.rest.dicom_files import dicom_file, zip_of
from tests.integration.rest.serving import serving_archive


def incoming(folder: Path) -> list[Path]:
    """Files of bodies and members that were left behind."""
    return [path for path in (folder / "incoming").rglob("*") if path.is_file() and path.name != ".lock"]


def count(client: httpx.Client) -> int:
    return int(client.get("/statistics").json()["CountInstances"])


def test_a_file_is_stored_and_comes_back(client: httpx.Client) -> None:
    data = dicom_file()
    stored = client.post("/instances", content=data).json()
    assert stored["Status"] == "Success"
    assert stored["Path"] == f"/instances/{stored['ID']}"
    assert set(stored) == {"ID", "ParentPatient", "ParentSeries", "ParentStudy", "Path", "Status"}
    assert client.get(stored["Path"] + "/file").content == data
    assert client.post("/instances", content=data).json()["Status"] == "AlreadyStored"


def test_a_large_file_is_spooled_and_streamed(client: httpx.Client, folder: Path) -> None:
    data = dicom_file(pixels=2400)
    stored = client.post("/instances", content=data).json()
    answer = client.get(stored["Path"] + "/file")
    assert answer.content == data
    assert int(answer.headers["content-length"]) == len(data)
    assert incoming(folder) == []


def test_a_chunked_upload(client: httpx.Client) -> None:
    data = dicom_file()
    stored = client.post("/instances", content=iter([data[:100], data[100:]])).json()
    assert stored["Status"] == "Success"


def test_gzip(client: httpx.Client) -> None:
    both = gzip.compress(dicom_file()[:1000]) + gzip.compress(dicom_file()[1000:])
    for body in (gzip.compress(dicom_file(instance=2)), both):
        stored = client.post("/instances", content=body, headers={"Content-Encoding": "gzip"})
        assert stored.json()["Status"] == "Success"


@pytest.mark.parametrize(
    "body",
    [
        dicom_file(),
        gzip.compress(dicom_file())[:-20],
        gzip.compress(dicom_file())[:-8] + b"\0" * 8,
        gzip.compress(dicom_file()) + b"more",
        b"",
    ],
    ids=["plain", "cut", "wrong checksum", "trailing", "empty"],
)
def test_gzip_that_is_none(client: httpx.Client, body: bytes, folder: Path) -> None:
    answer = client.post("/instances", content=body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 15)
    assert incoming(folder) == []


def test_gzip_that_expands_beyond_reason(client: httpx.Client, folder: Path) -> None:
    bomb = gzip.compress(bytes(100 << 20))
    answer = client.post("/instances", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert incoming(folder) == []


def test_unknown_codings_are_ignored(client: httpx.Client) -> None:
    answer = client.post("/instances", content=dicom_file(), headers={"Content-Encoding": "br"})
    assert answer.json()["Status"] == "Success"


@pytest.mark.parametrize(
    ("body", "details"),
    [(b"", "empty"), (b"not DICOM at all", ""), (b'{"a":1}', ""), (dicom_file()[:200], ""), (dicom_file()[:-10], "")],
)
def test_what_is_not_dicom(client: httpx.Client, body: bytes, details: str) -> None:
    answer = client.post("/instances", content=body)
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 15)
    assert details in answer.json().get("Details", "")


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_identifiers_are_needed(client: httpx.Client, missing: str) -> None:
    answer = client.post("/instances", content=dicom_file(attributes={missing: None}))
    assert answer.status_code == 400
    assert count(client) == 0


# ---------------------------------------------------------------------------------------------------- ZIP


def test_zip_of_many(client: httpx.Client) -> None:
    members = [(f"folder/{n}.dcm", dicom_file(instance=n)) for n in range(1, 4)]
    stored = client.post("/instances", content=zip_of(members)).json()
    assert [one["Status"] for one in stored] == ["Success"] * 3
    again = client.post("/instances", content=zip_of([*members, ("new", dicom_file(instance=9))])).json()
    assert [one["Status"] for one in again] == ["AlreadyStored"] * 3 + ["Success"]


def test_zip_members_that_are_no_dicom_are_passed_over(client: httpx.Client, folder: Path) -> None:
    members = [
        ("readme.txt", b"hello"),
        ("empty", b""),
        ("DICOMDIR", dicom_file(attributes={"SOPInstanceUID": None})),
        ("inner.zip", zip_of([("a.dcm", dicom_file(instance=7))])),
        ("folder/", b""),
        ("../../../escape.dcm", dicom_file()),
    ]
    stored = client.post("/instances", content=zip_of(members)).json()
    assert [one["Status"] for one in stored] == ["Success"]
    assert count(client) == 1
    assert incoming(folder) == []


def test_zip_members_that_claim_to_be_dicom_are_told(client: httpx.Client) -> None:
    stored = client.post("/instances", content=zip_of([("a", dicom_file()[:300]), ("b", dicom_file())])).json()
    assert [one["Status"] for one in stored] == ["Failure", "Success"]
    assert stored[0]["Member"] == 0


@pytest.mark.parametrize("members", [[], [("readme.txt", b"hello")]])
def test_zip_without_dicom(client: httpx.Client, members: list[tuple[str, bytes]]) -> None:
    assert client.post("/instances", content=zip_of(members)).json() == []


def test_zip_that_is_cut(client: httpx.Client) -> None:
    answer = client.post("/instances", content=zip_of([("a", dicom_file())])[:-30])
    assert answer.status_code == 400


def test_zip_with_a_wrong_checksum(client: httpx.Client, folder: Path) -> None:
    data = bytearray(zip_of([("a", dicom_file())], zipfile.ZIP_STORED))
    data[300] ^= 0xFF
    assert client.post("/instances", content=bytes(data)).status_code == 400
    assert count(client) == 0
    assert incoming(folder) == []


def test_zip_with_a_forged_size(client: httpx.Client) -> None:
    data = bytearray(zip_of([("a", dicom_file())]))
    position = data.rfind(b"PK\1\2")
    struct.pack_into("<L", data, position + 24, 10)
    assert client.post("/instances", content=bytes(data)).status_code == 400


def test_zip_that_expands_beyond_reason(client: httpx.Client, folder: Path) -> None:
    answer = client.post("/instances", content=zip_of([("a", bytes(100 << 20))]))
    assert answer.status_code == 400
    assert incoming(folder) == []


def test_zip_that_expands_beyond_reason_in_small_steps(client: httpx.Client, folder: Path) -> None:
    answer = client.post("/instances", content=zip_of([(str(n), bytes(10 << 20)) for n in range(10)]))
    assert answer.status_code == 400
    assert incoming(folder) == []


def test_zip_with_members_that_overlap(client: httpx.Client) -> None:
    data = zip_of([("a", dicom_file())], zipfile.ZIP_STORED)
    start = data.rfind(b"PK\1\2")
    end = data.rfind(b"PK\5\6")
    entry = data[start:end]
    trailer = bytearray(data[end:])
    struct.pack_into("<HHL", trailer, 8, 50, 50, len(entry) * 50)
    assert client.post("/instances", content=data[:start] + entry * 50 + bytes(trailer)).status_code == 400
    assert count(client) == 0


def test_zip_with_too_many_members(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_MEMBERS", 3)
    members = [(str(n), dicom_file(instance=n)) for n in range(1, 5)]
    assert client.post("/instances", content=zip_of(members)).status_code == 400
    assert count(client) == 0
    assert client.post("/instances", content=zip_of(members[:3])).status_code == 200


def test_zip_with_a_member_that_is_too_large(services: Services) -> None:
    small = replace(services, settings=WebSettings(maximum_archived_file_size=10_000))
    with serving_archive(small) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        assert client.post("/instances", content=zip_of([("a", dicom_file(pixels=100))])).status_code == 400
        assert client.post("/instances", content=dicom_file(pixels=100)).status_code == 200


def test_encrypted_zip(client: httpx.Client) -> None:
    data = bytearray(zip_of([("a", dicom_file())]))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(magic) + offset] |= 1
    assert client.post("/instances", content=bytes(data)).status_code == 400


def test_zip64(client: httpx.Client) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.dcm", "w", force_zip64=True) as member:
        member.write(dicom_file())
    assert client.post("/instances", content=buffer.getvalue()).json()[0]["Status"] == "Success"


# ---------------------------------------------------------------------------------------------------- forms


def test_form_with_one_file(client: httpx.Client) -> None:
    stored = client.post("/instances", files={"file": ("a.dcm", dicom_file(), "application/dicom")}).json()
    assert stored["Status"] == "Success"


def test_form_with_several_files_and_a_field(client: httpx.Client, folder: Path) -> None:
    files = [("file", (f"{n}.dcm", dicom_file(instance=n, pixels=n * 900), "application/dicom")) for n in (1, 2, 3)]
    stored = client.post("/instances", files=files, data={"comment": "hello"}).json()
    assert [one["Status"] for one in stored] == ["Success"] * 3
    assert incoming(folder) == []


def test_form_with_a_bad_file(client: httpx.Client, folder: Path) -> None:
    assert client.post("/instances", files={"file": ("a.txt", b"hello", "text/plain")}).status_code == 400
    assert incoming(folder) == []


def form(body: bytes, boundary: str = "B") -> dict[str, object]:
    return {"content": body, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}}


def test_form_without_parts(client: httpx.Client) -> None:
    assert client.post("/instances", **form(b"--B--\r\n")).json() == []  # type: ignore[arg-type]  # keyword arguments


@pytest.mark.parametrize(
    "broken",
    [
        form(b"", "x" * 71),
        form(b"no boundary here"),
        form(b'--B\r\nContent-Disposition: form-data; filename="a"\r\n\r\nabc'),
        form(b"--B\r\n" + b"X: y\r\n" * 100 + b"\r\nabc\r\n--B--\r\n"),
        form(b"--B\r\nX: " + b"y" * 9000 + b"\r\n\r\nabc\r\n--B--\r\n"),
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    ],
    ids=["long boundary", "none", "no end", "many headers", "long header", "no boundary"],
)
def test_forms_that_are_broken(client: httpx.Client, broken: dict[str, object], folder: Path) -> None:
    assert client.post("/instances", **broken).status_code == 400  # type: ignore[arg-type]  # keyword arguments
    assert incoming(folder) == []


def test_form_with_too_many_parts(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PARTS", 10)
    body = b"--B\r\n\r\n\r\n" * 11 + b"--B--\r\n"
    assert client.post("/instances", **form(body)).status_code == 400  # type: ignore[arg-type]  # keyword arguments

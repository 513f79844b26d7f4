"""The DICOMweb client against servers that do as the test says, over real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from amonsul.blobs.spool import Spool
from amonsul.clients import dicomweb
from amonsul.clients import http as http_module
from amonsul.clients.dicomweb import File, Stored
from amonsul.clients.http import HttpClient, HttpSettings, Session, WebServer
from amonsul.errors import AmonsulError, NetworkProtocolError, PayloadTooLarge, UnknownResource
from tests.integration.clients.http_hosts import Host, Talk, read_request

PARTS = [b"first", b"", b"third\r\n--almost", bytes(300_000)]
BODY = b"".join(b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + part for part in PARTS) + b"\r\n--b--"
MULTIPART = b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n'


def framed(body: bytes, headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer that tells its length."""
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, headers: bytes, size: int = 1000) -> bytes:
    """An answer in chunks."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\n" + headers + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def until_closed(body: bytes, headers: bytes) -> bytes:
    """An answer that ends with its connection."""
    return b"HTTP/1.1 200 OK\r\n" + headers + b"Connection: close\r\n\r\n" + body


def saying(answer: bytes, noted: list[bytes] | None = None) -> Talk:
    """Answers every request alike, and closes if the answer says so."""

    def talk(link: socket.socket, _: int) -> None:
        while request := read_request(link):
            if noted is not None:
                noted.append(request)
            link.sendall(answer)
            if b"Connection: close" in answer:
                return

    return talk


@contextlib.contextmanager
def session(talk: Talk, settings: HttpSettings | None = None) -> Iterator[Session]:
    """A session with a server that does as it is told."""
    with Host(talk) as host, HttpClient(settings).session(WebServer(host.url)) as found:
        yield found


def instances(there: Session, folder: Path, limit: int = 1 << 20) -> list[bytes]:
    """What a retrieval brings."""
    files = []
    for arrived in dicomweb.retrieve(there, "studies/1", {}, lambda: Spool(lambda: folder / "spool", 100, limit)):
        if arrived.file is not None:
            files.append(bytes(arrived.file.view()))
            arrived.file.discard()
    return files


@pytest.mark.parametrize("form", [framed, chunked, until_closed])
def test_parts_come_out_whatever_frames_them(tmp_path: Path, form: object) -> None:
    assert callable(form)
    with session(saying(form(BODY, MULTIPART))) as there:
        assert instances(there, tmp_path) == PARTS
        assert instances(there, tmp_path) == PARTS
    assert list(tmp_path.iterdir()) == []


def test_one_instance_may_come_alone(tmp_path: Path) -> None:
    with session(saying(framed(b"file", b"Content-Type: application/dicom\r\n"))) as there:
        assert instances(there, tmp_path) == [b"file"]


def test_no_content_is_no_instance(tmp_path: Path) -> None:
    with session(saying(b"HTTP/1.1 204 No Content\r\n\r\n")) as there:
        assert instances(there, tmp_path) == []
        assert dicomweb.search(there, "studies", {}) == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (framed(b"", b"", b"404 Not Found"), UnknownResource),
        (framed(b"", b"", b"410 Gone"), UnknownResource),
        (framed(b"", b"Location: http://elsewhere/\r\n", b"302 Found"), NetworkProtocolError),
        (framed(b"", b"", b"401 Unauthorized"), NetworkProtocolError),
        (framed(b"", b"", b"503 Unavailable"), NetworkProtocolError),
        (framed(BODY, b"Content-Type: text/html\r\n"), NetworkProtocolError),
        (framed(BODY, b""), NetworkProtocolError),
        (framed(BODY, b"Content-Type: multipart/related\r\n"), NetworkProtocolError),
        (framed(BODY, b"Content-Type: multipart/related; boundary=" + b"b" * 300 + b"\r\n"), NetworkProtocolError),
        (framed(BODY, MULTIPART + b"Content-Encoding: gzip\r\n"), NetworkProtocolError),
        (framed(BODY.replace(b"application/dicom", b"text/html"), MULTIPART), NetworkProtocolError),
        (framed(BODY[:-2], MULTIPART), NetworkProtocolError),
        (until_closed(BODY[:-10], MULTIPART), NetworkProtocolError),
        (until_closed(framed(BODY, MULTIPART)[17:-10], MULTIPART), NetworkProtocolError),
        (chunked(BODY, MULTIPART)[:-400] + b"Connection: close", NetworkProtocolError),
        (framed(b"x" * 100_000, MULTIPART), NetworkProtocolError),
        (framed(b"--b\r\n" + b"A: " + b"x" * 10_000, MULTIPART), NetworkProtocolError),
    ],
)
def test_what_is_no_answer_of_instances_is_refused(tmp_path: Path, answer: bytes, error: type[AmonsulError]) -> None:
    with session(saying(answer)) as there, pytest.raises(error):
        instances(there, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_cut_short_is_no_success(tmp_path: Path) -> None:
    def talk(link: socket.socket, _: int) -> None:
        read_request(link)
        link.sendall(framed(BODY, MULTIPART)[:-1000])

    with session(talk) as there, pytest.raises(NetworkProtocolError):
        instances(there, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_instance_is_bounded(tmp_path: Path) -> None:
    with session(saying(framed(BODY, MULTIPART))) as there, pytest.raises(PayloadTooLarge):
        instances(there, tmp_path, limit=299_999)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_drips_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "_LONG_ENOUGH_S", 0.0)
    monkeypatch.setattr(http_module, "_SLOWEST", 1 << 60)
    with session(saying(framed(BODY, MULTIPART))) as there, pytest.raises(NetworkProtocolError, match="slowly"):
        instances(there, tmp_path)


def test_a_server_that_says_nothing_is_left(tmp_path: Path) -> None:
    def talk(link: socket.socket, _: int) -> None:
        read_request(link)
        link.recv(1)

    with session(talk, HttpSettings(timeout_s=0.05)) as there, pytest.raises(NetworkProtocolError):
        instances(there, tmp_path)


def test_a_connection_is_kept_only_if_the_answer_was_read(tmp_path: Path) -> None:
    with Host(saying(framed(BODY, MULTIPART))) as host, HttpClient().session(WebServer(host.url)) as there:
        with contextlib.closing(
            dicomweb.retrieve(there, "x", {}, lambda: Spool(lambda: tmp_path / "spool", 100))
        ) as answer:
            next(answer)
        assert instances(there, tmp_path) == PARTS
        assert instances(there, tmp_path) == PARTS
        assert host.connections == 2
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------- searches

STUDIES = [{"0020000D": {"vr": "UI", "Value": ["1.2"]}}, {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}}]
AS_XML = (
    b'<NativeDicomModel><DicomAttribute tag="0020000D" vr="UI"><Value number="1">1.2</Value>'
    b"</DicomAttribute></NativeDicomModel>"
)


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (json.dumps(STUDIES).encode(), b"application/dicom+json", STUDIES),
        (json.dumps(STUDIES).encode(), b"application/json; charset=utf-8", STUDIES),
        (json.dumps(STUDIES[0]).encode(), b"application/dicom+json", STUDIES[:1]),
        (b"[]", b"application/dicom+json", []),
        (b"", b"application/dicom+json", []),
        (AS_XML, b"application/dicom+xml", STUDIES[:1]),
        (
            b"--x\r\nContent-Type: application/dicom+xml\r\n\r\n" + AS_XML + b"\r\n--x--",
            b'multipart/related; type="application/dicom+xml"; boundary=x',
            STUDIES[:1],
        ),
    ],
)
def test_data_sets_are_read_in_json_and_xml(body: bytes, media_type: bytes, expected: object) -> None:
    with session(saying(framed(body, b"Content-Type: " + media_type + b"\r\n"))) as there:
        assert dicomweb.search(there, "studies", {}) == expected


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"{", b"application/json"),
        (b"[1]", b"application/json"),
        (b'[{"x": {}}]', b"application/json"),
        (b'[{"00100010": 1}]', b"application/json"),
        (b'[{"00100010": {"vr": 1}}]', b"application/json"),
        (b'[{"00100010": {"vr": "PN", "Value": "A"}}]', b"application/json"),
        (b'[{"00081115": {"vr": "SQ", "Value": ["x"]}}]', b"application/json"),
        (
            b'[{"00081115": {"vr": "SQ", "Value": ' * 100 + b"[]" + b"}}]" * 100,
            b"application/json",
        ),
        (b"[" * 100_000, b"application/json"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><NativeDicomModel/>", b"application/dicom+xml"),
        (b"<a/>", b"application/dicom+xml"),
        (b"--x\r\n\r\n<a>\r\n--x--", b"multipart/related; boundary=x"),
        (b"<html/>", b"text/html"),
    ],
)
def test_what_is_no_data_set_is_refused(body: bytes, media_type: bytes) -> None:
    answer = framed(body, b"Content-Type: " + media_type + b"\r\n")
    with session(saying(answer)) as there, pytest.raises(NetworkProtocolError):
        dicomweb.search(there, "studies", {})


def test_what_is_searched_for_is_in_no_message() -> None:
    with session(saying(framed(b"", b"", b"500 Error"))) as there, pytest.raises(NetworkProtocolError) as refusal:
        dicomweb.search(there, dicomweb.path("studies", {"PatientName": "Doe"}), {})
    assert "/api/studies was answered" in str(refusal.value)
    assert "Doe" not in str(refusal.value)


def test_answers_of_a_search_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "_MAX_ANSWERS_SIZE", 1000)
    answer = framed(b" " * 1001, b"Content-Type: application/json\r\n")
    with session(saying(answer)) as there, pytest.raises(NetworkProtocolError, match="more than"):
        dicomweb.search(there, "studies", {})


# ---------------------------------------------------------------------------------------------------- stores

UIDS = ["1.2.1", "1.2.2"]


def file_of(sop_instance_uid: str, pieces: list[bytes]) -> File:
    """An instance in pieces."""
    return File(sop_instance_uid, sum(map(len, pieces)), lambda: pieces)


FILES = [file_of(uid, [b"x" * size] * 3) for uid, size in zip(UIDS, (1, 500), strict=True)]


def sequence(uids: list[str], reason: int | None = None) -> dict[str, object]:
    """Items that speak of instances."""
    more = {} if reason is None else {"00081197": {"vr": "US", "Value": [reason]}}
    return {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}, **more} for uid in uids]}


def stored(answer: bytes, *, is_chunked: bool = True, noted: list[bytes] | None = None) -> Stored:
    """What a client makes of an answer to a store."""

    def talk(link: socket.socket, _: int) -> None:
        data = b""
        while not data.endswith(b"--\r\n\r\n0\r\n\r\n" if is_chunked else b"--\r\n"):
            piece = link.recv(65536)
            if not piece:
                return
            data += piece
        if noted is not None:
            noted.append(data)
        link.sendall(answer)

    with session(talk) as there:
        return dicomweb.store(there, FILES, {}, is_chunked=is_chunked)


def response(model: object, status: bytes = b"200 OK", media_type: bytes = b"application/dicom+json") -> bytes:
    """An answer to a store."""
    return framed(json.dumps(model).encode(), b"Content-Type: " + media_type + b"\r\n", status)


@pytest.mark.parametrize("is_chunked", [True, False])
def test_instances_go_in_one_request(is_chunked: bool) -> None:
    noted: list[bytes] = []
    outcome = stored(response({"00081199": sequence(UIDS)}), is_chunked=is_chunked, noted=noted)
    assert (outcome.refused, outcome.status) == ({}, 200)
    head, _, body = noted[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/studies HTTP/1.1\r\n")
    assert b"Accept: application/dicom+json\r\n" in head
    if is_chunked:
        assert b"Transfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
    else:
        assert b"Content-Length: %d" % len(body) in head
        assert len(body) == outcome.sent
        boundary = head.partition(b"boundary=")[2][:32]
        assert body.count(b"--" + boundary) == 3
        assert b"\r\nContent-Type: application/dicom\r\n\r\nxxx\r\n--" in body


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (response({"00081199": sequence(UIDS)}), {}),
        (response([{"00081199": sequence(UIDS)}]), {}),
        (response({"00081199": sequence(UIDS[:1])}), {"1.2.2": "the server does not say that it stored it"}),
        (
            response({"00081199": sequence(["9"])}, b"202 Accepted"),
            dict.fromkeys(UIDS, "the server does not say that it stored it"),
        ),
        (
            response({"00081199": sequence(UIDS[:1]), "00081198": sequence(UIDS[1:], 0xA700)}, b"202 Accepted"),
            {"1.2.2": "failure reason 0xA700"},
        ),
        (response({"00081198": sequence(UIDS, 0x0110)}, b"409 Conflict"), dict.fromkeys(UIDS, "failure reason 0x0110")),
        (response({"00081198": sequence(UIDS)}, b"409 Conflict"), dict.fromkeys(UIDS, "refused without a reason")),
        (
            response({"00081199": sequence(UIDS), "00081198": sequence(UIDS, 1)}),
            dict.fromkeys(UIDS, "failure reason 0x0001"),
        ),
    ],
)
def test_only_what_the_server_says_to_have_stored_is_stored(answer: bytes, refused: dict[str, str]) -> None:
    assert stored(answer).refused == refused


def test_the_answer_may_be_xml() -> None:
    item = (
        '<Item number="{}"><DicomAttribute tag="00081155" vr="UI"><Value number="1">{}</Value></DicomAttribute></Item>'
    )
    items = "".join(item.format(number, uid) for number, uid in enumerate(UIDS, 1))
    body = f'<NativeDicomModel><DicomAttribute tag="00081199" vr="SQ">{items}</DicomAttribute></NativeDicomModel>'
    assert stored(framed(body.encode(), b"Content-Type: application/dicom+xml\r\n")).refused == {}


@pytest.mark.parametrize(
    "answer",
    [
        framed(b"", b""),
        framed(b"done", b"Content-Type: text/plain\r\n"),
        response([]),
        response(1),
        response({"00081199": 1}),
        response({}, b"400 Bad Request"),
        response({}, b"500 Error"),
        framed(b"", b"", b"409 Conflict"),
        framed(b"", b"Location: http://elsewhere/\r\n", b"307 Temporary Redirect"),
    ],
)
def test_a_server_that_does_not_tell_what_it_stored_stored_nothing(answer: bytes) -> None:
    with pytest.raises(NetworkProtocolError):
        stored(answer)


def test_a_file_that_is_replaced_on_the_way_ends_the_request() -> None:
    files = [File("1.2", 10, lambda: iter([b"more than that"]))]
    with session(saying(b"")) as there, pytest.raises(NetworkProtocolError, match="replaced"):
        dicomweb.store(there, files, {}, is_chunked=True)


def test_headers_do_not_say_where_a_body_ends() -> None:
    noted: list[bytes] = []
    smuggled = {"Content-Length": "7", "transfer-encoding": "chunked"}
    with session(saying(framed(b"[]", b"Content-Type: application/json\r\n"), noted)) as there:
        dicomweb.search(there, "studies", smuggled)
    assert b"content-length" not in noted[0].lower()
    assert b"transfer-encoding" not in noted[0].lower()

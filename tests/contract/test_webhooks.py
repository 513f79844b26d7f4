"""Webhooks: told in order, signed, again after a failure, by one process at a time."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from amonsul.archive import changes, edit
from amonsul.archive.context import Archive
from amonsul.clients.web_address import WebAddress, is_allowed, post
from amonsul.database import Database, DatabaseSettings, open_database, outbox
from amonsul.dicom.levels import Level
from amonsul.errors import NetworkProtocolError, ParameterOutOfRange
from amonsul.jobs.webhooks import Webhook, WebhookSender
from tests.contract.storing import store_instance

SECRET = "a secret of the ris"


class Receiver:
    """Remembers what it was told; answers what it is told to."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.statuses: list[int] = []
        self.now = 1_000_000.0

    def __call__(self, _address: WebAddress, body: bytes, headers: dict[str, str]) -> int:
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 0:
            raise NetworkProtocolError("nobody there")
        if status < 300:
            stamp = headers["X-Amonsul-Timestamp"].encode()
            expected = hmac.new(SECRET.encode(), stamp + b"." + body, hashlib.sha256).hexdigest()
            assert headers["X-Amonsul-Signature"] == f"sha256={expected}"
            self.told += [(change["Seq"], change["ChangeType"]) for change in json.loads(body)["Changes"]]
        return status

    def clock(self) -> float:
        return self.now


def sender(database: Database, receiver: Receiver, *types: str, name: str = "ris") -> WebhookSender:
    made = WebhookSender(
        database, [Webhook.of(name, "https://ris.example/changed", SECRET, types)], receiver, receiver.clock
    )
    made.register()
    return made


def drain(one: WebhookSender) -> None:
    while one.tick():
        pass


def waiting(database: Database) -> int:
    with database.read() as tx:
        return len(outbox.after(tx, 0, 1000))


def test_changes_after_the_registration_are_told_in_order(archive: Archive) -> None:
    store_instance(archive, 1)
    receiver = Receiver()
    one = sender(archive.database, receiver)
    drain(one)
    assert receiver.told == []
    stored = store_instance(archive, 2)
    edit.set_metadata(archive, Level.STUDY, stored.study_id, "1024", b"x")
    drain(one)
    assert receiver.told == [
        (5, "NewInstance"),
        (6, "NewSeries"),
        (7, "NewStudy"),
        (8, "NewPatient"),
        (9, "UpdatedMetadata"),
    ]
    assert waiting(archive.database) == 0
    drain(sender(archive.database, receiver))  # the next start
    assert len(receiver.told) == 5


def test_nothing_is_lost_with_the_log_or_the_resource(archive: Archive) -> None:
    receiver = Receiver()
    one = sender(archive.database, receiver, "NewStudy")
    stored = store_instance(archive)
    edit.delete(archive, Level.PATIENT, stored.patient_id)
    changes.clear(archive)
    drain(one)
    assert receiver.told == [(3, "NewStudy")]
    assert waiting(archive.database) == 0


def test_a_failure_is_tried_again_later_and_later_and_nothing_is_skipped(archive: Archive) -> None:
    receiver = Receiver()
    one = sender(archive.database, receiver)
    store_instance(archive)
    receiver.statuses = [500, 0, 302, 404]
    for wait in (2, 4, 8, 16):
        drain(one)
        assert receiver.told == []
        receiver.now += wait - 1
        before = len(receiver.statuses)
        drain(one)
        assert len(receiver.statuses) == before  # not yet
        receiver.now += 2
    drain(one)
    assert [number for number, _ in receiver.told] == [1, 2, 3, 4]


def test_many_changes_go_in_several_requests(archive: Archive) -> None:
    receiver = Receiver()
    one = sender(archive.database, receiver)
    study = store_instance(archive).study_id
    for number in range(250):
        edit.set_metadata(archive, Level.STUDY, study, "1024", str(number).encode())
    drain(one)
    assert [number for number, _ in receiver.told] == list(range(1, 255))


def test_one_process_delivers_and_another_takes_over(
    archive: Archive, database: Database, database_settings: DatabaseSettings
) -> None:
    other_database = open_database(database_settings)
    receiver = Receiver()
    first, second = sender(database, receiver), sender(other_database, receiver)
    store_instance(archive)
    drain(first)
    study = store_instance(archive, 2).study_id
    drain(second)  # the first holds the lease
    assert len(receiver.told) == 4
    receiver.now += 61  # and is gone, it seems
    drain(second)
    drain(first)
    edit.set_metadata(archive, Level.STUDY, study, "1024", b"x")
    drain(first)
    drain(second)
    assert [number for number, _ in receiver.told] == list(range(1, 10))
    other_database.close()


def test_a_webhook_that_is_configured_no_more_keeps_nothing(archive: Archive) -> None:
    sender(archive.database, Receiver())
    store_instance(archive)
    assert waiting(archive.database) == 4
    sender(archive.database, Receiver(), name="other")
    assert waiting(archive.database) == 0
    WebhookSender(archive.database, []).register()
    store_instance(archive, 2)
    assert waiting(archive.database) == 0


@pytest.mark.parametrize(
    ("url", "secret", "types"),
    [
        ("ftp://ris/", SECRET, ()),
        ("file:///etc/passwd", SECRET, ()),
        ("gopher://ris/", SECRET, ()),
        ("ris", SECRET, ()),
        ("https:///x", SECRET, ()),
        ("https://user:word@ris/", SECRET, ()),
        ("https://ris:99999/", SECRET, ()),
        ("https://ris/a b", SECRET, ()),
        ("https://ris/", "short", ()),
        ("https://ris/", SECRET, ("Nothing",)),
    ],
)
def test_what_cannot_be_a_webhook(url: str, secret: str, types: tuple[str, ...]) -> None:
    with pytest.raises(ParameterOutOfRange):
        Webhook.of("ris", url, secret, types)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "not an address",
    ],
)
def test_addresses_that_requests_may_not_go_to(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "192.168.1.1", "93.184.216.34", "::1", "fd00::1"])
def test_addresses_that_requests_may_go_to(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "0.0.0.0", "2852039166"])
def test_nothing_leaves_for_an_address_that_is_not_allowed(host: str) -> None:
    with pytest.raises(NetworkProtocolError, match="may not go"):
        post(WebAddress.parse(f"http://{host}:1/latest"), b"", {}, 1)


def test_a_request_goes_out_and_no_redirect_is_followed() -> None:
    seen: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Host"], body))
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        port = server.server_address[1]
        address = WebAddress.parse(f"http://127.0.0.1:{port}/changed?a=b")
        assert post(address, b"{}", {"Content-Type": "application/json"}, 30) == 302
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert seen == [("/changed?a=b", f"127.0.0.1:{port}", b"{}")]


def test_nobody_there_is_told() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen, nor can anybody else
        address = WebAddress.parse(f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        with pytest.raises(NetworkProtocolError, match="cannot reach"):
            post(address, b"{}", {}, 30)

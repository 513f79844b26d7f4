from __future__ import annotations

import base64
import logging

import argon2
import pytest

from amonsul.web.auth import BadUser, Credentials, Gate, TooManyFailures, bind_addresses, host_name, is_loopback
from amonsul.web.settings import WebSettings

HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("päss")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def basic(name: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{name}:{password}".encode())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credentials(clock: Clock) -> Credentials:
    return Credentials({"alice": "secret", "bob": "p:ss wörd", "carol": HASH}, clock)


@pytest.mark.parametrize(("name", "password"), [("alice", "secret"), ("bob", "p:ss wörd"), ("carol", "päss")])
def test_right_passwords(credentials: Credentials, name: str, password: str) -> None:
    header = basic(name, password)
    assert credentials.remembered(header) is None
    assert credentials.check(header, "10.0.0.1") == name
    assert credentials.remembered(header) == name


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "wrong"),
        basic("nobody", "secret"),
        basic("carol", "secret"),
        basic("carol", HASH),
        basic("", ""),
        b"Basic ***",
        b"Basic YWxpY2U=",
        b"Bearer abc",
        b"",
        b"basic " + base64.b64encode(b"alice:secret"),
    ],
)
def test_wrong_credentials(credentials: Credentials, header: bytes) -> None:
    assert credentials.check(header, "10.0.0.1") is None
    assert credentials.remembered(header) is None


def test_verified_credentials_are_forgotten_after_a_minute(credentials: Credentials, clock: Clock) -> None:
    credentials.check(basic("alice", "secret"), "10.0.0.1")
    clock.now += 61
    assert credentials.remembered(basic("alice", "secret")) is None


def test_repeated_failures_have_to_wait(credentials: Credentials, clock: Clock) -> None:
    for _ in range(10):
        assert credentials.check(basic("alice", "guess"), "10.0.0.1") is None
    with pytest.raises(TooManyFailures):
        credentials.check(basic("alice", "secret"), "10.0.0.1")
    assert credentials.check(basic("alice", "secret"), "10.0.0.2") == "alice"
    assert credentials.check(basic("bob", "p:ss wörd"), "10.0.0.1") == "bob"
    clock.now += 61
    assert credentials.check(basic("alice", "secret"), "10.0.0.1") == "alice"


def test_failures_are_forgiven(credentials: Credentials, clock: Clock) -> None:
    for _ in range(9):
        credentials.check(basic("alice", "guess"), "10.0.0.1")
    clock.now += 400
    for _ in range(9):
        assert credentials.check(basic("alice", "guess"), "10.0.0.1") is None
    assert credentials.check(basic("alice", "secret"), "10.0.0.1") == "alice"


def test_failed_logins_are_logged_without_secrets(credentials: Credentials, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        credentials.check(basic("canaryuser", "canarypass"), "10.0.0.1")
    assert "10.0.0.1" in caplog.text
    assert "canary" not in caplog.text


def test_hash_that_cannot_be_read_is_refused(clock: Clock) -> None:
    with pytest.raises(BadUser, match="dave"):
        Credentials({"dave": "$argon2id$nonsense"}, clock)


LOCAL = {b"host": b"localhost:8042"}
CROSS_SITE = [
    ("GET", {b"sec-fetch-site": b"cross-site", b"origin": b"http://evil.example"}, True),
    ("POST", {b"sec-fetch-site": b"cross-site"}, False),
    ("POST", {b"sec-fetch-site": b"same-site"}, False),
    ("POST", {b"sec-fetch-site": b"same-origin"}, True),
    ("POST", {b"sec-fetch-site": b"none"}, True),
    ("DELETE", {b"sec-fetch-site": b"cross-site", b"origin": b"http://localhost:8042"}, False),
    ("PUT", {b"origin": b"http://evil.example"}, False),
    ("PUT", {b"origin": b"null"}, False),
    ("PUT", {b"origin": b"http://localhost:8042"}, True),
    ("PUT", {b"origin": b"http://localhost:9999"}, False),
    ("POST", {b"origin": b"https://pacs.example", b"x-forwarded-host": b"pacs.example"}, True),
    ("POST", {}, True),
]


@pytest.mark.parametrize(("method", "headers", "accepted"), CROSS_SITE)
@pytest.mark.parametrize("remote", [False, True])
def test_cross_site_writes_are_refused(
    method: str, headers: dict[bytes, bytes], accepted: bool, remote: bool, clock: Clock
) -> None:
    gate = Gate(WebSettings(remote_access_allowed=remote, authentication_enabled=False), clock)
    refused = gate.refuse(method, LOCAL | headers, "127.0.0.1")
    assert (refused is None) is accepted
    assert refused is None or refused.status == 403


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8042", True),
        (b"127.0.0.1:8042", True),
        (b"127.9.9.9", True),
        (b"[::1]:8042", True),
        (b"pacs.localhost", True),
        (b"localhost.", True),
        (b"pacs.example", True),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example", False),
        (b"192.168.1.7", False),
        (b"[::ffff", False),
        (b"", False),
    ],
)
def test_hosts_without_remote_access(host: bytes, accepted: bool, clock: Clock) -> None:
    gate = Gate(WebSettings(allowed_hosts=("pacs.example",)), clock)
    assert (gate.refuse("GET", {b"host": host}, "127.0.0.1") is None) is accepted
    anyone = Gate(WebSettings(remote_access_allowed=True, authentication_enabled=False), clock)
    assert anyone.refuse("GET", {b"host": host}, "127.0.0.1") is None


@pytest.mark.parametrize("address", ["10.0.0.1", "fe80::1", "::ffff:10.0.0.1", "garbage"])
def test_clients_of_other_machines_need_remote_access(address: str, clock: Clock) -> None:
    refused = Gate(WebSettings(), clock).refuse("GET", LOCAL, address)
    assert refused is not None
    assert refused.status == 401
    assert Gate(WebSettings(remote_access_allowed=True), clock).refuse("GET", LOCAL, address) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", ""])
def test_addresses_of_this_machine(address: str) -> None:
    assert is_loopback(address)


def test_host_names() -> None:
    assert host_name("User@Example.ORG:80") == "example.org"
    assert host_name("[::1]:80") == "::1"
    assert host_name("a:b:c") == "a"


def test_authentication_follows_remote_access(clock: Clock) -> None:
    assert Gate(WebSettings(remote_access_allowed=True), clock).credentials is not None
    assert Gate(WebSettings(), clock).credentials is None
    assert Gate(WebSettings(authentication_enabled=True), clock).credentials is not None
    assert Gate(WebSettings(remote_access_allowed=True, authentication_enabled=False), clock).credentials is None


def test_addresses_to_listen_on() -> None:
    assert bind_addresses(WebSettings()) == ("127.0.0.1", "::1")
    assert bind_addresses(WebSettings(remote_access_allowed=True)) == ("0.0.0.0", "::")
    assert bind_addresses(WebSettings(bind_addresses=("10.1.1.1",))) == ("10.1.1.1",)

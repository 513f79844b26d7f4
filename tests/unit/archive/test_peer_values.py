"""Peers as they are written and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from amonsul.archive.peers import Peer, parse_peer, parse_peers
from amonsul.errors import AmonsulError, BadFileFormat, InexistentFile, ParameterOutOfRange

LONG = {
    "Url": "https://peer.example:8443/pacs",
    "Username": "alice",
    "Password": "open sesame",
    "HttpHeaders": {"X-Site": "north", "Authorization-Token": "abc"},
    "CertificateKeyPassword": "of the key",
    "Pkcs11": False,
    "Timeout": 7,
    "RemoteSelf": "south",
    "Floor": 3,
}
SECRETS = ("open sesame", "abc", "of the key")


def test_both_forms_mean_the_same() -> None:
    assert parse_peer(["http://h:1/"]) == parse_peer({"Url": "http://h:1"}) == Peer("http://h:1/")
    assert parse_peer(["http://h", "a", "b"]) == parse_peer({"Url": "http://h/", "Username": "a", "Password": "b"})


def test_what_is_kept_comes_back_whole() -> None:
    peer = parse_peer(LONG)
    assert parse_peer(peer.to_json()) == peer
    assert peer.properties == {"RemoteSelf": "south", "Floor": 3}


def test_what_is_shown_holds_no_secret() -> None:
    peer = parse_peer(LONG)
    assert peer.describe() == {
        "Url": "https://peer.example:8443/pacs/",
        "Username": "alice",
        "Password": None,
        "HttpHeaders": ["Authorization-Token", "X-Site"],
        "CertificateKeyPassword": None,
        "Pkcs11": False,
        "Timeout": 7,
        "RemoteSelf": "south",
        "Floor": 3,
    }
    for shown in (peer.describe(), peer.describe_for_job(), peer):
        assert not any(secret in repr(shown) for secret in SECRETS)


def test_a_key_in_a_token_is_named_by_a_url() -> None:
    value = {"Url": "https://h/", "Pkcs11": True, "CertificateKeyFile": "pkcs11:object=client"}
    peer = parse_peer(value)
    assert (peer.is_key_in_token, peer.certificate_key_file) == (True, "pkcs11:object=client")
    assert parse_peer(peer.to_json()) == peer
    for shown in (peer.describe(), peer.describe_for_job()):
        assert isinstance(shown, dict)
        assert shown.items() >= value.items()


def test_a_job_tells_of_a_plain_peer_by_its_url_alone() -> None:
    assert parse_peer(["http://h"]).describe_for_job() == ["http://h/"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], BadFileFormat),
        (["http://h/", "alice"], BadFileFormat),
        ("http://h/", BadFileFormat),
        ({"Username": "x"}, BadFileFormat),
        ({"Url": "http://h/", "HttpHeaders": "x"}, BadFileFormat),
        ({"Url": "http://h/", "HttpHeaders": {"a": 1}}, BadFileFormat),
        ({"Url": "http://h/", "HttpHeaders": {"a": "1\r\nb: 2"}}, ParameterOutOfRange),
        ({"Url": "http://h/", "HttpHeaders": {"a b": "1"}}, ParameterOutOfRange),
        ({"Url": "http://h/", "Timeout": -1}, BadFileFormat),
        ({"Url": "http://h/", "Timeout": True}, BadFileFormat),
        ({"Url": "http://h/", "Mine": {}}, BadFileFormat),
        ({"Url": "http://h/", "Pkcs11": "yes"}, BadFileFormat),
        ({"Url": "https://h/", "Pkcs11": True, "CertificateKeyFile": "key.pem"}, ParameterOutOfRange),
        ({"Url": "https://h/", "Pkcs11": True, "CertificateKeyFile": "pkcs11:id=%01?pin-value=1"}, ParameterOutOfRange),
        ({"Url": "https://h/", "CertificateKeyFile": "pkcs11:id=%01"}, InexistentFile),
        ({"Url": "https://h/", "CertificateFile": "absent.pem"}, InexistentFile),
        (["file:///etc/passwd"], ParameterOutOfRange),
        (["gopher://h/"], ParameterOutOfRange),
        (["http://alice:secret@h/"], ParameterOutOfRange),
        (["http://[h/"], ParameterOutOfRange),
    ],
)
def test_what_is_no_peer_is_refused(value: object, error: type[AmonsulError]) -> None:
    with pytest.raises(error):
        parse_peer(value)


def test_files_of_the_option_count_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "own.pem").touch()
    entry = {"Url": "https://h/", "CertificateFile": "own.pem"}
    assert parse_peers({"a": entry}, tmp_path)["a"].certificate_file == str(tmp_path / "own.pem")


def test_the_option_tells_which_peer_is_wrong() -> None:
    with pytest.raises(BadFileFormat, match="peer a"):
        parse_peers({"a": 5})


@pytest.mark.parametrize(
    ("given", "kept"),
    [("http://h", "http://h/"), ("http://h/api/", "http://h/api/"), ("http://h/api?token=a", "http://h/api?token=a")],
)
def test_the_root_ends_with_a_slash_and_a_query_with_what_was_given(given: str, kept: str) -> None:
    assert parse_peer([given]).url == kept

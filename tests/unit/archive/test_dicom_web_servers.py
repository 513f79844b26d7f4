"""DICOMweb servers as they are written and shown."""

from __future__ import annotations

import pytest

from amonsul.archive.dicom_web_servers import DicomWebServer, kept_server, parse_server, parse_servers
from amonsul.archive.peers import Peer
from amonsul.errors import BadFileFormat, ParameterOutOfRange
from amonsul.jobs.peers import web_server

SECRET = {"Url": "https://h/dw", "Username": "alice", "Password": "open sesame", "HttpHeaders": {"X-Key": "abc"}}


def test_both_forms_mean_the_same() -> None:
    assert parse_server(["http://h"]) == parse_server({"Url": "http://h/"}) == DicomWebServer(Peer("http://h/"))
    assert parse_server(["http://h", "a", "b"]).remote.username == "a"


@pytest.mark.parametrize(("given", "meant"), [(True, True), (False, False), ("1", True), ("0", False), ("True", True)])
def test_what_is_to_be_known_of_a_server_is_true_or_false(given: object, meant: bool) -> None:
    names = ("ChunkedTransfers", "HasDelete", "HasWadoRsUniversalTransferSyntax")
    server = parse_server({"Url": "http://h", **dict.fromkeys(names, given)})
    assert (server.is_chunked, server.has_delete, server.is_universal) == (meant, meant, meant)
    assert ("delete" in server.operations) == meant
    assert parse_server(server.remote.to_json()) == kept_server(server.remote.to_json()) == server


def test_what_is_not_said_is_what_most_servers_do() -> None:
    server = parse_server(["http://h"])
    assert (server.is_chunked, server.has_delete, server.is_universal) == (True, False, True)


def test_what_is_shown_holds_no_secret() -> None:
    shown = parse_server({**SECRET, "HasDelete": True, "ChunkedTransfers": False, "Floor": 3}).describe()
    assert shown == {
        "Url": "https://h/dw/",
        "Username": "alice",
        "Password": None,
        "HttpHeaders": ["X-Key"],
        "HasDelete": "1",
        "ChunkedTransfers": "0",
        "Floor": "3",
        "Pkcs11": False,
        "Timeout": 0,
    }


def test_how_a_server_is_reached_is_handed_to_the_client_whole() -> None:
    fields = {**SECRET, "Timeout": 7, "Pkcs11": True, "CertificateKeyFile": "pkcs11:object=key"}
    reached = web_server(parse_server(fields).remote)
    assert (reached.url, reached.username, reached.password) == ("https://h/dw/", "alice", "open sesame")
    assert (reached.headers, reached.timeout_s, reached.is_key_in_token) == ({"X-Key": "abc"}, 7, True)


@pytest.mark.parametrize(
    "value", [[], {}, "http://h", {"Url": "http://h", "HasDelete": "maybe"}, {"Url": "http://h", "HasDelete": 1}]
)
def test_what_is_none_is_refused(value: object) -> None:
    with pytest.raises(BadFileFormat):
        parse_server(value)


def test_a_configuration_is_refused_by_name() -> None:
    with pytest.raises(ParameterOutOfRange, match="DICOMweb server gone"):
        parse_servers({"here": ["http://h"], "gone": ["gopher://h"]})
    with pytest.raises(BadFileFormat):
        parse_servers([])

"""What the server does not start with, and what it warns about."""

from __future__ import annotations

import itertools
import json

import pytest

from amonsul.config import checklist
from amonsul.config.kinds import Json
from amonsul.config.reader import Configuration, load

USERS: Json = {"alice": "a long and private sentence"}
REFUSED: Json = {"AET": "CT", "Host": "ct", "Port": 104, "AllowStore": False}


def configuration(values: dict[str, Json]) -> Configuration:
    return load([], {"ORTHANC_JSON": json.dumps(values)})


@pytest.mark.parametrize(
    ("remote", "authentication", "users"), list(itertools.product([False, True], [None, False, True], [{}, USERS]))
)
def test_only_remote_access_with_authentication_and_no_user_is_refused(
    remote: bool, authentication: bool | None, users: Json
) -> None:
    given = configuration(
        {"RemoteAccessAllowed": remote, "AuthenticationEnabled": authentication, "RegisteredUsers": users}
    )
    asks = remote if authentication is None else authentication
    assert (checklist.refusal(given) is not None) == (remote and asks and not users)


def test_without_http_server_nothing_is_refused() -> None:
    assert checklist.refusal(configuration({"RemoteAccessAllowed": True, "HttpServerEnabled": False})) is None


def test_an_empty_password_is_refused() -> None:
    given = configuration({"AuthenticationEnabled": True, "RegisteredUsers": {"alice": ""}})
    assert '"alice" is empty' in (checklist.refusal(given) or "")


def warned(values: dict[str, Json]) -> str:
    return "\n".join(checklist.findings(configuration(values)))


def test_the_defaults_have_nothing_to_warn_about() -> None:
    assert checklist.findings(configuration({})) == []


@pytest.mark.parametrize(("name", "password"), [("orthanc", "orthanc"), ("admin", "Password"), ("bob", "bob")])
def test_well_known_passwords_are_told_loudly_and_not_printed_beside_their_user(name: str, password: str) -> None:
    text = warned({"AuthenticationEnabled": True, "RegisteredUsers": {name: password}})
    assert f'THE PASSWORD OF USER "{name}" IS WELL KNOWN' in text


def test_plain_passwords_are_counted_and_hashed_ones_are_not() -> None:
    users: Json = {"a": "a long and private sentence", "b": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA"}
    text = warned({"AuthenticationEnabled": True, "RegisteredUsers": users})
    assert "holds 1 password(s) in plain text" in text
    assert "private sentence" not in text


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": False}, "ANYONE ON THE NETWORK"),
        ({"RemoteAccessAllowed": True, "RegisteredUsers": USERS}, "HTTP is not encrypted"),
        ({"RemoteAccessAllowed": True, "RegisteredUsers": USERS}, "any DICOM peer may store"),
        ({"RegisteredUsers": USERS}, "passwords are not asked for"),
        ({"AuthenticationEnabled": True}, "nobody can come in"),
        ({"DicomAlwaysAllowMove": True, "DicomAlwaysAllowFind": True}, "any DICOM peer may use C-FIND, C-MOVE"),
        (
            {"DicomModalities": {"ct": REFUSED}},
            "ct: AllowStore is off, but DicomAlwaysAllowStore lets it in",
        ),
        ({"DicomModalities": {"ct": REFUSED}, "DicomModalitiesInDatabase": True}, "DicomModalities is not read"),
        ({"SyncStorageArea": False}, "power cut"),
        ({"HttpsVerifyPeers": False}, "HttpsVerifyPeers is off"),
    ],
)
def test_what_is_unsafe_is_told(values: dict[str, Json], part: str) -> None:
    assert part in warned(values)

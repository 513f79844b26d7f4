"""What the operator should know about the safety of a configuration before the doors open.

`refusal` finds what this server does not start with; `findings` lists the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amonsul.config.reader import Configuration
from amonsul.config.settings import modalities, web_settings
from amonsul.web.settings import WebSettings

_WELL_KNOWN: Final = frozenset(
    ("orthanc", "amonsul", "admin", "password", "secret", "demo", "test", "user", "guest", "root", "changeme",
     "1234", "12345", "123456", "alicepassword")
)  # fmt: skip
_HASH: Final = "$argon2"


def refusal(configuration: Configuration) -> str | None:
    """Why the server must not start with this configuration; None if it may."""
    if not configuration.flag("HttpServerEnabled"):
        return None
    web = web_settings(configuration)
    if web.remote_access_allowed and web.authentication and not web.registered_users:
        return (
            "remote access and authentication are on, but RegisteredUsers is empty: nobody could come in. Add a user, "
            "or set AuthenticationEnabled to false if anyone on the network may read and change everything."
        )
    for name, password in web.registered_users.items():
        if web.authentication and not password:
            return f'RegisteredUsers: the password of "{name}" is empty'
    return None


def findings(configuration: Configuration) -> list[str]:
    """Warnings, one line each."""
    found: list[str] = []
    if configuration.flag("HttpServerEnabled"):
        found += _http(web_settings(configuration))
    if configuration.flag("DicomServerEnabled"):
        found += _dicom(configuration)
    if not configuration.flag("SyncStorageArea"):
        found.append("SyncStorageArea is off: a power cut may lose what was acknowledged")
    if not configuration.flag("HttpsVerifyPeers"):
        found.append(
            "HttpsVerifyPeers is off: whoever sits between this server and a peer can read and change what is sent"
        )
    return found


def _http(web: WebSettings) -> Iterator[str]:
    users = web.registered_users
    if web.authentication:
        for name, password in users.items():
            if password.lower() in _WELL_KNOWN or password == name:
                yield f'THE PASSWORD OF USER "{name}" IS WELL KNOWN: change it, anyone may come in'
        if not users:
            yield "authentication is on, but RegisteredUsers is empty: nobody can come in"
        if plain := [password for password in users.values() if not password.startswith(_HASH)]:
            yield (
                f"RegisteredUsers holds {len(plain)} password(s) in plain text; `amonsul hash-password` makes a hash "
                "to put there instead"
            )
    elif users:
        yield "RegisteredUsers is set, but authentication is off: passwords are not asked for"
    if not web.remote_access_allowed:
        return
    if not web.authentication:
        yield "ANYONE ON THE NETWORK MAY READ AND CHANGE EVERYTHING: RemoteAccessAllowed is on, authentication is off"
    if web.tls is None:
        yield "HTTP is not encrypted (SslEnabled is off): put a proxy that encrypts before it, or trust the network"
    elif web.tls.minimum_protocol_version < 4:
        yield "SslMinimumProtocolVersion allows versions of TLS that are broken"


def _dicom(configuration: Configuration) -> Iterator[str]:
    open_services = [
        service
        for service in ("Find", "FindWorklist", "Get", "Move")
        if configuration.flag(f"DicomAlwaysAllow{service}")
    ]
    if open_services:
        yield f"any DICOM peer may use {', '.join(f'C-{name.upper()}' for name in open_services)} (DicomAlwaysAllow…)"
    yield from _useless_refusals(configuration)
    if configuration.flag("RemoteAccessAllowed") and configuration.flag("DicomAlwaysAllowStore"):
        yield "any DICOM peer may store (DicomAlwaysAllowStore is on)"


def _useless_refusals(configuration: Configuration) -> Iterator[str]:
    """What a modality is not allowed although everybody is."""
    if configuration.flag("DicomModalitiesInDatabase"):
        if configuration.table("DicomModalities"):
            yield "DicomModalities is not read: the modalities are in the database (DicomModalitiesInDatabase is on)"
        return
    for name, modality in modalities(configuration).items():
        allowed = {
            "Echo": modality.allow_echo,
            "Find": modality.allow_find,
            "FindWorklist": modality.allow_find_worklist,
            "Get": modality.allow_get,
            "Move": modality.allow_move,
            "Store": modality.allow_store,
        }
        for service, is_allowed in allowed.items():
            if not is_allowed and configuration.flag(f"DicomAlwaysAllow{service}"):
                yield f"DicomModalities.{name}: Allow{service} is off, but DicomAlwaysAllow{service} lets it in"

"""The servers we know by name and reach over REST: what `OrthancPeers` and `/peers/{id}` hold.

A peer is written as an array `[url]` or `[url, username, password]`, or as an object with any of the fields; members
that are no fields are properties of the user's own and are kept. Passwords, and values of headers, are kept and never
shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from amonsul.archive.modalities import check_name
from amonsul.errors import BadFileFormat, InexistentFile, ParameterOutOfRange

R = TypeVar("R")

OPERATIONS: Final = ("configuration", "store", "store-straight", "system")

_FIELDS: Final = frozenset(
    {
        *("Url", "URL", "Username", "Password", "HttpHeaders", "Timeout", "Pkcs11"),
        *("CertificateFile", "CertificateKeyFile", "CertificateKeyPassword"),
    }
)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET: Final = re.compile(r"auth|cookie|token|secret|key|password|credential", re.IGNORECASE)
_MAX_TIMEOUT_S: Final = 86_400
_TOKEN_URL: Final = "pkcs11:"


@dataclass(frozen=True, slots=True)
class Peer:
    """One remote server.

    Attributes:
        url: root of its REST API, with a slash at the end unless it has a query.
        http_headers: sent with each request.
        certificate_file: PEM file of our certificate towards it.
        certificate_key_file: PEM file of its key, if that is a file of its own; of one in a token, its URL.
        is_key_in_token: the key is in a hardware token (`Pkcs11`).
        timeout_s: longest wait for it; 0 for the usual one.
        properties: the user's own.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    http_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate_file: str = ""
    certificate_key_file: str = ""
    certificate_key_password: str = field(default="", repr=False)
    is_key_in_token: bool = False
    timeout_s: int = 0
    properties: Mapping[str, object] = field(default_factory=dict)

    @property
    def has_secrets(self) -> bool:
        """Whether it holds anything that is never shown."""
        return bool(self.password or self.certificate_key_password or self.http_headers)

    def to_json(self) -> dict[str, object]:
        """Everything, secrets as well: how it is kept."""
        kept: dict[str, object] = {
            **self._shown(),
            "HttpHeaders": dict(self.http_headers),
            "Password": self.password,
            "CertificateKeyPassword": self.certificate_key_password,
        }
        return kept

    def describe(self) -> dict[str, object]:
        """The object that `/peers/{id}/configuration` answers: names of headers, and that passwords are set."""
        shown: dict[str, object] = {**self._shown(), "HttpHeaders": sorted(self.http_headers)}
        if self.username:
            shown["Password"] = None
        if self.certificate_key_password:
            shown["CertificateKeyPassword"] = None
        return shown

    def describe_for_job(self) -> object:
        """What the content of a job tells of it; no passwords, nor headers whose names sound like secrets."""
        shown = self._shown()
        is_simple = not (self.timeout_s or self.http_headers or self.is_key_in_token)
        if is_simple and shown.keys() <= {"Url", "Pkcs11", "Timeout"}:
            return [self.url]
        headers = {name: None if _SECRET.search(name) else value for name, value in self.http_headers.items()}
        return {**shown, "HttpHeaders": headers}

    def _shown(self) -> dict[str, object]:
        shown: dict[str, object] = {**self.properties, "Url": self.url, "Pkcs11": self.is_key_in_token}
        shown["Timeout"] = self.timeout_s
        if self.username:
            shown["Username"] = self.username
        if self.certificate_file:
            shown["CertificateFile"] = self.certificate_file
        if self.certificate_key_file:
            shown["CertificateKeyFile"] = self.certificate_key_file
        return shown


def parse_peer(value: object, folder: Path | None = None) -> Peer:
    """Read a peer from either JSON form.

    Args:
        value: parsed JSON.
        folder: where relative names of files count from; the current one unless given.

    Raises:
        BadFileFormat: a field is missing or of the wrong type.
        ParameterOutOfRange: a URL that is not one of http or https.
        InexistentFile: a file of a certificate is not there.
    """
    match value:
        case [str(url)]:
            return Peer(_url(url))
        case [str(url), str(username), str(password)]:
            return Peer(_url(url), username, password)
        case {**members}:
            return _from_object(members, folder or Path.cwd())
        case _:
            raise BadFileFormat


def parse_peers(value: object, folder: Path | None = None) -> dict[str, Peer]:
    """Read the `OrthancPeers` option: an object of peers by name.

    Raises:
        AmonsulError: as `parse_peer`; the details name the peer.
    """
    return parse_named(value, "peer", lambda entry: parse_peer(entry, folder))


def parse_named(value: object, what: str, parse: Callable[[object], R]) -> dict[str, R]:
    """Read an object of remotes by name.

    Raises:
        AmonsulError: as `parse`; the details name the remote.
    """
    if not isinstance(value, Mapping):
        raise BadFileFormat(f"an object is expected, each member of it a {what}")
    remotes: dict[str, R] = {}
    for name, entry in value.items():
        try:
            remotes[check_name(str(name))] = parse(entry)
        except (BadFileFormat, ParameterOutOfRange, InexistentFile) as error:
            raise type(error)(f"{what} {name}: {error.details or error.message}") from error
    return remotes


def _from_object(members: Mapping[object, object], folder: Path) -> Peer:
    is_key_in_token = members.get("Pkcs11", False)
    if not isinstance(is_key_in_token, bool):
        raise BadFileFormat("Boolean value expected in field: Pkcs11")
    key_in = _token_url if is_key_in_token else _file
    return Peer(
        _url(_text(members, "Url") or _text(members, "URL")),
        _text(members, "Username"),
        _text(members, "Password"),
        parse_headers(members.get("HttpHeaders", {})),
        certificate_file=_file(members, "CertificateFile", folder),
        certificate_key_file=key_in(members, "CertificateKeyFile", folder),
        certificate_key_password=_text(members, "CertificateKeyPassword"),
        is_key_in_token=is_key_in_token,
        timeout_s=_seconds(members.get("Timeout", 0)),
        properties={str(name): _property(name, each) for name, each in members.items() if name not in _FIELDS},
    )


def _text(members: Mapping[object, object], name: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value


def _url(text: str) -> str:
    if not text:
        raise BadFileFormat("Empty URL")
    try:
        parts = urlsplit(text)
        has_credentials = "@" in parts.netloc
    except ValueError as error:
        raise ParameterOutOfRange(f"not a URL: {error}") from error
    if parts.scheme and "://" in text and parts.scheme not in ("http", "https"):
        raise ParameterOutOfRange("the URL of a peer must begin with http:// or https://")
    if has_credentials:
        raise ParameterOutOfRange("the URL of a peer must not hold credentials; they belong into Username and Password")
    return text if text.endswith("/") or parts.query else f"{text}/"


def parse_headers(value: object) -> dict[str, str]:
    """Read headers of HTTP: an object of texts.

    Raises:
        BadFileFormat: it is none.
        ParameterOutOfRange: what cannot be a header.
    """
    if not isinstance(value, Mapping):
        raise BadFileFormat
    headers = {}
    for name, content in value.items():
        if not isinstance(name, str) or not isinstance(content, str):
            raise BadFileFormat
        if not _HEADER_NAME.fullmatch(name) or not content.isascii() or not (content.isprintable() or not content):
            raise ParameterOutOfRange(f"not a header of HTTP: {name[:80]}")
        headers[name] = content
    return headers


def _file(members: Mapping[object, object], name: str, folder: Path) -> str:
    given = _text(members, name)
    if given and not (folder / given).is_file():
        raise InexistentFile(f"Cannot open certificate file: {given}")
    return str((folder / given).absolute()) if given else ""


def _token_url(members: Mapping[object, object], name: str, _: Path) -> str:
    given = _text(members, name)
    if given and not (given.startswith(_TOKEN_URL) and given.isascii() and given.isprintable()):
        raise ParameterOutOfRange(f"with Pkcs11, {name} must be a URL such as pkcs11:object=client")
    if "?" in given:  # where RFC 7512 has the PIN; this URL is shown
        raise ParameterOutOfRange(f"{name} must hold no query; the PIN belongs into the section Pkcs11")
    return given


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadFileFormat("Unsigned integer value expected in field: Timeout")
    return min(value, _MAX_TIMEOUT_S)


def _property(name: object, value: object) -> object:
    if value is not None and not isinstance(value, str | bool | int | float):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value

"""Where connections to addresses that somebody configured may go, and how an HTTP request is sent there.

A server that fetches what it is told can be turned against its own network. So only http and https are spoken, no
redirect is followed, and link-local addresses, where clouds keep their credentials, are never spoken to. A name is
resolved once and the connection goes to an address that was checked, so that a name cannot mean another address a
moment later.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from amonsul.clients.answer_head import BoundedResponse
from amonsul.errors import NetworkProtocolError, ParameterOutOfRange

_PORTS: Final = {"http": 80, "https": 443}
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
"""Where clouds keep their credentials beside the link-local addresses."""
_EMBEDDING: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""Addresses whose last 32 bits are one of IPv4 (RFC 6052 §2.1, RFC 4291 §2.5.5.1)."""
_MAX_ANSWER: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An http or https URL."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""

    @classmethod
    def parse(cls, url: str) -> WebAddress:
        """Read a URL.

        Raises:
            ParameterOutOfRange: not one of http or https, without a host, or with credentials in it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ParameterOutOfRange(f"not a URL: {error}") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ParameterOutOfRange("a URL must begin with http:// or https:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise ParameterOutOfRange("a URL must not hold credentials")
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        if not target.isascii() or any(character <= " " or character == "\x7f" for character in target):
            raise ParameterOutOfRange("a URL must be written in ASCII, without spaces")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], target)

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def is_allowed(address: str) -> bool:
    """Whether an IP address may be spoken to."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        is_embedded = int(parsed) > 1 and any(parsed in network for network in _EMBEDDING)
        if is_embedded and not is_allowed(str(embedded)):
            return False
        for inner in (parsed.ipv4_mapped, parsed.sixtofour, parsed.teredo[1] if parsed.teredo else None):
            if inner is not None and not is_allowed(str(inner)):
                return False
    return not (
        parsed.is_link_local
        or parsed.is_multicast
        or parsed.is_unspecified
        or parsed in _METADATA
        or str(parsed) == "255.255.255.255"
    )


def post(
    address: WebAddress, body: bytes, headers: Mapping[str, str], timeout_s: float, tls: ssl.SSLContext | None = None
) -> int:
    """POST a body; answers the status. What the other side says beyond it is not read.

    Raises:
        NetworkProtocolError: it cannot be reached, may not be, or does not speak HTTP.
    """
    try:
        connection = _connect(address, timeout_s, tls)
    except (OSError, UnicodeError) as error:
        raise NetworkProtocolError(f"cannot reach {address.authority}: {error}") from error
    try:
        connection.putrequest("POST", address.target, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": address.authority, "Content-Length": str(len(body)), "Connection": "close", **headers}
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.read(_MAX_ANSWER)
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        raise NetworkProtocolError(f"no answer from {address.authority}: {type(error).__name__}") from error
    finally:
        connection.close()


def dial(address: WebAddress, timeout_s: float | None) -> socket.socket:
    """A TCP connection to an address that may be spoken to.

    Raises:
        OSError: it cannot be reached, or may not be.
    """
    return connect(address.host, address.port, timeout_s)


def connect(host: str, port: int, timeout_s: float | None, *, may_be_any: bool = False) -> socket.socket:
    """The same with a host and a port; to any address if that is wanted.

    Raises:
        OSError: as `dial`.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not may_be_any and not all(is_allowed(str(each[4][0])) for each in found):
        raise OSError("its address is one that requests may not go to")
    error: OSError | None = None
    for _, _, _, _, place in found:
        try:
            link = socket.create_connection((str(place[0]), port), timeout=timeout_s)
        except OSError as failure:
            error = failure
            continue
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link
    raise error or OSError("no address")


def _connect(address: WebAddress, timeout_s: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    connection.response_class = BoundedResponse
    plain = dial(address, timeout_s)
    try:
        if address.scheme == "https":
            context = tls or ssl.create_default_context()
            connection.sock = context.wrap_socket(plain, server_hostname=address.host)
        else:
            connection.sock = plain
    except BaseException:
        plain.close()
        raise
    return connection

"""Who may come in: the checks that every request passes before its route is asked.

In this order: the client's address (only this machine unless remote access is allowed), the Host header (against DNS
rebinding, while remote access is off), the origin of requests that change something (against cross-site requests),
and credentials. A password is compared in constant time, or checked against its argon2 hash; as argon2 is slow on
purpose, what was verified is remembered for a minute under a keyed hash, and repeated failures are made to wait.

Nothing here writes a password, a user name that does not exist, or an address bar into the log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from amonsul.errors import AmonsulError
from amonsul.web.settings import WebSettings
from amonsul.web.values import Headers, Response, empty

logger = logging.getLogger(__name__)

SECURITY_HEADERS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'self'"),
)
SANDBOX: Headers = ((b"content-security-policy", b"sandbox; default-src 'none'"),)
"""For content that a client stored and a browser could run: PDF, HTML, SVG."""

_CHALLENGE: Headers = ((b"www-authenticate", b'Basic realm="Orthanc Secure Area"'),)
UNAUTHORIZED = empty(401, _CHALLENGE)
FORBIDDEN = empty(403)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBERED = 1024
_REMEMBER_S = 60.0
_FREE_FAILURES = 10
_LONGEST_WAIT_S = 60.0
_FORGIVE_S = 300.0


def bind_addresses(settings: WebSettings) -> tuple[str, ...]:
    """The addresses to listen on: those of the settings, else all with remote access, else loopback."""
    if settings.bind_addresses:
        return settings.bind_addresses
    return ("0.0.0.0", "::") if settings.remote_access_allowed else ("127.0.0.1", "::1")


class BadUser(AmonsulError):
    """A registered user that could never log in."""


class TooManyFailures(Exception):
    """Credentials are not looked at now; `wait_s` until they are again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s


class Credentials:
    """Checks `Authorization` headers against the registered users.

    Args:
        users: name to password or argon2 hash.
        clock: seconds that only grow.

    Raises:
        BadUser: a hash cannot be read.
    """

    def __init__(self, users: Mapping[str, str], clock: Callable[[], float]) -> None:
        for name, secret in users.items():
            if secret.startswith("$argon2"):
                try:
                    argon2.extract_parameters(secret)
                except InvalidHashError:
                    raise BadUser(f"RegisteredUsers: the argon2 hash of {name} cannot be read") from None
        self._users = {name.encode(): secret.encode() for name, secret in users.items()}
        self._clock = clock
        self._hasher = argon2.PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._verified: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._failures: OrderedDict[tuple[str, bytes], tuple[int, float]] = OrderedDict()

    def remembered(self, header: bytes) -> str | None:
        """The user of credentials that were verified lately; cheap enough for the event loop."""
        entry = self._verified.get(self._digest(header))
        return entry[0] if entry is not None and self._clock() < entry[1] else None

    def check(self, header: bytes, remote_ip: str) -> str | None:
        """The user of a header, None if it is malformed or wrong. May take as long as argon2 does.

        Raises:
            TooManyFailures: this client failed too often for this user.
        """
        if not header.startswith(b"Basic "):
            return None
        try:
            name, colon, password = base64.b64decode(header[6:].strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        if not colon:
            return None
        source = (remote_ip, name)
        with self._lock:
            count, until = self._failures.get(source, (0, 0.0))
        now = self._clock()
        if count >= _FREE_FAILURES and now < until:
            raise TooManyFailures(until - now)
        if self._matches(name, password):
            self._remember(header, name.decode("utf-8", "replace"), source)
            return name.decode("utf-8", "replace")
        self._count_failure(source, 0 if now > until + _FORGIVE_S else count, now)
        return None

    def _matches(self, name: bytes, password: bytes) -> bool:
        secret = self._users.get(name)
        if secret is None:
            hmac.compare_digest(password, b"no such user")
            return False
        if not secret.startswith(b"$argon2"):
            return hmac.compare_digest(password, secret)
        try:
            return self._hasher.verify(secret, password)
        except (Argon2Error, InvalidHashError):
            return False

    def _remember(self, header: bytes, name: str, source: tuple[str, bytes]) -> None:
        with self._lock:
            self._failures.pop(source, None)
            self._verified[self._digest(header)] = (name, self._clock() + _REMEMBER_S)
            while len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)

    def _count_failure(self, source: tuple[str, bytes], count: int, now: float) -> None:
        count += 1
        wait_s = min(2.0 ** min(count - _FREE_FAILURES, 16), _LONGEST_WAIT_S)
        with self._lock:
            self._failures[source] = (count, now + wait_s)
            self._failures.move_to_end(source)
            while len(self._failures) > _REMEMBERED * 8:
                self._failures.popitem(last=False)
        logger.warning("failed login from %s", source[0])

    def _digest(self, header: bytes) -> bytes:
        return hashlib.blake2b(header, key=self._key, digest_size=16).digest()


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine."""
    if address in ("127.0.0.1", "::1", ""):  # empty: a Unix socket
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def host_name(host: str) -> str:
    """A Host header without its port, in lower case; empty if it is none."""
    try:
        name = urlsplit("//" + host).hostname or ""
    except ValueError:
        return ""
    return name.rstrip(".")


class Gate:
    """Lets requests in, or answers why not."""

    def __init__(self, settings: WebSettings, clock: Callable[[], float]) -> None:
        self._remote = settings.remote_access_allowed
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._is_known_host = lru_cache(maxsize=256)(self._is_local_host)
        self.credentials = Credentials(settings.registered_users, clock) if settings.authentication else None

    def refuse(
        self, method: str, headers: Mapping[bytes, bytes], remote_ip: str, *, from_allowed_page: bool = False
    ) -> Response | None:
        """The answer to a request that may not come in whoever sends it; None if it may. Cheap, never blocks."""
        if not self._remote:
            if not is_loopback(remote_ip):
                return UNAUTHORIZED
            if not self._is_known_host(headers.get(b"host")):
                return FORBIDDEN
        if method not in _SAFE_METHODS and not from_allowed_page and self._is_cross_site(headers):
            return FORBIDDEN
        return None

    def _is_local_host(self, host: bytes | None) -> bool:
        if host is None:
            return True  # HTTP/1.0; no browser
        name = host_name(host.decode("latin-1"))
        return name == "localhost" or name.endswith(".localhost") or name in self._hosts or _is_loopback_literal(name)

    @staticmethod
    def _is_cross_site(headers: Mapping[bytes, bytes]) -> bool:
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            return site not in (b"same-origin", b"none")
        origin = headers.get(b"origin")
        if origin is None:
            return False
        _, _, authority = origin.lower().partition(b"://")
        own = (headers.get(b"host", b"").lower(), headers.get(b"x-forwarded-host", b"").lower())
        return not authority or authority not in own


def _is_loopback_literal(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

"""The HTTP client for the servers that we call: peers, and whoever else speaks a web API.

A session is with one server, on one connection that is kept while it is used. Where it may go is decided in
`clients.web_address`: http and https, no address that could be turned against us. No redirect is followed, so
credentials go nowhere but to the server they are for. What the other side answers is bounded: its length, unless it is
read piece by piece, and how slowly it may come. Before its first byte there is time to put away what was sent.

A kept connection may end at any moment between two requests. A request that finds it so is sent once more on a new one;
what is sent here can be sent twice: queries, and instances that their receiver knows by their identifiers.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import unquote, urlsplit

from amonsul import measures
from amonsul.blobs.store import InFile
from amonsul.clients.answer_head import LONGEST_HEAD, BoundedResponse
from amonsul.clients.gnutls import TlsLink
from amonsul.clients.pkcs11 import TokenSettings, token
from amonsul.clients.web_address import WebAddress, dial, is_allowed
from amonsul.clients.wire import PUT_AWAY_PER_S, SocketWriter
from amonsul.errors import BadSequenceOfCalls, InexistentFile, NetworkProtocolError, ParameterOutOfRange

logger = logging.getLogger(__name__)

MAX_ANSWER: Final = 16 << 20
"""Longest answer that is read as a whole unless more is asked for, in bytes."""
_PIECE: Final = 256 << 10
_SLOWEST: Final = 1024
"""Bytes per second that an answer brings on average, once it was waited for long enough."""
_LONG_ENOUGH_S: Final = 60.0
_CONTEXTS_KEPT: Final = 64

Secure = Callable[[socket.socket, str], ssl.SSLSocket | TlsLink]
"""Makes a TLS connection of a socket that is connected with the host of this name."""


class RemoteRefusal(NetworkProtocolError):
    """A web server answered a request with a status that is no success; `status` is that."""

    status = 0

    @classmethod
    def of(cls, details: str, status: int) -> RemoteRefusal:
        """Make one."""
        error = cls(details)
        error.status = status
        return error


@dataclass(frozen=True, slots=True)
class Proxy:
    """Through which server requests go."""

    address: WebAddress
    authorization: str = field(default="", repr=False)
    """Value of the header Proxy-Authorization; empty for none."""

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read `host:port` or `user:password@host:port`.

        Raises:
            ParameterOutOfRange: it is neither.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ParameterOutOfRange(f"not a proxy: {error}") from error
        if parts.scheme != "http" or not host:
            raise ParameterOutOfRange("a proxy is host:port or user:password@host:port")
        authorization = ""
        if parts.username is not None:
            authorization = basic(unquote(parts.username), unquote(parts.password or ""))
        return cls(WebAddress("http", host, port or 3128, "/"), authorization)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How servers are called.

    Attributes:
        timeout_s: longest wait for the other side; 0 for no bound.
        verifies: whether certificates of servers are checked.
        authorities: PEM file of the authorities to trust; those of the system if None.
        is_verbose: log each request.
        token: where keys in hardware tokens are; None if there are none.
    """

    proxy: Proxy | None = None
    timeout_s: float = 60
    verifies: bool = True
    authorities: Path | None = None
    is_verbose: bool = False
    token: TokenSettings | None = None


@dataclass(frozen=True, slots=True)
class WebServer:
    """One server that we call.

    Attributes:
        url: root of its API.
        headers: sent with each request.
        certificate_file: PEM file of our certificate towards it, with the key unless that has a file of its own.
        timeout_s: longest wait for it; 0 for the usual one.
        is_key_in_token: the key is in a hardware token, see `clients.pkcs11`.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    timeout_s: float = 0
    is_key_in_token: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: `open` answers the length in bytes and the pieces, and may be called again to send it again.

    Without a length it is sent in chunks (RFC 9112 §7.1).
    """

    open: Callable[[], tuple[int | None, Iterable[bytes | memoryview]]]
    media_type: str

    @classmethod
    def of(cls, data: bytes | memoryview, media_type: str, piece: int = 256 << 10) -> Body:
        """Bytes that are there."""
        view = memoryview(data)
        return cls(
            lambda: (len(view), (view[start : start + piece] for start in range(0, len(view), piece))), media_type
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class Incoming:
    """An answer whose body is still to come; names of headers are in lower case.

    Attributes:
        length: of the body in bytes, None if the server does not say.
    """

    def __init__(self, response: http.client.HTTPResponse, server: str) -> None:
        self._response = response
        self._server = server
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}
        self.length = response.length

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes.

        Raises:
            NetworkProtocolError: it is cut short, or comes too slowly.
        """
        received, waited_s = 0, 0.0
        while True:
            began = time.monotonic()
            try:
                piece = self._response.read1(_PIECE)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise NetworkProtocolError(
                    f"the answer of {self._server} breaks off: {str(error) or type(error).__name__}"
                ) from error
            if not piece:
                break
            received += len(piece)
            waited_s += time.monotonic() - began
            if waited_s > _LONG_ENOUGH_S and received < waited_s * _SLOWEST:
                raise NetworkProtocolError(f"the answer of {self._server} comes too slowly")
            yield piece
        if self.length is not None and received < self.length:
            raise NetworkProtocolError(f"the answer of {self._server} is cut short")
        self._response.close()  # its end; the connection stays

    def read(self, limit: int | None = None) -> bytes:
        """The whole body.

        Raises:
            NetworkProtocolError: as `pieces`, or it is longer than `limit`, which is `MAX_ANSWER` unless given.
        """
        limit = MAX_ANSWER if limit is None else limit
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > limit:
                raise NetworkProtocolError(f"{self._server} answers with more than {limit} bytes")
        return bytes(data)

    def __repr__(self) -> str:
        return f"<Incoming {self.status} from {self._server}>"


class _Counted:
    """Pieces of a body, and how many bytes have gone."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes | memoryview]:
        for piece in self._pieces:
            yield piece
            self.size += len(piece)


class HttpClient:
    """Opens sessions; may be used from any thread."""

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self.settings = settings or HttpSettings()
        self._lock = threading.Lock()
        self._contexts: dict[object, ssl.SSLContext] = {}

    def session(self, server: WebServer) -> Session:
        """A session with a server, for one thread at a time. Nothing is opened before the first request.

        Raises:
            ParameterOutOfRange: its URL is none that may be called.
        """
        return Session(self, server)

    def request(self, server: WebServer, method: str, path: str, body: Body | None = None) -> Answer:
        """A single request, see `Session.request`."""
        with self.session(server) as session:
            return session.request(method, path, body)

    def secure(self, server: WebServer) -> Secure:
        """How TLS is spoken with a server.

        Raises:
            InexistentFile: a file is not there.
            ParameterOutOfRange: a certificate or key cannot be used.
            BadSequenceOfCalls: the key is in a token, and the configuration names none.
        """
        if server.is_key_in_token:
            return self._by_token(server)
        context = self._context(server)
        return lambda link, host: context.wrap_socket(link, server_hostname=host)

    def _by_token(self, server: WebServer) -> Secure:
        if self.settings.token is None:
            raise BadSequenceOfCalls("a key in a hardware token needs the module of the token: Pkcs11.Module")
        keys = token(self.settings.token)
        credentials = keys.credentials(server.certificate_file, server.key_file, self.settings.authorities)
        return lambda link, host: keys.connect(link, credentials, host, verifies=self.settings.verifies)

    def _context(self, server: WebServer) -> ssl.SSLContext:
        """What TLS with a server needs; kept until the files of the certificate change."""
        files = [each for each in (server.certificate_file, server.key_file) if each]
        try:
            key = (*files, server.key_password, *(Path(each).stat().st_mtime_ns for each in files))
        except OSError as error:
            raise InexistentFile(f"Cannot open certificate file: {error.filename}") from error
        with self._lock:
            if key in self._contexts:
                return self._contexts[key]
            if len(self._contexts) >= _CONTEXTS_KEPT:
                self._contexts.clear()
            made = self._contexts[key] = self._new_context(server)
            return made

    def _new_context(self, server: WebServer) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.settings.authorities)
        except (OSError, ssl.SSLError) as error:
            raise ParameterOutOfRange(f"cannot use the authorities of {self.settings.authorities}: {error}") from error
        if not self.settings.verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if server.certificate_file:
            try:
                # A callable, so that OpenSSL never asks for a password at the terminal.
                context.load_cert_chain(
                    server.certificate_file, server.key_file or None, password=lambda: server.key_password
                )
            except (OSError, ssl.SSLError, ValueError) as error:
                raise ParameterOutOfRange(f"cannot use the certificate {server.certificate_file}: {error}") from error
        return context


class Session:
    """Requests to one server on one connection, which is made anew when the server closes it."""

    def __init__(self, client: HttpClient, server: WebServer) -> None:
        self._client = client
        self._server = server
        self._address = WebAddress.parse(server.url)
        self._timeout_s = server.timeout_s or client.settings.timeout_s or None
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def url(self, path: str) -> str:
        """A path below the root of the API as a URL, without its query: that may hold data of patients, or a token."""
        target = self._target(path).partition("?")[0]
        return f"{self._address.scheme}://{self._address.authority}{target}"

    def request(
        self, method: str, path: str, body: Body | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and read the answer, whatever its status.

        Args:
            method: of HTTP.
            path: below the root of the API, in ASCII, with its query.
            body: to send.
            headers: besides those of the server.

        Raises:
            NetworkProtocolError: the server cannot be reached, may not be, or does not speak HTTP.
            ParameterOutOfRange: a header, or our certificate, cannot be used.
        """
        with self.stream(method, path, body, headers) as incoming:
            return Answer(incoming.status, incoming.headers, incoming.read())

    @contextlib.contextmanager
    def stream(
        self, method: str, path: str, body: Body | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Incoming]:
        """The same for an answer of any length, which is read while the context is open."""
        started = time.monotonic()
        try:
            response = self._attempt(method, path, body, headers or {})
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            reason = str(error) or type(error).__name__
            proxy = self._client.settings.proxy
            way = "" if proxy is None else f" by way of the proxy {proxy.address.authority}"
            raise NetworkProtocolError(f"cannot speak to {self.url(path)}{way}: {reason}") from error
        except ValueError as error:
            self.close()
            raise ParameterOutOfRange(f"cannot be sent to {self.url(path)}: {error}") from error
        except BaseException:
            self.close()
            raise
        if self._client.settings.is_verbose:
            taken_ms = (time.monotonic() - started) * 1000
            logger.info("%s %s was answered with %d in %.0f ms", method, self.url(path), response.status, taken_ms)
        try:
            yield Incoming(response, self._address.authority)
        finally:
            if response.will_close or not response.isclosed():  # what was not read would pass for the next answer
                self.close()

    def require(
        self, method: str, path: str, body: Body | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The same, for a caller who needs a success.

        Raises:
            RemoteRefusal: the status is not 2xx.
        """
        answer = self.request(method, path, body, headers)
        if not answer.is_success:
            raise self.refusal(method, path, answer.status)
        return answer

    def refusal(self, method: str, path: str, status: int) -> RemoteRefusal:
        """What is raised for an answer that is no success."""
        return RemoteRefusal.of(f"{method} {self.url(path)} was answered with HTTP status {status}", status)

    def _target(self, path: str) -> str:
        root, _, query = self._address.target.partition("?")
        target = f"{root.rstrip('/')}/{path.lstrip('/')}"
        if not query:
            return target
        return f"{target}{'&' if '?' in path else '?'}{query}"

    def _attempt(
        self, method: str, path: str, body: Body | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        if self._connection is not None and self._connection.sock is not None:
            try:
                return self._exchange(self._connection, method, path, body, headers)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                self.close()
        self._connection = self._connect()
        return self._exchange(self._connection, method, path, body, headers)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Body | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        target = self._target(path)
        proxy = self._client.settings.proxy
        if proxy is not None and self._address.scheme == "http":
            target = f"http://{self._address.authority}{target}"
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        length, pieces = (0, None) if body is None else body.open()
        sent = _Counted(pieces or ())
        for name, value in self._headers(body, length, headers).items():
            connection.putheader(name, value)
        try:
            if length and isinstance(pieces, InFile) and type(connection.sock) is socket.socket:
                connection.endheaders()
                SocketWriter(connection.sock, self._timeout_s or 0).write_file(pieces.fileno(), 0, length)
                measures.READ_BYTES.inc(length)
                sent.size = length
            else:
                connection.endheaders(None if pieces is None else sent, encode_chunked=length is None)
        except (BrokenPipeError, ConnectionResetError):
            # A server may refuse before it has read everything; what it said is worth more than that it hung up.
            with contextlib.suppress(OSError, http.client.HTTPException):
                refusal = connection.getresponse()
                refusal.will_close = True
                return refusal
            raise
        return self._answer(connection, sent.size)

    def _answer(self, connection: http.client.HTTPConnection, sent_size: int) -> http.client.HTTPResponse:
        """The head of the answer to a request with a body of so many bytes."""
        link = connection.sock
        if self._timeout_s:
            link.settimeout(self._timeout_s + sent_size / PUT_AWAY_PER_S)
        response = connection.getresponse()
        link.settimeout(self._timeout_s)
        return response

    def _headers(self, body: Body | None, length: int | None, more: Mapping[str, str]) -> dict[str, str]:
        proxy = self._client.settings.proxy
        sent = {"Host": self._address.authority, "Accept": "*/*", "User-Agent": "Amonsul"}
        if self._server.username or self._server.password:
            sent["Authorization"] = basic(self._server.username, self._server.password)
        if proxy is not None and proxy.authorization and self._address.scheme == "http":
            sent["Proxy-Authorization"] = proxy.authorization
        if body is not None:
            sent["Content-Type"] = body.media_type
        for name, value in (*self._server.headers.items(), *more.items()):
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is no name of a header")
            for known in [known for known in sent if known.lower() == name.lower()]:
                del sent[known]
            sent[name] = value
        sent = {name: value for name, value in sent.items() if name.lower() not in _FRAMING}
        if length is None:
            sent["Transfer-Encoding"] = "chunked"
        elif body is not None:
            sent["Content-Length"] = str(length)
        return sent

    def _connect(self) -> http.client.HTTPConnection:
        address, proxy = self._address, self._client.settings.proxy
        secure = self._client.secure(self._server) if address.scheme == "https" else None
        if proxy is None:
            link = dial(address, self._timeout_s)
        else:
            _check_behind_proxy(address)
            link = dial(proxy.address, self._timeout_s)
        try:
            if proxy is not None and secure is not None:
                _tunnel(link, address, proxy)
            secured = None if secure is None else secure(link, address.host)
        except BaseException:
            link.close()
            raise
        connection = http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)
        connection.response_class = BoundedResponse
        connection.sock = secured or link
        connection.auto_open = 0  # it would connect by itself, to whatever the name means by then
        return connection


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 §5.6.2."""
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
"""Where a body ends is ours to say, whatever the configuration does."""


def basic(username: str, password: str) -> str:
    """Value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _check_behind_proxy(address: WebAddress) -> None:
    """The proxy resolves names itself; what we know of them is checked all the same."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return  # names that only the proxy knows
    if not all(is_allowed(str(each[4][0])) for each in found):
        raise OSError("its address is one that requests may not go to")


def _tunnel(link: socket.socket, address: WebAddress, proxy: Proxy) -> None:
    """Ask a proxy to connect us with a server (RFC 9110 §9.3.6)."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    place = f"{host}:{address.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    head = bytearray()
    deadline = time.monotonic() + (link.gettimeout() or math.inf)
    while not head.endswith(b"\r\n\r\n"):
        byte = link.recv(1)  # not one more: what follows belongs to TLS
        if not byte or len(head) > LONGEST_HEAD or time.monotonic() > deadline:
            raise OSError("the proxy does not answer as one")
        head += byte
    parts = head.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or parts[1][:1] != b"2":
        raise OSError(f"the proxy refuses: {head[:80].splitlines()[0].decode('latin-1')}")

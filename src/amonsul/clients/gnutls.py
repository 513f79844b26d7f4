"""TLS by GnuTLS, for keys that Python's `ssl` cannot use: those that never leave a hardware token.

GnuTLS is a library of the system and is loaded when the first such key is used. Only what a client needs is here: the
objects of a token, credentials, a handshake that checks the server, and a stream of bytes over a connected socket. A
`TlsLink` has what `http.client` wants of a socket. Waiting is done here, with the timeout of the socket; while a
function of the library runs, other threads do.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import ipaddress
import select
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amonsul.errors import ParameterOutOfRange

Pin = Callable[[int], str | None]
"""Answers the PIN, given how often it was refused since it was asked for; None for none."""

_LIBRARY: Final = "libgnutls.so.30"
_PRIORITIES: Final = b"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
_LARGEST_RECORD: Final = 16384

# Numbers of gnutls.h and pkcs11.h, which belong to the binary interface.
_CLIENT: Final = 1 << 1
_NO_SIGNAL: Final = 1 << 6
_PEM: Final = 1
_CERTIFICATE_CREDENTIALS: Final = 1
_NAME_DNS: Final = 1
_X509: Final = 1
_SHUT_WR: Final = 1
_LOGIN: Final = 1 << 0
_PRIVATE_KEYS: Final = 1 << 21

_FATAL_ALERT: Final = -12
_AGAIN: Final = (-28, -52)
"""Including what a signal interrupted."""
_BROKEN: Final = (-53, -54, -110)
"""The connection is gone, or ended without saying so."""
_NOT_FOUND: Final = -56
_PIN_ERROR: Final = -303
_NOT_VERIFIED: Final = -348

_Handle = ctypes.c_void_p
_HANDLE_OUT: Final = ctypes.POINTER(ctypes.c_void_p)
_PIN_FUNCTION: Final = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_uint,
    ctypes.c_void_p,
    ctypes.c_size_t,
)


class _Datum(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint))


_FUNCTIONS: Final[dict[str, tuple[type | None, tuple[type, ...]]]] = {
    "strerror": (ctypes.c_char_p, (ctypes.c_int,)),
    "error_is_fatal": (ctypes.c_int, (ctypes.c_int,)),
    "pkcs11_init": (ctypes.c_int, (ctypes.c_uint, ctypes.c_char_p)),
    "pkcs11_add_provider": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_char_p)),
    "pkcs11_set_pin_function": (None, (_PIN_FUNCTION, _Handle)),
    "pkcs11_obj_list_import_url4": (
        ctypes.c_int,
        (_HANDLE_OUT, ctypes.POINTER(ctypes.c_uint), ctypes.c_char_p, ctypes.c_uint),
    ),
    "pkcs11_obj_export_url": (ctypes.c_int, (_Handle, ctypes.c_int, _HANDLE_OUT)),
    "pkcs11_obj_deinit": (None, (_Handle,)),
    "certificate_allocate_credentials": (ctypes.c_int, (_HANDLE_OUT,)),
    "certificate_free_credentials": (None, (_Handle,)),
    "certificate_set_x509_trust_file": (ctypes.c_int, (_Handle, ctypes.c_char_p, ctypes.c_int)),
    "certificate_set_x509_trust_dir": (ctypes.c_int, (_Handle, ctypes.c_char_p, ctypes.c_int)),
    "certificate_set_x509_key_file2": (
        ctypes.c_int,
        (_Handle, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
    ),
    "certificate_verification_status_print": (
        ctypes.c_int,
        (ctypes.c_uint, ctypes.c_int, ctypes.POINTER(_Datum), ctypes.c_uint),
    ),
    "init": (ctypes.c_int, (_HANDLE_OUT, ctypes.c_uint)),
    "deinit": (None, (_Handle,)),
    "priority_set_direct": (ctypes.c_int, (_Handle, ctypes.c_char_p, ctypes.c_void_p)),
    "credentials_set": (ctypes.c_int, (_Handle, ctypes.c_int, _Handle)),
    "server_name_set": (ctypes.c_int, (_Handle, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)),
    "session_set_verify_cert": (None, (_Handle, ctypes.c_char_p, ctypes.c_uint)),
    "session_get_verify_cert_status": (ctypes.c_uint, (_Handle,)),
    "transport_set_int2": (None, (_Handle, ctypes.c_int, ctypes.c_int)),
    "handshake": (ctypes.c_int, (_Handle,)),
    "record_get_direction": (ctypes.c_int, (_Handle,)),
    "record_send": (ctypes.c_ssize_t, (_Handle, ctypes.c_char_p, ctypes.c_size_t)),
    "record_recv": (ctypes.c_ssize_t, (_Handle, ctypes.c_void_p, ctypes.c_size_t)),
    "bye": (ctypes.c_int, (_Handle, ctypes.c_int)),
    "alert_get": (ctypes.c_int, (_Handle,)),
    "alert_get_name": (ctypes.c_char_p, (ctypes.c_int,)),
}


class GnutlsError(OSError):
    """The library refused; `code` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Library:
    """GnuTLS; there is one in a process, see `library`."""

    def __init__(self) -> None:
        try:
            loaded = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise ParameterOutOfRange(f"keys in hardware tokens need GnuTLS: {error}") from error
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, f"gnutls_{name}")
            function.restype, function.argtypes = result, arguments
        self.functions: Final = loaded
        # A variable of the library that holds the address of the function.
        self._free: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p).in_dll(loaded, "gnutls_free")
        self._pin: object = None
        self.check(loaded.gnutls_pkcs11_init(0, None))  # not the modules that the system has for everyone

    def check(self, code: int) -> int:
        """Hand on what a function answered.

        Raises:
            GnutlsError: it is an error.
        """
        if code < 0:
            raise GnutlsError(code, self.functions.gnutls_strerror(code).decode())
        return code

    def use_module(self, module: Path, pin: Pin) -> None:
        """Use the tokens of one module more, all with one PIN.

        Raises:
            GnutlsError: it cannot be loaded.
        """
        self.check(self.functions.gnutls_pkcs11_add_provider(bytes(module), None))

        def answer(_: object, attempt: int, __: object, ___: object, ____: int, buffer: int, size: int) -> int:
            text = pin(attempt)
            if text is None or len(text.encode()) >= size:
                return _PIN_ERROR
            ctypes.memmove(buffer, text.encode() + b"\0", len(text.encode()) + 1)
            return 0

        self._pin = _PIN_FUNCTION(answer)  # kept: the library calls it
        self.functions.gnutls_pkcs11_set_pin_function(self._pin, None)

    def private_keys(self, url: str) -> list[str]:
        """URLs (RFC 7512) of the private keys in tokens to which another one applies.

        Raises:
            GnutlsError: the token cannot be read.
        """
        functions = self.functions
        objects, count = ctypes.c_void_p(), ctypes.c_uint()
        code = functions.gnutls_pkcs11_obj_list_import_url4(objects, count, url.encode(), _PRIVATE_KEYS | _LOGIN)
        if code == _NOT_FOUND:
            return []
        self.check(code)
        found = []
        each = ctypes.cast(objects, _HANDLE_OUT)
        for number in range(count.value):
            text = ctypes.c_void_p()
            if functions.gnutls_pkcs11_obj_export_url(each[number], 0, text) >= 0:
                found.append(self._taken(text))
            functions.gnutls_pkcs11_obj_deinit(each[number])
        self._free(objects)
        return found

    def what_is_wrong(self, session: ctypes.c_void_p) -> str:
        """Why a certificate was not believed."""
        status = self.functions.gnutls_session_get_verify_cert_status(session)
        text = _Datum()
        if self.functions.gnutls_certificate_verification_status_print(status, _X509, text, 0) < 0:
            return "the certificate is not trusted"
        return self._taken(ctypes.c_void_p(text.data)).strip()

    def _taken(self, text: ctypes.c_void_p) -> str:
        value = ctypes.cast(text, ctypes.c_char_p).value or b""
        self._free(text)
        return value.decode("utf-8", "replace")


@functools.cache
def library() -> Library:
    """The library, loaded at the first call.

    Raises:
        ParameterOutOfRange: it is not installed.
    """
    return Library()


class Credentials:
    """Who we are and whom we trust; for any number of connections.

    Args:
        certificate, key: each the name of a PEM file or a URL of a token.
        authorities: PEM file of those to trust; those of the system if None.

    Raises:
        GnutlsError: the certificate or the key cannot be used.
    """

    def __init__(self, certificate: str, key: str, authorities: Path | None) -> None:
        self.handle: Final = ctypes.c_void_p()
        self._library = library()
        functions = self._library.functions
        self._library.check(functions.gnutls_certificate_allocate_credentials(self.handle))
        defaults = ssl.get_default_verify_paths()
        file, folder = (str(authorities), None) if authorities else (defaults.cafile, defaults.capath)
        if file:
            self._library.check(functions.gnutls_certificate_set_x509_trust_file(self.handle, file.encode(), _PEM))
        if folder:
            self._library.check(functions.gnutls_certificate_set_x509_trust_dir(self.handle, folder.encode(), _PEM))
        self._library.check(
            functions.gnutls_certificate_set_x509_key_file2(
                self.handle, certificate.encode(), key.encode(), _PEM, None, 0
            )
        )

    def __del__(self) -> None:
        if self.handle:
            self._library.functions.gnutls_certificate_free_credentials(self.handle)


class TlsLink:
    """A TLS connection to a server over a connected socket, which it owns from now on.

    Args:
        link: the socket; its timeout is that of every wait.
        credentials: ours.
        host: name of the server, which its certificate must have.
        verifies: whether its certificate is checked.

    Raises:
        OSError: there is no connection with the server that is meant.
    """

    def __init__(self, link: socket.socket, credentials: Credentials, host: str, *, verifies: bool) -> None:
        self._library = library()
        self._functions = self._library.functions
        self._link = link
        self._credentials = credentials  # as long as the session
        self._readers = 0
        self._is_closed = False
        self._session = ctypes.c_void_p()
        self._check(self._functions.gnutls_init(self._session, _CLIENT | _NO_SIGNAL))
        try:
            self._shake_hands(host, verifies=verifies)
        except BaseException:
            self._functions.gnutls_deinit(self._session)
            raise

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, all of them."""
        view = memoryview(data).cast("B")
        start = 0
        while start < len(view):
            piece = bytes(view[start : start + _LARGEST_RECORD])
            start += self._repeat(
                lambda piece=piece: self._functions.gnutls_record_send(  # type: ignore[misc]
                    self._session, piece, len(piece)
                )
            )

    def settimeout(self, timeout_s: float | None) -> None:
        """Longest wait for the server from now on; None for no bound."""
        self._link.settimeout(timeout_s)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What comes, as a file; the connection is open until this is closed, too."""
        assert mode == "rb"
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def receive_into(self, buffer: memoryview) -> int:
        """Fill a buffer with what has come, at least a byte; 0 when the server has ended the connection."""
        room = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        return self._repeat(lambda: self._functions.gnutls_record_recv(self._session, room, len(buffer)))

    def close(self) -> None:
        """Close the connection, once those who read from it have closed theirs."""
        self._is_closed = True
        if self._readers == 0 and self._session:
            with contextlib.suppress(OSError):
                self._functions.gnutls_bye(self._session, _SHUT_WR)  # if it would have to wait it is left out
            self._functions.gnutls_deinit(self._session)
            self._session = ctypes.c_void_p()
            self._link.close()

    def reader_closed(self) -> None:
        """One who read has closed."""
        self._readers -= 1
        if self._is_closed:
            self.close()

    def _shake_hands(self, host: str, *, verifies: bool) -> None:
        session, functions = self._session, self._functions
        self._check(functions.gnutls_priority_set_direct(session, _PRIORITIES, None))
        self._check(functions.gnutls_credentials_set(session, _CERTIFICATE_CREDENTIALS, self._credentials.handle))
        name = host.encode("idna") if not _is_address(host) else host.encode()
        if not _is_address(host):
            self._check(functions.gnutls_server_name_set(session, _NAME_DNS, name, len(name)))
        if verifies:
            functions.gnutls_session_set_verify_cert(session, name, 0)
        functions.gnutls_transport_set_int2(session, self._link.fileno(), self._link.fileno())
        self._repeat(lambda: functions.gnutls_handshake(session))

    def _repeat(self, call: Callable[[], int]) -> int:
        """Call the library until it has done what it should, waiting for the socket."""
        while (code := call()) < 0:
            if code in _AGAIN:
                self._wait()
            elif self._functions.gnutls_error_is_fatal(code):
                self._check(code)
        return code

    def _wait(self) -> None:
        timeout_s = self._link.gettimeout()
        wanted = select.POLLOUT if self._functions.gnutls_record_get_direction(self._session) else select.POLLIN
        poll = select.poll()
        poll.register(self._link, wanted)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            raise TimeoutError("timed out")

    def _check(self, code: int) -> None:
        if code == _NOT_VERIFIED:
            raise GnutlsError(code, self._library.what_is_wrong(self._session))
        if code == _FATAL_ALERT:
            alert = self._functions.gnutls_alert_get_name(self._functions.gnutls_alert_get(self._session))
            raise GnutlsError(code, f"the server refuses: {(alert or b'?').decode()}")
        if code in _BROKEN:
            raise ConnectionResetError(self._functions.gnutls_strerror(code).decode())
        self._library.check(code)


class _Reader(io.RawIOBase):
    def __init__(self, link: TlsLink) -> None:
        self._link = link

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io hands in a memoryview
        return self._link.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._link.reader_closed()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Client certificates whose key is in a hardware token or a smart card, by way of PKCS#11.

A server is told by `Pkcs11` that its key is there. Which one may be left open if there is only one; otherwise
`CertificateKeyFile` names it by a URL of RFC 7512, such as `pkcs11:object=client`. The certificate is the one with the
identifier of the key, if `CertificateFile` does not name a file, as for any other server.

A token counts wrong PINs and locks itself after a few. So a PIN that was refused once is never tried again.
"""

from __future__ import annotations

import functools
import logging
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from amonsul.clients.gnutls import Credentials, GnutlsError, TlsLink, library
from amonsul.errors import ParameterOutOfRange

logger = logging.getLogger(__name__)

URL_SCHEME: Final = "pkcs11:"
_CREDENTIALS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How to get at the token.

    Attributes:
        module: library of its maker.
        is_verbose: log what is done with it.
    """

    module: Path
    pin: str = field(default="", repr=False)
    is_verbose: bool = False


class Token:
    """The keys of a module's tokens; may be used from any thread."""

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._is_pin_refused = False
        self._lock = threading.Lock()
        self._credentials: dict[tuple[str, str, Path | None], Credentials] = {}
        try:
            library().use_module(settings.module, self._pin)
        except GnutlsError as error:
            raise ParameterOutOfRange(f"cannot use the module {settings.module} for tokens: {error}") from error
        self._tell("the module %s is loaded", settings.module)

    def credentials(self, certificate: str, key: str, authorities: Path | None) -> Credentials:
        """What proves who we are; kept until a connection fails with it.

        Args:
            certificate: name of a file, or URL; empty for the one of the token.
            key: its URL; empty for the one of the token.
            authorities: PEM file of those to trust; those of the system if None.

        Raises:
            ParameterOutOfRange: there is no such key, or it cannot be used.
        """
        place = (certificate, key, authorities)
        with self._lock:
            if place in self._credentials:
                return self._credentials[place]
            try:
                used = self._find(key)
                certificate_used = certificate or _of_type(used, "cert")
            except GnutlsError as error:
                reason = "the PIN was refused" if self._is_pin_refused else str(error)
                raise ParameterOutOfRange(f"cannot read the keys of a token: {reason}") from error
            try:
                made = Credentials(certificate_used, used, authorities)
            except GnutlsError as error:
                raise ParameterOutOfRange(f"cannot use the certificate {certificate_used}: {error}") from error
            self._tell("certificate %s, key %s", certificate_used, used)
            if len(self._credentials) >= _CREDENTIALS_KEPT:
                self._credentials.clear()
            self._credentials[place] = made
            return made

    def connect(self, link: socket.socket, credentials: Credentials, host: str, *, verifies: bool) -> TlsLink:
        """Speak TLS on a socket, see `TlsLink`."""
        try:
            return TlsLink(link, credentials, host, verifies=verifies)
        except OSError:
            with self._lock:  # the token may have been pulled out and put back
                self._credentials = {place: kept for place, kept in self._credentials.items() if kept != credentials}
            raise

    def _find(self, key: str) -> str:
        found = library().private_keys(_of_type(key or URL_SCHEME, "private"))
        if len(found) != 1:
            raise ParameterOutOfRange(
                f"{len(found) or 'no'} keys were found in tokens; CertificateKeyFile must name one by a URL such as "
                "pkcs11:object=client"
            )
        return found[0]

    def _pin(self, attempt: int) -> str | None:
        if attempt > 0:
            self._is_pin_refused = True
            logger.error("the token refused the PIN; it is not tried again before the server starts anew")
        return None if self._is_pin_refused or not self._settings.pin else self._settings.pin

    def _tell(self, message: str, *values: object) -> None:
        if self._settings.is_verbose:
            logger.info("PKCS#11: " + message, *values)


def token(settings: TokenSettings) -> Token:
    """The keys of a module, which is loaded at the first call; a process has one module.

    Raises:
        ParameterOutOfRange: the module cannot be loaded.
    """
    with _loading:
        return _loaded(settings)


_loading: Final = threading.Lock()


@functools.cache
def _loaded(settings: TokenSettings) -> Token:
    return Token(settings)


def _of_type(url: str, kind: str) -> str:
    """The URL of what belongs to an object and is of another type; labels may differ where there is an identifier."""
    dropped = ("type=", "object=") if "id=%" in url else ("type=",)
    parts = [part for part in url.removeprefix(URL_SCHEME).split(";") if part and not part.startswith(dropped)]
    return URL_SCHEME + ";".join([*parts, f"type={kind}"])

"""HTTPS: the settings as an `ssl.SSLContext`."""

from __future__ import annotations

import ssl

from amonsul.errors import AmonsulError
from amonsul.web.settings import TlsSettings

_MINIMUM = {
    0: ssl.TLSVersion.MINIMUM_SUPPORTED,
    1: ssl.TLSVersion.MINIMUM_SUPPORTED,
    2: ssl.TLSVersion.TLSv1,
    3: ssl.TLSVersion.TLSv1_1,
    4: ssl.TLSVersion.TLSv1_2,
    5: ssl.TLSVersion.TLSv1_3,
}

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!MD5:!DSS"


class BadTlsSettings(AmonsulError):
    """The certificate files or the names of ciphers cannot be used."""


def ssl_context(settings: TlsSettings) -> ssl.SSLContext:
    """Build the context that the server listens with.

    Raises:
        BadTlsSettings: with the option at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    minimum = _MINIMUM.get(settings.minimum_protocol_version)
    if minimum is None:
        raise BadTlsSettings(f"SslMinimumProtocolVersion: {settings.minimum_protocol_version} is not one of 0 to 5")
    context.minimum_version = minimum
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.set_ciphers(":".join(settings.ciphers) or _CIPHERS)
    except ssl.SSLError as error:
        raise BadTlsSettings("SslCiphersAccepted: none of the names is known") from error
    try:
        context.load_cert_chain(settings.certificate)
    except (OSError, ssl.SSLError) as error:
        raise BadTlsSettings(f"SslCertificate: cannot read {settings.certificate}: {error}") from error
    if settings.verify_peers:
        if settings.trusted_client_certificates is None:
            raise BadTlsSettings("SslVerifyPeers is on, but SslTrustedClientCertificates is not set")
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(settings.trusted_client_certificates)
        except (OSError, ssl.SSLError) as error:
            raise BadTlsSettings(
                f"SslTrustedClientCertificates: cannot read {settings.trusted_client_certificates}: {error}"
            ) from error
    return context

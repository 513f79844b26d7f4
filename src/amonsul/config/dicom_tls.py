"""DICOM TLS: what the DICOM door and the DICOM client show and ask of the other side (PS3.15 §B.9, §B.10)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amonsul.config.reader import Configuration

_TLS_1_3: Final = 5
_CIPHERS: Final = "ECDHE+AESGCM:DHE+AESGCM"  # those that RFC 9325 §4.2 recommends


def server_context(configuration: Configuration) -> ssl.SSLContext | None:
    """For the DICOM door; None if it speaks no TLS.

    Raises:
        ConfigurationError: a file is missing or cannot be used.
    """
    if not configuration.flag("DicomTlsEnabled"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _show(configuration, context)
    required = configuration.flag("DicomTlsRemoteCertificateRequired")
    if required or configuration.is_set("DicomTlsTrustedCertificates"):
        _trust(configuration, context)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def client_context(configuration: Configuration) -> ssl.SSLContext | None:
    """For modalities with `UseDicomTls`; None if there is no certificate to show them.

    Certificates of modalities name systems and not hosts, so the name is not compared. Without certificates to trust,
    any is taken if `DicomTlsRemoteCertificateRequired` is off.

    Raises:
        ConfigurationError: a file is missing or cannot be used.
    """
    if not configuration.is_set("DicomTlsCertificate"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _show(configuration, context)
    required = configuration.flag("DicomTlsRemoteCertificateRequired")
    if required or configuration.is_set("DicomTlsTrustedCertificates"):
        _trust(configuration, context)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


def _show(configuration: Configuration, context: ssl.SSLContext) -> None:
    """Protocol, ciphers and our certificate."""
    newest_only = configuration.number("DicomTlsMinimumProtocolVersion") >= _TLS_1_3
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest_only else ssl.TLSVersion.TLSv1_2
    ciphers = ":".join(configuration.texts("DicomTlsCiphersAccepted")) or _CIPHERS
    _attempt(configuration, "DicomTlsCiphersAccepted", lambda: context.set_ciphers(ciphers))
    certificate, key = _file(configuration, "DicomTlsCertificate"), _file(configuration, "DicomTlsPrivateKey")
    _attempt(configuration, "DicomTlsCertificate", lambda: context.load_cert_chain(certificate, key))


def _trust(configuration: Configuration, context: ssl.SSLContext) -> None:
    trusted = _file(configuration, "DicomTlsTrustedCertificates")
    _attempt(configuration, "DicomTlsTrustedCertificates", lambda: context.load_verify_locations(trusted))


def _file(configuration: Configuration, option: str) -> Path:
    if not configuration.is_set(option):
        raise configuration.refuse(option, "is needed for DICOM TLS")
    return configuration.path(option)


def _attempt(configuration: Configuration, option: str, action: Callable[[], object]) -> None:
    try:
        action()
    except (OSError, ssl.SSLError) as error:
        raise configuration.refuse(option, f"cannot be used: {error.strerror or error}") from error

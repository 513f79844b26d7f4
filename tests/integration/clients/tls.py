"""The other side of DICOM TLS."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping

from amonsul.config import dicom_tls
from amonsul.config.reader import load
from tests.integration.rest.certificates import Certificates


def server_context(certificates: Certificates, values: Mapping[str, object] | None = None) -> ssl.SSLContext:
    """What a server shows and asks that has these certificates, and further options."""
    own = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificates.server),
        "DicomTlsPrivateKey": str(certificates.server),
        "DicomTlsTrustedCertificates": str(certificates.authority),
    }
    made = dicom_tls.server_context(load([], {"ORTHANC_JSON": json.dumps(own | dict(values or {}))}))
    assert made is not None
    return made

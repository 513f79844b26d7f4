"""Each cell of the table of what Amonsul asks of others, and that the page tells no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amonsul.clients.dimse import ScuSettings
from amonsul.config import dicom_tls
from amonsul.config.reader import load
from tests.integration.clients.peers import AE_TITLE, PATIENCE_S, client
from tests.integration.interoperability.asking import CELLS, Ask
from tests.integration.interoperability.table import PAGE, Cell, section, table
from tests.integration.rest.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_amonsul_asks(cell: Cell[Ask], tmp_path: Path, certificates: Certificates) -> None:
    options = {
        "DicomTlsCertificate": str(certificates.client),
        "DicomTlsPrivateKey": str(certificates.client),
        "DicomTlsTrustedCertificates": str(certificates.authority),
    }
    tls = dicom_tls.client_context(load([], {"ORTHANC_JSON": json.dumps(options)}))
    with client(ScuSettings(ae_title=AE_TITLE, timeout_s=PATIENCE_S, tls=tls)) as scu:
        cell.run(tmp_path, certificates, scu)


def test_the_page_shows_what_was_tested() -> None:
    assert section("Amonsul asks", PAGE.read_text("utf-8")) == table(CELLS)

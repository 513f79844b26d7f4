"""From options to the settings of each part."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Set
from pathlib import Path

import pytest

from amonsul import app
from amonsul.archive.context import Overwrite
from amonsul.config import settings
from amonsul.config.kinds import ConfigurationError, Json
from amonsul.config.reader import Configuration, load
from amonsul.config.table import OPTIONS
from amonsul.database.settings import PostgresSettings, SqliteSettings
from tests.integration.rest.certificates import make_certificates


def configuration(values: dict[str, Json]) -> Configuration:
    return load([], {"ORTHANC_JSON": json.dumps(values)})


class Noting(Configuration):
    """A configuration that notes which options are asked for."""

    asked: Set[str]

    def value(self, path: str) -> Json:
        object.__setattr__(self, "asked", {*getattr(self, "asked", set()), path})
        return super().value(path)


def test_an_option_is_marked_served_exactly_if_a_part_asks_for_it(tmp_path: Path) -> None:
    pems = make_certificates(tmp_path)
    certificate = str(pems.server)
    everything: dict[str, Json] = {
        "IndexDirectory": "index",
        "ExternalDictionaries": [],
        "HttpBindAddresses": ["127.0.0.1"],
        "AcceptedSopClasses": ["1.2"],
        "RejectedSopClasses": ["1.2"],
        "SslEnabled": True,
        "SslVerifyPeers": True,
        "SslCertificate": certificate,
        "SslTrustedClientCertificates": certificate,
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": certificate,
        "DicomTlsPrivateKey": certificate,
        "DicomTlsTrustedCertificates": str(pems.authority),
        "SslCiphersAccepted": ["x"],
        "Worklists": {"Enable": True, "Database": "worklists"},
        **{name: True for name in OPTIONS if name.endswith("TransferSyntaxAccepted")},
    }
    asked: set[str] = set()
    postgresql: dict[str, Json] = {"PostgreSQL": {"EnableIndex": True}}
    for values in (everything, postgresql):
        given = configuration(values)
        noting = Noting(given.values, given.given, ())
        settings.build_all(noting)
        asked |= noting.asked
    # What app.py asks for by itself, and what is told by /system alone.
    asked |= set(re.findall(r'configuration\.\w+\("([\w.]+)"\)', Path(app.__file__).read_text("utf-8")))
    asked |= {"Name", "CaseSensitivePN"}
    served = {path for path, option in OPTIONS.items() if option.served}
    assert asked - served == set(), "asked for, but marked as not served"
    assert served - asked == set(), "marked as served, but nobody asks for it"


def test_webhooks_and_types_of_attachments_are_checked_at_start() -> None:
    hook: dict[str, Json] = {"Url": "https://ris.example/x", "Secret": "long enough", "Types": ["NewStudy"]}
    (made,) = settings.webhooks(configuration({"Amonsul": {"Webhooks": {"ris": hook}}}))
    assert (made.name, made.address.authority, made.types) == ("ris", "ris.example", frozenset({"NewStudy"}))
    wrongs: list[dict[str, Json]] = [{"Url": "file:///etc/passwd"}, {"Secret": "short"}, {"Types": ["Nothing"]}]
    for wrong in wrongs:
        with pytest.raises(ConfigurationError, match=r"Amonsul\.Webhooks"):
            settings.webhooks(configuration({"Amonsul": {"Webhooks": {"ris": {**hook, **wrong}}}}))
    given: dict[str, Json] = {"UserContentType": {"a": [1024, "application/pdf"], "b": 1025}}
    assert settings.archive_settings(configuration(given)).media_types == {1024: "application/pdf"}
    with pytest.raises(ConfigurationError, match="MIME"):
        settings.archive_settings(configuration({"UserContentType": {"a": [1024, "text/html\r\nx: y"]}}))


def test_bounds_in_megabytes_reach_those_they_bound() -> None:
    given = configuration(
        {
            "DicomLossyTranscodingQuality": 70,
            "MaximumFileSizeInArchiveMB": 2,
            "TranscoderMemoryCapacity": 3,
            "TranscoderThreadsCount": 1,
        }
    )
    web, worker = settings.web_settings(given), settings.worker_settings(given)
    assert (web.lossy_quality, web.maximum_archived_file_size) == (70, 2 << 20)
    assert (worker.processes, worker.memory_bytes) == (1, 3 << 20)


def test_the_index_is_in_the_storage_folder_unless_it_has_one_of_its_own(tmp_path: Path) -> None:
    storage, index = tmp_path / "storage", tmp_path / "index"
    where = settings.database_settings(configuration({"StorageDirectory": str(storage)}))
    assert isinstance(where, SqliteSettings)
    assert where.path.parent == storage
    where = settings.database_settings(
        configuration({"StorageDirectory": str(storage), "IndexDirectory": str(index), "SyncStorageArea": False})
    )
    assert isinstance(where, SqliteSettings)
    assert (where.path.parent, where.synchronous) == (index, False)


def test_postgresql_is_reached_by_its_options_or_by_its_uri() -> None:
    options: Json = {"EnableIndex": True, "Password": "it's \\ secret", "IndexConnectionsCount": 3}
    where = settings.database_settings(configuration({"PostgreSQL": options}))
    assert isinstance(where, PostgresSettings)
    assert "password='it\\'s \\\\ secret'" in where.conninfo
    assert "host='localhost' port='5432'" in where.conninfo
    assert where.max_connections == 3
    uri = "postgresql://u:p@h/d"
    where = settings.database_settings(configuration({"PostgreSQL": {"EnableIndex": True, "ConnectionUri": uri}}))
    assert isinstance(where, PostgresSettings)
    assert where.conninfo == uri


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, Overwrite.ALWAYS),
        (False, Overwrite.NEVER),
        ("Always", Overwrite.ALWAYS),
        ("IfChanged", Overwrite.IF_CHANGED),
    ],
)
def test_overwriting_is_told_by_a_word_or_by_a_flag(value: Json, meaning: Overwrite) -> None:
    assert settings.archive_settings(configuration({"OverwriteInstances": value})).overwrite is meaning


def test_the_older_options_add_transfer_syntaxes_or_take_them_away() -> None:
    known = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70")
    assert settings.accepted_transfer_syntaxes(configuration({}), known) == ("1.2.840.10008.1.*",)
    refused = configuration({"RleTransferSyntaxAccepted": False})
    assert settings.accepted_transfer_syntaxes(refused, known) == ("1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70")
    added = configuration({"AcceptedTransferSyntaxes": "1.2.840.10008.1.2", "RleTransferSyntaxAccepted": True})
    assert settings.accepted_transfer_syntaxes(added, known) == ("1.2.840.10008.1.2", "1.2.840.10008.1.2.5")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"ExtraMainDicomTags": {"Study": ["PatientAge", "NoSuchTag"]}},
            r"ORTHANC_JSON: ExtraMainDicomTags.Study\[1\]",
        ),
        ({"UserMetadata": {"One": 1024, "Other": 1024}}, r"UserMetadata.Other: 1024 is the number of another name"),
        ({"ExternalDictionaries": ["/nowhere.dic"]}, r"ORTHANC_JSON: ExternalDictionaries\[0\]: "),
        ({"DicomModalities": {"bad name!": ["A", "h", 1]}}, "DicomModalities: "),
        ({"SslEnabled": True, "SslCertificate": "/nowhere.pem"}, "SslCertificate: there is no file /nowhere.pem"),
        ({"DicomTlsEnabled": True}, "DicomTlsCertificate: is needed for DICOM TLS"),
        (
            {"DicomTlsEnabled": True, "DicomTlsCertificate": "/nowhere.pem", "DicomTlsPrivateKey": "/nowhere.pem"},
            "DicomTlsCertificate: cannot be used: No such file",
        ),
        (
            {"DicomTlsEnabled": True, "DicomTlsCiphersAccepted": ["NONE-SUCH"]},
            "DicomTlsCiphersAccepted: cannot be used",
        ),
    ],
)
def test_what_the_table_cannot_judge_is_refused_with_its_option(values: dict[str, Json], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings.build_all(configuration(values))


def test_modalities_come_in_both_forms() -> None:
    given = configuration(
        {
            "DicomModalities": {
                "a": ["AET", "host", 104],
                "b": {"AET": "B", "Host": "h", "Port": 105, "AllowEcho": False},
            }
        }
    )
    modalities = settings.modalities(given)
    assert (modalities["a"].port, modalities["b"].allow_echo) == (104, False)


def test_dictionaries_come_from_files_and_from_the_option(tmp_path: Path) -> None:
    (tmp_path / "own.dic").write_text('(0009,"MAKER",01)\tLO\tFromFile\t1\tPrivateTag\n')
    options: dict[str, Json] = {
        "ExternalDictionaries": [str(tmp_path / "own.dic")],
        "Dictionary": {"0009,02": ["LO", "FromOption", 1, 1, "MAKER"]},
    }
    names = settings.dictionary(configuration(options))
    assert names.keyword(0x00091001, "MAKER") == "FromFile"
    assert names.keyword(0x00091002, "MAKER") == "FromOption"


def test_the_private_tags_of_makers_may_be_left_out() -> None:
    tag, maker = 0x00091027, "GEMS_IDEN_01"
    assert settings.dictionary(configuration({})).entry(tag, maker) is not None
    assert settings.dictionary(configuration({"LoadPrivateDictionary": False})).entry(tag, maker) is None


def test_dicom_tls_asks_its_peers_for_certificates_unless_told_otherwise(tmp_path: Path) -> None:
    pems = make_certificates(tmp_path)
    options: dict[str, Json] = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(pems.server),
        "DicomTlsPrivateKey": str(pems.server),
        "DicomTlsTrustedCertificates": str(pems.authority),
    }
    context = settings.dimse_settings(configuration(options)).tls
    assert context is not None
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2)
    options |= {"DicomTlsRemoteCertificateRequired": False, "DicomTlsMinimumProtocolVersion": 5}
    context = settings.dimse_settings(configuration(options)).tls
    assert context is not None
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_OPTIONAL, ssl.TLSVersion.TLSv1_3)
    del options["DicomTlsTrustedCertificates"]
    context = settings.dimse_settings(configuration(options)).tls
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(("options", "host"), [({}, ""), ({"Amonsul": {"DicomBindAddress": "127.0.0.1"}}, "127.0.0.1")])
def test_the_dicom_server_listens_where_it_is_told_to(options: dict[str, Json], host: str) -> None:
    assert settings.dimse_settings(configuration(options)).host == host


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"OrthancPeers": {"a": {"Url": "https://h/", "Pkcs11": True}}}, "OrthancPeers"),
        ({"OrthancPeers": {"a": {"Url": "https://h/", "CertificateFile": "absent.pem"}}}, "OrthancPeers"),
        ({"OrthancPeers": {"a": ["file:///etc/passwd"]}}, "OrthancPeers"),
        ({"DicomWeb": {"Servers": {"a": {"Url": "https://h/", "Pkcs11": True}}}}, "DicomWeb.Servers"),
        ({"Pkcs11": {"Module": "absent.so"}}, "Pkcs11.Module"),
        ({"HttpProxy": "socks5://h:1"}, "HttpProxy"),
        ({"HttpsCACertificates": "absent.pem"}, "HttpsCACertificates"),
    ],
)
def test_what_cannot_be_called_is_told_at_start(values: dict[str, Json], option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        settings.build_all(configuration(values))

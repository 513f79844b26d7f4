"""From the options to the settings of each part: small frozen values that say what the part needs and no more.

A value that the table cannot judge alone (a name that no dictionary knows, a certificate that is not there) is refused
here, with the option that gave it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from amonsul.archive.context import ArchiveSettings, Overwrite, StorageAccess, StorageMode
from amonsul.archive.dicom_web_servers import DicomWebServer, parse_servers
from amonsul.archive.edit import LABEL
from amonsul.archive.indexing import IndexingSettings
from amonsul.archive.modalities import Modality, parse_modalities
from amonsul.archive.peers import Peer, parse_peers
from amonsul.clients.dimse import ScuSettings
from amonsul.clients.http import HttpSettings, Proxy
from amonsul.clients.pkcs11 import TokenSettings
from amonsul.config import dicom_tls
from amonsul.config.kinds import Json
from amonsul.config.reader import Configuration
from amonsul.database.settings import DatabaseSettings, PostgresSettings, SqliteSettings
from amonsul.dicom.charsets import charset_of_encoding
from amonsul.dicom.dictionary import (
    PUBLIC,
    STANDARD,
    Addition,
    Dictionary,
    parse_dictionary_option,
    read_external_dictionary,
)
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.main_tags import MainTags
from amonsul.dicom.query import LabelsConstraint, View
from amonsul.dicom.scanner import ScanLimits
from amonsul.dicom.uids import transfer_syntax, transfer_syntaxes
from amonsul.dimse_server.query import QuerySettings
from amonsul.dimse_server.settings import DEFAULT_MAX_PDU_LENGTH, AlwaysAllowed, DimseSettings, Tenant
from amonsul.dimse_server.worklist import WorklistSettings
from amonsul.errors import AmonsulError
from amonsul.imaging.transcode import can_write
from amonsul.imaging.worker import WorkerSettings
from amonsul.jobs.kinds.housekeeper import HousekeeperSettings, Triggers
from amonsul.jobs.schedule import Schedule
from amonsul.jobs.settings import JobsSettings
from amonsul.jobs.webhooks import Webhook
from amonsul.web.dicomweb.settings import DicomWebSettings, MetadataMode, OtherBinary
from amonsul.web.settings import BodyLimits, SystemInformation, TlsSettings, WebSettings

T = TypeVar("T")

_MEGABYTE: Final = 1 << 20
_INDEX_FILE: Final = "index.db"
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(; ?[A-Za-z0-9=_.+-]{1,127})*")


def storage_folder(configuration: Configuration) -> Path:
    """Folder of the stored files."""
    return configuration.path("StorageDirectory")


def sync_storage(configuration: Configuration) -> bool:
    """Whether files are synced before they are acknowledged."""
    return configuration.flag("SyncStorageArea")


def database_settings(configuration: Configuration) -> DatabaseSettings:
    """Where the index is: SQLite in the storage folder, a folder of its own, or PostgreSQL."""
    if not configuration.flag("PostgreSQL.EnableIndex"):
        option = "IndexDirectory" if configuration.is_set("IndexDirectory") else "StorageDirectory"
        return SqliteSettings(configuration.path(option) / _INDEX_FILE, synchronous=sync_storage(configuration))
    conninfo = configuration.text("PostgreSQL.ConnectionUri")
    if not conninfo:
        parts = {
            "host": configuration.text("PostgreSQL.Host"),
            "port": str(configuration.number("PostgreSQL.Port")),
            "dbname": configuration.text("PostgreSQL.Database"),
            "user": configuration.text("PostgreSQL.Username"),
            "password": configuration.text("PostgreSQL.Password"),
            "sslmode": "require" if configuration.flag("PostgreSQL.EnableSsl") else "prefer",
        }
        conninfo = " ".join(f"{name}={_quoted(value)}" for name, value in parts.items() if value)
    return PostgresSettings(conninfo, max_connections=configuration.number("PostgreSQL.IndexConnectionsCount"))


def _quoted(value: str) -> str:
    """A value in a libpq connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def index_folder(configuration: Configuration) -> Path | None:
    """Folder of the SQLite index; None if the index is elsewhere."""
    where = database_settings(configuration)
    return where.path.parent if isinstance(where, SqliteSettings) else None


def import_journal(configuration: Configuration, folder: Path) -> Path:
    """The file that remembers which files of a folder are imported."""
    name = hashlib.sha1(os.fsencode(folder.resolve()), usedforsecurity=False).hexdigest()[:16]
    return storage_folder(configuration) / f"import-{name}.journal"


def dictionary(configuration: Configuration) -> Dictionary:
    """The dictionary with the entries of the operator; those of the option win over those of files."""
    base = STANDARD if configuration.flag("LoadPrivateDictionary") else PUBLIC
    additions: list[Addition] = []
    if configuration.is_set("ExternalDictionaries"):
        for number, file in enumerate(configuration.paths("ExternalDictionaries")):
            read = partial(read_external_dictionary, file)
            additions += _tell("ExternalDictionaries", configuration, read, f"ExternalDictionaries[{number}]")
    option = configuration.table("Dictionary")
    additions += _tell("Dictionary", configuration, lambda: parse_dictionary_option(option))
    return base.extended(additions) if additions else base


def main_tags(configuration: Configuration, names: Dictionary) -> MainTags:
    """The main tags with the further ones of the operator."""
    extra: dict[Level, list[Tag]] = {}
    for level in Level:
        given = configuration.table("ExtraMainDicomTags").get(level.type_name, [])
        assert isinstance(given, list)
        place = f"ExtraMainDicomTags.{level.type_name}"
        extra[level] = [
            _tell("ExtraMainDicomTags", configuration, partial(names.tag, str(name)), f"{place}[{number}]")
            for number, name in enumerate(given)
        ]
    return MainTags(extra)


def archive_settings(configuration: Configuration) -> ArchiveSettings:
    """What the operator decides about the archive."""
    overwrite = configuration.value("OverwriteInstances")
    if isinstance(overwrite, bool):
        overwrite = "Always" if overwrite else "Never"
    return ArchiveSettings(
        overwrite=Overwrite(overwrite),
        store_md5=configuration.flag("StoreMD5ForAttachments"),
        default_encoding=charset_of_encoding(configuration.text("DefaultEncoding")),
        limits=ScanLimits(
            max_depth=configuration.number("Amonsul.MaximumNesting"),
            max_inflated_bytes=configuration.number("Amonsul.MaximumInflatedSizeMB") * _MEGABYTE,
        ),
        storage_access_on_find=StorageAccess(configuration.text("StorageAccessOnFind")),
        check_revisions=configuration.flag("CheckRevisions"),
        compression=configuration.flag("StorageCompression"),
        read_only=configuration.flag("ReadOnly"),
        maximum_storage_size=configuration.number("MaximumStorageSize") * _MEGABYTE,
        maximum_patient_count=configuration.number("MaximumPatientCount"),
        maximum_storage_mode=StorageMode(configuration.text("MaximumStorageMode")),
        media_types=_media_types(configuration),
        user_metadata=_numbers(configuration, "UserMetadata"),
        user_content_types=_numbers(configuration, "UserContentType"),
        keeps_labels=bool(configuration.value("MultitenantDicom.Servers")),
    )


def _numbers(configuration: Configuration, option: str) -> Mapping[str, int]:
    """Names with their numbers; a number may come with a MIME type."""
    numbers: dict[str, int] = {}
    for name, value in configuration.table(option).items():
        number = value[0] if isinstance(value, list) else value
        assert isinstance(number, int)
        if number in numbers.values():
            raise configuration.refuse(option, f"{number} is the number of another name, too", f"{option}.{name}")
        numbers[name] = number
    return numbers


def _media_types(configuration: Configuration) -> Mapping[int, str]:
    """MIME types of attachments by number."""
    media_types: dict[int, str] = {}
    for name, value in configuration.table("UserContentType").items():
        if isinstance(value, list):
            number, media_type = value
            assert isinstance(number, int)
            if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
                raise configuration.refuse("UserContentType", "not a MIME type", f"UserContentType.{name}[1]")
            media_types[number] = media_type
    return media_types


def webhooks(configuration: Configuration) -> tuple[Webhook, ...]:
    """Who is told of changes."""
    hooks: list[Webhook] = []
    for name, fields in configuration.table("Amonsul.Webhooks").items():
        assert isinstance(fields, dict)
        types = fields.get("Types", [])
        assert isinstance(types, list)
        place = f"Amonsul.Webhooks.{name}"
        make = partial(Webhook.of, name, str(fields["Url"]), str(fields["Secret"]), [str(one) for one in types])
        hooks.append(_tell("Amonsul.Webhooks", configuration, make, place))
    return tuple(hooks)


def stable_age_s(configuration: Configuration) -> float:
    """After how long without a new instance a resource is stable."""
    return configuration.number("StableAge")


def modalities(configuration: Configuration) -> Mapping[str, Modality]:
    """The modalities of the files."""
    return _tell("DicomModalities", configuration, lambda: parse_modalities(configuration.table("DicomModalities")))


def peers(configuration: Configuration) -> Mapping[str, Peer]:
    """The peers of the files."""
    folder = configuration.folder_of("OrthancPeers")
    read = partial(parse_peers, configuration.table("OrthancPeers"), folder)
    found = _tell("OrthancPeers", configuration, read)
    _require_token(configuration, "OrthancPeers", found)
    return found


def dicom_web_servers(configuration: Configuration) -> Mapping[str, DicomWebServer]:
    """The DICOMweb servers of the files."""
    folder = configuration.folder_of("DicomWeb.Servers")
    read = partial(parse_servers, configuration.table("DicomWeb.Servers"), folder)
    found = _tell("DicomWeb.Servers", configuration, read)
    _require_token(configuration, "DicomWeb.Servers", {name: server.remote for name, server in found.items()})
    return found


def _require_token(configuration: Configuration, option: str, remotes: Mapping[str, Peer]) -> None:
    in_tokens = [name for name, remote in remotes.items() if remote.is_key_in_token]
    if in_tokens and not configuration.text("Pkcs11.Module"):
        raise configuration.refuse(option, f"{in_tokens[0]}: a key in a token needs Pkcs11.Module")


def stow_limits(configuration: Configuration) -> tuple[int, int]:
    """Instances and bytes that are sent in one STOW-RS request; 0 for no bound."""
    megabytes = configuration.number("DicomWeb.StowMaxSize")
    return configuration.number("DicomWeb.StowMaxInstances"), megabytes * _MEGABYTE


def http_settings(configuration: Configuration) -> HttpSettings:
    """How this server calls others over HTTP."""
    proxy = configuration.text("HttpProxy")
    authorities = configuration.path("HttpsCACertificates") if configuration.text("HttpsCACertificates") else None
    if authorities is not None and not authorities.is_file():
        raise configuration.refuse("HttpsCACertificates", f"there is no file {authorities}")
    return HttpSettings(
        proxy=_tell("HttpProxy", configuration, partial(Proxy.parse, proxy)) if proxy else None,
        timeout_s=configuration.number("HttpTimeout"),
        verifies=configuration.flag("HttpsVerifyPeers"),
        authorities=authorities,
        is_verbose=configuration.flag("HttpVerbose"),
        token=_token(configuration),
    )


def _token(configuration: Configuration) -> TokenSettings | None:
    pin, is_verbose = configuration.text("Pkcs11.Pin"), configuration.flag("Pkcs11.Verbose")
    if not configuration.text("Pkcs11.Module"):
        return None
    module = configuration.path("Pkcs11.Module")
    if not module.is_file():
        raise configuration.refuse("Pkcs11.Module", f"there is no file {module}")
    return TokenSettings(module, pin, is_verbose)


def dimse_settings(configuration: Configuration) -> DimseSettings:
    """The DICOM door."""
    max_pdu_length = configuration.value("MaximumPduLength")
    return DimseSettings(
        ae_title=configuration.text("DicomAet").strip(),
        port=configuration.number("DicomPort"),
        host=configuration.text("Amonsul.DicomBindAddress"),
        max_pdu_length=max_pdu_length if isinstance(max_pdu_length, int) else None,
        check_called_aet=configuration.flag("DicomCheckCalledAet"),
        strict_aet_comparison=configuration.flag("StrictAetComparison"),
        always_allowed=AlwaysAllowed(
            echo=configuration.flag("DicomAlwaysAllowEcho"),
            store=configuration.flag("DicomAlwaysAllowStore"),
            find=configuration.flag("DicomAlwaysAllowFind"),
            find_worklist=configuration.flag("DicomAlwaysAllowFindWorklist"),
            get=configuration.flag("DicomAlwaysAllowGet"),
            move=configuration.flag("DicomAlwaysAllowMove"),
        ),
        check_modality_host=configuration.flag("DicomCheckModalityHost"),
        accepted_sop_classes=configuration.texts("AcceptedSopClasses")
        if configuration.is_set("AcceptedSopClasses")
        else None,
        rejected_sop_classes=configuration.texts("RejectedSopClasses")
        if configuration.is_set("RejectedSopClasses")
        else (),
        scp_timeout_s=configuration.number("DicomScpTimeout"),
        artim_timeout_s=configuration.number("Amonsul.ArtimTimeout"),
        max_associations=configuration.number("Amonsul.MaximumAssociations"),
        max_associations_per_address=configuration.number("Amonsul.MaximumAssociationsPerAddress"),
        max_instance_size=configuration.number("Amonsul.MaximumInstanceSizeMB") * _MEGABYTE,
        max_spooled_in_memory=configuration.number("Amonsul.DicomMemoryMB") * _MEGABYTE,
        tls=dicom_tls.server_context(configuration),
    )


def tenants(configuration: Configuration) -> tuple[Tenant, ...]:
    """Further servers of the same archive.

    Raises:
        ConfigurationError: a label that is none.
    """
    servers = configuration.value("MultitenantDicom.Servers")
    assert isinstance(servers, list)
    is_whole = configuration.flag("Amonsul.TenantsRetrieveWholeResources")
    return tuple(
        _tenant(configuration, entry, f"MultitenantDicom.Servers[{number}]", is_whole=is_whole)
        for number, entry in enumerate(servers)
        if isinstance(entry, dict)
    )


def _tenant(configuration: Configuration, entry: Mapping[str, Json], place: str, *, is_whole: bool) -> Tenant:
    named, levels = entry.get("Labels", []), entry.get("LabelsStoreLevels", ["Study", "Series", "Instance"])
    listed = named if isinstance(named, list) else [named]
    labels = tuple(dict.fromkeys(str(label) for label in listed))
    for label in labels:
        if not LABEL.fullmatch(label):
            reason = f"{label!r} is no label: 1 to 64 letters, digits, _ and -"
            raise configuration.refuse("MultitenantDicom.Servers", reason, f"{place}.Labels")
    port = entry["Port"]
    assert isinstance(port, int)
    assert isinstance(levels, list)
    return Tenant(
        str(entry["AET"]).strip(),
        port,
        View(labels, LabelsConstraint(entry.get("LabelsConstraint", "All")), is_whole=is_whole),
        {level: labels for level in Level if labels and level.type_name in levels},
    )


def query_settings(configuration: Configuration, default_encoding: Callable[[], str]) -> QuerySettings:
    """How the DICOM door answers searches."""
    return QuerySettings(
        retrieve_ae_title=configuration.text("DicomAet").strip(),
        limit_results=configuration.number("LimitFindResults"),
        limit_instances=configuration.number("LimitFindInstances"),
        case_sensitive_pn=configuration.flag("CaseSensitivePN"),
        default_encoding=default_encoding,
    )


def worklist_settings(configuration: Configuration) -> WorklistSettings | None:
    """The worklists; None if there are none.

    Raises:
        ConfigurationError: they are enabled and have no folder.
    """
    if not configuration.flag("Worklists.Enable"):
        return None
    option = "Worklists.Directory" if configuration.is_set("Worklists.Directory") else "Worklists.Database"
    if not configuration.text(option):
        raise configuration.refuse("Worklists.Directory", "worklists need a folder")
    return WorklistSettings(
        folder=configuration.path(option),
        filters_issuer_aet=configuration.flag("Worklists.FilterIssuerAet"),
        limit_answers=configuration.number("Worklists.LimitAnswers"),
    )


def scu_settings(configuration: Configuration) -> ScuSettings:
    """How we speak to other DICOM systems."""
    preferred = configuration.text("DicomScuPreferredTransferSyntax")
    if preferred not in transfer_syntaxes() or transfer_syntax(preferred).is_encapsulated:
        raise configuration.refuse("DicomScuPreferredTransferSyntax", "not an uncompressed transfer syntax")
    return ScuSettings(
        ae_title=configuration.text("DicomAet").strip(),
        timeout_s=configuration.number("DicomScuTimeout"),
        association_close_delay_s=configuration.number("DicomAssociationCloseDelay"),
        max_pdu_length=configuration.number("MaximumPduLength")
        if configuration.is_set("MaximumPduLength")
        else DEFAULT_MAX_PDU_LENGTH,
        preferred_transfer_syntax=preferred,
        tls=dicom_tls.client_context(configuration),
        may_be_link_local=configuration.flag("Amonsul.LinkLocalModalities"),
    )


_LEGACY_SYNTAXES: Final[Mapping[str, tuple[str, ...]]] = {
    "DeflatedTransferSyntaxAccepted": ("1.2.840.10008.1.2.1.99",),
    "JpegTransferSyntaxAccepted": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, *range(52, 67))),
    "JpegLosslessTransferSyntaxAccepted": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (57, 70, 80, 81)),
    "Jpeg2000TransferSyntaxAccepted": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93)),
    "JpipTransferSyntaxAccepted": ("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"),
    "Mpeg2TransferSyntaxAccepted": ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.101"),
    "Mpeg4TransferSyntaxAccepted": tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(102, 107)),
    "H265TransferSyntaxAccepted": ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108"),
    "RleTransferSyntaxAccepted": ("1.2.840.10008.1.2.5",),
}


def accepted_transfer_syntaxes(configuration: Configuration, known: tuple[str, ...]) -> tuple[str, ...]:
    """UIDs and patterns that C-STORE takes; `known` are those that a refusal by an older option has to name.

    The older options add to the list or take away from it, whichever was set.
    """
    accepted = list(configuration.texts("AcceptedTransferSyntaxes"))
    refused: set[str] = set()
    for option, uids in _LEGACY_SYNTAXES.items():
        if configuration.is_set(option):
            if configuration.flag(option):
                accepted.extend(uids)
            else:
                refused.update(uids)
    if not refused:
        return tuple(dict.fromkeys(accepted))
    matching = (uid for uid in known if any(fnmatch.fnmatchcase(uid, pattern) for pattern in accepted))
    return tuple(uid for uid in matching if uid not in refused)


def web_settings(configuration: Configuration) -> WebSettings:
    """The HTTP door."""
    authentication = configuration.value("AuthenticationEnabled")
    return WebSettings(
        port=configuration.number("HttpPort"),
        bind_addresses=configuration.texts("HttpBindAddresses") if configuration.is_set("HttpBindAddresses") else (),
        remote_access_allowed=configuration.flag("RemoteAccessAllowed"),
        authentication_enabled=authentication if isinstance(authentication, bool) else None,
        registered_users={name: str(value) for name, value in configuration.table("RegisteredUsers").items()},
        allowed_hosts=configuration.texts("Amonsul.AllowedHosts"),
        tls=_tls_settings(configuration) if configuration.flag("SslEnabled") else None,
        describe_errors=configuration.flag("HttpDescribeErrors"),
        compression=configuration.flag("HttpCompressionEnabled"),
        keep_alive=configuration.flag("KeepAlive"),
        keep_alive_timeout_s=configuration.number("KeepAliveTimeout"),
        threads=configuration.number("HttpThreadsCount"),
        maximum_connections=configuration.number("Amonsul.HttpMaximumConnections"),
        lossy_quality=configuration.number("DicomLossyTranscodingQuality"),
        maximum_archived_file_size=configuration.number("MaximumFileSizeInArchiveMB") * _MEGABYTE,
        zip_utf8=configuration.flag("ZipUseUtf8"),
        zip_streamed=configuration.flag("SynchronousZipStream"),
        dicom_web=dicom_web_settings(configuration),
        limits=BodyLimits(
            maximum_size=configuration.number("MaximumRequestBodySizeMB") * _MEGABYTE,
            maximum_json_size=configuration.number("Amonsul.MaximumJsonBodySizeMB") * _MEGABYTE,
            header_timeout_s=configuration.number("Amonsul.HttpHeaderTimeout"),
            minimum_rate=configuration.number("Amonsul.HttpMinimumRate"),
            idle_timeout_s=configuration.number("HttpRequestTimeout"),
            memory=configuration.number("Amonsul.HttpBodyMemoryMB") * _MEGABYTE,
        ),
    )


def dicom_web_settings(configuration: Configuration) -> DicomWebSettings:
    """DICOMweb, as a server."""
    sensitive = configuration.value("DicomWeb.QidoCaseSensitive")
    for option in ("DicomWeb.Root", "DicomWeb.WadoRoot"):
        if not re.fullmatch(r"/?[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*/?", configuration.text(option)):
            raise configuration.refuse(option, "must be a path of letters, digits and hyphens")
    return DicomWebSettings(
        enabled=configuration.flag("DicomWeb.Enable"),
        root=configuration.text("DicomWeb.Root"),
        public_root=configuration.text("DicomWeb.PublicRoot") if configuration.is_set("DicomWeb.PublicRoot") else "",
        wado_enabled=configuration.flag("DicomWeb.EnableWado"),
        wado_root=configuration.text("DicomWeb.WadoRoot"),
        host=configuration.text("DicomWeb.Host"),
        ssl=configuration.flag("DicomWeb.Ssl"),
        qido_case_sensitive=sensitive if isinstance(sensitive, bool) else None,
        studies_metadata=MetadataMode(configuration.text("DicomWeb.StudiesMetadata")),
        series_metadata=MetadataMode(configuration.text("DicomWeb.SeriesMetadata")),
        other_binary=OtherBinary(configuration.text("DicomWeb.OtherBinaryMode")),
        maximum_results=configuration.number("Amonsul.DicomWebMaximumResults"),
        allowed_to_delete=configuration.flag("Amonsul.DicomWebDelete"),
        cors_origins=configuration.texts("Amonsul.CorsOrigins"),
    )


def _tls_settings(configuration: Configuration) -> TlsSettings:
    verify = configuration.flag("SslVerifyPeers")
    for option in ("SslCertificate", "SslTrustedClientCertificates") if verify else ("SslCertificate",):
        if not configuration.path(option).is_file():
            raise configuration.refuse(option, f"there is no file {configuration.path(option)}")
    return TlsSettings(
        certificate=configuration.path("SslCertificate"),
        verify_peers=verify,
        trusted_client_certificates=configuration.path("SslTrustedClientCertificates") if verify else None,
        minimum_protocol_version=configuration.number("SslMinimumProtocolVersion"),
        ciphers=configuration.texts("SslCiphersAccepted") if configuration.is_set("SslCiphersAccepted") else (),
    )


def stop_timeout_s(configuration: Configuration) -> float:
    """How long running work may take when the server is told to stop."""
    return configuration.number("Amonsul.StopTimeout")


def ingest_transcoding(configuration: Configuration) -> str | None:
    """Transfer syntax that what comes in is stored in; None: as it comes."""
    wanted = configuration.text("IngestTranscoding") if configuration.is_set("IngestTranscoding") else ""
    if wanted and (wanted not in transfer_syntaxes() or not can_write(wanted)):
        raise configuration.refuse("IngestTranscoding", "not a transfer syntax that can be written")
    return wanted or None


def worker_settings(configuration: Configuration) -> WorkerSettings:
    """How many processes decode and encode; more than there are processors would only wait for them."""
    return WorkerSettings(
        processes=min(configuration.number("TranscoderThreadsCount"), os.cpu_count() or 1),
        memory_bytes=configuration.number("TranscoderMemoryCapacity") * _MEGABYTE,
    )


def jobs_settings(configuration: Configuration) -> JobsSettings:
    """How jobs are run and how long they are remembered."""
    threads = configuration.number("JobsEngineThreadsCount.ResourceModification")
    return JobsSettings(
        concurrent_jobs=configuration.number("ConcurrentJobs"),
        history_size=configuration.number("JobsHistorySize"),
        outputs_kept=configuration.number("MediaArchiveSize"),
        save_jobs=configuration.flag("SaveJobs"),
        threads={"ResourceModification": threads},
    )


def indexing_settings(configuration: Configuration) -> IndexingSettings:
    """Which attributes get an index because they are searched for."""
    return IndexingSettings(
        after=configuration.number("Amonsul.IndexTagsAfter"), most=configuration.number("Amonsul.MaximumIndexedTags")
    )


def housekeeper_settings(configuration: Configuration) -> HousekeeperSettings:
    """What the housekeeper does.

    Raises:
        ConfigurationError: hours that are none.
    """
    hours = {
        day: [str(span) for span in spans]
        for day, spans in configuration.table("Housekeeper.Schedule").items()
        if isinstance(spans, list)
    }
    triggers = configuration.table("Housekeeper.Triggers")
    only = configuration.text("Housekeeper.LimitMainDicomTagsReconstructLevel")
    return HousekeeperSettings(
        force=configuration.flag("Housekeeper.Force"),
        throttle_delay_s=configuration.number("Housekeeper.ThrottleDelay"),
        schedule=_tell("Housekeeper.Schedule", configuration, partial(Schedule.parse, hours)),
        triggers=Triggers(
            main_tags=bool(triggers.get("MainDicomTagsChange", True)),
            compression=bool(triggers.get("StorageCompressionChange", True)),
            transcoding=bool(triggers.get("IngestTranscodingChange", True)),
            summaries=bool(triggers.get("UnnecessaryDicomAsJsonFiles", True)),
        ),
        only=next((level for level in Level if level.type_name == only), None),
    )


def system_information(configuration: Configuration) -> SystemInformation:
    """What `/system` tells, options that have no effect yet among it."""
    identifier = configuration.text("DatabaseServerIdentifier")
    if not identifier:
        parts = (uuid.getnode(), *(configuration.value(name) for name in ("DicomAet", "DicomPort", "HttpPort")))
        identifier = uuid.uuid5(uuid.NAMESPACE_OID, "\\".join(map(str, parts))).hex
    return SystemInformation(
        name=configuration.text("Name"),
        database_server_identifier=identifier,
        dicom_aet=configuration.text("DicomAet").strip(),
        dicom_port=configuration.number("DicomPort"),
        dicom_default_retrieve_method=configuration.text("DicomDefaultRetrieveMethod"),
        check_revisions=configuration.flag("CheckRevisions"),
        ingest_transcoding=configuration.text("IngestTranscoding"),
        maximum_patient_count=configuration.number("MaximumPatientCount"),
        maximum_storage_mode=configuration.text("MaximumStorageMode"),
        maximum_storage_size_mb=configuration.number("MaximumStorageSize"),
        patient_level_enabled=configuration.flag("PatientLevelEnabled"),
        read_only=configuration.flag("ReadOnly"),
        storage_compression=configuration.flag("StorageCompression"),
        concurrent_jobs=configuration.number("ConcurrentJobs"),
        dicom_threads=configuration.number("DicomThreadsCount"),
        case_sensitive_pn=configuration.flag("CaseSensitivePN"),
        limit_find_results=configuration.number("LimitFindResults"),
        limit_find_instances=configuration.number("LimitFindInstances"),
        serves_dicom=configuration.flag("DicomServerEnabled"),
        serves_worklists=configuration.flag("Worklists.Enable"),
    )


def build_all(configuration: Configuration) -> None:
    """Make every settings value once, to find what is wrong without starting anything.

    Raises:
        ConfigurationError: as any of them.
    """
    storage_folder(configuration)
    database_settings(configuration)
    main_tags(configuration, dictionary(configuration))
    archive_settings(configuration)
    modalities(configuration)
    peers(configuration)
    dicom_web_servers(configuration)
    stow_limits(configuration)
    http_settings(configuration)
    dimse_settings(configuration)
    accepted_transfer_syntaxes(configuration, ())
    web_settings(configuration)
    ingest_transcoding(configuration)
    housekeeper_settings(configuration)
    indexing_settings(configuration)
    jobs_settings(configuration)
    worker_settings(configuration)
    scu_settings(configuration)
    tenants(configuration)
    query_settings(configuration, str)
    worklist_settings(configuration)
    stable_age_s(configuration)
    webhooks(configuration)
    stop_timeout_s(configuration)


def _tell(option: str, configuration: Configuration, read: Callable[[], T], place: str = "") -> T:
    """Call `read`; what it refuses is told as the fault of an option."""
    try:
        return read()
    except AmonsulError as error:
        raise configuration.refuse(option, error.details or error.message, place) from error

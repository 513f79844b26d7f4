"""`/system`, `/plugins` and the small routes of `/tools`: what the server is, clocks, identifiers, switches."""

from __future__ import annotations

import datetime
import logging
import platform
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import orjson
import pydicom

import amonsul
from amonsul.archive.context import Overwrite
from amonsul.clients.dimse import (
    MODALITY_WORKLIST_FIND,
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from amonsul.dicom import charsets, uids
from amonsul.dicom.commitment import PUSH_MODEL
from amonsul.dicom.levels import Level
from amonsul.errors import BadFileFormat, ParameterOutOfRange
from amonsul.web.json_body import Json, parse
from amonsul.web.rest.resources import boolean
from amonsul.web.services import Services, Switch
from amonsul.web.values import JSON_TYPE, NOT_FOUND, TEXT_TYPE, Request, Response, empty, json, text

logger = logging.getLogger(__name__)

COMPATIBLE_VERSION = "1.13.0"
"""The version of the REST API that is spoken here: clients decide by it what they may ask."""
API_VERSION = 31
LOG_LEVELS = ("default", "verbose", "trace")
_LONGEST_UID = 64
_SERVICES = (
    VERIFICATION,
    *(PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET),
    *(STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET),
    PUSH_MODEL,
)
"""What the DICOM server provides, and others are asked for, beside storage."""

_NO_SUCH_CACHES = (
    "DicomParserCacheSize",
    "DicomParserMemoryCapacity",
    "DicomParserThreadsCount",
    "MaximumStorageCacheSize",
    "SequentialDicomReaderThreadsCount",
    "StorageLoaderThreadsCount",
    "StorageMemoryCapacity",
    "TranscoderCacheSize",
    "TranscoderMemoryCapacity",
    "TranscoderThreadsCount",
)
"""Fields of `Performance` about parts that this server has no need of."""


# ---------------------------------------------------------------------------------------------------- system


def get_system(services: Services, _request: Request) -> Response:
    """GET /system."""
    return Response(200, JSON_TYPE, _system(services))


@lru_cache(maxsize=8)
def _system(services: Services) -> bytes:
    archive, information, settings = services.archive, services.information, services.settings
    overwrite = archive.settings.overwrite
    return orjson.dumps(
        {
            "ApiVersion": API_VERSION,
            "Capabilities": {
                "HasExtendedChanges": True,
                "HasExtendedFind": True,
                "HasKeyValueStores": False,
                "HasQueues": False,
                "HasReserveQueueValue": False,
            },
            "CheckRevisions": information.check_revisions,
            "DatabaseBackendPlugin": None,
            "DatabaseServerIdentifier": information.database_server_identifier,
            "DatabaseVersion": information.database_version,
            "DicomAet": information.dicom_aet,
            "DicomDefaultRetrieveMethod": information.dicom_default_retrieve_method,
            "DicomPort": information.dicom_port,
            "HasLabels": True,
            "HttpPort": settings.port,
            "IngestTranscoding": information.ingest_transcoding,
            "IsHttpServerSecure": settings.tls is not None,
            "MainDicomTags": {level.type_name: archive.main_tags.signature(level) for level in Level},
            "MaximumPatientCount": information.maximum_patient_count,
            "MaximumStorageMode": information.maximum_storage_mode,
            "MaximumStorageSize": information.maximum_storage_size_mb,
            "Name": information.name,
            "OverwriteInstances": overwrite is not Overwrite.NEVER,
            "OverwriteInstancesMode": overwrite.value,
            "PatientLevelEnabled": information.patient_level_enabled,
            "Performance": {
                **dict.fromkeys(_NO_SUCH_CACHES, 0),
                "ConcurrentJobs": information.concurrent_jobs,
                "DicomThreadsCount": information.dicom_threads,
                "HttpThreadsCount": settings.threads,
            },
            "PluginsEnabled": True,
            "ReadOnly": information.read_only,
            "StorageAreaPlugin": None,
            "StorageCompression": information.storage_compression,
            "StoreMD5ForAttachments": archive.settings.store_md5,
            "ThirdPartyPatches": [],
            "ThirdPartyVersions": {
                "amonsul": amonsul.__version__,
                "pydicom": pydicom.__version__,
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
            },
            "UserMetadata": _both_ways(archive.settings.user_metadata),
            "Version": COMPATIBLE_VERSION,
        }
    )


def _both_ways(numbers: Mapping[str, int]) -> dict[str, int]:
    """User-defined metadata by name, and by number written as one: that is how clients look them up."""
    return {**numbers, **{str(number): number for number in numbers.values()}}


def get_root(_services: Services, _request: Request) -> Response:
    """GET /."""
    return empty(307, ((b"location", b"docs"),))


def list_plugins(services: Services, _request: Request) -> Response:
    """GET /plugins."""
    return json(services.information.plugins)


def get_plugin(_services: Services, _request: Request) -> Response:
    """GET /plugins/{id}: there are none yet."""
    return NOT_FOUND


# ---------------------------------------------------------------------------------------------------- clocks and names


def get_now(_services: Services, _request: Request) -> Response:
    """GET /tools/now."""
    return text(datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S"))


def get_now_local(_services: Services, _request: Request) -> Response:
    """GET /tools/now-local."""
    return text(datetime.datetime.now().strftime("%Y%m%dT%H%M%S"))


def generate_uid(_services: Services, request: Request) -> Response:
    """GET /tools/generate-uid: a UID, or a UUID for a patient."""
    match request.query.get("level"):
        case "patient":
            return text(str(uuid.uuid4()))
        case "study" | "series" | "instance":
            return text(uids.new_uid())
    return NOT_FOUND


def get_dicom_conformance(services: Services, _request: Request) -> Response:
    """GET /tools/dicom-conformance."""
    information, switches = services.information, services.switches
    used = (*_SERVICES, MODALITY_WORKLIST_FIND)
    provided = used if information.serves_worklists else _SERVICES
    lines = [
        f"{information.name}: what its DICOM services accept",
        "",
        f"AE title: {information.dicom_aet}",
        f"Unknown SOP classes are stored: {'yes' if switches.unknown_sop_class_accepted.get() else 'no'}",
        "",
        "SOP classes as provider (SCP), beside those of storage",
        *_named(provided if information.serves_dicom else ()),
        "",
        "SOP classes as user (SCU), beside those of storage",
        *_named(used),
        "",
        "SOP classes of storage",
        *_named(switches.accepted_sop_classes()),
        "",
        "Transfer syntaxes",
        *_named(_known(switches.accepted_transfer_syntaxes.get())),
        "",
    ]
    return text("\n".join(lines))


def _named(wanted: Iterable[str]) -> Iterator[str]:
    return (f"  {uid}  {uids.name_of(uid) or ''}".rstrip() for uid in wanted)


# ---------------------------------------------------------------------------------------------------- switches


def get_default_encoding(services: Services, _request: Request) -> Response:
    """GET /tools/default-encoding."""
    return text(services.switches.default_encoding.get())


def set_default_encoding(services: Services, request: Request) -> Response:
    """PUT /tools/default-encoding."""
    wanted = request.text().strip().lower()
    for name in charsets.encoding_names():
        if name.lower() == wanted:
            services.switches.default_encoding.set(name)
            return text(name)
    raise ParameterOutOfRange("this encoding is not known")


def get_log_level(categories: Sequence[str], services: Services, _request: Request) -> Response:
    """GET /tools/log-level and /tools/log-level-{category}."""
    return text(services.switches.log_levels[categories[0]].get())


def set_log_level(categories: Sequence[str], services: Services, request: Request) -> Response:
    """PUT /tools/log-level and /tools/log-level-{category}."""
    wanted = request.text()
    if wanted not in LOG_LEVELS:
        raise ParameterOutOfRange(f'Verbosity can be "default", "verbose" or "trace": {wanted[:64]}')
    for category in categories:
        services.switches.log_levels[category].set(wanted)
    return Response(200, TEXT_TYPE)


def get_accepted_transfer_syntaxes(services: Services, _request: Request) -> Response:
    """GET /tools/accepted-transfer-syntaxes."""
    return json(_known(services.switches.accepted_transfer_syntaxes.get()))


def set_accepted_transfer_syntaxes(services: Services, request: Request) -> Response:
    """PUT /tools/accepted-transfer-syntaxes: one UID or `*` as text, or a JSON array of UIDs and patterns."""
    body = request.text().strip()
    wanted: Json = [body]
    if body != "*" and not uids.is_valid(body):
        wanted = parse(request.data())
    if not isinstance(wanted, list):
        raise BadFileFormat("Expected a UID, or a list of UIDs")
    patterns = [pattern for pattern in wanted if isinstance(pattern, str) and len(pattern) <= _LONGEST_UID]
    if len(patterns) != len(wanted):
        raise BadFileFormat("Expected a UID, or a list of UIDs")
    accepted = _known(patterns)
    services.switches.accepted_transfer_syntaxes.set(accepted)
    return json(accepted)


def _known(patterns: Sequence[str]) -> list[str]:
    """The transfer syntaxes that are meant by UIDs and patterns."""
    return [uid for uid in sorted(uids.transfer_syntaxes()) if any(_matches(uid, one) for one in patterns)]


def _matches(uid: str, pattern: str) -> bool:
    """Whether a UID is the pattern, or begins like one that ends with a star."""
    return uid == pattern or (pattern.endswith("*") and uid.startswith(pattern.rstrip("*")))


def get_accepted_sop_classes(services: Services, _request: Request) -> Response:
    """GET /tools/accepted-sop-classes."""
    return json(list(services.switches.accepted_sop_classes()))


def get_switch(name: str, services: Services, _request: Request) -> Response:
    """GET of a route that answers `1` or `0`."""
    return text("1" if _switch(services, name).get() else "0")


def set_switch(name: str, services: Services, request: Request) -> Response:
    """PUT of a route that takes `1` or `0`, `true` or `false`."""
    _switch(services, name).set(boolean(request))
    return Response(200, TEXT_TYPE)


def _switch(services: Services, name: str) -> Switch[bool]:
    switches = services.switches
    return switches.metrics_enabled if name == "metrics" else switches.unknown_sop_class_accepted


def forbidden(_services: Services, _request: Request) -> Response:
    """A route that runs code or writes files, which is never on."""
    return empty(403)

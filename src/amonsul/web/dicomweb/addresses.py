"""URLs in answers: how the client called this server, or how the operator says that it is called.

Behind a proxy that is what `Forwarded` (RFC 7239) or `X-Forwarded-Host` and `X-Forwarded-Proto` tell. They only ever
change the answer to whoever sent them; what could not be part of a URL is not taken over. UIDs come out of files, which
may hold anything, so they are quoted.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from amonsul.dicom import dicom_json
from amonsul.dicom.elements import DataSet, Tag
from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.services import Services
from amonsul.web.values import Request

_UIDS = (Tag(0x0020000D), Tag(0x0020000E), Tag(0x00080018))
_HOST = re.compile(r"[A-Za-z0-9._~-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_FORWARDED = re.compile(r"(host|proto)\s*=\s*\"?([^\";,\s]*)", re.IGNORECASE)


def base_url(services: Services, request: Request) -> str:
    """URL of the root of DICOMweb, without a slash at its end: `https://pacs/dicom-web`."""
    settings = services.settings.dicom_web
    forwarded = {name.lower(): value for name, value in _FORWARDED.findall(_first(request.header(b"forwarded")))}
    proto = forwarded.get("proto") or _first(request.header(b"x-forwarded-proto")).strip()
    scheme = "https" if settings.ssl or (services.settings.tls is not None) else "http"
    if not settings.ssl and proto.lower() in ("http", "https"):
        scheme = proto.lower()
    return f"{scheme}://{_host(services, settings, request, forwarded.get('host', ''))}{public_root(settings)}"


def public_root(settings: DicomWebSettings) -> str:
    """Path of the root as clients see it, without a slash at its end."""
    return "/" + (settings.public_root or settings.root).strip("/") if (settings.public_root or settings.root) else ""


def _host(services: Services, settings: DicomWebSettings, request: Request, forwarded: str) -> str:
    if settings.host:
        return settings.host.strip("/")
    own = request.header(b"host") or ""
    for candidate in (forwarded, _first(request.header(b"x-forwarded-host")).strip(), own):
        if candidate and _HOST.fullmatch(candidate):
            return candidate
    return f"localhost:{services.settings.port}"


def _first(header: str | None) -> str:
    """The first of several proxies, which is the one nearest to the client."""
    return (header or "")[:1024].partition(",")[0]


def study_url(base: str, study_instance_uid: str) -> str:
    """Of a study."""
    return f"{base}/studies/{segment(study_instance_uid)}"


def instance_url(base: str, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> str:
    """Of an instance."""
    study, series, instance = map(segment, (study_instance_uid, series_instance_uid, sop_instance_uid))
    return f"{base}/studies/{study}/series/{series}/instances/{instance}"


def segment(uid: str) -> str:
    """A UID, or what stands for one in a data set, as a segment of a path."""
    return uid if uid.isascii() and uid.replace(".", "").isdigit() else quote(uid, safe="")


def url_of(base: str, data_set: DataSet) -> str:
    """Of the instance with a data set."""
    uids = []
    for tag in _UIDS:
        element = data_set.get(tag)
        uids.append(element.value if element is not None and isinstance(element.value, str) else "")
    return instance_url(base, *uids)


def bulk_url(instance: str, path: dicom_json.Path) -> str:
    """Of a value of the instance with a URL."""
    steps = (str(step + 1) if isinstance(step, int) else step.lower() for step in path)
    return f"{instance}/bulk/{'/'.join(steps)}"

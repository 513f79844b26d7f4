"""The URLs of DICOMweb (PS3.18 §10, §9) below the configured root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from amonsul.dicom.levels import Level
from amonsul.web.dicomweb import (
    bulkdata,
    capabilities,
    frames,
    metadata,
    rendered,
    retrieve,
    search,
    server,
    store,
    wado_uri,
)
from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.routing import Body, Parameter, Route

_TAG = "DICOMweb"
_JSON = "application/dicom+json"

_ACCEPT = Parameter("Accept", "Media types, best first.", place="header")
_SEARCH = (
    Parameter("limit", "At most so many answers.", "integer"),
    Parameter("offset", "Skip so many answers.", "integer"),
    Parameter("includefield", "Further attributes, by keyword, tag or path, or `all`; may be repeated."),
    Parameter("fuzzymatching", "Compare names as they sound.", "boolean"),
    Parameter("orderby", "Attributes to order by; `-` before one for descending."),
    Parameter("Labels", "Labels that the answers must have, separated by commas."),
    Parameter("LabelsConstraint", "`All`, `Any` or `None` of them."),
    _ACCEPT,
)
_WADL = "application/vnd.sun.wadl+xml"
_PARTS = "multipart/related"
_RENDERED = (
    Parameter("window", "`center,width,function`; the function is `linear`, `linear-exact` or `sigmoid`."),
    Parameter("viewport", "`width,height` of the picture, and perhaps `x,y,width,height` of the part to show."),
    Parameter("quality", "Of a JPEG, 1 to 100.", "integer"),
    _ACCEPT,
)
_WADO_URI = (
    Parameter("requestType", "`WADO`."),
    Parameter("studyUID", "Study Instance UID."),
    Parameter("seriesUID", "Series Instance UID."),
    Parameter("objectUID", "SOP Instance UID."),
    Parameter("contentType", "`image/jpeg`, `image/png`, `image/gif` or `application/dicom`."),
    Parameter("transferSyntax", "Of the file."),
    Parameter("frameNumber", "From 1.", "integer"),
    Parameter("rows", "Most rows of the picture.", "integer"),
    Parameter("columns", "Most columns of the picture.", "integer"),
    Parameter("region", "`left,top,right,bottom`, from 0 to 1."),
    Parameter("windowCenter", "With `windowWidth`.", "number"),
    Parameter("windowWidth", "With `windowCenter`.", "number"),
    Parameter("imageQuality", "Of a JPEG, 1 to 100.", "integer"),
)


def dicom_web_routes(settings: DicomWebSettings) -> Sequence[Route]:
    """The routes of a server with these settings."""
    if not settings.enabled:
        return ()
    root = "/" + settings.root.strip("/")
    table = list(_routes(settings, root))
    describe = partial(capabilities.describe, tuple(table), root)
    for template in (root, f"{root}/studies", f"{root}/series", f"{root}/instances"):
        table.append(
            Route(
                "OPTIONS", template, describe, "What DICOMweb can do here", _TAG, parameters=(_ACCEPT,), answers=_WADL
            )
        )
    return table


def _routes(settings: DicomWebSettings, root: str) -> Iterator[Route]:
    yield Route("GET", f"{root}/info", server.get_info, "Where the roots are", _TAG, inline=True)
    yield Route(
        "POST",
        "/studies/{id}/update-dicomweb-cache",
        server.update_cache,
        "Accepted for compatibility: nothing has to be updated",
        _TAG,
    )
    yield from _search(root)
    yield from _retrieve(root)
    yield from _store(root)
    if settings.allowed_to_delete:
        yield from _delete(root)
    if settings.wado_enabled:
        yield Route(
            "GET",
            "/" + settings.wado_root.strip("/"),
            wado_uri.get_object,
            "One instance, as a file or as a picture",
            _TAG,
            "WADO-URI.",
            parameters=_WADO_URI,
            answers="image/jpeg",
        )


def _retrieve(root: str) -> Iterator[Route]:
    """WADO-RS; each kind of resource at each level that has it."""
    study = f"{root}/studies/{{study}}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"
    frame = f"{instance}/frames/{{frames}}"
    for template, name in ((study, "study"), (series, "series"), (instance, "instance")):
        yield Route(
            "GET",
            template,
            retrieve.retrieve,
            f"The DICOM files of a {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_PARTS,
        )
        yield Route(
            "GET",
            f"{template}/metadata",
            metadata.get_metadata,
            f"The metadata of a {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_JSON,
        )
        yield Route(
            "GET",
            f"{template}/pixeldata",
            frames.get_pixel_data,
            f"All frames of a {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_PARTS,
        )
    for template, name in ((study, "study"), (series, "series"), (instance, "instance"), (frame, "frame")):
        for what, handler in (("rendered", rendered.get_rendered), ("thumbnail", rendered.get_thumbnail)):
            yield Route(
                "GET",
                f"{template}/{what}",
                handler,
                f"A picture of a {name}",
                _TAG,
                parameters=_RENDERED,
                answers="image/jpeg",
            )
    for template in (f"{instance}/frames", frame):
        yield Route(
            "GET", template, frames.get_frames, "Frames of an instance", _TAG, parameters=(_ACCEPT,), answers=_PARTS
        )
    for what in ("bulk", "bulkdata"):
        yield Route(
            "GET",
            f"{instance}/{what}/{{path*}}",
            bulkdata.get_bulk_data,
            "One value of an instance",
            _TAG,
            "A path of tags, and of numbers of items between them, from 1.",
            parameters=(_ACCEPT, Parameter("Range", "Part of the bytes: `bytes=0-99`.", place="header")),
            answers=_PARTS,
        )


def _store(root: str) -> Iterator[Route]:
    for template, what in ((f"{root}/studies", "Store instances"), (f"{root}/studies/{{study}}", "Store in a study")):
        yield Route(
            "POST",
            template,
            store.store,
            what,
            _TAG,
            "STOW-RS: parts with DICOM files, or with metadata in JSON or XML followed by their bulk data.",
            parameters=(_ACCEPT,),
            body=Body.LARGE,
            request_types=(_PARTS,),
            answers=_JSON,
        )


def _delete(root: str) -> Iterator[Route]:
    study = f"{root}/studies/{{study}}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"
    for template, name in ((study, "study"), (series, "series"), (instance, "instance")):
        yield Route("DELETE", template, server.delete, f"Delete a {name}", _TAG)


def _search(root: str) -> Iterator[Route]:
    study, series = f"{root}/studies/{{study}}", f"{root}/studies/{{study}}/series/{{series}}"
    for template, level in (
        (f"{root}/studies", Level.STUDY),
        (f"{root}/series", Level.SERIES),
        (f"{root}/instances", Level.INSTANCE),
        (f"{study}/series", Level.SERIES),
        (f"{study}/instances", Level.INSTANCE),
        (f"{series}/instances", Level.INSTANCE),
    ):
        yield Route(
            "GET",
            template,
            partial(search.search, level),
            f"Search for {level.collection}",
            _TAG,
            "QIDO-RS. Any attribute may be a key, by keyword, tag or path.",
            parameters=_SEARCH,
            answers=_JSON,
        )

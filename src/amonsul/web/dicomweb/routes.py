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
    servers,
    store,
    wado_uri,
)
from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.job_routes import JOB_FIELDS
from amonsul.web.peer_routes import WEB_SERVER
from amonsul.web.remote_routes import EXPAND
from amonsul.web.routing import Body, Handler, Parameter, Route

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

_CLIENT = "DICOMweb servers"
_PLAIN_JSON = "application/json"
_SERVER = (
    Parameter("ChunkedTransfers", "It takes bodies in chunks; true unless given.", "boolean"),
    Parameter("HasDelete", "It deletes what it is told to; false unless given.", "boolean"),
    Parameter("HasWadoRsUniversalTransferSyntax", "It knows `transfer-syntax=*`; true unless given.", "boolean"),
)
_URI = Parameter("Uri", "Below the root of the server: `/studies`.")
_ARGUMENTS = Parameter("Arguments", "What stands after `?` in the URL, by name.", "object")
_HTTP_HEADERS = Parameter("HttpHeaders", "Further headers of the requests; jobs keep them.", "object")
_DELETED = (
    Parameter("Level", "`Study`, `Series` or `Instance`."),
    Parameter("StudyInstanceUID", "Of what is deleted."),
    Parameter("SeriesInstanceUID", "The same, for series and instances."),
    Parameter("SOPInstanceUID", "The same, for instances."),
)
_RETRIEVED = (
    Parameter("Resources", "Objects with `Study`, and perhaps `Series` and `Instance`: UIDs.", "array"),
    _ARGUMENTS,
    Parameter("GetArguments", "The same.", "object"),
    *JOB_FIELDS,
)
_SENT = (Parameter("Resources", "Identifiers of resources of any level.", "array"), *JOB_FIELDS)
_WADO_HELP = "WADO-RS. By a job; asynchronous unless `Synchronous` is true."
_RETRIEVE_HELP = "WADO-RS. `Instances` in the answer holds the identifiers of what came."
_STOW_HELP = "STOW-RS, in requests of at most `StowMaxInstances` and `StowMaxSize`."


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
    yield from _client(f"{root}/servers")
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
    for template, name in ((study, "a study"), (series, "a series"), (instance, "an instance")):
        yield Route(
            "GET",
            template,
            retrieve.retrieve,
            f"The DICOM files of {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_PARTS,
        )
        yield Route(
            "GET",
            f"{template}/metadata",
            metadata.get_metadata,
            f"The metadata of {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_JSON,
        )
        yield Route(
            "GET",
            f"{template}/bulkdata",
            bulkdata.get_all_bulk_data,
            f"All bulk data of {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_PARTS,
        )
        yield Route(
            "GET",
            f"{template}/pixeldata",
            frames.get_pixel_data,
            f"All frames of {name}",
            _TAG,
            parameters=(_ACCEPT,),
            answers=_PARTS,
        )
    for template, name in ((study, "a study"), (series, "a series"), (instance, "an instance"), (frame, "a frame")):
        for what, handler in (("rendered", rendered.get_rendered), ("thumbnail", rendered.get_thumbnail)):
            yield Route(
                "GET",
                f"{template}/{what}",
                handler,
                f"A picture of {name}",
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
    for template, name in ((study, "a study"), (series, "a series"), (instance, "an instance")):
        yield Route("DELETE", template, server.delete, f"Delete {name}", _TAG)


def _client(root: str) -> Iterator[Route]:
    """Other servers, and what is asked of them."""
    one = f"{root}/{{name}}"
    yield Route("GET", root, servers.list_servers, "List DICOMweb servers", _CLIENT, parameters=(EXPAND,))
    yield Route("GET", one, servers.list_operations, "List what can be asked of a DICOMweb server", _CLIENT)
    yield Route(
        "PUT",
        one,
        servers.put_server,
        "Add or change a DICOMweb server",
        _CLIENT,
        "For good with `DicomWeb.ServersInDatabase`, otherwise until the server ends. Also `[Url]` and "
        "`[Url, Username, Password]`.",
        body=Body.SMALL,
        request_types=(_PLAIN_JSON,),
        fields=(*WEB_SERVER, *_SERVER),
    )
    yield Route("DELETE", one, servers.delete_server, "Remove a DICOMweb server", _CLIENT)
    at_uri = (_URI, _ARGUMENTS)
    yield _asked(f"{one}/get", servers.get, "Get something from a server", "As it answers.", at_uri, "*/*")
    yield _asked(f"{one}/qido", servers.search, "Search a server", "Answers with names and plain values.", at_uri)
    yield _asked(f"{one}/wado", servers.wado, "Bring here what is at a URI", _WADO_HELP, (*at_uri, *JOB_FIELDS))
    yield _asked(f"{one}/retrieve", servers.retrieve, "Bring resources here", _RETRIEVE_HELP, _RETRIEVED)
    yield _asked(f"{one}/stow", servers.stow, "Send to a server", _STOW_HELP, _SENT)
    yield _asked(f"{one}/delete", servers.delete, "Delete at a server", "If it `HasDelete`.", _DELETED)


def _asked(
    template: str,
    handler: Handler,
    summary: str,
    help_: str,
    fields: tuple[Parameter, ...],
    answers: str = _PLAIN_JSON,
) -> Route:
    """A request of which another server is asked something."""
    return Route(
        "POST",
        template,
        handler,
        summary,
        _CLIENT,
        help_,
        body=Body.SMALL,
        request_types=(_PLAIN_JSON,),
        fields=(*fields, _HTTP_HEADERS),
        answers=answers,
    )


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

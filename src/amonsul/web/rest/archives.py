"""ZIP archives and exchange media of resources: sent while they are made, or made by a job and downloaded later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from amonsul.archive import find
from amonsul.archive.export import Export, ExportOptions, export
from amonsul.archive.rewriting import Transcoding
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import boolean, optional_text, parse_output
from amonsul.dicom.uids import transfer_syntaxes
from amonsul.errors import BadFileFormat, BadRequest, InexistentItem, ParameterOutOfRange, UnknownResource
from amonsul.jobs.kinds.archive import MEDIA_TYPE, CreateArchive, CreateMedia
from amonsul.jobs.kinds.resource_modification import Named
from amonsul.web.files import content_disposition, filename_argument, spooled_response
from amonsul.web.json_body import Json, parse
from amonsul.web.rest import jobs
from amonsul.web.rest.tags import quality_argument
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, Stream

MAX_RESOURCES = 100_000
_LARGEST = 1 << 50


@dataclass(frozen=True, slots=True)
class Form:
    """What a route makes.

    Attributes:
        is_media: with a DICOMDIR.
        is_extended: with one that says more, whatever the request says.
    """

    is_media: bool = False
    is_extended: bool = False


def get_archive(level: Level, form: Form, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/archive, /{level}/{id}/media."""
    named = (Named(level, OrthancId(request.params["id"])),)
    options = _options_of_query(services, form, request)
    return _send(services, named, options, filename_argument(request, f"{named[0].orthanc_id}.zip"))


def post_archive(level: Level, form: Form, services: Services, request: Request) -> Response:
    """POST /{level}/{id}/archive, /{level}/{id}/media."""
    body = parse(request.data())
    if not isinstance(body, Mapping):
        raise BadFileFormat("The body must contain a JSON object")
    named = (Named(level, OrthancId(request.params["id"])),)
    return _answer(services, named, form, body, f"{named[0].orthanc_id}.zip")


def get_archive_of_many(form: Form, services: Services, request: Request) -> Response:
    """GET /tools/create-archive and its like."""
    argument = request.query.get("resources")
    if argument is None:
        raise BadRequest("Missing resources argument")
    named = _named(services, [each for each in argument.split(",") if each])
    options = _options_of_query(services, form, request)
    return _send(services, named, options, filename_argument(request, "Archive.zip"))


def post_archive_of_many(form: Form, services: Services, request: Request) -> Response:
    """POST /tools/create-archive and its like."""
    try:
        body = parse(request.data())
    except BadFileFormat as error:
        raise BadFileFormat(f"Expected a list of resources to archive in the body: {error.details}") from None
    resources = body
    if isinstance(body, Mapping):
        if "Resources" not in body:
            raise BadFileFormat("Missing field Resources in the JSON body")
        resources = body["Resources"]
    if not isinstance(resources, list):
        raise BadFileFormat("Expected a list of resources to archive in the body")
    identifiers = [each for each in resources if isinstance(each, str)]
    if len(identifiers) != len(resources):
        raise BadFileFormat("Expected a list of resources to archive in the body")
    return _answer(
        services, _named(services, identifiers), form, body if isinstance(body, Mapping) else {}, "Archive.zip"
    )


def _named(services: Services, identifiers: Sequence[str]) -> tuple[Named, ...]:
    if len(identifiers) > MAX_RESOURCES:
        raise ParameterOutOfRange(f"more than {MAX_RESOURCES} resources")
    named = []
    for identifier in identifiers:
        level = find.level_of(services.archive, OrthancId(identifier))
        if level is None:
            raise UnknownResource
        named.append(Named(level, OrthancId(identifier)))
    return tuple(named)


def _options_of_query(services: Services, form: Form, request: Request) -> ExportOptions:
    syntax = request.query.get("transcode")
    transcoding = None
    if syntax:
        if syntax not in transfer_syntaxes():
            raise ParameterOutOfRange(f"Unknown transfer syntax: {syntax[:64]}")
        transcoding = Transcoding(syntax, quality_argument(services, request))
    is_extended = form.is_extended or (form.is_media and request.flag("extended"))
    keeps_unicode = request.flag("utf8") if "utf8" in request.query else services.settings.zip_utf8
    return ExportOptions(form.is_media, is_extended, transcoding, keeps_unicode)


def _answer(
    services: Services, named: tuple[Named, ...], form: Form, body: Mapping[str, Json], filename: str
) -> Response:
    output = parse_output(body)
    transcoding = None
    if output.transcode is not None:
        transcoding = Transcoding(output.transcode, output.lossy_quality or services.settings.lossy_quality)
    is_extended = form.is_extended or (form.is_media and boolean(body, "Extended"))
    filename = optional_text(body, "Filename") or filename
    keeps_unicode = boolean(body, "Utf8", services.settings.zip_utf8)
    options = ExportOptions(form.is_media, is_extended, transcoding, keeps_unicode)
    parameters = jobs.parse_parameters(body)
    if parameters.synchronous:
        return _send(services, named, options, filename)
    making = _export(services, named, options)
    arguments = CreateArchive(
        resources=named,
        filename=filename,
        instances_count=len(making.entries),
        uncompressed_size=making.uncompressed_size,
        transfer_syntax_uid=output.transcode,
        lossy_quality=output.lossy_quality or services.settings.lossy_quality,
        keeps_unicode=options.keeps_unicode,
    )
    if form.is_media:
        fields = {each.name: getattr(arguments, each.name) for each in dataclasses.fields(arguments)}
        arguments = CreateMedia(**fields, is_extended=is_extended)
    return jobs.answer(services, arguments, parameters)


def _export(services: Services, named: Sequence[Named], options: ExportOptions) -> Export:
    try:
        return export(
            services.archive,
            services.codecs,
            [(each.level, each.orthanc_id) for each in named],
            options,
            datetime.now(UTC),
        )
    except UnknownResource:
        raise InexistentItem(
            f"Missing resource while creating an archive: {' '.join(each.orthanc_id for each in named)[:200]}"
        ) from None


def _send(services: Services, named: Sequence[Named], options: ExportOptions, filename: str) -> Response:
    making = _export(services, named, options)
    headers = (content_disposition(filename),)
    if services.settings.zip_streamed:
        return Response(200, MEDIA_TYPE.encode(), Stream(making.chunks(), None), headers)
    spool = services.archive.blobs.spool(_LARGEST)
    try:
        for chunk in making.chunks():
            spool.write(chunk)
    except BaseException:
        spool.discard()
        raise
    return spooled_response(spool.finish(), MEDIA_TYPE.encode(), headers)

"""`{root}/servers`: which DICOMweb servers we know, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from amonsul.archive.dicom_web_servers import DicomWebServer, parse_server
from amonsul.archive.peers import parse_headers
from amonsul.blobs.spool import Spooled
from amonsul.clients.dicomweb import path, resource_path
from amonsul.dicom.levels import Level
from amonsul.errors import BadFileFormat, NotImplementedHere, ParameterOutOfRange, ReadOnly
from amonsul.jobs.dicom_web import DicomWebClient
from amonsul.jobs.kinds.dicom_web_stow_client import StowClient
from amonsul.jobs.kinds.dicom_web_wado_retrieve_client import WadoRetrieveClient
from amonsul.protocols.media_types import parse as parse_media_type
from amonsul.web.auth import SANDBOX
from amonsul.web.dicomweb.described import described
from amonsul.web.dicomweb.locate import spooled_pieces
from amonsul.web.json_body import Json, parse
from amonsul.web.rest import jobs
from amonsul.web.rest.modalities import resources_to_send
from amonsul.web.services import Services
from amonsul.web.values import BINARY_TYPE, Request, Response, Stream, json

_PLAIN_JSON: Final = b"application/json"
_WITHOUT_URI: Final = (
    'A request to the DICOMweb client must provide a JSON object with the field "Uri" containing the URI of interest'
)
_WITHOUT_RESOURCES: Final = (
    "A request to the DICOMweb STOW-RS client must provide a JSON object with the field "
    '"Resources" containing an array of resources to be sent'
)
_UID_FIELDS: Final = {
    Level.STUDY: ("StudyInstanceUID",),
    Level.SERIES: ("StudyInstanceUID", "SeriesInstanceUID"),
    Level.INSTANCE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}

Body = Mapping[str, Json]


# ------------------------------------------------------------------------------------------------- known ones


def list_servers(services: Services, request: Request) -> Response:
    """GET {root}/servers."""
    known = _client(services).known.all()
    if request.flag("expand"):
        return _json({name: server.describe() for name, server in known.items()})
    return _json(list(known))


def list_operations(services: Services, request: Request) -> Response:
    """GET {root}/servers/{name}."""
    return _json(_server(services, request).operations)


def put_server(services: Services, request: Request) -> Response:
    """PUT {root}/servers/{name}."""
    _client(services).known.put(request.params["name"], parse_server(_body(request)))
    return _json({})


def delete_server(services: Services, request: Request) -> Response:
    """DELETE {root}/servers/{name}."""
    _client(services).known.remove(request.params["name"])
    return _json({})


# ------------------------------------------------------------------------------------------------- what is asked


def get(services: Services, request: Request) -> Response:
    """POST {root}/servers/{name}/get: what the server answers at a URI."""
    _server(services, request)
    body = _object(request, _WITHOUT_URI)
    spool = partial(services.archive.blobs.spool, services.settings.limits.maximum_size)
    fetched = _client(services).fetch(request.params["name"], _target(body), _headers(body), spool)
    media_type = fetched.media_type
    if parse_media_type(media_type) is None or not (media_type.isascii() and media_type.isprintable()):
        media_type = BINARY_TYPE.decode()
    return Response(200, media_type.encode(), Stream(_pieces(fetched.body), fetched.body.size), SANDBOX)


def _pieces(spooled: Spooled) -> Iterator[bytes]:
    try:
        yield from spooled_pieces(spooled)
    finally:
        spooled.discard()


def search(services: Services, request: Request) -> Response:
    """POST {root}/servers/{name}/qido: the same for data sets, described for people."""
    _server(services, request)
    body = _object(request, _WITHOUT_URI)
    found = _client(services).search(request.params["name"], _target(body), _headers(body))
    return _json([described(model, services.archive.dictionary) for model in found])


def delete(services: Services, request: Request) -> Response:
    """POST {root}/servers/{name}/delete."""
    name = request.params["name"]
    if not _server(services, request).has_delete:
        raise BadFileFormat(f'Cannot delete on DICOMweb server, check out property "HasDelete": {name}')
    body = _object(request, "The body must be a JSON object")
    level = next((each for each in _UID_FIELDS if each.type_name == body.get("Level")), None)
    if level is None:
        raise ParameterOutOfRange(f"Invalid resource type '{str(body.get('Level', ''))[:64]}'")
    uids = [_required(body, field) for field in _UID_FIELDS[level]]
    _client(services).delete(name, resource_path(*uids), _headers(body))
    return _json({})


# ------------------------------------------------------------------------------------------------- jobs


def wado(services: Services, request: Request) -> Response:
    """POST {root}/servers/{name}/wado: instances at a URI are brought here."""
    _server(services, request)
    body = _object(request, _WITHOUT_URI)
    return _retrieve(services, request, body, (_target(body),), is_synchronous=False)


def retrieve(services: Services, request: Request) -> Response:
    """POST {root}/servers/{name}/retrieve: studies, series and instances are brought here."""
    _server(services, request)
    refusal = 'The body must be a JSON object containing an array "Resources"'
    body = _object(request, refusal)
    resources = body.get("Resources")
    if not isinstance(resources, list):
        raise BadFileFormat(refusal)
    arguments = {**_texts(body, "Arguments"), **_texts(body, "GetArguments")}
    targets = tuple(path(_uri(resource), arguments) for resource in resources)
    return _retrieve(services, request, body, targets, is_synchronous=True)


def _uri(resource: Json) -> str:
    if not isinstance(resource, Mapping):
        raise BadFileFormat('Each of the "Resources" must be a JSON object')
    study = _required(resource, "Study")
    instance = _text(resource, "Instance")
    series = _required(resource, "Series") if instance else _text(resource, "Series")
    return resource_path(study, series, instance)


def _retrieve(
    services: Services, request: Request, body: Body, targets: tuple[str, ...], *, is_synchronous: bool
) -> Response:
    if services.information.read_only:
        raise ReadOnly
    parameters = jobs.parse_parameters(body, is_synchronous)
    arguments = WadoRetrieveClient(
        request.params["name"],
        _kept(_server(services, request)),
        targets,
        _headers(body),
        permissive=parameters.permissive,
    )
    return _job(services, arguments, parameters)


def stow(services: Services, request: Request) -> Response:
    """POST {root}/servers/{name}/stow: stored instances are sent."""
    server = _server(services, request)
    body = _object(request, _WITHOUT_RESOURCES)
    named = body.get("Resources")
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise BadFileFormat(_WITHOUT_RESOURCES)
    parameters = jobs.parse_parameters(body)
    headers = _headers(body)
    name = request.params["name"]
    resources, instances = resources_to_send(services, {str(each) for each in named}, name)
    arguments = StowClient(name, _kept(server), resources, instances, headers, permissive=parameters.permissive)
    return _job(services, arguments, parameters)


def _kept(server: DicomWebServer) -> object:
    """All of a server that may be kept with a job; None if there is a secret in it."""
    return None if server.remote.has_secrets else server.remote.to_json()


def _job(services: Services, arguments: object, parameters: jobs.JobParameters) -> Response:
    return replace(jobs.answer(services, arguments, parameters), content_type=_PLAIN_JSON)


# ------------------------------------------------------------------------------------------------- bodies


def _client(services: Services) -> DicomWebClient:
    client = services.remotes.dicom_web
    if client is None:
        raise NotImplementedHere("this server does not speak to DICOMweb servers")
    return client


def _server(services: Services, request: Request) -> DicomWebServer:
    return _client(services).server(request.params["name"])


def _json(value: object) -> Response:
    return json(value, content_type=_PLAIN_JSON)


def _body(request: Request) -> Json:
    try:
        return parse(request.data())
    except BadFileFormat as error:
        raise BadFileFormat(f"A JSON file was expected: {error.details}") from None


def _object(request: Request, refusal: str) -> Body:
    body = _body(request)
    if not isinstance(body, Mapping):
        raise BadFileFormat(refusal)
    return body


def _target(body: Body) -> str:
    uri = body.get("Uri")
    if not isinstance(uri, str):
        raise BadFileFormat(_WITHOUT_URI)
    return path(uri, _texts(body, "Arguments"))


def _texts(body: Body, name: str) -> dict[str, str]:
    """An object of strings; empty if it is not there."""
    value = body.get(name, {})
    if not isinstance(value, Mapping):
        raise BadFileFormat(f"An associative array is expected in field: {name}")
    for key, each in value.items():
        if not isinstance(each, str):
            raise BadFileFormat(f'Value "{key[:64]}" in the associative array is not a string as expected')
    return {key: str(each) for key, each in value.items()}


def _headers(body: Body) -> dict[str, str]:
    return parse_headers(body.get("HttpHeaders", {}))


def _text(body: Body, name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value


def _required(body: Body, name: str) -> str:
    value = _text(body, name)
    if not value:
        raise BadFileFormat(f'Missing "{name}" field in the body')
    return value

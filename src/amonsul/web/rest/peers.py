"""`/peers`: which servers we reach over REST, and what is sent to them."""

from __future__ import annotations

import orjson

from amonsul.archive.peers import OPERATIONS, parse_peer
from amonsul.dicom.uids import transfer_syntaxes
from amonsul.errors import BadFileFormat, NetworkProtocolError, NotImplementedHere
from amonsul.imaging.transcode import can_write
from amonsul.jobs.kinds.orthanc_peer_store import PeerStore
from amonsul.jobs.peers import PeerClient
from amonsul.web.json_body import parse
from amonsul.web.rest import jobs
from amonsul.web.rest.modalities import flag, natural, resources_to_send, store_body, text
from amonsul.web.services import Services
from amonsul.web.values import NOT_FOUND, TEXT_TYPE, Request, Response, json

_PLAIN_JSON = b"application/json"


def list_peers(services: Services, request: Request) -> Response:
    """GET /peers."""
    known = _peers(services).known.all()
    if request.flag("expand"):
        return json({name: peer.describe() for name, peer in known.items()})
    return json(list(known))


def list_operations(services: Services, request: Request) -> Response:
    """GET /peers/{id}."""
    return json(OPERATIONS) if request.params["id"] in _peers(services).known.all() else NOT_FOUND


def get_configuration(services: Services, request: Request) -> Response:
    """GET /peers/{id}/configuration."""
    return json(_peers(services).known.get(request.params["id"]).describe())


def get_system(services: Services, request: Request) -> Response:
    """GET /peers/{id}/system: what the peer answers at `/system`."""
    answer = _peers(services).system(request.params["id"])
    return Response(200, _PLAIN_JSON, _checked(answer.body))


def put_peer(services: Services, request: Request) -> Response:
    """PUT /peers/{id}."""
    peer = parse_peer(parse(request.data()))
    _peers(services).known.put(request.params["id"], peer)
    return Response(200, TEXT_TYPE)


def delete_peer(services: Services, request: Request) -> Response:
    """DELETE /peers/{id}."""
    _peers(services).known.remove(request.params["id"])
    return Response(200, TEXT_TYPE)


def store(services: Services, request: Request) -> Response:
    """POST /peers/{id}/store."""
    name = request.params["id"]
    peer = _peers(services).known.get(name)
    names, options = store_body(request)
    parameters = jobs.parse_parameters(options)
    transcode = text(options, "Transcode", "")
    if transcode and (transcode not in transfer_syntaxes() or not can_write(transcode)):
        raise BadFileFormat(f"Unknown transfer syntax UID: {transcode}")
    quality = natural(options, "LossyQuality", 100) or services.settings.lossy_quality
    compress = flag(options, "Compress")
    resources, instances = resources_to_send(services, names, name)
    arguments = PeerStore(
        name,
        peer.describe_for_job(),
        None if peer.has_secrets else peer.to_json(),
        resources,
        instances,
        permissive=parameters.permissive,
        transcode=transcode,
        lossy_quality=quality,
        compress=compress,
    )
    return jobs.answer(services, arguments, parameters)


def store_straight(services: Services, request: Request) -> Response:
    """POST /peers/{id}/store-straight: send the body on without storing it."""
    answer = _peers(services).store(request.params["id"], request.body.view())
    return json(orjson.loads(_checked(answer.body)))


def _peers(services: Services) -> PeerClient:
    peers = services.remotes.peers
    if peers is None:
        raise NotImplementedHere("this server does not speak to peers")
    return peers


def _checked(body: bytes) -> bytes:
    """The body that a peer answered, if it is JSON; nothing else is handed on as ours."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NetworkProtocolError("the peer does not answer with JSON") from error
    return body

"""From a request to its answer: find the route, call the handler, translate refusals, compress.

Everything here blocks or is quick; `asgi.py` decides which thread it runs in. `answer` never raises.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isal import igzip, isal_zlib

from amonsul.errors import AmonsulError, UnknownResource
from amonsul.web import errors, streams
from amonsul.web.router import Folder, Found, Router
from amonsul.web.routing import Route
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, Stream, empty, json, split_path

logger = logging.getLogger(__name__)

_COMPRESSED_FROM = 256
_COMPRESSIBLE = (b"application/json", b"application/dicom+json", b"application/dicom+xml", b"text/")


@dataclass(frozen=True, slots=True)
class Call:
    """A route that was found for a request.

    Attributes:
        is_head: the answer is wanted without its body.
    """

    route: Route
    uri: str
    params: Mapping[str, str]
    is_head: bool


class Dispatcher:
    """The routes of one server with what their handlers need."""

    def __init__(self, services: Services, routes: Sequence[Route], folders: Sequence[str] = ()) -> None:
        self._services = services
        self._describe = services.settings.describe_errors
        self._compress = services.settings.compression
        self._router = Router(routes, lambda route: (route.method, route.template), folders)

    def find(self, method: str, raw_path: bytes) -> Call | Response:
        """The call that a request line asks for, or the answer where there is none."""
        segments = split_path(raw_path)
        uri = "/" + "/".join(segments)
        if "\0" in uri:
            return self.refuse(UnknownResource(), method, uri)
        match = self._router.match("GET" if method == "HEAD" else method, segments)
        match match:
            case Found(route, params):
                return Call(route, uri, params, method == "HEAD")
            case None:
                named = f"{uri}/" if segments and raw_path.endswith(b"/") else uri
                return self.refuse(UnknownResource(), method, named)
            case Folder(names):
                return json(names)
        if method == "OPTIONS":
            return empty(204, ((b"allow", match.allow.encode()),))
        return empty(405, ((b"allow", match.allow.encode()),))

    def refuse(self, error: AmonsulError, method: str, uri: str) -> Response:
        """The answer to a request that is refused before its handler is called."""
        return errors.refusal(error, method, uri, self._describe)

    def answer(self, call: Call, request: Request) -> Response:
        """Call the handler. The body of the request is gone afterwards."""
        try:
            response = call.route.handler(self._services, request)
            if isinstance(response.body, Stream) and not call.is_head:
                response = streams.begin(response, response.body)
        except AmonsulError as error:
            response = self.refuse(error, request.method, request.uri)
        except Exception as error:  # the edge: whatever escaped is a bug and is answered as one
            response = errors.failure(error, request.method, request.uri, call.route.template, self._describe)
        finally:
            request.body.discard()
        if logger.isEnabledFor(logging.DEBUG):
            # The template, not the path: names of labels and files are the client's own words.
            logger.debug("%s %s: %d", request.method, call.route.template, response.status)
        return self._compressed(response, request) if self._compress else response

    def _compressed(self, response: Response, request: Request) -> Response:
        body = response.body
        if not isinstance(body, bytes) or len(body) < _COMPRESSED_FROM or response.content_type is None:
            return response
        if not response.content_type.startswith(_COMPRESSIBLE):
            return response
        headers = (*response.headers, (b"vary", b"accept-encoding"))
        match accepted_coding(request.header(b"accept-encoding") or ""):
            case "gzip":
                body = igzip.compress(body, mtime=0)
                headers = (*headers, (b"content-encoding", b"gzip"))
            case "deflate":
                body = isal_zlib.compress(body)
                headers = (*headers, (b"content-encoding", b"deflate"))
        return Response(response.status, response.content_type, body, headers)


def accepted_coding(header: str) -> str | None:
    """The content coding to answer with: `gzip` if the client takes it, else `deflate`, else none."""
    accepted = set()
    for part in header.lower().split(","):
        coding, _, weight = part.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            accepted.add(coding.strip())
    for coding in ("gzip", "deflate"):
        if coding in accepted or "*" in accepted:
            return coding
    return None

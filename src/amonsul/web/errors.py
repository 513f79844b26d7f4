"""Refusals as HTTP answers: the one place where the exception tree becomes status, headers and body.

The body is JSON under `text/plain`, with the fields that clients of the REST API read; without `HttpDescribeErrors`
it is empty. What is not an `AmonsulError` is a bug: it is answered without saying more, and logged without its
message, which may quote what a patient or a client gave.
"""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

import orjson

from amonsul.errors import AmonsulError, Forbidden, InternalError, Unavailable
from amonsul.web.values import TEXT_TYPE, Headers, Response

logger = logging.getLogger(__name__)

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Payload Too Large",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def refusal(error: AmonsulError, method: str, uri: str, describe: bool, headers: Headers = ()) -> Response:
    """The answer to a request that was refused."""
    if isinstance(error, Forbidden):
        return Response(403, None, b"", headers)
    if isinstance(error, Unavailable):
        headers = (*headers, (b"retry-after", b"5"))
    if not describe:
        return Response(error.http_status, None, b"", headers)
    body: dict[str, object] = {}
    if error.details:
        body["Details"] = error.details
    if error.payload is not None:
        body["ErrorPayload"] = error.payload
    body["HttpError"] = _PHRASES.get(error.http_status, "")
    body["HttpStatus"] = error.http_status
    body["Message"] = error.message
    body["Method"] = method
    body["OrthancError"] = error.message
    body["OrthancStatus"] = error.orthanc_status
    body["Uri"] = uri
    return Response(error.http_status, TEXT_TYPE, orjson.dumps(body, option=orjson.OPT_INDENT_2), headers)


def failure(error: Exception, method: str, uri: str, template: str, describe: bool) -> Response:
    """The answer to a request that met a bug, after logging where it was."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s %s failed with %s\n%s", method, template, type(error).__name__, where)
    return refusal(InternalError(), method, uri, describe)

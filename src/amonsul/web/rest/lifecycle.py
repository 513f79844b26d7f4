"""Ending the server, and starting it again."""

from __future__ import annotations

from amonsul.errors import NotImplementedHere
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, json


def end(restart: bool, services: Services, _request: Request) -> Response:
    """POST /tools/shutdown and /tools/reset: the answer goes out first."""
    if services.end is None:
        raise NotImplementedHere("this server is ended by whoever started it")
    services.end(restart=restart)
    return json({}, content_type=b"application/json")

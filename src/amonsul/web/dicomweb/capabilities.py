"""What this server can do, as OPTIONS tells it (PS3.18 §8.9): the table of routes, in WADL or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from amonsul.protocols.media_types import choose
from amonsul.web.dicomweb.addresses import base_url
from amonsul.web.dicomweb.negotiation import accepted
from amonsul.web.routing import Route
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, json

_WADL = "application/vnd.sun.wadl+xml"
_JSON = ("application/json", "application/dicom+json")


def describe(routes: Iterable[Route], root: str, services: Services, request: Request) -> Response:
    """OPTIONS on the root and on the collections."""
    own = [route for route in routes if route.template.startswith(f"{root}/") and route.method != "OPTIONS"]
    base = base_url(services, request)
    if choose(accepted(request), (_WADL, *_JSON)) in _JSON:
        return json(
            {
                "base": f"{base}/",
                "resources": [
                    {
                        "path": route.template[len(root) :].replace("*}", "}"),
                        "method": route.method,
                        "description": route.summary,
                        "parameters": [one.name for one in route.parameters],
                        "mediaType": route.answers,
                    }
                    for route in own
                ],
            },
            content_type=b"application/json",
        )
    resources = "".join(_resource(route, root) for route in own)
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<application xmlns="http://wadl.dev.java.net/2009/02">'
        f"<resources base={quoteattr(base + '/')}>{resources}</resources></application>\n"
    )
    return Response(200, _WADL.encode(), text.encode())


def _resource(route: Route, root: str) -> str:
    path = route.template[len(root) + 1 :].replace("*}", "}")
    parameters = "".join(
        f"<param name={quoteattr(one.name)} style={quoteattr('header' if one.place == 'header' else 'query')}/>"
        for one in route.parameters
    )
    taken = "".join(f"<representation mediaType={quoteattr(kind)}/>" for kind in route.request_types)
    return (
        f"<resource path={quoteattr(path)}><method name={quoteattr(route.method)}>"
        f"<request>{parameters}{taken}</request>"
        f"<response><representation mediaType={quoteattr(route.answers)}/></response></method></resource>"
    )

"""The pages of `docs/` that are printed from tables: the options, and the routes of the REST API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amonsul.config.writer import markdown as configuration_page
from amonsul.web.routes import routes
from amonsul.web.routing import Route
from amonsul.web.settings import WebSettings

_REST_INTRODUCTION = """\
# REST API

*This page is printed from the table of routes (`make docs`). A running server describes the same at `/openapi.json`,
and shows it at `/docs`.*

Paths, fields and status codes are those of Orthanc. A refusal carries a JSON body that says why (`Message`, `Details`,
`HttpStatus`, `OrthancStatus`…), unless `HttpDescribeErrors` is off.
"""


def pages() -> Mapping[str, str]:
    """Content of each page by the name of its file."""
    return {"configuration.md": configuration_page(), "rest-api.md": rest_page()}


def rest_page() -> str:
    """`docs/rest-api.md`."""
    table = routes(WebSettings())
    lines = [_REST_INTRODUCTION]
    for tag in dict.fromkeys(route.tag for route in table):
        lines += [f"## {tag}", ""]
        for route in table:
            if route.tag == tag:
                lines += _route(route)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _route(route: Route) -> Iterator[str]:
    more = f" {route.help}" if route.help else ""
    yield f"- **`{route.method} {route.template}`**: {route.summary.rstrip('.')}.{more}"
    for parameter in route.parameters:
        sign = "?" if parameter.place == "query" else ""
        yield f"  - `{sign}{parameter.name}`: {parameter.help}"
    for field in route.fields:
        yield f"  - field `{field.name}`: {field.help}"

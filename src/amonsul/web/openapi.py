"""The table of routes as an OpenAPI description, and a page that shows it without anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from importlib.resources import files

import orjson

import amonsul
from amonsul.web.routing import Body, Parameter, Route
from amonsul.web.services import Services
from amonsul.web.values import JSON_TYPE, Request, Response

_PAGE = {
    "/docs": ("page.html", b"text/html; charset=utf-8"),
    "/docs/page.css": ("page.css", b"text/css; charset=utf-8"),
    "/docs/page.js": ("page.js", b"text/javascript; charset=utf-8"),
}
_PLACEHOLDER = re.compile(r"\{(\w+)(\*?)\}")


def describe(routes: Sequence[Route]) -> dict[str, object]:
    """The OpenAPI 3.1 description of a table of routes."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        path = route.template.replace("*}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Amonsul",
            "version": amonsul.__version__,
            "description": "REST API of a DICOM server. Paths, fields and statuses are those of Orthanc.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}, "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
        "security": [{}, {"basic": []}],
    }


_ERROR = {
    "type": "object",
    "description": "Why a request was refused. Some refusals have an empty body instead.",
    "properties": {
        "Details": {"type": "string"},
        "HttpError": {"type": "string"},
        "HttpStatus": {"type": "integer"},
        "Message": {"type": "string"},
        "Method": {"type": "string"},
        "OrthancError": {"type": "string"},
        "OrthancStatus": {"type": "integer"},
        "Uri": {"type": "string"},
    },
}


def _operation(route: Route) -> dict[str, object]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": _path_help(name, rest),
        }
        for name, rest in _PLACEHOLDER.findall(route.template)
    ]
    parameters += [_parameter(parameter) for parameter in route.parameters]
    operation: dict[str, object] = {
        "summary": route.summary,
        "tags": [route.tag],
        "operationId": f"{route.method.lower()} {route.template}",
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": {route.answers: {}}},
            "4XX": {
                "description": "Refused",
                "content": {"text/plain": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if route.help:
        operation["description"] = route.help
    if route.body is not Body.NONE:
        content: dict[str, object] = {}
        for media_type in route.request_types:
            properties = {field.name: _schema(field) for field in route.fields}
            content[media_type] = {"schema": {"type": "object", "properties": properties}} if properties else {}
        operation["requestBody"] = {"content": content, "required": True}
    return operation


def _path_help(name: str, rest: str) -> str:
    if name == "id":
        return "Identifier of the resource"
    return "Segments separated by slashes" if rest else f"The {name}"


def _parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": False,
        "description": parameter.help,
        "schema": {"type": parameter.schema},
    }


def _schema(field: Parameter) -> dict[str, object]:
    return {"type": field.schema, "description": field.help}


# ---------------------------------------------------------------------------------------------------- routes


def documentation_routes(table: Callable[[], Sequence[Route]]) -> Iterator[Route]:
    """The routes that show the table; `table` gives it once it is complete."""

    @lru_cache(maxsize=1)
    def description() -> bytes:
        return orjson.dumps(describe(table()))

    def get_description(_services: Services, _request: Request) -> Response:
        return Response(200, JSON_TYPE, description())

    yield Route("GET", "/openapi.json", get_description, "This description, as OpenAPI", "Documentation")
    for path, (name, content_type) in _PAGE.items():
        yield Route(
            "GET",
            path,
            partial(_get_page, name, content_type),
            "A page that shows the description" if path == "/docs" else "A part of that page",
            "Documentation",
            answers=content_type.decode().partition(";")[0],
        )


def _get_page(name: str, content_type: bytes, _services: Services, _request: Request) -> Response:
    return Response(200, content_type, _page(name))


@lru_cache(maxsize=8)
def _page(name: str) -> bytes:
    return files("amonsul.web").joinpath("docs_page", name).read_bytes()

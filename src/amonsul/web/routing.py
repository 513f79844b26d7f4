"""What one line of the table of URLs says: enough to answer it, to bound its body, and to document it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from amonsul.web.services import Services
from amonsul.web.values import Request, Response

Handler = Callable[[Services, Request], Response]


class Body(enum.Enum):
    """What a route does with a body."""

    NONE = "none"
    """It takes none; one that comes anyway is not read."""
    SMALL = "small"
    """JSON or text, within `BodyLimits.maximum_json_size`."""
    LARGE = "large"
    """Bytes, within `BodyLimits.maximum_size`, spooled to a file."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a query string, or a header."""

    name: str
    help: str
    schema: str = "string"
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one URL.

    Attributes:
        template: literal segments, `{name}` for one segment, `{name*}` for the rest.
        summary: a few words; `help` says more.
        tag: the group in the documentation.
        request_types: media types of the body.
        fields: members of a JSON body with what they mean.
        answers: media type of the answer.
        inline: the handler neither blocks nor computes: it is called on the event loop.
    """

    method: str
    template: str
    handler: Handler
    summary: str
    tag: str
    help: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body = Body.NONE
    request_types: tuple[str, ...] = ()
    fields: tuple[Parameter, ...] = ()
    answers: str = "application/json"
    inline: bool = False

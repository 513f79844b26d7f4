"""The URLs of DICOMweb (PS3.18 §10, §9) below the configured root."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from amonsul.dicom.levels import Level
from amonsul.web.dicomweb import search, server
from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.routing import Parameter, Route

_TAG = "DICOMweb"
_JSON = "application/dicom+json"

_ACCEPT = Parameter("Accept", "Media types, best first.", place="header")
_SEARCH = (
    Parameter("limit", "At most so many answers.", "integer"),
    Parameter("offset", "Skip so many answers.", "integer"),
    Parameter("includefield", "Further attributes, by keyword, tag or path, or `all`; may be repeated."),
    Parameter("fuzzymatching", "Compare names as they sound.", "boolean"),
    Parameter("orderby", "Attributes to order by; `-` before one for descending."),
    Parameter("Labels", "Labels that the answers must have, separated by commas."),
    Parameter("LabelsConstraint", "`All`, `Any` or `None` of them."),
    _ACCEPT,
)


def dicom_web_routes(settings: DicomWebSettings) -> Iterator[Route]:
    """The routes of a server with these settings."""
    if not settings.enabled:
        return
    root = "/" + settings.root.strip("/") if settings.root.strip("/") else ""
    yield Route("GET", f"{root}/info", server.get_info, "Where the roots are", _TAG, inline=True)
    yield from _search(root)


def _search(root: str) -> Iterator[Route]:
    study, series = f"{root}/studies/{{study}}", f"{root}/studies/{{study}}/series/{{series}}"
    for template, level in (
        (f"{root}/studies", Level.STUDY),
        (f"{root}/series", Level.SERIES),
        (f"{root}/instances", Level.INSTANCE),
        (f"{study}/series", Level.SERIES),
        (f"{study}/instances", Level.INSTANCE),
        (f"{series}/instances", Level.INSTANCE),
    ):
        yield Route(
            "GET",
            template,
            partial(search.search, level),
            f"Search for {level.collection}",
            _TAG,
            "QIDO-RS. Any attribute may be a key, by keyword, tag or path.",
            parameters=_SEARCH,
            answers=_JSON,
        )

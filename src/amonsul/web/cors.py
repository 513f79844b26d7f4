"""Web pages elsewhere that may use DICOMweb (the Fetch Standard's CORS protocol), as the operator names their origins.

Everything but DICOMweb stays closed to them. A named origin may do what its user may; `*` lets every page read, without
credentials, and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.values import Headers, Response, empty, split_path

_METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
_EXPOSED = (b"access-control-expose-headers", b"Warning, Content-Location, Content-Range, Content-Disposition, ETag")
_MAX_AGE = (b"access-control-max-age", b"600")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


class Cors:
    """Tells which requests of other pages are let through, and what their answers carry."""

    def __init__(self, settings: DicomWebSettings) -> None:
        self._origins = frozenset(origin.rstrip("/").lower().encode() for origin in settings.cors_origins)
        self._allows_all = b"*" in self._origins
        roots = [settings.root] if settings.enabled else []
        if settings.enabled and settings.wado_enabled:
            roots.append(settings.wado_root)
        self._roots = [split_path(root.encode()) for root in roots]

    def allowed(self, method: str, headers: Mapping[bytes, bytes], raw_path: bytes) -> Headers | None:
        """The headers of the answer to a request from another page that is let through; None for all others."""
        origin = headers.get(b"origin")
        if origin is None or not self._origins:
            return None
        segments = split_path(raw_path)
        if not any(segments[: len(root)] == root for root in self._roots):
            return None
        vary = (b"vary", b"origin")
        if origin.lower() in self._origins:
            credentials = (b"access-control-allow-credentials", b"true")
            return (b"access-control-allow-origin", origin), credentials, _EXPOSED, vary
        asked = headers.get(b"access-control-request-method", b"").decode("latin-1") or method
        if self._allows_all and method in _SAFE and asked in _SAFE:
            return (b"access-control-allow-origin", b"*"), _EXPOSED, vary
        return None

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Response | None:
        """The answer to a browser that asks beforehand, for an origin that is let through; None for other requests."""
        if method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        wanted = headers.get(b"access-control-request-headers", b"")[:1024]
        answer: Headers = ((b"access-control-allow-methods", _METHODS), _MAX_AGE)
        if wanted:
            answer += ((b"access-control-allow-headers", wanted),)
        return empty(204, answer)

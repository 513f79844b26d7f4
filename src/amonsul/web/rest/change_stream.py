"""`GET /changes/stream`: the log of changes as server-sent events, as they happen (WHATWG HTML §9.2).

Each event has the number of its change for an identifier, so a client that comes back says where it was by
`Last-Event-ID`, as browsers do by themselves, and misses nothing. The events come out of the log, which is the same for
all processes of the archive; changes of resources deleted in the meantime are not told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

import orjson

from amonsul.archive import changes
from amonsul.archive.context import Archive
from amonsul.errors import ParameterOutOfRange
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, Stream

_PAUSE_S: Final = 0.5
_PAUSES_TO_COMMENT: Final = 30
"""After so many pauses in a row the client, and whatever is on the way to it, is shown that we are there."""
_PAGE: Final = 500
_LARGEST: Final = (1 << 62) - 1
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


def stream_changes(services: Services, request: Request) -> Response:
    """GET /changes/stream."""
    archive = services.archive
    types = [name for name in request.query.get("type", "").split(";") if name]
    since = _since(request)
    if since is None:
        since = changes.last(archive).last
    else:
        changes.page(archive, since, 0, types=types)  # refuses types that there are not
    events = _Events(services, archive, since, types)
    headers = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
    return Response(200, b"text/event-stream", Stream(events.pieces(), None, _PAUSE_S), headers)


def _since(request: Request) -> int | None:
    text = request.header(b"last-event-id") or request.query.get("since")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST:
        raise ParameterOutOfRange(f"not the number of a change: {text[:40]}")
    return int(text)


class _Events:
    def __init__(self, services: Services, archive: Archive, since: int, types: Collection[str]) -> None:
        self._services = services
        self._archive = archive
        self._at = since
        self._types = types

    def pieces(self) -> Iterator[bytes]:
        """Events; an empty piece when there are none for now."""
        pauses = 0
        yield b"retry: 2000\n\n"
        while not self._services.is_stopping():
            page = changes.page(self._archive, self._at, _PAGE, types=self._types)
            if page.changes:
                pauses = 0
                yield b"".join(
                    b"id: %d\ndata: %b\n\n" % (change.sequence, orjson.dumps(changes.to_json(change)))
                    for change in page.changes
                )
            else:
                pauses += 1
                yield b"" if pauses % _PAUSES_TO_COMMENT else b": still here\n\n"
            self._at = max(page.last, self._at)

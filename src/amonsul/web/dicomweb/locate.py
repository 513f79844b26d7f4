"""From the UIDs of a URL to what is stored, to its bytes, and to an answer with a part of them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence

from amonsul import mapped
from amonsul.archive import find, read
from amonsul.archive.context import Archive
from amonsul.archive.find import Content, Resource
from amonsul.archive.read import StoredAttachment
from amonsul.blobs.spool import Spooled
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import InexistentItem
from amonsul.web.ranges import content_range, parse_range
from amonsul.web.values import Headers, Request, Response, Stream

PIECE = 1 << 20
"""Of an answer that is streamed: large, as each piece crosses into a thread once."""

_UIDS = (("study", Level.STUDY), ("series", Level.SERIES), ("instance", Level.INSTANCE))
_SHARED = 64
"""Resources at most that have one UID."""


def lowest_level(params: Mapping[str, str]) -> Level:
    """The level of what a URL names."""
    return [level for name, level in _UIDS if name in params][-1]


def named_resources(
    archive: Archive, params: Mapping[str, str], *, called: Level | None = None, content: Content = Content.NOTHING
) -> list[Resource]:
    """The resources with the UIDs of a URL; several if patients share a study.

    Args:
        archive: where.
        params: `study`, `series`, `instance`.
        called: level that the refusal speaks of, if not the one that is named.
        content: to fetch.

    Raises:
        InexistentItem: there is none.
    """
    level = lowest_level(params)
    found = find.by_uids(archive, [params[name] for name, _ in _UIDS if name in params], _SHARED, content)
    if not found:
        path = "/".join(params.get(name, "") for name, _ in _UIDS)
        name = (called or level).type_name
        raise InexistentItem(f"Accessing an inexistent {name} with WADO-RS: {path[:300]}")
    return found


def instances_of(archive: Archive, resources: Sequence[Resource]) -> Iterator[Resource]:
    """The instances of some resources, in order of arrival."""
    for resource in resources:
        if resource.level is Level.INSTANCE:
            yield resource
        else:
            yield from find.descendants(archive, resource.level, resource.orthanc_id, Level.INSTANCE, Content.NOTHING)


def view_of(archive: Archive, instance_id: OrthancId) -> memoryview:
    """The bytes of the file of an instance, mapped where there is one.

    Raises:
        UnknownResource: it is gone.
    """
    stored = read.attachment(archive, Level.INSTANCE, instance_id)
    path = stored.path()
    if path is None or stored.size == 0:
        return memoryview(stored.read())
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:  # overwritten since: the index knows the new one
        return memoryview(stored.read())


def pieces_of(stored: StoredAttachment) -> Iterator[bytes]:
    """The bytes of a file in large pieces."""
    if stored.size <= PIECE:
        yield stored.read()
        return
    pending: list[bytes] = []
    size = 0
    for chunk in stored.chunks():
        pending.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)


def slices(view: memoryview) -> Iterator[bytes]:
    """Bytes in large pieces."""
    return map(bytes, mapped.pieces(view, PIECE))


def ranged(request: Request, data: memoryview, content_type: bytes, headers: Headers = ()) -> Response:
    """Bytes, or the part of them that a Range header names."""
    interval = parse_range(request.header(b"range"), len(data))
    start, end = interval or (0, len(data))
    headers = (*headers, (b"accept-ranges", b"bytes"))
    if interval is not None:
        headers = (*headers, content_range(start, end, len(data)))
    chosen = data[start:end]
    body = bytes(chosen) if len(chosen) <= PIECE else Stream(slices(chosen), len(chosen))
    return Response(200 if interval is None else 206, content_type, body, headers)


def spooled_pieces(spooled: Spooled) -> Iterator[bytes]:
    """Bytes that were spooled, in large pieces; a file is read, as mapping it would count as memory of this process."""
    if spooled.path is None:
        yield from slices(spooled.view())
        return
    with open(spooled.path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece

"""Attachments and metadata of resources: bytes and text that have a name, or a number, and a revision.

The ETag tells revision and MD5, as `"0-5d41402abc4b2a76b9719d911017c592"`; `If-Match` and `If-None-Match` take it back,
or the revision alone.
"""

from __future__ import annotations

import re

from amonsul.archive import edit, names, read
from amonsul.archive.compression import part
from amonsul.archive.digest import md5_of
from amonsul.archive.read import StoredAttachment
from amonsul.dicom import json_tags
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import BadRange, InexistentItem, ParameterOutOfRange, UnknownResource
from amonsul.web.auth import SANDBOX
from amonsul.web.errors import refusal
from amonsul.web.files import content_disposition, etag, ranged_response
from amonsul.web.ranges import content_range, parse_range
from amonsul.web.services import Services
from amonsul.web.values import (
    BINARY_TYPE,
    DICOM_TYPE,
    NOT_FOUND,
    TEXT_TYPE,
    Headers,
    Request,
    Response,
    Stream,
    empty,
    json,
)

_ETAG = re.compile(r'(?:W/)?"?(\d{1,18})(?:-([0-9a-fA-F]*))?"?')
OPERATIONS = (
    "compress",
    "compressed-data",
    "compressed-md5",
    "compressed-size",
    "data",
    "info",
    "is-compressed",
    "md5",
    "size",
    "uncompress",
    "verify-md5",
)


def describe_attachment(stored: StoredAttachment) -> dict[str, object]:
    """The JSON of an attachment."""
    return {
        "CompressedMD5": stored.compressed_md5,
        "CompressedSize": stored.compressed_size,
        "ContentType": stored.content_type,
        "UncompressedMD5": stored.md5,
        "UncompressedSize": stored.size,
        "Uuid": stored.uuid,
    }


def list_attachments(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments."""
    found = read.attachments(services.archive, level, OrthancId(request.params["id"]))
    return json(found if request.flag("full") else list(found))


def list_operations(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or json(OPERATIONS, _etag(stored))


def get_info(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/info."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or json(describe_attachment(stored), _etag(stored))


def get_size(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/size."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or _text(str(stored.size), stored)


def get_compressed_size(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/compressed-size."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or _text(str(stored.compressed_size), stored)


def get_md5(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/md5."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or _text_or_nothing(stored.md5, stored)


def get_compressed_md5(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/compressed-md5."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or _text_or_nothing(stored.compressed_md5, stored)


def get_is_compressed(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/is-compressed."""
    stored = _stored(level, services, request)
    return _unchanged(request, stored) or _text("0" if stored.compression == 1 else "1", stored)


def get_data(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/data."""
    try:
        stored = _stored(level, services, request)
    except UnknownResource:
        if level is Level.INSTANCE and (made := _made_on_request(services, request)) is not None:
            return made
        raise
    if (unchanged := _unchanged(request, stored)) is not None:
        return unchanged
    content_type = _media_type(services, stored)
    headers = _etag(stored) if content_type == DICOM_TYPE else (*_etag(stored), *SANDBOX)
    try:
        return ranged_response(stored, request, content_type, headers, content_disposition(stored.uuid))
    except BadRange as error:
        if not error.details:  # it makes no sense for any content
            raise
        return refusal(error, request.method, request.uri, services.settings.describe_errors, _etag(stored))


def _made_on_request(services: Services, request: Request) -> Response | None:
    """What earlier systems kept as attachments of an instance, and can be made of its header or its file."""
    archive, instance_id = services.archive, OrthancId(request.params["id"])
    match names.attachment_number(archive.settings, request.params["name"]):
        case names.DICOM_AS_JSON:
            data_set = read.header(archive, instance_id).data_set
            return json(json_tags.full(data_set, archive.dictionary), content_type=b"application/json")
        case names.DICOM_UNTIL_PIXEL_DATA:
            offset = read.header(archive, instance_id).pixel_data_offset
            file = read.attachment(archive, Level.INSTANCE, instance_id)
            if offset is not None and offset <= file.size:
                return Response(200, DICOM_TYPE, file.read(0, offset))
    return None


def _media_type(services: Services, stored: StoredAttachment) -> bytes:
    if stored.content_type in (names.DICOM, names.DICOM_UNTIL_PIXEL_DATA):
        return DICOM_TYPE
    if stored.content_type == names.DICOM_AS_JSON:
        return b"application/json"
    given = services.archive.settings.media_types.get(stored.content_type)
    return BINARY_TYPE if given is None else given.encode()


def get_compressed_data(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/attachments/{name}/compressed-data."""
    stored = _stored(level, services, request)
    if stored.compression == 1:
        return get_data(level, services, request)
    if (unchanged := _unchanged(request, stored)) is not None:
        return unchanged
    chunks = stored.chunks_compressed()
    headers = (*_etag(stored), *SANDBOX)
    interval = parse_range(request.header(b"range"), stored.compressed_size)
    if interval is None:
        return Response(200, BINARY_TYPE, Stream(chunks, stored.compressed_size), headers)
    start, end = interval
    headers = (*headers, content_range(start, end, stored.compressed_size))
    return Response(206, BINARY_TYPE, Stream(part(chunks, start, end), end - start), headers)


def set_attachment(level: Level, services: Services, request: Request) -> Response:
    """PUT /{level}/{id}/attachments/{name}."""
    archive, orthanc_id, name = services.archive, OrthancId(request.params["id"]), request.params["name"]
    try:
        written = edit.set_attachment(archive, level, orthanc_id, name, request.body, _expected(services, request))
    except UnknownResource:
        raise InexistentItem from None
    return json({}, (etag(written.revision, written.md5),), b"application/json")


def delete_attachment(level: Level, services: Services, request: Request) -> Response:
    """DELETE /{level}/{id}/attachments/{name}."""
    orthanc_id, name = OrthancId(request.params["id"]), request.params["name"]
    edit.delete_attachment(services.archive, level, orthanc_id, name, _expected(services, request))
    return Response(200, TEXT_TYPE)


def verify_md5(level: Level, services: Services, request: Request) -> Response:
    """POST /{level}/{id}/attachments/{name}/verify-md5."""
    try:
        is_sound = _stored(level, services, request).verify()
    except UnknownResource:
        is_sound = False  # what is not there cannot be sound
    return json({}, content_type=b"application/json") if is_sound else empty(400)


def set_compression(compressed: bool, level: Level, services: Services, request: Request) -> Response:
    """POST /{level}/{id}/attachments/{name}/compress and …/uncompress."""
    edit.set_compression(services.archive, level, OrthancId(request.params["id"]), request.params["name"], compressed)
    return json({}, content_type=b"application/json")


def _stored(level: Level, services: Services, request: Request) -> StoredAttachment:
    return read.attachment(services.archive, level, OrthancId(request.params["id"]), request.params["name"])


def _etag(stored: StoredAttachment) -> Headers:
    return (etag(stored.revision, stored.md5),)


def _unchanged(request: Request, stored: StoredAttachment) -> Response | None:
    return not_modified(request, stored.revision, stored.md5)


def _text(value: str, stored: StoredAttachment) -> Response:
    return Response(200, TEXT_TYPE, value.encode(), _etag(stored))


def _text_or_nothing(value: str, stored: StoredAttachment) -> Response:
    return _text(value, stored) if value else empty(404, _etag(stored))


def not_modified(request: Request, revision: int, md5: str) -> Response | None:
    """304 if the client has this revision already (`If-None-Match`, as `"N"` or `"N-md5"`)."""
    header = request.header(b"if-none-match")
    if header is None:
        return None
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    if tags & {str(revision), f"{revision}-{md5}"}:
        return empty(304, (etag(revision, md5),))
    return None


def _expected(services: Services, request: Request) -> edit.Expected | None:
    """What `If-Match` says: `"N-md5"` or `"N"`."""
    header = request.header(b"if-match")
    if header is None:
        return None
    found = _ETAG.fullmatch(header.strip())
    if found is None:
        raise ParameterOutOfRange(f'The "If-Match" header should contain an ETag, but found: {header[:80]}')
    revision, md5 = found.groups()
    return edit.Expected(int(revision), md5 if services.archive.settings.store_md5 else None)


# ---------------------------------------------------------------------------------------------------- metadata


def list_metadata(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/metadata."""
    found = read.metadata(services.archive, level, OrthancId(request.params["id"]))
    if request.flag("expand"):
        return json({name: entry.text for name, entry in found.items()})
    if request.flag("numeric"):
        return json([entry.number for entry in found.values()])
    return json(list(found))


def get_metadata(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/metadata/{name}."""
    found = read.metadata(services.archive, level, OrthancId(request.params["id"]))
    name = request.params["name"]
    entry = found.get(name)
    if entry is None:
        number = metadata_number(services, name)
        entry = next((one for one in found.values() if one.number == number), None)
    if entry is None:
        return NOT_FOUND
    md5 = md5_of(entry.value)
    return not_modified(request, entry.revision, md5) or Response(
        200, TEXT_TYPE, entry.value, (etag(entry.revision, md5),)
    )


def metadata_number(services: Services, name: str) -> int:
    """The number of a metadata by its name or number.

    Raises:
        InexistentItem: there is no such name.
    """
    number = names.metadata_number(services.archive.settings, name)
    if number is None:
        raise InexistentItem
    return number


def metadata_name(services: Services, name: str) -> str:
    """The name of a metadata by its name or number; the number if it has none.

    Raises:
        InexistentItem: there is no such name.
    """
    number = metadata_number(services, name)
    return names.metadata_names(services.archive.settings).get(number, str(number))


def set_metadata(level: Level, services: Services, request: Request) -> Response:
    """PUT /{level}/{id}/metadata/{name}."""
    orthanc_id, name = OrthancId(request.params["id"]), request.params["name"]
    expected = _expected(services, request)
    written = edit.set_metadata(services.archive, level, orthanc_id, name, request.data(), expected)
    return Response(200, TEXT_TYPE, b"", (etag(written.revision, written.md5),))


def delete_metadata(level: Level, services: Services, request: Request) -> Response:
    """DELETE /{level}/{id}/metadata/{name}."""
    orthanc_id, name = OrthancId(request.params["id"]), request.params["name"]
    edit.delete_metadata(services.archive, level, orthanc_id, name, _expected(services, request))
    return Response(200, TEXT_TYPE)

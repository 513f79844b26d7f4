"""`POST /instances`: one DICOM file, the same in gzip, a ZIP of many, or a form with files.

Which of these it is shows in the Content-Encoding and Content-Type headers and in the first bytes. Everything that
expands is bounded while it expands: what one member becomes, what all become together, how many there are. Names of
members and parts are never looked at. Members that are no DICOM files are passed over; those that claim to be and
cannot be read are told as failures.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO

from isal import isal_zlib
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from amonsul.archive.context import Archive
from amonsul.archive.ingest import Ingested, ingest
from amonsul.archive.origin import RestOrigin
from amonsul.blobs.spool import Spool, Spooled
from amonsul.errors import BadFileFormat, MissingIdentifier, PayloadTooLarge
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, json

MAX_MEMBERS = 100_000
MAX_FILE_SIZE = 4 << 30
"""Of a body in gzip when it is expanded, and of a file in a form."""
MAX_RATIO = 200
RATIO_COUNTS_FROM = 64 << 20
MAX_PARTS = 100_000
MAX_PART_HEADERS = 32
MAX_PART_HEADER_SIZE = 8 << 10
MAX_BOUNDARY = 70

_PIECE = 1 << 20
_GzipError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says an instance
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_GZIP_MAGIC = b"\x1f\x8b"
# What zipfile, and the codecs below it, say of bytes that are wrong
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, ValueError, EOFError, OSError),
    *(NotImplementedError, RuntimeError),
)
_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
_DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")


def upload(services: Services, request: Request) -> Response:
    """POST /instances."""
    archive = services.archive
    origin = RestOrigin(request.remote_ip, request.username)
    media_type, options = parse_options_header(request.headers.get(b"content-type"))
    if media_type == b"multipart/form-data":
        stored = [describe(ingest(archive, part, origin)) for part in _parts(archive, request, options)]
        return json(stored[0] if len(stored) == 1 else stored)
    body = request.body
    if request.header(b"content-encoding") == "gzip":
        body = _gunzip(archive, body)
    try:
        if body.size == 0:
            raise BadFileFormat("Received an empty DICOM file")
        if bytes(body.view()[:4]) in _ZIP_MAGIC:
            largest = services.settings.maximum_archived_file_size
            return json(list(_ingest_members(archive, body, origin, largest)))
        return json(describe(ingest(archive, body, origin)))
    finally:
        body.discard()


def describe(ingested: Ingested) -> dict[str, object]:
    """What became of one instance, as the answer tells it."""
    return {
        "ID": ingested.instance_id,
        "ParentPatient": ingested.patient_id,
        "ParentSeries": ingested.series_id,
        "ParentStudy": ingested.study_id,
        "Path": f"/instances/{ingested.instance_id}",
        "Status": ingested.status.value,
    }


# ---------------------------------------------------------------------------------------------------- gzip


class _Expansion:
    """What compressed bytes may become: a bound on each piece, and on the ratio once there is much of it."""

    def __init__(self) -> None:
        self._compressed = 0
        self._expanded = 0

    def reads(self, size: int) -> None:
        self._compressed += size

    def grows(self, size: int) -> None:
        self._expanded += size
        if self._expanded > RATIO_COUNTS_FROM and self._expanded > MAX_RATIO * max(self._compressed, 1):
            raise BadFileFormat("compressed bytes expand beyond reason")


def _gunzip(archive: Archive, body: Spooled) -> Spooled:
    """Expand a body with `Content-Encoding: gzip` (RFC 1952), several members included."""
    view = body.view()
    if bytes(view[:2]) != _GZIP_MAGIC:
        raise BadFileFormat("the body is not in gzip format")
    spool = archive.blobs.spool(MAX_FILE_SIZE)
    expansion = _Expansion()
    try:
        position = 0
        while bytes(view[position : position + 2]) == _GZIP_MAGIC:
            position = _gunzip_member(view, position, spool, expansion)
        if any(view[position:]):
            raise BadFileFormat("bytes after the gzip data")
        return spool.finish()
    except (_GzipError, PayloadTooLarge) as error:
        raise BadFileFormat("the gzip data is broken or too large") from error
    finally:
        spool.discard()


def _gunzip_member(view: memoryview, position: int, spool: Spool, expansion: _Expansion) -> int:
    """Expand one member; the position after it."""
    decompressor = isal_zlib.decompressobj(31)
    pending = b""
    while not decompressor.eof:
        if not pending:
            pending = bytes(view[position : position + _PIECE])
            position += len(pending)
            expansion.reads(len(pending))
            if not pending:
                raise BadFileFormat("the gzip data is cut short")
        piece = decompressor.decompress(pending, _PIECE)
        expansion.grows(len(piece))
        spool.write(piece)
        pending = decompressor.unconsumed_tail
    return position - len(decompressor.unused_data)


# ---------------------------------------------------------------------------------------------------- ZIP


def _ingest_members(archive: Archive, body: Spooled, origin: RestOrigin, largest: int) -> Iterator[dict[str, object]]:
    view = body.view()
    _check_directory(view)
    expansion = _Expansion()
    with open(body.path, "rb") if body.path else io.BytesIO(view) as file, _opened(file) as members:
        for number, member in enumerate(members.infolist()):
            if member.filename.endswith("/"):
                continue
            spooled = _expand(archive, members, member, expansion, largest)
            is_dicom = bytes(spooled.view()[128:132]) == b"DICM"
            try:
                yield describe(ingest(archive, spooled, origin))
            except MissingIdentifier:  # a DICOMDIR
                continue
            except BadFileFormat as error:
                if is_dicom:
                    yield {"Details": error.details, "Member": number, "Status": "Failure"}
            finally:
                spooled.discard()


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _ZIP_ERRORS as error:
        raise BadFileFormat(f"the ZIP archive cannot be read: {error}") from error


def _expand(
    archive: Archive, members: zipfile.ZipFile, member: zipfile.ZipInfo, expansion: _Expansion, largest: int
) -> Spooled:
    expansion.reads(member.compress_size)
    spool = archive.blobs.spool(largest)
    try:
        with members.open(member) as expanded:
            while piece := expanded.read(_PIECE):
                expansion.grows(len(piece))
                spool.write(piece)
        return spool.finish()
    except PayloadTooLarge as error:
        raise BadFileFormat(f"a member of the ZIP archive has more than {largest} bytes") from error
    except _ZIP_ERRORS as error:
        raise BadFileFormat(f"a member of the ZIP archive cannot be read: {error}") from error
    finally:
        spool.discard()


def _check_directory(view: memoryview) -> None:
    """Refuse an archive with too many members, or whose members share bytes, before it is listed in memory."""
    tail = bytes(view[-(_END_OF_DIRECTORY.size + 0xFFFF) :])
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + _END_OF_DIRECTORY.size > len(tail):
        raise BadFileFormat("the ZIP archive has no directory")
    end = len(view) - len(tail) + found
    size, start = _END_OF_DIRECTORY.unpack_from(tail, found)[5:7]
    if start == 0xFFFFFFFF or size == 0xFFFFFFFF:
        size = _zip64_directory_size(view, end)
    position = end - size if end >= size else 0
    count = compressed = 0
    while position + _DIRECTORY_ENTRY.size <= end and bytes(view[position : position + 4]) == b"PK\x01\x02":
        fields = _DIRECTORY_ENTRY.unpack_from(view, position)
        count += 1
        if fields[8] != 0xFFFFFFFF:
            compressed += fields[8]
        if count > MAX_MEMBERS:
            raise BadFileFormat(f"the ZIP archive has more than {MAX_MEMBERS} members")
        if compressed > len(view):
            raise BadFileFormat("members of the ZIP archive overlap")
        position += _DIRECTORY_ENTRY.size + fields[10] + fields[11] + fields[12]


def _zip64_directory_size(view: memoryview, end: int) -> int:
    locator = view[end - 20 : end]
    if bytes(locator[:4]) != b"PK\x06\x07":
        raise BadFileFormat("the ZIP archive has no directory")
    (record,) = struct.unpack_from("<Q", locator, 8)
    if record + 56 > len(view) or bytes(view[record : record + 4]) != b"PK\x06\x06":
        raise BadFileFormat("the ZIP archive has no directory")
    (size,) = struct.unpack_from("<Q", view, record + 40)
    return int(size) + 56 + 20


# ---------------------------------------------------------------------------------------------------- multipart


class _Form:
    """Files out of a form, as its bytes are fed."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._spool: Spool | None = None
        self._is_file = False
        self._count = 0
        self._field = b""
        self.files: list[Spooled] = []
        self.is_complete = False

    def on_part_begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise BadFileFormat(f"more than {MAX_PARTS} parts")
        self._spool = self._archive.blobs.spool(MAX_FILE_SIZE)
        self._is_file = False

    def on_header_begin(self) -> None:
        self._field = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        value = data[start:end].lower()
        match self._field.lower():
            case b"content-disposition":
                self._is_file |= b"filename" in value
            case b"content-type":
                self._is_file |= not value.strip().startswith(b"text/")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._spool is not None and self._is_file:
            self._spool.write(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        if self._spool is None:
            return
        if self._is_file:
            self.files.append(self._spool.finish())
        self.discard()

    def on_end(self) -> None:
        self.is_complete = True

    def discard(self) -> None:
        if self._spool is not None:
            self._spool.discard()
            self._spool = None


def _parts(archive: Archive, request: Request, options: Mapping[bytes, bytes]) -> Iterator[Spooled]:
    """The files of a `multipart/form-data` body, one after the other (RFC 7578)."""
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise BadFileFormat("the form has no boundary, or too long a one")
    form = _Form(archive)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.on_part_begin,
            "on_header_begin": form.on_header_begin,
            "on_header_field": form.on_header_field,
            "on_header_value": form.on_header_value,
            "on_part_data": form.on_part_data,
            "on_part_end": form.on_part_end,
            "on_end": form.on_end,
        },
        max_header_count=MAX_PART_HEADERS,
        max_header_size=MAX_PART_HEADER_SIZE,
    )
    view = request.body.view()
    try:
        for position in range(0, len(view), _PIECE):
            parser.write(bytes(view[position : position + _PIECE]))
            while form.files:
                yield form.files.pop(0)
        parser.finalize()
        if not form.is_complete:
            raise BadFileFormat("the form is cut short")
    except FormParserError as error:
        raise BadFileFormat(f"the form cannot be read: {error}") from error
    finally:
        form.discard()
        for file in form.files:
            file.discard()

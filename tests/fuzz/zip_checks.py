"""What must hold of ZIP archives that come in and of those that go out.

In: whatever the bytes are, members become instances or the archive is refused, within the bounds, and no file is
written anywhere but in the storage. Out: whatever an instance says of itself, the names of its archive and of its media
stay inside of the folder that they are unpacked in, and no two are the same.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pydicom import dcmread

from amonsul.archive import ingest
from amonsul.archive.context import Archive
from amonsul.archive.export import ExportOptions, export
from amonsul.archive.origin import RestOrigin
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import open_database
from amonsul.database.settings import SqliteSettings
from amonsul.dicom.levels import Level
from amonsul.errors import AmonsulError
from amonsul.imaging.codecs import LocalCodecs
from amonsul.web.rest import uploads
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from amonsul.web.values import Request
from tests.integration.rest.dicom_files import dicom_file, zip_of
from tests.integration.server.instances import element

LARGEST_MEMBER = 200_000
NOW = datetime(2026, 1, 2, tzinfo=UTC)
_CODECS = LocalCodecs()
_EVIL = (
    *(b"../", b"..\\", b"/", b"\\", b"C:", b"\0", b"..", b"NUL", b"~", b"\r\n", b"\xff", b" ", b".", b"%2e%2e%2f"),
    "．．／".encode(),
    "‮".encode(),
)


@contextmanager
def archive_in(folder: Path) -> Iterator[Archive]:
    """An empty archive in a folder that nothing else is in."""
    storage = folder / "storage"
    storage.mkdir()
    database = open_database(SqliteSettings(storage / "index.db", synchronous=False))
    blobs = FilesystemBlobs(storage, sync=False)
    try:
        yield Archive(database, blobs)
    finally:
        blobs.close()
        database.close()


def check_upload(data: bytes, archive: Archive, folder: Path) -> bool:
    """Send an archive in; whether it was taken."""
    body = Spooled.of(b"PK\3\4" + data[4:])
    services = Services(archive, WebSettings(maximum_archived_file_size=LARGEST_MEMBER))
    request = Request("POST", "/instances", {}, {}, {}, body)
    try:
        answer = uploads.upload(services, request)
    except AmonsulError as refusal:
        assert refusal.http_status in (400, 404, 409, 413), refusal  # noqa: PT017 (most are refused)
        return False
    finally:
        assert [path.name for path in folder.iterdir()] == ["storage"], "a file outside of the storage"
    assert answer.status == 200
    return True


def check_names(data: bytes, number: int, archive: Archive) -> None:
    """Store an instance that calls itself by these bytes, and take it out again."""
    texts = [text[:60] for text in (data + b"\n" * 5).split(b"\n")[:5]]
    uid = f"2.25.88.{number}"
    sop_class = element(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.7")
    body = b"".join(
        (
            element(0x0008, 0x0005, "CS", "ISO_IR 192"),
            sop_class,
            element(0x0008, 0x0018, "UI", f"{uid}.1"),
            element(0x0008, 0x0060, "CS", texts[0][:16]),
            element(0x0008, 0x1030, "LO", texts[1]),
            element(0x0008, 0x103E, "LO", texts[2]),
            element(0x0010, 0x0010, "PN", texts[3]),
            element(0x0010, 0x0020, "LO", texts[4] or b"x"),
            element(0x0020, 0x000D, "UI", uid),
            element(0x0020, 0x000E, "UI", f"{uid}.2"),
        )
    )
    meta = element(0x0002, 0x0010, "UI", "1.2.840.10008.1.2.1")
    try:
        stored = ingest.ingest(archive, Spooled.of(bytes(128) + b"DICM" + meta + body), RestOrigin("", ""))
    except AmonsulError:
        return  # it has no identifiers
    for options in (ExportOptions(), ExportOptions(keeps_unicode=True), ExportOptions(is_media=True)):
        made = export(archive, _CODECS, [(Level.PATIENT, stored.patient_id)], options, NOW)
        with zipfile.ZipFile(io.BytesIO(b"".join(made.chunks()))) as unpacked:
            names = unpacked.namelist()
            if options.is_media:
                dcmread(io.BytesIO(unpacked.read("DICOMDIR")))
        assert len({name.casefold() for name in names}) == len(names)
        for name in names:
            path = PurePosixPath(name)
            assert not path.is_absolute()
            assert not {"", ".", ".."} & set(name.split("/"))
            assert not set(name) & set('\\:\0\r\n"<>|?*')


def seeds() -> Iterator[bytes]:
    """Archives to begin with."""
    yield zip_of([("a.dcm", dicom_file()), ("b/c.dcm", dicom_file(instance=2)), ("readme.txt", b"text")])
    yield zip_of([("a.dcm", dicom_file(instance=3))], zipfile.ZIP_STORED)
    yield zip_of([("../../evil.dcm", dicom_file(instance=4)), ("/etc/evil", b"x"), ("folder/", b"")])
    yield zip_of([("bomb", bytes(LARGEST_MEMBER + 1))])
    yield zip_of([("inner.zip", zip_of([("a.dcm", dicom_file(instance=5))]))])


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """An archive with bytes changed, most of them where its directory is."""
    changed = bytearray(seed)
    directory = max(seed.rfind(b"PK\1\2"), 0)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(directory if chance.random() < 0.6 else 0, len(changed))
        match chance.randrange(4):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                changed[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"PK\1\2", b"PK\5\6"))
            case 2:
                del changed[place : place + chance.randrange(1, 9)]
            case _:
                changed[place:place] = changed[place : place + chance.randrange(1, 60)]
        if len(changed) < 8:
            break
    return bytes(changed)


def names(chance: random.Random) -> bytes:
    """Texts that want to be somewhere else."""
    return b"\n".join(
        b"".join(chance.choice((*_EVIL, b"a", bytes((chance.randrange(256),)))) for _ in range(chance.randrange(8)))
        for _ in range(5)
    )


@contextmanager
def narrow_bounds() -> Iterator[None]:
    """Bounds that are met by what fits into a test."""
    before = uploads.MAX_MEMBERS, uploads.RATIO_COUNTS_FROM
    uploads.MAX_MEMBERS, uploads.RATIO_COUNTS_FROM = 50, 100_000
    try:
        yield
    finally:
        uploads.MAX_MEMBERS, uploads.RATIO_COUNTS_FROM = before

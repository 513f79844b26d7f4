"""Resources as ZIP archives and as file-sets for exchange media, made piece by piece while they are read.

What goes in is decided first, from the index; then each instance is read, transcoded if wanted, deflated and passed
on. An instance that is deleted meanwhile is left out; one that cannot be transcoded goes in as it is. Transcoding is
done by another thread, so that one who reads the pieces can stop between two frames.
"""

from __future__ import annotations

import logging
import time
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Event

from amonsul import mapped
from amonsul.archive import find, read, rewriting
from amonsul.archive.context import Archive
from amonsul.archive.find import Content, Resource
from amonsul.archive.read import StoredAttachment
from amonsul.archive.zip_stream import ZipStream
from amonsul.blobs.spool import Spooled
from amonsul.dicom.dicomdir import DicomDir, Referenced
from amonsul.dicom.elements import Tag
from amonsul.dicom.header import Header
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.scanner import scan
from amonsul.errors import AmonsulError, InexistentFile, UnknownResource
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.rewriting import Sink
from amonsul.imaging.transcode import TranscodeOptions, transcode

logger = logging.getLogger(__name__)

_PIECE = 256 << 10
_PATIENCE_S = 0.2
"""How long the next piece may be in the making; then comes what there is, if only an empty one."""
_LONGEST_NAME = 100
"""Characters of one folder: three of them and the name of the file stay below what file systems take."""
_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"COM{number}" for number in range(10)), *(f"LPT{number}" for number in range(10))}
)
_UNSAFE = frozenset('<>:"/\\|?*%$`;&!#{}')


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How an archive is made.

    Attributes:
        is_media: with a DICOMDIR, and the names that it needs.
        is_extended: with a DICOMDIR that says more.
        transcoding: of the instances.
        keeps_unicode: names keep what is not ASCII.
    """

    is_media: bool = False
    is_extended: bool = False
    transcoding: rewriting.Transcoding | None = None
    keeps_unicode: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An instance that goes in.

    Attributes:
        ancestry: identifiers of patient, study and series.
        name: of the file, with its folders.
        size: of the file as it is stored.
    """

    instance_id: OrthancId
    ancestry: tuple[str, str, str]
    name: str
    size: int


@dataclass(slots=True)
class Export:
    """What goes into one archive, and the way to its bytes.

    Attributes:
        size: bytes that were made so far.
        done: instances that are through.
    """

    archive: Archive
    codecs: Codecs
    entries: Sequence[Entry]
    options: ExportOptions
    now: datetime
    size: int = 0
    done: int = field(default=0)

    @property
    def uncompressed_size(self) -> int:
        """Bytes of the files as they are stored."""
        return sum(entry.size for entry in self.entries)

    def chunks(self) -> Generator[bytes, None, None]:
        """The bytes of the archive, in pieces of some size; empty ones while there is nothing yet."""
        waiting: list[bytes] = []
        held = 0
        end = time.monotonic() + _PATIENCE_S
        for piece in self._pieces():
            waiting.append(piece)
            held += len(piece)
            self.size += len(piece)
            if held >= _PIECE or time.monotonic() >= end:
                yield b"".join(waiting)
                waiting, held = [], 0
                end = time.monotonic() + _PATIENCE_S
        yield b"".join(waiting)

    def _pieces(self) -> Iterator[bytes]:
        stream = ZipStream(self.now)
        directory = DicomDir(self.options.is_extended) if self.options.is_media else None
        for entry in self.entries:
            try:
                stored = read.attachment(self.archive, Level.INSTANCE, entry.instance_id)
                chunks = stored.chunks()
            except (UnknownResource, InexistentFile) as error:
                logger.warning("instance %s is left out of an archive: %s", entry.instance_id, error)
                self.done += 1
                continue
            if self.options.transcoding is None:
                yield from stream.add(entry.name, stored.size, chunks)
                if directory is not None:
                    self._list(directory, entry, read.header(self.archive, entry.instance_id))
            else:
                yield from self._add_transcoded(stream, directory, entry, stored, self.options.transcoding)
            self.done += 1
        if directory is not None:
            encoded = directory.encode()
            yield from stream.add("DICOMDIR", len(encoded), (encoded,))
        yield from stream.finish()

    def _add_transcoded(
        self,
        stream: ZipStream,
        directory: DicomDir | None,
        entry: Entry,
        stored: StoredAttachment,
        transcoding: rewriting.Transcoding,
    ) -> Iterator[bytes]:
        work = partial(_transcoded, self.archive, self.codecs, stored, entry.instance_id, transcoding)
        file = yield from _patiently(work)
        if file is None:
            yield from stream.add(entry.name, stored.size, stored.chunks())
            if directory is not None:
                self._list(directory, entry, read.header(self.archive, entry.instance_id))
            return
        try:
            view = file.view()
            yield from stream.add(entry.name, file.size, map(bytes, mapped.pieces(view, _PIECE)))
            if directory is not None:
                settings = self.archive.settings
                header = scan(view, settings.limits, self.archive.default_encoding, self.archive.dictionary)
                self._list(directory, entry, header)
        finally:
            file.discard()

    def _list(self, directory: DicomDir, entry: Entry, header: Header) -> None:
        referenced = Referenced(
            entry.name.split("/"),
            _text(header, _SOP_CLASS_UID),
            _text(header, _SOP_INSTANCE_UID),
            header.transfer_syntax_uid,
        )
        directory.add(entry.ancestry, header.data_set, referenced)


def _patiently(work: Callable[[Event], Spooled | None]) -> Generator[bytes, None, Spooled | None]:
    """What comes of some work; empty pieces until then, and an end of it when nobody asks for the next one."""
    given_up = Event()
    with ThreadPoolExecutor(1, "export") as executor:
        future = executor.submit(work, given_up)
        try:
            while not wait([future], _PATIENCE_S).done:
                yield b""
            return future.result()
        except BaseException:
            given_up.set()
            if future.exception() is None and (file := future.result()) is not None:
                file.discard()
            raise


class _GivenUp(Exception):
    """Nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class _Codecs:
    """Codecs until somebody gives up."""

    codecs: Codecs
    given_up: Event

    def decode(self, transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
        _go_on(self.given_up)
        return self.codecs.decode(transfer_syntax_uid, frame, pixel_format)

    def encode(self, transfer_syntax_uid: str, pixels: Pixels, quality: int) -> bytes:
        _go_on(self.given_up)
        return self.codecs.encode(transfer_syntax_uid, pixels, quality)


@dataclass(frozen=True, slots=True)
class _Sink:
    """A place to write to until somebody gives up."""

    sink: Sink
    given_up: Event

    def write(self, data: bytes, /) -> object:
        _go_on(self.given_up)
        return self.sink.write(data)


def _go_on(given_up: Event) -> None:
    if given_up.is_set():
        raise _GivenUp


_SOP_CLASS_UID = Tag(0x00080016)
_SOP_INSTANCE_UID = Tag(0x00080018)
_PATIENT_ID = Tag(0x00100020)
_PATIENT_NAME = Tag(0x00100010)
_ACCESSION_NUMBER = Tag(0x00080050)
_STUDY_DESCRIPTION = Tag(0x00081030)
_SERIES_NUMBER = Tag(0x00200011)
_MODALITY = Tag(0x00080060)
_SERIES_DESCRIPTION = Tag(0x0008103E)


def export(
    archive: Archive,
    codecs: Codecs,
    resources: Sequence[tuple[Level, OrthancId]],
    options: ExportOptions,
    now: datetime,
) -> Export:
    """What an archive of some resources will hold, each instance once.

    Args:
        archive: where.
        codecs: for transcoding.
        resources: to put in.
        options: how.
        now: time of the files in it.

    Raises:
        UnknownResource: one does not exist.
    """
    instances: dict[OrthancId, Resource] = {}
    for level, orthanc_id in resources:
        for each in _instances(archive, level, orthanc_id):
            instances[each.orthanc_id] = each
    return Export(archive, codecs, list(entries(instances.values(), options)), options, now)


def entries(instances: Iterable[Resource], options: ExportOptions) -> Iterator[Entry]:
    """Instances, fetched with PARENT_TAGS, with their names in the archive; each series in its own order."""
    tree: dict[str, dict[str, dict[str, list[Resource]]]] = {}
    for each in instances:
        studies = tree.setdefault(each.patient_id or "", {})
        studies.setdefault(each.study_id or "", {}).setdefault(each.series_id or "", []).append(each)
    count = 0
    patient_names = _Names(options.keeps_unicode)
    for patient_id, studies in tree.items():
        study_names = _Names(options.keeps_unicode)
        patient_folder = ""
        for study_id, all_series in studies.items():
            series_names = _Names(options.keeps_unicode)
            study_folder = ""
            for series_id, members in all_series.items():
                members.sort(key=lambda member: member.index_in_series or 0)
                first = members[0]
                if not options.is_media:
                    patient_folder = patient_folder or patient_names.folder(_patient_name(first), "Unknown Patient")
                    study_folder = study_folder or study_names.folder(_study_name(first), "Unknown Study")
                    series_folder = series_names.folder(_series_name(first), "Unknown Series")
                    folder = f"{patient_folder}/{study_folder}/{series_folder}"
                    files = _Names(options.keeps_unicode)
                    prefix = _file_prefix(first)
                for number, member in enumerate(members, 1):
                    if options.is_media:
                        name = f"IMAGES/IM{count}"
                    else:
                        index = number if member.index_in_series is None else max(member.index_in_series, 0)
                        name = f"{folder}/{files.file(prefix, index)}"
                    yield Entry(member.orthanc_id, (patient_id, study_id, series_id), name, member.file_size)
                    count += 1


class _Names:
    """Names in one folder: safe for every file system, and none twice, whatever its case."""

    def __init__(self, keeps_unicode: bool) -> None:
        self._keeps_unicode = keeps_unicode
        self._taken: set[str] = set()

    def folder(self, name: str, unnamed: str) -> str:
        return self._unique(safe_name(name, self._keeps_unicode) or unnamed, "")

    def file(self, prefix: str, number: int) -> str:
        return self._unique(f"{prefix}{number:06d}", ".dcm")

    def _unique(self, name: str, ending: str) -> str:
        candidate, number = name, 1
        while candidate.casefold() in self._taken:
            number += 1
            candidate = f"{name} ({number})"
        self._taken.add(candidate.casefold())
        return candidate + ending


def safe_name(name: str, keeps_unicode: bool) -> str:
    """What is left of a name that may stand in any file system: no separators, no controls, no tricks."""
    kept = []
    for character in unicodedata.normalize("NFC", name):
        if character in _UNSAFE or unicodedata.category(character)[0] == "C":
            continue
        if character.isascii() or keeps_unicode:
            kept.append(character)
    result = "".join(kept)[:_LONGEST_NAME].strip(" .")
    return f"_{result}" if result.split(".")[0].upper() in _RESERVED else result


def _patient_name(instance: Resource) -> str:
    tags = instance.patient_main_tags
    return f"{tags.get(_PATIENT_ID, '').strip()} - {tags.get(_PATIENT_NAME, '').strip()}"


def _study_name(instance: Resource) -> str:
    tags = instance.study_main_tags
    return _joined(tags.get(_ACCESSION_NUMBER, ""), tags.get(_STUDY_DESCRIPTION, ""))


def _series_name(instance: Resource) -> str:
    tags = instance.series_main_tags
    return _joined(tags.get(_SERIES_NUMBER, ""), tags.get(_MODALITY, ""), tags.get(_SERIES_DESCRIPTION, ""))


def _joined(*parts: str) -> str:
    return " - ".join(part.strip() for part in parts if part.strip())


def _file_prefix(instance: Resource) -> str:
    modality = instance.series_main_tags.get(_MODALITY, "").strip().upper()
    letters = "".join(character for character in modality if character.isascii() and character.isalnum())
    return letters[:2] or "IM"


def _instances(archive: Archive, level: Level, orthanc_id: OrthancId) -> Sequence[Resource]:
    if level is Level.INSTANCE:
        return [find.get(archive, level, orthanc_id, Content.PARENT_TAGS)]
    return find.descendants(archive, level, orthanc_id, Level.INSTANCE, Content.PARENT_TAGS)


def _transcoded(
    archive: Archive,
    codecs: Codecs,
    stored: StoredAttachment,
    instance_id: OrthancId,
    transcoding: rewriting.Transcoding,
    given_up: Event,
) -> Spooled | None:
    """The file in another transfer syntax; None if it has that already, or cannot have it."""
    header = read.header(archive, instance_id)
    if header.transfer_syntax_uid == transcoding.transfer_syntax_uid:
        return None
    source = rewriting.copied(archive, stored)
    spool = archive.blobs.spool()
    try:
        sink, codecs = _Sink(spool, given_up), _Codecs(codecs, given_up)
        options = TranscodeOptions(transcoding.quality)
        transcode(source.view(), header, transcoding.transfer_syntax_uid, sink, codecs, options)
        return spool.finish()
    except AmonsulError as error:
        logger.warning("instance %s goes into an archive as it is: %s", instance_id, error)
        spool.discard()
        return None
    except BaseException:
        spool.discard()
        raise
    finally:
        source.discard()


def _text(header: Header, tag: Tag) -> str:
    element = header.data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""

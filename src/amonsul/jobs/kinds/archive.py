"""Archive and Media: a ZIP archive of resources, made in the background and kept for download.

It is made from the beginning each time the job runs: what was there of it is not known to be whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from amonsul.archive import export
from amonsul.archive.context import Archive
from amonsul.archive.export import ExportOptions
from amonsul.archive.rewriting import Transcoding
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.kinds.resource_modification import Named

OUTPUT = "archive"
MEDIA_TYPE = "application/zip"

_MEGABYTE = 1 << 20
_LARGEST = 1 << 50


@dataclass(frozen=True, slots=True)
class CreateArchive:
    """Arguments.

    Attributes:
        resources: to put in.
        filename: of the download.
        instances_count, uncompressed_size: when it was asked for, to be shown until it is made.
        transfer_syntax_uid: of the instances; None: as they are.
    """

    resources: tuple[Named, ...]
    filename: str
    instances_count: int
    uncompressed_size: int
    transfer_syntax_uid: str | None = None
    lossy_quality: int = 90
    keeps_unicode: bool = False
    description: str = "REST API"

    @property
    def options(self) -> ExportOptions:
        """How it is made."""
        return ExportOptions(transcoding=self.transcoding, keeps_unicode=self.keeps_unicode)

    @property
    def transcoding(self) -> Transcoding | None:
        """Of the instances."""
        return None if self.transfer_syntax_uid is None else Transcoding(self.transfer_syntax_uid, self.lossy_quality)


@dataclass(frozen=True, slots=True)
class CreateMedia(CreateArchive):
    """Arguments for a file-set with a DICOMDIR.

    Attributes:
        is_extended: the DICOMDIR says more.
    """

    is_extended: bool = False

    @property
    def options(self) -> ExportOptions:
        """How it is made."""
        return ExportOptions(True, self.is_extended, self.transcoding, self.keeps_unicode)


def archive_kind(archive: Archive, codecs: Codecs) -> Kind[CreateArchive]:
    """The kind for ZIP archives, with what it works with."""
    return Kind("Archive", CreateArchive, _Runner(archive, codecs), _content)


def media_kind(archive: Archive, codecs: Codecs) -> Kind[CreateMedia]:
    """The kind for file-sets, with what it works with."""
    return Kind("Media", CreateMedia, _Runner(archive, codecs), _content)


def _content(arguments: CreateArchive) -> dict[str, object]:
    return {
        "Description": arguments.description,
        "InstancesCount": arguments.instances_count,
        "UncompressedSize": str(arguments.uncompressed_size),
        "UncompressedSizeMB": arguments.uncompressed_size // _MEGABYTE,
        "ArchiveSize": "0",
        "ArchiveSizeMB": 0,
        "Utf8": arguments.keeps_unicode,
    }


class _Runner:
    def __init__(self, archive: Archive, codecs: Codecs) -> None:
        self._archive = archive
        self._codecs = codecs

    def __call__(self, arguments: CreateArchive, running: Running) -> Iterator[Progress]:
        resources = [(named.level, named.orthanc_id) for named in arguments.resources]
        making = export.export(self._archive, self._codecs, resources, arguments.options, datetime.now(UTC))
        total = len(making.entries) + 1
        spool = self._archive.blobs.spool(_LARGEST)
        try:
            for chunk in making.chunks():
                spool.write(chunk)
                yield Progress(making.done, total)
            spooled = spool.finish()
        except BaseException:
            spool.discard()
            raise
        try:
            running.keep_output(OUTPUT, spooled, MEDIA_TYPE, arguments.filename)
        finally:
            spooled.discard()
        running.content["ArchiveSize"] = str(making.size)
        running.content["ArchiveSizeMB"] = making.size // _MEGABYTE
        yield Progress(total, total)

"""Reading stored instances anew, so that the index says what the present configuration makes of them.

Main tags, their signature, search columns and the packed header come from the file again. Identifiers and counts stay:
a file never changes. Where the instances of a study or series disagree about it, the first one that is read decides.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterator, Sequence
from typing import Final

from amonsul.archive import find
from amonsul.archive.context import Archive
from amonsul.archive.edit import set_compression
from amonsul.archive.ingest import index_in_series
from amonsul.archive.read import StoredAttachment, attachment
from amonsul.archive.reclaim import reclaim
from amonsul.database import reconstruction
from amonsul.database.storing import MainTagValues
from amonsul.dicom.header import encode_header
from amonsul.dicom.identifiers import identifiers_of
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.scanner import scan
from amonsul.errors import AmonsulError, UnknownResource

logger = logging.getLogger(__name__)

_CHUNK: Final = 500


def reconstruct(
    archive: Archive, level: Level, orthanc_id: OrthancId, *, files: bool = False, only_this_level: bool = False
) -> None:
    """Read the instances of a resource anew.

    Args:
        archive: where.
        level: of the resource.
        orthanc_id: of the resource.
        files: also store the files as the configuration says now.
        only_this_level: only the main tags of the resource itself, from one of its instances.

    Raises:
        UnknownResource: there is no such resource.
    """
    archive.require_writable()
    if level is Level.INSTANCE:
        find.get(archive, level, orthanc_id)
        instances: Sequence[OrthancId] = [orthanc_id]
    else:
        instances = find.descendant_ids(archive, level, orthanc_id, Level.INSTANCE)
    if only_this_level:
        for instance_id in instances[:1]:
            _reread(archive, instance_id, [level], set())
        return
    _reread_all(archive, iter(instances), files)


def reconstruct_all(archive: Archive, *, files: bool = False) -> None:
    """Read all instances anew."""
    archive.require_writable()
    _reread_all(archive, _everything(archive), files)


def invalidate_summaries(archive: Archive) -> None:
    """Remove the attachments of the type dicom-as-json, which earlier systems kept."""
    while True:
        blobs = archive.write(lambda tx: reconstruction.discard_summaries(tx, _CHUNK))
        reclaim(archive, blobs)
        if len(blobs) < _CHUNK:
            return


def _everything(archive: Archive) -> Iterator[OrthancId]:
    after = 0
    while True:
        with archive.database.read() as tx:
            page = reconstruction.instance_page(tx, after, _CHUNK)
        for after, orthanc_id in page:  # noqa: B007  # the last one is where the next page begins
            yield orthanc_id
        if len(page) < _CHUNK:
            return


def _reread_all(archive: Archive, instances: Iterator[OrthancId], files: bool) -> None:
    seen: set[OrthancId] = set()
    for instance_id in instances:
        try:
            _reread(archive, instance_id, list(Level), seen)
            if files:
                _store_as_configured(archive, instance_id)
        except UnknownResource:
            continue  # deleted meanwhile
        except AmonsulError as error:
            logger.error("instance %s stays as it is in the index: %s", instance_id, error.details or error.message)


def _reread(archive: Archive, instance_id: OrthancId, levels: Sequence[Level], seen: set[OrthancId]) -> None:
    """Write an instance anew, and those of its ancestors that are not among `seen`, which grows."""
    data = _view(attachment(archive, Level.INSTANCE, instance_id))
    header = scan(data, archive.settings.limits, archive.default_encoding, archive.dictionary)
    named = identifiers_of(header.data_set)
    identifiers = [named.at(level) for level in Level]
    if identifiers[Level.INSTANCE] != instance_id:
        logger.warning("the file of instance %s is that of another, %s", instance_id, identifiers[Level.INSTANCE])
        return
    described = reconstruction.Described(
        identifiers=identifiers,
        main_tags=[
            MainTagValues(archive.main_tags.extract(level, header.data_set), archive.main_tags.signature(level))
            for level in Level
        ],
        index_in_series=index_in_series(header.data_set),
        pixel_data_offset=None if header.pixel_data_offset is None else str(header.pixel_data_offset),
        header=encode_header(header),
    )
    wanted = [level for level in levels if identifiers[level] not in seen]
    if archive.write(lambda tx: reconstruction.rewrite(tx, described, wanted)):
        seen.update(identifiers[: Level.INSTANCE])


def _store_as_configured(archive: Archive, instance_id: OrthancId) -> None:
    set_compression(archive, Level.INSTANCE, instance_id, "dicom", archive.settings.compression)


def _view(stored: StoredAttachment) -> bytes | memoryview:
    """The bytes of a file, mapped where there is one."""
    path = stored.path()
    if path is None or stored.size == 0:
        return stored.read()
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:  # overwritten since: the index knows the new one
        return stored.read()

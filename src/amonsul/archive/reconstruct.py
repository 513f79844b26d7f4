"""Reading stored instances anew, so that the index says what the present configuration makes of them.

Main tags, their signature, search columns, indexes and the packed header come from the file again. Identifiers and
counts stay: a file never changes. Where the instances of a study or series disagree about it, the first one decides.

The work goes in pieces. What a piece read is written in one transaction, which may be the one that notes how far a job
is; a piece that is done twice does no harm.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from amonsul.archive.context import Archive
from amonsul.archive.ingest import index_in_series
from amonsul.archive.read import StoredAttachment, attachment
from amonsul.archive.reclaim import reclaim
from amonsul.archive.refiling import refile
from amonsul.database import Transaction, reconstruction, resources, statistics
from amonsul.database.storing import main_tag_values
from amonsul.dicom.header import encode_header
from amonsul.dicom.identifiers import identifiers_of
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.scanner import scan
from amonsul.errors import AmonsulError, BadFileFormat, UnknownResource
from amonsul.imaging.codecs import Codecs

logger = logging.getLogger(__name__)

_PIECE: Final = 50
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """What is read anew.

    Attributes:
        level, orthanc_id: of a resource; None for everything.
        files: also give the files the form that is configured now.
        only_this_level: only the main tags of the resource itself, from one of its instances.
    """

    level: Level | None = None
    orthanc_id: OrthancId | None = None
    files: bool = False
    only_this_level: bool = False


@dataclass(slots=True)
class Piece:
    """Some instances that were read.

    Attributes:
        after: row of the last of them.
        size: how many they are.
        scope: that they are part of.
        failed: how many could not be read; they stay as they are.
        described: what the others say.
    """

    after: int
    size: int
    scope: Scope
    failed: int = 0
    described: list[reconstruction.Described] = field(default_factory=list)

    def write(self, tx: Transaction) -> None:
        """Write down what was read."""
        only = self.scope.level if self.scope.only_this_level else None
        for each in self.described:
            reconstruction.rewrite(tx, each, self.scope.level, only)


def count(archive: Archive, scope: Scope) -> int:
    """How many instances there are to be read.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        if scope.level is None or scope.orthanc_id is None:
            return statistics.system(tx).instances
        row = _row(tx, scope.level, scope.orthanc_id)
        return 1 if scope.only_this_level else reconstruction.count_below(tx, scope.level, row)


def read_piece(archive: Archive, codecs: Codecs, scope: Scope, after: int) -> Piece | None:
    """Read the next instances after a row; None if there are no more.

    Raises:
        UnknownResource: there is no such resource.
        ReadOnly: nothing may be written.
    """
    archive.require_writable()
    limit = 1 if scope.only_this_level else _PIECE
    with archive.database.read() as tx:
        if scope.level is None or scope.orthanc_id is None:
            page = reconstruction.instance_page(tx, after, limit)
        else:
            row = _row(tx, scope.level, scope.orthanc_id)
            page = reconstruction.instance_page_below(tx, scope.level, row, after, limit)
    if not page or (scope.only_this_level and after):
        return None
    piece = Piece(page[-1][0], len(page), scope)
    for _, instance_id in page:
        try:
            if scope.files:
                refile(archive, codecs, instance_id)
            piece.described.append(_describe(archive, instance_id))
        except UnknownResource:
            continue  # deleted meanwhile
        except AmonsulError as error:
            piece.failed += 1
            logger.error("instance %s stays as it is: %s", instance_id, error.details or error.message)
    return piece


def reconstruct(archive: Archive, codecs: Codecs, scope: Scope) -> None:
    """Read everything in a scope anew, here and now.

    Raises:
        UnknownResource: there is no such resource.
        ReadOnly: nothing may be written.
    """
    count(archive, scope)
    after = 0
    while (piece := read_piece(archive, codecs, scope, after)) is not None:
        archive.write(piece.write)
        after = piece.after


def invalidate_summaries(archive: Archive) -> None:
    """Remove the attachments of the type dicom-as-json, which earlier systems kept."""
    while True:
        blobs = archive.write(lambda tx: reconstruction.discard_summaries(tx, _CHUNK))
        reclaim(archive, blobs)
        if len(blobs) < _CHUNK:
            return


def _row(tx: Transaction, level: Level, orthanc_id: OrthancId) -> int:
    row = resources.row_of(tx, level, orthanc_id)
    if row is None:
        raise UnknownResource
    return row


def _describe(archive: Archive, instance_id: OrthancId) -> reconstruction.Described:
    data = _view(attachment(archive, Level.INSTANCE, instance_id))
    header = scan(data, archive.settings.limits, archive.default_encoding, archive.dictionary)
    named = identifiers_of(header.data_set)
    identifiers: Sequence[OrthancId] = [named.at(level) for level in Level]
    if identifiers[Level.INSTANCE] != instance_id:
        raise BadFileFormat("its file is that of another instance")
    return reconstruction.Described(
        identifiers=identifiers,
        main_tags=[main_tag_values(archive.main_tags, level, header.data_set) for level in Level],
        index_in_series=index_in_series(header.data_set),
        header=header,
        packed=encode_header(header),
    )


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

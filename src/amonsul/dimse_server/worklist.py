"""Modality Worklist C-FIND (PS3.4 Annex K) over a folder of worklist files, `*.wl`, each one scheduled procedure step.

Whoever plans the work writes and removes the files; they are looked at anew for each query and read again only if they
have changed. A file that cannot be read, or is no longer there, is passed over.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from amonsul.archive.context import Archive
from amonsul.dicom.answer_encoding import encode_answer
from amonsul.dicom.elements import DataSet, Tag, items_of
from amonsul.dicom.json_tags import text_of
from amonsul.dicom.keys import answer, satisfies
from amonsul.dicom.scanner import scan
from amonsul.dimse_server.query import QuerySettings, read_identifier
from amonsul.dimse_server.service import Answer, Exchange, Lane, Right, Service
from amonsul.errors import BadFileFormat, Unavailable
from amonsul.protocols.dimse.commands import CFindRq, CFindRsp, Request
from amonsul.protocols.dimse.statuses import Status

logger = logging.getLogger(__name__)

MODALITY_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"

_SUFFIX: Final = ".wl"
_MAX_FILE_SIZE: Final = 1 << 20
_MAX_FILES: Final = 100_000
_MAX_REMEMBERED: Final = 10_000
_SCHEDULED_PROCEDURE_STEP_SEQUENCE: Final = Tag(0x00400100)
_SCHEDULED_STATION_AE_TITLE: Final = Tag(0x00400001)


@dataclass(frozen=True, slots=True)
class WorklistSettings:
    """What the operator decides about worklists.

    Attributes:
        folder: of the files (`Directory`).
        filters_issuer_aet: answer only with steps scheduled for the AE title that asks (`FilterIssuerAet`).
        limit_answers: most answers; 0 for all (`LimitAnswers`).
    """

    folder: Path
    filters_issuer_aet: bool = False
    limit_answers: int = 0


class WorklistFolder:
    """The worklist files of a folder; may be used from several threads.

    Args:
        folder: where they are.
        default_charset: of files that do not say.
    """

    class _Read(NamedTuple):
        changed_at_ns: int
        size: int
        default_charset: str
        data_set: DataSet | None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[str, WorklistFolder._Read] = {}

    def data_sets(self, default_charset: str) -> Iterator[DataSet]:
        """All of them, in the order of their names.

        Raises:
            Unavailable: the folder cannot be read.
        """
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.lower().endswith(_SUFFIX))[:_MAX_FILES]
        except OSError as error:
            raise Unavailable(f"the folder of the worklists cannot be read: {error.strerror}") from error
        with self._lock:
            if len(self._files) > len(names):
                there = set(names)
                self._files = {name: read for name, read in self._files.items() if name in there}
        for name in names:
            data_set = self._data_set(name, default_charset)
            if data_set is not None:
                yield data_set

    def _data_set(self, name: str, default_charset: str) -> DataSet | None:
        path = self._folder / name
        try:
            status = path.stat()
        except OSError:
            return None
        known = self._files.get(name)
        if known is not None and known[:3] == (status.st_mtime_ns, status.st_size, default_charset):
            return known.data_set
        data_set = None
        try:
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE_SIZE:
                raise BadFileFormat("not a file of a reasonable size")
            data_set = scan(path.read_bytes(), default_charset=default_charset).data_set
        except (BadFileFormat, OSError) as error:
            logger.warning("the worklist file %s is passed over: %s", name, error)
        with self._lock:
            if len(self._files) < _MAX_REMEMBERED:
                self._files[name] = self._Read(status.st_mtime_ns, status.st_size, default_charset, data_set)
        return data_set


class WorklistService(Service):
    """Answers worklist queries.

    Args:
        archive: for its limits and dictionary; the worklists are not in it.
        settings: how identifiers are read.
        worklists: where the worklists are.
    """

    abstract_syntaxes = frozenset({MODALITY_WORKLIST_FIND})
    requests: ClassVar[Mapping[type[Request], Right]] = {CFindRq: Right.FIND_WORKLIST}
    lane = Lane.QUERIES

    def __init__(self, archive: Archive, settings: QuerySettings, worklists: WorklistSettings) -> None:
        self._archive = archive
        self._settings = settings
        self._worklists = worklists
        self._folder = WorklistFolder(worklists.folder)

    def serve(self, exchange: Exchange) -> Iterator[Answer]:
        """Look at every file."""
        request = exchange.request
        assert isinstance(request, CFindRq)
        sop_class_uid = request.affected_sop_class_uid
        identifier = read_identifier(exchange, self._archive, self._settings)
        limit, given = self._worklists.limit_answers, 0
        pending = CFindRsp(request.message_id, Status.PENDING, sop_class_uid, has_data_set=True)
        for data_set in self._folder.data_sets(self._settings.default_charset):
            if exchange.is_cancelled:
                yield Answer(CFindRsp(request.message_id, Status.CANCEL, sop_class_uid))
                return
            if self._worklists.filters_issuer_aet and not _is_for(data_set, exchange.association.calling_ae_title):
                continue
            # Start date and start time are one range by definition (§K.6.1.2.2)
            if not satisfies(
                identifier.keys, data_set, case_sensitive_pn=self._settings.case_sensitive_pn, combines=True
            ):
                continue
            if limit and given == limit:
                logger.warning("a worklist query of %s has more answers than %d", exchange.association, limit)
                break
            given += 1
            found = answer(identifier.keys, data_set)
            yield Answer(pending, encode_answer(found, exchange.context.transfer_syntax, identifier.charsets))
        logger.info("worklist query of %s: %d answers", exchange.association, given)
        yield Answer(CFindRsp(request.message_id, Status.SUCCESS, sop_class_uid))


def _is_for(data_set: DataSet, ae_title: str) -> bool:
    """Whether one of the steps is scheduled for a station."""
    steps = data_set.get(_SCHEDULED_PROCEDURE_STEP_SEQUENCE)
    for step in items_of(steps) if steps is not None else []:
        station = step.get(_SCHEDULED_STATION_AE_TITLE)
        if station is not None and ae_title in [one.strip() for one in (text_of(station) or "").split("\\")]:
            return True
    return False

"""How an instance comes in, whatever the door: scan, filter, stage the bytes, commit the rows, publish the bytes.

The order makes a crash harmless. Staged bytes without rows are discarded at the next start, rows are committed only
when the bytes are on the disk, and moving the bytes into place can be repeated. An instance that replaces another
does so in one transaction: until it commits the old one is there, afterwards the new one.
"""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import orjson

from amonsul import measures
from amonsul.archive import clock
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.digest import md5_of
from amonsul.archive.origin import DicomOrigin, InternalOrigin, Origin, RestOrigin
from amonsul.archive.read import attachment
from amonsul.archive.reclaim import reclaim
from amonsul.archive.space import make_room_for_instance
from amonsul.archive.staging import discard, publish, stage_instance
from amonsul.blobs.crash import crash_point
from amonsul.blobs.spool import Spooled
from amonsul.database import CommitUncertain, Transaction, removing, storing
from amonsul.database import labels as label_rows
from amonsul.database import metadata as metadata_rows
from amonsul.dicom.elements import DataSet, Tag
from amonsul.dicom.header import Header, encode_header
from amonsul.dicom.identifiers import identifiers_of
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.scanner import scan

logger = logging.getLogger(__name__)

_reading = threading.Lock()
"""Reading a header is all work of the interpreter. Callers that take turns at it leave the interpreter to those who
write, who else wait for it after each call of the system or the database: four callers were half as fast as one."""
_LONG_BYTES = 4 << 20
"""Larger files do not wait for their turn, so that a deflated one that takes long holds nobody up."""

_SOP_CLASS_UID = Tag(0x00080016)
_INSTANCE_NUMBER = Tag(0x00200013)
_IMAGE_INDEX = Tag(0x00541330)


class IngestStatus(enum.Enum):
    """The `Status` of the answer to an upload."""

    SUCCESS = "Success"
    ALREADY_STORED = "AlreadyStored"
    FILTERED_OUT = "FilteredOut"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one instance.

    `refusal` is the DIMSE status asked for by a filter; it is 0 unless the status is FILTERED_OUT.
    """

    status: IngestStatus
    patient_id: OrthancId
    study_id: OrthancId
    series_id: OrthancId
    instance_id: OrthancId
    sop_class_uid: str
    sop_instance_uid: str
    refusal: int = 0


Labels = Mapping[Level, Collection[str]]
"""Labels that come with an instance, for it and its ancestors."""


def ingest(
    archive: Archive,
    spooled: Spooled,
    origin: Origin,
    labels: Labels = MappingProxyType({}),
    *,
    is_edit: bool = False,
) -> Ingested:
    """Store one instance; when this returns with SUCCESS it is durable. Takes `spooled` over, whatever happens.

    Args:
        archive: where.
        spooled: the bytes.
        origin: who sent them.
        labels: written in the same transaction, and also if the instance is stored already.
        is_edit: what it replaces is its own former state: series, study and patient stay, with all that hangs on
            them, even if there is nothing else in them.

    Raises:
        BadFileFormat: not DICOM, or broken.
        MissingIdentifier: without one of the UIDs that identify it.
        StorageFull, CannotStore, Unavailable, ReadOnly: nothing was stored.
    """
    try:
        archive.require_writable()
        if archive.incoming is not None:
            spooled = archive.incoming(spooled)
        done = _ingest(archive, spooled, origin, labels, is_edit)
        measures.INGESTED.labels(done.status.value).inc()
        return done
    except BaseException:
        measures.INGESTED.labels("Failed").inc()
        raise
    finally:
        spooled.discard()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the bytes say: the header, also as it is kept, and the answer if all goes well."""

    header: Header
    packed: bytes
    answer: Ingested

    @property
    def identifiers(self) -> tuple[OrthancId, OrthancId, OrthancId, OrthancId]:
        """Of the ancestors from the patient down, then of the instance."""
        return self.answer.patient_id, self.answer.study_id, self.answer.series_id, self.answer.instance_id


def _ingest(archive: Archive, spooled: Spooled, origin: Origin, labels: Labels, is_edit: bool) -> Ingested:
    with measures.SCAN_SECONDS.time():
        if spooled.size <= _LONG_BYTES:
            with _reading:
                found = read_instance(archive, spooled)
        else:
            found = read_instance(archive, spooled)
    crash_point("ingest.scanned")
    header, stored = found.header, found.answer
    for is_refused in archive.filters:
        refusal = is_refused(header, origin)
        if refusal is not None:
            return replace(stored, status=IngestStatus.FILTERED_OUT, refusal=refusal)
    if _is_kept(archive, spooled, stored.instance_id) and _is_labelled(archive, found.identifiers, labels):
        return replace(stored, status=IngestStatus.ALREADY_STORED)

    with measures.BLOB_SECONDS.time():
        files = stage_instance(archive, spooled, header.pixel_data_offset)
    crash_point("ingest.staged")
    with measures.INDEX_SECONDS.time():
        replaced = _commit(archive, new_instance(archive, found, origin, files), labels, is_edit)
    crash_point("ingest.committed")
    if replaced is None:
        discard(archive, files)
        return replace(stored, status=IngestStatus.ALREADY_STORED)
    with measures.PUBLISH_SECONDS.time():
        publish(archive, files)
    crash_point("ingest.published")
    if replaced:
        reclaim(archive, replaced)
        crash_point("ingest.reclaimed")
    return stored


def read_instance(archive: Archive, spooled: Spooled) -> Reading:
    """Scan a file and identify it.

    Raises:
        BadFileFormat: not DICOM, or broken.
        MissingIdentifier: without one of the UIDs that identify it.
    """
    header = scan(spooled.view(), archive.settings.limits, archive.default_encoding, archive.dictionary)
    named = identifiers_of(header.data_set)
    answer = Ingested(
        IngestStatus.SUCCESS,
        named.at(Level.PATIENT),
        named.at(Level.STUDY),
        named.at(Level.SERIES),
        named.at(Level.INSTANCE),
        _text(header.data_set, _SOP_CLASS_UID),
        named.sop_instance_uid,
    )
    return Reading(header, encode_header(header), answer)


def new_instance(
    archive: Archive, reading: Reading, origin: Origin, files: Sequence[storing.NewAttachment]
) -> storing.NewInstance:
    """What goes into the index of an instance whose files are staged; the DICOM file is the first of them."""
    header = reading.header
    main_tags = _MainTagsOf(archive, header.data_set)
    return storing.NewInstance(
        identifiers=reading.identifiers,
        main_tags=main_tags,
        element=header.element,
        sop_class_uid=reading.answer.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        index_in_series=index_in_series(header.data_set),
        expected_number_of_instances=_expected_number_of_instances(header.data_set),
        remote_aet=origin.remote_aet if isinstance(origin, DicomOrigin) else "",
        metadata=_metadata(header, origin, main_tags(Level.INSTANCE).sequences),
        header=reading.packed,
        file=files[0],
        more_files=files[1:],
    )


def _is_kept(archive: Archive, spooled: Spooled, instance_id: OrthancId) -> bool:
    """Whether the instance is there and these bytes do not replace it."""
    if archive.settings.overwrite is Overwrite.ALWAYS:
        return False
    with archive.database.read() as tx:
        present = storing.find_instance(tx, instance_id)
    if present is None:
        return False
    return archive.settings.overwrite is Overwrite.NEVER or _is_same(
        archive, spooled, instance_id, present[2], present[3]
    )


def _is_labelled(archive: Archive, identifiers: Sequence[OrthancId], labels: Labels) -> bool:
    """Give an instance that is stored already its labels; False if it is not there any more."""
    if not labels:
        return True

    def work(tx: Transaction) -> bool:
        if storing.find_instance(tx, identifiers[Level.INSTANCE]) is None:
            return False
        label_rows.add_all(tx, identifiers, labels)
        return True

    return archive.write(work)


def _commit(archive: Archive, new: storing.NewInstance, labels: Labels, is_edit: bool) -> list[str] | None:
    """Write the rows. Answers the blobs that went, None if another caller stored the instance meanwhile."""
    settings = archive.settings
    overwrites = settings.overwrite is not Overwrite.NEVER
    files = (new.file, *new.more_files)
    blob = new.file.uuid

    def work(tx: Transaction) -> list[str] | None:
        replaced: list[str] = []
        own: Labels = {}
        present = storing.find_instance(tx, new.identifiers[Level.INSTANCE])
        if present is not None:
            is_same = settings.overwrite is Overwrite.IF_CHANGED and _is_same_file(new.file, present[2], present[3])
            if is_same or not overwrites:
                label_rows.add_all(tx, new.identifiers, labels)
                return None
            if settings.keeps_labels:
                own = label_rows.of_path(tx, new.identifiers)
            gone = removing.remove(tx, Level.INSTANCE, present[0], clock.now(), keeps_ancestors=is_edit)
            replaced = gone.blobs
        replaced += make_room_for_instance(tx, settings, new)
        storing.insert_instance(tx, new, clock.now())
        for each in (own, labels):
            label_rows.add_all(tx, new.identifiers, each)
        crash_point("ingest.in_transaction")
        return replaced

    try:
        return archive.write(work)
    except CommitUncertain:
        # The row may be there, so the bytes stay where they are, readable; the next start decides.
        logger.error("blob %s waits for the next start: its commit may or may not have happened", blob)
        raise
    except BaseException:
        discard(archive, files)
        raise


def _is_same_file(new: storing.NewAttachment, size: int, md5: str) -> bool:
    return bool(md5) and new.size == size and new.md5 == md5


def _is_same(archive: Archive, spooled: Spooled, instance_id: OrthancId, size: int, md5: str) -> bool:
    """Whether the bytes are those that are stored."""
    if spooled.size != size:
        return False
    view = spooled.view()
    if md5:
        return md5_of(view) == md5
    at = 0
    for chunk in attachment(archive, Level.INSTANCE, instance_id).chunks():
        if view[at : at + len(chunk)] != chunk:
            return False
        at += len(chunk)
    return at == size


class _MainTagsOf:
    """Gives the main tags of each level when asked."""

    __slots__ = ("_archive", "_data_set", "_made")

    def __init__(self, archive: Archive, data_set: DataSet) -> None:
        self._archive = archive
        self._data_set = data_set
        self._made: dict[Level, storing.MainTagValues] = {}

    def __call__(self, level: Level) -> storing.MainTagValues:
        made = self._made.get(level)
        if made is None:
            made = storing.main_tag_values(self._archive.main_tags, level, self._data_set)
            self._made[level] = made
        return made


def _metadata(header: Header, origin: Origin, sequences: str) -> str:
    """Core metadata by number, but those that are columns."""
    entries = {"2": clock.now(), "3": ""}
    match origin:
        case DicomOrigin(remote_ip, remote_aet, called_aet):
            entries |= {"3": remote_aet, "8": "DicomProtocol", "11": remote_ip, "12": called_aet}
        case RestOrigin(remote_ip, username):
            entries |= {"8": "RestApi", "11": remote_ip, "13": username}
        case InternalOrigin(name):
            entries["8"] = name
    entries |= metadata_rows.of_pixels(header)
    if sequences:
        entries[str(metadata_rows.MAIN_DICOM_SEQUENCES)] = sequences
    return orjson.dumps({number: value.replace("\0", "") for number, value in entries.items()}).decode()


def _text(data_set: DataSet, tag: Tag) -> str:
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""


def _number(data_set: DataSet, tag: int) -> int | None:
    """The first value as a whole number, if it is one of 32 bits."""
    element = data_set.get(Tag(tag))
    if element is None:
        return None
    value = element.value
    if isinstance(value, str):
        digits = value.split("\\", 1)[0].strip()
        if len(digits) > 12:
            return None
        try:
            number = int(digits)
        except ValueError:
            return None
    elif isinstance(value, list) and value and isinstance(value[0], int):
        number = value[0]
    else:
        return None
    return number if -(1 << 31) <= number < 1 << 31 else None


def index_in_series(data_set: DataSet) -> int | None:
    """The place of an instance in its series, if its headers tell."""
    number = _number(data_set, _INSTANCE_NUMBER)
    return _number(data_set, _IMAGE_INDEX) if number is None else number


_EXPECTED: Mapping[int, int | None] = {
    0x00201002: 0x00200105,  # ImagesInAcquisition, NumberOfTemporalPositions
    0x00540081: 0x00540101,  # NumberOfSlices, NumberOfTimeSlices
    0x00181090: None,  # CardiacNumberOfImages
}


def _expected_number_of_instances(data_set: DataSet) -> int | None:
    """How many instances the headers promise for the series: a product of two attributes, or one."""
    for first, second in _EXPECTED.items():
        if Tag(first) not in data_set:
            continue
        one = _number(data_set, first)
        other = 1 if second is None else _number(data_set, second)
        if one is not None and other is not None:
            return one * other if one > 0 and other > 0 and one * other < 1 << 31 else None
    return None

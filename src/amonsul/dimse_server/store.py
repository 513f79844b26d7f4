"""C-STORE (PS3.7 §9.1.1, PS3.4 Annex B): what a peer sends becomes a Part 10 file and goes to the archive.

The front of the file is made from the command and the presentation context and written before the first byte of the
data set arrives, so the spool holds a complete file at the end and the data set is stored as it came, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from typing import ClassVar, Final

from amonsul.archive.ingest import Ingested, IngestStatus
from amonsul.archive.origin import DicomOrigin
from amonsul.blobs.spool import Spool, Spooled
from amonsul.dicom.levels import OrthancId
from amonsul.dicom.part10 import file_head
from amonsul.dicom.uids import is_valid, storage_sop_classes, transfer_syntax
from amonsul.dimse_server.service import Answer, Association, Context, Exchange, Right, Service
from amonsul.errors import MissingIdentifier
from amonsul.protocols.dimse.commands import CStoreRq, CStoreRsp, Request
from amonsul.protocols.dimse.statuses import Status, StorageStatus

_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_SHORT_VRS: Final = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
"""VRs with a length of 16 bits (PS3.5 §7.1.2)."""


class StoreService(Service):
    """Takes instances of every storage SOP class that the settings let in.

    Args:
        spool: makes the spool of one instance, given the most bytes it may take (`BlobStore.spool`).
        ingest: the archive's verb, called in a thread.
        moved: told of what is stored because of a C-MOVE: AE title and message ID of who asked, and the instance.
    """

    requests: ClassVar[Mapping[type[Request], Right]] = {CStoreRq: Right.STORE}
    is_storage = True
    peer_may_be_scp = True

    def __init__(
        self,
        spool: Callable[[int], Spool],
        ingest: Callable[[Spooled, DicomOrigin], Ingested],
        moved: Callable[[str, int, OrthancId], None] | None = None,
    ) -> None:
        self.abstract_syntaxes = frozenset(storage_sop_classes())
        self._spool = spool
        self._ingest = ingest
        self._moved = moved

    def open_spool(self, association: Association, context: Context, request: Request, size_limit: int) -> Spool:
        """A spool that begins with the front of the file.

        Raises:
            MissingIdentifier: the identifiers in the command are not UIDs; they would go into a file.
        """
        assert isinstance(request, CStoreRq)
        sop_class_uid, sop_instance_uid = request.affected_sop_class_uid, request.affected_sop_instance_uid
        if not (is_valid(sop_class_uid) and is_valid(sop_instance_uid)):
            raise MissingIdentifier("the affected SOP class or instance of a C-STORE is no UID")
        head = file_head(sop_class_uid, sop_instance_uid, context.transfer_syntax, association.calling_ae_title)
        spool = self._spool(size_limit + len(head))
        spool.write(head)
        return spool

    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        """Bring the instance in."""
        request, spooled = exchange.request, exchange.data_set
        assert isinstance(request, CStoreRq)
        if spooled is None:
            return (_answer(request, Status.MISSING_ATTRIBUTE),)
        if not _is_what_it_says(spooled, request, exchange.context.transfer_syntax):
            spooled.discard()
            return (_answer(request, StorageStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS),)
        association = exchange.association
        origin = DicomOrigin(association.remote_ip, association.calling_ae_title, association.called_ae_title)
        try:
            ingested = self._ingest(spooled, origin)
        except MissingIdentifier:
            return (_answer(request, StorageStatus.OUT_OF_RESOURCES),)  # as clients of the reference know it
        if ingested.status is IngestStatus.FILTERED_OUT:
            return (_answer(request, ingested.refusal),)
        if self._moved is not None and request.move_originator_message_id is not None:
            originator = request.move_originator_application_entity_title or ""
            self._moved(originator, request.move_originator_message_id, ingested.instance_id)
        return (_answer(request, Status.SUCCESS),)


def _answer(request: CStoreRq, status: int) -> Answer:
    return Answer(
        CStoreRsp(request.message_id, status, request.affected_sop_class_uid, request.affected_sop_instance_uid)
    )


def _is_what_it_says(spooled: Spooled, request: CStoreRq, transfer_syntax_uid: str) -> bool:
    """Whether SOP class and instance of the data set are those of the command (PS3.4 §B.2.3).

    Only what stands at the front of a data set is read. Where they are not found there (a deflated data set, a broken
    one) the archive judges.
    """
    syntax = transfer_syntax(transfer_syntax_uid)
    if syntax.is_deflated:
        return True
    expected = {
        _SOP_CLASS_UID: request.affected_sop_class_uid.encode("ascii"),
        _SOP_INSTANCE_UID: request.affected_sop_instance_uid.encode("ascii"),
    }
    with spooled.view() as file:
        for tag, value in _first_elements(file, is_implicit=syntax.is_implicit, is_big_endian=syntax.is_big_endian):
            if tag in expected and bytes(value).rstrip(b"\0 ") != expected[tag]:
                return False
    return True


def _first_elements(file: memoryview, *, is_implicit: bool, is_big_endian: bool) -> Iterable[tuple[int, memoryview]]:
    """Tag and value of the elements up to SOP Instance UID, as long as they are ordinary."""
    order = ">" if is_big_endian else "<"
    tag_and_length = Struct(order + "HHI")
    tag_and_vr = Struct(order + "HH2sH")
    long_length = Struct(order + "I")
    at = 144 + int.from_bytes(file[140:144], "little")  # past the file meta information, whose group length is first
    while at + 8 <= len(file):
        if is_implicit:
            group, element, length = tag_and_length.unpack_from(file, at)
        else:
            group, element, vr, length = tag_and_vr.unpack_from(file, at)
            if vr not in _SHORT_VRS:
                if at + 12 > len(file):
                    return
                (length,) = long_length.unpack_from(file, at + 8)
                at += 4
        at += 8
        tag = group << 16 | element
        if tag > _SOP_INSTANCE_UID or length > len(file) - at:
            return
        yield tag, file[at : at + length]
        at += length

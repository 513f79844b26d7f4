"""Storage commitment, both ways: whether we are responsible for instances, and whether another took it over from us.

Asked by others, an instance is ours if it is stored with the SOP class that they know, and, if the operator wants it
so, if its bytes are still those that came in. What we asked others is kept in the index from before the request leaves
until it makes room for newer ones, so that a report finds it whenever, and at whichever process, it arrives.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from amonsul.archive import edit, read
from amonsul.archive.context import Archive
from amonsul.database import Transaction, commitments, sight
from amonsul.dicom.commitment import (
    CommitmentReport,
    FailureReason,
    Reference,
    Refusal,
)
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.query import View
from amonsul.errors import BadSequenceOfCalls, InexistentFile, InexistentItem, UnknownResource

logger = logging.getLogger(__name__)


def failures(
    archive: Archive, references: Sequence[Reference], *, checks_files: bool, view: View | None = None
) -> dict[Reference, int]:
    """Why we are not responsible for some of the instances: a Failure Reason for each of those.

    Args:
        archive: where they should be.
        references: the instances; a bounded number.
        checks_files: read each file and compare it with its MD5.
        view: of whom asks: what it does not show is not there.
    """
    with archive.database.read() as tx:
        found = commitments.held(tx, sorted({reference.sop_instance_uid for reference in references}))
        if view is not None:
            seen = sight.admitted(tx, [each.row for each in found], view)
            found = [each for each in found if each.row in seen]
    held: dict[str, list[commitments.Held]] = {}
    for each in found:
        held.setdefault(each.sop_instance_uid, []).append(each)
    failed: dict[Reference, int] = {}
    for reference in references:
        candidates = held.get(reference.sop_instance_uid, [])
        of_class = [each.orthanc_id for each in candidates if each.sop_class_uid == reference.sop_class_uid]
        if not candidates:
            failed[reference] = FailureReason.NO_SUCH_OBJECT_INSTANCE
        elif not of_class:
            failed[reference] = FailureReason.CLASS_INSTANCE_CONFLICT
        elif checks_files:
            reasons = [_broken(archive, orthanc_id) for orthanc_id in of_class]
            if any(reasons):
                failed[reference] = max(reason for reason in reasons if reason)
    return failed


def _broken(archive: Archive, orthanc_id: OrthancId) -> int:
    """Why a file cannot be answered for; 0 if it can."""
    try:
        file = read.attachment(archive, Level.INSTANCE, orthanc_id)
        is_sound = file.verify()
        if is_sound is None:  # no MD5 was kept: that it is there, and whole, is all that can be said
            is_sound = sum(map(len, file.chunks())) == file.size
    except UnknownResource:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    except InexistentFile:
        is_sound = False
    if not is_sound:
        logger.error("the file of instance %s is not what was stored", orthanc_id)
        return FailureReason.PROCESSING_FAILURE
    return 0


class CommitmentStatus(enum.Enum):
    """The `Status` of the REST API."""

    PENDING = "Pending"
    SUCCESS = "Success"
    FAILURE = "Failure"


@dataclass(frozen=True, slots=True)
class Commitment:
    """What we asked another, and what it answered.

    Attributes:
        references: the instances asked about.
        committed: those it is responsible for.
        refused: those it is not; all that its report left out are among them.
    """

    transaction_uid: str
    remote_aet: str
    status: CommitmentStatus
    references: tuple[Reference, ...]
    committed: tuple[Reference, ...] = ()
    refused: tuple[Refusal, ...] = ()


def begin(
    archive: Archive, transaction_uid: str, remote_aet: str, references: Sequence[Reference], *, kept: int
) -> None:
    """Write down that we ask for a commitment, before we do."""
    request = orjson.dumps(references).decode()
    archive.database.write(lambda tx: commitments.insert(tx, transaction_uid, remote_aet, request, kept))


def forget(archive: Archive, transaction_uid: str) -> None:
    """Drop a commitment that was not asked for in the end."""
    archive.database.write(lambda tx: commitments.delete(tx, transaction_uid))


class NotTheirs(UnknownResource):
    """A report by somebody else than who was asked."""

    dimse_status = 0x0124


def receive(archive: Archive, remote_aet: str, report: CommitmentReport, *, strict: bool) -> bool:
    """Write a report down; durable at return. False if nobody asked for it, or it is forgotten.

    Only what was asked counts: an instance that the report does not mention is not committed.

    Raises:
        NotTheirs: another system was asked.
    """

    def work(tx: Transaction) -> bool:
        stored = commitments.find(tx, report.transaction_uid)
        if stored is None:
            return False
        asked_aet, theirs = (
            (stored.remote_aet, remote_aet) if strict else (stored.remote_aet.upper(), remote_aet.upper())
        )
        if asked_aet != theirs:
            raise NotTheirs(f"{remote_aet} reports on a commitment that {stored.remote_aet} was asked for")
        asked = _references(stored.request)
        reasons = {refusal.reference.sop_instance_uid: refusal for refusal in report.refused}
        committed = {reference.sop_instance_uid for reference in report.committed} - reasons.keys()
        told = {
            "Success": [
                [each.sop_class_uid, each.sop_instance_uid] for each in asked if each.sop_instance_uid in committed
            ],
            "Failures": [
                [
                    each.sop_class_uid,
                    each.sop_instance_uid,
                    reasons[each.sop_instance_uid].reason
                    if each.sop_instance_uid in reasons
                    else FailureReason.PROCESSING_FAILURE,
                ]
                for each in asked
                if each.sop_instance_uid not in committed
            ],
        }
        commitments.put_report(tx, report.transaction_uid, orjson.dumps(told).decode())
        return True

    return archive.database.write(work)


def get(archive: Archive, transaction_uid: str) -> Commitment:
    """A commitment that we asked for.

    Raises:
        InexistentItem: there is none, or it is forgotten.
    """
    with archive.database.read() as tx:
        stored = commitments.find(tx, transaction_uid)
    if stored is None:
        raise InexistentItem(f"No storage commitment transaction with UID: {transaction_uid}")
    asked = _references(stored.request)
    if stored.report is None:
        return Commitment(transaction_uid, stored.remote_aet, CommitmentStatus.PENDING, asked)
    told = orjson.loads(stored.report)
    refused = tuple(Refusal(Reference(*uids), reason) for *uids, reason in told["Failures"])
    committed = tuple(Reference(*uids) for uids in told["Success"])
    status = CommitmentStatus.FAILURE if refused else CommitmentStatus.SUCCESS
    return Commitment(transaction_uid, stored.remote_aet, status, asked, committed, refused)


def remove_committed(archive: Archive, transaction_uid: str) -> None:
    """Delete the instances that another is responsible for now, if it is for all of them.

    Raises:
        InexistentItem: there is no such commitment.
        BadSequenceOfCalls: it is pending, or failed for some.
    """
    commitment = get(archive, transaction_uid)
    if commitment.status is not CommitmentStatus.SUCCESS:
        raise BadSequenceOfCalls(
            "Cannot remove DICOM instances after failure in storage commitment transaction: " + transaction_uid
        )
    with archive.database.read() as tx:
        found = commitments.held(tx, [reference.sop_instance_uid for reference in commitment.committed])
    classes = {reference.sop_instance_uid: reference.sop_class_uid for reference in commitment.committed}
    for each in found:
        if classes[each.sop_instance_uid] == each.sop_class_uid:
            try:
                edit.delete(archive, Level.INSTANCE, each.orthanc_id)
            except UnknownResource:
                continue  # somebody else did


def _references(request: str) -> tuple[Reference, ...]:
    return tuple(Reference(each["sop_class_uid"], each["sop_instance_uid"]) for each in orjson.loads(request))

"""What systems say to each other about storage commitment (PS3.4 Annex J): the request and the report.

A request names instances under the UID of a transaction; the report says of each whether its archive is now
responsible for it. Both travel as data sets, and are read into values here once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from amonsul.dicom.elements import DataSet, Element, Tag, items_of, numbers_of
from amonsul.dicom.uids import is_valid
from amonsul.errors import BadFileFormat

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its well-known instance."""
REQUEST_COMMITMENT: Final = 1
"""Action type (PS3.4 Table J.3-1)."""
ALL_STORED: Final = 1
FAILURES_EXIST: Final = 2
"""Event types (PS3.4 Table J.3-2)."""


class FailureReason(enum.IntEnum):
    """Failure Reason (0008,1197) of an instance (PS3.3 §C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    RESOURCE_LIMITATION = 0x0213
    REFERENCED_SOP_CLASS_NOT_SUPPORTED = 0x0122
    CLASS_INSTANCE_CONFLICT = 0x0119
    DUPLICATE_TRANSACTION_UID = 0x0131


DESCRIPTIONS: Final[Mapping[int, str]] = {
    FailureReason.PROCESSING_FAILURE: "A general failure in processing the operation was encountered",
    FailureReason.NO_SUCH_OBJECT_INSTANCE: (
        "One or more of the elements in the Referenced SOP Instance Sequence was not available"
    ),
    FailureReason.RESOURCE_LIMITATION: (
        "The SCP does not currently have enough resources to store the requested SOP Instance(s)"
    ),
    FailureReason.REFERENCED_SOP_CLASS_NOT_SUPPORTED: (
        "Storage Commitment has been requested for a SOP Instance with a SOP Class that is not supported by the SCP"
    ),
    FailureReason.CLASS_INSTANCE_CONFLICT: (
        "The SOP Class of an element in the Referenced SOP Instance Sequence did not correspond to the SOP class "
        "registered for this SOP Instance at the SCP"
    ),
    FailureReason.DUPLICATE_TRANSACTION_UID: "The Transaction UID of the Storage Commitment Request is already in use",
}
"""The same in words."""

_TRANSACTION_UID: Final = Tag(0x00081195)
_REFERENCED_SOP_SEQUENCE: Final = Tag(0x00081199)
_FAILED_SOP_SEQUENCE: Final = Tag(0x00081198)
_REFERENCED_SOP_CLASS_UID: Final = Tag(0x00081150)
_REFERENCED_SOP_INSTANCE_UID: Final = Tag(0x00081155)
_FAILURE_REASON: Final = Tag(0x00081197)


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that somebody is to be responsible for."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An instance that nobody is responsible for, and why: a `FailureReason`, or any other number."""

    reference: Reference
    reason: int


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """Action Information (PS3.4 Table J.3-1)."""

    transaction_uid: str
    references: tuple[Reference, ...]

    def data_set(self) -> Dataset:
        """To be sent with N-ACTION."""
        return _data_set(self.transaction_uid, self.references)


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """Event Information (PS3.4 Table J.3-2)."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    refused: tuple[Refusal, ...] = ()

    @property
    def event_type_id(self) -> int:
        """Which of the two events it is."""
        return FAILURES_EXIST if self.refused else ALL_STORED

    def data_set(self) -> Dataset:
        """To be sent with N-EVENT-REPORT."""
        made = _data_set(self.transaction_uid, self.committed)
        if self.refused:
            made.FailedSOPSequence = [
                _item(refusal.reference, FailureReason=refusal.reason) for refusal in self.refused
            ]
        return made


def parse_request(elements: DataSet) -> CommitmentRequest:
    """Read Action Information.

    Raises:
        BadFileFormat: no transaction UID, or a reference that names no instance.
    """
    return CommitmentRequest(_transaction_uid(elements), tuple(_references(elements, _REFERENCED_SOP_SEQUENCE)))


def parse_report(elements: DataSet) -> CommitmentReport:
    """Read Event Information; an instance that is refused without reason failed in general.

    Raises:
        BadFileFormat: no transaction UID, or a reference that names no instance.
    """
    refused = tuple(
        Refusal(reference, _reason(item))
        for reference, item in zip(
            _references(elements, _FAILED_SOP_SEQUENCE), _items(elements, _FAILED_SOP_SEQUENCE), strict=True
        )
    )
    committed = tuple(_references(elements, _REFERENCED_SOP_SEQUENCE))
    return CommitmentReport(_transaction_uid(elements), committed, refused)


def _transaction_uid(elements: DataSet) -> str:
    uid = _uid(elements, _TRANSACTION_UID)
    if not is_valid(uid):
        raise BadFileFormat("storage commitment without Transaction UID")
    return uid


def _items(elements: DataSet, tag: Tag) -> Sequence[DataSet]:
    element = elements.get(tag)
    if element is None:
        return ()
    if element.vr != "SQ" or not isinstance(element.value, list):  # too long to be kept: nothing must look like none
        raise BadFileFormat("storage commitment of too many instances")
    return items_of(element)


def _references(elements: DataSet, tag: Tag) -> Iterable[Reference]:
    for item in _items(elements, tag):
        reference = Reference(_uid(item, _REFERENCED_SOP_CLASS_UID), _uid(item, _REFERENCED_SOP_INSTANCE_UID))
        if not (is_valid(reference.sop_class_uid) and is_valid(reference.sop_instance_uid)):
            raise BadFileFormat("storage commitment of something that is no instance")
        yield reference


def _uid(elements: DataSet, tag: Tag) -> str:
    value = elements.get(tag, Element("UI", "")).value
    return value.rstrip("\0 ") if isinstance(value, str) else ""


def _reason(item: DataSet) -> int:
    element = item.get(_FAILURE_REASON)
    numbers = numbers_of(element) if element is not None else []
    return int(numbers[0]) if numbers else FailureReason.PROCESSING_FAILURE


def _data_set(transaction_uid: str, references: Iterable[Reference]) -> Dataset:
    made = Dataset()
    made.TransactionUID = transaction_uid
    made.ReferencedSOPSequence = [_item(reference) for reference in references]
    return made


def _item(reference: Reference, **more: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item

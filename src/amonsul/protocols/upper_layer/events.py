"""What a connection tells its service user: the indications and confirmations of PS3.8 §7, one value each."""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.protocols.upper_layer.pdu import AAssociateAc, AAssociateRj, AAssociateRq, Pdv


@dataclass(frozen=True, slots=True)
class AssociationRequested:
    """A-ASSOCIATE indication: answer with `accept` or `reject`."""

    request: AAssociateRq


@dataclass(frozen=True, slots=True)
class AssociationAccepted:
    """A-ASSOCIATE confirmation."""

    answer: AAssociateAc


@dataclass(frozen=True, slots=True)
class AssociationRejected:
    """A-ASSOCIATE confirmation (reject)."""

    answer: AAssociateRj


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A-RELEASE indication: answer with `answer_release`, at once or after data still to be sent."""


@dataclass(frozen=True, slots=True)
class Released:
    """A-RELEASE confirmation: the association that we asked to release is over."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """A-ABORT or A-P-ABORT indication: the association is over, whatever was under way.

    Attributes:
        source: as in the A-ABORT PDU, `AbortSource`.
        reason: as in the A-ABORT PDU, `AbortReason`.
        by_us: this side found the error and aborted.
        details: what was wrong, where this side found it.
    """

    source: int
    reason: int
    by_us: bool = False
    details: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """A-P-ABORT indication: the transport connection closed without release or abort."""


UpperLayerEvent = (
    AssociationRequested
    | AssociationAccepted
    | AssociationRejected
    | Pdv
    | ReleaseRequested
    | Released
    | Aborted
    | ConnectionLost
)
"""A `Pdv` is a P-DATA indication, or a part of one: what has arrived of a fragment is passed on, `is_last` is set only
on the end of a last fragment. Its data is valid until the next `receive_data`."""

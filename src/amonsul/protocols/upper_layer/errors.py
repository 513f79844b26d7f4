"""Whose fault it was: ours (a command that the state does not allow) or the peer's (bytes that are no valid PDU)."""

from __future__ import annotations

import enum


class AbortReason(enum.IntEnum):
    """Reason of an A-ABORT of the service provider (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


class LocalProtocolError(Exception):
    """A command that PS3.8 Table 9-10 does not allow in the present state, or a value that cannot be encoded."""


class PduError(Exception):
    """Bytes from the peer that are not a valid PDU.

    Attributes:
        reason: to be given in the A-ABORT.
    """

    def __init__(self, details: str, reason: AbortReason = AbortReason.INVALID_PDU_PARAMETER_VALUE) -> None:
        super().__init__(details)
        self.reason = reason


class LimitExceeded(PduError):
    """A well-formed A-ASSOCIATE-RQ that asks for more than we are ready to consider."""

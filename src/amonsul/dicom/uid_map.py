"""New UIDs for old ones, the same for all instances of one operation.

The new UID is computed from the old one and a secret key that the operation keeps: a job that is resumed, or continued
by another worker, gives the same UIDs without any table, and nobody without the key can tell which UID was which.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from amonsul.dicom.levels import Level

KEY_BYTES = 32

LevelOf = Callable[[str], "Level | None"]
"""Of what a UID is the identifier among the resources that an operation changes: Study, Series or Instance; None if
of nothing that it changes."""


def nothing_else(_uid: str) -> Level | None:
    """For an operation on one instance: no other resource changes."""
    return None


@dataclass(frozen=True, slots=True)
class UidMap:
    """UIDs and pseudonyms made from a key of `KEY_BYTES` random bytes."""

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """The UID that replaces `old` (PS3.5 §B.2)."""
        return f"2.25.{self._uuid('uid', old).int}"

    def patient_id(self, old: str) -> str:
        """The identifier that replaces a Patient ID."""
        return str(self._uuid("patient", old))

    def number(self, purpose: str, text: str, below: int) -> int:
        """A number from 0 to `below - 1`, the same for the same purpose and text."""
        return int.from_bytes(self._digest(purpose, text)) % below

    def _uuid(self, purpose: str, text: str) -> uuid.UUID:
        digest = bytearray(self._digest(purpose, text)[:16])
        digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562 §5.8: version 8, made in a way of our own
        digest[8] = digest[8] & 0x3F | 0x80
        return uuid.UUID(bytes=bytes(digest))

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self.key, f"{purpose}\0{text}".encode(), "sha256")

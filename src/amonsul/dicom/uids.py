"""Unique identifiers (PS3.6 Annex A): SOP classes, transfer syntaxes, and new ones of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"


class TransferSyntax(NamedTuple):
    """How a data set is written (PS3.5 §10)."""

    uid: str
    name: str
    keyword: str
    is_implicit: bool
    is_big_endian: bool
    is_deflated: bool
    is_encapsulated: bool
    """Pixel data is in fragments."""
    is_retired: bool


def transfer_syntaxes() -> Mapping[str, TransferSyntax]:
    """All known ones by UID."""
    raise NotImplementedError


def transfer_syntax(uid: str) -> TransferSyntax:
    """One by UID; an unknown one is taken for an encapsulated explicit little endian one (PS3.5 §A.4)."""
    raise NotImplementedError


def storage_sop_classes() -> Mapping[str, str]:
    """Keyword by UID of every SOP class that an instance can be stored under (PS3.4 Annex B, Annex I), retired too."""
    raise NotImplementedError


def name_of(uid: str) -> str | None:
    """Name of any UID of the Standard, None if it is not one."""
    raise NotImplementedError


def is_valid(uid: str) -> bool:
    """Whether the text is a UID (PS3.5 §9.1)."""
    raise NotImplementedError


def new_uid() -> str:
    """A fresh UID made from a UUID (PS3.5 §B.2)."""
    raise NotImplementedError

"""Unique identifiers (PS3.6 Annex A): SOP classes, transfer syntaxes, and new ones of our own."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

_PAPYRUS_3_IMPLICIT = "1.2.840.10008.1.20"
_JPIP_DEFLATED = ("1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
_NATIVE = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    _PAPYRUS_3_IMPLICIT,
)


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


class _Uid(NamedTuple):
    kind: str
    keyword: str
    name: str
    is_retired: bool


@cache
def _table() -> dict[str, _Uid]:
    found = {}
    for line in files("amonsul.dicom").joinpath("tables", "uids.tsv").read_text("utf-8").splitlines():
        uid, kind, keyword, name, flag = line.split("\t")
        found[uid] = _Uid(kind, keyword, name, bool(flag))
    return found


@cache
def transfer_syntaxes() -> Mapping[str, TransferSyntax]:
    """All known ones by UID."""
    found = {}
    for uid, (kind, keyword, name, is_retired) in _table().items():
        if kind == "Transfer Syntax":
            found[uid] = TransferSyntax(
                uid,
                name,
                keyword,
                is_implicit=uid in (IMPLICIT_VR_LITTLE_ENDIAN, _PAPYRUS_3_IMPLICIT),
                is_big_endian=uid == EXPLICIT_VR_BIG_ENDIAN,
                is_deflated=uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN or uid in _JPIP_DEFLATED,
                is_encapsulated=uid not in _NATIVE,
                is_retired=is_retired,
            )
    return MappingProxyType(found)


def transfer_syntax(uid: str) -> TransferSyntax:
    """One by UID; an unknown one is taken for an encapsulated explicit little endian one (PS3.5 §A.4)."""
    return transfer_syntaxes().get(uid) or TransferSyntax(uid, "Unknown", "", False, False, False, True, False)


_NO_COMPOSITE_INSTANCE = re.compile(r".*(Find|Move|Get|Creation|Query|Commitment.*|DirectoryStorage)")


@cache
def storage_sop_classes() -> Mapping[str, str]:
    """Keyword by UID of every SOP class that an instance can be stored under (PS3.4 Annex B, GG), retired ones too."""
    return MappingProxyType(
        {
            uid: entry.keyword
            for uid, entry in _table().items()
            if entry.kind == "SOP Class"
            and ("Storage" in entry.keyword or uid.startswith("1.2.840.10008.5.1.4.1.1."))
            and not _NO_COMPOSITE_INSTANCE.fullmatch(entry.keyword)
        }
    )


def name_of(uid: str) -> str | None:
    """Name of any UID of the Standard, None if it is not one."""
    found = _table().get(uid)
    return found.name if found is not None else None


_VALID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")


def is_valid(uid: str) -> bool:
    """Whether the text is a UID (PS3.5 §9.1)."""
    return len(uid) <= 64 and _VALID.fullmatch(uid) is not None


def new_uid() -> str:
    """A fresh UID made from a UUID (PS3.5 §B.2)."""
    return f"2.25.{uuid.uuid4().int}"

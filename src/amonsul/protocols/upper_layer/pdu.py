"""The seven protocol data units (PS3.8 §9.3) as values, and their bytes.

`encode` of a PDU gives the whole of it; `decode` takes the type and the body, after `Connection` has found the end of
the body and refused lengths that cannot be. Decoding is strict about lengths and structure, and silent about
fields that shall not be tested.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from amonsul.protocols.upper_layer.errors import AbortReason, LocalProtocolError, PduError
from amonsul.protocols.upper_layer.items import (
    APPLICATION_CONTEXT_NAME,
    AnsweredContext,
    ItemType,
    ProposedContext,
    UserInformation,
    read_answered_context,
    read_proposed_context,
    read_uid,
    read_user_information,
    split_items,
    write_answered_context,
    write_item,
    write_proposed_context,
    write_user_information,
)

MAX_CONTEXTS = 128
"""Odd identifiers from 1 to 255 (PS3.8 §9.3.2.2)."""

PDU_HEADER = Struct(">BxI")
"""Type and length of what follows."""

PDV_HEADER = Struct(">IBB")
"""Length of what follows it, presentation context ID, message control header (PS3.8 §9.3.5.1, Annex E)."""

_ASSOCIATE = Struct(">H2x16s16s32x")


class PduType(enum.IntEnum):
    """First byte of a PDU."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


class RejectResult(enum.IntEnum):
    """PS3.8 Table 9-21."""

    PERMANENT = 1
    TRANSIENT = 2


class RejectSource(enum.IntEnum):
    """PS3.8 Table 9-21."""

    SERVICE_USER = 1
    SERVICE_PROVIDER_ACSE = 2
    SERVICE_PROVIDER_PRESENTATION = 3


class UserRejectReason(enum.IntEnum):
    """Reasons where the source is the service user."""

    NO_REASON = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AE_TITLE_NOT_RECOGNIZED = 3
    CALLED_AE_TITLE_NOT_RECOGNIZED = 7


class AcseRejectReason(enum.IntEnum):
    """Reasons where the source is the service provider, ACSE related."""

    NO_REASON = 1
    PROTOCOL_VERSION_NOT_SUPPORTED = 2


class PresentationRejectReason(enum.IntEnum):
    """Reasons where the source is the service provider, presentation related."""

    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2


class AbortSource(enum.IntEnum):
    """PS3.8 Table 9-26."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


@dataclass(frozen=True, slots=True)
class AAssociateRq:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[ProposedContext, ...]
    user_information: UserInformation
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1

    def encode(self) -> bytes:
        """The whole PDU."""
        contexts = b"".join(map(write_proposed_context, self.presentation_contexts))
        return _encode_associate(PduType.A_ASSOCIATE_RQ, self, contexts)

    @classmethod
    def decode(cls, body: memoryview) -> AAssociateRq:
        """Read the body. Raises PduError."""
        version, called, calling = _fixed_fields(body)
        if not (called.isprintable() and calling.isprintable()):
            raise PduError("an AE title with control characters")
        application_context_name, user_information = "", None
        contexts: dict[int, ProposedContext] = {}
        for item_type, value in split_items(body[_ASSOCIATE.size :], "A-ASSOCIATE-RQ"):
            if item_type == ItemType.PRESENTATION_CONTEXT_RQ:
                context = read_proposed_context(value)
                if context.context_id in contexts:
                    raise PduError(f"presentation context ID {context.context_id} is there twice")
                contexts[context.context_id] = context
            elif item_type == ItemType.APPLICATION_CONTEXT:
                application_context_name = read_uid(value, "the application context name")
            elif item_type == ItemType.USER_INFORMATION:
                user_information = read_user_information(value)
        if not application_context_name or not contexts or user_information is None:
            raise PduError("A-ASSOCIATE-RQ lacks an item that it must have")
        return cls(called, calling, tuple(contexts.values()), user_information, application_context_name, version)


@dataclass(frozen=True, slots=True)
class AAssociateAc:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3); the AE titles repeat those of the request and are not to be tested."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[AnsweredContext, ...]
    user_information: UserInformation
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1

    def encode(self) -> bytes:
        """The whole PDU."""
        contexts = b"".join(map(write_answered_context, self.presentation_contexts))
        return _encode_associate(PduType.A_ASSOCIATE_AC, self, contexts)

    @classmethod
    def decode(cls, body: memoryview) -> AAssociateAc:
        """Read the body. Raises PduError."""
        version, called, calling = _fixed_fields(body)
        application_context_name, user_information = "", None
        contexts: dict[int, AnsweredContext] = {}
        for item_type, value in split_items(body[_ASSOCIATE.size :], "A-ASSOCIATE-AC"):
            if item_type == ItemType.PRESENTATION_CONTEXT_AC:
                context = read_answered_context(value)
                contexts[context.context_id] = context
            elif item_type == ItemType.APPLICATION_CONTEXT:
                application_context_name = read_uid(value, "the application context name")
            elif item_type == ItemType.USER_INFORMATION:
                user_information = read_user_information(value)
        if not application_context_name or user_information is None:
            raise PduError("A-ASSOCIATE-AC lacks an item that it must have")
        return cls(called, calling, tuple(contexts.values()), user_information, application_context_name, version)


@dataclass(frozen=True, slots=True)
class AAssociateRj:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    result: int
    source: int
    reason: int

    def encode(self) -> bytes:
        """The whole PDU."""
        return PDU_HEADER.pack(PduType.A_ASSOCIATE_RJ, 4) + bytes((0, self.result, self.source, self.reason))

    @classmethod
    def decode(cls, body: memoryview) -> AAssociateRj:
        """Read the body. Raises PduError."""
        four = _four_bytes(body, "A-ASSOCIATE-RJ")
        return cls(four[1], four[2], four[3])


class Pdv(NamedTuple):
    """A presentation data value: a fragment of a command or of a data set (PS3.8 §9.3.5.1, Annex E)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview | bytes


@dataclass(frozen=True, slots=True)
class PDataTf:
    """P-DATA-TF (PS3.8 §9.3.5)."""

    pdvs: tuple[Pdv, ...]

    def encode(self) -> bytes:
        """The whole PDU."""
        return encode_p_data(self.pdvs)

    @classmethod
    def decode(cls, body: memoryview) -> PDataTf:
        """Read the body; the data of each value is a part of `body`. Raises PduError."""
        pdvs: list[Pdv] = []
        at, end = 0, len(body)
        while at < end:
            length, context_id, control = read_pdv_header(body[at : at + 6], end - at)
            at += 6
            pdvs.append(Pdv(context_id, bool(control & 1), bool(control & 2), body[at : at + length]))
            at += length
        if not pdvs:
            raise PduError("P-DATA-TF without a presentation data value")
        return cls(tuple(pdvs))


@dataclass(frozen=True, slots=True)
class AReleaseRq:
    """A-RELEASE-RQ (PS3.8 §9.3.6)."""

    def encode(self) -> bytes:
        """The whole PDU."""
        return PDU_HEADER.pack(PduType.A_RELEASE_RQ, 4) + bytes(4)

    @classmethod
    def decode(cls, body: memoryview) -> AReleaseRq:
        """Read the body. Raises PduError."""
        _four_bytes(body, "A-RELEASE-RQ")
        return cls()


@dataclass(frozen=True, slots=True)
class AReleaseRp:
    """A-RELEASE-RP (PS3.8 §9.3.7)."""

    def encode(self) -> bytes:
        """The whole PDU."""
        return PDU_HEADER.pack(PduType.A_RELEASE_RP, 4) + bytes(4)

    @classmethod
    def decode(cls, body: memoryview) -> AReleaseRp:
        """Read the body. Raises PduError."""
        _four_bytes(body, "A-RELEASE-RP")
        return cls()


@dataclass(frozen=True, slots=True)
class AAbort:
    """A-ABORT (PS3.8 §9.3.8); the reason is not significant where the source is the service user."""

    source: int
    reason: int = 0

    def encode(self) -> bytes:
        """The whole PDU."""
        return PDU_HEADER.pack(PduType.A_ABORT, 4) + bytes((0, 0, self.source, self.reason))

    @classmethod
    def decode(cls, body: memoryview) -> AAbort:
        """Read the body. Raises PduError."""
        four = _four_bytes(body, "A-ABORT")
        return cls(four[2], four[3])


Pdu = AAssociateRq | AAssociateAc | AAssociateRj | PDataTf | AReleaseRq | AReleaseRp | AAbort

_CLASSES: dict[int, type[Pdu]] = {
    PduType.A_ASSOCIATE_RQ: AAssociateRq,
    PduType.A_ASSOCIATE_AC: AAssociateAc,
    PduType.A_ASSOCIATE_RJ: AAssociateRj,
    PduType.P_DATA_TF: PDataTf,
    PduType.A_RELEASE_RQ: AReleaseRq,
    PduType.A_RELEASE_RP: AReleaseRp,
    PduType.A_ABORT: AAbort,
}


def decode(pdu_type: int, body: memoryview) -> Pdu:
    """Read the body of a PDU.

    Raises:
        PduError: the type is unknown, or the body is not what the type asks for.
    """
    try:
        cls = _CLASSES[pdu_type]
    except KeyError:
        raise PduError(f"PDU type {pdu_type:02X}H", AbortReason.UNRECOGNIZED_PDU) from None
    return cls.decode(body)


def encode_p_data(pdvs: Iterable[Pdv]) -> bytes:
    """Encode a P-DATA-TF PDU."""
    parts = [b""]
    for pdv in pdvs:
        parts.append(PDV_HEADER.pack(len(pdv.data) + 2, pdv.context_id, pdv.is_command | pdv.is_last << 1))
        parts.append(bytes(pdv.data))
    parts[0] = PDU_HEADER.pack(PduType.P_DATA_TF, sum(map(len, parts)))
    return b"".join(parts)


def read_pdv_header(header: memoryview | bytes, left: int) -> tuple[int, int, int]:
    """Read the six bytes in front of a fragment: its length, presentation context ID and message control header.

    Args:
        header: those six bytes, or fewer where the PDU ends.
        left: bytes of the PDU from the header on.

    Raises:
        PduError: the value does not fit into the PDU, or is an empty fragment that is not the last one.
    """
    if left < PDV_HEADER.size:
        raise PduError(f"{left} bytes left over in P-DATA-TF")
    length, context_id, control = PDV_HEADER.unpack(header)
    if not 2 <= length <= left - 4:
        raise PduError(f"a presentation data value of {length} bytes, {left - 4} are left")
    if length == 2 and not control & 2:
        raise PduError("an empty fragment that is not the last one")
    return length - 2, context_id, control


def _encode_associate(pdu_type: PduType, pdu: AAssociateRq | AAssociateAc, contexts: bytes) -> bytes:
    body = (
        _ASSOCIATE.pack(
            pdu.protocol_version, _write_ae_title(pdu.called_ae_title), _write_ae_title(pdu.calling_ae_title)
        )
        + write_item(ItemType.APPLICATION_CONTEXT, pdu.application_context_name.encode("ascii"))
        + contexts
        + write_user_information(pdu.user_information)
    )
    return PDU_HEADER.pack(pdu_type, len(body)) + body


def _fixed_fields(body: memoryview) -> tuple[int, str, str]:
    if len(body) < _ASSOCIATE.size:
        raise PduError(f"an A-ASSOCIATE body of {len(body)} bytes")
    version, called, calling = _ASSOCIATE.unpack_from(body)
    return version, _read_ae_title(called), _read_ae_title(calling)


def _read_ae_title(field: bytes) -> str:
    """Leading and trailing spaces are not significant; 8-bit characters beyond ASCII are let through as they are."""
    return field.decode("latin-1").strip(" \0")


def _write_ae_title(ae_title: str) -> bytes:
    try:
        field = ae_title.encode("latin-1")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{ae_title!r} is no AE title (PS3.5 §6.2)") from None
    if len(field) > 16:
        raise LocalProtocolError(f"{ae_title!r} is longer than an AE title (PS3.5 §6.2)")
    return field.ljust(16)


def _four_bytes(body: memoryview, what: str) -> memoryview:
    if len(body) != 4:
        raise PduError(f"{what} has a body of {len(body)} bytes, must be 4 (PS3.8 §9.3)")
    return body

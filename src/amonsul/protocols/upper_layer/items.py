"""The variable items of A-ASSOCIATE PDUs (PS3.8 §9.3.2, §9.3.3, Annex D; PS3.7 Annex D.3.3).

Every reader works on the bytes of the PDU alone: each length is checked against what is left of the item around it,
and the number of items is bounded, so that a hostile request costs no more than its own size. Fields that the
Standard says shall not be tested are not tested; items of unknown type are passed over, those of the user
information are kept.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from amonsul.protocols.upper_layer.errors import LimitExceeded, LocalProtocolError, PduError

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
"""The only one there is (PS3.7 §A.2.1)."""

MAX_UID_LENGTH = 64
MAX_TRANSFER_SYNTAXES = 64
"""Per presentation context; ours, the Standard sets none."""
MAX_ITEMS = 1024
"""In one PDU at one level of nesting; ours, the Standard sets none."""

DEFAULT_MAX_PDU_LENGTH = 16384
"""Assumed of a peer that does not say (PS3.8 §D.1 makes it say)."""

_HEADER = Struct(">BxH")
_U16 = Struct(">H")
_U32 = Struct(">I")


class ItemType(enum.IntEnum):
    """First byte of an item."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT_RQ = 0x20
    PRESENTATION_CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY_RQ = 0x58
    USER_IDENTITY_AC = 0x59


class ContextResult(enum.IntEnum):
    """What became of a proposed presentation context (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context in an A-ASSOCIATE-RQ (PS3.8 §9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """A presentation context in an A-ASSOCIATE-AC (PS3.8 §9.3.3.2); the transfer syntax counts only if accepted."""

    context_id: int
    result: ContextResult
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class AsynchronousOperationsWindow:
    """How many operations may be outstanding (PS3.7 §D.3.3.3); 0 is any number, the default is 1 and 1."""

    max_operations_invoked: int
    max_operations_performed: int


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Which roles the requestor proposes to take, or the acceptor lets it take (PS3.7 §D.3.3.4)."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """Information that the service class of a SOP class defines (PS3.7 §D.3.3.5)."""

    sop_class_uid: str
    application_information: bytes


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """What kind of SOP class a possibly unknown one is (PS3.7 §D.3.3.6)."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who the requestor says it is (PS3.7 §D.3.3.7). The fields may be secrets: they are left out of `repr`."""

    identity_type: int
    positive_response_requested: bool
    primary_field: bytes = field(repr=False)
    secondary_field: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UnknownItem:
    """A user information item that this implementation does not know."""

    item_type: int
    value: bytes


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The user information item of either A-ASSOCIATE PDU (PS3.8 §9.3.2.3).

    Attributes:
        max_pdu_length: longest P-DATA-TF that the sender takes, without its 6 bytes of header; 0 is any.
        user_identity: in an A-ASSOCIATE-RQ only.
        user_identity_response: in an A-ASSOCIATE-AC only: the server's response, possibly empty.
    """

    max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended_negotiations: tuple[ExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = field(default=None, repr=False)
    unknown: tuple[UnknownItem, ...] = ()


# Reading


def split_items(data: memoryview, where: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and value of each item in `data`.

    Raises:
        PduError: an item is longer than what is left, or half a header is.
        LimitExceeded: there are more than `MAX_ITEMS`.
    """
    at, end, count = 0, len(data), 0
    while at < end:
        if end - at < 4:
            raise PduError(f"{end - at} bytes left over in {where}")
        item_type, length = _HEADER.unpack_from(data, at)
        at += 4
        if length > end - at:
            raise PduError(f"item {item_type:02X}H of {where} has {length} bytes, {end - at} are left")
        count += 1
        if count > MAX_ITEMS:
            raise LimitExceeded(f"more than {MAX_ITEMS} items in {where}")
        yield item_type, data[at : at + length]
        at += length


def read_uid(value: memoryview, what: str) -> str:
    """Read a UID field (PS3.8 Annex F): at most 64 bytes, trailing padding is dropped.

    Raises:
        PduError: it is longer, or holds something that is not ASCII.
    """
    if len(value) > MAX_UID_LENGTH:
        raise PduError(f"{what} has {len(value)} bytes, a UID has at most {MAX_UID_LENGTH}")
    try:
        uid = str(value, "ascii").rstrip("\0 ")
    except UnicodeDecodeError:
        raise PduError(f"{what} is not ASCII") from None
    if not uid.isprintable():
        raise PduError(f"{what} holds control characters")
    return uid


def read_proposed_context(data: memoryview) -> ProposedContext:
    """Read a presentation context item of an A-ASSOCIATE-RQ."""
    context_id = _context_id(data)
    abstract_syntaxes: list[str] = []
    transfer_syntaxes: list[str] = []
    for item_type, value in split_items(data[4:], "a presentation context"):
        if item_type == ItemType.TRANSFER_SYNTAX:
            transfer_syntaxes.append(read_uid(value, "a transfer syntax"))
            if len(transfer_syntaxes) > MAX_TRANSFER_SYNTAXES:
                raise LimitExceeded(f"more than {MAX_TRANSFER_SYNTAXES} transfer syntaxes in a presentation context")
        elif item_type == ItemType.ABSTRACT_SYNTAX:
            abstract_syntaxes.append(read_uid(value, "an abstract syntax"))
    if len(abstract_syntaxes) != 1 or not transfer_syntaxes:
        raise PduError("a presentation context has one abstract syntax and one or more transfer syntaxes")
    return ProposedContext(context_id, abstract_syntaxes[0], tuple(transfer_syntaxes))


def read_answered_context(data: memoryview) -> AnsweredContext:
    """Read a presentation context item of an A-ASSOCIATE-AC."""
    context_id = _context_id(data)
    try:
        result = ContextResult(data[2])
    except ValueError:
        raise PduError(f"result {data[2]} of a presentation context") from None
    transfer_syntax = ""
    if result is ContextResult.ACCEPTANCE:
        for item_type, value in split_items(data[4:], "a presentation context"):
            if item_type == ItemType.TRANSFER_SYNTAX:
                transfer_syntax = read_uid(value, "a transfer syntax")
        if not transfer_syntax:
            raise PduError("an accepted presentation context has no transfer syntax")
    return AnsweredContext(context_id, result, transfer_syntax)


def _context_id(data: memoryview) -> int:
    if len(data) < 4:
        raise PduError(f"a presentation context item has {len(data)} bytes")
    if not data[0] & 1:
        raise PduError(f"presentation context ID {data[0]} is not odd")
    return data[0]


def read_user_information(data: memoryview) -> UserInformation:
    """Read a user information item."""
    max_pdu_length = DEFAULT_MAX_PDU_LENGTH
    implementation_class_uid = implementation_version_name = ""
    window: AsynchronousOperationsWindow | None = None
    roles: list[RoleSelection] = []
    extended: list[ExtendedNegotiation] = []
    common: list[CommonExtendedNegotiation] = []
    identity: UserIdentity | None = None
    identity_response: bytes | None = None
    unknown: list[UnknownItem] = []
    for item_type, value in split_items(data, "the user information"):
        match item_type:
            case ItemType.MAXIMUM_LENGTH:
                (max_pdu_length,) = _U32.unpack(_exactly(value, 4, "the maximum length"))
            case ItemType.IMPLEMENTATION_CLASS_UID:
                implementation_class_uid = read_uid(value, "the implementation class UID")
            case ItemType.IMPLEMENTATION_VERSION_NAME:
                implementation_version_name = _text(value)
            case ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW:
                pair = _exactly(value, 4, "the asynchronous operations window")
                window = AsynchronousOperationsWindow(*_U16.unpack_from(pair), *_U16.unpack_from(pair, 2))
            case ItemType.ROLE_SELECTION:
                uid, rest = _counted(value, "a role selection")
                flags = _exactly(rest, 2, "the roles")
                roles.append(RoleSelection(read_uid(uid, "the SOP class of a role"), flags[0] == 1, flags[1] == 1))
            case ItemType.EXTENDED_NEGOTIATION:
                uid, rest = _counted(value, "an extended negotiation")
                extended.append(ExtendedNegotiation(read_uid(uid, "an extended SOP class"), bytes(rest)))
            case ItemType.COMMON_EXTENDED_NEGOTIATION:
                common.append(_read_common_extended_negotiation(value))
            case ItemType.USER_IDENTITY_RQ:
                if len(value) < 2:
                    raise PduError(f"a user identity of {len(value)} bytes")
                primary, rest = _counted(value[2:], "a user identity")
                secondary, _ = _counted(rest, "a user identity")
                identity = UserIdentity(value[0], value[1] == 1, bytes(primary), bytes(secondary))
            case ItemType.USER_IDENTITY_AC:
                identity_response = bytes(_counted(value, "a user identity response")[0])
            case _:
                unknown.append(UnknownItem(item_type, bytes(value)))
    return UserInformation(
        max_pdu_length,
        implementation_class_uid,
        implementation_version_name,
        window,
        tuple(roles),
        tuple(extended),
        tuple(common),
        identity,
        identity_response,
        tuple(unknown),
    )


def _read_common_extended_negotiation(value: memoryview) -> CommonExtendedNegotiation:
    sop_class, rest = _counted(value, "a common extended negotiation")
    service_class, rest = _counted(rest, "a common extended negotiation")
    listed, _ = _counted(rest, "a common extended negotiation")  # what follows is reserved
    related: list[str] = []
    while listed:
        uid, listed = _counted(listed, "the related general SOP classes")
        related.append(read_uid(uid, "a related general SOP class"))
        if len(related) > MAX_ITEMS:
            raise LimitExceeded(f"more than {MAX_ITEMS} related general SOP classes")
    return CommonExtendedNegotiation(
        read_uid(sop_class, "a common extended SOP class"), read_uid(service_class, "a service class"), tuple(related)
    )


def _counted(data: memoryview, where: str) -> tuple[memoryview, memoryview]:
    """Split a field that follows its 16-bit length from what comes after it."""
    if len(data) < 2:
        raise PduError(f"{where} ends within a length")
    (length,) = _U16.unpack_from(data)
    if length > len(data) - 2:
        raise PduError(f"a field of {where} has {length} bytes, {len(data) - 2} are left")
    return data[2 : 2 + length], data[2 + length :]


def _exactly(value: memoryview, length: int, what: str) -> memoryview:
    if len(value) != length:
        raise PduError(f"{what} has {len(value)} bytes, must be {length}")
    return value


def _text(value: memoryview) -> str:
    """A short text that is only shown: whatever is not printable ASCII becomes a question mark."""
    text = str(value[:64], "ascii", "replace").strip("\0 ")
    return "".join(character if " " <= character <= "~" else "?" for character in text)


# Writing


def write_item(item_type: int, value: bytes) -> bytes:
    """Encode one item. Raises LocalProtocolError if the value is longer than 65,535 bytes."""
    if len(value) > 0xFFFF:
        raise LocalProtocolError(f"an item of {len(value)} bytes")
    return _HEADER.pack(item_type, len(value)) + value


def write_proposed_context(context: ProposedContext) -> bytes:
    """Encode a presentation context item of an A-ASSOCIATE-RQ."""
    value = bytes((context.context_id, 0, 0, 0)) + write_item(
        ItemType.ABSTRACT_SYNTAX, context.abstract_syntax.encode("ascii")
    )
    for transfer_syntax in context.transfer_syntaxes:
        value += write_item(ItemType.TRANSFER_SYNTAX, transfer_syntax.encode("ascii"))
    return write_item(ItemType.PRESENTATION_CONTEXT_RQ, value)


def write_answered_context(context: AnsweredContext) -> bytes:
    """Encode a presentation context item of an A-ASSOCIATE-AC; a refused one carries an empty transfer syntax too."""
    value = bytes((context.context_id, 0, context.result, 0)) + write_item(
        ItemType.TRANSFER_SYNTAX, context.transfer_syntax.encode("ascii")
    )
    return write_item(ItemType.PRESENTATION_CONTEXT_AC, value)


def write_user_information(user: UserInformation) -> bytes:
    """Encode a user information item, sub-items in ascending order of type."""
    value = write_item(ItemType.MAXIMUM_LENGTH, _U32.pack(user.max_pdu_length))
    if user.implementation_class_uid:
        value += write_item(ItemType.IMPLEMENTATION_CLASS_UID, user.implementation_class_uid.encode("ascii"))
    if (window := user.asynchronous_operations_window) is not None:
        pair = _U16.pack(window.max_operations_invoked) + _U16.pack(window.max_operations_performed)
        value += write_item(ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW, pair)
    for role in user.roles:
        roles = _write_counted(role.sop_class_uid.encode("ascii")) + bytes((role.scu, role.scp))
        value += write_item(ItemType.ROLE_SELECTION, roles)
    if user.implementation_version_name:
        value += write_item(ItemType.IMPLEMENTATION_VERSION_NAME, user.implementation_version_name.encode("ascii"))
    for extended in user.extended_negotiations:
        value += write_item(
            ItemType.EXTENDED_NEGOTIATION,
            _write_counted(extended.sop_class_uid.encode("ascii")) + extended.application_information,
        )
    for common in user.common_extended_negotiations:
        related = b"".join(_write_counted(uid.encode("ascii")) for uid in common.related_general_sop_class_uids)
        value += write_item(
            ItemType.COMMON_EXTENDED_NEGOTIATION,
            _write_counted(common.sop_class_uid.encode("ascii"))
            + _write_counted(common.service_class_uid.encode("ascii"))
            + _write_counted(related),
        )
    if (identity := user.user_identity) is not None:
        value += write_item(
            ItemType.USER_IDENTITY_RQ,
            bytes((identity.identity_type, identity.positive_response_requested))
            + _write_counted(identity.primary_field)
            + _write_counted(identity.secondary_field),
        )
    if user.user_identity_response is not None:
        value += write_item(ItemType.USER_IDENTITY_AC, _write_counted(user.user_identity_response))
    for unknown in user.unknown:
        value += write_item(unknown.item_type, unknown.value)
    return write_item(ItemType.USER_INFORMATION, value)


def _write_counted(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise LocalProtocolError(f"a field of {len(value)} bytes")
    return _U16.pack(len(value)) + value

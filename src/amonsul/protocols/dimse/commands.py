"""The command sets of PS3.7 §9.3, §10.3 and Annex E as values, and their bytes.

A command is a frozen value whose attributes bear the keywords of its elements; which tag and VR each has is in one
table. An attribute without default is mandatory. Reading separates two kinds of faults: bytes that are no command
set (`MalformedCommand`: the association cannot go on), and a request that is one but lacks something or asks for an
operation that does not exist (`InvalidRq`, a value like the others, with the status to answer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import ClassVar, Final, NamedTuple

from amonsul.protocols.dimse.statuses import Status

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type of a message without data set (PS3.7 §E.1); any other value announces one."""

_A_DATA_SET: Final = 0x0001
_RESPONSE: Final = 0x8000
_ELEMENT = Struct("<HHI")
_US = Struct("<H")
_US_ELEMENT = Struct("<HHIH")


class MalformedCommand(Exception):
    """Bytes that are not a command set, or one that cannot even be refused."""


Value = str | int | tuple[int, ...]


class _Field(NamedTuple):
    element: int
    vr: str


_FIELDS: Final[Mapping[str, _Field]] = {
    "affected_sop_class_uid": _Field(0x0002, "UI"),
    "requested_sop_class_uid": _Field(0x0003, "UI"),
    "message_id": _Field(0x0110, "US"),
    "message_id_being_responded_to": _Field(0x0120, "US"),
    "move_destination": _Field(0x0600, "AE"),
    "priority": _Field(0x0700, "US"),
    "status": _Field(0x0900, "US"),
    "offending_element": _Field(0x0901, "AT"),
    "error_comment": _Field(0x0902, "LO"),
    "error_id": _Field(0x0903, "US"),
    "affected_sop_instance_uid": _Field(0x1000, "UI"),
    "requested_sop_instance_uid": _Field(0x1001, "UI"),
    "event_type_id": _Field(0x1002, "US"),
    "attribute_identifier_list": _Field(0x1005, "AT"),
    "action_type_id": _Field(0x1008, "US"),
    "number_of_remaining_suboperations": _Field(0x1020, "US"),
    "number_of_completed_suboperations": _Field(0x1021, "US"),
    "number_of_failed_suboperations": _Field(0x1022, "US"),
    "number_of_warning_suboperations": _Field(0x1023, "US"),
    "move_originator_application_entity_title": _Field(0x1030, "AE"),
    "move_originator_message_id": _Field(0x1031, "US"),
}
"""PS3.7 Table E.1-1, without those that every command set has: group length, command field, data set type."""

_GROUP_LENGTH = 0x0000
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_COMMAND_DATA_SET_TYPE = 0x0800


@dataclass(frozen=True, slots=True)
class Request:
    """Base of the requests that are answered."""

    command_field: ClassVar[int]
    message_id: int
    has_data_set: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Response:
    """Base of the responses."""

    command_field: ClassVar[int]
    message_id_being_responded_to: int
    status: int
    has_data_set: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class CStoreRq(Request):
    """PS3.7 §9.3.1.1."""

    command_field = 0x0001
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    priority: int = 0
    move_originator_application_entity_title: str | None = None
    move_originator_message_id: int | None = None
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class CStoreRsp(Response):
    """PS3.7 §9.3.1.2."""

    command_field = 0x8001
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    offending_element: tuple[int, ...] | None = None
    error_comment: str | None = None


@dataclass(frozen=True, slots=True)
class CFindRq(Request):
    """PS3.7 §9.3.2.1."""

    command_field = 0x0020
    affected_sop_class_uid: str
    priority: int = 0
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class CFindRsp(Response):
    """PS3.7 §9.3.2.2."""

    command_field = 0x8020
    affected_sop_class_uid: str | None = None
    offending_element: tuple[int, ...] | None = None
    error_comment: str | None = None


@dataclass(frozen=True, slots=True)
class CGetRq(Request):
    """PS3.7 §9.3.3.1."""

    command_field = 0x0010
    affected_sop_class_uid: str
    priority: int = 0
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class CGetRsp(Response):
    """PS3.7 §9.3.3.2."""

    command_field = 0x8010
    affected_sop_class_uid: str | None = None
    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None
    offending_element: tuple[int, ...] | None = None
    error_comment: str | None = None


@dataclass(frozen=True, slots=True)
class CMoveRq(Request):
    """PS3.7 §9.3.4.1."""

    command_field = 0x0021
    affected_sop_class_uid: str
    move_destination: str
    priority: int = 0
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class CMoveRsp(Response):
    """PS3.7 §9.3.4.2."""

    command_field = 0x8021
    affected_sop_class_uid: str | None = None
    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None
    offending_element: tuple[int, ...] | None = None
    error_comment: str | None = None


@dataclass(frozen=True, slots=True)
class CEchoRq(Request):
    """PS3.7 §9.3.5.1."""

    command_field = 0x0030
    affected_sop_class_uid: str = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class CEchoRsp(Response):
    """PS3.7 §9.3.5.2."""

    command_field = 0x8030
    affected_sop_class_uid: str | None = "1.2.840.10008.1.1"
    error_comment: str | None = None


@dataclass(frozen=True, slots=True)
class CCancelRq:
    """C-CANCEL-FIND, C-CANCEL-GET or C-CANCEL-MOVE (PS3.7 §9.3.2.3): which one, the message it names tells."""

    command_field: ClassVar[int] = 0x0FFF
    message_id_being_responded_to: int
    has_data_set: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class NEventReportRq(Request):
    """PS3.7 §10.3.1.1."""

    command_field = 0x0100
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    event_type_id: int
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class NEventReportRsp(Response):
    """PS3.7 §10.3.1.2."""

    command_field = 0x8100
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    event_type_id: int | None = None
    error_comment: str | None = None
    error_id: int | None = None


@dataclass(frozen=True, slots=True)
class NGetRq(Request):
    """PS3.7 §10.3.2.1."""

    command_field = 0x0110
    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    attribute_identifier_list: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class NGetRsp(Response):
    """PS3.7 §10.3.2.2."""

    command_field = 0x8110
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    attribute_identifier_list: tuple[int, ...] | None = None
    error_comment: str | None = None
    error_id: int | None = None


@dataclass(frozen=True, slots=True)
class NSetRq(Request):
    """PS3.7 §10.3.3.1."""

    command_field = 0x0120
    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class NSetRsp(Response):
    """PS3.7 §10.3.3.2."""

    command_field = 0x8120
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    attribute_identifier_list: tuple[int, ...] | None = None
    error_comment: str | None = None
    error_id: int | None = None


@dataclass(frozen=True, slots=True)
class NActionRq(Request):
    """PS3.7 §10.3.4.1."""

    command_field = 0x0130
    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    action_type_id: int
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class NActionRsp(Response):
    """PS3.7 §10.3.4.2."""

    command_field = 0x8130
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    action_type_id: int | None = None
    error_comment: str | None = None
    error_id: int | None = None


@dataclass(frozen=True, slots=True)
class NCreateRq(Request):
    """PS3.7 §10.3.5.1."""

    command_field = 0x0140
    affected_sop_class_uid: str
    affected_sop_instance_uid: str | None = None
    has_data_set: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class NCreateRsp(Response):
    """PS3.7 §10.3.5.2."""

    command_field = 0x8140
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    attribute_identifier_list: tuple[int, ...] | None = None
    error_comment: str | None = None
    error_id: int | None = None


@dataclass(frozen=True, slots=True)
class NDeleteRq(Request):
    """PS3.7 §10.3.6.1."""

    command_field = 0x0150
    requested_sop_class_uid: str
    requested_sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class NDeleteRsp(Response):
    """PS3.7 §10.3.6.2."""

    command_field = 0x8150
    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    error_comment: str | None = None
    error_id: int | None = None


@dataclass(frozen=True, slots=True)
class InvalidRq:
    """A request that can be answered only with a failure; see `refuse`.

    Attributes:
        command_field: as received, possibly unknown.
        status: why, a general status.
        offending_element: tags of what is missing.
    """

    command_field: int
    message_id: int
    status: int
    offending_element: tuple[int, ...]
    has_data_set: bool


@dataclass(frozen=True, slots=True)
class FailureRsp:
    """The answer to a request of which no more is known than its command field."""

    command_field: int
    message_id_being_responded_to: int
    status: int
    offending_element: tuple[int, ...] | None = None
    error_comment: str | None = None
    has_data_set: bool = False


AnyResponse = Response | FailureRsp
Command = Request | Response | CCancelRq | InvalidRq

_CLASSES: Final[tuple[type[Request | Response | CCancelRq], ...]] = (
    CStoreRq, CStoreRsp, CFindRq, CFindRsp, CGetRq, CGetRsp, CMoveRq, CMoveRsp, CEchoRq, CEchoRsp, CCancelRq,
    NEventReportRq, NEventReportRsp, NGetRq, NGetRsp, NSetRq, NSetRsp, NActionRq, NActionRsp, NCreateRq, NCreateRsp,
    NDeleteRq, NDeleteRsp,
)  # fmt: skip


def refuse(
    request: Request | InvalidRq, status: int, offending_element: tuple[int, ...] = (), error_comment: str = ""
) -> FailureRsp:
    """The response that fails a request, whatever its kind."""
    return FailureRsp(
        request.command_field | _RESPONSE,
        request.message_id,
        status,
        offending_element or None,
        error_comment[:64] or None,  # LO, PS3.5 §6.2
    )


# Reading


def _read_uid(value: bytes) -> str:
    uid = value.decode("ascii").rstrip("\0 ")
    if len(uid) > 64 or not uid.isprintable():
        raise ValueError
    return uid


def _read_text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _read_ae_title(value: bytes) -> str:
    ae_title = _read_text(value)
    if len(ae_title) > 16 or not ae_title.isprintable():
        raise ValueError
    return ae_title


def _read_us(value: bytes) -> int:
    if len(value) != 2:
        raise ValueError
    return value[0] | value[1] << 8


def _read_tags(value: bytes) -> tuple[int, ...]:
    if len(value) % 4:
        raise ValueError
    return tuple(
        _US.unpack_from(value, at)[0] << 16 | _US.unpack_from(value, at + 2)[0] for at in range(0, len(value), 4)
    )


_READERS: Final[Mapping[str, Callable[[bytes], Value]]] = {
    "UI": _read_uid,
    "AE": _read_ae_title,
    "LO": _read_text,
    "US": _read_us,
    "AT": _read_tags,
}


class _Codec:
    """How one class of commands is read and written."""

    def __init__(self, cls: type[Request | Response | CCancelRq]) -> None:
        self.cls = cls
        self.fields: list[tuple[str, int, Callable[[bytes], Value]]] = []
        self.mandatory: list[tuple[str, int]] = []
        for attribute in dataclasses.fields(cls):
            if attribute.name not in _FIELDS:
                continue
            element, vr = _FIELDS[attribute.name]
            self.fields.append((attribute.name, element, _READERS[vr]))
            if attribute.default is dataclasses.MISSING:
                self.mandatory.append((attribute.name, element))


_CODECS: Final[Mapping[int, _Codec]] = {cls.command_field: _Codec(cls) for cls in _CLASSES}


def decode(data: bytes | bytearray | memoryview) -> Command:
    """Read a command set: Implicit VR Little Endian, group 0000 alone (PS3.7 §6.3.1).

    Elements that no command has are passed over, as are empty optional ones, and whatever follows group 0000 in a
    response: some archives put the Failed SOP Instance UID List of a C-GET there, which belongs into the Identifier.

    Raises:
        MalformedCommand: it cannot be read, or lacks what would be needed to refuse it.
    """
    elements, following = _split(data)
    try:
        command_field = _read_us(elements[_COMMAND_FIELD])
        has_data_set = _read_us(elements[_COMMAND_DATA_SET_TYPE]) != NO_DATA_SET
    except (KeyError, ValueError):
        raise MalformedCommand("no command field or no data set type") from None
    if following and not command_field & _RESPONSE:
        raise MalformedCommand(f"element {following} in a command set")
    codec = _CODECS.get(command_field)
    if codec is None:
        return _invalid(elements, command_field, Status.UNRECOGNIZED_OPERATION, (), has_data_set)
    values: dict[str, Value] = {}
    for name, element, read in codec.fields:
        value = elements.get(element)
        if value:
            try:
                values[name] = read(value)
            except ValueError:
                return _invalid(elements, command_field, Status.INVALID_ATTRIBUTE_VALUE, (element,), has_data_set)
    for name, element in codec.mandatory:
        if name not in values:
            return _invalid(elements, command_field, Status.MISSING_ATTRIBUTE, (element,), has_data_set)
    make: Callable[..., Request | Response | CCancelRq] = codec.cls  # the table ties values to attributes by name
    return make(**values, has_data_set=has_data_set)


def _split(data: bytes | bytearray | memoryview) -> tuple[dict[int, bytes], str]:
    """The elements of group 0000, and the tag of what follows them, if anything does."""
    elements: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < 8:
            raise MalformedCommand(f"{end - at} bytes left over")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += 8
        if group:
            return elements, f"({group:04x},{element:04x})"
        if length > end - at:
            raise MalformedCommand(f"element (0000,{element:04x}) has {length} bytes, {end - at} are left")
        elements[element] = bytes(data[at : at + length])
        at += length
    return elements, ""


def _invalid(
    elements: Mapping[int, bytes], command_field: int, status: Status, offending: tuple[int, ...], has_data_set: bool
) -> InvalidRq:
    if command_field & _RESPONSE or command_field == CCancelRq.command_field:
        raise MalformedCommand(f"command {command_field:04X}H is not valid: status would be {status:04X}H")
    try:
        message_id = _read_us(elements[_MESSAGE_ID])
    except (KeyError, ValueError):
        raise MalformedCommand("a request without message ID") from None
    return InvalidRq(command_field, message_id, status, offending, has_data_set)


# Writing


def _write_uid(value: str) -> bytes:
    data = value.encode("ascii")
    return data + b"\0" if len(data) & 1 else data


def _write_text(value: str) -> bytes:
    data = value.encode("latin-1", "replace")
    return data + b" " if len(data) & 1 else data


def _write_tags(value: tuple[int, ...]) -> bytes:
    return b"".join(_US.pack(tag >> 16) + _US.pack(tag & 0xFFFF) for tag in value)


def encode(command: Request | AnyResponse | CCancelRq) -> bytes:
    """Write a command set, elements in ascending order, the group length in front."""
    elements: list[tuple[int, bytes]] = [
        (_COMMAND_FIELD, _US_ELEMENT.pack(0, _COMMAND_FIELD, 2, command.command_field)),
        (
            _COMMAND_DATA_SET_TYPE,
            _US_ELEMENT.pack(0, _COMMAND_DATA_SET_TYPE, 2, _A_DATA_SET if command.has_data_set else NO_DATA_SET),
        ),
    ]
    for name in _NAMES[type(command)]:
        value: Value | None = getattr(command, name)
        if value is None:
            continue
        element, vr = _FIELDS[name]
        if isinstance(value, int):
            elements.append((element, _US_ELEMENT.pack(0, element, 2, value)))
            continue
        if isinstance(value, tuple):
            data = _write_tags(value)
        else:
            data = _write_uid(value) if vr == "UI" else _write_text(value)
        elements.append((element, _ELEMENT.pack(0, element, len(data)) + data))
    elements.sort()
    body = b"".join([data for _, data in elements])
    return _ELEMENT.pack(0, _GROUP_LENGTH, 4) + len(body).to_bytes(4, "little") + body


_NAMES: Final = {
    cls: tuple(attribute.name for attribute in dataclasses.fields(cls) if attribute.name in _FIELDS)
    for cls in (*_CLASSES, FailureRsp)
}

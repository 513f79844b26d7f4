"""Command sets against pydicom's reading of them, and what becomes of wrong ones."""

from __future__ import annotations

import dataclasses
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.dimse_messages import C_FIND_RQ, C_MOVE_RSP, C_STORE_RQ, N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import C_FIND, C_MOVE, C_STORE, N_EVENT_REPORT
from pynetdicom.dsutils import encode as encode_with_pydicom

from amonsul.protocols.dimse.commands import (
    CCancelRq,
    CEchoRq,
    CEchoRsp,
    CFindRq,
    CFindRsp,
    CGetRq,
    CGetRsp,
    CMoveRq,
    CMoveRsp,
    CStoreRq,
    CStoreRsp,
    FailureRsp,
    InvalidRq,
    MalformedCommand,
    NActionRq,
    NActionRsp,
    NCreateRq,
    NCreateRsp,
    NDeleteRq,
    NDeleteRsp,
    NEventReportRq,
    NEventReportRsp,
    NGetRq,
    NGetRsp,
    NSetRq,
    NSetRsp,
    Request,
    Response,
    decode,
    encode,
    refuse,
)
from amonsul.protocols.dimse.statuses import Category, Status, category

CT, FIND = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.1"

ONE_OF_EACH: list[Request | Response | CCancelRq] = [
    CStoreRq(1, CT, "1.2.3", 2, "MOVER", 77),
    CStoreRsp(1, 0xA700, CT, "1.2.3", (0x00100010, 0x7FE00010), "no room"),
    CFindRq(65535, FIND),
    CFindRsp(2, 0xFF00, FIND, has_data_set=True),
    CGetRq(3, FIND),
    CGetRsp(3, 0xB000, FIND, 1, 2, 3, 4, has_data_set=True),
    CMoveRq(4, FIND, "ELSEWHERE"),
    CMoveRsp(4, 0xFF00, FIND, 10, 0, 0, 0),
    CEchoRq(5),
    CEchoRsp(5, 0),
    CCancelRq(6),
    NEventReportRq(7, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", 2),
    NEventReportRsp(7, 0x0110, "1.2.3", "1.2.4", 2, "why", 9),
    NGetRq(8, "1.2.3", "1.2.4", (0x00100010,)),
    NGetRsp(8, 0, "1.2.3", "1.2.4", has_data_set=True),
    NSetRq(9, "1.2.3", "1.2.4"),
    NSetRsp(9, 0x0107, "1.2.3", "1.2.4", (0x00100010, 0x00100020)),
    NActionRq(10, "1.2.3", "1.2.4", 1),
    NActionRsp(10, 0, "1.2.3", "1.2.4", 1),
    NCreateRq(11, "1.2.3"),
    NCreateRsp(11, 0, "1.2.3", "1.2.4"),
    NDeleteRq(12, "1.2.3", "1.2.4"),
    NDeleteRsp(12, 0x0112, "1.2.3", "1.2.4"),
]


def read(data: bytes) -> Dataset:
    """Another opinion on a command set."""
    return read_dataset(io.BytesIO(data), is_implicit_VR=True, is_little_endian=True)


@pytest.mark.parametrize("command", ONE_OF_EACH, ids=lambda command: type(command).__name__)
def test_every_command_survives(command: Request | Response | CCancelRq) -> None:
    assert decode(encode(command)) == command


@pytest.mark.parametrize("command", ONE_OF_EACH, ids=lambda command: type(command).__name__)
def test_pydicom_reads_every_command_the_same_way(command: Request | Response | CCancelRq) -> None:
    data = encode(command)
    elements = read(data)
    assert elements.CommandGroupLength == len(data) - 12
    assert elements.CommandField == command.command_field
    assert (elements.CommandDataSetType != 0x0101) == command.has_data_set
    assert [element.tag for element in elements] == sorted(element.tag for element in elements)
    for name in (attribute.name for attribute in dataclasses.fields(command)):
        value = getattr(command, name)
        keyword = "".join(part.capitalize() for part in name.split("_"))
        for abbreviation in ("Id", "Uid", "Sop"):
            keyword = keyword.replace(abbreviation, abbreviation.upper())
        keyword = keyword.replace("IDentifier", "Identifier")
        if name != "has_data_set" and value is not None:
            theirs = elements[keyword].value
            assert (tuple(theirs) if elements[keyword].VM > 1 else theirs) == (
                value[0] if isinstance(value, tuple) and len(value) == 1 else value
            )


def test_commands_of_pynetdicom_are_read() -> None:
    store = C_STORE()
    store.MessageID, store.AffectedSOPClassUID, store.AffectedSOPInstanceUID, store.Priority = 7, CT, "1.2.3", 2
    store.MoveOriginatorApplicationEntityTitle, store.MoveOriginatorMessageID = "MOVER", 5
    store.DataSet = io.BytesIO(b"x")
    message = C_STORE_RQ()
    message.primitive_to_message(store)
    data = encode_with_pydicom(message.command_set, True, True)
    assert data is not None
    assert decode(data) == CStoreRq(7, CT, "1.2.3", 2, "MOVER", 5)

    find = C_FIND()
    find.MessageID, find.AffectedSOPClassUID, find.Priority, find.Identifier = 9, FIND, 0, io.BytesIO(b"x")
    request = C_FIND_RQ()
    request.primitive_to_message(find)
    data = encode_with_pydicom(request.command_set, True, True)
    assert data is not None
    assert decode(data) == CFindRq(9, FIND)

    move = C_MOVE()
    move.MessageIDBeingRespondedTo, move.AffectedSOPClassUID, move.Status = 9, FIND, 0xFF00
    move.NumberOfRemainingSuboperations, move.NumberOfCompletedSuboperations = 3, 1
    move.NumberOfFailedSuboperations, move.NumberOfWarningSuboperations = 0, 0
    response = C_MOVE_RSP()
    response.primitive_to_message(move)
    data = encode_with_pydicom(response.command_set, True, True)
    assert data is not None
    assert decode(data) == CMoveRsp(9, 0xFF00, FIND, 3, 1, 0, 0)

    report = N_EVENT_REPORT()
    report.MessageID, report.AffectedSOPClassUID, report.AffectedSOPInstanceUID = 1, "1.2.3", "1.2.4"
    report.EventTypeID, report.EventInformation = 2, io.BytesIO(b"x")
    event = N_EVENT_REPORT_RQ()
    event.primitive_to_message(report)
    data = encode_with_pydicom(event.command_set, True, True)
    assert data is not None
    assert decode(data) == NEventReportRq(1, "1.2.3", "1.2.4", 2)


def element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


def us(number: int, value: int) -> bytes:
    return element(number, struct.pack("<H", value))


STORE = us(0x0100, 1) + us(0x0110, 9) + us(0x0800, 1)
CLASS, INSTANCE = element(0x0002, CT.encode() + b"\0"), element(0x1000, b"1.2.3\0")


def test_a_wrong_group_length_and_unknown_elements_do_no_harm() -> None:
    data = element(0, b"\xff\xff\0\0") + STORE + CLASS + INSTANCE + element(0x0001, b"\0\0\0\0") + us(0x5555, 1)
    assert decode(data) == CStoreRq(9, CT, "1.2.3")


def test_a_trailing_space_in_a_uid_is_forgiven() -> None:
    assert decode(STORE + CLASS + element(0x1000, b"1.2.3 ")) == CStoreRq(9, CT, "1.2.3")


INVALID: dict[str, tuple[bytes, InvalidRq]] = {
    "no instance": (STORE + CLASS, InvalidRq(1, 9, Status.MISSING_ATTRIBUTE, (0x1000,), True)),
    "empty instance": (
        STORE + CLASS + element(0x1000, b""),
        InvalidRq(1, 9, Status.MISSING_ATTRIBUTE, (0x1000,), True),
    ),
    "no class": (STORE + INSTANCE, InvalidRq(1, 9, Status.MISSING_ATTRIBUTE, (0x0002,), True)),
    "long UID": (
        STORE + CLASS + element(0x1000, b"1" * 66),
        InvalidRq(1, 9, Status.INVALID_ATTRIBUTE_VALUE, (0x1000,), True),
    ),
    "UID with line feed": (
        STORE + CLASS + element(0x1000, b"1.2\r\n3"),
        InvalidRq(1, 9, Status.INVALID_ATTRIBUTE_VALUE, (0x1000,), True),
    ),
    "UID beyond ASCII": (
        STORE + CLASS + element(0x1000, b"1.2\xff3"),
        InvalidRq(1, 9, Status.INVALID_ATTRIBUTE_VALUE, (0x1000,), True),
    ),
    "priority of 4 bytes": (
        STORE + CLASS + INSTANCE + element(0x0700, b"\0\0\0\0"),
        InvalidRq(1, 9, Status.INVALID_ATTRIBUTE_VALUE, (0x0700,), True),
    ),
    "AE title of 17 bytes": (
        STORE + CLASS + INSTANCE + element(0x1030, b"A" * 17 + b" "),
        InvalidRq(1, 9, Status.INVALID_ATTRIBUTE_VALUE, (0x1030,), True),
    ),
    "unknown operation": (
        us(0x0100, 0x0666) + us(0x0110, 9) + us(0x0800, 0x0101),
        InvalidRq(0x0666, 9, Status.UNRECOGNIZED_OPERATION, (), False),
    ),
}


@pytest.mark.parametrize(("data", "expected"), INVALID.values(), ids=INVALID.keys())
def test_a_request_that_lacks_something_can_be_refused(data: bytes, expected: InvalidRq) -> None:
    request = decode(data)
    assert request == expected
    assert isinstance(request, InvalidRq)
    response = refuse(request, request.status, request.offending_element)
    elements = read(encode(response))
    assert elements.CommandField == expected.command_field | 0x8000
    assert elements.Status == expected.status
    assert elements.MessageIDBeingRespondedTo == 9


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no command field": us(0x0110, 9) + us(0x0800, 1),
    "no data set type": us(0x0100, 1) + us(0x0110, 9),
    "command field of 4 bytes": element(0x0100, b"\1\0\0\0") + us(0x0800, 1),
    "no message ID": us(0x0100, 1) + us(0x0800, 1) + CLASS + INSTANCE,
    "unknown operation without message ID": us(0x0100, 0x0666) + us(0x0800, 1),
    "response without status": us(0x0100, 0x8001) + us(0x0120, 1) + us(0x0800, 0x0101),
    "cancel of nothing": us(0x0100, 0x0FFF) + us(0x0800, 0x0101),
    "element of another group": STORE + CLASS + INSTANCE + element(0x0010, b"X ", group=8),
    "element beyond the end": STORE + CLASS + INSTANCE[:-1],
    "half an element header": STORE + CLASS + INSTANCE + b"\0\0",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_cannot_even_be_refused_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedCommand):
        decode(data)


def test_what_follows_the_elements_of_a_response_is_passed_over() -> None:
    """Orthanc 1.10 puts the Failed SOP Instance UID List of a C-GET there, with its group length."""
    response = CGetRsp(1, 0xFF00, FIND, 3, 0, 1, 0)
    failed = element(0x0000, struct.pack("<I", 14), group=8) + element(0x0058, b"1.2.3\0", group=8)
    assert decode(encode(response) + failed) == response


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_malformed(data: bytes) -> None:
    try:
        decode(data)
    except MalformedCommand:
        pass


@given(st.sampled_from(ONE_OF_EACH), st.data())
def test_any_damage_is_a_command_or_malformed(command: Request | Response | CCancelRq, data: st.DataObject) -> None:
    damaged = bytearray(encode(command))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(damaged)
    except MalformedCommand:
        pass


def test_a_refusal_of_a_known_request_says_which() -> None:
    assert refuse(CStoreRq(9, CT, "1.2.3"), 0xA700) == FailureRsp(0x8001, 9, 0xA700)


def test_error_comments_fit_their_vr() -> None:
    assert refuse(CEchoRq(9), 0x0110, error_comment="x" * 100).error_comment == "x" * 64


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, Category.SUCCESS),
        (0xFF00, Category.PENDING),
        (0xFF01, Category.PENDING),
        (0xFE00, Category.CANCEL),
        (0xB000, Category.WARNING),
        (0xB006, Category.WARNING),
        (0x0107, Category.WARNING),
        (0x0116, Category.WARNING),
        (0xA700, Category.FAILURE),
        (0xC123, Category.FAILURE),
        (0x0110, Category.FAILURE),
    ],
)
def test_statuses_have_their_category(status: int, expected: Category) -> None:
    assert category(status) is expected

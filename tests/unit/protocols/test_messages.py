"""Messages in fragments of any length, and fragments that are no message."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.protocols.dimse.commands import CEchoRq, Command, CStoreRq, CStoreRsp, MalformedCommand, encode
from amonsul.protocols.dimse.messages import (
    MIN_PDU_LENGTH,
    CommandReceived,
    DataSetFragment,
    MessageError,
    MessageReader,
    encode_message,
    fragments,
)
from amonsul.protocols.upper_layer.pdu import PDataTf, Pdv, decode

STORE = CStoreRq(1, "1.2.840.10008.5.1.4.1.1.2", "1.2.3")
DATA = bytes(range(256)) * 5


def pdvs(pdus: bytes, max_pdu_length: int = 0) -> list[Pdv]:
    found: list[Pdv] = []
    rest = memoryview(pdus)
    while rest:
        length = int.from_bytes(rest[2:6], "big")
        assert not max_pdu_length or length <= max_pdu_length
        pdu = decode(rest[0], rest[6 : 6 + length])
        assert isinstance(pdu, PDataTf)
        found += pdu.pdvs
        rest = rest[6 + length :]
    return found


def receive(fragments_received: list[Pdv]) -> list[tuple[Command, bytes | None]]:
    """Put messages together, as only a test may do."""
    reader = MessageReader()
    messages: list[tuple[Command, bytes | None]] = []
    data = bytearray()
    for pdv in fragments_received:
        match reader.receive(pdv):
            case CommandReceived(_, command):
                data = bytearray()
                if not command.has_data_set:
                    messages.append((command, None))
                last = command
            case DataSetFragment(part, is_last):
                data += part
                if is_last:
                    messages.append((last, bytes(data)))
    assert reader.is_idle
    return messages


@pytest.mark.parametrize("max_pdu_length", [0, *range(MIN_PDU_LENGTH, 200), 1286, 1287, 131072])
def test_a_message_survives_any_length_of_pdu(max_pdu_length: int) -> None:
    pdus = encode_message(3, STORE, DATA, max_pdu_length)
    assert receive(pdvs(pdus, max_pdu_length)) == [(STORE, DATA)]


@given(st.lists(st.binary(max_size=100)), st.integers(MIN_PDU_LENGTH, 300))
def test_chunks_of_any_size_become_full_pdus(chunks: list[bytes], max_pdu_length: int) -> None:
    found = list(fragments(1, False, chunks, max_pdu_length))
    assert all(len(pdu) - 6 in (max_pdu_length - 1, max_pdu_length) for pdu in found[:-1])
    values = pdvs(b"".join(found), max_pdu_length)
    assert b"".join(bytes(value.data) for value in values) == b"".join(chunks)
    assert [value.is_last for value in values] == [False] * (len(values) - 1) + [True]


@given(st.lists(st.integers(0, 2000), max_size=10))
def test_fragments_may_arrive_in_parts(cuts: list[int]) -> None:
    parts: list[Pdv] = []
    for value in pdvs(encode_message(3, STORE, DATA, 512)):
        edges = sorted({0, len(value.data), *(cut for cut in cuts if cut < len(value.data))})
        for start, end in pairwise(edges):
            parts.append(value._replace(data=value.data[start:end], is_last=value.is_last and end == edges[-1]))
    assert receive(parts) == [(STORE, DATA)]


def test_messages_follow_each_other() -> None:
    pdus = encode_message(1, CEchoRq(1), None, 0) + encode_message(3, STORE, DATA, 0) + encode_message(5, STORE, b"", 0)
    assert receive(pdvs(pdus)) == [(CEchoRq(1), None), (STORE, DATA), (STORE, b"")]


def test_a_response_is_one_piece() -> None:
    response = CStoreRsp(1, 0, STORE.affected_sop_class_uid, STORE.affected_sop_instance_uid)
    assert len(pdvs(encode_message(3, response, None, 16384))) == 1


COMMAND = encode(STORE)

WRONG: dict[str, list[Pdv]] = {
    "data set without command": [Pdv(1, False, True, b"x")],
    "command within a data set": [Pdv(1, True, True, COMMAND), Pdv(1, True, True, COMMAND)],
    "data set within a command": [Pdv(1, True, False, COMMAND[:9]), Pdv(1, False, True, b"x")],
    "other context within a command": [Pdv(1, True, False, COMMAND[:9]), Pdv(3, True, True, COMMAND[9:])],
    "other context for the data set": [Pdv(1, True, True, COMMAND), Pdv(3, False, True, b"x")],
    "data set after the data set": [
        Pdv(1, True, True, COMMAND),
        Pdv(1, False, True, b"x"),
        Pdv(1, False, True, b"x"),
    ],
    "endless command": [Pdv(1, True, False, bytes(60000))] * 2,
    "long command in one piece": [Pdv(1, True, True, bytes(70000))],
}


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG.keys())
def test_fragments_that_make_no_message_are_refused(values: list[Pdv]) -> None:
    reader = MessageReader()
    for value in values[:-1]:
        reader.receive(value)
    with pytest.raises(MessageError):
        reader.receive(values[-1])


def test_a_command_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedCommand):
        MessageReader().receive(Pdv(1, True, True, b"what is this?"))


def test_a_reader_is_idle_between_messages_only() -> None:
    reader = MessageReader()
    states = [reader.is_idle]
    for value in (
        Pdv(1, True, False, COMMAND[:9]),
        Pdv(1, True, True, COMMAND[9:]),
        Pdv(1, False, False, b"x"),
        Pdv(1, False, True, b"x"),
    ):
        reader.receive(value)
        states.append(reader.is_idle)
    assert states == [True, False, False, False, True]

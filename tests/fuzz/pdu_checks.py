"""What must hold of the PDU reader whatever the bytes: shared by the fuzz target and the test of its seeds."""

from __future__ import annotations

from collections.abc import Iterator

from amonsul.protocols.dimse import commands
from amonsul.protocols.dimse.commands import FailureRsp, InvalidRq, MalformedCommand
from amonsul.protocols.dimse.messages import MessageError, MessageReader
from amonsul.protocols.upper_layer.connection import Connection
from amonsul.protocols.upper_layer.errors import PduError
from amonsul.protocols.upper_layer.events import Aborted, AssociationRequested, ReleaseRequested, UpperLayerEvent
from amonsul.protocols.upper_layer.items import AnsweredContext, ContextResult, ProposedContext, UserInformation
from amonsul.protocols.upper_layer.pdu import (
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AReleaseRp,
    AReleaseRq,
    PDataTf,
    Pdu,
    PduType,
    Pdv,
    decode,
)
from amonsul.protocols.upper_layer.state_machine import State

_OVER = (State.STA1, State.STA13)
_CT = "1.2.840.10008.5.1.4.1.1.2"
_REQUEST = AAssociateRq(
    "CALLED",
    "CALLING",
    (ProposedContext(1, _CT, ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")),),
    UserInformation(16384, "1.2.3", "NAME"),
)


def seeds() -> Iterator[bytes]:
    """Inputs to begin with: a way to cut, then a conversation."""
    command = commands.encode(commands.CStoreRq(1, _CT, "1.2.3.4"))
    data = PDataTf((Pdv(1, True, True, command), Pdv(1, False, False, b"data"), Pdv(1, False, True, b"set")))
    answer = AAssociateAc(
        "CALLED", "CALLING", (AnsweredContext(1, ContextResult.ACCEPTANCE, "1.2"),), UserInformation()
    )
    release = AReleaseRq().encode()
    yield b"\0" + _REQUEST.encode() + data.encode() + release
    yield b"\7" + _REQUEST.encode() + data.encode() * 3 + AAbort(0).encode()
    yield b"\1" + _REQUEST.encode() + release + AReleaseRp().encode()
    yield b"\3" + answer.encode()
    yield b"\3" + AAssociateRj(1, 1, 1).encode()
    yield b"\5" + _REQUEST.encode() + b"\x42\0\0\0\0\4what" + data.encode()


def check_bytes(data: bytes) -> None:
    """Feed a conversation to a connection in one piece and cut, and its parts to every decoder."""
    step, conversation = (data[0] % 64) + 1, data[1:]
    whole = _converse([conversation])
    assert _converse([conversation[at : at + step] for at in range(0, len(conversation), step)]) == whole
    for pdu_type in PduType:
        _check_pdu(pdu_type, conversation)
    _check_command(conversation)


def _converse(pieces: list[bytes]) -> tuple[list[UpperLayerEvent], list[Pdu]]:
    connection, reader = Connection(is_requestor=False), MessageReader()
    connection.transport_connected(0.0)
    events: list[UpperLayerEvent] = []
    given = taken = 0
    out = b""
    for piece in pieces:
        given += len(piece)
        connection.receive_data(piece, 0.0)
        for event in connection.events():
            match event:
                case AssociationRequested(request):
                    assert AAssociateRq.decode(memoryview(request.encode())[6:]) == request
                    connection.accept(AAssociateAc("", "", (), UserInformation()))
                    events.append(event)
                case ReleaseRequested():
                    connection.answer_release(0.0)
                    events.append(event)
                case Pdv():
                    taken += len(event.data)
                    _append(events, event)
                    try:
                        reader.receive(event)
                    except (MessageError, MalformedCommand):
                        connection.abort(0.0)
                        events[-1] = event._replace(
                            data=b"", is_last=False
                        )  # how much of it had come depends on the pieces
                        break
                case Aborted(by_us=True):
                    assert connection.state is State.STA13
                    events.append(event)
                case _:
                    events.append(event)
            if connection.state in _OVER:
                break
        assert taken <= given
        assert len(connection._partial) <= given
        assert connection._at <= len(connection._input)
        out += connection.data_to_send()
        if connection.state in _OVER:
            break
    return events, _until_the_end(out)


def _append(events: list[UpperLayerEvent], event: Pdv) -> None:
    """Put the parts of a fragment together: where they were cut is the matter of the pieces."""
    last = events[-1] if events else None
    if isinstance(last, Pdv) and not last.is_last and last[:2] == event[:2]:
        events[-1] = event._replace(data=bytes(last.data) + bytes(event.data))
    else:
        events.append(event._replace(data=bytes(event.data)))


def _until_the_end(out: bytes) -> list[Pdu]:
    """What was sent, up to what ends the association: what follows it depends on the pieces."""
    sent: list[Pdu] = []
    rest = memoryview(out)
    while rest:
        length = int.from_bytes(rest[2:6], "big")
        sent.append(decode(rest[0], rest[6 : 6 + length]))
        rest = rest[6 + length :]
        if isinstance(sent[-1], AAssociateRj | AReleaseRp | AAbort):
            break
    return sent


def _check_pdu(pdu_type: PduType, body: bytes) -> None:
    try:
        pdu = decode(pdu_type, memoryview(body))
    except PduError:
        return
    written = pdu.encode()
    assert decode(written[0], memoryview(written)[6:]) == pdu


def _check_command(data: bytes) -> None:
    try:
        command = commands.decode(data)
    except MalformedCommand:
        return
    if isinstance(command, InvalidRq):
        refusal = commands.refuse(command, command.status, command.offending_element)
        assert isinstance(refusal, FailureRsp)
        commands.encode(refusal)
    else:
        assert commands.decode(commands.encode(command)) == command

"""A connection as a whole: bytes in any pieces, every PDU in every state, and what must not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.protocols.upper_layer.connection import MAX_CONTROL_PDU_LENGTH, MAX_DATA_PDU_LENGTH, Connection
from amonsul.protocols.upper_layer.errors import LocalProtocolError
from amonsul.protocols.upper_layer.events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    ConnectionLost,
    Released,
    ReleaseRequested,
    UpperLayerEvent,
)
from amonsul.protocols.upper_layer.items import AnsweredContext, ContextResult, ProposedContext, UserInformation
from amonsul.protocols.upper_layer.pdu import (
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AReleaseRp,
    AReleaseRq,
    Pdu,
    PduType,
    Pdv,
    decode,
    encode_p_data,
)
from amonsul.protocols.upper_layer.state_machine import TRANSITIONS, Action, Effect, Event, State

REQUEST = AAssociateRq(
    "US", "THEM", (ProposedContext(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),), UserInformation()
)
ANSWER = AAssociateAc(
    "US", "THEM", (AnsweredContext(1, ContextResult.ACCEPTANCE, "1.2.840.10008.1.2"),), UserInformation()
)
REJECTION = AAssociateRj(1, 1, 3)
DATA = encode_p_data([Pdv(1, True, True, b"command"), Pdv(1, False, False, b"some"), Pdv(1, False, True, b"data")])

PDUS: dict[Event, bytes] = {
    Event.A_ASSOCIATE_RQ_PDU: REQUEST.encode(),
    Event.A_ASSOCIATE_AC_PDU: ANSWER.encode(),
    Event.A_ASSOCIATE_RJ_PDU: REJECTION.encode(),
    Event.P_DATA_TF_PDU: DATA,
    Event.A_RELEASE_RQ_PDU: AReleaseRq().encode(),
    Event.A_RELEASE_RP_PDU: AReleaseRp().encode(),
    Event.A_ABORT_PDU: AAbort(0).encode(),
    Event.INVALID_PDU: b"\x55\0\0\0\0\4what",
}


def feed(connection: Connection, data: bytes, now: float = 0.0) -> list[UpperLayerEvent]:
    connection.receive_data(data, now)
    return [_kept(event) for event in connection.events()]


def _kept(event: UpperLayerEvent) -> UpperLayerEvent:
    return event._replace(data=bytes(event.data)) if isinstance(event, Pdv) else event


def sent(connection: Connection) -> list[Pdu]:
    data = memoryview(connection.data_to_send())
    found = []
    while data:
        length = int.from_bytes(data[2:6], "big")
        found.append(decode(data[0], data[6 : 6 + length]))
        data = data[6 + length :]
    return found


def acceptor() -> Connection:
    connection = Connection(is_requestor=False)
    connection.transport_connected(0.0)
    return connection


def requestor() -> Connection:
    connection = Connection(is_requestor=True)
    connection.associate(REQUEST)
    return connection


def sta1() -> Connection:
    return Connection(is_requestor=False)


def sta3() -> Connection:
    connection = acceptor()
    feed(connection, REQUEST.encode())
    return connection


def sta5() -> Connection:
    connection = requestor()
    connection.transport_connected(0.0)
    return connection


def sta6() -> Connection:
    connection = sta3()
    connection.accept(ANSWER)
    return connection


def sta6_of_requestor() -> Connection:
    connection = sta5()
    feed(connection, ANSWER.encode())
    return connection


def sta7() -> Connection:
    connection = sta6()
    connection.release()
    return connection


def sta7_of_requestor() -> Connection:
    connection = sta6_of_requestor()
    connection.release()
    return connection


def sta8() -> Connection:
    connection = sta6()
    feed(connection, AReleaseRq().encode())
    return connection


def sta9() -> Connection:
    connection = sta7_of_requestor()
    feed(connection, AReleaseRq().encode())
    return connection


def sta10() -> Connection:
    connection = sta7()
    feed(connection, AReleaseRq().encode())
    return connection


def sta11() -> Connection:
    connection = sta9()
    connection.answer_release(0.0)
    return connection


def sta12() -> Connection:
    connection = sta10()
    feed(connection, AReleaseRp().encode())
    return connection


def sta13() -> Connection:
    connection = sta6()
    connection.abort(0.0)
    return connection


STATES: dict[State, Callable[[], Connection]] = {
    State.STA1: sta1,
    State.STA2: acceptor,
    State.STA3: sta3,
    State.STA4: requestor,
    State.STA5: sta5,
    State.STA6: sta6,
    State.STA7: sta7,
    State.STA8: sta8,
    State.STA9: sta9,
    State.STA10: sta10,
    State.STA11: sta11,
    State.STA12: sta12,
    State.STA13: sta13,
}


def in_state(state: State) -> Connection:
    connection = STATES[state]()
    assert connection.state is state
    connection.data_to_send()
    return connection


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(PDUS))
def test_every_pdu_in_every_state_does_what_the_table_says(state: State, event: Event) -> None:
    connection = in_state(state)
    is_requestor = state in (State.STA4, State.STA5, State.STA9, State.STA11)
    events = feed(connection, PDUS[event], now=5.0)
    out = sent(connection)
    action = TRANSITIONS.get((state, event))
    if action is None:
        assert (connection.state, events, out) == (state, [], [])
        return
    expected = State.STA10 if action is Action.AR_8 and not is_requestor else action.next_state
    assert connection.state is expected
    assert connection.must_close == (Effect.CLOSE in action.effects)
    if Effect.START_ARTIM in action.effects:
        assert connection.artim_deadline == 15.0
    match action:
        case Action.AA_1:
            assert out == [AAbort(0, 0)]
            assert [type(event) for event in events] == [Aborted]
        case Action.AA_8:
            assert out == [AAbort(2, 1 if event is Event.INVALID_PDU else 2)]
            assert events == [Aborted(2, out[0].reason, by_us=True, details=events[0].details)]  # type: ignore[union-attr]
        case Action.AA_7:
            assert [type(pdu) for pdu in out] == [AAbort]
            assert events == []
        case Action.AA_2 | Action.AA_6:
            assert (out, events) == ([], [])
        case Action.AA_3:
            assert (out, events) == ([], [Aborted(0, 0)])
        case Action.AE_3:
            assert (out, events) == ([], [AssociationAccepted(ANSWER)])
        case Action.AE_4:
            assert (out, events) == ([], [AssociationRejected(REJECTION)])
        case Action.AE_6:
            assert (out, events) == ([], [AssociationRequested(REQUEST)])
        case Action.DT_2 | Action.AR_6:
            assert out == []
            assert [event.data for event in events if isinstance(event, Pdv)] == [b"command", b"some", b"data"]
        case Action.AR_2 | Action.AR_8:
            assert (out, events) == ([], [ReleaseRequested()])
        case Action.AR_3 | Action.AR_10:
            assert (out, events) == ([], [Released()])
        case _:
            pytest.fail(f"{action} has no expectation")


@pytest.mark.parametrize("state", list(State))
def test_a_closed_connection_in_every_state(state: State) -> None:
    connection = in_state(state)
    events = feed(connection, b"")
    action = TRANSITIONS.get((state, Event.TRANSPORT_CLOSED))
    assert events == ([ConnectionLost()] if action is Action.AA_4 else [])
    assert connection.must_close
    assert connection.state is (state if action is None else State.STA1)
    assert connection.artim_deadline is None


COMMANDS: dict[Event, Callable[[Connection], None]] = {
    Event.A_ASSOCIATE_REQUEST: lambda connection: connection.associate(REQUEST),
    Event.A_ASSOCIATE_RESPONSE_ACCEPT: lambda connection: connection.accept(ANSWER),
    Event.A_ASSOCIATE_RESPONSE_REJECT: lambda connection: connection.reject(REJECTION, 0.0),
    Event.P_DATA_REQUEST: lambda connection: connection.send_p_data([Pdv(1, True, True, b"x")]),
    Event.A_RELEASE_REQUEST: lambda connection: connection.release(),
    Event.A_RELEASE_RESPONSE: lambda connection: connection.answer_release(0.0),
    Event.A_ABORT_REQUEST: lambda connection: connection.abort(0.0),
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(COMMANDS))
def test_commands_are_taken_where_the_table_has_them(state: State, event: Event) -> None:
    connection = in_state(state)
    action = TRANSITIONS.get((state, event))
    if action is None:
        with pytest.raises(LocalProtocolError):
            COMMANDS[event](connection)
        assert connection.state is state
    else:
        COMMANDS[event](connection)
        assert connection.state is action.next_state
        if Effect.SEND in action.effects or Effect.SEND_USER_ABORT in action.effects:
            assert len(sent(connection)) == 1


def test_a_whole_association_of_both_sides() -> None:
    them, us = Connection(is_requestor=True), Connection(is_requestor=False)
    them.associate(REQUEST)
    them.transport_connected(0.0)
    us.transport_connected(0.0)
    assert feed(us, them.data_to_send()) == [AssociationRequested(REQUEST)]
    us.accept(ANSWER)
    assert feed(them, us.data_to_send()) == [AssociationAccepted(ANSWER)]
    assert (them.request, them.answer, us.request, us.answer) == (REQUEST, ANSWER, REQUEST, ANSWER)
    them.send_p_data([Pdv(1, True, True, b"ping")])
    assert feed(us, them.data_to_send()) == [Pdv(1, True, True, b"ping")]
    us.send_encoded_p_data(encode_p_data([Pdv(1, True, True, b"pong")]))
    assert feed(them, us.data_to_send()) == [Pdv(1, True, True, b"pong")]
    them.release()
    assert feed(us, them.data_to_send()) == [ReleaseRequested()]
    us.send_p_data([Pdv(1, True, True, b"late")])  # AR-7: data before the answer is allowed
    us.answer_release(0.0)
    assert feed(them, us.data_to_send()) == [Pdv(1, True, True, b"late"), Released()]
    assert them.must_close
    feed(us, b"")
    assert us.state is State.STA1
    assert us.must_close


def test_a_release_collision_ends_on_both_sides() -> None:
    them, us = sta6_of_requestor(), sta6()
    them.data_to_send()
    us.data_to_send()
    them.release()
    us.release()
    to_us, to_them = them.data_to_send(), us.data_to_send()
    assert feed(them, to_them) == [ReleaseRequested()]
    assert feed(us, to_us) == [ReleaseRequested()]
    them.answer_release(0.0)
    assert feed(us, them.data_to_send()) == [Released()]
    us.answer_release(0.0)
    assert feed(them, us.data_to_send()) == [Released()]
    assert them.must_close


SESSION = REQUEST.encode() + DATA + AReleaseRq().encode()


def run_session(pieces: Iterable[bytes]) -> tuple[list[UpperLayerEvent], State]:
    connection = acceptor()
    found: list[UpperLayerEvent] = []
    for piece in pieces:
        connection.receive_data(piece, 0.0)
        for event in connection.events():
            if isinstance(event, AssociationRequested):
                connection.accept(ANSWER)
            found.append(_kept(event))
    return _joined(found), connection.state


def _joined(events: Iterable[UpperLayerEvent]) -> list[UpperLayerEvent]:
    """Fragments may arrive in parts; put together, they are what was sent."""
    found: list[UpperLayerEvent] = []
    is_open = False
    for event in events:
        if not isinstance(event, Pdv):
            found.append(event)
            continue
        last = found[-1] if found else None
        if is_open and isinstance(last, Pdv) and last.is_command == event.is_command:
            found[-1] = event._replace(data=bytes(last.data) + bytes(event.data))
        else:
            found.append(event)
        is_open = not event.is_last
    return found


EXPECTED = [
    AssociationRequested(REQUEST),
    Pdv(1, True, True, b"command"),
    Pdv(1, False, True, b"somedata"),
    ReleaseRequested(),
]


def test_a_session_in_one_piece() -> None:
    assert run_session([SESSION]) == (EXPECTED, State.STA8)


def test_a_session_byte_by_byte() -> None:
    assert run_session(bytes([byte]) for byte in SESSION) == (EXPECTED, State.STA8)


def test_a_session_survives_any_split() -> None:
    for cut in range(1, len(SESSION)):
        assert run_session([SESSION[:cut], SESSION[cut:]]) == (EXPECTED, State.STA8)


@given(st.lists(st.integers(1, len(SESSION) - 1), max_size=20))
def test_a_session_survives_any_splits(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(SESSION)]
    assert run_session(SESSION[a:b] for a, b in pairwise(edges)) == (EXPECTED, State.STA8)


def test_what_follows_an_abort_is_not_handled() -> None:
    connection = sta6()
    assert feed(connection, AAbort(0).encode() + DATA + REQUEST.encode()) == [Aborted(0, 0)]
    assert connection.must_close


def test_events_can_be_taken_one_at_a_time() -> None:
    connection = sta6()
    buffer = bytearray(DATA)
    connection.receive_data(buffer, 0.0)
    assert _kept(next(connection.events())) == Pdv(1, True, True, b"command")
    connection.retain()
    buffer[:] = bytes(len(buffer))  # the caller reads something else into it
    connection.receive_data(AReleaseRq().encode(), 0.0)
    assert [_kept(event) for event in connection.events()] == [
        Pdv(1, False, False, b"some"),
        Pdv(1, False, True, b"data"),
        ReleaseRequested(),
    ]


def test_data_is_not_copied() -> None:
    connection = sta6()
    data = encode_p_data([Pdv(1, False, True, bytes(100000))])
    connection.receive_data(data, 0.0)
    (event,) = connection.events()
    assert isinstance(event, Pdv)
    assert isinstance(event.data, memoryview)
    assert event.data.obj is data


def test_an_end_that_waits_behind_data_comes_after_it() -> None:
    connection = sta6()
    connection.receive_data(DATA, 0.0)
    connection.receive_data(b"", 0.0)
    events = [type(event) for event in connection.events()]
    assert events == [Pdv, Pdv, Pdv, ConnectionLost]


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, MAX_CONTROL_PDU_LENGTH + 1])
@pytest.mark.parametrize("pdu_type", [1, 2, 3, 5, 6, 7, 0x99])
def test_a_long_pdu_is_refused_by_its_header(pdu_type: int, length: int) -> None:
    connection = acceptor()
    events = feed(connection, bytes([pdu_type, 0]) + length.to_bytes(4, "big"))
    assert [type(event) for event in events] == [Aborted]
    assert connection.state is State.STA13
    assert feed(connection, REQUEST.encode() * 10) == []  # nothing after it can be told apart


def test_long_data_is_refused_by_its_header() -> None:
    connection = sta6()
    connection.data_to_send()
    events = feed(connection, b"\x04\0" + (MAX_DATA_PDU_LENGTH + 1).to_bytes(4, "big"))
    assert [type(event) for event in events] == [Aborted]
    assert sent(connection) == [AAbort(2, 6)]


def test_data_as_long_as_negotiated_is_taken() -> None:
    connection = Connection(is_requestor=False, max_pdu_length=MAX_DATA_PDU_LENGTH + 100)
    connection.transport_connected(0.0)
    feed(connection, REQUEST.encode())
    connection.accept(ANSWER)
    length = MAX_DATA_PDU_LENGTH + 100
    head = b"\x04\0" + length.to_bytes(4, "big") + (length - 4).to_bytes(4, "big") + b"\1\0"
    assert feed(connection, head + b"abc") == [Pdv(1, False, False, b"abc")]


@pytest.mark.parametrize("pdu_type", [1, 2, 3, 4, 5, 6, 7])
def test_an_empty_pdu_is_refused(pdu_type: int) -> None:
    connection = acceptor()
    events = feed(connection, bytes([pdu_type, 0, 0, 0, 0, 0]))
    assert [type(event) for event in events] == [Aborted]
    assert connection.state is State.STA13


def test_an_unfinished_request_costs_what_has_arrived() -> None:
    connection = acceptor()
    assert feed(connection, b"\x01\0" + MAX_CONTROL_PDU_LENGTH.to_bytes(4, "big") + b"\0\1") == []
    assert len(connection._partial) == 2


def test_an_invalid_fragment_ends_the_association_after_the_valid_ones() -> None:
    connection = sta6()
    connection.data_to_send()
    body = b"\0\0\0\4\1\3ok" + b"\0\0\0\x63\1\2no"
    events = feed(connection, b"\x04\0" + len(body).to_bytes(4, "big") + body + DATA)
    assert events[0] == Pdv(1, True, True, b"ok")
    assert [type(event) for event in events[1:]] == [Aborted]
    assert sent(connection) == [AAbort(2, 6)]


def test_an_abort_within_a_fragment_skips_the_rest() -> None:
    connection = sta6()
    feed(connection, DATA[:20])
    connection.abort(0.0)
    assert feed(connection, DATA[20:] + AAbort(0).encode()) == []
    assert connection.must_close  # AA-2: the A-ABORT behind the data was found


def test_a_request_of_another_version_is_rejected() -> None:
    connection = acceptor()
    other = AAssociateRq("US", "THEM", REQUEST.presentation_contexts, UserInformation(), protocol_version=2)
    assert feed(connection, other.encode()) == []
    assert sent(connection) == [AAssociateRj(1, 2, 2)]
    assert connection.state is State.STA13


def test_a_request_of_later_versions_too_is_taken() -> None:
    connection = acceptor()
    other = AAssociateRq("US", "THEM", REQUEST.presentation_contexts, UserInformation(), protocol_version=3)
    assert feed(connection, other.encode()) == [AssociationRequested(other)]


def test_a_request_beyond_our_limits_is_rejected() -> None:
    connection = acceptor()
    syntaxes = tuple(f"1.2.{number}" for number in range(65))
    other = AAssociateRq("US", "THEM", (ProposedContext(1, "1.2.3", syntaxes),), UserInformation())
    assert feed(connection, other.encode()) == []
    assert sent(connection) == [AAssociateRj(1, 3, 2)]


def test_artim_runs_until_a_request_comes() -> None:
    connection = Connection(is_requestor=False, artim_timeout_s=10)
    connection.transport_connected(100.0)
    assert connection.artim_deadline == 110.0
    feed(connection, REQUEST.encode()[:50], now=105.0)
    assert connection.artim_deadline == 110.0
    feed(connection, REQUEST.encode()[50:], now=109.0)
    assert connection.artim_deadline is None


@pytest.mark.parametrize("state", [State.STA2, State.STA13])
def test_artim_closes_the_connection(state: State) -> None:
    connection = in_state(state)
    connection.time_passed(9.9)
    closed_early = connection.must_close
    connection.time_passed(10.0)
    assert (closed_early, connection.must_close) == (False, True)
    assert connection.state is State.STA1


def test_an_abort_waits_for_the_close_no_longer_than_artim() -> None:
    connection = sta6()
    connection.abort(50.0)
    assert connection.artim_deadline == 60.0


def test_a_request_must_come_before_the_transport() -> None:
    with pytest.raises(LocalProtocolError):
        Connection(is_requestor=True).transport_connected(0.0)


def test_pdu_types_are_those_of_the_standard() -> None:
    assert [pdu_type.value for pdu_type in PduType] == [1, 2, 3, 4, 5, 6, 7]

"""Any sequence of PDUs, commands, times and ends: the connection follows the table, the server never hangs.

The first test checks a connection against a model that knows Table 9-10 and nothing else; the second sends sequences
to a real server. `PDU_SEQUENCES=200000` makes a long run of them.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from amonsul.dimse_server.settings import DimseSettings
from amonsul.protocols.dimse.commands import CCancelRq, CEchoRq, CStoreRsp, encode
from amonsul.protocols.dimse.messages import encode_message
from amonsul.protocols.upper_layer.connection import Connection
from amonsul.protocols.upper_layer.errors import LocalProtocolError
from amonsul.protocols.upper_layer.events import Aborted, ConnectionLost
from amonsul.protocols.upper_layer.items import AnsweredContext, ContextResult, ProposedContext, UserInformation
from amonsul.protocols.upper_layer.pdu import (
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AReleaseRp,
    AReleaseRq,
    PDataTf,
    Pdv,
    decode,
    encode_p_data,
)
from amonsul.protocols.upper_layer.state_machine import TRANSITIONS, Action, Effect, Event, State, next_state_of
from tests.fuzz.pdu_checks import check_bytes, seeds
from tests.integration.dimse.dicom_door import Door, Peer, check_echo, open_door, sample

SEQUENCES = int(os.environ.get("PDU_SEQUENCES", "2000"))

VERIFICATION, IMPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2"
REQUEST = AAssociateRq("AMONSUL", "PEER", (ProposedContext(1, VERIFICATION, (IMPLICIT,)),), UserInformation())
ANSWER = AAssociateAc("AMONSUL", "PEER", (AnsweredContext(1, ContextResult.ACCEPTANCE, IMPLICIT),), UserInformation())

PDUS: dict[Event, bytes] = {
    Event.A_ASSOCIATE_RQ_PDU: REQUEST.encode(),
    Event.A_ASSOCIATE_AC_PDU: ANSWER.encode(),
    Event.A_ASSOCIATE_RJ_PDU: AAssociateRj(1, 1, 1).encode(),
    Event.P_DATA_TF_PDU: encode_p_data([Pdv(1, True, True, b"abc"), Pdv(1, False, False, b"de")]),
    Event.A_RELEASE_RQ_PDU: AReleaseRq().encode(),
    Event.A_RELEASE_RP_PDU: AReleaseRp().encode(),
    Event.A_ABORT_PDU: AAbort(0).encode(),
    Event.INVALID_PDU: b"\x42\0\0\0\0\4what",
}

COMMANDS: dict[Event, Callable[[Connection, float], None]] = {
    Event.A_ASSOCIATE_RESPONSE_ACCEPT: lambda connection, _: connection.accept(ANSWER),
    Event.A_ASSOCIATE_RESPONSE_REJECT: lambda connection, now: connection.reject(AAssociateRj(1, 1, 1), now),
    Event.P_DATA_REQUEST: lambda connection, _: connection.send_p_data([Pdv(1, True, True, b"x")]),
    Event.A_RELEASE_REQUEST: lambda connection, _: connection.release(),
    Event.A_RELEASE_RESPONSE: lambda connection, now: connection.answer_release(now),
    Event.A_ABORT_REQUEST: lambda connection, now: connection.abort(now),
}


class ConnectionAgainstTable(RuleBasedStateMachine):
    """A connection and a model of it that is a state and a number of PDUs sent."""

    @initialize(is_requestor=st.booleans())
    def open(self, is_requestor: bool) -> None:
        self.is_requestor = is_requestor
        self.now = 0.0
        self.state = State.STA5 if is_requestor else State.STA2
        self.is_open = True
        self.artim_since: float | None = None if is_requestor else 0.0
        self.connection = Connection(is_requestor=is_requestor, artim_timeout_s=10.0)
        if is_requestor:
            self.connection.associate(REQUEST)
        self.connection.transport_connected(self.now)
        self.connection.data_to_send()

    def expect(self, event: Event) -> Action | None:
        """Let the model take a step."""
        action = TRANSITIONS.get((self.state, event))
        if action is not None:
            self.state = next_state_of(action, is_requestor=self.is_requestor)
            if Effect.START_ARTIM in action.effects:
                self.artim_since = self.now
            elif Effect.STOP_ARTIM in action.effects or event is Event.ARTIM_EXPIRED:
                self.artim_since = None
            if Effect.CLOSE in action.effects:
                self.is_open = False
        return action

    @precondition(lambda self: self.is_open)
    @rule(event=st.sampled_from(sorted(PDUS)), cuts=st.lists(st.integers(1, 20), max_size=3))
    def receive(self, event: Event, cuts: list[int]) -> None:
        action = self.expect(event)
        data = PDUS[event]
        events = []
        at = 0
        for cut in [*cuts, len(data)]:
            piece, at = data[at : at + cut], at + cut
            if piece:
                self.connection.receive_data(piece, self.now)
                events += list(self.connection.events())
        sent = self.sent()
        if action in (Action.AA_1, Action.AA_8):
            assert [type(each) for each in events] == [Aborted]
            assert [type(pdu) for pdu in sent] == [AAbort]
        elif action is Action.AA_7:
            assert [type(pdu) for pdu in sent] == [AAbort]
        else:
            assert sent == []

    @precondition(lambda self: self.is_open)
    @rule(event=st.sampled_from(sorted(COMMANDS)))
    def command(self, event: Event) -> None:
        action = self.expect(event)
        try:
            COMMANDS[event](self.connection, self.now)
        except LocalProtocolError:
            assert action is None
        else:
            assert action is not None
        assert len(self.sent()) == (
            0 if action is None or not {Effect.SEND, Effect.SEND_USER_ABORT} & set(action.effects) else 1
        )

    @precondition(lambda self: self.is_open)
    @rule(seconds=st.sampled_from([0.5, 9.0, 10.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.artim_since is not None and self.now >= self.artim_since + 10.0:
            self.expect(Event.ARTIM_EXPIRED)
        self.connection.time_passed(self.now)

    @precondition(lambda self: self.is_open)
    @rule()
    def close(self) -> None:
        action = self.expect(Event.TRANSPORT_CLOSED)
        self.is_open = False
        self.artim_since = None
        self.connection.receive_data(b"", self.now)
        assert list(self.connection.events()) == ([ConnectionLost()] if action is Action.AA_4 else [])

    @precondition(lambda self: self.is_open)
    @rule(head=st.sampled_from([b"\1\0\xff\xff\xff\xff", b"\4\0\xff\xff\xff\xff", b"\7\0\0\x20\0\0"]))
    def lose_framing(self, head: bytes) -> None:
        self.expect(Event.INVALID_PDU)
        self.connection.receive_data(head, self.now)
        list(self.connection.events())
        self.connection.receive_data(REQUEST.encode(), self.now)
        assert list(self.connection.events()) == []
        self.sent()
        self.is_open = False  # nothing that comes can be read any more; only ARTIM is left
        assert self.connection.artim_deadline is not None

    @precondition(lambda self: not self.is_open)
    @rule()
    def be_over(self) -> None:
        with pytest.raises(LocalProtocolError):
            self.connection.release()

    def sent(self) -> list[object]:
        data = memoryview(self.connection.data_to_send())
        found: list[object] = []
        while data:
            length = int.from_bytes(data[2:6], "big")
            found.append(decode(data[0], data[6 : 6 + length]))
            data = data[6 + length :]
        return found

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "connection"):
            assert self.connection.state is self.state
            assert (self.connection.artim_deadline is not None) == (self.artim_since is not None)
            if self.is_open:
                assert not self.connection.must_close
            elif self.state is State.STA1:
                assert self.connection.must_close


def test_a_connection_follows_the_table_through_any_sequence() -> None:
    run_state_machine_as_test(
        ConnectionAgainstTable,
        settings=settings(max_examples=SEQUENCES, stateful_step_count=15, deadline=None, database=None),
    )


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_door(
            Path(folder),
            DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0, artim_timeout_s=1.0, scp_timeout_s=1.0),
        ) as opened,
    ):
        yield opened


STORE = b"".join(sample().pdus(context_id=1))
STEPS: list[bytes] = [
    *PDUS.values(),
    REQUEST.encode(),
    encode_message(1, CEchoRq(1), None, 0),
    encode_message(9, CEchoRq(1), None, 0),
    encode_message(1, CCancelRq(1), None, 0),
    encode_message(1, CStoreRsp(1, 0), None, 0),
    PDataTf((Pdv(1, True, False, encode(CEchoRq(1))[:9]),)).encode(),
    STORE,
    STORE[:5000],
    b"\4\0\0\1",
    b"\1\0\xff\xff\xff\xff",
]


def threads_and_files() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


@settings(
    max_examples=max(SEQUENCES // 10, 100),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(STEPS), max_size=8), st.booleans())
def test_a_server_ends_any_sequence(door: Door, steps: list[bytes], begins_well: bool) -> None:
    with Peer(door.port) as peer:
        try:
            peer.send((REQUEST.encode() if begins_well else b"") + b"".join(steps))
            peer.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the server has had enough
        answers = []
        while (answer := peer.receive()) is not None:
            answers.append(answer)
        ends = [type(each) in (AAbort, AAssociateRj, AReleaseRp) for each in answers]
        assert ends == sorted(ends)  # after the end there is nothing but A-ABORT (AA-7)
        assert ends.count(True) <= 1 or all(isinstance(each, AAbort) for each in answers[ends.index(True) + 1 :])


def test_a_server_is_as_before_after_all_that(door: Door) -> None:
    door.until(lambda server: not server._peers)
    door.limit(artim_timeout_s=60.0, scp_timeout_s=60.0)  # nobody is late from now on
    check_echo(door.port)
    before = threads_and_files()
    for _ in range(20):
        with Peer(door.port) as peer:
            peer.send(REQUEST.encode() + STORE)
            assert peer.receive() is not None
    door.until(lambda server: not server._peers)
    assert threads_and_files()[1] <= before[1]
    assert door.server is not None
    assert door.server._house.budget.used == 0
    assert not list(door.folder.iterdir())


@pytest.mark.parametrize("seed", list(seeds()), ids=range(6))
def test_the_seeds_of_the_fuzz_target_pass(seed: bytes) -> None:
    check_bytes(seed)
    for end in range(1, len(seed)):
        check_bytes(seed[:end])


@given(st.sampled_from(list(seeds())), st.data())
def test_damaged_seeds_pass(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_bytes(bytes(damaged))

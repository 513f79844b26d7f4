"""The upper layer state machine as data (PS3.8 §9.2, Tables 9-6 to 9-10).

One table serves requestor and acceptor. A cell names the action for an event in a state; an empty cell is an event
that cannot happen there: from the peer it is impossible, from the service user it is a mistake of ours. What an
action does is a list of effects and a next state; `connection` carries the effects out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple


class State(enum.IntEnum):
    """PS3.8 Tables 9-1 to 9-5."""

    STA1 = 1
    """Idle."""
    STA2 = 2
    """Transport connection open, awaiting A-ASSOCIATE-RQ."""
    STA3 = 3
    """Awaiting the local A-ASSOCIATE response."""
    STA4 = 4
    """Awaiting the transport connection to open."""
    STA5 = 5
    """Awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ."""
    STA6 = 6
    """Association established, ready for data."""
    STA7 = 7
    """Awaiting A-RELEASE-RP."""
    STA8 = 8
    """Awaiting the local A-RELEASE response."""
    STA9 = 9
    """Release collision, requestor: awaiting the local A-RELEASE response."""
    STA10 = 10
    """Release collision, acceptor: awaiting A-RELEASE-RP."""
    STA11 = 11
    """Release collision, requestor: awaiting A-RELEASE-RP."""
    STA12 = 12
    """Release collision, acceptor: awaiting the local A-RELEASE response."""
    STA13 = 13
    """Awaiting the close of the transport connection."""


class Event(enum.IntEnum):
    """PS3.8 Table 9-10, leftmost column. A request or response comes from the service user, a PDU from the peer."""

    A_ASSOCIATE_REQUEST = 1
    TRANSPORT_CONNECTED = 2
    A_ASSOCIATE_AC_PDU = 3
    A_ASSOCIATE_RJ_PDU = 4
    TRANSPORT_CONNECTION_INDICATION = 5
    A_ASSOCIATE_RQ_PDU = 6
    A_ASSOCIATE_RESPONSE_ACCEPT = 7
    A_ASSOCIATE_RESPONSE_REJECT = 8
    P_DATA_REQUEST = 9
    P_DATA_TF_PDU = 10
    A_RELEASE_REQUEST = 11
    A_RELEASE_RQ_PDU = 12
    A_RELEASE_RP_PDU = 13
    A_RELEASE_RESPONSE = 14
    A_ABORT_REQUEST = 15
    A_ABORT_PDU = 16
    TRANSPORT_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Effect(enum.Enum):
    """A step of an action."""

    CONNECT = enum.auto()
    """Ask for a transport connection."""
    SEND = enum.auto()
    """Send the PDU that belongs to the event."""
    SEND_USER_ABORT = enum.auto()
    """Send A-ABORT with the service user as source."""
    SEND_PROVIDER_ABORT = enum.auto()
    """Send A-ABORT with the service provider as source, and the reason."""
    INDICATE = enum.auto()
    """Tell the service user: an indication or a confirmation."""
    START_ARTIM = enum.auto()
    STOP_ARTIM = enum.auto()
    CLOSE = enum.auto()
    """Close the transport connection."""


class _Step(NamedTuple):
    effects: tuple[Effect, ...]
    next_state: State


class Action(enum.Enum):
    """PS3.8 Tables 9-6 (associate), 9-7 (data), 9-8 (release), 9-9 (abort).

    AE-6 and AR-8 have two outcomes each: AE-6R is the refusal of a request that the provider does not accept, AR-8
    goes to Sta9 for the requestor and to Sta10 (`next_state_of_acceptor`) for the acceptor.
    """

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_6R = "AE-6R"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What to do, in order."""
        return _STEPS[self].effects

    @property
    def next_state(self) -> State:
        """Where it leads."""
        return _STEPS[self].next_state


_STEPS: Final[Mapping[Action, _Step]] = {
    Action.AE_1: _Step((Effect.CONNECT,), State.STA4),
    Action.AE_2: _Step((Effect.SEND,), State.STA5),
    Action.AE_3: _Step((Effect.INDICATE,), State.STA6),
    Action.AE_4: _Step((Effect.INDICATE, Effect.CLOSE), State.STA1),
    Action.AE_5: _Step((Effect.START_ARTIM,), State.STA2),
    Action.AE_6: _Step((Effect.STOP_ARTIM, Effect.INDICATE), State.STA3),
    Action.AE_6R: _Step((Effect.STOP_ARTIM, Effect.SEND, Effect.START_ARTIM), State.STA13),
    Action.AE_7: _Step((Effect.SEND,), State.STA6),
    Action.AE_8: _Step((Effect.SEND, Effect.START_ARTIM), State.STA13),
    Action.DT_1: _Step((Effect.SEND,), State.STA6),
    Action.DT_2: _Step((Effect.INDICATE,), State.STA6),
    Action.AR_1: _Step((Effect.SEND,), State.STA7),
    Action.AR_2: _Step((Effect.INDICATE,), State.STA8),
    Action.AR_3: _Step((Effect.INDICATE, Effect.CLOSE), State.STA1),
    Action.AR_4: _Step((Effect.SEND, Effect.START_ARTIM), State.STA13),
    Action.AR_5: _Step((Effect.STOP_ARTIM,), State.STA1),
    Action.AR_6: _Step((Effect.INDICATE,), State.STA7),
    Action.AR_7: _Step((Effect.SEND,), State.STA8),
    Action.AR_8: _Step((Effect.INDICATE,), State.STA9),
    Action.AR_9: _Step((Effect.SEND,), State.STA11),
    Action.AR_10: _Step((Effect.INDICATE,), State.STA12),
    Action.AA_1: _Step((Effect.SEND_USER_ABORT, Effect.START_ARTIM), State.STA13),
    Action.AA_2: _Step((Effect.STOP_ARTIM, Effect.CLOSE), State.STA1),
    Action.AA_3: _Step((Effect.INDICATE, Effect.CLOSE), State.STA1),
    Action.AA_4: _Step((Effect.INDICATE,), State.STA1),
    Action.AA_5: _Step((Effect.STOP_ARTIM,), State.STA1),
    Action.AA_6: _Step((), State.STA13),
    Action.AA_7: _Step((Effect.SEND_PROVIDER_ABORT,), State.STA13),
    Action.AA_8: _Step((Effect.SEND_PROVIDER_ABORT, Effect.INDICATE, Effect.START_ARTIM), State.STA13),
}


def next_state_of(action: Action, *, is_requestor: bool) -> State:
    """Where an action leads for either side."""
    if action is Action.AR_8 and not is_requestor:
        return State.STA10
    return action.next_state


# PS3.8 Table 9-10: a row per event, a column per state.
_TABLE: Final = """
Sta:   1    2    3    4    5    6    7    8    9    10   11   12   13
Evt1   AE-1 -    -    -    -    -    -    -    -    -    -    -    -
Evt2   -    -    -    AE-2 -    -    -    -    -    -    -    -    -
Evt3   -    AA-1 AA-8 -    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt4   -    AA-1 AA-8 -    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt5   AE-5 -    -    -    -    -    -    -    -    -    -    -    -
Evt6   -    AE-6 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-7
Evt7   -    -    AE-7 -    -    -    -    -    -    -    -    -    -
Evt8   -    -    AE-8 -    -    -    -    -    -    -    -    -    -
Evt9   -    -    -    -    -    DT-1 -    AR-7 -    -    -    -    -
Evt10  -    AA-1 AA-8 -    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt11  -    -    -    -    -    AR-1 -    -    -    -    -    -    -
Evt12  -    AA-1 AA-8 -    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt13  -    AA-1 AA-8 -    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3 AA-8 AA-6
Evt14  -    -    -    -    -    -    -    AR-4 AR-9 -    -    AR-4 -
Evt15  -    -    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 -
Evt16  -    AA-2 AA-3 -    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-2
Evt17  -    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AR-5
Evt18  -    AA-2 -    -    -    -    -    -    -    -    -    -    AA-2
Evt19  -    AA-1 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-7
"""


def _read_table(table: str) -> dict[tuple[State, Event], Action]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    return {
        (State(int(state)), Event(int(row[0].removeprefix("Evt")))): Action(cell)
        for row in rows
        for state, cell in zip(head[1:], row[1:], strict=True)
        if cell != "-"
    }


TRANSITIONS: Final[Mapping[tuple[State, Event], Action]] = _read_table(_TABLE)

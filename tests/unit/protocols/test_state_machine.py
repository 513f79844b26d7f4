"""The table of PS3.8 §9.2, against another reading of the Standard and against itself."""

from __future__ import annotations

import pytest
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE

from amonsul.protocols.upper_layer.state_machine import (
    TRANSITIONS,
    Action,
    Effect,
    Event,
    State,
    next_state_of,
)


def test_the_table_is_that_of_pynetdicom() -> None:
    ours = {(f"Evt{event.value}", f"Sta{state.value}"): action.value for (state, event), action in TRANSITIONS.items()}
    assert ours == TRANSITION_TABLE


@pytest.mark.parametrize("action", [action for action in Action if action not in (Action.AE_6R, Action.AR_8)])
def test_actions_lead_where_those_of_pynetdicom_lead(action: Action) -> None:
    theirs = ACTIONS[action.value][2]
    expected = theirs[0] if action is Action.AE_6 else theirs
    assert f"Sta{next_state_of(action, is_requestor=True).value}" == expected


def test_a_refused_request_waits_for_the_close() -> None:
    assert next_state_of(Action.AE_6R, is_requestor=False) is State.STA13


def test_a_release_collision_has_two_sides() -> None:
    assert next_state_of(Action.AR_8, is_requestor=True) is State.STA9
    assert next_state_of(Action.AR_8, is_requestor=False) is State.STA10


@pytest.mark.parametrize("state", [state for state in State if state not in (State.STA1, State.STA4)])
def test_every_pdu_is_foreseen_wherever_there_is_a_connection(state: State) -> None:
    for event in (
        Event.A_ASSOCIATE_AC_PDU,
        Event.A_ASSOCIATE_RJ_PDU,
        Event.A_ASSOCIATE_RQ_PDU,
        Event.P_DATA_TF_PDU,
        Event.A_RELEASE_RQ_PDU,
        Event.A_RELEASE_RP_PDU,
        Event.A_ABORT_PDU,
        Event.INVALID_PDU,
        Event.TRANSPORT_CLOSED,
    ):
        assert (state, event) in TRANSITIONS


@pytest.mark.parametrize("action", list(Action))
def test_waiting_for_the_close_is_never_without_artim(action: Action) -> None:
    if action.next_state is State.STA13 and action not in (Action.AA_6, Action.AA_7):  # these stay there
        assert Effect.START_ARTIM in action.effects

"""The table of states."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as some

from domain.errors import InvalidTransitionError
from domain.state_effects import EFFECTS
from domain.states import (
    FINAL_STATES,
    INITIAL,
    MOVES,
    OPEN_STATES,
    WAITING_STATES,
    WORKER_STATES,
    Event,
    State,
    next_state,
)


def test_every_state_can_be_reached_from_received() -> None:
    reached, todo = set(), deque([INITIAL[1]])
    while todo:
        here = todo.popleft()
        reached.add(here)
        todo.extend(there for (start, _), there in MOVES.items() if start is here and there not in reached)
    assert reached == set(State)


def test_every_event_is_used() -> None:
    assert {event for _, event in MOVES} | {INITIAL[0]} == set(Event)


def test_every_state_is_moved_on_by_us_by_a_person_or_by_nobody() -> None:
    assert set(State) == WORKER_STATES | WAITING_STATES | FINAL_STATES
    assert not WORKER_STATES & WAITING_STATES
    assert not (WORKER_STATES | WAITING_STATES) & FINAL_STATES


def test_the_end_is_the_end_but_for_a_refund_that_fails_late() -> None:
    left = {key for key, there in MOVES.items() if key[0] in FINAL_STATES and there is not key[0]}
    assert left == {(State.REFUNDED, Event.PROVIDER_FAILED_LATE)}


def test_money_leaves_only_from_approved() -> None:
    assert {here for (here, _), there in MOVES.items() if there is State.REFUNDING and here is not there} == {
        State.APPROVED
    }


def test_nothing_leads_back_before_the_payment_but_a_person_or_the_proof_that_nothing_was_paid() -> None:
    paying = {State.REFUNDING, State.REFUND_PENDING, State.REFUNDED}
    back = {key for key, there in MOVES.items() if key[0] in paying and there not in paying | {State.WITH_SUPPORT}}
    assert back == {
        (State.REFUNDING, Event.REFUND_DEFERRED),
        (State.REFUNDING, Event.CONFIRMED_NOT_REFUNDED),
        (State.REFUND_PENDING, Event.REFUND_DEFERRED),
    }


def test_every_state_that_must_move_has_somebody_to_send_it_again() -> None:
    assert set(EFFECTS) == set(State)
    for state in WORKER_STATES:
        assert EFFECTS[state].timeout
        assert EFFECTS[state].resend


def test_a_refunded_purchase_stays_held() -> None:
    assert State.REFUNDED in OPEN_STATES
    assert State.RECEIVED not in OPEN_STATES


@given(here=some.sampled_from(State), event=some.sampled_from(Event))
def test_what_the_table_does_not_have_cannot_happen(here: State, event: Event) -> None:
    if (here, event) in MOVES:
        assert next_state(here, event) is MOVES[here, event]
    else:
        with pytest.raises(InvalidTransitionError, match=f"{here} cannot take the event {event}"):
            next_state(here, event)

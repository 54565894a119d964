"""The table of states and transitions."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidTransitionError
from domain.state_effects import EFFECTS
from domain.states import (
    ENDED_BY_SUPPORT,
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
    reached, queue = set(), deque([INITIAL[1]])
    while queue:
        state = queue.popleft()
        reached.add(state)
        queue.extend(target for (source, _), target in MOVES.items() if source is state and target not in reached)
    assert reached == set(State)


def test_every_event_is_used() -> None:
    assert {event for _, event in MOVES} | {INITIAL[0]} == set(Event)


def test_a_state_belongs_to_the_workers_or_waits_or_is_final() -> None:
    assert set(State) == WORKER_STATES | WAITING_STATES | FINAL_STATES
    assert not WORKER_STATES & WAITING_STATES
    assert not (WORKER_STATES | WAITING_STATES) & FINAL_STATES


def test_only_late_news_or_support_moves_a_case_out_of_a_final_state() -> None:
    moves_out = {key for key, target in MOVES.items() if key[0] in FINAL_STATES and target is not key[0]}
    late_news = {
        Event.PROVIDER_PAID,
        Event.PROVIDER_ACCEPTED,
        Event.CUSTOMER_ACTION_REQUIRED,
        Event.PAYMENT_REFUNDED,
        Event.PROVIDER_PAID_DIFFERENTLY,
    }
    assert moves_out == {
        *((state, Event.PROVIDER_FAILED_LATE) for state in (State.REFUNDED, *ENDED_BY_SUPPORT)),
        *((state, Event.SUPPORT_APPROVED) for state in (State.REFUNDED, *ENDED_BY_SUPPORT)),
        (State.UNMATCHED, Event.PURCHASE_REPORTED),
        (State.UNMATCHED, Event.SUPPORT_REMATCHED),
        *((state, event) for state in ENDED_BY_SUPPORT for event in late_news),
    }


def test_a_refund_starts_only_from_approved() -> None:
    sources = {source for (source, _), target in MOVES.items() if target is State.REFUNDING}
    assert sources - {State.REFUNDING} == {State.APPROVED}


def test_a_case_moves_back_only_if_its_refund_was_deferred_or_not_made_or_more_remains_to_be_refunded() -> None:
    paying = {State.REFUNDING, State.WAITING_FOR_APPROVAL, State.REFUND_PENDING, State.REFUNDED}
    moves_back = {
        key for key, target in MOVES.items() if key[0] in paying and target not in {*paying, State.WITH_SUPPORT}
    }
    assert moves_back == {
        *((state, Event.PAYMENT_REFUNDED) for state in paying - {State.REFUNDED}),
        (State.REFUNDING, Event.PAYMENT_DECLINED),
        *((state, Event.REFUND_DEFERRED) for state in paying - {State.REFUNDED}),
        (State.REFUNDING, Event.CONFIRMED_NOT_REFUNDED),
        (State.REFUNDED, Event.SUPPORT_APPROVED),
    }


def test_every_worker_state_has_a_timeout_and_messages_to_resend() -> None:
    assert set(EFFECTS) == set(State)
    for state in WORKER_STATES:
        assert EFFECTS[state].timeout
        assert EFFECTS[state].resend


def test_the_open_states_include_refunded_but_not_received() -> None:
    """In an open state, a second request for the same purchase is a duplicate."""
    assert State.REFUNDED in OPEN_STATES
    assert State.RECEIVED not in OPEN_STATES


@given(state=st.sampled_from(State), event=st.sampled_from(Event))
def test_a_transition_outside_the_table_is_an_error(state: State, event: Event) -> None:
    if (state, event) in MOVES:
        assert next_state(state, event) is MOVES[state, event]
    else:
        with pytest.raises(InvalidTransitionError, match=f'"{event}" is not possible in the state "{state}"'):
            next_state(state, event)

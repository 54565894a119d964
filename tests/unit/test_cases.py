"""A case and its transitions: each hash of the chain covers the whole transition and the previous hash."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cases import GENESIS, Case, chain_hash
from domain.eligibility import Escalate
from domain.errors import InvalidTransitionError, KeyReusedError
from domain.messages import CaseEmailsDue, RefundApproved, SupportNeeded
from domain.reason_codes import ReasonCode, RuleResult
from domain.state_effects import messages_for
from domain.states import Event, State
from tests.sample_data import NOON, a_submitted_request

CASE = Case(id=UUID(int=1), state=State.APPROVED, seq=2, head_hash=b"\x01" * 32, fence=3, request=a_submitted_request())


def test_a_transition_that_is_not_in_the_table_of_states_is_refused() -> None:
    transition = CASE.after(Event.REFUND_STARTED, actor="worker", evidence={"charge": "ok_1"})
    assert (transition.to_state, transition.seq) == (State.REFUNDING, 3)
    with pytest.raises(InvalidTransitionError):
        CASE.after(Event.CUSTOMER_CONFIRMED, actor="worker")


def test_only_a_transition_with_a_lease_increases_the_fence() -> None:
    transition = CASE.after(Event.REFUND_STARTED, actor="worker")
    leased = replace(transition, lease=90.0).case_after(NOON)
    assert (leased.state, leased.seq, leased.head_hash, leased.fence) == (
        State.REFUNDING,
        3,
        transition.digest(NOON),
        4,
    )
    assert transition.case_after(NOON).fence == 3


ROW = (GENESIS, UUID(int=1), 1, NOON, "", "accepted", "received", "web", "", {"a": 1})
OTHER_ROW = (
    b"\x00",
    UUID(int=2),
    2,
    NOON + timedelta(microseconds=1),
    "received",
    "withdrew",
    "gone",
    "api",
    "why",
    {"a": 2},
)


@pytest.mark.parametrize("column", range(len(ROW)))
def test_the_hash_covers_every_column_of_a_row(column: int) -> None:
    changed = (*ROW[:column], OTHER_ROW[column], *ROW[column + 1 :])
    assert chain_hash(*changed) != chain_hash(*ROW)  # type: ignore[arg-type]  # the columns of a row, in order


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_the_hash_does_not_depend_on_the_order_of_the_evidence_keys(evidence: dict[str, object]) -> None:
    backwards = dict(reversed(evidence.items()))
    assert chain_hash(*ROW[:-1], evidence) == chain_hash(*ROW[:-1], backwards)


def test_an_escalation_names_only_the_broken_rules() -> None:
    broken = RuleResult("untouched", ReasonCode.ALREADY_REFUNDED)
    assert Escalate((RuleResult("full_refund"), broken)).reasons == (broken,)


def test_a_state_publishes_its_messages_if_it_has_any() -> None:
    assert messages_for(State.APPROVED) == (RefundApproved,)
    assert messages_for(State.WITH_SUPPORT) == (CaseEmailsDue, SupportNeeded)
    assert messages_for(State.EXPIRED) == ()


def test_the_docstring_of_an_error_is_its_message() -> None:
    assert "Use a new key for a new request." in str(KeyReusedError())

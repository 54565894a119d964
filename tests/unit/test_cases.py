"""A case and its steps: each link of the chain depends on all that it says, and on the link before."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from domain.cases import GENESIS, Case, chain_hash
from domain.eligibility import Escalate
from domain.errors import InvalidTransitionError, KeyReusedError
from domain.messages import CaseEmailsDue, RefundApproved, SupportNeeded
from domain.reason_codes import ReasonCode, RuleResult
from domain.state_effects import EFFECTS, messages_for
from domain.states import Event, State
from tests.sample_data import NOON, asked

CASE = Case(id=UUID(int=1), state=State.APPROVED, seq=2, head_hash=b"\x01" * 32, fence=3, request=asked())


def test_a_step_leads_where_the_table_says() -> None:
    step = CASE.after(Event.REFUND_STARTED, actor="worker", evidence={"charge": "ok_1"})
    assert (step.to_state, step.seq) == (State.REFUNDING, 3)
    with pytest.raises(InvalidTransitionError):
        CASE.after(Event.PROVIDER_PAID, actor="worker")


def test_whoever_records_a_step_with_a_lease_fences_the_others_out() -> None:
    step = CASE.after(Event.REFUND_STARTED, actor="worker")
    held = replace(step, lease=90.0).case_after(NOON)
    assert (held.state, held.seq, held.head_hash, held.fence) == (State.REFUNDING, 3, step.digest(NOON), 4)
    assert step.case_after(NOON).fence == 3


ROW = (GENESIS, UUID(int=1), 1, NOON, "", "accepted", "received", "web", "", {"a": 1})
OTHER = (
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


@pytest.mark.parametrize("place", range(len(ROW)))
def test_a_link_depends_on_everything_in_its_row(place: int) -> None:
    changed = (*ROW[:place], OTHER[place], *ROW[place + 1 :])
    assert chain_hash(*changed) != chain_hash(*ROW)  # type: ignore[arg-type]  # the parts of a row, in order


@given(some.dictionaries(some.text(max_size=5), some.integers() | some.text(max_size=5), max_size=4))
def test_the_order_in_which_evidence_was_written_does_not_matter(evidence: dict[str, object]) -> None:
    backwards = dict(reversed(evidence.items()))
    assert chain_hash(*ROW[:-1], evidence) == chain_hash(*ROW[:-1], backwards)


def test_an_escalation_names_only_what_speaks_against_it() -> None:
    bad = RuleResult("untouched", ReasonCode.ALREADY_REFUNDED)
    assert Escalate((RuleResult("full_refund"), bad)).reasons == (bad,)


def test_what_a_state_sets_going_is_in_one_table() -> None:
    assert messages_for(EFFECTS[State.APPROVED]) == (RefundApproved,)
    assert messages_for(EFFECTS[State.WITH_SUPPORT]) == (CaseEmailsDue, SupportNeeded)
    assert messages_for(EFFECTS[State.EXPIRED]) == ()


def test_an_errors_docstring_is_its_message() -> None:
    assert "Use a new key for a new request." in str(KeyReusedError())

"""Tests a short chaos run with agents, and that its checks find each kind of mistake.

A longer run is started with `make chaos` or `python -m tests.chaos.agents`.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest

from domain.money import Money
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.states import State
from domain.support_decisions import DecisionStatus
from tests.chaos.agent_checks import (
    CHECKS,
    ApprovalFact,
    CaseFact,
    DecisionFact,
    Facts,
    OperationFact,
    PaymentFact,
    RefundFact,
    check,
)
from tests.chaos.agents import AgentOptions, run_agents
from tests.chaos.desk_agents import Notes, SentConfirmation, SentDecision
from tests.chaos.desk_pages import read_case_page
from tests.chaos.support_cases import purchases

PAID_CASE, OPEN_CASE = UUID(int=1), UUID(int=2)
ALONE, PROPOSED, DECLINED = UUID(int=11), UUID(int=12), UUID(int=13)
Plant = Callable[[Facts, Notes], object]

CLARA, LEA = "user:clara", "user:lea"
HASHES = "11111111.22222222"


def revision(seq: int, proposal: str = "00000000") -> str:
    return f"{seq}.0.{HASHES}.{proposal}"


def approval(decision: UUID, minor: int, confirmed_by: str | None) -> RefundApproval:
    refund = ApprovedRefund("sandbox", "ok_1", Money(minor, "EUR"))
    return RefundApproval(decision, (refund,), decided_by=CLARA, confirmed_by=confirmed_by)


def sound() -> tuple[Facts, Notes]:
    """Return a run without a mistake: a part that Clara approved alone, and a part that Lea confirmed. Clara also declined."""
    facts = Facts(
        cases={
            PAID_CASE: CaseFact(State.REFUNDED, 2_000, 0),
            OPEN_CASE: CaseFact(State.WITH_SUPPORT, None, 1),
        },
        decisions=[
            DecisionFact(ALONE, PAID_CASE, CLARA, "a", revision(2), DecisionStatus.APPLIED, None, 3),
            DecisionFact(PROPOSED, PAID_CASE, CLARA, "p", revision(5), DecisionStatus.APPLIED, LEA, 6),
            DecisionFact(DECLINED, OPEN_CASE, CLARA, "d", revision(2), DecisionStatus.UNDONE, None, 3),
        ],
        approvals=[
            ApprovalFact(PAID_CASE, 3, approval(ALONE, 1_900, None)),
            ApprovalFact(PAID_CASE, 6, approval(PROPOSED, 3_000, LEA)),
        ],
        operations=[
            OperationFact("mb_1", PAID_CASE, ALONE, "ok_1", 1_900, "paid", 1_900),
            OperationFact("mb_2", PAID_CASE, PROPOSED, "ok_1", 3_000, "paid", 3_000),
        ],
        payments={"ok_1": PaymentFact(4_900, 4_900, 4_900, 0), "ok_2": PaymentFact(4_900, 0, 0, 1_000)},
        refunds=[
            RefundFact("mb_1", "ok_1", 1_900),
            RefundFact("mb_2", "ok_1", 3_000),
            RefundFact("external-1", "ok_2", 1_000),
        ],
        drafts={(LEA, OPEN_CASE): "A draft."},
    )
    notes = Notes(
        decisions=[
            SentDecision(PAID_CASE, CLARA, "a", revision(2), is_stale=False, status=303),
            SentDecision(PAID_CASE, CLARA, "p", revision(5), is_stale=False, status=303),
            SentDecision(OPEN_CASE, CLARA, "d", revision(2), is_stale=False, status=None),
            SentDecision(PAID_CASE, LEA, "old", revision(2), is_stale=True, status=409),
        ],
        confirmations=[SentConfirmation(PROPOSED, LEA, revision(5, "33333333"), 303)],
        undone=[DECLINED],
        drafts={(LEA, OPEN_CASE): {"A draft."}, (CLARA, PAID_CASE): {None}, (CLARA, OPEN_CASE): {None, "Text."}},
    )
    return facts, notes


def with_decision(**changes: Any) -> Plant:
    """Return a change of the decision that Lea confirmed."""

    def change(facts: Facts, _: Notes) -> None:
        facts.decisions[1] = facts.decisions[1]._replace(**changes)

    return change


def with_payment(**changes: int) -> Plant:
    def change(facts: Facts, _: Notes) -> None:
        facts.payments["ok_1"] = facts.payments["ok_1"]._replace(**changes)

    return change


def with_refund(*refunds: RefundFact) -> Plant:
    return lambda facts, _: facts.refunds.extend(refunds)


def with_case(state: State, open_tasks: int) -> Plant:
    return lambda facts, _: facts.cases.update({OPEN_CASE: CaseFact(state, None, open_tasks)})


def send_stale(facts: Facts, notes: Notes) -> None:
    """Store the decision that was sent on an old revision."""
    facts.decisions.append(DecisionFact(UUID(int=14), PAID_CASE, LEA, "old", revision(2), "proposed", None, None))
    notes.decisions[-1] = notes.decisions[-1]._replace(status=303)


def confirm_alone(facts: Facts, notes: Notes) -> None:
    with_decision(confirmed_by=CLARA)(facts, notes)
    notes.confirmations[0] = notes.confirmations[0]._replace(agent=CLARA)


def approve_alone(facts: Facts, _: Notes) -> None:
    facts.approvals[1] = facts.approvals[1]._replace(approval=approval(PROPOSED, 3_000, CLARA))


def send_undone(facts: Facts, _: Notes) -> None:
    facts.decisions[0] = facts.decisions[0]._replace(status=DecisionStatus.UNDONE)


def refund_twice(facts: Facts, _: Notes) -> None:
    """Let a decision refund the payment with two operations."""
    facts.operations.append(facts.operations[0]._replace(key="mb_3"))


def leave_reserved(facts: Facts, _: Notes) -> None:
    facts.operations[1] = facts.operations[1]._replace(amount=3_000, paid_amount=0, status="failed")


MISTAKES: dict[str, list[Plant]] = {
    "two effects of a revision": [
        with_decision(revision=revision(2)),
        with_decision(applied_seq=3),
    ],
    "stale decisions": [
        send_stale,
        with_decision(applied_seq=8),
        with_decision(confirmed_by=None, revision=revision(4)),
        lambda _, notes: notes.confirmations.clear(),
    ],
    "lost or invented decisions": [
        lambda facts, _: facts.decisions.pop(0),
        lambda _, notes: notes.decisions.pop(0),
        lambda facts, _: facts.decisions.append(replace_id(facts.decisions[0])),
        with_decision(case=OPEN_CASE),
        lambda _, notes: notes.decisions.__setitem__(0, notes.decisions[0]._replace(status=409)),
    ],
    "lost confirmations": [with_decision(confirmed_by=None), lambda _, notes: notes.undone.append(ALONE)],
    "lost drafts": [
        lambda facts, _: facts.drafts.clear(),
        lambda facts, _: facts.drafts.update({(LEA, OPEN_CASE): "An older draft."}),
        lambda facts, _: facts.drafts.update({(CLARA, PAID_CASE): "A draft of a decided case."}),
        lambda facts, _: facts.drafts.update({(LEA, PAID_CASE): "Nobody wrote this."}),
    ],
    "too much money": [
        with_refund(RefundFact("mb_2", "ok_1", 1)),
        with_refund(RefundFact("external-2", "ok_2", 4_000)),
        with_refund(RefundFact("external-2", "ok_3", 1)),
        with_payment(refunded=4_901),
        with_payment(reserved=4_901),
    ],
    "wrong books": [
        lambda facts, _: facts.refunds.pop(),
        with_payment(refunded=4_800),
        with_payment(reserved=4_800),
        with_payment(refunded_elsewhere=1),
        leave_reserved,
    ],
    "refunds without approval": [
        with_refund(RefundFact("mb_9", "ok_2", 1)),
        lambda facts, _: facts.refunds.__setitem__(0, RefundFact("mb_1", "ok_1", 1_800)),
        lambda facts, _: facts.approvals.pop(),
        refund_twice,
        send_undone,
    ],
    "refunds by the rules": [
        lambda facts, _: facts.operations.__setitem__(0, facts.operations[0]._replace(decision=None))
    ],
    "own confirmations": [confirm_alone, approve_alone],
    "forgotten cases": [with_case(State.REFUNDING, 0), with_case(State.WITH_SUPPORT, 0), with_case(State.CLOSED, 1)],
}
"""For each check, the mistakes that it must find."""


def replace_id(decision: DecisionFact) -> DecisionFact:
    """Return a second decision with the same key."""
    return decision._replace(id=UUID(int=15), applied_seq=None)


def test_the_checks_find_nothing_in_a_sound_run() -> None:
    assert check(*sound()) == []


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        pytest.param(name, plant, id=f"{name} {number}")
        for name, plants in MISTAKES.items()
        for number, plant in enumerate(plants)
    ],
)
def test_each_check_finds_its_mistakes(name: str, plant: Plant) -> None:
    facts, notes = sound()
    plant(facts, notes)
    assert list(CHECKS[name](facts, notes))
    assert check(facts, notes)


def test_every_check_has_mistakes() -> None:
    assert MISTAKES.keys() == CHECKS.keys()


def test_errors_of_agents_and_of_the_audit_are_reported() -> None:
    facts, notes = sound()
    assert check(replace(facts, audit_faults=["a fault"]), replace(notes, errors=["an error"])) == [
        "an error",
        "a fault",
    ]


def test_the_forms_of_a_page_are_read_as_a_browser_reads_them() -> None:
    page = read_case_page(
        '<form action="/search"><input name="q"></form><form action="/tasks/1/take"></form>'
        '<form action="/cases/1/decisions"><input type="hidden" name="revision" value="1.0"><textarea name="message">'
        'A &lt;text&gt;</textarea><input type="checkbox" name="a" value="yes" checked><input type="radio" name="b"'
        ' value="no"></form>'
    )
    assert page.take
    assert page.decide
    assert page.decide.fields == {"revision": "1.0", "message": "A <text>", "a": "yes"}
    assert page.decide.names == {"revision", "message", "a", "b"}
    assert (page.revision, page.undo, page.confirm) == ("1.0", None, None)


def test_the_same_seed_gives_the_same_cases() -> None:
    first, second = ([p.payments[0].charge for p in purchases(40, Random(3))] for _ in range(2))
    assert first == second
    assert len(set(first)) < len(first), "No payment has paid several purchases."


@pytest.mark.slow
def test_with_faults_agents_decide_no_case_twice_and_lose_no_draft() -> None:
    result = run_agents(AgentOptions(seconds=10, seed=7, cases=40, agents=16, kills=4))
    assert result.wrong == []
    assert result.kills > 0
    assert result.facts.refunds
    assert result.facts.drafts
    assert {sent.status for sent in result.notes.decisions} >= {303, 409}
    assert result.notes.steps["taken by next"] > 0

"""Batches of decisions: preview, sum, a second person, stop, and going on after a kill."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from domain.errors import NotFoundError, NotPossibleError
from domain.money import Money
from domain.states import State
from domain.support_decisions import DecidedBy
from domain.support_tasks import SupportTaskKind
from producers import decision_batches, decisions
from producers.decisions import Submission
from records import Records
from records.decision_batches import Batch, BatchStatus
from records.support_decisions import StoredDecision
from records.support_tasks import NewSupportTask
from records.task_filters import TaskFilter
from tests.integration._web_fixtures import a_case
from tests.integration.test_decisions import FULL, READ
from tests.sample_data import a_recent_purchase, a_seller, store_seller_and_purchases

CLARA, LEA = DecidedBy(id="user:clara", name="Clara"), DecidedBy(id="user:lea", name="Lea")
DECLINE = READ.validate_python({"action": "decline", "message": "The recall does not apply."})
APPROVE = READ.validate_python(FULL)


@pytest.fixture
def records(settings: Settings) -> Any:
    opened = Records.of(settings)
    yield opened
    opened.engine.dispose()


def cases(records: Records, number: int, **seller: Any) -> list[UUID]:
    """Store cases with support, each about a purchase of 49.00 EUR."""
    store_seller_and_purchases(records, seller=a_seller(**seller))
    return [a_case(records, State.WITH_SUPPORT, purchase=a_numbered_purchase(n)) for n in range(number)]


def a_numbered_purchase(number: int) -> Any:
    purchase = a_recent_purchase(id=uuid4(), reference=f"MB-{number}", email=f"ada{number}@example.com")
    return replace(purchase, payments=tuple(replace(p, charge=f"ok_{number}") for p in purchase.payments))


def batch_of(records: Records, batch_id: UUID) -> Batch:
    with records.work() as work:
        batch = work.decision_batches.get(batch_id)
    assert batch
    return batch


def run_all(records: Records) -> int:
    decided = 0
    while count := decision_batches.run_once(records):
        decided += count
    return decided


def states_of(records: Records, ids: list[UUID]) -> set[str]:
    with records.work() as work:
        return {view.state for view in work.case_views.get_many(ids).values()}


def test_a_preview_decides_nothing_and_shows_the_sum(records: Records) -> None:
    ids = cases(records, 3)
    batch = batch_of(records, decision_batches.preview(records, "aurora", ids, APPROVE, by=CLARA))
    assert (batch.status, batch.cases, batch.done, batch.counted) == (BatchStatus.PREVIEW, 3, 0, Money(14_700, "EUR"))
    assert run_all(records) == 0
    assert states_of(records, ids) == {State.WITH_SUPPORT}


def test_a_case_whose_decision_waits_for_a_second_person_does_not_stop_a_batch(records: Records) -> None:
    ids = cases(records, 3, four_eyes_above=Money(1_000, "EUR"))
    with records.work() as work:
        revision = str(work.support_decisions.revisions(ids)[ids[0]])
    decisions.decide(
        records,
        Submission(case_id=ids[0], decision=APPROVE, revision=revision, source="desk", key="1", by=CLARA),
    )
    batch_id = decision_batches.preview(records, "aurora", ids, DECLINE, by=LEA)
    decision_batches.start(records, batch_id, by=LEA)
    assert run_all(records) == 3
    batch = batch_of(records, batch_id)
    assert (batch.status, batch.done, batch.applied) == (BatchStatus.FINISHED, 3, 2)
    assert states_of(records, ids[1:]) == {State.DECLINED}


def test_a_case_on_which_the_program_fails_does_not_stop_a_batch(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = cases(records, 3)
    batch_id = decision_batches.preview(records, "aurora", ids, DECLINE, by=CLARA)
    decision_batches.start(records, batch_id, by=CLARA)
    real = decisions.decide

    def fail_once(opened: Records, submitted: Submission) -> StoredDecision:
        if submitted.case_id == ids[1]:
            raise ZeroDivisionError
        return real(opened, submitted)

    monkeypatch.setattr(decisions, "decide", fail_once)
    assert run_all(records) == 3
    batch = batch_of(records, batch_id)
    assert (batch.status, batch.done, batch.applied) == (BatchStatus.FINISHED, 3, 2)
    with records.work() as work:
        outcomes = [item.outcome for item in work.decision_batches.items(batch_id)]
    assert "The program failed on this case (ZeroDivisionError). Decide it on its own after the fix." in outcomes


@pytest.mark.parametrize(("decision", "state"), [(APPROVE, State.APPROVED), (DECLINE, State.DECLINED)])
def test_every_case_of_a_batch_is_decided_once(records: Records, decision: Any, state: State) -> None:
    ids = cases(records, 25)
    batch_id = decision_batches.preview(records, "aurora", ids, decision, by=CLARA)
    assert decision_batches.start(records, batch_id, by=CLARA) is BatchStatus.RUNNING
    assert run_all(records) == 25
    batch = batch_of(records, batch_id)
    assert (batch.status, batch.done, batch.applied) == (BatchStatus.FINISHED, 25, 25)
    assert states_of(records, ids) == {state}


def test_the_sum_of_a_batch_needs_another_person(records: Records) -> None:
    ids = cases(records, 3, four_eyes_above=Money(10_000, "EUR"))
    batch_id = decision_batches.preview(records, "aurora", ids, APPROVE, by=CLARA)
    assert decision_batches.start(records, batch_id, by=CLARA) is BatchStatus.PROPOSED
    assert run_all(records) == 0
    with pytest.raises(NotPossibleError, match="your own batch"):
        decision_batches.confirm(records, batch_id, by=CLARA)
    decision_batches.confirm(records, batch_id, by=LEA)
    assert run_all(records) == 3
    assert batch_of(records, batch_id).applied == 3
    assert states_of(records, ids) == {State.APPROVED}


def test_a_stopped_batch_goes_on_where_it_stopped(records: Records) -> None:
    ids = cases(records, 30)
    batch_id = decision_batches.preview(records, "aurora", ids, DECLINE, by=CLARA)
    decision_batches.start(records, batch_id, by=CLARA)
    assert decision_batches.run_once(records) == 20
    decision_batches.stop(records, batch_id)
    assert run_all(records) == 0
    assert batch_of(records, batch_id).done == 20
    decision_batches.start(records, batch_id, by=CLARA)
    assert run_all(records) == 10
    assert batch_of(records, batch_id).status is BatchStatus.FINISHED


def test_a_killed_process_does_not_decide_twice(records: Records) -> None:
    """The process dies after a decision and before its outcome is stored. Another process goes on after the claim."""
    ids = cases(records, 2)
    batch_id = decision_batches.preview(records, "aurora", ids, APPROVE, by=CLARA)
    decision_batches.start(records, batch_id, by=CLARA)
    with records.work() as work:
        claimed = work.decision_batches.claim(limit=1, seconds=0)
        batch = work.decision_batches.get(batch_id)
    assert batch
    assert decision_batches._decide(records, batch, claimed[0]) == "applied"
    assert run_all(records) == 2
    assert batch_of(records, batch_id).applied == 2
    with records.work() as work:
        assert work.run("select count(*) from support_decisions").scalar_one() == 2
        assert work.run("select count(*) from transitions where event = 'support_approved'").scalar_one() == 2


def test_a_case_that_changed_since_the_preview_is_left_out_with_the_reason(records: Records) -> None:
    ids = cases(records, 3)
    batch_id = decision_batches.preview(records, "aurora", ids, APPROVE, by=CLARA)
    with records.work() as work:
        work.run("update payments set refunded_elsewhere = 100 where charge = 'ok_1'")
    decision_batches.start(records, batch_id, by=CLARA)
    run_all(records)
    batch = batch_of(records, batch_id)
    assert (batch.status, batch.done, batch.applied) == (BatchStatus.FINISHED, 3, 2)
    with records.work() as work:
        outcomes = {item.case_id: item.outcome for item in work.decision_batches.items(batch_id)}
    assert outcomes[ids[1]] == "A refund or a dispute of a payment changed."


@pytest.mark.parametrize("number", [0, 5_001])
def test_a_batch_has_a_size(records: Records, number: int) -> None:
    with pytest.raises(NotPossibleError, match="between 1 and 5,000"):
        decision_batches.preview(records, "aurora", [uuid4() for _ in range(number)], DECLINE, by=CLARA)


def test_a_case_of_another_seller_is_not_in_a_batch(records: Records) -> None:
    (case,) = cases(records, 1)
    with pytest.raises(NotFoundError):
        decision_batches.preview(records, "babbage", [case], DECLINE, by=CLARA)


def test_a_case_that_is_not_with_support_is_not_in_a_batch(records: Records) -> None:
    ids = cases(records, 1)
    approved = a_case(records, State.APPROVED, purchase=a_numbered_purchase(9))
    with pytest.raises(NotPossibleError, match=r"is approved\. Take it out"):
        decision_batches.preview(records, "aurora", [*ids, approved], DECLINE, by=CLARA)


OF_AURORA = TaskFilter(snoozed=False)


def test_a_batch_of_a_view_has_every_case_of_it_and_leaves_out_what_is_not_possible(records: Records) -> None:
    ids = cases(records, 60)
    without_purchase = a_case(records, State.WITH_SUPPORT, purchase=a_numbered_purchase(99))
    with records.work() as work:
        work.run("update cases set purchase_id = null where id = :case", case=without_purchase)
        work.support_tasks.create([
            NewSupportTask(kind=SupportTaskKind.INQUIRY, subject="1", seller_id="aurora", evidence={})
        ])  # fmt: skip
    batch_id = decision_batches.preview_all(records, "aurora", OF_AURORA, APPROVE, by=CLARA)
    batch = batch_of(records, batch_id)
    assert (batch.cases, batch.done, batch.left_out, batch.counted) == (61, 1, 1, Money(60 * 4_900, "EUR"))
    later = a_case(records, State.WITH_SUPPORT, purchase=a_numbered_purchase(100))
    decision_batches.start(records, batch_id, by=CLARA)
    assert run_all(records) == 60
    batch = batch_of(records, batch_id)
    assert (batch.status, batch.done, batch.applied, batch.left_out) == (BatchStatus.FINISHED, 61, 60, 1)
    assert states_of(records, ids) == {State.APPROVED}
    assert states_of(records, [later, without_purchase]) == {State.WITH_SUPPORT}
    with records.work() as work:
        left_out, *decided = work.decision_batches.items(batch_id)
    assert (left_out.case_id, left_out.outcome) == (without_purchase, f"The case {left_out.number} has no purchase.")
    assert {item.outcome for item in decided} == {"applied"}


def test_a_batch_of_a_view_follows_its_filters(records: Records) -> None:
    first, second, _ = cases(records, 3)
    with records.work() as work:
        work.run("update support_tasks set language = 'de' where case_id = any(:ids)", ids=[first, second])
        work.run("update support_tasks set words = to_tsvector('simple', 'recall') where case_id = :id", id=first)
    for filters, number in ((TaskFilter(language="de"), 2), (TaskFilter(words="recall"), 1), (TaskFilter(), 3)):
        batch_id = decision_batches.preview_all(records, "aurora", filters, DECLINE, by=CLARA)
        assert batch_of(records, batch_id).cases == number


def test_a_batch_of_a_view_is_never_only_its_first_cases(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    cases(records, 3)
    monkeypatch.setattr(decision_batches, "MAX_CASES", 2)
    with pytest.raises(NotPossibleError, match="More than 2 cases are chosen"):
        decision_batches.preview_all(records, "aurora", OF_AURORA, DECLINE, by=CLARA)
    with records.work() as work:
        assert work.decision_batches.list_newest(None) == []


def test_a_batch_of_a_view_needs_a_case_for_which_the_decision_is_possible(records: Records) -> None:
    cases(records, 1)
    with pytest.raises(NotPossibleError, match="between 1 and 5,000"):
        decision_batches.preview_all(records, "babbage", OF_AURORA, DECLINE, by=CLARA)
    with records.work() as work:
        work.run("update cases set purchase_id = null")
    with pytest.raises(NotPossibleError, match=r"possible for none of these cases\. The case .* has no purchase\."):
        decision_batches.preview_all(records, "aurora", OF_AURORA, APPROVE, by=CLARA)

"""The contract tests of the records. Each test runs with PostgreSQL and with the in-memory records of the simulation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.case_payments import total
from domain.cases import Case
from domain.eligibility import OpenCase
from domain.emails import EmailKind
from domain.messages import CaseEmailsDue, RefundApproved, RefundOutcomeUnknown, RefundRequested, SupportNeeded
from domain.money import Money
from domain.policies import Category, SerialLimit
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    Failed,
    ListedRefund,
    Mismatched,
    Paid,
    Pending,
    RefundStatus,
    Unknown,
    WaitingForApproval,
)
from domain.purchase_reports import PurchaseReport
from domain.purchases import Dispute, Purchase
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus, RefundOperation, key_of
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import Subject, WebhookEvent
from records import Records, UnitOfWork
from records.audit import faults
from records.case_emails import DueEmail
from records.purchase_reports import store_purchases
from records.purchases import Reported
from records.support_tasks import NewSupportTask
from tests.sample_data import a_policy, a_recent_purchase, a_seller, a_submission, charge_of, store_seller_and_purchases
from tests.services import SHORT_TIMERS
from tests.simulation.memory.records import MemoryRecords

E, S = Event, State
HOUR = 3_600.0
ELIGIBLE = (E.FOUND_ELIGIBLE_AND_TRUSTED,)
REFUNDING = (*ELIGIBLE, E.REFUND_STARTED)
UNKNOWN_ID = UUID(int=0)


@pytest.fixture(params=["postgres", "memory"])
def store(request: pytest.FixtureRequest) -> Iterator[Records]:
    """Yield records without a row. Each test runs twice: with PostgreSQL, and with the records in memory."""
    if request.param == "memory":
        yield MemoryRecords(SHORT_TIMERS, lambda: datetime.now(UTC))
    else:
        yield request.getfixturevalue("records")


def a_case(store: Records, *events: Event, purchase: Purchase | None = None, **submission: Any) -> UUID:
    """Create a case and record these events. The first event sets the purchase of the case."""
    purchase = purchase or a_recent_purchase()
    store_seller_and_purchases(
        store, purchase, seller=a_seller(id=purchase.seller_id), policy=a_policy(seller_id=purchase.seller_id)
    )
    with store.work() as work:
        (accepted,) = work.intake.accept([replace(a_submission(purchase), **submission)])
    for number, event in enumerate(events):
        assert record_event(store, accepted.id, event, purchase_id=purchase.id if number == 0 else None)
    return accepted.id


def record_event(store: Records, case: UUID, event: Event, **changes: Any) -> bool:
    """Record the transition that an event causes. Return whether the records accepted the transition."""
    evidence = changes.pop("evidence", {})
    with store.work() as work:
        transition = replace(get_case(work, case).after(event, actor="test", evidence=evidence), **changes)
        return work.history.record([transition]) == {case}


def get_case(work: UnitOfWork, case: UUID) -> Case:
    locked = work.cases.lock_one(case)
    assert locked
    return locked


def state_of(store: Records, case: UUID) -> tuple[State, int, int]:
    with store.work() as work:
        current = get_case(work, case)
    return current.state, current.seq, current.fence


def take_messages(store: Records, message: type[Any]) -> list[UUID]:
    """Take all messages of one kind from the outbox, and return their case ids."""
    with store.work() as work:
        return [
            case
            for bulk in (False, True)
            for case, _ in work.outbox.take(message.queue, room=100, after=None, bulk=bulk)
        ]


def overdue_cases(store: Records) -> list[UUID]:
    with store.work() as work:
        return [row.id for row in work.cases.overdue(100)]


def an_operation(case: UUID, attempt: int = 1, **changes: Any) -> RefundOperation:
    values: dict[str, Any] = {
        "case_id": case,
        "attempt": attempt,
        "provider": "sandbox",
        "charge": f"ch_{case.hex}",
        "amount": Money(4900, "EUR"),
        "key": key_of(case, attempt),
    }
    return RefundOperation(**values | changes)


def create_operation(store: Records, case: UUID, **changes: Any) -> RefundOperation:
    """Create an operation, and return the stored operation."""
    with store.work() as work:
        work.refund_operations.create([an_operation(case, **changes)])
    return newest_operation(store, case)


def newest_operation(store: Records, case: UUID) -> RefundOperation:
    with store.work() as work:
        return work.refund_operations.for_cases([case])[case][-1]


@contextmanager
def rolled_back(store: Records) -> Iterator[UnitOfWork]:
    """Yield a transaction that is rolled back at the end of the `with` block."""
    with suppress(RuntimeError), store.work() as work:
        yield work
        raise RuntimeError


def a_support_task(**changes: Any) -> NewSupportTask:
    values: dict[str, Any] = {
        "kind": SupportTaskKind.UNEXPECTED_REFUND,
        "subject": "sandbox re_9",
        "evidence": {"refund": "re_9"},
    }
    return NewSupportTask(**values | changes)


# Intake


def test_an_accepted_request_creates_a_case_a_history_and_a_message(store: Records) -> None:
    case = a_case(store)
    assert state_of(store, case) == (S.RECEIVED, 1, 0)
    with store.work() as work:
        (row,) = work.history.for_case(case)
    assert (row.seq, row.from_state, row.event, row.to_state, row.actor, row.evidence) == (
        1,
        "",
        "accepted",
        "received",
        "api",
        {},
    )
    assert take_messages(store, RefundRequested) == [case]


def test_a_request_with_a_used_idempotency_key_gets_the_existing_case(store: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(store, purchase)
    first, other = a_submission(purchase, key="7"), a_submission(purchase, key="7", comment="something else")
    with store.work() as work:
        accepted, again = work.intake.accept([first, replace(first, id=uuid4())])
    with store.work() as work:
        later, changed = work.intake.accept([replace(first, id=uuid4()), other])
    assert (accepted.created, again.created, later.created, changed.created) == (True, False, False, False)
    assert {accepted.id, again.id, later.id, changed.id} == {first.id}
    assert (again.identical, later.identical, changed.identical) == (True, True, False)
    assert take_messages(store, RefundRequested) == [first.id]


def test_requests_from_two_sources_may_have_the_same_idempotency_key(store: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(store, purchase)
    first, second = a_submission(purchase, key="7"), replace(a_submission(purchase, key="7"), source="elsewhere")
    with store.work() as work:
        assert [accepted.created for accepted in work.intake.accept([first, second])] == [True, True]


def test_a_batch_with_an_unknown_seller_is_not_accepted(store: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(store, purchase)
    valid, invalid = a_submission(purchase), replace(a_submission(purchase), seller_id="nobody")
    with pytest.raises(IntegrityError, match="cases_seller_id_fkey"), store.work() as work:
        work.intake.accept([valid, invalid])
    with store.work() as work:
        assert work.cases.lock_one(valid.id) is None
        assert work.outbox.queues() == set()


# Transactions


def test_an_error_rolls_the_transaction_back(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    take_messages(store, RefundRequested)
    take_messages(store, RefundApproved)
    operation = create_operation(store, case)
    store_seller_and_purchases(store, a_recent_purchase(charge=operation.charge))
    purchase = a_recent_purchase()
    with rolled_back(store) as work:
        store_purchases(work, [purchase])
        work.refund_operations.close([operation], OperationStatus.ABSENT)
        assert work.refund_operations.reserve([operation]) == {case}
        work.refund_operations.record_results([(operation, Paid("re_1", operation.amount))])
        work.history.record([get_case(work, case).after(E.PROVIDER_PAID, actor="test")])
        work.webhook_events.keep("sandbox", [WebhookEvent("evt_1", Subject.REFUND)], b"")
        work.support_tasks.create([a_support_task()])
        work.cases.postpone([case], -HOUR)
    assert state_of(store, case) == (S.REFUNDING, 3, 0)
    assert newest_operation(store, case) == operation
    assert overdue_cases(store) == []
    with store.work() as work:
        assert work.purchases.get(purchase.id) is None
        assert work.outbox.queues() == set()
        work.refund_operations.close([operation], OperationStatus.ABSENT)
        assert work.refund_operations.reserve([operation]) == {case}, "The rollback gave the amount back."
        assert work.case_emails.claim([case], seconds=1) == []
        assert work.support_tasks.claim([a_support_task().id], seconds=1) == []
        assert len(work.history.for_case(case)) == 3


def test_messages_return_to_the_outbox_if_the_transaction_fails(store: Records) -> None:
    cases = [a_case(store), a_case(store)]
    with rolled_back(store) as work:
        assert len(work.outbox.take(RefundRequested.queue, room=2, after=None, bulk=False)) == 2
    assert take_messages(store, RefundRequested) == cases


def test_a_transaction_cannot_continue_after_a_database_error(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    create_operation(store, case)
    with suppress(DBAPIError), store.work() as work:
        with pytest.raises(IntegrityError, match=r"refund_operations_key_key|refund_operations_pkey"):
            work.refund_operations.create([an_operation(case)])
        with pytest.raises(DBAPIError):
            work.cases.lock_one(case)


def test_the_time_is_constant_within_a_transaction(store: Records) -> None:
    with store.work() as work:
        first = work.now
        assert first.tzinfo is not None
        assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
        assert work.now == first


# Transitions


def test_a_transition_enqueues_the_messages_of_the_new_state(store: Records) -> None:
    case = a_case(store)
    take_messages(store, RefundRequested)
    reasons = [{"code": "over_ceiling", "sentence": "Too much.", "detail": ""}]
    assert record_event(
        store, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": reasons, "rules": {"a": None, "b": [1, "ü"]}}
    )
    assert state_of(store, case) == (S.WITH_SUPPORT, 2, 0)
    with store.work() as work:
        assert work.outbox.queues() == {CaseEmailsDue.queue, SupportNeeded.queue}
        (task,) = work.support_tasks.claim([case], seconds=1)
        assert work.case_emails.claim([case], seconds=1) == [DueEmail(case, EmailKind.WITH_SUPPORT)]
        _, row = work.history.for_case(case)
    assert (task.case_id, task.reasons, task.evidence) == (case, reasons, {})
    assert row.evidence == {"reasons": reasons, "rules": {"a": None, "b": [1, "ü"]}}


@pytest.mark.parametrize("change", [{"seq": 2}, {"seq": 0}, {"fence": 1}, {"state": S.APPROVED}])
def test_a_transition_of_an_outdated_case_is_not_recorded(store: Records, change: dict[str, Any]) -> None:
    case = a_case(store)
    take_messages(store, RefundRequested)
    with store.work() as work:
        outdated = replace(get_case(work, case), **change)
        event = E.REFUND_STARTED if outdated.state is S.APPROVED else E.FOUND_ELIGIBLE
        assert work.history.record([outdated.after(event, actor="test")]) == set()
        assert work.outbox.queues() == set()
        assert len(work.history.for_case(case)) == 1
    assert state_of(store, case) == (S.RECEIVED, 1, 0)


def test_an_outdated_transition_does_not_stop_the_other_transitions_of_its_batch(store: Records) -> None:
    first, second = a_case(store), a_case(store)
    with store.work() as work:
        current, outdated = get_case(work, first), replace(get_case(work, second), fence=9)
        transitions = [case.after(E.FOUND_NO_PURCHASE, actor="test") for case in (outdated, current)]
        assert work.history.record(transitions) == {first}


def test_a_case_that_was_read_before_a_transition_with_a_lease_is_outdated(store: Records) -> None:
    case = a_case(store, *ELIGIBLE)
    with store.work() as work:
        before = get_case(work, case)
        transition = replace(before.after(E.REFUND_STARTED, actor="test"), lease=HOUR)
        work.history.record([transition])
        after = transition.case_after(work.now)
    assert state_of(store, case) == (S.REFUNDING, 3, 1)
    with store.work() as work:
        assert get_case(work, case) == replace(after, request=get_case(work, case).request)
        assert work.cases.lock([case], state=S.REFUNDING) == []
        assert work.history.record([before.after(E.REFUND_STARTED, actor="test")]) == set()
        assert work.history.record([after.after(E.PROVIDER_PAID, actor="test")]) == {case}
        assert work.cases.lock([case], state=S.REFUNDED)


def test_no_worker_gets_a_case_during_the_delay_of_its_transition(store: Records) -> None:
    case = a_case(store, *ELIGIBLE)
    take_messages(store, RefundApproved)
    assert record_event(store, case, E.PUT_ON_HOLD, due_in=HOUR)
    with store.work() as work:
        assert RefundApproved.queue not in work.outbox.queues()
        assert work.cases.lock([case], state=S.APPROVED) == []
        assert work.cases.lease([case], states=[S.APPROVED], seconds=1) == []
        assert work.cases.count_deliveries([case], states=[S.APPROVED], apart=0) == {}
    assert overdue_cases(store) == []
    assert record_event(store, case, E.PUT_ON_HOLD, due_in=0.0)
    with store.work() as work:
        assert work.cases.lock([case], state=S.APPROVED)
    assert overdue_cases(store) == [case]


def test_no_message_is_enqueued_if_the_same_worker_continues_with_the_case(store: Records) -> None:
    case = a_case(store)
    assert record_event(store, case, E.FOUND_ELIGIBLE_AND_TRUSTED, continued=True)
    assert take_messages(store, RefundApproved) == []


def test_a_purchase_has_at_most_one_open_case(store: Records) -> None:
    purchase = a_recent_purchase()
    first, second = a_case(store, *ELIGIBLE, purchase=purchase), a_case(store, purchase=purchase)
    with pytest.raises(IntegrityError, match="cases_one_open_case_per_purchase"):
        record_event(store, second, E.FOUND_ELIGIBLE, purchase_id=purchase.id)
    assert state_of(store, second) == (S.RECEIVED, 1, 0)
    assert record_event(store, second, E.FOUND_OPEN_CASE, purchase_id=purchase.id)
    assert record_event(store, first, E.NO_LONGER_ELIGIBLE)
    assert record_event(store, first, E.SUPPORT_DECLINED)
    third = a_case(store, purchase=purchase)
    assert record_event(store, third, E.FOUND_ELIGIBLE, purchase_id=purchase.id), (
        "After a case is closed, its purchase can have a new case."
    )


def test_a_refunded_purchase_cannot_have_a_new_open_case(store: Records) -> None:
    purchase = a_recent_purchase()
    a_case(store, *REFUNDING, E.PROVIDER_PAID, purchase=purchase)
    with pytest.raises(IntegrityError, match="cases_one_open_case_per_purchase"):
        record_event(store, a_case(store, purchase=purchase), E.FOUND_ELIGIBLE, purchase_id=purchase.id)


def test_a_transition_cannot_set_an_unknown_purchase_or_seller(store: Records) -> None:
    case = a_case(store)
    with pytest.raises(IntegrityError, match="cases_purchase_id_fkey"):
        record_event(store, case, E.FOUND_ELIGIBLE, purchase_id=uuid4())
    with pytest.raises(IntegrityError, match="cases_seller_id_fkey"):
        record_event(store, case, E.FOUND_ELIGIBLE, seller_id="nobody")


def test_the_audit_finds_no_fault_in_any_history(store: Records) -> None:
    a_case(store)
    a_case(store, *REFUNDING, E.PROVIDER_ACCEPTED, E.PROVIDER_PAID)
    case = a_case(store)
    record_event(store, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": [{"code": "é", "n": 3}], "none": None})
    with store.work() as work:
        histories = list(work.history.stream_all())
    assert [history.id for history in histories] == sorted(history.id for history in histories)
    assert sorted(len(history.rows) for history in histories) == [1, 2, 5]
    assert [fault for history in histories for fault in faults(history)] == []


# Locks and leases


def test_the_cases_in_the_given_state_are_locked_in_order_of_arrival(store: Records) -> None:
    cases = [a_case(store) for _ in range(4)]
    record_event(store, cases[1], E.FOUND_NO_PURCHASE)
    with store.work() as work:
        found = work.cases.lock([*reversed(cases), cases[0], UNKNOWN_ID], state=S.RECEIVED)
    assert [case.id for case in found] == [cases[0], cases[2], cases[3]]


def test_lock_one_returns_a_case_in_any_state(store: Records) -> None:
    case = a_case(store, *ELIGIBLE)
    with store.work() as work:
        work.cases.lease([case], states=[S.APPROVED], seconds=HOUR)
        found = get_case(work, case)
        assert (found.state, found.seller_id, found.request.trusted) == (S.APPROVED, "aurora", True)
        assert work.cases.lock_one(UNKNOWN_ID) is None


def test_a_leased_case_is_not_available_to_other_workers(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    with store.work() as work:
        before = get_case(work, case)
        (leased,) = work.cases.lease([case, UNKNOWN_ID], states=[S.REFUNDING, S.REFUND_PENDING], seconds=HOUR)
        assert leased == replace(before, fence=before.fence + 1)
    with store.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == []
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1, early=True) == []
        assert work.cases.lock([case], state=S.REFUNDING) == []
        assert work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0, include_crashed=True) == {}
        assert work.history.record([before.after(E.PROVIDER_PAID, actor="test")]) == set()


def test_a_worker_whose_lease_expired_cannot_record_a_result_or_release_the_case(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    with store.work() as work:
        (expired,) = work.cases.lease([case], states=[S.REFUNDING], seconds=0)
    with store.work() as work:
        (leased,) = work.cases.lease([case], states=[S.REFUNDING], seconds=HOUR)
        assert leased.fence == expired.fence + 1
        assert work.history.record([expired.after(E.PROVIDER_PAID, actor="test")]) == set()
        work.cases.release([(expired, 0.0)])
    with store.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == [], (
            "The worker whose lease expired cannot release the lease of another worker."
        )
        assert work.history.record([leased.after(E.PROVIDER_PAID, actor="test")]) == {case}


def test_a_case_in_another_state_is_not_leased(store: Records) -> None:
    case = a_case(store, *ELIGIBLE)
    with store.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == []


def test_an_early_lease_ignores_the_delay(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    assert record_event(store, case, E.OUTCOME_UNKNOWN, due_in=HOUR)
    with store.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == []
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=0, early=True)
    assert overdue_cases(store) == [], "The lease has expired, but the case stays delayed."


def test_a_released_case_is_due_after_its_delay(store: Records) -> None:
    case, other = a_case(store, *REFUNDING), a_case(store, *REFUNDING)
    with store.work() as work:
        leases = {leased.id: leased for leased in work.cases.lease([case, other], states=[S.REFUNDING], seconds=HOUR)}
        work.cases.release([(leases[case], HOUR), (leases[other], 0.0)])
        work.cases.release([])
    assert overdue_cases(store) == [other]
    with store.work() as work:
        assert [leased.id for leased in work.cases.lease([case, other], states=[S.REFUNDING], seconds=1)] == [other]


def test_a_case_in_a_final_state_is_not_due_after_a_lease(store: Records) -> None:
    case = a_case(store, *REFUNDING, E.PROVIDER_PAID)
    with store.work() as work:
        (leased,) = work.cases.lease([case], states=[S.REFUNDED], seconds=0)
    assert overdue_cases(store) == []
    with store.work() as work:
        work.cases.release([(leased, 0.0)])
    assert overdue_cases(store) == []


# Counting deliveries


def test_a_delivery_is_counted_again_only_after_a_crash(store: Records) -> None:
    case, other = a_case(store), a_case(store, *ELIGIBLE)
    with store.work() as work:
        assert work.cases.count_deliveries([case, other, UNKNOWN_ID], states=[S.RECEIVED], apart=HOUR) == {case: 1}
    with store.work() as work:
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=HOUR) == {}
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=HOUR, include_crashed=True) == {}
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=0) == {}, (
            "After a crash, only a caller with `include_crashed` gets the case."
        )
        assert work.cases.crashed_before([case], states=[S.RECEIVED], apart=HOUR) == {}
        assert work.cases.crashed_before([case, other], states=[S.RECEIVED], apart=0) == {case: 1}
        assert work.cases.crashed_before([case], states=[S.APPROVED], apart=0) == {}
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=0, include_crashed=True) == {case: 2}


def test_after_a_transition_or_a_release_the_count_of_deliveries_starts_again(store: Records) -> None:
    case = a_case(store, *ELIGIBLE)
    with store.work() as work:
        work.cases.count_deliveries([case], states=[S.APPROVED], apart=0)
        work.cases.count_deliveries([case], states=[S.APPROVED], apart=0, include_crashed=True)
    record_event(store, case, E.REFUND_STARTED)
    with store.work() as work:
        assert work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0) == {case: 1}
        (leased,) = work.cases.lease([case], states=[S.REFUNDING], seconds=HOUR)
    with store.work() as work:
        work.cases.release([(leased, 0.0)])
    with store.work() as work:
        assert work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0) == {case: 1}


def test_a_case_is_due_if_the_count_of_its_delivery_is_undone(store: Records) -> None:
    case, moved, leased, taken_over = (a_case(store, *ELIGIBLE) for _ in range(4))
    states = [S.APPROVED]
    with store.work() as work:
        counts = work.cases.count_deliveries([case, moved, leased, taken_over], states=states, apart=0)
    record_event(store, moved, E.REFUND_STARTED)
    with store.work() as work:
        work.cases.lease([leased], states=states, seconds=HOUR)
        work.cases.count_deliveries([taken_over], states=states, apart=0, include_crashed=True)
    with store.work() as work:
        work.cases.uncount_deliveries(counts, states=states)
    assert overdue_cases(store) == [case]
    with store.work() as work:
        assert work.cases.count_deliveries([case, moved, leased, taken_over], states=states, apart=HOUR) == {case: 1}
        assert work.cases.crashed_before([taken_over], states=states, apart=0) == {taken_over: 2}, (
            "A second delivery was counted later, so neither count is undone."
        )


def test_a_lease_does_not_reset_the_count_of_deliveries(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    with store.work() as work:
        work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0)
        work.cases.lease([case], states=[S.REFUNDING], seconds=0)
    with store.work() as work:
        assert work.cases.crashed_before([case], states=[S.REFUNDING], apart=0) == {case: 1}


# Overdue cases


def test_overdue_cases_alternate_between_sellers_and_start_with_the_oldest_case(store: Records) -> None:
    cases = {
        seller: [a_case(store, *ELIGIBLE, purchase=a_recent_purchase(seller_id=seller)) for _ in range(3)]
        for seller in ("aurora", "borealis")
    }
    all_cases = [case for cases_of_seller in cases.values() for case in cases_of_seller]
    assert overdue_cases(store) == []
    with store.work() as work:
        for number, case in enumerate(all_cases):
            work.cases.postpone([case], number - HOUR)
        work.cases.postpone([], 1)
    with store.work() as work:
        found = work.cases.overdue(4)
        assert [(row.seller_id, row.id) for row in found] == [
            ("aurora", cases["aurora"][0]),
            ("borealis", cases["borealis"][0]),
            ("aurora", cases["aurora"][1]),
            ("borealis", cases["borealis"][1]),
        ]
        assert {(row.state, row.bulk) for row in found} == {("approved", False)}
        assert len(work.cases.overdue(100)) == 6
        work.cases.lease([all_cases[0]], states=[S.APPROVED], seconds=HOUR)
        work.cases.postpone([all_cases[0]], -1)
        work.cases.postpone([all_cases[1]], HOUR)
    assert set(overdue_cases(store)) == set(all_cases) - {all_cases[0], all_cases[1]}


def test_overdue_cases_without_a_seller_have_an_empty_seller_id(store: Records) -> None:
    unknown = a_case(store, seller_id=None)
    known = a_case(store)
    with store.work() as work:
        work.cases.postpone([known, unknown], -1)
    with store.work() as work:
        assert [(row.id, row.seller_id) for row in work.cases.overdue(10)] == [(unknown, ""), (known, "aurora")]


def a_case_with_support(store: Records, *codes: ReasonCode, purchase: Purchase) -> UUID:
    case = a_case(store, purchase=purchase)
    reasons = [{"code": code, "sentence": code.support, "detail": ""} for code in codes]
    assert record_event(store, case, E.FOUND_NOT_ELIGIBLE, purchase_id=purchase.id, evidence={"reasons": reasons})
    return case


def test_a_waiting_case_is_found_by_its_reason_only_if_it_has_no_other_reason(store: Records) -> None:
    purchases = [a_recent_purchase(charge="ch_1"), a_recent_purchase(charge="ch_1"), a_recent_purchase(charge="ch_2")]
    only = a_case_with_support(store, ReasonCode.DISPUTE_OPEN, purchase=purchases[0])
    a_case_with_support(store, ReasonCode.DISPUTE_OPEN, ReasonCode.OVER_CEILING, purchase=purchases[1])
    a_case_with_support(store, ReasonCode.DISPUTE_OPEN, purchase=purchases[2])
    a_case_with_support(store, ReasonCode.OVER_CEILING, purchase=a_recent_purchase(charge="ch_1"))
    a_case_with_support(store, purchase=a_recent_purchase(charge="ch_1"))
    with store.work() as work:
        assert work.cases.with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN) == [get_case(work, only)]
        assert work.cases.still_with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN)
        assert work.cases.with_support_for("other", "ch_1", ReasonCode.DISPUTE_OPEN) == []
        assert not work.cases.still_with_support_for("other", "ch_1", ReasonCode.DISPUTE_OPEN)
        work.cases.lease([only], states=[S.WITH_SUPPORT], seconds=HOUR)
    with store.work() as work:
        assert work.cases.with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN) == []
        assert work.cases.still_with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN), (
            "A leased case still waits for support."
        )


def test_a_case_that_waits_for_support_is_found_only_by_its_newest_reason(store: Records) -> None:
    purchase = a_recent_purchase(charge="ch_1")
    case = a_case_with_support(store, ReasonCode.DISPUTE_OPEN, purchase=purchase)
    record_event(store, case, E.DISPUTE_WON)
    record_event(store, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": [{"code": ReasonCode.OVER_CEILING}]})
    with store.work() as work:
        assert work.cases.with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN) == []
        assert len(work.cases.with_support_for("sandbox", "ch_1", ReasonCode.OVER_CEILING)) == 1


# The outbox


def test_messages_are_taken_from_the_outbox_once_and_in_order(store: Records) -> None:
    cases = [a_case(store) for _ in range(3)]
    with store.work() as work:
        taken = work.outbox.take(RefundRequested.queue, room=2, after=None, bulk=False)
        assert taken == [(cases[0], "aurora"), (cases[1], "aurora")]
        assert work.outbox.take(RefundOutcomeUnknown.queue, room=2, after=None, bulk=False) == []
        assert work.outbox.take(RefundRequested.queue, room=2, after=None, bulk=True) == []
    assert take_messages(store, RefundRequested) == cases[2:]
    with store.work() as work:
        assert work.outbox.queues() == set()


def test_every_seller_gets_an_equal_share_of_a_message(store: Records) -> None:
    for seller in ("corona", "aurora", "borealis"):
        for _ in range(4):
            a_case(store, purchase=a_recent_purchase(seller_id=seller))

    def sellers(room: int, after: str | None = None) -> list[str]:
        with rolled_back(store) as work:
            found = [
                seller for _, seller in work.outbox.take(RefundRequested.queue, room=room, after=after, bulk=False)
            ]
        return sorted(found)

    assert sellers(2) == ["aurora", "borealis"], "The message has no room for the third seller."
    assert sellers(4) == ["aurora", "aurora", "borealis", "corona"]
    assert sellers(6) == ["aurora"] * 2 + ["borealis"] * 2 + ["corona"] * 2
    assert sellers(4, after="aurora") == ["borealis"] * 2 + ["corona"] * 2
    assert sellers(9, after="borealis") == ["corona"] * 4
    assert sellers(9, after="corona") == []


def test_bulk_messages_are_taken_separately(store: Records) -> None:
    case = a_case(store, bulk=True)
    with store.work() as work:
        assert work.outbox.take(RefundRequested.queue, room=1, after=None, bulk=False) == []
        assert work.outbox.take(RefundRequested.queue, room=1, after=None, bulk=True) == [(case, "aurora")]


def test_enqueue_again_adds_no_duplicate(store: Records) -> None:
    case = a_case(store)
    with store.work() as work:
        work.outbox.enqueue_again([(RefundRequested, False, "aurora", case), (CaseEmailsDue, False, "aurora", case)])
        work.outbox.enqueue_again([(CaseEmailsDue, False, "aurora", case)])
        work.outbox.enqueue_again([])
        work.outbox.enqueue([(RefundApproved, case), (RefundApproved, case), (RefundApproved, UNKNOWN_ID)])
    assert take_messages(store, RefundRequested) == [case]
    assert take_messages(store, CaseEmailsDue) == [case]
    assert take_messages(store, RefundApproved) == [case, case], (
        "`enqueue` adds a duplicate, but no message for an unknown case."
    )


# Operations


def test_a_payment_is_claimed_only_once(store: Records) -> None:
    case_1, case_2, case_3 = (a_case(store) for _ in range(3))
    payments = [{"charge": "ch_1"}, {"charge": "ch_3"}, {"charge": "ch_1", "provider": "other"}]
    store_seller_and_purchases(store, *(a_recent_purchase(**payment) for payment in payments))
    operation_1, operation_2 = (an_operation(case, charge="ch_1", amount=Money(1, "EUR")) for case in (case_1, case_2))
    with store.work() as work:
        assert len(work.refund_operations.reserve([operation_1, operation_2, an_operation(case_3, charge="ch_3")])) == 2
        (claimed,) = work.refund_operations.reserve([operation_1]) | work.refund_operations.reserve([operation_2])
    with store.work() as work:
        assert work.refund_operations.reserve([operation_1, operation_2]) <= {claimed}
        assert work.refund_operations.reserve([operation_1]) | work.refund_operations.reserve([operation_2]) == {
            claimed
        }
        other = replace(an_operation(case_2, charge="ch_1"), provider="other")
        assert work.refund_operations.reserve([other]) == {case_2}, (
            "The same id at another provider is another payment."
        )
        assert work.refund_operations.reserve([]) == set()


def reserve(store: Records, case: UUID, attempt: int, minor: int) -> RefundOperation | None:
    """Reserve a part of the payment ch_1, and create its operation. Return None if nothing was reserved."""
    operation = an_operation(case, attempt, charge="ch_1", amount=Money(minor, "EUR"))
    with store.work() as work:
        if not work.refund_operations.reserve([operation]):
            return None
        work.refund_operations.create([operation])
    return operation


def record(store: Records, operation: RefundOperation, result: Any) -> None:
    with store.work() as work:
        work.refund_operations.record_results([(operation, result)])


CAME_BACK = Failed("re_1", "came_back")


@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (1, 4899), (1000, 1000, 1000, 1900)])
def test_several_refunds_of_a_payment_never_exceed_what_was_captured(store: Records, parts: tuple[int, ...]) -> None:
    store_seller_and_purchases(store, a_recent_purchase(charge="ch_1"))
    case, left = a_case(store), 4900
    for attempt, minor in enumerate(parts, start=1):
        assert reserve(store, case, attempt, left + 1) is None
        operation = reserve(store, case, attempt, minor)
        assert operation
        assert reserve(store, case, 9, left - minor + 1) is None, "the open refund is reserved"
        record(store, operation, Paid(f"re_{attempt}", operation.amount))
        left -= minor
    assert reserve(store, case, 9, 1) is None


@pytest.mark.parametrize("result", [Declined(DeclineReason.PERMANENT, "no"), CAME_BACK])
@pytest.mark.parametrize("before", [None, Unknown("timeout"), Pending("re_1", Money(4900, "EUR"))])
def test_a_refund_that_was_not_made_gives_its_amount_back(store: Records, before: Any, result: Any) -> None:
    store_seller_and_purchases(store, a_recent_purchase(charge="ch_1"))
    case = a_case(store)
    operation = reserve(store, case, 1, 4900)
    assert operation
    for answer in filter(None, (before, result, result)):
        record(store, operation, answer)
    assert reserve(store, case, 2, 4900), "the amount is given back once, and completely"
    assert reserve(store, case, 3, 1) is None


def test_a_refund_that_is_closed_or_comes_back_gives_its_amount_back(store: Records) -> None:
    store_seller_and_purchases(store, a_recent_purchase(charge="ch_1"))
    case = a_case(store)
    absent = reserve(store, case, 1, 4900)
    assert absent
    with store.work() as work:
        work.refund_operations.close([absent], OperationStatus.ABSENT)
    paid = reserve(store, case, 2, 4900)
    assert paid
    record(store, paid, Paid("re_1", paid.amount))
    assert reserve(store, case, 3, 1) is None
    record(store, paid, CAME_BACK)
    assert reserve(store, case, 3, 4900)


@pytest.mark.parametrize(("elsewhere", "left"), [(4900, 0), (4899, 1), (1000, 3900)])
def test_nothing_is_reserved_that_was_refunded_elsewhere(store: Records, elsewhere: int, left: int) -> None:
    store_seller_and_purchases(store, a_recent_purchase(charge="ch_1"))
    case = a_case(store)
    with store.work() as work:
        refund = ListedRefund("by hand", "ch_1", Money(elsewhere, "EUR"), RefundStatus.PAID, work.now)
        work.purchases.record_external_refunds("sandbox", [refund])
    assert reserve(store, case, 1, left + 1) is None
    assert not left or reserve(store, case, 1, left)


def test_more_than_requested_counts_as_refunded(store: Records) -> None:
    store_seller_and_purchases(store, a_recent_purchase(charge="ch_1"))
    case = a_case(store)
    operation = reserve(store, case, 1, 2000)
    assert operation
    record(store, operation, Mismatched("re_1", Money(4000, "EUR")))
    assert reserve(store, case, 2, 901) is None
    assert reserve(store, case, 2, 900)


def test_an_unresolved_refund_excludes_another_refund_of_the_payment(store: Records) -> None:
    """Enough of the payment is left. But at most one refund of a payment is open at a time."""
    store_seller_and_purchases(store, a_recent_purchase(charge="ch_1"))
    case = a_case(store)
    operation = reserve(store, case, 1, 2000)
    assert operation
    for result in (None, Unknown("timeout"), WaitingForApproval("asked"), Pending("re_1", operation.amount)):
        if result:
            record(store, operation, result)
        assert reserve(store, case, 2, 2000) is None
    record(store, operation, Paid("re_1", operation.amount))
    assert reserve(store, case, 2, 2000)


def test_a_stored_operation_is_the_created_operation(store: Records) -> None:
    case = a_case(store)
    operation = an_operation(case)
    with store.work() as work:
        now = work.now
        work.refund_operations.create([operation])
        work.refund_operations.create([])
    assert newest_operation(store, case) == replace(operation, first_sent_at=now, last_sent_at=now)
    with store.work() as work:
        assert work.refund_operations.for_cases([UNKNOWN_ID]) == {}


def test_a_payment_has_at_most_one_open_operation(store: Records) -> None:
    case, other = a_case(store), a_case(store)
    first = create_operation(store, case, charge="ch_1")
    for again in (an_operation(case, 2, charge="ch_1"), an_operation(other, charge="ch_1")):
        with pytest.raises(IntegrityError, match="refund_operations_one_unresolved_per_payment"), store.work() as work:
            work.refund_operations.create([again])
    with store.work() as work:
        work.refund_operations.close([first], OperationStatus.ABSENT)
        work.refund_operations.close([], OperationStatus.ABSENT)
        work.refund_operations.create([an_operation(case, 2, charge="ch_1")])
        assert work.refund_operations.for_cases([case])[case][-1].attempt == 2
        assert (
            work.refund_operations.for_payments([("sandbox", "ch_1"), ("sandbox", "ch_2")])["sandbox", "ch_1"].attempt
            == 2
        )
    with store.work() as work:
        work.refund_operations.record_results([(first, Paid("re_1", first.amount))])  # the refund was made after all
        assert work.refund_operations.for_cases([case])[case][0].status is OperationStatus.PAID
        (second,) = [o for o in work.refund_operations.for_cases([case])[case] if o.attempt == 2]
        work.refund_operations.close([second], OperationStatus.DECLINED)
        assert work.refund_operations.for_payments([first.payment])[first.payment].attempt == 2
        assert work.refund_operations.open_for_payments([first.payment])[first.payment].attempt == 1


@pytest.mark.parametrize(
    ("answer", "status", "opens"),
    [
        (Paid("re_1", Money(4900, "EUR")), "paid", True),
        (Pending("re_1", Money(4900, "EUR")), "pending", False),
        (Unknown("timeout"), "unknown", False),
        (Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded"), "unknown", False),
        (Declined(DeclineReason.PERMANENT, "no"), "declined", True),
        (Failed("re_1", "came_back"), "failed", True),
    ],
)
def test_a_result_changes_the_status_of_its_operation(store: Records, answer: Any, status: str, opens: bool) -> None:
    case = a_case(store)
    operation = create_operation(store, case)
    with store.work() as work:
        work.refund_operations.record_results([(operation, answer)])
        work.refund_operations.record_results([])
    found = newest_operation(store, case)
    refund_id, code = getattr(answer, "refund_id", None), getattr(answer, "code", None)
    assert found == replace(operation, status=OperationStatus(status), refund_id=refund_id, code=code, polls=1)
    another = an_operation(case, 2)
    if opens:
        with store.work() as work:
            work.refund_operations.create([another])
    else:
        with pytest.raises(IntegrityError, match="refund_operations_one_unresolved_per_payment"), store.work() as work:
            work.refund_operations.create([another])


def test_a_later_result_keeps_the_refund_id_and_the_code(store: Records) -> None:
    case = a_case(store)
    operation = create_operation(store, case)
    with store.work() as work:
        work.refund_operations.record_results([(operation, Declined(DeclineReason.ALREADY_REFUNDED, "already"))])
        work.refund_operations.record_results([(operation, Pending("re_1", operation.amount))])
        work.refund_operations.record_results([(operation, Unknown("500", replayed=True))])
        work.refund_operations.record_results([(operation, Unknown("500"))])
    found = newest_operation(store, case)
    assert (found.refund_id, found.code, found.status, found.replayed, found.polls) == (
        "re_1",
        "already",
        "unknown",
        True,
        4,
    )


def test_a_refund_id_belongs_to_one_operation(store: Records) -> None:
    first, second = create_operation(store, a_case(store)), create_operation(store, a_case(store))
    with store.work() as work:
        work.refund_operations.record_results([(first, Paid("re_1", first.amount))])
    with pytest.raises(IntegrityError, match="refund_operations_provider_refund_id_key"), store.work() as work:
        work.refund_operations.record_results([(second, Pending("re_1", second.amount))])


def test_only_a_paid_refund_counts_in_the_refunded_amount(store: Records) -> None:
    purchase = a_recent_purchase(amount=4900)
    case = a_case(store, *REFUNDING, purchase=purchase)
    operation = create_operation(store, case, charge=charge_of(purchase))

    def refunded_after(result: Any) -> int:
        with store.work() as work:
            work.refund_operations.record_results([(operation, result)])
        with store.work() as work:
            found = work.purchases.get(purchase.id)
        assert found
        return found.refunded

    assert refunded_after(Pending("re_1", operation.amount)) == 0
    assert refunded_after(Paid("re_1", operation.amount)) == 4900
    assert refunded_after(Paid("re_1", operation.amount)) == 4900, "A repeated result counts once."
    assert refunded_after(Failed("re_1", "came_back")) == 0
    assert refunded_after(Failed("re_1", "came_back")) == 0


def test_the_amount_of_an_operation_must_be_positive(store: Records) -> None:
    case = a_case(store)
    with pytest.raises(IntegrityError, match="refund_operations_positive_amount_check"), store.work() as work:
        work.refund_operations.create([an_operation(case, amount=Money(0, "EUR"))])


def test_only_the_worker_with_the_lease_can_send_again(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    operation = create_operation(store, case)
    with store.work() as work:
        (expired,) = work.cases.lease([case], states=[S.REFUNDING], seconds=0)
    with store.work() as work:
        assert work.refund_operations.mark_resent([(expired, operation)]) == set(), "The lease has expired."
        (leased,) = work.cases.lease([case], states=[S.REFUNDING], seconds=HOUR)
    with store.work() as work:
        assert work.refund_operations.mark_resent([(expired, operation)]) == set(), "Another worker has the lease."
        assert work.refund_operations.mark_resent([(leased, operation)]) == {operation.key}
        assert work.refund_operations.mark_resent([]) == set()
        now = work.now
    assert newest_operation(store, case) == replace(operation, sends=2, last_sent_at=now)


def test_lookups_that_find_no_refund_are_counted_only_after_a_minimum_interval(store: Records) -> None:
    case = a_case(store)
    key = create_operation(store, case).key

    def after_poll(*, empty: bool, replayed: bool = False, apart: float) -> tuple[int, int, bool]:
        with store.work() as work:
            work.refund_operations.count_polls([(key, empty, replayed)], apart=apart)
            work.refund_operations.count_polls([], apart=apart)
        found = newest_operation(store, case)
        return found.polls, found.empty_lookups, found.replayed

    assert after_poll(empty=True, apart=HOUR) == (1, 0, False), (
        "The lookup found no refund, but is not counted, because it came too soon after the refund was sent."
    )
    assert after_poll(empty=False, apart=0) == (2, 0, False)
    assert after_poll(empty=True, apart=0) == (3, 1, False)
    assert after_poll(empty=True, apart=HOUR) == (4, 1, False), (
        "The lookup found no refund, but is not counted, because it came too soon after the last counted lookup."
    )
    assert after_poll(empty=True, replayed=True, apart=0) == (5, 2, True)
    assert after_poll(empty=False, apart=0) == (6, 2, True), (
        "After the provider has replayed an error, `replayed` stays True."
    )


# Decision inputs


def test_a_case_matches_the_purchases_with_its_reference_and_address(store: Records) -> None:
    original = a_recent_purchase(reference="MB-77", email="ada@example.com")
    twin = a_recent_purchase(reference="mb-77", email="ADA@example.com", seller_id="borealis")
    other = a_recent_purchase(reference="MB-77", email="bob@example.com", seller_id="corona")
    cases = [a_case(store, purchase=purchase) for purchase in (original, twin, other)]
    without_seller = a_case(store, purchase=original, seller_id=None)
    with store.work() as work:
        found = work.decision_inputs.matches([*cases, without_seller, UNKNOWN_ID])
    assert {case: [purchase.id for purchase in purchases] for case, purchases in found.items()} == {
        cases[0]: [original.id],
        cases[1]: [twin.id],
        cases[2]: [other.id],
        without_seller: sorted([original.id, twin.id]),
    }
    assert found[cases[0]] == [original]


def test_the_literal_reference_decides_between_purchases_that_fold_to_one_reference(store: Records) -> None:
    first = a_recent_purchase(reference="2026-1-15", email="ada@example.com")
    second = a_recent_purchase(reference="2026-11-5", email="ada@example.com")
    third = a_recent_purchase(reference="2026.115", email="ada@example.com")
    cases = [a_case(store, purchase=purchase) for purchase in (first, second, third)]
    with store.work() as work:
        (accepted,) = work.intake.accept([a_submission(replace(first, reference="2026 115"))])
        ambiguous = accepted.id
        found = work.decision_inputs.matches([*cases, ambiguous])
    assert [found[case] for case in cases] == [[first], [second], [third]]
    assert {purchase.id for purchase in found[ambiguous]} == {first.id, second.id, third.id}


def test_the_purchase_that_a_transition_set_is_loaded(store: Records) -> None:
    purchase = a_recent_purchase()
    case = a_case(store, *ELIGIBLE, purchase=purchase)
    with store.work() as work:
        assert work.decision_inputs.purchases([case, UNKNOWN_ID]) == {case: purchase}


def test_the_policy_in_force_at_the_purchase_or_its_renewal_is_loaded(store: Records) -> None:
    now = datetime.now(UTC)
    purchase = a_recent_purchase(purchased_at=now - timedelta(days=3))
    renewed = a_recent_purchase(purchased_at=now - timedelta(days=3), charged_at=now, renewal=True)
    early = a_recent_purchase(purchased_at=now - timedelta(days=3_000))
    store_seller_and_purchases(store, purchase, renewed, early)
    with store.work() as work:
        later = work.sellers.new_policy("aurora", Category.NO_REFUNDS, in_force_from=now - timedelta(days=1))
        work.sellers.new_policy("aurora", Category.NO_RESTRICTIONS, in_force_from=now + timedelta(days=1))
        inputs = work.decision_inputs.load([purchase, renewed, early])
        policies = work.sellers.policies("aurora")
    assert [policy.version for policy in policies] == [1, 2, 3]
    assert inputs[purchase.id].policy == policies[0]
    assert inputs[renewed.id].policy == later == policies[1]
    assert inputs[early.id].policy is None
    assert inputs[purchase.id].purchase == purchase
    assert (inputs[purchase.id].seller.id, inputs[purchase.id].open_case, inputs[purchase.id].refunds) == (
        "aurora",
        None,
        (),
    )


def test_the_open_case_of_a_purchase_is_loaded(store: Records) -> None:
    purchase = a_recent_purchase()
    case = a_case(store, *ELIGIBLE, purchase=purchase)
    with store.work() as work:
        open_case = work.decision_inputs.load([purchase])[purchase.id].open_case
        assert open_case == OpenCase(case, S.APPROVED, charged_twice=False)
    record_event(store, case, E.NO_LONGER_ELIGIBLE)
    record_event(store, case, E.SUPPORT_DECLINED)
    with store.work() as work:
        assert work.decision_inputs.load([purchase])[purchase.id].open_case is None


def test_refunds_to_the_same_address_or_card_are_loaded_if_the_seller_limits_refunds(store: Records) -> None:
    by_address = {"email": "ada@example.com", "instrument": None}
    by_card = {"email": "bob@example.com", "instrument": "card_1"}
    paid, running, failed = (a_recent_purchase(**by_address) for _ in range(3))
    card, other_customer = a_recent_purchase(**by_card), a_recent_purchase(email="eve@example.com")
    for purchase, answer, event in (
        (paid, Paid("re_1", Money(4900, "EUR")), E.PROVIDER_PAID),
        (running, Unknown("timeout"), None),
        (failed, Declined(DeclineReason.PERMANENT, "no"), E.PROVIDER_DECLINED),
        (card, Paid("re_2", Money(4900, "EUR")), E.PROVIDER_PAID),
        (other_customer, Paid("re_3", Money(4900, "EUR")), E.PROVIDER_PAID),
    ):
        case = a_case(store, *REFUNDING, purchase=purchase)
        operation = create_operation(store, case)
        with store.work() as work:
            work.refund_operations.record_results([(operation, answer)])
        if event:
            record_event(store, case, event)
    requested = a_recent_purchase(email="ADA@example.com", instrument="card_1")
    store_seller_and_purchases(store, requested)
    with store.work() as work:
        assert work.decision_inputs.load([requested])[requested.id].refunds == ()
        limited = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
        work.sellers.upsert(limited)
        work.sellers.lock(["aurora"])
        inputs = work.decision_inputs.load([requested])[requested.id]
    assert inputs.seller == limited
    assert len(inputs.refunds) == 3, "The paid refund, the refund in progress, and the refund to the same card count."


# Purchases


def test_a_repeated_report_keeps_the_purchase_id_and_changes_only_what_it_reports(store: Records) -> None:
    purchase = a_recent_purchase(refunded=100, dispute=Dispute.OPEN)
    store_seller_and_purchases(store, purchase)
    report = PurchaseReport(
        purchase_id=uuid4(),
        seller_id=purchase.seller_id,
        reference=purchase.reference.lower(),
        fields={"product": "Photo 5"},
    )
    with store.work() as work:
        (result,) = work.purchases.report([report])
        assert work.purchases.get(purchase.id) == replace(purchase, product="Photo 5")
        assert result == Reported(replace(purchase, product="Photo 5"), is_new=False)


def test_external_refunds_add_up_and_a_failed_refund_counts_no_more(store: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(store, purchase)
    payment = ("sandbox", charge_of(purchase))

    def refund(refund_id: str, minor: int, status: RefundStatus = RefundStatus.PAID) -> ListedRefund:
        return ListedRefund(refund_id, payment[1], Money(minor, "EUR"), status, purchase.purchased_at)

    with store.work() as work:
        work.purchases.record_external_refunds("sandbox", [refund("re_1", 2000), refund("re_2", 2900)])
        work.purchases.record_external_refunds("sandbox", [refund("re_1", 2000)])
        assert work.purchases.paid_by([payment])[payment][0].refunded == 4900
        work.purchases.record_external_refunds("sandbox", [refund("re_2", 2900, RefundStatus.FAILED)])
        assert work.purchases.paid_by([payment, ("sandbox", "x")])[payment][0].refunded == 2000
        assert work.purchases.paid_by([("other", payment[1])]) == {("other", payment[1]): []}
        assert work.purchases.paid_by([]) == {}


def test_an_upsert_does_not_overwrite_the_dispute_status_from_the_provider(store: Records) -> None:
    purchase = a_recent_purchase(dispute=Dispute.OPEN)
    store_seller_and_purchases(store, purchase)
    with store.work() as work:
        work.purchases.set_dispute("sandbox", charge_of(purchase), Dispute.WON)
        store_purchases(work, [purchase])
        found = work.purchases.get(purchase.id)
    assert found
    assert found.dispute is Dispute.WON


# E-mails


def test_an_email_is_due_once_for_each_kind_and_claimed_by_one_worker(store: Records) -> None:
    case = a_case(store)
    with store.work() as work:
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED), (case, EmailKind.REFUNDED)])
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED)])
        work.case_emails.enqueue([])
        both = work.case_emails.claim([case], seconds=HOUR)
        assert sorted(both, key=lambda due: due.kind) == [
            DueEmail(case, EmailKind.ACCEPTED),
            DueEmail(case, EmailKind.REFUNDED),
        ]
    with store.work() as work:
        assert work.case_emails.claim([case], seconds=HOUR) == []
        work.case_emails.release([DueEmail(case, EmailKind.ACCEPTED)], seconds=0)
        work.case_emails.release([DueEmail(case, EmailKind.REFUNDED)], seconds=HOUR)
        work.case_emails.release([], seconds=HOUR)
    with store.work() as work:
        assert work.case_emails.claim([case], seconds=0) == [DueEmail(case, EmailKind.ACCEPTED)]
        work.case_emails.mark_sent([DueEmail(case, EmailKind.ACCEPTED)])
        work.case_emails.mark_sent([])
        work.case_emails.release([DueEmail(case, EmailKind.ACCEPTED)], seconds=0)
    with store.work() as work:
        assert work.case_emails.claim([case], seconds=0) == []


def test_unsent_emails_are_overdue(store: Records) -> None:
    case = a_case(store, *ELIGIBLE)
    with store.work() as work:
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED), (case, EmailKind.REFUNDED)])
    with store.work() as work:
        assert work.case_emails.overdue(seconds=HOUR, limit=10) == []
        assert work.case_emails.overdue(seconds=-1, limit=10) == [(False, "aurora", case)]
        work.case_emails.claim([case], seconds=HOUR)
    with store.work() as work:
        assert work.case_emails.overdue(seconds=-1, limit=10) == []


def test_a_claimed_email_contains_the_kinds_of_the_sent_emails_and_the_refund_id(store: Records) -> None:
    case = a_case(store, *REFUNDING)
    operation = create_operation(store, case)
    with store.work() as work:
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED), (case, EmailKind.REFUNDED)])
        work.case_emails.mark_sent([DueEmail(case, EmailKind.ACCEPTED)])
        work.refund_operations.record_results([(operation, Paid("re_9", operation.amount))])
    with store.work() as work:
        assert work.case_emails.claim([case], seconds=HOUR) == [
            DueEmail(case, EmailKind.REFUNDED, (EmailKind.ACCEPTED,), "re_9")
        ]


# Support tasks


def test_a_task_is_claimed_with_its_case_id_or_its_own_id_and_published_once(store: Records) -> None:
    case = a_case(store)
    record_event(store, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": [{"code": "x"}]})
    with store.work() as work:
        assert work.support_tasks.create([a_support_task(), a_support_task()]) == {a_support_task().id}
        assert work.support_tasks.create([a_support_task()]) == set()
        assert work.support_tasks.create([]) == set()
    assert take_messages(store, SupportNeeded) == [case, a_support_task().id]
    with store.work() as work:
        found = {task.case_id: task for task in work.support_tasks.claim([case, a_support_task().id], seconds=HOUR)}
    assert set(found) == {case, None}
    assert (found[case].seller_id, found[None].seller_id, found[None].evidence) == ("aurora", "", {"refund": "re_9"})
    assert found[None].reasons == [
        {"code": "unexpected_refund", "sentence": SupportTaskKind.UNEXPECTED_REFUND.sentence, "detail": ""},
    ]
    with store.work() as work:
        assert work.support_tasks.claim([case, a_support_task().id], seconds=0) == []
        assert work.support_tasks.overdue(seconds=-1, limit=10) == []
        work.support_tasks.mark_published(list(found.values()))
        work.support_tasks.mark_published([])
    with store.work() as work:
        assert work.support_tasks.claim([case, a_support_task().id], seconds=0) == []


def test_a_worker_without_the_claim_cannot_mark_a_task_as_published(store: Records) -> None:
    with store.work() as work:
        work.support_tasks.create([a_support_task()])
    with store.work() as work:
        expired_claim = work.support_tasks.claim([a_support_task().id], seconds=0)
    with store.work() as work:
        current_claim = work.support_tasks.claim([a_support_task().id], seconds=0)
        work.support_tasks.mark_published(expired_claim)
    with store.work() as work:
        assert work.support_tasks.overdue(seconds=-1, limit=10) == [], "The task's message is still in the outbox."
    take_messages(store, SupportNeeded)
    with store.work() as work:
        assert work.support_tasks.overdue(seconds=-1, limit=10) == [(False, "", a_support_task().id)]
        work.support_tasks.mark_published(current_claim)
        assert work.support_tasks.overdue(seconds=-1, limit=10) == []


def test_only_tasks_that_wait_for_support_are_published_again(store: Records) -> None:
    waiting, continued = (
        a_case_with_support(store, ReasonCode.DISPUTE_OPEN, purchase=a_recent_purchase()) for _ in range(2)
    )
    unpublished = a_case(store)
    record_event(store, unpublished, E.FOUND_NOT_ELIGIBLE)
    ids = [waiting, continued, a_support_task().id]
    with store.work() as work:
        work.support_tasks.create([a_support_task()])
    with store.work() as work:
        tasks = work.support_tasks.claim(ids, seconds=HOUR)
        work.support_tasks.mark_published(tasks)
        claimed = work.support_tasks.claim([unpublished], seconds=HOUR)
    record_event(store, continued, E.DISPUTE_WON)
    with store.work() as work:
        assert work.support_tasks.publish_again() == 3
        work.support_tasks.mark_published(claimed)
    with store.work() as work:
        again = work.support_tasks.claim([*ids, unpublished], seconds=HOUR)
    assert {task.id for task in again} == {task.id for task in [*tasks, *claimed] if task.case_id != continued}


def test_unpublished_tasks_are_overdue(store: Records) -> None:
    case = a_case(store, bulk=True)
    record_event(store, case, E.FOUND_NOT_ELIGIBLE)
    with store.work() as work:
        work.support_tasks.create(
            [a_support_task(case_id=case), a_support_task(subject="another", seller_id="borealis")]
        )
        work.support_tasks.claim([case], seconds=0)
    other = a_support_task(subject="another").id
    take_messages(store, SupportNeeded)
    with store.work() as work:
        assert work.support_tasks.overdue(seconds=HOUR, limit=10) == []
        found = work.support_tasks.overdue(seconds=-1, limit=10)
    assert set(found) == {(True, "aurora", case), (False, "borealis", other)}


def test_a_case_has_a_new_task_each_time_it_comes_to_support(store: Records) -> None:
    case = a_case_with_support(store, ReasonCode.DISPUTE_OPEN, purchase=a_recent_purchase())
    record_event(store, case, E.DISPUTE_WON)
    record_event(store, case, E.FOUND_NOT_ELIGIBLE)
    with store.work() as work:
        assert len({task.id for task in work.support_tasks.claim([case], seconds=1)}) == 2


# Webhook events


def an_event(event_id: str = "evt_1", **changes: Any) -> WebhookEvent:
    values: dict[str, Any] = {"subject": Subject.REFUND, "charge": "ch_1", "refund_id": "re_1"}
    return WebhookEvent(event_id, **values | changes)


def keep_events(store: Records, *events: WebhookEvent) -> int:
    with store.work() as work:
        return work.webhook_events.keep("sandbox", events, b"the body")


def take_event_ids(store: Records) -> list[UUID]:
    with store.work() as work:
        return [event_id for event_id, _ in work.outbox.take("webhook.events", room=50, after=None, bulk=False)]


def overdue_events(store: Records) -> list[UUID]:
    with store.work() as work:
        return work.webhook_events.overdue(100)


def test_a_webhook_event_is_stored_once_and_claimed_by_one_worker(store: Records) -> None:
    paid = Paid("re_1", Money(4900, "EUR"))
    assert keep_events(store, an_event(reported=paid), an_event(reported=paid)) == 1
    assert keep_events(store, an_event(reported=paid)) == 0
    assert keep_events(store) == 0
    (event_id,) = take_event_ids(store)
    assert overdue_events(store) == [event_id]
    with store.work() as work:
        (claimed,) = work.webhook_events.claim([event_id, UNKNOWN_ID], seconds=HOUR)
    assert (claimed.provider, claimed.event, claimed.deliveries, claimed.attempts) == (
        "sandbox",
        an_event(reported=paid),
        2,
        1,
    )
    assert overdue_events(store) == []
    with store.work() as work:
        assert work.webhook_events.claim([event_id], seconds=HOUR) == []
        work.webhook_events.resolve([(claimed, "refund_paid")])
        work.webhook_events.resolve([])
        assert work.webhook_events.claim([event_id], seconds=HOUR) == []
    assert overdue_events(store) == []


def test_an_event_whose_id_is_reused_is_processed_again(store: Records) -> None:
    assert keep_events(store, an_event(reuses_event_id=True)) == 1
    (event_id,) = take_event_ids(store)
    with store.work() as work:
        (claimed,) = work.webhook_events.claim([event_id], seconds=HOUR)
    assert keep_events(store, an_event(reuses_event_id=True)) == 1
    assert take_event_ids(store) == [event_id]
    with store.work() as work:
        work.webhook_events.resolve([(claimed, "refund_pending")])
    assert overdue_events(store) == [event_id], (
        "The event arrived again while a worker processed it, so it must be processed again."
    )
    with store.work() as work:
        (claimed,) = work.webhook_events.claim([event_id], seconds=HOUR)
        assert claimed.attempts == 1, "After the second arrival, the attempts are counted from 1 again."
        work.webhook_events.resolve([(claimed, "refund_paid")])
    assert overdue_events(store) == []


def request_again(store: Records, *events: WebhookEvent) -> int:
    with store.work() as work:
        return work.webhook_events.request_again("sandbox", events)


@pytest.mark.parametrize("outcome", ["refund_paid", "crashed_worker", "not_visible"])
def test_an_event_of_our_own_is_due_again_only_after_it_ended(store: Records, outcome: str) -> None:
    assert request_again(store, an_event(), an_event("evt_2")) == 2
    event_id, other_id = take_event_ids(store)
    assert request_again(store, an_event()) == request_again(store) == 0
    with store.work() as work:
        (claimed,) = work.webhook_events.claim([event_id], seconds=-1.0)
    assert request_again(store, an_event()) == 0, "a worker processes the event"
    with store.work() as work:
        (claimed,) = work.webhook_events.claim([event_id], seconds=HOUR, include_crashed=True)
        work.webhook_events.resolve([(claimed, outcome)])
    assert overdue_events(store) == [other_id]
    assert request_again(store, an_event(), an_event("evt_2"), an_event("evt_3")) == 2
    assert len(take_event_ids(store)) == 2
    with store.work() as work:
        (claimed,) = work.webhook_events.claim([event_id], seconds=HOUR)
    assert (claimed.attempts, claimed.crashes, claimed.deliveries) == (1, 0, 1)


def test_an_unresolved_event_is_retried_later(store: Records) -> None:
    keep_events(store, an_event("evt_1"), an_event("evt_2"))
    event_ids = take_event_ids(store)
    with store.work() as work:
        first, second = work.webhook_events.claim(event_ids, seconds=HOUR)
        work.webhook_events.retry_later([(first, HOUR, "Not yet."), (second, -1.0, "Not yet.")])
        work.webhook_events.retry_later([])
    assert overdue_events(store) == [second.id]
    with store.work() as work:
        (again,) = work.webhook_events.claim([second.id], seconds=0)
        assert again.attempts == 2
        assert [event.id for event in work.webhook_events.claim([first.id], seconds=0)] == [first.id], (
            "The delay does not prevent a claim: a worker may claim the event before the delay ends."
        )
        work.webhook_events.postpone([second.id], HOUR)
        work.webhook_events.postpone([], HOUR)
    assert overdue_events(store) == [first.id]


def test_after_a_worker_crash_the_event_is_claimed_separately_and_the_crash_is_counted(store: Records) -> None:
    keep_events(store, an_event("evt_1"), an_event("evt_2"), an_event("evt_3"))
    event_ids = take_event_ids(store)
    with store.work() as work:
        crashed, finished = work.webhook_events.claim(event_ids[:2], seconds=-1.0)
        work.webhook_events.claim(event_ids[2:], seconds=HOUR)
        work.webhook_events.retry_later([(finished, -1.0, "Not yet.")])
    with store.work() as work:
        assert work.webhook_events.crashed_before(event_ids) == [crashed.id]
        assert work.webhook_events.crashed_before([]) == []
        assert [event.id for event in work.webhook_events.claim(event_ids, seconds=HOUR)] == [finished.id]
        (again,) = work.webhook_events.claim(event_ids, seconds=-1.0, include_crashed=True)
        assert (again.id, again.attempts, again.crashes) == (crashed.id, 2, 1)
        (again,) = work.webhook_events.claim([crashed.id], seconds=-1.0, include_crashed=True)
        assert again.crashes == 2
        work.webhook_events.retry_later([(again, -1.0, "Not yet.")])
        (again,) = work.webhook_events.claim([crashed.id], seconds=HOUR)
        assert (again.attempts, again.crashes) == (4, 0)
        assert work.webhook_events.crashed_before(event_ids) == []


def test_a_reported_failure_takes_precedence_over_other_reports(store: Records) -> None:
    case = a_case(store)
    operation = replace(create_operation(store, case, charge="ch_1"), refund_id="re_1")
    money = Money(4900, "EUR")

    def reported() -> object:
        with store.work() as work:
            return work.webhook_events.reported_refund(operation)

    assert reported() is None
    keep_events(
        store,
        an_event("1", reported=Failed("re_1", "came_back")),
        an_event("2", refund_id="re_2", reported=Paid("re_2", money)),
    )
    assert reported() == Failed("re_1", "came_back")
    keep_events(
        store,
        an_event("3", reported=Paid("re_1", money)),
        an_event("4", reported=Pending("re_1", money)),
        an_event("5"),
    )
    keep_events(store, an_event("6", subject=Subject.DISPUTE, reported=DisputeStatus(Dispute.OPEN, "dp_1")))
    assert reported() == Failed("re_1", "came_back")
    with store.work() as work:
        assert work.webhook_events.reported_refund(replace(operation, refund_id=None)) is None
        assert work.webhook_events.reported_refund(replace(operation, provider="other")) is None
        assert work.webhook_events.reported_refund(replace(operation, refund_id="re_2")) == Paid("re_2", money)


# Reconciliation, case views, dead letters


def test_operations_with_and_without_a_listed_refund_are_found(store: Records) -> None:
    paid, pending, unanswered = (create_operation(store, a_case(store)) for _ in range(3))
    with store.work() as work:
        work.refund_operations.record_results(
            [(paid, Paid("re_1", paid.amount)), (pending, Pending("re_2", pending.amount))]
        )
    with store.work() as work:
        listed = work.reconciliation.listed("sandbox", keys=[unanswered.key, "x"], refund_ids=["re_1", "y"])
        assert {operation.key for operation in listed} == {paid.key, unanswered.key}
        assert work.reconciliation.listed("other", keys=[], refund_ids=["re_1"]) == []
        begun, early = work.now, work.now - timedelta(hours=1)

    def unlisted(since: datetime, until: datetime) -> Sequence[str]:
        with store.work() as work:
            return [
                operation.key
                for operation in work.reconciliation.unlisted("sandbox", since=since, until=until, begun=begun)
            ]

    assert unlisted(early, begun) == [paid.key, pending.key], "An operation without a result is left out."
    assert unlisted(early, early) == []
    assert unlisted(begun, begun) == []
    with store.work() as work:
        work.reconciliation.mark_reconciled(listed)
    assert unlisted(early, begun) == [pending.key]


def test_a_case_view_has_the_purchase_the_seller_and_the_newest_reasons(store: Records) -> None:
    purchase = a_recent_purchase(charge="ch_1")
    case = a_case_with_support(store, ReasonCode.DISPUTE_OPEN, purchase=purchase)
    unknown = a_case(store, seller_id=None)
    with store.work() as work:
        views = work.case_views.get_many([case, unknown, UNKNOWN_ID])
        assert work.case_views.get_many([]) == {}
    assert set(views) == {case, unknown}
    view = views[case]
    assert (view.state, view.seller_name, view.product, total(view.payments)) == (
        S.WITH_SUPPORT,
        "Aurora Software",
        purchase.product,
        Money(4900, "EUR"),
    )
    assert (view.purchase_email, view.purchase_reference, view.email) == (
        purchase.email,
        purchase.reference,
        purchase.email,
    )
    assert [reason["code"] for reason in view.reasons] == ["dispute_open"]
    assert (views[unknown].seller_name, views[unknown].product, views[unknown].reasons) == (None, None, [])


def test_an_unreadable_message_is_stored_as_a_dead_letter(store: Records) -> None:
    with store.work() as work:
        work.dead_letters.keep("refund.execute", b"\x00text", "This is not a message.")
    with rolled_back(store) as work:
        work.dead_letters.keep("refund.execute", b"another", "This is not a message either.")
    with store.work() as work:
        (dead,) = work.dead_letters.list_all()
    assert (dead.queue, dead.body, dead.why, dead.redriven_at) == (
        "refund.execute",
        b"\x00text",
        "This is not a message.",
        None,
    )

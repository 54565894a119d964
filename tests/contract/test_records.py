"""One contract for the records in PostgreSQL and for those in memory: the simulation proves as much as this page does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.cases import Case
from domain.emails import EmailKind
from domain.messages import CaseEmailsDue, RefundApproved, RefundOutcomeUnknown, RefundRequested, SupportNeeded
from domain.money import Money
from domain.policies import Category, SerialLimit
from domain.providers import Declined, DeclineReason, DisputeStatus, Failed, Paid, Pending, Unknown
from domain.purchases import Dispute, Purchase
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus, RefundOperation, key_of
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import Subject, WebhookEvent
from records import Records, UnitOfWork
from records.audit import faults
from records.case_emails import DueEmail
from records.support_tasks import NewSupportTask
from tests.sample_data import a_policy, a_recent_purchase, a_seller, a_submission, store_seller_and_purchases
from tests.services import SHORT_TIMERS
from tests.simulation.memory.records import MemoryRecords

E, S = Event, State
HOUR = 3_600.0
ELIGIBLE = (E.FOUND_ELIGIBLE_AND_TRUSTED,)
REFUNDING = (*ELIGIBLE, E.REFUND_STARTED)
NOWHERE = UUID(int=0)


@pytest.fixture(params=["postgres", "memory"])
def books(request: pytest.FixtureRequest) -> Iterator[Records]:
    """Empty records, of both kinds."""
    if request.param == "memory":
        yield MemoryRecords(SHORT_TIMERS, lambda: datetime.now(UTC))
    else:
        yield request.getfixturevalue("records")


def a_case(books: Records, *events: Event, purchase: Purchase | None = None, **arrival: Any) -> UUID:
    """A case that took these steps; its purchase is found by the first."""
    bought = purchase or a_recent_purchase()
    store_seller_and_purchases(
        books, bought, seller=a_seller(id=bought.seller_id), policy=a_policy(seller_id=bought.seller_id)
    )
    with books.work() as work:
        (accepted,) = work.intake.accept([replace(a_submission(bought), **arrival)])
    for number, event in enumerate(events):
        assert go(books, accepted.id, event, purchase_id=bought.id if number == 0 else None)
    return accepted.id


def go(books: Records, case: UUID, event: Event, **changes: Any) -> bool:
    """One step; whether it was recorded."""
    evidence = changes.pop("evidence", {})
    with books.work() as work:
        step = replace(here(work, case).after(event, actor="test", evidence=evidence), **changes)
        return work.history.record([step]) == {case}


def here(work: UnitOfWork, case: UUID) -> Case:
    found = work.cases.lock_one(case)
    assert found
    return found


def state(books: Records, case: UUID) -> tuple[State, int, int]:
    with books.work() as work:
        found = here(work, case)
    return found.state, found.seq, found.fence


def waiting(books: Records, lane: type[Any]) -> list[UUID]:
    """The messages of this lane, taken."""
    with books.work() as work:
        return [
            case for bulk in (False, True) for case, _ in work.outbox.take(lane.queue, room=100, after=None, bulk=bulk)
        ]


def overdue(books: Records) -> list[UUID]:
    with books.work() as work:
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


def prepared(books: Records, case: UUID, **changes: Any) -> RefundOperation:
    """An operation of this case, as it reads back."""
    with books.work() as work:
        work.refund_operations.create([an_operation(case, **changes)])
    return newest(books, case)


def newest(books: Records, case: UUID) -> RefundOperation:
    with books.work() as work:
        return work.refund_operations.for_cases([case])[case]


@contextmanager
def undone(books: Records) -> Iterator[UnitOfWork]:
    """A transaction that fails after all was done."""
    with suppress(RuntimeError), books.work() as work:
        yield work
        raise RuntimeError


def a_report(**changes: Any) -> NewSupportTask:
    values: dict[str, Any] = {
        "kind": SupportTaskKind.UNEXPECTED_REFUND,
        "subject": "sandbox re_9",
        "evidence": {"refund": "re_9"},
    }
    return NewSupportTask(**values | changes)


# Intake


def test_an_accepted_request_is_a_case_with_history_and_message(books: Records) -> None:
    case = a_case(books)
    assert state(books, case) == (S.RECEIVED, 1, 0)
    with books.work() as work:
        (row,) = work.history.for_case(case)
    assert (row.seq, row.from_state, row.event, row.to_state, row.actor, row.evidence) == (
        1,
        "",
        "accepted",
        "received",
        "api",
        {},
    )
    assert waiting(books, RefundRequested) == [case]


def test_a_request_known_by_its_key_gets_the_case_it_has(books: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(books, bought)
    first, other = a_submission(bought, key="7"), a_submission(bought, key="7", comment="something else")
    with books.work() as work:
        here, again = work.intake.accept([first, replace(first, id=uuid4())])
    with books.work() as work:
        later, changed = work.intake.accept([replace(first, id=uuid4()), other])
    assert (here.created, again.created, later.created, changed.created) == (True, False, False, False)
    assert {here.id, again.id, later.id, changed.id} == {first.id}
    assert (again.identical, later.identical, changed.identical) == (True, True, False)
    assert waiting(books, RefundRequested) == [first.id]


def test_a_key_is_its_sources_own(books: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(books, bought)
    one, two = a_submission(bought, key="7"), replace(a_submission(bought, key="7"), source="elsewhere")
    with books.work() as work:
        assert [accepted.created for accepted in work.intake.accept([one, two])] == [True, True]


def test_a_request_of_a_seller_that_nobody_knows_is_refused_whole(books: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(books, bought)
    good, bad = a_submission(bought), replace(a_submission(bought), seller_id="nobody")
    with pytest.raises(IntegrityError, match="cases_seller_id_fkey"), books.work() as work:
        work.intake.accept([good, bad])
    with books.work() as work:
        assert work.cases.lock_one(good.id) is None
        assert work.outbox.queues() == set()


# Transactions


def test_an_error_undoes_the_whole_transaction(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    waiting(books, RefundRequested)
    waiting(books, RefundApproved)
    operation = prepared(books, case)
    bought = a_recent_purchase()
    with undone(books) as work:
        work.purchases.upsert([bought])
        work.refund_operations.claim([operation])
        work.refund_operations.record_results([(operation, Paid("re_1", operation.amount))])
        work.history.record([here(work, case).after(E.PROVIDER_PAID, actor="test")])
        work.webhook_events.keep("sandbox", [WebhookEvent("evt_1", Subject.REFUND)], b"")
        work.support_tasks.create([a_report()])
        work.cases.postpone([case], -HOUR)
    assert state(books, case) == (S.REFUNDING, 3, 0)
    assert newest(books, case) == operation
    assert overdue(books) == []
    with books.work() as work:
        assert work.purchases.get(bought.id) is None
        assert work.outbox.queues() == set()
        assert work.refund_operations.claim([operation]) == {case}, "nobody holds the payment"
        assert work.case_emails.claim([case], seconds=1) == []
        assert work.support_tasks.claim([a_report().id], seconds=1) == []
        assert len(work.history.for_case(case)) == 3


def test_what_was_taken_from_the_outbox_is_back_when_the_transaction_fails(books: Records) -> None:
    cases = [a_case(books), a_case(books)]
    with undone(books) as work:
        assert len(work.outbox.take(RefundRequested.queue, room=2, after=None, bulk=False)) == 2
    assert waiting(books, RefundRequested) == cases


def test_after_an_error_of_the_database_a_transaction_does_nothing_more(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    prepared(books, case)
    with suppress(DBAPIError), books.work() as work:
        with pytest.raises(IntegrityError, match=r"refund_operations_key_key|refund_operations_pkey"):
            work.refund_operations.create([an_operation(case)])
        with pytest.raises(DBAPIError):
            work.cases.lock_one(case)


def test_the_clock_stands_still_within_a_transaction(books: Records) -> None:
    with books.work() as work:
        first = work.now
        assert first.tzinfo is not None
        assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
        assert work.now == first


# Steps


def test_a_step_moves_the_case_and_sets_going_what_its_state_does(books: Records) -> None:
    case = a_case(books)
    waiting(books, RefundRequested)
    reasons = [{"code": "over_ceiling", "sentence": "Too much.", "detail": ""}]
    assert go(books, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": reasons, "rules": {"a": None, "b": [1, "ü"]}})
    assert state(books, case) == (S.WITH_SUPPORT, 2, 0)
    with books.work() as work:
        assert work.outbox.queues() == {CaseEmailsDue.queue, SupportNeeded.queue}
        (task,) = work.support_tasks.claim([case], seconds=1)
        assert work.case_emails.claim([case], seconds=1) == [DueEmail(case, EmailKind.WITH_SUPPORT)]
        _, row = work.history.for_case(case)
    assert (task.case_id, task.reasons, task.evidence) == (case, reasons, {})
    assert row.evidence == {"reasons": reasons, "rules": {"a": None, "b": [1, "ü"]}}


@pytest.mark.parametrize("change", [{"seq": 2}, {"seq": 0}, {"fence": 1}, {"state": S.APPROVED}])
def test_a_step_from_where_the_case_is_not_leaves_no_trace(books: Records, change: dict[str, Any]) -> None:
    case = a_case(books)
    waiting(books, RefundRequested)
    with books.work() as work:
        held = replace(here(work, case), **change)
        event = E.REFUND_STARTED if held.state is S.APPROVED else E.FOUND_ELIGIBLE
        assert work.history.record([held.after(event, actor="test")]) == set()
        assert work.outbox.queues() == set()
        assert len(work.history.for_case(case)) == 1
    assert state(books, case) == (S.RECEIVED, 1, 0)


def test_of_several_steps_those_that_hold_are_recorded(books: Records) -> None:
    one, two = a_case(books), a_case(books)
    with books.work() as work:
        good, late = here(work, one), replace(here(work, two), fence=9)
        steps = [case.after(E.FOUND_NO_PURCHASE, actor="test") for case in (late, good)]
        assert work.history.record(steps) == {one}


def test_a_step_may_take_the_lease_and_fences_out_everybody_before(books: Records) -> None:
    case = a_case(books, *ELIGIBLE)
    with books.work() as work:
        before = here(work, case)
        step = replace(before.after(E.REFUND_STARTED, actor="test"), lease=HOUR)
        work.history.record([step])
        after = step.case_after(work.now)
    assert state(books, case) == (S.REFUNDING, 3, 1)
    with books.work() as work:
        assert here(work, case) == replace(after, request=here(work, case).request)
        assert work.cases.lock([case], state=S.REFUNDING) == []
        assert work.history.record([before.after(E.REFUND_STARTED, actor="test")]) == set()
        assert work.history.record([after.after(E.PROVIDER_PAID, actor="test")]) == {case}
        assert work.cases.lock([case], state=S.REFUNDED)


def test_a_step_with_a_pause_sends_nothing_and_leaves_the_case_alone(books: Records) -> None:
    case = a_case(books, *ELIGIBLE)
    waiting(books, RefundApproved)
    assert go(books, case, E.PUT_ON_HOLD, due_in=HOUR)
    with books.work() as work:
        assert RefundApproved.queue not in work.outbox.queues()
        assert work.cases.lock([case], state=S.APPROVED) == []
        assert work.cases.lease([case], states=[S.APPROVED], seconds=1) == []
        assert work.cases.count_deliveries([case], states=[S.APPROVED], apart=0) == {}
    assert overdue(books) == []
    assert go(books, case, E.PUT_ON_HOLD, due_in=0.0)
    with books.work() as work:
        assert work.cases.lock([case], state=S.APPROVED)
    assert overdue(books) == [case]


def test_a_case_that_is_handed_on_needs_no_message(books: Records) -> None:
    case = a_case(books)
    assert go(books, case, E.FOUND_ELIGIBLE_AND_TRUSTED, continued=True)
    assert waiting(books, RefundApproved) == []


def test_one_purchase_has_one_live_case(books: Records) -> None:
    bought = a_recent_purchase()
    first, second = a_case(books, *ELIGIBLE, purchase=bought), a_case(books, purchase=bought)
    with pytest.raises(IntegrityError, match="cases_one_open_case_per_purchase"):
        go(books, second, E.FOUND_ELIGIBLE, purchase_id=bought.id)
    assert state(books, second) == (S.RECEIVED, 1, 0)
    assert go(books, second, E.FOUND_OPEN_CASE, purchase_id=bought.id)
    assert go(books, first, E.NO_LONGER_ELIGIBLE)
    assert go(books, first, E.SUPPORT_DECLINED)
    third = a_case(books, purchase=bought)
    assert go(books, third, E.FOUND_ELIGIBLE, purchase_id=bought.id), "an ended case holds nothing"


def test_a_refunded_case_holds_its_purchase_for_good(books: Records) -> None:
    bought = a_recent_purchase()
    a_case(books, *REFUNDING, E.PROVIDER_PAID, purchase=bought)
    with pytest.raises(IntegrityError, match="cases_one_open_case_per_purchase"):
        go(books, a_case(books, purchase=bought), E.FOUND_ELIGIBLE, purchase_id=bought.id)


def test_a_step_cannot_find_a_purchase_or_a_seller_that_is_not_there(books: Records) -> None:
    case = a_case(books)
    with pytest.raises(IntegrityError, match="cases_purchase_id_fkey"):
        go(books, case, E.FOUND_ELIGIBLE, purchase_id=uuid4())
    with pytest.raises(IntegrityError, match="cases_seller_id_fkey"):
        go(books, case, E.FOUND_ELIGIBLE, seller_id="nobody")


def test_every_history_replays(books: Records) -> None:
    a_case(books)
    a_case(books, *REFUNDING, E.PROVIDER_ACCEPTED, E.PROVIDER_PAID)
    case = a_case(books)
    go(books, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": [{"code": "é", "n": 3}], "none": None})
    with books.work() as work:
        stories = list(work.history.stream_all())
    assert [story.id for story in stories] == sorted(story.id for story in stories)
    assert sorted(len(story.rows) for story in stories) == [1, 2, 5]
    assert [fault for story in stories for fault in faults(story)] == []


# Holding cases


def test_a_lock_takes_the_cases_that_stand_there_in_the_order_they_came(books: Records) -> None:
    cases = [a_case(books) for _ in range(4)]
    go(books, cases[1], E.FOUND_NO_PURCHASE)
    with books.work() as work:
        found = work.cases.lock([*reversed(cases), cases[0], NOWHERE], state=S.RECEIVED)
    assert [case.id for case in found] == [cases[0], cases[2], cases[3]]


def test_waiting_for_a_case_finds_it_in_any_state_or_not_at_all(books: Records) -> None:
    case = a_case(books, *ELIGIBLE)
    with books.work() as work:
        work.cases.lease([case], states=[S.APPROVED], seconds=HOUR)
        found = here(work, case)
        assert (found.state, found.seller_id, found.request.trusted) == (S.APPROVED, "aurora", True)
        assert work.cases.lock_one(NOWHERE) is None


def test_a_leased_case_is_its_holders(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    with books.work() as work:
        before = here(work, case)
        (held,) = work.cases.lease([case, NOWHERE], states=[S.REFUNDING, S.REFUND_PENDING], seconds=HOUR)
        assert held == replace(before, fence=before.fence + 1)
    with books.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == []
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1, early=True) == []
        assert work.cases.lock([case], state=S.REFUNDING) == []
        assert work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0, include_crashed=True) == {}
        assert work.history.record([before.after(E.PROVIDER_PAID, actor="test")]) == set()


def test_a_lease_that_is_over_may_be_taken_and_fences_its_holder_out(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    with books.work() as work:
        (late,) = work.cases.lease([case], states=[S.REFUNDING], seconds=0)
    with books.work() as work:
        (held,) = work.cases.lease([case], states=[S.REFUNDING], seconds=HOUR)
        assert held.fence == late.fence + 1
        assert work.history.record([late.after(E.PROVIDER_PAID, actor="test")]) == set()
        work.cases.release([(late, 0.0)])
    with books.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == [], "who lost the lease cannot give it back"
        assert work.history.record([held.after(E.PROVIDER_PAID, actor="test")]) == {case}


def test_a_case_elsewhere_is_not_leased(books: Records) -> None:
    case = a_case(books, *ELIGIBLE)
    with books.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == []


def test_news_may_take_a_case_that_is_to_be_left_alone(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    assert go(books, case, E.OUTCOME_UNKNOWN, due_in=HOUR)
    with books.work() as work:
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=1) == []
        assert work.cases.lease([case], states=[S.REFUNDING], seconds=0, early=True)
    assert overdue(books) == [], "nobody could go on with it before"


def test_a_case_given_back_rests_for_as_long_as_was_said(books: Records) -> None:
    case, other = a_case(books, *REFUNDING), a_case(books, *REFUNDING)
    with books.work() as work:
        held = {one.id: one for one in work.cases.lease([case, other], states=[S.REFUNDING], seconds=HOUR)}
        work.cases.release([(held[case], HOUR), (held[other], 0.0)])
        work.cases.release([])
    assert overdue(books) == [other]
    with books.work() as work:
        assert [one.id for one in work.cases.lease([case, other], states=[S.REFUNDING], seconds=1)] == [other]


def test_a_lease_on_an_ended_case_does_not_make_it_due(books: Records) -> None:
    case = a_case(books, *REFUNDING, E.PROVIDER_PAID)
    with books.work() as work:
        (held,) = work.cases.lease([case], states=[S.REFUNDED], seconds=0)
    assert overdue(books) == []
    with books.work() as work:
        work.cases.release([(held, 0.0)])
    assert overdue(books) == []


# Counting deliveries


def test_a_delivery_is_counted_once_until_it_came_to_nothing(books: Records) -> None:
    case, other = a_case(books), a_case(books, *ELIGIBLE)
    with books.work() as work:
        assert work.cases.count_deliveries([case, other, NOWHERE], states=[S.RECEIVED], apart=HOUR) == {case: 1}
    with books.work() as work:
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=HOUR) == {}
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=HOUR, include_crashed=True) == {}
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=0) == {}, (
            "only those that were told apart as suspects"
        )
        assert work.cases.crashed_before([case], states=[S.RECEIVED], apart=HOUR) == {}
        assert work.cases.crashed_before([case, other], states=[S.RECEIVED], apart=0) == {case: 1}
        assert work.cases.crashed_before([case], states=[S.APPROVED], apart=0) == {}
        assert work.cases.count_deliveries([case], states=[S.RECEIVED], apart=0, include_crashed=True) == {case: 2}


def test_a_case_that_moved_or_was_given_back_is_counted_anew(books: Records) -> None:
    case = a_case(books, *ELIGIBLE)
    with books.work() as work:
        work.cases.count_deliveries([case], states=[S.APPROVED], apart=0)
        work.cases.count_deliveries([case], states=[S.APPROVED], apart=0, include_crashed=True)
    go(books, case, E.REFUND_STARTED)
    with books.work() as work:
        assert work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0) == {case: 1}
        (held,) = work.cases.lease([case], states=[S.REFUNDING], seconds=HOUR)
    with books.work() as work:
        work.cases.release([(held, 0.0)])
    with books.work() as work:
        assert work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0) == {case: 1}


def test_a_delivery_that_came_back_is_not_counted_and_its_case_is_due(books: Records) -> None:
    case, moved, held, taken_over = (a_case(books, *ELIGIBLE) for _ in range(4))
    here = [S.APPROVED]
    with books.work() as work:
        counts = work.cases.count_deliveries([case, moved, held, taken_over], states=here, apart=0)
    go(books, moved, E.REFUND_STARTED)
    with books.work() as work:
        work.cases.lease([held], states=here, seconds=HOUR)
        work.cases.count_deliveries([taken_over], states=here, apart=0, include_crashed=True)
    with books.work() as work:
        work.cases.uncount_deliveries(counts, states=here)
    assert overdue(books) == [case]
    with books.work() as work:
        assert work.cases.count_deliveries([case, moved, held, taken_over], states=here, apart=HOUR) == {case: 1}
        assert work.cases.crashed_before([taken_over], states=here, apart=0) == {taken_over: 2}, (
            "somebody else's count by now"
        )


def test_a_lease_alone_does_not_forget_deliveries(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    with books.work() as work:
        work.cases.count_deliveries([case], states=[S.REFUNDING], apart=0)
        work.cases.lease([case], states=[S.REFUNDING], seconds=0)
    with books.work() as work:
        assert work.cases.crashed_before([case], states=[S.REFUNDING], apart=0) == {case: 1}


# What nobody moves


def test_what_is_due_and_free_is_overdue_each_sellers_oldest_first(books: Records) -> None:
    cases = {
        seller: [a_case(books, *ELIGIBLE, purchase=a_recent_purchase(seller_id=seller)) for _ in range(3)]
        for seller in ("aurora", "borealis")
    }
    everyone = [case for mine in cases.values() for case in mine]
    assert overdue(books) == []
    with books.work() as work:
        for number, case in enumerate(everyone):
            work.cases.postpone([case], number - HOUR)
        work.cases.postpone([], 1)
    with books.work() as work:
        found = work.cases.overdue(4)
        assert [(row.seller_id, row.id) for row in found] == [
            ("aurora", cases["aurora"][0]),
            ("borealis", cases["borealis"][0]),
            ("aurora", cases["aurora"][1]),
            ("borealis", cases["borealis"][1]),
        ]
        assert {(row.state, row.bulk) for row in found} == {("approved", False)}
        assert len(work.cases.overdue(100)) == 6
        work.cases.lease([everyone[0]], states=[S.APPROVED], seconds=HOUR)
        work.cases.postpone([everyone[0]], -1)
        work.cases.postpone([everyone[1]], HOUR)
    assert set(overdue(books)) == set(everyone) - {everyone[0], everyone[1]}


def test_cases_whose_seller_is_not_known_yet_are_swept_as_one_more_seller(books: Records) -> None:
    unknown = a_case(books, seller_id=None)
    known = a_case(books)
    with books.work() as work:
        work.cases.postpone([known, unknown], -1)
    with books.work() as work:
        assert [(row.id, row.seller_id) for row in work.cases.overdue(10)] == [(unknown, ""), (known, "aurora")]


def with_support(books: Records, *codes: ReasonCode, purchase: Purchase) -> UUID:
    case = a_case(books, purchase=purchase)
    reasons = [{"code": code, "sentence": code.support, "detail": ""} for code in codes]
    assert go(books, case, E.FOUND_NOT_ELIGIBLE, purchase_id=purchase.id, evidence={"reasons": reasons})
    return case


def test_cases_with_support_are_found_by_their_one_reason(books: Records) -> None:
    bought = [a_recent_purchase(charge="ch_1"), a_recent_purchase(charge="ch_1"), a_recent_purchase(charge="ch_2")]
    only = with_support(books, ReasonCode.DISPUTE_OPEN, purchase=bought[0])
    with_support(books, ReasonCode.DISPUTE_OPEN, ReasonCode.OVER_CEILING, purchase=bought[1])
    with_support(books, ReasonCode.DISPUTE_OPEN, purchase=bought[2])
    with_support(books, ReasonCode.OVER_CEILING, purchase=a_recent_purchase(charge="ch_1"))
    with_support(books, purchase=a_recent_purchase(charge="ch_1"))
    with books.work() as work:
        assert work.cases.with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN) == [here(work, only)]
        assert work.cases.still_with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN)
        assert work.cases.with_support_for("other", "ch_1", ReasonCode.DISPUTE_OPEN) == []
        assert not work.cases.still_with_support_for("other", "ch_1", ReasonCode.DISPUTE_OPEN)
        work.cases.lease([only], states=[S.WITH_SUPPORT], seconds=HOUR)
    with books.work() as work:
        assert work.cases.with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN) == []
        assert work.cases.still_with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN), "though somebody holds it"


def test_only_the_newest_reason_of_a_case_counts(books: Records) -> None:
    bought = a_recent_purchase(charge="ch_1")
    case = with_support(books, ReasonCode.DISPUTE_OPEN, purchase=bought)
    go(books, case, E.DISPUTE_WON)
    go(books, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": [{"code": ReasonCode.OVER_CEILING}]})
    with books.work() as work:
        assert work.cases.with_support_for("sandbox", "ch_1", ReasonCode.DISPUTE_OPEN) == []
        assert len(work.cases.with_support_for("sandbox", "ch_1", ReasonCode.OVER_CEILING)) == 1


# The outbox


def test_messages_leave_in_the_order_they_came_each_once(books: Records) -> None:
    cases = [a_case(books) for _ in range(3)]
    with books.work() as work:
        taken = work.outbox.take(RefundRequested.queue, room=2, after=None, bulk=False)
        assert taken == [(cases[0], "aurora"), (cases[1], "aurora")]
        assert work.outbox.take(RefundOutcomeUnknown.queue, room=2, after=None, bulk=False) == []
        assert work.outbox.take(RefundRequested.queue, room=2, after=None, bulk=True) == []
    assert waiting(books, RefundRequested) == cases[2:]
    with books.work() as work:
        assert work.outbox.queues() == set()


def test_every_seller_gets_an_equal_share_of_a_message(books: Records) -> None:
    for seller in ("corona", "aurora", "borealis"):
        for _ in range(4):
            a_case(books, purchase=a_recent_purchase(seller_id=seller))

    def sellers(room: int, after: str | None = None) -> list[str]:
        with undone(books) as work:
            found = [
                seller for _, seller in work.outbox.take(RefundRequested.queue, room=room, after=after, bulk=False)
            ]
        return sorted(found)

    assert sellers(2) == ["aurora", "borealis"], "no room for the third"
    assert sellers(4) == ["aurora", "aurora", "borealis", "corona"]
    assert sellers(6) == ["aurora"] * 2 + ["borealis"] * 2 + ["corona"] * 2
    assert sellers(4, after="aurora") == ["borealis"] * 2 + ["corona"] * 2
    assert sellers(9, after="borealis") == ["corona"] * 4
    assert sellers(9, after="corona") == []


def test_bulk_waits_in_a_line_of_its_own(books: Records) -> None:
    case = a_case(books, bulk=True)
    with books.work() as work:
        assert work.outbox.take(RefundRequested.queue, room=1, after=None, bulk=False) == []
        assert work.outbox.take(RefundRequested.queue, room=1, after=None, bulk=True) == [(case, "aurora")]


def test_what_is_owed_waits_once_a_lane(books: Records) -> None:
    case = a_case(books)
    with books.work() as work:
        work.outbox.enqueue_again([(RefundRequested, False, "aurora", case), (CaseEmailsDue, False, "aurora", case)])
        work.outbox.enqueue_again([(CaseEmailsDue, False, "aurora", case)])
        work.outbox.enqueue_again([])
        work.outbox.enqueue([(RefundApproved, case), (RefundApproved, case), (RefundApproved, NOWHERE)])
    assert waiting(books, RefundRequested) == [case]
    assert waiting(books, CaseEmailsDue) == [case]
    assert waiting(books, RefundApproved) == [case, case], "a case that is not there has no message"


# Operations


def test_a_payment_is_claimed_once_whatever_happens(books: Records) -> None:
    one, two, three = (a_case(books) for _ in range(3))
    mine, yours = an_operation(one, charge="ch_1"), an_operation(two, charge="ch_1")
    with books.work() as work:
        assert len(work.refund_operations.claim([mine, yours, an_operation(three, charge="ch_3")])) == 2
        (first,) = work.refund_operations.claim([mine]) | work.refund_operations.claim([yours])
    with books.work() as work:
        assert work.refund_operations.claim([mine, yours]) <= {first}
        assert work.refund_operations.claim([mine]) | work.refund_operations.claim([yours]) == {first}
        other = replace(an_operation(two, charge="ch_1"), provider="other")
        assert work.refund_operations.claim([other]) == {two}, "another provider's payment is another one"


def test_an_operation_reads_back_as_it_was_written_down(books: Records) -> None:
    case = a_case(books)
    written = an_operation(case)
    with books.work() as work:
        now = work.now
        work.refund_operations.create([written])
        work.refund_operations.create([])
    assert newest(books, case) == replace(written, first_sent_at=now, last_sent_at=now)
    with books.work() as work:
        assert work.refund_operations.for_cases([NOWHERE]) == {}


def test_a_payment_has_one_open_operation(books: Records) -> None:
    case, other = a_case(books), a_case(books)
    first = prepared(books, case, charge="ch_1")
    for again in (an_operation(case, 2, charge="ch_1"), an_operation(other, charge="ch_1")):
        with pytest.raises(IntegrityError, match="refund_operations_one_open_per_payment"), books.work() as work:
            work.refund_operations.create([again])
    with books.work() as work:
        work.refund_operations.close([first], OperationStatus.ABSENT)
        work.refund_operations.close([], OperationStatus.ABSENT)
        work.refund_operations.create([an_operation(case, 2, charge="ch_1")])
        assert work.refund_operations.for_cases([case])[case].attempt == 2
        assert (
            work.refund_operations.for_payments([("sandbox", "ch_1"), ("sandbox", "ch_2")])["sandbox", "ch_1"].attempt
            == 2
        )
    with pytest.raises(IntegrityError, match="refund_operations_one_open_per_payment"), books.work() as work:
        work.refund_operations.record_results([(first, Paid("re_1", first.amount))])


@pytest.mark.parametrize(
    ("answer", "status", "opens"),
    [
        (Paid("re_1", Money(4900, "EUR")), "paid", False),
        (Pending("re_1", Money(4900, "EUR")), "pending", False),
        (Unknown("timeout"), "unknown", False),
        (Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded"), "unknown", False),
        (Declined(DeclineReason.PERMANENT, "no"), "declined", True),
        (Failed("re_1", "came_back"), "failed", True),
    ],
)
def test_an_answer_is_written_to_its_operation(books: Records, answer: Any, status: str, opens: bool) -> None:
    case = a_case(books)
    asked = prepared(books, case)
    with books.work() as work:
        work.refund_operations.record_results([(asked, answer)])
        work.refund_operations.record_results([])
    found = newest(books, case)
    refund_id, code = getattr(answer, "refund_id", None), getattr(answer, "code", None)
    assert found == replace(asked, status=OperationStatus(status), refund_id=refund_id, code=code, polls=1)
    another = an_operation(case, 2)
    if opens:
        with books.work() as work:
            work.refund_operations.create([another])
    else:
        with pytest.raises(IntegrityError, match="refund_operations_one_open_per_payment"), books.work() as work:
            work.refund_operations.create([another])


def test_what_was_known_of_an_operation_is_not_forgotten_by_a_later_answer(books: Records) -> None:
    case = a_case(books)
    asked = prepared(books, case)
    with books.work() as work:
        work.refund_operations.record_results([(asked, Declined(DeclineReason.ALREADY_REFUNDED, "already"))])
        work.refund_operations.record_results([(asked, Pending("re_1", asked.amount))])
        work.refund_operations.record_results([(asked, Unknown("500", replayed=True))])
        work.refund_operations.record_results([(asked, Unknown("500"))])
    found = newest(books, case)
    assert (found.refund_id, found.code, found.status, found.replayed, found.polls) == (
        "re_1",
        "already",
        "unknown",
        True,
        4,
    )


def test_a_refund_of_a_provider_belongs_to_one_operation(books: Records) -> None:
    one, two = prepared(books, a_case(books)), prepared(books, a_case(books))
    with books.work() as work:
        work.refund_operations.record_results([(one, Paid("re_1", one.amount))])
    with pytest.raises(IntegrityError, match="refund_operations_provider_refund_id_key"), books.work() as work:
        work.refund_operations.record_results([(two, Pending("re_1", two.amount))])


def test_a_purchase_knows_what_was_paid_back_and_what_came_back(books: Records) -> None:
    bought = a_recent_purchase(amount=4900)
    case = a_case(books, *REFUNDING, purchase=bought)
    asked = prepared(books, case)

    def refunded(answer: Any) -> int:
        with books.work() as work:
            work.refund_operations.record_results([(asked, answer)])
        with books.work() as work:
            found = work.purchases.get(bought.id)
        assert found
        return found.refunded

    assert refunded(Pending("re_1", asked.amount)) == 0
    assert refunded(Paid("re_1", asked.amount)) == 4900
    assert refunded(Paid("re_1", asked.amount)) == 4900, "the same said twice is paid once"
    assert refunded(Failed("re_1", "came_back")) == 0
    assert refunded(Failed("re_1", "came_back")) == 0


def test_no_operation_is_about_nothing(books: Records) -> None:
    case = a_case(books)
    with pytest.raises(IntegrityError, match="refund_operations_positive_amount_check"), books.work() as work:
        work.refund_operations.create([an_operation(case, amount=Money(0, "EUR"))])


def test_only_who_holds_the_case_may_send_again(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    asked = prepared(books, case)
    with books.work() as work:
        (late,) = work.cases.lease([case], states=[S.REFUNDING], seconds=0)
    with books.work() as work:
        assert work.refund_operations.mark_resent([(late, asked)]) == set(), "its lease is over"
        (held,) = work.cases.lease([case], states=[S.REFUNDING], seconds=HOUR)
    with books.work() as work:
        assert work.refund_operations.mark_resent([(late, asked)]) == set(), "somebody else took over"
        assert work.refund_operations.mark_resent([(held, asked)]) == {asked.key}
        assert work.refund_operations.mark_resent([]) == set()
        now = work.now
    assert newest(books, case) == replace(asked, sends=2, last_sent_at=now)


def test_empty_look_ups_count_only_when_they_are_far_enough_apart(books: Records) -> None:
    case = a_case(books)
    key = prepared(books, case).key

    def asked(*, empty: bool, replayed: bool = False, apart: float) -> tuple[int, int, bool]:
        with books.work() as work:
            work.refund_operations.count_polls([(key, empty, replayed)], apart=apart)
            work.refund_operations.count_polls([], apart=apart)
        found = newest(books, case)
        return found.polls, found.empty_lookups, found.replayed

    assert asked(empty=True, apart=HOUR) == (1, 0, False), "too soon after it was sent"
    assert asked(empty=False, apart=0) == (2, 0, False)
    assert asked(empty=True, apart=0) == (3, 1, False)
    assert asked(empty=True, apart=HOUR) == (4, 1, False), "too soon after the last that counted"
    assert asked(empty=True, replayed=True, apart=0) == (5, 2, True)
    assert asked(empty=False, apart=0) == (6, 2, True), "a replayed error stays one"


# Facts


def test_a_case_matches_the_purchases_with_its_reference_and_address(books: Records) -> None:
    bought = a_recent_purchase(reference="MB-77", email="ada@example.com")
    twin = a_recent_purchase(reference="mb 77", email="ADA@example.com", seller_id="borealis")
    other = a_recent_purchase(reference="MB-77", email="bob@example.com", seller_id="corona")
    cases = [a_case(books, purchase=one) for one in (bought, twin, other)]
    nobodys = a_case(books, purchase=bought, seller_id=None)
    with books.work() as work:
        found = work.decision_inputs.matches([*cases, nobodys, NOWHERE])
    assert {case: [one.id for one in ones] for case, ones in found.items()} == {
        cases[0]: [bought.id],
        cases[1]: [twin.id],
        cases[2]: [other.id],
        nobodys: sorted([bought.id, twin.id]),
    }
    assert found[cases[0]] == [bought]


def test_a_case_holds_the_purchase_that_a_step_found(books: Records) -> None:
    bought = a_recent_purchase()
    held = a_case(books, *ELIGIBLE, purchase=bought)
    with books.work() as work:
        assert work.decision_inputs.purchases([held, NOWHERE]) == {held: bought}


def test_the_policy_that_counts_is_the_one_in_force_at_the_purchase(books: Records) -> None:
    now = datetime.now(UTC)
    bought = a_recent_purchase(purchased_at=now - timedelta(days=3))
    renewed = replace(a_recent_purchase(), purchased_at=now - timedelta(days=3), charged_at=now, renewal=True)
    early = a_recent_purchase(purchased_at=now - timedelta(days=3_000))
    store_seller_and_purchases(books, bought, renewed, early)
    with books.work() as work:
        later = work.sellers.new_policy("aurora", Category.NO_REFUNDS, in_force_from=now - timedelta(days=1))
        work.sellers.new_policy("aurora", Category.NO_RESTRICTIONS, in_force_from=now + timedelta(days=1))
        facts = work.decision_inputs.load([bought, renewed, early])
        policies = work.sellers.policies("aurora")
    assert [policy.version for policy in policies] == [1, 2, 3]
    assert facts[bought.id].policy == policies[0]
    assert facts[renewed.id].policy == later == policies[1]
    assert facts[early.id].policy is None
    assert facts[bought.id].purchase == bought
    assert (facts[bought.id].seller.id, facts[bought.id].open_case, facts[bought.id].refunds) == ("aurora", None, ())


def test_the_live_case_of_a_purchase_is_known(books: Records) -> None:
    bought = a_recent_purchase()
    case = a_case(books, *ELIGIBLE, purchase=bought)
    with books.work() as work:
        assert work.decision_inputs.load([bought])[bought.id].open_case == case
    go(books, case, E.NO_LONGER_ELIGIBLE)
    go(books, case, E.SUPPORT_DECLINED)
    with books.work() as work:
        assert work.decision_inputs.load([bought])[bought.id].open_case is None


def test_refunds_of_a_customer_are_counted_by_address_and_instrument_where_the_seller_limits_them(
    books: Records,
) -> None:
    mine = {"email": "ada@example.com", "instrument": None}
    cards = {"email": "bob@example.com", "instrument": "card_1"}
    paid, running, failed = a_recent_purchase(**mine), a_recent_purchase(**mine), a_recent_purchase(**mine)
    card, stranger = a_recent_purchase(**cards), a_recent_purchase(email="eve@example.com")
    for one, answer, event in (
        (paid, Paid("re_1", Money(4900, "EUR")), E.PROVIDER_PAID),
        (running, Unknown("timeout"), None),
        (failed, Declined(DeclineReason.PERMANENT, "no"), E.PROVIDER_DECLINED),
        (card, Paid("re_2", Money(4900, "EUR")), E.PROVIDER_PAID),
        (stranger, Paid("re_3", Money(4900, "EUR")), E.PROVIDER_PAID),
    ):
        case = a_case(books, *REFUNDING, purchase=one)
        asked = prepared(books, case)
        with books.work() as work:
            work.refund_operations.record_results([(asked, answer)])
        if event:
            go(books, case, event)
    asking = a_recent_purchase(email="ADA@example.com", instrument="card_1")
    store_seller_and_purchases(books, asking)
    with books.work() as work:
        assert work.decision_inputs.load([asking])[asking.id].refunds == ()
        limited = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
        work.sellers.upsert(limited)
        work.sellers.lock(["aurora"])
        facts = work.decision_inputs.load([asking])[asking.id]
    assert facts.seller == limited
    assert len(facts.refunds) == 3, "what was paid, what may be paid just now, and what went to the same card"


# Purchases


def test_a_purchase_told_again_is_the_same_one_and_what_was_refunded_never_shrinks(books: Records) -> None:
    bought = a_recent_purchase(refunded=100)
    store_seller_and_purchases(books, bought)
    with books.work() as work:
        changed = replace(bought, id=uuid4(), reference=bought.reference.lower(), refunded=0, product="Photo 5")
        assert work.purchases.upsert([changed, a_recent_purchase()]) == 1
        assert work.purchases.get(bought.id) == replace(changed, id=bought.id, refunded=100)
        assert work.purchases.get(changed.id) is None
        work.purchases.add_refunded(bought.id, 50)
        work.purchases.add_refunded(NOWHERE, 50)
        assert work.purchases.paid_by([("sandbox", bought.charge)])[0].refunded == 100
        work.purchases.add_refunded(bought.id, 4900)
        assert work.purchases.paid_by([("sandbox", bought.charge), ("sandbox", "x")])[0].refunded == 4900
        assert work.purchases.paid_by([("other", bought.charge)]) == []
        assert work.purchases.paid_by([]) == []


def test_what_the_provider_says_of_a_dispute_counts_more_than_the_sellers_word(books: Records) -> None:
    bought = a_recent_purchase(dispute=Dispute.OPEN)
    store_seller_and_purchases(books, bought)
    with books.work() as work:
        work.purchases.set_dispute("sandbox", bought.charge, Dispute.WON)
        work.purchases.upsert([bought])
        found = work.purchases.get(bought.id)
    assert found
    assert found.dispute is Dispute.WON


# Letters


def test_a_letter_is_due_once_a_stage_and_sent_by_one(books: Records) -> None:
    case = a_case(books)
    with books.work() as work:
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED), (case, EmailKind.REFUNDED)])
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED)])
        work.case_emails.enqueue([])
        both = work.case_emails.claim([case], seconds=HOUR)
        assert sorted(both, key=lambda due: due.kind) == [
            DueEmail(case, EmailKind.ACCEPTED),
            DueEmail(case, EmailKind.REFUNDED),
        ]
    with books.work() as work:
        assert work.case_emails.claim([case], seconds=HOUR) == []
        work.case_emails.release([DueEmail(case, EmailKind.ACCEPTED)], seconds=0)
        work.case_emails.release([DueEmail(case, EmailKind.REFUNDED)], seconds=HOUR)
        work.case_emails.release([], seconds=HOUR)
    with books.work() as work:
        assert work.case_emails.claim([case], seconds=0) == [DueEmail(case, EmailKind.ACCEPTED)]
        work.case_emails.mark_sent([DueEmail(case, EmailKind.ACCEPTED)])
        work.case_emails.mark_sent([])
        work.case_emails.release([DueEmail(case, EmailKind.ACCEPTED)], seconds=0)
    with books.work() as work:
        assert work.case_emails.claim([case], seconds=0) == []


def test_letters_that_nobody_sent_are_found_by_their_case(books: Records) -> None:
    case = a_case(books, *ELIGIBLE)
    with books.work() as work:
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED), (case, EmailKind.REFUNDED)])
    with books.work() as work:
        assert work.case_emails.overdue(seconds=HOUR, limit=10) == []
        assert work.case_emails.overdue(seconds=-1, limit=10) == [(False, "aurora", case)]
        work.case_emails.claim([case], seconds=HOUR)
    with books.work() as work:
        assert work.case_emails.overdue(seconds=-1, limit=10) == []


def test_a_letter_knows_those_before_it_and_what_the_provider_calls_the_refund(books: Records) -> None:
    case = a_case(books, *REFUNDING)
    operation = prepared(books, case)
    with books.work() as work:
        work.case_emails.enqueue([(case, EmailKind.ACCEPTED), (case, EmailKind.REFUNDED)])
        work.case_emails.mark_sent([DueEmail(case, EmailKind.ACCEPTED)])
        work.refund_operations.record_results([(operation, Paid("re_9", operation.amount))])
    with books.work() as work:
        assert work.case_emails.claim([case], seconds=HOUR) == [
            DueEmail(case, EmailKind.REFUNDED, (EmailKind.ACCEPTED,), "re_9")
        ]


# Tasks for people


def test_a_task_is_claimed_by_its_case_or_its_id_and_published_once(books: Records) -> None:
    case = a_case(books)
    go(books, case, E.FOUND_NOT_ELIGIBLE, evidence={"reasons": [{"code": "x"}]})
    with books.work() as work:
        assert work.support_tasks.create([a_report(), a_report()]) == {a_report().id}
        assert work.support_tasks.create([a_report()]) == set()
        assert work.support_tasks.create([]) == set()
    assert waiting(books, SupportNeeded) == [case, a_report().id]
    with books.work() as work:
        found = {task.case_id: task for task in work.support_tasks.claim([case, a_report().id], seconds=HOUR)}
    assert set(found) == {case, None}
    assert (found[case].seller_id, found[None].seller_id, found[None].evidence) == ("aurora", "", {"refund": "re_9"})
    assert found[None].reasons == [
        {"code": "unexpected_refund", "sentence": SupportTaskKind.UNEXPECTED_REFUND.sentence, "detail": ""},
    ]
    with books.work() as work:
        assert work.support_tasks.claim([case, a_report().id], seconds=0) == []
        assert work.support_tasks.overdue(seconds=-1, limit=10) == []
        work.support_tasks.mark_published(list(found.values()))
        work.support_tasks.mark_published([])
    with books.work() as work:
        assert work.support_tasks.claim([case, a_report().id], seconds=0) == []


def test_a_task_that_is_claimed_by_another_is_not_published_by_the_first(books: Records) -> None:
    with books.work() as work:
        work.support_tasks.create([a_report()])
    with books.work() as work:
        late = work.support_tasks.claim([a_report().id], seconds=0)
    with books.work() as work:
        held = work.support_tasks.claim([a_report().id], seconds=0)
        work.support_tasks.mark_published(late)
    with books.work() as work:
        assert work.support_tasks.overdue(seconds=-1, limit=10) == [], "it waits for the relay"
    waiting(books, SupportNeeded)
    with books.work() as work:
        assert work.support_tasks.overdue(seconds=-1, limit=10) == [(False, "", a_report().id)]
        work.support_tasks.mark_published(held)
        assert work.support_tasks.overdue(seconds=-1, limit=10) == []


def test_only_what_waits_for_a_person_is_published_again(books: Records) -> None:
    waits, went_on = (with_support(books, ReasonCode.DISPUTE_OPEN, purchase=a_recent_purchase()) for _ in range(2))
    on_its_way = a_case(books)
    go(books, on_its_way, E.FOUND_NOT_ELIGIBLE)
    ids = [waits, went_on, a_report().id]
    with books.work() as work:
        work.support_tasks.create([a_report()])
    with books.work() as work:
        tasks = work.support_tasks.claim(ids, seconds=HOUR)
        work.support_tasks.mark_published(tasks)
        held = work.support_tasks.claim([on_its_way], seconds=HOUR)
    go(books, went_on, E.DISPUTE_WON)
    with books.work() as work:
        assert work.support_tasks.publish_again() == 3
        work.support_tasks.mark_published(held)
    with books.work() as work:
        again = work.support_tasks.claim([*ids, on_its_way], seconds=HOUR)
    assert {task.id for task in again} == {task.id for task in [*tasks, *held] if task.case_id != went_on}


def test_tasks_that_nobody_published_are_found(books: Records) -> None:
    case = a_case(books, bulk=True)
    go(books, case, E.FOUND_NOT_ELIGIBLE)
    with books.work() as work:
        work.support_tasks.create([a_report(case_id=case), a_report(subject="another", seller_id="borealis")])
        work.support_tasks.claim([case], seconds=0)
    other = a_report(subject="another").id
    waiting(books, SupportNeeded)
    with books.work() as work:
        assert work.support_tasks.overdue(seconds=HOUR, limit=10) == []
        found = work.support_tasks.overdue(seconds=-1, limit=10)
    assert set(found) == {(True, "aurora", case), (False, "borealis", other)}


def test_each_arrival_at_support_has_a_task_of_its_own(books: Records) -> None:
    case = with_support(books, ReasonCode.DISPUTE_OPEN, purchase=a_recent_purchase())
    go(books, case, E.DISPUTE_WON)
    go(books, case, E.FOUND_NOT_ELIGIBLE)
    with books.work() as work:
        assert len({task.id for task in work.support_tasks.claim([case], seconds=1)}) == 2


# Notices


def a_notice(event: str = "evt_1", **changes: Any) -> WebhookEvent:
    values: dict[str, Any] = {"subject": Subject.REFUND, "charge": "ch_1", "refund_id": "re_1"}
    return WebhookEvent(event, **values | changes)


def kept(books: Records, *notices: WebhookEvent) -> int:
    with books.work() as work:
        return work.webhook_events.keep("sandbox", notices, b"the body")


def noticed(books: Records) -> list[UUID]:
    with books.work() as work:
        return [one for one, _ in work.outbox.take("webhook.events", room=50, after=None, bulk=False)]


def owed(books: Records) -> list[UUID]:
    with books.work() as work:
        return work.webhook_events.overdue(100)


def test_a_webhook_is_kept_once_and_looked_into_by_one(books: Records) -> None:
    said = Paid("re_1", Money(4900, "EUR"))
    assert kept(books, a_notice(reported=said), a_notice(reported=said)) == 1
    assert kept(books, a_notice(reported=said)) == 0
    assert kept(books) == 0
    (one,) = noticed(books)
    assert owed(books) == [one]
    with books.work() as work:
        (heard,) = work.webhook_events.claim([one, NOWHERE], seconds=HOUR)
    assert (heard.provider, heard.event, heard.deliveries, heard.attempts) == ("sandbox", a_notice(reported=said), 2, 1)
    assert owed(books) == []
    with books.work() as work:
        assert work.webhook_events.claim([one], seconds=HOUR) == []
        work.webhook_events.resolve([(heard, "It was so.")])
        work.webhook_events.resolve([])
        assert work.webhook_events.claim([one], seconds=HOUR) == []
    assert owed(books) == []


def test_an_event_that_comes_again_for_news_is_looked_into_again(books: Records) -> None:
    assert kept(books, a_notice(reuses_event_id=True)) == 1
    (one,) = noticed(books)
    with books.work() as work:
        (heard,) = work.webhook_events.claim([one], seconds=HOUR)
    assert kept(books, a_notice(reuses_event_id=True)) == 1
    assert noticed(books) == [one]
    with books.work() as work:
        work.webhook_events.resolve([(heard, "That was before.")])
    assert owed(books) == [one], "it arrived again while it was looked into"
    with books.work() as work:
        (heard,) = work.webhook_events.claim([one], seconds=HOUR)
        assert heard.attempts == 1, "what it tells now was never looked into"
        work.webhook_events.resolve([(heard, "That is all.")])
    assert owed(books) == []


def test_a_notice_that_nothing_explained_is_looked_into_later(books: Records) -> None:
    kept(books, a_notice("evt_1"), a_notice("evt_2"))
    ones = noticed(books)
    with books.work() as work:
        first, second = work.webhook_events.claim(ones, seconds=HOUR)
        work.webhook_events.retry_later([(first, HOUR, "Not yet."), (second, -1.0, "Not yet.")])
        work.webhook_events.retry_later([])
    assert owed(books) == [second.id]
    with books.work() as work:
        (again,) = work.webhook_events.claim([second.id], seconds=0)
        assert again.attempts == 2
        assert [one.id for one in work.webhook_events.claim([first.id], seconds=0)] == [first.id], (
            "a message may come early"
        )
        work.webhook_events.postpone([second.id], HOUR)
        work.webhook_events.postpone([], HOUR)
    assert owed(books) == [first.id]


def test_a_notice_whose_look_did_not_come_back_is_taken_alone_and_counted(books: Records) -> None:
    kept(books, a_notice("evt_1"), a_notice("evt_2"), a_notice("evt_3"))
    ones = noticed(books)
    with books.work() as work:
        fell, back = work.webhook_events.claim(ones[:2], seconds=-1.0)
        work.webhook_events.claim(ones[2:], seconds=HOUR)
        work.webhook_events.retry_later([(back, -1.0, "Not yet.")])
    with books.work() as work:
        assert work.webhook_events.crashed_before(ones) == [fell.id]
        assert work.webhook_events.crashed_before([]) == []
        assert [one.id for one in work.webhook_events.claim(ones, seconds=HOUR)] == [back.id]
        (again,) = work.webhook_events.claim(ones, seconds=-1.0, include_crashed=True)
        assert (again.id, again.attempts, again.crashes) == (fell.id, 2, 1)
        (again,) = work.webhook_events.claim([fell.id], seconds=-1.0, include_crashed=True)
        assert again.crashes == 2
        work.webhook_events.retry_later([(again, -1.0, "Not yet.")])
        (again,) = work.webhook_events.claim([fell.id], seconds=HOUR)
        assert (again.attempts, again.crashes) == (4, 0)
        assert work.webhook_events.crashed_before(ones) == []


def test_of_what_signed_notices_say_a_failure_has_the_last_word(books: Records) -> None:
    case = a_case(books)
    asked = replace(prepared(books, case, charge="ch_1"), refund_id="re_1")
    money = Money(4900, "EUR")

    def said() -> object:
        with books.work() as work:
            return work.webhook_events.reported_refund(asked)

    assert said() is None
    kept(
        books,
        a_notice("1", reported=Failed("re_1", "came_back")),
        a_notice("2", refund_id="re_2", reported=Paid("re_2", money)),
    )
    assert said() == Failed("re_1", "came_back")
    kept(
        books,
        a_notice("3", reported=Paid("re_1", money)),
        a_notice("4", reported=Pending("re_1", money)),
        a_notice("5"),
    )
    kept(books, a_notice("6", subject=Subject.DISPUTE, reported=DisputeStatus(Dispute.OPEN, "dp_1")))
    assert said() == Failed("re_1", "came_back")
    with books.work() as work:
        assert work.webhook_events.reported_refund(replace(asked, refund_id=None)) is None
        assert work.webhook_events.reported_refund(replace(asked, provider="other")) is None
        assert work.webhook_events.reported_refund(replace(asked, refund_id="re_2")) == Paid("re_2", money)


# Reconciliation, views, dead messages


def test_operations_are_found_by_what_a_provider_lists_and_by_what_it_does_not(books: Records) -> None:
    one, two, three = (prepared(books, a_case(books)) for _ in range(3))
    with books.work() as work:
        work.refund_operations.record_results([(one, Paid("re_1", one.amount)), (two, Pending("re_2", two.amount))])
    with books.work() as work:
        listed = work.reconciliation.listed("sandbox", keys=[three.key, "x"], refund_ids=["re_1", "y"])
        assert {operation.key for operation in listed} == {one.key, three.key}
        assert work.reconciliation.listed("other", keys=[], refund_ids=["re_1"]) == []
        begun, early = work.now, work.now - timedelta(hours=1)

    def unlisted(since: datetime, until: datetime) -> Sequence[str]:
        with books.work() as work:
            return [o.key for o in work.reconciliation.unlisted("sandbox", since=since, until=until, begun=begun)]

    assert unlisted(early, begun) == [one.key, two.key], "one that was never answered is not missed"
    assert unlisted(early, early) == []
    assert unlisted(begun, begun) == []
    with books.work() as work:
        work.reconciliation.mark_reconciled(listed)
    assert unlisted(early, begun) == [two.key]


def test_a_case_is_shown_with_its_purchase_its_seller_and_its_newest_reasons(books: Records) -> None:
    bought = a_recent_purchase(charge="ch_1")
    case = with_support(books, ReasonCode.DISPUTE_OPEN, purchase=bought)
    unknown = a_case(books, seller_id=None)
    with books.work() as work:
        views = work.case_views.get_many([case, unknown, NOWHERE])
        assert work.case_views.get_many([]) == {}
    assert set(views) == {case, unknown}
    seen = views[case]
    assert (seen.state, seen.seller_name, seen.product, seen.amount) == (
        S.WITH_SUPPORT,
        "Aurora Software",
        bought.product,
        4900,
    )
    assert (seen.purchase_email, seen.purchase_reference, seen.email) == (bought.email, bought.reference, bought.email)
    assert [reason["code"] for reason in seen.reasons] == ["dispute_open"]
    assert (views[unknown].seller_name, views[unknown].product, views[unknown].reasons) == (None, None, [])


def test_a_message_that_nobody_can_read_is_kept(books: Records) -> None:
    with books.work() as work:
        work.dead_letters.keep("refund.execute", b"\x00what", "This is not a message.")
    with undone(books) as work:
        work.dead_letters.keep("refund.execute", b"another", "Nor this.")
    with books.work() as work:
        (dead,) = work.dead_letters.list_all()
    assert (dead.queue, dead.body, dead.why, dead.redriven_at) == (
        "refund.execute",
        b"\x00what",
        "This is not a message.",
        None,
    )

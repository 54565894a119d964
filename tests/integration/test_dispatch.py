"""The deliveries of a case are counted before the case is processed. So a case can crash only a limited number of workers."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain.cases import Case
from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested
from domain.states import State
from producers.intake import accept
from records import Records
from records.cases import Cases
from tests.integration import _provider_fixtures
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from worker import dispatch
from worker.context import WorkerContext
from worker.dispatch import HANDLERS, MAX_DELIVERIES, SMALL_BATCH, QueueHandler, handle

context = _provider_fixtures.short_timeout_context


NO_CASE = UUID(int=0)


class WorkerCrashError(BaseException):
    """Simulates the crash of a worker: no later code of the task runs."""


def create_cases(records: Records, number: int) -> list[UUID]:
    purchases = [a_recent_purchase() for _ in range(number)]
    store_seller_and_purchases(records, *purchases)
    return ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))


def make_cases_overdue(records: Records) -> None:
    """Change the times of all cases, as if five minutes had passed and all workers had stopped."""
    with records.work() as work:
        work.run(
            "update cases set delivered_at = delivered_at - :ago, lease_until = 'epoch', not_before = 'epoch'",
            ago=timedelta(minutes=5),
        )


def states(records: Records, cases: list[UUID]) -> list[str]:
    with records.work() as work:
        views = work.case_views.get_many(cases)
    return [views[case].state for case in cases]


def crash_workers_on(monkeypatch: pytest.MonkeyPatch, poison: UUID, state: State) -> list[list[UUID]]:
    """Crash every worker that processes the case `poison`. Return a list to which each processed batch is added."""
    message_type = next(message_type for message_type, handler in HANDLERS.items() if state in handler.states)
    process = HANDLERS[message_type].handle
    batches: list[list[UUID]] = []

    def process_or_crash(context: WorkerContext, cases: Sequence[UUID]) -> Collection[UUID] | None:
        batches.append(list(cases))
        if poison in cases:
            raise WorkerCrashError
        return process(context, cases)

    monkeypatch.setitem(
        dispatch.HANDLERS, message_type, QueueHandler(process_or_crash, states=HANDLERS[message_type].states)
    )
    return batches


def test_a_case_that_crashes_three_workers_goes_to_support_and_does_not_block_other_cases(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = create_cases(context.records, 2 * SMALL_BATCH)
    batches = crash_workers_on(monkeypatch, cases[2], State.RECEIVED)
    for _ in range(MAX_DELIVERIES):
        with pytest.raises(WorkerCrashError):
            handle(context, RefundRequested, cases)
        # an immediate second delivery skips the case that crashed the worker, because a worker may still process it
        handle(context, RefundRequested, cases)
        make_cases_overdue(context.records)
    while "received" in states(context.records, cases):
        handle(context, RefundRequested, cases)
        make_cases_overdue(context.records)
    ends = ["refunded"] * len(cases)
    ends[2] = "with_support"
    assert states(context.records, cases) == ends
    assert batches[0] == cases
    assert [len(batch) for batch in batches if cases[2] in batch] == [len(cases), SMALL_BATCH, 1]
    with context.records.work() as work:
        view = work.case_views.get(cases[2])
        emails = work.run("select count(*) from case_emails where case_id = :case", case=cases[2]).scalar_one()
    assert view
    assert [reason["code"] for reason in view.reasons] == ["crashed_workers"]
    assert emails == 0, "The case has no purchase yet, so an e-mail would have no address and would never be sent."


def test_after_an_outage_cases_are_processed_in_small_batches_within_the_time_limit(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = create_cases(context.records, 3 * SMALL_BATCH)
    batches = crash_workers_on(monkeypatch, NO_CASE, State.RECEIVED)
    with context.records.work() as work:
        work.cases.count_deliveries(cases, states=[State.RECEIVED], apart=0)
    make_cases_overdue(context.records)
    late = context.settings.timers.task_soft_time_limit_seconds
    handle(replace(context, monotonic=lambda: late if batches else 0.0), RefundRequested, cases)
    assert [len(batch) for batch in batches] == [SMALL_BATCH], (
        "After one batch, the task has reached its time limit. So it must not process the other cases."
    )
    with context.records.work() as work:
        waiting = work.cases.crashed_before(cases, states=[State.RECEIVED], apart=0)
    assert list(waiting.values()) == [1] * 2 * SMALL_BATCH
    handle(context, RefundRequested, cases)
    assert [len(batch) for batch in batches] == [SMALL_BATCH] * 3
    assert states(context.records, cases) == ["refunded"] * len(cases)


def test_a_case_that_the_sweep_has_locked_is_not_counted_as_crashed(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = create_cases(context.records, 3)
    with context.records.work() as work:
        work.cases.postpone(cases[:1], -1)

    lock = Cases.lock

    def lock_during_sweep(store: Cases, ids: Sequence[UUID], *, state: State) -> list[Case]:
        with context.records.work() as sweep:
            assert [row.id for row in sweep.cases.overdue(100)] == cases[:1]
            return lock(store, ids, state=state)

    with monkeypatch.context() as patch:
        patch.setattr(Cases, "lock", lock_during_sweep)
        handle(context, RefundRequested, cases)
    assert states(context.records, cases) == ["received", "refunded", "refunded"]
    handle(context, RefundRequested, cases)
    assert states(context.records, cases) == ["refunded"] * 3


@pytest.mark.parametrize("state", [State.APPROVED, State.REFUNDING])
def test_a_case_that_crashes_workers_goes_to_support_from_every_state(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    (case,) = create_cases(context.records, 1)
    with context.records.work() as work:
        work.run(
            "insert into payments (provider, charge, seller_id) select provider, 'hang_1', seller_id from payments"
        )
        work.run("update purchase_payments set charge = 'hang_1', method = 'credit_card'")
    if state is State.APPROVED:
        monkeypatch.setattr(dispatch, "execute", lambda *_: None)
    handle(context, RefundRequested, [case])
    assert states(context.records, [case]) == [state]
    crash_workers_on(monkeypatch, case, state)
    message_type = RefundApproved if state is State.APPROVED else RefundOutcomeUnknown
    make_cases_overdue(context.records)
    for _ in range(MAX_DELIVERIES):
        with pytest.raises(WorkerCrashError):
            handle(context, message_type, [case])
        make_cases_overdue(context.records)
    handle(context, message_type, [case])
    assert states(context.records, [case]) == ["with_support"]
    with context.records.work() as work:
        view = work.case_views.get(case)
    assert view
    codes = [reason["code"] for reason in view.reasons]
    assert codes == ["crashed_workers", *(["outcome_unknown"] if state is State.REFUNDING else [])]


def test_repeated_deliveries_without_a_crash_are_not_counted(context: WorkerContext) -> None:
    cases = create_cases(context.records, 3)
    for _ in range(100):
        handle(context, RefundRequested, cases)
    assert states(context.records, cases) == ["refunded"] * 3
    with context.records.work() as work:
        assert work.run("select max(deliveries) from cases").scalar_one() == 0

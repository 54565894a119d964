"""Deliveries: counted before anything is done, so that a case which ends its worker cannot do so for ever."""

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


NOBODY = UUID(int=0)


class WorkerEndedError(BaseException):
    """Stands for a process that is gone: nothing after it runs."""


def asked_for(records: Records, number: int) -> list[UUID]:
    bought = [a_recent_purchase() for _ in range(number)]
    store_seller_and_purchases(records, *bought)
    return ids_of(accept(records, [a_submission(one) for one in bought]))


def some_time_later(records: Records) -> None:
    """As the sweep finds things: whoever began with a case is gone by then."""
    with records.work() as work:
        work.run(
            "update cases set delivered_at = delivered_at - :ago, lease_until = 'epoch', not_before = 'epoch'",
            ago=timedelta(minutes=5),
        )


def states(records: Records, cases: list[UUID]) -> list[str]:
    with records.work() as work:
        found = work.case_views.get_many(cases)
    return [found[case].state for case in cases]


def poisoned(monkeypatch: pytest.MonkeyPatch, poison: UUID, here: State) -> list[list[UUID]]:
    """One case ends every worker that touches it; the others are worked on as ever."""
    kind = next(kind for kind, lane in HANDLERS.items() if here in lane.states)
    does = HANDLERS[kind].handle
    touched: list[list[UUID]] = []

    def do(context: WorkerContext, cases: Sequence[UUID]) -> Collection[UUID] | None:
        touched.append(list(cases))
        if poison in cases:
            raise WorkerEndedError
        return does(context, cases)

    monkeypatch.setitem(dispatch.HANDLERS, kind, QueueHandler(do, states=HANDLERS[kind].states))
    return touched


def test_a_case_that_ends_three_workers_goes_to_a_person_and_takes_nobody_with_it(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = asked_for(context.records, 2 * SMALL_BATCH)
    touched = poisoned(monkeypatch, cases[2], State.RECEIVED)
    for _ in range(MAX_DELIVERIES):
        with pytest.raises(WorkerEndedError):
            handle(context, RefundRequested, cases)
        handle(context, RefundRequested, cases)  # at once again: it is left to whoever began with it
        some_time_later(context.records)
    while "received" in states(context.records, cases):
        handle(context, RefundRequested, cases)
        some_time_later(context.records)
    ends = ["refunded"] * len(cases)
    ends[2] = "with_support"
    assert states(context.records, cases) == ends
    assert touched[0] == cases
    assert [len(group) for group in touched if cases[2] in group] == [len(cases), SMALL_BATCH, 1]
    with context.records.work() as work:
        found = work.case_views.get(cases[2])
        letters = work.run("select count(*) from case_emails where case_id = :case", case=cases[2]).scalar_one()
    assert found
    assert [reason["code"] for reason in found.reasons] == ["crashed_workers"]
    assert letters == 0, "nobody has looked whose purchase it is: the letter would have no address, and wait for ever"


def test_after_an_outage_those_that_ended_no_worker_catch_up_in_groups_as_long_as_there_is_time(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = asked_for(context.records, 3 * SMALL_BATCH)
    touched = poisoned(monkeypatch, NOBODY, State.RECEIVED)
    with context.records.work() as work:
        work.cases.count_deliveries(cases, states=[State.RECEIVED], apart=0)
    some_time_later(context.records)
    late = context.settings.timers.task_soft_time_limit_seconds
    handle(replace(context, monotonic=lambda: late if touched else 0.0), RefundRequested, cases)
    assert [len(group) for group in touched] == [SMALL_BATCH], "the time was over: the others stay as they were"
    with context.records.work() as work:
        waiting = work.cases.crashed_before(cases, states=[State.RECEIVED], apart=0)
    assert list(waiting.values()) == [1] * 2 * SMALL_BATCH
    handle(context, RefundRequested, cases)
    assert [len(group) for group in touched] == [SMALL_BATCH] * 3
    assert states(context.records, cases) == ["refunded"] * len(cases)


def test_a_case_that_the_sweep_holds_for_a_moment_is_no_suspect(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = asked_for(context.records, 3)
    with context.records.work() as work:
        work.cases.postpone(cases[:1], -1)

    lock = Cases.lock

    def while_swept(mine: Cases, ids: Sequence[UUID], *, state: State) -> list[Case]:
        with context.records.work() as sweeping:
            assert [row.id for row in sweeping.cases.overdue(100)] == cases[:1]
            return lock(mine, ids, state=state)

    with monkeypatch.context() as patch:
        patch.setattr(Cases, "lock", while_swept)
        handle(context, RefundRequested, cases)
    assert states(context.records, cases) == ["received", "refunded", "refunded"]
    handle(context, RefundRequested, cases)
    assert states(context.records, cases) == ["refunded"] * 3


@pytest.mark.parametrize("here", [State.APPROVED, State.REFUNDING])
def test_wherever_it_happens(context: WorkerContext, monkeypatch: pytest.MonkeyPatch, here: State) -> None:
    (case,) = asked_for(context.records, 1)
    with context.records.work() as work:
        work.run("update purchases set charge = 'hang_1', method = 'credit_card'")
    if here is State.APPROVED:
        monkeypatch.setattr(dispatch, "execute", lambda *_: None)
    handle(context, RefundRequested, [case])
    assert states(context.records, [case]) == [here]
    poisoned(monkeypatch, case, here)
    lane = RefundApproved if here is State.APPROVED else RefundOutcomeUnknown
    some_time_later(context.records)
    for _ in range(MAX_DELIVERIES):
        with pytest.raises(WorkerEndedError):
            handle(context, lane, [case])
        some_time_later(context.records)
    handle(context, lane, [case])
    assert states(context.records, [case]) == ["with_support"]
    with context.records.work() as work:
        found = work.case_views.get(case)
    assert found
    codes = [reason["code"] for reason in found.reasons]
    assert codes == ["crashed_workers", *(["outcome_unknown"] if here is State.REFUNDING else [])]


def test_a_hundred_deliveries_of_a_case_that_moves_are_no_deaths(context: WorkerContext) -> None:
    cases = asked_for(context.records, 3)
    for _ in range(100):
        handle(context, RefundRequested, cases)
    assert states(context.records, cases) == ["refunded"] * 3
    with context.records.work() as work:
        assert work.run("select max(deliveries) from cases").scalar_one() == 0

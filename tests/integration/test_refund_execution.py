"""Tests of the execution of refunds, with a real database and the sandbox provider over HTTP."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from config.settings import Settings
from domain.money import Money
from domain.policies import SerialLimit
from domain.providers import Capabilities, NotFound, Paid, RefundResult, Unknown
from domain.purchases import Purchase
from domain.refund_operations import RefundOperation
from domain.requests import RefundScope
from domain.states import State
from domain.support_tasks import SupportTaskKind
from producers.intake import accept, accept_one, confirm
from records import Records
from records.case_views import CaseView
from tests.integration import _provider_fixtures
from tests.sample_data import a_recent_purchase, a_seller, a_submission, charge_of, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.providers import call_pool
from worker.refunds.evaluation import evaluate
from worker.refunds.execution import execute, prepare
from worker.refunds.give_up import POLLED_STATES
from worker.refunds.outcomes import Sent
from worker.refunds.recording import record
from worker.refunds.resolution import lease_for_operations, poll_refunds, resolve
from worker.sweep import Sweep
from worker.webhook_events.processing import STATES_WITH_REFUND

context = _provider_fixtures.short_timeout_context


def create_evaluated_cases(
    context: WorkerContext, *purchases: Purchase, trusted: bool = True, **changes: Any
) -> list[UUID]:
    """Accept a request for each purchase, evaluate the cases, and return their ids."""
    cases = ids_of(
        accept(context.records, [a_submission(purchase, trusted=trusted, **changes) for purchase in purchases])
    )
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(cases, state=State.RECEIVED))
    return cases


def view_of(records: Records, case: UUID) -> CaseView:
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view


def states_of(context: WorkerContext, cases: list[UUID]) -> list[str]:
    return [view_of(context.records, case).state for case in cases]


def reason_codes_of(context: WorkerContext, case: UUID) -> list[str]:
    return [reason["code"] for reason in view_of(context.records, case).reasons]


def refunds_at_provider(context: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{context.settings.sandbox_url}/v1/refunds?charge={charge_of(purchase)}") as response:
        refunds: list[dict[str, Any]] = json.load(response)["data"]
        return refunds


def a_charged_purchase(behaviour: str, **changes: Any) -> Purchase:
    purchase = a_recent_purchase(**changes)
    return a_recent_purchase(**changes, charge=charge_of(purchase).replace("ok_", f"{behaviour}_"))


def expire_leases(records: Records) -> None:
    """End all leases and delays, so that each waiting case is due now."""
    with records.work() as work:
        work.run(
            "update cases set lease_until = 'epoch', not_before = 'epoch', next_action_at = now()"
            " where next_action_at is not null"
        )


def resolve_case(context: WorkerContext, case: UUID) -> State:
    """Call `resolve` until the provider has decided about the case's refund. Return the case's state."""

    def try_once() -> bool:
        expire_leases(context.records)
        resolve(context, [case])
        return view_of(context.records, case).state not in POLLED_STATES

    eventually(try_once)
    return view_of(context.records, case).state


def test_an_eligible_request_is_refunded_once_in_full(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    assert states_of(context, [case]) == ["refunded"]
    (refund,) = refunds_at_provider(context, purchase)
    assert (refund["amount"], refund["currency"]) == (purchase.amount, purchase.currency)
    with context.records.work() as work:
        stored = work.purchases.get(purchase.id)
    assert stored
    assert stored.refunded == purchase.amount


def test_each_case_of_a_message_delivered_ten_times_is_refunded_once(context: WorkerContext) -> None:
    purchases = [a_recent_purchase() for _ in range(5)]
    store_seller_and_purchases(context.records, *purchases)
    cases = create_evaluated_cases(context, *purchases)
    with ThreadPoolExecutor(10) as workers:
        list(workers.map(lambda _: execute(context, cases), range(10)))
    assert states_of(context, cases) == ["refunded"] * 5
    assert [len(refunds_at_provider(context, purchase)) for purchase in purchases] == [1] * 5


def test_of_two_requests_for_one_purchase_one_is_a_duplicate(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    cases = ids_of(accept(context.records, [a_submission(purchase), a_submission(purchase)]))
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(cases, state=State.RECEIVED))
    assert sorted(states_of(context, cases)) == ["approved", "duplicate"]
    (third,) = create_evaluated_cases(context, purchase)
    assert states_of(context, [third]) == ["duplicate"]


def test_parallel_requests_for_one_purchase_cause_one_refund(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    with ThreadPoolExecutor(8) as customers:
        cases = [
            case
            for batch in customers.map(lambda _: create_evaluated_cases(context, purchase), range(24))
            for case in batch
        ]
        list(customers.map(lambda case: execute(context, [case]), cases))
    assert sorted(states_of(context, cases)) == ["duplicate"] * 23 + ["refunded"]
    assert len(refunds_at_provider(context, purchase)) == 1


def declare_withdrawal(context: WorkerContext, purchase: Purchase) -> UUID:
    """Accept a statutory withdrawal for a purchase, and return the case's id."""
    case = accept_one(context.records, a_submission(purchase, trusted=False)).id
    with context.records.work() as work:
        work.statutory_withdrawals.insert(case, "Ada Lovelace", "I withdraw.")
    return case


def cases_with_task(context: WorkerContext, kind: SupportTaskKind) -> list[UUID | None]:
    with context.records.work() as work:
        return [row.case_id for row in work.run("select case_id from support_tasks where kind = :kind", kind=kind)]


def test_a_statutory_withdrawal_without_a_purchase_goes_to_support(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records, a_recent_purchase())
    request = accept_one(context.records, a_submission(a_recent_purchase(), trusted=False)).id
    case = declare_withdrawal(context, a_recent_purchase())
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([request, case], state=State.RECEIVED))
    assert states_of(context, [request, case]) == ["unmatched"] * 2
    assert cases_with_task(context, SupportTaskKind.STATUTORY_WITHDRAWAL_UNMATCHED) == [case]


def test_each_withdrawal_without_automatic_refund_gets_its_own_support_task(
    context: WorkerContext,
) -> None:
    """The first withdrawal is about a purchase that has an earlier request. Support decides about the earlier request.

    The second withdrawal is about a purchase that the policy does not refund automatically.
    """
    partial, old = a_recent_purchase(), a_recent_purchase(method="cash")
    store_seller_and_purchases(context.records, partial, old)
    first = accept_one(context.records, a_submission(partial, trusted=False, refund_scope=RefundScope.PARTIAL)).id
    joined, refused = declare_withdrawal(context, partial), declare_withdrawal(context, old)
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([first, joined, refused], state=State.RECEIVED))
    assert states_of(context, [first, joined, refused]) == ["with_support", "duplicate", "with_support"]
    assert set(cases_with_task(context, SupportTaskKind.STATUTORY_WITHDRAWAL)) == {joined, refused}


def test_a_withdrawal_gets_one_support_task_if_the_earlier_request_expires(
    context: WorkerContext,
) -> None:
    """The customer does not confirm a request, and sends a withdrawal. When the request expires, support gets one task."""
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    first = accept_one(context.records, a_submission(purchase, trusted=False)).id
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([first], state=State.RECEIVED))
    case = declare_withdrawal(context, purchase)
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([case], state=State.RECEIVED))
        work.run("update cases set next_action_at = now() - interval '1 minute' where id = :id", id=first)
    assert states_of(context, [first, case]) == ["awaiting_confirmation", "duplicate"]
    for _ in range(2):
        Sweep(context.records).run_once()
    assert states_of(context, [first]) == ["expired"]
    assert cases_with_task(context, SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID) == [first]


def test_nothing_is_paid_before_the_customer_confirms(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase, trusted=False)
    assert states_of(context, [case]) == ["awaiting_confirmation"]
    execute(context, [case])
    assert refunds_at_provider(context, purchase) == []
    assert confirm(context.records, case, seq=2) is State.APPROVED
    assert confirm(context.records, case, seq=2) is State.APPROVED
    execute(context, [case])
    assert confirm(context.records, case, seq=2) is State.REFUNDED
    assert len(refunds_at_provider(context, purchase)) == 1


@pytest.mark.parametrize(
    ("behaviour", "state", "reasons"),
    [
        ("declined", "with_support", ["provider_declined"]),
        ("disputed", "with_support", ["dispute_open"]),
        ("closed", "with_support", ["provider_window_closed"]),
        ("pending", "refund_pending", []),
        ("hang", "refunding", []),
        ("fail500", "refunding", []),
        ("lost500", "refunding", []),
        ("busy", "refunding", []),
    ],
)
def test_the_result_of_the_provider_is_recorded(
    context: WorkerContext, behaviour: str, state: str, reasons: list[str]
) -> None:
    """A timeout, a 500 response and a 429 response are unknown results, not declines."""
    purchase = a_charged_purchase(behaviour)
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    assert states_of(context, [case]) == [state]
    assert reason_codes_of(context, case) == reasons


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ("hang", State.REFUNDED),
        ("fail500", State.REFUNDED),
        ("lost500", State.REFUNDED),
        ("busy", State.REFUNDED),
        ("pending", State.REFUNDED),
        ("pendingfail", State.WITH_SUPPORT),
    ],
)
def test_an_unknown_or_pending_refund_is_resolved_and_made_once(
    context: WorkerContext, behaviour: str, state: State
) -> None:
    purchase = a_charged_purchase(behaviour)
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    assert resolve_case(context, case) is state
    assert len(refunds_at_provider(context, purchase)) == 1


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ("pending", State.REFUNDED),
        ("pendingfail", State.WITH_SUPPORT),
        ("approval", State.REFUNDED),
        ("denied", State.WITH_SUPPORT),
        ("canceled", State.WITH_SUPPORT),
    ],
)
def test_a_result_that_another_worker_has_just_recorded_is_not_news(
    context: WorkerContext, behaviour: str, state: State
) -> None:
    """A worker matches a webhook event with a refund. Before it has the lease, another worker records the same result."""
    purchase = a_charged_purchase(behaviour)
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    with context.records.work() as work:
        (matched,) = work.refund_operations.for_cases([case])[case]
    assert resolve_case(context, case) is state
    with context.records.work() as work:
        before = work.history.for_case(case)
        calls, _ = lease_for_operations(work, context, [matched], states=STATES_WITH_REFUND)
    poll_refunds(context, calls)
    with context.records.work() as work:
        assert work.history.for_case(case) == before


def test_a_slow_call_does_not_delay_the_other_results(context: WorkerContext) -> None:
    hanging, *quick = a_charged_purchase("hang"), a_recent_purchase(), a_recent_purchase()
    store_seller_and_purchases(context.records, hanging, *quick)
    cases = create_evaluated_cases(context, hanging, *quick)
    with ThreadPoolExecutor(1) as worker:
        execution = worker.submit(execute, context, cases)
        eventually(lambda: states_of(context, cases[1:]) == ["refunded"] * 2)
        assert not execution.done()


def test_the_result_of_a_hanging_call_is_recorded_after_the_other_results_of_its_batch(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_pool, "MAX_WAIT_SECONDS", 0.1)
    hanging, *quick = a_charged_purchase("hang"), a_recent_purchase(), a_recent_purchase()
    store_seller_and_purchases(context.records, hanging, *quick)
    cases = create_evaluated_cases(context, hanging, *quick)
    execute(context, cases)
    assert states_of(context, cases) == ["refunding", "refunded", "refunded"]
    assert operation(context, cases[0]).status == "sent"
    eventually(lambda: operation(context, cases[0]).status == "unknown")
    assert len(refunds_at_provider(context, hanging)) == 1


def operation(context: WorkerContext, case: UUID) -> RefundOperation:
    with context.records.work() as work:
        return work.refund_operations.for_cases([case])[case][-1]


def test_a_refund_is_made_once_if_the_worker_crashed_before_the_call(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    resolve(context, [case])
    assert refunds_at_provider(context, purchase) == []  # the lease of the crashed worker has not ended
    assert resolve_case(context, case) is State.REFUNDED
    (refund,) = refunds_at_provider(context, purchase)
    assert refund["key"] == call.operation.key


def test_a_worker_without_its_lease_changes_nothing(context: WorkerContext) -> None:
    """The worker hangs during the call, and another worker resolves the case. The first worker's late result is not recorded."""
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    with context.records.work() as work:
        (late_call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    assert resolve_case(context, case) is State.REFUNDED
    adapter = context.providers["sandbox"]
    result = adapter.refund(late_call.operation.charge, late_call.operation.amount, key=late_call.operation.key)
    with context.records.work() as work:
        before = len(work.history.for_case(case))
        record(work, context, [(late_call, Sent(result))])
        assert len(work.history.for_case(case)) == before
    assert len(refunds_at_provider(context, purchase)) == 1


def test_a_case_with_an_external_refund_goes_to_support(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    assert purchase.amount
    assert purchase.currency
    context.providers["sandbox"].refund(
        charge_of(purchase), Money(purchase.amount, purchase.currency), key="external key"
    )
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    assert resolve_case(context, case) is State.WITH_SUPPORT
    assert reason_codes_of(context, case) == ["refunded_elsewhere"]
    assert len(refunds_at_provider(context, purchase)) == 1


def test_a_purchase_that_changed_after_the_evaluation_is_not_refunded(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    with context.records.work() as work:
        work.run("update purchases set reported_dispute = 'open', reported_refunded = 5")
    execute(context, [case])
    assert (states_of(context, [case]), reason_codes_of(context, case)) == (
        ["with_support"],
        ["already_refunded", "dispute_open"],
    )
    assert refunds_at_provider(context, purchase) == []


def test_only_one_of_two_purchases_with_the_same_charge_is_refunded(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    second_purchase = a_recent_purchase(charge=charge_of(purchase))
    store_seller_and_purchases(context.records, purchase, second_purchase)
    cases = create_evaluated_cases(context, purchase, second_purchase)
    execute(context, cases)
    assert sorted(states_of(context, cases)) == ["refunded", "with_support"]
    assert len(refunds_at_provider(context, purchase)) == 1


def test_a_case_with_an_unconnected_provider_goes_to_support(context: WorkerContext) -> None:
    purchase = a_recent_purchase(provider="stripe")
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    assert reason_codes_of(context, case) == ["provider_not_connected"]


def test_a_case_above_the_serial_limit_goes_to_support(context: WorkerContext) -> None:
    purchases = [a_recent_purchase(email="ada@example.com") for _ in range(3)]
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    store_seller_and_purchases(context.records, *purchases, seller=seller)
    outcomes = []
    for purchase in purchases:
        (case,) = create_evaluated_cases(context, purchase)
        execute(context, [case])
        outcomes += states_of(context, [case])
    assert outcomes == ["refunded", "refunded", "with_support"]


def test_parallel_batches_for_one_card_stop_at_the_serial_limit(context: WorkerContext) -> None:
    purchases = [a_recent_purchase(email=f"customer{n}@example.com", instrument="card 1") for n in range(4)]
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    store_seller_and_purchases(context.records, *purchases, seller=seller)
    cases = create_evaluated_cases(context, *purchases)
    assert states_of(context, cases) == ["approved"] * 4
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda half: execute(context, half), (cases[:2], cases[2:])))
    assert sorted(states_of(context, cases)) == ["refunded", "refunded", "with_support", "with_support"]


def test_after_parallel_clicks_every_click_reports_an_approved_case(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase, trusted=False)
    with ThreadPoolExecutor(8) as clicks:
        assert set(clicks.map(lambda _: confirm(context.records, case, seq=2), range(16))) == {State.APPROVED}


class BrokenAdapter:
    """An adapter whose refund calls raise an exception.

    `rejects_over_refund` means that the provider rejects a refund of more than the payment. So the worker sends no lookup
    before the refund call.
    """

    capabilities = Capabilities(idempotency_key_ttl=timedelta(hours=24), rejects_over_refund=True)

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        raise RuntimeError(f"{charge} {amount} {key}")

    def look_up(self, charge: str, *, key: str) -> RefundResult | NotFound:
        return Paid(f"found {charge} {key}", Money(1, "EUR"))


class SilentAdapter(BrokenAdapter):
    """An adapter whose lookups return only unknown results."""

    def look_up(self, charge: str, *, key: str) -> RefundResult | NotFound:
        return Unknown(f"{charge} {key}")


class EmptyAdapter(BrokenAdapter):
    """An adapter that finds no refund, and counts the refund calls."""

    calls = 0

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        type(self).calls += 1
        return Unknown(f"{charge} {amount} {key}")

    def look_up(self, charge: str, *, key: str) -> RefundResult | NotFound:  # noqa: ARG002
        return NotFound()


@pytest.fixture
def with_adapter(settings: Settings) -> Iterator[Callable[[Any], WorkerContext]]:
    contexts: list[WorkerContext] = []

    def create(adapter: Any) -> WorkerContext:
        contexts.append(replace(create_context(settings), providers={"sandbox": adapter}))
        return contexts[-1]

    yield create
    for context in contexts:
        context.call_pool.close()
        context.records.engine.dispose()


def create_executed_case(context: WorkerContext) -> UUID:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    (case,) = create_evaluated_cases(context, purchase)
    execute(context, [case])
    return case


def test_an_exception_of_the_adapter_is_an_unknown_result(with_adapter: Callable[[Any], WorkerContext]) -> None:
    context = with_adapter(BrokenAdapter())
    assert states_of(context, [create_executed_case(context)]) == ["refunding"]


def test_an_unknown_result_goes_to_support_after_two_days(
    with_adapter: Callable[[Any], WorkerContext],
) -> None:
    context = with_adapter(SilentAdapter())
    case = create_executed_case(context)
    expire_leases(context.records)
    resolve(context, [case])
    assert states_of(context, [case]) == ["refunding"]
    with context.records.work() as work:
        work.run("update refund_operations set first_sent_at = first_sent_at - interval '49 hours'")
    assert resolve_case(context, case) is State.WITH_SUPPORT
    assert reason_codes_of(context, case) == ["outcome_unknown"]


def test_no_refund_is_repeated_if_its_key_may_have_expired(
    with_adapter: Callable[[Any], WorkerContext],
) -> None:
    context = with_adapter(EmptyAdapter())
    case = create_executed_case(context)
    expire_leases(context.records)
    resolve(context, [case])
    assert EmptyAdapter.calls == 2
    with context.records.work() as work:
        work.run("update refund_operations set first_sent_at = first_sent_at - interval '20 hours'")
    expire_leases(context.records)
    resolve(context, [case])
    assert EmptyAdapter.calls == 2
    assert states_of(context, [case]) == ["refunding"]


def test_received_at_is_the_time_at_which_a_request_is_accepted(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    before = datetime.now(UTC)
    case = accept_one(context.records, a_submission(purchase)).id
    assert abs(view_of(context.records, case).received_at - before) < timedelta(seconds=30)

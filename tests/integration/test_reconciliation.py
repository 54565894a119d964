"""Tests of the reconciliation, which compares a provider's list of refunds with the refund operations in our database.

Each discrepancy creates one support task, even if several runs find it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from config.settings import Settings
from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute, Purchase
from domain.states import State
from domain.support_tasks import SupportTaskKind
from records import Records
from records.support_tasks import NewSupportTask
from tests.doubles.sandbox import sandbox_in
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    assert_audit_is_clean,
    close_context,
    crash_workers,
    create_executed_cases,
    process_all_events,
    reason_codes_of,
    refund_manually,
    refunded_amount,
    refunds_at_provider,
    state_of,
    unprocessed_event_ids,
    with_long_timeouts,
)
from tests.sample_data import charge_of, store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.providers.capability_defaults import CapabilityDefaults
from worker.reconciliation.pages import MAX_ATTEMPTS
from worker.reconciliation.run import MAX_REPORTS, ReconciliationResult, reconcile, reconcile_all

EIGHT_DAYS = timedelta(days=8)


class Provider(CapabilityDefaults):
    """A provider whose list of refunds a test can change. Each page lists at most `page_size` refunds."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(hours=24))

    def __init__(self, *, page_size: int = 3) -> None:
        self.listed: list[ListedRefund] = []
        self.next_errors: list[Unknown | Exception] = []
        """Each error replaces the page of one call: list_refunds() returns the error, or raises it if it is an exception."""
        self.pages = 0
        self._page_size = page_size

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        if charge.startswith("declined"):
            return Declined(DeclineReason.PERMANENT, "no")
        return self._result(self.find(key) or self.add_refund(charge, amount, key))

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        if own_refund := self.find(key):
            return self._result(own_refund)
        external_refunds = [refund for refund in self.listed if refund.charge == charge]
        return (
            ExternalRefund(external_refunds[0].refund_id, external_refunds[0].amount)
            if external_refunds
            else NotFound()
        )

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        return [refund for refund in self.listed if refund.charge == charge]

    def dispute(self, charge: str) -> DisputeStatus:
        assert charge
        return DisputeStatus(Dispute.NONE)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        self.pages += 1
        if self.next_errors:
            error = self.next_errors.pop(0)
            if isinstance(error, Exception):
                raise error
            return error
        refunds = [refund for refund in self.listed if refund.created_at >= since]
        start = int(after or 0)
        end = start + self._page_size
        return RefundPage(refunds[start:end], str(end) if end < len(refunds) else None)

    def add_refund(
        self, charge: str, amount: Money, key: str | None, status: RefundStatus = RefundStatus.PAID
    ) -> ListedRefund:
        pending = charge.startswith("pending")
        at = datetime.now(UTC) - timedelta(days=1)
        added = ListedRefund(f"re_{uuid4().hex}", charge, amount, RefundStatus.PENDING if pending else status, at, key)
        self.listed.append(added)
        return added

    def change_refund(self, charge: str, **fields: Any) -> None:
        self.listed = [replace(refund, **fields) if refund.charge == charge else refund for refund in self.listed]

    def find(self, key: str | None) -> ListedRefund | None:
        return next((refund for refund in self.listed if refund.key == key), None)

    def _result(self, refund: ListedRefund) -> Paid | Pending | Failed:
        if refund.status is RefundStatus.FAILED:
            return Failed(refund.refund_id, "came_back")
        return (
            Paid(refund.refund_id, refund.amount)
            if refund.status is RefundStatus.PAID
            else Pending(refund.refund_id, refund.amount)
        )


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def context(settings: Settings, provider: Provider) -> Iterator[WorkerContext]:
    context = replace(create_context(settings), providers={"sandbox": provider})
    yield context
    close_context(context)


def move_operations_back_a_day(records: Records) -> None:
    """Make all operations one day older. A provider may list refunds late, so no recent refund is reported as missing."""
    with records.work() as work:
        work.run(
            "update refund_operations set first_sent_at = first_sent_at - interval '1 day',"
            " last_sent_at = last_sent_at - interval '1 day'"
        )


def run_reconciliation(context: WorkerContext) -> ReconciliationResult:
    return reconcile(context, "sandbox", datetime.now(UTC) - EIGHT_DAYS)


def payment_tasks(records: Records) -> list[tuple[str, dict[str, Any]]]:
    """Return the kind and the evidence of each support task about a payment."""
    with records.work() as work:
        rows = work.run("select kind, evidence from support_tasks where kind <> 'case' order by created_at, kind")
        return [(row.kind, row.evidence) for row in rows]


def create_old_refunds(context: WorkerContext, *purchases: Purchase) -> list[UUID]:
    cases = create_executed_cases(context, *purchases)
    move_operations_back_a_day(context.records)
    return cases


def test_matching_refunds_create_no_support_task(context: WorkerContext) -> None:
    create_old_refunds(context, *(a_charged_purchase("ok") for _ in range(7)))
    progress: list[int] = []
    result = reconcile(
        context, "sandbox", datetime.now(UTC) - EIGHT_DAYS, lambda partial: progress.append(partial.listed)
    )
    assert (result.listed, result.matched, result.unknown_payments, result.lookups_requested) == (7, 7, 0, 0)
    assert (result.discrepancies, result.incomplete) == (Counter(), "")
    assert progress == [3, 6, 7]
    assert payment_tasks(context.records) == []


def test_a_refund_that_the_provider_does_not_list_is_reported_as_missing(
    context: WorkerContext, provider: Provider
) -> None:
    missing, present = a_charged_purchase("ok"), a_charged_purchase("ok")
    (case, _) = create_old_refunds(context, missing, present)
    provider.listed = [refund for refund in provider.listed if refund.charge == charge_of(present)]
    result = run_reconciliation(context)
    assert result.discrepancies == {SupportTaskKind.MISSING_REFUND: 1}
    ((kind, evidence),) = payment_tasks(context.records)
    assert (kind, evidence["charge"], evidence["our_amount"]) == ("missing_refund", charge_of(missing), 4900)
    assert result.reports[0].case_id == case


def test_the_task_about_a_missing_refund_is_closed_when_the_provider_lists_the_refund(
    context: WorkerContext, provider: Provider
) -> None:
    missing, other = a_charged_purchase("ok"), a_charged_purchase("ok")
    create_old_refunds(context, missing, other)
    listed, provider.listed = provider.listed, []
    run_reconciliation(context)
    provider.listed = [refund for refund in listed if refund.charge == charge_of(missing)]
    run_reconciliation(context)
    with context.records.work() as work:
        rows = work.run(
            "select evidence ->> 'charge' as charge, outcome from support_tasks where kind = 'missing_refund'"
        )
        assert {row.charge: row.outcome for row in rows} == {charge_of(missing): "solved", charge_of(other): None}


def test_the_task_about_an_incomplete_list_is_closed_when_the_list_is_read_to_its_end(
    context: WorkerContext, provider: Provider
) -> None:
    create_old_refunds(context, a_charged_purchase("ok"))
    assert provider.listed
    with context.records.work() as work:
        task = NewSupportTask(
            kind=SupportTaskKind.REFUND_LIST_INCOMPLETE,
            subject="sandbox on 2026-06-15",
            evidence={"provider": "sandbox"},
        )
        work.support_tasks.create([task])
    run_reconciliation(context)
    with context.records.work() as work:
        assert work.run("select outcome from support_tasks where id = :id", id=task.id).scalar_one() == "solved"


def test_thousands_of_missing_refunds_are_reported(context: WorkerContext, provider: Provider) -> None:
    """The operations fill more than one batch, so support tasks are written while later operations are read."""
    cases = create_old_refunds(context, *(a_charged_purchase("ok") for _ in range(60)))
    with context.records.work() as work:  # 40 copies of each operation
        for copy in range(40):
            work.run(
                "insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash,"
                " first_sent_at, last_sent_at, status, refund_id)"
                " select case_id, :attempt, provider, charge || :copy, amount, currency, key || :copy, payload_hash,"
                " first_sent_at, last_sent_at, status, refund_id || :copy from refund_operations where attempt = 1",
                attempt=copy + 2,
                copy=f"/{copy}",
            )
    provider.listed = []
    result = run_reconciliation(context)
    assert result.discrepancies == {SupportTaskKind.MISSING_REFUND: 41 * len(cases)}
    assert len(result.reports) == MAX_REPORTS
    assert len(payment_tasks(context.records)) == 41 * len(cases)


def test_a_refund_sent_just_now_is_not_reported_as_missing(context: WorkerContext, provider: Provider) -> None:
    """A provider may list a refund some hours late."""
    create_executed_cases(context, a_charged_purchase("ok"))
    provider.listed = []
    assert run_reconciliation(context).discrepancies == Counter()


def test_a_refund_sent_before_the_list_starts_is_not_reported_as_missing(
    context: WorkerContext, provider: Provider
) -> None:
    create_old_refunds(context, a_charged_purchase("ok"))
    provider.listed = []
    assert reconcile(context, "sandbox", datetime.now(UTC) - timedelta(hours=12)).discrepancies == Counter()


@pytest.mark.parametrize("status", RefundStatus)
def test_an_external_refund_of_a_known_purchase_is_unexpected_unless_it_failed(
    context: WorkerContext, provider: Provider, status: RefundStatus
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    added = provider.add_refund(charge_of(purchase), Money(100, "EUR"), None, status)
    result = run_reconciliation(context)
    if status is RefundStatus.FAILED:  # a failed refund moves no money
        assert (result.discrepancies, payment_tasks(context.records)) == (Counter(), [])
        return
    assert result.discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 1}
    ((kind, evidence),) = payment_tasks(context.records)
    assert (kind, evidence["refund"], evidence["amount"]) == ("unexpected_refund", added.refund_id, 100)
    assert result.reports[0].seller_id == purchase.seller_id


def test_a_refund_with_a_key_of_moneyback_but_without_an_operation_is_unexpected(
    context: WorkerContext, provider: Provider
) -> None:
    """If our database was restored from a backup, it may lack the operation of a refund that the provider lists."""
    added = provider.add_refund("ok_forgotten", Money(100, "EUR"), f"mb_{uuid4().hex}_1")
    result = run_reconciliation(context)
    assert (result.discrepancies, result.unknown_payments) == ({SupportTaskKind.UNEXPECTED_REFUND: 1}, 0)
    assert payment_tasks(context.records)[0][1]["refund"] == added.refund_id


def test_a_refund_that_a_restored_database_lacks_is_not_paid_again(context: WorkerContext, provider: Provider) -> None:
    """The backup does not contain the first case, so the customer's second request is a new case with a new key."""
    fully_refunded, partly_refunded = a_charged_purchase("ok"), a_charged_purchase("ok")
    store_seller_and_purchases(context.records, fully_refunded, partly_refunded)
    first_refund = provider.add_refund(charge_of(fully_refunded), Money(4900, "EUR"), f"mb_{uuid4().hex}_1")
    provider.add_refund(charge_of(partly_refunded), Money(100, "EUR"), "by hand")
    assert run_reconciliation(context).discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 2}
    assert [refunded_amount(context.records, purchase) for purchase in (fully_refunded, partly_refunded)] == [4900, 100]
    for purchase in (fully_refunded, partly_refunded):
        (case,) = create_executed_cases(context, purchase)
        assert reason_codes_of(context.records, case) == ["already_refunded"]
    assert [refund for refund in provider.listed if refund.charge == charge_of(fully_refunded)] == [first_refund]


def test_a_second_refund_with_the_same_key_is_unexpected(context: WorkerContext, provider: Provider) -> None:
    """The provider lost the idempotency key and paid again."""
    purchase = a_charged_purchase("ok")
    create_old_refunds(context, purchase)
    (first,) = provider.listed
    second = provider.add_refund(charge_of(purchase), first.amount, first.key)
    for _ in range(2):
        assert run_reconciliation(context).discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 1}
    ((kind, evidence),) = payment_tasks(context.records)
    assert (kind, evidence["refund"], evidence["our_refund"]) == (
        "unexpected_refund",
        second.refund_id,
        first.refund_id,
    )


def test_refunds_of_unknown_payments_are_only_counted(context: WorkerContext, provider: Provider) -> None:
    for number in range(5):
        provider.add_refund(f"ok_of_others_{number}", Money(100, "EUR"), "their own key")
    result = run_reconciliation(context)
    assert (result.listed, result.unknown_payments, result.discrepancies) == (5, 5, Counter())
    assert payment_tasks(context.records) == []


@pytest.mark.parametrize(
    ("amount", "task_kind"),
    [
        (Money(4901, "EUR"), SupportTaskKind.REFUND_AMOUNT_DIFFERS),
        (Money(1, "EUR"), SupportTaskKind.REFUND_AMOUNT_DIFFERS),
        (Money(4900, "USD"), SupportTaskKind.REFUND_CURRENCY_DIFFERS),
    ],
)
def test_a_different_amount_or_currency_is_reported(
    context: WorkerContext, provider: Provider, amount: Money, task_kind: SupportTaskKind
) -> None:
    purchase = a_charged_purchase("ok")
    create_old_refunds(context, purchase)
    provider.change_refund(charge_of(purchase), amount=amount)
    assert run_reconciliation(context).discrepancies == {task_kind: 1}
    ((kind, evidence),) = payment_tasks(context.records)
    assert (kind, evidence["amount"], evidence["currency"]) == (task_kind, amount.minor, amount.currency)
    assert (evidence["our_amount"], evidence["our_currency"]) == (4900, "EUR")


def test_a_returned_refund_is_reported_and_its_case_goes_to_support(context: WorkerContext, provider: Provider) -> None:
    """The bank returned the money, but no webhook reported this. Only the provider's list shows it."""
    purchase = a_charged_purchase("ok")
    (case,) = create_old_refunds(context, purchase)
    provider.change_refund(charge_of(purchase), status=RefundStatus.FAILED)
    result = run_reconciliation(context)
    assert (result.discrepancies, result.lookups_requested) == ({SupportTaskKind.REFUND_STATE_DIFFERS: 1}, 1)
    process_all_events(context)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["returned_by_bank"],
    )
    assert refunded_amount(context.records, purchase) == 0
    assert_audit_is_clean(context.records)
    assert run_reconciliation(context).discrepancies == Counter()


def test_a_declined_refund_that_the_provider_lists_is_reported(context: WorkerContext, provider: Provider) -> None:
    purchase = a_charged_purchase("declined")
    create_old_refunds(context, purchase)
    with context.records.work() as work:
        key = work.run("select key from refund_operations").scalar_one()
    provider.add_refund(charge_of(purchase), Money(4900, "EUR"), key)
    assert run_reconciliation(context).discrepancies == {SupportTaskKind.REFUND_STATE_DIFFERS: 1}


def test_a_newer_status_at_the_provider_is_looked_up_and_not_reported(
    context: WorkerContext, provider: Provider
) -> None:
    """A refund that is pending in our records and paid in the list is not a discrepancy."""
    purchase = a_charged_purchase("pending")
    (case,) = create_old_refunds(context, purchase)
    assert state_of(context.records, case) is State.REFUND_PENDING
    provider.change_refund(charge_of(purchase), status=RefundStatus.PAID)
    result = run_reconciliation(context)
    assert (result.discrepancies, result.lookups_requested) == (Counter(), 1)
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert unprocessed_event_ids(context.records) == []
    second_result = run_reconciliation(context)
    assert (second_result.matched, second_result.lookups_requested) == (1, 0)


@pytest.mark.parametrize("crashes", [3, 4, 7])
def test_a_lookup_whose_workers_crashed_is_requested_again_by_the_next_run(
    context: WorkerContext, provider: Provider, crashes: int
) -> None:
    purchase = a_charged_purchase("pending")
    (case,) = create_old_refunds(context, purchase)
    provider.change_refund(charge_of(purchase), status=RefundStatus.PAID)
    assert run_reconciliation(context).lookups_requested == 1
    crash_workers(context.records, crashes)
    process_all_events(context)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.REFUND_PENDING, [])
    assert run_reconciliation(context).lookups_requested == 1
    assert run_reconciliation(context).lookups_requested == 0, "the lookup is still to be made"
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED


def test_a_second_run_creates_no_second_support_task(context: WorkerContext, provider: Provider) -> None:
    missing, different = a_charged_purchase("ok"), a_charged_purchase("ok")
    create_old_refunds(context, missing, different)
    provider.listed = [refund for refund in provider.listed if refund.charge == charge_of(different)]
    provider.change_refund(charge_of(different), amount=Money(5, "EUR"))
    provider.add_refund("ok_forgotten", Money(100, "EUR"), f"mb_{uuid4().hex}_1")
    first, second = run_reconciliation(context), run_reconciliation(context)
    assert first.discrepancies == second.discrepancies
    assert first.discrepancies.total() == 3
    assert len(payment_tasks(context.records)) == 3
    with context.records.work() as work:
        assert work.run("select count(*) from outbox where queue = 'support.publish'").scalar_one() == 3


ENDLESS_ERRORS: list[Unknown | Exception] = [Unknown("The provider answered 503.")] * 1_000


@pytest.mark.parametrize("pages_before", [0, 1, 2])
def test_no_refund_is_reported_as_missing_if_the_list_is_incomplete(
    context: WorkerContext, provider: Provider, pages_before: int
) -> None:
    missing = a_charged_purchase("ok")
    create_old_refunds(context, missing, *(a_charged_purchase("ok") for _ in range(7)))
    provider.listed = [refund for refund in provider.listed if refund.charge != charge_of(missing)]

    def on_progress(result: ReconciliationResult) -> None:
        if result.listed == 3 * pages_before:
            provider.next_errors = list(ENDLESS_ERRORS)

    provider.next_errors = [] if pages_before else list(ENDLESS_ERRORS)
    result = reconcile(_without_pauses(context), "sandbox", datetime.now(UTC) - EIGHT_DAYS, on_progress)
    assert (result.listed, result.incomplete, result.discrepancies) == (
        3 * pages_before,
        "The provider answered 503.",
        Counter(),
    )
    assert provider.pages == pages_before + MAX_ATTEMPTS
    assert payment_tasks(context.records) == []


def test_an_exception_of_the_adapter_makes_the_list_incomplete(context: WorkerContext, provider: Provider) -> None:
    provider.next_errors = [RuntimeError("a bug")] * 1_000
    result = run_reconciliation(_without_pauses(context))
    assert result.incomplete == "The provider's adapter raised RuntimeError."


def test_a_failed_page_is_requested_again(context: WorkerContext, provider: Provider) -> None:
    create_old_refunds(context, a_charged_purchase("ok"))
    provider.next_errors = [Unknown("The provider answered 503."), Unknown("Too many calls.", retry_after=0.01)]
    result = run_reconciliation(_without_pauses(context))
    assert (result.listed, result.incomplete) == (1, "")


def test_a_list_that_repeats_one_page_is_incomplete(context: WorkerContext) -> None:
    class Circular(Provider):
        def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
            assert self.pages < 100, f"The list is requested without end: {since} {after}."
            self.pages += 1
            return RefundPage([], "the same place")

    result = run_reconciliation(replace(context, providers={"sandbox": Circular()}))
    assert "returns the same page again" in result.incomplete


class _NoRateLimiter:
    """A rate limiter without pauses."""

    def acquire(self, provider: str, per_second: float | None, *, until: float) -> bool:
        return bool(provider and until and (per_second is None or per_second))

    def pause(self, provider: str, per_second: float | None, seconds: float) -> None:
        assert provider
        assert seconds > 0, per_second


def _without_pauses(context: WorkerContext) -> WorkerContext:
    return replace(context, rate_limiter=_NoRateLimiter())  # type: ignore[arg-type]  # a test double


class LargeProvider(Provider):
    """A provider that creates each page of its list on demand."""

    def __init__(self, refunds: int, page_size: int, key: str) -> None:
        super().__init__()
        self._refunds, self._per_page, self._key = refunds, page_size, key

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        self.pages += 1
        start = int(after or 0)
        end = start + self._per_page
        refunds = [self._make(number, since) for number in range(start, end)]
        return RefundPage(refunds, str(end) if end < self._refunds else None)

    def _make(self, number: int, since: datetime) -> ListedRefund:
        return ListedRefund(
            f"re_{number}", f"ch_{number}", Money(1, "EUR"), RefundStatus.PAID, since, self._key.format(number)
        )


@contextmanager
def statement_sizes(context: WorkerContext) -> Iterator[Sequence[int]]:
    """Yield a list. Each SQL statement adds one number to it: the length of the longest list among the statement's values."""
    sizes: list[int] = []

    def count(_: object, __: object, ___: str, values: Any, *____: object) -> None:
        parameters = values.values() if isinstance(values, dict) else values
        lists = [parameter for parameter in parameters if isinstance(parameter, list)]
        sizes.append(max(map(len, lists), default=1))

    event.listen(context.records.engine, "before_cursor_execute", count)
    yield sizes
    event.remove(context.records.engine, "before_cursor_execute", count)


def test_a_hundred_thousand_refunds_are_processed_page_by_page(context: WorkerContext) -> None:
    large_provider = LargeProvider(100_000, 1_000, "theirs {}")
    large_list_context = replace(context, providers={"sandbox": large_provider})
    with statement_sizes(large_list_context) as sizes:
        result = run_reconciliation(large_list_context)
    assert (result.listed, result.unknown_payments, large_provider.pages) == (100_000, 100_000, 100)
    assert len(sizes) < 10 * large_provider.pages
    assert max(sizes) == 1_000


def test_each_of_thousands_of_discrepancies_becomes_a_support_task(context: WorkerContext) -> None:
    large_list_context = replace(context, providers={"sandbox": LargeProvider(3_000, 1_000, "mb_{:032x}_1")})
    result = run_reconciliation(large_list_context)
    assert result.discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 3_000}
    assert len(result.reports) == MAX_REPORTS
    assert len(payment_tasks(context.records)) == 3_000


def test_a_failed_list_does_not_stop_the_next_provider(context: WorkerContext, provider: Provider) -> None:
    class WithoutList(Provider):
        capabilities = replace(Provider.capabilities, lists_refunds=False)

        def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
            raise AssertionError(since, after)

    broken = Provider()
    broken.next_errors = [RuntimeError("a bug")] * 1_000
    provider.add_refund("ok_forgotten", Money(100, "EUR"), f"mb_{uuid4().hex}_1")
    three_providers = _without_pauses(
        replace(context, providers={"stripe": broken, "adyen": WithoutList(), "sandbox": provider})
    )
    assert reconcile_all(three_providers, EIGHT_DAYS) == 1
    incomplete_providers = [
        evidence["provider"]
        for kind, evidence in payment_tasks(context.records)
        if kind == SupportTaskKind.REFUND_LIST_INCOMPLETE
    ]
    assert incomplete_providers == ["stripe"]
    assert reconcile(three_providers, "adyen", datetime.now(UTC)).incomplete
    assert reconcile(three_providers, "nobody", datetime.now(UTC)).incomplete


# With the sandbox


def test_discrepancies_with_the_sandbox_are_reported(settings: Settings, tmp_path: Path) -> None:
    with sandbox_in(tmp_path / "sandbox") as process:
        context = create_context(with_long_timeouts(settings).model_copy(update={"sandbox_url": process.url}))
        behaviours = ("ok", "slow", "declined", "pending", "latefail", "fail500", "elsewhere")
        purchases = {kind: a_charged_purchase(kind) for kind in behaviours}
        cases = dict(zip(behaviours, create_executed_cases(context, *purchases.values()), strict=True))
        unlisted = a_charged_purchase("ok")
        other_context = replace(context, providers={"sandbox": Provider()})
        create_old_refunds(other_context, unlisted)
        manually_refunded = a_charged_purchase("ok")
        store_seller_and_purchases(context.records, manually_refunded)
        refund_manually(context, manually_refunded)
        eventually(lambda: process.summary()["failed"] == 1)
        eventually(lambda: refunds_at_provider(context, purchases["pending"])[0]["status"] == "succeeded")
        result = run_reconciliation(context)
        assert result.listed == 7  # the declined purchase has no refund
        assert result.discrepancies == {
            SupportTaskKind.MISSING_REFUND: 1,
            SupportTaskKind.UNEXPECTED_REFUND: 2,  # the refund made by hand, and the refund of the charge "elsewhere"
            SupportTaskKind.REFUND_STATE_DIFFERS: 1,  # the refund of the charge "latefail"
        }
        assert {
            evidence["charge"] for kind, evidence in payment_tasks(context.records) if kind == "unexpected_refund"
        } == {
            charge_of(manually_refunded),
            charge_of(purchases["elsewhere"]),
        }
        process_all_events(context)
        assert state_of(context.records, cases["latefail"]) is State.WITH_SUPPORT
        assert state_of(context.records, cases["fail500"]) is State.REFUNDED
        assert state_of(context.records, cases["pending"]) is State.REFUNDED
        close_context(other_context)
        close_context(context)


def test_the_list_of_an_unavailable_provider_is_incomplete(settings: Settings, tmp_path: Path) -> None:
    with sandbox_in(tmp_path / "sandbox") as process:
        url = process.url
    context = create_context(settings.model_copy(update={"sandbox_url": url}))
    assert run_reconciliation(_without_pauses(context)).incomplete == "The sandbox cannot be reached."
    close_context(context)

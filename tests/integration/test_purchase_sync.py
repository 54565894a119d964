"""Tests of purchases that arrive by themselves: from a provider's list of payments, and by webhook events."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from domain.money import Money
from domain.providers import Declined, DeclineReason, ListedPurchase, PurchasePage, Unknown
from domain.purchase_reports import OtherSeller, Refusal, RefusalCode
from domain.purchases import Dispute, Method, Purchase, literal_reference
from domain.states import State
from domain.webhook_events import Subject, WebhookEvent
from producers.intake import accept
from records import Records, UnitOfWork
from records.purchase_reports import store_purchases
from records.purchases import Reported, ReportResult
from tests import fork_server
from tests.doubles.sandbox import SandboxProcess, sandbox_in
from tests.integration._provider_fixtures import (
    expire_leases,
    open_context,
    process_all_events,
    state_of,
    task_evidence,
    with_adapter,
    with_long_timeouts,
)
from tests.sample_data import (
    a_payment,
    a_policy,
    a_recent_purchase,
    a_seller,
    a_submission,
    ids_of,
    store_seller_and_purchases,
)
from tests.services import ChildProcess, environment, eventually
from worker.context import WorkerContext
from worker.providers.sandbox.codes import CAPABILITIES
from worker.purchase_sync.results import SyncCode
from worker.purchase_sync.run import MAX_SHOWN, OVERLAP, RESUMABLE, SyncRequest, SyncResult, synchronise
from worker.purchase_sync.sellers import PaymentSellers
from worker.purchase_sync.storing import store_payments
from worker.refunds.evaluation import evaluate
from worker.webhook_events.purchases import NO_PURCHASE_ATTEMPTS

REQUEST = SyncRequest(provider="sandbox")
TODAY = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SandboxProcess]:
    """Yield a sandbox process for one test, because its list contains all payments."""
    with sandbox_in(tmp_path / "sandbox") as process:
        yield process


@pytest.fixture
def sandbox_settings(settings: Settings, process: SandboxProcess) -> Settings:
    return with_long_timeouts(settings).model_copy(update={"sandbox_url": process.url})


@dataclass
class PaymentList:
    """A provider that lists payments, one page for each item of ``pages``. A page that is None cannot be read."""

    pages: Sequence[Sequence[ListedPurchase] | None]
    capabilities = replace(CAPABILITIES, calls_per_second=None)
    cursors: list[str | None] = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        self.cursors.append(after)
        self.since.append(since)
        number = int(after or 0)
        page = self.pages[number]
        if page is None:
            return Unknown("The list cannot be read.", retry_after=0.001)
        return PurchasePage(page, str(number + 1) if number + 1 < len(self.pages) else None, skipped=1)

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        listed = (
            payment for page in self.pages for payment in page or () if charge in {payment.charge, *payment.other_ids}
        )
        return next(listed, Declined(DeclineReason.PERMANENT, "not found"))


def a_listed_payment(charge: str, **changes: Any) -> ListedPurchase:
    """Return a payment of 49 euros by Ada."""
    values: dict[str, Any] = {
        "amount": Money(4900, "EUR"),
        "email": "ada@example.com",
        "references": {"invoice_number": f"INV-{charge}"},
        "product": "Aurora Photo 4",
        "method": Method.CREDIT_CARD,
        "purchased_at": TODAY - timedelta(days=3),
    }
    return ListedPurchase(charge=charge, **values | changes)


def synchronise_list(context: WorkerContext, *pages: Sequence[ListedPurchase] | None, **changes: Any) -> SyncResult:
    """Synchronise with a provider that lists these pages."""
    return synchronise(with_adapter(context, PaymentList(pages)), replace(REQUEST, **changes))


def stored_purchases(records: Records) -> list[Purchase]:
    with records.work() as work:
        ids = [row.id for row in work.run("select id from purchases order by reference")]
        return [purchase for id_ in ids if (purchase := work.purchases.get(id_))]


def row_versions(records: Records) -> list[tuple[Any, ...]]:
    """Return each row of the purchases and payments, with the transaction that wrote the row."""
    statement = """
    select 'purchase', id::text, xmin::text from purchases union all select 'payment', charge, xmin::text from payments
    union all select 'position', charge, xmin::text from purchase_payments order by 1, 2
    """
    with records.work() as work:
        return [tuple(row) for row in work.run(statement)]


def requested_lookups(records: Records) -> list[tuple[str, str]]:
    with records.work() as work:
        return [
            (row.charge, row.subject) for row in work.run("select charge, subject from webhook_events order by charge")
        ]


def event_outcomes(records: Records) -> list[str | None]:
    with records.work() as work:
        return list(work.run("select outcome from webhook_events order by event_id").scalars())


def codes_of(result: SyncResult) -> Mapping[str, int]:
    return {code.value: number for code, number in result.codes.items()}


def moneyback(settings: Settings, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return fork_server.run("console", *arguments, env={**os.environ, "COLUMNS": "240", **environment(settings), **env})


# The list


def test_a_backfill_stores_each_payment_once(context: WorkerContext, process: SandboxProcess) -> None:
    store_seller_and_purchases(context.records)
    for number in range(250):
        process.register(
            f"ok_{number}", reference=f"MB-{number:03}", email="ada@example.com", product="Photo", method="credit_card"
        )
    pages: list[int] = []
    first = synchronise(context, REQUEST, lambda result: pages.append(result.codes.total()))
    assert (codes_of(first), first.incomplete, pages) == ({"new": 250}, "", [100, 200, 250])
    before = row_versions(context.records)
    again = synchronise(context, REQUEST)
    assert codes_of(again) == {"known": 250}
    assert row_versions(context.records) == before
    purchase = stored_purchases(context.records)[7]
    assert (purchase.reference, purchase.email, purchase.product) == ("MB-007", "ada@example.com", "Photo")
    (payment,) = purchase.payments
    assert (payment.charge, payment.amount, payment.currency, payment.method) == ("ok_7", 4900, "EUR", "credit_card")


class CrashError(Exception):
    pass


def test_an_interrupted_synchronisation_continues_at_its_page(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    pages = [[a_listed_payment(f"ch_{page}{row}") for row in range(3)] for page in range(4)]
    provider = PaymentList(pages)

    def crash(result: SyncResult) -> None:
        if result.codes.total() == 6:
            raise CrashError

    with pytest.raises(CrashError):
        synchronise(with_adapter(context, provider), REQUEST, crash)
    assert len(stored_purchases(context.records)) == 6
    resumed = synchronise(with_adapter(context, provider), REQUEST)
    assert provider.cursors == [None, "1", "2", "3"]
    assert (resumed.is_continued, codes_of(resumed)) == (True, {"new": 6})
    assert len(stored_purchases(context.records)) == 12


def test_a_killed_command_continues_and_stores_every_payment_once(
    context: WorkerContext, process: SandboxProcess, sandbox_settings: Settings, tmp_path: Path
) -> None:
    store_seller_and_purchases(context.records)
    for number in range(250):
        process.register(f"ok_{number}", reference=f"MB-{number:03}", email="ada@example.com")
    with context.records.work() as work:  # a payment of the second page is locked, so that the command waits there
        work.run("insert into payments (provider, charge, seller_id) values ('sandbox', 'ok_150', 'aurora')")
        command = ChildProcess("sync", environment(sandbox_settings), "purchases", "sync", "sandbox", log=tmp_path)
        eventually(lambda: len(stored_purchases(context.records)) == 100)
        command.kill()
    run = moneyback(sandbox_settings, "purchases", "sync", "sandbox", "--json")
    summary = json.loads(run.stdout)
    assert (run.returncode, summary["continued"], summary["new"], summary["known"]) == (0, True, 150, 0)
    assert len(stored_purchases(context.records)) == 250


def test_a_page_and_its_progress_are_stored_together(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    store_seller_and_purchases(context.records)
    provider = PaymentList([[a_listed_payment("ch_1")], [a_listed_payment("ch_2")]])
    monkeypatch.setattr("records.purchase_syncs.PurchaseSyncs.put", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synchronise(with_adapter(context, provider), REQUEST)
    assert stored_purchases(context.records) == []


def test_a_list_that_cannot_be_read_to_its_end_is_reported_and_continued(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    first = synchronise_list(context, [a_listed_payment("ch_1")], None)
    assert (codes_of(first), first.incomplete) == ({"new": 1}, "The list cannot be read.")
    second = synchronise_list(context, [a_listed_payment("ch_1")], [a_listed_payment("ch_2")])
    assert (codes_of(second), second.incomplete, second.is_continued) == ({"new": 1}, "", True)


def begin_of_next(context: WorkerContext, **changes: Any) -> timedelta:
    """Synchronise an empty list, and return how long before now the list began."""
    provider = PaymentList([[]])
    synchronise(with_adapter(context, provider), replace(REQUEST, **changes))
    return datetime.now(UTC) - provider.since[0]


def is_about(period: timedelta, expected: timedelta) -> bool:
    return abs(period - expected) < timedelta(hours=2)  # TODAY is the start of the test run


def test_the_next_synchronisation_begins_before_the_end_of_the_previous_one(context: WorkerContext) -> None:
    assert is_about(begin_of_next(context), timedelta(days=180))
    assert is_about(begin_of_next(context), OVERLAP)
    assert is_about(begin_of_next(context, since=TODAY - timedelta(days=400)), timedelta(days=400))
    assert is_about(begin_of_next(context), OVERLAP)


def test_a_gap_between_two_synchronisations_is_read_later(context: WorkerContext) -> None:
    begin_of_next(context)
    with context.records.work() as work:
        work.run("update purchase_syncs set complete_until = now() - interval '60 days'")
    assert is_about(begin_of_next(context, since=TODAY - timedelta(days=10)), timedelta(days=10))
    assert is_about(begin_of_next(context), timedelta(days=60) + OVERLAP)


@pytest.mark.parametrize(
    ("age", "since", "is_continued"),
    [
        (timedelta(0), None, True),
        (timedelta(0), TODAY - timedelta(days=30), True),
        (timedelta(0), TODAY - timedelta(days=31), False),
        (RESUMABLE - timedelta(hours=1), None, True),
        (RESUMABLE + timedelta(hours=1), None, False),
        (RESUMABLE + timedelta(hours=1), TODAY - timedelta(days=30), False),
    ],
)
def test_only_a_recent_synchronisation_of_the_same_payments_continues(
    context: WorkerContext, age: timedelta, since: datetime | None, is_continued: bool
) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("ch_1")], None, since=TODAY - timedelta(days=30))
    with context.records.work() as work:
        work.run("update purchase_syncs set updated_at = updated_at - :age", age=age)
    result = synchronise_list(context, [a_listed_payment("ch_1")], [a_listed_payment("ch_2")], since=since)
    assert result.is_continued is is_continued


def test_a_dry_run_stores_nothing(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    pages = ([a_listed_payment("ch_1"), a_listed_payment("ch_2", email=None)], [a_listed_payment("ch_3", refunded=1)])
    result = synchronise_list(context, *pages, dry_run=True)
    assert (codes_of(result), result.no_purchases) == ({"new": 2, "no_email": 1}, 2)
    assert (stored_purchases(context.records), requested_lookups(context.records)) == ([], [])
    assert not synchronise_list(context, *pages).is_continued


# Payments that are known


@pytest.mark.parametrize("other_ids", [("pi_1",), ("in_1", "pi_1"), ("pi_1", "cs_1", "txn_1"), ("pi_1", "pi_1")])
def test_a_payment_that_the_seller_reported_with_another_id_is_known(
    context: WorkerContext, other_ids: tuple[str, ...]
) -> None:
    purchase = a_recent_purchase(charge="pi_1")
    store_seller_and_purchases(context.records, purchase)
    result = synchronise_list(context, [a_listed_payment("ch_1", other_ids=other_ids)])
    assert codes_of(result) == {"known": 1}
    assert stored_purchases(context.records) == [purchase]


def test_a_known_purchase_keeps_what_the_seller_reported(context: WorkerContext) -> None:
    purchase = a_recent_purchase(charge="ch_1", product="Aurora Photo 4 for students", reference="2026-0417")
    store_seller_and_purchases(context.records, purchase)
    listed = a_listed_payment("ch_1", email="paypal@example.com", product="Payment", renewal=True)
    assert codes_of(synchronise_list(context, [listed])) == {"known": 1}
    assert stored_purchases(context.records) == [purchase]


@pytest.mark.parametrize(
    ("known", "listed", "difference"),
    [
        ({"amount": 900}, {}, "the amount 900 EUR, but the payment is 4900 EUR"),
        ({"amount": 4900}, {"amount": Money(4901, "EUR")}, "the amount 4900 EUR, but the payment is 4901 EUR"),
        ({"currency": "USD"}, {}, "the amount 4900 USD, but the payment is 4900 EUR"),
        ({"amount": 4900}, {"amount": Money(4900, "JPY")}, "the amount 4900 EUR, but the payment is 4900 JPY"),
        ({"amount": None, "currency": None}, {}, "the amount None None, but the payment is 4900 EUR"),
        ({}, {"seller": "kumo"}, "belongs to the seller aurora, the payment to kumo"),
    ],
)
def test_a_difference_is_reported_and_changes_nothing(
    context: WorkerContext, known: dict[str, Any], listed: dict[str, Any], difference: str
) -> None:
    purchase = a_recent_purchase(charge="ch_1", **known)
    store_seller_and_purchases(context.records, purchase)
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    result = synchronise_list(context, [a_listed_payment("ch_1", **listed)])
    assert codes_of(result) == {"differs": 1}
    assert difference in result.differences[0].why
    assert stored_purchases(context.records) == [purchase]


def test_a_cart_of_two_purchases_is_known_by_the_sum(context: WorkerContext) -> None:
    store_seller_and_purchases(
        context.records, a_recent_purchase(charge="ch_1", amount=2000), a_recent_purchase(charge="ch_1", amount=2900)
    )
    assert codes_of(synchronise_list(context, [a_listed_payment("ch_1")])) == {"known": 1}


def test_only_the_first_differences_are_listed(context: WorkerContext) -> None:
    charges = [f"ch_{number}" for number in range(MAX_SHOWN + 5)]
    store_seller_and_purchases(context.records, *(a_recent_purchase(charge=charge, amount=1) for charge in charges))
    result = synchronise_list(context, list(map(a_listed_payment, charges)))
    assert (codes_of(result), len(result.differences)) == ({"differs": MAX_SHOWN + 5}, MAX_SHOWN)


# Several payments


@pytest.mark.parametrize("pages", [1, 2])
def test_two_payments_with_one_reference_are_one_purchase(context: WorkerContext, pages: int) -> None:
    store_seller_and_purchases(context.records)
    listed = [
        a_listed_payment("ch_1", references={"invoice_number": "INV-7"}, amount=Money(3000, "EUR")),
        a_listed_payment("ch_2", references={"invoice_number": "inv-7"}, amount=Money(7000, "EUR"), product="Other"),
    ]
    result = synchronise_list(context, *([listed] if pages == 1 else [[payment] for payment in listed]))
    assert codes_of(result) == {"new": 1, "further_payment": 1}
    (purchase,) = stored_purchases(context.records)
    assert (purchase.amount, purchase.product) == (10000, "Aurora Photo 4")
    assert [payment.charge for payment in purchase.payments] == ["ch_1", "ch_2"]


def test_a_further_payment_keeps_the_fields_that_the_seller_reported(context: WorkerContext) -> None:
    purchase = a_recent_purchase(reference="INV-7", email="ada@example.com", refunded=100, dispute=Dispute.WON)
    store_seller_and_purchases(context.records, purchase)
    listed = a_listed_payment("ch_2", references={"invoice_number": "INV-7"}, product="Other", renewal=True)
    assert codes_of(synchronise_list(context, [listed])) == {"further_payment": 1}
    (stored,) = stored_purchases(context.records)
    assert replace(stored, payments=purchase.payments) == purchase
    assert [payment.amount for payment in stored.payments] == [4900, 4900]


@pytest.mark.parametrize("pages", [1, 2])
def test_a_payment_of_another_customer_with_the_same_reference_is_not_stored(
    context: WorkerContext, pages: int
) -> None:
    store_seller_and_purchases(context.records)
    listed = [
        a_listed_payment("ch_1", references={"invoice_number": "INV-7"}),
        a_listed_payment("ch_2", references={"invoice_number": "INV-7"}, email="bob@example.com"),
    ]
    result = synchronise_list(context, *([listed] if pages == 1 else [[payment] for payment in listed]))
    assert codes_of(result) == {"new": 1, "differs": 1}
    assert "another e-mail address" in result.differences[0].why
    (purchase,) = stored_purchases(context.records)
    assert [payment.charge for payment in purchase.payments] == ["ch_1"]


def test_a_payment_that_is_listed_twice_counts_once(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    result = synchronise_list(context, [a_listed_payment("ch_1"), a_listed_payment("ch_1")])
    assert codes_of(result) == {"new": 1}


# Purchases that the seller reports, too


def report(context: WorkerContext, *purchases: Purchase) -> list[ReportResult]:
    """Report these purchases as their seller does."""
    with context.records.work() as work:
        return store_purchases(work, purchases)


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "MB-2026-0417"},
        {"reference": "INV-ch_1"},
        {"reference": "MB-2026-0417", "email": "ada@work.example.com"},
        {"reference": "INV-ch_1", "email": "ada@work.example.com"},
        {"reference": "inv-CH_1", "product": "Aurora Photo 4 for students", "method": "apple_pay"},
    ],
)
def test_the_first_report_of_the_seller_decides_about_reference_and_address(
    context: WorkerContext, changes: dict[str, str]
) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("ch_1"), a_listed_payment("ch_2")])
    first, other = stored_purchases(context.records)
    told = a_recent_purchase(**{"charge": "ch_1", "email": "ada@example.com"} | changes)
    (result,) = report(context, told)
    assert isinstance(result, Reported)
    assert not result.is_new
    stored = {purchase.payments[0].charge: purchase for purchase in stored_purchases(context.records)}
    assert replace(stored["ch_1"], id=told.id, reference=told.reference) == told
    assert stored["ch_1"].id == first.id
    assert literal_reference(stored["ch_1"].reference) == literal_reference(told.reference)
    assert stored["ch_2"] == other
    before = row_versions(context.records)
    assert codes_of(synchronise_list(context, [a_listed_payment("ch_1"), a_listed_payment("ch_2")])) == {"known": 2}
    assert row_versions(context.records) == before


@pytest.mark.parametrize(
    "change", [{"email": "eve@example.com"}, {"charge": "ch_2"}, {"amount": 900}, {"currency": "USD"}]
)
def test_the_second_report_of_the_seller_is_a_correction(context: WorkerContext, change: dict[str, Any]) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("ch_1")])
    told: dict[str, Any] = {"charge": "ch_1", "email": "ada@work.example.com", "reference": "MB-1"}
    report(context, a_recent_purchase(**told))
    (refused,) = report(context, a_recent_purchase(**told | change))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.CORRECTION


@pytest.mark.parametrize("change", [{"amount": 900}, {"currency": "USD"}, {"amount": 4901}, {"amount": None}])
def test_the_seller_cannot_report_another_amount_than_the_provider_without_saying_so(
    context: WorkerContext, change: dict[str, Any]
) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("ch_1")])
    (refused,) = report(context, a_recent_purchase(charge="ch_1", email="ada@example.com", reference="MB-1", **change))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.CORRECTION
    assert stored_purchases(context.records)[0].payments[0].amount == 4900


@pytest.mark.parametrize("charge", ["pi_1", "ch_1", "in_1"])
@pytest.mark.parametrize("reference", ["INV-pi_1", "MB-1"])
def test_another_id_of_a_payment_is_no_second_payment(context: WorkerContext, charge: str, reference: str) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("pi_1", other_ids=("ch_1", "in_1"))])
    (result,) = report(context, a_recent_purchase(charge=charge, email="ada@work.example.com", reference=reference))
    assert isinstance(result, Reported)
    (purchase,) = stored_purchases(context.records)
    assert [(payment.charge, payment.captured) for payment in purchase.payments] == [("pi_1", 4900)]
    assert (purchase.reference, purchase.email) == (reference, "ada@work.example.com")


@pytest.mark.parametrize("charges", [("pi_1", "ch_1"), ("in_1", "pi_1"), ("ch_1", "in_1"), ("ch_2", "ch_1", "in_1")])
def test_a_report_that_lists_a_payment_twice_with_other_ids_is_refused(
    context: WorkerContext, charges: tuple[str, ...]
) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("pi_1", other_ids=("ch_1", "in_1"))])
    before = stored_purchases(context.records)
    payments = tuple(a_payment(charge=charge, amount=4900) for charge in charges)
    (refused,) = report(context, a_recent_purchase(email="ada@example.com", payments=payments))
    assert isinstance(refused, Refusal)
    assert (refused.code, "pi_1 at sandbox twice" in refused.sentence) == (RefusalCode.REPEATED_PAYMENT, True)
    assert stored_purchases(context.records) == before


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("charges", [("ch_1", "ch_2"), ("ch_2", "ch_1"), ("ch_3", "ch_1", "ch_2")])
def test_the_seller_can_report_an_order_with_several_listed_payments(
    context: WorkerContext, charges: tuple[str, ...], together: bool
) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment(charge) for charge in sorted(charges)])
    payments = tuple(a_payment(charge=charge) for charge in charges)
    parts = [payments] if together else [(payment,) for payment in payments]
    told = [a_recent_purchase(reference="MB-1", email="ada@example.com", payments=part) for part in parts]
    assert all(isinstance(result, Reported) for result in report(context, *told))
    (order,) = [purchase for purchase in stored_purchases(context.records) if purchase.reference == "MB-1"]
    assert {payment.charge for payment in order.payments} == set(charges)


@pytest.mark.parametrize("charge", ["pi_1", "ch_1", "in_1"])
def test_another_seller_cannot_report_another_id_of_the_payment(context: WorkerContext, charge: str) -> None:
    purchase = a_recent_purchase(charge="ch_1")
    store_seller_and_purchases(context.records, purchase)
    synchronise_list(context, [a_listed_payment("pi_1", other_ids=("ch_1", "in_1"))])
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    (refused,) = report(context, a_recent_purchase(charge=charge, seller_id="kumo", reference="K-1"))
    assert isinstance(refused, OtherSeller)
    assert stored_purchases(context.records) == [purchase]


def test_two_ids_that_the_seller_reports_as_two_payments_stay_two_payments(context: WorkerContext) -> None:
    purchases = [a_recent_purchase(charge=charge, amount=4900) for charge in ("ch_1", "pi_1")]
    store_seller_and_purchases(context.records, *purchases)
    synchronise_list(context, [a_listed_payment("pi_1", other_ids=("ch_1",))])
    assert all(isinstance(result, Reported) for result in report(context, *purchases))
    assert stored_purchases(context.records) == purchases


def test_another_seller_cannot_take_over_a_purchase_of_the_provider(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("ch_1")])
    before = stored_purchases(context.records)
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    (refused,) = report(context, a_recent_purchase(charge="ch_1", seller_id="kumo", reference="K-1"))
    assert isinstance(refused, OtherSeller)
    assert stored_purchases(context.records) == before


def test_a_purchase_with_an_open_request_keeps_its_address(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    synchronise_list(context, [a_listed_payment("ch_1")])
    (purchase,) = stored_purchases(context.records)
    evaluate_received(context, ids_of(accept(context.records, [a_submission(purchase)])))
    (refused,) = report(
        context, a_recent_purchase(charge="ch_1", email="eve@example.com", reference=purchase.reference)
    )
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.HELD
    (renamed,) = report(context, a_recent_purchase(charge="ch_1", email=purchase.email, reference="MB-1"))
    assert isinstance(renamed, Reported)
    assert [(item.id, item.reference) for item in stored_purchases(context.records)] == [(purchase.id, "MB-1")]


@pytest.mark.parametrize("is_seller_first", [True, False])
def test_a_payment_that_seller_and_provider_report_at_the_same_time_is_one_purchase(
    context: WorkerContext, is_seller_first: bool
) -> None:
    store_seller_and_purchases(context.records)
    told = a_recent_purchase(charge="ch_1", email="ada@example.com", reference="MB-1")
    sellers = PaymentSellers({"aurora": a_seller()})
    reports: list[Callable[[UnitOfWork], object]] = [
        lambda work: store_purchases(work, [told]),
        lambda work: store_payments(work, "sandbox", [a_listed_payment("ch_1")], sellers),
    ]
    first, second = reports if is_seller_first else reversed(reports)

    def wait_for_the_first() -> None:
        with context.records.work() as work:
            second(work)

    with ThreadPoolExecutor(1) as thread:
        with context.records.work() as work:
            first(work)
            waiting = thread.submit(wait_for_the_first)
            eventually(lambda: is_blocked(context.records))
        waiting.result()
    (purchase,) = stored_purchases(context.records)
    assert (purchase.reference, purchase.payments[0].captured) == ("MB-1", 4900)


def is_blocked(records: Records) -> bool:
    """Return True if a transaction of this database waits for another transaction."""
    statement = (
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
    )
    with records.work() as work:
        return bool(work.run(statement).scalar_one())


# Payments without a purchase


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        ({"email": None}, SyncCode.NO_EMAIL),
        ({"email": ""}, SyncCode.NO_EMAIL),
        ({"email": "not an address"}, SyncCode.NO_EMAIL),
        ({"email": "ada@example.com\nbcc: all@example.com"}, SyncCode.NO_EMAIL),
        ({"references": {"invoice_number": "–"}}, SyncCode.NO_REFERENCE),
        ({"references": {"invoice_number": "x" * 101}}, SyncCode.NO_REFERENCE),
        ({"references": {"invoice_number": "a\nb"}}, SyncCode.NO_REFERENCE),
        ({"seller": "nobody"}, SyncCode.UNKNOWN_SELLER),
        ({"seller": "Aurora"}, SyncCode.UNKNOWN_SELLER),
        ({"seller": ""}, SyncCode.UNKNOWN_SELLER),
    ],
)
def test_a_payment_without_a_needed_value_is_counted(
    context: WorkerContext, listed: dict[str, Any], code: SyncCode
) -> None:
    store_seller_and_purchases(context.records)
    result = synchronise_list(context, [a_listed_payment("ch_1", **listed), a_listed_payment("ch_2")])
    assert codes_of(result) == {code.value: 1, "new": 1}
    assert len(stored_purchases(context.records)) == 1


# Sellers and references


@pytest.fixture
def metadata_context(sandbox_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    """Yield a worker context with an account whose payments name their seller in the metadata field ``shop``."""
    monkeypatch.setenv("MONEYBACK_SANDBOX_SELLER_METADATA", "shop")
    yield from open_context(sandbox_settings)


def test_the_metadata_of_a_payment_names_its_seller(metadata_context: WorkerContext, process: SandboxProcess) -> None:
    context = metadata_context
    metadata = {
        "ok_1": {"shop": "kumo"},
        "ok_2": {"shop": "aurora"},
        "ok_3": {"shop": "else"},
        "ok_4": {"seller": "kumo"},
    }
    for charge in ("ok_1", "ok_2", "ok_3", "ok_4", "ok_5"):
        process.register(charge, email="ada@example.com", metadata=metadata.get(charge, {}))
    store_seller_and_purchases(context.records)
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    result = synchronise(context, REQUEST)
    assert codes_of(result) == {"new": 2, "unknown_seller": 1, "no_seller": 2}
    sellers = {purchase.payments[0].charge: purchase.seller_id for purchase in stored_purchases(context.records)}
    assert sellers == {"ok_1": "kumo", "ok_2": "aurora"}
    assert codes_of(synchronise(context, replace(REQUEST, seller="aurora"))) == {
        "known": 2,
        "unknown_seller": 1,
        "new": 2,
    }


@pytest.mark.parametrize(
    ("reference_field", "references", "expected"),
    [
        (None, {"invoice_number": "INV-1", "receipt_number": "1234-5678"}, "INV-1"),
        (None, {"receipt_number": "1234-5678", "metadata.order": "7"}, "1234-5678"),
        (None, {"invoice_number": "", "receipt_number": ""}, "ch_1"),
        (None, {"metadata.order": "7"}, "ch_1"),
        (None, {"metadata.reference": "MB-1", "invoice_number": "INV-1"}, "MB-1"),
        ("receipt_number", {"invoice_number": "INV-1", "receipt_number": "1234-5678"}, "1234-5678"),
        ("metadata.order", {"invoice_number": "INV-1", "metadata.order": "#1001"}, "#1001"),
        ("charge", {"invoice_number": "INV-1"}, "ch_1"),
        ("receipt_number", {"invoice_number": "INV-1"}, None),
        ("metadata.order", {"metadata.Order": "7"}, None),
        ("metadata.order", {"metadata.order": "  "}, None),
    ],
)
def test_each_seller_chooses_the_field_of_the_reference(
    context: WorkerContext, reference_field: str | None, references: dict[str, str], expected: str | None
) -> None:
    store_seller_and_purchases(context.records, seller=a_seller(reference_field=reference_field))
    result = synchronise_list(context, [a_listed_payment("ch_1", references=references)])
    assert codes_of(result) == ({"new": 1} if expected else {"no_reference": 1})
    assert [purchase.reference for purchase in stored_purchases(context.records)] == ([expected] if expected else [])


def test_a_payment_of_another_seller_is_not_stored(context: WorkerContext) -> None:
    purchase = a_recent_purchase(charge="ch_1", seller_id="kumo", reference="K-1")
    store_seller_and_purchases(context.records)
    store_seller_and_purchases(context.records, purchase, seller=a_seller(id="kumo"))
    result = synchronise_list(context, [a_listed_payment("ch_1")], seller="aurora")
    assert codes_of(result) == {"differs": 1}
    assert stored_purchases(context.records) == [purchase]


# Refunds and disputes


@pytest.mark.parametrize(
    ("is_known", "listed", "is_requested"),
    [
        (False, {}, False),
        (False, {"refunded": 1000}, True),
        (False, {"dispute": Dispute.OPEN}, True),
        (False, {"dispute": Dispute.LOST, "refunded": 4900}, True),
        (True, {}, False),
        (True, {"refunded": 4900}, True),
        (True, {"dispute": Dispute.INQUIRY}, True),
    ],
)
def test_new_refunds_and_disputes_are_looked_up_once(
    context: WorkerContext, is_known: bool, listed: dict[str, Any], is_requested: bool
) -> None:
    store_seller_and_purchases(context.records, *([a_recent_purchase(charge="ch_1")] if is_known else []))
    for _ in range(2):
        synchronise_list(context, [a_listed_payment("ch_1", **listed)])
    assert requested_lookups(context.records) == ([("ch_1", "payment")] if is_requested else [])


def test_a_refund_by_hand_and_a_dispute_are_recorded_as_the_provider_shows_them(
    context: WorkerContext, process: SandboxProcess
) -> None:
    store_seller_and_purchases(context.records)
    for charge in ("ok_1", "ok_2"):
        process.register(charge, email="ada@example.com")
    process.refund_by_hand("ok_1", 1000)
    process.open_dispute("ok_2", "open")
    synchronise(context, REQUEST)
    disputed = {purchase.reference: purchase.dispute for purchase in stored_purchases(context.records)}
    assert disputed == {"ok_1": Dispute.NONE, "ok_2": Dispute.OPEN}
    process_all_events(context)
    refunded = {purchase.reference: purchase.refunded for purchase in stored_purchases(context.records)}
    assert refunded == {"ok_1": 1000, "ok_2": 0}
    before = row_versions(context.records)
    synchronise(context, REQUEST)
    process_all_events(context)
    assert row_versions(context.records) == before


# Webhook events


def keep_event(context: WorkerContext, charge: str | None) -> None:
    with context.records.work() as work:
        event = WebhookEvent(event_id=f"ev_{charge}", subject=Subject.PURCHASE, charge=charge)
        work.webhook_events.keep("sandbox", [event], b"")


def evaluate_received(context: WorkerContext, cases: Sequence[UUID]) -> None:
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(cases, state=State.RECEIVED))


def test_an_event_creates_the_purchase_and_an_unmatched_request_is_evaluated_again(
    context: WorkerContext, process: SandboxProcess
) -> None:
    store_seller_and_purchases(context.records)
    bought = a_recent_purchase(reference="MB-1", email="ada@example.com")
    cases = ids_of(accept(context.records, [a_submission(bought)]))
    evaluate_received(context, cases)
    assert state_of(context.records, cases[0]) is State.UNMATCHED
    process.register("ok_1", reference="mb-1", email="Ada@Example.com", method="credit_card")
    keep_event(context, "ok_1")
    process_all_events(context)
    assert event_outcomes(context.records) == ["purchase_stored"]
    evaluate_received(context, cases)
    assert state_of(context.records, cases[0]) is State.APPROVED


def test_an_event_about_a_known_payment_calls_no_provider(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records, a_recent_purchase(charge="ch_1"))
    keep_event(context, "ch_1")
    process_all_events(with_adapter(context, None))
    assert event_outcomes(context.records) == ["purchase_known"]


@pytest.mark.parametrize(
    ("listed", "outcome"),
    [
        ({}, "purchase_stored"),
        ({"other_ids": ("pi_known",)}, "purchase_known"),
        ({"references": {"invoice_number": "INV-known"}}, "purchase_stored"),
        ({"references": {"invoice_number": "INV-known"}, "email": "bob@example.com"}, "purchase_differs"),
        ({"email": None}, "no_email"),
        ({"references": {"invoice_number": "-"}}, "no_reference"),
        ({"seller": "nobody"}, "unknown_seller"),
    ],
)
def test_an_event_is_resolved_by_what_becomes_of_the_payment(
    context: WorkerContext, listed: dict[str, Any], outcome: str
) -> None:
    known = a_recent_purchase(reference="INV-known", email="ada@example.com", charge="pi_known")
    store_seller_and_purchases(context.records, known)
    keep_event(context, "ch_1")
    with capture_logs() as logs:
        process_all_events(with_adapter(context, PaymentList([[a_listed_payment("ch_1", **listed)]])))
    assert event_outcomes(context.records) == [outcome]
    assert [entry[outcome] for entry in logs if entry["event"] == "payments_stored"] == [1]


def test_an_event_of_an_account_with_several_sellers_is_resolved_with_a_code_that_says_so(
    context: WorkerContext,
) -> None:
    store_seller_and_purchases(context.records)
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    keep_event(context, "ch_1")
    process_all_events(with_adapter(context, PaymentList([[a_listed_payment("ch_1")]])))
    assert event_outcomes(context.records) == ["no_seller"]
    assert task_evidence(context.records, "webhook_event_unresolved") == []


def test_an_event_without_a_payment_is_resolved(context: WorkerContext) -> None:
    keep_event(context, None)
    process_all_events(context)
    assert event_outcomes(context.records) == ["no_payment"]


@pytest.mark.parametrize("behaviour", ["missing", "voided", "authorized", "unpaid"])
def test_a_payment_that_is_no_purchase_yet_is_looked_up_again_for_a_while(
    context: WorkerContext, process: SandboxProcess, behaviour: str
) -> None:
    store_seller_and_purchases(context.records)
    process.register(f"{behaviour}_1", email="ada@example.com")
    keep_event(context, f"{behaviour}_1")
    for attempt in range(NO_PURCHASE_ATTEMPTS):
        with context.records.work() as work:
            assert (
                work.run("select attempts from webhook_events where next_action_at is not null").scalar_one() == attempt
            )
        expire_leases(context.records)
        process_all_events(context)
    assert event_outcomes(context.records) == ["no_purchase"]
    with context.records.work() as work:
        assert work.run("select next_action_at from webhook_events").scalar_one() is None


def test_an_event_waits_while_the_provider_cannot_be_called(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    keep_event(context, "ch_1")
    process_all_events(replace(context, providers={}))
    assert event_outcomes(context.records) == ["lookup_failed"]
    expire_leases(context.records)
    process_all_events(with_adapter(context, PaymentList([[a_listed_payment("ch_1")]])))
    assert event_outcomes(context.records) == ["purchase_stored"]


# The command


def test_the_command_prints_a_summary(
    context: WorkerContext, process: SandboxProcess, sandbox_settings: Settings
) -> None:
    store_seller_and_purchases(context.records, a_recent_purchase(payments=(a_payment(charge="ok_1", amount=900),)))
    for charge, email in (("ok_1", "ada@example.com"), ("ok_2", "ada@example.com"), ("ok_3", None), ("voided_4", None)):
        process.register(charge, email=email)
    run = moneyback(sandbox_settings, "purchases", "sync", "sandbox", "--since", "2026-01-01")
    assert run.returncode == 1, run.stderr
    assert "1 new purchases, 0 further payments of known purchases, 0 known, 1 differ, 1 left out." in run.stdout
    assert "1 rows are no paid purchases." in run.stdout
    assert "the amount 900 EUR, but the payment is 4900 EUR" in run.stdout
    assert "The provider knows no valid e-mail address" in run.stdout
    assert "The payment method '' is not refunded automatically." in run.stdout
    summary = json.loads(moneyback(sandbox_settings, "purchases", "sync", "sandbox", "--json", "--dry-run").stdout)
    assert summary["skipped"] == {"no_email": 1}
    assert (summary["new"], summary["known"], summary["differs"], summary["dry_run"]) == (0, 1, 1, True)
    assert summary["differences"][0]["charge"] == "ok_1"


def test_the_summary_says_which_payments_could_never_be_refunded_automatically(
    context: WorkerContext, process: SandboxProcess, sandbox_settings: Settings
) -> None:
    store_seller_and_purchases(context.records, policy=a_policy(in_force_from=TODAY - timedelta(days=10)))
    for charge, method, age in (("ok_1", "credit_card", 1), ("ok_2", "crypto", 1), ("ok_3", "paypal", 30)):
        created = int((TODAY - timedelta(days=age)).timestamp())
        process.register(charge, email="ada@example.com", method=method, created=created)
    summary = json.loads(moneyback(sandbox_settings, "purchases", "sync", "sandbox", "--json").stdout)
    assert summary["never_automatic"] == {
        "The payment method 'crypto' is not refunded automatically.": 1,
        "No policy was in force at the purchase.": 1,
    }
    again = json.loads(moneyback(sandbox_settings, "purchases", "sync", "sandbox", "--json").stdout)
    assert (again["known"], again["never_automatic"]) == (2, {})  # the payments of the last eight days


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("stripe",), "'stripe' is not connected, or cannot list its payments. These providers can: sandbox."),
        (("sandbox", "--seller", "nobody"), "There is no seller 'nobody'."),
        (("sandbox", "--since", "yesterday"), "'yesterday' is neither a date like 2026-11-01"),
        (("sandbox",), "has payments of several sellers. Name the seller with --seller."),
    ],
)
def test_wrong_arguments_get_one_sentence(
    context: WorkerContext, sandbox_settings: Settings, arguments: Sequence[str], sentence: str
) -> None:
    store_seller_and_purchases(context.records)
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    run = moneyback(sandbox_settings, "purchases", "sync", *arguments)
    assert run.returncode == 2
    assert sentence in " ".join(run.stderr.replace("│", " ").split())


def test_the_sellers_of_an_account_are_the_only_sellers(
    context: WorkerContext, sandbox_settings: Settings, process: SandboxProcess
) -> None:
    for seller in ("aurora", "kumo", "lumen"):
        store_seller_and_purchases(context.records, seller=a_seller(id=seller))
    process.register("ok_1", email="ada@example.com")
    run = moneyback(
        sandbox_settings, "purchases", "sync", "sandbox", "--seller", "lumen", MONEYBACK_SANDBOX_SELLERS="aurora,kumo"
    )
    assert run.returncode == 2
    assert "belongs to other sellers: aurora, kumo." in " ".join(run.stderr.replace("│", " ").split())
    run = moneyback(sandbox_settings, "purchases", "sync", "sandbox", MONEYBACK_SANDBOX_SELLERS="kumo")
    assert run.returncode == 0, run.stderr
    assert [purchase.seller_id for purchase in stored_purchases(context.records)] == ["kumo"]


def test_the_sellers_of_an_account_are_named_in_alphabetical_order() -> None:
    sellers = {
        name: a_seller(id=name) for name in ("lumen", "kumo", "aurora", "corona", "borealis", "zephyr", "arc", "orion")
    }
    assert PaymentSellers(sellers, frozenset(sellers), None).candidates == sorted(sellers)


def test_the_command_needs_a_seller(sandbox_settings: Settings, records: Records) -> None:
    with records.work() as work:
        assert work.sellers.list_all() == []
    run = moneyback(sandbox_settings, "purchases", "sync", "sandbox")
    assert (run.returncode, "No seller uses the account." in run.stderr) == (2, True)


def test_the_metadata_setting_is_enough_for_several_sellers(
    context: WorkerContext, sandbox_settings: Settings, process: SandboxProcess
) -> None:
    store_seller_and_purchases(context.records)
    store_seller_and_purchases(context.records, seller=a_seller(id="kumo"))
    process.register("ok_1", email="ada@example.com", metadata={"shop": "kumo"})
    process.register("ok_2", email="ada@example.com")
    run = moneyback(
        sandbox_settings, "purchases", "sync", "sandbox", "--json", MONEYBACK_SANDBOX_SELLER_METADATA="shop"
    )
    summary = json.loads(run.stdout)
    assert (run.returncode, summary["new"], summary["skipped"]) == (1, 1, {"no_seller": 1})


@pytest.mark.parametrize("field", ["receipt_number", "invoice_number", "charge", "metadata.order_id", "metadata.a.b"])
def test_the_field_of_the_reference_is_a_setting_of_the_seller(
    settings: Settings, records: Records, field: str
) -> None:
    run = moneyback(settings, "sellers", "add", "aurora", "Aurora", "help@aurora.example", "--reference-field", field)
    assert run.returncode == 0, run.stderr
    with records.work() as work:
        seller = work.sellers.get("aurora")
    assert seller
    assert seller.reference_field == field
    assert json.loads(moneyback(settings, "sellers", "list", "--json").stdout)[0]["reference_field"] == field


@pytest.mark.parametrize("field", ["", "order", "metadata", "metadata.", "metadata. x", "Invoice_number"])
def test_another_field_of_the_reference_is_refused(settings: Settings, field: str) -> None:
    run = moneyback(settings, "sellers", "add", "aurora", "Aurora", "help@aurora.example", "--reference-field", field)
    assert (run.returncode, "is no field with a reference" in run.stderr) == (2, True)

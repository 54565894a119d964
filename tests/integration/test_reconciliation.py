"""Reconciliation: a provider's list held against ours, both ways; what differs is one task, however often it is found."""

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
from tests.doubles.sandbox import sandbox_in
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    assert_audit_is_clean,
    close_context,
    create_executed_cases,
    process_all_events,
    reason_codes_of,
    refund_manually,
    refunded_amount,
    state_of,
    unprocessed_event_ids,
    with_long_timeouts,
)
from tests.sample_data import store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.reconciliation.pages import MAX_ATTEMPTS
from worker.reconciliation.run import MAX_REPORTS, ReconciliationResult, reconcile, reconcile_all

A_WEEK = timedelta(days=8)


class Provider:
    """A provider with a list of its own, in which a test may change what it likes. It lists a few at a time."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(hours=24))

    def __init__(self, *, a_page: int = 3) -> None:
        self.refunds: list[ListedRefund] = []
        self.trouble: list[Unknown | Exception] = []
        """What the next calls for a page get instead."""
        self.pages = 0
        self._a_page = a_page

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        if charge.startswith("declined"):
            return Declined(DeclineReason.PERMANENT, "no")
        return self._said(self.of(key) or self.make(charge, amount, key))

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        if ours := self.of(key):
            return self._said(ours)
        others = [one for one in self.refunds if one.charge == charge]
        return ExternalRefund(others[0].refund_id, others[0].amount) if others else NotFound()

    def dispute(self, charge: str) -> DisputeStatus:
        assert charge
        return DisputeStatus(Dispute.NONE)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        self.pages += 1
        if self.trouble:
            trouble = self.trouble.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        listed = [one for one in self.refunds if one.created_at >= since]
        start = int(after or 0)
        end = start + self._a_page
        return RefundPage(listed[start:end], str(end) if end < len(listed) else None)

    def make(
        self, charge: str, amount: Money, key: str | None, standing: RefundStatus = RefundStatus.PAID
    ) -> ListedRefund:
        pending = charge.startswith("pending")
        at = datetime.now(UTC) - timedelta(days=1)
        made = ListedRefund(f"re_{uuid4().hex}", charge, amount, RefundStatus.PENDING if pending else standing, at, key)
        self.refunds.append(made)
        return made

    def change(self, charge: str, **facts: Any) -> None:
        self.refunds = [replace(one, **facts) if one.charge == charge else one for one in self.refunds]

    def of(self, key: str | None) -> ListedRefund | None:
        return next((one for one in self.refunds if one.key == key), None)

    def _said(self, one: ListedRefund) -> Paid | Pending | Failed:
        if one.status is RefundStatus.FAILED:
            return Failed(one.refund_id, "came_back")
        return (
            Paid(one.refund_id, one.amount) if one.status is RefundStatus.PAID else Pending(one.refund_id, one.amount)
        )


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def context(settings: Settings, provider: Provider) -> Iterator[WorkerContext]:
    context = replace(create_context(settings), providers={"sandbox": provider})
    yield context
    close_context(context)


def yesterday(records: Records) -> None:
    """As if everything was sent a day ago: no list is that late."""
    with records.work() as work:
        work.run(
            "update refund_operations set first_sent_at = first_sent_at - interval '1 day',"
            " last_sent_at = last_sent_at - interval '1 day'"
        )


def reconciled(context: WorkerContext) -> ReconciliationResult:
    return reconcile(context, "sandbox", datetime.now(UTC) - A_WEEK)


def waiting(records: Records) -> list[tuple[str, dict[str, Any]]]:
    """The tasks about payments: trouble and evidence."""
    with records.work() as work:
        rows = work.run("select kind, evidence from support_tasks where kind <> 'case' order by created_at, kind")
        return [(row.kind, row.evidence) for row in rows]


def refunded_yesterday(context: WorkerContext, *purchases: Purchase) -> list[UUID]:
    cases = create_executed_cases(context, *purchases)
    yesterday(context.records)
    return cases


def test_what_agrees_is_only_counted(context: WorkerContext) -> None:
    refunded_yesterday(context, *(a_charged_purchase("ok") for _ in range(7)))
    heard: list[int] = []
    done = reconcile(context, "sandbox", datetime.now(UTC) - A_WEEK, lambda so_far: heard.append(so_far.listed))
    assert (done.listed, done.matched, done.unknown_payments, done.lookups_requested) == (7, 7, 0, 0)
    assert (done.discrepancies, done.incomplete) == (Counter(), "")
    assert heard == [3, 6, 7]
    assert waiting(context.records) == []


def test_a_refund_that_the_provider_does_not_list_is_missing(context: WorkerContext, provider: Provider) -> None:
    lost, kept = a_charged_purchase("ok"), a_charged_purchase("ok")
    (case, _) = refunded_yesterday(context, lost, kept)
    provider.refunds = [one for one in provider.refunds if one.charge == kept.charge]
    done = reconciled(context)
    assert done.discrepancies == {SupportTaskKind.MISSING_REFUND: 1}
    ((kind, evidence),) = waiting(context.records)
    assert (kind, evidence["charge"], evidence["our_amount"]) == ("missing_refund", lost.charge, 4900)
    assert done.reports[0].case_id == case


def test_hundreds_may_be_missing(context: WorkerContext, provider: Provider) -> None:
    """More than one batch: what is found is written while the rest is still being read."""
    cases = refunded_yesterday(context, *(a_charged_purchase("ok") for _ in range(60)))
    with context.records.work() as work:  # each of them again and again, as other cases' operations would be
        for copy in range(40):
            work.run(
                "insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash,"
                " first_sent_at, last_sent_at, status, refund_id)"
                " select case_id, :attempt, provider, charge || :copy, amount, currency, key || :copy, payload_hash,"
                " first_sent_at, last_sent_at, status, refund_id || :copy from refund_operations where attempt = 1",
                attempt=copy + 2,
                copy=f"/{copy}",
            )
    provider.refunds = []
    done = reconciled(context)
    assert done.discrepancies == {SupportTaskKind.MISSING_REFUND: 41 * len(cases)}
    assert len(done.reports) == MAX_REPORTS
    assert len(waiting(context.records)) == 41 * len(cases)


def test_what_was_sent_just_now_is_not_missing_yet(context: WorkerContext, provider: Provider) -> None:
    """A list may be hours late."""
    create_executed_cases(context, a_charged_purchase("ok"))
    provider.refunds = []
    assert reconciled(context).discrepancies == Counter()


def test_what_was_sent_before_the_list_begins_is_not_missing(context: WorkerContext, provider: Provider) -> None:
    refunded_yesterday(context, a_charged_purchase("ok"))
    provider.refunds = []
    assert reconcile(context, "sandbox", datetime.now(UTC) - timedelta(hours=12)).discrepancies == Counter()


@pytest.mark.parametrize("standing", RefundStatus)
def test_a_refund_of_a_known_purchase_that_we_did_not_make_is_extra(
    context: WorkerContext, provider: Provider, standing: RefundStatus
) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    made = provider.make(bought.charge, Money(100, "EUR"), None, standing)
    done = reconciled(context)
    if standing is RefundStatus.FAILED:  # nothing left
        assert (done.discrepancies, waiting(context.records)) == (Counter(), [])
        return
    assert done.discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 1}
    ((kind, evidence),) = waiting(context.records)
    assert (kind, evidence["refund"], evidence["amount"]) == ("unexpected_refund", made.refund_id, 100)
    assert done.reports[0].seller_id == bought.seller_id


def test_a_refund_under_a_key_of_ours_that_we_do_not_remember_is_extra(
    context: WorkerContext, provider: Provider
) -> None:
    """A database that was set back has forgotten it; the provider has not."""
    made = provider.make("ok_forgotten", Money(100, "EUR"), f"mb_{uuid4().hex}_1")
    done = reconciled(context)
    assert (done.discrepancies, done.unknown_payments) == ({SupportTaskKind.UNEXPECTED_REFUND: 1}, 0)
    assert waiting(context.records)[0][1]["refund"] == made.refund_id


def test_what_a_restored_database_forgot_is_not_paid_again(context: WorkerContext, provider: Provider) -> None:
    """The backup is older than the request: the customer asks once more, as another case under another key."""
    bought, part = a_charged_purchase("ok"), a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought, part)
    forgotten = provider.make(bought.charge, Money(4900, "EUR"), f"mb_{uuid4().hex}_1")
    provider.make(part.charge, Money(100, "EUR"), "by hand")
    assert reconciled(context).discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 2}
    assert [refunded_amount(context.records, one) for one in (bought, part)] == [4900, 100]
    for one in (bought, part):
        (case,) = create_executed_cases(context, one)
        assert reason_codes_of(context.records, case) == ["already_refunded"]
    assert [one for one in provider.refunds if one.charge == bought.charge] == [forgotten]


def test_a_second_refund_under_one_of_our_keys_is_extra(context: WorkerContext, provider: Provider) -> None:
    """A provider that forgot the key paid it again."""
    bought = a_charged_purchase("ok")
    refunded_yesterday(context, bought)
    (first,) = provider.refunds
    second = provider.make(bought.charge, first.amount, first.key)
    for _ in range(2):
        assert reconciled(context).discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 1}
    ((kind, evidence),) = waiting(context.records)
    assert (kind, evidence["refund"], evidence["our_refund"]) == (
        "unexpected_refund",
        second.refund_id,
        first.refund_id,
    )


def test_refunds_of_payments_that_are_not_ours_are_counted_and_left_alone(
    context: WorkerContext, provider: Provider
) -> None:
    for number in range(5):
        provider.make(f"ok_of_others_{number}", Money(100, "EUR"), "their own key")
    done = reconciled(context)
    assert (done.listed, done.unknown_payments, done.discrepancies) == (5, 5, Counter())
    assert waiting(context.records) == []


@pytest.mark.parametrize(
    ("amount", "trouble"),
    [
        (Money(4901, "EUR"), SupportTaskKind.REFUND_AMOUNT_DIFFERS),
        (Money(1, "EUR"), SupportTaskKind.REFUND_AMOUNT_DIFFERS),
        (Money(4900, "USD"), SupportTaskKind.REFUND_CURRENCY_DIFFERS),
    ],
)
def test_another_amount_or_currency_is_found(
    context: WorkerContext, provider: Provider, amount: Money, trouble: SupportTaskKind
) -> None:
    bought = a_charged_purchase("ok")
    refunded_yesterday(context, bought)
    provider.change(bought.charge, amount=amount)
    assert reconciled(context).discrepancies == {trouble: 1}
    ((kind, evidence),) = waiting(context.records)
    assert (kind, evidence["amount"], evidence["currency"]) == (trouble, amount.minor, amount.currency)
    assert (evidence["our_amount"], evidence["our_currency"]) == (4900, "EUR")


def test_a_refund_that_came_back_is_told_to_people_and_its_case_reopened(
    context: WorkerContext, provider: Provider
) -> None:
    """No webhook told of it."""
    bought = a_charged_purchase("ok")
    (case,) = refunded_yesterday(context, bought)
    provider.change(bought.charge, status=RefundStatus.FAILED)
    done = reconciled(context)
    assert (done.discrepancies, done.lookups_requested) == ({SupportTaskKind.REFUND_STATE_DIFFERS: 1}, 1)
    process_all_events(context)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["returned_by_bank"],
    )
    assert refunded_amount(context.records, bought) == 0
    assert_audit_is_clean(context.records)
    assert reconciled(context).discrepancies == Counter()


def test_a_refund_that_was_declined_and_made_all_the_same_is_for_people(
    context: WorkerContext, provider: Provider
) -> None:
    bought = a_charged_purchase("declined")
    refunded_yesterday(context, bought)
    with context.records.work() as work:
        key = work.run("select key from refund_operations").scalar_one()
    provider.make(bought.charge, Money(4900, "EUR"), key)
    assert reconciled(context).discrepancies == {SupportTaskKind.REFUND_STATE_DIFFERS: 1}


def test_what_only_is_news_heals_by_itself(context: WorkerContext, provider: Provider) -> None:
    """Pending with us and paid there is no trouble: it is looked up at once."""
    bought = a_charged_purchase("pending")
    (case,) = refunded_yesterday(context, bought)
    assert state_of(context.records, case) is State.REFUND_PENDING
    provider.change(bought.charge, status=RefundStatus.PAID)
    done = reconciled(context)
    assert (done.discrepancies, done.lookups_requested) == (Counter(), 1)
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert unprocessed_event_ids(context.records) == []
    again = reconciled(context)
    assert (again.matched, again.lookups_requested) == (1, 0)


def test_a_second_run_finds_the_same_and_tells_nobody_twice(context: WorkerContext, provider: Provider) -> None:
    lost, wrong = a_charged_purchase("ok"), a_charged_purchase("ok")
    refunded_yesterday(context, lost, wrong)
    provider.refunds = [one for one in provider.refunds if one.charge == wrong.charge]
    provider.change(wrong.charge, amount=Money(5, "EUR"))
    provider.make("ok_forgotten", Money(100, "EUR"), f"mb_{uuid4().hex}_1")
    first, second = reconciled(context), reconciled(context)
    assert first.discrepancies == second.discrepancies
    assert first.discrepancies.total() == 3
    assert len(waiting(context.records)) == 3
    with context.records.work() as work:
        assert work.run("select count(*) from outbox where queue = 'support.publish'").scalar_one() == 3


ALWAYS: list[Unknown | Exception] = [Unknown("It answered 503.")] * 1_000


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_list_that_ends_in_trouble_is_incomplete_and_nothing_is_called_missing(
    context: WorkerContext, provider: Provider, before: int
) -> None:
    lost = a_charged_purchase("ok")
    refunded_yesterday(context, lost, *(a_charged_purchase("ok") for _ in range(7)))
    provider.refunds = [one for one in provider.refunds if one.charge != lost.charge]

    def told(done: ReconciliationResult) -> None:
        if done.listed == 3 * before:
            provider.trouble = list(ALWAYS)

    provider.trouble = [] if before else list(ALWAYS)
    done = reconcile(_at_once(context), "sandbox", datetime.now(UTC) - A_WEEK, told)
    assert (done.listed, done.incomplete, done.discrepancies) == (3 * before, "It answered 503.", Counter())
    assert provider.pages == before + MAX_ATTEMPTS
    assert waiting(context.records) == []


def test_an_adapter_that_breaks_leaves_the_list_incomplete(context: WorkerContext, provider: Provider) -> None:
    provider.trouble = [RuntimeError("a bug")] * 1_000
    done = reconciled(_at_once(context))
    assert done.incomplete == "The provider's adapter raised RuntimeError."


def test_a_page_that_fails_once_is_asked_for_again(context: WorkerContext, provider: Provider) -> None:
    refunded_yesterday(context, a_charged_purchase("ok"))
    provider.trouble = [Unknown("It answered 503."), Unknown("Too many calls.", retry_after=0.01)]
    done = reconciled(_at_once(context))
    assert (done.listed, done.incomplete) == (1, "")


def test_a_list_that_never_moves_on_is_incomplete(context: WorkerContext) -> None:
    class Circular(Provider):
        def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
            assert self.pages < 100, f"It is asked for ever: {since} {after}."
            self.pages += 1
            return RefundPage([], "the same place")

    done = reconciled(replace(context, providers={"sandbox": Circular()}))
    assert "returns the same page again" in done.incomplete


class _Hasty:
    """No pause between two tries."""

    def acquire(self, provider: str, per_second: float | None, *, until: float) -> bool:
        return bool(provider and until and (per_second is None or per_second))

    def pause(self, provider: str, per_second: float | None, seconds: float) -> None:
        assert provider
        assert seconds > 0, per_second


def _at_once(context: WorkerContext) -> WorkerContext:
    return replace(context, rate_limiter=_Hasty())  # type: ignore[arg-type]  # a stand-in


class Endless(Provider):
    """A provider with a hundred thousand refunds, none of which it keeps."""

    def __init__(self, refunds: int, a_page: int, key: str) -> None:
        super().__init__()
        self._refunds, self._per_page, self._key = refunds, a_page, key

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        self.pages += 1
        start = int(after or 0)
        end = start + self._per_page
        refunds = [self._one(number, since) for number in range(start, end)]
        return RefundPage(refunds, str(end) if end < self._refunds else None)

    def _one(self, number: int, since: datetime) -> ListedRefund:
        return ListedRefund(
            f"re_{number}", f"ch_{number}", Money(1, "EUR"), RefundStatus.PAID, since, self._key.format(number)
        )


@contextmanager
def statements(context: WorkerContext) -> Iterator[Sequence[int]]:
    """How many values each statement had to carry."""
    seen: list[int] = []

    def count(_: object, __: object, ___: str, values: Any, *____: object) -> None:
        lists = [one for one in (values.values() if isinstance(values, dict) else values) if isinstance(one, list)]
        seen.append(max(map(len, lists), default=1))

    event.listen(context.records.engine, "before_cursor_execute", count)
    yield seen
    event.remove(context.records.engine, "before_cursor_execute", count)


def test_a_hundred_thousand_refunds_are_read_a_page_at_a_time(context: WorkerContext) -> None:
    endless = Endless(100_000, 1_000, "theirs {}")
    many = replace(context, providers={"sandbox": endless})
    with statements(many) as seen:
        done = reconciled(many)
    assert (done.listed, done.unknown_payments, endless.pages) == (100_000, 100_000, 100)
    assert len(seen) < 10 * endless.pages
    assert max(seen) == 1_000


def test_a_provider_that_differs_in_thousands_is_shown_in_part_and_reported_in_full(context: WorkerContext) -> None:
    many = replace(context, providers={"sandbox": Endless(3_000, 1_000, "mb_{:032x}_1")})
    done = reconciled(many)
    assert done.discrepancies == {SupportTaskKind.UNEXPECTED_REFUND: 3_000}
    assert len(done.reports) == MAX_REPORTS
    assert len(waiting(context.records)) == 3_000


def test_only_providers_that_list_are_reconciled_and_one_does_not_stop_the_next(
    context: WorkerContext, provider: Provider
) -> None:
    class OnlyTells(Provider):
        capabilities = replace(Provider.capabilities, lists_refunds=False)

        def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
            raise AssertionError(since, after)

    broken = Provider()
    broken.trouble = [RuntimeError("a bug")] * 1_000
    provider.make("ok_forgotten", Money(100, "EUR"), f"mb_{uuid4().hex}_1")
    three = _at_once(replace(context, providers={"stripe": broken, "adyen": OnlyTells(), "sandbox": provider}))
    assert reconcile_all(three, A_WEEK) == 1
    unread = [
        evidence["provider"]
        for kind, evidence in waiting(context.records)
        if kind == SupportTaskKind.REFUND_LIST_INCOMPLETE
    ]
    assert unread == ["stripe"]
    assert reconcile(three, "adyen", datetime.now(UTC)).incomplete
    assert reconcile(three, "nobody", datetime.now(UTC)).incomplete


# Against the sandbox itself


def test_the_sandbox_and_we_agree_and_where_we_do_not_it_is_found(settings: Settings, tmp_path: Path) -> None:
    with sandbox_in(tmp_path / "sandbox") as process:
        context = create_context(with_long_timeouts(settings).model_copy(update={"sandbox_url": process.url}))
        kinds = ("ok", "slow", "declined", "pending", "latefail", "fail500", "elsewhere")
        bought = {kind: a_charged_purchase(kind) for kind in kinds}
        cases = dict(zip(kinds, create_executed_cases(context, *bought.values()), strict=True))
        ghost = a_charged_purchase("ok")
        ghostly = replace(context, providers={"sandbox": Provider()})
        refunded_yesterday(ghostly, ghost)
        by_hand = a_charged_purchase("ok")
        store_seller_and_purchases(context.records, by_hand)
        refund_manually(context, by_hand)
        eventually(lambda: process.summary()["failed"] == 1)
        done = reconciled(context)
        assert done.listed == 7  # declined made none
        assert done.discrepancies == {
            SupportTaskKind.MISSING_REFUND: 1,
            SupportTaskKind.UNEXPECTED_REFUND: 2,  # by hand, and elsewhere
            SupportTaskKind.REFUND_STATE_DIFFERS: 1,  # latefail
        }
        assert {evidence["charge"] for kind, evidence in waiting(context.records) if kind == "unexpected_refund"} == {
            by_hand.charge,
            bought["elsewhere"].charge,
        }
        process_all_events(context)
        assert state_of(context.records, cases["latefail"]) is State.WITH_SUPPORT
        assert state_of(context.records, cases["fail500"]) is State.REFUNDED
        assert state_of(context.records, cases["pending"]) is State.REFUNDED
        close_context(ghostly)
        close_context(context)


def test_a_provider_that_is_away_is_incomplete(settings: Settings, tmp_path: Path) -> None:
    with sandbox_in(tmp_path / "sandbox") as process:
        url = process.url
    context = create_context(settings.model_copy(update={"sandbox_url": url}))
    assert reconciled(_at_once(context)).incomplete == "The sandbox cannot be reached."
    close_context(context)

"""Tests that repeated requests cannot flood a mailbox, and that repeated refunds go to support."""

from collections import Counter
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest

from domain.policies import SerialLimit
from domain.purchases import Purchase
from domain.requests import Channel
from domain.states import State
from producers.intake import DECLARATIONS_A_DAY, accept, declare, submission
from records.audit import audit
from tests.integration import _provider_fixtures
from tests.integration._provider_fixtures import email_kinds_of, reason_codes_of, state_of
from tests.sample_data import a_recent_purchase, a_request, a_seller, a_submission, ids_of, store_seller_and_purchases
from worker.context import WorkerContext
from worker.refunds.evaluation import MAX_EMAILS_PER_DAY, evaluate
from worker.refunds.execution import execute

REQUESTS = 20


def request_refunds(context: WorkerContext, purchase: Purchase, *, times: int = 1, at_once: bool = True) -> list[UUID]:
    """Send the refund form for a purchase `times` times, evaluate the cases, and return their ids.

    If `at_once` is True, evaluate all cases in one batch. Otherwise, evaluate them one by one.
    """
    cases = ids_of(accept(context.records, [submission(a_request(purchase), Channel.WEB) for _ in range(times)]))
    for batch in [cases] if at_once else [[case] for case in cases]:
        with context.records.work() as work:
            evaluate(work, context, work.cases.lock(batch, state=State.RECEIVED))
    return cases


def count_emails(context: WorkerContext, cases: list[UUID]) -> Counter[str]:
    return Counter(stage for case in cases for stage in email_kinds_of(context.records, case))


def move_emails_back_a_day(context: WorkerContext) -> None:
    with context.records.work() as work:
        work.run("update case_emails set created_at = created_at - interval '25 hours'")


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_repeated_requests_for_a_purchase_send_one_email_of_each_kind_a_day(
    context: WorkerContext, at_once: bool
) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    cases = request_refunds(context, purchase, times=REQUESTS, at_once=at_once)
    states = Counter(state_of(context.records, case) for case in cases)
    assert states == {State.AWAITING_CONFIRMATION: 1, State.DUPLICATE: REQUESTS - 1}
    assert count_emails(context, cases) == {"start_refund": 1, "already_requested": 1}
    move_emails_back_a_day(context)
    assert count_emails(context, request_refunds(context, purchase, times=REQUESTS)) == {"already_requested": 1}
    with context.records.work() as work:
        assert not audit(work).faults
        messages = work.run("select count(*) from outbox where queue = 'email.cases'").scalar_one()
        assert messages == 3  # one message for each of the three e-mails above


def test_history_records_why_a_duplicate_got_no_email(context: WorkerContext) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    last = request_refunds(context, purchase, times=3, at_once=False)[-1]
    with context.records.work() as work:
        assert work.history.for_case(last)[-1].evidence["email"] == "daily limit reached"


def test_the_email_limit_counts_each_purchase_separately(context: WorkerContext) -> None:
    purchases = [a_recent_purchase(email="ada@example.com") for _ in range(2)]
    store_seller_and_purchases(context.records, *purchases)
    cases = [case for purchase in purchases for case in request_refunds(context, purchase, times=5)]
    assert count_emails(context, cases) == {"start_refund": 2, "already_requested": 2}


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_an_address_without_a_purchase_gets_few_emails_a_day(context: WorkerContext, at_once: bool) -> None:
    store_seller_and_purchases(context.records)
    cases = request_refunds(context, a_recent_purchase(email="stranger@example.com"), times=REQUESTS, at_once=at_once)
    other_cases = request_refunds(context, a_recent_purchase(email="somebody@example.com"))
    limit = MAX_EMAILS_PER_DAY[State.UNMATCHED]
    assert count_emails(context, cases) == {"not_found": limit}
    assert count_emails(context, other_cases) == {"not_found": 1}
    move_emails_back_a_day(context)
    assert count_emails(context, request_refunds(context, a_recent_purchase(email="Stranger@example.com"))) == {
        "not_found": 1
    }


def test_a_withdrawal_above_the_daily_limit_is_accepted_but_its_email_waits(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records)
    purchase = a_recent_purchase(email="stranger@example.com")

    def send_withdrawal() -> UUID:
        return declare(
            context.records, submission(a_request(purchase), Channel.WEB), name="Ada", statement="I withdraw."
        )[0].id

    cases = [send_withdrawal() for _ in range(DECLARATIONS_A_DAY + 2)]
    assert count_emails(context, cases) == {"withdrawal_received": len(cases)}
    with context.records.work() as work:
        hours_until_due = [
            round(row.hours)
            for row in work.run(
                "select greatest(extract(epoch from claimed_until - now()), 0) / 3600 as hours"
                " from case_emails order by created_at"
            )
        ]
        assert hours_until_due == [0] * DECLARATIONS_A_DAY + [1, 2]
        assert len(work.case_emails.claim(cases, seconds=1)) == DECLARATIONS_A_DAY


class Row(NamedTuple):
    """One refund request. ``behaviour`` is what the provider does. ``label`` is the expected state of the case."""

    email: str
    card: str
    behaviour: str
    label: str


TRACE = (
    Row("ada@example.com", "card-1", "ok", "refunded"),
    Row("grace@example.com", "card-2", "ok", "refunded"),  # another customer
    Row("ada@example.com", "card-3", "pending", "refund_pending"),  # Ada's second refund; it is not paid yet
    Row("ada@example.com", "card-4", "ok", "with_support"),  # Ada's third request; her pending refund counts
    Row("ADA@Example.com", "card-5", "ok", "with_support"),  # another spelling of Ada's address
    Row("eve@example.com", "card-1", "ok", "refunded"),  # another address, and the second refund to card-1
    Row("mallory@example.com", "card-1", "ok", "with_support"),  # a third address, and the third request for card-1
    Row("frank@example.com", "card-3", "ok", "refunded"),
    Row("gina@example.com", "card-3", "ok", "with_support"),  # card-3 already has two refunds: Ada's and Frank's
    Row("grace@example.com", "card-2", "ok", "refunded"),
    Row("grace@example.com", "card-6", "ok", "with_support"),
    Row("mallory@example.com", "card-7", "ok", "refunded"),  # Mallory's first request was not refunded
)
"""Requests in the order in which they are sent. The seller allows two automatic refunds in thirty days."""


def test_each_case_above_the_serial_limit_goes_to_support(context: WorkerContext) -> None:
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    states = []
    for line in TRACE:
        purchase = _provider_fixtures.a_charged_purchase(line.behaviour, email=line.email, instrument=line.card)
        store_seller_and_purchases(context.records, purchase, seller=seller)
        (case,) = ids_of(accept(context.records, [a_submission(purchase)]))
        with context.records.work() as work:
            evaluate(work, context, work.cases.lock([case], state=State.RECEIVED))
        execute(context, [case])
        states.append(str(state_of(context.records, case)))
        assert (reason_codes_of(context.records, case) == ["serial_refunds"]) == (line.label == "with_support")
    assert states == [line.label for line in TRACE]

"""Refunds that a person must approve at the provider, inquiries of banks, and chargebacks that nobody has reported."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from config.signed_links import Purpose
from domain.policies import Category
from tests.integration._shop_fixtures import Shop, a_charge
from tests.sample_data import NOON
from tests.services import eventually
from worker.reconciliation.run import reconcile_all

PERIOD = timedelta(days=8)


def approval_requests(shop: Shop) -> int:
    return int(httpx.get(f"{shop.settings.sandbox_url}/v1/summary").json()["approval_requests"])


def operations_of(shop: Shop, case: UUID) -> list[tuple[str, int]]:
    """Return the status of each operation of a case, and how often it was sent."""
    with shop.records.work() as work:
        return [
            (operation.status.value, operation.sends) for operation in work.refund_operations.for_cases([case])[case]
        ]


def a_case_that_waits_for_approval(shop: Shop, behaviour: str = "approval") -> tuple[UUID, str]:
    charge = shop.tell("MB-2026-0417", charge=a_charge(behaviour))
    before = approval_requests(shop)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), approval_requests(shop)) == ("waiting_for_approval", before + 1)
    return case, charge


# Approvals


@pytest.mark.parametrize("polls", [0, 1, 5])
def test_a_refund_waits_for_its_approval_under_one_key(shop: Shop, polls: int) -> None:
    case, charge = a_case_that_waits_for_approval(shop)
    requests = approval_requests(shop)
    for _ in range(polls):
        shop.process_again()

    def is_refunded() -> bool:
        shop.process_again()
        return shop.state(case) == "refunded"

    eventually(is_refunded)
    assert (approval_requests(shop), operations_of(shop, case)) == (requests, [("paid", 1)])
    assert shop.refunds(charge) == [(4900, "succeeded")]
    assert shop.purchase("MB-2026-0417").refunded == 4900
    assert shop.open_tasks() == []


def test_a_webhook_completes_a_refund_that_waited_for_its_approval(shop: Shop) -> None:
    case, charge = a_case_that_waits_for_approval(shop)
    answer = {"charge": charge}
    eventually(lambda: shop.refunds(charge) == [(4900, "succeeded")])
    (refund,) = httpx.get(f"{shop.settings.sandbox_url}/v1/refunds", params=answer).json()["data"]
    shop.notify("refund.updated", refund)
    assert (shop.state(case), operations_of(shop, case)) == ("refunded", [("paid", 1)])


def test_an_approval_that_is_denied_goes_to_support_and_is_not_requested_again(shop: Shop) -> None:
    case, charge = a_case_that_waits_for_approval(shop, "denied")
    requests = approval_requests(shop)

    def is_decided() -> bool:
        shop.process_again()
        return shop.state(case) != "waiting_for_approval"

    eventually(is_decided)
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["refund_cancelled"])
    for _ in range(3):
        shop.process_again()
    assert (approval_requests(shop), operations_of(shop, case)) == (requests, [("failed", 1)])
    assert shop.purchase("MB-2026-0417").refunded == 0
    assert not any("bank returned" in mail for mail in shop.mails())
    assert [status for _, status in shop.refunds(charge)] in ([], ["canceled"])


def test_a_customer_reads_that_the_refund_waits_for_an_approval(shop: Shop) -> None:
    case, _ = a_case_that_waits_for_approval(shop)
    assert "Your refund is waiting for approval" in shop.page(Purpose.STATUS, case)


def test_a_second_request_while_a_refund_waits_for_its_approval_is_a_duplicate(shop: Shop) -> None:
    case, _ = a_case_that_waits_for_approval(shop)
    requests = approval_requests(shop)
    second = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.state(second)) == ("waiting_for_approval", "duplicate")
    assert approval_requests(shop) == requests


# Inquiries


def with_inquiries(shop: Shop) -> None:
    """Give the seller a policy that refunds payments in spite of an inquiry."""
    with shop.records.work() as work:
        work.sellers.new_policy(
            "aurora", Category.WITHIN_DAYS, days=30, refunds_inquiries=True, in_force_from=NOON - timedelta(days=100)
        )


def open_inquiry(shop: Shop, how: str) -> tuple[str, dict[str, Any] | None]:
    """Tell a purchase whose payment has an inquiry. Return the charge, and the inquiry if it is opened by its own call."""
    charge = shop.tell("MB-2026-0417", charge=a_charge("inquiry" if how == "by the behaviour" else "ok"))
    if how == "by the behaviour":
        return charge, None
    inquiry = shop.set_dispute(charge, "inquiry")
    if how == "by a webhook":
        shop.notify("dispute.inquiry", inquiry)
    if how == "by the reconciliation":
        reconcile_all(shop.context, PERIOD)
        shop.process()
    return charge, inquiry


HOW = ["by the behaviour", "by a webhook", "by the reconciliation", "by nobody"]


@pytest.mark.parametrize("how", HOW)
def test_an_inquiry_stops_the_refund_and_becomes_a_task_with_its_deadline(shop: Shop, how: str) -> None:
    charge, _ = open_inquiry(shop, how)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.refunds(charge)) == ("with_support", ["inquiry_open"], [])
    (task,) = shop.tasks("inquiry")
    assert (task["charge"], task["seller"]) == (charge, "aurora")
    assert task["respond_by"], "support must know until when the bank waits"


@pytest.mark.parametrize("how", HOW)
def test_a_policy_may_refund_a_payment_in_spite_of_an_inquiry(shop: Shop, how: str) -> None:
    with_inquiries(shop)
    charge, _ = open_inquiry(shop, how)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])
    assert shop.tasks("refund_and_dispute") == []


@pytest.mark.parametrize("how", ["by a webhook", "by the reconciliation"])
def test_an_inquiry_that_becomes_a_dispute_after_the_refund_is_a_task(shop: Shop, how: str) -> None:
    with_inquiries(shop)
    charge, inquiry = open_inquiry(shop, "by a webhook")
    assert inquiry
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "refunded"
    dispute = shop.set_dispute(charge, "open", inquiry["id"])
    if how == "by a webhook":
        shop.notify("dispute.opened", dispute)
    for _ in range(2):
        reconcile_all(shop.context, PERIOD)
        shop.process()
    (task,) = shop.tasks("refund_and_dispute")
    assert (task["charge"], task["dispute"], task["seller"]) == (charge, inquiry["id"], "aurora")


@pytest.mark.parametrize("policy_refunds", [False, True])
def test_an_inquiry_that_becomes_a_dispute_before_the_refund_stops_the_refund(shop: Shop, policy_refunds: bool) -> None:
    if policy_refunds:
        with_inquiries(shop)
    charge, inquiry = open_inquiry(shop, "by a webhook")
    assert inquiry
    shop.notify("dispute.opened", shop.set_dispute(charge, "open", inquiry["id"]))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.refunds(charge)) == ("with_support", ["dispute_open"], [])


@pytest.mark.parametrize("how", HOW[1:])
def test_a_request_is_judged_again_when_the_inquiry_was_closed(shop: Shop, how: str) -> None:
    charge, inquiry = open_inquiry(shop, how)
    assert inquiry
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "with_support"
    shop.notify("dispute.won", shop.set_dispute(charge, "won", inquiry["id"]))
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


# Disputes


@pytest.mark.parametrize("how", ["by a webhook", "by the reconciliation"])
def test_a_request_is_judged_again_when_the_dispute_was_won(shop: Shop, how: str) -> None:
    charge = shop.tell("MB-2026-0417")
    dispute = shop.set_dispute(charge, "open")
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["dispute_open"])
    won = shop.set_dispute(charge, "won", dispute["id"])
    if how == "by a webhook":
        shop.notify("dispute.won", won)
    else:
        reconcile_all(shop.context, PERIOD)
        shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize(
    ("behaviour", "told"), [("chargeback", None), ("ok", "open"), ("lost", None), ("disputed", None), ("ok", "lost")]
)
def test_a_chargeback_that_nobody_reported_is_seen_before_the_refund(
    shop: Shop, behaviour: str, told: str | None
) -> None:
    charge = shop.tell("MB-2026-0417", charge=a_charge(behaviour))
    if told:
        dispute = shop.set_dispute(charge, "open")
        if told == "lost":
            shop.set_dispute(charge, "lost", dispute["id"])
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("with_support", [])
    assert shop.reasons(case) in (["dispute_open"], ["dispute_lost"])
    assert shop.purchase("MB-2026-0417").dispute == ("lost" if "lost" in {behaviour, told} else "open")


def test_a_dispute_that_was_won_before_the_request_does_not_count(shop: Shop) -> None:
    charge = shop.tell("MB-2026-0417", charge=a_charge("won"))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize("status", ["open", "lost"])
@pytest.mark.parametrize("behaviour", ["ok", "pending"])
def test_a_chargeback_after_our_refund_that_nobody_reported_is_a_task(shop: Shop, behaviour: str, status: str) -> None:
    charge = shop.tell("MB-2026-0417", charge=a_charge(behaviour))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    dispute = shop.set_dispute(charge, "open")
    if status == "lost":
        shop.set_dispute(charge, "lost", dispute["id"])
    for _ in range(3):
        reconcile_all(shop.context, PERIOD)
        shop.process()
    (task,) = shop.tasks("refund_and_dispute")
    assert (task["charge"], task["dispute"], task["dispute_is"]) == (charge, dispute["id"], status)
    assert shop.state(case) in {"refunded", "refund_pending"}
    assert len(shop.refunds(charge)) == 1


def test_a_chargeback_of_one_payment_of_an_order_stops_the_whole_order(shop: Shop) -> None:
    charges = [a_charge(), a_charge()]
    payments = [{"provider": "sandbox", "charge": charge, "amount": 2450, "currency": "EUR"} for charge in charges]
    shop.tell("MB-2026-0417", amount=None, charge=None, payments=payments)
    shop.notify("dispute.opened", shop.set_dispute(charges[1], "open"))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["dispute_open"])
    assert [shop.refunds(charge) for charge in charges] == [[], []]

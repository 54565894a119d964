"""Refunds that a person makes at the provider settle waiting cases and are added up. A refund that failed counts no more."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration._provider_fixtures import assert_audit_is_clean
from tests.integration._shop_fixtures import Shop, a_body, a_charge, several_payments
from tests.services import eventually
from worker.reconciliation.run import reconcile_all

PERIOD = timedelta(minutes=2)
"""All tests share one provider. A refund that fails soon must not wait until a long list of earlier refunds is read."""


def by_webhook(shop: Shop, charge: str, amount: int, **fields: Any) -> None:
    shop.refund_by_hand(charge, amount, **fields)


def by_reconciliation(shop: Shop, charge: str, amount: int, **fields: Any) -> None:
    """Make the refund without a webhook. The daily reconciliation finds the refund."""
    body = {"charge": charge, "amount": amount, "currency": "EUR", **fields}
    shop.post_to_sandbox("/v1/dashboard/refunds", body)
    reconcile(shop)


def reconcile(shop: Shop) -> None:
    reconcile_all(shop.context, PERIOD)
    shop.process()


Refund = Callable[..., None]
in_each_way = pytest.mark.parametrize("refund", [by_webhook, by_reconciliation])


def a_case_with_support(shop: Shop, amount: int = 4900) -> tuple[UUID, str]:
    """Return a case that waits with support, because the provider declined the refund, and the charge."""
    charge = shop.register(a_charge("declined"), amount)
    shop.tell("MB-2026-0417", charge=charge, amount=amount, details={"licence_key": "ADA1-8150-ENGN"})
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["provider_declined"])
    assert len(shop.open_tasks()) == 1
    return case, charge


@in_each_way
@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (1, 4899), (1000, 1000, 2900)])
def test_refunds_by_hand_settle_the_case_that_waits_with_support(
    shop: Shop, refund: Refund, parts: tuple[int, ...]
) -> None:
    case, charge = a_case_with_support(shop)
    for part in parts:
        assert shop.state(case) == "with_support"
        refund(shop, charge, part)
    assert shop.state(case) == "refunded"
    assert shop.purchase("MB-2026-0417").refunded == 4900
    assert ("aurora", ["provider_declined"]) not in shop.open_tasks()
    assert not shop.keeps_details("MB-2026-0417")
    for _ in range(2):
        reconcile(shop)
    assert shop.purchase("MB-2026-0417").refunded == 4900
    assert shop.events(case).count("externally_refunded") == 1
    assert_audit_is_clean(shop.records)


@in_each_way
def test_a_refund_that_settles_a_case_needs_no_task_and_sends_one_email(shop: Shop, refund: Refund) -> None:
    case, charge = a_case_with_support(shop)
    before = len(shop.mails())
    refund(shop, charge, 4900)
    assert (shop.state(case), shop.open_tasks()) == ("refunded", [])
    assert len(shop.mails()) == before + 1
    assert "€49.00" in shop.mails()[-1]


@in_each_way
@pytest.mark.parametrize("part", [1, 2000, 4899])
def test_a_part_settles_nothing(shop: Shop, refund: Refund, part: int) -> None:
    case, charge = a_case_with_support(shop)
    refund(shop, charge, part)
    assert (shop.state(case), shop.purchase("MB-2026-0417").refunded) == ("with_support", part)
    assert shop.keeps_details("MB-2026-0417")
    (task,) = shop.tasks("unexpected_refund")
    assert (task["amount"], task["seller"]) == (part, "aurora")


@in_each_way
@pytest.mark.parametrize("parts", [(4900,), (2000, 2900)])
def test_a_settled_case_goes_back_to_support_if_a_refund_by_hand_fails(
    shop: Shop, refund: Refund, parts: tuple[int, ...]
) -> None:
    case, charge = a_case_with_support(shop)
    for part in parts[:-1]:
        refund(shop, charge, part)
    refund(shop, charge, parts[-1], becomes="failed")
    assert shop.state(case) == "refunded"
    eventually(lambda: (parts[-1], "failed") in shop.refunds(charge))
    reconcile(shop)
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["returned_by_bank"])
    assert shop.purchase("MB-2026-0417").refunded == sum(parts[:-1])
    assert shop.keeps_details("MB-2026-0417")
    assert ("aurora", ["returned_by_bank"]) in shop.open_tasks()
    reconcile(shop)
    assert shop.events(case).count("provider_failed_late") == 1


@in_each_way
@pytest.mark.parametrize("amount", [4900, 2000])
def test_a_refund_that_failed_at_the_bank_counts_no_more(shop: Shop, refund: Refund, amount: int) -> None:
    charge = shop.register(a_charge())
    shop.tell("MB-2026-0417", charge=charge)
    refund(shop, charge, amount, becomes="failed")
    assert shop.purchase("MB-2026-0417").refunded == amount
    eventually(lambda: shop.refunds(charge) == [(amount, "failed")])
    reconcile(shop)
    assert shop.purchase("MB-2026-0417").refunded == 0
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "refunded"


@pytest.mark.parametrize(("told", "then"), [(4900, 0), (1000, 0), (1000, 4900)])
def test_the_seller_decides_about_the_refunds_that_only_the_seller_tells(shop: Shop, told: int, then: int) -> None:
    shop.put("MB-2026-0417", **a_body(refunded=told))
    assert shop.purchase("MB-2026-0417").refunded == told
    shop.put("MB-2026-0417", refunded=then)
    assert shop.purchase("MB-2026-0417").refunded == then


@in_each_way
def test_what_the_seller_tells_does_not_hide_a_refund_that_the_provider_shows(shop: Shop, refund: Refund) -> None:
    charge = shop.register(a_charge())
    shop.tell("MB-2026-0417", charge=charge, refunded=2000)
    refund(shop, charge, 2000)
    assert shop.purchase("MB-2026-0417").refunded == 2000, "the seller and the provider tell of the same refund"
    shop.put("MB-2026-0417", refunded=0)
    assert shop.purchase("MB-2026-0417").refunded == 2000


@in_each_way
@pytest.mark.parametrize("amount", [4900, 1000])
def test_a_refund_by_hand_before_the_request_goes_to_support(shop: Shop, refund: Refund, amount: int) -> None:
    charge = shop.register(a_charge())
    shop.tell("MB-2026-0417", charge=charge)
    refund(shop, charge, amount)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["already_refunded"])
    assert shop.refunds(charge) == [(amount, "succeeded")]


@in_each_way
@pytest.mark.parametrize("amount", [4900, 1000])
def test_a_refund_by_hand_while_the_customer_confirms_goes_to_support(shop: Shop, refund: Refund, amount: int) -> None:
    charge = shop.register(a_charge())
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.waiting_case("MB-2026-0417")
    refund(shop, charge, amount)
    shop.confirm(case)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["already_refunded"])
    assert shop.refunds(charge) == [(amount, "succeeded")]


@pytest.mark.parametrize("amount", [4900, 4899, 1])
def test_a_refund_by_hand_that_nobody_reported_is_seen_before_ours(shop: Shop, amount: int) -> None:
    charge = shop.register(a_charge())
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.waiting_case("MB-2026-0417")
    shop.post_to_sandbox("/v1/dashboard/refunds", {"charge": charge, "amount": amount, "currency": "EUR"})
    shop.confirm(case)
    shop.process()
    assert shop.reasons(case) == ["refunded_elsewhere"]
    assert shop.state(case) == ("refunded" if amount == 4900 else "with_support"), "a whole refund settles the case"
    assert shop.refunds(charge) == [(amount, "succeeded")]
    assert shop.purchase("MB-2026-0417").refunded == amount


@in_each_way
def test_a_refund_by_hand_after_ours_is_a_task_and_is_added(shop: Shop, refund: Refund) -> None:
    charge = shop.register(a_charge(), 7800)
    for reference, amount in (("MB-1", 4900), ("MB-2", 2900)):
        shop.tell(reference, charge=charge, amount=amount)
    case = shop.ask("MB-1", trusted=True)
    shop.process()
    refund(shop, charge, 2900)
    assert shop.state(case) == "refunded"
    (task,) = shop.tasks("unexpected_refund")
    assert (task["amount"], task["charge"]) == (2900, charge)
    assert shop.purchase("MB-1").payments[0].refunded == 7800


@in_each_way
def test_a_case_is_settled_only_when_each_payment_was_refunded(shop: Shop, refund: Refund) -> None:
    parts = [
        {"provider": "sandbox", "charge": shop.register(a_charge("declined"), sum_), "amount": sum_}
        for sum_ in (3000, 7000)
    ]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    for part in parts:
        assert shop.state(case) == "with_support"
        refund(shop, part["charge"], part["amount"])
    assert (shop.state(case), shop.purchase("MB-2026-0417").refunded) == ("refunded", 10_000)


@in_each_way
def test_the_rest_of_an_order_that_we_refunded_in_part_is_settled_by_hand(shop: Shop, refund: Refund) -> None:
    charges = [shop.register(a_charge(), 3000), shop.register(a_charge("declined"), 7000)]
    parts = [
        {"provider": "sandbox", "charge": charge, "amount": sum_}
        for charge, sum_ in zip(charges, (3000, 7000), strict=True)
    ]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charges[0])) == ("with_support", [(3000, "succeeded")])
    refund(shop, charges[1], 7000)
    assert (shop.state(case), shop.open_tasks()) == ("refunded", [])


@in_each_way
def test_the_duplicate_payment_of_a_double_charge_is_settled_by_hand(shop: Shop, refund: Refund) -> None:
    parts: list[dict[str, Any]] = [
        {
            "provider": "sandbox",
            "charge": shop.register(a_charge("declined")),
            "amount": 4900,
            "duplicate": is_duplicate,
        }
        for is_duplicate in (False, True)
    ]
    shop.put("MB-2026-0417", **several_payments(*parts, details={"licence_key": "ADA1-8150-ENGN"}))
    case = shop.ask("MB-2026-0417", trusted=True, reason="duplicate_order")
    shop.process()
    assert shop.state(case) == "with_support"
    refund(shop, parts[1]["charge"], 4900)
    assert shop.state(case) == "refunded"
    assert shop.keeps_details("MB-2026-0417")


@in_each_way
def test_a_refund_by_hand_of_one_purchase_of_a_cart_settles_no_case_of_the_other(shop: Shop, refund: Refund) -> None:
    charge = shop.register(a_charge("declined"), 7800)
    for reference, amount in (("MB-1", 4900), ("MB-2", 2900)):
        shop.tell(reference, charge=charge, amount=amount)
    cases = [shop.ask(reference, trusted=True) for reference in ("MB-1", "MB-2")]
    shop.process()
    assert [shop.state(case) for case in cases] == ["with_support", "with_support"]
    refund(shop, charge, 2900)
    assert [shop.state(case) for case in cases] == ["with_support", "with_support"]
    refund(shop, charge, 4900)
    assert [shop.state(case) for case in cases] == ["refunded", "refunded"]


@pytest.mark.parametrize("behaviour", ["latefail", "pendingfail"])
def test_our_refund_that_fails_late_without_a_webhook_is_found(shop: Shop, behaviour: str) -> None:
    charge = shop.register(a_charge(behaviour))
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) in {"refunded", "refund_pending"}
    eventually(lambda: shop.refunds(charge) == [(4900, "failed")])
    reconcile(shop)
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["returned_by_bank"])
    assert shop.purchase("MB-2026-0417").refunded == 0


@in_each_way
def test_a_refund_by_hand_after_our_refund_failed_settles_the_case(shop: Shop, refund: Refund) -> None:
    charge = shop.register(a_charge("latefail"))
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    eventually(lambda: shop.refunds(charge) == [(4900, "failed")])
    reconcile(shop)
    assert shop.state(case) == "with_support"
    refund(shop, charge, 4900)
    assert (shop.state(case), shop.purchase("MB-2026-0417").refunded) == ("refunded", 4900)


# A refund by hand of one purchase of a cart


def a_cart(shop: Shop, *amounts: int) -> tuple[str, UUID]:
    """Tell purchases that one payment paid. Return the charge, and the case about the first purchase, which support has."""
    charge = shop.register(a_charge("declined"), sum(amounts))
    for number, amount in enumerate(amounts, start=1):
        shop.tell(f"MB-{number}", charge=charge, amount=amount)
    case = shop.ask("MB-1", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["provider_declined"])
    return charge, case


@in_each_way
@pytest.mark.parametrize("amounts", [(4900, 2900), (4900, 4900), (1, 4900), (4900, 2900, 1000)])
def test_a_refund_by_hand_of_exactly_the_purchase_of_the_only_waiting_case_settles_it(
    shop: Shop, refund: Refund, amounts: tuple[int, ...]
) -> None:
    charge, case = a_cart(shop, *amounts)
    refund(shop, charge, amounts[0])
    assert (shop.state(case), shop.open_tasks()) == ("refunded", [])
    assert f"€{amounts[0] / 100:.2f}" in shop.mails()[-1]
    reconcile(shop)
    assert (shop.events(case).count("externally_refunded"), shop.open_tasks()) == (1, [])
    assert_audit_is_clean(shop.records)


@in_each_way
@pytest.mark.parametrize("parts", [(2000, 2900), (4899, 1)])
def test_parts_by_hand_settle_the_purchase_of_a_cart(shop: Shop, refund: Refund, parts: tuple[int, ...]) -> None:
    charge, case = a_cart(shop, 4900, 29000)
    for part in parts:
        assert shop.state(case) == "with_support"
        refund(shop, charge, part)
    assert shop.state(case) == "refunded"


@in_each_way
@pytest.mark.parametrize("amount", [2900, 4899, 4901, 1])
def test_a_refund_by_hand_of_another_amount_than_the_purchase_of_a_cart_settles_nothing(
    shop: Shop, refund: Refund, amount: int
) -> None:
    charge, case = a_cart(shop, 4900, 2900)
    refund(shop, charge, amount)
    assert shop.state(case) == "with_support"


@in_each_way
def test_a_refund_by_hand_before_the_request_settles_no_case_of_a_cart(shop: Shop, refund: Refund) -> None:
    charge = shop.register(a_charge(), 7800)
    for reference, amount in (("MB-1", 4900), ("MB-2", 2900)):
        shop.tell(reference, charge=charge, amount=amount)
    refund(shop, charge, 4900)
    case = shop.ask("MB-1", trusted=True)
    shop.process()
    reconcile(shop)
    assert shop.state(case) == "with_support"


@in_each_way
def test_a_refund_by_hand_settles_no_case_if_the_seller_reports_a_refund_of_the_other_purchase(
    shop: Shop, refund: Refund
) -> None:
    charge, case = a_cart(shop, 4900, 4900)
    shop.put("MB-2", refunded=4900)
    refund(shop, charge, 4900)
    assert shop.state(case) == "with_support"


@in_each_way
def test_each_purchase_of_a_cart_is_settled_by_its_own_refund(shop: Shop, refund: Refund) -> None:
    charge, first = a_cart(shop, 4900, 2900, 1000)
    refund(shop, charge, 4900)
    second = shop.ask("MB-2", trusted=True)
    shop.process()
    assert (shop.state(first), shop.state(second)) == ("refunded", "with_support")
    refund(shop, charge, 2900, becomes="failed")
    assert (shop.state(first), shop.state(second)) == ("refunded", "refunded")
    eventually(lambda: (2900, "failed") in shop.refunds(charge))
    reconcile(shop)
    assert (shop.state(first), shop.state(second)) == ("refunded", "with_support")


@in_each_way
@pytest.mark.parametrize("parts", [(7800,), (4900, 2900), (7799, 1)])
def test_a_failed_refund_of_a_cart_reopens_every_case_that_it_settled(
    shop: Shop, refund: Refund, parts: tuple[int, ...]
) -> None:
    """The second order was paid with the cart's payment and with another payment, which support refunds, too."""
    charge, first = a_cart(shop, 4900, 2900)
    other = shop.register(a_charge("declined"), 1000)
    further = {"provider": "sandbox", "charge": other, "amount": 1000}
    shop.put("MB-2", payments=[{"provider": "sandbox", "charge": charge, "amount": 2900}, further])
    second = shop.ask("MB-2", trusted=True)
    shop.process()
    for part in parts[1:]:
        refund(shop, charge, part)
    refund(shop, charge, parts[0], becomes="failed")
    assert (shop.state(first), shop.state(second)) == ("refunded", "with_support")
    refund(shop, other, 1000)
    assert (shop.state(first), shop.state(second)) == ("refunded", "refunded")
    eventually(lambda: (parts[0], "failed") in shop.refunds(charge))
    reconcile(shop)
    assert (shop.state(first), shop.state(second)) == ("with_support", "with_support")
    assert_audit_is_clean(shop.records)

"""An import says which purchases could never be refunded automatically, and why."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.policies import Category, Policy
from producers.never_automatic import NeverAutomatic
from tests.sample_data import a_policy

CONNECTED = {"stripe", "paypal", "mollie", "adyen", "braintree", "stripe:aurora"}
PURCHASE: dict[str, Any] = {
    "seller": "aurora",
    "reference": "MB-1",
    "email": "ada@example.com",
    "product": "Aurora Photo 4",
    "amount": 4900,
    "currency": "EUR",
    "method": "credit_card",
    "provider": "stripe",
    "charge": "ch_3PqL",
    "purchased_at": "2026-06-01T12:00:00+02:00",
}


def reason(changes: dict[str, Any], *policies: Policy) -> str | None:
    return NeverAutomatic(CONNECTED, {"aurora": policies or (a_policy(),)}).reason(PURCHASE | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"charge": "py_3PqL"},
        {"charge": "pi_3PqL"},
        {"provider": "stripe:aurora"},
        {"provider": "paypal", "method": "paypal", "charge": "9AB12345CD678901E"},
        {"provider": "mollie", "method": "direct_debit", "charge": "tr_7UhSN1zuXS"},
        {"provider": "adyen", "charge": "8515131751004933"},
        {"provider": "braintree", "charge": "4yv2nq8z"},
        {"dispute": "open", "refunded": 4900},  # these may change
    ],
)
def test_a_sound_purchase_has_no_reason(changes: dict[str, Any]) -> None:
    assert reason(changes) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"provider": "square"}, "The provider 'square' is not connected."),
        ({"provider": "shopify_payments"}, "The provider 'shopify_payments' is not connected."),
        ({"provider": "stripe:other"}, "The provider 'stripe:other' is not connected."),
        ({"method": "klarna"}, "The payment method 'klarna' is not refunded automatically."),
        ({"method": "invoice"}, "The payment method 'invoice' is not refunded automatically."),
        ({"method": "unknown"}, "The payment method 'unknown' is not refunded automatically."),
        ({"currency": "XYZ"}, "The currency 'XYZ' is unknown."),
        ({"currency": "BGN"}, "The currency 'BGN' is unknown."),
        ({"amount": None}, "The amount is unknown."),
        ({"amount": 0}, "The amount is not above zero."),
        ({"amount": -4900}, "The amount is not above zero."),
        ({"charge": "in_1PqL"}, "in_… is an invoice, not a payment."),
        ({"charge": "sub_1PqL"}, "sub_… is a subscription, not a payment."),
        ({"charge": "cs_live_1PqL"}, "cs_… is a checkout session, not a payment."),
        ({"charge": "cus_1PqL"}, "cus_… is a customer, not a payment."),
        ({"charge": "4711"}, "The charge is not the id of a payment at stripe."),
        ({"provider": "paypal", "charge": "I-BW452GLLEP1G"}, "I-… is a subscription, not a payment."),
        ({"provider": "mollie", "charge": "ord_kEn1PlbGa"}, "ord_… is an order, not a payment."),
        ({"purchased_at": "2020-06-01T12:00:00Z"}, "No policy was in force at the purchase."),
        ({"seller": "other"}, "No policy was in force at the purchase."),
    ],
)
def test_a_purchase_that_could_never_be_refunded_has_a_reason(changes: dict[str, Any], sentence: str) -> None:
    assert reason(changes) == sentence


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (a_policy(category=Category.NO_REFUNDS, days=None), "The policy at the purchase allows no refunds."),
        (a_policy(category=Category.APPROVAL_REQUIRED, days=None), "The policy at the purchase requires approval."),
        (
            a_policy(category=Category.IN_HOUSE_SUPPORT, days=None),
            "The policy at the purchase leaves refunds to the seller's own support.",
        ),
        (a_policy(excluded_products=frozenset({"Aurora Photo 4"})), "The policy at the purchase excludes the product."),
        (a_policy(in_force_from=datetime(2026, 6, 2, tzinfo=UTC)), "No policy was in force at the purchase."),
    ],
)
def test_the_policy_at_the_purchase_decides(policy: Policy, sentence: str) -> None:
    assert reason({}, policy) == sentence
    later = a_policy(version=2, in_force_from=datetime(2026, 7, 1, tzinfo=UTC))
    assert reason({}, policy, later) == sentence


def test_the_charge_of_a_renewal_decides_which_policy_counts() -> None:
    policy = a_policy(renewals_excluded=True)
    assert reason({"renewal": True}, policy) == "The policy at the purchase excludes renewals."
    dates = {"purchased_at": "2020-06-01T12:00:00Z", "charged_at": "2026-06-01T12:00:00Z"}
    assert reason({"renewal": True, **dates}) is None
    assert reason({"renewal": False, **dates}) == "No policy was in force at the purchase."


def test_the_methods_of_the_policy_are_refunded_too() -> None:
    assert reason({"method": "klarna"}, a_policy(methods=frozenset({"klarna"}))) is None


@pytest.mark.parametrize("fields", [("dispute",), ("refunded", "details"), ("amount", "currency")])
def test_a_row_that_reports_only_changes_has_no_reason(fields: tuple[str, ...]) -> None:
    row = {"seller": "aurora", "reference": "MB-1", **{name: PURCHASE.get(name) for name in fields if name in PURCHASE}}
    assert NeverAutomatic(CONNECTED, {}).reason(row) is None


def test_one_payment_that_is_refunded_automatically_is_enough() -> None:
    order = {name: PURCHASE[name] for name in ("seller", "reference", "currency", "purchased_at")}
    card = {"provider": "stripe", "charge": "ch_1", "amount": 7000, "method": "credit_card"}
    gift = {"provider": "shop", "charge": "gift 1", "amount": 3000, "method": "gift_card"}
    check = NeverAutomatic(CONNECTED, {"aurora": (a_policy(),)})
    assert check.reason(order | {"payments": [card, gift]}) is None
    assert check.reason(order | {"payments": [gift]}) == "The provider 'shop' is not connected."
    assert check.reason(order | {"payments": [card | {"amount": None}, gift]}) == "The amount is unknown."


def test_a_wrong_column_does_not_fill_the_memory() -> None:
    check = NeverAutomatic(CONNECTED, {"aurora": (a_policy(),)})
    sentences = {check.reason(PURCHASE | {"method": f"customer{number}@example.com"}) for number in range(1_000)}
    assert len(sentences) == 101
    assert "There are too many different reasons. Check the columns of the file." in sentences


@pytest.mark.parametrize(
    "changes", [{"purchased_at": "soon"}, {"purchased_at": "2026-06-01"}, {"payments": ["x"]}, {"payments": "x"}]
)
def test_an_invalid_row_is_no_error(changes: dict[str, Any]) -> None:
    reason(changes)

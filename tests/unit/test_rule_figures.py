"""The figures that support reads with a reason: three requests that break the rule, for each rule."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from domain.eligibility import RULES, EligibilityInput, Escalate, decide
from domain.money import Money
from domain.policies import Category, SerialLimit
from domain.purchases import Dispute
from domain.requests import RefundScope
from tests.sample_data import NOON, a_payment, a_policy, a_purchase, a_seller, a_submitted_request
from tests.unit.test_eligibility import an_input

DAY = timedelta(days=1)
CARD = a_payment(charge="ch_1", provider="stripe")
INVOICE = a_payment(charge="ch_2", provider="mollie", method="invoice")


def refunds(*days: int) -> tuple[object, ...]:
    return tuple(NOON - n * DAY for n in days)


def with_windows(windows: dict[str, int], **changes: object) -> EligibilityInput:
    payments = tuple(a_payment(provider="stripe", charge=charge, **changes) for charge in windows)
    limits = {payment.id: days * DAY for payment, days in zip(payments, windows.values(), strict=True)}
    return replace(an_input(purchase=a_purchase(payments=payments)), provider_windows=limits)


def of_excluded_product(version: int) -> EligibilityInput:
    return an_input(policy=a_policy(version=version, excluded_products=frozenset({"Aurora Photo 4"})))


def of_renewal(version: int) -> EligibilityInput:
    purchase = a_purchase(renewal=True, charged_at=NOON - version * DAY)
    return an_input(purchase=purchase, policy=a_policy(version=version, renewals_excluded=True))


FIGURES: dict[str, Collection[tuple[Callable[[], EligibilityInput], str]]] = {
    "full_refund": [
        (
            lambda: an_input(request=a_submitted_request(refund_scope=RefundScope.PARTIAL)),
            "The customer asked for a partial refund.",
        ),
        (
            lambda: an_input(request=a_submitted_request(refund_scope=RefundScope.VAT)),
            "The customer asked for a refund of the VAT.",
        ),
        (
            lambda: an_input(request=a_submitted_request(refund_scope=RefundScope.VAT, trusted=True)),
            "The customer asked for a refund of the VAT.",
        ),
    ],
    "self_service_on": [
        (lambda: an_input(seller=a_seller(self_service=False)), "Aurora Software (aurora)."),
        (lambda: an_input(seller=a_seller(self_service=False, name="Paperboat", id="p")), "Paperboat (p)."),
        (lambda: an_input(seller=a_seller(self_service=False, name="花", id="hana")), "花 (hana)."),
    ],
    "policy_allows": [
        (
            lambda: an_input(policy=None, first_policy_at=NOON + DAY),
            f"Purchased on {NOON - 3 * DAY:%Y-%m-%d}; the first policy is in force from {NOON + DAY:%Y-%m-%d}.",
        ),
        (lambda: an_input(policy=None), f"Purchased on {NOON - 3 * DAY:%Y-%m-%d}; the seller has no policy."),
        (lambda: an_input(policy=a_policy(version=4, category=Category.NO_REFUNDS, days=None)), "Policy version 4."),
        (
            lambda: an_input(
                purchase=a_purchase(consumer=False),
                policy=a_policy(version=2, category=Category.STATUTORY_WITHDRAWAL, days=None),
            ),
            "Policy version 2; business customer.",
        ),
    ],
    "method_is_automatic": [
        (
            lambda: an_input(purchase=a_purchase(method="invoice")),
            "Paid with invoice; policy version 1 adds no method.",
        ),
        (
            lambda: an_input(
                purchase=a_purchase(payments=(a_payment(method="invoice"), a_payment(method="cash"))),
                policy=a_policy(version=2, methods=frozenset({"wire_transfer", "crypto"})),
            ),
            "Paid with cash, invoice; policy version 2 adds crypto, wire_transfer.",
        ),
        (lambda: an_input(purchase=a_purchase(method="cash"), policy=None), "Paid with cash."),
    ],
    "within_window": [
        (
            lambda: an_input(purchase=a_purchase(purchased_at=NOON - 45 * DAY)),
            "45 days after the purchase; policy version 1 allows 30.",
        ),
        (
            lambda: an_input(purchase=a_purchase(purchased_at=NOON - DAY), policy=a_policy(version=7, days=0)),
            "1 day after the purchase; policy version 7 allows 0.",
        ),
        (
            lambda: an_input(purchase=a_purchase(purchased_at=NOON - 31 * DAY, renewal=True)),
            "31 days after the charge of the renewal; policy version 1 allows 30.",
        ),
        (
            lambda: an_input(
                request=a_submitted_request(received_at=NOON.astimezone(UTC)),
                purchase=a_purchase(purchased_at=(NOON + DAY).astimezone(UTC)),
            ),
            (
                f"Purchased at {(NOON + DAY).astimezone(UTC):%Y-%m-%d %H:%M %Z}; "
                f"requested at {NOON.astimezone(UTC):%Y-%m-%d %H:%M %Z}."
            ),
        ),
    ],
    "untouched": [
        (lambda: an_input(purchase=a_purchase(refunded=1)), "0.01 EUR of 49.00 EUR refunded."),
        (
            lambda: an_input(purchase=a_purchase(payments=(replace(CARD, refunded=4900), INVOICE))),
            "49.00 EUR of 98.00 EUR refunded.",
        ),
        (
            lambda: an_input(purchase=a_purchase(refunded=500, amount=500, currency="JPY")),
            "500 JPY of 500 JPY refunded.",
        ),
    ],
    "undisputed": [
        (
            lambda: an_input(purchase=a_purchase(payments=(replace(CARD, dispute=Dispute.OPEN), INVOICE))),
            "ch_1 at stripe.",
        ),
        (
            lambda: an_input(
                purchase=a_purchase(
                    payments=(replace(CARD, dispute=Dispute.LOST), replace(INVOICE, dispute=Dispute.LOST))
                )
            ),
            "ch_1 at stripe, ch_2 at mollie.",
        ),
        (lambda: an_input(purchase=a_purchase(dispute=Dispute.INQUIRY)), "Reported by the seller."),
    ],
    "amount_is_sound": [
        (
            lambda: an_input(purchase=a_purchase(payments=(replace(CARD, amount=0),))),
            "ch_1 at stripe: 0.00 EUR.",
        ),
        (
            lambda: an_input(purchase=a_purchase(payments=(replace(CARD, amount=None), INVOICE))),
            "ch_1 at stripe: unknown amount EUR; ch_2 at mollie: 49.00 EUR.",
        ),
        (
            lambda: an_input(purchase=a_purchase(payments=(replace(CARD, currency="EURO"),))),
            "ch_1 at stripe: 4900 EURO.",
        ),
        (
            lambda: an_input(purchase=a_purchase(payments=(replace(CARD, currency=None),))),
            "ch_1 at stripe: 4900 in unknown currency.",
        ),
    ],
    "product_not_excepted": [
        (
            partial(of_excluded_product, version),
            f"Aurora Photo 4; excluded by policy version {version}.",
        )
        for version in (1, 2, 3)
    ],
    "renewal_not_excepted": [
        (
            partial(of_renewal, days),
            f"Renewed on {NOON - days * DAY:%Y-%m-%d}; policy version {days}.",
        )
        for days in (1, 2, 3)
    ],
    "under_ceiling": [
        (
            lambda: an_input(purchase=a_purchase(amount=12000), seller=a_seller(ceiling=Money(10000, "EUR"))),
            "120.00 EUR; the seller's limit is 100.00 EUR.",
        ),
        (
            lambda: an_input(purchase=a_purchase(amount=1), seller=a_seller(ceiling=Money(0, "EUR"))),
            "0.01 EUR; the seller's limit is 0.00 EUR.",
        ),
        (
            lambda: an_input(seller=a_seller(ceiling=Money(500, "JPY"))),
            "49.00 EUR; the seller's limit is 500 JPY.",
        ),
    ],
    "provider_window_open": [
        (
            lambda: with_windows({"ch_1": 180}, charged_at=NOON - 181 * DAY),
            f"ch_1 at stripe: charged on {NOON - 181 * DAY:%Y-%m-%d}, refundable for 180 days.",
        ),
        (
            lambda: with_windows({"ch_1": 1, "ch_2": 365}, charged_at=NOON - 2 * DAY),
            f"ch_1 at stripe: charged on {NOON - 2 * DAY:%Y-%m-%d}, refundable for 1 day.",
        ),
        (
            lambda: with_windows({"ch_1": 1, "ch_2": 2}, charged_at=NOON - 9 * DAY),
            (
                f"ch_1 at stripe: charged on {NOON - 9 * DAY:%Y-%m-%d}, refundable for 1 day; "
                f"ch_2 at stripe: charged on {NOON - 9 * DAY:%Y-%m-%d}, refundable for 2 days."
            ),
        ),
    ],
    "not_serial": [
        (
            lambda: an_input(
                seller=a_seller(serial_limit=SerialLimit(count=3, within=30 * DAY)),
                refunds_of_customer=refunds(1, 2, 3, 40),
            ),
            "3 automatic refunds in the last 30 days; the limit is 3.",
        ),
        (
            lambda: an_input(
                seller=a_seller(serial_limit=SerialLimit(count=1, within=DAY)), refunds_of_customer=refunds(0)
            ),
            "1 automatic refund in the last 1 day; the limit is 1.",
        ),
        (
            lambda: an_input(seller=a_seller(serial_limit=SerialLimit(count=0, within=7 * DAY))),
            "0 automatic refunds in the last 7 days; the limit is 0.",
        ),
    ],
}


def detail(decision_input: EligibilityInput, rule: str) -> str:
    decision = decide(decision_input)
    assert isinstance(decision, Escalate)
    (result,) = [result for result in decision.findings if result.rule == rule]
    assert result.code is not None
    return result.detail


def test_every_rule_is_tested_with_three_requests() -> None:
    assert {rule.__name__ for rule in RULES} == FIGURES.keys()
    assert min(map(len, FIGURES.values())) == 3


@pytest.mark.parametrize(
    ("rule", "build", "figures"), [(rule, *example) for rule, examples in FIGURES.items() for example in examples]
)
def test_support_reads_the_figures_of_a_broken_rule(
    rule: str, build: Callable[[], EligibilityInput], figures: str
) -> None:
    assert detail(build(), rule) == figures


@pytest.mark.parametrize(("zone", "hour"), [("Pacific/Apia", 23), ("America/Los_Angeles", 4)])
def test_a_day_is_a_day_of_the_sellers_time_zone(zone: str, hour: int) -> None:
    bought_at = (NOON - 9 * DAY).astimezone(UTC).replace(hour=hour)
    decision_input = an_input(
        purchase=a_purchase(purchased_at=bought_at), seller=a_seller(time_zone=ZoneInfo(zone)), policy=None
    )
    local = bought_at.astimezone(ZoneInfo(zone)).date()
    assert local != bought_at.date()
    assert detail(decision_input, "policy_allows") == f"Purchased on {local}; the seller has no policy."


def test_the_history_reads_every_reason_with_its_figures_and_the_number_of_kept_rules() -> None:
    decision = decide(
        an_input(
            purchase=a_purchase(purchased_at=NOON - 45 * DAY, amount=12000), seller=a_seller(ceiling=Money(1, "EUR"))
        )
    )
    assert isinstance(decision, Escalate)
    assert decision.explanation == (
        "The purchase is older than the refund policy in force at the purchase allows. "
        "45 days after the purchase; policy version 1 allows 30. "
        "The amount is above the seller's limit for automatic refunds, or in another currency than this limit. "
        "120.00 EUR; the seller's limit is 0.01 EUR. "
        "11 of 13 rules hold."
    )

"""Tests that the provider's view of a payment is compared before a refund is sent, and before a refund is sent again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.refund_operations import RefundOperation
from worker.context import WorkerContext
from worker.provider_client import ExpectedPayment, NotSent, repeat_refund, send_refund
from worker.providers.rate_limiter import RateLimiter

PRICE = Money(4900, "EUR")
OPERATION = RefundOperation(case_id=UUID(int=1), provider="alpha", charge="ch_1", amount=PRICE, key="mb_1")
EXPECTED = ExpectedPayment(PRICE, "credit_card", "aurora")
REPORTED = PaymentStatus(captured=PRICE)


class Provider:
    """A provider that shows a payment. Its lookup shows no refund, although the payment may show one."""

    capabilities = Capabilities(timedelta(1), shows_payments=True)

    def __init__(self, shown: PaymentStatus | Declined | Unknown) -> None:
        self.shown = shown
        self.sent: list[str] = []

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        assert charge == "ch_1"
        return self.shown

    def look_up(self, charge: str, *, key: str) -> NotFound:  # noqa: ARG002  # no refund is shown
        return NotFound()

    def refund(self, charge: str, amount: Money, *, key: str) -> Paid:
        assert charge == "ch_1"
        self.sent.append(key)
        return Paid("re_1", amount)


def context_with(provider: Provider) -> WorkerContext:
    return WorkerContext(
        settings=cast("Any", None),
        records=cast("Any", None),
        links=cast("Any", None),
        mail_transport=cast("Any", None),
        providers={"alpha": cast("PaymentProvider", provider)},
        call_pool=cast("Any", None),
        rate_limiter=RateLimiter(None),
        monotonic=lambda: 0.0,
    )


@pytest.mark.parametrize("send", [send_refund, repeat_refund])
def test_a_payment_that_the_provider_shows_as_reported_is_refunded(send: Any) -> None:
    provider = Provider(REPORTED)
    assert send(context_with(provider), OPERATION, EXPECTED, until=1.0) == Paid("re_1", PRICE)
    assert provider.sent == ["mb_1"]


@pytest.mark.parametrize("shown", ["credit_card", "apple_pay", "google_pay", "link", "paypal", None])
@pytest.mark.parametrize("reported", ["credit_card", "apple_pay", "google_pay", "paypal"])
@pytest.mark.parametrize("send", [send_refund, repeat_refund])
def test_a_wallet_that_is_reported_as_a_card_is_refunded(send: Any, reported: str, shown: str | None) -> None:
    provider = Provider(PaymentStatus(captured=PRICE, method=shown))
    expected = replace(EXPECTED, method=reported)
    assert send(context_with(provider), OPERATION, expected, until=1.0) == Paid("re_1", PRICE)


@pytest.mark.parametrize("shown", ["direct_debit", "wire_transfer", "klarna", "gift_card"])
@pytest.mark.parametrize("reported", ["credit_card", "google_pay"])
def test_a_method_with_other_rules_is_not_refunded_as_a_card(reported: str, shown: str) -> None:
    provider = Provider(PaymentStatus(captured=PRICE, method=shown))
    result = send_refund(context_with(provider), OPERATION, replace(EXPECTED, method=reported), until=1.0)
    assert result == Declined(DeclineReason.PAYMENT_DIFFERS, f"{shown} instead of {reported}")
    assert provider.sent == []


@pytest.mark.parametrize("send", [send_refund, repeat_refund])
@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (PaymentStatus(captured=Money(1, "EUR")), DeclineReason.PAYMENT_DIFFERS),
        (PaymentStatus(captured=Money(4900, "USD")), DeclineReason.PAYMENT_DIFFERS),
        (PaymentStatus(captured=PRICE, method="gift_card"), DeclineReason.PAYMENT_DIFFERS),
        (PaymentStatus(captured=PRICE, seller="borealis"), DeclineReason.OTHER_SELLER),
        (PaymentStatus(captured=None, code="voided"), DeclineReason.NOT_CAPTURED),
        (PaymentStatus(captured=PRICE, dispute=DisputeStatus(Dispute.OPEN, "dp_1")), DeclineReason.DISPUTED),
        (PaymentStatus(captured=PRICE, dispute=DisputeStatus(Dispute.LOST, "dp_1")), DeclineReason.DISPUTE_LOST),
        (PaymentStatus(captured=PRICE, dispute=DisputeStatus(Dispute.INQUIRY, "dp_1")), DeclineReason.INQUIRY),
        (Declined(DeclineReason.PERMANENT, "no_such_payment"), DeclineReason.PERMANENT),
    ],
)
def test_nothing_is_sent_if_the_provider_shows_another_payment(
    send: Any, shown: PaymentStatus | Declined, reason: DeclineReason
) -> None:
    provider = Provider(shown)
    result = send(context_with(provider), OPERATION, EXPECTED, until=1.0)
    assert isinstance(result, Declined)
    assert result.reason is reason
    assert provider.sent == []


@pytest.mark.parametrize("refunded", [1, 2000, 4900])
def test_a_payment_that_shows_a_refund_is_not_refunded_although_the_lookup_shows_none(refunded: int) -> None:
    provider = Provider(PaymentStatus(captured=PRICE, refunded=refunded))
    result = send_refund(context_with(provider), OPERATION, EXPECTED, until=1.0)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.EXTERNALLY_REFUNDED
    assert isinstance(repeat_refund(context_with(provider), OPERATION, EXPECTED, until=1.0), NotSent)
    assert provider.sent == []


@pytest.mark.parametrize("send", [send_refund, repeat_refund])
def test_nothing_is_sent_while_the_provider_does_not_show_the_payment(send: Any) -> None:
    provider = Provider(Unknown("503"))
    assert send(context_with(provider), OPERATION, EXPECTED, until=1.0) == NotSent("503")
    assert provider.sent == []

"""The adapters read the bank reference from a provider's response. A customer's bank finds a refund by its bank reference."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from domain.providers import Failed, Paid, Pending
from worker.providers.braintree import resources as braintree
from worker.providers.mollie import resources as mollie
from worker.providers.paypal import resources as paypal
from worker.providers.sandbox import resources as sandbox
from worker.providers.stripe import resources as stripe

ARN = "74537604221431003881865"

ParseReference = Callable[[object], Paid | Pending | Failed]
"""A function that makes a refund with the given bank reference, in a provider's format, and parses this refund."""


def stripe_refund(reference: object, status: str = "available", kind: str = "card") -> Paid | Pending | Failed:
    row = {
        "id": "re_1",
        "object": "refund",
        "charge": "ch_1",
        "amount": 4900,
        "currency": "eur",
        "status": "succeeded",
        "created": 1_790_000_000,
        "destination_details": {"type": kind, "card": {"reference": reference, "reference_status": status}},
    }
    return _result(stripe.parse_refund(row))


def paypal_refund(reference: object) -> Paid | Pending | Failed:
    row = {
        "id": "1JU08902781691411",
        "amount": {"value": "49.00", "currency_code": "EUR"},
        "status": "COMPLETED",
        "links": [{"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/2GG279541U471931P"}],
        "acquirer_reference_number": reference,
    }
    return _result(paypal.parse_refund(row))


def braintree_refund(reference: object) -> Paid | Pending | Failed:
    transaction = SimpleNamespace(
        id="re1",
        type="credit",
        status="settled",
        refunded_transaction_id="tr1",
        amount=Decimal("49.00"),
        currency_iso_code="EUR",
        created_at=datetime(2026, 6, 15),  # noqa: DTZ001 - the SDK returns times without a time zone
        order_id="mb_1",
        acquirer_reference_number=reference,
    )
    return _result(braintree.parse_refund(transaction))


def mollie_refund(reference: object, kind: str = "acquirer-reference") -> Paid | Pending | Failed:
    row = {
        "id": "re_1",
        "paymentId": "tr_1",
        "amount": {"value": "49.00", "currency": "EUR"},
        "status": "refunded",
        "createdAt": "2026-06-15T12:00:00+00:00",
        "externalReference": {"type": kind, "id": reference},
    }
    return _result(mollie.parse_refund(row))


def sandbox_refund(reference: object) -> Paid | Pending | Failed:
    row = {"id": "re_1", "charge": "ok_1", "amount": 4900, "currency": "EUR", "status": "succeeded", "key": "mb_1"}
    return _result(sandbox.parse_refund(row | {"bank_reference": reference}))


def _result(refund: Any) -> Paid | Pending | Failed:
    assert refund
    result: Paid | Pending | Failed = refund.result()
    return result


PARSERS = [stripe_refund, paypal_refund, braintree_refund, mollie_refund, sandbox_refund]


def bank_reference(result: Paid | Pending | Failed) -> str | None:
    assert isinstance(result, Paid)
    return result.bank_reference


@pytest.mark.parametrize("parse", PARSERS)
def test_the_bank_reference_is_read(parse: ParseReference) -> None:
    assert bank_reference(parse(ARN)) == ARN


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "invalid", [None, "", 7, ["74"], "7" * 65, "<b>74537604</b>", "7453 7604", "74\u202e537604", "74537\n"]
)
def test_an_invalid_bank_reference_is_left_out(parse: ParseReference, invalid: object) -> None:
    assert bank_reference(parse(invalid)) is None


@pytest.mark.parametrize("status", ["pending", "unavailable", ""])
def test_a_stripe_reference_that_is_not_available_is_ignored(status: str) -> None:
    assert bank_reference(stripe_refund(ARN, status)) is None


def test_a_stripe_reference_of_a_paypal_payment_is_ignored() -> None:
    assert bank_reference(stripe_refund(ARN, kind="paypal")) is None


def test_a_mollie_reference_of_an_unknown_kind_is_ignored() -> None:
    assert bank_reference(mollie_refund(ARN, kind="something else")) is None

"""The reference by which a customer's bank finds a refund: where each provider writes it, and what is none."""

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

Says = Callable[[object], Paid | Pending | Failed]


def by_stripe(reference: object, status: str = "available", kind: str = "card") -> Paid | Pending | Failed:
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
    return _answer(stripe.parse_refund(row))


def by_paypal(reference: object) -> Paid | Pending | Failed:
    row = {
        "id": "1JU08902781691411",
        "amount": {"value": "49.00", "currency_code": "EUR"},
        "status": "COMPLETED",
        "links": [{"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/2GG279541U471931P"}],
        "acquirer_reference_number": reference,
    }
    return _answer(paypal.parse_refund(row))


def by_braintree(reference: object) -> Paid | Pending | Failed:
    transaction = SimpleNamespace(
        id="re1",
        type="credit",
        status="settled",
        refunded_transaction_id="tr1",
        amount=Decimal("49.00"),
        currency_iso_code="EUR",
        created_at=datetime(2026, 6, 15),  # noqa: DTZ001 - as the SDK makes it
        order_id="mb_1",
        acquirer_reference_number=reference,
    )
    return _answer(braintree.parse_refund(transaction))


def by_mollie(reference: object, kind: str = "acquirer-reference") -> Paid | Pending | Failed:
    row = {
        "id": "re_1",
        "paymentId": "tr_1",
        "amount": {"value": "49.00", "currency": "EUR"},
        "status": "refunded",
        "createdAt": "2026-06-15T12:00:00+00:00",
        "externalReference": {"type": kind, "id": reference},
    }
    return _answer(mollie.parse_refund(row))


def by_the_sandbox(reference: object) -> Paid | Pending | Failed:
    row = {"id": "re_1", "charge": "ok_1", "amount": 4900, "currency": "EUR", "status": "succeeded", "key": "mb_1"}
    return _answer(sandbox.parse_refund(row | {"bank_reference": reference}))


def _answer(refund: Any) -> Paid | Pending | Failed:
    assert refund
    answer: Paid | Pending | Failed = refund.result()
    return answer


EVERYBODY = [by_stripe, by_paypal, by_braintree, by_mollie, by_the_sandbox]


def told(answer: Paid | Pending | Failed) -> str | None:
    assert isinstance(answer, Paid)
    return answer.bank_reference


@pytest.mark.parametrize("says", EVERYBODY)
def test_the_reference_is_read(says: Says) -> None:
    assert told(says(ARN)) == ARN


@pytest.mark.parametrize("says", EVERYBODY)
@pytest.mark.parametrize(
    "garbage", [None, "", 7, ["74"], "7" * 65, "<b>74537604</b>", "7453 7604", "74\u202e537604", "74537\n"]
)
def test_what_is_no_reference_is_left_out_and_the_refund_counts_all_the_same(says: Says, garbage: object) -> None:
    assert told(says(garbage)) is None


@pytest.mark.parametrize("status", ["pending", "unavailable", ""])
def test_stripe_has_none_before_it_is_available(status: str) -> None:
    assert told(by_stripe(ARN, status)) is None


def test_stripe_tells_of_the_destination_that_it_names() -> None:
    assert told(by_stripe(ARN, kind="paypal")) is None


def test_mollies_other_references_are_not_for_banks() -> None:
    assert told(by_mollie(ARN, kind="something else")) is None

"""Sample sellers, purchases and requests. Keyword arguments of a function replace values of the sample."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from domain.policies import Category, Policy, Seller
from domain.purchases import Payment, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope, SubmittedRequest
from producers.intake import submission
from records import Records
from records.intake import Accepted, Submission
from records.purchase_reports import store_purchases

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
"""The current time in the tests of the eligibility rules."""

_numbers = count(1)


def a_seller(**changes: Any) -> Seller:
    """Return a seller of photo software in Berlin."""
    values: dict[str, Any] = {
        "id": "aurora",
        "name": "Aurora Software",
        "time_zone": ZoneInfo("Europe/Berlin"),
        "support_email": "help@aurora.example",
    }
    return Seller(**values | changes)


def a_policy(**changes: Any) -> Policy:
    """Return a policy that allows refunds within thirty days. It came into force two years before `NOON`."""
    values: dict[str, Any] = {
        "seller_id": "aurora",
        "version": 1,
        "in_force_from": NOON - timedelta(days=730),
        "category": Category.WITHIN_DAYS,
        "days": 30,
    }
    return Policy(**values | changes)


def a_purchase(**changes: Any) -> Purchase:
    """Return a purchase: Ada bought a licence by credit card three days before `NOON`."""
    number = next(_numbers)
    bought_at = changes.get("purchased_at", NOON - timedelta(days=3))
    values: dict[str, Any] = {
        "id": uuid4(),
        "seller_id": "aurora",
        "reference": f"MB-2026-{number:05}",
        "email": f"ada{number}@example.com",
        "product": "Aurora Photo 4",
        "purchased_at": bought_at,
    }
    payment = {name: changes.pop(name) for name in _PAYMENT_FIELDS & changes.keys()}
    reported = {f"reported_{name}": changes.pop(name) for name in ("refunded", "dispute") if name in changes}
    values["payments"] = (a_payment(**{"charged_at": bought_at} | payment),)
    return Purchase(**values | reported | changes)


_PAYMENT_FIELDS = {field.name for field in fields(Payment)} - {"refunded", "dispute"}


def a_payment(**changes: Any) -> Payment:
    """Return a payment of 49 euros by credit card three days before `NOON`."""
    values: dict[str, Any] = {
        "provider": "sandbox",
        "charge": f"ok_{uuid4().hex}",
        "amount": 4900,
        "currency": "EUR",
        "method": "credit_card",
        "charged_at": NOON - timedelta(days=3),
    }
    return Payment(**values | changes)


def charge_of(purchase: Purchase) -> str:
    """Return the charge of the only payment of this purchase."""
    (payment,) = purchase.payments
    return payment.charge


def with_payment(purchase: Purchase, **changes: Any) -> Purchase:
    """Return the purchase with changes of its only payment."""
    (payment,) = purchase.payments
    return replace(purchase, payments=(replace(payment, **changes),))


def a_recent_purchase(**changes: Any) -> Purchase:
    """Return a purchase made three days before the real current time, for tests that run real services."""
    return a_purchase(**{"purchased_at": datetime.now(UTC) - timedelta(days=3)} | changes)


def a_submitted_request(**changes: Any) -> SubmittedRequest:
    """Return a request for the full amount, received at `NOON` through the web form."""
    values: dict[str, Any] = {
        "refund_scope": RefundScope.FULL,
        "received_at": NOON,
        "channel": Channel.WEB,
        "trusted": False,
    }
    return SubmittedRequest(**values | changes)


def a_request(purchase: Purchase, **changes: Any) -> RefundRequest:
    """Return the request that the purchase's customer sends with the form."""
    values: dict[str, Any] = {
        "email": purchase.email,
        "reference": purchase.reference,
        "reason": RefundReason.DISSATISFIED,
    }
    return RefundRequest(**values | changes)


def a_submission(purchase: Purchase, *, trusted: bool = True, key: str | None = None, **changes: Any) -> Submission:
    """Return a request that the seller's site sends to the API. If `trusted` is True, the customer is signed in on that site."""
    request = a_request(purchase, **changes)
    return submission(request, Channel.API, seller=purchase.seller_id, trusted=trusted, key=key)


def store_seller_and_purchases(
    records: Records, *purchases: Purchase, seller: Seller | None = None, policy: Policy | None = None
) -> None:
    """Store a seller, its policy and its purchases."""
    seller, policy = seller or a_seller(), policy or a_policy()
    with records.work() as work:
        work.sellers.upsert(seller)
        if not work.sellers.policies(seller.id):
            work.sellers.new_policy(
                seller.id,
                policy.category,
                days=policy.days,
                in_force_from=policy.in_force_from,
                methods=sorted(policy.methods),
                excluded_products=sorted(policy.excluded_products),
                renewals_excluded=policy.renewals_excluded,
            )
        store_purchases(work, purchases)


def ids_of(accepted: list[Accepted]) -> list[UUID]:
    """Return the case ids of accepted requests."""
    return [request.id for request in accepted]

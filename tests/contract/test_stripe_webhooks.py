"""Stripe's webhooks: signed events name a refund or a dispute, and invalid signatures are refused."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.provider_accounts import StripeAccount
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent
from worker.providers.stripe.webhooks import StripeWebhookParser, create_webhook_parser

SECRET = "whsec_for_tests_only"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

REFUND = {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": None, "status": "failed"}
CHARGE = {"id": "ch_1", "object": "charge", "payment_intent": None, "refunded": True}
DISPUTE = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": None, "status": "lost"}


def event(kind: str, subject: object, event_id: object = "evt_1") -> bytes:
    return json.dumps({"id": event_id, "object": "event", "type": kind, "data": {"object": subject}}).encode()


def signature(body: bytes, at: float = NOW.timestamp(), secret: str = SECRET) -> str:
    """Return a signature header that Stripe's SDK makes."""
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at)))


def read(
    body: bytes, header: str | None = None, secrets: str | None = SECRET, at: datetime = NOW
) -> list[WebhookEvent] | InvalidSignature | UnreadableWebhook:
    headers = {"stripe-signature": signature(body) if header is None else header}
    events = StripeWebhookParser(SecretStr(secrets) if secrets is not None else None).read(headers, body, at)
    return events if isinstance(events, InvalidSignature | UnreadableWebhook) else list(events)


@pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
def test_a_refund_event_names_the_charge_and_the_refund(kind: str) -> None:
    assert read(event(kind, REFUND)) == [WebhookEvent("evt_1", Subject.REFUND, "ch_1", "re_1")]


def test_a_refunded_charge_event_names_the_charge() -> None:
    assert read(event("charge.refunded", CHARGE)) == [WebhookEvent("evt_1", Subject.REFUND, "ch_1")]


@pytest.mark.parametrize("change", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
def test_a_dispute_event_names_the_charge(change: str) -> None:
    assert read(event(f"charge.dispute.{change}", DISPUTE)) == [WebhookEvent("evt_1", Subject.DISPUTE, "ch_1")]


@pytest.mark.parametrize(
    ("kind", "data", "subject", "refund_id"),
    [
        ("refund.updated", REFUND, Subject.REFUND, "re_1"),
        ("charge.refunded", CHARGE, Subject.REFUND, None),
        ("charge.dispute.created", DISPUTE, Subject.DISPUTE, None),
    ],
)
def test_an_event_with_a_payment_intent_is_reported_for_both_payment_ids(
    kind: str, data: dict[str, Any], subject: Subject, refund_id: str | None
) -> None:
    assert read(event(kind, data | {"payment_intent": "pi_1"})) == [
        WebhookEvent("evt_1", subject, "ch_1", refund_id),
        WebhookEvent("evt_1:pi_1", subject, "pi_1", refund_id),
    ]


PURCHASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a charge": ("charge.succeeded", CHARGE, ["ch_1"]),
    "a charge of a payment intent": ("charge.succeeded", CHARGE | {"payment_intent": "pi_1"}, ["pi_1"]),
    "an authorised charge that was captured": ("charge.captured", CHARGE | {"payment_intent": "pi_1"}, ["pi_1"]),
    "a checkout session": ("checkout.session.completed", {"id": "cs_1", "payment_intent": "pi_1"}, ["pi_1"]),
    "a checkout session that was paid later": (
        "checkout.session.async_payment_succeeded",
        {"id": "cs_1", "payment_intent": "pi_1"},
        ["pi_1"],
    ),
    "a checkout session of a subscription": (
        "checkout.session.completed",
        {"id": "cs_1", "payment_intent": None, "subscription": "sub_1"},
        [],
    ),
    "an invoice": ("invoice.paid", {"id": "in_1", "payment_intent": "pi_1", "charge": "ch_1"}, ["pi_1"]),
    "an invoice that was paid without a payment intent": ("invoice.paid", {"id": "in_1", "charge": "ch_1"}, ["ch_1"]),
    "an invoice with two payments": (
        "invoice.paid",
        {
            "id": "in_1",
            "payments": {
                "data": [
                    {"payment": {"type": "payment_intent", "payment_intent": "pi_1"}},
                    {"payment": {"type": "charge", "charge": "ch_2"}},
                ]
            },
        },
        ["pi_1", "ch_2"],
    ),
    "an invoice that does not name its payment": ("invoice.paid", {"id": "in_1", "payments": None}, []),
    "a free invoice": ("invoice.paid", {"id": "in_1", "payment_intent": None, "charge": None, "total": 0}, []),
}


@pytest.mark.parametrize(("kind", "data", "payments"), PURCHASES.values(), ids=PURCHASES.keys())
def test_the_event_of_a_paid_purchase_names_its_payments(kind: str, data: dict[str, Any], payments: list[str]) -> None:
    events = read(event(kind, data))
    assert isinstance(events, list)
    assert [(read_event.subject, read_event.charge) for read_event in events] == [
        (Subject.PURCHASE, payment) for payment in payments
    ]
    assert len({read_event.event_id for read_event in events}) == len(payments)


@pytest.mark.parametrize(
    "kind", ["customer.created", "charge.failed", "refundable", "charge.disputed", "charge.dispute"]
)
def test_events_of_other_types_are_ignored(kind: str) -> None:
    assert read(event(kind, {"id": "cus_1"})) == []


@pytest.mark.parametrize("kind", ["v2.core.approval_request.approved", "v2.core.event_destination.ping"])
def test_events_without_a_snapshot_are_ignored(kind: str) -> None:
    """A thin event has no data, but names a related object."""
    assert read(json.dumps({"id": "evt_1", "type": kind, "related_object": {"id": "areq_1"}}).encode()) == []


@pytest.mark.parametrize("secrets", [SECRET, f"whsec_old,{SECRET}", f" {SECRET} , whsec_new"])
def test_every_configured_secret_is_valid(secrets: str) -> None:
    assert isinstance(read(event("refund.updated", REFUND), secrets=secrets), list)


@pytest.mark.parametrize("secrets", [None, "", " , "])
def test_without_a_secret_no_webhook_is_verified(secrets: str | None) -> None:
    body = event("refund.updated", REFUND)
    assert read(body, signature(body, secret="x"), secrets) == InvalidSignature(
        "Stripe's webhook secret is not configured, so no webhook can be verified."
    )


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_signature_is_valid_for_five_minutes(seconds: int) -> None:
    body = event("refund.updated", REFUND)
    assert isinstance(read(body, signature(body, NOW.timestamp() + seconds)), list)


@pytest.mark.parametrize("seconds", [-301, 301, 10**9, -(10**9)])
def test_a_signature_that_is_too_old_or_from_the_future_is_refused(seconds: int) -> None:
    body = event("refund.updated", REFUND)
    assert read(body, signature(body, NOW.timestamp() + seconds)) == InvalidSignature(
        "The signature is too old, or from the future."
    )


BODY = event("refund.updated", REFUND)
INVALID_HEADERS = {
    "empty": "",
    "made with another secret": signature(BODY, secret="whsec_other"),
    "made for another body": signature(BODY + b" "),
    "with the scheme of Stripe's test mode": signature(BODY).replace("v1=", "v0="),
    "without a time": signature(BODY).split(",")[1],
    "with another time before the valid time": f"t={int(time.time())},{signature(BODY, NOW.timestamp() - 9_999)}",
    "with two times": signature(BODY).replace(",v1", "=1,v1"),
    "with a time that is not a number": signature(BODY).replace("t=", "t=x"),
    "with a time of 5000 digits": signature(BODY).replace("t=", "t=" + "9" * 5000),
    "without its last character": signature(BODY)[:-1],
    "with Arabic digits": "t=1,v1=\u0661\u0662",
    "with names only": "t,v1",
}


@pytest.mark.parametrize("header", INVALID_HEADERS.values(), ids=INVALID_HEADERS.keys())
def test_an_invalid_signature_is_refused(header: str) -> None:
    assert isinstance(read(BODY, header), InvalidSignature)


UNREADABLE = {
    "no JSON": b"hm?",
    "a list": b"[]",
    "an empty body": b"",
    "deeply nested": b"[" * 100_000,
    "no data": json.dumps({"id": "evt_1", "type": "refund.updated"}).encode(),
    "no object": event("refund.updated", None),
    "a refund of a cash balance": event("refund.created", REFUND | {"charge": None, "payment_intent": None}),
    "a dispute without a charge": event("charge.dispute.created", DISPUTE | {"charge": None}),
    "a charge with an expanded payment intent": event("charge.succeeded", CHARGE | {"payment_intent": {"id": "pi_1"}}),
    "an invoice whose payments are a text": event("invoice.paid", {"payments": {"data": [{"payment": {"charge": 7}}]}}),
    "no id": event("refund.updated", REFUND, event_id=None),
    "a very long id": event("refund.updated", REFUND, event_id="e" * 10_000),
    "a refund without an id": event("refund.updated", REFUND | {"id": None}),
    "a refund without a charge": event("refund.updated", REFUND | {"charge": None}),
    "a refund with an expanded charge": event("refund.updated", REFUND | {"charge": {"id": "ch_1"}}),
    "a type that is a number": json.dumps({"id": "evt_1", "type": 7, "data": {"object": {}}}).encode(),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_signed_event_that_cannot_be_read_is_no_attack(body: bytes) -> None:
    unreadable = read(body)
    assert isinstance(unreadable, UnreadableWebhook)
    assert unreadable.why == "Stripe's event cannot be read."


OURS = {
    "in a field with another form": event("refund.updated", REFUND | {"id": None}),
    "inside an expanded charge": event("refund.updated", REFUND | {"charge": {"id": "ch_1"}}),
    "after a very long text": event("refund.updated", REFUND | {"id": None, "reason": "x" * 5_000, "payment": "ch_1"}),
    "after a text with quotation marks": event("refund.updated", {"id": '"\\" "', "payment_intent": "ch_1"}),
    "in half an event": event("refund.updated", REFUND)[:-20],
    "in a list": json.dumps([REFUND]).encode(),
}


@pytest.mark.parametrize("body", OURS.values(), ids=OURS.keys())
def test_an_event_that_cannot_be_read_still_names_its_payment(body: bytes) -> None:
    unreadable = read(body)
    assert isinstance(unreadable, UnreadableWebhook)
    assert "ch_1" in unreadable.ids


def test_an_event_that_cannot_be_read_still_names_our_key() -> None:
    key = "mb_0198-ab_cd"
    unreadable = read(event("refund.updated", REFUND | {"charge": None, "metadata": {"moneyback_key": key}}))
    assert isinstance(unreadable, UnreadableWebhook)
    assert key in unreadable.ids
    assert all(0 < len(text) <= 100 for text in unreadable.ids)


def test_a_body_that_is_not_utf8_is_refused() -> None:
    assert isinstance(read(b"\xff\xfe", "t=1,v1=00"), InvalidSignature)


@given(body=st.binary(max_size=200), header=st.text(max_size=80))
def test_random_input_is_refused(body: bytes, header: str) -> None:
    assert isinstance(read(body, header), InvalidSignature)


@given(body=st.text(max_size=200))
def test_random_signed_input_is_unreadable(body: str) -> None:
    raw = body.encode(errors="replace")
    assert isinstance(read(raw), UnreadableWebhook)


def test_the_secret_of_the_account_is_used() -> None:
    account = StripeAccount.model_validate({"api_key": "rk_1", "webhook_secret": SECRET})
    parser = create_webhook_parser(account, provider_timeout_seconds=1)
    assert parser.answer == b""
    assert parser.read({"stripe-signature": signature(BODY)}, BODY, NOW) == [
        WebhookEvent("evt_1", Subject.REFUND, "ch_1", "re_1")
    ]

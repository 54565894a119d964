"""Braintree's webhooks. Each webhook is a signed form. Some of the forms in these tests are made by Braintree's SDK."""

from base64 import encodebytes
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from tests.doubles.braintree import account_of, xml
from worker.providers.braintree.client import create_gateway
from worker.providers.braintree.webhooks import CLOCK_SKEW, MAX_AGE, create_webhook_parser

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # the SDK calls utcnow()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACCOUNT = account_of("http://127.0.0.1:1")


@cache
def a_parser() -> WebhookParser:
    return create_webhook_parser(ACCOUNT, provider_timeout_seconds=1.0)


@cache
def samples() -> Any:
    return create_gateway(ACCOUNT, connections=1).webhook_testing


def a_sample(kind: str, name: str = "abc123") -> bytes:
    """Return a webhook that the SDK made and signed. The webhook contains the current time."""
    return urlencode(samples().sample_notification(kind, name)).encode()


def sign(payload: bytes, *, public: str = ACCOUNT.public_key, private: str = "a_private_key") -> str:
    crypto = import_module("braintree.util.crypto").Crypto
    return f"{public}|{crypto.sha1_hmac_hash(private, payload)}"


def a_form(document: bytes, signature: str | None = None) -> bytes:
    payload = encodebytes(document)
    return urlencode({"bt_signature": signature or sign(payload), "bt_payload": payload}).encode()


def a_notification(kind: str, at: datetime = NOW, **subject: object) -> bytes:
    return xml("notification", {"timestamp": at, "kind": kind, "subject": subject}).encode()


def events_in(webhook: Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook) -> Sequence[WebhookEvent]:
    assert not isinstance(webhook, InvalidSignature | UnreadableWebhook)
    return webhook


DISPUTES = [
    "dispute_opened",
    "dispute_under_review",
    "dispute_disputed",
    "dispute_won",
    "dispute_lost",
    "dispute_accepted",
    "dispute_auto_accepted",
    "dispute_expired",
]


@pytest.mark.parametrize("kind", DISPUTES)
def test_a_dispute_event_names_the_charge_and_the_dispute(kind: str) -> None:
    [event] = events_in(a_parser().read({}, a_sample(kind), datetime.now(UTC)))
    assert event == WebhookEvent(event_id=event.event_id, subject=Subject.DISPUTE, charge="abc123", dispute_id="abc123")
    assert event.event_id.startswith(f"{kind} abc123 20")


@pytest.mark.parametrize("kind", DISPUTES)
@pytest.mark.parametrize("dispute", [{"id": "d1"}, {"id": "d1", "transaction": None}])
def test_a_dispute_event_without_a_transaction_names_the_dispute(kind: str, dispute: dict[str, object]) -> None:
    [event] = events_in(a_parser().read({}, a_form(a_notification(kind, dispute=dispute)), NOW))
    assert event == WebhookEvent(event_id=f"{kind} d1 2026-11-22T12:00:00Z", subject=Subject.DISPUTE, dispute_id="d1")


@pytest.mark.parametrize("kind", ["transaction_settled", "transaction_settlement_declined", "refund_failed"])
def test_a_refund_event_names_the_refund_and_its_charge(kind: str) -> None:
    body = a_form(a_notification(kind, transaction={"id": "r1", "amount": "1", "refunded_transaction_id": "dhpc9w"}))
    event_id = f"{kind} r1 2026-11-22T12:00:00Z"
    assert a_parser().read({}, body, NOW) == [
        WebhookEvent(event_id=event_id, subject=Subject.REFUND, charge="dhpc9w", refund_id="r1")
    ]


def test_a_refund_event_without_a_charge_names_the_refund() -> None:
    [event] = events_in(a_parser().read({}, a_sample("refund_failed", "r1"), datetime.now(UTC)))
    assert event == WebhookEvent(event_id=event.event_id, subject=Subject.REFUND, refund_id="r1")


@pytest.mark.parametrize(
    "kind",
    [
        "check",
        "transaction_settled",
        "transaction_disbursed",
        "subscription_went_active",
        "disbursement",
        "unknown_kind",
    ],
)
def test_an_event_about_no_refund_or_dispute_is_ignored(kind: str) -> None:
    assert a_parser().read({}, a_sample(kind), datetime.now(UTC)) == []


def test_a_repeated_webhook_is_the_same_event_and_a_later_webhook_is_another() -> None:
    refund = {"id": "r1", "amount": "1", "refunded_transaction_id": "dhpc9w"}
    first, again, later = (
        a_parser().read({}, a_form(a_notification("refund_failed", at, transaction=refund)), NOW)
        for at in (NOW, NOW, NOW + timedelta(seconds=1))
    )
    assert first == again
    assert first != later


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        (timedelta(0), True),
        (MAX_AGE, True),
        (MAX_AGE + timedelta(seconds=1), False),
        (-CLOCK_SKEW, True),
        (-CLOCK_SKEW - timedelta(seconds=1), False),
    ],
)
def test_a_webhook_that_is_too_old_or_from_the_future_is_refused(age: timedelta, accepted: bool) -> None:
    result = a_parser().read({}, a_form(a_notification("check", NOW - age, check="x")), NOW)
    assert isinstance(result, InvalidSignature) != accepted


def test_a_wrong_signature_is_refused() -> None:
    document = a_notification("check", check="x")
    payload = encodebytes(document)
    valid = sign(payload)
    assert a_parser().read({}, a_form(document, f"other_key|{'0' * 40}&{valid}"), NOW) == []
    for invalid in (
        sign(payload, private="another"),
        sign(payload, public="another"),
        sign(b"another"),
        valid[:-1] + ("0" if valid[-1] != "0" else "1"),
        valid.partition("|")[2],
        f"{ACCOUNT.public_key}|",
        f"{valid}|",
        "é|é",
    ):
        assert isinstance(a_parser().read({}, a_form(document, invalid), NOW), InvalidSignature)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"bt_signature=a",
        b"bt_payload=a",
        b"bt_signature=&bt_payload=",
        a_form(a_notification("check", check="x")) + b"&bt_payload=YQ==",
        b"bt_challenge=20f9f8ed05f77439fe955c977e4c8a53",
    ],
)
def test_an_incomplete_form_is_refused(body: bytes) -> None:
    assert isinstance(a_parser().read({}, body, NOW), InvalidSignature)


@pytest.mark.parametrize(
    "document",
    [
        b"<",
        b"\xff",
        b"<notification/>",
        b"<other><kind>check</kind></other>",
        b"<a>" * 5000 + b"</a>" * 5000,
        a_notification("dispute_opened", dispute={"status": "open"}),
        a_notification("dispute_opened", transaction={"id": "d1", "amount": "1"}),
        a_notification("dispute_opened", dispute={"id": "d" * 100, "transaction": {"id": "abc"}}),
        a_notification("dispute_opened", dispute={"id": "d1", "transaction": {"id": ["abc"]}}),
        a_notification("refund_failed", dispute={"id": "d1"}),
        a_notification("refund_failed", transaction={"id": "r1", "amount": "much"}),
        a_notification("refund_failed", transaction={"id": "r1", "amount": "1", "refunded_transaction_id": "r" * 101}),
        xml("notification", {"timestamp": "yesterday", "kind": "check", "subject": {"check": "x"}}).encode(),
        xml("notification", {"kind": "check", "subject": {"check": "x"}}).encode(),
    ],
)
def test_a_signed_webhook_that_cannot_be_read_is_unreadable(document: bytes) -> None:
    assert isinstance(a_parser().read({}, a_form(document), NOW), UnreadableWebhook)
    assert isinstance(a_parser().read({}, a_form(document, f"{ACCOUNT.public_key}|{'0' * 40}"), NOW), InvalidSignature)


@pytest.mark.parametrize(
    "document",
    [
        a_notification("refund_failed", transaction={"id": "r1", "amount": "much", "order_id": "mb_2f1c"}),
        a_notification("transaction_settled", transaction={"id": "r1", "order_id": "mb_2f1c"}, dispute={}),
        b"<notification><id>r1</id><order-id>mb_2f1c</order-id>",
    ],
)
def test_an_unreadable_webhook_contains_every_possible_id(document: bytes) -> None:
    webhook = a_parser().read({}, a_form(document), NOW)
    assert isinstance(webhook, UnreadableWebhook)
    assert webhook.ids >= {"r1", "mb_2f1c"}


def test_a_signed_payload_that_is_not_base64_is_unreadable() -> None:
    for payload in ("mb_2f1c", "a", "%%%"):
        body = urlencode({"bt_signature": sign(payload.encode()), "bt_payload": payload}).encode()
        assert isinstance(a_parser().read({}, body, NOW), UnreadableWebhook)


@settings(deadline=None)
@given(body=st.binary())
def test_random_bytes_are_refused(body: bytes) -> None:
    assert isinstance(a_parser().read({}, body, NOW), InvalidSignature)


@settings(deadline=None)
@given(signature=st.text(), payload=st.text() | st.binary())
def test_a_form_with_random_fields_is_refused(signature: str, payload: str | bytes) -> None:
    body = urlencode({"bt_signature": signature.encode(errors="replace"), "bt_payload": payload}, errors="replace")
    assert isinstance(a_parser().read({}, body.encode(), NOW), InvalidSignature)


@settings(deadline=None)
@given(
    document=st.binary(min_size=1)
    | st.text().map(lambda text: f"<notification>{text}</notification>".encode(errors="replace"))
)
def test_a_random_signed_document_is_unreadable(document: bytes) -> None:
    assert isinstance(a_parser().read({}, a_form(document), NOW), UnreadableWebhook)

"""What Stripe's webhooks make us look at, and who is not believed."""

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
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent
from worker.providers.stripe.webhooks import StripeWebhookParser, create_webhook_parser

SECRET = "whsec_for_tests_only"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

REFUND = {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": None, "status": "failed"}
CHARGE = {"id": "ch_1", "object": "charge", "payment_intent": None, "refunded": True}
DISPUTE = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": None, "status": "lost"}


def event(kind: str, told: object, event_id: object = "evt_1") -> bytes:
    return json.dumps({"id": event_id, "object": "event", "type": kind, "data": {"object": told}}).encode()


def signature(body: bytes, at: float = NOW.timestamp(), secret: str = SECRET) -> str:
    """As the SDK makes it for tests."""
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at)))


def read(
    body: bytes, header: str | None = None, secrets: str | None = SECRET, at: datetime = NOW
) -> list[WebhookEvent] | InvalidSignature:
    headers = {"stripe-signature": signature(body) if header is None else header}
    found = StripeWebhookParser(SecretStr(secrets) if secrets is not None else None).read(headers, body, at)
    return found if isinstance(found, InvalidSignature) else list(found)


@pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
def test_an_event_about_a_refund_makes_us_look(kind: str) -> None:
    assert read(event(kind, REFUND)) == [WebhookEvent("evt_1", Subject.REFUND, "ch_1", "re_1")]


def test_a_refunded_charge_makes_us_look() -> None:
    assert read(event("charge.refunded", CHARGE)) == [WebhookEvent("evt_1", Subject.REFUND, "ch_1")]


@pytest.mark.parametrize("step", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
def test_an_event_about_a_dispute_makes_us_look(step: str) -> None:
    assert read(event(f"charge.dispute.{step}", DISPUTE)) == [WebhookEvent("evt_1", Subject.DISPUTE, "ch_1")]


@pytest.mark.parametrize(
    ("kind", "told", "about", "refund_id"),
    [
        ("refund.updated", REFUND, Subject.REFUND, "re_1"),
        ("charge.refunded", CHARGE, Subject.REFUND, None),
        ("charge.dispute.created", DISPUTE, Subject.DISPUTE, None),
    ],
)
def test_a_purchase_is_found_by_either_name_of_its_payment(
    kind: str, told: dict[str, Any], about: Subject, refund_id: str | None
) -> None:
    assert read(event(kind, told | {"payment_intent": "pi_1"})) == [
        WebhookEvent("evt_1", about, "ch_1", refund_id),
        WebhookEvent("evt_1:pi_1", about, "pi_1", refund_id),
    ]


@pytest.mark.parametrize("kind", ["customer.created", "charge.succeeded", "refundable", "charge.disputed"])
def test_other_events_are_nothing_to_us(kind: str) -> None:
    assert read(event(kind, {"id": "cus_1"})) == []


@pytest.mark.parametrize("secrets", [SECRET, f"whsec_old,{SECRET}", f" {SECRET} , whsec_new"])
def test_every_secret_in_use_is_good(secrets: str) -> None:
    assert isinstance(read(event("refund.updated", REFUND), secrets=secrets), list)


@pytest.mark.parametrize("secrets", [None, "", " , "])
def test_without_a_secret_nobody_is_believed(secrets: str | None) -> None:
    body = event("refund.updated", REFUND)
    assert read(body, signature(body, secret="x"), secrets) == InvalidSignature(
        "Stripe's webhook secret is not configured, so no webhook can be verified."
    )


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_signature_of_these_minutes_is_good(seconds: int) -> None:
    body = event("refund.updated", REFUND)
    assert isinstance(read(body, signature(body, NOW.timestamp() + seconds)), list)


@pytest.mark.parametrize("seconds", [-301, 301, 10**9, -(10**9)])
def test_a_signature_of_another_time_is_a_replay(seconds: int) -> None:
    body = event("refund.updated", REFUND)
    assert read(body, signature(body, NOW.timestamp() + seconds)) == InvalidSignature(
        "The signature is too old, or from the future."
    )


BODY = event("refund.updated", REFUND)
FORGERIES = {
    "none": "",
    "of another secret": signature(BODY, secret="whsec_other"),
    "of another body": signature(BODY + b" "),
    "of a test mode scheme": signature(BODY).replace("v1=", "v0="),
    "without a time": signature(BODY).split(",")[1],
    "of a time put in front": f"t={int(time.time())},{signature(BODY, NOW.timestamp() - 9_999)}",
    "of a time with another one behind it": signature(BODY).replace(",v1", "=1,v1"),
    "of a time that is no number": signature(BODY).replace("t=", "t=x"),
    "of an endless time": signature(BODY).replace("t=", "t=" + "9" * 5000),
    "cut": signature(BODY)[:-1],
    "in another alphabet": "t=1,v1=\u0661\u0662",
    "with a name only": "t,v1",
}


@pytest.mark.parametrize("header", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_signature_that_is_not_stripes_is_forged(header: str) -> None:
    assert isinstance(read(BODY, header), InvalidSignature)


UNREADABLE = {
    "no JSON": b"hm?",
    "a list": b"[]",
    "nothing": b"",
    "nested without end": b"[" * 100_000,
    "no data": json.dumps({"id": "evt_1", "type": "refund.updated"}).encode(),
    "no object": event("refund.updated", None),
    "no id": event("refund.updated", REFUND, event_id=None),
    "an id as long as a book": event("refund.updated", REFUND, event_id="e" * 10_000),
    "a refund without an id": event("refund.updated", REFUND | {"id": None}),
    "a refund of nothing": event("refund.updated", REFUND | {"charge": None}),
    "a refund of a spelled out charge": event("refund.updated", REFUND | {"charge": {"id": "ch_1"}}),
    "a type that is a number": json.dumps({"id": "evt_1", "type": 7, "data": {"object": {}}}).encode(),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_signed_event_that_nobody_can_read_is_no_notice(body: bytes) -> None:
    assert read(body) == InvalidSignature("Stripe's event cannot be read.")


def test_a_body_that_is_no_text_is_forged() -> None:
    assert isinstance(read(b"\xff\xfe", "t=1,v1=00"), InvalidSignature)


@given(body=st.binary(max_size=200), header=st.text(max_size=80))
def test_garbage_is_forged_and_never_an_exception(body: bytes, header: str) -> None:
    assert isinstance(read(body, header), InvalidSignature)


@given(body=st.text(max_size=200))
def test_signed_garbage_is_forged_and_never_an_exception(body: str) -> None:
    raw = body.encode(errors="replace")
    assert isinstance(read(raw), InvalidSignature)


def test_the_account_has_the_secret() -> None:
    account = StripeAccount.model_validate({"api_key": "rk_1", "webhook_secret": SECRET})
    ours = create_webhook_parser(account, provider_timeout_seconds=1)
    assert ours.answer == b""
    assert ours.read({"stripe-signature": signature(BODY)}, BODY, NOW) == [
        WebhookEvent("evt_1", Subject.REFUND, "ch_1", "re_1")
    ]

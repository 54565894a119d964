"""Braintree's webhooks: signed forms, of which the SDK makes samples."""

from base64 import encodebytes
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from tests.doubles.braintree import an_account, xml
from worker.providers.braintree.client import create_gateway
from worker.providers.braintree.webhooks import CLOCK_SKEW, MAX_AGE, create_webhook_parser

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # the SDK's samples
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACCOUNT = an_account("http://127.0.0.1:1")


@cache
def a_reader() -> WebhookParser:
    return create_webhook_parser(ACCOUNT, provider_timeout_seconds=1.0)


@cache
def samples() -> Any:
    return create_gateway(ACCOUNT, connections=1).webhook_testing


def a_sample(kind: str, name: str = "abc123") -> bytes:
    """One that the SDK made and signed; it says when, and so do we."""
    return urlencode(samples().sample_notification(kind, name)).encode()


def sign(payload: bytes, *, public: str = ACCOUNT.public_key, private: str = "a_private_key") -> str:
    crypto = import_module("braintree.util.crypto").Crypto
    return f"{public}|{crypto.sha1_hmac_hash(private, payload)}"


def a_form(document: bytes, signature: str | None = None) -> bytes:
    payload = encodebytes(document)
    return urlencode({"bt_signature": signature or sign(payload), "bt_payload": payload}).encode()


def a_notification(kind: str, at: datetime = NOW, **subject: object) -> bytes:
    return xml("notification", {"timestamp": at, "kind": kind, "subject": subject}).encode()


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
def test_a_dispute_is_about_its_charge(kind: str) -> None:
    seen = a_reader().read({}, a_sample(kind), datetime.now(UTC))
    assert not isinstance(seen, InvalidSignature)
    [notice] = seen
    assert notice == WebhookEvent(event_id=notice.event_id, subject=Subject.DISPUTE, charge="abc123")
    assert notice.event_id.startswith(f"{kind} abc123 20")


@pytest.mark.parametrize("kind", ["transaction_settled", "transaction_settlement_declined", "refund_failed"])
def test_a_refund_that_changed_is_named_with_its_charge(kind: str) -> None:
    body = a_form(a_notification(kind, transaction={"id": "r1", "amount": "1", "refunded_transaction_id": "dhpc9w"}))
    event = f"{kind} r1 2026-11-22T12:00:00Z"
    assert a_reader().read({}, body, NOW) == [
        WebhookEvent(event_id=event, subject=Subject.REFUND, charge="dhpc9w", refund_id="r1")
    ]


def test_a_failed_refund_is_named_though_its_charge_is_not() -> None:
    seen = a_reader().read({}, a_sample("refund_failed", "r1"), datetime.now(UTC))
    assert not isinstance(seen, InvalidSignature)
    [notice] = seen
    assert notice == WebhookEvent(event_id=notice.event_id, subject=Subject.REFUND, refund_id="r1")


@pytest.mark.parametrize(
    "kind",
    ["check", "transaction_settled", "transaction_disbursed", "subscription_went_active", "disbursement", "unheard_of"],
)
def test_what_is_about_something_else_is_nothing_to_do(kind: str) -> None:
    assert a_reader().read({}, a_sample(kind), datetime.now(UTC)) == []


def test_the_same_change_told_twice_is_one_event_and_another_is_another() -> None:
    refund = {"id": "r1", "amount": "1", "refunded_transaction_id": "dhpc9w"}
    first, again, later = (
        a_reader().read({}, a_form(a_notification("refund_failed", at, transaction=refund)), NOW)
        for at in (NOW, NOW, NOW + timedelta(seconds=1))
    )
    assert first == again
    assert first != later


@pytest.mark.parametrize(
    ("age", "is_taken"),
    [
        (timedelta(0), True),
        (MAX_AGE, True),
        (MAX_AGE + timedelta(seconds=1), False),
        (-CLOCK_SKEW, True),
        (-CLOCK_SKEW - timedelta(seconds=1), False),
    ],
)
def test_what_is_older_than_any_repeat_is_a_replay(age: timedelta, is_taken: bool) -> None:
    seen = a_reader().read({}, a_form(a_notification("check", NOW - age, check="x")), NOW)
    assert isinstance(seen, InvalidSignature) != is_taken


def test_what_others_signed_is_forged() -> None:
    document = a_notification("check", check="x")
    payload = encodebytes(document)
    good = sign(payload)
    assert a_reader().read({}, a_form(document, f"other_key|{'0' * 40}&{good}"), NOW) == []
    for bad in (
        sign(payload, private="another"),
        sign(payload, public="another"),
        sign(b"another"),
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good.partition("|")[2],
        f"{ACCOUNT.public_key}|",
        f"{good}|",
        "é|é",
    ):
        assert isinstance(a_reader().read({}, a_form(document, bad), NOW), InvalidSignature)


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
def test_a_form_that_is_none_of_theirs_is_forged(body: bytes) -> None:
    assert isinstance(a_reader().read({}, body, NOW), InvalidSignature)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<",
        b"\xff",
        b"<notification/>",
        b"<other><kind>check</kind></other>",
        b"<a>" * 5000 + b"</a>" * 5000,
        a_notification("dispute_opened", dispute={"id": "d1"}),
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
def test_a_signed_webhook_that_nobody_can_read_is_forged(document: bytes) -> None:
    assert isinstance(a_reader().read({}, a_form(document), NOW), InvalidSignature)


@settings(deadline=None)
@given(body=st.binary())
def test_garbage_is_forged_and_breaks_nothing(body: bytes) -> None:
    assert isinstance(a_reader().read({}, body, NOW), InvalidSignature)


@settings(deadline=None)
@given(signature=st.text(), payload=st.text() | st.binary())
def test_a_form_of_garbage_is_forged_and_breaks_nothing(signature: str, payload: str | bytes) -> None:
    body = urlencode({"bt_signature": signature.encode(errors="replace"), "bt_payload": payload}, errors="replace")
    assert isinstance(a_reader().read({}, body.encode(), NOW), InvalidSignature)


@settings(deadline=None)
@given(
    document=st.binary() | st.text().map(lambda text: f"<notification>{text}</notification>".encode(errors="replace"))
)
def test_whatever_braintree_signs_is_read_or_refused(document: bytes) -> None:
    assert isinstance(a_reader().read({}, a_form(document), NOW), InvalidSignature)

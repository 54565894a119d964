"""Mollie's webhooks: the classic ones make us look; the signed ones must be signed."""

import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.provider_accounts import MollieAccount
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from worker.providers.mollie.webhooks import create_webhook_parser

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OLD, NEW = "whs_old", "whs_new"


def a_reader(secret: str | None = None) -> WebhookParser:
    account = MollieAccount(api_key=SecretStr("test_x"), webhook_secret=SecretStr(secret) if secret else None)
    return create_webhook_parser(account, provider_timeout_seconds=1.0)


def signed(body: bytes, *secrets: str, prefix: str = "sha256=") -> dict[str, str]:
    made = [prefix + hmac.new(secret.encode(), body, "sha256").hexdigest() for secret in secrets]
    return {"x-mollie-signature": ", ".join(made)}


def an_event(**changes: Any) -> bytes:
    event = {
        "resource": "event",
        "id": "whe_gQMMaGqAVA",
        "type": "refund.failed",
        "entityId": "re_4qqhO89gsT",
        "createdAt": "2026-11-21T10:30:54+00:00",
        "_embedded": {"entity": {"id": "re_4qqhO89gsT", "paymentId": "tr_5B8cwPMGnU", "status": "failed"}},
    }
    return json.dumps(event | changes).encode()


def test_a_classic_webhook_makes_us_look_each_time() -> None:
    seen = a_reader().read({}, b"id=tr_5B8cwPMGnU6qLbRvo7qEZo", NOW)
    payment = "tr_5B8cwPMGnU6qLbRvo7qEZo"
    assert seen == [WebhookEvent(event_id=payment, subject=Subject.REFUND, charge=payment, reuses_event_id=True)]


@pytest.mark.parametrize("body", [b"id=ord_pbjz8x", b"id=sub_rVKGtNd6s3"])
def test_a_classic_webhook_about_something_else_is_nothing_to_do(body: bytes) -> None:
    assert a_reader().read({}, body, NOW) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"id=",
        b"id",
        b"id=tr_1&id=tr_2",
        b"payment=tr_1",
        b"id=tr_\xff",
        b"id=tr_%ff",
        b"id=tr_%0A1",
        b"id=tr_" + b"x" * 100,
        b"&".join([b"id=tr_1", *[b"a=b"] * 10]),
        an_event(),
    ],
)
def test_an_unsigned_webhook_that_is_no_classic_one_is_forged(body: bytes) -> None:
    assert isinstance(a_reader().read({}, body, NOW), InvalidSignature)


def test_with_a_secret_nothing_unsigned_is_taken() -> None:
    for body in (b"id=tr_5B8cwPMGnU", an_event()):
        assert isinstance(a_reader(NEW).read({}, body, NOW), InvalidSignature)


@pytest.mark.parametrize("prefix", ["sha256=", ""])
def test_a_signed_event_says_which_refund_changed(prefix: str) -> None:
    body = an_event()
    assert a_reader(NEW).read(signed(body, NEW, prefix=prefix), body, NOW) == [
        WebhookEvent(
            event_id="whe_gQMMaGqAVA", subject=Subject.REFUND, charge="tr_5B8cwPMGnU", refund_id="re_4qqhO89gsT"
        )
    ]


@pytest.mark.parametrize("embedded", [None, {}, {"entity": None}])
def test_the_short_form_names_the_refund_only(embedded: dict[str, None] | None) -> None:
    body = an_event(_embedded=embedded)
    assert a_reader(NEW).read(signed(body, NEW), body, NOW) == [
        WebhookEvent(event_id="whe_gQMMaGqAVA", subject=Subject.REFUND, refund_id="re_4qqhO89gsT")
    ]


@pytest.mark.parametrize("kind", ["dispute.created", "dispute.resolved", "chargeback.received", "chargeback.reversed"])
def test_a_dispute_is_about_the_payment(kind: str) -> None:
    body = an_event(type=kind, entityId="dsp_1")
    assert a_reader(NEW).read(signed(body, NEW), body, NOW) == [
        WebhookEvent(event_id="whe_gQMMaGqAVA", subject=Subject.DISPUTE, charge="tr_5B8cwPMGnU")
    ]


@pytest.mark.parametrize("kind", ["payment.paid", "payment-link.paid", "refunds", "hook.ping"])
def test_an_event_about_something_else_is_nothing_to_do(kind: str) -> None:
    for body in (an_event(type=kind), an_event(type=kind, entityId=None)):
        assert a_reader(NEW).read(signed(body, NEW), body, NOW) == []


def test_while_a_secret_changes_both_are_good() -> None:
    body = an_event()
    both = a_reader(f"{OLD}, {NEW}")
    for headers in (signed(body, OLD), signed(body, NEW), signed(body, "whs_other", NEW)):
        assert not isinstance(both.read(headers, body, NOW), InvalidSignature)
    assert isinstance(a_reader(NEW).read(signed(body, OLD), body, NOW), InvalidSignature)


def test_another_body_under_the_same_signature_is_forged() -> None:
    headers = signed(an_event(), NEW)
    assert isinstance(a_reader(NEW).read(headers, an_event(entityId="re_another"), NOW), InvalidSignature)


@pytest.mark.parametrize("position", range(0, 71, 7))
def test_a_signature_with_one_letter_changed_is_forged(position: int) -> None:
    body = an_event()
    [(name, good)] = signed(body, NEW).items()
    bad = good[:position] + ("0" if good[position] != "0" else "1") + good[position + 1 :]
    assert isinstance(a_reader(NEW).read({name: bad}, body, NOW), InvalidSignature)


@pytest.mark.parametrize("header", ["", "sha256=", ",", "é", "\ud800", "sha256=" + "0" * 64])
def test_a_signature_that_is_none_is_forged(header: str) -> None:
    assert isinstance(a_reader(NEW).read({"x-mollie-signature": header}, an_event(), NOW), InvalidSignature)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b"[" * 100_000,
        b"id=tr_5B8cwPMGnU",
        an_event(type=7),
        an_event(id=None),
        an_event(id="x" * 101),
        an_event(entityId=["re_1"]),
        an_event(_embedded=[1]),
        an_event(_embedded={"entity": "re_1"}),
        an_event(_embedded={"entity": {"paymentId": 7}}),
        an_event(_embedded={"entity": {"paymentId": "tr_\n"}}),
    ],
)
def test_a_signed_webhook_that_nobody_can_read_is_forged(body: bytes) -> None:
    assert isinstance(a_reader(NEW).read(signed(body, NEW), body, NOW), InvalidSignature)


@settings(deadline=None)
@given(body=st.binary() | st.text().map(str.encode), header=st.text())
def test_garbage_is_forged_and_breaks_nothing(body: bytes, header: str) -> None:
    assert isinstance(a_reader(NEW).read({"x-mollie-signature": header}, body, NOW), InvalidSignature)
    assert isinstance(a_reader().read({"x-mollie-signature": header}, body, NOW), InvalidSignature)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(changes=st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "type", "entityId", "_embedded"], JSON)))
def test_whatever_mollie_signs_is_read_or_refused(changes: dict[str, Any]) -> None:
    body = an_event(**changes)
    seen = a_reader(NEW).read(signed(body, NEW), body, NOW)
    assert isinstance(seen, InvalidSignature) or all(isinstance(notice, WebhookEvent) for notice in seen)

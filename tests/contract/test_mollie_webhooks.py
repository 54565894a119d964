"""Tests of Mollie's webhooks. A classic webhook has no signature; it names a payment to look up. An event webhook is signed."""

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.provider_accounts import MollieAccount
from domain.providers import DisputeStatus
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.mollie.webhooks import create_webhook_parser

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OLD_SECRET, NEW_SECRET = "whs_old", "whs_new"


def a_parser(secret: str | None = None) -> WebhookParser:
    account = MollieAccount(api_key=SecretStr("test_x"), webhook_secret=SecretStr(secret) if secret else None)
    return create_webhook_parser(account, provider_timeout_seconds=1.0)


def signed(body: bytes, *secrets: str, prefix: str = "sha256=") -> dict[str, str]:
    signatures = [prefix + hmac.new(secret.encode(), body, "sha256").hexdigest() for secret in secrets]
    return {"x-mollie-signature": ", ".join(signatures)}


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


def events_in(webhook: Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook) -> Sequence[WebhookEvent]:
    assert not isinstance(webhook, InvalidSignature | UnreadableWebhook)
    return webhook


def test_a_classic_webhook_names_a_payment_to_look_up() -> None:
    events = a_parser().read({}, b"id=tr_5B8cwPMGnU6qLbRvo7qEZo", NOW)
    payment = "tr_5B8cwPMGnU6qLbRvo7qEZo"
    assert events == [
        WebhookEvent(event_id=payment, subject=Subject.PAYMENT, charge=payment, reuses_event_id=True, anonymous=True)
    ]


@pytest.mark.parametrize("body", [b"id=ord_pbjz8x", b"id=sub_rVKGtNd6s3"])
def test_a_classic_webhook_about_another_resource_is_ignored(body: bytes) -> None:
    assert a_parser().read({}, body, NOW) == []


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
def test_an_unsigned_body_must_contain_exactly_one_valid_id(body: bytes) -> None:
    assert isinstance(a_parser().read({}, body, NOW), InvalidSignature)


def test_unsigned_webhooks_are_refused_if_a_secret_is_configured() -> None:
    for body in (b"id=tr_5B8cwPMGnU", an_event()):
        assert isinstance(a_parser(NEW_SECRET).read({}, body, NOW), InvalidSignature)


@pytest.mark.parametrize("prefix", ["sha256=", ""])
def test_a_signed_event_names_the_changed_refund(prefix: str) -> None:
    body = an_event()
    assert a_parser(NEW_SECRET).read(signed(body, NEW_SECRET, prefix=prefix), body, NOW) == [
        WebhookEvent(
            event_id="whe_gQMMaGqAVA", subject=Subject.REFUND, charge="tr_5B8cwPMGnU", refund_id="re_4qqhO89gsT"
        )
    ]


@pytest.mark.parametrize("embedded", [None, {}, {"entity": None}])
def test_an_event_without_embedded_data_names_only_the_refund(embedded: dict[str, None] | None) -> None:
    body = an_event(_embedded=embedded)
    assert a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW) == [
        WebhookEvent(event_id="whe_gQMMaGqAVA", subject=Subject.REFUND, refund_id="re_4qqhO89gsT")
    ]


DISPUTES = ["dispute.created", "dispute.updated", "dispute.resolved", "chargeback.received", "chargeback.reversed"]


@pytest.mark.parametrize("kind", DISPUTES)
def test_a_dispute_event_names_the_payment_and_the_dispute(kind: str) -> None:
    body = an_event(type=kind, entityId="dsp_1")
    [event] = events_in(a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW))
    assert event == WebhookEvent(
        event_id="whe_gQMMaGqAVA",
        subject=Subject.DISPUTE,
        charge="tr_5B8cwPMGnU",
        dispute_id="dsp_1",
        reported=event.reported,
    )


@pytest.mark.parametrize("kind", DISPUTES)
@pytest.mark.parametrize(
    "simple",
    [
        {"_embedded": None},
        {"_embedded": {"entity": {}}},
        {"_embedded": None, "_links": {"entity": {"href": "https://api.mollie.com/v2/disputes/dsp_1"}}},
        {"_embedded": None, "_links": None},
    ],
)
def test_a_dispute_event_with_the_simple_payload_names_the_dispute(kind: str, simple: dict[str, object]) -> None:
    body = an_event(type=kind, entityId="chb_1", **simple)
    [event] = events_in(a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW))
    assert (event.subject, event.charge, event.dispute_id) == (Subject.DISPUTE, None, "chb_1")


@pytest.mark.parametrize(
    ("kind", "status", "reported"),
    [
        ("dispute.created", "open", DisputeStatus(Dispute.OPEN, "dsp_1")),
        ("dispute.updated", "under_review", DisputeStatus(Dispute.OPEN, "dsp_1")),
        ("dispute.resolved", "won", DisputeStatus(Dispute.WON, "dsp_1")),
        ("dispute.resolved", "lost", DisputeStatus(Dispute.LOST, "dsp_1")),
        ("dispute.resolved", "a_later_status", None),
        ("dispute.resolved", None, None),
        ("chargeback.received", None, None),
        ("refund.failed", "failed", None),
    ],
)
def test_an_event_reports_a_dispute_that_is_no_chargeback_yet(
    kind: str, status: str | None, reported: DisputeStatus | None
) -> None:
    body = an_event(type=kind, entityId="dsp_1", _embedded={"entity": {"id": "dsp_1", "status": status}})
    [event] = events_in(a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW))
    assert event.reported == reported


def test_a_later_report_about_a_dispute_has_a_higher_stage() -> None:
    stages = []
    for kind in ("dispute.created", "dispute.updated", "dispute.resolved"):
        body = an_event(type=kind, entityId="dsp_1", _embedded={"entity": {"status": "won"}})
        [event] = events_in(a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW))
        assert isinstance(event.reported, DisputeStatus)
        stages.append(event.reported.stage)
    assert stages == sorted(set(stages))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("refund.failed", "payments/tr_5B8cwPMGnU/refunds/re_1"),
        ("chargeback.received", "payments/tr_5B8cwPMGnU/chargebacks/chb_1"),
        ("chargeback.reversed", "payments/tr_5B8cwPMGnU/chargebacks/chb_1?testmode=true"),
        ("dispute.created", "payments/tr_5B8cwPMGnU/disputes/dsp_1"),
    ],
)
def test_the_link_of_a_simple_payload_names_the_payment(kind: str, path: str) -> None:
    links = {
        "entity": {"href": f"https://api.mollie.com/v2/{path}"},
        "documentation": {"href": "https://docs.mollie.com"},
    }
    for changes in ({"_embedded": None, "_links": links}, {"_embedded": {"entity": {"id": "x", "_links": links}}}):
        body = an_event(type=kind, **changes)
        events = a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW)
        assert [event.charge for event in events_in(events)] == ["tr_5B8cwPMGnU"]


@pytest.mark.parametrize("embedded", [None, {}, {"entity": {"id": "tr_5B8cwPMGnU", "status": "paid"}}])
def test_a_paid_payment_may_be_a_new_purchase(embedded: dict[str, object] | None) -> None:
    body = an_event(type="payment.paid", entityId="tr_5B8cwPMGnU", _embedded=embedded)
    assert a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW) == [
        WebhookEvent(event_id="whe_gQMMaGqAVA", subject=Subject.PURCHASE, charge="tr_5B8cwPMGnU")
    ]


@pytest.mark.parametrize(
    "kind", ["payment.failed", "payment.authorized", "payment-link.paid", "refunds", "hook.ping", "capture.succeeded"]
)
def test_an_event_about_another_resource_is_ignored(kind: str) -> None:
    for body in (an_event(type=kind), an_event(type=kind, entityId=None)):
        assert a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW) == []


def test_a_signature_with_either_of_two_configured_secrets_is_valid() -> None:
    body = an_event()
    parser = a_parser(f"{OLD_SECRET}, {NEW_SECRET}")
    for headers in (signed(body, OLD_SECRET), signed(body, NEW_SECRET), signed(body, "whs_other", NEW_SECRET)):
        assert not isinstance(parser.read(headers, body, NOW), InvalidSignature)
    assert isinstance(a_parser(NEW_SECRET).read(signed(body, OLD_SECRET), body, NOW), InvalidSignature)


def test_a_signature_of_another_body_is_refused() -> None:
    headers = signed(an_event(), NEW_SECRET)
    assert isinstance(a_parser(NEW_SECRET).read(headers, an_event(entityId="re_another"), NOW), InvalidSignature)


@pytest.mark.parametrize("position", range(0, 71, 7))
def test_a_signature_with_one_changed_digit_is_refused(position: int) -> None:
    body = an_event()
    [(name, valid)] = signed(body, NEW_SECRET).items()
    changed = valid[:position] + ("0" if valid[position] != "0" else "1") + valid[position + 1 :]
    assert isinstance(a_parser(NEW_SECRET).read({name: changed}, body, NOW), InvalidSignature)


@pytest.mark.parametrize("header", ["", "sha256=", ",", "é", "\ud800", "sha256=" + "0" * 64])
def test_an_invalid_signature_is_refused(header: str) -> None:
    assert isinstance(a_parser(NEW_SECRET).read({"x-mollie-signature": header}, an_event(), NOW), InvalidSignature)


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
        an_event(type="dispute.created", entityId=None),
        an_event(type="payment.paid", entityId={}),
        an_event(_links=[1], _embedded={"entity": [1]}),
    ],
)
def test_a_signed_webhook_that_cannot_be_read_is_unreadable(body: bytes) -> None:
    assert isinstance(a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW), UnreadableWebhook)
    assert isinstance(a_parser(NEW_SECRET).read(signed(body, OLD_SECRET), body, NOW), InvalidSignature)


@pytest.mark.parametrize(
    "body",
    [
        an_event(id=None, note={"our": ["mb_2f1c", 7]}),
        an_event(type=None, note="Refund of tr_1 (mb_2f1c)"),
        b'{"key": "mb_2f1c", "id": "re_4qqhO89gsT", "paymentId": "tr_5B8cwPMGnU", broken',
    ],
)
def test_an_unreadable_webhook_contains_every_possible_id(body: bytes) -> None:
    webhook = a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW)
    assert isinstance(webhook, UnreadableWebhook)
    assert webhook.ids >= {"mb_2f1c", "re_4qqhO89gsT", "tr_5B8cwPMGnU"}


@settings(deadline=None)
@given(body=st.binary() | st.text().map(str.encode), header=st.text())
def test_random_input_is_refused(body: bytes, header: str) -> None:
    assert isinstance(a_parser(NEW_SECRET).read({"x-mollie-signature": header}, body, NOW), InvalidSignature)
    assert isinstance(a_parser().read({"x-mollie-signature": header}, body, NOW), InvalidSignature)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    changes=st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "type", "entityId", "_embedded", "_links"], JSON))
)
def test_random_signed_events_are_parsed_or_unreadable(changes: dict[str, Any]) -> None:
    body = an_event(**changes)
    result = a_parser(NEW_SECRET).read(signed(body, NEW_SECRET), body, NOW)
    assert isinstance(result, UnreadableWebhook) or all(isinstance(event, WebhookEvent) for event in events_in(result))

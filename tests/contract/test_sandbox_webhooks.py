"""The sandbox's webhooks: valid events are parsed. Unreadable webhooks and invalid signatures are refused."""

import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.provider_accounts import SandboxAccount
from domain.money import Money
from domain.providers import DeclineReason, DisputeStatus, Failed, Paid, Pending
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.sandbox.webhooks import create_webhook_parser

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
FIVE_EUROS = Money(500, "EUR")
REFUND = {
    "id": "re_1",
    "charge": "ok_1",
    "amount": 500,
    "currency": "EUR",
    "status": "succeeded",
    "key": "case-1",
    "created": 1_763_834_400,
}
DISPUTE = {"id": "dp_1", "charge": "ok_1", "status": "open", "created": 1_763_834_400}


def a_parser(secret: str = "secret") -> WebhookParser:
    return create_webhook_parser(
        SandboxAccount(url="http://127.0.0.1:1", webhook_secret=SecretStr(secret)), provider_timeout_seconds=1
    )


def an_event(kind: str = "refund.created", **changes: Any) -> bytes:
    data = (DISPUTE if kind.startswith("dispute") else REFUND) | changes
    return json.dumps({"id": "ev_1", "type": kind, "created": 1_763_834_400, "data": data}).encode()


def signature(body: bytes, secret: str = "secret", signed_at: datetime | str = NOW) -> str:
    seconds = signed_at if isinstance(signed_at, str) else str(int(signed_at.timestamp()))
    return hmac.new(secret.encode(), seconds.encode() + b"." + body, "sha256").hexdigest()


def signed(body: bytes, secret: str = "secret", signed_at: datetime = NOW) -> Mapping[str, str]:
    return {"sandbox-signature": f"t={int(signed_at.timestamp())},v1={signature(body, secret, signed_at)}"}


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        ("succeeded", Paid("re_1", FIVE_EUROS)),
        ("pending", Pending("re_1", FIVE_EUROS)),
        ("failed", Failed("re_1", "failed")),
        ("canceled", Failed("re_1", "canceled", DeclineReason.CANCELLED)),
        ("requires_action", Pending("re_1", FIVE_EUROS, customer_must_act=True)),
        ("requires_approval", None),
    ],
)
@pytest.mark.parametrize("kind", ["refund.created", "refund.updated"])
def test_a_refund_event_reports_the_refund_and_its_status(
    kind: str, status: str, reported: Paid | Pending | Failed | None
) -> None:
    body = an_event(kind, status=status)
    assert a_parser().read(signed(body), body, NOW) == [WebhookEvent("ev_1", Subject.REFUND, "ok_1", "re_1", reported)]


@pytest.mark.parametrize(
    ("kind", "status", "dispute"),
    [
        ("dispute.inquiry", "inquiry", Dispute.INQUIRY),
        ("dispute.opened", "open", Dispute.OPEN),
        ("dispute.won", "won", Dispute.WON),
        ("dispute.lost", "lost", Dispute.LOST),
    ],
)
def test_a_dispute_event_reports_the_dispute_and_its_status(kind: str, status: str, dispute: Dispute) -> None:
    body = an_event(kind, status=status)
    reported = DisputeStatus(dispute, "dp_1")
    assert a_parser().read(signed(body), body, NOW) == [WebhookEvent("ev_1", Subject.DISPUTE, "ok_1", None, reported)]


@pytest.mark.parametrize("charge", ["ok_1", "a charge with blanks", "x" * 255])
def test_a_payment_event_is_about_a_purchase(charge: str) -> None:
    body = an_event("payment.succeeded", charge=charge)
    assert a_parser().read(signed(body), body, NOW) == [WebhookEvent("ev_1", Subject.PURCHASE, charge)]


def test_an_event_of_an_unknown_type_is_ignored() -> None:
    body = an_event("payout.created")
    assert a_parser().read(signed(body), body, NOW) == []


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_signature_is_valid_for_five_minutes(seconds: int) -> None:
    body = an_event()
    signed_at = NOW + timedelta(seconds=seconds)
    assert not isinstance(a_parser().read(signed(body, signed_at=signed_at), body, NOW), InvalidSignature)
    too_far = signed_at + timedelta(seconds=1 if seconds > 0 else -1)
    assert isinstance(a_parser().read(signed(body, signed_at=too_far), body, NOW), InvalidSignature)


def test_a_signature_with_the_old_or_the_new_secret_is_accepted() -> None:
    body = an_event()
    parser = a_parser("new, old")
    for secret in ("new", "old"):
        assert not isinstance(parser.read(signed(body, secret), body, NOW), InvalidSignature)
    two_signatures = f"{signed(body, 'unknown')['sandbox-signature']},v1={signature(body)}"
    assert not isinstance(a_parser().read({"sandbox-signature": two_signatures}, body, NOW), InvalidSignature)


SECONDS = str(int(NOW.timestamp()))
ARABIC = SECONDS.translate({ord("0") + digit: chr(ord("٠") + digit) for digit in range(10)})
INVALID_HEADERS: dict[str, Callable[[bytes], Mapping[str, str]]] = {
    "unsigned": lambda _: {},
    "in another header": lambda body: {"x-signature": signed(body)["sandbox-signature"]},
    "with an unknown secret": lambda body: signed(body, "another secret"),
    "of another body": lambda body: signed(body + b" "),
    "without its time": lambda body: {"sandbox-signature": f"v1={signature(body)}"},
    "with another time": lambda body: {"sandbox-signature": f"t={int(SECONDS) + 1},v1={signature(body)}"},
    "with two times": lambda body: {"sandbox-signature": f"t={SECONDS},t={SECONDS},v1={signature(body)}"},
    "with a time in words": lambda body: {"sandbox-signature": f"t=now,v1={signature(body, signed_at='now')}"},
    "with digits of another script": lambda body: {
        "sandbox-signature": f"t={ARABIC},v1={signature(body, signed_at=ARABIC)}"
    },
    "with a time, but without a signature": lambda _: {"sandbox-signature": f"t={SECONDS}"},
    "with an empty signature": lambda _: {"sandbox-signature": f"t={SECONDS},v1="},
    "of another version": lambda body: {"sandbox-signature": f"t={SECONDS},v0={signature(body)}"},
    "with characters that are not hexadecimal": lambda _: {"sandbox-signature": f"t={SECONDS},v1=\udcffé"},
    "in a too long header": lambda body: {"sandbox-signature": f"{'x,' * 600}{signed(body)['sandbox-signature']}"},
}


@pytest.mark.parametrize("how", INVALID_HEADERS)
def test_a_webhook_with_an_invalid_signature_is_refused(how: str) -> None:
    body = an_event()
    refused = a_parser().read(INVALID_HEADERS[how](body), body, NOW)
    assert isinstance(refused, InvalidSignature)
    assert refused.why.endswith(".")


def test_without_a_secret_every_webhook_is_refused() -> None:
    body = an_event()
    assert isinstance(a_parser(" ,").read(signed(body, ""), body, NOW), InvalidSignature)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"text"',
        b"{}",
        b'{"id":"ev_1","type":["refund.created"],"data":{}}',
        b'{"id":"ev_1","type":"refund.created"}',
        b'{"id":"ev_1","type":"refund.created","data":[]}',
        b'{"id":1,"type":"refund.created","data":{}}',
        b'{"id":"' + b"x" * 101 + b'","type":"refund.created","data":{}}',
        an_event(amount=0),
        an_event(amount="500"),
        an_event(currency="euro"),
        an_event(status="lost"),
        an_event(id=""),
        an_event(charge=None),
        an_event(charge="x" * 256),
        an_event(charge="a\u0000b"),
        an_event("dispute.opened", status="succeeded"),
        an_event("dispute.opened", status=["open"]),
        an_event("dispute.opened", id="x\n"),
        an_event("dispute.opened", charge=7),
        an_event("dispute.opened", respond_by="soon"),
        an_event("payment.succeeded", charge=None),
    ],
)
def test_an_unreadable_signed_webhook_is_reported_with_its_texts(body: bytes) -> None:
    unreadable = a_parser().read(signed(body), body, NOW)
    assert isinstance(unreadable, UnreadableWebhook)
    assert unreadable.why.endswith(".")
    assert all(0 < len(text) <= 100 for text in unreadable.ids)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (an_event(charge=None), {"ev_1", "refund.created", "re_1", "EUR", "succeeded", "case-1"}),
        (an_event("dispute.opened", status="new"), {"ev_1", "dispute.opened", "dp_1", "ok_1", "new"}),
        (b'["re_1",{"data":["case-1",7,null]}]', {"re_1", "case-1"}),
        (json.dumps({"id": "ev_1", "note": "x" * 101}).encode(), {"ev_1"}),
    ],
)
def test_an_unreadable_webhook_names_every_short_text(body: bytes, ids: set[str]) -> None:
    unreadable = a_parser().read(signed(body), body, NOW)
    assert isinstance(unreadable, UnreadableWebhook)
    assert unreadable.ids == ids


@pytest.mark.parametrize("body", [b"", b"hm?", b"\xff", b"[" * 60_000, an_event()[:-5]])
def test_a_signed_webhook_that_is_not_json_is_refused(body: bytes) -> None:
    assert isinstance(a_parser().read(signed(body), body, NOW), InvalidSignature)


def test_a_too_large_webhook_is_refused() -> None:
    body = an_event() + b" " * 65_536
    assert isinstance(a_parser().read(signed(body), body, NOW), InvalidSignature)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["refund.created", "EUR"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REFUND, "type", "data"]), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()), header=st.text())
def test_random_unsigned_webhooks_are_refused(body: bytes, header: str) -> None:
    assert isinstance(a_parser().read({"sandbox-signature": header}, body, NOW), InvalidSignature)


@settings(deadline=None)
@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_random_signed_webhooks_are_parsed_or_refused(body: bytes) -> None:
    """The parser raises no exception, and the event ids contain only printable characters."""
    result = a_parser().read(signed(body), body, NOW)
    assert isinstance(result, InvalidSignature | UnreadableWebhook) or all(
        event.event_id.isprintable() for event in result
    )


@settings(deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from([*REFUND]), JSON), kind=st.sampled_from(["refund.updated", "dispute.won"])
)
def test_events_with_random_fields_are_parsed_or_refused(changes: dict[str, Any], kind: str) -> None:
    body = an_event(kind, **changes)
    result = a_parser().read(signed(body), body, NOW)
    assert not isinstance(result, InvalidSignature)
    assert isinstance(result, UnreadableWebhook) or all((event.charge or "").isprintable() for event in result)

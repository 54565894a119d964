"""GoCardless' webhooks keep the contract of webhooks. A webhook has several events."""

import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from moneyback_gocardless import GoCardlessAccount
from moneyback_gocardless.webhooks import create_webhook_parser
from moneyback_plugin.testing import SignedWebhook, WebhookContract
from moneyback_plugin.webhooks import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser

SECRET = "ED7D658C-D8EB-4941-948B-3973214F2D49"


def parser_of(secret: str | None) -> WebhookParser:
    account = GoCardlessAccount.model_validate({"access_token": "sandbox_1", "webhook_secret": secret})
    return create_webhook_parser(account, provider_timeout_seconds=1)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"webhook-signature": hmac.new(secret.encode(), body, "sha256").hexdigest()}


def an_event(resource_type: str, action: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"EV{number:06}",
        "created_at": "2026-11-01T10:00:00.000Z",
        "resource_type": resource_type,
        "action": action,
        **fields,
    }


REFUND: dict[str, Any] = {"links": {"refund": "RF000001"}, "resource_metadata": {"moneyback_charge": "PM000001"}}


def read(*events: object, secret: str = SECRET) -> Any:
    body = json.dumps({"events": events, "meta": {"webhook_id": "WB1"}}).encode()
    return parser_of(SECRET).read(signed(body, secret), body, datetime.now(UTC))


class TestWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        body = json.dumps({"events": [an_event("refunds", "paid", **REFUND)]}).encode()
        return SignedWebhook("PM000001", "RF000001", signed(body), body)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return parser_of(SECRET)

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return parser_of("another secret")


@pytest.mark.parametrize("action", ["created", "paid", "failed", "refund_settled", "funds_returned", "a_new_action"])
def test_every_event_of_a_refund_is_read(action: str) -> None:
    assert read(an_event("refunds", action, **REFUND)) == [
        WebhookEvent("EV000001", Subject.REFUND, "PM000001", "RF000001")
    ]


def test_a_refund_without_our_metadata_is_read_by_its_id() -> None:
    assert read(an_event("refunds", "paid", links={"refund": "RF1"})) == [
        WebhookEvent("EV000001", Subject.REFUND, None, "RF1")
    ]


@pytest.mark.parametrize("action", ["charged_back", "chargeback_cancelled", "chargeback_settled"])
def test_an_event_of_a_chargeback_is_a_dispute(action: str) -> None:
    assert read(an_event("payments", action, links={"payment": "PM1"})) == [
        WebhookEvent("EV000001", Subject.DISPUTE, "PM1")
    ]


@pytest.mark.parametrize(
    ("resource_type", "action"),
    [
        ("payments", "confirmed"),
        ("payments", "paid_out"),
        ("mandates", "cancelled"),
        ("payouts", "paid"),
        ("a_new", "one"),
    ],
)
def test_an_event_about_something_else_is_ignored(resource_type: str, action: str) -> None:
    assert read(an_event(resource_type, action, links={"mandate": "MD1"})) == []


def test_a_webhook_has_several_events() -> None:
    events = read(
        an_event("refunds", "paid", 1, **REFUND),
        an_event("mandates", "active", 2, links={"mandate": "MD1"}),
        an_event("payments", "charged_back", 3, links={"payment": "PM2"}),
    )
    assert [event.event_id for event in events] == ["EV000001", "EV000003"]


@pytest.mark.parametrize(
    "event",
    [
        an_event("refunds", "paid"),
        an_event("refunds", "paid", links={}),
        an_event("refunds", "paid", links={"refund": ""}),
        an_event("refunds", "paid", links={"refund": ["RF1"]}),
        an_event("payments", "charged_back", links=None),
        an_event("payments", "charged_back", links={"payment": "x" * 1000}),
        "no event",
        None,
    ],
    ids=str,
)
def test_a_signed_webhook_that_cannot_be_read_says_which_ids_it_has(event: object) -> None:
    webhook = read(event, an_event("refunds", "paid", links={"refund": "RF000009"}))
    assert isinstance(webhook, UnreadableWebhook)
    assert "RF000009" in webhook.ids


def test_while_a_secret_is_changed_both_secrets_are_valid() -> None:
    body = b'{"events": []}'
    parser = parser_of(f"the old one, {SECRET}")
    for secret in ("the old one", SECRET):
        assert parser.read(signed(body, secret), body, datetime.now(UTC)) == []
    assert isinstance(parser.read(signed(body, "third"), body, datetime.now(UTC)), InvalidSignature)


@pytest.mark.parametrize("secret", [None, "", " , "])
def test_without_a_secret_every_webhook_is_refused(secret: str | None) -> None:
    body = b'{"events": []}'
    for signing in ("", SECRET):
        webhook = parser_of(secret).read(signed(body, signing), body, datetime.now(UTC))
        assert isinstance(webhook, InvalidSignature)

"""Adyen's webhooks: the examples of its own API description, signed; and what must not pass for them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.money import Money
from domain.providers import DisputeStatus, Failed, Paid, Pending
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent
from tests.contract.specs.judge import Judge
from tests.doubles.adyen import HMAC_KEY, MERCHANT, FakeAdyen, account, adapter, signed, webhook
from tests.doubles.faulty_server import FaultyServer
from worker.providers.adyen.webhooks import (
    DISPUTES,
    REFUNDS,
    AdyenHmacKeyError,
    AdyenWebhookParser,
    create_webhook_parser,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OTHER_KEY = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"
CHARGE, REFUND = "9913140798220028", "QFQTPCQ8HXSKGK82"
TEN = Money(1000, "EUR")
EXAMPLES = Judge("adyen-webhooks-v1-refunds.json")


def example(event: str) -> dict[str, Any]:
    """The item of the example that Adyen's own description has of this event."""
    place = EXAMPLES.description["components"]["examples"][f"post-{event}-{event.lower()}"]["value"]
    item: dict[str, Any] = place["notificationItems"][0]["NotificationRequestItem"]
    return item | {"merchantAccountCode": MERCHANT}


def an_item(event: str = "REFUND", success: str = "true", **changes: object) -> dict[str, Any]:
    return example("REFUND") | {"eventCode": event, "success": success, "reason": ""} | changes


def read(*items: dict[str, Any], keys: str = HMAC_KEY) -> list[WebhookEvent] | InvalidSignature:
    answer = AdyenWebhookParser(keys, MERCHANT).read({}, webhook(*items), NOON)
    return answer if isinstance(answer, InvalidSignature) else [*answer]


def of_refund(event: str, success: str, said: Paid | Pending | Failed | None) -> WebhookEvent:
    return WebhookEvent(f"{REFUND} {event} {success}", Subject.REFUND, CHARGE, REFUND, reported=said)


TOLD: dict[str, WebhookEvent] = {
    "REFUND": of_refund("REFUND", "false", Failed(REFUND, "Transaction hasn't been captured, refund not possible")),
    "REFUND_FAILED": of_refund("REFUND_FAILED", "true", Failed(REFUND, "Refund Failed")),
    "REFUNDED_REVERSED": of_refund("REFUNDED_REVERSED", "true", Failed(REFUND, "test_AUTHORISATION_1")),
    "CANCEL_OR_REFUND": of_refund("CANCEL_OR_REFUND", "true", Paid(REFUND, TEN)),
    "POSTPONED_REFUND": of_refund("POSTPONED_REFUND", "true", Pending(REFUND, TEN)),
    "VOID_PENDING_REFUND": of_refund("VOID_PENDING_REFUND", "true", Failed(REFUND, "VOID_PENDING_REFUND")),
    **{
        event: WebhookEvent(f"{REFUND} {event} true", Subject.DISPUTE, CHARGE, reported=DisputeStatus(dispute, REFUND))
        for event, dispute in (
            ("REQUEST_FOR_INFORMATION", Dispute.OPEN),
            ("NOTIFICATION_OF_CHARGEBACK", Dispute.OPEN),
            ("CHARGEBACK", Dispute.LOST),
            ("CHARGEBACK_REVERSED", Dispute.OPEN),
        )
    },
}


@pytest.mark.parametrize("event", TOLD)
def test_each_example_of_adyens_own_description_is_understood(event: str) -> None:
    """But for its payment, which one example writes otherwise and another does not name."""
    item = example(event)
    assert read(signed(item)) == [replace(TOLD[event], charge=item.get("originalReference"))]


def test_every_event_of_the_description_has_its_example_here() -> None:
    assert {path.removeprefix("/") for path in EXAMPLES.description["webhooks"]} == TOLD.keys()


def test_what_we_sign_in_tests_is_as_adyens_own_description_has_it() -> None:
    judge = Judge("adyen-webhooks-v1-refunds.json")
    judge.check("RefundNotificationRequest", json.loads(webhook(signed(an_item()))))
    assert judge.heard == 0
    assert judge.complaints == []


@pytest.mark.parametrize(("event", "success"), REFUNDS)
def test_every_event_about_a_refund_says_how_it_stands(event: str, success: str) -> None:
    [notice] = _read_whole(signed(an_item(event, success)))
    failed = {
        ("REFUND", "false"),
        ("REFUND_FAILED", "true"),
        ("REFUNDED_REVERSED", "true"),
        ("VOID_PENDING_REFUND", "true"),
        ("CANCEL_OR_REFUND", "false"),
    }
    expected = Pending(REFUND, TEN) if event == "POSTPONED_REFUND" else Paid(REFUND, TEN)
    assert notice == of_refund(event, success, Failed(REFUND, event) if (event, success) in failed else expected)


@pytest.mark.parametrize("event", DISPUTES)
def test_every_event_about_a_dispute_says_how_it_stands(event: str) -> None:
    expected = {
        "CHARGEBACK": Dispute.LOST,
        "SECOND_CHARGEBACK": Dispute.LOST,
        "PREARBITRATION_LOST": Dispute.LOST,
        "PREARBITRATION_WON": Dispute.WON,
    }.get(event, Dispute.OPEN)
    [notice] = _read_whole(signed(an_item(event)))
    assert notice == WebhookEvent(
        f"{REFUND} {event} true", Subject.DISPUTE, CHARGE, reported=DisputeStatus(expected, REFUND)
    )
    assert read(signed(an_item(event, "false"))) == []


@pytest.mark.parametrize("event", ["NOTIFICATION_OF_FRAUD", "AUTHORISATION", "CAPTURE", "REFUND_WITH_DATA", "NEW"])
def test_what_is_none_of_our_business_is_left_alone(event: str) -> None:
    assert read(signed(an_item(event))) == []


@pytest.mark.parametrize(
    ("event", "success"), [("REFUND", "maybe"), ("REFUND_FAILED", "false"), ("POSTPONED_REFUND", "false")]
)
def test_what_nobody_documented_is_left_alone(event: str, success: str) -> None:
    assert read(signed(an_item(event, success))) == []


def _read_whole(*items: dict[str, Any]) -> list[WebhookEvent]:
    answer = read(*items)
    assert not isinstance(answer, InvalidSignature)
    return answer


def test_the_answer_is_the_one_that_adyen_wants() -> None:
    assert AdyenWebhookParser(HMAC_KEY, MERCHANT).answer == b"[accepted]"


def test_a_refund_goes_from_received_to_its_outcome() -> None:
    adyen = FakeAdyen()
    charge = adyen.captured("993617894903480A")
    with FaultyServer(adyen.answer) as server:
        provider = adapter(server.url)
        first = provider.refund(charge, Money(1999, "EUR"), key="mb_1")
        second = provider.refund(charge, Money(1999, "EUR"), key="mb_2")
    assert isinstance(first, Pending)
    assert isinstance(second, Pending)
    told = _read_whole(adyen.outcome(first.refund_id), adyen.outcome(second.refund_id))
    assert [notice.reported for notice in told] == [
        Paid(first.refund_id, Money(1999, "EUR")),
        Failed(second.refund_id, "Insufficient balance on payment"),
    ]
    assert {notice.charge for notice in told} == {charge}


def test_an_amount_is_in_adyens_own_minor_units() -> None:
    [notice] = _read_whole(signed(an_item(amount={"value": 279_000, "currency": "ISK"})))
    assert notice.reported == Paid(REFUND, Money(2790, "ISK"))


@pytest.mark.parametrize("amount", [{"value": 1, "currency": "XXX"}, {"value": 279_001, "currency": "ISK"}])
def test_an_amount_that_cannot_be_is_not_said(amount: dict[str, Any]) -> None:
    assert read(signed(an_item(amount=amount))) == [of_refund("REFUND", "true", None)]
    assert read(signed(an_item(success="false", amount=amount))) == [
        of_refund("REFUND", "false", Failed(REFUND, "REFUND"))
    ]


@pytest.mark.parametrize("reason", ["", "x" * 101, "\x07", 7, None, [], {}])
def test_a_reason_that_cannot_be_shown_is_the_event(reason: object) -> None:
    assert read(signed(an_item(success="false", reason=reason))) == [
        of_refund("REFUND", "false", Failed(REFUND, "REFUND"))
    ]


def test_another_merchant_of_the_company_is_not_ours() -> None:
    ours, theirs = signed(an_item()), signed(an_item(merchantAccountCode="MoneybackUS"))
    assert read(theirs, ours) == [of_refund("REFUND", "true", Paid(REFUND, TEN))]


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    good, bad = signed(an_item()), signed(an_item(), OTHER_KEY)
    assert isinstance(read(good, bad), InvalidSignature)
    assert isinstance(read(bad, good), InvalidSignature)
    assert isinstance(read(), InvalidSignature)
    assert isinstance(read(*[good] * 101), InvalidSignature)


def test_both_keys_count_while_one_takes_the_others_place() -> None:
    for key in (HMAC_KEY, OTHER_KEY):
        answer = read(signed(an_item(), key), keys=f"{OTHER_KEY}, {HMAC_KEY}")
        assert answer == [of_refund("REFUND", "true", Paid(REFUND, TEN))]


def test_a_webhook_of_days_ago_is_taken() -> None:
    body = webhook(signed(an_item()))
    late = AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, body, NOON + timedelta(days=30))
    assert not isinstance(late, InvalidSignature)


def test_the_signature_that_adyens_documents_show_is_taken() -> None:
    """docs.adyen.com, "Verify HMAC signatures": its key, its item and its signature."""
    item = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    }
    reader_of_theirs = AdyenWebhookParser(HMAC_KEY, "TestMerchant")
    assert reader_of_theirs.read({}, webhook(item), NOON) == []
    assert isinstance(reader_of_theirs.read({}, webhook(item | {"eventCode": "REFUND"}), NOON), InvalidSignature)


def test_without_a_key_nothing_is_proven() -> None:
    assert isinstance(read(signed(an_item()), keys=""), InvalidSignature)
    unset = create_webhook_parser(account("https://checkout-test.adyen.com"), provider_timeout_seconds=1.0)
    assert isinstance(unset.read({}, webhook(signed(an_item())), NOON), InvalidSignature)


def test_the_key_of_the_account_is_used() -> None:
    ours = create_webhook_parser(
        account("https://checkout-test.adyen.com", hmac_key=HMAC_KEY), provider_timeout_seconds=1.0
    )
    assert len([*ours.read({}, webhook(signed(an_item())), NOON)]) == 1  # type: ignore[misc]


@pytest.mark.parametrize("key", ["no hex", "44782", "44 78", "ä"])
def test_a_key_that_is_no_hex_is_told_at_once_and_not_quoted(key: str) -> None:
    with pytest.raises(AdyenHmacKeyError) as told:
        AdyenWebhookParser(f"{HMAC_KEY},{key}", MERCHANT)
    assert key not in str(told.value)


def changed(**changes: object) -> Callable[[], dict[str, Any]]:
    """Signed, and changed afterwards."""
    return lambda: signed(an_item()) | changes


def _without(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: {key: value for key, value in signed(an_item()).items() if key != name}


def _wrapping() -> dict[str, Any]:
    """Adyen's SDK checks the signature of an item within the item: that one is good, and says something else."""
    inner: dict[str, Any] = json.loads(webhook(signed(an_item(success="false"))))
    return an_item(additionalData={"hmacSignature": "x"}) | inner


def _shifted() -> dict[str, Any]:
    """The same signature fits, if a colon may move a field on."""
    item = signed(an_item(pspReference="A:B", originalReference="C"))
    return item | {"pspReference": "A", "originalReference": "B:C"}


FORGED: dict[str, Callable[[], dict[str, Any]]] = {
    "by another key": lambda: signed(an_item(), OTHER_KEY),
    "of another refund": changed(pspReference="0000000000000000"),
    "of another charge": changed(originalReference="0000000000000000"),
    "of another merchant": changed(merchantAccountCode="Somebody"),
    "of another reference": changed(merchantReference="mb_1"),
    "of another amount": changed(amount={"value": 1001, "currency": "EUR"}),
    "of another currency": changed(amount={"value": 1000, "currency": "USD"}),
    "of another event": changed(eventCode="REFUND_FAILED"),
    "of another success": changed(success="false"),
    "of an item within": _wrapping,
    "with a colon": _shifted,
    "with an amount that is a text": lambda: signed(an_item(amount={"value": "1000", "currency": "EUR"})),
    "with an amount that is a truth": lambda: signed(an_item(amount={"value": True, "currency": "EUR"})),
    "with a success that is a truth": lambda: signed(an_item() | {"success": True}),
    "with half a character": lambda: signed(an_item()) | {"merchantReference": "\ud800"},
    "without an amount": _without("amount"),
    "without a signature": _without("additionalData"),
    "without an event": _without("eventCode"),
    "with an empty signature": changed(additionalData={"hmacSignature": ""}),
    "with a signature that is a number": changed(additionalData={"hmacSignature": 7}),
    "with a signature beyond ASCII": changed(additionalData={"hmacSignature": "ä"}),
    "with nothing to say": dict,
}


@pytest.mark.parametrize("how", FORGED)
def test_a_signature_proves_nothing(how: str) -> None:
    assert isinstance(read(FORGED[how]()), InvalidSignature)


def test_what_is_not_signed_does_not_count() -> None:
    """How the dispute stands beside its event, what was modified, whether it is live: anybody may have written it."""
    extra = {"disputeStatus": "Won", "modification.action": "refund"}
    told = read(signed(an_item("CHARGEBACK", additionalData=extra)))
    assert told == [
        WebhookEvent(f"{REFUND} CHARGEBACK true", Subject.DISPUTE, CHARGE, reported=DisputeStatus(Dispute.LOST, REFUND))
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'{"notificationItems": 7}',
        b'{"notificationItems": [7]}',
        b'{"notificationItems": [{}]}',
        b'{"notificationItems": [{"NotificationRequestItem": 7}]}',
        b'{"notificationItems": [{"NotificationRequestItem": []}]}',
        b'{"notificationItems": [{"NotificationRequestItem": "amount"}]}',
        b'{"notificationItems": {"NotificationRequestItem": {}}}',
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_garbage_is_refused(body: bytes) -> None:
    assert isinstance(AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, body, NOON), InvalidSignature)


@settings(max_examples=200, deadline=None)
@given(st.binary())
def test_any_bytes_are_refused(body: bytes) -> None:
    assert isinstance(AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, body, NOON), InvalidSignature)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["value", "currency", "hmacSignature"]), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*an_item(), "additionalData"]), JSON, min_size=1))
def test_an_item_that_was_changed_is_refused_or_says_the_same(changes: dict[str, Any]) -> None:
    item = signed(an_item())
    answer = read(item | changes)
    assert isinstance(answer, InvalidSignature) or answer == read(item)

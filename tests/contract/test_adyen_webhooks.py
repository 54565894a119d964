"""Tests of Adyen's webhooks. The tests sign the examples of Adyen's API description, and the parser must read each example.

Invalid webhooks must be refused.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domain.money import Money
from domain.providers import DeclineReason, DisputeStatus, Failed, Paid, Pending
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent
from tests.contract.specs.validator import SpecValidator
from tests.doubles.adyen import HMAC_KEY, MERCHANT, FakeAdyen, account, adapter, signed, webhook
from tests.doubles.faulty_server import FaultyServer
from worker.providers.adyen.webhooks import (
    DISPUTES,
    REFUNDS,
    AdyenHmacKeyError,
    AdyenWebhookParser,
    create_webhook_parser,
)
from worker.providers.disputes import select_latest_reports

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OTHER_KEY = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"
CHARGE, REFUND = "9913140798220028", "QFQTPCQ8HXSKGK82"
TEN_EUROS = Money(1000, "EUR")
SPEC = SpecValidator("adyen-webhooks-v1-refunds.json")


def example(event: str) -> dict[str, Any]:
    """Return the item from the example that Adyen's API description has for this event."""
    body = SPEC.description["components"]["examples"][f"post-{event}-{event.lower()}"]["value"]
    item: dict[str, Any] = body["notificationItems"][0]["NotificationRequestItem"]
    return item | {"merchantAccountCode": MERCHANT}


def an_item(event: str = "REFUND", success: str = "true", **changes: object) -> dict[str, Any]:
    return example("REFUND") | {"eventCode": event, "success": success, "reason": ""} | changes


def read(*items: dict[str, Any], keys: str = HMAC_KEY) -> list[WebhookEvent] | InvalidSignature:
    answer = AdyenWebhookParser(keys, MERCHANT).read({}, webhook(*items), NOON)
    return answer if isinstance(answer, InvalidSignature) else [*answer]


def refund_event(event: str, success: str, reported: Paid | Pending | Failed | None) -> WebhookEvent:
    return WebhookEvent(f"{REFUND} {event} {success}", Subject.REFUND, CHARGE, REFUND, reported=reported)


def dispute_event(event: str, dispute: Dispute) -> WebhookEvent:
    status = DisputeStatus(dispute, REFUND)
    return WebhookEvent(f"{REFUND} {event} true", Subject.DISPUTE, CHARGE, dispute_id=REFUND, reported=status)


EXPECTED_EVENTS: dict[str, WebhookEvent] = {
    "REFUND": refund_event(
        "REFUND",
        "false",
        Failed(REFUND, "Transaction hasn't been captured, refund not possible", DeclineReason.DECLINED_LATER),
    ),
    "REFUND_FAILED": refund_event("REFUND_FAILED", "true", Failed(REFUND, "Refund Failed")),
    "REFUNDED_REVERSED": refund_event("REFUNDED_REVERSED", "true", Failed(REFUND, "test_AUTHORISATION_1")),
    "CANCEL_OR_REFUND": refund_event("CANCEL_OR_REFUND", "true", Paid(REFUND, TEN_EUROS)),
    "POSTPONED_REFUND": refund_event("POSTPONED_REFUND", "true", Pending(REFUND, TEN_EUROS)),
    "VOID_PENDING_REFUND": refund_event(
        "VOID_PENDING_REFUND", "true", Failed(REFUND, "VOID_PENDING_REFUND", DeclineReason.CANCELLED)
    ),
    **{
        event: dispute_event(event, dispute)
        for event, dispute in (
            ("REQUEST_FOR_INFORMATION", Dispute.INQUIRY),
            ("NOTIFICATION_OF_CHARGEBACK", Dispute.OPEN),
            ("CHARGEBACK", Dispute.LOST),
            ("CHARGEBACK_REVERSED", Dispute.OPEN),
        )
    },
}


@pytest.mark.parametrize("event", EXPECTED_EVENTS)
def test_each_example_of_adyens_api_description_is_parsed(event: str) -> None:
    """The expected charge is read from the example, because the examples name different charges or no charge."""
    item = example(event)
    assert read(signed(item)) == [replace(EXPECTED_EVENTS[event], charge=item.get("originalReference"))]


def test_every_event_of_adyens_api_description_has_an_expected_result() -> None:
    assert {path.removeprefix("/") for path in SPEC.description["webhooks"]} == EXPECTED_EVENTS.keys()


def test_the_webhooks_of_these_tests_match_adyens_api_description() -> None:
    spec = SpecValidator("adyen-webhooks-v1-refunds.json")
    spec.check("RefundNotificationRequest", json.loads(webhook(signed(an_item()))))
    assert spec.checked_calls == 0
    assert spec.errors == []


@pytest.mark.parametrize(("event", "success"), REFUNDS)
def test_every_refund_event_reports_the_status_of_the_refund(event: str, success: str) -> None:
    [webhook_event] = read_events(signed(an_item(event, success)))
    failed = {
        ("REFUND", "false"): DeclineReason.DECLINED_LATER,
        ("REFUND_FAILED", "true"): DeclineReason.PERMANENT,
        ("REFUNDED_REVERSED", "true"): DeclineReason.PERMANENT,
        ("VOID_PENDING_REFUND", "true"): DeclineReason.CANCELLED,
        ("CANCEL_OR_REFUND", "false"): DeclineReason.DECLINED_LATER,
    }
    expected = Pending(REFUND, TEN_EUROS) if event == "POSTPONED_REFUND" else Paid(REFUND, TEN_EUROS)
    assert webhook_event == refund_event(
        event,
        success,
        Failed(REFUND, event, failed[event, success]) if (event, success) in failed else expected,
    )


@pytest.mark.parametrize("text", ["Cancelled by the seller", "Insufficient balance on payment", "", None, 7])
def test_the_reason_that_adyen_does_not_sign_decides_nothing(text: object) -> None:
    events = read_events(*(signed(an_item(*kind, reason=text)) for kind in sorted(REFUNDS)))
    plain = read_events(*(signed(an_item(*kind)) for kind in sorted(REFUNDS)))
    reasons = [event.reported.reason if isinstance(event.reported, Failed) else None for event in events]
    assert reasons == [event.reported.reason if isinstance(event.reported, Failed) else None for event in plain]


DISPUTE_EVENTS = {
    Dispute.INQUIRY: ["NOTIFICATION_OF_FRAUD", "REQUEST_FOR_INFORMATION"],
    Dispute.OPEN: [
        "ISSUER_COMMENTS",
        "INFORMATION_SUPPLIED",
        "NOTIFICATION_OF_CHARGEBACK",
        "CHARGEBACK_REVERSED",
        "PREARBITRATION_OPEN",
        "PREARBITRATION_DECLINED",
        "PREARBITRATION_ISSUER_WITHDRAWN",
        "SCHEME_ARBITRATION",
    ],
    Dispute.LOST: [
        "CHARGEBACK",
        "DISPUTE_DEFENSE_PERIOD_ENDED",
        "PREARBITRATION_ACCEPTED",
        "SECOND_CHARGEBACK",
        "PREARBITRATION_LOST",
        "SCHEME_ARBITRATION_LOST",
    ],
    Dispute.WON: ["ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "PREARBITRATION_WON", "SCHEME_ARBITRATION_WON"],
}


@pytest.mark.parametrize(
    ("status", "event"), [(status, event) for status, events in DISPUTE_EVENTS.items() for event in events]
)
def test_every_dispute_event_reports_the_status_of_the_dispute(status: Dispute, event: str) -> None:
    [webhook_event] = read_events(signed(an_item(event)))
    assert webhook_event == dispute_event(event, status)
    assert read(signed(an_item(event, "false"))) == []


def test_no_dispute_event_is_without_an_expected_status() -> None:
    assert {event for events in DISPUTE_EVENTS.values() for event in events} == DISPUTES.keys()


@pytest.mark.parametrize("original", [{}, {"originalReference": ""}, {"originalReference": None}])
@pytest.mark.parametrize("event", ["CHARGEBACK_REVERSED", "ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "PREARBITRATION_WON"])
def test_a_dispute_event_without_a_payment_names_the_dispute(event: str, original: dict[str, object]) -> None:
    """An earlier event with the same PSP reference names the payment."""
    item = {name: value for name, value in an_item(event).items() if name != "originalReference"}
    [webhook_event] = read_events(signed(item | original))
    assert (webhook_event.charge, webhook_event.dispute_id, webhook_event.refund_id) == (None, REFUND, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"merchantReference": None},
        {"merchantReference": None, "originalReference": None},
        {"merchantReference": None, "reason": None, "paymentMethod": None},
    ],
)
@pytest.mark.parametrize("event", ["REFUND", "REFUND_FAILED", "CHARGEBACK", "POSTPONED_REFUND"])
def test_a_signed_field_that_is_null_counts_as_absent(event: str, changes: dict[str, object]) -> None:
    item = an_item(event) | changes
    absent = {name: value for name, value in item.items() if value is not None}
    assert read_events(signed(item)) == read_events(signed(absent))


@pytest.mark.parametrize("reference", [5, [], {}, True])
def test_a_merchant_reference_that_is_no_text_is_not_accepted(reference: object) -> None:
    assert isinstance(read(signed(an_item(merchantReference=reference))), InvalidSignature)


FLOWS: dict[Dispute, list[list[str]]] = {
    Dispute.INQUIRY: [
        ["NOTIFICATION_OF_FRAUD"],
        ["REQUEST_FOR_INFORMATION", "INFORMATION_SUPPLIED"],
        ["NOTIFICATION_OF_FRAUD", "REQUEST_FOR_INFORMATION", "ISSUER_COMMENTS"],
    ],
    Dispute.OPEN: [
        ["INFORMATION_SUPPLIED"],
        ["REQUEST_FOR_INFORMATION", "NOTIFICATION_OF_CHARGEBACK"],
        ["NOTIFICATION_OF_CHARGEBACK", "INFORMATION_SUPPLIED", "CHARGEBACK", "CHARGEBACK_REVERSED"],
        ["CHARGEBACK", "CHARGEBACK_REVERSED", "PREARBITRATION_OPEN", "PREARBITRATION_ISSUER_WITHDRAWN"],
        ["CHARGEBACK", "CHARGEBACK_REVERSED", "PREARBITRATION_OPEN", "PREARBITRATION_DECLINED", "SCHEME_ARBITRATION"],
    ],
    Dispute.LOST: [
        ["NOTIFICATION_OF_CHARGEBACK", "DISPUTE_DEFENSE_PERIOD_ENDED", "CHARGEBACK"],
        ["CHARGEBACK", "INFORMATION_SUPPLIED"],
        ["CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"],
        ["CHARGEBACK_REVERSED", "PREARBITRATION_OPEN", "PREARBITRATION_ACCEPTED", "SECOND_CHARGEBACK"],
        ["CHARGEBACK_REVERSED", "SECOND_CHARGEBACK", "PREARBITRATION_LOST"],
        ["PREARBITRATION_DECLINED", "SCHEME_ARBITRATION", "SCHEME_ARBITRATION_LOST", "SECOND_CHARGEBACK"],
    ],
    Dispute.WON: [
        ["CHARGEBACK", "INFORMATION_SUPPLIED", "CHARGEBACK_REVERSED", "ISSUER_RESPONSE_TIMEFRAME_EXPIRED"],
        ["CHARGEBACK_REVERSED", "SECOND_CHARGEBACK", "PREARBITRATION_WON"],
        ["CHARGEBACK_REVERSED", "PREARBITRATION_OPEN", "PREARBITRATION_DECLINED", "ISSUER_RESPONSE_TIMEFRAME_EXPIRED"],
        ["PREARBITRATION_OPEN", "PREARBITRATION_DECLINED", "SCHEME_ARBITRATION", "SCHEME_ARBITRATION_WON"],
    ],
}


@pytest.mark.parametrize(("status", "flow"), [(status, flow) for status, flows in FLOWS.items() for flow in flows])
def test_a_dispute_has_the_status_of_its_flow_whatever_the_order_of_the_webhooks(
    status: Dispute, flow: list[str]
) -> None:
    events = read_events(*(signed(an_item(event)) for event in flow))
    reports = [event.reported for event in events if isinstance(event.reported, DisputeStatus)]
    for order in permutations(reports):
        assert select_latest_reports(order) == [DisputeStatus(status, REFUND)]


@pytest.mark.parametrize(
    ("text", "deadline"),
    [
        ("2021-07-31T03:03:07+02:00", datetime(2021, 7, 31, 1, 3, 7, tzinfo=UTC)),
        ("2026-12-24T00:00:00Z", datetime(2026, 12, 24, tzinfo=UTC)),
        ("2021-07-31T03:03:07", None),
        ("soon", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
@pytest.mark.parametrize("event", ["REQUEST_FOR_INFORMATION", "NOTIFICATION_OF_CHARGEBACK"])
def test_a_dispute_event_reports_the_end_of_the_defense_period(
    event: str, text: object, deadline: datetime | None
) -> None:
    [webhook_event] = read_events(signed(an_item(event, additionalData={"defensePeriodEndsAt": text})))
    assert isinstance(webhook_event.reported, DisputeStatus)
    assert webhook_event.reported.respond_by == deadline


UNUSED_EVENTS = [
    "AUTHORISATION",
    "CAPTURE",
    "REFUND_WITH_DATA",
    "REFUND_NOT_CLEARED",
    "PREARBITRATION_POSTPONED",
    "refund",
]


@pytest.mark.parametrize("event", UNUSED_EVENTS)
def test_an_event_of_an_unused_type_is_ignored(event: str) -> None:
    assert read(signed(an_item(event))) == []


@pytest.mark.parametrize(
    ("event", "success"), [("REFUND", "maybe"), ("REFUND_FAILED", "false"), ("POSTPONED_REFUND", "false")]
)
def test_an_event_with_an_undocumented_value_of_success_is_ignored(event: str, success: str) -> None:
    assert read(signed(an_item(event, success))) == []


def read_events(*items: dict[str, Any]) -> list[WebhookEvent]:
    answer = read(*items)
    assert not isinstance(answer, InvalidSignature)
    return answer


def test_the_response_body_is_the_body_that_adyen_requires() -> None:
    assert AdyenWebhookParser(HMAC_KEY, MERCHANT).answer == b"[accepted]"


def test_an_event_reports_the_outcome_of_a_pending_refund() -> None:
    adyen = FakeAdyen()
    charge = adyen.add_payment("993617894903480A")
    with FaultyServer(adyen.answer) as server:
        provider = adapter(server.url)
        first = provider.refund(charge, Money(1999, "EUR"), key="mb_1")
        second = provider.refund(charge, Money(1999, "EUR"), key="mb_2")
    assert isinstance(first, Pending)
    assert isinstance(second, Pending)
    events = read_events(adyen.outcome(first.refund_id), adyen.outcome(second.refund_id))
    assert [event.reported for event in events] == [
        Paid(first.refund_id, Money(1999, "EUR")),
        Failed(second.refund_id, "Insufficient balance on payment", DeclineReason.DECLINED_LATER),
    ]
    assert {event.charge for event in events} == {charge}


def test_an_amount_is_in_adyens_own_minor_units() -> None:
    [event] = read_events(signed(an_item(amount={"value": 279_000, "currency": "ISK"})))
    assert event.reported == Paid(REFUND, Money(2790, "ISK"))


@pytest.mark.parametrize("amount", [{"value": 1, "currency": "XXX"}, {"value": 279_001, "currency": "ISK"}])
def test_an_event_with_an_impossible_amount_reports_no_amount(amount: dict[str, Any]) -> None:
    assert read(signed(an_item(amount=amount))) == [refund_event("REFUND", "true", None)]
    assert read(signed(an_item(success="false", amount=amount))) == [
        refund_event("REFUND", "false", Failed(REFUND, "REFUND", DeclineReason.DECLINED_LATER))
    ]


@pytest.mark.parametrize("reason", ["", "x" * 101, "\x07", 7, None, [], {}])
def test_an_invalid_reason_is_replaced_by_the_event_code(reason: object) -> None:
    assert read(signed(an_item(success="false", reason=reason))) == [
        refund_event("REFUND", "false", Failed(REFUND, "REFUND", DeclineReason.DECLINED_LATER))
    ]


def test_items_of_another_merchant_account_are_ignored() -> None:
    item, other_item = signed(an_item()), signed(an_item(merchantAccountCode="MoneybackUS"))
    assert read(other_item, item) == [refund_event("REFUND", "true", Paid(REFUND, TEN_EUROS))]


def test_a_webhook_without_a_signed_item_or_with_a_wrong_number_of_items_is_refused() -> None:
    valid, invalid = signed(an_item()), signed(an_item(), OTHER_KEY)
    assert isinstance(read(invalid, invalid), InvalidSignature)
    assert isinstance(read(), InvalidSignature)
    assert isinstance(read(*[valid] * 101), InvalidSignature)


STRANGE_ITEMS: dict[str, object] = {
    **{f"of the type {event}": signed(an_item(event)) for event in UNUSED_EVENTS},
    "of an unused type without a signature": an_item("REPORT_AVAILABLE"),
    "of an unused type with another key": signed(an_item("PAYOUT_THIRDPARTY"), OTHER_KEY),
    "of another merchant account without a signature": an_item(merchantAccountCode="MoneybackUS"),
    "of an unused type without an amount": an_item("ORDER_CLOSED", amount=None),
    "of an unused type with a text as amount": an_item("RECURRING_CONTRACT", amount="0"),
    "with a list as event code": an_item() | {"eventCode": ["REFUND"]},
    "with an undocumented success": signed(an_item(success="maybe")),
    "signed with another key": signed(an_item("REFUND_FAILED"), OTHER_KEY),
    "without a signature": an_item("REFUND_FAILED"),
    "with a changed event code": signed(an_item()) | {"eventCode": "REFUND_FAILED"},
    "without an amount": signed(an_item("REFUND_FAILED")) | {"amount": None},
    "with a boolean success": signed(an_item("CHARGEBACK")) | {"success": True},
    "without fields": {},
    "that is a number": 7,
    "that is null": None,
    "that is a list": [],
}


@pytest.mark.parametrize("strange", STRANGE_ITEMS)
def test_a_strange_item_does_not_stop_the_items_beside_it(strange: str) -> None:
    refund, dispute, item = signed(an_item()), signed(an_item("CHARGEBACK")), STRANGE_ITEMS[strange]
    expected = read_events(refund, dispute)
    assert len(expected) == 2
    for items in ([item, refund, dispute], [refund, item, dispute], [refund, dispute, item]):
        assert AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, webhook(*items), NOON) == expected


def test_an_item_that_is_left_out_is_logged_without_its_content() -> None:
    with capture_logs() as logs:
        read(signed(an_item()), signed(an_item(), OTHER_KEY), an_item())
    assert logs == [{"event": "webhook_items_left_out", "log_level": "warning", "provider": "adyen", "items": 2}]


@pytest.mark.parametrize("row", [7, None, [], {}, "row", {"notificationRequestItem": {}}])
def test_a_row_without_an_item_does_not_stop_the_items_beside_it(row: object) -> None:
    body = json.loads(webhook(signed(an_item())))
    body["notificationItems"].insert(0, row)
    answer = AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, json.dumps(body).encode(), NOON)
    assert answer == [refund_event("REFUND", "true", Paid(REFUND, TEN_EUROS))]


def test_a_signature_with_either_of_two_configured_keys_is_valid() -> None:
    for key in (HMAC_KEY, OTHER_KEY):
        answer = read(signed(an_item(), key), keys=f"{OTHER_KEY}, {HMAC_KEY}")
        assert answer == [refund_event("REFUND", "true", Paid(REFUND, TEN_EUROS))]


def test_a_webhook_from_thirty_days_ago_is_accepted() -> None:
    body = webhook(signed(an_item()))
    late = AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, body, NOON + timedelta(days=30))
    assert not isinstance(late, InvalidSignature)


def test_the_example_signature_of_adyens_documents_is_valid() -> None:
    """The key, the item and the signature are from docs.adyen.com, "Verify HMAC signatures"."""
    item = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    }
    parser = AdyenWebhookParser(HMAC_KEY, "TestMerchant")
    assert parser.read({}, webhook(item), NOON) == []
    assert isinstance(parser.read({}, webhook(item | {"eventCode": "REFUND"}), NOON), InvalidSignature)


def test_every_webhook_is_refused_if_no_key_is_configured() -> None:
    assert isinstance(read(signed(an_item()), keys=""), InvalidSignature)
    parser = create_webhook_parser(account("https://checkout-test.adyen.com"), provider_timeout_seconds=1.0)
    assert isinstance(parser.read({}, webhook(signed(an_item())), NOON), InvalidSignature)


def test_the_parser_uses_the_hmac_key_of_the_account() -> None:
    parser = create_webhook_parser(
        account("https://checkout-test.adyen.com", hmac_key=HMAC_KEY), provider_timeout_seconds=1.0
    )
    assert len([*parser.read({}, webhook(signed(an_item())), NOON)]) == 1  # type: ignore[misc]


@pytest.mark.parametrize("key", ["no hex", "44782", "44 78", "ä"])
def test_the_error_about_an_invalid_key_does_not_contain_the_key(key: str) -> None:
    with pytest.raises(AdyenHmacKeyError) as refused:
        AdyenWebhookParser(f"{HMAC_KEY},{key}", MERCHANT)
    assert key not in str(refused.value)


def changed_after_signing(**changes: object) -> Callable[[], dict[str, Any]]:
    """Return a function that makes a signed item and then changes it."""
    return lambda: signed(an_item()) | changes


def _without(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: {key: value for key, value in signed(an_item()).items() if key != name}


def _nested_item() -> dict[str, Any]:
    """Return an item that contains another item with a valid signature. Adyen's SDK accepts the inner item."""
    inner: dict[str, Any] = json.loads(webhook(signed(an_item(success="false"))))
    return an_item(additionalData={"hmacSignature": "x"}) | inner


def _shifted_colon() -> dict[str, Any]:
    """Return a signed item in which a colon was moved to another field. The move does not change the text that Adyen signs."""
    item = signed(an_item(pspReference="A:B", originalReference="C"))
    return item | {"pspReference": "A", "originalReference": "B:C"}


INVALID_ITEMS: dict[str, Callable[[], dict[str, Any]]] = {
    "signed with another key": lambda: signed(an_item(), OTHER_KEY),
    "with a changed refund": changed_after_signing(pspReference="0000000000000000"),
    "with a changed charge": changed_after_signing(originalReference="0000000000000000"),
    "with a changed merchant account": changed_after_signing(merchantAccountCode="Somebody"),
    "with a changed reference": changed_after_signing(merchantReference="mb_1"),
    "with a changed amount": changed_after_signing(amount={"value": 1001, "currency": "EUR"}),
    "with a changed currency": changed_after_signing(amount={"value": 1000, "currency": "USD"}),
    "with a changed event code": changed_after_signing(eventCode="REFUND_FAILED"),
    "with a changed success": changed_after_signing(success="false"),
    "with a valid signature only inside a nested item": _nested_item,
    "with a colon moved to another field": _shifted_colon,
    "with a text as amount": lambda: signed(an_item(amount={"value": "1000", "currency": "EUR"})),
    "with a boolean amount": lambda: signed(an_item(amount={"value": True, "currency": "EUR"})),
    "with a boolean success": lambda: signed(an_item() | {"success": True}),
    "with a lone surrogate": lambda: signed(an_item()) | {"merchantReference": "\ud800"},
    "without an amount": _without("amount"),
    "without a signature": _without("additionalData"),
    "without an event code": _without("eventCode"),
    "with an empty signature": changed_after_signing(additionalData={"hmacSignature": ""}),
    "with a signature that is a number": changed_after_signing(additionalData={"hmacSignature": 7}),
    "with a non-ASCII signature": changed_after_signing(additionalData={"hmacSignature": "ä"}),
    "without fields": dict,
}


@pytest.mark.parametrize("how", INVALID_ITEMS)
def test_an_invalid_signature_is_refused(how: str) -> None:
    assert isinstance(read(INVALID_ITEMS[how]()), InvalidSignature)


def test_unsigned_fields_are_ignored() -> None:
    """The signature does not cover the fields `disputeStatus` and `modification.action`, so they are no evidence."""
    extra = {"disputeStatus": "Won", "modification.action": "refund"}
    events = read(signed(an_item("CHARGEBACK", additionalData=extra)))
    assert events == [dispute_event("CHARGEBACK", Dispute.LOST)]


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
def test_an_unreadable_body_is_refused(body: bytes) -> None:
    assert isinstance(AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, body, NOON), InvalidSignature)


@settings(max_examples=200, deadline=None)
@given(st.binary())
def test_random_bytes_are_refused(body: bytes) -> None:
    assert isinstance(AdyenWebhookParser(HMAC_KEY, MERCHANT).read({}, body, NOON), InvalidSignature)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["value", "currency", "hmacSignature"]), inner),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*an_item(), "additionalData"]), JSON, min_size=1))
def test_a_changed_item_is_refused_or_has_the_same_events(changes: dict[str, Any]) -> None:
    item = signed(an_item())
    answer = read(item | changes)
    assert isinstance(answer, InvalidSignature) or answer == read(item)

"""Whatever comes as a webhook, signed or not, is refused or read: no crash, no hang. MONEYBACK_FUZZ_SECONDS as for mails."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as some
from pydantic import SecretStr

from domain.webhook_events import InvalidSignature, WebhookEvent, WebhookParser
from tests.contract import (
    test_adyen_webhooks,
    test_braintree_webhooks,
    test_mollie_webhooks,
    test_paypal_webhooks,
    test_stripe_webhooks,
)
from tests.doubles.adyen import HMAC_KEY, MERCHANT, signed, webhook
from tests.fuzz import run_fuzz
from worker.providers.adyen.webhooks import AdyenWebhookParser
from worker.providers.stripe.webhooks import StripeWebhookParser

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Headers = Mapping[str, str]


class Heard(NamedTuple):
    """One provider: its reader, a webhook as it sends them, and how it signs any body."""

    reader: Callable[[], WebhookParser]
    sample: Callable[[], bytes]
    signed: Callable[[bytes], tuple[Headers, bytes]]


def of_stripe(body: bytes) -> tuple[Headers, bytes]:
    text = body.decode("utf-8", "replace").encode()
    return {"stripe-signature": test_stripe_webhooks.signature(text)}, text


def of_adyen(body: bytes) -> tuple[Headers, bytes]:
    """Only an item can be signed: words go where its own were."""
    words = body.decode("utf-8", "replace")
    item = test_adyen_webhooks.an_item(reason=words, merchantReference=words[:80])
    return {}, webhook(signed(item))


HEARD = {
    "stripe": Heard(
        lambda: StripeWebhookParser(SecretStr(test_stripe_webhooks.SECRET)),
        lambda: test_stripe_webhooks.event("refund.failed", test_stripe_webhooks.REFUND),
        of_stripe,
    ),
    "paypal": Heard(
        test_paypal_webhooks.reading,
        lambda: test_paypal_webhooks.BODY,
        lambda body: (test_paypal_webhooks.signed(body), body),
    ),
    "adyen": Heard(
        lambda: AdyenWebhookParser(HMAC_KEY, MERCHANT),
        lambda: webhook(signed(test_adyen_webhooks.an_item())),
        of_adyen,
    ),
    "braintree": Heard(
        test_braintree_webhooks.a_reader,
        lambda: test_braintree_webhooks.a_notification(
            "refund_failed", NOW, transaction={"id": "r1", "amount": "1", "refunded_transaction_id": "dhpc9w"}
        ),
        lambda body: ({}, test_braintree_webhooks.a_form(body)),
    ),
    "mollie": Heard(
        lambda: test_mollie_webhooks.a_reader("whs_new"),
        test_mollie_webhooks.an_event,
        lambda body: (test_mollie_webhooks.signed(body, "whs_new"), body),
    ),
}

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=30),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def changed(sample: bytes, at: int, length: int, what: bytes) -> bytes:
    at %= len(sample) + 1
    return sample[:at] + what + sample[at + length :]


def with_other_values(sample: bytes, choices: Any) -> bytes:
    """The same document with other things in some of its places; what is no JSON stays as it is."""
    try:
        document = json.loads(sample)
    except ValueError:
        return sample
    places = [document]
    while places:
        place = places.pop()
        for key in place if isinstance(place, dict) else range(len(place)):
            if choices.draw(some.integers(0, 7)) == 0:
                place[key] = choices.draw(VALUES)
            elif isinstance(place[key], dict | list):
                places.append(place[key])
    return json.dumps(document).encode()


@pytest.mark.parametrize("provider", HEARD)
def test_whatever_comes_is_refused_or_read(provider: str) -> None:
    heard = HEARD[provider]
    reader, sample = heard.reader(), heard.sample()
    names = some.sampled_from([*heard.signed(sample)[0], "content-type", "stripe-signature", "x-mollie-signature"])
    headers = some.dictionaries(names, some.text(max_size=60), max_size=4)
    spoiled = some.builds(
        changed, some.just(sample), some.integers(0, 5_000), some.integers(0, 60), some.binary(max_size=60)
    )
    bodies = some.binary(max_size=200) | spoiled | some.sampled_from([b"[" * 50_000, b"9" * 5_000, b"\xff" * 99, b""])

    def is_refused(piece: tuple[dict[str, str], bytes]) -> None:
        assert told(reader.read(*piece, NOW))

    def is_read(choices: Any) -> None:
        body = with_other_values(sample, choices) if choices.draw(some.booleans()) else choices.draw(bodies)
        assert told(reader.read(*heard.signed(body), NOW))

    assert not isinstance(
        reader.read(*heard.signed(sample), NOW), InvalidSignature
    )  # else nothing below is really signed
    assert run_fuzz(some.tuples(headers, bodies), is_refused) > 0
    assert run_fuzz(some.data(), is_read) > 0


def told(answer: object) -> bool:
    return isinstance(answer, InvalidSignature) or (
        isinstance(answer, list | tuple) and all(isinstance(one, WebhookEvent) for one in answer)
    )

"""A webhook parser refuses or parses any input, signed or unsigned. It never crashes and never hangs.

The environment variable MONEYBACK_FUZZ_SECONDS sets the duration of the tests.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from pydantic import SecretStr

from domain.webhook_events import InvalidSignature, UnreadableWebhook, WebhookEvent, WebhookParser
from tests.contract import (
    test_adyen_webhooks,
    test_braintree_webhooks,
    test_mollie_webhooks,
    test_paypal_webhooks,
    test_stripe_webhooks,
)
from tests.doubles import paypal_certificates
from tests.doubles.adyen import HMAC_KEY, MERCHANT, signed, webhook
from tests.fuzz import run_fuzz
from worker.providers.adyen.webhooks import AdyenWebhookParser
from worker.providers.stripe.webhooks import StripeWebhookParser

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Headers = Mapping[str, str]


class ProviderWebhooks(NamedTuple):
    """The webhooks of one provider: the parser, a sample body, and a function that signs any body."""

    parser: Callable[[], WebhookParser]
    sample: Callable[[], bytes]
    sign: Callable[[bytes], tuple[Headers, bytes]]


def sign_for_stripe(body: bytes) -> tuple[Headers, bytes]:
    text = body.decode("utf-8", "replace").encode()
    return {"stripe-signature": test_stripe_webhooks.signature(text)}, text


def sign_for_adyen(body: bytes) -> tuple[Headers, bytes]:
    """Return a webhook with a signed item that contains ``body`` in two text fields. Adyen signs items and not whole bodies."""
    text = body.decode("utf-8", "replace")
    item = test_adyen_webhooks.an_item(reason=text, merchantReference=text[:80])
    return {}, webhook(signed(item))


PROVIDERS = {
    "stripe": ProviderWebhooks(
        lambda: StripeWebhookParser(SecretStr(test_stripe_webhooks.SECRET)),
        lambda: test_stripe_webhooks.event("refund.failed", test_stripe_webhooks.REFUND),
        sign_for_stripe,
    ),
    "paypal": ProviderWebhooks(
        test_paypal_webhooks.a_parser,
        lambda: test_paypal_webhooks.BODY,
        lambda body: (paypal_certificates.signed(body), body),
    ),
    "adyen": ProviderWebhooks(
        lambda: AdyenWebhookParser(HMAC_KEY, MERCHANT),
        lambda: webhook(signed(test_adyen_webhooks.an_item())),
        sign_for_adyen,
    ),
    "braintree": ProviderWebhooks(
        test_braintree_webhooks.a_parser,
        lambda: test_braintree_webhooks.a_notification(
            "refund_failed", NOW, transaction={"id": "r1", "amount": "1", "refunded_transaction_id": "dhpc9w"}
        ),
        lambda body: ({}, test_braintree_webhooks.a_form(body)),
    ),
    "mollie": ProviderWebhooks(
        lambda: test_mollie_webhooks.a_parser("whs_new"),
        test_mollie_webhooks.an_event,
        lambda body: (test_mollie_webhooks.signed(body, "whs_new"), body),
    ),
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def with_other_bytes(sample: bytes, start: int, length: int, replacement: bytes) -> bytes:
    start %= len(sample) + 1
    return sample[:start] + replacement + sample[start + length :]


def with_other_values(sample: bytes, choices: Any) -> bytes:
    """Return the JSON document ``sample`` with random values in some places. If ``sample`` is not JSON, return it unchanged."""
    try:
        document = json.loads(sample)
    except ValueError:
        return sample
    containers = [document]
    while containers:
        container = containers.pop()
        for key in container if isinstance(container, dict) else range(len(container)):
            if choices.draw(st.integers(0, 7)) == 0:
                container[key] = choices.draw(VALUES)
            elif isinstance(container[key], dict | list):
                containers.append(container[key])
    return json.dumps(document).encode()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_random_webhooks_are_refused_or_parsed(provider: str) -> None:
    webhooks = PROVIDERS[provider]
    parser, sample = webhooks.parser(), webhooks.sample()
    names = st.sampled_from([*webhooks.sign(sample)[0], "content-type", "stripe-signature", "x-mollie-signature"])
    headers = st.dictionaries(names, st.text(max_size=60), max_size=4)
    damaged = st.builds(
        with_other_bytes, st.just(sample), st.integers(0, 5_000), st.integers(0, 60), st.binary(max_size=60)
    )
    bodies = st.binary(max_size=200) | damaged | st.sampled_from([b"[" * 50_000, b"9" * 5_000, b"\xff" * 99, b""])

    def check_unsigned(webhook: tuple[dict[str, str], bytes]) -> None:
        assert is_result(parser.read(*webhook, NOW))

    def check_signed(choices: Any) -> None:
        body = with_other_values(sample, choices) if choices.draw(st.booleans()) else choices.draw(bodies)
        assert is_result(parser.read(*webhooks.sign(body), NOW))

    assert not isinstance(parser.read(*webhooks.sign(sample), NOW), InvalidSignature), (
        "The parser refuses the sample, so this test does not sign webhooks correctly."
    )
    assert run_fuzz(st.tuples(headers, bodies), check_unsigned) > 0
    assert run_fuzz(st.data(), check_signed) > 0


def is_result(result: object) -> bool:
    return isinstance(result, InvalidSignature | UnreadableWebhook) or (
        isinstance(result, list | tuple) and all(isinstance(event, WebhookEvent) for event in result)
    )

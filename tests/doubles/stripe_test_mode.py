"""A fake of Stripe's test mode: payments are made with test cards, and then refunded by the fake of Stripe's API."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.doubles.stripe import API_KEY, Answer, FakeStripe, _Handler, _Server, error_response

SECRET_KEY = "sk_test_for_tests_only"
RESTRICTED_KEY = API_KEY
TEST_CARDS = {
    "pm_card_visa": "visa",
    "pm_card_mastercard": "mastercard",
}  # source: Stripe's documentation, "Test card numbers"


class StripeTestMode(FakeStripe):
    """The fake of Stripe's API, with `POST /v1/payment_intents` for the owner of the secret key."""

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: str) -> Answer:
        """Make a payment, or answer any other call as the fake of Stripe's API does."""
        if (method, urlsplit(target).path) != ("POST", "/v1/payment_intents"):
            return super().answer(method, target, headers, body)
        with self.lock:
            if _key_in(headers) != SECRET_KEY:
                return error_response(403, "more_permissions_required")
            return self._pay(dict(parse_qsl(body)))

    def _pay(self, parameters: Mapping[str, str]) -> Answer:
        """Create and confirm a payment intent. The parameters that a confirmed card payment needs must be given."""
        card = TEST_CARDS.get(parameters.get("payment_method", ""))
        if card is None or parameters.get("confirm") != "true" or parameters.get("payment_method_types[]") != "card":
            return error_response(400, "parameter_missing")
        number = len(self.charges) + 1
        intent: dict[str, Any] = {
            "id": f"pi_{number}",
            "object": "payment_intent",
            "amount": int(parameters["amount"]),
            "currency": parameters["currency"],
            "status": "succeeded",
        }
        facts = {
            "created": int(time.time()),
            "description": parameters.get("description"),
            "metadata": {name[9:-1]: value for name, value in parameters.items() if name.startswith("metadata[")},
            "receipt_email": parameters.get("receipt_email"),
            "payment_method_details": {
                "type": "card",
                "card": {"brand": card, "fingerprint": "card_1", "wallet": None},
            },
        }
        self.add_charge(
            f"ch_{number}",
            amount=intent["amount"],
            currency=intent["currency"],
            payment_intent=intent["id"],
            fields=facts,
        )
        return 200, intent, {}


def _key_in(headers: Mapping[str, str]) -> str:
    """Return the API key. Stripe accepts the key as a bearer token, or as the user name of HTTP basic authentication."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value if scheme == "Bearer" else b64decode(value).decode().removesuffix(":")


def event(kind: str, resource: Mapping[str, Any]) -> bytes:
    """Return the body of a webhook event about a resource of the API."""
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": dict(resource)}}).encode()


@contextmanager
def run_stripe_test_mode() -> Iterator[StripeTestMode]:
    """Serve Stripe's test mode on a port of this machine."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.fake = fake = StripeTestMode(url=f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join(20)

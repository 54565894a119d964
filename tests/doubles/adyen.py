"""A fake of Adyen's API that follows Adyen's documentation. Idempotency keys expire after 31 days."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from config.provider_accounts import AdyenAccount
from domain.providers import PaymentProvider
from tests.doubles.faulty_server import HttpRequest, HttpResponse
from worker.providers.adyen.adapter import create_adapter

API_KEY = "AQEyhmfxK4/LaxdDw0m/n3Q5qf3Ve59DLpw"
MERCHANT = "MoneybackEU"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
API_PATH = "/checkout/v72"
SIGNED_FIELDS = [
    "pspReference",
    "originalReference",
    "merchantAccountCode",
    "merchantReference",
    "amount.value",
    "amount.currency",
    "eventCode",
    "success",
]
_PATH = re.compile(rf"{API_PATH}/payments/([^/]+)/refunds")


@dataclass
class FakeAdyen:
    """The fake API and its data: payments, refunds, and one response for each idempotency key."""

    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The captured amount of each payment. The key is the payment's pspReference."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    roles: set[str] = field(default_factory=lambda: {"Checkout webservice role"})
    """The roles of the API credential."""
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    _responses: dict[str, tuple[datetime, HttpResponse]] = field(default_factory=dict)

    def add_payment(self, name: str, value: int = 1999, currency: str = "EUR") -> str:
        self.payments[name] = {"value": value, "currency": currency}
        return name

    def answer(self, request: HttpRequest) -> HttpResponse:
        match = _PATH.fullmatch(request.path)
        if request.headers.get("x-api-key") != API_KEY:
            return error_response(401, "000", "HTTP Status Response - Unauthorized", kind="security")
        if "Checkout webservice role" not in self.roles:
            return error_response(403, "010", "Not allowed", kind="security")
        if (request.method, request.path) == ("POST", f"{API_PATH}/paymentMethods"):
            return self._list_payment_methods(json.loads(request.body))
        if request.method != "POST" or not match:
            return HttpResponse(404, b"<html>Not found.</html>")
        key = request.headers["idempotency-key"]
        first_sent_at, response = self._responses.get(key, (datetime.min.replace(tzinfo=UTC), HttpResponse(500)))
        if self.now - first_sent_at < timedelta(days=31):
            return response
        response = self._create_refund(match[1], json.loads(request.body))
        self._responses[key] = (self.now, response)
        return response

    def _list_payment_methods(self, body: dict[str, Any]) -> HttpResponse:
        if body["merchantAccount"] != MERCHANT:
            return error_response(403, "901", "Invalid Merchant Account", kind="security")
        return _json_response(200, {"paymentMethods": [{"name": "Cards", "type": "scheme"}]})

    def _create_refund(self, payment: str, body: dict[str, Any]) -> HttpResponse:
        if body["merchantAccount"] != MERCHANT:
            return error_response(403, "901", "Invalid Merchant Account", kind="security")
        if payment not in self.payments:
            return error_response(422, "167", "Original pspReference required for this operation")
        return _json_response(201, self._add_refund(payment, body))

    def refund_in_customer_area(self, payment: str, value: int) -> str:
        """Add a refund, as if the seller made it in Adyen's Customer Area."""
        amount = self.payments[payment] | {"value": value}
        refund = self._add_refund(payment, {"merchantAccount": MERCHANT, "amount": amount, "reference": "a person"})
        return str(refund["pspReference"])

    def _add_refund(self, payment: str, body: dict[str, Any]) -> dict[str, Any]:
        name = f"{len(self.refunds):016}"
        refund = body | {"paymentPspReference": payment, "pspReference": name, "status": "received"}
        self.refunds.append(refund)
        return refund

    def outcome(self, refund: str) -> dict[str, Any]:
        """Return the webhook item with the outcome of a refund.

        The refund fails if its amount plus the earlier refunds of the payment exceeds the captured amount.
        """
        earlier_refunds = [row for row in self.refunds if row["pspReference"] < refund]
        row = next(row for row in self.refunds if row["pspReference"] == refund)
        earlier_amounts = [
            other["amount"]["value"]
            for other in earlier_refunds
            if other["paymentPspReference"] == row["paymentPspReference"]
        ]
        fits = row["amount"]["value"] + sum(earlier_amounts) <= self.payments[row["paymentPspReference"]]["value"]
        item = {
            "amount": row["amount"],
            "eventCode": "REFUND",
            "eventDate": "2026-11-22T12:00:00+01:00",
            "merchantAccountCode": MERCHANT,
            "merchantReference": row["reference"],
            "originalReference": row["paymentPspReference"],
            "paymentMethod": "visa",
            "pspReference": refund,
            "reason": "" if fits else "Insufficient balance on payment",
            "success": "true" if fits else "false",
        }
        return signed(item)


def signed(item: dict[str, Any], key: str = HMAC_KEY) -> dict[str, Any]:
    """Return the webhook item with a signature, as docs.adyen.com describes it in "Verify HMAC signatures".

    An absent field and a field that is null are signed as an empty text.
    """
    values = item | {f"amount.{name}": item["amount"][name] for name in ("value", "currency")}
    text = ":".join("" if values.get(name) is None else str(values[name]) for name in SIGNED_FIELDS)
    mac = hmac.new(binascii.a2b_hex(key), text.encode(), hashlib.sha256)
    signature = base64.b64encode(mac.digest()).decode()
    return item | {"additionalData": {**item.get("additionalData", {}), "hmacSignature": signature}}


def webhook(*items: object) -> bytes:
    return json.dumps(
        {"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]}
    ).encode()


def error_response(status: int, code: str, message: str = "No.", kind: str = "validation") -> HttpResponse:
    return _json_response(status, {"status": status, "errorCode": code, "message": message, "errorType": kind})


def account(url: str, *, api_key: str = API_KEY, merchant: str = MERCHANT, hmac_key: str | None = None) -> AdyenAccount:
    return AdyenAccount(api_key=api_key, merchant_account=merchant, api_base=f"{url}/checkout", hmac_key=hmac_key)


def adapter(url: str, *, seconds: float = 20.0, **account_fields: str) -> PaymentProvider:
    return create_adapter(account(url, **account_fields), provider_timeout_seconds=seconds, connections=10)


def _json_response(status: int, document: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

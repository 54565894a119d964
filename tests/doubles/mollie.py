"""A fake of Mollie's API that follows Mollie's documentation. Idempotency keys expire after an hour."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from config.provider_accounts import MollieAccount
from domain.providers import PaymentProvider
from tests.doubles.faulty_server import FaultyServer, HttpRequest, HttpResponse
from worker.providers.mollie.adapter import create_adapter

API_KEY = "test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM"
_PATH = re.compile(r"/v2(?:/payments/(?P<payment>[^/]+))?/(?P<kind>refunds|chargebacks)")


@dataclass
class FakeMollie:
    """The state of the fake: payments, refunds, chargebacks and the responses by idempotency key."""

    payments: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The paid amount and its currency, by payment id."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    """The refunds as Mollie returns them, oldest first."""
    chargebacks: list[dict[str, Any]] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    page: int = 250
    _responses: dict[str, tuple[datetime, HttpRequest, HttpResponse]] = field(default_factory=dict)

    def serve(self) -> FaultyServer:
        return FaultyServer(self.answer)

    def add_payment(self, name: str, value: str = "19.99", currency: str = "EUR") -> str:
        self.payments[name] = (value, currency)
        return name

    def add_chargeback(self, payment: str, created_at: datetime, reversed_at: datetime | None = None) -> str:
        value, currency = self.payments[payment]
        chargeback = {
            "resource": "chargeback",
            "id": f"chb_{len(self.chargebacks)}",
            "amount": {"value": value, "currency": currency},
            "createdAt": created_at.isoformat(),
            "reversedAt": reversed_at.isoformat() if reversed_at else None,
            "paymentId": payment,
        }
        self.chargebacks.append(chargeback)
        return str(chargeback["id"])

    def answer(self, request: HttpRequest) -> HttpResponse:
        match = _PATH.fullmatch(request.path)
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return error_response(401, "Missing authentication, or failed to authenticate")
        if not match:
            return error_response(404, "No such resource")
        if match["payment"] and match["payment"] not in self.payments:
            return error_response(404, f"No payment exists with token {match['payment']}.")
        if request.method == "GET":
            return self._list(request, match["kind"], match["payment"])
        return self._refund_once(request, match["payment"])

    def _refund_once(self, request: HttpRequest, payment: str) -> HttpResponse:
        key = request.headers["idempotency-key"]
        first_sent_at, first_request, response = self._responses.get(
            key, (datetime.min.replace(tzinfo=UTC), request, HttpResponse(500))
        )
        if self.now - first_sent_at < timedelta(hours=1):
            if (first_request.path, first_request.body) != (request.path, request.body):
                return error_response(400, "The key was used for another request")
            return HttpResponse(response.status, response.body, {**response.headers, "Idempotent-Replayed": "true"})
        response = self._refund(payment, json.loads(request.body))
        self._responses[key] = (self.now, request, response)
        return response

    def _refund(self, payment: str, body: dict[str, Any]) -> HttpResponse:
        value, currency = self.payments[payment]
        live_refunds = [
            refund
            for refund in self.refunds
            if refund["paymentId"] == payment and refund["status"] not in {"failed", "canceled"}
        ]
        if body["amount"]["currency"] != currency:
            return error_response(422, "The currency differs from the currency of the payment", field="amount.currency")
        if any(
            refund["amount"] == body["amount"]
            and self.now - datetime.fromisoformat(refund["createdAt"]) < timedelta(hours=1)
            for refund in live_refunds
        ):
            return error_response(409, "A duplicate refund has been detected")
        refunded = sum(Decimal(refund["amount"]["value"]) for refund in live_refunds)
        if refunded + Decimal(body["amount"]["value"]) > Decimal(value):
            return error_response(422, "The specified amount cannot be refunded", field="amount.value")
        refund = {
            "resource": "refund",
            "id": f"re_{len(self.refunds)}",
            "mode": "test",
            "status": "pending",
            "createdAt": self.now.isoformat(),
            "paymentId": payment,
            **body,
        }
        self.refunds.append(refund)
        return _json_response(201, refund)

    def _list(self, request: HttpRequest, kind: str, payment: str | None) -> HttpResponse:
        all_rows = self.refunds if kind == "refunds" else self.chargebacks
        rows = [row for row in reversed(all_rows) if payment in {None, row["paymentId"]}]
        if start := request.query.get("from"):
            rows = rows[[row["id"] for row in rows].index(start) :]
        size = min(self.page, int(request.query["limit"]))
        rest = rows[size:]
        next_link = (
            {"href": f"https://api.mollie.com{request.path}?from={rest[0]['id']}&limit={size}"} if rest else None
        )
        embedded = {kind: rows[:size]}
        return _json_response(200, {"count": len(rows[:size]), "_embedded": embedded, "_links": {"next": next_link}})


def error_response(status: int, detail: str, **extra: str) -> HttpResponse:
    return _json_response(status, {"status": status, "title": "No", "detail": detail, **extra})


def adapter(server: FaultyServer, *, seconds: float = 20.0, api_key: str = API_KEY) -> PaymentProvider:
    account = MollieAccount(api_key=api_key, api_base=server.url)
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)


def _json_response(status: int, document: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status, json.dumps(document).encode(), {"Content-Type": "application/hal+json"})

"""A fake Mollie after its documentation: payments, refunds, chargebacks, and idempotency keys that live an hour."""

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
    payments: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The paid amounts by payment id."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    """The refunds as Mollie returns them, oldest first."""
    chargebacks: list[dict[str, Any]] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    page: int = 250
    _answers: dict[str, tuple[datetime, HttpRequest, HttpResponse]] = field(default_factory=dict)

    def serve(self) -> FaultyServer:
        return FaultyServer(self.answer)

    def paid(self, name: str, value: str = "19.99", currency: str = "EUR") -> str:
        self.payments[name] = (value, currency)
        return name

    def charge_back(self, payment: str, at: datetime, reversed_at: datetime | None = None) -> str:
        value, currency = self.payments[payment]
        chargeback = {
            "resource": "chargeback",
            "id": f"chb_{len(self.chargebacks)}",
            "amount": {"value": value, "currency": currency},
            "createdAt": at.isoformat(),
            "reversedAt": reversed_at.isoformat() if reversed_at else None,
            "paymentId": payment,
        }
        self.chargebacks.append(chargeback)
        return str(chargeback["id"])

    def answer(self, request: HttpRequest) -> HttpResponse:
        found = _PATH.fullmatch(request.path)
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return refused(401, "Missing authentication, or failed to authenticate")
        if not found:
            return refused(404, "Nothing is here")
        if found["payment"] and found["payment"] not in self.payments:
            return refused(404, f"No payment exists with token {found['payment']}.")
        if request.method == "GET":
            return self._list(request, found["kind"], found["payment"])
        return self._once(request, found["payment"])

    def _once(self, request: HttpRequest, payment: str) -> HttpResponse:
        key = request.headers["idempotency-key"]
        at, before, response = self._answers.get(key, (datetime.min.replace(tzinfo=UTC), request, HttpResponse(500)))
        if self.now - at < timedelta(hours=1):
            if (before.path, before.body) != (request.path, request.body):
                return refused(400, "The key was used for another request")
            return HttpResponse(response.status, response.body, {**response.headers, "Idempotent-Replayed": "true"})
        response = self._refund(payment, json.loads(request.body))
        self._answers[key] = (self.now, request, response)
        return response

    def _refund(self, payment: str, wanted: dict[str, Any]) -> HttpResponse:
        value, currency = self.payments[payment]
        live = [
            refund
            for refund in self.refunds
            if refund["paymentId"] == payment and refund["status"] not in {"failed", "canceled"}
        ]
        if wanted["amount"]["currency"] != currency:
            return refused(422, "The currency is not the payment's", field="amount.currency")
        if any(
            refund["amount"] == wanted["amount"]
            and self.now - datetime.fromisoformat(refund["createdAt"]) < timedelta(hours=1)
            for refund in live
        ):
            return refused(409, "A duplicate refund has been detected")
        gone = sum(Decimal(refund["amount"]["value"]) for refund in live)
        if gone + Decimal(wanted["amount"]["value"]) > Decimal(value):
            return refused(422, "The specified amount cannot be refunded", field="amount.value")
        refund = {
            "resource": "refund",
            "id": f"re_{len(self.refunds)}",
            "mode": "test",
            "status": "pending",
            "createdAt": self.now.isoformat(),
            "paymentId": payment,
            **wanted,
        }
        self.refunds.append(refund)
        return _json_response(201, refund)

    def _list(self, request: HttpRequest, kind: str, payment: str | None) -> HttpResponse:
        of_all = self.refunds if kind == "refunds" else self.chargebacks
        rows = [row for row in reversed(of_all) if payment in {None, row["paymentId"]}]
        if start := request.query.get("from"):
            rows = rows[[row["id"] for row in rows].index(start) :]
        size = min(self.page, int(request.query["limit"]))
        rest = rows[size:]
        following = (
            {"href": f"https://api.mollie.com{request.path}?from={rest[0]['id']}&limit={size}"} if rest else None
        )
        embedded = {kind: rows[:size]}
        return _json_response(200, {"count": len(rows[:size]), "_embedded": embedded, "_links": {"next": following}})


def refused(status: int, detail: str, **more: str) -> HttpResponse:
    return _json_response(status, {"status": status, "title": "No", "detail": detail, **more})


def adapter(server: FaultyServer, *, seconds: float = 20.0, api_key: str = API_KEY) -> PaymentProvider:
    account = MollieAccount(api_key=api_key, api_base=server.url)
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)


def _json_response(status: int, document: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status, json.dumps(document).encode(), {"Content-Type": "application/hal+json"})

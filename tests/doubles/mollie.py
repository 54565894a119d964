"""A fake of Mollie's API that follows Mollie's documentation. Idempotency keys expire after an hour.

The fake shows payments with their refunds and chargebacks, and lists payments, refunds and chargebacks of the account.
"""

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
OTHER_MODE = "exists, but the wrong mode is used. Try switching live / test API keys."
_LIST = re.compile(r"/v2(?:/payments/(?P<payment>[^/]+))?/(?P<kind>refunds|chargebacks|payments)")
_PAYMENT = re.compile(r"/v2/payments/(?P<payment>[^/]+)")
_DISPUTE = re.compile(r"/v2/disputes/(?P<dispute>[^/]+)")
_FAILED = {"failed", "canceled"}
Row = dict[str, Any]


@dataclass
class FakeMollie:
    """The state of the fake: payments, refunds, chargebacks, disputes and the responses by idempotency key."""

    payments: dict[str, Row] = field(default_factory=dict)
    """The payments as Mollie returns them, by id, oldest first."""
    refunds: list[Row] = field(default_factory=list)
    """The refunds as Mollie returns them, oldest first."""
    chargebacks: list[Row] = field(default_factory=list)
    disputes: dict[str, Row] = field(default_factory=dict)
    payments_of_other_mode: set[str] = field(default_factory=set)
    """The live payments, if the API key is a test key, or the reverse."""
    refused_lists: set[str] = field(default_factory=set)
    """The lists that the API key may not read."""
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    page: int = 250
    _responses: dict[str, tuple[datetime, HttpRequest, HttpResponse]] = field(default_factory=dict)

    def serve(self) -> FaultyServer:
        return FaultyServer(self.answer)

    def add_payment(self, name: str, value: str = "19.99", currency: str = "EUR", **fields: object) -> str:
        self.payments[name] = {
            "resource": "payment",
            "id": name,
            "mode": "test",
            "status": "paid",
            "amount": {"value": value, "currency": currency},
            "description": f"Order {name}",
            "method": "creditcard",
            "metadata": None,
            "sequenceType": "oneoff",
            "createdAt": self.now.isoformat(),
            "paidAt": self.now.isoformat(),
            **fields,
        }
        return name

    def refund_in_dashboard(self, payment: str, value: str, **fields: object) -> Row:
        """Add a refund, as if the seller made it in Mollie's dashboard."""
        amount = {"value": value, "currency": self.payments[payment]["amount"]["currency"]}
        refund = {
            "resource": "refund",
            "id": f"re_{len(self.refunds)}",
            "mode": "test",
            "status": "pending",
            "createdAt": self.now.isoformat(),
            "paymentId": payment,
            "amount": amount,
            "metadata": None,
            **fields,
        }
        self.refunds.append(refund)
        return refund

    def add_chargeback(self, payment: str, created_at: datetime, reversed_at: datetime | None = None) -> str:
        chargeback = {
            "resource": "chargeback",
            "id": f"chb_{len(self.chargebacks)}",
            "amount": self.payments[payment]["amount"],
            "createdAt": created_at.isoformat(),
            "reversedAt": reversed_at.isoformat() if reversed_at else None,
            "paymentId": payment,
        }
        self.chargebacks.append(chargeback)
        return str(chargeback["id"])

    def answer(self, request: HttpRequest) -> HttpResponse:
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return error_response(401, "Missing authentication, or failed to authenticate")
        if match := _LIST.fullmatch(request.path):
            return self._answer_list(request, match["kind"], match["payment"])
        if match := _PAYMENT.fullmatch(request.path):
            payment = match["payment"]
            return self._missing(payment) or _json_response(200, self._show(payment, request.query.get("embed", "")))
        match = _DISPUTE.fullmatch(request.path)
        if match and match["dispute"] in self.disputes:
            return _json_response(200, self.disputes[match["dispute"]])
        return error_response(404, "No such resource")

    def _answer_list(self, request: HttpRequest, kind: str, payment: str | None) -> HttpResponse:
        if kind in self.refused_lists:
            return error_response(403, "Insufficient permissions")
        missing = self._missing(payment) if payment else None
        if missing or request.method == "GET":
            return missing or self._list(request, kind, payment)
        return self._refund_once(request, str(payment))

    def _missing(self, payment: str) -> HttpResponse | None:
        if payment in self.payments_of_other_mode:
            return error_response(404, f"Payment {payment} {OTHER_MODE}")
        return None if payment in self.payments else error_response(404, f"No payment exists with token {payment}.")

    def _show(self, payment: str, embed: str = "") -> Row:
        """Return the payment. A sum is omitted while it is zero."""
        row = self.payments[payment]
        refunds = [refund for refund in self.refunds if refund["paymentId"] == payment]
        chargebacks = [chargeback for chargeback in self.chargebacks if chargeback["paymentId"] == payment]
        sums = {
            "amountRefunded": [refund for refund in refunds if refund["status"] not in _FAILED],
            "amountChargedBack": [chargeback for chargeback in chargebacks if not chargeback["reversedAt"]],
        }
        shown = {name: _total(rows) for name, rows in sums.items() if rows}
        embedded = {kind: rows for kind, rows in (("refunds", refunds), ("chargebacks", chargebacks)) if kind in embed}
        return {**row, **{name: amount for name, amount in shown.items() if name not in row}, "_embedded": embedded}

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

    def _refund(self, payment: str, body: Row) -> HttpResponse:
        paid = self.payments[payment]["amount"]
        if self.payments[payment]["status"] != "paid":
            return error_response(422, "The payment is not paid, so it cannot be refunded")
        live_refunds = [
            refund for refund in self.refunds if refund["paymentId"] == payment and refund["status"] not in _FAILED
        ]
        if body["amount"]["currency"] != paid["currency"]:
            return error_response(422, "The currency differs from the currency of the payment", field="amount.currency")
        if any(
            refund["amount"] == body["amount"]
            and self.now - datetime.fromisoformat(refund["createdAt"]) < timedelta(hours=1)
            for refund in live_refunds
        ):
            return error_response(409, "A duplicate refund has been detected")
        refunded = sum(Decimal(refund["amount"]["value"]) for refund in live_refunds)
        if refunded + Decimal(body["amount"]["value"]) > Decimal(paid["value"]):
            return error_response(422, "The specified amount cannot be refunded", field="amount.value")
        return _json_response(201, self.refund_in_dashboard(payment, **body, value=body["amount"]["value"]))

    def _list(self, request: HttpRequest, kind: str, payment: str | None) -> HttpResponse:
        if kind == "payments":
            all_rows = [self._show(name) for name in self.payments]
        else:
            all_rows = self.refunds if kind == "refunds" else self.chargebacks
        rows = [row for row in reversed(all_rows) if payment in {None, row.get("paymentId")}]
        if start := request.query.get("from"):
            ids = [row["id"] for row in rows]
            if start not in ids:
                return error_response(404, f"No {kind.removesuffix('s')} exists with token {start}.")
            rows = rows[ids.index(start) :]
        size = min(self.page, int(request.query["limit"]))
        rest = rows[size:]
        next_link = (
            {"href": f"https://api.mollie.com{request.path}?from={rest[0]['id']}&limit={size}"} if rest else None
        )
        embedded = {kind: rows[:size]}
        return _json_response(200, {"count": len(rows[:size]), "_embedded": embedded, "_links": {"next": next_link}})


def _total(rows: list[Row]) -> Row:
    total = sum(Decimal(row["amount"]["value"]) for row in rows)
    return {"value": str(total), "currency": rows[0]["amount"]["currency"]}


def error_response(status: int, detail: str, **extra: str) -> HttpResponse:
    return _json_response(status, {"status": status, "title": "No", "detail": detail, **extra})


def adapter(
    server: FaultyServer, *, seconds: float = 20.0, api_key: str = API_KEY, seller_metadata: str | None = None
) -> PaymentProvider:
    account = MollieAccount(api_key=api_key, api_base=server.url, seller_metadata=seller_metadata)
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)


def _json_response(status: int, document: Row) -> HttpResponse:
    return HttpResponse(status, json.dumps(document).encode(), {"Content-Type": "application/hal+json"})

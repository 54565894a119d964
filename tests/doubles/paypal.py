"""A fake of PayPal's API that follows PayPal's documentation. Idempotency keys expire after 45 days."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from config.provider_accounts import PayPalAccount
from domain.providers import PaymentProvider
from tests.doubles.faulty_server import FaultyServer, HttpRequest, HttpResponse
from worker.providers.paypal.adapter import create_adapter

ID, SECRET = (
    "AeA1QIZXiflr1_-r0U2UbWTziOWX1GRQer5jkUq4ZfWT5qwb6qQRPq7jDtv57TL4POEEezGLdutcxnkJ",
    "EGnHDxD_qRPdaLdZz8iCr8N7",
)
BASIC_AUTHORIZATION = f"Basic {b64encode(f'{ID}:{SECRET}'.encode()).decode()}"
API = "https://api-m.paypal.com"
NEVER = datetime.min.replace(tzinfo=UTC)

MESSAGES = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: (
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to missing authorization header, or invalid authentication credentials.",
    ),
    403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    409: ("RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."),
    422: (
        "UNPROCESSABLE_ENTITY",
        "The requested action could not be performed, semantically incorrect, or failed business validation.",
    ),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
    503: ("SERVICE_UNAVAILABLE", "Service Unavailable."),
}
"""The error name and message of each status, from PayPal's API description."""


@dataclass
class FakePayPal:
    """The state of the fake: captures, refunds, disputes, access tokens, and the response for each idempotency key."""

    captures: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    orders_exist: bool = True
    new_refund_status: str = "COMPLETED"
    """The status of a new refund."""
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    search_delay: timedelta = timedelta(0)
    max_search_results: int = 10_000
    tokens: list[str] = field(default_factory=list)
    """The issued access tokens. The fake refuses the tokens in `revoked_tokens`."""
    revoked_tokens: set[str] = field(default_factory=set)
    token_seconds: int = 32_400
    _responses: dict[str, tuple[datetime, HttpRequest, HttpResponse]] = field(default_factory=dict)

    def serve(self) -> FaultyServer:
        return FaultyServer(self.answer)

    def add_capture(
        self, name: str, value: str = "19.99", currency: str = "EUR", *, order: str | None = "ORDER1"
    ) -> str:
        related = {"supplementary_data": {"related_ids": {"order_id": order}}} if order else {}
        self.captures[name] = {
            "id": name,
            "status": "COMPLETED",
            "amount": {"currency_code": currency, "value": value},
            "final_capture": True,
            "create_time": _time(self.now - timedelta(days=2)),
            "update_time": _time(self.now - timedelta(days=2)),
            "links": [_link("self", f"/v2/payments/captures/{name}")],
            **related,
        }
        return name

    def refund_by_hand(self, charge: str, value: str | None = None, status: str = "COMPLETED", **ids: str) -> str:
        """Add a refund, as if the seller made it in PayPal's dashboard."""
        amount = {**self.captures[charge]["amount"], **({"value": value} if value else {})}
        return str(self._refund(charge, amount, status, ids)["id"])

    def fail(self, refund: str, status: str = "FAILED", reason: str | None = None) -> None:
        """Make a refund fail at the bank. Then the seller keeps the money."""
        for row in self.refunds:
            if row["id"] == refund:
                row.update({"status": status, **({"status_details": {"reason": reason}} if reason else {})})
                self._update_capture(_charge(row))

    def dispute(self, charge: str, status: str, outcome: str | None = None) -> str:
        name = f"PP-D-{len(self.disputes)}"
        dispute = {"dispute_id": name, "charge": charge, "status": status, "create_time": _time(self.now)}
        self.disputes.insert(0, dispute | ({"dispute_outcome": {"outcome_code": outcome}} if outcome else {}))
        return name

    def answer(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/v1/oauth2/token":
            return self._token(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens or token in self.revoked_tokens:
            return error_response(401)
        for route, handler in self._routes().items():
            if match := re.fullmatch(route, f"{request.method} {request.path}"):
                return handler(request, *match.groups())
        return error_response(404, "INVALID_RESOURCE_ID")

    def _routes(self) -> Mapping[str, Callable[..., HttpResponse]]:
        return {
            r"POST /v2/payments/captures/([^/]+)/refund": self._refund_once,
            r"GET /v2/payments/captures/([^/]+)": self._capture,
            r"GET /v2/checkout/orders/([^/]+)": self._order,
            r"GET /v1/reporting/transactions": self._search,
            r"GET /v1/customer/disputes": self._list_disputes,
            r"GET /v1/customer/disputes/([^/]+)": self._show_dispute,
        }

    def _token(self, request: HttpRequest) -> HttpResponse:
        if (
            request.headers.get("authorization") != BASIC_AUTHORIZATION
            or request.body != b"grant_type=client_credentials"
        ):
            return _json_response(401, {"error": "invalid_client", "error_description": "Client Authentication failed"})
        self.tokens.append(f"A21AA-{len(self.tokens)}")
        lifetime = {"token_type": "Bearer", "expires_in": self.token_seconds}
        return _json_response(200, {"access_token": self.tokens[-1], "scope": "", "app_id": "APP-80W2", **lifetime})

    def _refund_once(self, request: HttpRequest, charge: str) -> HttpResponse:
        key = request.headers["paypal-request-id"]
        first_sent_at, first_request, response = self._responses.get(key, (NEVER, request, HttpResponse(500)))
        if self.now - first_sent_at < timedelta(days=45):
            if (first_request.path, first_request.body) != (request.path, request.body):
                return error_response(422, "DUPLICATE_REQUEST_ID")
            return self._latest(response)
        response = self._create_refund(charge, json.loads(request.body))
        self._responses[key] = (self.now, request, response)
        return response

    def _latest(self, response: HttpResponse) -> HttpResponse:
        """Return the current state of the refund that `response` contains, or `response` if it contains no refund."""
        id_ = json.loads(response.body).get("id")
        return next((_json_response(201, row) for row in self.refunds if row["id"] == id_), response)

    def _create_refund(self, charge: str, body: dict[str, Any]) -> HttpResponse:
        capture = self.captures.get(charge)
        if capture is None:
            return error_response(404, "INVALID_RESOURCE_ID")
        if issue := self._issue(capture, body):
            return error_response(422, issue)
        ids = {name: body[name] for name in ("custom_id", "invoice_id")}
        return _json_response(201, self._refund(charge, body["amount"], self.new_refund_status, ids))

    def _issue(self, capture: dict[str, Any], body: dict[str, Any]) -> str | None:
        refundable = Decimal(capture["amount"]["value"]) - self._refunded_amount(capture["id"])
        issues = {
            "PENDING_CAPTURE": capture["status"] == "PENDING",
            "REFUND_CAPTURE_CURRENCY_MISMATCH": body["amount"]["currency_code"] != capture["amount"]["currency_code"],
            "DUPLICATE_INVOICE_ID": any(row.get("invoice_id") == body["invoice_id"] for row in self.refunds),
            "CAPTURE_FULLY_REFUNDED": refundable == 0,
            "REFUND_AMOUNT_EXCEEDED": Decimal(body["amount"]["value"]) > refundable,
        }
        return next((issue for issue, applies in issues.items() if applies), None)

    def _refund(self, charge: str, amount: dict[str, str], status: str, ids: Mapping[str, str]) -> dict[str, Any]:
        name = f"{len(self.refunds)}JU08902781691411R"
        refund = {
            "id": name,
            "status": status,
            **({"status_details": {"reason": "ECHECK"}} if status == "PENDING" else {}),
            "amount": amount,
            "create_time": _time(self.now),
            "update_time": _time(self.now),
            "links": [
                _link("self", f"/v2/payments/refunds/{name}"),
                _link("up", f"/v2/payments/captures/{charge}"),
            ],
            **ids,
        }
        self.refunds.append(refund)
        self._update_capture(charge)
        return refund

    def _update_capture(self, charge: str) -> None:
        capture, refunded = self.captures[charge], self._refunded_amount(charge)
        captured = Decimal(capture["amount"]["value"])
        status = "COMPLETED" if not refunded else "REFUNDED" if refunded == captured else "PARTIALLY_REFUNDED"
        capture |= {"status": status, "update_time": _time(self.now)}

    def _refunded_amount(self, charge: str) -> Decimal:
        paid_refunds = [
            row for row in self.refunds if _charge(row) == charge and row["status"] in {"COMPLETED", "PENDING"}
        ]
        return sum((Decimal(row["amount"]["value"]) for row in paid_refunds), Decimal(0))

    def _capture(self, request: HttpRequest, charge: str) -> HttpResponse:  # noqa: ARG002 - all route handlers take a request
        return (
            _json_response(200, self.captures[charge])
            if charge in self.captures
            else error_response(404, "INVALID_RESOURCE_ID")
        )

    def _order(self, request: HttpRequest, order: str) -> HttpResponse:  # noqa: ARG002
        captures = [row for row in self.captures.values() if _order_of(row) == order]
        if not self.orders_exist or not captures:
            return error_response(404, "INVALID_RESOURCE_ID")
        names = {row["id"] for row in captures}
        payments = {"captures": captures, "refunds": [row for row in self.refunds if _charge(row) in names]}
        unit = {"reference_id": "default", "payments": payments}
        return _json_response(200, {"id": order, "status": "COMPLETED", "purchase_units": [unit]})

    def _search(self, request: HttpRequest) -> HttpResponse:
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start_date", "end_date"))
        if end - start > timedelta(days=31):
            return error_response(400, "INVALID_PARAMETER_VALUE")
        rows = [row for row in self.refunds if start <= _at(row) <= min(end, self.now - self.search_delay)]
        if request.query.get("balance_affecting_records_only", "Y") == "Y":
            rows = [row for row in rows if row["status"] == "COMPLETED"]
        if len(rows) > self.max_search_results:
            return _json_response(
                400, {"name": "RESULTSET_TOO_LARGE", "message": "Too many.", "maximum_items": self.max_search_results}
            )
        size, page = int(request.query["page_size"]), int(request.query["page"])
        transactions = [_transaction(row) for row in rows[(page - 1) * size : page * size]]
        pages = {"page": page, "total_items": len(rows), "total_pages": -(-len(rows) // size)}
        return _json_response(200, {"transaction_details": transactions, "account_number": "XZXSPECPDZHZU", **pages})

    def _list_disputes(self, request: HttpRequest) -> HttpResponse:
        rows = [row for row in self.disputes if row["charge"] == request.query["disputed_transaction_id"]]
        summaries = [{name: row[name] for name in ("dispute_id", "create_time", "status")} for row in rows]
        return _json_response(200, {"items": summaries, "links": [_link("self", "/v1/customer/disputes")]})

    def _show_dispute(self, request: HttpRequest, dispute: str) -> HttpResponse:  # noqa: ARG002
        rows = [row for row in self.disputes if row["dispute_id"] == dispute]
        return _json_response(200, rows[0]) if rows else error_response(404, "INVALID_RESOURCE_ID")


def error_response(status: int, *issues: str) -> HttpResponse:
    name, message = MESSAGES[status]
    details = {"details": [{"issue": issue} for issue in issues]} if issues else {}
    return _json_response(status, {"name": name, "message": message, "debug_id": "90957fca61718", **details})


def adapter(url: str, *, seconds: float = 20.0, secret: str = SECRET) -> PaymentProvider:
    account = PayPalAccount(client_id=ID, client_secret=secret, api_base=url)
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)


def _transaction(row: dict[str, Any]) -> dict[str, Any]:
    amount = row["amount"]
    info = {
        "transaction_id": row["id"],
        "paypal_reference_id": _charge(row),
        "paypal_reference_id_type": "TXN",
        "transaction_event_code": "T1107",
        "transaction_initiation_date": row["create_time"].replace("Z", "+0000"),  # PayPal's search writes +0000, not Z
        "transaction_amount": {**amount, "value": f"-{amount['value']}"},
        "transaction_status": {"COMPLETED": "S", "PENDING": "P", "FAILED": "D", "CANCELLED": "V"}[row["status"]],
    }
    ids = {"custom_field": row.get("custom_id"), "invoice_id": row.get("invoice_id")}
    return {"transaction_info": info | {name: value for name, value in ids.items() if value}}


def _charge(refund: dict[str, Any]) -> str:
    return str(refund["links"][1]["href"]).rpartition("/")[2]


def _order_of(capture: dict[str, Any]) -> str | None:
    related: dict[str, str] = capture.get("supplementary_data", {}).get("related_ids", {})
    return related.get("order_id")


def _at(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["create_time"])


def _time(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _link(rel: str, path: str) -> dict[str, str]:
    return {"rel": rel, "href": f"{API}{path}", "method": "GET"}


def _json_response(status: int, document: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

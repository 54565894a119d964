"""A fake of PayPal's API that follows PayPal's documentation. Idempotency keys expire after 45 days."""

import json
import re
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

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
FEATURES = {"/v1/reporting/": "Transaction search", "/v1/customer/disputes": "Disputes"}
"""For each API with its own permission: the feature of the REST app that gives the permission."""

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
    payers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For each capture, what PayPal knows about the customer, the cart and the payment method."""
    features: set[str] = field(default_factory=lambda: {"Transaction search", "Disputes"})
    """The features of the REST app. Each gives the right to call one of PayPal's APIs."""
    seller: str | None = None
    """The account id of the seller that a partner must name in each call; None if the REST app belongs to the seller."""
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
        self,
        name: str,
        value: str = "19.99",
        currency: str = "EUR",
        *,
        order: str | None = "ORDER1",
        payer: Mapping[str, Any] | None = None,
        **texts: str,
    ) -> str:
        """Add a payment. ``texts`` are the capture's custom_id and invoice_id, and ``payer`` changes the customer."""
        self.payers[name] = {"email": "ada@example.org", "items": ["Photo Editor"], "tax": None} | dict(payer or {})
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
            **texts,
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

    def dispute(
        self,
        charge: str,
        status: str,
        outcome: str | None = None,
        *,
        stage: str | None = None,
        respond_by: datetime | None = None,
    ) -> str:
        """Add a dispute about a capture."""
        name = f"PP-D-{len(self.disputes)}"
        optional = {
            "dispute_outcome": {"outcome_code": outcome} if outcome else None,
            "dispute_life_cycle_stage": stage,
            "seller_response_due_date": _time(respond_by) if respond_by else None,
        }
        dispute = {
            "dispute_id": name,
            "create_time": _time(self.now),
            "disputed_transactions": [{"seller_transaction_id": charge, "buyer_transaction_id": f"B{charge}"}],
            "status": status,
            **{name: value for name, value in optional.items() if value},
        }
        self.disputes.insert(0, dispute)
        return name

    def settle(self, dispute: str, outcome: str) -> None:
        """Resolve a dispute."""
        [row] = [row for row in self.disputes if row["dispute_id"] == dispute]
        row |= {"status": "RESOLVED", "dispute_outcome": {"outcome_code": outcome}}

    def answer(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/v1/oauth2/token":
            return self._token(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens or token in self.revoked_tokens:
            return error_response(401)
        if self.seller != _asserted_seller(request.headers.get("paypal-auth-assertion")):
            return error_response(403, "PERMISSION_DENIED")
        if any(request.path.startswith(path) and feature not in self.features for path, feature in FEATURES.items()):
            return error_response(403)
        for route, handler in self._routes().items():
            if match := re.fullmatch(route, f"{request.method} {request.path}"):
                return handler(request, *match.groups())
        return error_response(404, "INVALID_RESOURCE_ID")

    def _routes(self) -> Mapping[str, Callable[..., HttpResponse]]:
        return {
            r"POST /v2/payments/captures/([^/]+)/refund": self._refund_once,
            r"GET /v2/payments/captures/([^/]+)": self._capture,
            r"GET /v2/payments/refunds/([^/]+)": self._show_refund,
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
        refundable = Decimal(capture["amount"]["value"]) - self.refunded_amount(capture["id"])
        issues = {
            "PENDING_CAPTURE": capture["status"] == "PENDING",
            "REFUND_NOT_ALLOWED": capture["status"] in {"DECLINED", "FAILED"},
            "REFUND_CAPTURE_CURRENCY_MISMATCH": body["amount"]["currency_code"] != capture["amount"]["currency_code"],
            "DUPLICATE_INVOICE_ID": any(row.get("invoice_id") == body["invoice_id"] for row in self.refunds),
            "CAPTURE_FULLY_REFUNDED": refundable == 0,
            "REFUND_AMOUNT_EXCEEDED": Decimal(body["amount"]["value"]) > refundable,
        }
        return next((issue for issue, applies in issues.items() if applies), None)

    def _refund(self, charge: str, amount: dict[str, str], status: str, ids: Mapping[str, str]) -> dict[str, Any]:
        name = f"{len(self.refunds)}JU08902781691411R"
        refund: dict[str, Any] = {
            "id": name,
            "status": status,
            **({"status_details": {"reason": "ECHECK"}} if status == "PENDING" else {}),
            "amount": amount,
            "seller_payable_breakdown": {"gross_amount": amount},
            "create_time": _time(self.now),
            "update_time": _time(self.now),
            "links": [
                _link("self", f"/v2/payments/refunds/{name}"),
                _link("up", f"/v2/payments/captures/{charge}"),
            ],
            **ids,
        }
        self.refunds.append(refund)
        total = {**amount, "value": str(self.refunded_amount(charge))}
        refund["seller_payable_breakdown"]["total_refunded_amount"] = total
        self._update_capture(charge)
        return refund

    def _update_capture(self, charge: str) -> None:
        capture, refunded = self.captures[charge], self.refunded_amount(charge)
        captured = Decimal(capture["amount"]["value"])
        status = "COMPLETED" if not refunded else "REFUNDED" if refunded == captured else "PARTIALLY_REFUNDED"
        capture |= {"status": status, "update_time": _time(self.now)}

    def refunded_amount(self, charge: str) -> Decimal:
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

    def _show_refund(self, request: HttpRequest, refund: str) -> HttpResponse:  # noqa: ARG002
        rows = [row for row in self.refunds if row["id"] == refund]
        return _json_response(200, rows[0]) if rows else error_response(404, "INVALID_RESOURCE_ID")

    def _order(self, request: HttpRequest, order: str) -> HttpResponse:  # noqa: ARG002
        captures = [row for row in self.captures.values() if _order_of(row) == order]
        if not self.orders_exist or not captures:
            return error_response(404, "INVALID_RESOURCE_ID")
        names = {row["id"] for row in captures}
        payments = {"captures": captures, "refunds": [row for row in self.refunds if _charge(row) in names]}
        payer = self.payers[captures[0]["id"]]
        unit = {
            "reference_id": "default",
            "payments": payments,
            "items": [{"name": name, "quantity": "1"} for name in payer["items"]],
            "amount": captures[0]["amount"] | ({"breakdown": {"tax_total": payer["tax"]}} if payer["tax"] else {}),
        }
        source = payer.get("order_source", {"paypal": {"email_address": payer["email"]}})
        document = {"id": order, "status": "COMPLETED", "payment_source": source, "purchase_units": [unit]}
        return _json_response(200, document)

    def _search(self, request: HttpRequest) -> HttpResponse:
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start_date", "end_date"))
        if end - start > timedelta(days=31) or self.now - start > timedelta(days=3 * 366):
            return error_response(400, "INVALID_PARAMETER_VALUE")
        until = min(end, self.now - self.search_delay)
        listed = [*map(_refund_transaction, self.refunds), *map(self._payment_transaction, self.captures.values())]
        rows = [row for row in listed if start <= _initiated_at(row) <= until and _matches(row, request.query)]
        if len(rows) > self.max_search_results:
            return _json_response(
                400, {"name": "RESULTSET_TOO_LARGE", "message": "Too many.", "maximum_items": self.max_search_results}
            )
        size, page = int(request.query["page_size"]), int(request.query["page"])
        fields = request.query["fields"].split(",")
        transactions = [
            {name: row[name] for name in fields if name in row} for row in rows[(page - 1) * size : page * size]
        ]
        pages = {"page": page, "total_items": len(rows), "total_pages": -(-len(rows) // size)}
        return _json_response(200, {"transaction_details": transactions, "account_number": "XZXSPECPDZHZU", **pages})

    def _payment_transaction(self, capture: dict[str, Any]) -> dict[str, Any]:
        payer, order = self.payers[capture["id"]], _order_of(capture)
        info = {
            "transaction_id": capture["id"],
            "transaction_event_code": payer.get("event", "T0006"),
            "transaction_initiation_date": capture["create_time"].replace("Z", "+0000"),
            "transaction_amount": capture["amount"],
            "transaction_status": {"PENDING": "P", "DECLINED": "D", "FAILED": "D", "REFUNDED": "V"}.get(
                capture["status"], "S"
            ),
            "paypal_reference_id": order,
            "paypal_reference_id_type": "ODR" if order else None,
            "sales_tax_amount": payer["tax"],
            "instrument_type": payer.get("instrument"),
            "custom_field": capture.get("custom_id"),
            "invoice_id": capture.get("invoice_id"),
        }
        return {
            "transaction_info": {name: value for name, value in info.items() if value},
            "payer_info": {"email_address": payer["email"]} if payer["email"] else {},
            "cart_info": {"item_details": [{"item_name": name} for name in payer["items"]]},
        }

    def _list_disputes(self, request: HttpRequest) -> HttpResponse:
        charge, size = request.query.get("disputed_transaction_id"), int(request.query["page_size"])
        since = datetime.fromisoformat(request.query.get("start_time", NEVER.isoformat()))
        if not charge and self.now - since > timedelta(days=180):
            return error_response(400, "INVALID_PARAMETER_VALUE")
        rows = [row for row in self.disputes if _at(row) >= since and (not charge or charge in _disputed(row))]
        start = int(request.query.get("next_page_token", "0"))
        names = ("dispute_id", "create_time", "status", "dispute_life_cycle_stage", "seller_response_due_date")
        summaries = [{name: row[name] for name in names if name in row} for row in rows[start : start + size]]
        links = [_link("self", "/v1/customer/disputes")]
        if start + size < len(rows):
            query = urlencode(dict(request.query) | {"next_page_token": str(start + size)})
            links.append(_link("next", f"/v1/customer/disputes?{query}"))
        return _json_response(200, {"items": summaries, "links": links})

    def _show_dispute(self, request: HttpRequest, dispute: str) -> HttpResponse:  # noqa: ARG002
        rows = [row for row in self.disputes if row["dispute_id"] == dispute]
        return _json_response(200, rows[0]) if rows else error_response(404, "INVALID_RESOURCE_ID")


def error_response(status: int, *issues: str) -> HttpResponse:
    name, message = MESSAGES[status]
    details = {"details": [{"issue": issue} for issue in issues]} if issues else {}
    return _json_response(status, {"name": name, "message": message, "debug_id": "90957fca61718", **details})


def adapter(url: str, *, seconds: float = 20.0, secret: str = SECRET, **settings: Any) -> PaymentProvider:
    account = PayPalAccount(client_id=ID, client_secret=secret, api_base=url, **settings)
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)


def _refund_transaction(row: dict[str, Any]) -> dict[str, Any]:
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


def _initiated_at(transaction: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(transaction["transaction_info"]["transaction_initiation_date"])


def _matches(transaction: dict[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether the transaction matches the filters of a search. Only a completed transaction affects the balance."""
    info = transaction["transaction_info"]
    filters = {"transaction_type": "transaction_event_code", "transaction_id": "transaction_id"}
    is_hidden = query.get("balance_affecting_records_only", "Y") == "Y" and info["transaction_status"] not in {"S", "V"}
    return not is_hidden and all(info[name] == query.get(key, info[name]) for key, name in filters.items())


def _disputed(dispute: dict[str, Any]) -> list[str]:
    return [row["seller_transaction_id"] for row in dispute["disputed_transactions"]]


def _asserted_seller(assertion: str | None) -> str | None:
    """Return the seller that the header names. Source: PayPal's documentation, "API requests", PayPal-Auth-Assertion."""
    if assertion is None:
        return None
    header, claims, signature = assertion.split(".")
    decoded = [json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]
    is_valid = decoded[0] == {"alg": "none"} and decoded[1]["iss"] == ID and not signature
    return str(decoded[1]["payer_id"]) if is_valid else None


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

"""A fake of Stripe's API, with Stripe's formats and errors. It runs in a thread."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from config.provider_accounts import StripeAccount
from domain.providers import PaymentProvider
from worker.providers.stripe.adapter import create_adapter

API_KEY = "rk_test_for_tests_only"
ERROR_MESSAGE = "This charge cannot be refunded."
OVER_REFUND = "Refund amount (€5.00) is greater than unrefunded amount on charge (€4.00)"
OTHER_MODE = (
    "No such charge: 'ch_1'; a similar object exists in live mode, but a test mode key was used to make this request."
)
MISSING_PERMISSION = (
    "Permission denied. The provided key 'rk_test_***' does not have the required permissions for this endpoint on account "
    "'acct_1'. Enabling Something Read ('{}') permissions on this key would allow this request to continue."
)
INVOICE_VERSION = "2025-02-24.acacia"
"""The last version of Stripe's API that shows the invoice of a charge."""
Answer = tuple[int, dict[str, Any], dict[str, str]]


@dataclass
class Charge:
    """A charge. If `refund_error` is set, each refund of the charge fails with this error."""

    id: str
    amount: int
    currency: str = "eur"
    payment_intent: str | None = None
    status: str = "succeeded"
    captured: int | None = None
    """The captured amount. None means the whole amount of a charge that has not failed."""
    livemode: bool = False
    account: str | None = None
    """The connected account that owns the charge; None means the account of the API key."""
    refund_error: tuple[int, str] | None = None
    refund_status: str = "succeeded"
    """The status of new refunds of the charge."""
    pending_reason: str | None = None
    failure_reason: str | None = None
    intent: dict[str, Any] = field(default_factory=dict)
    """Fields of the payment intent."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Other fields of the charge. `customer` and `invoice` are whole objects. The API shows only their ids if it is not asked."""

    @property
    def captured_amount(self) -> int:
        if self.captured is not None:
            return self.captured
        return 0 if self.status == "failed" else self.amount


@dataclass
class FakeStripe:
    """The state of the fake API.

    If `instead` contains a response, the fake API sends this response and does not carry out the call. If `after` contains a
    response, the fake API carries out the call, and then sends this response. Each response is sent once. Both are about
    refunds and lists. Before a refund, the adapter reads the payment, for which there is `instead_of_payment`.
    """

    url: str = ""
    charges: dict[str, Charge] = field(default_factory=dict)
    unpaid_intents: dict[str, str] = field(default_factory=dict)
    """The statuses of the payment intents without a charge."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[dict[str, str], Answer]] = field(default_factory=dict)
    approval_error: Answer | None = None
    """The response to a refund that a person must approve; None if refunds need no approval."""
    approval_requests: list[dict[str, str]] = field(default_factory=list)
    missing_permissions: set[str] = field(default_factory=set)
    """The permissions that the API key lacks, such as `dispute_read`."""
    instead: list[Answer] = field(default_factory=list)
    after: list[Answer] = field(default_factory=list)
    instead_of_payment: list[Answer] = field(default_factory=list)
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    clock: int = 1_790_000_000
    lock: Lock = field(default_factory=Lock)

    def adapter(self, seconds: float = 20.0, api_key: str = API_KEY, **settings: Any) -> PaymentProvider:
        account = StripeAccount.model_validate({"api_key": api_key, "api_base": self.url, **settings})
        return create_adapter(account, provider_timeout_seconds=seconds, connections=50)

    def add_charge(self, name: str, amount: int = 500, **fields: Any) -> str:
        self.clock += 1
        self.charges[name] = Charge(name, amount, **fields)
        self.charges[name].fields = {"created": self.clock} | self.charges[name].fields
        return name

    def refund_by_hand(self, name: str, amount: int, status: str = "succeeded", **metadata: str) -> str:
        """Add a refund, as if the seller made it in Stripe's dashboard."""
        return str(self._add_refund(self.charges[name], amount, metadata, status)["id"])

    def dispute(self, name: str, status: str, due_by: int | None = None) -> str:
        charge = self.charges[name]
        number = len(self.disputes)
        self.clock += 1
        row = {
            "id": f"dp_{number}",
            "object": "dispute",
            "charge": charge.id,
            "payment_intent": charge.payment_intent,
            "status": status,
            "amount": charge.amount,
            "currency": charge.currency,
            "created": self.clock,
            "evidence_details": {"due_by": due_by},
        }
        self.disputes.insert(0, row)
        return f"dp_{number}"

    def approve(self) -> str:
        """Approve the oldest approval request, so that Stripe makes the refund. Return the id of the refund."""
        status, refund, _ = self._refund(self.approval_requests.pop(0))
        assert status == 200, refund
        return str(refund["id"])

    @property
    def refund_calls(self) -> list[dict[str, str]]:
        """The parameters of the calls that create a refund."""
        return [parameters for method, path, parameters in self.calls if (method, path) == ("POST", "/v1/refunds")]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: str) -> Answer:
        """Answer one call at a time. Stripe, too, processes the calls for one charge one after another."""
        url = urlsplit(target)
        parameters = dict(parse_qsl(body if method == "POST" else url.query))
        with self.lock:
            self.calls.append((method, url.path, parameters))
            self.headers.append(headers)
            if headers.get("authorization") != f"Bearer {API_KEY}":
                return error_response(401, None, "invalid_request_error")
            if denied := self._missing_permission(method, url.path, parameters):
                return denied
            if (method, url.path.count("/")) == ("GET", 3):
                if self.instead_of_payment:
                    return self.instead_of_payment.pop(0)
                return self._retrieve(url.path, headers, parameters)
            if self.instead:
                return self.instead.pop(0)
            response = self._respond(method, url.path, headers, parameters)
            return self.after.pop(0) if self.after else response

    def _respond(self, method: str, path: str, headers: Mapping[str, str], parameters: dict[str, str]) -> Answer:
        if (method, path) == ("POST", "/v1/refunds"):
            if self._find_charge(parameters, headers) is None:
                return self._missing(parameters)
            return self._refund_once(headers["idempotency-key"], parameters)
        if method == "GET" and path in _PERMISSIONS:
            return self._list(path, headers, parameters)
        return error_response(404, "resource_missing")

    def _refund_once(self, key: str, parameters: dict[str, str]) -> Answer:
        if key not in self.keys:
            self.keys[key] = (parameters, self._request_refund(parameters))
            return self.keys[key][1]
        first, (status, document, headers) = self.keys[key]
        if first != parameters:
            return error_response(400, None, "idempotency_error")
        return status, document, headers | {"Idempotent-Replayed": "true"}

    def _request_refund(self, parameters: dict[str, str]) -> Answer:
        if self.approval_error:
            self.approval_requests.append(parameters)
            return self.approval_error
        return self._refund(parameters)

    def _refund(self, parameters: dict[str, str]) -> Answer:
        charge = next(charge for charge in self.charges.values() if _is_charge_of(charge, parameters))
        if charge.refund_error:
            return error_response(*charge.refund_error)
        refundable = charge.captured_amount - self._refunded(charge)
        if not refundable:
            return error_response(400, "charge_already_refunded")
        if int(parameters["amount"]) > refundable:
            return error_response(400, None, message=OVER_REFUND, param="amount")
        for name, needed in (("reverse_transfer", "transfer_data"), ("refund_application_fee", "application_fee")):
            if name in parameters and not charge.fields.get(needed):
                return error_response(400, None, param=name)
        metadata = {name[9:-1]: value for name, value in parameters.items() if name.startswith("metadata[")}
        refund = self._add_refund(charge, int(parameters["amount"]), metadata, charge.refund_status)
        if parameters.get("reverse_transfer") == "true":
            self.refunds[0]["transfer_reversal"] = f"trr_{refund['id']}"
        return 200, refund, {}

    def _refunded(self, charge: Charge) -> int:
        return sum(
            row["amount"]
            for row in self.refunds
            if row["charge"] == charge.id and row["status"] not in _UNPAID_STATUSES
        )

    def _add_refund(self, charge: Charge, amount: int, metadata: dict[str, str], status: str) -> dict[str, Any]:
        self.clock += 1
        row = {
            "id": f"re_{len(self.refunds)}",
            "object": "refund",
            "amount": amount,
            "charge": charge.id,
            "created": self.clock,
            "currency": charge.currency,
            "metadata": metadata,
            "payment_intent": charge.payment_intent,
            "status": status,
        }
        reasons = {"failure_reason": charge.failure_reason, "pending_reason": charge.pending_reason}
        row |= {name: reason for name, reason in reasons.items() if reason}
        self.refunds.insert(0, row)
        return dict(row)

    def _find_charge(self, parameters: dict[str, str], headers: Mapping[str, str]) -> Charge | None:
        account = headers.get("stripe-account")
        return next(
            (
                charge
                for charge in self.charges.values()
                if _is_charge_of(charge, parameters) and charge.account == account and not charge.livemode
            ),
            None,
        )

    def _missing(self, parameters: dict[str, str]) -> Answer:
        """Return the error about a payment that does not exist in test mode, the mode of `API_KEY`."""
        is_live = any(charge.livemode and _is_charge_of(charge, parameters) for charge in self.charges.values())
        return error_response(404, "resource_missing", message=OTHER_MODE if is_live else ERROR_MESSAGE)

    def _missing_permission(self, method: str, path: str, parameters: dict[str, str]) -> Answer | None:
        resource = "/".join(path.split("/")[:3])
        needed = [_PERMISSIONS.get(resource, ""), *(_EXPANSIONS.get(field, "") for field in _expanded(parameters))]
        missing = next(filter(self.missing_permissions.__contains__, needed), None) if method == "GET" else None
        if missing is None:
            return None
        message = MISSING_PERMISSION.format(missing)
        return error_response(403, "more_permissions_required", message=message)

    def _retrieve(self, path: str, headers: Mapping[str, str], parameters: dict[str, str]) -> Answer:
        _, _, resource, payment_id = path.split("/")
        if payment_id in self.unpaid_intents:
            status = self.unpaid_intents[payment_id]
            return 200, {"id": payment_id, "object": "payment_intent", "status": status, "latest_charge": None}, {}
        name = {"charges": "charge", "payment_intents": "payment_intent"}[resource]
        charge = self._find_charge({name: payment_id}, headers)
        if charge is None:
            return self._missing({name: payment_id})
        expanded = [field.removeprefix("latest_charge.") for field in _expanded(parameters)]
        row = self._charge_row(charge, expanded, headers)
        if resource == "payment_intents":
            row = _intent_row(charge) | {"latest_charge": row if "latest_charge" in expanded else charge.id}
        return 200, row, {}

    def _charge_row(self, charge: Charge, expanded: Sequence[str], headers: Mapping[str, str]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": charge.id,
            "object": "charge",
            "amount": charge.amount,
            "amount_captured": charge.captured_amount,
            "amount_refunded": self._refunded(charge),
            "captured": bool(charge.captured_amount),
            "currency": charge.currency,
            "customer": None,
            "disputed": any(dispute["charge"] == charge.id for dispute in self.disputes),
            "invoice": None,
            "livemode": charge.livemode,
            "metadata": {},
            "payment_intent": charge.payment_intent and _intent_row(charge),
            "payment_method_details": {"type": "card", "card": {"fingerprint": "card_1", "wallet": None}},
            "status": charge.status,
        } | charge.fields
        if headers["stripe-version"] > INVOICE_VERSION:
            del row["invoice"]
        for name in ("customer", "invoice", "payment_intent"):
            if name in row and row[name] and name not in expanded:
                row[name] = row[name]["id"]
        return row

    def _list(self, path: str, headers: Mapping[str, str], parameters: dict[str, str]) -> Answer:
        expanded = [field.removeprefix("data.") for field in _expanded(parameters)]
        rows = {"/v1/refunds": self.refunds, "/v1/disputes": self.disputes}.get(path, [])
        if path == "/v1/charges":
            rows = [self._charge_row(charge, expanded, headers) for charge in self._newest_charges(headers)]
        for name in ("charge", "payment_intent"):
            rows = [row for row in rows if parameters.get(name) in (None, row.get(name))]
        rows = [row for row in rows if int(parameters.get("created[gte]", 0)) <= (row.get("created") or self.clock)]
        if "starting_after" in parameters:
            ids = [row["id"] for row in rows]
            if parameters["starting_after"] not in ids:
                return error_response(400, "resource_missing")
            rows = rows[ids.index(parameters["starting_after"]) + 1 :]
        limit = int(parameters.get("limit", 10))
        return 200, {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit, "url": path}, {}

    def _newest_charges(self, headers: Mapping[str, str]) -> list[Charge]:
        account = headers.get("stripe-account")
        charges = [charge for charge in self.charges.values() if charge.account == account and not charge.livemode]
        return charges[::-1]


_UNPAID_STATUSES = {"failed", "canceled"}
_PERMISSIONS = {
    "/v1/refunds": "charge_read",
    "/v1/charges": "charge_read",
    "/v1/disputes": "dispute_read",
    "/v1/payment_intents": "payment_intent_read",
}
_EXPANSIONS = {
    "data.customer": "customer_read",
    "data.invoice": "invoice_read",
    "data.payment_intent": "payment_intent_read",
}


def error_response(
    status: int,
    code: str | None,
    kind: str = "invalid_request_error",
    *,
    message: str = ERROR_MESSAGE,
    param: str | None = None,
    **headers: str,
) -> Answer:
    """Return an error in Stripe's format. Each error has a type; only some errors have a code."""
    fields = {"type": kind, "message": message, "code": code, "param": param}
    body_error = {name: value for name, value in fields.items() if value}
    return status, {"error": body_error}, {name.replace("_", "-"): value for name, value in headers.items()}


def _is_charge_of(charge: Charge, parameters: dict[str, str]) -> bool:
    if "charge" in parameters:
        return parameters["charge"] == charge.id
    return "payment_intent" in parameters and parameters["payment_intent"] == charge.payment_intent


def _intent_row(charge: Charge) -> dict[str, Any]:
    statuses = {"succeeded": "succeeded", "pending": "processing", "failed": "requires_payment_method"}
    status = statuses[charge.status] if charge.captured_amount or charge.status == "failed" else "requires_capture"
    return {"id": charge.payment_intent, "object": "payment_intent", "metadata": {}, "status": status} | charge.intent


def _expanded(parameters: dict[str, str]) -> list[str]:
    return [value for name, value in parameters.items() if name.startswith("expand[")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake = cast("_Server", self.server).fake
        status, document, extra_headers = fake.answer(self.command, self.path, headers, body)
        text = json.dumps(document).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(text)), "Request-Id": "req_1"} | extra_headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _reply  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 100
    fake: FakeStripe


@contextmanager
def run_fake_stripe() -> Iterator[FakeStripe]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.fake = FakeStripe(url=f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.fake
        finally:
            server.shutdown()
            thread.join(20)

"""A fake of Stripe's API, with Stripe's formats and errors. It runs in a thread."""

import json
from collections.abc import Iterator, Mapping
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
Answer = tuple[int, dict[str, Any], dict[str, str]]


@dataclass
class Charge:
    """A captured charge. If `refund_error` is set, each refund of the charge fails with this error."""

    id: str
    amount: int
    currency: str = "eur"
    payment_intent: str | None = None
    refund_error: tuple[int, str] | None = None
    status: str = "succeeded"
    """The status of new refunds of the charge."""
    pending_reason: str | None = None
    failure_reason: str | None = None


@dataclass
class FakeStripe:
    """The state of the fake API.

    If `instead` contains a response, the fake API sends this response and does not carry out the call. If `after` contains a
    response, the fake API carries out the call, and then sends this response. Each response is sent once.
    """

    url: str = ""
    charges: dict[str, Charge] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[dict[str, str], Answer]] = field(default_factory=dict)
    instead: list[Answer] = field(default_factory=list)
    after: list[Answer] = field(default_factory=list)
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    clock: int = 1_790_000_000
    lock: Lock = field(default_factory=Lock)

    def adapter(self, seconds: float = 20.0, api_key: str = API_KEY) -> PaymentProvider:
        account = StripeAccount.model_validate({"api_key": api_key, "api_base": self.url})
        return create_adapter(account, provider_timeout_seconds=seconds, connections=50)

    def add_charge(self, name: str, amount: int = 500, **fields: Any) -> str:
        self.charges[name] = Charge(name, amount, **fields)
        return name

    def refund_by_hand(self, name: str, amount: int, status: str = "succeeded", **metadata: str) -> str:
        """Add a refund, as if the seller made it in Stripe's dashboard."""
        return str(self._add_refund(self.charges[name], amount, metadata, status)["id"])

    def dispute(self, name: str, status: str) -> str:
        charge = self.charges[name]
        number = len(self.disputes)
        row = {
            "id": f"dp_{number}",
            "object": "dispute",
            "charge": charge.id,
            "payment_intent": charge.payment_intent,
            "status": status,
            "amount": charge.amount,
            "currency": charge.currency,
        }
        self.disputes.insert(0, row)
        return f"dp_{number}"

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: str) -> Answer:
        """Answer one call at a time. Stripe, too, processes the calls for one charge one after another."""
        url = urlsplit(target)
        parameters = dict(parse_qsl(body if method == "POST" else url.query))
        with self.lock:
            self.calls.append((method, url.path, parameters))
            self.headers.append(headers)
            if headers.get("authorization") != f"Bearer {API_KEY}":
                return error_response(401, None, "invalid_request_error")
            if self.instead:
                return self.instead.pop(0)
            response = self._respond(method, url.path, headers, parameters)
            return self.after.pop(0) if self.after else response

    def _respond(self, method: str, path: str, headers: Mapping[str, str], parameters: dict[str, str]) -> Answer:
        if (method, path) == ("POST", "/v1/refunds"):
            return self._refund_once(headers["idempotency-key"], parameters)
        lists = {"/v1/refunds": self.refunds, "/v1/disputes": self.disputes}
        return (
            self._list(lists[path], parameters)
            if method == "GET" and path in lists
            else error_response(404, "resource_missing")
        )

    def _refund_once(self, key: str, parameters: dict[str, str]) -> Answer:
        if key not in self.keys:
            self.keys[key] = (parameters, self._refund(parameters))
            return self.keys[key][1]
        first, (status, document, headers) = self.keys[key]
        if first != parameters:
            return error_response(400, None, "idempotency_error")
        return status, document, headers | {"Idempotent-Replayed": "true"}

    def _refund(self, parameters: dict[str, str]) -> Answer:
        matching_charges = (charge for charge in self.charges.values() if _is_charge_of(charge, parameters))
        if (charge := next(matching_charges, None)) is None:
            return error_response(404, "resource_missing")
        if charge.refund_error:
            return error_response(*charge.refund_error)
        refundable = charge.amount - sum(
            row["amount"] for row in self._refunds_of(charge) if row["status"] not in _UNPAID_STATUSES
        )
        if not refundable:
            return error_response(400, "charge_already_refunded")
        if int(parameters["amount"]) > refundable:
            return error_response(400, None)
        metadata = {name[9:-1]: value for name, value in parameters.items() if name.startswith("metadata[")}
        return 200, self._add_refund(charge, int(parameters["amount"]), metadata, charge.status), {}

    def _refunds_of(self, charge: Charge) -> list[dict[str, Any]]:
        return [row for row in self.refunds if row["charge"] == charge.id]

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

    def _list(self, rows: list[dict[str, Any]], parameters: dict[str, str]) -> Answer:
        for name in ("charge", "payment_intent"):
            rows = [row for row in rows if parameters.get(name) in (None, row[name])]
        rows = [row for row in rows if int(parameters.get("created[gte]", 0)) <= row.get("created", 0)]
        if "starting_after" in parameters:
            ids = [row["id"] for row in rows]
            if parameters["starting_after"] not in ids:
                return error_response(400, "resource_missing")
            rows = rows[ids.index(parameters["starting_after"]) + 1 :]
        limit = int(parameters.get("limit", 10))
        return 200, {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit, "url": "/v1/refunds"}, {}


_UNPAID_STATUSES = {"failed", "canceled"}


def error_response(status: int, code: str | None, kind: str = "invalid_request_error", **headers: str) -> Answer:
    """Return an error in Stripe's format. Each error has a type; only some errors have a code."""
    body_error = {"type": kind, "message": ERROR_MESSAGE} | ({"code": code} if code else {})
    return status, {"error": body_error}, {name.replace("_", "-"): value for name, value in headers.items()}


def _is_charge_of(charge: Charge, parameters: dict[str, str]) -> bool:
    if "charge" in parameters:
        return parameters["charge"] == charge.id
    return "payment_intent" in parameters and parameters["payment_intent"] == charge.payment_intent


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

"""A double of GoCardless' API that follows its documents ("API reference"), and keeps payments, refunds and keys."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, RLock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from moneyback_gocardless import GoCardlessAccount
from moneyback_gocardless.adapter import create_adapter
from moneyback_plugin.adapter import Money, PaymentProvider
from moneyback_plugin.testing import Fault

TOKEN = "sandbox_token"
REFUNDABLE = {"confirmed", "paid_out"}
MAX_REFUNDS = 25

Reply = tuple[int, dict[str, Any]]


@dataclass
class GoCardlessDouble:
    """The state of the double. ``page`` is the largest number of rows on a page."""

    url: str = ""
    page: int = 2
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    """What happens to the first refund of a payment."""
    failing: set[str] = field(default_factory=set)
    """The payments whose refunds bounce."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of every reply."""
    body_before_key: bool = False
    """True if the body of a refund is checked before its key. GoCardless' documents do not say which comes first."""
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    lock: RLock = field(default_factory=RLock)
    closing: Event = field(default_factory=Event)

    # What a test does

    def pay(
        self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False, status: str = "paid_out"
    ) -> str:
        charge = f"PM{len(self.payments):06}"
        self.payments[charge] = {
            "id": charge,
            "created_at": now(),
            "amount": amount.minor,
            "amount_refunded": 0,
            "currency": amount.currency,
            "status": status,
            "scheme": "sepa_core",
            "metadata": {},
            "links": {"mandate": "MD1", "creditor": "CR1"},
        }
        if fault:
            self.faults[charge] = fault
        if refund_fails:
            self.failing.add(charge)
        return charge

    def pay_without_money(self, amount: Money) -> str:
        return self.pay(amount, status="failed")

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return str(self._add_refund(charge, amount.minor, {})["id"])

    def open_dispute(self, charge: str) -> None:
        self.payments[charge]["status"] = "charged_back"
        self.events.append(
            {
                "id": f"EV{len(self.events)}",
                "created_at": now(),
                "resource_type": "payments",
                "action": "charged_back",
                "links": {"payment": charge},
            }
        )

    def refunded(self, charge: str) -> int:
        return int(self.payments[charge]["amount_refunded"])

    # What the API does

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> Reply:
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return error(401, "invalid_api_usage", "access_token_not_found")
        assert headers["gocardless-version"] == "2015-07-06"
        document = json.loads(body) if body else {}
        with self.lock:
            self.requests.append((method, path, document or query))
            if method == "POST":
                return self._refund(document["refunds"], headers["idempotency-key"])
            return self._read(path, query)

    def _read(self, path: str, query: dict[str, str]) -> Reply:
        match path.strip("/").split("/"):
            case ["payments", charge] if charge in self.payments:
                return 200, {"payments": self.payments[charge]}
            case ["refunds", refund] if refund in self.refunds:
                return 200, {"refunds": self.refunds[refund]}
            case ["refunds"]:
                refunds = self.refunds.values()
                rows = [row for row in refunds if query.get("payment") in {None, row["links"]["payment"]}]
                return self._list("refunds", rows, query)
            case ["events"]:
                return self._list_events(query)
            case _:
                return error(404, "invalid_api_usage", "resource_not_found")

    def _refund(self, request: dict[str, Any], key: str) -> Reply:
        """Create a refund. A used key is a conflict that names the refund which was created with the key."""
        used = key in self.keys
        conflict = error(
            409,
            "invalid_state",
            "idempotent_creation_conflict",
            links={"conflicting_resource_id": self.keys.get(key, "")},
        )
        if used and not self.body_before_key:
            return conflict
        if fault := self._fault_in(request):
            return fault
        if used:
            return conflict
        refund = self._add_refund(request["links"]["payment"], request["amount"], request["metadata"])
        self.keys[key] = refund["id"]
        return 201, {"refunds": refund}

    def _fault_in(self, request: dict[str, Any]) -> Reply | None:
        payment = self.payments.get(request["links"]["payment"])
        if payment is None:
            return error(422, "validation_failed", None, field="links.payment")
        if payment["status"] not in REFUNDABLE:
            return error(422, "invalid_state", "refund_payment_invalid_state")
        if len([row for row in self.refunds.values() if row["links"]["payment"] == payment["id"]]) >= MAX_REFUNDS:
            return error(422, "invalid_state", "number_of_refunds_exceeded")
        total = payment["amount_refunded"] + request["amount"]
        if total > payment["amount"]:
            return error(422, "validation_failed", None, field="amount")
        if request["total_amount_confirmation"] != total:
            return error(422, "validation_failed", "total_amount_confirmation_invalid")
        return None

    def _add_refund(self, charge: str, amount: int, metadata: dict[str, str]) -> dict[str, Any]:
        refund = {
            "id": f"RF{len(self.refunds):06}",
            "created_at": now(),
            "amount": amount,
            "currency": self.payments[charge]["currency"],
            "status": "created",
            "metadata": metadata,
            "links": {"payment": charge, "mandate": "MD1"},
        }
        self.refunds[str(refund["id"])] = refund
        self.payments[charge]["amount_refunded"] += amount
        created = dict(refund)
        if charge in self.failing:  # the bank returns the money after the reply
            refund["status"] = "bounced"
            self.payments[charge]["amount_refunded"] -= amount
        return created

    def _list_events(self, query: dict[str, str]) -> Reply:
        assert query["include"] == "payment", "the linked payments are only part of the answer if they are asked for"
        events = [
            event
            for event in self.events
            if (event["resource_type"], event["action"]) == (query["resource_type"], query["action"])
        ]
        status, document = self._list("events", events, query)
        charges = [event["links"].get("payment") for event in document["events"]]
        linked = {"payments": [self.payments[charge] for charge in charges if charge in self.payments]}
        return status, document | {"linked": linked}

    def _list(self, name: str, rows: list[dict[str, Any]], query: dict[str, str]) -> Reply:
        since = query.get("created_at[gte]", "")
        newest_first = [row for row in reversed(rows) if row.get("created_at", now()) >= since]
        start = 1 + [row["id"] for row in newest_first].index(query["after"]) if "after" in query else 0
        end = start + min(self.page, int(query["limit"]))
        page = newest_first[start:end]
        after = page[-1]["id"] if end < len(newest_first) else None
        return 200, {name: page, "meta": {"cursors": {"before": None, "after": after}, "limit": len(page)}}


def error(code: int, kind: str, reason: str | None, **details: Any) -> Reply:
    entry = {"message": "No.", "request_pointer": "", **({"reason": reason} if reason else {}), **details}
    return code, {"error": {"message": "No.", "type": kind, "code": code, "request_id": "r", "errors": [entry]}}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def adapter(double: GoCardlessDouble, *, seconds: float = 20.0, token: str = TOKEN, **settings: str) -> PaymentProvider:
    account = GoCardlessAccount.model_validate({"access_token": token, "api_base": double.url, **settings})
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)


@contextmanager
def running(double: GoCardlessDouble) -> Iterator[GoCardlessDouble]:
    """Serve the double at a port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(double))
    server.daemon_threads = True
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield double
    double.closing.set()
    server.shutdown()
    server.server_close()


def _handler(double: GoCardlessDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            charge = json.loads(body)["refunds"]["links"]["payment"] if body else ""
            with suppress(OSError):  # the client may have closed the connection
                self.reply(
                    double.faults.pop(charge, None), lambda: double.answer(self.command, url.path, query, headers, body)
                )

        def reply(self, fault: Fault | None, answer: Any) -> None:
            status, document = (
                error(500, "gocardless", "internal_server_error") if fault is Fault.ERROR_BEFORE else answer()
            )
            if fault is Fault.NO_REPLY:
                double.closing.wait()
                self.close_connection = True
                return
            if fault is Fault.ERROR_AFTER:
                status, document = error(500, "gocardless", "internal_server_error")
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **double.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any  # noqa: N815 - http.server requires these names

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    return Handler

"""A fake Braintree after its documentation, in XML: transactions, refunds, searches, and idempotency keys."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from pydantic import SecretStr

from config.provider_accounts import BraintreeAccount
from domain.providers import PaymentProvider
from tests.doubles.faulty_server import FaultyServer, HttpRequest, HttpResponse
from worker.providers.braintree.adapter import create_adapter

PUBLIC, PRIVATE, MERCHANT = "a_public_key", "a_private_key", "a_merchant"
_PATH = re.compile(rf"/merchants/{MERCHANT}/transactions/(?P<name>\w+)(?P<refund>/refund)?")
_DEAD = {"processor_declined", "gateway_rejected", "settlement_declined", "failed", "voided"}
Row = dict[str, Any]


@dataclass
class FakeBraintree:
    transactions: dict[str, Row] = field(default_factory=dict)
    """The transactions by id, oldest first."""
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    verdict: Row = field(default_factory=lambda: {"status": "submitted_for_settlement"})
    """The fields of new refunds."""
    _keys: dict[str, tuple[datetime, HttpRequest, str]] = field(default_factory=dict)

    def serve(self) -> FaultyServer:
        return FaultyServer(self.answer)

    def sold(self, name: str, amount: str = "19.99", currency: str = "EUR", **more: object) -> str:
        self.transactions[name] = self._row(name, "sale", amount, currency) | {"status": "settled"} | more
        return name

    def refunded(self, charge: str, **more: object) -> Row:
        """Make a refund in Braintree's control panel."""
        sale = self.transactions[charge]
        name = f"r{len(self.transactions)}"
        row = self._row(name, "credit", sale["amount"], sale["currency_iso_code"])
        row |= {"refunded_transaction_id": charge, "status": "settled"} | more
        self.transactions[name] = row
        sale["refund_ids"].append(name)
        return row

    def answer(self, request: HttpRequest) -> HttpResponse:
        keys = b64encode(f"{PUBLIC}:{PRIVATE}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {keys}":
            return HttpResponse(401)
        found = _PATH.fullmatch(request.path)
        if found and found["name"].startswith("advanced_search"):
            return self._search(request, with_all=found["name"] == "advanced_search")
        if not found or found["name"] not in self.transactions:
            return HttpResponse(404)
        sale = self.transactions[found["name"]]
        return self._once(request, sale) if found["refund"] else xml_response(200, transaction=sale)

    def _row(self, name: str, kind: str, amount: str, currency: str) -> Row:
        return {
            "id": name,
            "type": kind,
            "status": None,
            "amount": amount,
            "currency_iso_code": currency,
            "order_id": None,
            "created_at": self.now,
            "refunded_transaction_id": None,
            "refund_ids": [],
            "disputes": [],
            "processor_response_code": "1002",
            "processor_settlement_response_code": None,
            "gateway_rejection_reason": None,
        }

    def _once(self, request: HttpRequest, sale: Row) -> HttpResponse:
        wanted = read(request.body)
        key = wanted["api_request_key"]
        at, before, name = self._keys.get(key, (datetime.min.replace(tzinfo=UTC), request, ""))
        if self.now - at < timedelta(days=30):
            if (before.path, before.body) != (request.path, request.body):
                return refused("915232")
            return self._outcome(self.transactions[name])
        if sale["status"] not in {"settled", "settling"}:
            return refused("91506")
        live = [one for name in sale["refund_ids"] if (one := self.transactions[name])["status"] not in _DEAD]
        left = Decimal(sale["amount"]) - sum(Decimal(one["amount"]) for one in live)
        if left <= 0:
            return refused("91512")
        if Decimal(wanted["amount"]) > left:
            return refused("91521")
        refund = self.refunded(sale["id"], amount=wanted["amount"], order_id=wanted["order_id"], **self.verdict)
        self._keys[key] = (self.now, request, refund["id"])
        return self._outcome(refund)

    def _outcome(self, refund: Row) -> HttpResponse:
        if refund["status"] in _DEAD:
            return refused(transaction=refund)
        return xml_response(201, transaction=refund)

    def _search(self, request: HttpRequest, *, with_all: bool) -> HttpResponse:
        criteria = read(request.body)
        rows = [row for row in reversed(self.transactions.values()) if _fits(row, criteria)]
        if not with_all:
            return xml_response(200, search_results={"page_size": 50, "ids": [row["id"] for row in rows]})
        assert len(rows) <= 50, "Braintree returns at most fifty rows."
        return xml_response(200, credit_card_transactions={"total_items": len(rows), "transaction": Several(rows)})


class Several(list[Row]):
    """Several elements of one name, without an element around them."""


def _fits(row: Row, criteria: Mapping[str, Any]) -> bool:
    since = criteria.get("created_at", {}).get("min")
    return (
        row["id"] in criteria.get("ids", [row["id"]])
        and row["type"] in criteria.get("type", [row["type"]])
        and (since is None or row["created_at"] >= datetime.fromisoformat(since))
    )


def read(body: bytes) -> Any:
    """Return the content of an XML request, without the root element."""
    return _value(ET.fromstring(body))


def _value(element: ET.Element) -> Any:
    if element.get("type") == "array":
        return [_value(item) for item in element]
    return {one.tag: _value(one) for one in element} if len(element) else element.text


def xml_response(status: int, **document: object) -> HttpResponse:
    [(name, value)] = document.items()
    return HttpResponse(status, ('<?xml version="1.0" encoding="UTF-8"?>\n' + xml(name, value)).encode())


def refused(*codes: str, transaction: Row | None = None) -> HttpResponse:
    """Return an error response with validation error codes, or with the transaction of a decline."""
    errors = {"errors": [], "transaction": {"errors": [{"code": code, "message": "No."} for code in codes]}}
    more = {"transaction": transaction} if transaction else {}
    return xml_response(422, api_error_response={"errors": errors, "message": "No.", **more})


def xml(name: str, value: object) -> str:
    if isinstance(value, Several):
        return "".join(xml(name, one) for one in value)
    kind, inside = _written(name, value)
    tag = name.replace("_", "-")
    return f"<{tag}{kind}>{inside}</{tag}>"


def _written(name: str, value: object) -> tuple[str, str]:
    """Return the attributes and the content of an XML element."""
    match value:
        case dict():
            return "", "".join(xml(*pair) for pair in value.items())
        case list():
            return ' type="array"', "".join(xml(_ITEMS.get(name, "item"), one) for one in value)
        case None:
            return ' nil="true"', ""
        case datetime():
            return ' type="datetime"', f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case int():
            return ' type="integer"', str(value)
    return "", escape(str(value))


_ITEMS = {"errors": "error", "disputes": "dispute"}


def an_account(url: str, *, private: str = PRIVATE) -> BraintreeAccount:
    return BraintreeAccount(
        environment="sandbox", merchant_id=MERCHANT, public_key=PUBLIC, private_key=SecretStr(private), api_base=url
    )


def adapter(server: FaultyServer, *, seconds: float = 20.0, private: str = PRIVATE) -> PaymentProvider:
    return create_adapter(an_account(server.url, private=private), provider_timeout_seconds=seconds, connections=10)

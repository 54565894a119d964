"""A fake of Braintree's XML API that follows Braintree's documentation. Idempotency keys expire after 30 days.

Sales have statuses and disputes. Transactions and disputes can be searched.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from pydantic import SecretStr

from config.provider_accounts import BraintreeAccount
from domain.providers import PaymentProvider
from tests.doubles.faulty_server import FaultyServer, HttpRequest, HttpResponse
from worker.providers.braintree.adapter import create_adapter

PUBLIC_KEY, PRIVATE_KEY, MERCHANT = "a_public_key", "a_private_key", "a_merchant"
_PATH = re.compile(rf"/merchants/{MERCHANT}/transactions/(?P<name>\w+)(?P<refund>/refund)?")
_DISPUTE = re.compile(rf"/merchants/{MERCHANT}/disputes/(?P<name>\w+)")
_NEW_TRANSACTION = f"/merchants/{MERCHANT}/transactions"
_UNPAID_STATUSES = {"processor_declined", "gateway_rejected", "settlement_declined", "failed", "voided"}
Row = dict[str, Any]


@dataclass
class FakeBraintree:
    """The state of the fake: transactions, refunds and idempotency keys."""

    transactions: dict[str, Row] = field(default_factory=dict)
    """The transactions by id, oldest first."""
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    new_refund_fields: Row = field(default_factory=lambda: {"status": "submitted_for_settlement"})
    """The fields that each new refund gets, in addition to its amount and its order id."""
    has_idempotency_keys: bool = True
    """False if Braintree has not enabled idempotency keys for the account."""
    refused_paths: tuple[str, ...] = ()
    """Parts of the paths that the API keys may not use."""
    dispute_page_size: int = 50
    _refunds_by_key: dict[str, tuple[datetime, HttpRequest, str]] = field(default_factory=dict)

    def serve(self) -> FaultyServer:
        return FaultyServer(self.answer)

    def add_sale(self, name: str, amount: str = "19.99", currency: str = "EUR", **extra: object) -> str:
        self.transactions[name] = self._row(name, "sale", amount, currency) | {"status": "settled"} | extra
        return name

    def refund_in_control_panel(self, charge: str, **extra: object) -> Row:
        """Add a refund, as if the seller made it in Braintree's control panel."""
        sale = self.transactions[charge]
        name = f"r{len(self.transactions)}"
        row = self._row(name, "credit", sale["amount"], sale["currency_iso_code"])
        row |= {"refunded_transaction_id": charge, "status": "settled"} | extra
        self.transactions[name] = row
        sale["refund_ids"].append(name)
        return row

    def add_dispute(self, charge: str, status: str = "open", **extra: object) -> str:
        """Add a dispute about a sale. The newest dispute is added last."""
        sale = self.transactions[charge]
        name = f"d{sum(len(row['disputes']) for row in self.transactions.values()) + 1}"
        sale["disputes"] += [
            {
                "id": name,
                "status": status,
                "kind": "chargeback",
                "amount": sale["amount"],
                "currency_iso_code": sale["currency_iso_code"],
                "received_date": self.now.date(),
                "reply_by_date": None,
                "transaction": {"id": charge, "amount": sale["amount"]},
                **extra,
            }
        ]
        return name

    def answer(self, request: HttpRequest) -> HttpResponse:
        credentials = b64encode(f"{PUBLIC_KEY}:{PRIVATE_KEY}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {credentials}":
            return HttpResponse(401)
        if any(part in request.path for part in self.refused_paths):
            return HttpResponse(403)
        if match := _DISPUTE.fullmatch(request.path):
            return self._answer_dispute(request, match["name"])
        return self._refuse_sale(request) if request.path == _NEW_TRANSACTION else self._answer_transaction(request)

    def _answer_transaction(self, request: HttpRequest) -> HttpResponse:
        match = _PATH.fullmatch(request.path)
        if match and match["name"].startswith("advanced_search"):
            return self._search(request, with_all=match["name"] == "advanced_search")
        if not match or match["name"] not in self.transactions:
            return HttpResponse(404)
        sale = self.transactions[match["name"]]
        return self._refund_once(request, sale) if match["refund"] else xml_response(200, transaction=sale)

    def _refuse_sale(self, request: HttpRequest) -> HttpResponse:
        """Refuse a new transaction, because tests need no new sales. Braintree lists all validation errors together."""
        assert {*parse_xml(request.body)} == {"type", "api_request_key"}, "The sale must not be chargeable."
        return error_response("81502", "91508", *([] if self.has_idempotency_keys else ["915231"]))

    def _answer_dispute(self, request: HttpRequest, name: str) -> HttpResponse:
        disputes = [dispute for row in self.transactions.values() for dispute in row["disputes"]]
        if name == "advanced_search":
            since = datetime.fromisoformat(parse_xml(request.body)["received_date"]["min"]).date()
            return self._dispute_page(
                [row for row in disputes if row["received_date"] >= since], int(request.query["page"])
            )
        found = [dispute for dispute in disputes if dispute["id"] == name]
        return xml_response(200, dispute=found[0]) if found else HttpResponse(404)

    def _dispute_page(self, disputes: list[Row], page: int) -> HttpResponse:
        start = (page - 1) * self.dispute_page_size
        rows = Elements(disputes[start : start + self.dispute_page_size])
        sizes = {"current_page_number": page, "page_size": self.dispute_page_size, "total_items": len(disputes)}
        return xml_response(200, disputes={**sizes, "dispute": rows})

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
            "payment_instrument_type": "credit_card",
            "custom_fields": "",
            "processor_response_code": "1002",
            "processor_settlement_response_code": None,
            "gateway_rejection_reason": None,
        }

    def _refund_once(self, request: HttpRequest, sale: Row) -> HttpResponse:
        body = parse_xml(request.body)
        key = body["api_request_key"]
        first_sent_at, first_request, name = self._refunds_by_key.get(
            key, (datetime.min.replace(tzinfo=UTC), request, "")
        )
        if self.now - first_sent_at < timedelta(days=30):
            if (first_request.path, first_request.body) != (request.path, request.body):
                return error_response("915232")
            return self._outcome(self.transactions[name])
        if not self.has_idempotency_keys:
            return error_response("915231")
        if sale["status"] not in {"settled", "settling"}:
            return error_response("91506")
        live_refunds = [
            refund
            for name in sale["refund_ids"]
            if (refund := self.transactions[name])["status"] not in _UNPAID_STATUSES
        ]
        refundable = Decimal(sale["amount"]) - sum(Decimal(refund["amount"]) for refund in live_refunds)
        if Decimal(body["amount"]) > refundable:
            return error_response("91521" if refundable > 0 else "91512")
        refund = self.refund_in_control_panel(
            sale["id"], amount=body["amount"], order_id=body["order_id"], **self.new_refund_fields
        )
        self._refunds_by_key[key] = (self.now, request, refund["id"])
        return self._outcome(refund)

    def _outcome(self, refund: Row) -> HttpResponse:
        if refund["status"] in _UNPAID_STATUSES:
            return error_response(transaction=refund)
        return xml_response(201, transaction=refund)

    def _search(self, request: HttpRequest, *, with_all: bool) -> HttpResponse:
        criteria = parse_xml(request.body)
        rows = [row for row in reversed(self.transactions.values()) if _fits(row, criteria)]
        if not with_all:
            return xml_response(200, search_results={"page_size": 50, "ids": [row["id"] for row in rows]})
        assert len(rows) <= 50, "Braintree returns at most fifty rows."
        return xml_response(200, credit_card_transactions={"total_items": len(rows), "transaction": Elements(rows)})


class Elements(list[Row]):
    """Several XML elements with the same name and without a parent element."""


def _fits(row: Row, criteria: Mapping[str, Any]) -> bool:
    since = criteria.get("created_at", {}).get("min")
    return (
        row["id"] in criteria.get("ids", [row["id"]])
        and row["type"] in criteria.get("type", [row["type"]])
        and (since is None or row["created_at"] >= datetime.fromisoformat(since))
    )


def parse_xml(body: bytes) -> Any:
    """Return the content of an XML request, without the root element."""
    return _value(ET.fromstring(body))


def _value(element: ET.Element) -> Any:
    if element.get("type") == "array":
        return [_value(item) for item in element]
    return {child.tag: _value(child) for child in element} if len(element) else element.text


def xml_response(status: int, **document: object) -> HttpResponse:
    [(name, value)] = document.items()
    return HttpResponse(status, ('<?xml version="1.0" encoding="UTF-8"?>\n' + xml(name, value)).encode())


def error_response(*codes: str, transaction: Row | None = None) -> HttpResponse:
    """Return an error response with validation error codes, or with the transaction of a declined refund."""
    errors = {"errors": [], "transaction": {"errors": [{"code": code, "message": "No."} for code in codes]}}
    extra = {"transaction": transaction} if transaction else {}
    return xml_response(422, api_error_response={"errors": errors, "message": "No.", **extra})


def xml(name: str, value: object) -> str:
    if isinstance(value, Elements):
        return "".join(xml(name, item) for item in value)
    kind, content = _attributes_and_content(name, value)
    tag = name.replace("_", "-")
    return f"<{tag}{kind}>{content}</{tag}>"


def _attributes_and_content(name: str, value: object) -> tuple[str, str]:
    """Return the attributes and the content of an XML element."""
    match value:
        case dict():
            return "", "".join(xml(*pair) for pair in value.items())
        case list():
            return ' type="array"', "".join(xml(_ITEMS.get(name, "item"), item) for item in value)
        case None:
            return ' nil="true"', ""
    kind = next((kind for python_type, kind in _KINDS.items() if isinstance(value, python_type)), None)
    text = f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value)
    return f' type="{kind}"' if kind else "", escape(text)


_KINDS = {datetime: "datetime", date: "date", int: "integer"}
_ITEMS = {"errors": "error", "disputes": "dispute"}


def account_of(url: str, *, private: str = PRIVATE_KEY) -> BraintreeAccount:
    return BraintreeAccount(
        environment="sandbox", merchant_id=MERCHANT, public_key=PUBLIC_KEY, private_key=SecretStr(private), api_base=url
    )


def adapter(
    server: FaultyServer, *, seconds: float = 20.0, private: str = PRIVATE_KEY, seller_metadata: str | None = None
) -> PaymentProvider:
    account = account_of(server.url, private=private).model_copy(update={"seller_metadata": seller_metadata})
    return create_adapter(account, provider_timeout_seconds=seconds, connections=10)

"""Lists refunds through PayPal's Transaction Search API, version 1, one time range after another."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.providers import ListedRefund, RefundPage, Unknown
from worker.providers.identifiers import is_identifier
from worker.providers.paypal.amounts import parse_amount
from worker.providers.paypal.client import PayPalClient
from worker.providers.paypal.resources import Refund, parse_time

REFUND_EVENT = "T1107"  # PayPal, "Transaction event codes": a refund that the merchant made
LISTING_DELAY = timedelta(hours=3)  # PayPal: "It takes a maximum of three hours for executed transactions to appear"
MAX_RANGE = timedelta(days=31)  # PayPal: "The maximum supported range is 31 days."
MIN_RANGE = timedelta(minutes=1)
TOO_MANY = "RESULTSET_TOO_LARGE"  # more than 10,000 transactions; a shorter time range has fewer transactions
MARGIN = timedelta(hours=12)
"""The search for a capture's refund covers this time before and after the last update of the capture.

The refund and the update are usually seconds apart.
"""
MAX_PAGES = 10  # the search for a capture's refund reads at most this number of pages; a page has up to 500 refunds

STATUSES: Mapping[str, str] = {
    "S": "COMPLETED",
    "P": "PENDING",
    "D": "FAILED",
    "V": "CANCELLED",  # reversed: the money came back to the seller
}
"""For each transaction status in PayPal's list, the status of the refund."""

# The form of our idempotency keys. A shop may write other texts into custom_field and invoice_id, even an e-mail address.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Cursor:
    """One page of one time range. Reconciliation gets the cursor as text, and passes the text to the next call."""

    start: datetime
    end: datetime
    page: int = 1

    def __str__(self) -> str:
        return f"{_format_time(self.start)} {_format_time(self.end)} {self.page}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Parse the text of a cursor."""
        start, end, page = text.split(" ")
        return cls(parse_time(start), parse_time(end), int(page))

    @classmethod
    def first(cls, start: datetime, now: datetime) -> "Cursor":
        """Return the first page of the longest time range that PayPal allows. The range ends at ``now`` at the latest."""
        return cls(start, min(start + MAX_RANGE, now))

    def next_page(self) -> "Cursor":
        """Return the next page of the same time range."""
        return replace(self, page=self.page + 1)

    def first_half(self) -> "Cursor":
        """Return the first half of the time range."""
        return Cursor(self.start, self.start + (self.end - self.start) / 2)


def list_refunds(client: PayPalClient, since: datetime, after: str | None) -> RefundPage | Unknown:
    """Return one page of the refunds since ``since``. The cursor ``after`` selects the page.

    PayPal's list of the last three hours may be incomplete, so the next reconciliation lists these hours again.
    """
    now = datetime.now(UTC)
    cursor = Cursor.parse(after) if after else Cursor.first(since - LISTING_DELAY, now)
    result = _search(client, cursor)
    if isinstance(result, Unknown):
        return result
    if result is None:
        return RefundPage([], str(cursor.first_half()))
    refunds, has_more = result
    if has_more:
        return RefundPage([_to_list_entry(refund) for refund in refunds], str(cursor.next_page()))
    next_range = Cursor.first(cursor.end, now) if cursor.end < now - LISTING_DELAY else None
    return RefundPage([_to_list_entry(refund) for refund in refunds], str(next_range) if next_range else None)


def list_refunds_of(client: PayPalClient, capture: str, at: datetime) -> list[Refund] | Unknown:
    """Return the refunds of one capture. Only the part of PayPal's list around the time ``at`` is read."""
    cursor = Cursor(at - MARGIN, at + MARGIN)
    refunds: list[Refund] = []
    for _ in range(MAX_PAGES):
        result = _search(client, cursor)
        if isinstance(result, Unknown):
            return result
        if result is None:
            break
        page, has_more = result
        refunds += [refund for refund in page if refund.charge == capture]
        if not has_more:
            return refunds
        cursor = cursor.next_page()
    return Unknown("PayPal lists more refunds near the time of this refund than can be read.")


def _search(client: PayPalClient, cursor: Cursor) -> tuple[list[Refund], bool] | Unknown | None:
    """Return a page of distinct refunds, with True if another page follows. Return None if PayPal finds too many refunds."""
    start, end = _format_time(cursor.start), _format_time(cursor.end)
    reply = client.search_transactions(REFUND_EVENT, start, end, cursor.page)
    if isinstance(reply, Unknown):
        return reply
    if reply.body.get("name") == TOO_MANY and cursor.end - cursor.start > MIN_RANGE:
        return None
    pages, rows = reply.body.get("total_pages"), reply.body.get("transaction_details", [])
    if not reply.is_success or type(pages) is not int or type(rows) is not list:
        return Unknown(f"PayPal answered {reply.status}, without a list of refunds.")
    refunds = [refund for row in rows if (refund := _parse_transaction(row))]
    if len(refunds) != len(rows):
        return Unknown("PayPal's list of refunds cannot be read.")
    return [*{refund.id: refund for refund in refunds}.values()], cursor.page < pages


def _parse_transaction(row: Any) -> Refund | None:  # noqa: ANN401 - PayPal's JSON may be anything
    try:
        info = row["transaction_info"]
        amount, capture = info["transaction_amount"], info.get("paypal_reference_id")
        refund = Refund(
            id=info["transaction_id"],
            charge=capture if is_identifier(capture) else "",
            # PayPal's amount is negative, because the seller pays
            amount=parse_amount({**amount, "value": amount["value"].removeprefix("-")}),
            status=STATUSES[info["transaction_status"]],
            reason="",
            keys=frozenset({info.get("custom_field"), info.get("invoice_id")} - {None}),
            created=parse_time(info["transaction_initiation_date"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_identifier(refund.id) else None


def _to_list_entry(refund: Refund) -> ListedRefund:
    assert refund.created, "The listed transaction has no time."
    keys = sorted(key for key in refund.keys if type(key) is str and _KEY.fullmatch(key))
    key = keys[0] if keys else None
    return ListedRefund(refund.id, refund.charge, refund.amount, refund.refund_status, refund.created, key)


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

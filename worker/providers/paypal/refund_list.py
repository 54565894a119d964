"""Lists refunds with PayPal's transaction search."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.providers import ListedRefund, RefundPage, Unknown, failure_of
from worker.providers.identifiers import is_identifier
from worker.providers.paypal.amounts import parse_amount
from worker.providers.paypal.client import PayPalClient
from worker.providers.paypal.codes import TRANSACTION_STATUSES
from worker.providers.paypal.resources import Refund, parse_time
from worker.providers.paypal.transaction_search import Cursor, search

QUERY = {
    "transaction_type": "T1107",  # PayPal, "Transaction event codes": a refund that the merchant made
    "fields": "transaction_info",
    "balance_affecting_records_only": "N",  # a pending refund has not changed the balance yet
    "page_size": "500",  # the maximum
}
MARGIN = timedelta(hours=12)
"""The search for a capture's refund covers this time before and after the last update of the capture.

The refund and the update are usually seconds apart.
"""
MAX_PAGES = 10  # the search for a capture's refund reads at most this number of pages; a page has up to 500 refunds

# The form of our idempotency keys. A shop may write other texts into custom_field and invoice_id, even an e-mail address.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN_KEY = '"mb_'  # the start of each of our idempotency keys in JSON


def list_refunds(client: PayPalClient, since: datetime, after: str | None) -> RefundPage | Unknown:
    """Return one page of the refunds since ``since``. The cursor ``after`` selects the page."""
    now = datetime.now(UTC)
    cursor = Cursor.begin(since, after, now)
    page = search(client, cursor, QUERY)
    if isinstance(page, Unknown):
        return page
    listed = _parse_rows(page.rows, _OWN_KEY)
    if isinstance(listed, Unknown):
        return listed
    refunds, skipped = listed
    return RefundPage([to_list_entry(refund, now) for refund in refunds], page.next_cursor(cursor, now), skipped)


def list_refunds_of(client: PayPalClient, capture: str, at: datetime) -> list[Refund] | Unknown:
    """Return the refunds of one capture. Only the part of PayPal's list around the time ``at`` is read."""
    cursor = Cursor(at - MARGIN, at + MARGIN)
    refunds: list[Refund] = []
    for _ in range(MAX_PAGES):
        page = search(client, cursor, QUERY)
        if isinstance(page, Unknown):
            return page
        if page.is_too_large:
            break
        listed = _parse_rows(page.rows, _OWN_KEY, f'"{capture}"')
        if isinstance(listed, Unknown):
            return listed
        refunds += [refund for refund in listed[0] if refund.charge == capture]
        if not page.has_more:
            return refunds
        cursor = cursor.next_page()
    return Unknown("PayPal lists more refunds near the time of this refund than can be read.")


def _parse_rows(rows: Sequence[Any], *own_texts: str) -> tuple[list[Refund], int] | Unknown:
    """Return the distinct refunds, and the number of rows that cannot be read.

    Return Unknown if such a row contains one of ``own_texts``, because Moneyback may have made that refund.
    """
    parsed = [(row, _parse_transaction(row)) for row in rows]
    unreadable = [json.dumps(row) for row, refund in parsed if refund is None]
    if any(own_text in text for text in unreadable for own_text in own_texts):
        return Unknown("PayPal's list contains a refund of Moneyback that cannot be read.")
    refunds = {refund.id: refund for _, refund in parsed if refund}  # PayPal may list a transaction twice
    return [*refunds.values()], len(unreadable)


def _parse_transaction(row: Any) -> Refund | None:  # noqa: ANN401 - PayPal's JSON may be anything
    try:
        info = row["transaction_info"]
        amount, capture = info["transaction_amount"], info.get("paypal_reference_id")
        refund = Refund(
            id=info["transaction_id"],
            charge=capture if is_identifier(capture) else "",
            # PayPal's amount is negative, because the seller pays
            amount=parse_amount({**amount, "value": amount["value"].removeprefix("-")}),
            status=TRANSACTION_STATUSES[info["transaction_status"]],
            reason="",
            keys=frozenset({info.get("custom_field"), info.get("invoice_id")} - {None}),
            created=parse_time(info["transaction_initiation_date"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_identifier(refund.id) else None


def to_list_entry(refund: Refund, at: datetime) -> ListedRefund:
    """Return the entry of a refund. ``at`` is the time of a refund that PayPal shows without its time."""
    keys = sorted(key for key in refund.keys if type(key) is str and _KEY.fullmatch(key))
    key = keys[0] if keys else None
    created, failure = refund.created or at, failure_of(refund.result())
    return ListedRefund(refund.id, refund.charge, refund.amount, refund.refund_status, created, key, failure)

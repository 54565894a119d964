"""Reads PayPal's disputes (PayPal's Disputes API, version 1): the disputes of one capture, and the list of all disputes."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from domain.providers import Declined, DeclineReason, DisputePage, DisputeStatus, ListedDispute, Unknown
from domain.purchases import Dispute
from worker.providers.disputes import select_deciding_dispute
from worker.providers.paypal.client import PayPalClient, PayPalReply
from worker.providers.paypal.codes import DISPUTE_OUTCOMES, DISPUTE_STAGES, DISPUTED_CAPTURES, INVALID_RESOURCE_ID
from worker.providers.paypal.resources import ID, format_time, parse_time

MAX_DISPUTES = 50  # the maximum number in one reply of PayPal; the status of a capture with more disputes is unknown
PAGE_SIZE = 10  # disputes; each of them needs one more call, and all calls of a page have one time limit
MAX_AGE = timedelta(days=180) - timedelta(hours=1)  # PayPal: "The start time must be within the last 180 days."

_DISPUTE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")  # the format in the object dispute_info
_UNREADABLE = Unknown("PayPal's list of disputes cannot be read, or has several pages.")

_Rows = tuple[list[Any], str | None]
"""The rows of one page, and the query of the next page. The query is None on the last page."""


def find_dispute(client: PayPalClient, capture: str) -> DisputeStatus | Unknown:
    """Return the dispute that decides among the listed disputes of this capture, which may have several."""
    reply = client.list_disputes({"disputed_transaction_id": capture, "page_size": str(MAX_DISPUTES)})
    if isinstance(reply, Unknown):
        return reply
    page = _read_page(reply)
    if page is None or page[1]:
        return _UNREADABLE
    disputes = []
    for row in page[0]:
        dispute = _complete(client, row)
        if isinstance(dispute, Unknown):
            return dispute
        disputes.append(dispute)
    return select_deciding_dispute(disputes)


def decide_dispute(listed: DisputeStatus, reason: str) -> DisputeStatus:
    """Return the dispute of a capture, for its listed dispute and the reason in its status details.

    If PayPal lists no dispute, or only a dispute that the seller won, but the reason shows a dispute, the dispute is open. Then
    its id is the reason, because PayPal shows no other id.
    """
    is_hidden = reason in DISPUTED_CAPTURES and listed.dispute in {Dispute.NONE, Dispute.WON}
    return DisputeStatus(Dispute.OPEN, reason) if is_hidden else listed


def find_disputed_capture(client: PayPalClient, dispute_id: str) -> str | Declined | Unknown:
    """Return the capture of the dispute with this id. Return Declined if PayPal does not know the dispute."""
    if not _DISPUTE_ID.fullmatch(dispute_id):
        return Declined(DeclineReason.PERMANENT, INVALID_RESOURCE_ID)
    details = client.get_dispute(dispute_id)
    if isinstance(details, Unknown):
        return details
    if details.status == HTTPStatus.NOT_FOUND and details.code:
        return Declined(DeclineReason.PERMANENT, details.code)
    entries = _parse_entries(details.body, dispute_id) if details.is_success else []
    return entries[0].charge if len(entries) == 1 else Unknown("PayPal's dispute does not name exactly one capture.")


def list_disputes(client: PayPalClient, since: datetime, after: str | None) -> DisputePage | Unknown:
    """Return one page of the disputes that were opened since ``since``. The cursor is the query of PayPal's link "next".

    The rows of PayPal's list name no payment, so each dispute is fetched.
    """
    start = format_time(max(since, datetime.now(UTC) - MAX_AGE))
    reply = client.list_disputes(
        dict(parse_qsl(after)) if after else {"start_time": start, "page_size": str(PAGE_SIZE)}
    )
    if isinstance(reply, Unknown):
        return reply
    page = _read_page(reply)
    if page is None:
        return _UNREADABLE
    rows, next_query = page
    listed: list[ListedDispute] = []
    skipped = 0
    for dispute_id in map(_read_id, rows):
        details = client.get_dispute(dispute_id) if dispute_id else None
        if isinstance(details, Unknown):
            return details
        entries = _parse_entries(details.body, dispute_id) if details and details.is_success else []
        listed += entries
        skipped += not entries
    return DisputePage(listed, next_query, skipped)


def parse_dispute(row: Any) -> DisputeStatus | None:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the status of the dispute, or None if a field is missing or wrong.

    A dispute without a stage that Moneyback knows is open.
    """
    try:
        if row["status"] == "RESOLVED":
            status = DISPUTE_OUTCOMES.get(row["dispute_outcome"]["outcome_code"], Dispute.LOST)
        else:
            status = DISPUTE_STAGES.get(row.get("dispute_life_cycle_stage"), Dispute.OPEN)
        dispute = DisputeStatus(status, row["dispute_id"], respond_by=_parse_deadline(row))
        is_valid = type(row["status"]) is str and _DISPUTE_ID.fullmatch(dispute.dispute_id)
    except (KeyError, TypeError, AttributeError):
        return None
    return dispute if is_valid else None


def _complete(client: PayPalClient, row: Any) -> DisputeStatus | Unknown:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the status of a dispute in the list. The list does not show outcomes, so a resolved dispute is fetched."""
    dispute_id = _read_id(row)
    if dispute_id is None:
        return _UNREADABLE
    if row.get("status") != "RESOLVED":
        return parse_dispute(row) or _UNREADABLE
    details = client.get_dispute(dispute_id)
    if isinstance(details, Unknown):
        return details
    dispute = parse_dispute(details.body) if details.is_success else None
    is_expected = dispute is not None and dispute.dispute_id == dispute_id
    return dispute if dispute and is_expected else Unknown("PayPal's dispute cannot be read.")


def _read_page(reply: PayPalReply) -> _Rows | None:
    """Return the page, or None if the reply is no list of disputes."""
    rows, links = reply.body.get("items", []), reply.body.get("links")
    try:
        next_links = [link["href"] for link in links or [] if link["rel"] == "next"]
        query = urlsplit(next_links[0]).query if next_links else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    is_list = type(rows) is list and (links is not None or "items" in reply.body)
    if not reply.is_success or not is_list or query == "":
        return None
    return rows, urlencode(parse_qsl(query)) if query else None


def _read_id(row: Any) -> str | None:  # noqa: ANN401 - PayPal's JSON may be anything
    dispute_id = row.get("dispute_id") if type(row) is dict else None
    return dispute_id if type(dispute_id) is str and _DISPUTE_ID.fullmatch(dispute_id) else None


def _parse_entries(dispute: Mapping[str, Any], dispute_id: str | None) -> list[ListedDispute]:
    """Return an entry for each disputed capture. The list is empty if the dispute cannot be read, or names no capture."""
    status = parse_dispute(dispute)
    if status is None or status.dispute_id != dispute_id:
        return []
    try:
        captures = [row.get("seller_transaction_id") for row in dispute["disputed_transactions"]]
    except (KeyError, TypeError, AttributeError):
        return []
    valid_captures = [capture for capture in captures if type(capture) is str and ID.fullmatch(capture)]
    return [ListedDispute(capture, status) for capture in dict.fromkeys(valid_captures)]


def _parse_deadline(row: Mapping[str, Any]) -> datetime | None:
    """Return the instant until which the seller must respond. No decision depends on it, so an invalid text is ignored."""
    try:
        return parse_time(row["seller_response_due_date"])
    except (KeyError, TypeError, ValueError):
        return None

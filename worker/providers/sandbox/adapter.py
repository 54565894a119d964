"""Implements the adapter of the sandbox provider."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from config.provider_accounts import SandboxAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ListedPurchase,
    ListedRefund,
    LookupResult,
    NotFound,
    PaymentProvider,
    PaymentStatus,
    PurchasePage,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
    WaitingForApproval,
)
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.disputes import select_deciding_dispute
from worker.providers.sandbox.client import SandboxClient, SandboxReply
from worker.providers.sandbox.codes import APPROVAL_REQUIRED, CAPABILITIES, CODES, NO_SUCH_CHARGE
from worker.providers.sandbox.resources import (
    Payment,
    Refund,
    carries_key,
    parse_all,
    parse_dispute,
    parse_list_entry,
    parse_listed_dispute,
    parse_payment,
    parse_readable,
    parse_refund,
)

PAGE_SIZE = 100  # the maximum number of rows on a page

Resource = TypeVar("Resource")


def create_adapter(account: SandboxAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account. Raise SandboxUrlError if the URL is not valid."""
    client = SandboxClient(account, provider_timeout_seconds=provider_timeout_seconds, connections=connections)
    seller_metadata = account.seller_metadata
    return SandboxAdapter(client, provider_timeout_seconds=provider_timeout_seconds, seller_metadata=seller_metadata)


class _Page(NamedTuple):
    """A page of a list, with rows that may be unreadable."""

    rows: list[Any]
    next_cursor: str | None


class SandboxAdapter(CapabilityDefaults):
    """An adapter that refunds charges through the sandbox. Thread-safe. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(
        self, client: SandboxClient, *, provider_timeout_seconds: float, seller_metadata: str | None = None
    ) -> None:
        """Take the client. ``seller_metadata`` is the name of the metadata field that names the seller of a payment."""
        self._client = client
        self._seconds = provider_timeout_seconds
        self._seller_metadata = seller_metadata

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Create the refund, and check that the reply is about this refund."""
        request = {"charge": charge, "amount": amount.minor, "currency": amount.currency}
        with time_limit(self._seconds):
            reply = self._client.create_refund(request, key=key)
        if isinstance(reply, Unknown):
            return reply
        if reply.code == APPROVAL_REQUIRED:
            return WaitingForApproval(APPROVAL_REQUIRED)
        if reply.status != HTTPStatus.OK:
            return _map_decline(reply)
        refund = parse_refund(reply.body)
        if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
            return Unknown("The sandbox's reply is not about the requested refund.")
        return refund.result()

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find our refund by its key. A refund of the charge with another key was made outside Moneyback."""
        with time_limit(self._seconds):
            refunds = self._list_refunds(key=key) or self._list_refunds(charge=charge)
        if isinstance(refunds, Unknown):
            return refunds
        if any(refund.charge != charge for refund in refunds):
            return Unknown("The sandbox's reply is not about the requested charge.")
        own_refunds = [refund.result() for refund in refunds if refund.key == key]
        external_refunds = [
            refund.to_external_refund() for refund in refunds if refund.refund_status is not RefundStatus.FAILED
        ]
        return next(iter(own_refunds or external_refunds), NotFound())

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return all refunds of this charge. Return Unknown if one of them cannot be read, because it may be ours."""
        with time_limit(self._seconds):
            return _parse_list(self._client.list_refunds(charge=charge), parse_list_entry)

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this charge. An open dispute takes precedence over a closed one."""

        def parse(row: Mapping[str, Any]) -> DisputeStatus | None:
            return parse_dispute(row) if row.get("charge") == charge else None

        with time_limit(self._seconds):
            disputes = _parse_list(self._client.list_disputes(charge=charge), parse)
        return disputes if isinstance(disputes, Unknown) else select_deciding_dispute(disputes[::-1])

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds, the oldest first. A refund without a key was made by hand; if it cannot be read, it is only counted."""
        page = self._page(self._client.list_refunds, since, after)
        if isinstance(page, Unknown):
            return page
        refunds = parse_readable(page.rows, parse_list_entry)
        if sum(map(carries_key, page.rows)) > sum(refund.key is not None for refund in refunds):
            return Unknown("The sandbox's list has a refund with an idempotency key that cannot be read.")
        return RefundPage(refunds, page.next_cursor, len(page.rows) - len(refunds))

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the payment. If the payment is not registered, its amount is not shown."""
        payment = self._show_payment(charge)
        return payment.to_status(self._seller_metadata) if isinstance(payment, Payment) else payment

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """List disputes, the oldest first. A dispute that cannot be read is left out and counted."""
        page = self._page(self._client.list_disputes, since, after)
        if isinstance(page, Unknown):
            return page
        disputes = parse_readable(page.rows, parse_listed_dispute)
        return DisputePage(disputes, page.next_cursor, len(page.rows) - len(disputes))

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        """List the captured payments that are registered, the oldest first."""
        page = self._page(self._client.list_payments, since, after)
        if isinstance(page, Unknown):
            return page
        payments = [payment.to_purchase(self._seller_metadata) for payment in parse_readable(page.rows, parse_payment)]
        purchases = [purchase for purchase in payments if isinstance(purchase, ListedPurchase)]
        return PurchasePage(purchases, page.next_cursor, len(page.rows) - len(purchases))

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        """Return the payment as a purchase."""
        payment = self._show_payment(charge)
        return payment.to_purchase(self._seller_metadata) if isinstance(payment, Payment) else payment

    def check_access(self) -> Mapping[AccessRight, str]:
        """List one refund, one dispute and one payment."""
        reads = {
            AccessRight.READ_REFUNDS: self._client.list_refunds,
            AccessRight.READ_DISPUTES: self._client.list_disputes,
            AccessRight.READ_PAYMENTS: self._client.list_payments,
        }
        with time_limit(self._seconds):
            lists = {right: _parse_page(read(limit="1")) for right, read in reads.items()}
        return {right: rows.why for right, rows in lists.items() if isinstance(rows, Unknown)}

    def _show_payment(self, charge: str) -> Payment | Declined | Unknown:
        with time_limit(self._seconds):
            reply = self._client.show_payment(charge)
        if isinstance(reply, Unknown):
            return reply
        if reply.code == NO_SUCH_CHARGE:
            return Declined(CODES[NO_SUCH_CHARGE], NO_SUCH_CHARGE)
        payment = parse_payment(reply.body)
        if reply.status != HTTPStatus.OK or payment is None or payment.charge != charge:
            return Unknown("The sandbox's reply is not about the requested payment.")
        return payment

    def _page(self, read: Callable[..., SandboxReply | Unknown], since: datetime, after: str | None) -> _Page | Unknown:
        query = {"limit": str(PAGE_SIZE), "since": str(int(since.timestamp()))}  # the sandbox's times are whole seconds
        query |= {"starting_after": after} if after else {}
        with time_limit(self._seconds):
            return _parse_page(read(**query))

    def _list_refunds(self, **query: str) -> list[Refund] | Unknown:
        return _parse_list(self._client.list_refunds(**query), parse_refund)


def _parse_list(
    reply: SandboxReply | Unknown, parse: Callable[[dict[str, Any]], Resource | None]
) -> list[Resource] | Unknown:
    if isinstance(reply, Unknown):
        return reply
    if reply.status != HTTPStatus.OK:
        return Unknown(f"The sandbox answered {reply.status}, without a list.")
    rows = parse_all(reply.body.get("data"), parse)
    return Unknown("The sandbox's list cannot be read.") if rows is None else rows


def _parse_page(reply: SandboxReply | Unknown) -> _Page | Unknown:
    """Return the rows of a page. The id of the last row is the cursor of the next page."""
    if isinstance(reply, Unknown):
        return reply
    rows, has_more = reply.body.get("data"), reply.body.get("has_more")
    if reply.status != HTTPStatus.OK or type(rows) is not list or type(has_more) is not bool:
        return Unknown(f"The sandbox answered {reply.status}, without a page of a list.")
    last_row = rows[-1] if rows else None
    next_cursor = last_row.get("id") if type(last_row) is dict else None
    if has_more and not (type(next_cursor) is str and next_cursor):
        return Unknown("The last row on the page of the sandbox has no id, so the next page cannot be read.")
    return _Page(rows, next_cursor if has_more else None)


def _map_decline(reply: SandboxReply) -> Declined | Unknown:
    if reply.status < HTTPStatus.BAD_REQUEST or reply.code is None:
        return Unknown(f"The sandbox answered {reply.status}, which does not show whether the refund was made.")
    return Declined(CODES.get(reply.code, DeclineReason.PERMANENT), reply.code)

"""Implements the payment provider Mollie. A lookup finds our refund by the idempotency key in the refund's metadata."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from config.provider_accounts import MollieAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
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
)
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.mollie.amounts import format_amount
from worker.providers.mollie.client import MollieClient, Row
from worker.providers.mollie.codes import CAPABILITIES, CODES
from worker.providers.mollie.payments import EMBEDS, Payment, parse_payment
from worker.providers.mollie.purchases import parse_purchase
from worker.providers.mollie.resources import (
    KEY_FIELD,
    PARSE_ERRORS,
    decide_dispute,
    parse_chargeback,
    parse_refund,
    parse_refunds,
    parse_time,
)

MAX_PAGES = 8  # the maximum number of pages that are read for a payment; enough for 2,000 refunds or chargebacks

PAYMENTS_PAGE_SIZE = 100  # payments; 250 payments with many lines could be larger than the largest reply that is read

MAX_PAYMENT_TIME = timedelta(days=14)
"""The time in which customers usually pay; our choice. Mollie sorts payments by their creation, but a customer may pay a bank
transfer days later (docs.mollie.com, "Handling payment status")."""

_LISTS = {
    AccessRight.READ_REFUNDS: "refunds",
    AccessRight.READ_DISPUTES: "chargebacks",
    AccessRight.READ_PAYMENTS: "payments",
}

_CHARGEBACK_PREFIX = "chb_"
_RESOURCE_ID = re.compile(r"[a-z]{1,20}_\w{1,60}", re.ASCII)
_PAYMENT_ID = re.compile(r"tr_\w{1,60}", re.ASCII)
_NOT_A_PAYMENT = "not a payment's id"


def create_adapter(account: MollieAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account. Raise MollieKeyError if the account's API key is not valid."""
    return MollieAdapter(
        MollieClient(account, connections=connections),
        seller_in=account.seller_in,
        provider_timeout_seconds=provider_timeout_seconds,
    )


class MollieAdapter(CapabilityDefaults):
    """An adapter that refunds payments through Mollie. It is thread-safe. All calls that a method makes share one time limit."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        client: MollieClient,
        *,
        seller_in: Callable[[object], str | None],
        provider_timeout_seconds: float,
    ) -> None:
        """``seller_in`` returns the seller that a payment's metadata names."""
        self._client = client
        self._seller_in = seller_in
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Create the refund, with the idempotency key also in its metadata, because Mollie keeps keys only for an hour."""
        if not _PAYMENT_ID.fullmatch(charge):  # an invalid id must not become part of the URL
            return Declined(DeclineReason.PERMANENT, _NOT_A_PAYMENT)
        request = {"amount": format_amount(amount), "description": f"Refund of {charge}", "metadata": {KEY_FIELD: key}}
        with time_limit(self._seconds):
            reply = self._client.create_refund(charge, request, key=key)
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_success:
            return Declined(CODES.get(reply.detail, DeclineReason.PERMANENT), reply.code)
        refund = parse_refund(reply.body)
        if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
            return Unknown("Mollie's reply describes another refund than the requested refund.")
        return refund.result()

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find the refund with this key in its metadata. Any other refund is external. Failed external refunds are ignored.

        A refund without our key that cannot be read does not hide the refunds that can be read. But it may have taken the whole
        amount, so only a list without such a refund shows that the payment has no refund.
        """
        rows = self._all_rows(charge, "refunds")
        if isinstance(rows, Unknown):
            return rows
        refunds = parse_refunds(rows)
        if isinstance(refunds, Unknown) or any(refund.charge != charge for refund in refunds):
            return Unknown("Mollie's list of refunds cannot be read, or is not about this payment.")
        live_refunds = [refund for refund in refunds if refund.refund_status is not RefundStatus.FAILED]
        for refund in [*live_refunds, *refunds]:
            if refund.key == key:
                return refund.result()
        if live_refunds:
            return ExternalRefund(live_refunds[0].id, live_refunds[0].amount)
        return NotFound() if len(refunds) == len(rows) else Unknown("A refund of the payment cannot be read.")

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return all refunds of this payment. Return Unknown if a refund cannot be read, because it may be paid."""
        rows = self._all_rows(charge, "refunds")
        if isinstance(rows, Unknown):
            return rows
        refunds = [refund.list_entry() for row in rows if (refund := parse_refund(row))]
        if len(refunds) != len(rows) or any(refund.charge != charge for refund in refunds):
            return Unknown("Mollie's list of refunds cannot be read, or is not about this payment.")
        return refunds

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this payment. If there are several chargebacks, select_deciding_dispute() selects one.

        The status is never open, because Mollie lists a chargeback only after the bank took the money.
        """
        rows = self._all_rows(charge, "chargebacks")
        if isinstance(rows, Unknown):
            return rows
        chargebacks = [chargeback for row in rows if (chargeback := parse_chargeback(row))]
        if len(chargebacks) != len(rows) or any(chargeback.charge != charge for chargeback in chargebacks):
            return Unknown("Mollie's list of chargebacks cannot be read.")
        return decide_dispute(chargebacks)

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the payment with its refunds and chargebacks, by one call."""
        payment = self._find_payment(charge)
        if not isinstance(payment, Payment):
            return payment
        return payment.payment_status(seller=self._seller_in(payment.metadata))

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        """Return the payment as a purchase. Decline a payment that the customer has not paid."""
        payment = self._find_payment(charge)
        if not isinstance(payment, Payment):
            return payment
        if payment.captured is None:
            return Declined(DeclineReason.NOT_CAPTURED, payment.status)
        purchase = parse_purchase(payment, seller=self._seller_in(payment.metadata))
        return purchase or Unknown("Mollie's payment lacks a field that a purchase needs.")

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds since ``since``, the newest first.

        Mollie has no filter by time. So the first page that contains a refund older than ``since`` is returned as the last page.
        """
        with time_limit(self._seconds):
            page = self._client.list_page("refunds", "refunds", after)
        if isinstance(page, Unknown):
            return page
        refunds = parse_refunds(page.rows)
        if isinstance(refunds, Unknown):
            return refunds
        recent = [refund.list_entry() for refund in refunds if refund.created >= since]
        is_last = len(recent) < len(refunds)
        return RefundPage(recent, None if is_last else page.next_id, skipped=len(page.rows) - len(refunds))

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """List chargebacks since ``since``, the newest first. The page that reaches an older chargeback is the last page."""
        with time_limit(self._seconds):
            page = self._client.list_page("chargebacks", "chargebacks", after)
        if isinstance(page, Unknown):
            return page
        chargebacks = [chargeback for row in page.rows if (chargeback := parse_chargeback(row))]
        recent = [chargeback.list_entry() for chargeback in chargebacks if chargeback.created >= since]
        is_last = len(recent) < len(chargebacks)
        return DisputePage(recent, None if is_last else page.next_id, skipped=len(page.rows) - len(chargebacks))

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        """List payments that were paid since ``since``. A payment may have been created up to MAX_PAYMENT_TIME earlier."""
        with time_limit(self._seconds):
            page = self._client.list_page("payments", "payments", after, limit=PAYMENTS_PAGE_SIZE)
        if isinstance(page, Unknown):
            return page
        payments = [payment for row in page.rows if (payment := parse_payment(row))]
        sold = [parse_purchase(payment, seller=self._seller_in(payment.metadata)) for payment in payments]
        purchases = [purchase for purchase in sold if purchase]
        recent = [purchase for purchase in purchases if purchase.purchased_at >= since]
        is_last = any(_is_created_before(row, since - MAX_PAYMENT_TIME) for row in page.rows)
        return PurchasePage(recent, None if is_last else page.next_id, skipped=len(page.rows) - len(purchases))

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        """Find the payment of a refund."""
        return self._find_charge(refund_id, lambda: self._client.find_row("refunds", refund_id))

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        """Find the payment of a chargeback, or of a dispute that is no chargeback yet.

        Mollie's reference has no call for a dispute. So the path is the path that Mollie uses for its other resources.
        """
        if dispute_id.startswith(_CHARGEBACK_PREFIX):
            return self._find_charge(dispute_id, lambda: self._client.find_row("chargebacks", dispute_id))
        return self._find_charge(dispute_id, lambda: self._client.get_row(f"disputes/{dispute_id}"))

    def check_access(self) -> Mapping[AccessRight, str]:
        """Read one row of each list."""
        with time_limit(self._seconds):
            pages = {right: self._client.list_page(kind, kind, limit=1) for right, kind in _LISTS.items()}
        return {right: page.why for right, page in pages.items() if isinstance(page, Unknown)}

    def _find_payment(self, charge: str) -> Payment | Declined | Unknown:
        if not _PAYMENT_ID.fullmatch(charge):
            return Declined(DeclineReason.PERMANENT, _NOT_A_PAYMENT)
        with time_limit(self._seconds):
            row = self._client.get_row(f"payments/{charge}", {"embed": EMBEDS})
        if isinstance(row, Declined | Unknown):
            return row
        payment = parse_payment(row)
        if payment is None or payment.id != charge:
            return Unknown("Mollie's payment cannot be read, or is not the requested payment.")
        return payment

    def _find_charge(
        self, resource_id: str, find_row: Callable[[], Row | Declined | Unknown]
    ) -> str | Declined | Unknown:
        if not _RESOURCE_ID.fullmatch(resource_id):  # an invalid id must not become part of the URL
            return Declined(DeclineReason.PERMANENT, "not a resource's id")
        with time_limit(self._seconds):
            row = find_row()
        if isinstance(row, Declined | Unknown):
            return row
        charge = row.get("paymentId")
        if row.get("id") != resource_id or not isinstance(charge, str) or not _PAYMENT_ID.fullmatch(charge):
            return Unknown("Mollie's reply is not about the requested refund or dispute, or names no payment.")
        return charge

    def _all_rows(self, charge: str, kind: str) -> list[object] | Unknown:
        if not _PAYMENT_ID.fullmatch(charge):
            return Unknown("This is not the id of a Mollie payment, so nothing was looked up.")
        rows: list[object] = []
        next_id = None
        with time_limit(self._seconds):
            for _ in range(MAX_PAGES):
                page = self._client.list_page(f"payments/{charge}/{kind}", kind, next_id)
                if isinstance(page, Unknown):
                    return page
                rows += page.rows
                next_id = page.next_id
                if next_id is None:
                    return rows
        return Unknown(f"The payment has more {kind} than can be read.")


def _is_created_before(row: object, limit: datetime) -> bool:
    try:
        return parse_time(row["createdAt"]) < limit  # type: ignore[index]
    except PARSE_ERRORS:
        return False

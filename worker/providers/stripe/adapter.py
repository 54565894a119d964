"""Implements the payment provider Stripe. A lookup finds our refund by the idempotency key in the refund's metadata."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from config.provider_accounts import StripeAccount
from domain.money import Money, UnknownMoneyError
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ListedPurchase,
    ListedRefund,
    LookupResult,
    PaymentProvider,
    PaymentStatus,
    PurchasePage,
    RefundPage,
    RefundResult,
    Unknown,
    failure_of,
)
from domain.purchases import Dispute
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.disputes import select_deciding_dispute
from worker.providers.stripe import purchases
from worker.providers.stripe.amounts import UNITS
from worker.providers.stripe.client import Resource, StripeClient, is_payment_intent
from worker.providers.stripe.codes import CAPABILITIES, INVOICE_VERSION
from worker.providers.stripe.connect import split_refund
from worker.providers.stripe.lookups import find_refund
from worker.providers.stripe.payments import Payment, SellerReader, parse_payment
from worker.providers.stripe.resources import (
    CHARGE_FIELD,
    KEY_FIELD,
    has_our_key,
    is_about,
    parse_dispute,
    parse_listed_dispute,
    parse_refund,
)
from worker.providers.stripe.rows import as_row

MAX_PAGES = 10  # the maximum for one charge; ten pages contain a thousand refunds or disputes, more than any charge has

_ACCESS_READS: Mapping[AccessRight, tuple[Resource, ...]] = {
    AccessRight.READ_REFUNDS: (Resource.REFUNDS,),
    AccessRight.READ_DISPUTES: (Resource.DISPUTES,),
    AccessRight.READ_PAYMENTS: (Resource.CHARGES, Resource.PAYMENT_INTENTS),
}
"""The lists that show whether the API key has a right. A restricted key has a permission for each of them."""


def create_adapter(account: StripeAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    return StripeAdapter(
        StripeClient(account, connections=connections), account, provider_timeout_seconds=provider_timeout_seconds
    )


class StripeAdapter(CapabilityDefaults):
    """An adapter that refunds charges and payment intents through Stripe.

    Thread-safe. Each method has one time limit for all its calls.
    """

    capabilities = CAPABILITIES

    def __init__(self, client: StripeClient, account: StripeAccount, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._account = account
        self._read_seller: SellerReader = account.seller_in
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Create the refund, after a look at the payment.

        The request contains no currency, so the result has the amount and the currency of Stripe's reply.
        """
        try:
            minor = UNITS.to_provider(amount)
        except UnknownMoneyError:
            return Declined(DeclineReason.PERMANENT, "amount_not_in_whole_units")
        metadata = {KEY_FIELD: key, CHARGE_FIELD: charge}
        with time_limit(self._seconds):
            shares = self._prepare_refund(charge)
            if not isinstance(shares, dict):
                return shares
            request = _filter_by(charge) | {"amount": minor, "metadata": metadata} | shares
            row = self._client.create_refund(request, key=key)
        if not isinstance(row, dict):
            return row
        refund = parse_refund(row)
        if refund is None or not is_about(row, charge) or refund.key != key:
            return Unknown("Stripe's reply is not about the requested refund.")
        return refund.result()

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find our refund by the metadata. A refund without our key is external. Failed external refunds are ignored."""
        rows = self._list_all(charge, Resource.REFUNDS)
        return rows if isinstance(rows, Unknown) else find_refund(rows, key)

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return all refunds of this charge. A refund that cannot be read may be paid, so the list is then Unknown."""
        rows = self._list_all(charge, Resource.REFUNDS)
        if isinstance(rows, Unknown):
            return rows
        refunds = [refund for row in rows if (refund := parse_refund(row))]
        if len(refunds) < len(rows):
            return Unknown("Stripe's list contains a refund that cannot be read.")
        return [
            ListedRefund(
                refund.id,
                charge,
                refund.amount,
                refund.refund_status,
                refund.created,
                refund.key,
                failure_of(refund.result()),
            )
            for refund in refunds
        ]

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the status of the dispute that decides, if the charge has several disputes and inquiries.

        A dispute that cannot be read may be open, so the status is Unknown.
        """
        rows = self._list_all(charge, Resource.DISPUTES)
        if isinstance(rows, Unknown):
            return rows
        disputes = [dispute for row in rows if (dispute := parse_dispute(row))]
        if len(disputes) < len(rows):
            return Unknown("Stripe's list contains a dispute that cannot be read.")
        return select_deciding_dispute(disputes)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds, the newest first."""
        with time_limit(self._seconds):
            page = self._client.list_page(Resource.REFUNDS, _page_query(since, after))
        if isinstance(page, Unknown):
            return page
        refunds = [refund for row in page.rows if (refund := parse_refund(row))]
        if any(has_our_key(row) for row in page.rows if not parse_refund(row)):
            return Unknown("Stripe's list contains a refund of Moneyback that cannot be read.")
        entries = [entry for refund in refunds for entry in refund.list_entries()]
        return RefundPage(entries, page.next_cursor, skipped=len(page.rows) - len(refunds))

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """List disputes, the newest first. A dispute of a payment with two ids is listed with each id."""
        with time_limit(self._seconds):
            page = self._client.list_page(Resource.DISPUTES, _page_query(since, after))
        if isinstance(page, Unknown):
            return page
        disputes = [entries for row in page.rows if (entries := parse_listed_dispute(row))]
        listed = [entry for entries in disputes for entry in entries]
        return DisputePage(listed, page.next_cursor, skipped=len(page.rows) - len(disputes))

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the payment. If the payment was disputed, a second call reads the disputes."""
        with time_limit(self._seconds):
            payment = self._client.retrieve_payment(charge)
            if not isinstance(payment, Payment):
                return payment
            dispute = self._dispute_of(payment, charge)
        if isinstance(dispute, Unknown):
            return dispute
        return self._parse_payment(payment, dispute)

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        """List payments, the newest first. A disputed payment needs one more call. If that call fails, the page is Unknown."""
        query = _page_query(since, after) | {"expand": [f"data.{field}" for field in purchases.EXPAND]}
        with time_limit(self._seconds):
            page = self._client.list_page(Resource.CHARGES, query, limit=purchases.PAGE_SIZE, version=INVOICE_VERSION)
            if isinstance(page, Unknown):
                return page
            payments = [payment for row in page.rows if (payment := Payment.of(as_row(row)))]
            listed = [self._read_purchase(payment) for payment in payments]
        if unknown := next((result for result in listed if isinstance(result, Unknown)), None):
            return unknown
        found = [purchase for purchase in listed if isinstance(purchase, ListedPurchase)]
        return PurchasePage(found, page.next_cursor, skipped=len(page.rows) - len(found))

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        """Return the payment as a purchase. A payment that was not captured, or is still pending, is declined."""
        with time_limit(self._seconds):
            payment = self._client.retrieve_payment(charge, expand=purchases.EXPAND, version=INVOICE_VERSION)
            if not isinstance(payment, Payment):
                return payment
            return self._read_purchase(payment) or Declined(DeclineReason.NOT_CAPTURED, payment.code)

    def check_access(self) -> Mapping[AccessRight, str]:
        """List one row of each resource that Moneyback reads. Return the missing rights, each with a sentence."""
        missing: dict[AccessRight, str] = {}
        with time_limit(self._seconds):
            for right, resources in _ACCESS_READS.items():
                pages = [self._client.list_page(resource, {}, limit=1) for resource in resources]
                failures = dict.fromkeys(page.why for page in pages if isinstance(page, Unknown))
                if failures:
                    missing[right] = " ".join(failures)
        return missing

    def _prepare_refund(self, charge: str) -> dict[str, bool] | Declined | Unknown:
        """Read the payment, and return the parameters of the refund that say who pays. Otherwise, nothing was ordered.

        Without this look, Stripe would void an authorised payment, and the platform would pay a destination charge alone.
        """
        payment = self._client.retrieve_payment(charge)
        if not isinstance(payment, Payment):
            return payment
        status = self._parse_payment(payment, DisputeStatus(Dispute.NONE))
        if isinstance(status, Unknown):
            return status
        if status.captured is None:
            return Declined(DeclineReason.NOT_CAPTURED, status.code)
        return split_refund(payment, self._account)

    def _parse_payment(self, payment: Payment, dispute: DisputeStatus) -> PaymentStatus | Unknown:
        status = parse_payment(payment, dispute, read_seller=self._read_seller)
        return status or Unknown("Stripe's payment cannot be read.")

    def _read_purchase(self, payment: Payment) -> ListedPurchase | Unknown | None:
        """Return the payment as a purchase, or None if the payment is no purchase."""
        dispute = self._dispute_of(payment, str(payment.charge.get("id")))
        if isinstance(dispute, Unknown):
            return dispute
        return purchases.parse_purchase(payment, dispute, read_seller=self._read_seller)

    def _dispute_of(self, payment: Payment, charge: str) -> DisputeStatus | Unknown:
        return self.dispute(charge) if payment.is_disputed else DisputeStatus(Dispute.NONE)

    def _list_all(self, charge: str, resource: Resource) -> list[Any] | Unknown:
        """List all refunds or disputes of this charge, the newest first.

        Return Unknown if the list is incomplete, because a missing row may be our refund or an open dispute.
        """
        rows: list[Any] = []
        query = _filter_by(charge)
        with time_limit(self._seconds):
            for _ in range(MAX_PAGES):
                page = self._client.list_page(resource, query)
                if isinstance(page, Unknown):
                    return page
                rows += page.rows
                if not all(is_about(row, charge) for row in page.rows):
                    return Unknown("Stripe's list is not about the requested charge.")
                if page.next_cursor is None:
                    return rows
                query |= {"starting_after": page.next_cursor}
        return Unknown("Stripe's list has more pages than can be read.")


def _filter_by(charge: str) -> dict[str, Any]:
    return {"payment_intent" if is_payment_intent(charge) else "charge": charge}


def _page_query(since: datetime, after: str | None) -> dict[str, Any]:
    return {"created": {"gte": int(since.timestamp())}} | ({"starting_after": after} if after else {})

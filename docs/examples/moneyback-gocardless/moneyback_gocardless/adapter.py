"""Implements the payment provider GoCardless. A lookup finds our refund by the idempotency key in the refund's metadata."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from moneyback_gocardless import GoCardlessAccount
from moneyback_gocardless.client import GoCardlessClient
from moneyback_gocardless.codes import CAPABILITIES, CAPTURED, DIRECT_DEBIT_SCHEMES, NOT_REFUNDABLE
from moneyback_gocardless.resources import (
    CHARGE_FIELD,
    KEY_FIELD,
    Payment,
    Refund,
    dispute_of,
    parse_chargebacks,
    parse_key,
    parse_payment,
    parse_refund,
)
from moneyback_plugin.adapter import (
    CapabilityDefaults,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    ListedRefund,
    LookupResult,
    Money,
    NotFound,
    PaymentProvider,
    PaymentStatus,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
    time_limit,
)

MAX_PAGES = 5  # of a payment's refunds; a payment has at most 25 refunds ("Create a refund")

_PAYMENT_ID = re.compile(r"PM\w{1,60}", re.ASCII)
_REFUND_ID = re.compile(r"RF\w{1,60}", re.ASCII)


def create_adapter(account: GoCardlessAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    return GoCardlessAdapter(account, GoCardlessClient(account, connections=connections), provider_timeout_seconds)


class GoCardlessAdapter(CapabilityDefaults):
    """An adapter that refunds direct debits through GoCardless. Thread-safe. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(self, account: GoCardlessAccount, client: GoCardlessClient, provider_timeout_seconds: float) -> None:
        self._account, self._client, self._seconds = account, client, provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Create the refund, unless it exists.

        ``total_amount_confirmation`` must be the sum of all refunds with this refund. The payment is read before its
        refunds: if a call with the same key refunds at this moment, its refund is missing in the sum or it is found.
        """
        with time_limit(self._seconds):
            payment = self._read_payment(charge)
            if not isinstance(payment, Payment):
                return payment
            found = self._find(charge, key)
            if isinstance(found, Unknown):
                return found
            return found.result() if found else self._create(payment, amount, key)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find the refund with this key in its metadata. Any other refund is external. Failed external refunds are ignored."""
        with time_limit(self._seconds):
            refunds = self._refunds_of(charge)
        if isinstance(refunds, Unknown):
            return refunds
        if own := _select(refunds, key):
            return own.result()
        external = [refund for refund in refunds if refund.refund_status is not RefundStatus.FAILED]
        return ExternalRefund(external[0].id, external[0].amount) if external else NotFound()

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return all refunds of this payment."""
        with time_limit(self._seconds):
            refunds = self._refunds_of(charge)
        return refunds if isinstance(refunds, Unknown) else [refund.list_entry() for refund in refunds]

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        """Return the payment of this refund. A webhook about a refund that was made elsewhere names only the refund."""
        if not _REFUND_ID.fullmatch(refund_id):
            return Declined(DeclineReason.PERMANENT, "not a refund's id")
        with time_limit(self._seconds):
            row = self._client.refund(refund_id)
        if not isinstance(row, dict):
            return row
        refund = parse_refund(row)
        return refund.charge if refund else Unknown("GoCardless' refund cannot be read.")

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        """Return the payment of this dispute. A dispute has the id of its payment."""
        payment = self.payment(dispute_id)
        return dispute_id if isinstance(payment, PaymentStatus) else payment

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the chargeback of this payment, which is the payment's status."""
        with time_limit(self._seconds):
            payment = self._read_payment(charge)
        if isinstance(payment, Declined):
            return Unknown(f"GoCardless does not show the payment: {payment.code}.")
        return payment if isinstance(payment, Unknown) else dispute_of(charge, payment.status)

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the payment. Only a payment whose money arrived is captured."""
        with time_limit(self._seconds):
            payment = self._read_payment(charge)
        if not isinstance(payment, Payment):
            return payment
        return PaymentStatus(
            captured=payment.amount if payment.status in CAPTURED else None,
            refunded=payment.refunded,
            dispute=dispute_of(charge, payment.status),
            method="direct_debit" if payment.scheme in DIRECT_DEBIT_SCHEMES else None,
            seller=self._account.seller_in(payment.metadata),
            code=payment.status,
        )

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds, the newest first. Refunds of mandates are no refunds of payments, so they are left out."""
        with time_limit(self._seconds):
            page = self._client.list_refunds(_query(since, after))
        if isinstance(page, Unknown):
            return page
        refunds = [parse_refund(row) for row in page.rows]
        unread = [row for row, refund in zip(page.rows, refunds, strict=True) if refund is None]
        if any(parse_key(row) for row in unread):
            return Unknown("GoCardless' list has a refund of ours that cannot be read.")
        return RefundPage([refund.list_entry() for refund in refunds if refund], page.next_cursor, len(unread))

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """List chargebacks, the newest first. The payment is part of the answer, because a chargeback may be cancelled."""
        query = {"resource_type": "payments", "action": "charged_back", "include": "payment"}
        with time_limit(self._seconds):
            page = self._client.list_events(_query(since, after) | query)
        if isinstance(page, Unknown):
            return page
        disputes = parse_chargebacks(page.rows, page.linked.get("payments"))
        return DisputePage(disputes, page.next_cursor, len(page.rows) - len(disputes))

    def _read_payment(self, charge: str) -> Payment | Declined | Unknown:
        if not _PAYMENT_ID.fullmatch(charge):  # an invalid id must not become part of the URL
            return Declined(DeclineReason.PERMANENT, "not a payment's id")
        row = self._client.payment(charge)
        if not isinstance(row, dict):
            return row
        payment = parse_payment(row)
        return payment if payment and payment.id == charge else Unknown("GoCardless' payment cannot be read.")

    def _create(self, payment: Payment, amount: Money, key: str) -> RefundResult:
        total = payment.refunded + amount.minor
        if reason := NOT_REFUNDABLE.get(payment.status):
            return Declined(reason, payment.status)
        if amount.currency != payment.amount.currency:
            return Declined(DeclineReason.PAYMENT_DIFFERS, payment.amount.currency)
        if total > payment.amount.minor:
            return Declined(DeclineReason.ALREADY_REFUNDED, f"amount_refunded {payment.refunded}")
        request = {
            "amount": amount.minor,
            "total_amount_confirmation": total,
            "links": {"payment": payment.id},
            "metadata": {KEY_FIELD: key, CHARGE_FIELD: payment.id},
        }
        row = self._client.create_refund(request, key=key)
        if not isinstance(row, dict):
            return row
        refund = parse_refund(row)
        if refund is None or (refund.charge, refund.amount, refund.key) != (payment.id, amount, key):
            return Unknown("GoCardless' answer is not about the requested refund.")
        return refund.result()

    def _find(self, charge: str, key: str) -> Refund | Unknown | None:
        refunds = self._refunds_of(charge)
        return refunds if isinstance(refunds, Unknown) else _select(refunds, key)

    def _refunds_of(self, charge: str) -> list[Refund] | Unknown:
        """Return all refunds of the payment. A refund that cannot be read may be ours, so the result is then Unknown."""
        if not _PAYMENT_ID.fullmatch(charge):
            return Unknown("This is not the id of a GoCardless payment, so nothing was looked up.")
        refunds: list[Refund | None] = []
        query = {"payment": charge}
        for _ in range(MAX_PAGES):
            page = self._client.list_refunds(query)
            if isinstance(page, Unknown):
                return page
            refunds += [parse_refund(row) for row in page.rows]
            if page.next_cursor is None:
                own = [refund for refund in refunds if refund and refund.charge == charge]
                return own if len(own) == len(refunds) else Unknown("GoCardless' list of refunds cannot be read.")
            query |= {"after": page.next_cursor}
        return Unknown("The payment has more refunds than can be read.")


def _select(refunds: list[Refund], key: str) -> Refund | None:
    """Return the refund with our key. A refund that did not fail comes first."""
    own = [refund for refund in refunds if refund.key == key]
    return min(own, key=lambda refund: refund.refund_status is RefundStatus.FAILED, default=None)


def _query(since: datetime, after: str | None) -> dict[str, str]:
    instant = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"created_at[gte]": instant} | ({"after": after} if after else {})

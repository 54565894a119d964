"""Implements the payment provider Mollie. A lookup finds our refund by the idempotency key in the refund's metadata."""

import re
from datetime import datetime

from config.provider_accounts import MollieAccount
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    LookupResult,
    NotFound,
    PaymentProvider,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.disputes import select_deciding_dispute
from worker.providers.mollie.amounts import format_amount
from worker.providers.mollie.client import MollieClient
from worker.providers.mollie.codes import CAPABILITIES, CODES
from worker.providers.mollie.resources import KEY_FIELD, Refund, parse_chargeback, parse_refund

MAX_PAGES = 8  # the maximum number of pages that are read for a payment; enough for 2,000 refunds or chargebacks

_PAYMENT_ID = re.compile(r"tr_\w{1,60}", re.ASCII)
_NOT_A_PAYMENT = "not a payment's id"


def create_adapter(account: MollieAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account. Raise MollieKeyError if the account's API key is not valid."""
    return MollieAdapter(
        MollieClient(account, connections=connections), provider_timeout_seconds=provider_timeout_seconds
    )


class MollieAdapter(CapabilityDefaults):
    """An adapter that refunds payments through Mollie. It is thread-safe. All calls that a method makes share one time limit."""

    capabilities = CAPABILITIES

    def __init__(self, client: MollieClient, *, provider_timeout_seconds: float) -> None:
        self._client = client
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
        """Find the refund with this key in its metadata. Any other refund is external. Failed external refunds are ignored."""
        refunds = self._refunds_of(charge)
        if isinstance(refunds, Unknown):
            return refunds
        live_refunds = [refund for refund in refunds if refund.refund_status is not RefundStatus.FAILED]
        for refund in [*live_refunds, *refunds]:
            if refund.key == key:
                return refund.result()
        return ExternalRefund(live_refunds[0].id, live_refunds[0].amount) if live_refunds else NotFound()

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
        newest_first = sorted(chargebacks, key=lambda chargeback: chargeback.created, reverse=True)
        return select_deciding_dispute(
            [DisputeStatus(chargeback.dispute, chargeback.id) for chargeback in newest_first]
        )

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds since ``since``, the newest first.

        Mollie has no filter by time. So the first page that contains a refund older than ``since`` is returned as the last page.
        """
        with time_limit(self._seconds):
            page = self._client.list_page("refunds", "refunds", after)
        if isinstance(page, Unknown):
            return page
        refunds = [refund for row in page.rows if (refund := parse_refund(row))]
        if len(refunds) != len(page.rows):
            return Unknown("Mollie's list of refunds cannot be read.")
        recent = [refund.list_entry() for refund in refunds if refund.created >= since]
        return RefundPage(recent, page.next_id if len(recent) == len(refunds) else None)

    def _refunds_of(self, charge: str) -> list[Refund] | Unknown:
        rows = self._all_rows(charge, "refunds")
        if isinstance(rows, Unknown):
            return rows
        refunds = [refund for row in rows if (refund := parse_refund(row))]
        if len(refunds) != len(rows) or any(refund.charge != charge for refund in refunds):
            return Unknown("Mollie's list of refunds cannot be read, or is not about this payment.")
        return refunds

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

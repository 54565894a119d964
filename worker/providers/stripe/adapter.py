"""Implements the payment provider Stripe. A lookup finds our refund by the idempotency key in the refund's metadata."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from config.provider_accounts import StripeAccount
from domain.money import Money, UnknownMoneyError
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
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
from worker.providers.stripe.amounts import UNITS
from worker.providers.stripe.client import ListPage, Row, StripeClient
from worker.providers.stripe.codes import CAPABILITIES
from worker.providers.stripe.resources import CHARGE_FIELD, KEY_FIELD, is_about, parse_dispute, parse_refund

MAX_PAGES = 10  # the maximum for one charge; ten pages contain a thousand refunds or disputes, more than any charge has

Resource = TypeVar("Resource")


def create_adapter(account: StripeAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    return StripeAdapter(
        StripeClient(account, connections=connections), provider_timeout_seconds=provider_timeout_seconds
    )


class StripeAdapter(CapabilityDefaults):
    """An adapter that refunds charges and payment intents through Stripe.

    Thread-safe. Each method has one time limit for all its calls.
    """

    capabilities = CAPABILITIES

    def __init__(self, client: StripeClient, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Create the refund. The request contains no currency, so this method checks the currency in Stripe's reply."""
        try:
            minor = UNITS.to_provider(amount)
        except UnknownMoneyError:
            return Declined(DeclineReason.PERMANENT, "amount_not_in_whole_units")
        metadata = {KEY_FIELD: key, CHARGE_FIELD: charge}
        with time_limit(self._seconds):
            row = self._client.create_refund(_filter_by(charge) | {"amount": minor, "metadata": metadata}, key=key)
        if not isinstance(row, dict):
            return row
        refund = parse_refund(row)
        if refund is None or not is_about(row, charge) or (refund.amount, refund.key) != (amount, key):
            return Unknown("Stripe's reply is not about the requested refund.")
        return refund.result()

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find our refund by the metadata. A refund without our key is external. Failed external refunds are ignored."""
        refunds = self._list_all(charge, self._client.list_refunds, parse_refund)
        if isinstance(refunds, Unknown):
            return refunds
        for refund_status in (RefundStatus.PAID, RefundStatus.PENDING, RefundStatus.FAILED):
            for refund in refunds:
                if refund.key == key and refund.refund_status is refund_status:
                    return refund.result()
        return next(
            (refund.to_external_refund() for refund in refunds if refund.refund_status is not RefundStatus.FAILED),
            NotFound(),
        )

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this charge.

        If the charge has several disputes, an open dispute comes before a lost dispute, and a lost dispute before a won dispute.
        """
        disputes = self._list_all(charge, self._client.list_disputes, parse_dispute)
        return disputes if isinstance(disputes, Unknown) else select_deciding_dispute(disputes)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds, the newest first."""
        query = {"created": {"gte": int(since.timestamp())}} | ({"starting_after": after} if after else {})
        with time_limit(self._seconds):
            page = self._client.list_refunds(query)
        if isinstance(page, Unknown):
            return page
        refunds = _parse_all(page.rows, parse_refund)
        if isinstance(refunds, Unknown):
            return refunds
        entries = [entry for refund in refunds for entry in refund.list_entries()]
        return RefundPage(entries, refunds[-1].id if page.has_more else None)

    def _list_all(
        self,
        charge: str,
        list_page: Callable[[Mapping[str, Any]], ListPage | Unknown],
        parse: Callable[[Row], Resource | None],
    ) -> list[Resource] | Unknown:
        """List all refunds or disputes of this charge, the newest first.

        Return Unknown if the list is incomplete, because a missing row may be our refund or an open dispute.
        """
        rows: list[Row] = []
        query = _filter_by(charge)
        with time_limit(self._seconds):
            for _ in range(MAX_PAGES):
                page = list_page(query)
                if isinstance(page, Unknown):
                    return page
                rows += page.rows
                if not all(is_about(row, charge) for row in page.rows):
                    return Unknown("Stripe's list is not about the requested charge.")
                if not page.has_more:
                    return _parse_all(rows, parse)
                query |= {"starting_after": rows[-1]["id"]}
        return Unknown("Stripe's list has more pages than can be read.")


def _filter_by(charge: str) -> dict[str, Any]:
    return {"payment_intent" if charge.startswith("pi_") else "charge": charge}


def _parse_all(rows: list[Row], parse: Callable[[Row], Resource | None]) -> list[Resource] | Unknown:
    resources = [resource for row in rows if (resource := parse(row)) is not None]
    return resources if len(resources) == len(rows) else Unknown("Stripe's list cannot be read.")

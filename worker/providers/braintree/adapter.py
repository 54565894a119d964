"""Implements the payment provider Braintree. A lookup finds our refund by its order id, which is the idempotency key."""

import re
from datetime import datetime
from typing import Any

from config.provider_accounts import BraintreeAccount
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
from worker.providers.braintree.amounts import format_amount
from worker.providers.braintree.client import BraintreeClient, MissingTransaction, RefundReply, create_gateway
from worker.providers.braintree.codes import CAPABILITIES, CODES, UNDECIDED_CODES
from worker.providers.braintree.resources import Refund, parse_disputes, parse_refund
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.identifiers import is_identifier

# The maximum number of refunds of one transaction that a lookup reads. A lookup makes one call for each refund, and all these
# calls share one time limit.
MAX_REFUNDS = 20
PAGE_SIZE = 50  # transactions; the maximum that Braintree returns in one reply
MAX_SEARCH_RESULTS = 20_000  # ids; Braintree's search omits further ids without an error

_TRANSACTION_ID = re.compile(r"\w{1,60}", re.ASCII)
_NOT_FOUND = Declined(DeclineReason.PERMANENT, "not_found")


def create_adapter(account: BraintreeAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    client = BraintreeClient(create_gateway(account, connections=connections))
    return BraintreeAdapter(client, provider_timeout_seconds=provider_timeout_seconds)


class BraintreeAdapter(CapabilityDefaults):
    """An adapter that refunds transactions through Braintree. Thread-safe. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(self, client: BraintreeClient, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Refund the transaction. A refund call contains no currency, so first check the currency of the transaction."""
        with time_limit(self._seconds):
            sale = self._find_transaction(charge)
            if isinstance(sale, Unknown):
                return sale
            if isinstance(sale, MissingTransaction):
                return _NOT_FOUND
            if sale.currency_iso_code != amount.currency:
                return Declined(DeclineReason.PERMANENT, f"currency {sale.currency_iso_code}")
            reply = self._client.refund(charge, format_amount(amount), key=key)
        if isinstance(reply, Unknown):
            return reply
        return _NOT_FOUND if isinstance(reply, MissingTransaction) else _map_reply(reply, charge, amount, key)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find our refund by the order id. A refund with another order id is external. Failed external refunds are ignored."""
        with time_limit(self._seconds):
            refunds = self._list_refunds_of(charge)
        if isinstance(refunds, Unknown):
            return refunds
        live_refunds = [refund for refund in refunds if refund.refund_status is not RefundStatus.FAILED]
        own_refunds = [refund for refund in [*live_refunds, *refunds] if refund.key == key]
        if own_refunds and not (live_refunds and own_refunds[0].decline_reason is DeclineReason.ALREADY_REFUNDED):
            return own_refunds[0].result()
        return ExternalRefund(live_refunds[0].id, live_refunds[0].amount) if live_refunds else NotFound()

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this transaction. If it has several disputes, parse_disputes() selects one."""
        with time_limit(self._seconds):
            sale = self._find_transaction(charge)
        if isinstance(sale, Unknown):
            return sale
        if isinstance(sale, MissingTransaction):
            return Unknown("Braintree does not know this transaction.")
        return parse_disputes(sale) or Unknown("Braintree's disputes of this transaction cannot be read.")

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List a page of up to fifty refunds. ``after`` is the last id of the previous page.

        Braintree's search returns all ids instead of a page. So each call searches again, and uses only the ids after ``after``.
        """
        with time_limit(self._seconds):
            ids = self._client.search_refund_ids(since)
            if isinstance(ids, Unknown):
                return ids
            if (
                len(ids) >= MAX_SEARCH_RESULTS
                or not all(map(is_identifier, ids))
                or (after is not None and after not in ids)
            ):
                return Unknown("Braintree's list of refunds is incomplete.")
            start = ids.index(after) + 1 if after else 0
            page_ids = ids[start : start + PAGE_SIZE]
            transactions = self._find_refunds(page_ids) if page_ids else []
        if isinstance(transactions, Unknown):
            return transactions
        refunds = [refund for transaction in transactions if (refund := parse_refund(transaction))]
        if len(refunds) != len(transactions):
            return Unknown("Braintree's list of refunds cannot be read.")
        return RefundPage(
            [refund.list_entry() for refund in refunds], page_ids[-1] if ids[start + PAGE_SIZE :] else None
        )

    def _find_transaction(self, transaction_id: str) -> Any:  # noqa: ANN401 - the SDK has no types
        """Return the SDK's transaction, MissingTransaction or Unknown."""
        if not _TRANSACTION_ID.fullmatch(transaction_id):  # an invalid id must not become part of the URL
            return MissingTransaction()
        transaction = self._client.find_transaction(transaction_id)
        if isinstance(transaction, Unknown | MissingTransaction):
            return transaction
        is_requested = getattr(transaction, "id", None) == transaction_id
        if not is_requested or not is_identifier(getattr(transaction, "currency_iso_code", None)):
            return Unknown("Braintree's reply is not about the requested transaction.")
        return transaction

    def _list_refunds_of(self, charge: str) -> list[Refund] | Unknown:
        sale = self._find_transaction(charge)
        if isinstance(sale, Unknown):
            return sale
        ids = getattr(sale, "refund_ids", None)
        if type(ids) is not list or len(ids) > MAX_REFUNDS or not all(map(is_identifier, ids)):
            return Unknown("Braintree does not say which refunds this transaction has.")
        refunds: list[Refund] = []
        for refund_id in ids:
            transaction = self._find_transaction(refund_id)
            if isinstance(transaction, Unknown):
                return transaction
            refund = parse_refund(transaction)
            if refund is None or refund.charge != charge:
                return Unknown("A refund of this transaction cannot be read.")
            refunds.append(refund)
        return refunds

    def _find_refunds(self, ids: list[str]) -> list[Any] | Unknown:
        """Return the refunds with these ids. Leave out detached credits, which refund no transaction."""
        transactions = self._client.search_transactions(ids)
        if isinstance(transactions, Unknown):
            return transactions
        if {getattr(transaction, "id", None) for transaction in transactions} != set(ids):
            return Unknown("Braintree did not list the requested transactions.")
        return [transaction for transaction in transactions if getattr(transaction, "refunded_transaction_id", None)]


def _map_reply(reply: RefundReply, charge: str, amount: Money, key: str) -> RefundResult:
    refund = parse_refund(reply.transaction)
    if refund is None and reply.error_codes is not None:
        return _map_decline(reply.error_codes)
    if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
        return Unknown("Braintree's reply is not about the requested refund.")
    if refund.refund_status is RefundStatus.FAILED and refund.decline_reason is DeclineReason.ALREADY_REFUNDED:
        return Declined(refund.decline_reason, refund.code)  # the payment has another refund, which a lookup must find
    return refund.result()


def _map_decline(codes: list[str]) -> Declined | Unknown:
    for code in codes:
        if code in UNDECIDED_CODES:
            return Unknown(
                f"Braintree does not say what happened to the refund with our key ({code}).",
                replayed=UNDECIDED_CODES[code],
            )
    if not codes:
        return Unknown("Braintree refused the refund without a reason.")
    code = next((code for code in codes if code in CODES), codes[0])
    return Declined(CODES.get(code, DeclineReason.PERMANENT), code)

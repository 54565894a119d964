"""Implements the payment provider Braintree. A lookup finds our refund by its order id, which is the idempotency key."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from config.provider_accounts import BraintreeAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    ListedRefund,
    LookupResult,
    NotFound,
    PaymentProvider,
    PaymentStatus,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from worker.providers.braintree.amounts import format_amount
from worker.providers.braintree.client import (
    BraintreeClient,
    MissingTransaction,
    RefundReply,
    create_gateway,
)
from worker.providers.braintree.codes import CAPABILITIES, CODES, PAYMENT_STATUSES, UNDECIDED_CODES
from worker.providers.braintree.resources import (
    parse_disputes,
    parse_listed_dispute,
    parse_payment,
    parse_refund,
    parse_refunds,
)
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.identifiers import is_identifier

# The maximum number of refunds of one transaction that a lookup reads. A lookup makes one call for each refund, and all these
# calls share one time limit.
MAX_REFUNDS = 20
PAGE_SIZE = 50  # transactions; the maximum that Braintree returns in one reply
MAX_SEARCH_RESULTS = 20_000  # ids; Braintree's search omits further ids without an error

CHECK_KEY = "mb_check_access"  # no operation has this idempotency key

_TRANSACTION_ID = re.compile(r"\w{1,60}", re.ASCII)
_NOT_FOUND = Declined(DeclineReason.PERMANENT, "not_found")


def create_adapter(account: BraintreeAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    client = BraintreeClient(create_gateway(account, connections=connections))
    return BraintreeAdapter(client, seller_in=account.seller_in, provider_timeout_seconds=provider_timeout_seconds)


class BraintreeAdapter(CapabilityDefaults):
    """An adapter that refunds transactions through Braintree. Thread-safe. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        client: BraintreeClient,
        *,
        seller_in: Callable[[object], str | None],
        provider_timeout_seconds: float,
    ) -> None:
        """``seller_in`` returns the seller that a transaction's custom fields name."""
        self._client = client
        self._seller_in = seller_in
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Refund the transaction, after a look at the sale.

        The look is needed because a refund call contains no currency, and because Braintree refunds beside a dispute.
        """
        with time_limit(self._seconds):
            sale = self._find_transaction(charge)
            if isinstance(sale, Unknown):
                return sale
            if isinstance(sale, MissingTransaction):
                return _NOT_FOUND
            if refusal := _refuse(sale, amount):
                return refusal
            reply = self._client.refund(charge, format_amount(amount), key=key)
        if isinstance(reply, Unknown):
            return reply
        return _NOT_FOUND if isinstance(reply, MissingTransaction) else _map_reply(reply, charge, amount, key)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find our refund by the order id. A refund with another order id is external. Failed external refunds are ignored.

        A refund without our key that cannot be read does not hide the refunds that can be read. But it may have taken the whole
        amount, so only a list without such a refund shows that the transaction has no refund.
        """
        with time_limit(self._seconds):
            transactions = self._find_refunds_of(self._find_transaction(charge))
        if isinstance(transactions, Unknown):
            return transactions
        refunds = parse_refunds(transactions)
        if isinstance(refunds, Unknown) or any(refund.charge != charge for refund in refunds):
            return Unknown("A refund of this transaction cannot be read.")
        live_refunds = [refund for refund in refunds if refund.refund_status is not RefundStatus.FAILED]
        own_refunds = [refund for refund in [*live_refunds, *refunds] if refund.key == key]
        if own_refunds and not (live_refunds and own_refunds[0].decline_reason is DeclineReason.ALREADY_REFUNDED):
            return own_refunds[0].result()
        if live_refunds:
            return ExternalRefund(live_refunds[0].id, live_refunds[0].amount)
        is_complete = len(refunds) == len(transactions)
        return NotFound() if is_complete else Unknown("A refund of this transaction cannot be read.")

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return all refunds of this transaction. Return Unknown if a refund cannot be read, because it may be paid."""
        with time_limit(self._seconds):
            transactions = self._find_refunds_of(self._find_transaction(charge))
        if isinstance(transactions, Unknown):
            return transactions
        refunds = [refund.list_entry() for transaction in transactions if (refund := parse_refund(transaction))]
        if len(refunds) != len(transactions) or any(refund.charge != charge for refund in refunds):
            return Unknown("A refund of this transaction cannot be read.")
        return refunds

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the sale, which has its disputes. There is one more call for each of its refunds."""
        with time_limit(self._seconds):
            sale = self._find_transaction(charge)
            if isinstance(sale, MissingTransaction):
                return _NOT_FOUND
            refunds = self._find_refunds_of(sale)
        if isinstance(refunds, Unknown):
            return refunds
        seller = self._seller_in(getattr(sale, "custom_fields", None))
        return parse_payment(sale, refunds, seller=seller) or Unknown("Braintree's sale cannot be read.")

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
        refunds = parse_refunds(transactions)
        if isinstance(refunds, Unknown):
            return refunds
        return RefundPage(
            [refund.list_entry() for refund in refunds],
            page_ids[-1] if ids[start + PAGE_SIZE :] else None,
            skipped=len(transactions) - len(refunds),
        )

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """List a page of the disputes that Braintree received since ``since``. ``after`` is the number of the page before."""
        number = int(after or 0) + 1
        with time_limit(self._seconds):
            page = self._client.search_disputes(since.astimezone(UTC).date(), number)
        if isinstance(page, Unknown):
            return page
        disputes = [entry for dispute in page.disputes if (entry := parse_listed_dispute(dispute))]
        return DisputePage(disputes, None if page.is_last else str(number), skipped=len(page.disputes) - len(disputes))

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        """Find the transaction that was refunded. A detached credit refunds no transaction."""
        with time_limit(self._seconds):
            refund = self._find_transaction(refund_id)
        return _read_charge(refund, lambda: refund.refunded_transaction_id)

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        """Find the transaction of a dispute."""
        if not _TRANSACTION_ID.fullmatch(dispute_id):
            return _NOT_FOUND
        with time_limit(self._seconds):
            dispute = self._client.find_dispute(dispute_id)
        return _read_charge(dispute, lambda: dispute.transaction.id if dispute.id == dispute_id else "")

    def check_access(self) -> Mapping[AccessRight, str]:
        """Make one call for each list and for a transaction. Also check whether the account accepts idempotency keys."""
        now = datetime.now(UTC)
        with time_limit(self._seconds):
            results = {
                AccessRight.READ_REFUNDS: self._client.search_refund_ids(now),
                AccessRight.READ_DISPUTES: self._client.search_disputes(now.date(), 1),
                AccessRight.READ_PAYMENTS: self._client.find_transaction(CHECK_KEY),
                AccessRight.IDEMPOTENCY_KEYS: self._client.check_key(CHECK_KEY),
            }
        return {right: result.why for right, result in results.items() if isinstance(result, Unknown)}

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

    def _find_refunds_of(self, sale: Any) -> list[Any] | Unknown:  # noqa: ANN401 - the SDK has no types
        """Return the transactions that refund this sale."""
        if isinstance(sale, Unknown):
            return sale
        ids = getattr(sale, "refund_ids", None)
        if type(ids) is not list or len(ids) > MAX_REFUNDS or not all(map(is_identifier, ids)):
            return Unknown("Braintree does not say which refunds this transaction has.")
        transactions: list[Any] = []
        for refund_id in ids:
            transaction = self._find_transaction(refund_id)
            if isinstance(transaction, Unknown):
                return transaction
            transactions.append(transaction)
        return transactions

    def _find_refunds(self, ids: list[str]) -> list[Any] | Unknown:
        """Return the refunds with these ids. Leave out detached credits, which refund no transaction."""
        transactions = self._client.search_transactions(ids)
        if isinstance(transactions, Unknown):
            return transactions
        if {getattr(transaction, "id", None) for transaction in transactions} != set(ids):
            return Unknown("Braintree did not list the requested transactions.")
        return [transaction for transaction in transactions if getattr(transaction, "refunded_transaction_id", None)]


def _refuse(sale: Any, amount: Money) -> Declined | Unknown | None:  # noqa: ANN401 - the SDK has no types
    """Return why no refund of this sale is sent, or None if the refund may be sent."""
    if sale.currency_iso_code != amount.currency:
        return Declined(DeclineReason.PERMANENT, f"currency {sale.currency_iso_code}")
    status = getattr(sale, "status", None)
    if PAYMENT_STATUSES.get(str(status)) is False:
        return Declined(DeclineReason.NOT_CAPTURED, str(status))
    dispute = parse_disputes(sale)
    if dispute is None:
        return Unknown("Braintree's disputes of this transaction cannot be read.")
    if dispute.dispute in _PAID_BY_BANK:
        return Declined(DeclineReason.DISPUTED, f"dispute {dispute.dispute}")
    return None


_PAID_BY_BANK = {Dispute.OPEN, Dispute.LOST}
"""The dispute statuses in which the bank has taken the money. A refund would pay the customer twice."""


def _read_charge(found: Any, read: Callable[[], object]) -> str | Declined | Unknown:  # noqa: ANN401 - the SDK has no types
    """Return the charge that ``read`` reads from a refund or dispute that was found."""
    if isinstance(found, Unknown):
        return found
    if isinstance(found, MissingTransaction):
        return _NOT_FOUND
    charge: object = ""
    with suppress(AttributeError):
        charge = read()
    if charge is None:
        return Declined(DeclineReason.PERMANENT, "not_a_refund")
    if not is_identifier(charge):
        return Unknown("Braintree's reply is not about the requested refund or dispute.")
    return charge


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

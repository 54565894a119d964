"""Refunds through Braintree, looked up by the order id that is our key."""

import re
from datetime import UTC, datetime
from typing import Any

from braintree.error_result import ErrorResult
from braintree.successful_result import SuccessfulResult
from braintree.transaction_search import TransactionSearch

from domain.money import Money
from domain.providers import (
    Absent,
    Answer,
    Declined,
    DisputeSeen,
    Elsewhere,
    Found,
    Page,
    Refusal,
    Standing,
    Unknown,
)
from worker.providers.braintree.api import Api, NotThere
from worker.providers.braintree.codes import CAPABILITIES, CODES, UNDECIDED
from worker.providers.braintree.transactions import Refund, read_disputes, read_refund, written
from worker.providers.deadline import within
from worker.providers.words import is_word

MOST_REFUNDS = 20  # of one transaction: each is a call, and all of them have one deadline
A_PAGE = 50  # transactions, as many as Braintree gives at once
MOST_FOUND = 20_000  # ids; Braintree's search leaves out, without a word, what is beyond
_TRANSACTION = re.compile(r"\w{1,60}", re.ASCII)
_NOT_FOUND = Declined(Refusal.PERMANENT, "not_found")


class Braintree:
    """Our side of Braintree. Threads share it; a call has one deadline, whatever it takes to answer it included."""

    capabilities = CAPABILITIES

    def __init__(self, api: Api, *, provider_timeout_seconds: float) -> None:
        self._api = api
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        """The currency cannot be said in the refund, so the transaction is asked for its own before."""
        wanted = {"amount": written(amount), "order_id": key, "api_request_key": key}
        with within(self._seconds):
            sale = self._transaction(charge)
            if isinstance(sale, Unknown):
                return sale
            if isinstance(sale, NotThere):
                return _NOT_FOUND
            if sale.currency_iso_code != amount.currency:
                return Declined(Refusal.PERMANENT, f"currency {sale.currency_iso_code}")
            result = self._api.ask(lambda transactions: transactions.refund(charge, wanted))
        if isinstance(result, Unknown | NotThere):
            return result if isinstance(result, Unknown) else _NOT_FOUND
        return _judged(result, charge, amount, key)

    def look_up(self, charge: str, *, key: str) -> Found:
        """Ours by the order id; a live refund under another one was made by somebody else."""
        with within(self._seconds):
            refunds = self._refunds_of(charge)
        if isinstance(refunds, Unknown):
            return refunds
        live = [refund for refund in refunds if refund.standing is not Standing.FAILED]
        ours = [refund for refund in [*live, *refunds] if refund.key == key]
        if ours and not (live and ours[0].refusal is Refusal.ALREADY_REFUNDED):
            return ours[0].answer()
        return Elsewhere(live[0].id, live[0].amount) if live else Absent()

    def dispute(self, charge: str) -> DisputeSeen | Unknown:
        with within(self._seconds):
            sale = self._transaction(charge)
        if isinstance(sale, Unknown):
            return sale
        if isinstance(sale, NotThere):
            return Unknown("Braintree knows no such transaction.")
        return read_disputes(sale) or Unknown("Braintree's disputes of this transaction cannot be read.")

    def page(self, since: datetime, after: str | None) -> Page | Unknown:
        """Braintree gives all the ids at once, and the transactions fifty at a time: ``after`` is the last one seen."""
        credits_since = (
            TransactionSearch.type.in_list(["credit"]),
            TransactionSearch.created_at.greater_than_or_equal_to(since.astimezone(UTC)),  # type: ignore[no-untyped-call]
        )
        with within(self._seconds):
            ids = self._api.ask(lambda transactions: list(transactions.search(*credits_since).ids))
            if isinstance(ids, Unknown | NotThere):
                return ids if isinstance(ids, Unknown) else Unknown("Braintree cannot be searched.")
            if len(ids) >= MOST_FOUND or not all(map(is_word, ids)) or (after is not None and after not in ids):
                return Unknown("Braintree's list of refunds is not whole.")
            start = ids.index(after) + 1 if after else 0
            wanted = ids[start : start + A_PAGE]
            found = self._all(wanted) if wanted else []
        if isinstance(found, Unknown):
            return found
        refunds = [refund for one in found if (refund := read_refund(one))]
        if len(refunds) != len(found):
            return Unknown("Braintree's list of refunds cannot be read.")
        return Page([refund.listed() for refund in refunds], wanted[-1] if ids[start + A_PAGE :] else None)

    def _transaction(self, charge: str) -> Any:  # noqa: ANN401 - the SDK makes its attributes of whatever came
        if not _TRANSACTION.fullmatch(charge):  # it becomes part of an address; nothing was sent
            return NotThere()
        found = self._api.ask(lambda transactions: transactions.find(charge))
        if isinstance(found, Unknown | NotThere):
            return found
        if getattr(found, "id", None) != charge or not is_word(getattr(found, "currency_iso_code", None)):
            return Unknown("Braintree's answer is not about the transaction that it was asked for.")
        return found

    def _refunds_of(self, charge: str) -> list[Refund] | Unknown:
        sale = self._transaction(charge)
        if isinstance(sale, Unknown):
            return sale
        ids = getattr(sale, "refund_ids", None)
        if type(ids) is not list or len(ids) > MOST_REFUNDS or not all(map(is_word, ids)):
            return Unknown("Braintree does not say which refunds this transaction has.")
        refunds: list[Refund] = []
        for name in ids:
            found = self._transaction(name)
            if isinstance(found, Unknown):
                return found
            refund = read_refund(found)
            if refund is None or refund.charge != charge:
                return Unknown("A refund of this transaction cannot be read.")
            refunds.append(refund)
        return refunds

    def _all(self, ids: list[str]) -> list[Any] | Unknown:
        """The transactions with these ids that are refunds: a detached credit gives nothing back."""
        these = TransactionSearch.ids.in_list(ids)
        found = self._api.ask(lambda transactions: list(transactions.search(these)))
        if isinstance(found, Unknown | NotThere) or {getattr(one, "id", None) for one in found} != set(ids):
            return found if isinstance(found, Unknown) else Unknown("Braintree did not list what it was asked for.")
        return [one for one in found if getattr(one, "refunded_transaction_id", None)]


def _judged(result: SuccessfulResult | ErrorResult | None, charge: str, amount: Money, key: str) -> Answer:
    refund = read_refund(getattr(result, "transaction", None))
    if refund is None and isinstance(result, ErrorResult):
        return _refused(result)
    if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
        return Unknown("Braintree's answer is not about the refund that it was asked for.")
    if refund.standing is Standing.FAILED and refund.refusal is Refusal.ALREADY_REFUNDED:
        return Declined(refund.refusal, refund.code)  # by another refund, which must be looked up
    return refund.answer()


def _refused(result: ErrorResult) -> Declined | Unknown:
    said: list[object] = [getattr(error, "code", None) for error in result.errors.deep_errors]
    codes = [code for code in said if is_word(code)]
    for code in codes:
        if code in UNDECIDED:
            return Unknown(f"Braintree does not say what became of our key ({code}).", replayed=UNDECIDED[code])
    if not codes:
        return Unknown("Braintree refused, but not why.")
    code = next((code for code in codes if code in CODES), codes[0])
    return Declined(CODES.get(code, Refusal.PERMANENT), code)

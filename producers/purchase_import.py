"""Stores purchases from a file in one commit, and reports invalid rows with their line numbers."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from pydantic import StrictBool, ValidationError

from domain.payment_events import PaymentEvent
from domain.purchase_reports import Refusal
from domain.requests import Reference
from producers.payment_events import store_payment_events
from producers.purchase_schema import PurchaseInput, Word
from records import Records, UnitOfWork
from records.purchase_reports import Owners, store_reports
from records.purchases import Reported

BATCH_SIZE = 1_000  # the number of purchases in one statement

Check = Callable[[Mapping[str, object]], str | None]
"""Returns why a purchase could never be refunded automatically, or None."""


class Row(PurchaseInput):
    """A row of a file: a purchase with its seller and its reference."""

    seller: Word
    reference: Reference
    duplicate: StrictBool | None = None
    """True if the customer was charged twice, and the payment of this row should not have been collected."""


NEGATIVE = (
    "amount: The amount is negative, so the row is a refund, but its purchase is unknown. Import the purchase with the same "
    "reference or charge, too."
)
EVENT = "the row is a refund or a dispute, and was added to its known purchase"
UNKNOWN_PAYMENT = "the row is a refund or a dispute of a payment that is not known"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A rejected row: its line number, and why it was rejected."""

    line: int
    why: str


@dataclass(slots=True)
class ImportResult:
    """The result of an import."""

    new: int = 0
    """The number of new purchases. Several rows about one purchase count once."""
    known: int = 0
    """The number of purchases that were known before."""
    rejected: list[BadRow] = field(default_factory=list)
    never_automatic: Counter[str] = field(default_factory=Counter)
    """The number of valid purchases that could never be refunded automatically, by the reason."""
    no_purchases: Counter[str] = field(default_factory=Counter)
    """The number of rows that are refunds or disputes, by what was done with the row."""


def import_rows(
    records: Records,
    rows: Iterable[tuple[int, object]],
    *,
    dry_run: bool = False,
    on_batch: Callable[[ImportResult], None] = lambda _: None,
    check: Check = lambda _: None,
    owners: Owners | None = None,
) -> ImportResult:
    """Store purchases in one commit, so that a file is stored with all its valid rows, or not at all.

    Each item of ``rows`` is a line number and the values of the line. If a line cannot be read, the item
    contains a text with the reason instead of the values. A PaymentEvent and a row with a negative amount are added to their
    purchase, which may come later in the file. With ``dry_run``, nothing is stored. ``on_batch`` gets the result
    so far after each batch. ``owners`` says to which sellers the provider accounts belong.
    """
    result = ImportResult()
    with suppress(_DryRun), records.work() as work:
        sellers = {seller.id for seller in work.sellers.list_all()}
        rows_import = _Import(work, sellers, owners or {}, check, on_batch, result, [])
        again = rows_import.store(rows)
        lines = {line for line, _ in again}
        result.rejected = [row for row in result.rejected if row.line not in lines]
        rows_import.store(again)
        rows_import.store_events()
        result.rejected.sort(key=attrgetter("line"))
        if dry_run:
            raise _DryRun
    return result


class _DryRun(Exception):  # noqa: N818 - it is no error, and only rolls the transaction back
    """Rolls back the transaction of a dry run."""


class _Import(NamedTuple):
    """An import in its transaction, with the sellers in the database, and the sellers to whom the provider accounts belong."""

    work: UnitOfWork
    sellers: Collection[str]
    owners: Owners
    check: Check
    on_batch: Callable[[ImportResult], None]
    result: ImportResult
    events: list[tuple[int, PaymentEvent]]
    """The lines that are refunds or disputes of other lines. They wait for the purchases, because the newest row may come
    first."""

    def store(self, rows: Iterable[tuple[int, object]]) -> list[tuple[int, object]]:
        """Store these rows in batches. Return the refused rows that the other rows of the file may turn into further payments.

        For example, an export lists the newest payments first, and only the last payment of an order is known.
        """
        again: list[tuple[int, object]] = []
        pending = iter(rows)
        while batch := list(islice(pending, BATCH_SIZE)):
            again += self._store_batch(batch)
            self.on_batch(self.result)
        return again

    def _store_batch(self, batch: Sequence[tuple[int, object]]) -> list[tuple[int, object]]:
        valid: list[tuple[int, Row, Mapping[str, object]]] = []
        for line, values in batch:
            row = _validate(values, self.sellers)
            if isinstance(row, str):
                self.result.rejected.append(BadRow(line, row))
            elif isinstance(row, PaymentEvent):
                self.events.append((line, row))
            elif isinstance(values, dict):
                valid.append((line, row, values))
        reports = [row.report(row.seller, row.reference) for _, row, _ in valid]
        stored: list[Row] = []
        again: list[tuple[int, object]] = []
        for (line, row, values), outcome in zip(valid, store_reports(self.work, reports, self.owners), strict=True):
            if isinstance(outcome, Reported):
                stored.append(row)
                self._count(outcome, values)
            else:
                self.result.rejected.append(BadRow(line, outcome.sentence))
                again += [(line, values)] if isinstance(outcome, Refusal) and outcome.names_no_known_payment else []
        self.work.purchase_details.put([(row.seller, row.reference, row.details.of()) for row in stored if row.details])
        return again

    def store_events(self) -> None:
        """Add the refunds and disputes to their purchases."""
        events = [event for _, event in self.events]
        unknown = {id(event) for event in store_payment_events(self.work, events, self.owners, BATCH_SIZE)}
        for line, event in self.events:
            if id(event) not in unknown:
                self.result.no_purchases[EVENT] += event.rows
            elif event.refusal:
                self.result.rejected.append(BadRow(line, event.refusal))
            else:
                self.result.no_purchases[UNKNOWN_PAYMENT] += event.rows

    def _count(self, outcome: Reported, values: Mapping[str, object]) -> None:
        """Count a purchase at its first row."""
        if outcome.is_further:
            return
        self.result.new += outcome.is_new
        self.result.known += not outcome.is_new
        if reason := self.check(values):
            self.result.never_automatic[reason] += 1


def _validate(values: object, sellers: Collection[str]) -> Row | PaymentEvent | str:
    """Return the row, the refund that a row with a negative amount is, or the reason why the row is rejected."""
    if isinstance(values, str | PaymentEvent):
        return values
    try:
        row = Row.model_validate(values)
    except ValidationError as error:
        return "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'row'}: {item['msg']}" for item in error.errors(include_url=False)
        )
    if row.seller not in sellers:
        return f"seller: There is no seller {row.seller!r}; add it with `moneyback sellers add`."
    if row.payments and row.duplicate is not None:
        return "duplicate: Mark the payment in payments that is the duplicate."
    if any((payment.amount or 0) < 0 for payment in row.payments or ()):
        return "payments: An amount is negative. Report refunds of the purchase in the field refunded."
    return _refund(row) if (row.amount or 0) < 0 else row


def _refund(row: Row) -> PaymentEvent:
    """Return the refund that a row with a negative amount is."""
    return PaymentEvent(
        seller=row.seller,
        reference=row.reference,
        provider=row.provider or "",
        charge=row.charge or "",
        refunded=-(row.amount or 0),
        dispute=row.dispute,
        refusal=NEGATIVE,
    )

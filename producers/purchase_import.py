"""Stores purchases from a file in one commit, and reports invalid rows with their line numbers."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from pydantic import ValidationError

from domain.purchase_reports import Refusal
from domain.requests import Reference
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
    contains a text with the reason instead of the values. With ``dry_run``, nothing is stored. ``on_batch`` gets the result
    so far after each batch. ``owners`` says to which sellers the provider accounts belong.
    """
    result = ImportResult()
    with suppress(_DryRun), records.work() as work:
        sellers = {seller.id for seller in work.sellers.list_all()}
        rows_import = _Import(work, sellers, owners or {}, check, on_batch, result)
        again = rows_import.store(rows)
        lines = {line for line, _ in again}
        result.rejected = [row for row in result.rejected if row.line not in lines]
        rows_import.store(again)
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

    def _count(self, outcome: Reported, values: Mapping[str, object]) -> None:
        """Count a purchase at its first row."""
        if outcome.is_further:
            return
        self.result.new += outcome.is_new
        self.result.known += not outcome.is_new
        if reason := self.check(values):
            self.result.never_automatic[reason] += 1


def _validate(values: object, sellers: Collection[str]) -> Row | str:
    """Return the row, or the reason why it is rejected."""
    if isinstance(values, str):
        return values
    try:
        row = Row.model_validate(values)
    except ValidationError as error:
        return "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'row'}: {item['msg']}" for item in error.errors(include_url=False)
        )
    if row.seller not in sellers:
        return f"seller: There is no seller {row.seller!r}; add it with `moneyback sellers add`."
    return row

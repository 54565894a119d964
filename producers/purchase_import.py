"""Imports purchases from CSV and JSON Lines files; stores valid rows and reports invalid rows with their line numbers."""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from domain.requests import Reference
from producers.purchase_schema import PurchaseInput, Word
from records import Records, UnitOfWork
from records.purchase_reports import store_reports
from records.purchases import Reported

BATCH_SIZE = 1_000  # the number of purchases in one statement

_INTEGER_COLUMNS = {"amount", "refunded"}
_BOOLEAN_COLUMNS = {"renewal", "consumer", "details.subscription"}
_DETAILS_PREFIX = "details."
"""The prefix of the CSV columns with private purchase details."""


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
    known: int = 0
    rejected: list[BadRow] = field(default_factory=list)


def import_file(records: Records, path: Path) -> ImportResult:
    """Store the purchases of a file. It is a CSV file if its name ends in ``.csv``, otherwise a JSON Lines file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _read_csv(file) if path.suffix.lower() == ".csv" else _read_json_lines(file)
        return import_rows(records, rows)


def import_rows(
    records: Records,
    rows: Iterable[tuple[int, object]],
    *,
    dry_run: bool = False,
    on_batch: Callable[[ImportResult], None] = lambda _: None,
) -> ImportResult:
    """Store purchases in one commit, so that a file is stored with all its valid rows, or not at all.

    Each item of ``rows`` is a line number and the values of the line. If a line cannot be read, the item
    contains a text with the reason instead of the values. With ``dry_run``, nothing is stored. ``on_batch`` gets the result
    so far after each batch.
    """
    result = ImportResult()
    with suppress(_DryRun), records.work() as work:
        sellers = {seller.id for seller in work.sellers.list_all()}
        pending = iter(rows)
        while batch := list(islice(pending, BATCH_SIZE)):
            _store_batch(work, batch, sellers, result)
            on_batch(result)
        if dry_run:
            raise _DryRun
    return result


class _DryRun(Exception):  # noqa: N818 - it is no error, and only rolls the transaction back
    """Rolls back the transaction of a dry run."""


def _store_batch(
    work: UnitOfWork, batch: Sequence[tuple[int, object]], sellers: Collection[str], result: ImportResult
) -> None:
    valid: list[tuple[int, Row]] = []
    for line, values in batch:
        row = _validate(values, sellers)
        if isinstance(row, str):
            result.rejected.append(BadRow(line, row))
        else:
            valid.append((line, row))
    outcomes = store_reports(work, [row.report(row.seller, row.reference) for _, row in valid])
    stored: list[Row] = []
    for (line, row), outcome in zip(valid, outcomes, strict=True):
        if isinstance(outcome, Reported):
            stored.append(row)
            result.new += outcome.is_new
            result.known += not outcome.is_new
        else:
            result.rejected.append(BadRow(line, outcome.sentence))
    work.purchase_details.put([(row.seller, row.reference, row.details.of()) for row in stored if row.details])


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


def _read_json_lines(file: IO[str]) -> Iterator[tuple[int, object]]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            yield line, json.loads(text)
        except ValueError as error:
            yield line, f"This line is not valid JSON: {error}."


def _read_csv(file: IO[str]) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(file, restkey="too many cells")
    try:
        for values in reader:
            cells = {name: _parse_cell(name, cell) for name, cell in values.items() if cell not in ("", None)}
            yield reader.line_num, _nest_details(cells)
    except csv.Error as error:
        yield reader.line_num, f"The file is not valid CSV from this line on: {error}."


def _nest_details(cells: dict[str, object]) -> dict[str, object]:
    """Return a CSV row in the form of a JSON line: the cells of the columns ``details.…`` become one object ``details``."""
    private = {name: cell for name, cell in cells.items() if str(name).startswith(_DETAILS_PREFIX)}
    details = {name.removeprefix(_DETAILS_PREFIX): cell for name, cell in private.items()}
    return {name: cell for name, cell in cells.items() if name not in private} | (
        {"details": details} if details else {}
    )


def _parse_cell(name: str, cell: object) -> object:
    """Return a cell's value. CSV has only text, so a number becomes an integer, and ``true`` or ``false`` a boolean."""
    if name in _INTEGER_COLUMNS and isinstance(cell, str) and re.fullmatch(r"-?[0-9]{1,18}", cell):
        return int(cell)
    if name in _BOOLEAN_COLUMNS and cell in {"true", "false"}:
        return cell == "true"
    return cell

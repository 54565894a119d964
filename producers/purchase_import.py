"""Purchases from a file: checked one by one, bad ones named by line, good ones kept."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from domain.requests import Reference
from producers.purchase_schema import PurchaseInput, Word
from records import Records

BATCH_SIZE = 1_000  # purchases in one commit

_NUMBERS = {"amount", "refunded"}
_FLAGS = {"renewal", "consumer", "details.subscription"}
_DETAILS = "details."
"""What the columns of a CSV file for what is private start with."""


class Row(PurchaseInput):
    """A row of a file: a purchase, and whose it is."""

    seller: Word
    reference: Reference


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, and why."""

    line: int
    why: str


@dataclass(slots=True)
class ImportResult:
    """What became of a file."""

    new: int
    updated: int
    rejected: list[BadRow]


def import_file(records: Records, path: Path) -> ImportResult:
    """Remembers the purchases of a JSON Lines or CSV file (by its ending, .csv or any other)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _csv(file) if path.suffix.lower() == ".csv" else _json_lines(file)
        return import_rows(records, rows)


def import_rows(records: Records, rows: Iterable[tuple[int, object]]) -> ImportResult:
    """Remembers purchases, by line number and what stands there, a thousand a commit."""
    imported = ImportResult(new=0, updated=0, rejected=[])
    with records.work() as work:
        sellers = {seller.id for seller in work.sellers.list_all()}
    pending = iter(rows)
    while batch := list(islice(pending, BATCH_SIZE)):
        good: list[Row] = []
        for line, values in batch:
            checked = _check(values, sellers)
            if isinstance(checked, str):
                imported.rejected.append(BadRow(line, checked))
            else:
                good.append(checked)
        if good:
            with records.work() as work:
                new = work.purchases.upsert([row.of(row.seller, row.reference) for row in good])
                work.purchase_details.put(
                    [(row.seller, row.reference, row.details.of()) for row in good if row.details]
                )
            imported.new += new
            imported.updated += len(good) - new
    return imported


def _check(values: object, sellers: set[str]) -> Row | str:
    if isinstance(values, str):
        return values
    try:
        row = Row.model_validate(values)
    except ValidationError as error:
        return "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}" for e in error.errors(include_url=False)
        )
    if row.seller not in sellers:
        return f"seller: There is no seller {row.seller!r}; add it with `moneyback sellers add`."
    return row


def _json_lines(file: IO[str]) -> Iterator[tuple[int, object]]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            yield line, json.loads(text)
        except ValueError as error:
            yield line, f"This line is no JSON: {error}."


def _csv(file: IO[str]) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(file, restkey="too many cells")
    try:
        for values in reader:
            cells = {name: _cell(name, cell) for name, cell in values.items() if cell not in ("", None)}
            yield reader.line_num, _nested(cells)
    except csv.Error as error:
        yield reader.line_num, f"From this line on the file is no CSV: {error}."


def _nested(cells: dict[str, object]) -> dict[str, object]:
    """A row as JSON has it: the columns of what is private are one object. Without any such cell there is none."""
    private = {name: cell for name, cell in cells.items() if str(name).startswith(_DETAILS)}
    details = {name.removeprefix(_DETAILS): cell for name, cell in private.items()}
    return {name: cell for name, cell in cells.items() if name not in private} | (
        {"details": details} if details else {}
    )


def _cell(name: str, cell: object) -> object:
    """A cell's value: CSV has only text, and nothing but a plain number is taken for one."""
    if name in _NUMBERS and isinstance(cell, str) and re.fullmatch(r"-?[0-9]{1,18}", cell):
        return int(cell)
    if name in _FLAGS and cell in {"true", "false"}:
        return cell == "true"
    return cell

"""Purchases coming in, from the API or from a file: checked one by one, bad ones named, good ones kept."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Annotated
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from domain.purchases import Dispute, Purchase
from domain.requests import Email, Line, Reference
from records import Records

Word = Annotated[Line, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


def _minor_units(value: object) -> int:
    """A whole number, or its digits in a CSV cell; 49.00 is euros, not cents, and must not be taken for 49 of them."""
    if type(value) is int:
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    raise ValueError("Write a whole number of minor units: 1999 for 19.99 EUR, 500 for 500 JPY.")


MinorUnits = Annotated[int, BeforeValidator(_minor_units), Field(ge=-(2**63), lt=2**63)]

BATCH = 1_000  # purchases in one commit


class PurchaseIn(BaseModel):
    """One charge of one customer, as a seller tells it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email = Field(description="the customer's address", examples=["ada@example.com"])
    product: Word = Field(description="what was bought", examples=["Aurora Photo 4"])
    amount: MinorUnits | None = Field(
        None, description="what was paid, in minor units: 1999 for 19.99 EUR", examples=[1999]
    )
    currency: Word | None = Field(None, description="ISO 4217", examples=["EUR"])
    method: Word = Field(description="how it was paid", examples=["credit_card"])
    provider: Word = Field(description="the payment provider that charged it", examples=["sandbox"])
    charge: Word = Field(description="the provider's id of the charge", examples=["ok_417"])
    instrument: Word | None = Field(None, description="a fingerprint of the card or account, where known")
    purchased_at: AwareDatetime = Field(description="when it was bought, with its offset")
    charged_at: AwareDatetime | None = Field(None, description="when it was charged, if not when it was bought")
    renewal: bool = Field(default=False, description="whether this charge renews a subscription")
    consumer: bool = Field(default=True, description="whether the customer is a consumer")
    refunded: Annotated[MinorUnits, Field(ge=0)] = Field(0, description="what was refunded before, in minor units")
    dispute: Dispute = Field(Dispute.NONE, description="where a dispute about the payment stands")

    def purchase(self, seller: str, reference: str) -> Purchase:
        """This charge as a purchase of a seller."""
        values = self.model_dump()
        values["charged_at"] = self.charged_at or self.purchased_at
        return Purchase(id=uuid4(), seller=seller, reference=reference, **values)


class Row(PurchaseIn):
    """A row of a file: it says whose purchase it is."""

    seller: Word
    reference: Reference


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, and why."""

    line: int
    why: str


@dataclass(slots=True)
class Imported:
    """What became of a file."""

    new: int
    known: int
    bad: list[BadRow]


def import_file(records: Records, path: Path) -> Imported:
    """Remembers the purchases of a JSON Lines or CSV file (by its ending, .csv or any other)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _csv(file) if path.suffix.lower() == ".csv" else _json_lines(file)
        return import_rows(records, rows)


def import_rows(records: Records, rows: Iterable[tuple[int, object]]) -> Imported:
    """Remembers purchases, by line number and what stands there, a thousand a commit."""
    imported = Imported(new=0, known=0, bad=[])
    with records.work() as work:
        sellers = {seller.id for seller in work.sellers.all()}
    pending = iter(rows)
    while batch := list(islice(pending, BATCH)):
        good: list[Purchase] = []
        for line, values in batch:
            checked = _check(values, sellers)
            if isinstance(checked, str):
                imported.bad.append(BadRow(line, checked))
            else:
                good.append(checked)
        if good:
            with records.work() as work:
                new = work.purchases.put(good)
            imported.new += new
            imported.known += len(good) - new
    return imported


def _check(values: object, sellers: set[str]) -> Purchase | str:
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
    told = row.model_dump(exclude={"seller", "reference"})
    return PurchaseIn(**told).purchase(row.seller, row.reference)


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
            yield reader.line_num, {name: value for name, value in values.items() if value not in ("", None)}
    except csv.Error as error:
        yield reader.line_num, f"From this line on the file is no CSV: {error}."

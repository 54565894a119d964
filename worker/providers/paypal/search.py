"""PayPal's list of refunds: its "Transaction search", v1, a piece of time after the other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.providers import Listed, Page, Standing, Unknown
from worker.providers.paypal.api import Api
from worker.providers.paypal.rows import amount_of, instant, is_word

REFUND = "T1107"  # "Transaction event codes": payment refund, made by the merchant
LATE = timedelta(hours=3)  # "It takes a maximum of three hours for executed transactions to appear"
LONGEST = timedelta(days=31)  # "The maximum supported range is 31 days."
TOO_MANY = "RESULTSET_TOO_LARGE"  # more than 10,000 of them: a shorter piece of time has fewer

STANDINGS: Mapping[str, Standing] = {
    "S": Standing.PAID,
    "P": Standing.PENDING,
    "D": Standing.FAILED,
    "V": Standing.FAILED,  # reversed: the money came back to the seller
}

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")  # ours are; a shop's own words may be anything, an address too


@dataclass(frozen=True, slots=True)
class Piece:
    """A page of a piece of time. As text it is where the next page starts."""

    start: datetime
    end: datetime
    page: int = 1

    def __str__(self) -> str:
        return f"{_written(self.start)} {_written(self.end)} {self.page}"

    @classmethod
    def read(cls, text: str) -> "Piece":
        start, end, page = text.split(" ")
        return cls(instant(start), instant(end), int(page))

    @classmethod
    def since(cls, start: datetime, now: datetime) -> "Piece":
        return cls(start, min(start + LONGEST, now))

    def shorter(self) -> "Piece":
        return Piece(self.start, self.start + (self.end - self.start) / 2)


def page(api: Api, since: datetime, after: str | None) -> Page | Unknown:
    now = datetime.now(UTC)
    piece = Piece.read(after) if after else Piece.since(since - LATE, now)
    reply = api.search(REFUND, _written(piece.start), _written(piece.end), piece.page)
    if isinstance(reply, Unknown):
        return reply
    if reply.document.get("name") == TOO_MANY and piece.end - piece.start > timedelta(minutes=1):
        return Page([], str(piece.shorter()))
    pages, rows = reply.document.get("total_pages"), reply.document.get("transaction_details", [])
    if not reply.is_fine or type(pages) is not int or type(rows) is not list:
        return Unknown(f"PayPal answered {reply.status}, with no list of refunds.")
    listed = {refund.refund_id: refund for row in rows if (refund := _read(row))}  # it may list one twice
    if len([row for row in rows if _read(row)]) != len(rows):
        return Unknown("PayPal's list of refunds cannot be read.")
    return Page([*listed.values()], _next(piece, pages, now))


def _next(piece: Piece, pages: int, now: datetime) -> str | None:
    """What is younger than three hours may be missing anyway: it is read the next time."""
    if piece.page < pages:
        return str(replace(piece, page=piece.page + 1))
    return str(Piece.since(piece.end, now)) if piece.end < now - LATE else None


def _read(row: Any) -> Listed | None:  # noqa: ANN401 - whatever came
    try:
        info = row["transaction_info"]
        money = info["transaction_amount"]
        charge, keys = info.get("paypal_reference_id"), (info.get("custom_field"), info.get("invoice_id"))
        refund = Listed(
            refund_id=info["transaction_id"],
            charge=charge if is_word(charge) else "",
            amount=amount_of({**money, "value": money["value"].removeprefix("-")}),  # the seller's account loses it
            standing=STANDINGS[info["transaction_status"]],
            at=instant(info["transaction_initiation_date"]),
            key=next((key for key in keys if key and _KEY.fullmatch(key)), None),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_word(refund.refund_id) else None


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

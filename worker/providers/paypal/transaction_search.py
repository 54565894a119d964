"""PayPal's list of refunds: its "Transaction search", v1, a piece of time after the other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.providers import Listed, Page, Unknown
from worker.providers.identifiers import is_word
from worker.providers.paypal.client import Api
from worker.providers.paypal.resources import Refund, amount_of, instant

REFUND = "T1107"  # "Transaction event codes": payment refund, made by the merchant
LATE = timedelta(hours=3)  # "It takes a maximum of three hours for executed transactions to appear"
LONGEST = timedelta(days=31)  # "The maximum supported range is 31 days."
TOO_MANY = "RESULTSET_TOO_LARGE"  # more than 10,000 of them: a shorter piece of time has fewer
AROUND = timedelta(hours=12)  # a capture's last change and the refund that changed it are seconds apart
MOST_PAGES = 10  # of 500 refunds within a day

STATUSES: Mapping[str, str] = {
    "S": "COMPLETED",
    "P": "PENDING",
    "D": "FAILED",
    "V": "CANCELLED",  # reversed: the money came back to the seller
}
"""A transaction's status, as a refund's own."""

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

    def next_page(self) -> "Piece":
        return replace(self, page=self.page + 1)

    def shorter(self) -> "Piece":
        return Piece(self.start, self.start + (self.end - self.start) / 2)


def page(api: Api, since: datetime, after: str | None) -> Page | Unknown:
    """As the provider's ``page()``. What is younger than three hours may be missing: it is read the next time."""
    now = datetime.now(UTC)
    piece = Piece.read(after) if after else Piece.since(since - LATE, now)
    found = _search(api, piece)
    if isinstance(found, Unknown):
        return found
    if found is None:
        return Page([], str(piece.shorter()))
    refunds, more = found
    if more:
        return Page([_listed(refund) for refund in refunds], str(piece.next_page()))
    following = Piece.since(piece.end, now) if piece.end < now - LATE else None
    return Page([_listed(refund) for refund in refunds], str(following) if following else None)


def refunds_about(api: Api, charge: str, at: datetime) -> list[Refund] | Unknown:
    """The refunds of this capture that PayPal lists around this instant."""
    piece = Piece(at - AROUND, at + AROUND)
    refunds: list[Refund] = []
    for _ in range(MOST_PAGES):
        found = _search(api, piece)
        if isinstance(found, Unknown):
            return found
        if found is None:
            break
        refunds += [refund for refund in found[0] if refund.charge == charge]
        if not found[1]:
            return refunds
        piece = piece.next_page()
    return Unknown("PayPal lists more refunds of that day than can be read.")


def _search(api: Api, piece: Piece) -> tuple[list[Refund], bool] | Unknown | None:
    """A page of refunds, each once, and whether another follows; None where there are too many for PayPal."""
    reply = api.search(REFUND, _written(piece.start), _written(piece.end), piece.page)
    if isinstance(reply, Unknown):
        return reply
    if reply.document.get("name") == TOO_MANY and piece.end - piece.start > timedelta(minutes=1):
        return None
    pages, rows = reply.document.get("total_pages"), reply.document.get("transaction_details", [])
    if not reply.is_fine or type(pages) is not int or type(rows) is not list:
        return Unknown(f"PayPal answered {reply.status}, with no list of refunds.")
    refunds = [refund for row in rows if (refund := _read(row))]
    if len(refunds) != len(rows):
        return Unknown("PayPal's list of refunds cannot be read.")
    return [*{refund.id: refund for refund in refunds}.values()], piece.page < pages


def _read(row: Any) -> Refund | None:  # noqa: ANN401 - whatever came
    try:
        info = row["transaction_info"]
        money, charge = info["transaction_amount"], info.get("paypal_reference_id")
        refund = Refund(
            id=info["transaction_id"],
            charge=charge if is_word(charge) else "",
            amount=amount_of({**money, "value": money["value"].removeprefix("-")}),  # the seller's account loses it
            status=STATUSES[info["transaction_status"]],
            reason="",
            keys=frozenset({info.get("custom_field"), info.get("invoice_id")} - {None}),
            at=instant(info["transaction_initiation_date"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_word(refund.id) else None


def _listed(refund: Refund) -> Listed:
    assert refund.at, "what is listed has its time"
    keys = sorted(key for key in refund.keys if type(key) is str and _KEY.fullmatch(key))
    return Listed(refund.id, refund.charge, refund.amount, refund.standing, refund.at, keys[0] if keys else None)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

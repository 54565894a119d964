"""The description of a file format: which columns contain which fields of a purchase, and what the columns alone do not say."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from producers.purchase_files.amounts import Units

Texts = dict[str, Any]
"""The cells of a row by field. A file of JSON may also contain other values. Fields that begin with ``_`` are not imported."""


@dataclass(frozen=True, slots=True)
class NoPurchase:
    """A row that is no purchase, such as a failed payment. Such rows are counted by ``why``."""

    why: str


@dataclass(frozen=True, slots=True)
class LaterEvent:
    """A row about the purchase of another row: money that went back to the customer, or a dispute."""

    key: str
    """The value of one of the fields ``Dialect.event_keys`` in the row of the purchase, usually the reference."""
    seller: str
    refunded: str = ""
    """The amount that went back, as the file writes it."""
    currency: str = ""
    dispute: str = ""
    """One of DISPUTE_EVENTS."""
    id: str = ""
    """The id of the row itself. The end of a hold may name the hold instead of the payment."""
    provider: str = ""
    charge: str = ""
    """The payment, if the row names the payment besides ``key``."""
    refusal: str = ""
    """Why the row is refused if no purchase is found; empty if such a row is only counted."""


ITEM_FIELDS = frozenset(("_sku", "_quantity", "_price", "_discount", "_shipping"))
"""The fields of the items of an order. A purchase does not need its items, so a mistake in these columns refuses no file."""

DISPUTE_EVENTS = ("opened", "ended", "lost", "reversed")
"""What a row says about a dispute. Money was held and released, or it was taken back and returned."""


Prepared = NoPurchase | LaterEvent | None


def _keep(_texts: Texts) -> Prepared:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The format of a file. ``title`` completes the sentence "This file is …"."""

    title: str
    columns: Mapping[str, tuple[str, ...]]
    """The columns of each field. The first column that is not empty is used. Capitals and punctuation do not matter."""
    needed: tuple[str, ...]
    """The fields without which a file does not have this format."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The fields that have the same value in each row, if no column contains the field."""
    prepare: Callable[[Texts], Prepared] = _keep
    """Adds to the fields of a row what the columns alone do not say. Returns what the row is if it is no purchase."""
    units: Units = Units.DECIMAL
    separator: str | None = None
    """The decimal separator, if the system always writes the same one."""
    joins_items: bool = False
    """True if each item of an order has its own row. The first row of an order contains the fields of the order."""
    event_keys: tuple[str, ...] = ()
    """The fields by which a LaterEvent finds its purchase; empty if the format has no such rows."""
    knows_all_columns: bool = False
    """True if another column is a mistake."""


def local_charge(texts: Texts, part: str = "") -> str:
    """Return an id for a payment without an id at a provider, such as a bank transfer. No other seller has the same id."""
    return " ".join(filter(None, (str(texts.get("seller", "")), str(texts.get("reference", "")), part)))


def status_key(status: str) -> str:
    """Return a status in lower case, with one space between the words: ``wc-on-hold`` is ``wc on hold``."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", status).casefold()).strip()


def unknown_status(status: str, system: str, paid: str) -> str:
    """Return why an order with this status is refused, and what to do. ``paid`` is the status of a paid order."""
    if not status:
        return "The order has no status, so it may be unpaid. Export the column with the status of the payment."
    return (
        f"The status {status!r} of {system} is unknown, so the order may be unpaid. If the order is paid, write {paid}. "
        "Otherwise, leave the line out."
    )


@lru_cache(maxsize=10_000)  # objects of JSON may have any number of names
def column_key(name: str) -> str:
    """Return the key by which the names of columns are compared: the words in lower case, without punctuation."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()

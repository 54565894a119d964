"""Turns the texts of a row into the fields of a purchase."""

import re
from collections.abc import Callable, Mapping
from datetime import tzinfo

from domain.errors import UnreadableError
from producers.purchase_files import words
from producers.purchase_files.amounts import Amounts, currency_of
from producers.purchase_files.dialect import Texts
from producers.purchase_files.errors import AmbiguousCellError, CellError
from producers.purchase_files.instants import Instants
from producers.purchase_files.json_files import read_array
from producers.purchase_files.own_format import DETAILS

Fields = dict[str, object]
_ROUNDED = re.compile(r"\d[.,]\d+E\+\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_PRODUCT = 300  # characters; the longest product that can be stored
_MAX_MESSAGE = 300  # characters; a cell of a wrong column may be very long


class Rows:
    """Reads the rows of one file. Texts are understood by their values; other values of JSON stay as they are."""

    def __init__(self, amounts: Amounts, instants: Instants, zone_of: Callable[[str], tzinfo | None]) -> None:
        """Store how amounts and dates are read, and the time zone of each seller."""
        self._amounts = amounts
        self._instants = instants
        self._zone_of = zone_of
        self._read: Mapping[str, Callable[[str, Fields, int], object]] = {
            "reference": _identifier,
            "charge": _identifier,
            "product": lambda text, _fields, _line: one_line(text),
            "currency": lambda text, _fields, _line: words.currency(text),
            "method": lambda text, _fields, _line: words.method(text),
            "provider": lambda text, _fields, _line: words.provider(text),
            "dispute": lambda text, _fields, _line: words.dispute(text),
            "amount": self._amount,
            "tax": self._amount,
            "refunded": self.refunded,
            "purchased_at": self._instant,
            "charged_at": self._instant,
            **dict.fromkeys(
                ("renewal", "consumer", "correct", "duplicate", f"{DETAILS}subscription"),
                lambda text, _fields, _line: words.truth_value(text),
            ),
        }

    def convert(self, texts: Texts, line: int) -> Fields | str:
        """Return the fields of a purchase, or the reason why the row cannot be read.

        Raise UnreadableError if the row has several meanings, and no other row shows which meaning is right.
        """
        fields: Fields = {}
        currency = texts.get("currency") or currency_of(str(texts.get("amount") or "")) or ""
        # Amounts need the currency, and dates need the seller.
        first = {"seller": texts.get("seller", ""), "currency": currency}
        name = ""
        try:
            for name, value in (first | texts | first).items():
                self._add(fields, name, value, line)
        except AmbiguousCellError as error:
            raise UnreadableError(f"Line {line}, {name}: {error}") from None
        except CellError as error:
            return f"{name}: {error}"[:_MAX_MESSAGE]
        return fields

    def refunded(self, text: str, fields: Fields, line: int) -> int:
        """Return the sum of the refunds, which is positive, even if the file writes refunds with a minus sign."""
        return sum(abs(self._amount(part, fields, line) or 0) for part in text.strip("+ ").split("+") if part)

    def _add(self, fields: Fields, name: str, value: object, line: int) -> None:
        """Add a field of the purchase to ``fields``. An empty text and a field of the format only are left out."""
        if value == "" or name.startswith("_"):
            return
        if isinstance(value, list) and name == "payments":
            value = [self._payment(payment, fields, line) for payment in value]
        elif name == "items":
            items = read_array(value) if isinstance(value, str) else value
            value = [self._item(item, fields, line) for item in items] if isinstance(items, list) else items
        elif isinstance(value, str):
            value = self._read[name](value, fields, line) if name in self._read else value
        if name.startswith(DETAILS):
            details = fields.setdefault("details", {})
            assert isinstance(details, dict)
            details[name.removeprefix(DETAILS)] = value
        else:
            fields[name] = value

    def _payment(self, payment: object, purchase: Fields, line: int) -> object:
        """Return a payment of an order with several payments. Without a currency of its own, it has the currency of the order."""
        if not isinstance(payment, dict):
            return payment
        fields: Fields = {"seller": purchase.get("seller", "")}
        currency = payment.get("currency") or purchase.get("currency") or ""
        for name, value in ({"currency": currency} | payment | {"currency": currency}).items():
            self._add(fields, str(name), value, line)
        del fields["seller"]
        return fields

    def _item(self, item: object, purchase: Fields, line: int) -> object:
        """Return an item of a purchase, with its amounts in minor units."""
        if not isinstance(item, dict):
            return item
        amounts = {name: item[name] for name in ("amount", "tax") if isinstance(item.get(name), str)}
        return item | {name: self._amount(text, purchase, line) for name, text in amounts.items()}

    def _amount(self, text: str, fields: Fields, line: int) -> int | None:
        currency = fields.get("currency")
        return self._amounts.parse(text, currency if isinstance(currency, str) else None, line)

    def _instant(self, text: str, fields: Fields, _line: int) -> str:
        return self._instants.parse(text, self._zone_of(str(fields.get("seller", ""))))


def one_line(text: str) -> str:
    """Return the text in one line, as far as the field ``product`` can hold it."""
    if not text.isprintable():
        text = " ".join(_CONTROL.sub(" ", text).split())
    return text if len(text) <= _MAX_PRODUCT else f"{text[: _MAX_PRODUCT - 2]} …"


def _identifier(text: str, _fields: Fields, _line: int) -> str:
    """Return the text. Raise CellError if a spreadsheet has replaced the last digits of a long number by an exponent."""
    if "E+" in text and _ROUNDED.fullmatch(text.strip()):
        raise CellError(
            f"A spreadsheet has rounded this number to {text!r}. Export the file again, and import it unchanged."
        )
    return text

"""Reads a file of purchases: yields the fields of each purchase, and counts the rows that are no purchase."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cache, cached_property
from itertools import chain
from pathlib import Path

from domain.payment_events import PaymentEvent
from producers.purchase_files import line_items, own_format, paypal, shopify, sources, stripe, woocommerce, words
from producers.purchase_files.amounts import Amounts, Units, separator_of
from producers.purchase_files.columns import Columns, find_columns, suggest
from producers.purchase_files.dialect import Dialect, LaterEvent, NoPurchase, Texts, column_key
from producers.purchase_files.errors import CellError
from producers.purchase_files.instants import Instants, day_first_of
from producers.purchase_files.paid_items import read_items
from producers.purchase_files.rows import Fields, Rows
from producers.purchase_files.text_files import TextFile

SYSTEMS: Mapping[str, Dialect] = {
    "stripe": stripe.DIALECT,
    "paypal": paypal.DIALECT,
    "woocommerce": woocommerce.DIALECT,
    "shopify": shopify.DIALECT,
}
"""The systems whose exports can be read, by the names that ``--from`` accepts."""

_OBJECTS: Mapping[str, sources.Flatten] = {
    woocommerce.DIALECT.title: woocommerce.flatten_order,
    own_format.DIALECT.title: dict,
}
"""How an object of a JSON file becomes cells, by the title of the dialect. Other objects are flattened."""

_HAS_OFFSET = re.compile(r":\d\d.*(?:Z|[+-]\d\d:?\d\d|(?<![A-Za-z])[A-Z]{3,5})\s*$|\d{10}")
_ESCAPED = re.compile(r"(?s)=\"(.*)\"|'([=+\-@].*)")
"""A cell that an exporter protects from spreadsheets: ``="0017"``, or ``'-10.00`` as WooCommerce writes it."""
_NOTHING = frozenset(("NULL", "\\N", "N/A", "#N/A", "NaN"))
"""The texts with which databases and spreadsheets write an empty cell."""
_Key = tuple[str, str]
"""A seller, and the value of one of the fields ``Dialect.event_keys``."""
_AMOUNTS, _DATES = ("amount", "refunded", "tax"), ("purchased_at", "charged_at")

EVENT = "the row is a refund or a dispute, and was added to the purchase of another row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller knows about a file. ``system`` is a name of SYSTEMS."""

    system: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """The column of a field, for a file in another format, or with other names of columns."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The value of a field in each row that has no value of its own."""
    minor_units: bool | None = None
    """True if 4900 is 49.00 EUR, False if 49 is 49.00 EUR; None if the format of the file decides."""
    decimal_separator: str | None = None
    date_format: str | None = None
    time_zone: tzinfo | None = None
    """The time zone of dates without an offset; None if the time zone of the seller decides."""


@dataclass(slots=True)
class _LaterEvents:
    """What the rows of a file say about the purchase of another row. ``line`` and ``event`` are the first of these rows."""

    line: int
    event: LaterEvent
    rows: int = 0
    refunded: int = 0
    disputes: Counter[str] = field(default_factory=Counter)

    def add(self, rows: int, refunded: int, disputes: Counter[str]) -> None:
        """Add what further rows say."""
        self.rows += rows
        self.refunded += refunded
        self.disputes += disputes

    @property
    def dispute(self) -> str | None:
        """The dispute, from what happened in it. Money that was taken back twice must be returned twice."""
        happened = self.disputes
        if happened["lost"] > happened["reversed"]:
            return "lost"
        if happened["lost"] or happened["reversed"]:
            return "won"
        if happened["opened"] > happened["ended"]:
            return "open"
        return "won" if happened["ended"] else None


class PurchaseFile:
    """A file of purchases. It is read row by row, so that a large file needs little memory."""

    def __init__(self, path: Path, options: Options, zones: Mapping[str, tzinfo]) -> None:
        """Check the file and its header. Raise UnreadableError with the reason if the file cannot be read.

        ``zones`` contains the time zone of each seller.
        """
        self.no_purchases: Counter[str] = Counter()
        """The number of rows that are no purchase, by the reason."""
        self.without_items: Counter[str] = Counter()
        """The number of purchases without their items, although the file contains items, by the reason."""
        self.file = TextFile(path)
        self._options = options
        self._dialect = _dialect_of(options)
        self._values = {**self._dialect.values, **options.values}
        self._source = sources.open_source(
            self.file, _OBJECTS.get(self._dialect.title, sources.flatten), _wanted_columns(self._dialect, options)
        )
        self._columns = self._find_columns()
        self._amounts = Amounts(_units_of(options, self._dialect), cache(self._find_separator))
        instants = Instants(options.date_format, cache(self._find_date_order), options.time_zone)
        self._rows = Rows(self._amounts, instants, lambda seller: options.time_zone or zones.get(seller))

    def rows(self) -> Iterator[tuple[int, Fields | PaymentEvent | str]]:
        """Yield the line number and the fields of each purchase. A text says why a row cannot be read.

        At the end, yield the refunds and disputes of payments that the file does not contain.

        Raise UnreadableError if the file cannot be read to its end, or if all of its amounts have several meanings.
        """
        events = self._collect_events()
        for line, texts in self._prepared():
            if isinstance(texts, NoPurchase):
                self.no_purchases[texts.why] += 1
                continue
            row = self._row(line, texts, events)
            if row is not None:
                yield line, row
        self._amounts.check(self.file.name)
        for later in events.values():
            yield later.line, _payment_event(later)

    def _row(self, line: int, texts: Texts | LaterEvent | str, events: dict[_Key, _LaterEvents]) -> Fields | str | None:
        """Return the fields of the purchase, why the row cannot be read, or None if the row belongs to another row."""
        if isinstance(texts, str):
            return texts
        if isinstance(texts, LaterEvent):
            refunded = self._refunded_by(texts, line)
            return refunded if isinstance(refunded, str) else None
        fields = self._rows.convert(texts, line)
        if isinstance(fields, dict) and "_items" in texts:
            self._add_items(fields, texts, line)
        if events and isinstance(fields, dict):
            self._add_events(fields, texts, events)
        return fields

    def _add_items(self, fields: Fields, texts: Texts, line: int) -> None:
        """Add the items of an order of an export. An order whose items are uncertain is a purchase without items."""
        currency = fields.get("currency")
        items = read_items(
            texts, lambda text: self._amounts.parse(text, currency if isinstance(currency, str) else None, line)
        )
        if isinstance(items, str):
            self.without_items[items] += 1
        elif items:
            fields["items"] = items

    def _add_events(self, fields: Fields, texts: Texts, events: dict[_Key, _LaterEvents]) -> None:
        """Move what later rows say about this purchase from ``events`` to the fields of the purchase."""
        for name in self._dialect.event_keys:
            later = events.pop((texts.get("seller", ""), str(texts.get(name, ""))), None)
            if later is None:
                continue
            if later.refunded:
                fields["refunded"] = max(_refunded(fields), later.refunded)
            if later.dispute:
                fields["dispute"] = later.dispute
            self.no_purchases[EVENT] += later.rows

    def _collect_events(self) -> dict[_Key, _LaterEvents]:
        """Return what later rows say about each purchase. A refund may be above or below the row of its payment."""
        events: dict[_Key, _LaterEvents] = {}
        key_of_row: dict[_Key, _Key] = {}
        for line, event in self._prepared() if self._dialect.event_keys else ():
            refunded = self._refunded_by(event, line) if isinstance(event, LaterEvent) else ""
            if isinstance(event, LaterEvent) and isinstance(refunded, int):
                key = event.seller, event.key
                disputes = Counter([event.dispute] if event.dispute else [])
                events.setdefault(key, _LaterEvents(line, event)).add(1, refunded, disputes)
                key_of_row[event.seller, event.id] = key
        for key in list(events):
            named = key_of_row.get(key, key)
            if named != key and named in events:  # the rows name a row that names the payment
                later = events.pop(key)
                events[named].add(later.rows, later.refunded, later.disputes)
        return events

    def _refunded_by(self, event: LaterEvent, line: int) -> int | str:
        """Return the amount that went back to the customer, or why the amount cannot be read."""
        try:
            return self._rows.refunded(event.refunded, {"currency": words.currency(event.currency)}, line)
        except CellError as error:
            return f"refunded: {error}"

    def _prepared(self) -> Iterator[tuple[int, Texts | NoPurchase | LaterEvent | str]]:
        """Yield each row with what the columns alone do not say."""
        for line, texts in self._orders() if self._dialect.joins_items else self._texts():
            if isinstance(texts, str):
                yield line, texts
                continue
            try:
                prepared = self._dialect.prepare(texts)
            except CellError as error:
                yield line, str(error)
            else:
                yield line, prepared or texts

    def _orders(self) -> Iterator[tuple[int, Texts | str]]:
        """Yield the texts of each order by field, with the items of all of its rows."""
        return line_items.join_items(self._texts(), self._later_items)

    @cached_property
    def _later_items(self) -> Mapping[str, Sequence[line_items.LineItem]]:
        """The items of rows that are not below the other rows of their order. An object of JSON has all items of its order."""
        return {} if sources.is_json(self.file) else line_items.find_later_items(self._texts())

    def _texts(self) -> Iterator[tuple[int, Texts | str]]:
        """Yield the texts of each row by field."""
        if self._columns is None:
            for line, value in self._source.records():
                yield line, value if isinstance(value, str) else _check_fields(self._values | value)
            return
        of_field, offsets = tuple(self._columns.of_field.items()), self._columns.offsets
        for line, cells in self._source.records():
            yield line, cells if isinstance(cells, str) else self._values | _select(cells, of_field, offsets)

    def _find_columns(self) -> Columns | None:
        """Return the columns of the fields. Return None for JSON Lines in our own format, because each line names its fields."""
        header = self._source.header
        if not header and sources.is_json(self.file):
            return Columns({}, {})  # there is no object, or no line that can be read
        if self._dialect is own_format.DIALECT and sources.is_json(self.file):
            unknown = [name for name in header if name not in own_format.JSON_FIELDS]
            if not unknown or "reference" in {*header, *self._values}:
                return None
            header = sources.open_source(self.file, sources.flatten, frozenset()).header
        return find_columns(self.file.name, header, self._dialect, SYSTEMS, self._options.columns, self._values)

    def _find_separator(self) -> str | None:
        """Return the decimal separator: what the caller or the format says, or what the first clear amount of the file shows."""
        known = self._options.decimal_separator or self._dialect.separator
        return known or next(filter(None, map(separator_of, self._cells(_AMOUNTS))), None)

    def _find_date_order(self) -> bool | None:
        """Return whether the first clear date of the file has the day before the month."""
        return next((order for order in map(day_first_of, self._cells(_DATES)) if order is not None), None)

    def _cells(self, names: Sequence[str]) -> Iterator[str]:
        for _, texts in self._prepared():
            if isinstance(texts, dict):
                yield from (texts[name] for name in names if isinstance(texts.get(name), str))


def _dialect_of(options: Options) -> Dialect:
    if options.system:
        return SYSTEMS[options.system]
    return own_format.MAPPED if options.columns else own_format.DIALECT


def _wanted_columns(dialect: Dialect, options: Options) -> frozenset[str]:
    """Return the keys of all columns that may be read. In our own format, each object is read as a whole."""
    if dialect is own_format.DIALECT:
        return frozenset()
    columns = (*chain.from_iterable(dialect.columns.values()), *options.columns.values())
    return frozenset(map(column_key, columns))


def _units_of(options: Options, dialect: Dialect) -> Units:
    if options.minor_units is None:
        return dialect.units
    return Units.MINOR if options.minor_units else Units.DECIMAL


def _payment_event(later: _LaterEvents) -> PaymentEvent:
    event = later.event
    return PaymentEvent(
        seller=event.seller,
        reference=event.key,
        provider=words.provider(event.provider),
        charge=event.charge,
        refunded=later.refunded,
        dispute=later.dispute,
        is_returned=later.disputes["reversed"] > 0,
        rows=later.rows,
        refusal=event.refusal,
    )


def _select(cells: Texts, of_field: Sequence[tuple[str, tuple[str, ...]]], offsets: Mapping[str, str]) -> Texts:
    """Return the texts by field: for each field, the first column that is not empty."""
    texts: Texts = {}
    for name, columns in of_field:
        for column in columns:
            text = cells.get(column)
            if isinstance(text, list):
                texts[name] = text
                break
            if text and text[0] in "='":
                text = _ESCAPED.sub(r"\1\2", text)
            if text and not text.isspace() and text not in _NOTHING:
                is_local = column in offsets and not _HAS_OFFSET.search(text)
                texts[name] = f"{text.strip()} {offsets[column]}" if is_local else text
                break
    return texts


def _check_fields(values: Texts) -> Texts | str:
    """Return the fields of a JSON object, or a text if a field is unknown."""
    for name in values:
        if name not in own_format.JSON_FIELDS:
            similar = suggest(name, own_format.FIELDS)
            return f"{name}: There is no such field{f'; did you mean {similar!r}' if similar else ''}."
    return values


def _refunded(fields: Fields) -> int:
    value = fields.get("refunded")
    return value if isinstance(value, int) else 0

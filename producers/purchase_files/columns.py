"""Finds the columns of the fields in a header, and says in one message what is unknown or missing."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from domain.errors import UnreadableError
from producers.purchase_files.dialect import ITEM_FIELDS, Dialect, column_key
from producers.purchase_files.own_format import FIELDS

_HINTS = {
    "amount": "total price gross sum value paid betrag brutto montant importe",
    "charge": "transaction payment txn capture psp",
    "currency": "devise währung valuta moneda",
    "email": "mail customer buyer payer e-mail",
    "method": "gateway",
    "product": "item title description sku name",
    "provider": "processor psp gateway",
    "purchased_at": "date created time ordered datum",
    "reference": "order invoice number receipt id",
    "seller": "shop store merchant vendor",
}
"""Words in the names of columns, by the field that the column probably contains."""
_OF_EACH_PAYMENT = frozenset("id number no reference ref code transaction txn charge capture".split())
_OF_MANY_PAYMENTS = frozenset(
    "method title status type gateway date time at fee amount total currency name shipping".split()
)
"""Words in the names of columns that may contain the charge, and of columns that have the same value in many rows."""
_MAY_BE_CONSTANT = frozenset(("seller", "provider", "currency", "method", "product"))
"""The fields that may have one value for a whole file. The same charge in each row would be one payment of all customers."""
_OPTIONS = {"seller": "--seller ID", "provider": "--provider NAME"}
_FIELD_OF_WORD = {word: name for name, words in _HINTS.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file by field, in the order of preference."""

    of_field: Mapping[str, tuple[str, ...]]
    offsets: Mapping[str, str]
    """The offset from UTC that a column of dates names in its header, such as ``Created (UTC)`` or ``Datum (UTC+2)``."""


def find_columns(
    file_name: str,
    header: Sequence[str],
    dialect: Dialect,
    systems: Mapping[str, Dialect],
    mapped: Mapping[str, str],
    given: Collection[str],
) -> Columns:
    """Return the columns of the fields. ``mapped`` names the column of a field, and ``given`` has the fields with a fixed value.

    Raise UnreadableError with one message about the whole header if a needed field has no column.
    """
    by_key: dict[str, str] = {}
    spellings: dict[str, list[str]] = {}
    for name in dict.fromkeys(header):
        by_key.setdefault(column_key(name), name)
        spellings.setdefault(column_key(name), []).append(name)
    wanted = {**dialect.columns, **{name: (column,) for name, column in mapped.items()}}
    found = {
        name: tuple(spelling for column in columns for spelling in spellings.get(column_key(column), ()))
        for name, columns in wanted.items()
    }
    needed = dict.fromkeys(("seller", *dialect.needed))  # in this order, each once
    missing = [name for name in needed if not found.get(name) and name not in given]
    problems = [
        *_repeated(header, found),
        *_not_in_header(header, mapped, by_key),
        *(_unknown(header, dialect) if dialect.knows_all_columns else ()),
    ]
    if problems or missing:
        raise UnreadableError(_message(file_name, by_key, dialect, systems, problems, missing))
    used = {name: columns for name, columns in found.items() if columns}
    dates = [column for name in ("purchased_at", "charged_at") for column in used.get(name, ())]
    return Columns(used, {column: offset for column in dates if (offset := _offset_of(column))})


def _offset_of(column: str) -> str | None:
    """Return the offset from UTC that the name of a column contains."""
    match = _OFFSET.search(column)
    if match:
        return f"{match['sign'].replace(_MINUS, '-')}{int(match['hours']):02}:{match['minutes'] or '00'}"
    return "Z" if {"utc", "gmt"} & set(column_key(column).split()) else None


_MINUS = "\u2212"
_OFFSET = re.compile(
    rf"(?:(?:UTC|GMT) ?|\((?=[+{_MINUS}-]\d\d:?\d\d\)))(?P<sign>[+{_MINUS}-])(?P<hours>\d\d?):?(?P<minutes>\d\d)?(?!\d)",
    re.IGNORECASE,
)
"""An offset after the letters UTC or GMT, or in brackets: ``Date (UTC+2)``, ``Date (+02:00)``."""


def suggest(name: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate that is most similar to a name, or that shares a word with the name."""
    by_key = {column_key(candidate): candidate for candidate in candidates}
    key = column_key(name)
    close = get_close_matches(key, by_key, n=1, cutoff=0.8)
    words = key.split()[::-1]  # in English names, the last word says most
    shared = (candidate for word in words for other, candidate in by_key.items() if word in other.split())
    hinted = (_FIELD_OF_WORD[word] for word in words if _FIELD_OF_WORD.get(word) in candidates)
    return by_key[close[0]] if close else next(shared, None) or next(hinted, None)


def _repeated(header: Sequence[str], found: Mapping[str, tuple[str, ...]]) -> list[str]:
    used = {column for field, columns in found.items() if field not in ITEM_FIELDS for column in columns}
    return [f"The column {name!r} occurs twice." for name in sorted(used) if list(header).count(name) > 1]


def _not_in_header(header: Sequence[str], mapped: Mapping[str, str], by_key: Mapping[str, str]) -> list[str]:
    return [
        f"There is no column {column!r}{_did_you_mean(suggest(column, header))}."
        for column in mapped.values()
        if column_key(column) not in by_key
    ]


def _unknown(header: Sequence[str], dialect: Dialect) -> list[str]:
    known = {column_key(column) for columns in dialect.columns.values() for column in columns}
    names = [name for name in header if name and column_key(name) not in known]
    described = [f"{name!r}{_did_you_mean(suggest(name, FIELDS))}" for name in names[:_MOST]]
    more = [f"{len(names) - _MOST} more"] if len(names) > _MOST else []
    return [f"Unknown columns: {', '.join([*described, *more])}."] if names else []


_MOST = 12  # columns; exports have up to 80, and a message must stay readable


def _did_you_mean(name: str | None) -> str:
    return f" (did you mean {name!r}?)" if name else ""


def _message(
    file_name: str,
    by_key: Mapping[str, str],
    dialect: Dialect,
    systems: Mapping[str, Dialect],
    problems: Sequence[str],
    missing: Sequence[str],
) -> str:
    """Return what is unknown, what is missing, and the options with which the file could be imported."""
    system = next((name for name, other in systems.items() if other is not dialect and _fits(by_key, other)), None)
    if system:
        return f"The file {file_name} looks like {systems[system].title}. Add --from {system}."
    names = [name for name in by_key.values() if name]
    lacks = [f"{name}{_usually(dialect, name)}" for name in missing]
    fields = [name for name in missing if name not in _OPTIONS] or ([] if missing and not problems else ["email"])
    example = " ".join(f'--map {name}="{_likely_column(name, names) or "COLUMN"}"' for name in fields[:3])
    systems_to_name = f"name the exporting system with --from ({', '.join(systems)})."
    constant = not missing or not _MAY_BE_CONSTANT.isdisjoint(missing)
    sentences = [
        f"The header of the file {file_name} does not fit {dialect.title}.",
        *problems,
        *([f"Missing: {', '.join(lacks)}."] if lacks else []),
        f"Name the columns, such as {example}.",
        f"Or {'name a value for every row with --set FIELD=VALUE, or ' if constant else ''}{systems_to_name}",
    ]
    return " ".join(sentences if fields else sentences[:-2])


def _fits(by_key: Mapping[str, str], dialect: Dialect) -> bool:
    """Return whether each needed field has a column."""
    return all(
        name in dialect.values or any(column_key(column) in by_key for column in dialect.columns[name])
        for name in dialect.needed
    )


def _usually(dialect: Dialect, name: str) -> str:
    """Return the option that names the field, or how an export usually names its column."""
    if name in _OPTIONS:
        return f" (add {_OPTIONS[name]})"
    column = dialect.columns.get(name, (name,))[0]
    return f" (usually the column {column!r})" if column != name else ""


def _likely_column(field: str, names: Sequence[str]) -> str | None:
    if field == "charge":
        names = [name for name in names if _may_be_charge(set(column_key(name).split()))]
    hints = set(_HINTS.get(field, "").split())
    hinted = next((name for name in names if hints & set(column_key(name).split())), None)
    return suggest(field, names) or hinted


def _may_be_charge(words: set[str]) -> bool:
    return bool(words & _OF_EACH_PAYMENT) and not words & _OF_MANY_PAYMENTS

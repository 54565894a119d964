"""Choose open support tasks: the filters of the queue, and the positions between its pages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class Position(NamedTuple):
    """A position in the queue of open tasks. The next page starts after it."""

    due_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which open tasks are wanted. None means any. ``sellers`` contains the sellers whose tasks the agent may see."""

    sellers: Collection[str] | None = None
    kinds: Sequence[str] | None = None
    reasons: Sequence[str] | None = None
    """Codes of reasons. A task with one of them is wanted. A task that is not about a decision has its kind as a reason."""
    language: str | None = None
    """A language without a country, such as ``pt``, which includes ``pt-BR``."""
    older_than: float | None = None
    """Seconds since the task was opened."""
    amount_from: int | None = None
    amount_to: int | None = None
    """The amount of the purchase in minor units. ``currency`` says which currency."""
    currency: str | None = None
    mine: str | None = None
    """The agent who has taken the task."""
    words: str | None = None
    """A query of PostgreSQL's full-text search, from ``words_query``."""
    cases: Sequence[UUID] | None = None
    unclaimed: bool = False
    """True if only tasks that no agent has taken are wanted."""
    snoozed: bool | None = None
    """True if only snoozed tasks are wanted; False if no snoozed task is wanted."""

    def values(self) -> dict[str, object]:
        """Return the filters that are set, by name, as the values of the statement."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _FLAGS}
        return {
            name: list(value) if isinstance(value, tuple | frozenset) else value
            for name, value in values.items()
            if value is not None
        }


EVERY_TASK = TaskFilter()

IS_FREE = "(t.assigned_until is null or t.assigned_until <= now())"
IS_AWAKE = "(t.snoozed_until is null or t.snoozed_until <= now())"

_FLAGS = {"unclaimed", "snoozed"}

_CONDITIONS = {
    "seller": "t.seller_id = :seller",
    "kinds": "t.kind = any(:kinds)",
    "reasons": "t.reason_codes && cast(:reasons as text[])",
    "language": "split_part(lower(t.language), '-', 1) = :language",
    "older_than": "t.created_at < now() - make_interval(secs => :older_than)",
    "amount_from": "t.amount >= :amount_from",
    "amount_to": "t.amount <= :amount_to",
    "currency": "t.currency = :currency",
    "mine": "t.assigned_to = :mine and t.assigned_until > now()",
    "words": "t.words @@ to_tsquery('simple', :words)",
    "cases": "t.case_id = any(:cases)",
    "after_id": "(t.due_at, t.id) > (:after_due_at, :after_id)",
}
"""The condition of each filter. A statement contains only the filters that are set, so that PostgreSQL can use the indexes."""

_SELECT = "select t.due_at, t.id from support_tasks t where {where} order by t.due_at, t.id limit :limit"

_SELECT_OF_EACH_SELLER = f"""
select q.due_at, q.id from unnest(cast(:sellers as text[])) as s(id)
 cross join lateral ({_SELECT.format(where="t.seller_id = s.id and {where}")}) q
 order by q.due_at, q.id limit :limit
"""
"""Read the first tasks of each seller from an index in the right order, and merge them. So no task behind them is read."""

_COUNT = f"select count(*) from ({_SELECT}) q"


def selection(filters: TaskFilter, after: Position | None = None) -> tuple[str, dict[str, object]]:
    """Return the query for the positions of the first ``:limit`` open tasks, and the values of the query."""
    values = _values(filters)
    if after:
        values |= {"after_due_at": after.due_at, "after_id": after.id}
    # Words are found by an index of their own, which has no order. So each seller would read all tasks with the words again.
    is_merged = "sellers" in values and filters.words is None
    statement = _SELECT_OF_EACH_SELLER if is_merged else _SELECT
    return statement.format(where=_where(filters, values, is_merged=is_merged)), values


def count(filters: TaskFilter) -> tuple[str, dict[str, object]]:
    """Return the query for the number of open tasks, at most ``:limit``, and the values of the query.

    The query reads the tasks in their order, because PostgreSQL would otherwise find all tasks with a common word first.
    """
    values = _values(filters)
    return _COUNT.format(where=_where(filters, values, is_merged=False)), values


def _values(filters: TaskFilter) -> dict[str, object]:
    """Return the values of the filters that are set. With only one seller, an index gives the order."""
    values = filters.values()
    sellers = values.get("sellers")
    if isinstance(sellers, list) and len(sellers) == 1:
        values |= {"seller": sellers[0]}
        del values["sellers"]
    return values


def _where(filters: TaskFilter, values: Mapping[str, object], *, is_merged: bool) -> str:
    conditions = ["t.closed_at is null", *(_CONDITIONS[name] for name in _CONDITIONS if name in values)]
    if "sellers" in values and not is_merged:
        conditions.append("t.seller_id = any(:sellers)")
    if filters.unclaimed:
        conditions.append(IS_FREE)
    if filters.snoozed is not None:
        conditions.append("t.snoozed_until > now()" if filters.snoozed else IS_AWAKE)
    return " and ".join(conditions)


def words_query(text: str) -> str:
    """Return the full-text query for tasks that contain every word of the text, or a word that begins with it.

    Empty if the text contains no word.
    """
    words = "".join(char if char.isalnum() else " " for char in text).split()
    return " & ".join(f"{word}:*" for word in words)

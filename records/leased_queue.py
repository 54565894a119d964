"""Leased queues: the statements of tables whose rows are claimed for a while, and done once."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedQueue:
    """One such table: a row is free while its claim is over and it is not done."""

    table: str
    key: Mapping[str, str]
    """What identifies a row: columns with their types. A statement takes each column's values under the column's name + ``s``."""
    done_at: str
    queue: str
    """The broker's queue whose messages wake a worker for these rows."""
    message_id: str
    """What such a message carries of a row."""
    fenced: bool = False
    """Only the holder of the claim may say that a row is done: ``claimed_untils`` are values of its claim."""

    def claim(self, which: str, returning: str) -> str:
        """Claims the free ones of these rows for ``seconds``."""
        key = ", ".join(self.key)
        return f"""
update {self.table} t set claimed_until = now() + make_interval(secs => :seconds)
 where ({", ".join(f"t.{column}" for column in self.key)}) in (
   select {key} from {self.table}
    where ({which}) and {self.done_at} is null and claimed_until <= now() for update skip locked)
returning {returning}
"""

    def done(self) -> str:
        """Marks these rows as done."""
        fence = {"claimed_until": "timestamptz"} if self.fenced else {}
        return f"update {self.table} t set {self.done_at} = now() {self._these({**self.key, **fence})}"

    def release(self) -> str:
        """Lets these rows be claimed again in ``seconds``, unless they are done."""
        until = "now() + make_interval(secs => :seconds)"
        return f"update {self.table} t set claimed_until = {until} {self._these(self.key)} and t.{self.done_at} is null"

    def overdue(self) -> str:
        """Finds at most ``limit`` ids of rows that are free and older than ``seconds``.

        What waits for the relay is left out, because a backlog would be swept again and again. Sets are compared and rows are
        not: ``not exists`` was planned for an empty outbox and took seconds when twenty thousand messages waited.
        """
        return f"""
select {self.message_id} as id from {self.table}
 where {self.done_at} is null and claimed_until <= now() and created_at < now() - make_interval(secs => :seconds)
except select case_id from outbox where lane = '{self.queue}' limit :limit
"""

    def waiting(self) -> str:
        """Counts the rows that are not done."""
        return f"select count(*) from {self.table} where {self.done_at} is null"

    def finished(self) -> str:
        """Counts the rows that are done."""
        return f"select count(*) from {self.table} where {self.done_at} is not null"

    @staticmethod
    def _these(columns: Mapping[str, str]) -> str:
        arrays = ", ".join(f"cast(:{column}s as {kind}[])" for column, kind in columns.items())
        same = " and ".join(f"t.{column} = i.{column}" for column in columns)
        return f"from unnest({arrays}) as i({', '.join(columns)}) where {same}"

"""Build the statements of leased queues: tables whose rows a worker claims for some seconds and marks as done once."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedQueue:
    """One leased queue. A row is free if no claim on it is valid and the row is not done."""

    table: str
    key: Mapping[str, str]
    """The key columns with their types. A statement takes the values of a column as the array ``<column>s``."""
    done_at: str
    queue: str
    """The broker's queue whose messages wake a worker for these rows."""
    message_id: str
    """The expression whose value such a message carries for a row."""
    fenced: bool = False
    """Whether only the holder of a claim may mark a row as done. The claims are identified by ``claimed_untils``."""

    def claim(self, condition: str, returning: str) -> str:
        """Return the statement that claims the free rows of ``condition`` for ``seconds``."""
        key = ", ".join(self.key)
        return f"""
update {self.table} t set claimed_until = now() + make_interval(secs => :seconds)
 where ({", ".join(f"t.{column}" for column in self.key)}) in (
   select {key} from {self.table}
    where ({condition}) and {self.done_at} is null and claimed_until <= now() for update skip locked)
returning {returning}
"""

    def done(self) -> str:
        """Return the statement that marks rows as done."""
        fence = {"claimed_until": "timestamptz"} if self.fenced else {}
        return f"update {self.table} t set {self.done_at} = now() {self._matching({**self.key, **fence})}"

    def release(self) -> str:
        """Return the statement that lets rows be claimed again in ``seconds``, unless they are done."""
        until = "now() + make_interval(secs => :seconds)"
        matching = self._matching(self.key)
        return f"update {self.table} t set claimed_until = {until} {matching} and t.{self.done_at} is null"

    def overdue(self) -> str:
        """Return the query for at most ``limit`` ids of rows that are free and older than ``seconds``.

        Rows whose message waits in the outbox are left out, because the sweep would publish a backlog again and again.
        The query compares sets. With ``not exists``, PostgreSQL planned for an empty outbox, and the query took seconds
        when the outbox held twenty thousand messages.
        """
        return f"""
select {self.message_id} as id from {self.table}
 where {self.done_at} is null and claimed_until <= now() and created_at < now() - make_interval(secs => :seconds)
except select item_id from outbox where queue = '{self.queue}' limit :limit
"""

    def waiting(self) -> str:
        """Return the query that counts the rows that are not done."""
        return f"select count(*) from {self.table} where {self.done_at} is null"

    def finished(self) -> str:
        """Return the query that counts the rows that are done."""
        return f"select count(*) from {self.table} where {self.done_at} is not null"

    @staticmethod
    def _matching(columns: Mapping[str, str]) -> str:
        arrays = ", ".join(f"cast(:{column}s as {kind}[])" for column, kind in columns.items())
        equal = " and ".join(f"t.{column} = i.{column}" for column in columns)
        return f"from unnest({arrays}) as i({', '.join(columns)}) where {equal}"

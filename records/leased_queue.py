"""Build the SQL of leased queues.

A leased queue is a table. A worker claims rows of the table for some seconds, processes the rows, and marks the rows as done.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedQueue:
    """One leased queue. A row is free if the row is not done and no worker has a valid claim on the row."""

    table: str
    key: Mapping[str, str]
    """The key columns and their types. A statement has an array parameter for each key column, such as ``ids`` for ``id``."""
    done_at: str
    queue: str
    """The name of the queue in the broker. A message contains ids. The worker that receives the message claims the rows."""
    message_id: str
    """The SQL expression for the id that a message contains for a row."""
    fenced: bool = False
    """True if only the worker with the valid claim may mark a row as done.

    The parameter ``claimed_untils`` of ``done()`` contains the end of each claim. The end identifies the claim.
    """

    def claim(self, condition: str, returning: str) -> str:
        """Return the statement that claims the free rows that meet ``condition``. The claims are valid for ``seconds``."""
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
        """Return the statement that sets the end of claims to ``seconds`` from now. Rows that are done stay unchanged."""
        until = "now() + make_interval(secs => :seconds)"
        matching = self._matching(self.key)
        return f"update {self.table} t set claimed_until = {until} {matching} and t.{self.done_at} is null"

    def overdue(self) -> str:
        """Return the query for at most ``limit`` ids of rows that are free and older than ``seconds``.

        Rows with a message in the outbox are left out. Otherwise each sweep would enqueue the same rows again.
        The query uses ``except`` and not ``not exists``. With ``not exists``, PostgreSQL chose a plan that is fast only for
        an empty outbox: with 20,000 messages in the outbox, the query took seconds.
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

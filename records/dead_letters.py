"""Messages that nobody could read: kept for a person, put back on their queue when told so."""

from dataclasses import dataclass
from datetime import datetime

from records.transaction import Transaction

_KEEP = "insert into dead_letters (queue, body, why) values (:queue, :body, :why)"
_LIST = "select id, queue, body, why, at, redriven_at from dead_letters where :all or redriven_at is null order by id limit 500"
_REDRIVE = """
update dead_letters set redriven_at = now() where id = any(:ids) and redriven_at is null
returning id, queue, body, why, at, redriven_at
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it came, and why nobody could read it."""

    id: int
    queue: str
    body: bytes
    why: str
    at: datetime
    redriven_at: datetime | None


class DeadLetters:
    """The dead table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def keep(self, queue: str, body: bytes, why: str) -> None:
        """Keeps a message, byte for byte."""
        self._work.run(_KEEP, queue=queue, body=body, why=why.replace("\0", "\N{SYMBOL FOR NULL}"))  # text holds no NUL

    def list_all(self, *, redriven: bool = False) -> list[DeadLetter]:
        """The messages kept, the oldest first; with ``redriven`` also those that were put back."""
        return [DeadLetter(*row) for row in self._work.run(_LIST, all=redriven)]

    def redrive(self, ids: list[int]) -> list[DeadLetter]:
        """Marks these as put back and returns them; publish them before the commit."""
        return [DeadLetter(*row) for row in self._work.run(_REDRIVE, ids=ids)]

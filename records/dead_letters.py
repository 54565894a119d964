"""Store dead letters: messages that could not be read. They are stored for support, and published again on request."""

from dataclasses import dataclass
from datetime import datetime

from records.transaction import Transaction

_COLUMNS = "id, queue, body, why, created_at, redriven_at"
_INSERT = "insert into dead_letters (queue, body, why) values (:queue, :body, :why)"
_SELECT = f"select {_COLUMNS} from dead_letters where :include_redriven or redriven_at is null order by id limit 500"
_REDRIVE = f"""
update dead_letters set redriven_at = now() where id = any(:ids) and redriven_at is null returning {_COLUMNS}
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it was received, and why it could not be read."""

    id: int
    queue: str
    body: bytes
    why: str
    created_at: datetime
    redriven_at: datetime | None


class DeadLetters:
    """The table ``dead_letters``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def keep(self, queue: str, body: bytes, why: str) -> None:
        """Store a message, byte for byte."""
        why = why.replace("\0", "\N{SYMBOL FOR NULL}")  # a PostgreSQL text cannot contain NUL
        self._work.run(_INSERT, queue=queue, body=body, why=why)

    def list_all(self, *, redriven: bool = False) -> list[DeadLetter]:
        """Return the 500 oldest dead letters. With ``redriven``, include the dead letters that were published again."""
        return [DeadLetter(*row) for row in self._work.run(_SELECT, include_redriven=redriven)]

    def redrive(self, ids: list[int]) -> list[DeadLetter]:
        """Mark these dead letters as published again and return them. The caller publishes them before the commit."""
        return [DeadLetter(*row) for row in self._work.run(_REDRIVE, ids=ids)]

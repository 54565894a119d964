"""Lock idempotency keys. While a request has locked a key, another request with this key is refused and does not wait."""

import hashlib

from records.transaction import Transaction

_CLAIM = "select pg_try_advisory_xact_lock(:lock)"


class Idempotency:
    """The locks of the idempotency keys in use. PostgreSQL releases a lock at the end of the transaction that took the lock."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def claim(self, source: str, key: str) -> bool:
        """Lock this key of this source until the end of the transaction. Return False if another request has the lock."""
        return bool(self._work.run(_CLAIM, lock=_lock_number(source, key)).scalar_one())


def _lock_number(source: str, key: str) -> int:
    """Return the number of a key's lock.

    If two keys in use have the same number, the later request is refused and must be sent again.
    """
    return int.from_bytes(hashlib.sha256(f"{source}\n{key}".encode()).digest()[:8], "big", signed=True)

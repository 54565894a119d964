"""One request a key at a time: while one is being accepted, another with the same key is told so and does not wait."""

import hashlib

from records.transaction import Transaction

_CLAIM = "select pg_try_advisory_xact_lock(:name)"


class Idempotency:
    """Who is accepting which request at this moment; forgotten with the transaction, whichever way it ends."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def claim(self, source: str, key: str) -> bool:
        """Whether nobody else is accepting a request of this source and key; until the end of the transaction nobody will."""
        return bool(self._work.run(_CLAIM, name=_name(source, key)).scalar_one())


def _name(source: str, key: str) -> int:
    """The lock's name. Of two keys with one name the later is told to come again in a second, and no harm is done."""
    return int.from_bytes(hashlib.sha256(f"{source}\n{key}".encode()).digest()[:8], "big", signed=True)

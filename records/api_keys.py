"""The keys of sellers' programs: shown once, kept as a hash, limited to their scopes, ended on a day."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row

from domain.api_scopes import DEFAULT_SCOPES, ApiScope
from records.transaction import Transaction

_SHOWN = "id, seller, name, scopes, created_at, last_used_at, nullif(ends_at, 'infinity') as ends_at"

_MAKE = f"""
insert into api_keys (id, seller, hash, name, scopes) values (:id, :seller, :hash, :name, :scopes) returning {_SHOWN}
"""

_ROTATE = f"""
with old as (
  update api_keys set ends_at = least(ends_at, now() + :grace) where id = :old and ends_at > now()
  returning seller, name, scopes
)
insert into api_keys (id, seller, hash, name, scopes) select :id, seller, :hash, name, scopes from old returning {_SHOWN}
"""

_END = f"update api_keys set ends_at = now() where id = :id and ends_at > now() returning {_SHOWN}"

_OF = f"select {_SHOWN} from api_keys where seller = :seller order by created_at, id"

_ONE = f"select {_SHOWN} from api_keys where id = :id"

_UNNOTED = "(last_used_at is null or last_used_at < now() - interval '1 minute')"

_CALLER = f"select id, seller, scopes, {_UNNOTED} as unnoted from api_keys where hash = :hash and ends_at > now()"
"""One look at an index, whether or not there is such a key; which hashes there are tells nobody a key."""

_NOTE_USE = f"""
update api_keys set last_used_at = now()
 where id = (select id from api_keys where id = :id and {_UNNOTED} for no key update skip locked)
"""
"""Once a minute a key: accepting a request writes nothing else. Of many at once one notes it, and none waits."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: all but itself. Its id stands in it, so that one that leaked can be found and ended."""

    id: UUID
    seller: str
    name: str
    scopes: frozenset[ApiScope]
    created_at: datetime
    last_used_at: datetime | None
    """To the minute."""
    expires_at: datetime | None
    """None for one that does not end by itself."""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Whose program this is, and what its key allows."""

    seller: str
    scopes: frozenset[ApiScope]

    @property
    def trusted(self) -> bool:
        """Whether its customers are signed in, so that they need not confirm by mail."""
        return ApiScope.TRUSTED in self.scopes


class ApiKeys:
    """The table of keys."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def create(
        self, seller: str, scopes: Collection[ApiScope] = DEFAULT_SCOPES, *, name: str = ""
    ) -> tuple[ApiKey, str]:
        """A key for a seller's program, and what it is called here. The key is told this once: only its hash is kept."""
        id_, secret = _new()
        row = self._work.run(_MAKE, id=id_, seller=seller, hash=_hash(secret), name=name, scopes=sorted(scopes)).one()
        return _key(row), secret

    def rotate(self, key: UUID, grace: timedelta) -> tuple[ApiKey, str] | None:
        """A new key with the same name and scopes; the old one lives on for the grace time. None if it has ended."""
        id_, secret = _new()
        row = self._work.run(_ROTATE, old=key, grace=grace, id=id_, hash=_hash(secret)).one_or_none()
        return None if row is None else (_key(row), secret)

    def revoke(self, key: UUID) -> ApiKey | None:
        """Ends a key now, for good. None if there is no such key, or it has ended."""
        row = self._work.run(_END, id=key).one_or_none()
        return None if row is None else _key(row)

    def for_seller(self, seller: str) -> list[ApiKey]:
        """A seller's keys, the oldest first, with those that have ended."""
        return [_key(row) for row in self._work.run(_OF, seller=seller)]

    def get(self, key: UUID) -> ApiKey | None:
        """This key."""
        row = self._work.run(_ONE, id=key).one_or_none()
        return None if row is None else _key(row)

    def authenticate(self, secret: str) -> ApiClient | None:
        """Who calls with this key; None for one that is none of ours or has ended. That it was used is noted."""
        row = self._work.run(_CALLER, hash=_hash(secret)).one_or_none()
        if row is None:
            return None
        if row.unnoted:
            self._work.run(_NOTE_USE, id=row.id)
        return ApiClient(row.seller, _scopes(row.scopes))


def _new() -> tuple[UUID, str]:
    id_ = uuid4()
    return id_, f"mb_{id_.hex}_{secrets.token_urlsafe(32)}"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()  # 256 random bits need no salt and no slow hash


def _scopes(names: Collection[str]) -> frozenset[ApiScope]:
    """A scope that this version does not know yet allows nothing here."""
    return frozenset(scope for scope in ApiScope if scope in names)


def _key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    values = row._asdict()
    return ApiKey(**values | {"scopes": _scopes(row.scopes)})

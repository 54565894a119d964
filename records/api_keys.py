"""Store the API keys of sellers' programs: hash, scopes, last use and expiry. A key itself is shown once and not stored."""

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

_COLUMNS = (
    "id, seller_id as seller, name, scopes, created_at, last_used_at, nullif(expires_at, 'infinity') as expires_at"
)

_INSERT = f"""
insert into api_keys (id, seller_id, hash, name, scopes) values (:id, :seller_id, :hash, :name, :scopes)
returning {_COLUMNS}
"""

_ROTATE = f"""
with old as (
  update api_keys set expires_at = least(expires_at, now() + :grace) where id = :old_id and expires_at > now()
  returning seller_id, name, scopes
)
insert into api_keys (id, seller_id, hash, name, scopes) select :id, seller_id, :hash, name, scopes from old
returning {_COLUMNS}
"""

_REVOKE = f"update api_keys set expires_at = now() where id = :id and expires_at > now() returning {_COLUMNS}"

_SELECT_BY_SELLER = f"select {_COLUMNS} from api_keys where seller_id = :seller_id order by created_at, id"

_SELECT_BY_ID = f"select {_COLUMNS} from api_keys where id = :id"

_USE_NOT_RECORDED = "(last_used_at is null or last_used_at < now() - interval '1 minute')"

_SELECT_BY_HASH = f"""
select id, seller_id, scopes, {_USE_NOT_RECORDED} as use_not_recorded
  from api_keys where hash = :hash and expires_at > now()
"""
"""The query makes one index scan, whether the key exists or not. The scan's duration could reveal part of a hash, but no key."""

_RECORD_USE = f"""
update api_keys set last_used_at = now()
 where id = (select id from api_keys where id = :id and {_USE_NOT_RECORDED} for no key update skip locked)
"""
"""The use of a key is recorded at most once a minute, so that the check of a key seldom writes to the database.

If many calls use a key at the same time, one call records the use, and the other calls do not wait.
"""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The description of an API key, without the key itself. The key contains ``id``, so that support can revoke a leaked key."""

    id: UUID
    seller: str
    name: str
    scopes: frozenset[ApiScope]
    created_at: datetime
    last_used_at: datetime | None
    """The last use, accurate to the minute."""
    expires_at: datetime | None
    """None if the key does not expire."""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """A program that calls the API: its API key, its seller, and the scopes of the key."""

    id: UUID
    seller_id: str
    scopes: frozenset[ApiScope]

    @property
    def trusted(self) -> bool:
        """True if the caller has authenticated its customers, so that the customers need not confirm by e-mail."""
        return ApiScope.TRUSTED in self.scopes


class ApiKeys:
    """The table ``api_keys``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def create(
        self, seller: str, scopes: Collection[ApiScope] = DEFAULT_SCOPES, *, name: str = ""
    ) -> tuple[ApiKey, str]:
        """Create a key for a seller. Return the key's description and the key itself. Only the hash of the key is stored."""
        id_, secret = _new_key()
        values = {"id": id_, "seller_id": seller, "hash": _hash(secret), "name": name, "scopes": sorted(scopes)}
        row = self._work.run(_INSERT, **values).one()
        return _key(row), secret

    def rotate(self, key: UUID, grace: timedelta) -> tuple[ApiKey, str] | None:
        """Create a new key with the name and scopes of an old key. The old key then expires after ``grace``.

        Return None if the old key does not exist or has already expired.
        """
        id_, secret = _new_key()
        row = self._work.run(_ROTATE, old_id=key, grace=grace, id=id_, hash=_hash(secret)).one_or_none()
        return None if row is None else (_key(row), secret)

    def revoke(self, key: UUID) -> ApiKey | None:
        """Revoke a key now. Return None if the key does not exist or has expired."""
        row = self._work.run(_REVOKE, id=key).one_or_none()
        return None if row is None else _key(row)

    def for_seller(self, seller: str) -> list[ApiKey]:
        """Return the keys of a seller, including expired keys, the oldest first."""
        return [_key(row) for row in self._work.run(_SELECT_BY_SELLER, seller_id=seller)]

    def get(self, key: UUID) -> ApiKey | None:
        """Return a key by its id."""
        row = self._work.run(_SELECT_BY_ID, id=key).one_or_none()
        return None if row is None else _key(row)

    def authenticate(self, secret: str) -> ApiClient | None:
        """Return the caller with the key ``secret``, and record the use. Return None if the key is unknown or expired."""
        row = self._work.run(_SELECT_BY_HASH, hash=_hash(secret)).one_or_none()
        if row is None:
            return None
        if row.use_not_recorded:
            self._work.run(_RECORD_USE, id=row.id)
        return ApiClient(row.id, row.seller_id, _scopes(row.scopes))


def _new_key() -> tuple[UUID, str]:
    id_ = uuid4()
    return id_, f"mb_{id_.hex}_{secrets.token_urlsafe(32)}"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()  # 256 random bits need neither a salt nor a slow hash


def _scopes(names: Collection[str]) -> frozenset[ApiScope]:
    """Return the known scopes. A scope that only a later version of Moneyback knows is left out."""
    return frozenset(scope for scope in ApiScope if scope in names)


def _key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    values = row._asdict()
    return ApiKey(**values | {"scopes": _scopes(row.scopes)})

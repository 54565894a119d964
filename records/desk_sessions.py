"""Store the sessions of desk users: the hash of a random token, and when and where the session was used."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row

from domain.desk_events import DeskEvent
from domain.desk_roles import Role
from domain.desk_users import DeskUser, RoleGrant
from records.desk_events import DeskEvents
from records.transaction import Transaction

GRANTS = """
coalesce((select jsonb_agg(jsonb_build_array(r.role, coalesce(r.seller_id, ''))) from desk_user_roles r
           where r.user_id = u.id), '[]') as grants
"""

_MAX_USER_AGENT = 300  # characters; enough to recognise a browser

_INSERT = """
with expired as (delete from desk_sessions where expires_at < now())
insert into desk_sessions (id, hash, user_id, expires_at, user_agent, network, by_provider)
values (:id, :hash, :user_id, now() + make_interval(secs => :seconds), :user_agent, :network, :by_provider)
"""

_USE_NOT_RECORDED = "s.last_seen_at < now() - interval '1 minute'"

_SELECT_BY_HASH = f"""
select s.id, s.by_provider, u.id as user_id, u.email, u.name, u.must_change_password, u.totp_seed is not null as has_totp,
       {GRANTS}, {_USE_NOT_RECORDED} as use_not_recorded
  from desk_sessions s join desk_users u on u.id = s.user_id and u.removed_at is null
 where s.hash = :hash and s.expires_at > now() and s.last_seen_at > now() - make_interval(secs => :idle_seconds)
"""

_RECORD_USE = f"""
update desk_sessions s set last_seen_at = now()
 where s.id = (select id from desk_sessions s where id = :id and {_USE_NOT_RECORDED} for no key update skip locked)
"""
"""The use of a session is recorded at most once a minute, so that a page seldom writes to the database."""

_SELECT_BY_USER = """
select id, created_at, last_seen_at, expires_at, user_agent, network from desk_sessions
 where user_id = :user_id and expires_at > now() and last_seen_at > now() - make_interval(secs => :idle_seconds)
 order by last_seen_at desc, id
"""

_END = "delete from desk_sessions where id = :id and user_id = :user_id returning id"

_END_ALL = """
delete from desk_sessions where user_id = :user_id and id is distinct from cast(:keep as uuid) returning id
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that a cookie opened, with its user."""

    id: UUID
    user: DeskUser
    must_change_password: bool
    has_totp: bool
    by_provider: bool
    """True if an OpenID provider signed the user in. The provider then decides about a second factor."""


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session in the list of a user's sessions."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    user_agent: str
    network: str


class DeskSessions:
    """The table ``desk_sessions``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work
        self._events = DeskEvents(work)

    def create(
        self, user: UUID, *, seconds: float, user_agent: str, network: str, by_provider: bool = False
    ) -> tuple[UUID, str]:
        """Create a session that ends after ``seconds``. Return its id and its token. Only the hash of the token is stored."""
        id_, token = uuid4(), secrets.token_urlsafe(32)
        self._work.run(
            _INSERT,
            id=id_,
            hash=_hash(token),
            user_id=user,
            seconds=seconds,
            user_agent=user_agent[:_MAX_USER_AGENT],
            network=network,
            by_provider=by_provider,
        )
        return id_, token

    def open(self, token: str, *, idle_seconds: float) -> Session | None:
        """Return the session with this token, and record its use. Return None if the session has ended or was idle too long."""
        row = self._work.run(_SELECT_BY_HASH, hash=_hash(token), idle_seconds=idle_seconds).one_or_none()
        if row is None:
            return None
        if row.use_not_recorded:
            self._work.run(_RECORD_USE, id=row.id)
        return Session(row.id, user_of(row), row.must_change_password, row.has_totp, row.by_provider)

    def for_user(self, user: UUID, *, idle_seconds: float) -> list[ListedSession]:
        """Return the open sessions of a user, the most recently used first."""
        return [ListedSession(*row) for row in self._work.run(_SELECT_BY_USER, user_id=user, idle_seconds=idle_seconds)]

    def end(self, session: UUID, user: UUID, *, event: DeskEvent, actor: UUID | None) -> bool:
        """End one session of a user. Return False if the user has no such session."""
        is_ended = self._work.run(_END, id=session, user_id=user).one_or_none() is not None
        if is_ended:
            self._events.record(event, actor=actor, user=user, evidence={"session": str(session)})
        return is_ended

    def end_all(self, user: UUID, *, actor: UUID | None, keep: UUID | None = None) -> int:
        """End the sessions of a user, except the session ``keep``. Return the number of ended sessions."""
        ended = self._work.run(_END_ALL, user_id=user, keep=keep).all()
        for row in ended:
            self._events.record(DeskEvent.SESSION_ENDED, actor=actor, user=user, evidence={"session": str(row.id)})
        return len(ended)


def user_of(row: Row[*tuple[Any, ...]]) -> DeskUser:
    """Return the user from a row with the columns user_id, email, name and GRANTS.

    A role that only a later version of Moneyback knows is left out.
    """
    known = frozenset(Role)
    grants = frozenset(RoleGrant(Role(role), seller) for role, seller in row.grants if role in known)
    return DeskUser(row.user_id, row.email, row.name, grants)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()  # 256 random bits need neither a salt nor a slow hash

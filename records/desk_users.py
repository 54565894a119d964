"""Store the users of the desk: passwords, roles, invitations, and the second factor. Each change records an event."""

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from domain.desk_events import DeskEvent
from domain.desk_users import DeskUser, RoleGrant
from domain.purchases import email_key
from records.desk_events import DeskEvents
from records.desk_sessions import GRANTS, DeskSessions, user_of
from records.transaction import Transaction

_INSERT = """
insert into desk_users (id, email, email_key, name, password_hash, must_change_password)
values (:id, :email, :email_key, :name, cast(:password_hash as text), cast(:password_hash as text) is not null)
on conflict (email_key) where removed_at is null do nothing returning id
"""

_SELECT = f"""
select u.id as user_id, u.email, u.name, {GRANTS}, u.created_at, u.password_hash is not null as has_password,
       u.totp_seed is not null as has_totp, u.invitation_expires_at,
       (select max(e.created_at) from desk_events e where e.user_id = u.id and e.event = 'signed_in') as signed_in_at
  from desk_users u where u.removed_at is null
"""

_SELECT_ALL = f"{_SELECT} order by u.email_key"
_SELECT_BY_EMAIL = f"{_SELECT} and u.email_key = :email_key"
_SELECT_BY_ID = f"{_SELECT} and u.id = :id"

_SELECT_NAMES = "select id, name from desk_users where id = any(:ids)"

_SELECT_CREDENTIALS = """
select id, password_hash, totp_seed from desk_users where email_key = :email_key and removed_at is null
"""

_LOCK_CREDENTIALS = f"{_SELECT_CREDENTIALS} for no key update"

_LOCK = "select id from desk_users where id = :id and removed_at is null for no key update"

_DELETE_ROLES = "delete from desk_user_roles where user_id = :user_id"

_INSERT_ROLES = """
insert into desk_user_roles (user_id, role, seller_id)
select :user_id, role, nullif(seller_id, '')
  from unnest(cast(:roles as text[]), cast(:seller_ids as text[])) as g(role, seller_id)
"""

_INVITE = """
update desk_users
   set invitation_hash = :hash, invitation_expires_at = now() + make_interval(secs => :seconds)
 where id = :id and removed_at is null
"""

_SELECT_INVITED = """
select id, email, name from desk_users
 where invitation_hash = :hash and invitation_expires_at > now() and removed_at is null
"""

_ACCEPT = """
update desk_users
   set password_hash = :password_hash, must_change_password = false, totp_seed = null, totp_last_step = 0,
       invitation_hash = null, invitation_expires_at = null
 where invitation_hash = :hash and invitation_expires_at > now() and removed_at is null returning id
"""
"""Accepting an invitation also removes the second factor, because a user who lost it gets an invitation, too."""

_CHANGE_HASH = """
update desk_users set password_hash = :password_hash, must_change_password = false where id = :id
"""

_REPLACE_HASH = "update desk_users set password_hash = :new where id = :id and password_hash = :old"

_REMOVE = """
update desk_users set removed_at = now(), password_hash = null, totp_seed = null, invitation_hash = null,
                      invitation_expires_at = null
 where id = :id and removed_at is null
"""

_SET_TOTP = "update desk_users set totp_seed = :seed, totp_last_step = :step where id = :id"

_REMOVE_TOTP = "update desk_users set totp_seed = null where id = :id and totp_seed is not null returning id"

_USE_STEP = "update desk_users set totp_last_step = :step where id = :id and totp_last_step < :step returning id"
"""A code of a time step that was used, or that is older, is refused, because a stranger may have seen the code."""

_DELETE_CODES = "delete from desk_recovery_codes where user_id = :user_id"

_INSERT_CODES = """
insert into desk_recovery_codes (user_id, hash) select :user_id, hash from unnest(cast(:hashes as bytea[])) as c(hash)
"""

_USE_CODE = "delete from desk_recovery_codes where user_id = :user_id and hash = :hash returning hash"

_COUNT_CODES = "select count(*) from desk_recovery_codes where user_id = :user_id"

_CAN_SIGN_IN = """
select exists (select from desk_users where removed_at is null and (password_hash is not null or :with_provider))
"""


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user in the list of users."""

    user: DeskUser
    created_at: datetime
    has_password: bool
    has_totp: bool
    invitation_expires_at: datetime | None
    signed_in_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against."""

    user: UUID
    password_hash: str | None
    totp_seed: bytes | None


class DeskUsers:
    """The tables ``desk_users``, ``desk_user_roles`` and ``desk_recovery_codes``.

    ``actor`` is the user who makes a change, or None for the command line. A changed password, a changed role and a new second
    factor end the user's sessions, except the session ``keep``.
    """

    def __init__(self, work: Transaction) -> None:
        self._work = work
        self._events, self._sessions = DeskEvents(work), DeskSessions(work)

    def add(
        self,
        email: str,
        name: str,
        grants: Collection[RoleGrant],
        *,
        actor: UUID | None,
        password_hash: str | None = None,
    ) -> UUID | None:
        """Add a user. A password must be changed at the first sign-in. Return None if a user has this address."""
        added = self._work.run(
            _INSERT, id=uuid4(), email=email, email_key=email_key(email), name=name, password_hash=password_hash
        ).one_or_none()
        if added is None:
            return None
        user: UUID = added.id
        self._insert_grants(user, grants)
        evidence = {"email": email, "roles": _described(grants)}
        self._events.record(DeskEvent.USER_ADDED, actor=actor, user=user, evidence=evidence)
        return user

    def invite(self, user: UUID, *, seconds: float, actor: UUID | None) -> str:
        """Return the token of an invitation, with which the user sets a password. An earlier invitation ends."""
        token = secrets.token_urlsafe(32)
        self._work.run(_INVITE, id=user, hash=_hash(token), seconds=seconds)
        self._events.record(DeskEvent.USER_INVITED, actor=actor, user=user)
        return token

    def invited(self, token: str) -> tuple[str, str] | None:
        """Return the address and the name of the user with this invitation, or None if the invitation is not valid."""
        row = self._work.run(_SELECT_INVITED, hash=_hash(token)).one_or_none()
        return None if row is None else (row.email, row.name)

    def accept_invitation(self, token: str, password_hash: str) -> UUID | None:
        """Set the password of the invited user, remove the second factor, and end the sessions of the user."""
        row = self._work.run(_ACCEPT, hash=_hash(token), password_hash=password_hash).one_or_none()
        if row is None:
            return None
        user: UUID = row.id
        self._work.run(_DELETE_CODES, user_id=user)
        self._sessions.end_all(user, actor=user)
        self._events.record(DeskEvent.INVITATION_ACCEPTED, actor=user, user=user)
        return user

    def list_all(self) -> list[ListedUser]:
        """Return all users in the order of their addresses, without removed users."""
        return [ListedUser(user_of(row), *row[4:]) for row in self._work.run(_SELECT_ALL)]

    def names(self, users: Collection[UUID]) -> dict[UUID, str]:
        """Return the names of these users. A removed user keeps the name."""
        return {row.id: row.name for row in self._work.run(_SELECT_NAMES, ids=list(users))} if users else {}

    def find(self, email: str) -> ListedUser | None:
        """Return the user with this address."""
        row = self._work.run(_SELECT_BY_EMAIL, email_key=email_key(email)).one_or_none()
        return None if row is None else ListedUser(user_of(row), *row[4:])

    def get(self, user: UUID) -> ListedUser | None:
        """Return the user with this id."""
        row = self._work.run(_SELECT_BY_ID, id=user).one_or_none()
        return None if row is None else ListedUser(user_of(row), *row[4:])

    def lock(self, user: UUID) -> DeskUser | None:
        """Return the user with this id, whose roles no other transaction changes until the commit."""
        if self._work.run(_LOCK, id=user).one_or_none() is None:
            return None
        listed = self.get(user)
        return None if listed is None else listed.user

    def credentials(self, email: str, *, lock: bool = False) -> Credentials | None:
        """Return the credentials of the user with this address. ``lock`` keeps them unchanged until the commit."""
        statement = _LOCK_CREDENTIALS if lock else _SELECT_CREDENTIALS
        row = self._work.run(statement, email_key=email_key(email)).one_or_none()
        return None if row is None else Credentials(*row)

    def set_grants(self, user: UUID, grants: Collection[RoleGrant], *, actor: UUID | None) -> None:
        """Replace all roles of a locked user, and end the sessions of the user."""
        self._work.run(_DELETE_ROLES, user_id=user)
        self._insert_grants(user, grants)
        self._events.record(DeskEvent.ROLES_CHANGED, actor=actor, user=user, evidence={"roles": _described(grants)})
        self._sessions.end_all(user, actor=actor)

    def remove(self, user: UUID, *, actor: UUID | None) -> None:
        """Remove a user. The row stays, because events name the user."""
        self._work.run(_DELETE_CODES, user_id=user)
        self._work.run(_DELETE_ROLES, user_id=user)
        self._work.run(_REMOVE, id=user)
        self._sessions.end_all(user, actor=actor)
        self._events.record(DeskEvent.USER_REMOVED, actor=actor, user=user)

    def set_password(self, user: UUID, password_hash: str, *, keep: UUID | None) -> None:
        """Set the password that the user chose, and end the other sessions of the user."""
        self._work.run(_CHANGE_HASH, id=user, password_hash=password_hash)
        self._events.record(DeskEvent.PASSWORD_CHANGED, actor=user, user=user)
        self._sessions.end_all(user, actor=user, keep=keep)

    def replace_hash(self, user: UUID, old: str, new: str) -> None:
        """Replace the hash of an unchanged password, because the parameters of the hash have changed."""
        self._work.run(_REPLACE_HASH, id=user, old=old, new=new)

    def set_totp(self, user: UUID, seed: bytes, step: int, codes: Sequence[str], *, keep: UUID | None) -> None:
        """Set the second factor and its recovery codes. ``step`` is the time step of the first code, which ends with it."""
        self._work.run(_SET_TOTP, id=user, seed=seed, step=step)
        self._work.run(_DELETE_CODES, user_id=user)
        self._work.run(_INSERT_CODES, user_id=user, hashes=[_hash(code) for code in codes])
        self._events.record(DeskEvent.TOTP_SET, actor=user, user=user)
        self._sessions.end_all(user, actor=user, keep=keep)

    def remove_totp(self, user: UUID) -> None:
        """Remove the second factor and its recovery codes."""
        self._work.run(_DELETE_CODES, user_id=user)
        if self._work.run(_REMOVE_TOTP, id=user).one_or_none():
            self._events.record(DeskEvent.TOTP_REMOVED, actor=user, user=user)

    def use_totp_step(self, user: UUID, step: int) -> bool:
        """Use a time step of the second factor. Return False if this step, or a later step, was used before."""
        return self._work.run(_USE_STEP, id=user, step=step).one_or_none() is not None

    def use_recovery_code(self, user: UUID, code: str) -> bool:
        """Use a recovery code, which ends with it. Return False if the user has no such code."""
        if self._work.run(_USE_CODE, user_id=user, hash=_hash(code)).one_or_none() is None:
            return False
        self._events.record(
            DeskEvent.RECOVERY_CODE_USED, actor=user, user=user, evidence={"left": self.recovery_codes_left(user)}
        )
        return True

    def recovery_codes_left(self, user: UUID) -> int:
        """Return the number of recovery codes that the user has not used."""
        return int(self._work.run(_COUNT_CODES, user_id=user).scalar_one())

    def any_can_sign_in(self, *, with_provider: bool) -> bool:
        """Return whether a user can sign in. ``with_provider`` says that an OpenID provider signs users in, too."""
        return bool(self._work.run(_CAN_SIGN_IN, with_provider=with_provider).scalar_one())

    def _insert_grants(self, user: UUID, grants: Iterable[RoleGrant]) -> None:
        ordered = sorted(set(grants))
        self._work.run(
            _INSERT_ROLES,
            user_id=user,
            roles=[grant.role for grant in ordered],
            seller_ids=[grant.seller_id for grant in ordered],
        )


def _described(grants: Iterable[RoleGrant]) -> list[str]:
    return [f"{grant.role} of {grant.seller_id or 'all sellers'}" for grant in sorted(set(grants))]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()  # tokens and recovery codes have at least 80 random bits

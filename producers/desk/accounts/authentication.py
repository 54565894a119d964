"""Check passwords and codes, delay attempts after failures, and open sessions.

An attempt takes three steps: the attempt is counted and committed, the password is hashed without an open transaction, and
the result is recorded. Known and unknown addresses take the same steps and get the same answer.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from starlette.requests import Request

from config.settings import Settings
from domain.desk_events import DeskEvent
from domain.purchases import email_key
from producers.desk.accounts import passwords
from producers.desk.accounts.totp import Totp, as_recovery_code, new_seed
from producers.web.client_network import client_network
from records import Records, UnitOfWork
from records.desk_users import Credentials

FREE_FAILURES_OF_USER: Final = 4  # a user who mistypes a password four times waits for nothing
FREE_FAILURES_OF_NETWORK: Final = 30  # the users of an office share a network

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    network: str
    user_agent: str

    @classmethod
    def of(cls, request: Request) -> "Origin":
        """Return the origin of a request."""
        network = client_network(request, request.app.state.settings.trusted_proxies)
        return cls(network, request.headers.get("user-agent", ""))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The sign-in succeeded. ``token`` opens the new session."""

    token: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The address, the password or the code is wrong. The answer does not say which."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """Nothing was checked, because earlier attempts failed. The next attempt is possible after ``seconds``."""

    seconds: int


class Authenticator:
    """Signs the users of the desk in."""

    def __init__(self, records: Records, settings: Settings) -> None:
        self._records, self._settings = records, settings.desk
        secret_key = settings.secret_key.get_secret_value()
        self._secret = hashlib.sha256(f"moneyback desk delays {secret_key}".encode()).digest()
        self._totp = Totp(secret_key)
        passwords.warm()

    def sign_in(
        self, email: str, password: str, code: str, origin: Origin, *, replaces: str = ""
    ) -> SignedIn | Refused | Delayed:
        """Open a session if the password and the code are right. The session with the token ``replaces`` ends.

        A user without a second factor needs no code.
        """
        user_keys, network_keys = self._keys(email, origin)
        if seconds := self._acquire(user_keys, network_keys):
            return Delayed(seconds)
        with self._records.work() as work:
            credentials = work.desk_users.credentials(email)
        is_password_right = passwords.verify(credentials.password_hash if credentials else None, password)
        step = self._totp.matching_step((credentials and credentials.totp_seed) or new_seed(), code, time.time())
        with self._records.work() as work:
            why = _failure(work, email, credentials, code, step) if is_password_right else "wrong_password"
            if credentials is None or why:
                user = credentials.user if credentials else None
                evidence = {"why": why if user else "unknown_user", "network": origin.network}
                work.desk_events.record(DeskEvent.SIGN_IN_FAILED, actor=None, user=user, evidence=evidence)
                return Refused()
            work.sign_in_delays.clear(user_keys)
            work.sign_in_delays.uncount(network_keys)
            token = self.open_session(work, credentials.user, origin, replaces=replaces)
        self._rehash(credentials, password)
        return SignedIn(token)

    def open_session(
        self, work: UnitOfWork, user: UUID, origin: Origin, *, replaces: str = "", by_provider: bool = False
    ) -> str:
        """Open a session with a new token, and end the earlier session of this browser. Return the token."""
        earlier = work.desk_sessions.open(replaces, idle_seconds=self._settings.session_idle_seconds)
        if earlier:
            work.desk_sessions.end(earlier.id, earlier.user.id, event=DeskEvent.SESSION_ENDED, actor=user)
        session, token = work.desk_sessions.create(
            user,
            seconds=self._settings.session_seconds,
            user_agent=origin.user_agent,
            network=origin.network,
            by_provider=by_provider,
        )
        evidence = {"network": origin.network, "session": str(session), "by_provider": by_provider}
        work.desk_events.record(DeskEvent.SIGNED_IN, actor=user, user=user, evidence=evidence)
        return token

    def check_password(self, email: str, password: str, origin: Origin) -> Refused | Delayed | None:
        """Check the password of a signed-in user before a change. Return None if the password is right."""
        user_keys, network_keys = self._keys(email, origin)
        if seconds := self._acquire(user_keys, network_keys):
            return Delayed(seconds)
        with self._records.work() as work:
            credentials = work.desk_users.credentials(email)
        if not passwords.verify(credentials.password_hash if credentials else None, password) or credentials is None:
            return Refused()
        with self._records.work() as work:
            work.sign_in_delays.clear(user_keys)
            work.sign_in_delays.uncount(network_keys)
        return None

    def _acquire(self, user_keys: list[bytes], network_keys: list[bytes]) -> int:
        counted = dict.fromkeys(user_keys, FREE_FAILURES_OF_USER)
        counted |= dict.fromkeys(network_keys, FREE_FAILURES_OF_NETWORK)
        with self._records.work() as work:
            seconds = work.sign_in_delays.acquire(counted)
        if seconds:
            _log.warning("desk_sign_in_delayed", seconds=seconds)
        return seconds

    def _keys(self, email: str, origin: Origin) -> tuple[list[bytes], list[bytes]]:
        """Return the keys of the counts of the user, and of the network.

        A network from which the user has signed in has its own count. So a stranger in another network delays only strangers,
        and cannot keep the user out.
        """
        address = email_key(email)
        with self._records.work() as work:
            is_known = work.desk_events.knows_network(address, origin.network)
        user = f"user\n{address}\n{origin.network if is_known else ''}"
        return [self._hash(user)], [self._hash(f"network\n{origin.network}")]

    def _hash(self, value: str) -> bytes:
        return hmac.new(self._secret, value.encode(), hashlib.sha256).digest()

    def _rehash(self, credentials: Credentials, password: str) -> None:
        old = credentials.password_hash
        if old and passwords.needs_rehash(old):
            new = passwords.hash_password(password)
            with self._records.work() as work:
                work.desk_users.replace_hash(credentials.user, old, new)


def _failure(work: UnitOfWork, email: str, checked: Credentials | None, code: str, step: int | None) -> str:
    """Return why a user with the right password may not sign in, or an empty text. A code ends with its use."""
    current = work.desk_users.credentials(email, lock=True)
    if current is None or current != checked:
        return "changed_meanwhile"
    if current.totp_seed is None:
        return ""
    if step is not None and work.desk_users.use_totp_step(current.user, step):
        return ""
    return "" if work.desk_users.use_recovery_code(current.user, as_recovery_code(code)) else "wrong_code"

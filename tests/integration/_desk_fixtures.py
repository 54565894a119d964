"""Fixtures for tests of the desk: a running desk, and clients that are signed in with a role."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from uuid import UUID

import httpx
import pytest

from config.settings import Settings
from console.desk import create_desk
from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from producers.desk.accounts.passwords import hash_password
from records import Records
from tests.integration._web_fixtures import serve
from tests.sample_data import a_policy, a_seller, store_seller_and_purchases

PASSWORD = "correct horse battery staple"


@cache
def password_hash() -> str:
    """Return the hash of PASSWORD, which takes 50 ms."""
    return hash_password(PASSWORD)


@pytest.fixture
def desk(settings: Settings, records: Records) -> Iterator["Desk"]:
    """Yield a running desk with the sellers aurora and babbage, and without users. No role needs a second factor."""
    with running_desk(settings, records, totp_required=False) as desk:
        yield desk


@contextmanager
def running_desk(settings: Settings, records: Records, **desk_settings: object) -> Iterator["Desk"]:
    """Run a desk with these settings of the desk."""
    settings = settings.model_copy(update={"desk": settings.desk.model_copy(update=desk_settings)})
    store_seller_and_purchases(records)
    store_seller_and_purchases(records, seller=a_seller(id="babbage"), policy=a_policy(seller_id="babbage"))
    with serve(create_desk(settings)) as web, ExitStack() as clients:
        yield Desk(settings, records, web, clients)


@dataclass
class Desk:
    """A running desk. `web` is an HTTP client without a session."""

    settings: Settings
    records: Records
    web: httpx.Client
    clients: ExitStack
    """Closes the clients at the end of the test."""

    def client(self) -> httpx.Client:
        """Return a new client of the desk. Like a browser, the client sends the origin of the desk's own forms."""
        url = self.web.base_url
        headers = {"origin": f"{url.scheme}://{url.netloc.decode()}"}
        return self.clients.enter_context(httpx.Client(base_url=url, headers=headers, timeout=30))

    def add_user(self, email: str, *grants: RoleGrant, name: str = "", password: bool = False) -> UUID:
        """Add a user. With `password`, the user has the password PASSWORD, which need not be changed."""
        with self.records.work() as work:
            user = work.desk_users.add(email, name or email.partition("@")[0], grants, actor=None)
            assert user, f"A user has the address {email}."
            if password:
                work.desk_users.set_password(user, password_hash(), keep=None)
        return user

    def sign_in(self, role: Role | None = Role.AGENT, seller: str = "", *, email: str = "") -> httpx.Client:
        """Add a user with this role for a seller, or for all sellers, and return a client with a session of this user.

        Without a role, the user has no right. The session is stored without a password, because hashing takes time.
        """
        email = email or f"{role or 'nobody'}.{seller or 'all'}@desk.example"
        return self.client_of(self.add_user(email, *([RoleGrant(role, seller)] if role else [])))

    def client_of(self, user: UUID) -> httpx.Client:
        """Return a client with a new session of this user."""
        with self.records.work() as work:
            seconds = self.settings.desk.session_seconds
            _, token = work.desk_sessions.create(user, seconds=seconds, user_agent="a browser", network="192.0.2.0/24")
        client = self.client()
        client.cookies.set("moneyback-desk", token, domain=client.base_url.host)
        return client

    def sign_in_as(self, email: str, password: str = PASSWORD, code: str = "") -> httpx.Client:
        """Sign in by the form as a user with a password, and return the client."""
        client = self.client()
        response = client.post("/sign-in", data={"email": email, "password": password, "code": code})
        assert response.status_code == 303, response.text
        return client

    def events(self) -> list[tuple[str, str | None, str | None]]:
        """Return (event, actor, user) of all events, the oldest first."""
        with self.records.work() as work:
            return [(row.event, row.actor, row.user) for row in reversed(work.desk_events.newest(limit=1_000))]

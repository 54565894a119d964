"""What the web's tests start from: a migrated database of its own, a cast, and cases in every state."""

import hashlib
import mailbox
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from config.links import Links, Purpose
from config.settings import Settings
from domain.cases import Evidence
from domain.findings import Code
from domain.policies import Category, Seller
from domain.purchases import Dispute, Method, Purchase
from domain.reasons import Reason
from domain.requests import Channel, RefundRequest
from domain.states import BEGIN, MOVES, Event, State
from producers import intake
from producers.web.app import app
from records import Records, schema

_numbers = count(1)


@pytest.fixture(scope="session")
def template() -> Iterator[tuple[Engine, str]]:
    """A migrated database to clone. MONEYBACK_TEST_SERVER names a server and somebody who may make databases."""
    server = os.environ.get("MONEYBACK_TEST_SERVER")
    assert server, "Set MONEYBACK_TEST_SERVER to postgresql://postgres@/postgres?host=<folder of the server's socket>."
    admin = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    name = f"web_{uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} owner moneyback_owner"))
    owner = create_engine(admin.url.set(database=name, username="moneyback_owner"), poolclass=NullPool)
    schema.migrate(owner)
    yield admin, name
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))


@pytest.fixture
def settings(template: tuple[Engine, str], tmp_path: Path) -> Iterator[Settings]:
    """Settings that name a fresh database."""
    admin, original = template
    name = f"web_{uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template {original} owner moneyback_owner"))
    url = admin.url.set(drivername="postgresql", database=name, username="moneyback")
    yield Settings(
        database_url=SecretStr(url.render_as_string(hide_password=False)),
        broker_url=SecretStr("redis://nobody.invalid"),
        secret_key=SecretStr("a secret for tests, long enough to sign"),
        public_url="http://testserver",
        outbox_dir=tmp_path / "outbox",
    )
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """Records on a fresh database."""
    records = Records.of(settings)
    yield records
    records.engine.dispose()


@contextmanager
def served(application: FastAPI) -> Iterator[httpx.Client]:
    """The application behind a real server on a free port, as a browser or a seller's program meets it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, server_header=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def world(settings: Settings, records: Records) -> Iterator["World"]:
    """Two sellers with their keys, and the web."""
    with records.work() as work:
        for id_ in ("analytical", "babbage"):
            work.sellers.put(a_seller(id_))
            work.sellers.new_policy(id_, Category.NO_RESTRICTIONS, in_force_from=datetime(2020, 1, 1, tzinfo=UTC))
        keys = [work.sellers.new_key(id_) for id_ in ("analytical", "babbage")]
    with served(app(settings)) as web:
        yield World(settings, records, web, *keys)


@dataclass
class World:
    """A web on a database of its own, and what a test may ask of both."""

    settings: Settings
    records: Records
    web: httpx.Client
    key: str
    other_key: str

    @property
    def links(self) -> Links:
        return Links.of(self.settings)

    def path(self, purpose: Purpose, case: UUID) -> str:
        return self.links.to(purpose, case).removeprefix("http://testserver")

    def rows(self) -> int:
        with self.records.work() as work:
            return sum(work.cases.counts().values())

    def state(self, case: UUID) -> State:
        with self.records.work() as work:
            view = work.cases.view(case)
        assert view
        return view.state

    def fingerprint(self) -> str:
        """A hash over every table that a page could change."""
        tables = ("cases", "transitions", "outbox", "letters", "support_tasks", "purchases", "operations")
        with self.records.work() as work:
            rows = [
                [str(row) for row in work.run(f"select t.* from {table} t order by t::text")] for table in tables
            ]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def bearer(self, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", **more}


def a_seller(id_: str = "analytical", **changes: Any) -> Seller:
    facts: dict[str, Any] = {
        "id": id_,
        "name": "Analytical Engines Ltd",
        "time_zone": ZoneInfo("Europe/London"),
        "support_email": f"support@{id_}.example",
    }
    return Seller(**facts | changes)


def a_purchase(**changes: Any) -> Purchase:
    number = next(_numbers)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    facts: dict[str, Any] = {
        "id": uuid4(),
        "seller": "analytical",
        "reference": f"MB-2026-{number:04}",
        "email": "ada@example.com",
        "product": "Difference Engine Pro",
        "amount": 4900,
        "currency": "EUR",
        "method": Method.CREDIT_CARD,
        "provider": "sandbox",
        "charge": f"ch_{number}",
        "purchased_at": yesterday,
        "charged_at": yesterday,
        "dispute": Dispute.NONE,
    }
    return Purchase(**facts | changes)


def the_way_to(state: State) -> list[Event]:
    """The shortest way from received to this state."""
    ways: dict[State, list[Event]] = {BEGIN[1]: []}
    while state not in ways:
        ways |= {
            there: [*ways[here], event]
            for (here, event), there in MOVES.items()
            if here in ways and there not in ways
        }
    return ways[state]


REASONS = [
    {"code": code.value, "sentence": code.support, "detail": ""} for code in (Code.OUTSIDE_WINDOW, Code.SERIAL_REFUNDS)
]


def a_case(
    records: Records, state: State = State.RECEIVED, *, purchase: Purchase | None = None, evidence: Evidence | None = None
) -> UUID:
    """A case that went the shortest way to this state."""
    bought = purchase or a_purchase()
    request = RefundRequest(email=bought.email, reference=bought.reference, reason=Reason.UNWANTED_RENEWAL)
    case = intake.accept_one(records, intake.arrival(request, Channel.WEB)).id
    with records.work() as work:
        work.purchases.put([bought])
        here = State.RECEIVED
        for event in the_way_to(state):
            found = "reasons" if MOVES[here, event] is State.WITH_SUPPORT else None
            step = work.cases.lock([case], here=here)[0].after(
                event, actor="test", evidence=evidence or ({found: REASONS} if found else {})
            )
            if here is State.RECEIVED and event is not Event.FOUND_NO_PURCHASE:
                holds = event is not Event.FOUND_LIVE_CASE
                step = replace(step, purchase=bought.id if holds else None, seller=bought.seller)
            assert work.history.record([step]) == {case}
            # a case that is being paid stays leased to its worker; here nobody works
            work.run("update cases set lease_until = 'epoch' where id = :case", case=case)
            here = step.there
    return case


def a_letter(folder: Path, subject: str, body: str) -> None:
    """A letter in the outbox, as the carrier leaves it there."""
    message = EmailMessage()
    message["Subject"], message["To"], message["From"] = subject, "ada@example.com", "refunds@moneyback.example"
    message.set_content(body)
    mailbox.Maildir(folder, create=True).add(message.as_bytes())

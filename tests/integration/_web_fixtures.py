"""What the web's tests start from: a server, two sellers with their keys, and cases in every state."""

import hashlib
import mailbox
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from config.settings import Settings
from config.signed_links import Links, Purpose
from console.servers import Servers
from domain.cases import Evidence
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.requests import Channel
from domain.states import INITIAL, MOVES, Event, State
from producers import intake
from producers.web.app import app
from records import Records
from tests.sample_data import a_policy, a_recent_purchase, a_request, a_seller, settle_in
from tests.services import emptied, fresh_database, settings_of


@contextmanager
def served(application: FastAPI, door: socket.socket | None = None) -> Iterator[httpx.Client]:
    """The application behind a real server on a free port, as a browser or a seller's program meets it; or at this door."""
    with door or socket.socket() as listener:
        if door is None:
            listener.bind(("127.0.0.1", 0))
        listener.listen()  # from here on nobody is turned away, only kept waiting
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, server_header=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def place(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Place"]:
    """One web on a database of its own, for all tests of this process."""
    with fresh_database(servers) as database:
        settings = settings_of(servers, database, tmp_path_factory.mktemp("web"))
        records = Records.of(settings)
        with served(app(settings)) as web:
            yield Place(servers, database, settings, records, web)
        records.engine.dispose()


@pytest.fixture
def world(place: "Place") -> "World":
    """The web before its first visitor: nothing is there but two sellers with their keys."""
    emptied(place.servers, place.database)
    for letter in (place.settings.sent_mail_dir or Path()).glob("*/*"):
        letter.unlink()
    settle_in(place.records)
    settle_in(place.records, seller=a_seller(id="babbage"), policy=a_policy(seller_id="babbage"))
    with place.records.work() as work:
        keys = [work.api_keys.create(id_)[1] for id_ in ("aurora", "babbage")]
    return World(place.settings, place.records, place.web, *keys)


class Place(NamedTuple):
    """A web, and what it stands on."""

    servers: Servers
    database: str
    settings: Settings
    records: Records
    web: httpx.Client


@dataclass
class World:
    """A web on an emptied database, and what a test may ask of both."""

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
            return sum(work.case_views.counts().values())

    def state(self, case: UUID) -> State:
        with self.records.work() as work:
            view = work.case_views.get(case)
        assert view
        return view.state

    def fingerprint(self) -> str:
        """A hash over every table that a page could change."""
        tables = ("cases", "transitions", "outbox", "case_emails", "support_tasks", "purchases", "refund_operations")
        with self.records.work() as work:
            rows = [[str(row) for row in work.run(f"select t.* from {table} t order by t::text")] for table in tables]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def bearer(self, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", **more}


def the_way_to(state: State) -> list[Event]:
    """The shortest way from received to this state; of several, the one that stands first in the table."""
    ways: dict[State, list[Event]] = {INITIAL[1]: []}
    while state not in ways:
        ways |= {
            there: [*ways[here], event]
            for (here, event), there in reversed(MOVES.items())
            if here in ways and there not in ways
        }
    return ways[state]


REASONS = [
    {"code": code.value, "sentence": code.support, "detail": ""}
    for code in (ReasonCode.OUTSIDE_WINDOW, ReasonCode.SERIAL_REFUNDS)
]


def a_case(
    records: Records,
    state: State = State.RECEIVED,
    *,
    purchase: Purchase | None = None,
    evidence: Evidence | None = None,
) -> UUID:
    """A case that went the shortest way to this state."""
    bought = purchase or a_recent_purchase()
    case = intake.accept_one(records, intake.submission(a_request(bought), Channel.WEB)).id
    with records.work() as work:
        work.purchases.upsert([bought])
        here = State.RECEIVED
        for event in the_way_to(state):
            found = "reasons" if MOVES[here, event] is State.WITH_SUPPORT else None
            step = work.cases.lock([case], state=here)[0].after(
                event, actor="test", evidence=evidence or ({found: REASONS} if found else {})
            )
            if here is State.RECEIVED and event is not Event.FOUND_NO_PURCHASE:
                holds = event is not Event.FOUND_OPEN_CASE
                step = replace(step, purchase_id=bought.id if holds else None, seller_id=bought.seller_id)
            assert work.history.record([step]) == {case}
            # a case that is being paid stays leased to its worker; here nobody works
            work.run("update cases set lease_until = 'epoch' where id = :case", case=case)
            here = step.to_state
    return case


Happened = tuple[State, Event, Evidence]
"""From this state, by this event, with this to show for it."""


def goes_on(records: Records, case: UUID, *steps: Happened) -> UUID:
    """The case, after these steps as well."""
    for here, event, evidence in steps:
        with records.work() as work:
            step = work.cases.lock([case], state=here)[0].after(event, actor="test", evidence=evidence)
            assert work.history.record([replace(step, due_in=0.0)]) == {case}
            work.run("update cases set lease_until = 'epoch', not_before = 'epoch' where id = :case", case=case)
    return case


def a_letter(folder: Path, subject: str, body: str) -> None:
    """A letter in the outbox, as the carrier leaves it there."""
    message = EmailMessage()
    message["Subject"], message["To"], message["From"] = subject, "ada@example.com", "refunds@moneyback.example"
    message.set_content(body)
    mailbox.Maildir(folder, create=True).add(message.as_bytes())

"""Fixtures for tests of the web server: a running server, two sellers with their API keys, and cases in every state."""

import hashlib
import mailbox
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple
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
from records.purchase_reports import store_purchases
from tests.sample_data import a_policy, a_recent_purchase, a_request, a_seller, store_seller_and_purchases
from tests.services import create_settings, empty_database, fresh_database


@contextmanager
def serve(application: FastAPI, listener: socket.socket | None = None) -> Iterator[httpx.Client]:
    """Run a real HTTP server with the application, on `listener` or a free port, and yield a client of the server."""
    with listener or socket.socket() as listening:
        if listener is None:
            listening.bind(("127.0.0.1", 0))
        listening.listen()  # from now on no connection is refused; a connection waits until the server has started
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, server_header=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def web_server(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator["WebServer"]:
    """Yield a web server with its own database. All tests of this process share the server."""
    with fresh_database(servers) as database:
        settings = create_settings(servers, database, tmp_path_factory.mktemp("web"))
        records = Records.of(settings)
        with serve(app(settings)) as web:
            yield WebServer(servers, database, settings, records, web)
        records.engine.dispose()


@pytest.fixture
def site(web_server: "WebServer") -> "Site":
    """Return the shared web server with a database that contains only two sellers, their policies and API keys."""
    empty_database(web_server.servers, web_server.database)
    for email in (web_server.settings.sent_mail_dir or Path()).glob("*/*"):
        email.unlink()
    store_seller_and_purchases(web_server.records)
    store_seller_and_purchases(web_server.records, seller=a_seller(id="babbage"), policy=a_policy(seller_id="babbage"))
    with web_server.records.work() as work:
        api_keys = [work.api_keys.create(id_)[1] for id_ in ("aurora", "babbage")]
    return Site(web_server.settings, web_server.records, web_server.web, *api_keys)


class WebServer(NamedTuple):
    """A running web server, with its settings and its database. `web` is an HTTP client of the server."""

    servers: Servers
    database: str
    settings: Settings
    records: Records
    web: httpx.Client


@dataclass
class Site:
    """A web server whose database contains only two sellers, their policies and API keys.

    `web` is an HTTP client of the server. `api_key` belongs to the seller aurora, `other_api_key` to the seller babbage.
    """

    settings: Settings
    records: Records
    web: httpx.Client
    api_key: str
    other_api_key: str

    @property
    def links(self) -> Links:
        return Links.of(self.settings)

    def link_path(self, purpose: Purpose, case: UUID) -> str:
        """Return the path of a signed link to a case."""
        return self.links.to(purpose, case).removeprefix("http://testserver")

    def case_number(self, case: UUID) -> str:
        with self.records.work() as work:
            return work.case_views.numbers([case])[case]

    def count_cases(self) -> int:
        with self.records.work() as work:
            return sum(work.case_views.counts().values())

    def state(self, case: UUID) -> State:
        with self.records.work() as work:
            view = work.case_views.get(case)
        assert view
        return view.state

    def fingerprint(self) -> str:
        """Return a hash of all rows of the tables that a page could change."""
        tables = ("cases", "transitions", "outbox", "case_emails", "support_tasks", "purchases", "refund_operations")
        with self.records.work() as work:
            rows = [[str(row) for row in work.run(f"select t.* from {table} t order by t::text")] for table in tables]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def auth_headers(self, **more: str) -> dict[str, str]:
        """Return the headers of an API request with `api_key`."""
        return {"authorization": f"Bearer {self.api_key}", **more}


def shortest_path_to(state: State) -> list[Event]:
    """Return the shortest list of events that leads from RECEIVED to a state.

    If several lists are equally short, the order of the entries in `MOVES` decides.
    """
    paths: dict[State, list[Event]] = {INITIAL[1]: []}
    while state not in paths:
        paths |= {
            to_state: [*paths[from_state], event]
            for (from_state, event), to_state in reversed(MOVES.items())
            if from_state in paths and to_state not in paths
        }
    return paths[state]


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
    **request: Any,
) -> UUID:
    """Store a case and move it to a state by the shortest path. ``request`` are fields of the request. Return the case's id."""
    purchase = purchase or a_recent_purchase()
    case = intake.accept_one(records, intake.submission(a_request(purchase, **request), Channel.WEB)).id
    with records.work() as work:
        store_purchases(work, [purchase])
        from_state = State.RECEIVED
        for event in shortest_path_to(state):
            reasons = {"reasons": REASONS} if MOVES[from_state, event] is State.WITH_SUPPORT else {}
            transition = work.cases.lock([case], state=from_state)[0].after(
                event, actor="test", evidence=evidence or reasons
            )
            if from_state is State.RECEIVED and event is not Event.FOUND_NO_PURCHASE:
                is_first = event is not Event.FOUND_OPEN_CASE
                transition = replace(
                    transition, purchase_id=purchase.id if is_first else None, seller_id=purchase.seller_id
                )
            assert work.history.record([transition]) == {case}
            # the start of a refund leases the case to a worker; no worker runs in these tests, so end the lease
            work.run("update cases set lease_until = 'epoch' where id = :case", case=case)
            from_state = transition.to_state
    return case


Step = tuple[State, Event, Evidence]
"""A transition of a case: the state before it, its event, and its evidence."""


def record_steps(records: Records, case: UUID, *steps: Step) -> UUID:
    """Record transitions of a case, and return the id of the case."""
    for from_state, event, evidence in steps:
        with records.work() as work:
            transition = work.cases.lock([case], state=from_state)[0].after(event, actor="test", evidence=evidence)
            assert work.history.record([replace(transition, due_in=0.0)]) == {case}
            work.run("update cases set lease_until = 'epoch', not_before = 'epoch' where id = :case", case=case)
    return case


def store_email(folder: Path, subject: str, body: str) -> None:
    """Store an e-mail in the folder of sent e-mails, as the mail transport does."""
    message = EmailMessage()
    message["Subject"], message["To"], message["From"] = subject, "ada@example.com", "refunds@moneyback.example"
    message.set_content(body)
    mailbox.Maildir(folder, create=True).add(message.as_bytes())

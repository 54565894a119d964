"""The unit of work: one transaction is one breath. State, history and what follows from it, or none of it.

No call to a provider, a mail server or the broker is made inside one: decide, leave, call, come back and record.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config.settings import Settings, Timers
from records.api_keys import ApiKeys
from records.case_emails import CaseEmails
from records.case_views import CaseViews
from records.cases import Cases
from records.dead_letters import DeadLetters
from records.decision_inputs import DecisionInputs
from records.history import History
from records.idempotency import Idempotency
from records.inbound_mail import InboundMails
from records.inquiry_emails import InquiryEmails
from records.intake import Intake
from records.outbox import CHANNEL, Outbox
from records.purchase_details import PurchaseDetailsTable
from records.purchases import Purchases
from records.reconciliation import Reconciliation
from records.refund_operations import RefundOperations
from records.sellers import Sellers
from records.statutory_withdrawals import StatutoryWithdrawals
from records.storefronts import Storefronts
from records.support_tasks import SupportTasks
from records.transaction import Transaction
from records.webhook_events import WebhookEvents

DatabaseDownError = (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError)
"""What a database that is away, restarting or overloaded raises. Nothing was accepted; ask again later."""

_SESSION = "-c statement_timeout=20s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"

_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # ms: a host that is gone without a word is noticed soon after statements would have ended
}


def connect(url: str, *, pool: int = 4) -> Engine:
    """A pool of connections. Nothing is dialled before the first use, so a process starts without its database."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's words stand in the log: who the customer is must not
        connect_args={"options": _SESSION, "application_name": "moneyback", **_NETWORK},
    )
    event.listen(engine, "connect", _speak_binary)
    return engine


def _speak_binary(connection: Any, _: object) -> None:  # noqa: ANN401  # the driver's connection
    """Arrays travel in binary: as text each of their strings is escaped, which costs more than all else in a batch."""
    connection.adapters.register_dumper(list, ListBinaryDumper)


def _notify(connection: Connection) -> None:
    """Tells the relay of what was committed: in the same transaction it would make all commits wait for one another.

    A process that dies before it, or a database that went away, delays the relay until it looks by itself.
    """
    with suppress(DBAPIError):
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"notify {CHANNEL}"))


class UnitOfWork(Transaction):
    """One open transaction, and what can be asked of it."""

    def __init__(self, connection: Connection, timers: Timers) -> None:
        super().__init__(connection, timers)
        self.cases = Cases(self)
        self.dead_letters = DeadLetters(self)
        self.purchase_details = PurchaseDetailsTable(self)
        self.decision_inputs = DecisionInputs(self)
        self.history = History(self)
        self.idempotency = Idempotency(self)
        self.intake = Intake(self)
        self.api_keys = ApiKeys(self)
        self.case_emails = CaseEmails(self)
        self.inbound_mails = InboundMails(self)
        self.inquiry_emails = InquiryEmails(self)
        self.webhook_events = WebhookEvents(self)
        self.refund_operations = RefundOperations(self)
        self.outbox = Outbox(self)
        self.purchases = Purchases(self)
        self.reconciliation = Reconciliation(self)
        self.sellers = Sellers(self)
        self.storefronts = Storefronts(self)
        self.support_tasks = SupportTasks(self)
        self.case_views = CaseViews(self)
        self.statutory_withdrawals = StatutoryWithdrawals(self)


class Records:
    """The door to what is remembered: ``with records.work() as work: …`` commits at its end, or not at all."""

    def __init__(self, engine: Engine, timers: Timers) -> None:
        self.engine = engine
        self.timers = timers

    @classmethod
    def of(cls, settings: Settings, *, pool: int = 4) -> "Records":
        """The records these settings name."""
        return cls(connect(settings.database_url.get_secret_value(), pool=pool), settings.timers)

    def warm_up(self, number: int) -> None:
        """Opens so many connections ahead of their first use, where the database is there: each takes a while."""
        with suppress(*DatabaseDownError), ExitStack() as opened:
            for _ in range(number):
                opened.enter_context(self.engine.connect())

    @contextmanager
    def work(self) -> Iterator[UnitOfWork]:
        """One transaction."""
        with self.engine.connect() as connection:
            with connection.begin():
                work = UnitOfWork(connection, self.timers)
                yield work
            if work.notifies:
                _notify(connection)

    def notifications(self, channel: str, seconds: float) -> Iterator[bool]:
        """Yields whenever the channel was notified (True) or this long passed without it (False), until closed.

        Notifications that arrived together are one. A lost connection is raised: the caller decides when to come back.
        """
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text(f'listen "{channel}"'))
            raw = connection.connection.driver_connection
            assert raw is not None
            while True:
                woken = any(True for _ in raw.notifies(timeout=seconds, stop_after=1))
                for _ in raw.notifies(timeout=0):
                    pass
                yield woken
        finally:
            connection.invalidate()  # it still listens: not one for the pool
            connection.close()

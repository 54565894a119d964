"""Open units of work. A unit of work is one transaction: it stores a case's state, history and effects together, or nothing.

No call to a provider, a mail server or the broker is made inside a transaction. Decide and commit, then call, then record
the result in another transaction.
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
from records.case_search import CaseSearch
from records.case_threads import CaseThreads
from records.case_views import CaseViews
from records.cases import Cases
from records.customer_overviews import CustomerOverviews
from records.dead_letters import DeadLetters
from records.decision_batches import DecisionBatches
from records.decision_inputs import DecisionInputs
from records.desk import Desk
from records.desk_events import DeskEvents
from records.desk_sessions import DeskSessions
from records.desk_users import DeskUsers
from records.helpdesk_events import HelpdeskEvents
from records.helpdesk_targets import HelpdeskTargets
from records.helpdesk_tickets import HelpdeskTickets
from records.history import History
from records.idempotency import Idempotency
from records.inbound_mail import InboundMails
from records.inquiry_emails import InquiryEmails
from records.intake import Intake
from records.outbox import CHANNEL, Outbox
from records.payment_refunds import PaymentRefunds
from records.personal_data import PersonalData
from records.purchase_details import DetailedPurchases
from records.purchase_syncs import PurchaseSyncs
from records.purchases import Purchases
from records.reconciliation import Reconciliation
from records.refund_operations import RefundOperations
from records.reports import Reports
from records.sellers import Sellers
from records.sign_in_delays import SignInDelays
from records.statutory_withdrawals import StatutoryWithdrawals
from records.storefronts import Storefronts
from records.support_decisions import SupportDecisions
from records.support_task_events import SupportTaskEvents
from records.support_tasks import SupportTasks
from records.transaction import Transaction
from records.webhook_events import WebhookEvents

DatabaseDownError = (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError)
"""The errors of a database that is unavailable, restarting or overloaded. The caller may repeat the transaction later."""

_SESSION = "-c statement_timeout=20s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"

_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # ms; longer than statement_timeout, so that only a dead host causes this timeout
}


def connect(url: str, *, pool: int = 4) -> Engine:
    """Return a connection pool. The pool connects at its first use, so a process can start before its database."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # the log must not contain customer data
        connect_args={"options": _SESSION, "application_name": "moneyback", **_NETWORK},
    )
    event.listen(engine, "connect", _send_arrays_in_binary)
    return engine


def _send_arrays_in_binary(connection: Any, _: object) -> None:  # noqa: ANN401  # the driver's connection
    """Send arrays in binary format. In text format, escaping the strings takes longer than all other work on a batch."""
    connection.adapters.register_dumper(list, ListBinaryDumper)


def _notify(connection: Connection) -> None:
    """Wake the relay after a commit. A notification inside the transaction would make all commits wait for one another.

    If the process crashes before the notification, or the database is unavailable, the relay finds the messages when it
    polls the outbox.
    """
    with suppress(DBAPIError):
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"notify {CHANNEL}"))


class UnitOfWork(Transaction):
    """One open transaction, with an attribute for each table."""

    def __init__(self, connection: Connection, timers: Timers) -> None:
        super().__init__(connection, timers)
        self.cases = Cases(self)
        self.dead_letters = DeadLetters(self)
        self.purchase_details = DetailedPurchases(self)
        self.decision_batches = DecisionBatches(self)
        self.desk = Desk(self)
        self.decision_inputs = DecisionInputs(self)
        self.desk_events = DeskEvents(self)
        self.desk_sessions = DeskSessions(self)
        self.desk_users = DeskUsers(self)
        self.helpdesk_events = HelpdeskEvents(self)
        self.helpdesk_targets = HelpdeskTargets(self)
        self.helpdesk_tickets = HelpdeskTickets(self)
        self.history = History(self)
        self.idempotency = Idempotency(self)
        self.intake = Intake(self)
        self.api_keys = ApiKeys(self)
        self.case_emails = CaseEmails(self)
        self.inbound_mails = InboundMails(self)
        self.inquiry_emails = InquiryEmails(self)
        self.webhook_events = WebhookEvents(self)
        self.refund_operations = RefundOperations(self)
        self.reports = Reports(self)
        self.outbox = Outbox(self)
        self.personal_data = PersonalData(self)
        self.purchases = Purchases(self)
        self.purchase_syncs = PurchaseSyncs(self)
        self.reconciliation = Reconciliation(self)
        self.sellers = Sellers(self)
        self.sign_in_delays = SignInDelays(self)
        self.storefronts = Storefronts(self)
        self.support_decisions = SupportDecisions(self)
        self.support_tasks = SupportTasks(self)
        self.support_task_events = SupportTaskEvents(self)
        self.case_search = CaseSearch(self)
        self.case_threads = CaseThreads(self)
        self.case_views = CaseViews(self)
        self.customer_overviews = CustomerOverviews(self)
        self.payment_refunds = PaymentRefunds(self)
        self.statutory_withdrawals = StatutoryWithdrawals(self)


class Records:
    """Opens transactions. ``with records.work() as work: …`` commits at the end of the block, or rolls back on an exception."""

    def __init__(self, engine: Engine, timers: Timers) -> None:
        self.engine = engine
        self.timers = timers

    @classmethod
    def of(cls, settings: Settings, *, pool: int = 4) -> "Records":
        """Connect to the database of these settings."""
        return cls(connect(settings.database_url.get_secret_value(), pool=pool), settings.timers)

    def warm_up(self, number: int) -> None:
        """Open ``number`` connections before their first use, because opening takes time.

        An unavailable database is not an error.
        """
        with suppress(*DatabaseDownError), ExitStack() as connections:
            for _ in range(number):
                connections.enter_context(self.engine.connect())

    @contextmanager
    def work(self) -> Iterator[UnitOfWork]:
        """Open one transaction."""
        with self.engine.connect() as connection:
            with connection.begin():
                work = UnitOfWork(connection, self.timers)
                yield work
            if work.notifies:
                _notify(connection)

    def notifications(self, channel: str, seconds: float) -> Iterator[bool]:
        """Yield True for each notification of the channel, and False after ``seconds`` without a notification.

        Notifications that arrive together count as one. If the connection is lost, raise an error. The caller decides when
        to connect again.
        """
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text(f'listen "{channel}"'))
            driver_connection = connection.connection.driver_connection
            assert driver_connection is not None
            while True:
                woken = any(True for _ in driver_connection.notifies(timeout=seconds, stop_after=1))
                for _ in driver_connection.notifies(timeout=0):
                    pass
                yield woken
        finally:
            connection.invalidate()  # the connection still listens, so it must not return to the pool
            connection.close()

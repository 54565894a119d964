"""Failures of PostgreSQL. Without a commit, nothing is accepted. After a lost commit response, the state is read again."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, LiteralString
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from config.settings import Settings
from console.servers import Servers
from domain.api_scopes import ALL_SCOPES
from domain.providers import Paid
from domain.purchases import Purchase
from domain.states import State
from producers.web.app import POOL, app
from producers.web.problems import ProblemCode
from records import DatabaseDownError
from records import unit_of_work as work_module
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    assert_audit_is_clean,
    create_approved_cases,
    expire_leases,
    refunds_at_provider,
    state_of,
)
from tests.integration._web_fixtures import serve
from tests.integration.test_api import REQUESTS_PATH, problem_document
from tests.sample_data import a_recent_purchase, charge_of, store_seller_and_purchases
from tests.services import eventually, with_database
from worker.context import WorkerContext
from worker.refunds.execution import execute, prepare
from worker.refunds.outcomes import Sent
from worker.refunds.recording import Call, record
from worker.refunds.resolution import resolve


class Operator:
    """Executes statements as a superuser of the database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def execute(self, statement: LiteralString) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def in_transaction(self, statement: LiteralString) -> Iterator[psycopg.Connection]:
        """Execute a statement in a transaction that stays open while the block runs.

        In a deadlock, PostgreSQL cancels the transaction that detects the deadlock first. Because this connection waits a
        minute before its check, PostgreSQL cancels the product's transaction.
        """
        with psycopg.connect(self._url, options="-c deadlock_timeout=1min") as connection:
            connection.execute(statement)
            yield connection


@pytest.fixture
def operator(servers: Servers, database: str) -> Operator:
    return Operator(with_database(servers.postgres.superuser_url, database))


@pytest.fixture
def set_standby_name(operator: Operator) -> Iterator[Callable[[str], None]]:
    """Return a function that sets the name of a required standby server.

    No standby server exists, so commits wait while a name is set.
    """
    operator.execute("alter role moneyback set synchronous_commit = on")

    def set_name(name: str) -> None:
        operator.execute(f"alter system set synchronous_standby_names = '{name}'")
        operator.execute("select pg_reload_conf()")
        eventually(lambda: operator.execute("show synchronous_standby_names") == [(name,)])

    yield set_name
    set_name("")
    operator.execute("alter role moneyback reset synchronous_commit")


def kill_backend_in_commit(operator: Operator, transaction: Future[Any]) -> None:
    """Kill the database backend after its commit, but before the client gets the response. Then wait until `transaction` ends."""
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
    assert eventually(lambda: operator.execute(kill)) == [(True,)]
    transaction.exception()


@pytest.fixture
def application(sandbox_settings: Settings) -> FastAPI:
    return app(sandbox_settings)


@pytest.fixture
def web(application: FastAPI) -> Iterator[httpx.Client]:
    with serve(application) as web:
        yield web


@pytest.fixture
def send_request(context: WorkerContext, web: httpx.Client) -> Callable[[], httpx.Response]:
    """Return a function that sends the same API request each time, with the same idempotency key."""
    purchase = a_recent_purchase()
    store_seller_and_purchases(context.records, purchase)
    with context.records.work() as work:
        key = work.api_keys.create("aurora", ALL_SCOPES)[1]
    body = {"email": purchase.email, "reference": purchase.reference, "reason": "other"}
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "one"}
    # This request stores when the API key was last used. Within a minute, later requests do not store this time again.
    web.get(f"{REQUESTS_PATH}/{purchase.id}", headers=headers)
    return lambda: web.post(REQUESTS_PATH, json=body, headers=headers)


def stored_case_ids(context: WorkerContext) -> list[UUID]:
    with context.records.work() as work:
        return [row.id for row in work.run("select id from cases")]


def test_a_repeated_request_after_a_lost_commit_response_finds_the_same_case(
    context: WorkerContext,
    operator: Operator,
    set_standby_name: Callable[[str], None],
    send_request: Callable[[], httpx.Response],
) -> None:
    set_standby_name("missing")
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_request)
        kill_backend_in_commit(operator, sending)
        problem_document(sending.result(), ProblemCode.SERVICE_UNAVAILABLE)
    set_standby_name("")
    (case,) = stored_case_ids(context)
    repeated = send_request()
    assert (repeated.status_code, UUID(repeated.json()["id"])) == (202, case)
    assert stored_case_ids(context) == [case]


def refund_without_recording(context: WorkerContext, purchase: Purchase) -> tuple[Call, Paid]:
    """Refund a purchase at the provider without recording the result."""
    cases = create_approved_cases(context, purchase)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock(cases, state=State.APPROVED))
    answer = context.providers["sandbox"].refund(charge_of(purchase), call.operation.amount, key=call.operation.key)
    assert isinstance(answer, Paid)
    return call, answer


def record_result(context: WorkerContext, call: Call, answer: Paid) -> None:
    with context.records.work() as work:
        record(work, context, [(call, Sent(answer))])


def state_after_resolution(context: WorkerContext, case: UUID) -> State:
    expire_leases(context.records)
    resolve(context, [case])
    return state_of(context.records, case)


def test_a_refund_is_found_after_a_lost_commit_response(
    context: WorkerContext, operator: Operator, set_standby_name: Callable[[str], None]
) -> None:
    purchase = a_charged_purchase("ok")
    call, answer = refund_without_recording(context, purchase)
    set_standby_name("missing")
    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record_result, context, call, answer)
        kill_backend_in_commit(operator, recording)
        assert isinstance(recording.exception(), DatabaseDownError)
    set_standby_name("")
    assert state_after_resolution(context, call.case.id) is State.REFUNDED
    assert len(refunds_at_provider(context, purchase)) == 1
    assert_audit_is_clean(context.records)


def test_a_refund_is_found_after_a_deadlock(context: WorkerContext, operator: Operator) -> None:
    purchase = a_charged_purchase("ok")
    call, answer = refund_without_recording(context, purchase)
    waiting = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with operator.in_transaction("select from payments for update") as other:
            recording = pool.submit(record_result, context, call, answer)
            eventually(lambda: operator.execute(waiting))
            other.execute("select from cases for update")
        error = recording.exception()
    assert isinstance(error, DatabaseDownError)
    assert isinstance(error.__cause__, psycopg.errors.DeadlockDetected)
    assert state_of(context.records, call.case.id) is State.REFUNDING
    assert state_after_resolution(context, call.case.id) is State.REFUNDED
    assert len(refunds_at_provider(context, purchase)) == 1
    assert_audit_is_clean(context.records)


@pytest.fixture
def short_statement_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the statement timeout from 20 to 2 seconds."""
    session = work_module._SESSION.replace("statement_timeout=20s", "statement_timeout=2s")
    assert session != work_module._SESSION
    monkeypatch.setattr(work_module, "_SESSION", session)


@pytest.mark.slow
@pytest.mark.usefixtures("short_statement_timeout")
def test_nothing_is_accepted_or_sent_if_a_statement_takes_too_long(
    operator: Operator, context: WorkerContext, send_request: Callable[[], httpx.Response]
) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, purchase)
    with operator.in_transaction("lock table cases in access exclusive mode"):
        problem_document(send_request(), ProblemCode.SERVICE_UNAVAILABLE)
        with pytest.raises(DatabaseDownError, match="statement timeout"):
            execute(context, [case])
        assert refunds_at_provider(context, purchase) == []
    assert send_request().status_code == 202
    execute(context, [case])
    assert len(refunds_at_provider(context, purchase)) == 1


@pytest.mark.slow
def test_a_request_gets_503_if_no_database_connection_is_free(
    application: FastAPI, send_request: Callable[[], httpx.Response]
) -> None:
    with ExitStack() as connections:
        for _ in range(2 * POOL):
            connections.enter_context(application.state.records.engine.connect())
        assert "Nothing was accepted" in problem_document(send_request(), ProblemCode.SERVICE_UNAVAILABLE)["detail"]
    assert send_request().status_code == 202

"""PostgreSQL on a bad day: nothing is accepted without a commit, and what became of a commit is read again, not guessed."""

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
from tests.integration.test_api import ASK, problem
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import eventually, with_database
from worker.context import WorkerContext
from worker.refunds.execution import execute, prepare
from worker.refunds.outcomes import Sent
from worker.refunds.recording import Call, record
from worker.refunds.resolution import resolve


class Operator:
    """Somebody with the keys to the server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def does(self, statement: LiteralString) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def holding(self, statement: LiteralString) -> Iterator[psycopg.Connection]:
        """In the middle of a transaction, with more patience than anybody else."""
        with psycopg.connect(self._url, options="-c deadlock_timeout=1min") as connection:
            connection.execute(statement)
            yield connection


@pytest.fixture
def operator(servers: Servers, database: str) -> Operator:
    return Operator(with_database(servers.postgres.superuser_url, database))


@pytest.fixture
def standby(operator: Operator) -> Iterator[Callable[[str], None]]:
    """Names the server without which no commit of ours ends; there is none of any name."""
    operator.does("alter role moneyback set synchronous_commit = on")

    def name(name: str) -> None:
        operator.does(f"alter system set synchronous_standby_names = '{name}'")
        operator.does("select pg_reload_conf()")
        eventually(lambda: operator.does("show synchronous_standby_names") == [(name,)])

    yield name
    name("")
    operator.does("alter role moneyback reset synchronous_commit")


def killed_in_commit(operator: Operator, under_way: Future[Any]) -> None:
    """The backend that commits for this one ends while it does: after the commit, before its answer."""
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
    assert eventually(lambda: operator.does(kill)) == [(True,)]
    under_way.exception()


@pytest.fixture
def application(sandbox_settings: Settings) -> FastAPI:
    return app(sandbox_settings)


@pytest.fixture
def web(application: FastAPI) -> Iterator[httpx.Client]:
    with serve(application) as web:
        yield web


@pytest.fixture
def ask(context: WorkerContext, web: httpx.Client) -> Callable[[], httpx.Response]:
    """A seller's program asks, every time the same, under one key."""
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    with context.records.work() as work:
        key = work.api_keys.create("aurora", ALL_SCOPES)[1]
    said = {"email": bought.email, "reference": bought.reference, "reason": "other"}
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "one"}
    web.get(f"{ASK}/{bought.id}", headers=headers)  # that the key is in use is written down now, and not again soon
    return lambda: web.post(ASK, json=said, headers=headers)


def cases(context: WorkerContext) -> list[UUID]:
    with context.records.work() as work:
        return [row.id for row in work.run("select id from cases")]


def test_a_commit_whose_backend_is_killed_in_it_is_asked_for_again_and_is_the_same_case(
    context: WorkerContext, operator: Operator, standby: Callable[[str], None], ask: Callable[[], httpx.Response]
) -> None:
    standby("nobody")
    with ThreadPoolExecutor(1) as customer:
        asking = customer.submit(ask)
        killed_in_commit(operator, asking)
        problem(asking.result(), ProblemCode.SERVICE_UNAVAILABLE)
    standby("")
    (case,) = cases(context)
    again = ask()
    assert (again.status_code, UUID(again.json()["id"])) == (202, case)
    assert cases(context) == [case]


def paid_but_not_recorded(context: WorkerContext, bought: Purchase) -> tuple[Call, Paid]:
    """The provider said that it paid; that is still to be written down."""
    cases = create_approved_cases(context, bought)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock(cases, state=State.APPROVED))
    answer = context.providers["sandbox"].refund(bought.charge, call.operation.amount, key=call.operation.key)
    assert isinstance(answer, Paid)
    return call, answer


def recorded(context: WorkerContext, call: Call, answer: Paid) -> None:
    with context.records.work() as work:
        record(work, context, [(call, Sent(answer))])


def settled(context: WorkerContext, case: UUID) -> State:
    expire_leases(context.records)
    resolve(context, [case])
    return state_of(context.records, case)


def test_a_worker_whose_commit_is_killed_reads_again_what_it_did(
    context: WorkerContext, operator: Operator, standby: Callable[[str], None]
) -> None:
    bought = a_charged_purchase("ok")
    call, answer = paid_but_not_recorded(context, bought)
    standby("nobody")
    with ThreadPoolExecutor(1) as worker:
        recording = worker.submit(recorded, context, call, answer)
        killed_in_commit(operator, recording)
        assert isinstance(recording.exception(), DatabaseDownError)
    standby("")
    assert settled(context, call.case.id) is State.REFUNDED
    assert len(refunds_at_provider(context, bought)) == 1
    assert_audit_is_clean(context.records)


def test_a_worker_that_loses_a_deadlock_is_followed_by_one_that_finds_the_payment(
    context: WorkerContext, operator: Operator
) -> None:
    bought = a_charged_purchase("ok")
    call, answer = paid_but_not_recorded(context, bought)
    waiting = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as worker:
        with operator.holding("select from purchases for update") as other:
            recording = worker.submit(recorded, context, call, answer)
            eventually(lambda: operator.does(waiting))
            other.execute("select from cases for update")
        lost = recording.exception()
    assert isinstance(lost, DatabaseDownError)
    assert isinstance(lost.__cause__, psycopg.errors.DeadlockDetected)
    assert state_of(context.records, call.case.id) is State.REFUNDING
    assert settled(context, call.case.id) is State.REFUNDED
    assert len(refunds_at_provider(context, bought)) == 1
    assert_audit_is_clean(context.records)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement may take longer than two seconds, where it may take twenty."""
    hasty = work_module._SESSION.replace("statement_timeout=20s", "statement_timeout=2s")
    assert hasty != work_module._SESSION
    monkeypatch.setattr(work_module, "_SESSION", hasty)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_statement_that_takes_too_long_accepts_and_sends_nothing(
    operator: Operator, context: WorkerContext, ask: Callable[[], httpx.Response]
) -> None:
    bought = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, bought)
    with operator.holding("lock table cases in access exclusive mode"):
        problem(ask(), ProblemCode.SERVICE_UNAVAILABLE)
        with pytest.raises(DatabaseDownError, match="statement timeout"):
            execute(context, [case])
        assert refunds_at_provider(context, bought) == []
    assert ask().status_code == 202
    execute(context, [case])
    assert len(refunds_at_provider(context, bought)) == 1


@pytest.mark.slow
def test_while_all_connections_are_in_use_who_comes_is_told_to_come_again(
    application: FastAPI, ask: Callable[[], httpx.Response]
) -> None:
    with ExitStack() as everybody:
        for _ in range(2 * POOL):
            everybody.enter_context(application.state.records.engine.connect())
        assert "Nothing was accepted" in problem(ask(), ProblemCode.SERVICE_UNAVAILABLE)["detail"]
    assert ask().status_code == 202

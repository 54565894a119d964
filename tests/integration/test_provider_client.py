"""Asking providers when time is short: what would outlive its task is not begun."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from domain.money import Money
from domain.providers import Capabilities, Unknown
from domain.refund_operations import RefundOperation
from tests.doubles.raw_server import http_response, raw_server, sends
from worker import provider_client
from worker.context import WorkerContext, create_context
from worker.providers.deadline import record_network_activity


class NobodyAsks:
    """A provider that must not be called."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(hours=24))

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"The provider was asked: {name}.")


@pytest.fixture
def late(settings: Settings) -> Iterator[WorkerContext]:
    """The tools of a task that has no time left after the instant 99."""
    context = create_context(settings)
    yield replace(context, providers={"sandbox": NobodyAsks()}, monotonic=lambda: 100.0)
    context.call_pool.close()
    context.records.engine.dispose()


def test_what_would_outlive_its_task_is_not_asked(late: WorkerContext) -> None:
    operation = RefundOperation(
        case_id=uuid4(), provider="sandbox", charge="ok_1", amount=Money(4900, "EUR"), key="mb_1_1"
    )
    found = [
        provider_client.look_up(late, operation, until=99.0),
        provider_client.find_external_refund(late, "sandbox", "ok_1", until=99.0),
        provider_client.dispute(late, "sandbox", "ok_1", until=99.0),
    ]
    assert found == [Unknown(provider_client.NO_TIME)] * 3
    assert provider_client.refund(late, operation, until=99.0) == provider_client.NotSent(provider_client.NO_TIME)


@pytest.fixture
def wired(settings: Settings) -> Iterator[Callable[[str], WorkerContext]]:
    """The tools of a task whose provider is at this address."""
    made: list[WorkerContext] = []

    def at(url: str) -> WorkerContext:
        made.append(create_context(settings.model_copy(update={"sandbox_url": url})))
        return made[-1]

    yield at
    for context in made:
        context.call_pool.close()
        context.records.engine.dispose()


OPERATION = RefundOperation(case_id=uuid4(), provider="sandbox", charge="ok_1", amount=Money(4900, "EUR"), key="mb_2_1")
A_LONG_TIME = time.monotonic() + 3_600


def test_where_nobody_listens_nothing_was_sent(wired: Callable[[str], WorkerContext]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        answer = provider_client.refund(
            wired(f"http://127.0.0.1:{taken.getsockname()[1]}"), OPERATION, until=A_LONG_TIME
        )
    assert answer == provider_client.NotSent("The sandbox cannot be reached.")


def test_who_took_the_connection_may_have_heard_us(wired: Callable[[str], WorkerContext]) -> None:
    with raw_server(lambda connection: connection.close()) as url:
        assert isinstance(provider_client.refund(wired(url), OPERATION, until=A_LONG_TIME), Unknown)


def test_where_one_call_was_heard_and_the_next_one_not_somebody_was_reached(
    wired: Callable[[str], WorkerContext],
) -> None:
    """As where a token is asked for first, and then the refund."""
    with raw_server(sends(http_response(200, {"data": []}))) as alive, record_network_activity() as activity:
        provider_client.look_up(wired(alive), OPERATION, until=A_LONG_TIME)
        provider_client.look_up(wired("http://127.0.0.1:9"), OPERATION, until=A_LONG_TIME)
    assert activity.connection_failed
    assert not activity.nothing_was_sent

"""Tests of calls to providers: no call starts after the deadline of its task, and connection errors are classified."""

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


class UncallableProvider:
    """A provider that must not be called."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(hours=24))

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"The provider was called: {name}.")


@pytest.fixture
def late_context(settings: Settings) -> Iterator[WorkerContext]:
    """Yield a worker context whose clock shows 100 seconds."""
    context = create_context(settings)
    yield replace(context, providers={"sandbox": UncallableProvider()}, monotonic=lambda: 100.0)
    context.call_pool.close()
    context.records.engine.dispose()


def test_no_call_starts_after_the_deadline_of_its_task(late_context: WorkerContext) -> None:
    operation = RefundOperation(
        case_id=uuid4(), provider="sandbox", charge="ok_1", amount=Money(4900, "EUR"), key="mb_1_1"
    )
    results = [
        provider_client.look_up(late_context, operation, until=99.0),
        provider_client.list_refunds_of(late_context, "sandbox", "ok_1", until=99.0),
        provider_client.dispute(late_context, "sandbox", "ok_1", until=99.0),
    ]
    assert results == [Unknown(provider_client.NO_TIME)] * 3
    assert provider_client.refund(late_context, operation, until=99.0) == provider_client.NotSent(
        provider_client.NO_TIME
    )


@pytest.fixture
def context_for(settings: Settings) -> Iterator[Callable[[str], WorkerContext]]:
    """Yield a function that creates a worker context whose provider has the address `url`."""
    contexts: list[WorkerContext] = []

    def create(url: str) -> WorkerContext:
        contexts.append(create_context(settings.model_copy(update={"sandbox_url": url})))
        return contexts[-1]

    yield create
    for context in contexts:
        context.call_pool.close()
        context.records.engine.dispose()


OPERATION = RefundOperation(case_id=uuid4(), provider="sandbox", charge="ok_1", amount=Money(4900, "EUR"), key="mb_2_1")
IN_AN_HOUR = time.monotonic() + 3_600


def test_a_refused_connection_means_that_nothing_was_sent(context_for: Callable[[str], WorkerContext]) -> None:
    with socket.socket() as unlistened:
        unlistened.bind(("127.0.0.1", 0))  # without listen(), so the connection is refused
        result = provider_client.refund(
            context_for(f"http://127.0.0.1:{unlistened.getsockname()[1]}"), OPERATION, until=IN_AN_HOUR
        )
    assert result == provider_client.NotSent("The sandbox cannot be reached.")


def test_a_closed_connection_means_an_unknown_result(context_for: Callable[[str], WorkerContext]) -> None:
    with raw_server(lambda connection: connection.close()) as url:
        assert isinstance(provider_client.refund(context_for(url), OPERATION, until=IN_AN_HOUR), Unknown)


def test_one_failed_connection_does_not_mean_that_nothing_was_sent(
    context_for: Callable[[str], WorkerContext],
) -> None:
    """The first connection succeeds, as when an SDK first requests an access token. Only the second connection fails."""
    with raw_server(sends(http_response(200, {"data": []}))) as url, record_network_activity() as activity:
        provider_client.look_up(context_for(url), OPERATION, until=IN_AN_HOUR)
        provider_client.look_up(context_for("http://127.0.0.1:9"), OPERATION, until=IN_AN_HOUR)
    assert activity.connection_failed
    assert not activity.nothing_was_sent

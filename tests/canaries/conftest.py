"""Fixtures of the canaries: the broker, a fault-injecting proxy to it, and workers that may crash."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from config.settings import Settings
from console.servers import Servers
from tests.canaries.workers import Plain
from tests.fault_proxy import Proxy, resp
from tests.services import Child, eventually


@pytest.fixture
def broker(servers: Servers, settings: Settings) -> Iterator[redis.Redis]:  # noqa: ARG001  # the fixture settings empties the broker
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        yield broker


@pytest.fixture
def wire(servers: Servers) -> Iterator[Proxy]:
    """Yield a proxy to the broker, whose connections a test may cut."""
    with Proxy(servers.valkey.socket, resp) as wire:
        yield wire


@pytest.fixture
def plain(servers: Servers, broker: redis.Redis, tmp_path: Path) -> Iterator[Callable[..., Plain]]:  # noqa: ARG001  # as in broker
    """Start a plain Celery worker with ``options``, which connects to the broker through a proxy or directly."""
    workers: list[Plain] = []

    def starter(wire: Proxy | None = None, **options: object) -> Plain:
        worker = Plain(f"redis://127.0.0.1:{wire.port}/0" if wire else servers.valkey.url, tmp_path, **options)
        workers.append(worker)
        eventually(lambda: "ready." in worker.said())
        return worker

    yield starter
    for worker in workers:
        worker.kill()


@pytest.fixture
def ours(start: Callable[..., Child], wire: Proxy, sandbox_url: str) -> Callable[[], Child]:
    """Start a worker of the product, the only client that connects through the proxy."""

    def starter(name: str = "worker") -> Child:
        way = {"MONEYBACK_BROKER_URL": f"redis://127.0.0.1:{wire.port}/0", "MONEYBACK_SANDBOX_URL": sandbox_url}
        worker = start(name, "worker", "-c", "2", **way)
        eventually(lambda: "ready" in worker.said())
        return worker

    return starter


@pytest.fixture
def relay(start: Callable[..., Child]) -> Callable[[], Child]:
    """Start the relay, which also runs the sweep."""
    return lambda: start("relay", "relay")

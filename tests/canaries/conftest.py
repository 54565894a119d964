"""Fixtures of the canaries: the broker, workers, and a proxy that injects faults into the workers' connections.

A canary is a test for a known fault of Celery or kombu. The test passes while the fault exists, and fails when a new version
corrects the fault.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from config.settings import Settings
from console.servers import Servers
from tests.canaries.workers import PlainWorker
from tests.fault_proxy import Proxy, redis_frame_length
from tests.services import ChildProcess, eventually


@pytest.fixture
def broker(servers: Servers, settings: Settings) -> Iterator[redis.Redis]:  # noqa: ARG001  # the fixture `settings` empties the broker
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        yield broker


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Proxy]:
    """Yield a proxy to the broker. A test can freeze the proxy, or make the proxy lose a response."""
    with Proxy(servers.valkey.socket, redis_frame_length) as proxy:
        yield proxy


@pytest.fixture
def start_plain_worker(servers: Servers, broker: redis.Redis, tmp_path: Path) -> Iterator[Callable[..., PlainWorker]]:  # noqa: ARG001  # the worker needs an empty broker
    """Yield a function that starts a plain Celery worker with `options`. With `proxy`, the worker connects through the proxy."""
    workers: list[PlainWorker] = []

    def starter(proxy: Proxy | None = None, **options: object) -> PlainWorker:
        worker = PlainWorker(f"redis://127.0.0.1:{proxy.port}/0" if proxy else servers.valkey.url, tmp_path, **options)
        workers.append(worker)
        eventually(lambda: "ready." in worker.read_log())
        return worker

    yield starter
    for worker in workers:
        worker.kill()
        sys.stdout.write(worker.read_log())  # pytest shows this output only if the test failed


@pytest.fixture
def start_product_worker(
    start: Callable[..., ChildProcess], proxy: Proxy, sandbox_url: str
) -> Callable[[], ChildProcess]:
    """Return a function that starts a worker of the product, which connects to the broker through the proxy."""

    def starter(name: str = "worker") -> ChildProcess:
        env = {"MONEYBACK_BROKER_URL": f"redis://127.0.0.1:{proxy.port}/0", "MONEYBACK_SANDBOX_URL": sandbox_url}
        worker = start(name, "worker", "-c", "2", **env)
        eventually(lambda: "ready" in worker.read_log())
        return worker

    return starter


@pytest.fixture
def start_relay(start: Callable[..., ChildProcess]) -> Callable[[], ChildProcess]:
    """Return a function that starts the relay, which also runs the sweep."""
    return lambda: start("relay", "relay")

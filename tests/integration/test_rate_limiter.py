"""Tests of the rate limiter for calls to providers.

All processes share one token bucket per provider in Redis. Without Redis, each process has its own bucket.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.settings import Settings
from console.servers import Servers
from tests.services import environment
from worker.providers.rate_limiter import BURST, RateLimiter

SLOW = 0.001  # calls per second: so few that the bucket gets no new token during a test
BURST_CALLS = int(BURST)


class Clock:
    """A clock that advances only during `sleep`."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def broker(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        yield broker


@pytest.fixture
def provider() -> str:
    """Return a provider name that no other test uses."""
    return f"provider-{uuid4().hex}"


def count_allowed(rate_limiter: RateLimiter, provider: str, tries: int, per_second: float | None = SLOW) -> int:
    """Try to start `tries` calls without waiting, and return the number of allowed calls."""
    return sum(rate_limiter.acquire(provider, per_second, until=0.0) for _ in range(tries))


def test_two_processes_share_a_bucket(settings: Settings, provider: str) -> None:
    first, second = RateLimiter.of(settings), RateLimiter.of(settings)
    assert count_allowed(first, provider, 2) == 2
    script = (
        "import sys; from config.settings import settings; from worker.providers.rate_limiter import RateLimiter;"
        "limiter = RateLimiter.of(settings());"
        f"print(sum(limiter.acquire(sys.argv[1], {SLOW}, until=0.0) for _ in range(2)))"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, provider],
        env=environment(settings) | {"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert int(child.stdout) == 2
    assert count_allowed(second, provider, 5) == BURST_CALLS - 4
    assert count_allowed(first, provider, 5) == 0


def test_parallel_threads_never_exceed_the_limit(settings: Settings, provider: str) -> None:
    rate_limiters = [RateLimiter.of(settings) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        allowed = list(threads.map(lambda n: count_allowed(rate_limiters[n % 4], provider, 5), range(16)))
    assert sum(allowed) == BURST_CALLS


def test_parallel_threads_without_a_broker_never_exceed_the_limit(provider: str) -> None:
    rate_limiter = RateLimiter(None)
    with ThreadPoolExecutor(16) as threads:
        allowed = list(threads.map(lambda _: count_allowed(rate_limiter, provider, 50), range(16)))
    assert sum(allowed) == BURST_CALLS


def test_calls_above_the_burst_wait(settings: Settings, provider: str) -> None:
    rate_limiter, started = RateLimiter.of(settings), time.monotonic()
    for _ in range(BURST_CALLS + 10):
        assert rate_limiter.acquire(provider, 50.0, until=started + 60)
    assert (
        time.monotonic() - started >= 10 / 50 - 0.02
    )  # the clocks of Redis and Python may differ by up to 0.02 seconds


def test_a_call_that_cannot_start_in_time_uses_no_token(provider: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    assert count_allowed(rate_limiter, provider, BURST_CALLS, 1.0) == BURST_CALLS
    for _ in range(10):
        assert not rate_limiter.acquire(provider, 1.0, until=clock.now + 0.5)
    assert rate_limiter.acquire(provider, 1.0, until=clock.now + 1.0)
    assert clock.now == 1_001.0


def test_a_burst_of_calls_is_allowed_after_idle_time(provider: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    for _ in range(3):
        assert count_allowed(rate_limiter, provider, BURST_CALLS + 3, 2.0) == BURST_CALLS
        clock.now += 60


def test_each_provider_has_its_own_bucket(settings: Settings, provider: str) -> None:
    rate_limiter = RateLimiter.of(settings)
    assert count_allowed(rate_limiter, provider, 9) == BURST_CALLS
    assert count_allowed(rate_limiter, f"{provider}-2", 9) == BURST_CALLS


def test_all_processes_wait_when_a_provider_requests_a_pause(settings: Settings, provider: str) -> None:
    first, second = RateLimiter.of(settings), RateLimiter.of(settings)
    first.pause(provider, 10.0, 60.0)
    second.pause(provider, 10.0, 1.0)  # a shorter pause does not end a longer pause
    assert count_allowed(first, provider, 3, 10.0) == count_allowed(second, provider, 3, 10.0) == 0
    assert not second.acquire(provider, 10.0, until=time.monotonic() + 50)


def test_only_one_call_is_allowed_directly_after_a_pause(provider: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    rate_limiter.pause(provider, 2.0, 60.0)
    assert rate_limiter.acquire(provider, 2.0, until=clock.now + 60.0)
    assert clock.now == 1_060.0
    assert count_allowed(rate_limiter, provider, 3, 2.0) == 0


def test_a_pause_of_a_provider_without_a_limit_applies_to_one_process(settings: Settings, provider: str) -> None:
    first, second = RateLimiter.of(settings), RateLimiter.of(settings)
    assert count_allowed(first, provider, 100, None) == 100
    first.pause(provider, None, 60.0)
    assert count_allowed(first, provider, 3, None) == 0
    assert count_allowed(second, provider, 3, None) == 3


def test_buckets_in_the_broker_expire(settings: Settings, broker: redis.Redis, provider: str) -> None:
    rate_limiter = RateLimiter.of(settings)
    rate_limiter.acquire(provider, 10.0, until=0.0)
    assert 0 < int(broker.ttl(f"moneyback:provider-rate-limit:{provider}")) <= 61
    rate_limiter.pause(provider, 10.0, 1_000.0)
    assert 1_000 < int(broker.ttl(f"moneyback:provider-rate-limit:{provider}")) <= 1_062


@pytest.mark.parametrize("url", ["unix:///nowhere/valkey.sock", "redis://127.0.0.1:1/0"])
def test_without_the_broker_a_process_limits_its_own_calls(provider: str, url: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(redis.Redis.from_url(url), monotonic=clock, sleep=clock.sleep)
    with capture_logs() as logs:
        assert count_allowed(rate_limiter, provider, 9, 1.0) == BURST_CALLS
        assert rate_limiter.acquire(provider, 1.0, until=clock.now + 1)
        rate_limiter.pause(provider, 1.0, 60.0)
        assert not rate_limiter.acquire(provider, 1.0, until=clock.now + 59)
    assert {log["event"] for log in logs} == {"provider_rate_limit_store_unavailable"}


def test_processes_share_the_bucket_again_after_a_broker_restart(
    settings: Settings, servers: Servers, provider: str
) -> None:
    rate_limiter, second = RateLimiter.of(settings), RateLimiter.of(settings)
    assert count_allowed(rate_limiter, provider, 9) == BURST_CALLS
    servers.valkey.stop()
    try:
        assert count_allowed(rate_limiter, f"{provider}-2", 9) == BURST_CALLS
    finally:
        servers.valkey.start()
    assert count_allowed(rate_limiter, f"{provider}-3", 9) == BURST_CALLS
    assert count_allowed(second, f"{provider}-3", 9) == 0


def test_the_bucket_is_in_the_database_that_the_broker_url_names(
    settings: Settings, servers: Servers, provider: str
) -> None:
    url = f"redis+socket://{servers.valkey.socket}?virtual_host=3"
    rate_limiter = RateLimiter.of(settings.model_copy(update={"broker_url": SecretStr(url)}))
    assert count_allowed(rate_limiter, provider, 1) == 1
    with redis.Redis(unix_socket_path=str(servers.valkey.socket), db=3) as client:
        assert client.exists(f"moneyback:provider-rate-limit:{provider}") == 1


@pytest.mark.parametrize("url", ["amqp://guest@127.0.0.1:1//", "memory://", "sqs://"])
def test_a_broker_other_than_redis_is_not_used_for_buckets(settings: Settings, provider: str, url: str) -> None:
    rate_limiter = RateLimiter.of(settings.model_copy(update={"broker_url": SecretStr(url)}))
    with capture_logs() as logs:
        assert count_allowed(rate_limiter, provider, 9) == BURST_CALLS
    assert logs == []


class MillisecondClock(Clock):
    """A clock that sleeps only whole milliseconds."""

    def sleep(self, seconds: float) -> None:
        super().sleep(int(seconds * 1_000) / 1_000)


def test_a_wait_shorter_than_the_clock_resolution_ends(provider: str) -> None:
    """The rate limiter waits in a loop, and this clock rounds the last wait down to zero.

    The loop ends, because the rate limiter allows a call whose wait would be shorter than the minimum wait.
    """
    clock = MillisecondClock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    rate_limiter.pause(provider, None, 600.00055)
    assert rate_limiter.acquire(provider, None, until=2_000.0)
    assert clock.now == pytest.approx(1_600.0)

"""The pace at which providers are called: one bucket for all of us in the broker, or one a process where there is none."""

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

SLOWLY = 0.001  # calls a second: no test lasts until the next one
AT_ONCE = int(BURST)


class Clock:
    """Time that passes when somebody sleeps."""

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
    """One that nobody called before."""
    return f"provider-{uuid4().hex}"


def taken(rate_limiter: RateLimiter, provider: str, tries: int, per_second: float | None = SLOWLY) -> int:
    """How many of so many calls may be made now."""
    return sum(rate_limiter.acquire(provider, per_second, until=0.0) for _ in range(tries))


def test_two_processes_draw_from_one_bucket(settings: Settings, provider: str) -> None:
    ours, theirs = RateLimiter.of(settings), RateLimiter.of(settings)
    assert taken(ours, provider, 2) == 2
    script = (
        "import sys; from config.settings import settings; from worker.providers.rate_limiter import RateLimiter;"
        "limiter = RateLimiter.of(settings());"
        f"print(sum(limiter.acquire(sys.argv[1], {SLOWLY}, until=0.0) for _ in range(2)))"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, provider],
        env=environment(settings) | {"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert int(child.stdout) == 2
    assert taken(theirs, provider, 5) == AT_ONCE - 4
    assert taken(ours, provider, 5) == 0


def test_many_threads_at_once_get_no_more_than_there_is(settings: Settings, provider: str) -> None:
    paces = [RateLimiter.of(settings) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda n: taken(paces[n % 4], provider, 5), range(16)))
    assert sum(got) == AT_ONCE


def test_many_threads_of_a_process_on_its_own_get_no_more_either(provider: str) -> None:
    alone = RateLimiter(None)
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda _: taken(alone, provider, 50), range(16)))
    assert sum(got) == AT_ONCE


def test_a_call_waits_for_its_turn(settings: Settings, provider: str) -> None:
    rate_limiter, began = RateLimiter.of(settings), time.monotonic()
    for _ in range(AT_ONCE + 10):
        assert rate_limiter.acquire(provider, 50.0, until=began + 60)
    assert time.monotonic() - began >= 10 / 50 - 0.02  # what the two clocks may differ by


def test_a_call_whose_turn_comes_too_late_is_not_made_and_takes_nobodys_place(provider: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    assert taken(rate_limiter, provider, AT_ONCE, 1.0) == AT_ONCE
    for _ in range(10):
        assert not rate_limiter.acquire(provider, 1.0, until=clock.now + 0.5)
    assert rate_limiter.acquire(provider, 1.0, until=clock.now + 1.0)
    assert clock.now == 1_001.0


def test_after_a_rest_a_few_may_follow_each_other_at_once(provider: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    for _ in range(3):
        assert taken(rate_limiter, provider, AT_ONCE + 3, 2.0) == AT_ONCE
        clock.now += 60


def test_each_provider_has_a_bucket_of_its_own(settings: Settings, provider: str) -> None:
    rate_limiter = RateLimiter.of(settings)
    assert taken(rate_limiter, provider, 9) == AT_ONCE
    assert taken(rate_limiter, f"{provider}-2", 9) == AT_ONCE


def test_when_a_provider_says_when_to_come_again_nobody_calls_it_before(settings: Settings, provider: str) -> None:
    told, other = RateLimiter.of(settings), RateLimiter.of(settings)
    told.pause(provider, 10.0, 60.0)
    other.pause(provider, 10.0, 1.0)  # a shorter wait does not end a longer one
    assert taken(told, provider, 3, 10.0) == taken(other, provider, 3, 10.0) == 0
    assert not other.acquire(provider, 10.0, until=time.monotonic() + 50)


def test_the_first_call_after_it_is_a_single_one(provider: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    rate_limiter.pause(provider, 2.0, 60.0)
    assert rate_limiter.acquire(provider, 2.0, until=clock.now + 60.0)
    assert clock.now == 1_060.0
    assert taken(rate_limiter, provider, 3, 2.0) == 0


def test_a_provider_without_a_limit_is_held_off_by_those_whom_it_told(settings: Settings, provider: str) -> None:
    told, other = RateLimiter.of(settings), RateLimiter.of(settings)
    assert taken(told, provider, 100, None) == 100
    told.pause(provider, None, 60.0)
    assert taken(told, provider, 3, None) == 0
    assert taken(other, provider, 3, None) == 3


def test_what_is_kept_in_the_broker_goes_by_itself(settings: Settings, broker: redis.Redis, provider: str) -> None:
    rate_limiter = RateLimiter.of(settings)
    rate_limiter.acquire(provider, 10.0, until=0.0)
    assert 0 < int(broker.ttl(f"moneyback:provider-rate-limit:{provider}")) <= 61
    rate_limiter.pause(provider, 10.0, 1_000.0)
    assert 1_000 < int(broker.ttl(f"moneyback:provider-rate-limit:{provider}")) <= 1_062


@pytest.mark.parametrize("url", ["unix:///nowhere/valkey.sock", "redis://127.0.0.1:1/0"])
def test_while_the_broker_is_away_a_process_keeps_the_pace_itself(provider: str, url: str) -> None:
    clock = Clock()
    rate_limiter = RateLimiter(redis.Redis.from_url(url), monotonic=clock, sleep=clock.sleep)
    with capture_logs() as logs:
        assert taken(rate_limiter, provider, 9, 1.0) == AT_ONCE
        assert rate_limiter.acquire(provider, 1.0, until=clock.now + 1)
        rate_limiter.pause(provider, 1.0, 60.0)
        assert not rate_limiter.acquire(provider, 1.0, until=clock.now + 59)
    assert {log["event"] for log in logs} == {"provider_rate_limit_store_unavailable"}


def test_when_the_broker_is_back_the_bucket_is_shared_again(
    settings: Settings, servers: Servers, provider: str
) -> None:
    rate_limiter, other = RateLimiter.of(settings), RateLimiter.of(settings)
    assert taken(rate_limiter, provider, 9) == AT_ONCE
    servers.valkey.stop()
    try:
        assert taken(rate_limiter, f"{provider}-2", 9) == AT_ONCE
    finally:
        servers.valkey.start()
    assert taken(rate_limiter, f"{provider}-3", 9) == AT_ONCE
    assert taken(other, f"{provider}-3", 9) == 0


def test_the_bucket_is_in_the_brokers_own_database_behind_its_socket(
    settings: Settings, servers: Servers, provider: str
) -> None:
    url = f"redis+socket://{servers.valkey.socket}?virtual_host=3"
    rate_limiter = RateLimiter.of(settings.model_copy(update={"broker_url": SecretStr(url)}))
    assert taken(rate_limiter, provider, 1) == 1
    with redis.Redis(unix_socket_path=str(servers.valkey.socket), db=3) as third:
        assert third.exists(f"moneyback:provider-rate-limit:{provider}") == 1


@pytest.mark.parametrize("url", ["amqp://guest@127.0.0.1:1//", "memory://", "sqs://"])
def test_a_broker_that_is_no_redis_is_not_asked(settings: Settings, provider: str, url: str) -> None:
    rate_limiter = RateLimiter.of(settings.model_copy(update={"broker_url": SecretStr(url)}))
    with capture_logs() as logs:
        assert taken(rate_limiter, provider, 9) == AT_ONCE
    assert logs == []


class Coarse(Clock):
    """It counts in milliseconds."""

    def sleep(self, seconds: float) -> None:
        super().sleep(int(seconds * 1_000) / 1_000)


def test_what_is_less_than_a_clock_can_tell_is_not_waited_for(provider: str) -> None:
    """Sleeping for less than its steps, nobody would ever see the time come."""
    clock = Coarse()
    rate_limiter = RateLimiter(None, monotonic=clock, sleep=clock.sleep)
    rate_limiter.pause(provider, None, 600.00055)
    assert rate_limiter.acquire(provider, None, until=2_000.0)
    assert clock.now == pytest.approx(1_600.0)

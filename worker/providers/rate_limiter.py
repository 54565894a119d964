"""Limits the calls to each provider to the provider's rate limit. All workers share the limit.

Each provider has a token bucket in the broker's Redis. The bucket is stored as the instant at which it will be full again,
as in the generic cell rate algorithm (GCRA). If the broker is not a Redis or is unavailable, each process has its own
bucket. While the broker is unavailable, only the relay processes cases (brokerless mode), so the limit still applies.
"""

import time
from collections.abc import Callable
from threading import Lock

import redis
import structlog

from config.broker import redis_url
from config.settings import Settings

log = structlog.get_logger()

BURST = 5.0  # the number of calls that need no wait after an idle period
MIN_WAIT = 0.001
"""In seconds. For the bucket of one process, a shorter wait counts as no wait. Some clocks cannot measure a shorter time."""
UNAVAILABLE = (redis.RedisError, OSError)

_ACQUIRE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = full_at - (burst - 1) * every - now
if wait > 0 then return tostring(wait) end
redis.call('SET', KEYS[1], string.format('%.6f', full_at + every), 'EX', math.ceil(burst * every + 60))
return '0'
"""

_PAUSE = """
local clock = redis.call('TIME')
local full_at = clock[1] + clock[2] / 1000000 + ARGV[1] + ARGV[2]
if full_at > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'EX', math.ceil(ARGV[1] + ARGV[2] + 60))
end
"""


class RateLimiter:
    """One token bucket for each provider."""

    def __init__(
        self,
        client: redis.Redis | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._monotonic, self._sleep = monotonic, sleep
        self._full_at: dict[str, float] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, settings: Settings) -> "RateLimiter":
        """Create a rate limiter. If the broker is a Redis, the limiter stores its buckets in the broker."""
        url = redis_url(settings)
        return cls(redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) if url else None)

    def acquire(self, provider: str, per_second: float | None, *, until: float) -> bool:
        """Wait until the next call is allowed. Return False if the wait would end after the monotonic instant ``until``.

        ``per_second`` is the provider's rate limit, or None if there is no limit.
        """
        while wait := self._try_acquire(provider, _interval(per_second)):
            if self._monotonic() + wait > until:
                return False
            self._sleep(wait)
        return True

    def pause(self, provider: str, per_second: float | None, seconds: float) -> None:
        """Allow no call to the provider for ``seconds``, because the provider asked for a pause (Retry-After).

        If the provider has a rate limit, the pause applies to all workers. If not, there is no shared bucket, so the pause
        applies only to this process. Another process then pauses when the provider sends Retry-After to that process.
        """
        interval = _interval(per_second)
        with self._lock:
            full_at = self._monotonic() + seconds + (BURST - 1) * interval
            self._full_at[provider] = max(self._full_at.get(provider, 0.0), full_at)
        if self._client is not None and interval:
            try:
                self._client.eval(_PAUSE, 1, _redis_key(provider), str(seconds), str((BURST - 1) * interval))
            except UNAVAILABLE as error:
                log.warning("provider_rate_limit_store_unavailable", provider=provider, error=type(error).__name__)

    def _try_acquire(self, provider: str, interval: float) -> float:
        """Return 0 if the call is allowed now, else the seconds after which to try again."""
        if self._client is not None and interval:
            try:
                return float(self._client.eval(_ACQUIRE, 1, _redis_key(provider), str(interval), str(BURST)))
            except UNAVAILABLE as error:
                log.warning("provider_rate_limit_store_unavailable", provider=provider, error=type(error).__name__)
        with self._lock:
            now = self._monotonic()
            full_at = max(self._full_at.get(provider, 0.0), now)
            if (wait := full_at - (BURST - 1) * interval - now) > MIN_WAIT:
                return wait
            self._full_at[provider] = full_at + interval
            return 0.0


def _interval(per_second: float | None) -> float:
    """Return the seconds between two calls, or 0 if the provider has no rate limit."""
    return 1 / per_second if per_second else 0.0


def _redis_key(provider: str) -> str:
    return f"moneyback:provider-rate-limit:{provider}"

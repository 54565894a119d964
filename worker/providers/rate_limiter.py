"""The pace at which a provider is called: its own rate limit, kept by all our workers together.

A token bucket (as GCRA: one instant a provider, at which it would be full again) in the broker's Redis. Where there is
none, or it is away, each process keeps the bucket itself: then the relay is the only one that works (direct mode).
"""

import time
from collections.abc import Callable
from threading import Lock

import redis
import structlog

from config.broker import redis_url
from config.settings import Settings

log = structlog.get_logger()

BURST = 5.0  # calls that may follow each other at once after a rest
MOMENT = 0.001  # seconds: less is not waited for, as a clock may count in steps that large, and no wait would end
AWAY = (redis.RedisError, OSError)

_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = full_at - (burst - 1) * every - now
if wait > 0 then return tostring(wait) end
redis.call('SET', KEYS[1], string.format('%.6f', full_at + every), 'EX', math.ceil(burst * every + 60))
return '0'
"""

_HOLD_OFF = """
local clock = redis.call('TIME')
local full_at = clock[1] + clock[2] / 1000000 + ARGV[1] + ARGV[2]
if full_at > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'EX', math.ceil(ARGV[1] + ARGV[2] + 60))
end
"""


class RateLimiter:
    """One bucket a provider."""

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
        """In the broker, where that is a Redis."""
        url = redis_url(settings)
        return cls(redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) if url else None)

    def acquire(self, provider: str, per_second: float | None, *, until: float) -> bool:
        """Waits for the next call's turn, at most until this monotonic instant; False when it does not come by then."""
        while wait := self._try(provider, _every(per_second)):
            if self._monotonic() + wait > until:
                return False
            self._sleep(wait)
        return True

    def pause(self, provider: str, per_second: float | None, seconds: float) -> None:
        """The provider said when to come again: nobody calls it before. One without a limit tells each process itself."""
        every = _every(per_second)
        with self._lock:
            full_at = self._monotonic() + seconds + (BURST - 1) * every
            self._full_at[provider] = max(self._full_at.get(provider, 0.0), full_at)
        if self._client is not None and every:
            try:
                self._client.eval(_HOLD_OFF, 1, _name(provider), str(seconds), str((BURST - 1) * every))
            except AWAY as error:
                log.warning("provider_rate_limit_store_unavailable", provider=provider, error=type(error).__name__)

    def _try(self, provider: str, every: float) -> float:
        """0 when the call may be made now, else the seconds after which to try again."""
        if self._client is not None and every:
            try:
                return float(self._client.eval(_TAKE, 1, _name(provider), str(every), str(BURST)))
            except AWAY as error:
                log.warning("provider_rate_limit_store_unavailable", provider=provider, error=type(error).__name__)
        with self._lock:
            now = self._monotonic()
            full_at = max(self._full_at.get(provider, 0.0), now)
            if (wait := full_at - (BURST - 1) * every - now) > MOMENT:
                return wait
            self._full_at[provider] = full_at + every
            return 0.0


def _every(per_second: float | None) -> float:
    """The seconds between two calls; none where the provider has no limit."""
    return 1 / per_second if per_second else 0.0


def _name(provider: str) -> str:
    return f"moneyback:pace:{provider}"

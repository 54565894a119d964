"""Rate limits of forms and API calls, per e-mail address, reference number, link, network and API key.

A limit counts requests with the same value, such as the same e-mail address. It counts each request whether a purchase
exists or not, so a refusal does not reveal whether a purchase exists. The name of a counter contains a keyed hash of the
counted value, so the broker stores no e-mail addresses. If the broker is unavailable or is neither Redis nor Valkey, each
process counts in its own memory, and customers can still send forms.
"""

import hashlib
import hmac
import math
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from threading import Lock
from typing import Final

import redis
import structlog
from anyio.to_thread import run_sync
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry
from starlette.requests import Request
from starlette.responses import Response

from config.broker import redis_url
from config.rate_limits import Limits
from config.settings import Settings
from domain.purchases import email_key, reference_key
from producers.web.client_network import client_network
from producers.web.pages import forms
from producers.web.problems import ProblemCode, is_program, problem_response

STORE_ERRORS: Final = (redis.RedisError, OSError)
STORE_TIMEOUT: Final = (
    0.25  # seconds; a broker on the local network answers in a millisecond, and a customer must not wait long
)
STORE_RETRY_DELAY: Final = 5.0  # seconds until a broker that was unavailable is used again
KEY_PREFIX: Final = "moneyback:rate-limit"
STATUTORY_WITHDRAWAL_PATH: Final = "/withdraw"
"""Statutory withdrawals are limited by network only. The law allows no limit by e-mail address or reference."""

_log = structlog.get_logger()


class RateLimit(StrEnum):
    """The names of the limits. Each limit counts requests with the same value, such as the same e-mail address."""

    ADDRESS = "address"  # forms with one e-mail address
    REFERENCE = "reference"  # forms with one reference
    LINK = "link"  # forms on the page of one signed link
    NETWORK = "network"  # forms from one network
    KEY = "key"  # API calls with one API key
    CALLS = "calls"  # API calls from one network
    BULK = "bulk"  # bulk calls with one API key
    BULK_CALLS = "bulk_calls"  # bulk calls from one network


def _limit_items(limits: Limits) -> dict[RateLimit, RateLimitItem]:
    return {
        RateLimit.ADDRESS: RateLimitItemPerHour(limits.rate_limit_email_per_hour),
        RateLimit.REFERENCE: RateLimitItemPerHour(limits.rate_limit_reference_per_hour),
        RateLimit.LINK: RateLimitItemPerHour(limits.rate_limit_reference_per_hour),
        RateLimit.NETWORK: RateLimitItemPerMinute(limits.rate_limit_network_per_minute),
        RateLimit.KEY: RateLimitItemPerMinute(limits.rate_limit_api_key_per_minute),
        RateLimit.CALLS: RateLimitItemPerMinute(limits.rate_limit_api_key_per_minute),
        RateLimit.BULK: RateLimitItemPerMinute(limits.rate_limit_bulk_per_minute),
        RateLimit.BULK_CALLS: RateLimitItemPerMinute(limits.rate_limit_bulk_per_minute),
    }


class RateLimitedError(Exception):
    """A rate limit was reached."""

    def __init__(self, limit: RateLimit, item: RateLimitItem, seconds: int) -> None:
        super().__init__(f"The rate limit “{limit}” was reached. Try again in {seconds} seconds.")
        self.policy = f'"{limit}";q={item.amount};w={item.get_expiry()}'
        self.remaining = f'"{limit}";r=0;t={seconds}'
        self.seconds = seconds


class RateLimits:
    """Counts requests in moving windows.

    All processes share the counters in the broker. Without a usable broker, each process counts in its own memory.
    """

    def __init__(self, url: str | None, secret: str, limits: Limits) -> None:
        self._secret = hashlib.sha256(f"moneyback rate limits {secret}".encode()).digest()
        self._items = _limit_items(limits)
        self._shared_storage = _redis_storage(url) if url else None
        self._local_storage: MemoryStorage | None = None
        self._unavailable_until = 0.0
        self._lock = Lock()

    @classmethod
    def of(cls, settings: Settings) -> "RateLimits | None":
        """Return the rate limits of these settings, or None if the settings switch the limits off."""
        if not settings.limits.rate_limits_enabled:
            return None
        return cls(redis_url(settings), settings.secret_key.get_secret_value(), settings.limits)

    def check(self, counted: Mapping[RateLimit, str]) -> None:
        """Count one request for each value in ``counted``. Raise a RateLimitedError if a limit is reached."""
        hits = [(self._items[limit], self._counter_name(limit, value)) for limit, value in counted.items()]
        allowed, storage = self._count(hits)
        reached = [n for n, is_allowed in enumerate(allowed) if not is_allowed]
        if reached:
            delays = {n: _seconds_until_room(storage, *hits[n]) for n in reached}
            # The client must wait for the longest delay. After a shorter delay, another limit would still refuse the request.
            longest = max(reached, key=delays.__getitem__)
            limit = list(counted)[longest]
            _log.warning("rate_limited", limit=limit, retry_after=delays[longest])
            raise RateLimitedError(limit, hits[longest][0], delays[longest])

    def _count(self, hits: Sequence[tuple[RateLimitItem, str]]) -> tuple[list[bool], RedisStorage | MemoryStorage]:
        """Count the hits. Return whether each hit is allowed, and the storage that counted the hits."""
        if self._shared_storage and time.monotonic() >= self._unavailable_until:
            try:
                return _hit_all(self._shared_storage, hits), self._shared_storage
            except STORE_ERRORS as error:
                self._unavailable_until = time.monotonic() + STORE_RETRY_DELAY
                _log.warning("rate_limit_store_unavailable", error=type(error).__name__)
        with self._lock:
            self._local_storage = self._local_storage or MemoryStorage()
        limiter = MovingWindowRateLimiter(self._local_storage)
        return [limiter.hit(item, name) for item, name in hits], self._local_storage

    def _counter_name(self, limit: RateLimit, value: str) -> str:
        return f"{limit}:{hmac.new(self._secret, f'{limit}:{value}'.encode(), hashlib.sha256).hexdigest()[:32]}"


def _redis_storage(url: str) -> RedisStorage:
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=STORE_TIMEOUT, socket_connect_timeout=STORE_TIMEOUT, retry=Retry(NoBackoff(), 1)
    )
    return RedisStorage("redis://", connection_pool=pool, key_prefix=KEY_PREFIX)


def _hit_all(storage: RedisStorage, hits: Sequence[tuple[RateLimitItem, str]]) -> list[bool]:
    """Count the hits as MovingWindowRateLimiter.hit() does, but send all hits to the broker in one round trip."""
    try:
        return _hit_all_by_script(storage, hits)
    except redis.exceptions.NoScriptError:  # a broker that was just started does not have the script yet
        storage.storage.script_load(storage.SCRIPT_ACQUIRE_MOVING_WINDOW)
        return _hit_all_by_script(storage, hits)


def _hit_all_by_script(storage: RedisStorage, hits: Sequence[tuple[RateLimitItem, str]]) -> list[bool]:
    script = storage.lua_acquire_moving_window.sha
    with storage.storage.pipeline(transaction=False) as pipeline:
        for item, name in hits:
            key = storage.prefixed_key(item.key_for(name))
            pipeline.evalsha(script, 1, key, time.time(), item.amount, item.get_expiry(), 1)
        return [bool(allowed) for allowed in pipeline.execute()]


def _seconds_until_room(storage: RedisStorage | MemoryStorage, item: RateLimitItem, name: str) -> int:
    """Return the seconds, rounded up, until the limit allows a request again."""
    try:
        reset_time = MovingWindowRateLimiter(storage).get_window_stats(item, name).reset_time
    except STORE_ERRORS:
        return item.get_expiry()
    return max(1, math.ceil(reset_time - time.time()))


# FastAPI calls limit_forms and limit_api_calls before an endpoint.


async def limit_forms(request: Request) -> None:
    """Limit submitted forms. GET requests are not limited.

    Every form is limited by network. If the customer opened the form with a signed link, the form is also limited by the
    link. Other forms, except the statutory withdrawal, are also limited by e-mail address and by reference.
    """
    rate_limits = request.app.state.rate_limits
    if rate_limits is None or request.method != "POST":
        return
    counted = {RateLimit.NETWORK: _network(request)}
    if token := request.path_params.get("token"):
        counted[RateLimit.LINK] = token
    elif request.url.path != STATUTORY_WITHDRAWAL_PATH:
        fields = await forms.read_fields(request)
        keys = {
            RateLimit.ADDRESS: email_key(fields.get("email", "")),
            RateLimit.REFERENCE: reference_key(fields.get("reference", "")),
        }
        counted |= {limit: key for limit, key in keys.items() if key}
    await run_sync(rate_limits.check, counted)


async def limit_api_calls(request: Request) -> None:
    """Limit API calls by API key and by network. Bulk calls have separate limits.

    The limit by network stops a client that tries many invalid API keys.
    """
    rate_limits = request.app.state.rate_limits
    if rate_limits is None:
        return
    is_bulk = request.url.path.endswith("/bulk")
    by_key, by_network = (RateLimit.BULK, RateLimit.BULK_CALLS) if is_bulk else (RateLimit.KEY, RateLimit.CALLS)
    counted = {by_network: _network(request)}
    if authorization := request.headers.get("authorization"):
        counted[by_key] = authorization
    await run_sync(rate_limits.check, counted)


def on_rate_limited(request: Request, error: Exception) -> Response:
    """Handle a RateLimitedError. A program also gets the headers of draft-ietf-httpapi-ratelimit-headers."""
    assert isinstance(error, RateLimitedError)
    headers = {"retry-after": str(error.seconds)}
    if is_program(request):
        headers |= {"ratelimit-policy": error.policy, "ratelimit": error.remaining}
    return problem_response(request, ProblemCode.RATE_LIMITED, headers=headers)


def _network(request: Request) -> str:
    return client_network(request, request.app.state.settings.trusted_proxies)

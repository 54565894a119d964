"""Brakes: how often one address, one reference, one link, one network and one key may ask.

They count what was sent and look nothing up, so a limit tells nothing of what exists. Whom they count is not to be read
in the broker: each count goes by a keyed hash. A broker that is away, or is no Redis, never keeps a customer from asking:
then each process counts for itself.
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

AWAY: Final = (redis.RedisError, OSError)
PATIENCE: Final = 0.25  # seconds; a broker on this network answers in one, and a customer does not wait for its brakes
LEFT_ALONE: Final = 5.0  # seconds before a broker that was away is asked again
PREFIX: Final = "moneyback:brake"
DECLARATIONS: Final = "/withdraw"
"""A consumer's statutory declaration: its own address and reference never hold it up, only a flood from one network does."""

log = structlog.get_logger()


class RateLimit(StrEnum):
    """What is counted."""

    ADDRESS = "address"
    REFERENCE = "reference"
    LINK = "link"
    NETWORK = "network"
    KEY = "key"
    CALLS = "calls"
    BULK = "bulk"
    BULK_CALLS = "bulk_calls"


def _items(limits: Limits) -> dict[RateLimit, RateLimitItem]:
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
    """Somebody asks too often."""

    def __init__(self, brake: RateLimit, item: RateLimitItem, seconds: int) -> None:
        super().__init__(f"{brake}: again in {seconds} s")
        self.policy = f'"{brake}";q={item.amount};w={item.get_expiry()}'
        self.left = f'"{brake}";r=0;t={seconds}'
        self.seconds = seconds


class RateLimits:
    """The counts of moving windows: in the broker's Redis for all processes, else in this one's memory."""

    def __init__(self, url: str | None, secret: str, limits: Limits) -> None:
        self._secret = hashlib.sha256(f"moneyback brakes {secret}".encode()).digest()
        self._items = _items(limits)
        self._shared = _shared(url) if url else None
        self._own: MemoryStorage | None = None
        self._away_until = 0.0
        self._lock = Lock()

    @classmethod
    def of(cls, settings: Settings) -> "RateLimits | None":
        """The brakes that these settings put in; None where they put in none."""
        if not settings.limits.rate_limits_enabled:
            return None
        return cls(redis_url(settings), settings.secret_key.get_secret_value(), settings.limits)

    def check(self, counted: Mapping[RateLimit, str]) -> None:
        """Counts one request for each of these; a TooManyError where one of them was full."""
        asked = [(self._items[brake], self._name(brake, value)) for brake, value in counted.items()]
        taken, storage = self._take(asked)
        full = [n for n, free in enumerate(taken) if not free]
        if full:
            waits = {n: _wait(storage, *asked[n]) for n in full}
            last = max(full, key=waits.__getitem__)  # before that, asking again is in vain
            brake = list(counted)[last]
            log.warning("rate_limited", brake=brake, again_in=waits[last])
            raise RateLimitedError(brake, asked[last][0], waits[last])

    def _take(self, asked: Sequence[tuple[RateLimitItem, str]]) -> tuple[list[bool], RedisStorage | MemoryStorage]:
        if self._shared and time.monotonic() >= self._away_until:
            try:
                return _together(self._shared, asked), self._shared
            except AWAY as error:
                self._away_until = time.monotonic() + LEFT_ALONE
                log.warning("rate_limit_store_unavailable", error=type(error).__name__)
        with self._lock:
            self._own = self._own or MemoryStorage()
        window = MovingWindowRateLimiter(self._own)
        return [window.hit(item, name) for item, name in asked], self._own

    def _name(self, brake: RateLimit, value: str) -> str:
        return f"{brake}:{hmac.new(self._secret, f'{brake}:{value}'.encode(), hashlib.sha256).hexdigest()[:32]}"


def _shared(url: str) -> RedisStorage:
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 1)
    )
    return RedisStorage("redis://", connection_pool=pool, key_prefix=PREFIX)


def _together(storage: RedisStorage, asked: Sequence[tuple[RateLimitItem, str]]) -> list[bool]:
    """What MovingWindowRateLimiter.hit() does, for all of them in one round trip."""
    try:
        return _in_one_trip(storage, asked)
    except redis.exceptions.NoScriptError:  # a broker that was just started does not know it yet
        storage.storage.script_load(storage.SCRIPT_ACQUIRE_MOVING_WINDOW)
        return _in_one_trip(storage, asked)


def _in_one_trip(storage: RedisStorage, asked: Sequence[tuple[RateLimitItem, str]]) -> list[bool]:
    with storage.storage.pipeline(transaction=False) as line:
        for item, name in asked:
            key = storage.prefixed_key(item.key_for(name))
            line.evalsha(storage.lua_acquire_moving_window.sha, 1, key, time.time(), item.amount, item.get_expiry(), 1)
        return [bool(taken) for taken in line.execute()]


def _wait(storage: RedisStorage | MemoryStorage, item: RateLimitItem, name: str) -> int:
    """Whole seconds until there is room again."""
    try:
        room_at = MovingWindowRateLimiter(storage).get_window_stats(item, name).reset_time
    except AWAY:
        return item.get_expiry()
    return max(1, math.ceil(room_at - time.time()))


# What FastAPI asks before an endpoint.


async def limit_forms(request: Request) -> None:
    """Every form, by its network and by what was typed, or by its link. Looking at pages is free."""
    brakes = request.app.state.brakes
    if brakes is None or request.method != "POST":
        return
    counted = {RateLimit.NETWORK: _network(request)}
    if token := request.path_params.get("token"):
        counted[RateLimit.LINK] = token
    elif request.url.path != DECLARATIONS:
        typed = await forms.typed(request)
        keys = {
            RateLimit.ADDRESS: email_key(typed.get("email", "")),
            RateLimit.REFERENCE: reference_key(typed.get("reference", "")),
        }
        counted |= {brake: key for brake, key in keys.items() if key}
    await run_sync(brakes.press, counted)


async def limit_api_calls(request: Request) -> None:
    """Every call of the API, by its key and, so that wrong keys are counted as well, by its network; bulk apart."""
    brakes = request.app.state.brakes
    if brakes is None:
        return
    bulk = request.url.path.endswith("/bulk")
    by_key, by_network = (RateLimit.BULK, RateLimit.BULK_CALLS) if bulk else (RateLimit.KEY, RateLimit.CALLS)
    counted = {by_network: _network(request)}
    if key := request.headers.get("authorization"):
        counted[by_key] = key
    await run_sync(brakes.press, counted)


def on_too_many(request: Request, error: Exception) -> Response:
    """When to come again, for people in a sentence and for programs in headers (draft-ietf-httpapi-ratelimit-headers)."""
    assert isinstance(error, RateLimitedError)
    headers = {"retry-after": str(error.seconds)}
    if is_program(request):
        headers |= {"ratelimit-policy": error.policy, "ratelimit": error.left}
    return problem_response(request, ProblemCode.RATE_LIMITED, headers=headers)


def _network(request: Request) -> str:
    return client_network(request, request.app.state.settings.trusted_proxies)

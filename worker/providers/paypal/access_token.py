"""The token that PayPal wants with each call: one for a process, fetched anew before it ends."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

import requests

from domain.providers import Unknown
from worker.providers.deadline import left

MARGIN = 120.0  # seconds before its end that a token is no longer used: longer than any call lasts


class NoTokenError(Exception):
    """PayPal gives no token; ``unknown`` says why."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.why)
        self.unknown = unknown


class Tokens:
    """Threads share it. Whoever finds the token used up fetches the next; the others wait for it, within their time."""

    def __init__(self, fetch: Callable[[], tuple[str, float] | Unknown]) -> None:
        self._fetch = fetch
        self._lock = Lock()
        self._token, self._until = "", 0.0

    def current(self) -> str:
        """Raises NoTokenError, and requests.Timeout where others took all the time."""
        if not self._lock.acquire(timeout=left()):
            raise requests.Timeout("The time for the call is up.")
        try:
            if monotonic() >= self._until:
                fetched = self._fetch()
                if isinstance(fetched, Unknown):
                    raise NoTokenError(fetched)
                self._token, seconds = fetched
                self._until = monotonic() + seconds - MARGIN
            return self._token
        finally:
            self._lock.release()

    def forget(self, token: str) -> None:
        """PayPal does not take this one any more."""
        with self._lock:
            if token == self._token:
                self._until = 0.0

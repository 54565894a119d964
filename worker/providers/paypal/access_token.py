"""Keeps the OAuth 2.0 access token for PayPal: one for each process, renewed before it expires."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

from domain.providers import Unknown
from worker.providers.deadline import remaining_seconds

MARGIN = 120.0  # seconds before its expiry that a token is no longer used: longer than any call takes


class AccessToken:
    """Shares one token between threads. The first thread that needs a new token fetches it; the others wait for it."""

    def __init__(self, fetch: Callable[[], tuple[str, float] | Unknown]) -> None:
        """Take a function that fetches a token and the seconds until it expires."""
        self._fetch = fetch
        self._lock = Lock()
        self._token, self._expires = "", 0.0

    def current(self) -> str | Unknown:
        """Return a valid token, or why there is none within the current time limit."""
        try:
            is_locked = self._lock.acquire(timeout=remaining_seconds())
        except TimeoutError:
            is_locked = False
        if not is_locked:
            return Unknown("PayPal did not answer in time.")
        try:
            if monotonic() >= self._expires:
                fetched = self._fetch()
                if isinstance(fetched, Unknown):
                    return fetched
                self._token, seconds = fetched
                self._expires = monotonic() + seconds - MARGIN
            return self._token
        finally:
            self._lock.release()

    def discard(self, token: str) -> None:
        """Drop this token, because PayPal rejects it. A token that another thread fetched meanwhile stays."""
        with self._lock:
            if token == self._token:
                self._expires = 0.0

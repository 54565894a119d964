"""Keeps the OAuth 2.0 access token for PayPal. Each process has its own token, which is renewed before it expires."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

from domain.providers import Unknown
from worker.providers.deadline import remaining_seconds

MARGIN = 120.0
"""A token that expires within this number of seconds is renewed before the call, so that it does not expire during the call."""


class AccessToken:
    """A token that threads share. The first thread that needs a new token fetches the token, and the other threads wait."""

    def __init__(self, fetch: Callable[[], tuple[str, float] | Unknown]) -> None:
        """Take a function that fetches a token and the seconds until it expires."""
        self._fetch = fetch
        self._lock = Lock()
        self._token, self._expires = "", 0.0

    def current(self) -> str | Unknown:
        """Return a valid token. If no token can be fetched before the current deadline, return Unknown with the reason."""
        try:
            is_locked = self._lock.acquire(timeout=remaining_seconds())
        except TimeoutError:
            is_locked = False
        if not is_locked:
            return Unknown("PayPal did not answer in time.")
        try:
            if monotonic() >= self._expires:
                new_token = self._fetch()
                if isinstance(new_token, Unknown):
                    return new_token
                self._token, seconds = new_token
                self._expires = monotonic() + seconds - MARGIN
            return self._token
        finally:
            self._lock.release()

    def discard(self, token: str) -> None:
        """Drop ``token``, because PayPal rejects it. A newer token from another thread stays."""
        with self._lock:
            if token == self._token:
                self._expires = 0.0

"""Asks a provider about a payment while a person waits for the answer, so each question ends within a few seconds."""

import time
from collections.abc import Mapping, Sequence
from threading import BoundedSemaphore

from domain.providers import Declined, ListedRefund, PaymentProvider, PaymentStatus, ProviderAnswer, Unknown
from worker.provider_client import catch_adapter_errors
from worker.providers.deadline import time_limit
from worker.providers.rate_limiter import RateLimiter

SECONDS = 4.0
"""How long the person waits for both calls. A healthy provider answers each of them within a second."""
MAX_QUESTIONS = 4
"""The maximum number of questions at a time, so that a hanging provider does not take all threads of the desk."""

_NO_TURN = "The rate limit of the provider allows no further call at this moment."
_TOO_MANY = "Too many people are asking providers at this moment."


class ProviderQuestions:
    """The providers that can be asked. Several threads use one object at the same time."""

    def __init__(self, providers: Mapping[str, PaymentProvider], rate_limiter: RateLimiter) -> None:
        self._providers = providers
        self._rate_limiter = rate_limiter
        self._turns = BoundedSemaphore(MAX_QUESTIONS)

    def ask(self, provider: str, charge: str) -> ProviderAnswer | None:
        """Return what the provider says about the payment and its refunds now. None if the account is not connected.

        An outcome that the provider does not show is None in the answer.
        """
        if (adapter := self._providers.get(provider)) is None:
            return None
        if not self._turns.acquire(blocking=False):
            return ProviderAnswer(Unknown(_TOO_MANY), None)
        try:
            until = time.monotonic() + SECONDS
            payment = self._payment(provider, adapter, charge, until)
            return ProviderAnswer(payment, self._refunds(provider, adapter, charge, until, payment))
        finally:
            self._turns.release()

    def _payment(
        self, provider: str, adapter: PaymentProvider, charge: str, until: float
    ) -> PaymentStatus | Declined | Unknown | None:
        if not adapter.capabilities.shows_payments:
            return None
        if not self._has_turn(provider, adapter, until):
            return Unknown(_NO_TURN)
        with time_limit(until - time.monotonic()):
            return catch_adapter_errors(provider, lambda: adapter.payment(charge))

    def _refunds(
        self,
        provider: str,
        adapter: PaymentProvider,
        charge: str,
        until: float,
        payment: PaymentStatus | Declined | Unknown | None,
    ) -> Sequence[ListedRefund] | Unknown | None:
        """Return the refunds. If the provider does not know the payment, or did not answer, do not ask again."""
        if not adapter.capabilities.lists_refunds or isinstance(payment, Declined | Unknown):
            return None
        if not self._has_turn(provider, adapter, until):
            return Unknown(_NO_TURN)
        with time_limit(until - time.monotonic()):
            return catch_adapter_errors(provider, lambda: adapter.refunds(charge))

    def _has_turn(self, provider: str, adapter: PaymentProvider, until: float) -> bool:
        """Wait until the rate limit allows a call, but only as long as the call can still end in time."""
        return self._rate_limiter.acquire(provider, adapter.capabilities.calls_per_second, until=until - SECONDS / 2)

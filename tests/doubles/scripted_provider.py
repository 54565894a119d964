"""A provider double with scripted results."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from domain.money import Money
from domain.providers import (
    Capabilities,
    DisputeStatus,
    ListedRefund,
    LookupResult,
    NotFound,
    RefundPage,
    RefundResult,
    Unknown,
)
from domain.purchases import Dispute
from worker.providers.capability_defaults import CapabilityDefaults

KEYS_FOR_A_DAY = Capabilities(idempotency_key_ttl=timedelta(hours=24), rejects_over_refund=True)


class ScriptedProvider(CapabilityDefaults):
    """A provider that returns scripted results in order, and then repeats the last result.

    Refund and lookup results are separate lists. Without lookup results, each lookup returns `NotFound`.
    """

    def __init__(
        self,
        refund_results: Iterable[RefundResult] = (),
        lookup_results: Iterable[LookupResult] = (),
        *,
        capabilities: Capabilities = KEYS_FOR_A_DAY,
    ) -> None:
        self.capabilities = capabilities
        self._refunds, self._lookup_results = list(refund_results), list(lookup_results) or [NotFound()]
        self.keys: list[str] = []
        """The idempotency key of each refund call."""
        self.lookups = 0
        self.shown: list[ListedRefund] | None = None
        """The refunds that the provider shows and lists; None if it can only list them, and lists none."""

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:  # noqa: ARG002
        self.keys.append(key)
        return self._refunds[min(len(self.keys), len(self._refunds)) - 1]

    def look_up(self, charge: str, *, key: str) -> LookupResult:  # noqa: ARG002
        self.lookups += 1
        return self._lookup_results[min(self.lookups, len(self._lookup_results)) - 1]

    def answer_lookups(self, *results: LookupResult) -> None:
        """Return these results from now on."""
        self._lookup_results, self.lookups = list(results), 0

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        if self.shown is None:
            return super().refunds(charge)
        return [refund for refund in self.shown if refund.charge == charge]

    def dispute(self, charge: str) -> DisputeStatus | Unknown:  # noqa: ARG002
        return DisputeStatus(Dispute.NONE)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:  # noqa: ARG002
        return RefundPage(self.shown or ())

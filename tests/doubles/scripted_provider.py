"""A provider double with scripted results."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from domain.money import Money
from domain.providers import Capabilities, DisputeStatus, LookupResult, NotFound, RefundPage, RefundResult, Unknown
from domain.purchases import Dispute

A_DAY = Capabilities(idempotency_key_ttl=timedelta(hours=24), rejects_over_refund=True)


class Scripted:
    """Returns the scripted results in order, and repeats the last of each kind. Without lookup results, it finds nothing."""

    def __init__(
        self,
        refunds: Iterable[RefundResult] = (),
        finds: Iterable[LookupResult] = (),
        *,
        capabilities: Capabilities = A_DAY,
    ) -> None:
        self.capabilities = capabilities
        self._refunds, self._finds = list(refunds), list(finds) or [NotFound()]
        self.keys: list[str] = []
        """The idempotency key of each refund call."""
        self.looks = 0

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:  # noqa: ARG002
        self.keys.append(key)
        return self._refunds[min(len(self.keys), len(self._refunds)) - 1]

    def look_up(self, charge: str, *, key: str) -> LookupResult:  # noqa: ARG002
        self.looks += 1
        return self._finds[min(self.looks, len(self._finds)) - 1]

    def dispute(self, charge: str) -> DisputeStatus | Unknown:  # noqa: ARG002
        return DisputeStatus(Dispute.NONE)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:  # noqa: ARG002
        return RefundPage(())

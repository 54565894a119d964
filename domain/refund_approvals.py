"""The approval of refunds by support: which amounts of which payments, and which rules a person overruled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from domain.money import Money


@dataclass(frozen=True, slots=True)
class ApprovedRefund:
    """A refund that support approved: the full payment or a part of it."""

    provider: str
    charge: str
    amount: Money
    refunded_before: int = 0
    """What had been refunded of the payment when the person decided, in minor units."""

    @property
    def payment(self) -> tuple[str, str]:
        """The provider and the charge."""
        return self.provider, self.charge


@dataclass(frozen=True, slots=True)
class RefundApproval:
    """An approval of refunds by support. The history of the case contains it, in the row that approves the refunds."""

    decision: UUID
    """The id of the decision. Each refund operation names the decision that approved it."""
    refunds: tuple[ApprovedRefund, ...]
    """At most one refund of each payment."""
    overruled: frozenset[str] = frozenset()
    """The codes of the rules that the person overruled. Every other rule still holds."""

    def as_evidence(self) -> dict[str, object]:
        """Return the approval as JSON for the history."""
        return {
            "decision": str(self.decision),
            "refunds": [
                [refund.provider, refund.charge, refund.amount.minor, refund.amount.currency, refund.refunded_before]
                for refund in self.refunds
            ],
            "overruled": sorted(self.overruled),
        }

    @classmethod
    def from_evidence(cls, evidence: Mapping[str, Any]) -> Self:
        """Return the approval from the JSON of ``as_evidence``."""
        refunds: Sequence[tuple[str, str, int, str, int]] = evidence["refunds"]
        return cls(
            UUID(evidence["decision"]),
            tuple(
                ApprovedRefund(provider, charge, Money(minor, currency), before)
                for provider, charge, minor, currency, before in refunds
            ),
            frozenset(evidence["overruled"]),
        )

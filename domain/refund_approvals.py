"""The approval of refunds by support: which amounts of which payments, and which rules a person overruled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from domain.money import Money
from domain.policies import is_above


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
    decided_by: str = ""
    """The id of the person or program that decided."""
    confirmed_by: str | None = None
    """The id of the second person, if a second person confirmed the decision."""
    counted: Money | None = None
    """The amount that the seller's limits count: the sum of this approval, or of the batch of which it is a part."""
    refunded_before: int = 0
    """What had been refunded of the purchase when the person decided, in minor units, also in ways that no provider shows."""

    @property
    def total(self) -> Money:
        """The sum of the refunds. All refunds of an approval have the same currency."""
        return Money(sum(refund.amount.minor for refund in self.refunds), self.refunds[0].amount.currency)

    def lacks_four_eyes(self, limit: Money | None) -> bool:
        """Return whether a second person should have confirmed the approval, but nobody or the same person did."""
        amount = self.total if self.counted is None else self.counted
        exceeds = is_above(amount, limit) or is_above(self.total, limit)
        return exceeds and self.confirmed_by in {None, self.decided_by}

    def as_evidence(self) -> dict[str, object]:
        """Return the approval as JSON for the history."""
        return {
            "decision": str(self.decision),
            "refunds": [
                [refund.provider, refund.charge, refund.amount.minor, refund.amount.currency, refund.refunded_before]
                for refund in self.refunds
            ],
            "overruled": sorted(self.overruled),
            "decided_by": self.decided_by,
            "confirmed_by": self.confirmed_by,
            "counted": [self.counted.minor, self.counted.currency] if self.counted else None,
            "refunded_before": self.refunded_before,
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
            evidence["decided_by"],
            evidence["confirmed_by"],
            Money(*evidence["counted"]) if evidence["counted"] else None,
            evidence["refunded_before"],
        )

"""A seller's refund policy, version by version, and what the seller has switched on today."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.money import Money

STATUTORY_DAYS = 14  # Directive 2011/83/EU, Art. 9(1)


class Category(StrEnum):
    """What a policy says about refunds without approval."""

    NO_RESTRICTIONS = "no_restrictions"
    WITHIN_DAYS = "within_days"
    APPROVAL_REQUIRED = "approval_required"
    IN_HOUSE_SUPPORT = "in_house_support"
    STATUTORY_WITHDRAWAL = "statutory_withdrawal"
    NO_REFUNDS = "no_refunds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of a seller's policy, in force from its instant on. Versions are never edited: a new one follows."""

    seller: str
    version: int
    in_force_from: datetime
    category: Category
    days: int | None = None
    methods: frozenset[str] = frozenset()
    excluded_products: frozenset[str] = frozenset()
    renewals_excluded: bool = False

    def __post_init__(self) -> None:
        if (self.category is Category.WITHIN_DAYS) != (self.days is not None):
            raise ValueError("A policy has a number of days when, and only when, its category is within_days.")
        if self.days is not None and self.days < 0:
            raise ValueError(f"A policy cannot allow refunds within {self.days} days; 0 means the same day.")

    def window_days(self, *, consumer: bool) -> int | None:
        """How many calendar days a refund may be asked for, where this policy sets a limit."""
        if self.category is Category.STATUTORY_WITHDRAWAL:
            return STATUTORY_DAYS if consumer else None
        return self.days

    def says(self, *, consumer: bool) -> Category:
        """The category for this customer: the right of withdrawal is the consumers' alone."""
        if self.category is Category.STATUTORY_WITHDRAWAL and not consumer:
            return Category.APPROVAL_REQUIRED
        return self.category


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLimit:
    """At this many automatic refunds in this time, the next one is for people. A count of 0 sends every one to them."""

    count: int
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """A seller as it stands today: set-up and risk controls, which count at the time of the request."""

    id: str
    name: str
    time_zone: ZoneInfo
    support_email: str
    self_service: bool = True
    ceiling: Money | None = None
    serial_limit: SerialLimit | None = None


def in_force(policies: Iterable[Policy], at: datetime) -> Policy | None:
    """The latest version whose ``from`` is not after this instant, that instant included."""
    begun = [policy for policy in policies if policy.in_force_from <= at]
    return max(begun, key=lambda policy: (policy.in_force_from, policy.version), default=None)

"""The versions of refund policies, and the sellers with their current settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.money import Money

STATUTORY_DAYS = 14  # Directive 2011/83/EU, Art. 9(1)


class Category(StrEnum):
    """The category of a policy. It determines which refunds the policy allows without the seller's approval."""

    NO_RESTRICTIONS = "no_restrictions"
    WITHIN_DAYS = "within_days"
    APPROVAL_REQUIRED = "approval_required"
    IN_HOUSE_SUPPORT = "in_house_support"
    STATUTORY_WITHDRAWAL = "statutory_withdrawal"
    NO_REFUNDS = "no_refunds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A version of a seller's policy. A version never changes. If the seller changes the policy, a new version is stored."""

    seller_id: str
    version: int
    in_force_from: datetime
    category: Category
    days: int | None = None
    methods: frozenset[str] = frozenset()
    excluded_products: frozenset[str] = frozenset()
    renewals_excluded: bool = False
    refunds_inquiries: bool = False
    """True if a payment is refunded although the customer's bank asks about it. A refund often ends an inquiry."""

    def __post_init__(self) -> None:
        if (self.category is Category.WITHIN_DAYS) != (self.days is not None):
            raise ValueError(
                'A policy with the category "within_days" needs a number of days; any other policy must not have one.'
            )
        if self.days is not None and self.days < 0:
            raise ValueError(f"A policy cannot allow refunds within {self.days} days; 0 means the same day.")

    def window_days(self, *, consumer: bool) -> int | None:
        """Return for how many calendar days a refund may be requested; None if this policy sets no limit."""
        if self.category is Category.STATUTORY_WITHDRAWAL:
            return STATUTORY_DAYS if consumer else None
        return self.days

    def category_for(self, *, consumer: bool) -> Category:
        """Return the category for a consumer or for another customer. Only consumers have the right of withdrawal."""
        if self.category is Category.STATUTORY_WITHDRAWAL and not consumer:
            return Category.APPROVAL_REQUIRED
        return self.category


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLimit:
    """A limit. If a customer had ``count`` automatic refunds within the time ``within``, support decides the next request.

    A count of 0 sends every request to support.
    """

    count: int
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """A seller with the current settings and risk limits. Each evaluation of a case reads the settings again."""

    id: str
    name: str
    time_zone: ZoneInfo
    support_email: str
    self_service: bool = True
    ceiling: Money | None = None
    serial_limit: SerialLimit | None = None
    four_eyes_above: Money | None = None
    """Above this amount, a second person must confirm a refund that one person of support approves. None means never."""
    undo_above: Money | None = None
    """Above this amount, a refund that support approves waits some seconds, so that it can be undone. None means never."""
    reference_field: str | None = None
    """The field of a provider's payment that contains the purchase's reference: ``receipt_number``, ``invoice_number``,
    ``metadata.<name>`` or ``charge``. None means ``metadata.reference``, or else the number of the invoice or the receipt,
    or else the charge."""
    answer_hours: int | None = None
    """The number of working hours within which support should answer. All 24 hours of Monday to Friday are working hours, in the
    seller's time zone. None means that the seller promises no answer time."""


def is_above(amount: Money, limit: Money | None) -> bool:
    """Return whether the amount is above the limit. An amount in another currency than the limit is always above it."""
    return limit is not None and (amount.currency != limit.currency or amount.minor > limit.minor)


def in_force(policies: Iterable[Policy], at: datetime) -> Policy | None:
    """Return the version in force at the instant ``at``: the version with the latest ``in_force_from`` up to ``at``."""
    started = [policy for policy in policies if policy.in_force_from <= at]
    return max(started, key=lambda policy: (policy.in_force_from, policy.version), default=None)

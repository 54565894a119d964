"""The rules of an automatic refund: one function a rule, one list. Pure: every fact comes in, the clock too.

Settled facts of each rule are in its docstring; the list in the documentation is made from this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.money import CURRENCIES
from domain.policies import Category, Policy, Seller
from domain.purchases import AUTOMATIC, Dispute, Purchase
from domain.reason_codes import ReasonCode, RuleResult
from domain.requests import RefundScope, SubmittedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityInput:
    """Everything a decision needs, gathered before it is made."""

    request: SubmittedRequest
    purchase: Purchase | None
    seller: Seller | None
    policy: Policy | None
    """The version in force at ``purchase.decisive_at``, whatever is in force today."""
    open_case: UUID | None = None
    provider_window: timedelta | None = None
    refunds_of_customer: tuple[datetime, ...] = ()
    """When this customer, by address or instrument, had automatic refunds; those under way count as of now."""
    paid_at: datetime | None = None
    """When the provider would be asked to pay, if not at the request."""


@dataclass(frozen=True, slots=True)
class Approve:
    """Pay: every rule is kept and the sender is known to be the customer."""

    findings: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class RequireConfirmation:
    """Every rule is kept; the customer confirms by mail before anything is paid."""

    findings: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Escalate:
    """A person must decide."""

    findings: tuple[RuleResult, ...]

    @property
    def reasons(self) -> tuple[RuleResult, ...]:
        """What speaks against it: all of it, so that support sees everything at once."""
        return tuple(finding for finding in self.findings if finding.code)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No purchase, or not exactly one, has this reference and this address."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another case holds this purchase: this request joins it."""

    case: UUID


Decision = Approve | RequireConfirmation | Escalate | Unmatched | Duplicate


@dataclass(frozen=True, slots=True)
class _Facts:
    """A question whose purchase and seller are known."""

    request: SubmittedRequest
    purchase: Purchase
    seller: Seller
    policy: Policy | None
    provider_window: timedelta | None
    refunds_of_customer: tuple[datetime, ...]
    paid_at: datetime


def full_refund(facts: _Facts) -> ReasonCode | None:
    """The whole amount is asked for. Partial and VAT refunds go to people."""
    return None if facts.request.refund_scope is RefundScope.FULL else ReasonCode.FULL_REFUND_ONLY


def self_service_on(facts: _Facts) -> ReasonCode | None:
    """The seller has self-service switched on at the time of the request."""
    return None if facts.seller.self_service else ReasonCode.SELF_SERVICE_OFF


def policy_allows(facts: _Facts) -> ReasonCode | None:
    """The policy in force at the purchase allows refunds without approval; withdrawal by law is for consumers."""
    if facts.policy is None:
        return ReasonCode.NO_POLICY
    return FORBIDDING.get(facts.policy.says(consumer=facts.purchase.consumer))


def method_is_automatic(facts: _Facts) -> ReasonCode | None:
    """Credit card, PayPal, Apple Pay, Alipay, direct debit, Amazon Pay, or a method that the policy version names."""
    named = facts.policy.methods if facts.policy else frozenset()
    return None if facts.purchase.method in AUTOMATIC | named else ReasonCode.METHOD_NOT_AUTOMATIC


def within_window(facts: _Facts) -> ReasonCode | None:
    """Calendar days in the seller's time zone, day 0 the purchase's local date, the last day until its end.

    Any instant later than the request is in the future, under every category.
    """
    bought_at, asked_at = facts.purchase.decisive_at, facts.request.received_at
    if bought_at > asked_at:
        return ReasonCode.PURCHASE_IN_FUTURE
    days = facts.policy.window_days(consumer=facts.purchase.consumer) if facts.policy else None
    zone = facts.seller.time_zone
    passed = (asked_at.astimezone(zone).date() - bought_at.astimezone(zone).date()).days
    return ReasonCode.OUTSIDE_WINDOW if days is not None and passed > days else None


def untouched(facts: _Facts) -> ReasonCode | None:
    """Nothing has been refunded yet, not one minor unit."""
    return ReasonCode.ALREADY_REFUNDED if facts.purchase.refunded else None


def undisputed(facts: _Facts) -> ReasonCode | None:
    """No dispute or chargeback is open or lost. One that the seller won does not count."""
    return {Dispute.OPEN: ReasonCode.DISPUTE_OPEN, Dispute.LOST: ReasonCode.DISPUTE_LOST}.get(facts.purchase.dispute)


def amount_is_sound(facts: _Facts) -> ReasonCode | None:
    """The amount is known, above zero, in whole minor units of a currency we know."""
    amount, currency = facts.purchase.amount, facts.purchase.currency
    sound = type(amount) is int and amount > 0 and currency in CURRENCIES
    return None if sound else ReasonCode.AMOUNT_INVALID


def product_not_excepted(facts: _Facts) -> ReasonCode | None:
    """The policy version does not except the product."""
    excepted = facts.policy is not None and facts.purchase.product in facts.policy.excluded_products
    return ReasonCode.PRODUCT_EXCLUDED if excepted else None


def renewal_not_excepted(facts: _Facts) -> ReasonCode | None:
    """The policy version does not except renewals, if this is one."""
    excepted = facts.policy is not None and facts.policy.renewals_excluded and facts.purchase.renewal
    return ReasonCode.RENEWAL_EXCLUDED if excepted else None


def under_ceiling(facts: _Facts) -> ReasonCode | None:
    """The whole paid amount does not exceed the seller's automatic ceiling, in the same currency. 0 is a ceiling.

    An unknown amount exceeds nothing; that it is unknown is the finding of its own rule.
    """
    ceiling = facts.seller.ceiling
    if ceiling is None:
        return None
    over = facts.purchase.currency != ceiling.currency or (facts.purchase.amount or 0) > ceiling.minor
    return ReasonCode.OVER_CEILING if over else None


def provider_window_open(facts: _Facts) -> ReasonCode | None:
    """The provider can still refund this route and method when it is asked: elapsed time since the charge, its end included."""
    window = facts.provider_window
    closed = window is not None and facts.paid_at - facts.purchase.charged_at > window
    return ReasonCode.PROVIDER_WINDOW_CLOSED if closed else None


def not_serial(facts: _Facts) -> ReasonCode | None:
    """Fewer than N automatic refunds of this customer in the last M × 24 hours; one exactly that old no longer counts."""
    limit = facts.seller.serial_limit
    if limit is None:
        return None
    recent = sum(facts.request.received_at - at < limit.within for at in facts.refunds_of_customer)
    return ReasonCode.SERIAL_REFUNDS if recent >= limit.count else None


FORBIDDING = {
    Category.APPROVAL_REQUIRED: ReasonCode.APPROVAL_REQUIRED,
    Category.IN_HOUSE_SUPPORT: ReasonCode.IN_HOUSE_SUPPORT,
    Category.NO_REFUNDS: ReasonCode.NO_REFUNDS,
}

RULES: tuple[Callable[[_Facts], ReasonCode | None], ...] = (
    full_refund,
    self_service_on,
    policy_allows,
    method_is_automatic,
    within_window,
    untouched,
    undisputed,
    amount_is_sound,
    product_not_excepted,
    renewal_not_excepted,
    under_ceiling,
    provider_window_open,
    not_serial,
)
"""Every rule that is asked once the purchase is known to be one, and free."""


def decide(given: EligibilityInput) -> Decision:
    """Every rule is asked, so that support and customer see all the reasons at once."""
    if given.purchase is None or given.seller is None:
        return Unmatched()
    if given.open_case is not None:
        return Duplicate(given.open_case)
    facts = _Facts(
        given.request,
        given.purchase,
        given.seller,
        given.policy,
        given.provider_window,
        given.refunds_of_customer,
        given.paid_at or given.request.received_at,
    )
    findings = tuple(RuleResult(rule.__name__, rule(facts)) for rule in RULES)
    if any(finding.code for finding in findings):
        return Escalate(findings)
    return Approve(findings) if given.request.trusted else RequireConfirmation(findings)

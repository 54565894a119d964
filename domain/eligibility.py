"""The rules of an automatic refund: one function a rule, one list. Pure: every fact comes in, the clock too.

Settled facts of each rule are in its docstring; the list in the documentation is made from this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.findings import Code, Finding
from domain.money import CURRENCIES
from domain.policies import Category, Policy, Seller
from domain.purchases import AUTOMATIC, Dispute, Purchase
from domain.requests import Asked, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything a decision needs, gathered before it is made."""

    asked: Asked
    purchase: Purchase | None
    seller: Seller | None
    policy: Policy | None
    """The version in force at ``purchase.decisive_at``, whatever is in force today."""
    live_case: UUID | None = None
    provider_window: timedelta | None = None
    refunds_of_customer: tuple[datetime, ...] = ()
    """When this customer, by address or instrument, had automatic refunds; those under way count as of now."""
    paid_at: datetime | None = None
    """When the provider would be asked to pay, if not at the request."""


@dataclass(frozen=True, slots=True)
class Approve:
    """Pay: every rule is kept and the sender is known to be the customer."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class AskFirst:
    """Every rule is kept; the customer confirms by mail before anything is paid."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Escalate:
    """A person must decide."""

    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """What speaks against it: all of it, so that support sees everything at once."""
        return tuple(finding for finding in self.findings if finding.code)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No purchase, or not exactly one, has this reference and this address."""


@dataclass(frozen=True, slots=True)
class Joins:
    """Another case holds this purchase: this request joins it."""

    case: UUID


Decision = Approve | AskFirst | Escalate | Unmatched | Joins


@dataclass(frozen=True, slots=True)
class _Facts:
    """A question whose purchase and seller are known."""

    asked: Asked
    purchase: Purchase
    seller: Seller
    policy: Policy | None
    provider_window: timedelta | None
    refunds_of_customer: tuple[datetime, ...]
    paid_at: datetime


def full_refund(facts: _Facts) -> Code | None:
    """The whole amount is asked for. Partial and VAT refunds go to people."""
    return None if facts.asked.wish is Wish.FULL else Code.FULL_REFUND_ONLY


def self_service_on(facts: _Facts) -> Code | None:
    """The seller has self-service switched on at the time of the request."""
    return None if facts.seller.self_service else Code.SELF_SERVICE_OFF


def policy_allows(facts: _Facts) -> Code | None:
    """The policy in force at the purchase allows refunds without approval; withdrawal by law is for consumers."""
    if facts.policy is None:
        return Code.NO_POLICY
    return _FORBIDDING.get(facts.policy.says(consumer=facts.purchase.consumer))


def method_is_automatic(facts: _Facts) -> Code | None:
    """Credit card, PayPal, Apple Pay, Alipay, direct debit, Amazon Pay, or a method that the policy version names."""
    named = facts.policy.methods if facts.policy else frozenset()
    return None if facts.purchase.method in AUTOMATIC | named else Code.METHOD_NOT_AUTOMATIC


def within_window(facts: _Facts) -> Code | None:
    """Calendar days in the seller's time zone, day 0 the purchase's local date, the last day until its end.

    Any instant later than the request is in the future, under every category.
    """
    bought_at, asked_at = facts.purchase.decisive_at, facts.asked.at
    if bought_at > asked_at:
        return Code.PURCHASE_IN_FUTURE
    days = facts.policy.window_days(consumer=facts.purchase.consumer) if facts.policy else None
    zone = facts.seller.time_zone
    passed = (asked_at.astimezone(zone).date() - bought_at.astimezone(zone).date()).days
    return Code.OUTSIDE_WINDOW if days is not None and passed > days else None


def untouched(facts: _Facts) -> Code | None:
    """Nothing has been refunded yet, not one minor unit."""
    return Code.ALREADY_REFUNDED if facts.purchase.refunded else None


def undisputed(facts: _Facts) -> Code | None:
    """No dispute or chargeback is open or lost. One that the seller won does not count."""
    return {Dispute.OPEN: Code.DISPUTE_OPEN, Dispute.LOST: Code.DISPUTE_LOST}.get(facts.purchase.dispute)


def amount_is_sound(facts: _Facts) -> Code | None:
    """The amount is known, above zero, in whole minor units of a currency we know."""
    amount, currency = facts.purchase.amount, facts.purchase.currency
    sound = type(amount) is int and amount > 0 and currency in CURRENCIES
    return None if sound else Code.AMOUNT_INVALID


def product_not_excepted(facts: _Facts) -> Code | None:
    """The policy version does not except the product."""
    excepted = facts.policy is not None and facts.purchase.product in facts.policy.excepted_products
    return Code.PRODUCT_EXCEPTED if excepted else None


def renewal_not_excepted(facts: _Facts) -> Code | None:
    """The policy version does not except renewals, if this is one."""
    excepted = facts.policy is not None and facts.policy.renewals_excepted and facts.purchase.renewal
    return Code.RENEWAL_EXCEPTED if excepted else None


def under_ceiling(facts: _Facts) -> Code | None:
    """The whole paid amount does not exceed the seller's automatic ceiling, in the same currency. 0 is a ceiling.

    An unknown amount exceeds nothing; that it is unknown is the finding of its own rule.
    """
    ceiling = facts.seller.ceiling
    if ceiling is None:
        return None
    over = facts.purchase.currency != ceiling.currency or (facts.purchase.amount or 0) > ceiling.minor
    return Code.OVER_CEILING if over else None


def provider_window_open(facts: _Facts) -> Code | None:
    """The provider can still refund this route and method when it is asked: elapsed time since the charge, its end included."""
    window = facts.provider_window
    closed = window is not None and facts.paid_at - facts.purchase.charged_at > window
    return Code.PROVIDER_WINDOW_CLOSED if closed else None


def not_serial(facts: _Facts) -> Code | None:
    """Fewer than N automatic refunds of this customer in the last M × 24 hours; one exactly that old no longer counts."""
    limit = facts.seller.serial_limit
    if limit is None:
        return None
    recent = sum(facts.asked.at - at < limit.within for at in facts.refunds_of_customer)
    return Code.SERIAL_REFUNDS if recent >= limit.count else None


_FORBIDDING = {
    Category.APPROVAL_REQUIRED: Code.APPROVAL_REQUIRED,
    Category.IN_HOUSE_SUPPORT: Code.IN_HOUSE_SUPPORT,
    Category.NO_REFUNDS: Code.NO_REFUNDS,
}

RULES: tuple[Callable[[_Facts], Code | None], ...] = (
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


def decide(question: Question) -> Decision:
    """Every rule is asked, so that support and customer see all the reasons at once."""
    if question.purchase is None or question.seller is None:
        return Unmatched()
    if question.live_case is not None:
        return Joins(question.live_case)
    facts = _Facts(
        question.asked,
        question.purchase,
        question.seller,
        question.policy,
        question.provider_window,
        question.refunds_of_customer,
        question.paid_at or question.asked.at,
    )
    findings = tuple(Finding(rule.__name__, rule(facts)) for rule in RULES)
    if any(finding.code for finding in findings):
        return Escalate(findings)
    return Approve(findings) if question.asked.trusted else AskFirst(findings)

"""The rules of an automatic refund, and the decision about a request. Each rule is a pure function.

docs/rules.md is generated from the docstrings of the rules.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from domain.money import CURRENCIES, Money, UnknownMoneyError
from domain.policies import Category, Policy, Seller
from domain.purchases import Dispute, Payment, Purchase
from domain.reason_codes import BrokenRule, ReasonCode, RuleResult
from domain.requests import RefundScope, SubmittedRequest
from domain.states import WAITING_STATES, State

CLOCK_DIFFERENCE = timedelta(seconds=60)
"""A purchase that is dated this much later than the request is not in the future, because the clocks of shops differ."""


@dataclass(frozen=True, slots=True)
class OpenCase:
    """Another open case of the same purchase."""

    id: UUID
    state: State
    charged_twice: bool
    """True if the case is only about the duplicate payments, if the purchase has any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityInput:
    """The facts that a decision needs."""

    request: SubmittedRequest
    purchase: Purchase | None
    seller: Seller | None
    policy: Policy | None
    """The policy version in force at the time of the purchase. For a renewal, the version in force at the time of the charge.

    A newer version has no effect.
    """
    first_policy_at: datetime | None = None
    """The instant from which the seller's first policy version is in force. None means that the seller has no policy."""
    ambiguous_references: tuple[str, ...] = ()
    """The references of several purchases that the request may be about. Then ``purchase`` is None."""
    open_case: OpenCase | None = None
    """Another open case of the same purchase, if there is one."""
    further_cases: tuple[OpenCase, ...] = ()
    """The cases that wait with support, because the open case is about other payments than their requests."""
    provider_windows: Mapping[tuple[str, str], timedelta] = field(default_factory=dict)
    """For each payment with a known limit: the provider allows a refund only for this long after the charge."""
    refunds_of_customer: tuple[datetime, ...] = ()
    """The instants of the customer's automatic refunds. A refund in progress is listed with the current time.

    Purchases with the same e-mail address or the same payment instrument belong to one customer.
    """
    paid_at: datetime | None = None
    """The instant at which the refund would be sent to the provider. None means the time of the request."""


@dataclass(frozen=True, slots=True)
class Approve:
    """The request meets every rule, and the sender is known to be the customer."""

    findings: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class RequireConfirmation:
    """The request meets every rule. The customer must confirm the request by e-mail before the refund is sent."""

    findings: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Escalate:
    """The request breaks at least one rule, so support must decide."""

    findings: tuple[RuleResult, ...]

    @property
    def reasons(self) -> tuple[RuleResult, ...]:
        """The results of the rules that the request breaks. Support sees all of them together."""
        return tuple(finding for finding in self.findings if finding.code)

    @property
    def explanation(self) -> str:
        """The reasons with their figures, and the number of kept rules, for the history."""
        kept = kept_rules(len(self.findings) - len(self.reasons), len(self.findings))
        return " ".join([*(finding.explanation for finding in self.reasons), kept])


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No purchase has this reference and this e-mail address."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several purchases of the seller have this reference and this e-mail address, and none has the reference literally."""

    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The purchase already has an open case, so the request joins that case."""

    case: UUID


@dataclass(frozen=True, slots=True)
class OtherPayments:
    """The purchase already has an open case, but about other payments. So support must decide about the request."""

    open_case: OpenCase


Decision = Approve | RequireConfirmation | Escalate | Unmatched | Ambiguous | Duplicate | OtherPayments


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts of a request whose purchase and seller are known."""

    request: SubmittedRequest
    purchase: Purchase
    seller: Seller
    policy: Policy | None
    first_policy_at: datetime | None
    provider_windows: Mapping[tuple[str, str], timedelta]
    refunds_of_customer: tuple[datetime, ...]
    paid_at: datetime

    def day(self, at: datetime) -> str:
        """Return the calendar day of an instant in the seller's time zone."""
        return at.astimezone(self.seller.time_zone).date().isoformat()


def full_refund(facts: _Facts) -> BrokenRule | None:
    """Check that the customer requests the full amount. Support decides about partial refunds and VAT refunds."""
    scope = facts.request.refund_scope
    return None if scope is RefundScope.FULL else BrokenRule(ReasonCode.FULL_REFUND_ONLY, _SCOPES[scope])


def self_service_on(facts: _Facts) -> BrokenRule | None:
    """Check that the seller has self-service refunds switched on at the time of the request."""
    seller = facts.seller
    return None if seller.self_service else BrokenRule(ReasonCode.SELF_SERVICE_OFF, f"{seller.name} ({seller.id}).")


def policy_allows(facts: _Facts) -> BrokenRule | None:
    """Check that the policy at the time of purchase allows the refund without approval. Withdrawal is only for consumers.

    Under a policy of statutory withdrawal, a refund to a business customer requires approval.
    """
    policy, consumer = facts.policy, facts.purchase.consumer
    if policy is None:
        first = facts.first_policy_at
        first_policy = f"the first policy is in force from {facts.day(first)}" if first else "the seller has no policy"
        bought_on = facts.day(facts.purchase.decisive_at)
        return BrokenRule(ReasonCode.NO_POLICY, f"Purchased on {bought_on}; {first_policy}.")
    code = _CATEGORY_REASONS.get(policy.category_for(consumer=consumer))
    customer = "" if consumer else "; business customer"
    return BrokenRule(code, f"Policy version {policy.version}{customer}.") if code else None


def method_is_automatic(facts: _Facts) -> BrokenRule | None:
    """Check that the method is credit card, PayPal, Apple Pay, Alipay, direct debit, Amazon Pay, or one that the policy adds.

    If an order was paid with several methods, one such method is enough. Support refunds the other payments.
    """
    policy_methods = facts.policy.methods if facts.policy else frozenset()
    if facts.purchase.automatic_payments(policy_methods):
        return None
    paid_with = _join(payment.method for payment in facts.purchase.payments)
    added = _join(policy_methods) or "no method"
    policy = f"; policy version {facts.policy.version} adds {added}" if facts.policy else ""
    return BrokenRule(ReasonCode.METHOD_NOT_AUTOMATIC, f"Paid with {paid_with}{policy}.")


def within_window(facts: _Facts) -> BrokenRule | None:
    """Check that the request came on or before the last day of the window, in the seller's time zone. The purchase day is day 0.

    If the date of the purchase is more than 60 seconds later than the request, the request breaks this rule under every policy.
    """
    purchased_at, requested_at = facts.purchase.decisive_at, facts.request.received_at
    if purchased_at > requested_at + CLOCK_DIFFERENCE:
        detail = f"Purchased at {purchased_at:{_INSTANT}}; requested at {requested_at:{_INSTANT}}."
        return BrokenRule(ReasonCode.PURCHASE_IN_FUTURE, detail)
    if facts.policy is None or (days := facts.policy.window_days(consumer=facts.purchase.consumer)) is None:
        return None
    zone = facts.seller.time_zone
    days_passed = (requested_at.astimezone(zone).date() - purchased_at.astimezone(zone).date()).days
    if days_passed <= days:
        return None
    event = "charge of the renewal" if facts.purchase.renewal else "purchase"
    detail = f"{_count(days_passed, 'day')} after the {event}; policy version {facts.policy.version} allows {days}."
    return BrokenRule(ReasonCode.OUTSIDE_WINDOW, detail)


def untouched(facts: _Facts) -> BrokenRule | None:
    """Check that nothing has been refunded yet, not even one minor unit of one payment."""
    purchase = facts.purchase
    if not purchase.refunded:
        return None
    amounts = f"{_money(purchase.refunded, purchase.currency)} of {_money(purchase.amount, purchase.currency)}"
    return BrokenRule(ReasonCode.ALREADY_REFUNDED, f"{amounts} refunded.")


def undisputed(facts: _Facts) -> BrokenRule | None:
    """Check that no dispute, chargeback or inquiry is open, and no dispute is lost. A dispute that the seller won does not count.

    An inquiry is a question of the bank before a dispute. The policy version may allow refunds in spite of an inquiry.
    """
    purchase = facts.purchase
    if purchase.dispute is Dispute.INQUIRY and facts.policy is not None and facts.policy.refunds_inquiries:
        return None
    code = _DISPUTE_REASONS.get(purchase.dispute)
    disputed = [_charge(payment) for payment in purchase.payments if payment.dispute is purchase.dispute]
    return BrokenRule(code, f"{_join(disputed) or 'Reported by the seller'}.") if code else None


def amount_is_sound(facts: _Facts) -> BrokenRule | None:
    """Check that the amount of each payment is known, above zero, and in whole minor units of one known currency."""
    payments = facts.purchase.payments
    amounts = [payment.amount for payment in payments]
    if all(type(amount) is int and amount > 0 for amount in amounts) and facts.purchase.currency in CURRENCIES:
        return None
    detail = "; ".join(f"{_charge(payment)}: {_money(payment.amount, payment.currency)}" for payment in payments)
    return BrokenRule(ReasonCode.AMOUNT_INVALID, f"{detail}.")


def product_not_excepted(facts: _Facts) -> BrokenRule | None:
    """Check that the policy version does not exclude the product."""
    if facts.policy is None or facts.purchase.product not in facts.policy.excluded_products:
        return None
    detail = f"{facts.purchase.product}; excluded by policy version {facts.policy.version}."
    return BrokenRule(ReasonCode.PRODUCT_EXCLUDED, detail)


def renewal_not_excepted(facts: _Facts) -> BrokenRule | None:
    """Check that the policy version does not exclude renewals, if the purchase is a renewal."""
    if facts.policy is None or not (facts.policy.renewals_excluded and facts.purchase.renewal):
        return None
    renewed_on = facts.day(facts.purchase.decisive_at)
    return BrokenRule(ReasonCode.RENEWAL_EXCLUDED, f"Renewed on {renewed_on}; policy version {facts.policy.version}.")


def under_ceiling(facts: _Facts) -> BrokenRule | None:
    """Check that the paid amount is at most the seller's ceiling, in the same currency. A ceiling of 0 allows no amount.

    An unknown amount passes this rule, because the rule ``amount_is_sound`` reports it.
    """
    ceiling, purchase = facts.seller.ceiling, facts.purchase
    if ceiling is None or (purchase.currency == ceiling.currency and (purchase.amount or 0) <= ceiling.minor):
        return None
    detail = f"{_money(purchase.amount, purchase.currency)}; the seller's limit is {ceiling}."
    return BrokenRule(ReasonCode.OVER_CEILING, detail)


def provider_window_open(facts: _Facts) -> BrokenRule | None:
    """Check that the refund is sent at or before the end of the provider's refund window. The window starts at the charge."""
    closed = [
        f"{_charge(payment)}: charged on {facts.day(payment.charged_at)}, refundable for {_count(window.days, 'day')}"
        for payment in facts.purchase.payments
        if (window := facts.provider_windows.get(payment.id)) is not None
        and facts.paid_at - payment.charged_at > window
    ]
    return BrokenRule(ReasonCode.PROVIDER_WINDOW_CLOSED, f"{'; '.join(closed)}.") if closed else None


def not_serial(facts: _Facts) -> BrokenRule | None:
    """Check that the customer had fewer than N automatic refunds in the last M × 24 hours. The seller sets N and M.

    A refund exactly M × 24 hours before the request does not count.
    """
    limit = facts.seller.serial_limit
    if limit is None:
        return None
    recent = sum(facts.request.received_at - at < limit.within for at in facts.refunds_of_customer)
    if recent < limit.count:
        return None
    period = f"the last {_count(limit.within.days, 'day')}"
    detail = f"{_count(recent, 'automatic refund')} in {period}; the limit is {limit.count}."
    return BrokenRule(ReasonCode.SERIAL_REFUNDS, detail)


def _money(minor: int | None, currency: str | None) -> str:
    """Return an amount for support. The seller may have reported an amount that is invalid or missing."""
    try:
        return str(Money(minor, currency))  # type: ignore[arg-type]  # Money refuses a missing amount or currency
    except UnknownMoneyError:
        return f"{'unknown amount' if minor is None else minor} {currency or 'in unknown currency'}"


def _charge(payment: Payment) -> str:
    return f"{payment.charge} at {payment.provider}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _join(names: Iterable[str]) -> str:
    """Return the names without repetitions, in alphabetical order."""
    return ", ".join(sorted(set(names)))


_INSTANT = "%Y-%m-%d %H:%M %Z"

_SCOPES = {
    RefundScope.PARTIAL: "The customer asked for a partial refund.",
    RefundScope.VAT: "The customer asked for a refund of the VAT.",
}

_DISPUTE_REASONS = {
    Dispute.INQUIRY: ReasonCode.INQUIRY_OPEN,
    Dispute.OPEN: ReasonCode.DISPUTE_OPEN,
    Dispute.LOST: ReasonCode.DISPUTE_LOST,
}

_CATEGORY_REASONS = {
    Category.APPROVAL_REQUIRED: ReasonCode.APPROVAL_REQUIRED,
    Category.IN_HOUSE_SUPPORT: ReasonCode.IN_HOUSE_SUPPORT,
    Category.NO_REFUNDS: ReasonCode.NO_REFUNDS,
}

RULES: tuple[Callable[[_Facts], BrokenRule | None], ...] = (
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
"""All rules. They are checked if the purchase and its seller are known, and if the purchase has no other open case."""


def decide(inputs: EligibilityInput) -> Decision:
    """Decide about a request. All rules are checked, so that support and the customer see all reasons together."""
    if inputs.ambiguous_references:
        return Ambiguous(inputs.ambiguous_references)
    if inputs.purchase is None or inputs.seller is None:
        return Unmatched()
    if inputs.open_case is not None:
        cases = (inputs.open_case, *inputs.further_cases)
        joined = next((case for case in cases if _covers(case, inputs.request, inputs.purchase)), None)
        return Duplicate(joined.id) if joined else OtherPayments(inputs.open_case)
    facts = _Facts(
        inputs.request,
        inputs.purchase,
        inputs.seller,
        inputs.policy,
        inputs.first_policy_at,
        inputs.provider_windows,
        inputs.refunds_of_customer,
        inputs.paid_at or inputs.request.received_at,
    )
    findings = tuple(RuleResult(rule.__name__, *(rule(facts) or ())) for rule in RULES)
    if any(finding.code for finding in findings):
        return Escalate(findings)
    return Approve(findings) if inputs.request.trusted else RequireConfirmation(findings)


def kept_rules(kept: int, rules: int) -> str:
    """Return how many of the rules hold, as one line for support."""
    return f"{kept} of {rules} rules hold."


def _covers(open_case: OpenCase, request: SubmittedRequest, purchase: Purchase) -> bool:
    """Return whether the open case refunds the payments that the request asks for, so that the request joins the case.

    A case about all payments refunds the duplicate payments, too. But as long as the customer or support must act next, it
    is not certain that the case refunds anything.
    """
    if not purchase.duplicates or open_case.charged_twice == request.charged_twice:
        return True
    return request.charged_twice and open_case.state not in WAITING_STATES

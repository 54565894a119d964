"""Finds purchases that could never be refunded automatically, so that an import can say so before a customer asks."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.money import CURRENCIES
from domain.policies import Category, Policy, in_force
from domain.purchases import AUTOMATIC

Fields = Mapping[str, object]

_PAYMENT_IDS = {
    "stripe": re.compile(r"(ch|py|pi)_\w+"),
    "paypal": re.compile(r"[0-9A-Z]{17}"),
    "mollie": re.compile(r"tr_\w+"),
    "adyen": re.compile(r"[0-9A-Z]{16}"),
}
"""The forms of the ids of payments, from the providers' API references."""

_OTHER_IDS = {
    "in_": "an invoice", "ii_": "an invoice item", "sub_": "a subscription", "si_": "a subscription item", "cus_": "a customer",
    "cs_": "a checkout session", "pm_": "a payment method", "card_": "a card", "src_": "a source", "tok_": "a token",
    "seti_": "a setup intent", "re_": "a refund", "pyr_": "a refund", "txn_": "a balance transaction", "po_": "a payout",
    "evt_": "an event", "price_": "a price", "prod_": "a product", "plink_": "a payment link", "dp_": "a dispute",
    "du_": "a dispute", "qt_": "a quote", "acct_": "an account", "ord_": "an order", "cst_": "a customer", "mdt_": "a mandate",
    "pl_": "a payment link", "chb_": "a chargeback", "I-": "a subscription", "B-": "a billing agreement", "P-": "a plan",
    "PAYID-": "an order", "PAY-": "an order", "PP-D-": "a dispute", "WH-": "a webhook event", "INV2-": "an invoice",
}  # fmt: skip
"""What an id of Stripe, Mollie or PayPal is, by its prefix."""

_MAX_REASONS = 100
_MAX_LENGTH = 40  # characters of a value in a reason; the names of providers and methods are shorter

_REFUSING = {
    Category.APPROVAL_REQUIRED: "The policy at the purchase requires approval.",
    Category.IN_HOUSE_SUPPORT: "The policy at the purchase leaves refunds to the seller's own support.",
    Category.NO_REFUNDS: "The policy at the purchase allows no refunds.",
}


@dataclass(frozen=True, slots=True)
class _Facts:
    """A purchase with one of its payments, and what is set up for the purchase."""

    purchase: Fields
    payment: Fields
    connected: Collection[str]
    policy: Policy | None

    def get(self, name: str) -> object:
        """Return a field of the payment, or of the purchase if the payment does not have the field."""
        return self.payment.get(name, self.purchase.get(name))


def _without_policy(facts: _Facts) -> str | None:
    is_dated = facts.purchase.get("purchased_at") is not None
    return "No policy was in force at the purchase." if facts.policy is None and is_dated else None


def _refused_by_policy(facts: _Facts) -> str | None:
    return _REFUSING.get(facts.policy.category) if facts.policy else None


def _excluded_by_policy(facts: _Facts) -> str | None:
    if facts.policy and facts.purchase.get("product") in facts.policy.excluded_products:
        return "The policy at the purchase excludes the product."
    is_excluded = facts.policy and facts.policy.renewals_excluded and facts.purchase.get("renewal")
    return "The policy at the purchase excludes renewals." if is_excluded else None


def _provider_not_connected(facts: _Facts) -> str | None:
    provider = facts.get("provider")
    return None if provider in {None, *facts.connected} else f"The provider {_short(provider)} is not connected."


def _method_not_automatic(facts: _Facts) -> str | None:
    method = facts.get("method")
    is_automatic = method is None or method in AUTOMATIC or (facts.policy and method in facts.policy.methods)
    return None if is_automatic else f"The payment method {_short(method)} is not refunded automatically."


def _unknown_currency(facts: _Facts) -> str | None:
    currency = facts.get("currency")
    return None if currency is None or currency in CURRENCIES else f"The currency {_short(currency)} is unknown."


def _unknown_amount(facts: _Facts) -> str | None:
    amount = facts.get("amount")
    if isinstance(amount, int):
        return None if amount > 0 else "The amount is not above zero."
    return "The amount is unknown." if "amount" in facts.payment else None


def _no_payment_id(facts: _Facts) -> str | None:
    provider, charge = str(facts.get("provider")).partition(":")[0], facts.get("charge")
    form = _PAYMENT_IDS.get(provider)
    if not isinstance(charge, str) or form is None or form.fullmatch(charge.strip()):
        return None
    other = next(
        (f"{prefix}… is {what}, not a payment." for prefix, what in _OTHER_IDS.items() if charge.startswith(prefix)),
        None,
    )
    return other or f"The charge is not the id of a payment at {provider}."


_CHECKS: tuple[Callable[[_Facts], str | None], ...] = (
    _provider_not_connected,
    _no_payment_id,
    _unknown_currency,
    _unknown_amount,
    _method_not_automatic,
    _without_policy,
    _refused_by_policy,
    _excluded_by_policy,
)
"""All checks. The first reason counts, so that the reasons of an import add up to its purchases."""


class NeverAutomatic:
    """Says of a purchase why it could never be refunded automatically. Only fields that are reported are checked."""

    def __init__(self, connected: Collection[str], policies: Mapping[str, Sequence[Policy]]) -> None:
        """Store the names of the connected providers, and the policy versions of each seller."""
        self._connected = frozenset(connected)
        self._policies = policies
        self._known: set[str] = set()

    def reason(self, purchase: Fields) -> str | None:
        """Return a sentence with the reason, or None. If at least one payment is refunded automatically, there is no reason."""
        payments = purchase.get("payments")
        policy = self._policy_of(purchase)
        reasons = [
            self._reason_of(_Facts(purchase, payment, self._connected, policy))
            for payment in (payments if isinstance(payments, list) else [purchase])
            if isinstance(payment, dict)
        ]
        return self._limit(reasons[0]) if reasons and reasons[0] and all(reasons) else None

    def _limit(self, reason: str) -> str:
        """Return the reason, or a general reason if there are too many, because a wrong column has another value in each row."""
        if reason not in self._known and len(self._known) < _MAX_REASONS:
            self._known.add(reason)
        return (
            reason if reason in self._known else "There are too many different reasons. Check the columns of the file."
        )

    def _reason_of(self, facts: _Facts) -> str | None:
        return next(filter(None, (check(facts) for check in _CHECKS)), None)

    def _policy_of(self, purchase: Fields) -> Policy | None:
        field = "charged_at" if purchase.get("renewal") and "charged_at" in purchase else "purchased_at"
        try:
            at = datetime.fromisoformat(str(purchase.get(field)))
            return in_force(self._policies.get(str(purchase.get("seller")), ()), at)
        except (TypeError, ValueError):  # the row is refused, because the instant is not valid
            return None


def _short(value: object) -> str:
    return f"{str(value)[:_MAX_LENGTH]!r}"

"""The reasons why support decides a case, each with its sentences for support and for the customer."""

from dataclasses import dataclass
from typing import NamedTuple

from domain.sentence_enum import DescribedEnum


class ReasonCode(DescribedEnum):
    """A reason why a case is not refunded automatically."""

    support: str
    customer: str | None

    def __init__(self, _value: str, support: str, customer: str | None = None) -> None:
        """Store the sentence for support, and the sentence for the customer if the customer may know the reason."""
        self.support, self.customer = support, customer

    FULL_REFUND_ONLY = (
        "full_refund_only",
        "The customer wants a partial refund or a VAT refund. Only full refunds are automatic.",
        "Our support team handles partial refunds and VAT refunds.",
    )
    SELF_SERVICE_OFF = (
        "self_service_off",
        "The seller has turned off self-service refunds.",
        "This seller reviews each refund request.",
    )
    NO_POLICY = (
        "no_policy",
        "No refund policy was in force when the purchase was made.",
        "This seller reviews each refund request.",
    )
    APPROVAL_REQUIRED = (
        "approval_required",
        "The refund policy in force at the purchase requires the seller's approval.",
        "The seller’s refund policy requires approval first.",
    )
    IN_HOUSE_SUPPORT = (
        "in_house_support",
        "The seller's own support team handles refunds.",
        "The seller’s own support team handles refunds.",
    )
    NO_REFUNDS = (
        "no_refunds",
        "The refund policy in force at the purchase allows no refunds.",
        "The seller’s refund policy doesn’t allow refunds for this purchase.",
    )
    METHOD_NOT_AUTOMATIC = (
        "method_not_automatic",
        "The refund policy in force at the purchase excludes this payment method from automatic refunds.",
        "Our support team handles refunds for this payment method.",
    )
    OUTSIDE_WINDOW = (
        "outside_window",
        "The purchase is older than the refund policy in force at the purchase allows.",
        "This purchase is older than the seller’s refund policy allows.",
    )
    PURCHASE_IN_FUTURE = (
        "purchase_in_future",
        "The purchase is dated later than the request. The date of the purchase or a clock is wrong.",
    )
    ALREADY_REFUNDED = (
        "already_refunded",
        "This purchase has already been refunded.",
        "This purchase has already been refunded.",
    )
    INQUIRY_OPEN = (
        "inquiry_open",
        "The customer's bank asks about this payment (an inquiry or early warning). Answer the inquiry, or refund the payment.",
        "Your bank has asked us about this payment. Our support team is looking into it.",
    )
    DISPUTE_OPEN = (
        "dispute_open",
        "This payment has an open dispute or chargeback. If we also make a refund, the customer could get the money twice.",
        "There’s an open dispute with your bank or payment provider. We have to wait for its decision.",
    )
    DISPUTE_LOST = (
        "dispute_lost",
        "A dispute about this payment was lost. The customer got the money back through this dispute.",
        "This payment was returned to you through your bank or payment provider.",
    )
    AMOUNT_INVALID = (
        "amount_invalid",
        "The purchase amount is missing, not above zero, or in an unknown currency.",
    )
    PRODUCT_EXCLUDED = (
        "product_excluded",
        "The refund policy in force at the purchase excludes this product.",
        "The seller’s refund policy doesn’t cover this product.",
    )
    RENEWAL_EXCLUDED = (
        "renewal_excluded",
        "The refund policy in force at the renewal excludes renewals.",
        "The seller’s refund policy doesn’t cover renewals.",
    )
    OVER_CEILING = (
        "over_ceiling",
        "The amount is above the seller's limit for automatic refunds, or in another currency than this limit.",
    )
    PROVIDER_WINDOW_CLOSED = (
        "provider_window_closed",
        "The payment provider no longer refunds this payment. Pay the customer another way.",
        (
            "This payment is too old to be refunded to your original payment method. Our support team will find "
            "another way."
        ),
    )
    SERIAL_REFUNDS = (
        "serial_refunds",
        "This customer has reached the seller's limit for automatic refunds in the set period.",
    )
    AMBIGUOUS_REFERENCE = (
        "ambiguous_reference",
        "Several purchases of this customer have almost the same reference. Find out which purchase the customer means.",
        "Several of your purchases have almost the same reference number. Our support team will find the right one.",
    )
    OTHER_PAYMENTS = (
        "other_payments",
        (
            "An earlier request is about other payments of this purchase: one of the two requests is only about the second "
            "charge. Decide about the payments that the earlier request does not refund."
        ),
    )
    # No rule returns the following reasons, because they arise when the refund is executed.
    PURCHASE_CHANGED = (
        "purchase_changed",
        (
            "The purchase was changed after the request was checked: its payments, amounts or e-mail address differ. Nothing "
            "was paid. Compare the purchase with the history, then decide."
        ),
        "The details of this purchase changed after your request. Our support team will check them.",
    )
    PAYMENT_NOT_AUTOMATIC = (
        "payment_not_automatic",
        (
            "A part of the order cannot be refunded automatically, because of its payment method or payment provider. The "
            "other payments were refunded. Refund the rest."
        ),
        "We refunded part of this order. Our support team will refund the rest, because of how it was paid.",
    )
    PARTLY_REFUNDED = (
        "partly_refunded",
        "The refund of one payment of the order was made after all. Decide about the other payments of the order.",
    )
    PROVIDER_DECLINED = (
        "provider_declined",
        "The payment provider declined the refund.",
        "We couldn’t send the refund to your original payment method.",
    )
    PROVIDER_NOT_CONNECTED = (
        "provider_not_connected",
        "The payment was made through a payment provider that is not connected to Moneyback.",
        "This payment can’t be refunded automatically.",
    )
    PAYMENT_CLAIMED = (
        "payment_claimed",
        "Another case already covers this payment. If we also refund this case, the customer could get the money twice.",
    )
    NOT_ENOUGH_LEFT = (
        "not_enough_left",
        (
            "The approved amount is more than what is left of this payment, or the outcome of another refund of the payment "
            "is open. Check the refunds of the payment before you approve an amount again."
        ),
    )
    REFUNDED_ELSEWHERE = (
        "refunded_elsewhere",
        (
            "The payment provider shows a refund of this payment that Moneyback did not make. Check this refund before "
            "you answer the customer."
        ),
        "This purchase has already been refunded.",
    )
    FOUR_EYES_MISSING = (
        "four_eyes_missing",
        "The refund is above the seller's limit for one person, and no second person confirmed it. Nothing was paid.",
    )
    CUSTOMER_ANSWERED = (
        "customer_answered",
        "The customer answered or wrote to you. Read the message, then decide.",
        "Our support team is reading your message.",
    )
    DECISION_UNDONE = (
        "decision_undone",
        "The decision was taken back before the refund was sent. Nothing was paid. Decide again.",
        "Our support team is reviewing your request again.",
    )
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        (
            "We could not find out whether the payment provider made the refund. Ask the payment provider before you "
            "pay again."
        ),
        "The payment provider hasn’t confirmed the refund yet. Our support team is following up.",
    )
    NOT_REFUNDED = (
        "not_refunded",
        (
            "The outcome of the refund was unknown. Two people recorded that the provider's records show that it was not "
            "made. Decide again."
        ),
        "We couldn’t make this refund yet. Our support team is looking into it.",
    )
    INSUFFICIENT_BALANCE = (
        "insufficient_balance",
        "The seller's balance at the payment provider stayed too low for this refund. Add funds, then decide.",
        "We’re waiting for the seller before we can make this refund.",
    )
    NOT_YET_REFUNDABLE = (
        "not_yet_refundable",
        "The payment provider did not allow a refund of this payment within our waiting time.",
        "We couldn’t make this refund yet. Our support team is looking into it.",
    )
    PROVIDER_UNAVAILABLE = (
        "provider_unavailable",
        (
            "The payment provider was unreachable or rejected our credentials during our whole waiting time. Nothing "
            "was paid."
        ),
        "We couldn’t make this refund yet. Our support team is looking into it.",
    )
    CRASHED_WORKERS = (
        "crashed_workers",
        "Processing this case crashed the worker three times. Tell the operators before you decide.",
        "Our support team is looking into your request.",
    )
    NOT_CAPTURED = (
        "not_captured",
        "The payment provider shows that the payment was voided, failed or never captured, so there is nothing to refund.",
        "We couldn’t find a completed payment for this purchase. Our support team is looking into it.",
    )
    PAYMENT_DIFFERS = (
        "payment_differs",
        "The payment provider shows another amount, currency or payment method than the seller reported. Nothing was paid.",
        "We couldn’t make this refund automatically. Our support team is looking into it.",
    )
    OTHER_SELLER = (
        "other_seller",
        "The payment belongs to another seller. Nothing was paid. Find out which seller reported a wrong payment.",
        "We couldn’t make this refund automatically. Our support team is looking into it.",
    )
    REFUND_CANCELLED = (
        "refund_cancelled",
        "The refund was cancelled at the payment provider, and the money came back to the seller.",
        "The seller cancelled the refund. Our support team is looking into it.",
    )
    REFUND_DIFFERS = (
        "refund_differs",
        "The payment provider paid another amount or currency than we requested. Check the refund at the provider.",
        "Your refund was sent with a different amount. Our support team will check it.",
    )
    RETURNED_BY_BANK = (
        "returned_by_bank",
        "The payment provider accepted the refund, but the refund failed later and the money came back.",
        "Your bank or payment provider sent the refund back to us.",
    )


class BrokenRule(NamedTuple):
    """What a rule returns if the request breaks the rule."""

    code: ReasonCode
    detail: str
    """The figures behind the code, as a sentence for support."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of a rule. ``code`` is None if the request meets the rule."""

    rule: str
    code: ReasonCode | None = None
    detail: str = ""
    """The figures behind the code, or what the provider answered, as a sentence for support."""

    @property
    def explanation(self) -> str:
        """The sentence of the code and its figures. It is empty if the request meets the rule."""
        return f"{self.code.support} {self.detail}".rstrip() if self.code else ""

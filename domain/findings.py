"""What a rule can find wrong. The enum is the copy deck: one sentence for support, one for the customer where they may know."""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """One way in which a request is not an automatic refund."""

    support: str
    customer: str | None

    def __new__(cls, value: str, support: str, customer: str | None = None) -> "Code":
        code = str.__new__(cls, value)
        code._value_ = value
        code.support, code.customer = support, customer
        return code

    FULL_REFUND_ONLY = (
        "full_refund_only",
        "Only the full amount is refunded automatically; this customer asks for a part of it or for the tax.",
        "Refunds of a part of the amount or of the tax are made by our support team.",
    )
    SELF_SERVICE_OFF = (
        "self_service_off",
        "The seller has switched refund self-service off.",
        "This seller handles refunds personally.",
    )
    NO_POLICY = (
        "no_policy",
        "No refund policy was in force when the purchase was made.",
        "This seller handles refunds personally.",
    )
    APPROVAL_REQUIRED = (
        "approval_required",
        "The refund policy in force at the purchase asks for the seller's approval.",
        "The seller's refund policy asks for an approval first.",
    )
    IN_HOUSE_SUPPORT = (
        "in_house_support",
        "The seller's own support handles refunds.",
        "The seller's own support team handles refunds.",
    )
    NO_REFUNDS = (
        "no_refunds",
        "The refund policy in force at the purchase allows no refunds.",
        "The seller's refund policy does not provide for refunds of this purchase.",
    )
    METHOD_NOT_AUTOMATIC = (
        "method_not_automatic",
        "Payments by this method are not refunded automatically under the policy in force at the purchase.",
        "Payments made this way are refunded by our support team.",
    )
    OUTSIDE_WINDOW = (
        "outside_window",
        "The purchase is older than the refund policy in force at the purchase allows.",
        "The purchase is older than the seller's refund policy allows.",
    )
    PURCHASE_IN_FUTURE = (
        "purchase_in_future",
        "The purchase is dated later than the request; its date or a clock is wrong.",
    )
    ALREADY_REFUNDED = (
        "already_refunded",
        "Money of this purchase was refunded before.",
        "Money of this purchase was refunded before.",
    )
    DISPUTE_OPEN = (
        "dispute_open",
        "A dispute or chargeback about this payment is open: refunding as well could pay twice.",
        "The payment is being disputed with the bank or payment service, which decides first.",
    )
    DISPUTE_LOST = (
        "dispute_lost",
        "A dispute about this payment was lost: the money went back to the customer that way.",
        "The payment was returned through the bank or payment service.",
    )
    AMOUNT_INVALID = (
        "amount_invalid",
        "The purchase has no sound amount: it is unknown, not above zero, or in a currency we do not know.",
    )
    PRODUCT_EXCEPTED = (
        "product_excepted",
        "The refund policy in force at the purchase excepts this product.",
        "The seller's refund policy excepts this product.",
    )
    RENEWAL_EXCEPTED = (
        "renewal_excepted",
        "The refund policy in force at the renewal excepts renewals.",
        "The seller's refund policy excepts renewals.",
    )
    OVER_CEILING = (
        "over_ceiling",
        "The amount is above the seller's ceiling for automatic refunds, or in another currency than it.",
    )
    PROVIDER_WINDOW_CLOSED = (
        "provider_window_closed",
        "The payment provider no longer refunds this payment; another way to pay is needed.",
        "The payment is too old to be returned the way it was made; our support team will find another way.",
    )
    SERIAL_REFUNDS = (
        "serial_refunds",
        "This customer has had as many automatic refunds as the seller allows in the set time.",
    )
    # Found while paying, not by a rule:
    PROVIDER_DECLINED = (
        "provider_declined",
        "The payment provider declined the refund.",
        "The payment could not be returned the way it was made.",
    )
    PROVIDER_NOT_CONNECTED = (
        "provider_not_connected",
        "The payment was made through a provider that is not connected here.",
        "The payment cannot be returned automatically.",
    )
    PAYMENT_CLAIMED = (
        "payment_claimed",
        "Another case already claims this payment: refunding it here as well could pay twice.",
    )
    REFUNDED_ELSEWHERE = (
        "refunded_elsewhere",
        "The payment provider has a refund of this payment that was not made here. Check it before answering the customer.",
        "Money of this purchase was refunded before.",
    )
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        "Money in unknown state: nobody could find out whether the provider paid. Ask the provider before paying again.",
        "The payment provider has not confirmed the refund yet; our support team is asking.",
    )
    NO_BALANCE = (
        "no_balance",
        "The seller's balance at the payment provider stayed too low for this refund. Fund it, then decide.",
        "The refund is waiting for the seller.",
    )
    NOT_YET_REFUNDABLE = (
        "not_yet_refundable",
        "The payment provider would not refund this payment yet, for longer than we wait.",
        "The payment could not be returned yet; our support team is looking into it.",
    )
    PROVIDER_OUT_OF_REACH = (
        "provider_out_of_reach",
        "The payment provider could not be reached, or refused our credentials, for longer than we wait. Nothing was paid.",
        "The payment could not be returned yet; our support team is looking into it.",
    )
    ENDED_ITS_WORKERS = (
        "ended_its_workers",
        "Working on this case ended the worker process three times. Tell the operators before deciding.",
        "Our support team is looking into the request.",
    )
    RETURNED_BY_BANK = (
        "returned_by_bank",
        "The provider accepted the refund, but it failed later and the money came back.",
        "Your bank or payment service returned the refund to us.",
    )


class Trouble(StrEnum):
    """What a person must look into although no case waits for it: the copy deck of such tasks."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> "Trouble":
        trouble = str.__new__(cls, value)
        trouble._value_ = value
        trouble.sentence = sentence
        return trouble

    PAID_TWICE = (
        "paid_twice",
        "A dispute was opened about a payment that we have refunded or are refunding. Answer it with this evidence.",
    )
    BALANCE_SHORT = (
        "balance_short",
        "The seller's balance at the payment provider is too low: refunds wait until it is funded.",
    )
    CREDENTIALS_REFUSED = (
        "credentials_refused",
        "The payment provider refuses our credentials: refunds wait until they are mended.",
    )
    REFUND_MISSING = (
        "refund_missing",
        "We hold this refund for made, but the payment provider does not list it.",
    )
    REFUND_EXTRA = (
        "refund_extra",
        "The payment provider lists a refund of this payment that we did not make.",
    )
    REFUND_AMOUNT_DIFFERS = (
        "refund_amount_differs",
        "The payment provider lists this refund with another amount than we asked for.",
    )
    REFUND_CURRENCY_DIFFERS = (
        "refund_currency_differs",
        "The payment provider lists this refund in another currency than we asked for.",
    )
    REFUND_STATE_DIFFERS = (
        "refund_state_differs",
        "The payment provider and we disagree about what became of this refund.",
    )
    LIST_INCOMPLETE = (
        "list_incomplete",
        "The payment provider's list of refunds could not be read to its end: what differs behind that was not found today.",
    )
    NOTICE_UNEXPLAINED = (
        "notice_unexplained",
        "The payment provider told of a refund or a dispute that nothing explained in two days. Look at it in its own pages.",
    )
    WITHDRAWAL_UNPAID = (
        "withdrawal_unpaid",
        "A consumer withdrew by law and never confirmed the refund. It counts all the same: pay or answer in fourteen days.",
    )
    WITHDRAWAL_DECLARED = (
        "withdrawal_declared",
        "A consumer withdrew by law, and the case does not go on by itself. It counts: pay or answer in fourteen days.",
    )
    WITHDRAWAL_UNMATCHED = (
        "withdrawal_unmatched",
        "A consumer withdrew by law from a purchase that we do not find by what they typed. It counts all the same: ask them.",
    )
    LETTER_BOUNCED = (
        "letter_bounced",
        "A letter to this customer came back: they do not know what it says. Reach them in another way.",
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found: ``code`` is None when the rule is kept."""

    rule: str
    code: Code | None = None
    detail: str = ""

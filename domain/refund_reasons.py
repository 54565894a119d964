"""Why a customer wants the money back. The sentences are what the form shows."""

from enum import StrEnum


class RefundReason(StrEnum):
    """The reasons of the refund form, in the form's order."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> "RefundReason":
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.sentence = sentence
        return reason

    UNWANTED_RENEWAL = "unwanted_renewal", "I didn’t want the renewal"
    DISSATISFIED = "dissatisfied", "I’m not satisfied with the product"
    WRONG_PRODUCT = "wrong_product", "I ordered the wrong product"
    TECHNICAL_ISSUE = "technical_issue", "It doesn’t work or can’t be installed"
    DUPLICATE_ORDER = "duplicate_order", "I ordered it twice"
    POOR_SUPPORT = "poor_support", "I’m not satisfied with the technical support"
    NOT_DELIVERED = "not_delivered", "I didn’t receive it"
    OTHER = "other", "Another reason"

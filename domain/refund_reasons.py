"""The reasons for which customers want a refund."""

from domain.sentence_enum import SentenceEnum


class RefundReason(SentenceEnum):
    """The reasons of the refund form, in the form's order. The form shows the sentences."""

    UNWANTED_RENEWAL = "unwanted_renewal", "I didn’t want the renewal"
    DISSATISFIED = "dissatisfied", "I’m not satisfied with the product"
    WRONG_PRODUCT = "wrong_product", "I ordered the wrong product"
    TECHNICAL_ISSUE = "technical_issue", "It doesn’t work or can’t be installed"
    DUPLICATE_ORDER = "duplicate_order", "I ordered it twice"
    POOR_SUPPORT = "poor_support", "I’m not satisfied with the technical support"
    NOT_DELIVERED = "not_delivered", "I didn’t receive it"
    OTHER = "other", "Another reason"

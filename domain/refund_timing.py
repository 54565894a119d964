"""Sentences that say when a customer sees the money of a refund, and when support answers."""

from collections.abc import Mapping

from domain.purchases import Method
from domain.sentence_enum import SentenceEnum


class AnswerTime(SentenceEnum):
    """When support answers a customer who waits, as the sentence that the customer reads."""

    BY_DAY = "by_day", "Our support team will answer you by {day}."
    LATE = (
        "late",
        (
            "We’re sorry this is taking longer than planned. Our support team still has your request and will answer as soon "
            "as they can."
        ),
    )


ARRIVAL_BY_METHOD: Mapping[str, str] = {
    Method.CREDIT_CARD: "It usually takes 5 to 10 business days to show up on your card statement.",
    Method.APPLE_PAY: (
        "It goes back to the card you used with Apple Pay and usually shows up on your statement within 5 to 10 "
        "business days."
    ),
    Method.GOOGLE_PAY: (
        "It goes back to the card you used with Google Pay and usually shows up on your statement within 5 to 10 "
        "business days."
    ),
    Method.PAYPAL: (
        "It usually reaches a PayPal balance within hours, and a card or bank account linked to PayPal within a few "
        "days."
    ),
    Method.AMAZON_PAY: "With Amazon Pay, it usually takes a few hours, or 5 to 10 business days if you paid by card.",
    Method.ALIPAY: "With Alipay, it usually takes between a few hours and a few days.",
    Method.DIRECT_DEBIT: "It goes back to the bank account you paid from and usually shows up within a few business days.",
}
DEFAULT_ARRIVAL = "How soon you see it depends on your bank or payment provider. It often takes a few days."


def expected_arrival(method: str | None) -> str:
    """Return the sentence for e-mails and pages about a purchase with this payment method."""
    return ARRIVAL_BY_METHOD.get(method or "", DEFAULT_ARRIVAL)

"""When customers see the money of a refund that was made, by the way they paid: a sentence for letters and pages."""

from collections.abc import Mapping

from domain.purchases import Method

ARRIVALS: Mapping[str, str] = {
    Method.CREDIT_CARD: "With cards it usually takes 5 to 10 business days until your statement shows it.",
    Method.APPLE_PAY: "It goes to the card behind Apple Pay, whose statement usually shows it after 5 to 10 business days.",
    Method.GOOGLE_PAY: "It goes to the card behind Google Pay, whose statement usually shows it after 5 to 10 business days.",
    Method.PAYPAL: "A PayPal balance usually shows it within hours, a card or bank account behind PayPal within some days.",
    Method.AMAZON_PAY: "With Amazon Pay it usually takes some hours, and 5 to 10 business days if you paid by card.",
    Method.ALIPAY: "With Alipay it usually takes hours to some days.",
    Method.DIRECT_DEBIT: "It goes to the bank account that was debited, which usually shows it within some business days.",
}
OTHERWISE = "How long it takes until you see it depends on your bank or payment service: often some days."


def arrival(method: str | None) -> str:
    """What to tell a customer who paid this way."""
    return ARRIVALS.get(method or "", OTHERWISE)

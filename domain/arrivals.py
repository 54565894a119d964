"""When customers see the money of a refund that was paid: a sentence for each way to pay, in letters and on pages."""

from collections.abc import Mapping

from domain.purchases import Method

_TO_THE_CARD = "It goes back to your card: the statement usually shows it within 5 to 10 business days."
_BEHIND_THE_WALLET = (
    "It goes back to the card that you paid with through your wallet: its statement usually shows it within 5 to 10 "
    "business days."
)

ARRIVALS: Mapping[str, str] = {
    Method.CREDIT_CARD: _TO_THE_CARD,  # 5 to 10 business days: Stripe, "Refund and cancel payments"
    Method.APPLE_PAY: _BEHIND_THE_WALLET,
    Method.GOOGLE_PAY: _BEHIND_THE_WALLET,
    Method.PAYPAL: (
        "You see it in your PayPal account. If PayPal took the money from a card or a bank account, it goes back there, "
        "which takes some days more."
    ),
    Method.AMAZON_PAY: (
        "It goes back to the card or account behind Amazon Pay: the statement usually shows it within 5 to 10 business days."
    ),
    Method.ALIPAY: "You see it in your Alipay account, usually within a few business days.",
    Method.DIRECT_DEBIT: "It goes back to the bank account that was debited, usually within 5 to 10 business days.",
}
OTHERWISE = "When you see it depends on your bank or payment service: usually within 10 business days."


def arrival(method: str | None) -> str:
    """What to tell a customer who paid this way."""
    return ARRIVALS.get(method or "", OTHERWISE)

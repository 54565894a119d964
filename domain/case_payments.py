"""The payments of a case, with the sentences that customers read about the payments and their refunds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.money import Money, UnknownMoneyError
from domain.purchases import Method
from domain.refund_operations import OperationStatus
from domain.sentence_enum import SentenceEnum
from domain.states import State


class RefundStage(SentenceEnum):
    """How far the refund of one of several payments is, with the sentence for the customer."""

    SENT = "sent", "Refund sent"
    ACCEPTED = "accepted", "Refund on its way"
    FOR_SUPPORT = "for_support", "Our support team will refund this part"
    WITH_SUPPORT = "with_support", "With our support team"


class Destination(SentenceEnum):
    """What goes back to the customer and where to, as the sentence that the customer reads before the confirmation."""

    ONE_PAYMENT = "one_payment", "The full amount goes back to your original payment method."
    PART = "part", "{amount} goes back to your original payment method."
    SEVERAL_PAYMENTS = "several_payments", "Each part goes back to the payment method you paid it with."
    SECOND_CHARGE = (
        "second_charge",
        "You were charged twice. Only the second charge of {amount} goes back. Your order stays as it is.",
    )


METHOD_NAMES: Mapping[str, str] = {
    Method.CREDIT_CARD: "Card",
    Method.PAYPAL: "PayPal",
    Method.APPLE_PAY: "Apple Pay",
    Method.ALIPAY: "Alipay",
    Method.DIRECT_DEBIT: "Direct debit",
    Method.AMAZON_PAY: "Amazon Pay",
    Method.WIRE_TRANSFER: "Bank transfer",
    Method.INVOICE: "Invoice",
    Method.CASH: "Cash",
    Method.CHECK: "Cheque",
    Method.CRYPTO: "Cryptocurrency",
    Method.GOOGLE_PAY: "Google Pay",
    "gift_card": "Gift card",
}
OTHER_METHOD = "Other payment method"

_BEFORE_THE_END = frozenset(
    {
        State.AWAITING_CONFIRMATION,
        State.APPROVED,
        State.REFUNDING,
        State.WAITING_FOR_APPROVAL,
        State.REFUND_PENDING,
    }
)
"""The states in which a refund can still be made automatically."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePayment:
    """A payment that a case is about. The amount is the amount that was evaluated, which the customer confirms."""

    provider: str
    charge: str
    amount: int | None
    currency: str | None
    method: str | None
    duplicate: bool = False
    for_support: bool = False
    """True if support must refund the payment, because Moneyback cannot refund it automatically."""
    status: OperationStatus | None = None
    """The status of the newest operation that refunds the payment; None if there is no operation."""
    refund_id: str | None = None

    @property
    def provider_name(self) -> str:
        """The name of the provider for the customer, such as ``Stripe`` for the account ``stripe:aurora``."""
        return self.provider.partition(":")[0].capitalize()

    @property
    def method_name(self) -> str:
        """The name of the payment method for the customer."""
        return METHOD_NAMES.get(self.method or "", OTHER_METHOD)

    def stage(self, state: State) -> RefundStage | None:
        """Return how far the refund of this payment is, if the case is in ``state``; None if nothing was done yet."""
        if state is State.REFUNDED or self.status is OperationStatus.PAID:
            return RefundStage.SENT
        if state is State.WITH_SUPPORT:
            return RefundStage.WITH_SUPPORT
        if state is State.REFUND_PENDING and self.status is OperationStatus.PENDING:
            return RefundStage.ACCEPTED
        return RefundStage.FOR_SUPPORT if self.for_support and state in _BEFORE_THE_END else None


def automatic(payments: Collection[CasePayment], state: State) -> tuple[CasePayment, ...]:
    """Return the payments whose sum the customer reads as the amount of the refund.

    Before the end, the amount is what the customer confirms. So the payments that support must refund are left out.
    """
    return tuple(payment for payment in payments if not (payment.for_support and state in _BEFORE_THE_END))


def total(payments: Collection[CasePayment]) -> Money | None:
    """Return the sum of these payments; None if an amount is unknown, or if the payments have no common currency."""
    currencies = {payment.currency for payment in payments}
    amounts = [payment.amount for payment in payments if payment.amount is not None]
    if len(currencies) != 1 or len(amounts) != len(payments):
        return None
    try:
        return Money(sum(amounts), currencies.pop() or "")
    except UnknownMoneyError:
        return None


def common_method(payments: Collection[CasePayment]) -> str | None:
    """Return the payment method of these payments; None if the payments have different methods."""
    methods = {payment.method for payment in payments}
    return methods.pop() if len(methods) == 1 else None


def refund_ids(payments: Collection[CasePayment]) -> str:
    """Return the provider's ids of the refunds that were sent or accepted; an empty text if there is none."""
    live = {OperationStatus.PAID, OperationStatus.PENDING}
    return ", ".join(payment.refund_id for payment in payments if payment.refund_id and payment.status in live)


def is_second_charge(payments: Collection[CasePayment]) -> bool:
    """Return whether only a second charge goes back, because the customer was charged twice. The order stays as it is."""
    return bool(payments) and all(payment.duplicate for payment in payments)


def destination(payments: Collection[CasePayment], *, is_part: bool = False) -> Destination:
    """Return the sentence about what goes back to the customer. ``is_part`` is True if support approved a part of the amount."""
    if is_part and len(payments) == 1:
        return Destination.PART
    if is_second_charge(payments):
        return Destination.SECOND_CHARGE
    return Destination.SEVERAL_PAYMENTS if len(payments) > 1 else Destination.ONE_PAYMENT

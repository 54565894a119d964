"""Parses Stripe's payments: a charge, with or without a payment intent."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from domain.money import Money, UnknownMoneyError
from domain.providers import DisputeStatus, PaymentStatus
from worker.providers.identifiers import is_identifier
from worker.providers.stripe.amounts import UNITS, parse_amount
from worker.providers.stripe.codes import METHODS, WALLETS
from worker.providers.stripe.rows import Row, as_row, read_metadata, read_text

_CAPTURED_STATUSES = {
    "succeeded",
    "pending",  # a bank debit on its way. Stripe decides whether the charge can be refunded already (``charge_pending``)
}


SellerReader = Callable[[Mapping[str, str]], str | None]
"""A function that returns the seller that the metadata names, if the account's settings say where."""


class Payment(NamedTuple):
    """A payment as Stripe shows it. Each of the two objects is empty if the payment does not have it."""

    charge: Row
    """Empty if the payment intent was not tried yet."""
    intent: Row
    """Empty if there is no payment intent, or if the reply contains only its id."""

    @classmethod
    def of(cls, row: Row) -> "Payment | None":
        """Return the payment of a charge, or of a payment intent whose latest charge is expanded."""
        match row:
            case {"object": "charge"}:
                return cls(row, as_row(row.get("payment_intent")))
            case {"object": "payment_intent", "latest_charge": None}:
                return cls({}, row)
            case {"object": "payment_intent", "latest_charge": {"object": "charge"} as charge}:
                return cls(charge, row)
            case _:
                return None

    @property
    def code(self) -> str:
        """The reason why nothing was captured, or else the status."""
        is_uncaptured = self.charge.get("status") == "succeeded" and not self._captured_amount
        codes = (
            self.charge.get("failure_code"),
            self.intent.get("status"),
            "uncaptured" if is_uncaptured else self.charge.get("status"),
        )
        return next(filter(is_identifier, codes), "")

    @property
    def is_disputed(self) -> bool:
        """True if the payment has or had a dispute or an inquiry."""
        return bool(self.charge.get("disputed"))

    @property
    def is_destination_charge(self) -> bool:
        """True if Stripe transferred the payment to a connected account ("Create destination charges")."""
        return bool(self.charge.get("transfer_data") or self.charge.get("transfer"))

    @property
    def has_application_fee(self) -> bool:
        """True if the platform took a fee."""
        return bool(self.charge.get("application_fee") or self.charge.get("application_fee_amount"))

    @property
    def method(self) -> str | None:
        """The payment method in our words, or in Stripe's word; None if Stripe does not show the payment method."""
        kind = read_text(self._method_details, "type") or ""
        wallet = read_text(as_row(as_row(self._method_details.get(kind)).get("wallet")), "type") or ""
        return WALLETS.get(wallet) or METHODS.get(kind) or kind or None

    @property
    def instrument(self) -> str | None:
        """The fingerprint of the card or of the bank account, which is the same for all payments with it."""
        kind = read_text(self._method_details, "type") or ""
        return read_text(as_row(self._method_details.get(kind)), "fingerprint")

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata. A charge gets a copy of the metadata that its payment intent has at the time of the charge."""
        return read_metadata(self.intent) | read_metadata(self.charge)

    def captured(self) -> Money | None:
        """Return the captured amount, or None if nothing was captured. Raise UnknownMoneyError if the amount is not valid."""
        if self.charge.get("status") not in _CAPTURED_STATUSES or self._captured_amount == 0:
            return None
        return parse_amount(self._captured_amount, self.charge.get("currency"))

    def refunded(self) -> int:
        """Return the sum of the refunds that did not fail. Raise UnknownMoneyError if the sum is not valid."""
        currency = read_text(self.charge, "currency") or ""
        return UNITS.from_provider(self.charge.get("amount_refunded"), currency.upper()).minor

    @property
    def _captured_amount(self) -> Any:  # noqa: ANN401 - Stripe's JSON may be anything
        """The captured amount. A payment that is captured in several parts has an amount before it is ``captured``.

        Replies of API versions before 2020-08-27 have no captured amount.
        """
        return self.charge.get("amount_captured", self.charge.get("amount") if self.charge.get("captured") else 0)

    @property
    def _method_details(self) -> Row:
        return as_row(self.charge.get("payment_method_details"))


def parse_payment(payment: Payment, dispute: DisputeStatus, *, read_seller: SellerReader) -> PaymentStatus | None:
    """Return the payment, or None if an amount cannot be read."""
    try:
        captured = payment.captured()
        refunded = payment.refunded() if captured else 0
    except UnknownMoneyError:
        return None
    return PaymentStatus(
        captured=captured,
        refunded=refunded,
        dispute=dispute,
        method=payment.method,
        seller=read_seller(payment.metadata),
        code=payment.code,
    )

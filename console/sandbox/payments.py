"""Payments: what customers paid. A payment need not be registered, because the prefix of a charge is enough for a refund."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from console.sandbox.behaviours import behaviour_of
from console.sandbox.errors import INVALID_PAYMENT, ErrorResponse
from console.sandbox.refund_requests import is_amount, is_charge, is_currency, read_json

PaymentStatus = Literal["captured", "authorized", "voided", "failed"]


class Payment(NamedTuple):
    """One payment. The amount of a payment that is not registered is None, because the sandbox does not know it."""

    charge: str
    amount: int | None = None
    currency: str | None = None
    status: PaymentStatus = "captured"
    method: str | None = None
    email: str | None = None
    reference: str | None = None
    product: str | None = None
    tax: int | None = None
    metadata: Mapping[str, str] = {}
    created: float | None = None
    """The time of the payment, in epoch seconds."""

    def shown(self) -> "Payment":
        """Return the payment as the behaviour of its charge shows it."""
        return self._replace(**behaviour_of(self.charge).payment)  # type: ignore[arg-type]  # the table names our fields

    def document(self) -> dict[str, Any]:
        """Return the payment as the API shows it. The id of a payment is its charge."""
        return {"id": self.charge, **self.shown()._asdict()}


def _is_text(value: object) -> bool:
    return value is None or is_charge(value)


_CHECKS = {
    "charge": is_charge,
    "amount": is_amount,
    "currency": is_currency,
    "status": lambda value: value in ("captured", "authorized", "voided", "failed"),
    **dict.fromkeys(("method", "email", "reference", "product"), _is_text),
    "tax": lambda value: value is None or value == 0 or is_amount(value),
    "metadata": lambda value: type(value) is dict and all(map(is_charge, value.values())),
    "created": is_amount,
}
"""The check of each field of a registration."""
_REQUIRED = {"charge", "amount", "currency"}


def read_payment(body: bytes, now: float) -> Payment | ErrorResponse:
    """Return the payment in a registration, or the error. The payment was made now, unless ``created`` names another time."""
    fields: Any = read_json(body)
    if type(fields) is not dict or not _REQUIRED <= fields.keys() <= _CHECKS.keys():
        return INVALID_PAYMENT
    if not all(_CHECKS[name](value) for name, value in fields.items()):
        return INVALID_PAYMENT
    registration: dict[str, Any] = {"created": now} | fields
    return Payment(**registration)

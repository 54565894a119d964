"""The input model of a purchase. A seller sends these fields by API or in a file."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Self
from urllib.parse import urlsplit
from uuid import uuid4

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from domain.purchase_details import PurchaseDetails
from domain.purchase_reports import PurchaseReport
from domain.purchases import Dispute, PurchaseItem
from domain.requests import Email, OneLine

_MAX_BIGINT = 2**63 - 1  # the largest bigint of PostgreSQL
MAX_ITEMS = (
    500  # items of a purchase; more than orders of shops have, and the body of a call of the API can hold as many
)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def _require_date_and_time(value: object) -> object:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value):
        raise ValueError("This must be a date and time as text, such as 2026-04-17T14:05:00+02:00.")
    return value


def _check_range(instant: datetime) -> datetime:
    if not _EARLIEST <= instant < _LATEST:
        raise ValueError("This date is before 1970 or after 2999.")
    return instant


def over_https(url: str) -> str:
    """Return the URL if it is an https URL with a host and without a user name. Otherwise raise ValueError."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme == "https" and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not url.isascii() or re.search(r"[\s<>\"\\^`{|}]", url):
        raise ValueError("This must be an https URL, such as https://shop.example.com/file.")
    return url


def help_address(text: str) -> str:
    """Return the text if it is an e-mail address or an https URL of a support page. Otherwise raise ValueError."""
    if "://" in text:
        return over_https(text)
    return str(_EMAIL.validate_python(text))


_EMAIL = TypeAdapter[str](Email)

Instant = Annotated[AwareDatetime, BeforeValidator(_require_date_and_time), AfterValidator(_check_range)]
Minor = Annotated[int, Field(strict=True, ge=-_MAX_BIGINT, le=_MAX_BIGINT)]
NonNegativeMinor = Annotated[int, Field(strict=True, ge=0, le=_MAX_BIGINT)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=_MAX_BIGINT)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), OneLine]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), OneLine]
Currency = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10, to_upper=True), OneLine]
Provider = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, to_lower=True), OneLine
]
Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), OneLine]
Url = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), OneLine, AfterValidator(over_https)
]
HelpAddress = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), OneLine, AfterValidator(help_address)
]


class PurchaseDetailsInput(BaseModel):
    """The private details of a purchase. The customer gets a link to them by e-mail, at the address of the purchase."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    licence_key: Key | None = Field(None, repr=False)
    activation_code: Key | None = Field(None, repr=False)
    download_url: Url | None = Field(None, repr=False, description="an https URL")
    invoice_number: Text | None = Field(None, repr=False)
    invoice_url: Url | None = Field(None, repr=False, description="an https URL")
    technical_support: HelpAddress | None = Field(
        None, repr=False, description="an e-mail address or https URL of the support for this product, if it differs from "
        "the seller's support",
    )  # fmt: skip
    subscription: StrictBool = Field(False, repr=False, description="true if the purchase renews automatically")

    def of(self) -> PurchaseDetails:
        """Return the details as the domain object that is stored."""
        return PurchaseDetails(**self.model_dump())


class PaymentInput(BaseModel):
    """One payment of a purchase that was paid in several parts, or that was charged twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider
    charge: Text = Field(description="the payment's id at the provider")
    amount: Minor | None = Field(description="what was paid with this payment, in minor units")
    currency: Currency | None = Field(None, description="if it differs from the purchase's field")
    method: Word | None = Field(None, description="if it differs from the purchase's field")
    instrument: Text | None = Field(None, description="the provider's fingerprint of the card or account")
    charged_at: Instant | None = Field(None, description="the time of this payment, if it differs from purchased_at")
    duplicate: StrictBool = Field(
        False, description="true if the customer was charged twice, and this payment should not have been collected"
    )


class PurchaseItemInput(BaseModel):
    """One item of a purchase. Support can refund a part of its quantity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Word = Field(description="the SKU, or another id that no other item of the purchase has")
    name: Text
    quantity: Quantity
    amount: NonNegativeMinor = Field(
        description="what was paid for the whole quantity, with tax and after discounts, in minor units"
    )
    tax: NonNegativeMinor | None = Field(None, description="the tax that the amount includes, in minor units")

    @model_validator(mode="after")
    def _check_tax(self) -> Self:
        if (self.tax or 0) > self.amount:
            raise ValueError("The tax of the item is more than its amount. The amount includes the tax.")
        return self

    def of(self) -> PurchaseItem:
        """Return the item as the domain object that is stored."""
        return PurchaseItem(id=self.id, name=self.name, quantity=self.quantity, amount=self.amount, tax=self.tax)


def _name_items_once(items: tuple[PurchaseItemInput, ...]) -> tuple[PurchaseItemInput, ...]:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise ValueError(f"Two items have the id {item.id}. Give each item of the purchase another id.")
        seen.add(item.id)
    return items


class PurchaseInput(BaseModel):
    """What a customer bought. A renewal is a separate purchase with its own charge and reference.

    A field that is absent or null keeps the value that was sent before. A new purchase needs email, product, purchased_at, and
    its payment: amount, currency, method, provider and charge, or payments.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "if": {"properties": {"payments": {"type": "array"}}, "required": ["payments"]},
            "then": {"not": {"anyOf": [{"required": [name]} for name in ("amount", "charge", "charged_at")]}},
            "examples": [
                {
                    "email": "ada@example.com",
                    "product": "Difference Engine Pro",
                    "amount": 4900,
                    "currency": "EUR",
                    "method": "credit_card",
                    "provider": "stripe",
                    "charge": "ch_3PqL",
                    "purchased_at": "2026-04-17T14:05:00+02:00",
                    "tax": 782,
                    "items": [
                        {"id": "ENGINE", "name": "Difference Engine Pro", "quantity": 1, "amount": 4900, "tax": 782}
                    ],
                    "details": {
                        "licence_key": "ADA1-8150-ENGN",
                        "download_url": "https://downloads.example.com/engine.zip",
                        "invoice_number": "2026-1815",
                    },
                }
            ],
        },
    )

    email: Email | None = Field(None, description="the e-mail address with which the customer ordered")
    product: Text | None = None
    amount: Minor | None = Field(None, description="what was paid, in minor units: 4900 is 49.00 EUR, 500 is 500 JPY")
    currency: Currency | None = Field(None, description="the currency code of ISO 4217")
    method: Word | None = Field(
        None, description="credit_card, paypal, …; a request for an unknown method goes to support"
    )
    provider: Provider | None = Field(None, description="the payment provider of the charge")
    charge: Text | None = Field(None, description="the charge's id at the provider")
    instrument: Text | None = Field(None, description="the provider's fingerprint of the card or account")
    purchased_at: Instant | None = None
    charged_at: Instant | None = Field(None, description="the time of the charge, if it differs from purchased_at")
    payments: Annotated[tuple[PaymentInput, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="the payments of an order with several payments, instead of amount and charge"
    )
    renewal: StrictBool | None = None
    consumer: StrictBool | None = Field(None, description="false if the customer is a business")
    refunded: NonNegativeMinor | None = Field(None, description="the sum of the earlier refunds, in minor units")
    tax: NonNegativeMinor | None = Field(None, description="the tax that the amount includes, in minor units")
    items: (
        Annotated[tuple[PurchaseItemInput, ...], Field(max_length=MAX_ITEMS), AfterValidator(_name_items_once)] | None
    ) = Field(
        None,
        description="what was bought; replaces the items that were sent before, and need not add up to the amount. If this "
        "field is absent, the items stay unchanged",
    )
    dispute: Dispute | None = None
    details: PurchaseDetailsInput | None = Field(
        None, repr=False, description="replaces the details that were sent before; if this field is absent, they stay unchanged",
    )  # fmt: skip
    correct: StrictBool = Field(
        False,
        description="true if this corrects the e-mail address, charge, amount or currency of a known purchase, and replaces the "
        "known value. Without it, another value is refused",
    )

    @model_validator(mode="after")
    def _name_payments_once(self) -> Self:
        if (
            self.payments is not None and {"amount", "charge", "charged_at"} & self.model_fields_set
        ):  # as in the JSON schema
            raise ValueError("Send either payments, or amount and charge; a payment in payments has its own.")
        return self

    def report(self, seller: str, reference: str) -> PurchaseReport:
        """Return the fields that were sent as a report about this purchase."""
        sent = self.model_fields_set
        fields = {_REPORTED.get(name, name): getattr(self, name) for name in _PURCHASE_FIELDS & sent}
        if self.items is not None:
            fields["items"] = tuple(item.of() for item in self.items)
        payment = {name: getattr(self, name) for name in _PAYMENT_FIELDS & sent}
        payments = [payment] if payment else []
        if self.payments is not None:
            payments = [payment | item.model_dump(exclude_unset=True) for item in self.payments]
        return PurchaseReport(
            purchase_id=uuid4(),
            seller_id=seller,
            reference=reference,
            fields=_without_null(fields),
            payments=tuple(_without_null(item, keep={"amount", "currency"}) for item in payments),
            lists_payments=self.payments is not None,
            correct=self.correct,
        )


_PURCHASE_FIELDS = {"email", "product", "purchased_at", "renewal", "consumer", "tax", "refunded", "dispute"}
_PAYMENT_FIELDS = {"amount", "currency", "method", "provider", "charge", "instrument", "charged_at", "duplicate"}
_REPORTED = {"refunded": "reported_refunded", "dispute": "reported_dispute"}


def _without_null(fields: dict[str, object], *, keep: Collection[str] = ()) -> dict[str, object]:
    """Return the fields without null, because null is not reported. A null amount or currency is reported as unknown."""
    return {name: value for name, value in fields.items() if value is not None or name in keep}

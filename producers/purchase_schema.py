"""The input model of a purchase. A seller sends these fields by API or in a file."""

import re
from datetime import UTC, datetime
from typing import Annotated
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
)

from domain.purchase_details import PurchaseDetails
from domain.purchases import Dispute, Purchase
from domain.requests import Email, OneLine

_MAX_BIGINT = 2**63 - 1  # the largest bigint of PostgreSQL
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
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), OneLine]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), OneLine]
Currency = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10), OneLine]
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


class PurchaseInput(BaseModel):
    """One charge of one customer. A renewal is a separate purchase with its own charge and reference."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
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
                    "details": {
                        "licence_key": "ADA1-8150-ENGN",
                        "download_url": "https://downloads.example.com/engine.zip",
                        "invoice_number": "2026-1815",
                    },
                }
            ]
        },
    )

    email: Email = Field(description="the e-mail address with which the customer ordered")
    product: Text
    amount: Minor | None = Field(description="what was paid, in minor units: 4900 is 49.00 EUR, 500 is 500 JPY")
    currency: Currency | None = Field(description="the currency code of ISO 4217")
    method: Word = Field(description="credit_card, paypal, …; a request for an unknown method goes to support")
    provider: Word = Field(description="the payment provider of the charge")
    charge: Text = Field(description="the charge's id at the provider")
    instrument: Text | None = Field(None, description="the provider's fingerprint of the card or account")
    purchased_at: Instant
    charged_at: Instant | None = Field(None, description="the time of the charge, if it differs from purchased_at")
    renewal: StrictBool = False
    consumer: StrictBool = Field(True, description="false if the customer is a business")
    refunded: Annotated[int, Field(strict=True, ge=0, le=_MAX_BIGINT)] = Field(
        0, description="the sum of the earlier refunds, in minor units"
    )
    dispute: Dispute = Dispute.NONE
    details: PurchaseDetailsInput | None = Field(
        None, repr=False, description="replaces the details that were sent before; if this field is absent, they stay unchanged",
    )  # fmt: skip

    def of(self, seller: str, reference: str) -> Purchase:
        """Return the purchase as the domain object that is stored."""
        values = self.model_dump(exclude={"charged_at", "seller", "reference", "details"})
        return Purchase(
            id=uuid4(), seller_id=seller, reference=reference, charged_at=self.charged_at or self.purchased_at, **values
        )

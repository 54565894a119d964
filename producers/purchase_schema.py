"""A purchase as a seller tells us of it."""

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

_MOST = 2**63 - 1  # what a column of PostgreSQL holds
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def _as_text(value: object) -> object:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value):
        raise ValueError("This must be an instant as text, such as 2026-04-17T14:05:00+02:00.")
    return value


def _in_our_days(at: datetime) -> datetime:
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("This instant is before 1970 or after 2999.")
    return at


def over_https(url: str) -> str:
    """An address over https, whole and without a password; anything else is a ValueError."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme == "https" and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        whole = False
    if not whole or not url.isascii() or re.search(r"[\s<>\"\\^`{|}]", url):
        raise ValueError("This must be an address over https, such as https://shop.example.com/file.")
    return url


def help_address(text: str) -> str:
    """Where customers are helped: an e-mail address or an address over https; anything else is a ValueError."""
    if "://" in text:
        return over_https(text)
    return str(_EMAIL.validate_python(text))


_EMAIL = TypeAdapter[str](Email)

Instant = Annotated[AwareDatetime, BeforeValidator(_as_text), AfterValidator(_in_our_days)]
Minor = Annotated[int, Field(strict=True, ge=-_MOST, le=_MOST)]
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
    """What is private about a purchase: shown to its customer behind a link that is mailed to the purchase's address."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    licence_key: Key | None = Field(None, repr=False)
    activation_code: Key | None = Field(None, repr=False)
    download_url: Url | None = Field(None, repr=False, description="over https")
    invoice_number: Text | None = Field(None, repr=False)
    invoice_url: Url | None = Field(None, repr=False, description="over https")
    technical_support: HelpAddress | None = Field(
        None, repr=False, description="who helps with this product, where it is not the seller's usual one: an e-mail "
        "address, or an address over https",
    )  # fmt: skip
    subscription: StrictBool = Field(False, repr=False, description="whether the purchase renews itself")

    def of(self) -> PurchaseDetails:
        """As they are remembered."""
        return PurchaseDetails(**self.model_dump())


class PurchaseInput(BaseModel):
    """One charge of one customer. A renewal is a purchase of its own, with its own charge and reference."""

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

    email: Email = Field(description="the address the customer bought with")
    product: Text
    amount: Minor | None = Field(description="what was paid, in minor units: 4900 is 49.00 EUR, 500 is 500 JPY")
    currency: Currency | None = Field(description="ISO 4217")
    method: Word = Field(description="credit_card, paypal, …; one we do not know goes to people")
    provider: Word = Field(description="the payment provider that holds the charge")
    charge: Text = Field(description="the charge's id at the provider")
    instrument: Text | None = Field(None, description="the provider's fingerprint of the card or account")
    purchased_at: Instant
    charged_at: Instant | None = Field(None, description="when it was charged, if not at the purchase")
    renewal: StrictBool = False
    consumer: StrictBool = Field(True, description="false for a business")
    refunded: Annotated[int, Field(strict=True, ge=0, le=_MOST)] = Field(
        0, description="what went back, in minor units"
    )
    dispute: Dispute = Dispute.NONE
    details: PurchaseDetailsInput | None = Field(
        None, repr=False, description="those that were told before stay as they are where this is left out, else they are "
        "replaced",
    )  # fmt: skip

    def of(self, seller: str, reference: str) -> Purchase:
        """This purchase as it is remembered."""
        values = self.model_dump(exclude={"charged_at", "seller", "reference", "details"})
        return Purchase(
            id=uuid4(), seller_id=seller, reference=reference, charged_at=self.charged_at or self.purchased_at, **values
        )

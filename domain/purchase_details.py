"""The private details of a purchase. A link to the details is sent only to the purchase's e-mail address."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseDetails:
    """The private details that a seller stores with a purchase. The repr omits all details, so that no log contains them."""

    licence_key: str | None = field(default=None, repr=False)
    activation_code: str | None = field(default=None, repr=False)
    download_url: str | None = field(default=None, repr=False)
    """An https URL."""
    invoice_number: str | None = field(default=None, repr=False)
    invoice_url: str | None = field(default=None, repr=False)
    """An https URL."""
    technical_support: str | None = field(default=None, repr=False)
    """The technical support of the product: an e-mail address or a URL."""
    subscription: bool = field(default=False, repr=False)

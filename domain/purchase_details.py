"""What is private about a purchase: for its customer's eyes, behind a link that was mailed to the purchase's own address."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseDetails:
    """What a seller tells with a purchase. Nothing of it is in its repr, so that no log can hold it by mistake."""

    licence_key: str | None = field(default=None, repr=False)
    activation_code: str | None = field(default=None, repr=False)
    download_url: str | None = field(default=None, repr=False)
    """Over https."""
    invoice_number: str | None = field(default=None, repr=False)
    invoice_url: str | None = field(default=None, repr=False)
    """Over https."""
    technical_support: str | None = field(default=None, repr=False)
    """The product's own: an address or a URL."""
    subscription: bool = field(default=False, repr=False)

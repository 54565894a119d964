"""Answers for the methods of a provider that has no such call. An adapter inherits them and replaces what the provider has."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.providers import (
    AccessRight,
    Declined,
    DisputePage,
    ListedPurchase,
    ListedRefund,
    PaymentStatus,
    PurchasePage,
    Unknown,
)


class CapabilityDefaults:
    """The methods that not every provider has. Each returns Unknown, in agreement with the flags in ``Capabilities``."""

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return Unknown, because the provider shows no payments."""
        return Unknown(f"The provider cannot show the payment {charge}.")

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return Unknown, because the provider shows no refunds."""
        return Unknown(f"The provider cannot show the refunds of the payment {charge}.")

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:  # noqa: ARG002
        """Return Unknown, because the provider lists no disputes."""
        return Unknown("The provider cannot list its disputes.")

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:  # noqa: ARG002
        """Return Unknown, because the provider lists no payments."""
        return Unknown("The provider cannot list its payments.")

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        """Return Unknown, because the provider shows no payments."""
        return Unknown(f"The provider cannot show the payment {charge}.")

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        """Return Unknown, because the provider finds no refund by its id alone."""
        return Unknown(f"The provider cannot find the payment of the refund {refund_id}.")

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        """Return Unknown, because the provider finds no dispute by its id alone."""
        return Unknown(f"The provider cannot find the payment of the dispute {dispute_id}.")

    def check_access(self) -> Mapping[AccessRight, str]:
        """Return no missing right, because nothing can be read."""
        return {}

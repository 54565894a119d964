"""Answers for the methods of a provider that has no such call. An adapter inherits them and replaces what the provider has."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from domain.providers import (
    AccessRight,
    Capabilities,
    Declined,
    DisputePage,
    ListedPurchase,
    ListedRefund,
    PaymentStatus,
    PurchasePage,
    RefundPage,
    Unknown,
)

RECENT = timedelta(hours=1)  # the period of the lists that check_access() reads; a short list is a cheap call


class CapabilityDefaults:
    """The methods that not every provider has. Each returns Unknown, in agreement with the flags in ``Capabilities``."""

    capabilities: Capabilities

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:  # noqa: ARG002
        """Return Unknown, because the provider lists no refunds."""
        return Unknown("The provider cannot list its refunds.")

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
        """Read each list that the provider has. The right to read a list is missing if the list cannot be read."""
        since = datetime.now(UTC) - RECENT
        reads = {
            AccessRight.READ_REFUNDS: (self.capabilities.lists_refunds, self.list_refunds),
            AccessRight.READ_DISPUTES: (self.capabilities.lists_disputes, self.list_disputes),
            AccessRight.READ_PAYMENTS: (self.capabilities.lists_purchases, self.purchases),
        }
        pages = {right: read(since, None) for right, (has_list, read) in reads.items() if has_list}
        return {right: page.why for right, page in pages.items() if isinstance(page, Unknown)}

"""Finds the seller of a provider's payment, and the purchase's reference as the seller has chosen it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from config.connected_providers import sellers_of
from domain.policies import Seller
from domain.providers import ListedPurchase
from records import UnitOfWork
from worker.context import WorkerContext
from worker.purchase_sync.results import SyncCode

_DEFAULT_FIELDS = ("metadata.reference", "invoice_number", "receipt_number", "charge")
"""The fields that may contain the reference if the seller has chosen no field. Shops put an order number into the metadata."""


@dataclass(frozen=True, slots=True)
class PaymentSellers:
    """The sellers to whom the payments of an account may belong."""

    sellers: Mapping[str, Seller]
    """All sellers by id."""
    account: Collection[str] = ()
    """The ids of the sellers that use the account. If there is no id, every seller may use the account."""
    default: str | None = None
    """The seller of the payments that name no seller. None means the only seller of the account."""

    @property
    def candidates(self) -> list[str]:
        """The ids of the sellers that may use the account, in alphabetical order."""
        return [id_ for id_ in sorted(self.account or self.sellers) if id_ in self.sellers]

    def seller_of(self, payment: ListedPurchase) -> Seller | SyncCode:
        """Return the seller that the payment names, or else the default seller, or else the only seller of the account."""
        candidates = self.candidates
        if payment.seller is not None:
            return self.sellers[payment.seller] if payment.seller in candidates else SyncCode.UNKNOWN_SELLER
        if self.default is not None:
            return self.sellers[self.default]
        return self.sellers[candidates[0]] if len(candidates) == 1 else SyncCode.NO_SELLER


def load_sellers(work: UnitOfWork, context: WorkerContext, provider: str, default: str | None = None) -> PaymentSellers:
    """Return the sellers to whom the payments of this provider account may belong."""
    sellers = {seller.id: seller for seller in work.sellers.list_all()}
    return PaymentSellers(sellers, sellers_of(context.settings).get(provider, frozenset()), default)


def reference_of(payment: ListedPurchase, seller: Seller) -> str | None:
    """Return the text that the payment has in the seller's field for references, or None if the field has no text."""
    texts = {**payment.references, "charge": payment.charge}
    fields = (seller.reference_field,) if seller.reference_field else _DEFAULT_FIELDS
    return next((texts[field] for field in fields if texts.get(field)), None)

"""Defines what becomes of a provider's payment: a purchase, a further payment of a purchase, or nothing, with the reason."""

from dataclasses import dataclass

from domain.sentence_enum import SentenceEnum


class SyncCode(SentenceEnum):
    """What became of a payment. Each sentence also says what to do, if something must be done."""

    NEW = "new", "The payment is a new purchase."
    FURTHER_PAYMENT = "further_payment", "The payment is a further payment of a known purchase."
    KNOWN = "known", "The payment is known."
    DIFFERS = "differs", "The payment differs from the known purchase."
    NO_EMAIL = (
        "no_email",
        "The provider knows no valid e-mail address of the customer. Report such a purchase by file or by API.",
    )
    NO_REFERENCE = "no_reference", "The payment has no valid reference in the field that the seller has chosen."
    NO_SELLER = (
        "no_seller",
        "The payment names no seller, and the account has several. Name the seller of the account, or in the metadata.",
    )
    UNKNOWN_SELLER = (
        "unknown_seller",
        "The payment names a seller that does not exist or does not use the account. Check the payment's metadata.",
    )


STORED = (SyncCode.NEW, SyncCode.FURTHER_PAYMENT)
"""The codes of payments that are stored now."""

SKIPPED = (SyncCode.NO_EMAIL, SyncCode.NO_REFERENCE, SyncCode.NO_SELLER, SyncCode.UNKNOWN_SELLER)
"""The codes of payments that become no purchase."""


@dataclass(frozen=True, slots=True)
class SyncedPayment:
    """A payment of the provider, and what became of the payment."""

    charge: str
    code: SyncCode
    why: str = ""
    """The difference between the payment and our records, as a sentence; empty if there is none."""

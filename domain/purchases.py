"""Purchases as sellers report them, and the keys by which references and e-mail addresses are compared."""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import idna

_IGNORED = re.compile(r"[\s.#\-\x00-\x1f\x7f]+")  # with the dash and the control characters of ASCII
_INVISIBLE = {"Cf", "Cc"}  # zero-width characters, direction marks, control characters


class Method(StrEnum):
    """The payment methods that Moneyback knows by name. Other methods are allowed, too."""

    CREDIT_CARD = "credit_card"
    PAYPAL = "paypal"
    APPLE_PAY = "apple_pay"
    ALIPAY = "alipay"
    DIRECT_DEBIT = "direct_debit"
    AMAZON_PAY = "amazon_pay"
    WIRE_TRANSFER = "wire_transfer"
    INVOICE = "invoice"
    CASH = "cash"
    CHECK = "check"
    CRYPTO = "crypto"
    GOOGLE_PAY = "google_pay"


AUTOMATIC = frozenset(
    {
        Method.CREDIT_CARD,
        Method.PAYPAL,
        Method.APPLE_PAY,
        Method.ALIPAY,
        Method.DIRECT_DEBIT,
        Method.AMAZON_PAY,
    },
)
"""The methods that can be refunded automatically, even if the seller's policy does not name them."""


class Dispute(StrEnum):
    """The status of the dispute or chargeback about a payment."""

    NONE = "none"
    INQUIRY = "inquiry"  # the bank only asks: a retrieval request or an early warning. No money was taken back
    OPEN = "open"
    LOST = "lost"
    WON = "won"


DISPUTE_PRECEDENCE = (Dispute.OPEN, Dispute.LOST, Dispute.INQUIRY, Dispute.WON)
"""An open dispute takes precedence over a lost dispute, a lost dispute over an inquiry, and an inquiry over a won dispute.

After a lost dispute, the seller has lost the money, even if another dispute was won.
"""


def decisive_dispute(disputes: Collection[Dispute]) -> Dispute:
    """Return the dispute that takes precedence over the others."""
    return next((dispute for dispute in DISPUTE_PRECEDENCE if dispute in disputes), Dispute.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment of a purchase at a provider. ``charge`` is the provider's id, with which the payment is refunded.

    Amount and currency are stored as the seller reports them, even if they are invalid. So an invalid amount does not
    prevent the import of a purchase. The rule ``amount_is_sound`` checks the amount and the currency when a refund is requested.
    """

    provider: str
    charge: str
    amount: int | None
    currency: str | None
    method: str
    instrument: str | None = None
    charged_at: datetime
    duplicate: bool = False
    """True if the customer was charged twice, and this is the payment that should not have been collected."""
    refunded: int = 0
    """The sum of the refunds of this payment that did not fail, in minor units: our refunds, and refunds made elsewhere."""
    dispute: Dispute = Dispute.NONE
    """The dispute as the provider reports it."""
    captured: int | None = field(default=None, compare=False)
    """The sum that the purchases paid with this payment cost, in minor units. It is more than ``amount`` for a cart."""
    unresolved: int = field(default=0, compare=False)
    """The sum of our refunds of this payment that may still be made, in minor units. ``refunded`` does not contain this sum."""

    @property
    def id(self) -> tuple[str, str]:
        """The provider and the charge. No two payments have the same pair."""
        return self.provider, self.charge


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseItem:
    """One item of a purchase, as the seller reports it. Shops and payment providers call it a line item."""

    id: str
    """The seller's id of the item, such as its SKU. No two items of a purchase have the same id."""
    name: str
    quantity: int
    amount: int
    """What was paid for the whole quantity, in minor units of the purchase's currency. It includes the tax."""
    tax: int | None = None
    """The tax that the amount includes, in minor units; None if the seller does not report the tax of the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What a customer bought. A renewal is a separate purchase with its own payment.

    Usually, a purchase has one payment. It has several if the order was paid in parts, or if the customer was charged twice.
    """

    id: UUID
    seller_id: str
    reference: str
    email: str
    product: str
    purchased_at: datetime
    renewal: bool = False
    consumer: bool = True
    payments: tuple[Payment, ...]
    tax: int | None = None
    """The tax that the amount includes, in minor units; None if the seller does not report the tax."""
    items: tuple[PurchaseItem, ...] = ()
    """What was bought, if the seller reports it. Support chooses items to find the amount of a partial refund.

    The amounts of the items need not add up to the amount of the purchase, because of shipping and discounts. Only the amounts of
    the payments limit a refund.
    """
    reported_refunded: int = 0
    """The sum of the refunds that the seller reports, in minor units."""
    reported_dispute: Dispute = Dispute.NONE
    """The dispute that the seller reports. It counts until the provider reports a dispute of one of the payments."""
    from_provider: bool = False
    """True if only a provider has reported the purchase. Then the seller's first report decides about reference and address."""
    refunded_another_way: int = 0
    """What support refunded another way, such as by a bank transfer, in minor units. No provider shows these refunds."""

    @property
    def decisive_at(self) -> datetime:
        """The instant that decides which policy applies, and from which the days of the policy are counted.

        For a renewal, it is the instant of the first charge; otherwise, it is the instant of the purchase.
        """
        return min(payment.charged_at for payment in self.payments) if self.renewal else self.purchased_at

    @property
    def currency(self) -> str | None:
        """The currency of all payments; None if the payments have different currencies, or none."""
        currencies = {payment.currency for payment in self.payments}
        return currencies.pop() if len(currencies) == 1 else None

    @property
    def amount(self) -> int | None:
        """The sum of all payments in minor units; None if an amount is unknown, or if the currencies differ."""
        amounts = [payment.amount for payment in self.payments if payment.amount is not None]
        return sum(amounts) if self.currency is not None and len(amounts) == len(self.payments) else None

    @property
    def refunded(self) -> int:
        """The sum of the known refunds in minor units.

        It is what the providers show and what support refunded another way, or what the seller reports if that is more.
        """
        known = sum(payment.refunded for payment in self.payments) + self.refunded_another_way
        return max(known, self.reported_refunded)

    @property
    def dispute(self) -> Dispute:
        """The dispute that decides. What the provider reports replaces what the seller reports."""
        shown = decisive_dispute([payment.dispute for payment in self.payments])
        return self.reported_dispute if shown is Dispute.NONE else shown

    @property
    def is_disputed(self) -> bool:
        """True if nobody may refund the purchase, because a dispute is open or lost. For an inquiry, a person may decide."""
        return self.dispute in {Dispute.OPEN, Dispute.LOST}

    @property
    def duplicates(self) -> tuple[Payment, ...]:
        """The payments that should not have been collected, because the customer was charged twice."""
        return tuple(payment for payment in self.payments if payment.duplicate)

    @property
    def is_forgotten(self) -> bool:
        """True if the personal data of the customer was removed. Every other purchase has an e-mail address."""
        return not self.email

    @property
    def snapshot(self) -> dict[str, object]:
        """What a customer confirms: the payments with their amounts, and a hash of the address that gets the link.

        A refund is made only if the purchase still has the snapshot that was evaluated and confirmed. The items and the tax are
        left out, because support decides about amounts of payments. A decided amount stays right if the items change later.
        """
        return {
            "payments": [
                [payment.provider, payment.charge, payment.amount, payment.currency] for payment in self.payments
            ],
            "address": hashlib.sha256(email_key(self.email).encode()).hexdigest(),
        }

    def automatic_payments(self, methods: Collection[str]) -> tuple[Payment, ...]:
        """Return the payments whose method is refunded automatically. ``methods`` are the methods that the policy adds."""
        return tuple(payment for payment in self.payments if payment.method in AUTOMATIC or payment.method in methods)


def without_invisible(text: str) -> str:
    """Return the text without the characters that nobody sees: zero-width characters, direction marks, control characters."""
    if text.isprintable():  # because looking at each character is slow
        return text
    return "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)


def literal_reference(reference: str) -> str:
    """Return the key that identifies a purchase of a seller: without invisible characters, trimmed, NFKC, and case-folded.

    ``2026-1-15`` and ``2026-11-5`` are different purchases, although their ``reference_key`` is the same.
    """
    visible = without_invisible(unicodedata.normalize("NFKC", reference))
    return unicodedata.normalize("NFKC", visible.strip().casefold())


def reference_key(reference: str) -> str:
    """Return the key by which a reference is found: NFKC and case-folded, without white space, dots, dashes and ``#``.

    The key finds a purchase, but does not identify it: ``literal_reference`` does.

    Leading zeros are significant, because no reference is parsed as a number.
    """
    visible = unicodedata.normalize("NFKC", reference)
    if not visible.isascii():  # because looking at each character is slow, and most references are ASCII
        visible = "".join(c for c in visible if unicodedata.category(c) not in _INVISIBLE and not _is_dash(c))
    return unicodedata.normalize("NFKC", _IGNORED.sub("", visible).casefold())


def email_key(email: str) -> str:
    """Return the key by which an e-mail address is compared: without outer spaces and invisible characters, case-folded.

    The domain has its IDNA form. Tags such as ``+shop`` and dots are kept.
    """
    local, at, host = email.strip().rpartition("@")
    return f"{without_invisible(local).casefold()}{at}{_ascii_domain(host)}".strip()


def _ascii_domain(host: str) -> str:
    """Return the IDNA form of a domain. An invalid domain is compared as it is, but without invisible characters."""
    visible = without_invisible(host).strip().lower()
    if visible.isascii():  # the IDNA form of a domain in ASCII differs only in case
        return visible
    for form in (host, visible):  # some scripts need a zero-width joiner, so a valid domain keeps it
        with suppress(idna.IDNAError):
            return idna.encode(form, uts46=True).decode("ascii")
    return visible


def _is_dash(char: str) -> bool:
    return unicodedata.category(char) == "Pd" or char in "\u2212\u02d7\u00ad\u2043"  # minus signs, soft hyphen, bullet

"""What was bought, as the seller told us, and how a customer's words for it are compared."""

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import idna

_LEFT_OUT = re.compile(r"[\s.#]+")
_INVISIBLE = {"Cf", "Cc"}  # zero-width characters, direction marks, control characters


class Method(StrEnum):
    """The payment methods we know by name; AUTOMATIC are the ones refunded without a policy naming them."""

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


class Dispute(StrEnum):
    """Where a dispute or chargeback about the payment stands."""

    NONE = "none"
    OPEN = "open"
    LOST = "lost"
    WON = "won"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One charge of one customer. A renewal is a purchase of its own, with its own charge.

    Amount and currency are kept as told, known or not: that they are sound is a rule of eligibility, not a condition
    for remembering the purchase.
    """

    id: UUID
    seller_id: str
    reference: str
    email: str
    product: str
    amount: int | None
    currency: str | None
    refunded: int = 0
    method: str
    provider: str
    charge: str
    instrument: str | None = None
    purchased_at: datetime
    charged_at: datetime
    renewal: bool = False
    consumer: bool = True
    dispute: Dispute = Dispute.NONE

    @property
    def decisive_at(self) -> datetime:
        """The instant that the policy and the window count from: for a renewal, the renewal's charge."""
        return self.charged_at if self.renewal else self.purchased_at


def reference_key(reference: str) -> str:
    """A reference as it is compared: NFKC-folded, without white space, dots, dashes and ``#``, case ignored.

    Leading zeros count and nothing is parsed as a number.
    """
    folded = unicodedata.normalize("NFKC", reference)
    kept = (c for c in folded if unicodedata.category(c) not in _INVISIBLE and not _is_dash(c))
    return unicodedata.normalize("NFKC", _LEFT_OUT.sub("", "".join(kept)).casefold())


def email_key(email: str) -> str:
    """An address as it is compared: trimmed, domain by IDNA, then full case folding. No tag or dot is removed."""
    local, at, host = email.strip().rpartition("@")
    with suppress(idna.IDNAError):  # an address that no mail server would take still equals itself
        host = idna.encode(host, uts46=True).decode("ascii")
    return f"{local}{at}{host}".casefold()


def _is_dash(char: str) -> bool:
    return unicodedata.category(char) == "Pd" or char in "\u2212\u02d7\u00ad\u2043"  # minus signs, soft hyphen, bullet

"""Purchases as sellers report them, and the keys by which references and e-mail addresses are compared."""

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import idna

_IGNORED = re.compile(r"[\s.#]+")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One charge that a customer paid. A renewal is a separate purchase with its own charge.

    Amount and currency are stored as the seller reports them, even if they are invalid. So an invalid amount does not
    prevent the import of a purchase. The rule ``amount_is_sound`` checks the amount and the currency when a refund is requested.
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
        """The instant that decides which policy applies, and from which the days of the policy are counted.

        For a renewal, it is the instant of the charge; otherwise, it is the instant of the purchase.
        """
        return self.charged_at if self.renewal else self.purchased_at


def reference_key(reference: str) -> str:
    """Return the key by which a reference is compared: NFKC and case-folded, without white space, dots, dashes and ``#``.

    Leading zeros are significant, because no reference is parsed as a number.
    """
    folded = unicodedata.normalize("NFKC", reference)
    visible = (c for c in folded if unicodedata.category(c) not in _INVISIBLE and not _is_dash(c))
    return unicodedata.normalize("NFKC", _IGNORED.sub("", "".join(visible)).casefold())


def email_key(email: str) -> str:
    """Return the key by which an e-mail address is compared: without outer spaces, with the domain in IDNA form, case-folded.

    Tags such as ``+shop`` and dots are kept.
    """
    local, at, host = email.strip().rpartition("@")
    with suppress(idna.IDNAError):  # an invalid domain is compared as it is
        host = idna.encode(host, uts46=True).decode("ascii")
    return f"{local}{at}{host}".casefold()


def _is_dash(char: str) -> bool:
    return unicodedata.category(char) == "Pd" or char in "\u2212\u02d7\u00ad\u2043"  # minus signs, soft hyphen, bullet

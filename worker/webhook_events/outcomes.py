"""Defines the outcomes of webhook events. The database stores the code, and support reads the code's sentence."""

from dataclasses import dataclass
from enum import StrEnum

from domain.providers import (
    ExternalRefund,
    Failed,
    LookupResult,
    Mismatched,
    NotFound,
    Paid,
    Pending,
    Unknown,
    WaitingForApproval,
)
from domain.purchases import Dispute
from records.webhook_events import CRASHED_WORKER, UNKNOWN_PAYMENT
from worker.purchase_sync.results import SyncCode


class OutcomeCode(StrEnum):
    """The outcome of processing a webhook event."""

    NO_PAYMENT = "no_payment"
    UNKNOWN_PAYMENT = UNKNOWN_PAYMENT
    REFUND_PAID = "refund_paid"
    REFUND_PENDING = "refund_pending"
    REFUND_DIFFERS = "refund_differs"
    REFUND_AWAITS_APPROVAL = "refund_awaits_approval"
    REFUND_FAILED = "refund_failed"
    EXTERNAL_REFUND = "external_refund"
    INQUIRY_OPEN = "inquiry_open"
    DISPUTE_OPEN = "dispute_open"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    NOTHING_NEW = "nothing_new"
    PURCHASE_STORED = "purchase_stored"
    PURCHASE_KNOWN = "purchase_known"
    PURCHASE_DIFFERS = "purchase_differs"
    NO_PURCHASE = "no_purchase"
    NO_EMAIL = "no_email"
    NO_REFERENCE = "no_reference"
    NO_SELLER = "no_seller"
    UNKNOWN_SELLER = "unknown_seller"
    NOT_VISIBLE = "not_visible"
    LOOKUP_FAILED = "lookup_failed"
    LOOKUP_LAGS = "lookup_lags"
    REFUND_MAY_FOLLOW = "refund_may_follow"
    CONTRADICTED = "contradicted"
    CASE_LOCKED = "case_locked"
    OTHER_REFUND_OPEN = "other_refund_open"
    CRASHED_WORKER = CRASHED_WORKER

    @property
    def sentence(self) -> str:
        """The sentence that support reads."""
        return SENTENCES[self]


SENTENCES = {
    OutcomeCode.NO_PAYMENT: "The event names no payment.",
    OutcomeCode.UNKNOWN_PAYMENT: "The payment belongs to no purchase in our records.",
    OutcomeCode.REFUND_PAID: "The provider shows our refund as paid.",
    OutcomeCode.REFUND_PENDING: "The provider shows our refund as pending.",
    OutcomeCode.REFUND_DIFFERS: "The provider shows our refund with another amount or currency than requested.",
    OutcomeCode.REFUND_AWAITS_APPROVAL: "Our refund waits for an approval at the provider.",
    OutcomeCode.REFUND_FAILED: "The provider shows our refund as failed.",
    OutcomeCode.EXTERNAL_REFUND: "The provider shows a refund that was not made by us.",
    OutcomeCode.INQUIRY_OPEN: "The bank asks about the payment.",
    OutcomeCode.DISPUTE_OPEN: "The dispute is open.",
    OutcomeCode.DISPUTE_WON: "The dispute was won.",
    OutcomeCode.DISPUTE_LOST: "The dispute was lost.",
    OutcomeCode.NOTHING_NEW: "The provider shows no refund of others and no dispute.",
    OutcomeCode.PURCHASE_STORED: "The payment was stored as a purchase, or as a further payment of a known purchase.",
    OutcomeCode.PURCHASE_KNOWN: "The payment belongs to a known purchase.",
    OutcomeCode.PURCHASE_DIFFERS: "The payment differs from the known purchase, so nothing was stored.",
    OutcomeCode.NO_PURCHASE: "The provider does not show the payment as a purchase.",
    OutcomeCode.NO_EMAIL: SyncCode.NO_EMAIL.sentence,
    OutcomeCode.NO_REFERENCE: SyncCode.NO_REFERENCE.sentence,
    OutcomeCode.NO_SELLER: SyncCode.NO_SELLER.sentence,
    OutcomeCode.UNKNOWN_SELLER: SyncCode.UNKNOWN_SELLER.sentence,
    OutcomeCode.NOT_VISIBLE: "The provider does not show what the event reports.",
    OutcomeCode.LOOKUP_FAILED: "The provider could not be called, or its reply did not show the result.",
    OutcomeCode.LOOKUP_LAGS: "The provider made our refund, but shows only a refund that was not made by us.",
    OutcomeCode.REFUND_MAY_FOLLOW: "The provider shows a refund that was not made by us, and may still make our refund.",
    OutcomeCode.CONTRADICTED: "The provider shows a different status than the event reports.",
    OutcomeCode.CASE_LOCKED: "Another worker has the lease of the case, or the case has no refund at the provider.",
    OutcomeCode.OTHER_REFUND_OPEN: "The case waits for the outcome of the refund of another payment.",
    OutcomeCode.CRASHED_WORKER: "The last worker that processed the event crashed.",
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The event is not processed again."""

    code: OutcomeCode


@dataclass(frozen=True, slots=True)
class Retry:
    """The event is processed again later. If this was the last attempt, support gets a task instead."""

    code: OutcomeCode
    detail: str = ""
    """Why the lookup failed; empty for other outcomes."""

    @property
    def sentence(self) -> str:
        """The sentence that support reads."""
        return f"{self.code.sentence} {self.detail}".strip()


Outcome = Resolved | Retry


def first_retry(*outcomes: Outcome) -> Outcome:
    """Return the first outcome that is not resolved, or else the first outcome."""
    return next((outcome for outcome in outcomes if isinstance(outcome, Retry)), outcomes[0])


REFUND_CODES: dict[type[LookupResult], OutcomeCode] = {
    Paid: OutcomeCode.REFUND_PAID,
    Pending: OutcomeCode.REFUND_PENDING,
    Mismatched: OutcomeCode.REFUND_DIFFERS,
    WaitingForApproval: OutcomeCode.REFUND_AWAITS_APPROVAL,
    Failed: OutcomeCode.REFUND_FAILED,
    ExternalRefund: OutcomeCode.EXTERNAL_REFUND,
    NotFound: OutcomeCode.NOT_VISIBLE,
    Unknown: OutcomeCode.LOOKUP_FAILED,
}
DISPUTE_CODES = {
    Dispute.INQUIRY: OutcomeCode.INQUIRY_OPEN,
    Dispute.OPEN: OutcomeCode.DISPUTE_OPEN,
    Dispute.WON: OutcomeCode.DISPUTE_WON,
    Dispute.LOST: OutcomeCode.DISPUTE_LOST,
}

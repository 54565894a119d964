"""What each state sets going when a case reaches it: written in the same commit as the step, so that nobody can forget it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.messages import (
    CaseEmailsDue,
    RefundApproved,
    RefundOutcomeUnknown,
    RefundRequested,
    SupportNeeded,
    WorkItems,
)
from domain.states import Event, State


class EmailKind(StrEnum):
    """The letters a customer can get, one a stage."""

    START_REFUND = "start_refund"
    ACCEPTED = "accepted"
    REFUNDED = "refunded"
    WITH_SUPPORT = "with_support"
    RETURNED = "returned"
    DECLINED = "declined"
    NOT_FOUND = "not_found"
    ALREADY_REQUESTED = "already_requested"
    WITHDRAWAL_RECEIVED = "withdrawal_received"  # due by the declaration itself, whatever becomes of the case


class Timeout(StrEnum):
    """How long a state may last before the sweep acts: each is the name of a setting, in seconds."""

    RESEND = "resend_after_seconds"
    LEASE = "lease_seconds"
    POLL = "poll_initial_seconds"
    CONFIRMATION = "confirmation_ttl_seconds"


@dataclass(frozen=True, slots=True)
class StateEffects:
    """``lane`` moves the case on at once; ``resend`` is the lane the sweep uses when nobody did within ``patience``."""

    message: type[WorkItems] | None = None
    email: EmailKind | None = None
    support_task: bool = False
    timeout: Timeout | None = None
    resend: type[WorkItems] | None = None


EFFECTS: Mapping[State, StateEffects] = {
    State.RECEIVED: StateEffects(message=RefundRequested, timeout=Timeout.RESEND, resend=RefundRequested),
    State.AWAITING_CONFIRMATION: StateEffects(email=EmailKind.START_REFUND, timeout=Timeout.CONFIRMATION),
    State.APPROVED: StateEffects(message=RefundApproved, timeout=Timeout.RESEND, resend=RefundApproved),
    State.REFUNDING: StateEffects(timeout=Timeout.LEASE, resend=RefundOutcomeUnknown),
    State.REFUND_PENDING: StateEffects(email=EmailKind.ACCEPTED, timeout=Timeout.POLL, resend=RefundOutcomeUnknown),
    State.REFUNDED: StateEffects(email=EmailKind.REFUNDED),
    State.WITH_SUPPORT: StateEffects(email=EmailKind.WITH_SUPPORT, support_task=True),
    State.UNMATCHED: StateEffects(email=EmailKind.NOT_FOUND),
    State.DUPLICATE: StateEffects(email=EmailKind.ALREADY_REQUESTED),
    State.DECLINED: StateEffects(email=EmailKind.DECLINED),
    State.EXPIRED: StateEffects(),
    State.CANCELLED: StateEffects(),
}

EMAILS: Mapping[Event, EmailKind] = {
    Event.PROVIDER_FAILED_LATE: EmailKind.RETURNED,  # its customer was told of success, or may have had this state's letter before
}
"""Where what happened says more than the state reached."""


def email_for(event: Event, to_state: State) -> EmailKind | None:
    """The letter that this step asks for."""
    return EMAILS.get(event, EFFECTS[to_state].email)


def messages_for(effects: StateEffects) -> tuple[type[WorkItems], ...]:
    """Every lane that gets a message when a case arrives here."""
    return tuple(
        lane
        for lane in (
            effects.message,
            CaseEmailsDue if effects.email else None,
            SupportNeeded if effects.support_task else None,
        )
        if lane
    )

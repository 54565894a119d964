"""The effects that follow when a case reaches a state: messages, an e-mail, a support task and a timeout.

The effects are stored in the same commit as the transition, so that no effect is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.emails import EMAILS_OF_A_ROUND, EmailKind
from domain.messages import (
    CaseEmailsDue,
    RefundApproved,
    RefundOutcomeUnknown,
    RefundRequested,
    SupportNeeded,
    WorkItems,
)
from domain.states import Event, State


class Timeout(StrEnum):
    """The maximum time that a case may stay in a state.

    After this time, the sweep (a loop) publishes a message for the case, or lets the case expire. Each value is the name of a
    setting, which contains the number of seconds.
    """

    RESEND = "resend_after_seconds"
    LEASE = "lease_seconds"
    POLL = "poll_initial_seconds"
    CONFIRMATION = "confirmation_ttl_seconds"


@dataclass(frozen=True, slots=True)
class StateEffects:
    """The effects that follow when a case reaches a state."""

    message: type[WorkItems] | None = None
    """The message that is published immediately, so that a worker processes the case."""
    email: EmailKind | None = None
    support_task: bool = False
    timeout: Timeout | None = None
    resend: type[WorkItems] | None = None
    """The message that the sweep publishes if no worker processed the case within ``timeout``."""


EFFECTS: Mapping[State, StateEffects] = {
    State.RECEIVED: StateEffects(message=RefundRequested, timeout=Timeout.RESEND, resend=RefundRequested),
    State.AWAITING_CONFIRMATION: StateEffects(email=EmailKind.START_REFUND, timeout=Timeout.CONFIRMATION),
    State.APPROVED: StateEffects(message=RefundApproved, timeout=Timeout.RESEND, resend=RefundApproved),
    State.REFUNDING: StateEffects(timeout=Timeout.LEASE, resend=RefundOutcomeUnknown),
    State.WAITING_FOR_APPROVAL: StateEffects(timeout=Timeout.POLL, resend=RefundOutcomeUnknown),
    State.REFUND_PENDING: StateEffects(email=EmailKind.ACCEPTED, timeout=Timeout.POLL, resend=RefundOutcomeUnknown),
    State.REFUNDED: StateEffects(email=EmailKind.REFUNDED),
    State.WITH_SUPPORT: StateEffects(email=EmailKind.WITH_SUPPORT, support_task=True),
    State.UNMATCHED: StateEffects(email=EmailKind.NOT_FOUND),
    State.DUPLICATE: StateEffects(email=EmailKind.ALREADY_REQUESTED),
    State.DECLINED: StateEffects(email=EmailKind.DECLINED),
    State.CLOSED: StateEffects(),
    State.EXPIRED: StateEffects(),
    State.CANCELLED: StateEffects(),
}

EMAILS: Mapping[Event, EmailKind] = {
    # The customer may already have an e-mail that reports the refund as made. The e-mail WITH_SUPPORT would not correct this
    # report. Also, WITH_SUPPORT may have been sent already, and each kind of e-mail is sent only once for a case.
    Event.PROVIDER_FAILED_LATE: EmailKind.RETURNED,
    # The customer may already have the e-mail ACCEPTED, which says that nothing needs to be done.
    Event.CUSTOMER_ACTION_REQUIRED: EmailKind.ACTION_REQUIRED,
    Event.SUPPORT_APPROVED: EmailKind.APPROVED,
    Event.SUPPORT_ASKED: EmailKind.QUESTION,
    Event.CUSTOMER_ANSWERED: EmailKind.ANSWER_RECEIVED,
    Event.SUPPORT_REFUNDED_ELSEWHERE: EmailKind.REFUNDED_ELSEWHERE,
}
"""The events that have their own e-mail. This e-mail is sent instead of the e-mail of the new state."""

KEEPS_SUPPORT_TASK = frozenset({Event.SUPPORT_ASKED})
"""The events after which support goes on with the same task, so that no new support task is created."""


def email_for(event: Event | None, to_state: State) -> EmailKind | None:
    """Return the kind of the e-mail that the customer gets after this transition; None if there is no e-mail."""
    by_event = EMAILS.get(event) if event else None
    return by_event or EFFECTS[to_state].email


def email_round(email: EmailKind, from_state: State, decided_seq: int) -> int | None:
    """Return the round in which the customer gets this e-mail, or 0 if it belongs to the request. None means no e-mail.

    When the rules hand a request over, the e-mail WITH_SUPPORT belongs to the request. When a case comes back to support, for
    example because an approved refund could not be made, the e-mail belongs to the round, so that the customer hears of it. A
    case that support has already needs no further e-mail of this kind.
    """
    if email is EmailKind.WITH_SUPPORT:
        return {State.WITH_SUPPORT: None, State.RECEIVED: 0}.get(from_state, decided_seq)
    return decided_seq if email in EMAILS_OF_A_ROUND else 0


def messages_for(to_state: State, event: Event | None = None) -> tuple[type[WorkItems], ...]:
    """Return the classes of the messages that are published when a case reaches this state, by this event if it is given."""
    effects = EFFECTS[to_state]
    has_task = effects.support_task and event not in KEEPS_SUPPORT_TASK
    return tuple(
        message
        for message in (
            effects.message,
            CaseEmailsDue if email_for(event, to_state) else None,
            SupportNeeded if has_task else None,
        )
        if message
    )

"""What each state sets going when a case reaches it: written in the same commit as the step, so that nobody can forget it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.messages import Cases, LettersDue, RefundApproved, RefundRequested, RefundUnsettled, SupportNeeded
from domain.states import Event, State


class Stage(StrEnum):
    """The letters a customer can get, one a stage."""

    START_REFUND = "start_refund"
    ACCEPTED = "accepted"
    REFUNDED = "refunded"
    WITH_SUPPORT = "with_support"
    RETURNED = "returned"
    DECLINED = "declined"
    NOT_FOUND = "not_found"
    ALREADY_ASKED = "already_asked"
    WITHDRAWAL_RECEIVED = "withdrawal_received"  # due by the declaration itself, whatever becomes of the case


class Patience(StrEnum):
    """How long a state may last before the sweep acts: each is the name of a setting, in seconds."""

    LANE = "resend_after_seconds"
    LEASE = "lease_seconds"
    POLL = "poll_initial_seconds"
    CONFIRM = "confirmation_ttl_seconds"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """``lane`` moves the case on at once; ``resend`` is the lane the sweep uses when nobody did within ``patience``."""

    lane: type[Cases] | None = None
    letter: Stage | None = None
    task: bool = False
    patience: Patience | None = None
    resend: type[Cases] | None = None


AFTERMATH: Mapping[State, Aftermath] = {
    State.RECEIVED: Aftermath(lane=RefundRequested, patience=Patience.LANE, resend=RefundRequested),
    State.AWAITING_CONFIRMATION: Aftermath(letter=Stage.START_REFUND, patience=Patience.CONFIRM),
    State.APPROVED: Aftermath(lane=RefundApproved, patience=Patience.LANE, resend=RefundApproved),
    State.REFUNDING: Aftermath(patience=Patience.LEASE, resend=RefundUnsettled),
    State.REFUND_PENDING: Aftermath(letter=Stage.ACCEPTED, patience=Patience.POLL, resend=RefundUnsettled),
    State.REFUNDED: Aftermath(letter=Stage.REFUNDED),
    State.WITH_SUPPORT: Aftermath(letter=Stage.WITH_SUPPORT, task=True),
    State.UNMATCHED: Aftermath(letter=Stage.NOT_FOUND),
    State.DUPLICATE: Aftermath(letter=Stage.ALREADY_ASKED),
    State.DECLINED: Aftermath(letter=Stage.DECLINED),
    State.EXPIRED: Aftermath(),
    State.WITHDRAWN: Aftermath(),
}

LETTERS: Mapping[Event, Stage] = {
    Event.PROVIDER_FAILED_LATE: Stage.RETURNED,  # its customer was told of success, or may have had this state's letter before
}
"""Where what happened says more than the state reached."""


def letter_of(event: Event, there: State) -> Stage | None:
    """The letter that this step asks for."""
    return LETTERS.get(event, AFTERMATH[there].letter)


def lanes_of(aftermath: Aftermath) -> tuple[type[Cases], ...]:
    """Every lane that gets a message when a case arrives here."""
    return tuple(
        lane
        for lane in (
            aftermath.lane,
            LettersDue if aftermath.letter else None,
            SupportNeeded if aftermath.task else None,
        )
        if lane
    )

"""The kinds of e-mails about a case."""

from enum import StrEnum


class EmailKind(StrEnum):
    """The e-mails that a customer can get about a case. Each kind is sent at most once for a case."""

    START_REFUND = "start_refund"
    ACCEPTED = "accepted"
    ACTION_REQUIRED = "action_required"
    REFUNDED = "refunded"
    WITH_SUPPORT = "with_support"
    RETURNED = "returned"
    DECLINED = "declined"
    NOT_FOUND = "not_found"
    ALREADY_REQUESTED = "already_requested"
    WITHDRAWAL_RECEIVED = "withdrawal_received"  # due when the withdrawal is declared, whatever the state of the case

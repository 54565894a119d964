"""The kinds of e-mails about a case."""

from enum import StrEnum


class EmailKind(StrEnum):
    """The e-mails that a customer can get about a case. Each kind is sent at most once for a case, or once in a round."""

    START_REFUND = "start_refund"
    ACCEPTED = "accepted"
    ACTION_REQUIRED = "action_required"
    REFUNDED = "refunded"
    WITH_SUPPORT = "with_support"
    RETURNED = "returned"
    DECLINED = "declined"
    APPROVED = "approved"
    QUESTION = "question"
    ANSWER_RECEIVED = "answer_received"
    REFUNDED_ELSEWHERE = "refunded_elsewhere"
    NOT_FOUND = "not_found"
    ALREADY_REQUESTED = "already_requested"
    WITHDRAWAL_RECEIVED = "withdrawal_received"  # due when the withdrawal is declared, whatever the state of the case


EMAILS_OF_A_ROUND = frozenset(EmailKind) - {
    EmailKind.START_REFUND,
    EmailKind.NOT_FOUND,
    EmailKind.ALREADY_REQUESTED,
    EmailKind.WITHDRAWAL_RECEIVED,
}
"""The e-mails that a customer can get once in each round. A round begins when support decides or the customer answers.

The other e-mails are about the request, so that they are not sent again. ``email_round`` says when WITH_SUPPORT is one of them.
"""

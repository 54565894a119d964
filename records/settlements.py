"""Settle the cases that wait for support although external refunds, which Moneyback did not make, refunded their payments."""

from collections.abc import Sequence

from domain.cases import Case, Transition
from domain.states import Event
from records.unit_of_work import UnitOfWork


def close_settled_cases(work: UnitOfWork, payments: Sequence[tuple[str, str]]) -> bool:
    """Settle the cases about these payments that external refunds refunded. Return whether one was settled.

    An e-mail that would tell the customer that support has the case is not sent any more.
    """
    settled = [_close_as_refunded(work, case) for case in work.cases.settled(payments)]
    work.case_emails.delete_unsent([transition.case.id for transition in settled])
    return bool(work.history.record(settled))


def _close_as_refunded(work: UnitOfWork, case: Case) -> Transition:
    """Return the transition that settles this case. If one of the refunds in the evidence fails, the case is reopened."""
    why = "Support refunded the payment at the payment provider."
    refund_ids = work.cases.settlement_refunds(case.id)
    evidence = {"refunds": refund_ids, "refund": refund_ids[0]}
    return case.after(Event.EXTERNALLY_REFUNDED, actor="provider", why=why, evidence=evidence)

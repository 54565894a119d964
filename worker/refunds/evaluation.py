"""Evaluates received cases. The rules decide which transition each case makes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.cases import Case, Transition
from domain.eligibility import (
    Approve,
    Decision,
    Duplicate,
    EligibilityInput,
    Escalate,
    RequireConfirmation,
    Unmatched,
    decide,
)
from domain.providers import refund_window
from domain.reason_codes import ReasonCode, RuleResult
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.decision_inputs import DecisionInput
from worker.context import WorkerContext
from worker.support_tasks.statutory_withdrawals import withdrawal_tasks

DAY = 86_400.0  # seconds
MAX_EMAILS_PER_DAY = {
    State.DUPLICATE: 1,  # for each purchase: a second e-mail about the same case has no new content
    State.UNMATCHED: 5,  # for each address: enough for a few typing errors, and too few to flood a stranger's mailbox
}
"""For each state of a case: the maximum number of e-mails per day. Requests above this maximum cause no e-mail."""

WITHDRAWAL_TASKS = {
    State.UNMATCHED: SupportTaskKind.STATUTORY_WITHDRAWAL_UNMATCHED,
    State.DUPLICATE: SupportTaskKind.STATUTORY_WITHDRAWAL,
    State.WITH_SUPPORT: SupportTaskKind.STATUTORY_WITHDRAWAL,
}
"""The states in which support must answer a statutory withdrawal, with the kind of the support task."""


def evaluate(work: UnitOfWork, context: WorkerContext, cases: Sequence[Case]) -> list[UUID]:
    """Evaluate these cases, which must be locked and in the state ``received``. Return the ids of the approved cases."""
    if not cases:
        return []
    matches = work.decision_inputs.matches([case.id for case in cases])
    purchases = {case_id: matching[0] for case_id, matching in matches.items() if len(matching) == 1}
    inputs = work.decision_inputs.load(list(purchases.values())) if purchases else {}
    open_cases: dict[UUID, UUID] = {}  # by purchase id: the case of this batch that is open for the purchase
    transitions = []
    for case in cases:
        decision_input = inputs[purchases[case.id].id] if case.id in purchases else None
        if decision_input and decision_input.purchase.id in open_cases:
            decision_input = replace(decision_input, open_case=open_cases[decision_input.purchase.id])
        decision = decide(eligibility_input(case, decision_input, context))
        transitions.append(_decision_transition(case, decision, decision_input))
        if decision_input and not isinstance(decision, Duplicate):
            open_cases[decision_input.purchase.id] = case.id
    recorded = work.history.record(limit_emails(work, transitions))
    _report_withdrawals(work, transitions)
    return [
        transition.case.id
        for transition in transitions
        if transition.to_state is State.APPROVED and transition.case.id in recorded
    ]


def _report_withdrawals(work: UnitOfWork, transitions: Sequence[Transition]) -> None:
    """Create support tasks for the statutory withdrawals that support must answer."""
    withdrawals = work.statutory_withdrawals.get_many(
        [transition.case.id for transition in transitions if transition.to_state in WITHDRAWAL_TASKS]
    )
    for kind in set(WITHDRAWAL_TASKS.values()):
        cases = [transition.case for transition in transitions if WITHDRAWAL_TASKS.get(transition.to_state) is kind]
        work.support_tasks.create(withdrawal_tasks(kind, cases, withdrawals))


def limit_emails(work: UnitOfWork, transitions: Sequence[Transition]) -> list[Transition]:
    """Set ``notify=False`` in transitions above the daily e-mail limit, so that repeated requests cannot flood a mailbox."""
    duplicates = {
        transition.case.id: transition.purchase_id
        for transition in transitions
        if transition.to_state is State.DUPLICATE and transition.purchase_id
    }
    unmatched = [transition.case.id for transition in transitions if transition.to_state is State.UNMATCHED]
    limited_by: dict[UUID, UUID | str] = {**duplicates}  # by case id: the purchase or the address
    email_counts: Counter[UUID | str] = Counter()
    if duplicates:
        email_counts.update(work.case_emails.count_by_purchase(list(duplicates.values()), seconds=DAY))
    if unmatched:
        addresses, address_counts = work.case_emails.count_by_address(unmatched, seconds=DAY)
        limited_by |= addresses
        email_counts.update(address_counts)
    return [_limit_email(transition, limited_by.get(transition.case.id), email_counts) for transition in transitions]


def _limit_email(
    transition: Transition, limited_by: UUID | str | None, email_counts: Counter[UUID | str]
) -> Transition:
    """Count the e-mail of this transition. If the count exceeds the daily limit, return the transition without the e-mail."""
    if limited_by is None:
        return transition
    email_counts[limited_by] += 1
    if email_counts[limited_by] <= MAX_EMAILS_PER_DAY[transition.to_state]:
        return transition
    return replace(transition, notify=False, evidence={**transition.evidence, "email": "daily limit reached"})


def eligibility_input(
    case: Case, decision_input: DecisionInput | None, context: WorkerContext, *, at: datetime | None = None
) -> EligibilityInput:
    """Return the input of the decision about this case.

    ``at`` is the instant at which the refund would be sent. None means the time of the request.
    """
    if decision_input is None:
        return EligibilityInput(request=case.request, purchase=None, seller=None, policy=None)
    purchase = decision_input.purchase
    adapter = context.provider(purchase.provider)
    return EligibilityInput(
        request=case.request,
        purchase=purchase,
        seller=decision_input.seller,
        policy=decision_input.policy,
        open_case=decision_input.open_case,
        provider_window=refund_window(adapter.capabilities if adapter else None, purchase.provider, purchase.method),
        refunds_of_customer=decision_input.refunds,
        paid_at=at,
    )


def reasons(findings: Sequence[RuleResult]) -> list[dict[str, str]]:
    """Return the failed rules in the form that support tasks and the history contain."""
    return [
        {"code": finding.code, "sentence": finding.code.support, "detail": finding.detail}
        for finding in findings
        if finding.code
    ]


def support_reason(code: ReasonCode, detail: str = "") -> dict[str, object]:
    """Return the evidence of a transition: one reason for support. The reason comes from a payment or refund, not from a rule."""
    return {"reasons": reasons([RuleResult("payment", code, detail)])}


_EVENTS: dict[type[Decision], Event] = {
    Approve: Event.FOUND_ELIGIBLE_AND_TRUSTED,
    RequireConfirmation: Event.FOUND_ELIGIBLE,
    Escalate: Event.FOUND_NOT_ELIGIBLE,
    Duplicate: Event.FOUND_OPEN_CASE,
    Unmatched: Event.FOUND_NO_PURCHASE,
}


def _decision_transition(case: Case, decision: Decision, decision_input: DecisionInput | None) -> Transition:
    """Return the transition that this decision causes, with the evidence for the history."""
    evidence: dict[str, object] = {}
    why = ""
    if isinstance(decision, Approve | RequireConfirmation | Escalate):
        policy = decision_input.policy if decision_input else None
        evidence["rules"] = {finding.rule: finding.code or "kept" for finding in decision.findings}
        evidence["policy_version"] = policy.version if policy else None
    if isinstance(decision, Escalate):
        evidence["reasons"] = reasons(decision.findings)
        why = " ".join(finding.code.support for finding in decision.reasons if finding.code)
    if isinstance(decision, Duplicate):
        evidence["joins"] = str(decision.case)
    transition = case.after(_EVENTS[type(decision)], actor="rules", why=why, evidence=evidence)
    if decision_input is None:
        return transition
    return replace(
        transition,
        purchase_id=decision_input.purchase.id,
        seller_id=decision_input.seller.id,
        continued=transition.to_state
        is State.APPROVED,  # the Celery task that evaluated the case also executes the refund
    )

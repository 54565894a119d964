"""Judging: from a case and what is known about it to the step it takes."""

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
from worker.support_tasks.withdrawals import withdrawal_tasks

DAY = 86_400.0  # seconds
LETTERS_A_DAY = {
    State.DUPLICATE: 1,  # a purchase: that it was asked for already is as true the second time
    State.UNMATCHED: 5,  # an address: a few slips of the pen, and no mailbox of a stranger's is filled
}
"""So many letters at the most say that a case ended here, whoever asks however often."""


WITHDRAWAL_TASKS = {
    State.UNMATCHED: SupportTaskKind.STATUTORY_WITHDRAWAL_UNMATCHED,
    State.DUPLICATE: SupportTaskKind.STATUTORY_WITHDRAWAL,
    State.WITH_SUPPORT: SupportTaskKind.STATUTORY_WITHDRAWAL,
}
"""Where a declaration ends that a person must answer."""


def evaluate(work: UnitOfWork, context: WorkerContext, cases: Sequence[Case]) -> list[UUID]:
    """Judges these cases, which were received and are locked, and returns the ones that may be paid at once."""
    if not cases:
        return []
    matches = work.decision_inputs.matches([case.id for case in cases])
    alone = {case: found[0] for case, found in matches.items() if len(found) == 1}
    facts = work.decision_inputs.load(list(alone.values())) if alone else {}
    taken: dict[UUID, UUID] = {}  # purchases that an earlier case of this very batch takes
    steps = []
    for case in cases:
        known = facts[alone[case.id].id] if case.id in alone else None
        if known and known.purchase.id in taken:
            known = replace(known, open_case=taken[known.purchase.id])
        decision = decide(eligibility_input(case, known, context))
        steps.append(_step(case, decision, known))
        if known and not isinstance(decision, Duplicate):
            taken[known.purchase.id] = case.id
    moved = work.history.record(limit_emails(work, steps))
    _report_declarations(work, steps)
    return [step.case.id for step in steps if step.to_state is State.APPROVED and step.case.id in moved]


def _report_declarations(work: UnitOfWork, steps: Sequence[Transition]) -> None:
    """A withdrawal by law that does not go on by itself is told to a person as what it is, and not as any request."""
    declared = work.statutory_withdrawals.get_many(
        [step.case.id for step in steps if step.to_state in WITHDRAWAL_TASKS]
    )
    for trouble in set(WITHDRAWAL_TASKS.values()):
        ended = [step.case for step in steps if WITHDRAWAL_TASKS.get(step.to_state) is trouble]
        work.support_tasks.create(withdrawal_tasks(trouble, ended, declared))


def limit_emails(work: UnitOfWork, steps: Sequence[Transition]) -> list[Transition]:
    """Return the transitions, with ``notify=False`` where the daily e-mail limit is reached.

    The limit exists because repeated requests could flood a mailbox.
    """
    joins = [step for step in steps if step.to_state is State.DUPLICATE and step.purchase]
    misses = [step.case.id for step in steps if step.to_state is State.UNMATCHED]
    told: Counter[UUID | str] = Counter()
    about: dict[UUID, UUID | str] = {step.case.id: step.purchase for step in joins if step.purchase}
    if joins:
        told.update(work.case_emails.count_by_purchase([p for step in joins if (p := step.purchase)], seconds=DAY))
    if misses:
        addresses, letters = work.case_emails.count_by_address(misses, seconds=DAY)
        about |= addresses
        told.update(letters)
    return [_spared(step, about.get(step.case.id), told) for step in steps]


def _spared(step: Transition, about: UUID | str | None, told: Counter[UUID | str]) -> Transition:
    if about is None:
        return step
    told[about] += 1
    if told[about] <= LETTERS_A_DAY[step.to_state]:
        return step
    return replace(step, notify=False, evidence={**step.evidence, "letter": "told often enough today"})


def eligibility_input(
    case: Case, known: DecisionInput | None, context: WorkerContext, *, at: datetime | None = None
) -> EligibilityInput:
    """Everything the decision about this case needs; ``at`` is the instant the provider would be asked, if not at once."""
    if known is None:
        return EligibilityInput(request=case.request, purchase=None, seller=None, policy=None)
    bought = known.purchase
    adapter = context.provider(bought.provider)
    return EligibilityInput(
        request=case.request,
        purchase=bought,
        seller=known.seller,
        policy=known.policy,
        open_case=known.open_case,
        provider_window=refund_window(adapter.capabilities if adapter else None, bought.provider, bought.method),
        refunds_of_customer=known.refunds,
        paid_at=at,
    )


def reasons(findings: Sequence[RuleResult]) -> list[dict[str, str]]:
    """Failed findings as people read them, on a task and in history."""
    return [
        {"code": finding.code, "sentence": finding.code.support, "detail": finding.detail}
        for finding in findings
        if finding.code
    ]


def support_reason(code: ReasonCode, detail: str = "") -> dict[str, object]:
    """The evidence of a step that has one reason, found while paying."""
    return {"reasons": reasons([RuleResult("payment", code, detail)])}


_EVENTS: dict[type[Decision], Event] = {
    Approve: Event.FOUND_ELIGIBLE_AND_TRUSTED,
    RequireConfirmation: Event.FOUND_ELIGIBLE,
    Escalate: Event.FOUND_NOT_ELIGIBLE,
    Duplicate: Event.FOUND_OPEN_CASE,
    Unmatched: Event.FOUND_NO_PURCHASE,
}


def _step(case: Case, decision: Decision, known: DecisionInput | None) -> Transition:
    evidence: dict[str, object] = {}
    why = ""
    if isinstance(decision, Approve | RequireConfirmation | Escalate):
        evidence["rules"] = {finding.rule: finding.code or "kept" for finding in decision.findings}
        evidence["policy_version"] = known.policy.version if known and known.policy else None
    if isinstance(decision, Escalate):
        evidence["reasons"] = reasons(decision.findings)
        why = " ".join(finding.code.support for finding in decision.reasons if finding.code)
    if isinstance(decision, Duplicate):
        evidence["joins"] = str(decision.case)
    step = case.after(_EVENTS[type(decision)], actor="rules", why=why, evidence=evidence)
    handed_on = step.to_state is State.APPROVED  # the same task goes straight on with it
    if known is None:
        return step
    return replace(step, purchase=known.purchase.id, seller=known.seller.id, continued=handed_on)

"""Evaluates received cases. The rules decide which transition each case makes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.cases import Case, Transition
from domain.eligibility import (
    Ambiguous,
    Approve,
    Decision,
    Duplicate,
    EligibilityInput,
    Escalate,
    OpenCase,
    OtherPayments,
    RequireConfirmation,
    Unmatched,
    decide,
)
from domain.policies import Policy
from domain.providers import refund_window
from domain.purchases import Payment, Purchase
from domain.reason_codes import ReasonCode, RuleResult
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.decision_inputs import DecisionInput
from worker.context import WorkerContext
from worker.refunds.matching import NO_MATCH, Match, find_purchases, join_trusted_requests
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
    """Evaluate these cases, which must be locked and in the state ``received``. Return the ids of the approved cases.

    Trusted requests come first, so that an anonymous request for the same purchase does not hold them up.
    """
    if not cases:
        return []
    cases = sorted(cases, key=lambda case: not case.request.trusted)
    matches = find_purchases(work, cases)
    inputs = work.decision_inputs.load([match.purchase for match in matches.values() if match.purchase])
    open_cases, locked_cases = join_trusted_requests(work, cases, matches, inputs)
    inputs = {id_: replace(item, open_case=open_cases.get(id_)) for id_, item in inputs.items()}
    transitions = []
    for case in cases:
        if case.id in locked_cases:
            continue
        match = matches.get(case.id, NO_MATCH)
        decision_input = inputs[match.purchase.id] if match.purchase else None
        decision = decide(eligibility_input(case, _about(case, decision_input), context, ambiguous=match.ambiguous))
        transitions.append(_decision_transition(case, decision, decision_input, match, context))
        if decision_input:
            evaluated = OpenCase(case.id, transitions[-1].to_state, case.request.charged_twice)
            inputs[decision_input.purchase.id] = _add_case(decision_input, decision, evaluated)
    recorded = work.history.record(limit_emails(work, transitions))
    _report_withdrawals(work, transitions)
    return [
        transition.case.id
        for transition in transitions
        if transition.to_state is State.APPROVED and transition.case.id in recorded
    ]


def _add_case(decision_input: DecisionInput, decision: Decision, evaluated: OpenCase) -> DecisionInput:
    """Return the facts for the next request about the same purchase in this batch."""
    match decision:
        case Duplicate():
            return decision_input
        case OtherPayments():
            return replace(decision_input, further_cases=(*decision_input.further_cases, evaluated))
        case _:
            return replace(decision_input, open_case=evaluated)


def _report_withdrawals(work: UnitOfWork, transitions: Sequence[Transition]) -> None:
    """Create support tasks for the statutory withdrawals that support must answer."""
    withdrawals = work.statutory_withdrawals.get_many(
        [transition.case.id for transition in transitions if transition.to_state in WITHDRAWAL_TASKS]
    )
    for kind in set(WITHDRAWAL_TASKS.values()):
        cases = [transition.case for transition in transitions if WITHDRAWAL_TASKS.get(transition.to_state) is kind]
        work.support_tasks.create(withdrawal_tasks(kind, cases, withdrawals))
    joined = [
        UUID(str(transition.evidence["joins"]))
        for transition in transitions
        if transition.case.id in withdrawals and "joins" in transition.evidence
    ]
    work.support_tasks.announce_cases(joined)  # the law counts from the withdrawal, whichever request declares it


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
    case: Case,
    decision_input: DecisionInput | None,
    context: WorkerContext,
    *,
    at: datetime | None = None,
    ambiguous: tuple[Purchase, ...] = (),
) -> EligibilityInput:
    """Return the input of the decision about this case and the payments of ``decision_input``.

    ``at`` is the instant at which the refund would be sent. None means the time of the request. ``ambiguous`` contains the
    purchases that the case may be about, if there are several.
    """
    if decision_input is None:
        references = tuple(purchase.reference for purchase in ambiguous)
        return EligibilityInput(
            request=case.request, purchase=None, seller=None, policy=None, ambiguous_references=references
        )
    return EligibilityInput(
        request=case.request,
        purchase=decision_input.purchase,
        seller=decision_input.seller,
        policy=decision_input.policy,
        first_policy_at=decision_input.first_policy_at,
        open_case=decision_input.open_case,
        further_cases=decision_input.further_cases,
        provider_windows=_refund_windows(context, decision_input.purchase),
        refunds_of_customer=decision_input.refunds,
        paid_at=at,
    )


def _about(case: Case, decision_input: DecisionInput | None) -> DecisionInput | None:
    """Return the facts with the payments that this case is about."""
    if decision_input is None:
        return None
    return replace(decision_input, purchase=refundable_purchase(case, decision_input.purchase))


def refundable_purchase(case: Case, purchase: Purchase) -> Purchase:
    """Return the purchase with the payments that this case is about.

    If the customer says that the order was charged twice, and the seller reports which payments are duplicates, the case is
    about these payments. Otherwise, it is about all payments.
    """
    if case.request.charged_twice and purchase.duplicates:
        return replace(purchase, payments=purchase.duplicates)
    return purchase


def sendable_payments(context: WorkerContext, purchase: Purchase, policy: Policy | None) -> list[Payment]:
    """Return the payments that are refunded automatically: because of their method, and through a connected provider."""
    automatic = purchase.automatic_payments(policy.methods if policy else ())
    return [payment for payment in automatic if context.provider(payment.provider)]


def _refund_windows(context: WorkerContext, purchase: Purchase) -> dict[tuple[str, str], timedelta]:
    """Return the refund window of each payment for which a limit is known."""
    windows = {}
    for payment in purchase.payments:
        adapter = context.provider(payment.provider)
        window = refund_window(adapter.capabilities if adapter else None, payment.provider, payment.method)
        if window is not None:
            windows[payment.id] = window
    return windows


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


def _describe_evaluation(
    case: Case,
    decision: Approve | RequireConfirmation | Escalate,
    decision_input: DecisionInput,
    context: WorkerContext,
) -> dict[str, object]:
    """Return the evidence of an evaluation: the rules, the policy version, and what the customer confirms.

    If only a part of the order is refunded automatically, support must refund the other payments.
    """
    policy = decision_input.policy
    purchase = refundable_purchase(case, decision_input.purchase)
    sendable = sendable_payments(context, purchase, policy)
    return {
        "rules": {finding.rule: finding.code or "kept" for finding in decision.findings},
        "policy_version": policy.version if policy else None,
        "purchase": purchase.snapshot,
        "payments": [
            {
                "method": payment.method,
                "duplicate": payment.duplicate,
                "for_support": bool(sendable) and payment not in sendable,
            }
            for payment in purchase.payments
        ],
    }


_EVENTS: dict[type[Decision], Event] = {
    Approve: Event.FOUND_ELIGIBLE_AND_TRUSTED,
    RequireConfirmation: Event.FOUND_ELIGIBLE,
    Escalate: Event.FOUND_NOT_ELIGIBLE,
    Duplicate: Event.FOUND_OPEN_CASE,
    OtherPayments: Event.FOUND_NOT_ELIGIBLE,
    Ambiguous: Event.FOUND_SEVERAL_PURCHASES,
    Unmatched: Event.FOUND_NO_PURCHASE,
}


def _decision_transition(
    case: Case, decision: Decision, decision_input: DecisionInput | None, match: Match, context: WorkerContext
) -> Transition:
    """Return the transition that this decision causes, with the evidence for the history."""
    evidence: dict[str, object] = {}
    why = ""
    if isinstance(decision, Approve | RequireConfirmation | Escalate) and decision_input is not None:
        evidence |= _describe_evaluation(case, decision, decision_input, context)
    if isinstance(decision, Escalate):
        evidence["reasons"] = reasons(decision.findings)
        why = decision.explanation
    if isinstance(decision, Duplicate):
        evidence["joins"] = str(decision.case)
    if isinstance(decision, Ambiguous):
        evidence |= support_reason(ReasonCode.AMBIGUOUS_REFERENCE, ", ".join(decision.references))
        why = ReasonCode.AMBIGUOUS_REFERENCE.support
    if isinstance(decision, OtherPayments) and decision_input is not None:
        detail = _describe_open_case(decision.open_case, decision_input.purchase)
        evidence |= support_reason(ReasonCode.OTHER_PAYMENTS, detail)
        why = ReasonCode.OTHER_PAYMENTS.support
    transition = case.after(_EVENTS[type(decision)], actor="rules", why=why, evidence=evidence)
    if decision_input is None or isinstance(decision, OtherPayments):  # a purchase has only one open case
        return replace(transition, seller_id=match.seller_id)
    return replace(
        transition,
        purchase_id=decision_input.purchase.id,
        seller_id=decision_input.seller.id,
        continued=transition.to_state
        is State.APPROVED,  # the Celery task that evaluated the case also executes the refund
    )


def _describe_open_case(open_case: OpenCase, purchase: Purchase) -> str:
    """Name the open case of the purchase and its payments for support."""
    payments = purchase.duplicates if open_case.charged_twice else purchase.payments
    return f"The case {open_case.id} ({open_case.state}) is about {describe_payments(payments)}."


def describe_payments(payments: Sequence[Payment]) -> str:
    """Name these payments for support, who may have to refund them."""
    return ", ".join(f"{payment.charge} at {payment.provider} ({payment.method})" for payment in payments)

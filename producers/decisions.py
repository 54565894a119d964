"""Accepts the decisions of support: the only door for the desk, the API and the queue.

A decision is stored together with the transition of its case, in one commit. The worker that refunds the payments checks again,
against the history, that the refund is allowed.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from pydantic import TypeAdapter

from domain.case_revisions import CaseRevision
from domain.cases import Case, Transition
from domain.emails import EmailKind
from domain.errors import KeyReusedError, NotFoundError, NotPossibleError, NotRefundableError, OutdatedError
from domain.money import Money
from domain.policies import is_above
from domain.purchases import Dispute, Purchase
from domain.reason_codes import ReasonCode
from domain.recorded_outcomes import RecordedOutcome, record_outcome, unknown_refund
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.refund_choices import choose_refunds
from domain.refund_operations import OperationStatus, RefundOperation
from domain.refund_parts import left_of_purchase
from domain.requests import Channel
from domain.states import ENDED_BY_SUPPORT, Event, State
from domain.support_decisions import (
    Approve,
    Ask,
    Close,
    DecidedBy,
    Decision,
    DecisionAction,
    DecisionStatus,
    Decline,
    RecordOutcome,
    RefundedElsewhere,
    Rematch,
    digest_of,
)
from records import Records
from records.case_emails import DueEmail
from records.settlements import close_settled_cases
from records.support_decisions import StoredDecision
from records.unit_of_work import UnitOfWork

_DECISION: TypeAdapter[Any] = TypeAdapter(Decision)

UNDO_SECONDS = 10.0
"""How long a decision above the seller's limit can be taken back."""

RECORDED_AS_MADE = "Two people recorded that the payment provider's records show the refund."

NOT_WITH_SUPPORT = "Support is not deciding about this refund request, so the text was not stored."
"""The reason why a customer's answer is refused."""

EVENTS: Mapping[DecisionAction, Event] = {
    DecisionAction.APPROVE: Event.SUPPORT_APPROVED,
    DecisionAction.DECLINE: Event.SUPPORT_DECLINED,
    DecisionAction.ASK: Event.SUPPORT_ASKED,
    DecisionAction.REFUNDED_ELSEWHERE: Event.SUPPORT_REFUNDED_ELSEWHERE,
    DecisionAction.REMATCH: Event.SUPPORT_REMATCHED,
    DecisionAction.CLOSE: Event.SUPPORT_CLOSED,
}
"""The event that each decision is in the history of its case."""

_APPROVABLE = frozenset({State.WITH_SUPPORT, State.REFUNDED, *ENDED_BY_SUPPORT})
"""The states in which support can approve a refund. After a refund, support can approve a further part."""

_REMATCHABLE = frozenset({State.WITH_SUPPORT, State.UNMATCHED})
"""The states in which support can name the right purchase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A decision as a person or a program sends it."""

    case_id: UUID
    decision: Approve | Decline | Ask | RefundedElsewhere | RecordOutcome | Rematch | Close
    revision: str
    """The revision of the case that the person saw."""
    source: str
    key: str
    """The idempotency key. The same source and key, with the same decision, change nothing."""
    by: DecidedBy
    seller: str | None = None
    """The seller whose cases the caller may decide; None means every seller."""
    batch_id: UUID | None = None
    counted: Money | None = None
    """The sum of the batch. None if the decision is not part of a batch."""
    confirmed_by: str | None = None
    """The person who confirmed the batch."""


def decide(records: Records, submission: Submission) -> StoredDecision:
    """Store a decision and its effect, and return it. A repeated decision is returned as it was stored.

    Raise KeyReusedError if the key was used for another decision, NotFoundError if the caller may not see the case,
    OutdatedError if the case changed since the person saw it, and NotPossibleError if the case does not allow the decision.
    """
    with records.work() as work:
        case = _lock(work, submission.case_id, submission.seller)
        if known := work.support_decisions.find(submission.source, submission.key):
            if (known.case_id, known.digest) != (case.id, digest_of(submission.decision)):
                raise KeyReusedError
            return known
        _check_revision(work, case, shown := CaseRevision.parse(submission.revision))
        if shown.has_proposal:
            raise NotPossibleError(
                "Another decision about this case waits for a second person. Confirm or reject that decision on the desk first."
            )
        return _store(work, case, submission)


def confirm(records: Records, decision_id: UUID, *, revision: str, by: DecidedBy, seller: str | None) -> StoredDecision:
    """Confirm a proposed decision as a second person, so that it takes effect. Nobody confirms a decision of their own."""
    with records.work() as work:
        proposed, case = _lock_proposed(work, decision_id, seller)
        if proposed.decided_by == by.id:
            raise NotPossibleError("This is your own decision. Another person must confirm it.")
        _check_revision(work, case, CaseRevision.parse(revision))
        decision = _DECISION.validate_python(proposed.decision)
        effect = _effect_of(work, case, decision, proposed, confirmed_by=by.id)
        return _apply(work, proposed, effect, confirmed_by=by)


def reject(records: Records, decision_id: UUID, *, by: DecidedBy, seller: str | None) -> StoredDecision:
    """Reject the proposed decision of another person."""
    with records.work() as work:
        proposed, _ = _lock_proposed(work, decision_id, seller)
        work.support_decisions.set_status(
            proposed.id, DecisionStatus.REJECTED, confirmed_by=by.id, confirmed_by_name=by.name
        )
        return replace(proposed, status=DecisionStatus.REJECTED, confirmed_by=by.id, confirmed_by_name=by.name)


def possible_actions(
    state: State, operations: Sequence[RefundOperation], purchase: Purchase | None
) -> frozenset[DecisionAction]:
    """Return the decisions that the case allows now. ``operations`` are those of the case, the newest last."""
    actions: set[DecisionAction] = set()
    if state is State.WITH_SUPPORT:
        actions |= {DecisionAction.DECLINE, DecisionAction.ASK, DecisionAction.REFUNDED_ELSEWHERE, DecisionAction.CLOSE}
    is_refundable = purchase is not None and any(
        not replace(purchase, payments=(payment,)).is_disputed for payment in purchase.payments
    )
    if state in _APPROVABLE and is_refundable and not any(operation.is_unresolved for operation in operations):
        actions.add(DecisionAction.APPROVE)
    if state in _REMATCHABLE and not operations:
        actions.add(DecisionAction.REMATCH)
    if unknown_refund(state, operations):
        actions.add(DecisionAction.RECORD_OUTCOME)
    return frozenset(actions)


def undo(records: Records, decision_id: UUID, *, by: DecidedBy, seller: str | None) -> StoredDecision:
    """Take an approval back before its refund is sent, so that the case goes back to support.

    The person who proposed a decision can take it back, too, while it waits for a second person.
    """
    with records.work() as work:
        decision, case = _lock_decision(work, decision_id, seller)
        if decision.status is DecisionStatus.UNDONE:
            return decision
        if decision.status is DecisionStatus.PROPOSED and decision.decided_by == by.id:
            work.support_decisions.set_status(decision.id, DecisionStatus.UNDONE)
            return replace(decision, status=DecisionStatus.UNDONE)
        is_waiting = case.state is State.APPROVED and case.decided_seq == case.seq == decision.applied_seq
        if decision.undo_until is None or not is_waiting:
            raise NotPossibleError(
                "This decision can no longer be undone, because the refund was started or the case moved on."
            )
        evidence = {"decision": str(decision.id), "decided_by": by.id}
        transition = _with_reason(work, case, Event.DECISION_UNDONE, ReasonCode.DECISION_UNDONE, evidence)
        _record(work, replace(transition, notify=False))
        work.support_decisions.set_status(decision.id, DecisionStatus.UNDONE)
        return replace(decision, status=DecisionStatus.UNDONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSubmission:
    """A text of the customer about a case that is with support: the answer to a question, or something that they add."""

    case_id: UUID
    text: str
    channel: Channel
    source: str
    key: str
    """The idempotency key. The same source and key, with the same text, change nothing."""
    seller: str | None = None
    """The seller whose cases the caller may see; None means every seller."""
    asked_seq: int | None = None
    """The round of the question that the customer saw. If support has asked another question since then, nothing is stored."""
    notify: bool = True
    """False if the customer gets no e-mail that the text was received."""


def answer(records: Records, submission: AnswerSubmission) -> None:
    """Store what the customer answered, as ``record_answer`` does, and commit."""
    with records.work() as work:
        record_answer(work, submission)


def record_answer(work: UnitOfWork, submission: AnswerSubmission) -> None:
    """Store what the customer answered. An answer that is stored already changes nothing.

    The case, which was snoozed until the answer, is urgent for support again. An answer moves no money, because
    only support decides.

    Raise NotFoundError if the caller may not see the case, KeyReusedError if the key was used for another answer,
    OutdatedError if the customer saw an earlier question, and NotPossibleError if the case is not with support.
    """
    case = _lock(work, submission.case_id, submission.seller)
    answers, source, key = work.support_decisions, submission.source, submission.key
    if known := answers.find_answer(source, key):
        if known != (case.id, submission.text):
            raise KeyReusedError
        return
    if case.state is not State.WITH_SUPPORT:
        raise NotPossibleError(NOT_WITH_SUPPORT)
    if submission.asked_seq not in {None, case.decided_seq} and answers.question(case.id):
        raise OutdatedError("Support has asked another question since then.")
    if not answers.add_answer(
        uuid4(), case.id, channel=submission.channel, source=source, key=key, text=submission.text
    ):
        raise KeyReusedError  # at this moment, the key is used for an answer to another case
    evidence = {"channel": submission.channel}
    answered = _with_reason(
        work, case, Event.CUSTOMER_ANSWERED, ReasonCode.CUSTOMER_ANSWERED, evidence, actor="customer"
    )
    _record(work, replace(answered, notify=submission.notify))


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a decision changes. A decision above the seller's limit changes nothing until a second person confirms it."""

    transition: Transition
    undo_seconds: float | None = None
    needs_confirmation: bool = False
    another_way: tuple[UUID, int] | None = None
    """The purchase of which an amount was refunded another way, and the amount in minor units."""
    outcome: RecordedOutcome | None = None
    """The outcome of a refund that was unknown."""


def _store(work: UnitOfWork, case: Case, submission: Submission) -> StoredDecision:
    stored = StoredDecision(
        id=uuid4(),
        case_id=case.id,
        digest=digest_of(submission.decision),
        revision=submission.revision,
        decision=submission.decision.model_dump(mode="json"),
        status=DecisionStatus.PROPOSED,
        decided_by=submission.by.id,
        decided_by_name=submission.by.name,
        confirmed_by=None,
        confirmed_by_name=None,
        batch_id=submission.batch_id,
        applied_seq=None,
        created_at=work.now,
        undo_until=None,
    )
    effect = _effect_of(
        work, case, submission.decision, stored, counted=submission.counted, confirmed_by=submission.confirmed_by
    )
    work.support_decisions.insert(stored, source=submission.source, key=submission.key)
    return stored if effect.needs_confirmation else _apply(work, stored, effect)


def _apply(
    work: UnitOfWork, stored: StoredDecision, effect: _Effect, *, confirmed_by: DecidedBy | None = None
) -> StoredDecision:
    """Record the effect of a stored decision."""
    _record(work, effect.transition)
    transition = effect.transition
    if effect.another_way:
        work.purchases.add_refund_another_way(*effect.another_way)
    if effect.outcome and effect.outcome.paid:
        work.refund_operations.record_results([(effect.outcome.operation, effect.outcome.paid)])
    elif effect.outcome:
        work.refund_operations.close([effect.outcome.operation], OperationStatus.ABSENT)
        close_settled_cases(work, [effect.outcome.operation.payment])
    if effect.undo_seconds is not None:  # the e-mail waits until the decision can no longer be undone
        email = DueEmail(stored.case_id, EmailKind.APPROVED, decided_seq=transition.seq)
        work.case_emails.release([email], seconds=effect.undo_seconds)
    work.support_decisions.set_status(
        stored.id,
        DecisionStatus.APPLIED,
        applied_seq=transition.seq,
        confirmed_by=confirmed_by.id if confirmed_by else None,
        confirmed_by_name=confirmed_by.name if confirmed_by else None,
        undo_seconds=effect.undo_seconds,
    )
    applied = work.support_decisions.lock(stored.id)
    assert applied, "the decision was stored in this transaction"
    return applied


def _effect_of(
    work: UnitOfWork,
    case: Case,
    decision: Any,  # noqa: ANN401  # the union of the decisions
    stored: StoredDecision,
    *,
    counted: Money | None = None,
    confirmed_by: str | None = None,
) -> _Effect:
    """Return what the decision changes. Raise NotPossibleError if the case does not allow it."""
    evidence = {
        "decision": str(stored.id),
        "decided_by": stored.decided_by,
        "digest": stored.digest.hex(),
        **({"confirmed_by": confirmed_by} if confirmed_by else {}),
    }
    if isinstance(decision, Approve):
        return _approve(work, case, decision, stored, evidence, counted=counted, confirmed_by=confirmed_by)
    if isinstance(decision, RecordOutcome):
        return _record_outcome(work, case, decision, stored, evidence, confirmed_by=confirmed_by)
    if isinstance(decision, Rematch):
        return _Effect(_rematch(work, case, decision, evidence))
    _require_state(case, {State.WITH_SUPPORT})
    if isinstance(decision, RefundedElsewhere):
        return _refund_another_way(work, case, decision, evidence)
    return _Effect(case.after(EVENTS[decision.action], actor="support", evidence=evidence))


def _record_outcome(
    work: UnitOfWork,
    case: Case,
    decision: RecordOutcome,
    stored: StoredDecision,
    evidence: Mapping[str, object],
    *,
    confirmed_by: str | None,
) -> _Effect:
    """Return the effect of an outcome that a person saw at the provider. A second person always confirms it.

    Each later report of the provider still counts: a refund that fails after all, or one that was made after all.
    """
    operations = work.refund_operations.for_cases([case.id]).get(case.id, [])
    evaluation = work.history.evaluations([case.id]).get(case.id)
    approved_by = evaluation.decision if evaluation else None
    outcome = record_outcome(case.state, operations, approved_by, decision, work.now)
    operation = outcome.operation
    facts = {**evidence, "key": operation.key, "provider": operation.provider, "charge": operation.charge}
    if outcome.paid:
        _require_unknown_id(work, operation, outcome.paid.refund_id)
        facts |= {"refund": outcome.paid.refund_id}
    if outcome.event is Event.PROVIDER_PAID:
        transition = case.after(outcome.event, actor="support", why=RECORDED_AS_MADE, evidence=facts)
    else:
        code = ReasonCode.PARTLY_REFUNDED if outcome.paid else ReasonCode.NOT_REFUNDED
        transition = _with_reason(work, case, outcome.event, code, facts, replaces=ReasonCode.OUTCOME_UNKNOWN)
    is_single = confirmed_by in {None, stored.decided_by}
    return _Effect(transition, needs_confirmation=is_single, outcome=outcome)


def _require_unknown_id(work: UnitOfWork, operation: RefundOperation, refund_id: str) -> None:
    """Raise NotPossibleError if the provider's refund with this id is known to be another refund."""
    own = work.refund_operations.for_refunds([(operation.provider, refund_id)]).get((operation.provider, refund_id))
    if own and own.key != operation.key:
        raise NotPossibleError(
            f"The refund {refund_id} at {operation.provider} is that of {own.key}, so it is another refund."
        )
    if refund_id in work.purchases.external_refunds_of(operation.provider, operation.charge):
        raise NotPossibleError(
            f"The refund {refund_id} at {operation.provider} counts already, as a refund that Moneyback did not make. If there "
            "is no other refund, record that ours was not made."
        )


def _refund_another_way(
    work: UnitOfWork, case: Case, decision: RefundedElsewhere, evidence: Mapping[str, object]
) -> _Effect:
    """Return the effect of a refund that no provider shows. Its amount counts, so that the customer does not get it again.

    Without a purchase, or if its amounts are not known, support cannot approve a refund either.
    """
    purchase = work.decision_inputs.purchases([case.id]).get(case.id)
    amount = decision.money
    if purchase is not None and amount is None:
        with suppress(NotRefundableError):
            amount = left_of_purchase(purchase)
    if purchase is None or amount is None or not amount.minor:
        return _Effect(case.after(Event.SUPPORT_REFUNDED_ELSEWHERE, actor="support", evidence=evidence))
    if amount.currency != purchase.currency:
        raise NotPossibleError(
            f"The purchase {purchase.reference} was not paid in {amount.currency}. Enter the amount in the currency of its "
            "payments."
        )
    counted = {"refunded_another_way": [amount.minor, amount.currency]}
    transition = case.after(Event.SUPPORT_REFUNDED_ELSEWHERE, actor="support", evidence={**evidence, **counted})
    return _Effect(transition, another_way=(purchase.id, amount.minor))


def _approve(
    work: UnitOfWork,
    case: Case,
    decision: Approve,
    stored: StoredDecision,
    evidence: Mapping[str, object],
    *,
    counted: Money | None,
    confirmed_by: str | None,
) -> _Effect:
    purchase = _purchase_of(work, case, _APPROVABLE)
    if case.state in ENDED_BY_SUPPORT and work.cases.has_other_open(case.id, purchase.id):
        raise NotPossibleError("The purchase has another open case. Decide about that case.")
    operations = work.refund_operations.for_cases([case.id]).get(case.id, [])
    if unresolved := next((operation for operation in operations if operation.is_unresolved), None):
        raise NotPossibleError(
            f"The outcome of the refund {unresolved.key} at {unresolved.provider} is not known yet. Approve another refund "
            "when it is known."
        )
    refunds = choose_refunds(purchase, decision.refund, work.support_decisions.refunded_parts(purchase.id))
    _refuse_disputed(purchase, refunds)
    seller = work.sellers.get(purchase.seller_id)
    assert seller, "each purchase has a seller"
    approval = RefundApproval(
        decision=stored.id,
        refunds=refunds,
        refunded_before=purchase.refunded,
        overruled=frozenset(decision.overrules),
        decided_by=stored.decided_by,
        confirmed_by=confirmed_by,
        counted=counted,
    )
    undo_seconds = UNDO_SECONDS if is_above(approval.total, seller.undo_above) else None
    transition = case.after(
        EVENTS[decision.action],
        actor="support",
        evidence={**evidence, "purchase": purchase.snapshot, "approval": approval.as_evidence()},
    )
    return _Effect(
        replace(transition, due_in=undo_seconds), undo_seconds, approval.lacks_four_eyes(seller.four_eyes_above)
    )


def _refuse_disputed(purchase: Purchase, refunds: Sequence[ApprovedRefund]) -> None:
    """Raise NotPossibleError if one of the payments to refund has an open or lost dispute, which nobody can overrule."""
    chosen = {refund.payment for refund in refunds}
    disputed = replace(purchase, payments=tuple(payment for payment in purchase.payments if payment.id in chosen))
    if disputed.dispute is Dispute.OPEN:
        raise NotPossibleError(
            "A dispute of the payment is open, so the bank decides about the money. Wait until the dispute has ended."
        )
    if disputed.dispute is Dispute.LOST:
        raise NotPossibleError(
            "The bank gave the customer the money back, because the dispute was lost. Nothing can be refunded."
        )


def _rematch(work: UnitOfWork, case: Case, decision: Rematch, evidence: Mapping[str, object]) -> Transition:
    _require_state(case, _REMATCHABLE)
    seller = case.seller_id or decision.seller
    if seller is None:
        raise NotPossibleError("The case has no seller. Name the seller of the purchase.")
    (purchase,) = work.purchases.with_references([(seller, decision.reference)])
    if purchase is None:
        raise NotPossibleError(f"The seller {seller} has no purchase with the reference {decision.reference}.")
    if work.refund_operations.for_cases([case.id]):
        raise NotPossibleError("A refund was already sent for this case, so its purchase cannot change.")
    if work.cases.has_other_open(case.id, purchase.id):
        raise NotPossibleError("That purchase has another open case. Decide about that case.")
    transition = case.after(EVENTS[decision.action], actor="support", evidence=evidence)
    return replace(transition, purchase_id=purchase.id, seller_id=purchase.seller_id)


def _lock(work: UnitOfWork, case_id: UUID, seller: str | None) -> Case:
    """Lock and return a case. Raise NotFoundError if it does not exist, or belongs to another seller."""
    case = work.cases.lock_one(case_id)
    if case is None or (seller is not None and case.seller_id != seller):
        raise NotFoundError("There is no case with this id.")
    return case


def _lock_decision(work: UnitOfWork, decision_id: UUID, seller: str | None) -> tuple[StoredDecision, Case]:
    """Lock the case of a decision and then the decision. Every decision locks in this order."""
    if (case_id := work.support_decisions.case_of(decision_id)) is None:
        raise NotFoundError("There is no decision with this id.")
    case = _lock(work, case_id, seller)
    decision = work.support_decisions.lock(decision_id)
    assert decision, "decisions are never deleted"
    return decision, case


def _lock_proposed(work: UnitOfWork, decision_id: UUID, seller: str | None) -> tuple[StoredDecision, Case]:
    decision, case = _lock_decision(work, decision_id, seller)
    if decision.status is not DecisionStatus.PROPOSED:
        raise NotPossibleError(f"This decision does not wait for a second person. It was {decision.status} already.")
    return decision, case


def _check_revision(work: UnitOfWork, case: Case, shown: CaseRevision) -> None:
    """Raise OutdatedError if anything that the person saw changed since then."""
    current = work.support_decisions.revisions([case.id])[case.id]
    if changes := current.changes_since(shown):
        raise OutdatedError(" ".join(changes))


def _require_state(case: Case, states: Collection[State]) -> None:
    if case.state not in states:
        raise NotPossibleError(f"The case is {case.state}, so this decision is not possible.")


def _purchase_of(work: UnitOfWork, case: Case, states: Collection[State]) -> Purchase:
    """Lock and return the purchase of a case in one of these states."""
    _require_state(case, states)
    purchase = work.decision_inputs.purchases([case.id]).get(case.id)
    if purchase is None:
        raise NotPossibleError("The case has no purchase yet. Find the purchase first.")
    return purchase


def _with_reason(
    work: UnitOfWork,
    case: Case,
    event: Event,
    code: ReasonCode,
    evidence: Mapping[str, object],
    *,
    actor: str = "support",
    replaces: ReasonCode | None = None,
) -> Transition:
    """Return a transition to support with the reasons so far and one more. It ``replaces`` a reason that no longer holds."""
    known = work.history.latest_evidence([case.id], "reasons").get(case.id)
    earlier = [reason for reason in known if reason["code"] not in {code, replaces}] if isinstance(known, list) else []
    added = {"code": code, "sentence": code.support, "detail": ""}
    return case.after(event, actor=actor, why=code.support, evidence={**evidence, "reasons": [added, *earlier]})


def _record(work: UnitOfWork, transition: Transition) -> None:
    """Record the transition of a locked case. A worker that has the lease of the case cannot record its own any more."""
    if not work.history.record([transition]):
        raise OutdatedError("The case changed at this moment. Read it again.")

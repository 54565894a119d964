"""Checks the result of a chaos run with agents: the notes of the agents, the records and the provider must agree.

``CHECKS`` names every check. A check reads only ``Facts`` and ``Notes``, so a test can show that it finds a planted mistake.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from domain.case_revisions import CaseRevision
from domain.refund_approvals import RefundApproval
from domain.states import FINAL_STATES, Event, State
from domain.support_decisions import DecisionStatus
from records import UnitOfWork
from records.audit import audit
from tests.chaos import provider
from tests.chaos.desk_agents import DECIDED, Notes
from tests.chaos.final_checks import KEY_PREFIX, OPEN_STATUSES
from tests.chaos.processes import Installation


class CaseFact(NamedTuple):
    """A case, and the number of its open support tasks."""

    state: str
    four_eyes_above: int | None
    """The amount in minor units above which a second person must confirm an approval; None if the seller has no limit."""
    open_tasks: int


class DecisionFact(NamedTuple):
    """A stored decision."""

    id: UUID
    case: UUID
    agent: str
    key: str
    revision: str
    status: str
    confirmed_by: str | None
    applied_seq: int | None


class ApprovalFact(NamedTuple):
    """A row of the history by which support approved refunds."""

    case: UUID
    seq: int
    approval: RefundApproval


class OperationFact(NamedTuple):
    """A refund that Moneyback sent to the provider."""

    key: str
    case: UUID
    decision: UUID | None
    charge: str
    amount: int
    status: str
    paid_amount: int


class PaymentFact(NamedTuple):
    """A payment in the books, in minor units."""

    paid: int
    """What the customer paid, for all purchases of the payment."""
    reserved: int
    refunded: int
    refunded_elsewhere: int


class RefundFact(NamedTuple):
    """A refund that the provider made, and that did not fail."""

    key: str
    charge: str
    amount: int


@dataclass
class Facts:
    """What the records and the provider show at the end of the run."""

    cases: dict[UUID, CaseFact] = field(default_factory=dict)
    decisions: list[DecisionFact] = field(default_factory=list)
    approvals: list[ApprovalFact] = field(default_factory=list)
    operations: list[OperationFact] = field(default_factory=list)
    payments: dict[str, PaymentFact] = field(default_factory=dict)
    refunds: list[RefundFact] = field(default_factory=list)
    drafts: dict[tuple[str, UUID], str] = field(default_factory=dict)
    audit_faults: list[str] = field(default_factory=list)

    @property
    def applied(self) -> list[DecisionFact]:
        """Return the decisions that took effect, also if they were undone later."""
        return [decision for decision in self.decisions if decision.applied_seq is not None]


def check(facts: Facts, notes: Notes) -> list[str]:
    """Return everything that is wrong, as sentences."""
    return [*notes.errors, *facts.audit_faults, *(error for find in CHECKS.values() for error in find(facts, notes))]


def _two_effects_of_a_revision(facts: Facts, _: Notes) -> Iterator[str]:
    """A revision of a case allows one decision. The second decision on the same revision must be refused."""
    effects = Counter((decision.case, decision.revision) for decision in facts.applied)
    rows = Counter((decision.case, decision.applied_seq) for decision in facts.applied)
    yield from (f"Case {case} was decided {n} times at {revision}." for (case, revision), n in effects.items() if n > 1)
    yield from (
        f"{n} decisions of case {case} have the row {seq} of the history." for (case, seq), n in rows.items() if n > 1
    )


def _stale_decisions(facts: Facts, notes: Notes) -> Iterator[str]:
    """A decision takes effect in the row of the history after the last row that the person saw."""
    stale = {sent.key for sent in notes.decisions if sent.is_stale}
    confirmed_at: dict[tuple[UUID, str | None], set[int]] = defaultdict(set)
    for sent in notes.confirmations:
        confirmed_at[sent.decision, sent.agent].add(CaseRevision.parse(sent.revision).seq)
    for decision in facts.decisions:
        if decision.key in stale:
            yield f"The decision {decision.id} was stored, although its agent knew that the revision is old."
    for decision in facts.applied:
        seen = {CaseRevision.parse(decision.revision).seq}
        if decision.confirmed_by:
            seen = confirmed_at[decision.id, decision.confirmed_by]
        if (decision.applied_seq or 0) - 1 not in seen:
            yield f"The decision {decision.id} took effect in row {decision.applied_seq}, but the person saw the rows {seen}."


def _lost_or_invented_decisions(facts: Facts, notes: Notes) -> Iterator[str]:
    """Each decision that the desk acknowledged is stored, and each stored decision was sent."""
    stored = {(decision.agent, decision.key): decision for decision in facts.decisions}
    sent = {(decision.agent, decision.key): decision for decision in notes.decisions}
    for name, decision in sent.items():
        if decision.status == DECIDED and name not in stored:
            yield f"A decision of {decision.agent} about case {decision.case} was acknowledged, but is not stored."
    for name, row in stored.items():
        if name not in sent:
            yield f"Nobody sent the decision {row.id}."
        elif sent[name].case != row.case or sent[name].revision != row.revision:
            yield f"The decision {row.id} differs from what its agent sent."
        elif sent[name].status not in {DECIDED, None}:
            yield f"The decision {row.id} is stored, but the desk answered {sent[name].status}."
    if len(stored) != len(facts.decisions):
        yield f"{len(facts.decisions)} decisions are stored with {len(stored)} keys."


def _lost_confirmations(facts: Facts, notes: Notes) -> Iterator[str]:
    """Each confirmation and each undo that the desk acknowledged is stored."""
    decisions = {decision.id: decision for decision in facts.decisions}
    for sent in notes.confirmations:
        if sent.status == DECIDED and decisions[sent.decision].confirmed_by != sent.agent:
            yield f"{sent.agent} confirmed the decision {sent.decision}, but this is not stored."
    for id_ in notes.undone:
        if decisions[id_].status != DecisionStatus.UNDONE:
            yield f"The decision {id_} was undone, but its status is {decisions[id_].status}."


def _lost_drafts(facts: Facts, notes: Notes) -> Iterator[str]:
    """The last draft that the desk acknowledged is stored, unless the agent has decided since then."""
    for (agent, case), texts in notes.drafts.items():
        if facts.drafts.get((agent, case)) not in texts:
            yield f"{agent} wrote {texts} about case {case}, but the draft is {facts.drafts.get((agent, case))}."
    for agent, case in facts.drafts.keys() - notes.drafts.keys():
        yield f"{agent} has a draft of case {case}, but wrote nothing about it."


def _too_much_money(facts: Facts, _: Notes) -> Iterator[str]:
    """No payment is refunded more than the customer paid, at the provider and in the books."""
    refunded: Counter[str] = Counter()
    for refund in facts.refunds:
        refunded[refund.charge] += refund.amount
    for charge, payment in facts.payments.items():
        for where, amount in (
            ("the provider refunded", refunded[charge]),
            ("the books show", payment.refunded + payment.refunded_elsewhere),
            ("the books reserve", payment.reserved + payment.refunded_elsewhere),
        ):
            if amount > payment.paid:
                yield f"Of {payment.paid} for {charge}, {where} {amount}."
    yield from (f"The provider refunded the unknown payment {charge}." for charge in refunded.keys() - facts.payments)


def _wrong_books(facts: Facts, _: Notes) -> Iterator[str]:
    """The books show what the provider refunded, and reserve nothing else when all is settled."""
    own: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    reserved: Counter[str] = Counter()
    for refund in facts.refunds:
        (own if refund.key.startswith(KEY_PREFIX) else elsewhere)[refund.charge] += refund.amount
    for operation in facts.operations:
        is_unsettled = operation.status in OPEN_STATUSES
        reserved[operation.charge] += operation.amount if is_unsettled else operation.paid_amount
    for charge, payment in facts.payments.items():
        if payment.refunded != own[charge]:
            yield f"The provider refunded {own[charge]} of {charge}, but the books show {payment.refunded}."
        if payment.refunded_elsewhere != elsewhere[charge]:
            yield f"{elsewhere[charge]} of {charge} was refunded by hand, but the books show {payment.refunded_elsewhere}."
        if payment.reserved != reserved[charge]:
            yield f"{payment.reserved} of {charge} is reserved, but its refunds are {reserved[charge]}."


def _refunds_without_approval(facts: Facts, _: Notes) -> Iterator[str]:
    """Each refund at the provider has an operation, and the operations of a decision refund at most what was approved."""
    operations = {operation.key: operation for operation in facts.operations}
    undone = {decision.id for decision in facts.decisions if decision.status == DecisionStatus.UNDONE}
    approved: dict[tuple[UUID | None, str], int] = {
        (row.approval.decision, refund.charge): refund.amount.minor
        for row in facts.approvals
        for refund in row.approval.refunds
    }
    for refund in facts.refunds:
        operation = operations.get(refund.key)
        if refund.key.startswith(KEY_PREFIX) and (operation is None or operation.amount != refund.amount):
            yield f"The provider made the refund {refund.key} of {refund.amount}, but its operation is {operation}."
    sums: Counter[tuple[UUID | None, str]] = Counter()
    for operation in facts.operations:
        sums[operation.decision, operation.charge] += (
            operation.amount if operation.status in (*OPEN_STATUSES, "paid") else 0
        )
        if operation.decision in undone:
            yield f"The refund {operation.key} was sent, although its decision was undone."
    for (decision, charge), amount in sums.items():
        if decision and amount > approved.get((decision, charge), 0):
            yield f"The decision {decision} refunded {amount} of {charge}, but approved {approved.get((decision, charge), 0)}."


def _refunds_by_the_rules(facts: Facts, _: Notes) -> Iterator[str]:
    """All purchases of the run are older than the policy allows, so the rules refund nothing."""
    for operation in facts.operations:
        if operation.decision is None:
            yield f"Nobody decided about the refund {operation.key}."


def _own_confirmations(facts: Facts, _: Notes) -> Iterator[str]:
    """Above the seller's limit, two persons decided. Nobody confirms a decision of their own."""
    for decision in facts.decisions:
        if decision.confirmed_by == decision.agent and decision.applied_seq is not None:
            yield f"{decision.agent} confirmed the own decision {decision.id}."
    for row in facts.approvals:
        limit, approval = facts.cases[row.case].four_eyes_above, row.approval
        is_above = limit is not None and approval.total.minor > limit
        if is_above and approval.confirmed_by in {None, approval.decided_by}:
            yield f"{approval.decided_by} alone approved {approval.total.minor} in case {row.case}."


def _forgotten_cases(facts: Facts, _: Notes) -> Iterator[str]:
    """Each case has ended, or is with support with one open task."""
    for case, fact in facts.cases.items():
        if fact.state not in FINAL_STATES and fact.state != State.WITH_SUPPORT:
            yield f"Case {case} is still {fact.state}."
        elif fact.open_tasks != (fact.state == State.WITH_SUPPORT):
            yield f"Case {case} is {fact.state}, and has {fact.open_tasks} open tasks."


CHECKS: Mapping[str, Callable[[Facts, Notes], Iterator[str]]] = {
    "two effects of a revision": _two_effects_of_a_revision,
    "stale decisions": _stale_decisions,
    "lost or invented decisions": _lost_or_invented_decisions,
    "lost confirmations": _lost_confirmations,
    "lost drafts": _lost_drafts,
    "too much money": _too_much_money,
    "wrong books": _wrong_books,
    "refunds without approval": _refunds_without_approval,
    "refunds by the rules": _refunds_by_the_rules,
    "own confirmations": _own_confirmations,
    "forgotten cases": _forgotten_cases,
}


def read_facts(installation: Installation) -> Facts:
    """Read the records and the refunds of the provider."""
    with installation.records.work() as work:
        facts = read_records(work)
        facts.audit_faults = [f"Case {fault.case_id} {fault.sentence}" for fault in audit(work).faults]
    facts.refunds = [
        RefundFact(refund["key"], refund["charge"], refund["amount"])
        for refund in provider.refunds(installation.provider_socket)
        if refund["status"] != "failed"
    ]
    return facts


def read_records(work: UnitOfWork) -> Facts:
    """Read what the records show, without the audit."""
    limits = {seller.id: seller.four_eyes_above for seller in work.sellers.list_all()}
    return Facts(
        cases={
            row.id: CaseFact(row.state, limit.minor if (limit := limits[row.seller_id]) else None, row.open_tasks)
            for row in work.run(_CASES)
        },
        decisions=[DecisionFact(*row) for row in work.run(_DECISIONS)],
        approvals=[
            ApprovalFact(row.case_id, row.seq, RefundApproval.from_evidence(row.approval))
            for row in work.run(_APPROVALS, approved=Event.SUPPORT_APPROVED)
        ],
        operations=[OperationFact(*row) for row in work.run(_OPERATIONS)],
        payments={row.charge: PaymentFact(*_numbers(row)) for row in work.run(_PAYMENTS)},
        drafts={(row.agent, row.case_id): row.text for row in work.run(_DRAFTS)},
    )


def _numbers(row: Any) -> tuple[int, int, int, int]:
    """Return the numbers of a row of _PAYMENTS."""
    return int(row.paid), row.reserved, row.refunded, row.refunded_elsewhere


_CASES = """
select c.id, c.state, c.seller_id,
       (select count(*) from support_tasks t where t.case_id = c.id and t.kind = 'case' and t.closed_at is null) as open_tasks
  from cases c
"""

_DECISIONS = """
select id, case_id, source, key, revision, status, confirmed_by, applied_seq from support_decisions
"""

_APPROVALS = "select case_id, seq, evidence -> 'approval' as approval from transitions where event = :approved"

_OPERATIONS = "select key, case_id, decision_id, charge, amount, status, paid_amount from refund_operations"

_PAYMENTS = """
select y.charge, sum(b.amount) as paid, y.reserved, y.refunded, y.refunded_elsewhere
  from payments y join purchase_payments b using (provider, charge)
 group by y.provider, y.charge, y.reserved, y.refunded, y.refunded_elsewhere
"""

_DRAFTS = "select agent, case_id, coalesce(fields ->> 'message', '') as text from decision_drafts"

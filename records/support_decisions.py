"""Store the decisions of support and the answers of customers, and read the revision of a case."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.case_revisions import NO_PROPOSAL, CaseRevision
from domain.refund_parts import RefundedParts
from domain.requests import RefundScope
from domain.support_decisions import DecisionStatus
from records.tables.cases import OPEN_STATUS_NAMES
from records.transaction import Transaction

_COLUMNS = """
d.id, d.case_id, d.digest, d.revision, d.decision, d.status, d.decided_by, d.decided_by_name, d.confirmed_by,
d.confirmed_by_name, d.batch_id, d.applied_seq, d.created_at, d.undo_until
"""

_SELECT_BY_KEY = f"select {_COLUMNS} from support_decisions d where d.source = :source and d.key = :key"

_SELECT_BY_ID = f"select {_COLUMNS} from support_decisions d where d.id = :id for no key update"

_SELECT_CASE = "select case_id from support_decisions where id = :id"

_SELECT_BY_CASE = f"select {_COLUMNS} from support_decisions d where d.case_id = :case_id order by d.created_at, d.id"

_INSERT = """
insert into support_decisions (id, case_id, source, key, digest, revision, decision, status, decided_by, decided_by_name,
                               batch_id)
values (:id, :case_id, :source, :key, :digest, :revision, cast(:decision as jsonb), :status, :decided_by, :decided_by_name,
        :batch_id)
"""

_SET_STATUS = """
update support_decisions
   set status = :status, applied_seq = coalesce(:applied_seq, applied_seq),
       confirmed_by = coalesce(:confirmed_by, confirmed_by),
       confirmed_by_name = coalesce(:confirmed_by_name, confirmed_by_name),
       undo_until = case when cast(:undo_seconds as float8) is null then undo_until
                         else now() + make_interval(secs => :undo_seconds) end
 where id = :id
"""

_SELECT_REFUNDED_PARTS = f"""
with refunded as (
  select d.decision -> 'refund' as refund,
         (select sum(o.amount) from refund_operations o
           where (o.case_id, o.decision_id) = (d.case_id, d.id) and o.status in ({OPEN_STATUS_NAMES})) as amount
    from cases c join support_decisions d on d.case_id = c.id and d.status = 'applied'
   where c.purchase_id = :purchase_id and d.decision -> 'refund' ->> 'scope' in ('{RefundScope.PARTIAL}', '{RefundScope.VAT}')
)
select refund ->> 'scope' as scope, coalesce(refund -> 'items', '[]') as items, amount::bigint from refunded where amount > 0
"""
"""A part counts if a refund of its decision was sent, or may have been sent."""

_INSERT_ANSWER = """
insert into customer_answers (id, case_id, channel, source, key, text, created_at)
values (:id, :case_id, :channel, :source, :key, :text, clock_timestamp()) on conflict (source, key) do nothing returning id
"""
"""The time is that of the statement, because one commit can store several mails of a customer, in their order."""

_SELECT_ANSWER = "select case_id, text from customer_answers where source = :source and key = :key"

_SELECT_QUESTION = """
select d.decision ->> 'message' as question
  from cases c join support_decisions d on (d.case_id, d.applied_seq) = (c.id, c.decided_seq)
 where c.id = :case_id and c.state = 'with_support' and d.decision ->> 'action' = 'ask'
"""

_SELECT_ANSWERS = (
    "select id, channel, text, created_at from customer_answers where case_id = :case_id order by created_at, id"
)

_SELECT_REVISIONS = f"""
select c.id, c.seq,
       (select count(*) from customer_answers a where a.case_id = c.id) as answers,
       left(md5(coalesce(
         jsonb_build_array(p.id, p.reference, p.email_key, p.product, p.purchased_at, p.renewal, p.consumer, p.tax,
                           b.reported)::text, '')), 8) as purchase,
       left(md5(coalesce(
         jsonb_build_array(p.reported_refunded, p.reported_dispute, p.refunded_another_way, b.refunds)::text, '')), 8) as refunds,
       coalesce(left(md5(d.id::text), 8), '{NO_PROPOSAL}') as proposal
  from cases c
  left join purchases p on p.id = c.purchase_id
  left join lateral (
    select jsonb_agg(jsonb_build_array(b.provider, b.charge, b.amount, b.currency, b.method, b.duplicate) order by b.position)
             as reported,
           jsonb_agg(jsonb_build_array(y.refunded, y.refunded_elsewhere, y.reserved, y.dispute) order by b.position) as refunds
      from purchase_payments b left join payments y using (provider, charge) where b.purchase_id = p.id
  ) b on true
  left join support_decisions d on d.case_id = c.id and d.status = 'proposed'
 where c.id = any(:case_ids)
"""
"""What a person of support sees of a case. Without a purchase, the hashes are those of an empty text."""


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it is stored. ``decision`` is the decision as JSON."""

    id: UUID
    case_id: UUID
    digest: bytes
    revision: str
    decision: dict[str, Any]
    status: DecisionStatus
    decided_by: str
    decided_by_name: str
    confirmed_by: str | None
    confirmed_by_name: str | None
    batch_id: UUID | None
    applied_seq: int | None
    """The number of the row of the history by which the decision took effect."""
    created_at: datetime
    undo_until: datetime | None
    """Until then, the decision can be taken back. None if it took effect at once."""


@dataclass(frozen=True, slots=True)
class CustomerAnswer:
    """What a customer answered to a question of support."""

    id: UUID
    channel: str
    text: str
    created_at: datetime


class SupportDecisions:
    """The tables ``support_decisions`` and ``customer_answers``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def find(self, source: str, key: str) -> StoredDecision | None:
        """Return the decision that was sent with this idempotency key, or None."""
        row = self._work.run(_SELECT_BY_KEY, source=source, key=key).one_or_none()
        return None if row is None else _decision(row)

    def case_of(self, decision: UUID) -> UUID | None:
        """Return the case of the decision with this id, or None if there is no such decision."""
        case: UUID | None = self._work.run(_SELECT_CASE, id=decision).scalar_one_or_none()
        return case

    def lock(self, decision: UUID) -> StoredDecision | None:
        """Lock and return the decision with this id, or None if there is no such decision."""
        row = self._work.run(_SELECT_BY_ID, id=decision).one_or_none()
        return None if row is None else _decision(row)

    def for_case(self, case: UUID) -> list[StoredDecision]:
        """Return the decisions about a case, the oldest first."""
        return [_decision(row) for row in self._work.run(_SELECT_BY_CASE, case_id=case)]

    def insert(self, decision: StoredDecision, *, source: str, key: str) -> None:
        """Store a new decision."""
        self._work.run(
            _INSERT,
            id=decision.id,
            case_id=decision.case_id,
            source=source,
            key=key,
            digest=decision.digest,
            revision=decision.revision,
            decision=json.dumps(decision.decision),
            status=decision.status,
            decided_by=decision.decided_by,
            decided_by_name=decision.decided_by_name,
            batch_id=decision.batch_id,
        )

    def set_status(
        self,
        decision: UUID,
        status: DecisionStatus,
        *,
        applied_seq: int | None = None,
        confirmed_by: str | None = None,
        confirmed_by_name: str | None = None,
        undo_seconds: float | None = None,
    ) -> None:
        """Change the status of a decision."""
        self._work.run(
            _SET_STATUS,
            id=decision,
            status=status,
            applied_seq=applied_seq,
            confirmed_by=confirmed_by,
            confirmed_by_name=confirmed_by_name,
            undo_seconds=undo_seconds,
        )

    def refunded_parts(self, purchase: UUID) -> RefundedParts:
        """Return the parts of the purchase that support refunded, or is refunding."""
        items: Counter[str] = Counter()
        items_tax: Counter[str] = Counter()
        tax = 0
        for row in self._work.run(_SELECT_REFUNDED_PARTS, purchase_id=purchase):
            is_tax = row.scope == RefundScope.VAT
            (items_tax if is_tax else items).update({item["id"]: item["quantity"] for item in row.items})
            tax += row.amount if is_tax else 0
        return RefundedParts(items=items, items_tax=items_tax, tax=tax)

    def add_answer(self, answer: UUID, case: UUID, *, channel: str, source: str, key: str, text: str) -> bool:
        """Store what a customer answered. Return False if an answer with this idempotency key is stored already."""
        row = self._work.run(
            _INSERT_ANSWER, id=answer, case_id=case, channel=channel, source=source, key=key, text=text
        ).one_or_none()
        return row is not None

    def find_answer(self, source: str, key: str) -> tuple[UUID, str] | None:
        """Return the case and the text of the answer that was sent with this idempotency key, or None."""
        row = self._work.run(_SELECT_ANSWER, source=source, key=key).one_or_none()
        return None if row is None else (row.case_id, row.text)

    def question(self, case: UUID) -> str | None:
        """Return the question of support that the customer of a case has not answered yet, or None."""
        question: str | None = self._work.run(_SELECT_QUESTION, case_id=case).scalar_one_or_none()
        return question

    def answers(self, case: UUID) -> list[CustomerAnswer]:
        """Return the answers of the customer of a case, the oldest first."""
        return [CustomerAnswer(*row) for row in self._work.run(_SELECT_ANSWERS, case_id=case)]

    def revisions(self, cases: list[UUID]) -> dict[UUID, CaseRevision]:
        """Return the revision of each of these cases."""
        rows = self._work.run(_SELECT_REVISIONS, case_ids=cases)
        return {row.id: CaseRevision(row.seq, row.answers, row.purchase, row.refunds, row.proposal) for row in rows}


def _decision(row: Any) -> StoredDecision:  # noqa: ANN401  # a row of _COLUMNS
    values = row._asdict()
    return StoredDecision(**values | {"digest": bytes(row.digest), "status": DecisionStatus(row.status)})

"""Read cases with all data that customers and support can see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from domain import case_numbers
from domain.case_payments import CasePayment, total
from domain.money import Money
from domain.refund_operations import OperationStatus
from domain.refund_situations import Situation, situation_of
from domain.refund_timing import AnswerTime
from domain.requests import Channel
from domain.states import Event, State
from domain.support_clocks import SupportWait
from records.support_waits import HISTORY_STEPS, support_wait
from records.transaction import Transaction

_SELECT = f"""
select c.id, c.number, c.state, c.channel, c.reference, c.seller_id as seller, c.reason, c.refund_scope, c.comment, c.answers,
       c.locale, c.thread, c.email, c.forgotten_at,
       p.forgotten_at is not null as purchase_is_forgotten, c.received_at, c.next_action_at, c.purchase_id as purchase,
       s.name as seller_name, s.support_email, s.time_zone, s.answer_hours,
       p.product, refunds.payments, p.email as purchase_email, p.reference as purchase_reference,
       p.renewal or coalesce(d.subscription, false) as subscription,
       w.name as declared_by, w.statement, w.declared_at,
       (select t.evidence -> 'reasons' from transitions t
         where t.case_id = c.id and t.evidence ? 'reasons' order by t.seq desc limit 1) as reasons,
       exists (select from transitions t where t.case_id = c.id and t.seq = c.seq and t.evidence ? 'customer_must_act')
         as customer_must_act,
       c.decided_seq, evaluated.is_approved,
       (select sum(b.amount)::bigint from purchase_payments b where b.purchase_id = p.id) as purchase_amount,
       (select t.event from transitions t where t.case_id = c.id and t.seq = c.decided_seq) as decided_event,
       case when c.state = 'with_support' and s.answer_hours is not null then
         (select {HISTORY_STEPS} from transitions h where h.case_id = c.id) end as wait,
       now() as read_at,
       (select t.evidence -> 'refunded_another_way' from transitions t where t.case_id = c.id and t.seq = c.decided_seq)
         as another_way
  from cases c left join sellers s on s.id = c.seller_id left join purchases p on p.id = c.purchase_id
  left join lateral (
    select coalesce(t.evidence -> 'approval' -> 'refunds', t.evidence -> 'purchase' -> 'payments') as payments,
           t.evidence -> 'payments' as details, t.evidence ? 'approval' as is_approved,
           cast(t.evidence -> 'approval' ->> 'decision' as uuid) as decision_id
      from transitions t where t.case_id = c.id and t.evidence ? 'purchase' order by t.seq desc limit 1
  ) evaluated on true
  left join lateral (
    select jsonb_agg(jsonb_build_array(b.provider, b.charge, b.amount, b.currency) order by b.position) as payments
      from purchase_payments b where b.purchase_id = p.id
       and (b.duplicate or c.reason <> 'duplicate_order'
            or not exists (select from purchase_payments s where s.purchase_id = p.id and s.duplicate))
  ) reported on true
  left join lateral (
    select jsonb_agg(jsonb_build_array(
             e.payment -> 0, e.payment -> 1, e.payment -> 2, e.payment -> 3,
             coalesce(d.method, b.method), coalesce(d.duplicate, b.duplicate, false), coalesce(d.for_support, false),
             o.status, o.refund_id) order by e.position) as payments
      from jsonb_array_elements(coalesce(evaluated.payments, reported.payments)) with ordinality as e(payment, position)
      left join lateral jsonb_to_record(evaluated.details -> (e.position - 1)::int)
        as d(method text, duplicate boolean, for_support boolean) on true
      left join purchase_payments b
        on (b.purchase_id, b.provider, b.charge) = (p.id, e.payment ->> 0, e.payment ->> 1)
      left join lateral (
        select status, refund_id from refund_operations
         where (case_id, provider, charge) = (c.id, e.payment ->> 0, e.payment ->> 1)
           and decision_id is not distinct from evaluated.decision_id order by attempt desc limit 1
      ) o on true
  ) refunds on true
  left join purchase_details d on d.purchase_id = c.purchase_id left join statutory_withdrawals w on w.case_id = c.id
"""
"""The payments are those that support approved, or else those that were evaluated, because the customer confirms them. The
purchase may have changed since then.

A case that was not evaluated has the payments of the purchase.
"""

_SEARCH = f"""
{_SELECT}
 where (cast(:state as text) is null or c.state = :state)
   and (cast(:seller_id as text) is null or c.seller_id = :seller_id)
 order by c.received_at desc, c.id limit :limit
"""

_SELECT_BY_ID = f"{_SELECT} where c.id = any(:ids)"

_SELECT_BY_NUMBER = f"{_SELECT} where c.number = :number"

_SELECT_NUMBERS = "select id, number from cases where id = any(:ids)"

_COUNT_BY_STATE = "select state, count(*) as cases from cases group by state"

_SELECT_LATENCIES = """
select extract(epoch from o.paid_at - c.received_at) * 1000 as ms
  from cases c join refund_operations o on o.case_id = c.id and o.status = 'paid'
 where c.state = 'refunded' order by c.received_at desc limit :limit
"""
"""For the newest refunded cases: the milliseconds from the receipt of the request until its refund was recorded as paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case with its seller, purchase, statutory withdrawal and latest reasons. The API uses the names of these fields."""

    id: UUID
    number: str
    """The case number for people. Machines use the id."""
    state: State
    channel: Channel
    reference: str
    seller: str | None
    reason: str
    refund_scope: str
    comment: str
    answers: dict[str, str]
    locale: str
    thread: str | None
    email: str
    forgotten_at: datetime | None = None
    """When the personal data of the case was removed; None if it is there."""
    purchase_is_forgotten: bool = False
    """True if the personal data of the purchase was removed. Then the purchase has no address."""
    received_at: datetime
    next_action_at: datetime | None
    purchase: UUID | None
    seller_name: str | None
    support_email: str | None
    time_zone: str | None
    answer_hours: int | None
    """The number of working hours in which the seller's support answers; None if the seller promises nothing."""
    product: str | None
    payments: tuple[CasePayment, ...]
    purchase_email: str | None
    purchase_reference: str | None
    subscription: bool | None
    """True if the purchase renews automatically, or is itself a renewal of a subscription."""
    declared_by: str | None
    """The consumer's name in the statutory withdrawal. The next two fields also belong to the statutory withdrawal."""
    statement: str | None
    declared_at: datetime | None
    reasons: list[dict[str, str]]
    is_approved: bool | None
    """True if support approved the refunds of the payments."""
    purchase_amount: int | None
    """The sum of all payments of the purchase in minor units."""
    decided_seq: int
    decided_event: str | None
    """The newest event by which support decided or the customer answered; None if there is none."""
    customer_must_act: bool
    """True if the provider has accepted the refund, but waits until the customer says where to send the money."""
    wait: SupportWait | None
    """How long the customer has waited for support; None if support does not have the case, or promises no time."""
    read_at: datetime
    """The time of the database when the case was read."""
    another_way: Money | None
    """What support refunded another way, by its newest decision; None if it did not, or if the amount is not known."""

    @property
    def answer_by(self) -> datetime | None:
        """The instant until which support answers, by the clock of the seller. None if it stands still, or is not set."""
        if self.wait is None or self.answer_hours is None:
            return None
        return self.wait.answer_by(self.answer_hours, self.zone)

    @property
    def answer_time(self) -> AnswerTime | None:
        """What customers read about ``answer_by``. The day counts to its end in the seller's time zone, as customers read it."""
        if self.answer_by is None:
            return None
        is_late = self.read_at.astimezone(self.zone).date() > self.answer_by.astimezone(self.zone).date()
        return AnswerTime.LATE if is_late else AnswerTime.BY_DAY

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the seller; UTC if the case has no seller."""
        return ZoneInfo(self.time_zone or "UTC")

    @property
    def awaits_answer(self) -> bool:
        """True if support asked the customer a question, and the customer has not answered yet."""
        return self.state is State.WITH_SUPPORT and self.decided_event == Event.SUPPORT_ASKED

    @property
    def paid(self) -> Money | None:
        """What the customer paid for the purchase; None if it is unknown."""
        refund = total(self.payments)
        return None if refund is None or self.purchase_amount is None else Money(self.purchase_amount, refund.currency)

    @property
    def is_part(self) -> bool:
        """True if support approved the refund of a part of what the customer paid."""
        amount = total(self.payments)
        return bool(self.is_approved) and amount is not None and amount.minor < (self.purchase_amount or 0)

    @property
    def situation(self) -> Situation | None:
        """The situation that the customer must read about; None if the text about the state is right."""
        codes = [reason.get("code", "") for reason in self.reasons]
        found = situation_of(
            self.state,
            self.payments,
            codes,
            customer_must_act=self.customer_must_act,
            decided_event=self.decided_event,
        )
        is_part = self.another_way is not None and self.another_way.minor < (self.purchase_amount or 0)
        return Situation.PARTLY_REFUNDED_ELSEWHERE if found is Situation.REFUNDED_ELSEWHERE and is_part else found


class CaseViews:
    """Reads cases without locks on their rows."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def get(self, case: UUID) -> CaseView | None:
        """Return the case with this id, or None if there is no such case."""
        return self.get_many([case]).get(case)

    def get_many(self, cases: Sequence[UUID]) -> dict[UUID, CaseView]:
        """Return the cases with these ids. The keys are the ids; an unknown id is left out."""
        return {row.id: _view(row) for row in self._work.run(_SELECT_BY_ID, ids=list(cases))} if cases else {}

    def find(self, text: str) -> CaseView | None:
        """Return the case with this case number or id, or None if there is no such case.

        Raise UnreadableError if the text is neither a case number nor an id.
        """
        try:
            return self.get(UUID(text))
        except ValueError:
            row = self._work.run(_SELECT_BY_NUMBER, number=case_numbers.decode(text)).one_or_none()
        return None if row is None else _view(row)

    def numbers(self, cases: Sequence[UUID]) -> dict[UUID, str]:
        """Return the case numbers of the cases with these ids. The keys are the ids; an unknown id is left out."""
        rows = self._work.run(_SELECT_NUMBERS, ids=list(cases)) if cases else ()
        return {row.id: case_numbers.encode(row.number) for row in rows}

    def search(self, *, state: str | None = None, seller: str | None = None, limit: int = 100) -> list[CaseView]:
        """Return the newest cases of this seller in this state, at most ``limit``. None means any state, or any seller."""
        return [_view(row) for row in self._work.run(_SEARCH, state=state, seller_id=seller, limit=limit)]

    def counts(self) -> dict[str, int]:
        """Return the number of cases in each state."""
        return {row.state: row.cases for row in self._work.run(_COUNT_BY_STATE)}

    def latencies(self, limit: int) -> list[float]:
        """Return, for each of the newest ``limit`` refunded cases, the milliseconds from its request to its recorded refund."""
        return [float(row.ms) for row in self._work.run(_SELECT_LATENCIES, limit=limit)]


def _view(row: Row[*tuple[Any, ...]]) -> CaseView:
    values = row._asdict()
    values |= {"number": case_numbers.encode(row.number), "state": State(row.state), "channel": Channel(row.channel)}
    values |= {"reasons": row.reasons or [], "payments": tuple(map(_payment, row.payments or ()))}
    values |= {"wait": support_wait(row.wait), "another_way": Money(*row.another_way) if row.another_way else None}
    return CaseView(**values)


def _payment(values: Sequence[Any]) -> CasePayment:
    provider, charge, amount, currency, method, duplicate, for_support, status, refund_id = values
    return CasePayment(
        provider=provider,
        charge=charge,
        amount=amount,
        currency=currency,
        method=method,
        duplicate=duplicate,
        for_support=for_support,
        status=OperationStatus(status) if status else None,
        refund_id=refund_id,
    )

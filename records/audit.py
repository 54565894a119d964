"""Audit the records: check each case's history and its hashes, and whether the payments agree with the state of the case."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from domain.cases import GENESIS, chain_hash
from domain.states import INITIAL, MOVES, Event, State
from records.history import CaseHistory
from records.unit_of_work import UnitOfWork

_REFUNDED_WITHOUT_PAYMENT = """
with evaluated as (
  select distinct on (t.case_id)
         t.case_id, t.evidence -> 'purchase' -> 'payments' as confirmed, t.evidence -> 'approval' as approval
    from transitions t join cases c on c.id = t.case_id
   where c.state = 'refunded' and t.evidence ? 'purchase' order by t.case_id, t.seq desc
)
select c.id, 'is refunded, but its refund operations did not pay all that the customer confirmed or support approved.' as fault
  from cases c left join evaluated e on e.case_id = c.id
 where c.state = 'refunded' and not exists (
   select from transitions t where t.case_id = c.id and t.seq = c.seq
      and t.event in ('externally_refunded', 'support_refunded_elsewhere'))
   and (not exists (select from refund_operations o where o.case_id = c.id and o.status = 'paid')
     or (e.case_id is not null
        and (select jsonb_agg(jsonb_build_array(o.provider, o.charge, o.amount, o.currency) order by o.provider, o.charge)
          from refund_operations o where o.case_id = c.id and o.status = 'paid' and o.refund_id is not null
           and o.decision_id is not distinct from cast(e.approval ->> 'decision' as uuid))
       is distinct from
       (select jsonb_agg(jsonb_build_array(p -> 0, p -> 1, p -> 2, p -> 3) order by p ->> 0, p ->> 1)
          from jsonb_array_elements(coalesce(e.approval -> 'refunds', e.confirmed)) p)))
"""
"""The history of a case that was evaluated before migration 0002 does not contain what the customer confirmed."""

_PAID_BUT_OPEN = """
select c.id, 'was paid, but is in the state “' || c.state || '”.' as fault
  from refund_operations o join cases c on c.id = o.case_id
 where o.status = 'paid' and o.is_last and c.state not in ('refunded', 'with_support') and not exists (
   select from transitions t where t.case_id = c.id and t.event = 'support_approved' and t.created_at > o.paid_at)
"""
_SUPPORT_WITHOUT_TASK = """
select c.id, 'is with support, but has ' || count(t.id) || ' open support tasks for its last transition instead of 1.' as fault
  from cases c left join support_tasks t on t.case_id = c.id and t.seq = c.seq and t.closed_at is null
 where c.state = 'with_support' group by c.id having count(t.id) <> 1
"""
_TASK_LEFT_OPEN = """
select t.case_id, 'has an open support task, but is in the state “' || c.state || '” at row ' || c.seq || '.' as fault
  from support_tasks t join cases c on c.id = t.case_id
 where t.kind = 'case' and t.closed_at is null and (c.state <> 'with_support' or c.seq <> t.seq)
"""
_TASK_WITHOUT_REASON = """
select t.case_id, 'has a support task without a reason.' as fault from support_tasks t
 where jsonb_array_length(t.reasons) = 0
"""
_NOT_SCHEDULED = """
with overdue as (
  select id from cases where next_action_at < now() - make_interval(secs => :seconds) and lease_until < now()
  except select item_id from outbox
)
select id, 'has been too long in the state “' || c.state || '”, and no worker processes it.' as fault
  from overdue join cases c using (id)
"""

_STATEMENTS = (_REFUNDED_WITHOUT_PAYMENT, _PAID_BUT_OPEN, _SUPPORT_WITHOUT_TASK, _TASK_LEFT_OPEN, _TASK_WITHOUT_REASON)


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One fault of one case. The sentence is printed after the id of the case."""

    case_id: UUID
    sentence: str


@dataclass(slots=True)
class AuditReport:
    """The numbers of checked cases and rows, and the faults."""

    cases: int = 0
    rows: int = 0
    faults: list[AuditFinding] = field(default_factory=list)


def audit(work: UnitOfWork) -> AuditReport:
    """Check every case, its history and its payments. Only a limited number of cases is in memory at a time."""
    report = AuditReport()
    for case in work.history.stream_all():
        report.cases += 1
        report.rows += len(case.rows)
        report.faults += [AuditFinding(case.id, sentence) for sentence in faults(case)]
    for statement in _STATEMENTS:
        report.faults += [AuditFinding(row[0], row[1]) for row in work.run(statement)]
    seconds = 2 * work.timers.resend_after_seconds + work.timers.sweep_interval_seconds
    report.faults += [AuditFinding(row[0], row[1]) for row in work.run(_NOT_SCHEDULED, seconds=seconds)]
    return report


def faults(case: CaseHistory) -> Iterator[str]:
    """Yield the faults of one history: a gap, an impossible transition, a wrong hash, or an end that differs from the case."""
    head_hash, state = GENESIS, ""
    for number, row in enumerate(case.rows, start=1):
        if row.seq != number:
            yield f"has no row {number} in its history; the next row is row {row.seq}."
            return
        if row.from_state != state or not _is_possible(row.from_state, row.event, row.to_state):
            before = f"the state “{row.from_state}”" if row.from_state else "no state"
            yield f"cannot have gone from {before} to the state “{row.to_state}” by the event “{row.event}” in row {number}."
        if case.redactions.get(row.seq) is False:
            yield f"has a row {number} in its history that was changed after its personal data was removed."
            return
        if row.seq in case.redactions:  # what was hashed is gone, so the next row's hash proves this row's hash
            head_hash, state = row.hash, row.to_state
            continue
        head_hash = chain_hash(
            head_hash,
            case.id,
            row.seq,
            row.created_at,
            row.from_state,
            row.event,
            row.to_state,
            row.actor,
            row.why,
            row.evidence,
        )
        if head_hash != row.hash:
            yield f"has a row {number} in its history that was changed after it was written."
            return
        state = row.to_state
    if (len(case.rows), state, head_hash) != (case.last_seq, case.state, case.head_hash):
        end = f"ends in the state “{state}” at row {len(case.rows)}" if case.rows else "is empty"
        yield f"is in the state “{case.state}” at row {case.last_seq}, but its history {end}."


def _is_possible(from_state: str, event: str, to_state: str) -> bool:
    if not from_state:
        return (event, to_state) == INITIAL
    try:
        return MOVES.get((State(from_state), Event(event))) == to_state
    except ValueError:
        return False

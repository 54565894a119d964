"""The audit: every history replays to its case's state, no row was touched, and the books say the same as the states."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from domain.cases import GENESIS, chain_hash
from domain.states import INITIAL, MOVES, Event, State
from records.history import CaseHistory
from records.unit_of_work import UnitOfWork

_REFUNDED_WITHOUT_PROOF = """
select c.id, 'is refunded, but no operation of it was paid in full.' as fault
  from cases c left join refund_operations o on o.case_id = c.id and o.status = 'paid'
  left join purchases p on p.id = c.purchase
 where c.state = 'refunded'
   and (o.status is distinct from 'paid' or o.refund_id is null or o.amount is distinct from p.amount
        or o.currency is distinct from p.currency)
"""
_PAID_WITHOUT_END = """
select c.id, 'was paid, but is ' || c.state || '.' as fault
  from refund_operations o join cases c on c.id = o.case_id
 where o.status = 'paid' and c.state not in ('refunded', 'with_support')
"""
_SUPPORT_WITHOUT_TASK = """
select c.id, 'is with support, but ' || count(t.id) || ' tasks for a person belong to it now.' as fault
  from cases c left join support_tasks t on t.case_id = c.id and t.seq = c.seq
 where c.state = 'with_support' group by c.id having count(t.id) <> 1
"""
_TASK_WITHOUT_REASON = """
select t.case_id, 'has a task for a person without a reason.' as fault from support_tasks t
 where jsonb_array_length(t.reasons) = 0
"""
_UNOWNED = """
with unowned as (
  select id from cases where next_action_at < now() - make_interval(secs => :patience) and lease_until < now()
  except select case_id from outbox
)
select id, 'has been ' || c.state || ' for too long without an owner.' as fault from unowned join cases c using (id)
"""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that is not as it must be."""

    case: UUID
    sentence: str


@dataclass(slots=True)
class AuditReport:
    """What was looked at, and what was found."""

    cases: int = 0
    rows: int = 0
    faults: list[AuditFinding] = field(default_factory=list)


def audit(work: UnitOfWork) -> AuditReport:
    """Looks at every case, its whole history, and the books, in bounded memory."""
    audited = AuditReport()
    for story in work.history.stream_all():
        audited.cases += 1
        audited.rows += len(story.rows)
        audited.faults += [AuditFinding(story.id, sentence) for sentence in faults(story)]
    for statement in (_REFUNDED_WITHOUT_PROOF, _PAID_WITHOUT_END, _SUPPORT_WITHOUT_TASK, _TASK_WITHOUT_REASON):
        audited.faults += [AuditFinding(row[0], row[1]) for row in work.run(statement)]
    patience = 2 * work.timers.resend_after_seconds + work.timers.sweep_interval_seconds
    audited.faults += [AuditFinding(row[0], row[1]) for row in work.run(_UNOWNED, patience=patience)]
    return audited


def faults(story: CaseHistory) -> Iterator[str]:
    """What is wrong with one case's history: a gap, a move that is none, a link that does not fit, another end."""
    head, state = GENESIS, ""
    for number, row in enumerate(story.rows, start=1):
        if row.seq != number:
            yield f"has no row {number} in its history; row {row.seq} follows."
            return
        if row.from_state != state or not _possible(row.from_state, row.event, row.to_state):
            yield f"cannot have gone from {row.from_state or 'nothing'} to {row.to_state} by {row.event} in row {number}."
        head = chain_hash(
            head,
            story.id,
            row.seq,
            row.created_at,
            row.from_state,
            row.event,
            row.to_state,
            row.actor,
            row.why,
            row.evidence,
        )
        if head != row.hash:
            yield f"has a row {number} in its history that was changed after it was written."
            return
        state = row.to_state
    if (len(story.rows), state, head) != (story.last_seq, story.state, story.head_hash):
        yield f"is {story.state} at row {story.last_seq}, but its history ends in {state or 'nothing'} at row {len(story.rows)}."


def _possible(here: str, event: str, there: str) -> bool:
    if not here:
        return (event, there) == INITIAL
    try:
        return MOVES.get((State(here), Event(event))) == there
    except ValueError:
        return False

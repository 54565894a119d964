"""Store the history of cases. It is append-only and hash-chained. One statement inserts transitions and updates cases."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from domain.cases import Transition
from domain.messages import CaseEmailsDue, WorkItems
from domain.refund_approvals import RefundApproval
from domain.state_effects import EFFECTS, KEEPS_SUPPORT_TASK, email_for, email_round, messages_for
from domain.states import State
from records.case_emails import CaseEmails
from records.outbox import Outbox
from records.support_tasks import SupportTasks
from records.tables.cases import ENDED_STATE_NAMES, OPEN_STATE_NAMES
from records.transaction import Transaction

_RECORD = f"""
with transition as (
  select * from unnest(
    cast(:case_ids as uuid[]), cast(:fences as int[]), cast(:seqs as int[]), cast(:from_states as text[]),
    cast(:events as text[]), cast(:to_states as text[]), cast(:actors as text[]), cast(:whys as text[]),
    cast(:evidences as text[]), cast(:hashes as bytea[]), cast(:due_ins as float8[]), cast(:pauses as float8[]),
    cast(:leases as float8[]), cast(:purchase_ids as uuid[]), cast(:seller_ids as text[]), cast(:decided_seqs as int[])
  ) as t(case_id, fence, seq, from_state, event, to_state, actor, why, evidence, hash, due_in, pause, lease, purchase_id,
         seller_id, decided_seq)
), moved as (
  update cases c
     set state = t.to_state, seq = t.seq, head_hash = t.hash,
         next_action_at = :now + make_interval(secs => t.due_in),
         not_before = coalesce(:now + make_interval(secs => t.pause), 'epoch'),
         lease_until = coalesce(:now + make_interval(secs => t.lease), 'epoch'),
         fence = c.fence + case when t.lease is null then 0 else 1 end, deliveries = 0, decided_seq = t.decided_seq,
         purchase_id = coalesce(t.purchase_id, c.purchase_id), seller_id = coalesce(t.seller_id, c.seller_id)
    from transition t
   where c.id = t.case_id and c.fence = t.fence and c.seq = t.seq - 1 and c.state = t.from_state
     and (c.state not in ({ENDED_STATE_NAMES}) or not exists (
       select from cases o where o.purchase_id = c.purchase_id and o.state in ({OPEN_STATE_NAMES})))
  returning c.id as case_id
)
insert into transitions (case_id, seq, created_at, from_state, event, to_state, actor, why, evidence, hash)
select case_id, seq, :now, from_state, event, to_state, actor, why, evidence::jsonb, hash
  from transition join moved using (case_id)
returning case_id
"""
"""Write each transition and update its case. Skip a case that another worker changed or leased after the caller read it.

A case that support ended stays as it is if its purchase has another open case, because a purchase has only one.
"""

_SELECT_BY_CASE = """
select seq, created_at, from_state, event, to_state, actor, why, evidence, hash
  from transitions where case_id = :case_id order by seq
"""

_SELECT_WITH_EVIDENCE = "select distinct case_id from transitions where case_id = any(:case_ids) and evidence ? :name"

_SELECT_LATEST_EVIDENCE = """
select distinct on (case_id) case_id, evidence -> :name as value
  from transitions where case_id = any(:case_ids) and evidence ? :name order by case_id, seq desc
"""

_SELECT_EVALUATIONS = """
select distinct on (case_id) case_id, evidence -> 'purchase' as purchase, evidence -> 'approval' as approval
  from transitions where case_id = any(:case_ids) and evidence ? 'purchase' order by case_id, seq desc
"""
"""Each evaluation, by the rules or by support, stores the purchase as it was then. A later evaluation replaces an approval."""

_SELECT_EVIDENCE = """
select case_id, evidence -> :name as value
  from transitions where case_id = any(:case_ids) and evidence ? :name order by case_id, seq
"""

_SELECT_ALL = """
select c.id, c.state, c.seq as last_seq, c.head_hash,
       t.seq, t.created_at, t.from_state, t.event, t.to_state, t.actor, t.why, t.evidence, t.hash,
       case when r.hash is not null then
         t.why = '' and r.hash = redaction_hash(t.hash, t.case_id, t.seq, t.created_at, t.from_state, t.event, t.to_state,
                                                t.actor, t.evidence, r.redacted_at, r.redacted_by) end as is_as_redacted
  from cases c left join transitions t on t.case_id = c.id
  left join transition_redactions r on r.case_id = t.case_id and r.seq = t.seq
 order by c.id, t.seq
"""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row of a case's history, as it is stored."""

    seq: int
    created_at: datetime
    from_state: str
    event: str
    to_state: str
    actor: str
    why: str
    evidence: dict[str, object]
    hash: bytes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The newest evaluation of a case, by the rules or by support."""

    snapshot: object
    """The purchase as it was evaluated, and as the customer or support saw it."""
    approval: RefundApproval | None
    """The approval of support, if support evaluated the case last."""

    @property
    def decision(self) -> UUID | None:
        """The id of the decision of support, or None if the rules evaluated the case."""
        return self.approval.decision if self.approval else None


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """A case's state and all rows of the case's history, so that the audit can compare the state with the rows."""

    id: UUID
    state: str
    last_seq: int
    head_hash: bytes
    rows: tuple[HistoryRow, ...]
    redactions: Mapping[int, bool]
    """The rows whose personal data was removed, by their numbers. True if the row is as it was after the removal."""


class History:
    """The table ``transitions``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work
        self._support_tasks, self._case_emails, self._outbox = SupportTasks(work), CaseEmails(work), Outbox(work)

    def record(self, transitions: Sequence[Transition]) -> set[UUID]:
        """Record these transitions, and the effects of the new states: messages, e-mails and support tasks.

        Return the ids of the cases whose transition was recorded. If another worker changed or leased a case after the caller
        read the case, nothing is stored for this case. ``transitions`` must contain each case at most once.
        """
        if not transitions:
            return set()
        now = self._work.now
        rows = self._work.run(
            _RECORD,
            now=now,
            case_ids=[transition.case.id for transition in transitions],
            fences=[transition.case.fence for transition in transitions],
            seqs=[transition.seq for transition in transitions],
            from_states=[transition.case.state for transition in transitions],
            events=[transition.event for transition in transitions],
            to_states=[transition.to_state for transition in transitions],
            actors=[transition.actor for transition in transitions],
            whys=[transition.why for transition in transitions],
            evidences=[json.dumps(transition.evidence) for transition in transitions],
            hashes=[transition.digest(now) for transition in transitions],
            due_ins=[self._due_in(transition) for transition in transitions],
            pauses=[transition.due_in for transition in transitions],
            leases=[transition.lease for transition in transitions],
            purchase_ids=[transition.purchase_id for transition in transitions],
            seller_ids=[transition.seller_id for transition in transitions],
            decided_seqs=[transition.decided_seq for transition in transitions],
        )
        moved = {row.case_id for row in rows}
        self._apply_effects([transition for transition in transitions if transition.case.id in moved])
        return moved

    def for_case(self, case: UUID) -> list[HistoryRow]:
        """Return the history of one case, the oldest row first."""
        return [HistoryRow(*row) for row in self._work.run(_SELECT_BY_CASE, case_id=case)]

    def with_evidence(self, cases: Sequence[UUID], name: str) -> set[UUID]:
        """Return the ids of those cases that have a transition whose evidence contains this name."""
        rows = self._work.run(_SELECT_WITH_EVIDENCE, case_ids=list(cases), name=name) if cases else ()
        return {row.case_id for row in rows}

    def latest_evidence(self, cases: Sequence[UUID], name: str) -> dict[UUID, object]:
        """Return, for each of these cases, the newest evidence with this name. A case without such evidence is left out."""
        rows = self._work.run(_SELECT_LATEST_EVIDENCE, case_ids=list(cases), name=name) if cases else ()
        return {row.case_id: row.value for row in rows}

    def evaluations(self, cases: Sequence[UUID]) -> dict[UUID, Evaluation]:
        """Return the newest evaluation of each of these cases. A case that was not evaluated is left out."""
        rows = self._work.run(_SELECT_EVALUATIONS, case_ids=list(cases)) if cases else ()
        return {
            row.case_id: Evaluation(row.purchase, row.approval and RefundApproval.from_evidence(row.approval))
            for row in rows
        }

    def all_evidence(self, cases: Sequence[UUID], name: str) -> dict[UUID, list[Any]]:
        """Return, for each of these cases, all evidence with this name, the oldest first."""
        evidence: dict[UUID, list[Any]] = {}
        for row in self._work.run(_SELECT_EVIDENCE, case_ids=list(cases), name=name) if cases else ():
            evidence.setdefault(row.case_id, []).append(row.value)
        return evidence

    def stream_all(self) -> Iterator[CaseHistory]:
        """Yield every case with its history. The rows are read in parts, so that memory is sufficient for any number of cases."""
        for _, rows in groupby(self._work.stream(_SELECT_ALL), key=attrgetter("id")):
            history = list(rows)
            case = history[0]
            yield CaseHistory(
                case.id,
                case.state,
                case.last_seq,
                bytes(case.head_hash),
                tuple(HistoryRow(*row[4:-1]) for row in history if row.seq is not None),
                {row.seq: row.is_as_redacted for row in history if row.is_as_redacted is not None},
            )

    def _due_in(self, transition: Transition) -> float | None:
        """Return the seconds until the sweep acts on the case, or None if the new state has no timeout."""
        if transition.due_in is not None:
            return transition.due_in
        timeout = EFFECTS[transition.to_state].timeout
        return None if timeout is None else self._work.timers.seconds_of(timeout)

    def _apply_effects(self, transitions: Iterable[Transition]) -> None:
        messages: list[tuple[type[WorkItems], UUID]] = []
        emails: list[tuple[UUID, str, int]] = []
        tasks: list[tuple[UUID, int, str]] = []
        answered: list[tuple[UUID, int, str, str]] = []
        kept: list[tuple[UUID, int, int]] = []
        for transition in transitions:
            case = transition.case.id
            effects = EFFECTS[transition.to_state]
            if transition.case.state is State.WITH_SUPPORT and transition.event in KEEPS_SUPPORT_TASK:
                kept.append((case, transition.case.seq, transition.seq))
            elif transition.case.state is State.WITH_SUPPORT:
                answered.append((case, transition.case.seq, transition.actor, transition.event))
            if effects.support_task and transition.event not in KEEPS_SUPPORT_TASK:
                tasks.append((case, transition.seq, json.dumps(transition.evidence.get("reasons", []))))
            if transition.notify and (email := email_for(transition.event, transition.to_state)):
                of_round = email_round(email, transition.case.state, transition.decided_seq)
                emails += [] if of_round is None else [(case, email, of_round)]
            omitted = {effects.message if transition.continued or transition.due_in is not None else None}
            omitted |= set() if transition.notify else {CaseEmailsDue}
            messages += [
                (message, case)
                for message in messages_for(transition.to_state, transition.event)
                if message not in omitted
            ]
        self._support_tasks.close_for_cases(answered)
        self._support_tasks.keep_for_cases(kept)
        self._support_tasks.create_for_cases(tasks)
        self._case_emails.enqueue(emails)
        self._outbox.enqueue(messages)

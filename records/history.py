"""The history of cases: append-only, hash-chained; each row and the state it leads to are one statement."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.cases import Transition
from domain.messages import CaseEmailsDue
from domain.messages import WorkItems as CasesMessage
from domain.state_effects import EFFECTS, email_for, messages_for
from records.case_emails import CaseEmails
from records.outbox import Outbox
from records.support_tasks import SupportTasks
from records.transaction import Transaction

_RECORD = """
with step as (
  select * from unnest(
    cast(:ids as uuid[]), cast(:fences as int[]), cast(:seqs as int[]), cast(:heres as text[]), cast(:events as text[]),
    cast(:theres as text[]), cast(:actors as text[]), cast(:whys as text[]), cast(:evidences as text[]),
    cast(:hashes as bytea[]), cast(:dues as float8[]), cast(:pauses as float8[]), cast(:leases as float8[]),
    cast(:purchases as uuid[]), cast(:sellers as text[])
  ) as t(id, fence, seq, here, event, there, actor, why, evidence, hash, due, pause, lease, purchase, seller)
), moved as (
  update cases c
     set state = s.there, seq = s.seq, head = s.hash,
         next_action_at = :now + make_interval(secs => s.due),
         not_before = coalesce(:now + make_interval(secs => s.pause), 'epoch'),
         lease_until = coalesce(:now + make_interval(secs => s.lease), 'epoch'),
         fence = c.fence + case when s.lease is null then 0 else 1 end, deliveries = 0,
         purchase = coalesce(s.purchase, c.purchase), seller = coalesce(s.seller, c.seller)
    from step s
   where c.id = s.id and c.fence = s.fence and c.seq = s.seq - 1 and c.state = s.here
  returning c.id
)
insert into transitions (case_id, seq, at, here, event, there, actor, why, evidence, hash)
select id, seq, :now, here, event, there, actor, why, evidence::jsonb, hash from step join moved using (id)
returning case_id
"""
"""Moves each case that still is where its worker left it, and writes that move down. The others are left out."""

_OF = """
select seq, at, here, event, there, actor, why, evidence, hash from transitions where case_id = :case order by seq
"""

_TELLING = "select distinct case_id from transitions where case_id = any(:cases) and evidence ? :name"

_ALL = """
select c.id, c.state, c.seq as last_seq, c.head, t.seq, t.at, t.here, t.event, t.there, t.actor, t.why, t.evidence, t.hash
  from cases c left join transitions t on t.case_id = c.id
 order by c.id, t.seq
"""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row of a case's history, as it stands."""

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
class CaseHistory:
    """A case's row and its whole history, to be held against each other."""

    id: UUID
    state: str
    last_seq: int
    head_hash: bytes
    rows: tuple[HistoryRow, ...]


class History:
    """Steps in, rows out."""

    def __init__(self, work: Transaction) -> None:
        self._work = work
        self._tasks, self._letters, self._outbox = SupportTasks(work), CaseEmails(work), Outbox(work)

    def record(self, steps: Sequence[Transition]) -> set[UUID]:
        """Records these steps and what each state reached sets going: messages, letters, tasks for people.

        Returns the cases that moved. One that somebody else moved or took over meanwhile is not among them, and
        nothing was written for it. A case may appear once in a call.
        """
        if not steps:
            return set()
        now = self._work.now
        moved = self._work.run(
            _RECORD,
            now=now,
            ids=[step.case.id for step in steps],
            fences=[step.case.fence for step in steps],
            seqs=[step.seq for step in steps],
            heres=[step.case.state for step in steps],
            events=[step.event for step in steps],
            theres=[step.to_state for step in steps],
            actors=[step.actor for step in steps],
            whys=[step.why for step in steps],
            evidences=[json.dumps(step.evidence) for step in steps],
            hashes=[step.digest(now) for step in steps],
            dues=[self._due_in(step) for step in steps],
            pauses=[step.due_in for step in steps],
            leases=[step.lease for step in steps],
            purchases=[step.purchase for step in steps],
            sellers=[step.seller for step in steps],
        )
        done = {row.case_id for row in moved}
        self._set_going([step for step in steps if step.case.id in done])
        return done

    def for_case(self, case: UUID) -> list[HistoryRow]:
        """The history of one case, oldest first."""
        return [HistoryRow(*row) for row in self._work.run(_OF, case=case)]

    def with_evidence(self, cases: Sequence[UUID], name: str) -> set[UUID]:
        """Those of these cases of whose steps one has evidence of this name."""
        rows = self._work.run(_TELLING, cases=list(cases), name=name) if cases else ()
        return {row.case_id for row in rows}

    def stream_all(self) -> Iterator[CaseHistory]:
        """Every case with its history, in bounded memory."""
        rows = self._work.stream(_ALL)
        story: list[HistoryRow] = []
        last = None
        for row in rows:
            if last is not None and row.id != last.id:
                yield CaseHistory(last.id, last.state, last.last_seq, bytes(last.head), tuple(story))
                story = []
            last = row
            if row.seq is not None:
                story.append(HistoryRow(*row[4:]))
        if last is not None:
            yield CaseHistory(last.id, last.state, last.last_seq, bytes(last.head), tuple(story))

    def _due_in(self, step: Transition) -> float | None:
        if step.due_in is not None:
            return step.due_in
        patience = EFFECTS[step.to_state].timeout
        return None if patience is None else self._work.timers.seconds_of(patience)

    def _set_going(self, steps: Iterable[Transition]) -> None:
        lanes: list[tuple[type[CasesMessage], UUID]] = []
        letters: list[tuple[UUID, str]] = []
        tasks: list[tuple[UUID, int, str]] = []
        for step in steps:
            after = EFFECTS[step.to_state]
            if after.support_task:
                tasks.append((step.case.id, step.seq, json.dumps(step.evidence.get("reasons", []))))
            if step.notify and (letter := email_for(step.event, step.to_state)):
                letters.append((step.case.id, letter))
            left_out = {after.message if step.continued or step.due_in is not None else None}
            left_out |= set() if step.notify else {CaseEmailsDue}
            lanes += [(lane, step.case.id) for lane in messages_for(after) if lane not in left_out]
        self._tasks.create_for_cases(tasks)
        self._letters.enqueue(letters)
        self._outbox.enqueue(lanes)

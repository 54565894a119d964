"""Store batches of decisions: their cases, their progress and their outcomes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from domain import case_numbers
from domain.money import Money
from domain.states import State
from records.transaction import Transaction


class BatchStatus(StrEnum):
    """The status of a batch."""

    PREVIEW = "preview"
    """An agent looks at the cases and the sum. Nothing was decided."""
    PROPOSED = "proposed"
    """The batch waits until a second person confirms it."""
    RUNNING = "running"
    STOPPED = "stopped"
    """An agent stopped the batch. Its other cases were not decided; the batch can be continued."""
    FINISHED = "finished"


_COLUMNS = """
b.id, b.seller_id, b.agent, b.agent_name, b.decision, b.status, b.counted, b.confirmed_by, b.created_at, b.ended_at
"""

_INSERT = """
insert into decision_batches (id, seller_id, agent, agent_name, decision, status, counted)
values (:id, :seller_id, :agent, :agent_name, cast(:decision as jsonb), 'preview', cast(:counted as jsonb))
"""

_INSERT_ITEMS = """
insert into decision_batch_items (id, batch_id, case_id, revision, amount, outcome, done_at)
select id, :batch_id, case_id, revision, amount::jsonb, outcome, case when outcome is not null then now() end
  from unnest(cast(:ids as uuid[]), cast(:case_ids as uuid[]), cast(:revisions as text[]), cast(:amounts as text[]),
              cast(:outcomes as text[])) as i(id, case_id, revision, amount, outcome)
"""

_SELECT_CANDIDATES = """
select c.id, c.number, coalesce(c.seller_id, '') as seller_id, c.state, c.purchase_id from cases c where c.id = any(:ids)
"""

_LOCK = f"select {_COLUMNS} from decision_batches b where b.id = :id for no key update"

_SELECT = f"""
select {_COLUMNS}, count(i.id) as cases, count(i.done_at) as done,
       count(*) filter (where i.outcome = 'applied') as applied,
       count(*) filter (where i.done_at = i.created_at) as left_out
  from decision_batches b left join decision_batch_items i on i.batch_id = b.id
 where {{condition}} group by b.id order by b.created_at desc limit 100
"""

_SELECT_BY_ID = _SELECT.format(condition="b.id = :id")

_SELECT_BY_SELLERS = _SELECT.format(condition="cast(:sellers as text[]) is null or b.seller_id = any(:sellers)")

_SET_STATUS = """
update decision_batches
   set status = :status, confirmed_by = coalesce(:confirmed_by, confirmed_by),
       ended_at = case when :status = 'finished' then now() else ended_at end
 where id = :id and status = any(:from_statuses) returning id
"""

_CLAIM = """
update decision_batch_items t set claimed_until = now() + make_interval(secs => :seconds)
 where t.id in (
   select i.id from decision_batch_items i join decision_batches b on b.id = i.batch_id and b.status = 'running'
    where i.done_at is null and i.claimed_until <= now() order by i.created_at, i.id limit :limit for update of i skip locked)
returning t.id, t.batch_id, t.case_id, t.revision
"""

_RECORD_OUTCOME = "update decision_batch_items set done_at = now(), outcome = :outcome where id = :id"

_FINISH = """
update decision_batches b set status = 'finished', ended_at = now()
 where b.id = any(:ids) and b.status = 'running'
   and not exists (select from decision_batch_items i where i.batch_id = b.id and i.done_at is null)
"""

_SELECT_ITEMS = """
select i.id, i.case_id, c.number, i.revision, i.amount, i.outcome, i.done_at
  from decision_batch_items i join cases c on c.id = i.case_id where i.batch_id = :batch_id
 order by coalesce(i.outcome = 'applied', false), i.outcome, c.number limit :limit offset :offset
"""
"""The cases that were not decided come first, because a person must look at them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with its progress."""

    id: UUID
    seller_id: str
    agent: str
    agent_name: str
    decision: dict[str, Any]
    status: BatchStatus
    counted: Money | None
    """The sum of the refunds; None if the decision refunds nothing."""
    confirmed_by: str | None
    created_at: datetime
    ended_at: datetime | None
    cases: int = 0
    done: int = 0
    applied: int = 0
    """The number of cases whose decision took effect. For the other cases, the outcome says why not."""
    left_out: int = 0
    """The number of cases that were left out of the preview, because the decision is not possible for them."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A case of a new batch, with the revision that the agent saw and the amount of its refund."""

    case_id: UUID
    revision: str
    amount: Money | None
    outcome: str | None = None
    """Why the case is left out of the batch; None if the batch decides it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A case that an agent chose for a batch."""

    id: UUID
    number: str
    seller_id: str
    state: State
    purchase_id: UUID | None


@dataclass(frozen=True, slots=True)
class Item:
    """A case of a batch. The outcome is ``applied``, or the sentence that says why the decision was refused."""

    id: UUID
    case_id: UUID
    number: str
    revision: str
    amount: Money | None
    outcome: str | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """A case of a running batch that this process decides."""

    id: UUID
    batch_id: UUID
    case_id: UUID
    revision: str


class DecisionBatches:
    """The tables ``decision_batches`` and ``decision_batch_items``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def create(
        self,
        seller: str,
        decision: Mapping[str, Any],
        items: Sequence[NewItem],
        *,
        agent: str,
        agent_name: str,
        counted: Money | None,
    ) -> UUID:
        """Store a batch as a preview, and return its id."""
        batch = uuid4()
        self._work.run(
            _INSERT,
            id=batch,
            seller_id=seller,
            agent=agent,
            agent_name=agent_name,
            decision=json.dumps(dict(decision)),
            counted=_as_json(counted),
        )
        self._work.run(
            _INSERT_ITEMS,
            batch_id=batch,
            ids=[uuid4() for _ in items],
            case_ids=[item.case_id for item in items],
            revisions=[item.revision for item in items],
            amounts=[_as_json(item.amount) for item in items],
            outcomes=[item.outcome for item in items],
        )
        return batch

    def lock(self, batch: UUID) -> Batch | None:
        """Lock and return the batch with this id, without its progress; None if there is no such batch."""
        row = self._work.run(_LOCK, id=batch).one_or_none()
        return None if row is None else _batch(row)

    def get(self, batch: UUID) -> Batch | None:
        """Return the batch with this id and its progress, or None if there is no such batch."""
        row = self._work.run(_SELECT_BY_ID, id=batch).one_or_none()
        return None if row is None else _batch(row)

    def list_newest(self, sellers: Sequence[str] | None) -> list[Batch]:
        """Return the newest batches of these sellers, at most 100. None means every seller."""
        rows = self._work.run(_SELECT_BY_SELLERS, sellers=None if sellers is None else list(sellers))
        return [_batch(row) for row in rows]

    def candidates(self, cases: Sequence[UUID]) -> dict[UUID, Candidate]:
        """Return these cases by id. An unknown id is left out."""
        return {
            row.id: Candidate(row.id, case_numbers.encode(row.number), row.seller_id, State(row.state), row.purchase_id)
            for row in self._work.run(_SELECT_CANDIDATES, ids=list(cases))
        }

    def items(self, batch: UUID, *, limit: int | None = None, offset: int = 0) -> list[Item]:
        """Return up to ``limit`` cases of a batch, those first that were not decided. None means all of them."""
        return [
            Item(
                row.id,
                row.case_id,
                case_numbers.encode(row.number),
                row.revision,
                _money(row.amount),
                row.outcome,
                row.done_at,
            )
            for row in self._work.run(_SELECT_ITEMS, batch_id=batch, limit=limit, offset=offset)
        ]

    def set_status(
        self, batch: UUID, status: BatchStatus, *, before: Sequence[BatchStatus], confirmed_by: str | None = None
    ) -> bool:
        """Change the status of a batch whose status is one of ``before``. Return False if it has another status."""
        row = self._work.run(
            _SET_STATUS, id=batch, status=status, from_statuses=list(before), confirmed_by=confirmed_by
        ).one_or_none()
        return row is not None

    def claim(self, *, limit: int, seconds: float) -> list[ClaimedItem]:
        """Claim open cases of running batches for ``seconds``. If the process dies, another process claims them afterwards."""
        return [ClaimedItem(*row) for row in self._work.run(_CLAIM, limit=limit, seconds=seconds)]

    def record_outcome(self, item: UUID, outcome: str) -> None:
        """Store the outcome of a case: ``applied``, or why the decision was refused."""
        self._work.run(_RECORD_OUTCOME, id=item, outcome=outcome)

    def finish(self, batches: Sequence[UUID]) -> None:
        """Finish those of these batches that have no open case."""
        self._work.run(_FINISH, ids=list(batches))


def _as_json(money: Money | None) -> str | None:
    return json.dumps([money.minor, money.currency]) if money else None


def _money(value: Sequence[Any] | None) -> Money | None:
    return Money(*value) if value else None


def _batch(row: Any) -> Batch:  # noqa: ANN401  # a row of _COLUMNS
    values = row._asdict()
    return Batch(**values | {"status": BatchStatus(row.status), "counted": _money(row.counted)})

"""Cases: locking them, claiming them, counting their deliveries, and finding those that nobody moves."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from domain.cases import Case
from domain.reason_codes import ReasonCode
from domain.requests import Channel, RefundScope, SubmittedRequest
from domain.states import State
from records.transaction import Transaction

_CASE = "c.id, c.state, c.seq, c.head, c.fence, c.wish, c.received_at, c.channel, c.trusted, c.purchase, c.seller"

_LOCK = f"""
select {_CASE} from cases c
 where c.id = any(:ids) and c.state = :here and c.lease_until <= now() and c.not_before <= now()
 order by c.received_at, c.id for no key update skip locked
"""
"""Cases that still stand here and that nobody holds. Those another worker is moving are left out, not waited for."""

_WAIT = f"select {_CASE} from cases c where c.id = :id for no key update"
"""One case, whatever its state, once whoever is moving it has finished."""

_LEASE = f"""
update cases c
   set fence = c.fence + 1, lease_until = now() + make_interval(secs => :lease),
       next_action_at = case when c.next_action_at is not null
                             then greatest(c.not_before, now() + make_interval(secs => :lease)) end
 where c.id in (select id from cases where id = any(:ids) and state = any(:heres) and lease_until <= now()
                 and (not_before <= now() or :early) for no key update skip locked)
returning {_CASE}
"""
"""Takes cases over: whoever held them before is fenced out from this commit on. One that has ended stays undisturbed.

One that was taken early is due again when it was to be: if its holder dies, the news it came with is what is looked at anew.
"""

_RELEASE = """
update cases c
   set lease_until = 'epoch', deliveries = 0, not_before = now() + make_interval(secs => i.seconds),
       next_action_at = case when c.next_action_at is not null then now() + make_interval(secs => i.seconds) end
  from unnest(cast(:ids as uuid[]), cast(:fences as int[]), cast(:seconds as float8[])) as i(id, fence, seconds)
 where c.id = i.id and c.fence = i.fence
"""
"""Gives leased cases back without a step, to be looked at again after so many seconds."""

_OVERDUE = """
with recursive seller as (
  (select coalesce(seller, '') as name from cases where next_action_at is not null order by 1 limit 1)
  union all
  select (select coalesce(c.seller, '') from cases c
           where c.next_action_at is not null and coalesce(c.seller, '') > s.name order by 1 limit 1)
    from seller s where s.name is not null
), waiting as (
  select name, count(*) over () as sellers from seller
   where exists (select from cases c where c.next_action_at <= now() and coalesce(c.seller, '') = name)
)
select o.id, o.state, o.bulk, w.name as seller
  from waiting w cross join lateral (
    select id, state, bulk, row_number() over (order by next_action_at) as turn
      from (select id, state, bulk, next_action_at from cases c
             where coalesce(c.seller, '') = w.name and c.next_action_at <= now() and c.lease_until <= now()
             order by c.next_action_at limit :limit / w.sellers + 1 for no key update skip locked) mine
  ) o
 order by o.turn, w.name limit :limit
"""
"""Cases whose patience ran out and that nobody holds: each seller's oldest first, every seller an equal share."""

_BEGIN = """
update cases set deliveries = deliveries + 1, delivered_at = now()
 where id in (select id from cases
               where id = any(:ids) and state = any(:heres) and lease_until <= now() and not_before <= now()
                 and (deliveries = 0 or (:suspects and delivered_at <= now() - make_interval(secs => :apart)))
               order by id for no key update skip locked)
returning id, deliveries
"""
"""Counts a delivery before anything is done with it. One that was begun a moment ago is left to whoever began it."""

_SUSPECTS = """
select id, deliveries from cases
 where id = any(:ids) and state = any(:heres) and lease_until <= now() and not_before <= now()
   and deliveries > 0 and delivered_at <= now() - make_interval(secs => :apart) order by deliveries, id
"""

_CAME_BACK = """
update cases c set deliveries = c.deliveries - 1, next_action_at = now()
  from unnest(cast(:ids as uuid[]), cast(:counts as int[])) as i(id, count)
 where c.id = i.id and c.deliveries = i.count
   and c.id in (select id from cases where id = any(:ids) and state = any(:heres) and lease_until <= now()
                 for no key update skip locked)
"""

_ONE_REASON = """
  from cases c join purchases p on p.id = c.purchase join support_tasks t on t.case_id = c.id and t.seq = c.seq
 where p.provider = :provider and p.charge = :charge and c.state = 'with_support'
   and jsonb_array_length(t.reasons) > 0 and not exists (
     select from jsonb_array_elements(t.reasons) r where r ->> 'code' <> :code)
"""
"""Cases of this payment that a person has for this one reason."""

_FOR_ONE_REASON = f"select {_CASE} {_ONE_REASON} and c.lease_until <= now() for no key update of c"

_STILL_FOR_ONE_REASON = f"select exists (select {_ONE_REASON})"

_PUT_OFF = """
update cases set next_action_at = now() + make_interval(secs => :seconds) where id = any(:ids)
"""


class Cases:
    """The cases table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def lock(self, ids: Sequence[UUID], *, state: State) -> list[Case]:
        """Those of these cases that still stand here and that nobody holds, locked until the commit."""
        return [_case(row) for row in self._work.run(_LOCK, ids=list(ids), here=state)]

    def lock_one(self, case: UUID) -> Case | None:
        """This case, locked until the commit; waits for whoever is moving it."""
        row = self._work.run(_WAIT, id=case).one_or_none()
        return None if row is None else _case(row)

    def lease(self, ids: Sequence[UUID], *, states: Sequence[State], seconds: float, early: bool = False) -> list[Case]:
        """Takes those of these cases over that stand here and that nobody holds; they are ours for so long.

        One that is to be left alone for a while is taken only ``early``: there is news of it.
        """
        heres = [str(state) for state in states]
        rows = self._work.run(_LEASE, ids=list(ids), heres=heres, lease=seconds, early=early)
        return [_case(row) for row in rows]

    def release(self, cases: Sequence[tuple[Case, float]]) -> None:
        """Gives leased cases back unmoved, each to be looked at again after so many seconds."""
        if cases:
            self._work.run(
                _RELEASE,
                ids=[case.id for case, _ in cases],
                fences=[case.fence for case, _ in cases],
                seconds=[seconds for _, seconds in cases],
            )

    def count_deliveries(
        self, ids: Sequence[UUID], *, states: Sequence[State], apart: float, include_crashed: bool = False
    ) -> dict[UUID, int]:
        """Counts a delivery of those of these cases that stand here; returns how many each had since it last moved.

        Only first deliveries, or with ``suspects`` those as well that began at least ``apart`` seconds ago and came to nothing.
        """
        self._work.run("set local synchronous_commit = off")  # a count that a power cut takes away is not missed
        rows = self._work.run(
            _BEGIN, ids=list(ids), heres=[str(s) for s in states], suspects=include_crashed, apart=apart
        )
        return {row.id: row.deliveries for row in rows}

    def crashed_before(self, ids: Sequence[UUID], *, states: Sequence[State], apart: float) -> dict[UUID, int]:
        """Those of these cases that were begun at least so many seconds ago and did not move: how often, the least first."""
        rows = self._work.run(_SUSPECTS, ids=list(ids), heres=[str(s) for s in states], apart=apart)
        return {row.id: row.deliveries for row in rows}

    def uncount_deliveries(self, counts: Mapping[UUID, int], *, states: Sequence[State]) -> None:
        """Takes the counts of these deliveries back where the case still stands here and nobody moves it: nobody died of it.

        Somebody held it for a moment, the sweep above all. It is due at once.
        """
        self._work.run("set local synchronous_commit = off")  # as in begin()
        self._work.run(
            _CAME_BACK, ids=list(counts), counts=list(counts.values()), heres=[str(state) for state in states]
        )

    def with_support_for(self, provider: str, charge: str, code: ReasonCode) -> list[Case]:
        """The cases about this payment that are with support for this reason alone and that nobody holds, locked."""
        return [_case(row) for row in self._work.run(_FOR_ONE_REASON, provider=provider, charge=charge, code=code)]

    def still_with_support_for(self, provider: str, charge: str, code: ReasonCode) -> bool:
        """Whether there is such a case now, be it held."""
        return bool(self._work.run(_STILL_FOR_ONE_REASON, provider=provider, charge=charge, code=code).scalar_one())

    def overdue(self, limit: int) -> list[Any]:
        """Cases whose patience ran out (``id``, ``state``, ``bulk``, ``seller``), locked."""
        return list(self._work.run(_OVERDUE, limit=limit))

    def postpone(self, ids: Sequence[UUID], seconds: float) -> None:
        """Looks at these cases again after so many seconds."""
        if ids:
            self._work.run(_PUT_OFF, ids=list(ids), seconds=seconds)


def _case(row: Row[*tuple[Any, ...]]) -> Case:
    asked = SubmittedRequest(
        refund_scope=RefundScope(row.refund_scope),
        received_at=row.received_at,
        channel=Channel(row.channel),
        trusted=row.trusted,
    )
    return Case(
        id=row.id,
        state=State(row.state),
        seq=row.seq,
        head_hash=row.head,
        fence=row.fence,
        request=asked,
        purchase=row.purchase,
        seller=row.seller,
    )

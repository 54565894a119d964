"""The outbox: messages that are due, written with the step that made them so, published by the relay."""

from collections.abc import Sequence
from uuid import UUID

from domain.messages import WORK_QUEUES, WorkItems
from records.transaction import Transaction

CHANNEL = "moneyback_outbox"
"""What the relay listens to, so that it wakes at the commit and not at a poll."""

_PUT = """
insert into outbox (lane, bulk, seller, case_id)
select i.lane, c.bulk, coalesce(c.seller, ''), c.id
  from unnest(cast(:lanes as text[]), cast(:ids as uuid[])) with ordinality as i(lane, id, n) join cases c on c.id = i.id
 order by i.n
"""

_TAKE = """
with recursive seller as (
  (select seller, 1 as n from outbox where lane = :lane and bulk = :bulk
      and (cast(:after as text) is null or seller > :after) order by seller limit 1)
  union all
  select (select o.seller from outbox o where o.lane = :lane and o.bulk = :bulk and o.seller > s.seller
           order by o.seller limit 1), s.n + 1
    from seller s where s.seller is not null and s.n < :room
), picked as (
  select o.id, o.seller, o.turn
    from (select seller, count(*) over () as sellers from seller where seller is not null) s
    cross join lateral (
      select id, s.seller, row_number() over (order by id) as turn
        from (select id from outbox where lane = :lane and bulk = :bulk and seller = s.seller
               order by id limit :room / s.sellers + 1 for update skip locked) mine
    ) o
   order by o.turn, o.seller limit :room
), taken as (
  delete from outbox where id in (select id from picked) returning id, case_id
)
select t.case_id, p.seller from taken t join picked p using (id) order by t.id
"""
"""One message's worth of a lane: the sellers that wait are walked in turn, and each gets an equal share of the room.

Walking the index from seller to seller costs a look a seller, however many messages one of them has waiting.
"""

_LANES = """
with recursive l as (
  (select lane from outbox order by lane limit 1)
  union all
  select (select o.lane from outbox o where o.lane > l.lane order by o.lane limit 1) from l where l.lane is not null
)
select lane from l where lane is not null
"""
"""The lanes with something waiting, by a look at the index for each."""

_WAITING = "select lane, count(*) as waiting, extract(epoch from now() - min(at)) as oldest from outbox group by lane"

_OWED = """
insert into outbox (lane, bulk, seller, case_id)
select i.lane, i.bulk, i.seller, i.id
  from unnest(cast(:lanes as text[]), cast(:bulks as bool[]), cast(:sellers as text[]), cast(:ids as uuid[]))
    as i(lane, bulk, seller, id)
 where not exists (select from outbox o where o.case_id = i.id and o.lane = i.lane)
"""
"""As _PUT, for what may be waiting already."""


class Outbox:
    """Messages that are due."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def enqueue(self, lanes: Sequence[tuple[type[WorkItems], UUID]]) -> None:
        """Notes that these cases are due in these lanes, and wakes the relay at the commit."""
        if lanes:
            self._work.run(_PUT, lanes=[lane.queue for lane, _ in lanes], ids=[case for _, case in lanes])
            self.wake()

    def enqueue_again(self, lanes: Sequence[tuple[type[WorkItems], bool, str, UUID]]) -> None:
        """As put(), for cases of which a message may be waiting already: (lane, bulk, seller, case)."""
        if lanes:
            self._work.run(
                _OWED,
                lanes=[lane.queue for lane, _, _, _ in lanes],
                bulks=[bulk for _, bulk, _, _ in lanes],
                sellers=[seller for _, _, seller, _ in lanes],
                ids=[case for _, _, _, case in lanes],
            )
            self.wake()

    def wake(self) -> None:
        """Wakes the relay once this transaction is committed."""
        self._work.notifies = True

    def take(self, queue: str, *, room: int, after: str | None, bulk: bool) -> list[tuple[UUID, str]]:
        """Takes at most ``room`` cases of a lane, round robin over the sellers behind ``after`` (None: from the first).

        They are gone from the outbox at the commit.
        """
        rows = self._work.run(_TAKE, lane=queue, room=room, after=after, bulk=bulk)
        return [(row.case_id, row.seller) for row in rows]

    def queues(self) -> set[str]:
        """The lanes with something waiting."""
        return {row.lane for row in self._work.run(_LANES)}

    def backlog(self) -> dict[str, tuple[int, float]]:
        """For each lane how many messages wait, and for how many seconds the oldest has."""
        found = {row.lane: (row.waiting, float(row.oldest)) for row in self._work.run(_WAITING)}
        return {lane: found.get(lane, (0, 0.0)) for lane in WORK_QUEUES}

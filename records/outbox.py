"""Store the outbox: the messages that are due.

The transaction that makes a message due also stores the message in the outbox. After the commit, the relay publishes the message.
"""

from collections.abc import Sequence
from uuid import UUID

from domain.messages import WORK_QUEUES, WorkItems
from records.transaction import Transaction

CHANNEL = "moneyback_outbox"
"""The PostgreSQL notification channel. A commit with new messages notifies the relay on this channel."""

_INSERT = """
insert into outbox (queue, bulk, seller_id, item_id)
select i.queue, c.bulk, coalesce(c.seller_id, ''), c.id
  from unnest(cast(:queues as text[]), cast(:ids as uuid[])) with ordinality as i(queue, id, n) join cases c on c.id = i.id
 order by i.n
"""

_TAKE = """
with recursive seller as (
  (select seller_id as id, 1 as n from outbox where queue = :queue and bulk = :bulk
      and (cast(:after as text) is null or seller_id > :after) order by seller_id limit 1)
  union all
  select (select o.seller_id from outbox o where o.queue = :queue and o.bulk = :bulk and o.seller_id > s.id
           order by o.seller_id limit 1), s.n + 1
    from seller s where s.id is not null and s.n < :room
), picked as (
  select o.id, o.seller_id, o.turn
    from (select id, count(*) over () as sellers from seller where id is not null) s
    cross join lateral (
      select id, s.id as seller_id, row_number() over (order by id) as turn
        from (select id from outbox where queue = :queue and bulk = :bulk and seller_id = s.id
               order by id limit :room / s.sellers + 1 for update skip locked) waiting
    ) o
   order by o.turn, o.seller_id limit :room
), taken as (
  delete from outbox where id in (select id from picked) returning id, item_id
)
select t.item_id, p.seller_id from taken t join picked p using (id) order by t.id
"""
"""Take at most ``room`` items for one message. Sellers take turns, so that each seller gets an equal share of the message.

The query reads the index from seller to seller. It makes one index scan for each seller, even if a seller has many items.
"""

_SELECT_QUEUES = """
with recursive q as (
  (select queue from outbox order by queue limit 1)
  union all
  select (select o.queue from outbox o where o.queue > q.queue order by o.queue limit 1) from q where q.queue is not null
)
select queue from q where queue is not null
"""
"""Find the queues that have messages in the outbox, with one index scan for each queue."""

_SELECT_BACKLOG = """
select queue, count(*) as waiting, extract(epoch from now() - min(created_at)) as oldest from outbox group by queue
"""

_INSERT_IF_ABSENT = """
insert into outbox (queue, bulk, seller_id, item_id)
select i.queue, i.bulk, i.seller_id, i.id
  from unnest(cast(:queues as text[]), cast(:bulks as bool[]), cast(:seller_ids as text[]), cast(:ids as uuid[]))
    as i(queue, bulk, seller_id, id)
 where not exists (select from outbox o where o.item_id = i.id and o.queue = i.queue)
"""


class Outbox:
    """The table ``outbox``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def enqueue(self, messages: Sequence[tuple[type[WorkItems], UUID]]) -> None:
        """Store that messages about these cases are due, and wake the relay after the commit.

        Each item of ``messages`` is the class of a message and the id of the case.
        """
        if messages:
            self._work.run(
                _INSERT, queues=[message.queue for message, _ in messages], ids=[case for _, case in messages]
            )
            self.wake()

    def enqueue_again(self, messages: Sequence[tuple[type[WorkItems], bool, str, UUID]]) -> None:
        """Store the messages that are not in the outbox yet. Wake the relay after the commit.

        Each item of ``messages`` is (class of the message, bulk, seller id, item id).
        """
        if messages:
            self._work.run(
                _INSERT_IF_ABSENT,
                queues=[message.queue for message, _, _, _ in messages],
                bulks=[bulk for _, bulk, _, _ in messages],
                seller_ids=[seller for _, _, seller, _ in messages],
                ids=[id_ for _, _, _, id_ in messages],
            )
            self.wake()

    def wake(self) -> None:
        """Wake the relay after the commit of this transaction."""
        self._work.notifies = True

    def take(self, queue: str, *, room: int, after: str | None, bulk: bool) -> list[tuple[UUID, str]]:
        """Remove at most ``room`` items of a queue from the outbox. Return the id and the seller of each item.

        Sellers take turns. Take only items of sellers whose ids are greater than ``after``. If ``after`` is None, take items
        of all sellers. If ``bulk`` is True, take only items of bulk requests. If ``bulk`` is False, take only other items.
        """
        rows = self._work.run(_TAKE, queue=queue, room=room, after=after, bulk=bulk)
        return [(row.item_id, row.seller_id) for row in rows]

    def queues(self) -> set[str]:
        """Return the names of the queues that have messages in the outbox."""
        return {row.queue for row in self._work.run(_SELECT_QUEUES)}

    def backlog(self) -> dict[str, tuple[int, float]]:
        """Return, for each queue, the number of messages in the outbox, and the age of the oldest message in seconds."""
        waiting = {row.queue: (row.waiting, float(row.oldest)) for row in self._work.run(_SELECT_BACKLOG)}
        return {queue: waiting.get(queue, (0, 0.0)) for queue in WORK_QUEUES}

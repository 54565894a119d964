"""Store cases: lock, lease and release cases, count the deliveries of their messages, and find overdue cases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row

from domain.cases import Case
from domain.eligibility import CLOCK_DIFFERENCE
from domain.providers import RefundStatus
from domain.reason_codes import ReasonCode
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundScope, SubmittedRequest
from domain.states import State
from records.tables.cases import OPEN_STATE_NAMES, UNRESOLVED_STATUS_NAMES
from records.transaction import Transaction

_COLUMNS = """
c.id, c.state, c.seq, c.head_hash, c.fence, c.refund_scope, c.reason, c.received_at, c.channel, c.trusted, c.purchase_id,
c.seller_id, c.decided_seq
"""

_LOCK = f"""
select {_COLUMNS} from cases c
 where c.id = any(:ids) and c.state = :state and c.lease_until <= now() and c.not_before <= now()
 order by c.received_at, c.id for no key update skip locked
"""
"""The cases that are in ``state`` and have no lease, and whose time ``not_before`` has passed.

The query does not wait for a case that another transaction has locked: it skips the case.
"""

_LOCK_ONE = f"select {_COLUMNS} from cases c where c.id = :id for no key update"
"""One case in any state. If another transaction has locked the case, the query waits until that transaction ends."""

_LEASE = f"""
update cases c
   set fence = c.fence + 1, lease_until = now() + make_interval(secs => :seconds),
       next_action_at = case when c.next_action_at is not null
                             then greatest(c.not_before, now() + make_interval(secs => :seconds)) end
 where c.id in (select id from cases where id = any(:ids) and state = any(:states) and lease_until <= now()
                 and (not_before <= now() or :early) for no key update skip locked)
returning {_COLUMNS}
"""
"""Lease cases, and raise the fence of each case. From then on, the writes of workers with a previous lease are refused.

If a case has a due time, its new due time is ``not_before`` or the end of the lease, whichever is later. A case without a due
time gets none. With ``early``, a case can also be leased before ``not_before``: a worker does this for a webhook event about the
case. If the worker crashes, the webhook event is processed again.
"""

_RELEASE = """
update cases c
   set lease_until = 'epoch', deliveries = 0, not_before = coalesce(now() + make_interval(secs => i.seconds), c.not_before),
       next_action_at = case when c.next_action_at is not null
                             then coalesce(now() + make_interval(secs => i.seconds), c.not_before) end
  from unnest(cast(:ids as uuid[]), cast(:fences as int[]), cast(:seconds as float8[])) as i(id, fence, seconds)
 where c.id = i.id and c.fence = i.fence
"""

_SELECT_OVERDUE = """
with recursive seller as (
  (select coalesce(seller_id, '') as id from cases where next_action_at is not null order by 1 limit 1)
  union all
  select (select coalesce(c.seller_id, '') from cases c
           where c.next_action_at is not null and coalesce(c.seller_id, '') > s.id order by 1 limit 1)
    from seller s where s.id is not null
), waiting as (
  select id as seller_id, count(*) over () as sellers from seller
   where exists (select from cases c where c.next_action_at <= now() and coalesce(c.seller_id, '') = seller.id)
)
select o.id, o.state, o.bulk, w.seller_id
  from waiting w cross join lateral (
    select id, state, bulk, row_number() over (order by next_action_at) as turn
      from (select id, state, bulk, next_action_at from cases c
             where coalesce(c.seller_id, '') = w.seller_id and c.next_action_at <= now() and c.lease_until <= now()
             order by c.next_action_at limit :limit / w.sellers + 1 for no key update skip locked) overdue
  ) o
 order by o.turn, w.seller_id limit :limit
"""
"""Cases that have no lease, and whose due time ``next_action_at`` has passed.

The query first returns one case of each seller: the case that has been due for the longest time. Then it returns the next case
of each seller, and so on.
"""

_COUNT_DELIVERY = """
update cases set deliveries = deliveries + 1, delivered_at = now()
 where id in (select id from cases
               where id = any(:ids) and state = any(:states) and lease_until <= now() and not_before <= now()
                 and (deliveries = 0
                      or (:include_crashed and delivered_at <= now() - make_interval(secs => :apart)))
               order by id for no key update skip locked)
returning id, deliveries
"""
"""Before a worker processes cases, count one more delivery for each case.

If the last delivery of a case is recent, no delivery is counted, because an earlier worker may still be processing the case.
"""

_SELECT_CRASHED = """
select id, deliveries from cases
 where id = any(:ids) and state = any(:states) and lease_until <= now() and not_before <= now()
   and deliveries > 0 and delivered_at <= now() - make_interval(secs => :apart) order by deliveries, id
"""

_UNCOUNT_DELIVERY = """
update cases c set deliveries = c.deliveries - 1, next_action_at = now()
  from unnest(cast(:ids as uuid[]), cast(:counts as int[])) as i(id, count)
 where c.id = i.id and c.deliveries = i.count
   and c.id in (select id from cases where id = any(:ids) and state = any(:states) and lease_until <= now()
                 for no key update skip locked)
"""

_WITH_SUPPORT = """
  from cases c join purchase_payments p on p.purchase_id = c.purchase_id
  join support_tasks t on t.case_id = c.id and t.seq = c.seq
 where p.provider = :provider and p.charge = :charge and c.state = 'with_support'
   and jsonb_array_length(t.reasons) > 0 and not exists (
     select from jsonb_array_elements(t.reasons) r where r ->> 'code' <> :code)
"""
"""The cases that are about one payment, are in the state "with_support", and have ``code`` as their only reason."""

_LOCK_WITH_SUPPORT = f"select {_COLUMNS} {_WITH_SUPPORT} and c.lease_until <= now() for no key update of c"

_EXISTS_WITH_SUPPORT = f"select exists (select {_WITH_SUPPORT})"

_SETTLED_ANOTHER_CASE = """
exists (
  select from purchase_payments s join cases d on d.purchase_id = s.purchase_id join transitions t on t.case_id = d.id
   where s.provider = e.provider and s.charge = e.charge and d.id <> c.id and d.state = 'refunded'
     and t.event = 'externally_refunded' and t.evidence -> 'refunds' ? e.refund_id)
"""
"""True if the external refund ``e`` settled another case than ``c``."""

_IS_REFUNDED_IN_FULL = """
y.refunded + (
  select coalesce(sum(e.amount), 0) from external_refunds e
   where e.provider = b.provider and e.charge = b.charge and e.currency = b.currency and e.status = any(:statuses)
) >= (select sum(s.amount) from purchase_payments s where s.provider = b.provider and s.charge = b.charge)
"""
"""True if the payment ``y`` was refunded in full."""

_IS_REFUNDED_IN_PART = f"""
coalesce((
  select sum(e.amount) = b.amount
         and bool_and(e.currency = b.currency and e.status = any(:statuses) and e.recorded_at >= c.received_at)
    from external_refunds e
   where e.provider = b.provider and e.charge = b.charge and e.status <> 'failed' and not {_SETTLED_ANOTHER_CASE}
), false)
and not exists (
  select from refund_operations o
   where o.case_id = c.id and o.provider = b.provider and o.charge = b.charge and o.status = 'paid')
and not exists (
  select from purchase_payments s join purchases q on q.id = s.purchase_id left join cases d on d.purchase_id = q.id
   where s.provider = b.provider and s.charge = b.charge and q.id <> c.purchase_id
     and (q.reported_refunded > 0 or d.state in ({OPEN_STATE_NAMES}) and d.state <> 'refunded'))
"""
"""True if the external refunds of a payment of several purchases certainly refunded the part ``b`` of the purchase of ``c``.

This is certain if they are exactly the part, came after the request, and can be about no other purchase: no other case
about the payment is open, and the seller reports no refund of another purchase.
"""

_SELECT_SETTLED = f"""
select {_COLUMNS} from cases c
 where c.state = 'with_support' and c.lease_until <= now()
   and c.purchase_id in (
     select purchase_id from purchase_payments
       join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge) using (provider, charge))
   and not exists (select from refund_operations o
                    where o.case_id = c.id
                      and (o.status in ({UNRESOLVED_STATUS_NAMES}) or o.paid_amount > o.amount))
   and exists (
     select from purchase_payments b join external_refunds e using (provider, charge)
      where b.purchase_id = c.purchase_id and e.currency = b.currency and e.status = any(:statuses))
   and not exists (
     select from purchase_payments b join payments y using (provider, charge)
      where b.purchase_id = c.purchase_id
        and (b.duplicate or c.reason <> '{RefundReason.DUPLICATE_ORDER}' or not exists (
          select from purchase_payments d where d.purchase_id = c.purchase_id and d.duplicate))
        and not ({_IS_REFUNDED_IN_FULL} or {_IS_REFUNDED_IN_PART}))
   for no key update of c
"""
"""The cases that wait for support, and whose payments have been refunded, at least one of them by an external refund.

A case with a refund of unknown outcome, or with a refund that was too high, is not settled. A case of a customer who was
charged twice is about the duplicate payments only, if the seller reports which these are.
"""

_SELECT_SETTLEMENT_REFUNDS = f"""
select e.refund_id, e.amount, b.position, b.amount as part, {_SETTLED_ANOTHER_CASE} as settled_another
  from cases c join purchase_payments b using (purchase_id) join external_refunds e using (provider, charge)
 where c.id = :case_id and e.status = 'paid' and e.currency = b.currency
 order by e.recorded_at desc, e.refund_id
"""

_HAS_OTHER_OPEN = f"""
select exists (select from cases where purchase_id = :purchase_id and id <> :case_id and state in ({OPEN_STATE_NAMES}))
"""

_SELECT_SETTLED_BY = f"""
select {_COLUMNS} from cases c
 where c.state = 'refunded' and c.lease_until <= now() and c.purchase_id = any(:purchase_ids) and exists (
   select from transitions t where t.case_id = c.id and t.event = 'externally_refunded'
      and t.evidence -> 'refunds' ?| cast(:refund_ids as text[])
      and not exists (select from transitions n
                       where n.case_id = c.id and n.event = 'externally_refunded' and n.seq > t.seq))
   for no key update of c
"""
"""The cases whose newest settlement names one of the refunds. A refund of an earlier settlement does not count any more."""

_SELECT_UNMATCHED = f"""
select {_COLUMNS} from cases c
 where c.state = 'unmatched' and c.id in (
   select m.id from cases m join purchases p on p.email_key = m.email_key and p.reference_key = m.reference_key
    where m.state = 'unmatched' and p.id = any(:purchase_ids) and (m.seller_id is null or m.seller_id = p.seller_id)
      and m.received_at > now() - make_interval(days => :days))
 order by c.received_at for no key update of c skip locked
"""
"""The unmatched cases that one or several of these purchases match. A case is returned once."""

_SELECT_MISSED = f"""
select {_COLUMNS} from cases c
 where c.state = 'unmatched' and c.id in (
   select m.id from cases m join purchases p on p.email_key = m.email_key and p.reference_key = m.reference_key
    where m.state = 'unmatched' and m.received_at > now() - make_interval(days => :days)
      and (m.seller_id is null or m.seller_id = p.seller_id)
    limit :limit)
 order by c.received_at for no key update of c skip locked
"""
"""The unmatched cases that match a purchase. The evaluation and the report of the purchase ran at the same time."""

_FOR_OTHER_SELLERS = """
select distinct c.id, p.seller_id, c.channel
  from cases c join purchases p on p.email_key = c.email_key and p.reference_key = c.reference_key
 where c.for_any_seller and c.seller_id <> p.seller_id and c.received_at > now() - make_interval(days => :days)
   and p.purchased_at <= c.received_at + make_interval(secs => :clock_difference)
   and not exists (select from cases f where f.intake_source = 'fork:' || p.seller_id and f.intake_key = c.id::text)
"""
"""The cases of requests that named no seller, with another seller of a matching purchase, whose copy of the case is missing.

What the customer bought after the request does not count.
"""

_SELECT_FOR_OTHER_SELLERS = f"{_FOR_OTHER_SELLERS} and p.id = any(:purchase_ids)"

_SELECT_MISSED_BY_OTHER_SELLERS = f"{_FOR_OTHER_SELLERS} limit :limit"

_POSTPONE = """
update cases set next_action_at = now() + make_interval(secs => :seconds) where id = any(:ids)
"""


_CLOCK_DIFFERENCE = CLOCK_DIFFERENCE.total_seconds()


class Fork(NamedTuple):
    """A case of which another seller gets a copy."""

    case_id: UUID
    seller_id: str
    channel: Channel


class OverdueCase(NamedTuple):
    """A case whose due time has passed. ``seller_id`` is empty if the case has no seller."""

    id: UUID
    state: str
    bulk: bool
    seller_id: str


class Cases:
    """The table ``cases``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def lock(self, ids: Sequence[UUID], *, state: State) -> list[Case]:
        """Lock, until the commit, the cases that are in this state and have no lease.

        Skip the cases that another transaction has locked.
        """
        return [_case(row) for row in self._work.run(_LOCK, ids=list(ids), state=state)]

    def lock_one(self, case: UUID) -> Case | None:
        """Lock this case until the commit. If another transaction has locked the case, wait until that transaction ends."""
        row = self._work.run(_LOCK_ONE, id=case).one_or_none()
        return None if row is None else _case(row)

    def lease(self, ids: Sequence[UUID], *, states: Sequence[State], seconds: float, early: bool = False) -> list[Case]:
        """Lease, for ``seconds``, the cases that are in one of these states and have no lease.

        A case whose time ``not_before`` is in the future is leased only with ``early``. A worker sets ``early`` when
        it processes a webhook event about the case.
        """
        rows = self._work.run(_LEASE, ids=list(ids), states=_names(states), seconds=seconds, early=early)
        return [_case(row) for row in rows]

    def release(self, cases: Sequence[tuple[Case, float | None]]) -> None:
        """Release leased cases without a transition. ``cases`` contains pairs (case, seconds until the case is due).

        With None instead of seconds, the case is due as if it had not been leased.
        """
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
        """Count one more delivery of a message to a worker for each case. Return the number of deliveries by case id.

        After each transition, the number of deliveries of the case is 0 again. If a case already has a delivery, another
        delivery is counted only with ``include_crashed``, and only if the last delivery began at least ``apart`` seconds ago.
        """
        self._do_not_wait_for_disk()
        rows = self._work.run(
            _COUNT_DELIVERY, ids=list(ids), states=_names(states), include_crashed=include_crashed, apart=apart
        )
        return {row.id: row.deliveries for row in rows}

    def crashed_before(self, ids: Sequence[UUID], *, states: Sequence[State], apart: float) -> dict[UUID, int]:
        """Return the cases that may have crashed a worker. The keys are case ids, and the values are numbers of deliveries.

        The last delivery of each case began at least ``apart`` seconds ago, and led to no transition. The cases with the
        fewest deliveries come first.
        """
        rows = self._work.run(_SELECT_CRASHED, ids=list(ids), states=_names(states), apart=apart)
        return {row.id: row.deliveries for row in rows}

    def uncount_deliveries(self, counts: Mapping[UUID, int], *, states: Sequence[State]) -> None:
        """Subtract one delivery from cases that were not processed because another process, such as the sweep, had locked them.

        A case is changed only if it is still in one of these states, has no lease, and still has the number of deliveries
        in ``counts``. A changed case is due immediately.
        """
        self._do_not_wait_for_disk()
        self._work.run(_UNCOUNT_DELIVERY, ids=list(counts), counts=list(counts.values()), states=_names(states))

    def with_support_for(self, provider: str, charge: str, code: ReasonCode) -> list[Case]:
        """Lock and return the cases about this payment that have no lease and wait for support only for this reason."""
        return [_case(row) for row in self._work.run(_LOCK_WITH_SUPPORT, provider=provider, charge=charge, code=code)]

    def still_with_support_for(self, provider: str, charge: str, code: ReasonCode) -> bool:
        """Return whether a case about this payment waits for support only for this reason. The case may have a lease."""
        return bool(self._work.run(_EXISTS_WITH_SUPPORT, provider=provider, charge=charge, code=code).scalar_one())

    def settled(self, payments: Sequence[tuple[str, str]], *, include_pending: bool = False) -> list[Case]:
        """Lock and return the cases about these payments that wait for support although external refunds settle them.

        With ``include_pending``, also return the cases that will be settled when the pending external refunds are paid.
        """
        if not payments:
            return []
        providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
        statuses = _names([RefundStatus.PAID, RefundStatus.PENDING] if include_pending else [RefundStatus.PAID])
        rows = self._work.run(_SELECT_SETTLED, providers=providers, charges=charges, statuses=statuses)
        return [_case(row) for row in rows]

    def has_other_open(self, case: UUID, purchase: UUID) -> bool:
        """Return whether another case about this purchase is open."""
        return bool(self._work.run(_HAS_OTHER_OPEN, case_id=case, purchase_id=purchase).scalar_one())

    def settlement_refunds(self, case: UUID) -> list[str]:
        """Return the ids of the paid external refunds that settle this case, the newest refund first.

        They are refunds of all payments of the case's purchase. A refund that settled another case is left out, unless the other
        refunds of its payment do not cover the purchase's part of the payment.
        """
        rows = list(self._work.run(_SELECT_SETTLEMENT_REFUNDS, case_id=case))
        covered: Counter[int] = Counter()
        for row in rows:
            covered[row.position] += row.amount * (not row.settled_another)
        return [row.refund_id for row in rows if not row.settled_another or covered[row.position] < (row.part or 0)]

    def settled_by(self, refund_ids: Sequence[str], purchases: Sequence[UUID]) -> list[Case]:
        """Lock and return the cases about these purchases that were settled by one of these external refunds."""
        rows = self._work.run(_SELECT_SETTLED_BY, refund_ids=list(refund_ids), purchase_ids=list(purchases))
        return [_case(row) for row in rows]

    def unmatched(self, purchases: Sequence[UUID], *, days: int) -> list[Case]:
        """Lock and return the unmatched cases of the last ``days`` days with the reference and address of these purchases."""
        if not purchases:
            return []
        return [_case(row) for row in self._work.run(_SELECT_UNMATCHED, purchase_ids=list(purchases), days=days)]

    def missed(self, *, days: int, limit: int) -> list[Case]:
        """Lock and return at most ``limit`` unmatched cases of the last ``days`` days that match a purchase."""
        return [_case(row) for row in self._work.run(_SELECT_MISSED, days=days, limit=limit)]

    def for_other_sellers(self, purchases: Sequence[UUID], *, days: int) -> list[Fork]:
        """Return the cases of the last ``days`` days that named no seller, and that the sellers of these purchases lack."""
        if not purchases:
            return []
        rows = self._work.run(
            _SELECT_FOR_OTHER_SELLERS, purchase_ids=list(purchases), days=days, clock_difference=_CLOCK_DIFFERENCE
        )
        return [_fork(row) for row in rows]

    def missed_by_other_sellers(self, *, days: int, limit: int) -> list[Fork]:
        """Return at most ``limit`` cases of the last ``days`` days that named no seller, and that a seller lacks."""
        rows = self._work.run(
            _SELECT_MISSED_BY_OTHER_SELLERS, days=days, limit=limit, clock_difference=_CLOCK_DIFFERENCE
        )
        return [_fork(row) for row in rows]

    def overdue(self, limit: int) -> list[OverdueCase]:
        """Lock and return at most ``limit`` cases whose due time has passed, and which have no lease."""
        return [OverdueCase(*row) for row in self._work.run(_SELECT_OVERDUE, limit=limit)]

    def postpone(self, ids: Sequence[UUID], seconds: float) -> None:
        """Set the due time of these cases to ``seconds`` from now."""
        if ids:
            self._work.run(_POSTPONE, ids=list(ids), seconds=seconds)

    def _do_not_wait_for_disk(self) -> None:
        """At the commit, do not wait for the disk. If the power fails, the database may lose the new number of deliveries."""
        self._work.run("set local synchronous_commit = off")


def _fork(row: Row[*tuple[Any, ...]]) -> Fork:
    return Fork(row.id, row.seller_id, Channel(row.channel))


def _names(values: Sequence[State | RefundStatus]) -> list[str]:
    return [str(value) for value in values]


def _case(row: Row[*tuple[Any, ...]]) -> Case:
    request = SubmittedRequest(
        refund_scope=RefundScope(row.refund_scope),
        charged_twice=row.reason == RefundReason.DUPLICATE_ORDER,
        received_at=row.received_at,
        channel=Channel(row.channel),
        trusted=row.trusted,
    )
    return Case(
        id=row.id,
        state=State(row.state),
        seq=row.seq,
        head_hash=row.head_hash,
        fence=row.fence,
        request=request,
        purchase_id=row.purchase_id,
        seller_id=row.seller_id,
        decided_seq=row.decided_seq,
    )

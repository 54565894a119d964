"""Cases: locking them, claiming them, gathering what a decision needs, and reading them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from domain.cases import Case
from domain.policies import Policy, Seller
from domain.purchases import Purchase
from domain.requests import Asked, Channel, Wish
from domain.states import State
from records.purchases import PURCHASE_COLUMNS, purchase_of
from records.sellers import policy_of, seller_of
from records.tables import LIVE_STATES
from records.transaction import Transaction

_CASE = "c.id, c.state, c.seq, c.head, c.fence, c.wish, c.received_at, c.channel, c.trusted, c.purchase, c.seller"

_LOCK = f"""
select {_CASE} from cases c
 where c.id = any(:ids) and c.state = :here and c.lease_until <= now()
 order by c.received_at, c.id for no key update skip locked
"""
"""Cases that still stand here and that nobody holds. Those another worker is moving are left out, not waited for."""

_WAIT = f"select {_CASE} from cases c where c.id = :id for no key update"
"""One case, whatever its state, once whoever is moving it has finished."""

_LEASE = f"""
update cases c
   set fence = c.fence + 1, lease_until = now() + make_interval(secs => :lease),
       next_action_at = now() + make_interval(secs => :lease)
 where c.id in (select id from cases where id = any(:ids) and state = any(:heres) and lease_until <= now()
                for no key update skip locked)
returning {_CASE}
"""
"""Takes cases over: whoever held them before is fenced out from this commit on."""

_RELEASE = """
update cases c set lease_until = 'epoch', next_action_at = now() + make_interval(secs => i.seconds)
  from unnest(cast(:ids as uuid[]), cast(:fences as int[]), cast(:seconds as float8[])) as i(id, fence, seconds)
 where c.id = i.id and c.fence = i.fence
"""
"""Gives leased cases back without a step, to be looked at again after so many seconds."""

_MATCH = f"""
select i.case_id, {PURCHASE_COLUMNS}
  from unnest(cast(:ids as uuid[])) as i(case_id)
  join cases c on c.id = i.case_id
  join purchases p on p.reference_key = c.reference_key and p.email_key = c.email_key
                  and (c.seller is null or p.seller = c.seller)
 order by p.id for no key update of p
"""
"""The purchases these cases may be about, locked in one order, so that two workers judging one purchase take turns."""

_OWN = f"""
select c.id as case_id, {PURCHASE_COLUMNS} from cases c join purchases p on p.id = c.purchase
 where c.id = any(:ids) order by p.id for no key update of p
"""
"""The purchases these cases hold, locked."""

_FACTS = f"""
select p.id, s.*, y.version, y.in_force_from, y.category, y.days, y.methods, y.excepted_products, y.renewals_excepted,
       (select c.id from cases c where c.purchase = p.id and c.state in ({LIVE_STATES}) limit 1) as live_case,
       case when s.serial_count is null then '{{}}' else array(
         select coalesce(o.paid_at, now())
           from cases c join purchases q on q.id = c.purchase join operations o on o.case_id = c.id
          where q.seller = p.seller and (q.email_key = p.email_key or q.instrument = p.instrument)
            and c.state in ('refunding', 'refund_pending', 'refunded')
            and coalesce(o.paid_at, now()) > now() - make_interval(days => s.serial_days + 1)
       ) end as refunds
  from purchases p join sellers s on s.id = p.seller
  left join lateral (
    select * from policies y where y.seller = p.seller
       and y.in_force_from <= case when p.renewal then p.charged_at else p.purchased_at end
     order by y.in_force_from desc, y.version desc limit 1
  ) y on true
 where p.id = any(:purchases)
"""
"""What a decision needs beside the purchase: the seller today, the policy then, a live case, earlier refunds."""

_OVERDUE = """
select c.id, c.state, c.channel, c.bulk, coalesce(c.seller, '') as seller from cases c
 where c.next_action_at <= now() and c.lease_until <= now()
 order by c.next_action_at limit :limit for no key update skip locked
"""
"""Cases whose patience ran out and that nobody holds."""

_PUT_OFF = """
update cases set next_action_at = now() + make_interval(secs => :seconds) where id = any(:ids)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision about one purchase needs."""

    purchase: Purchase
    seller: Seller
    policy: Policy | None
    live_case: UUID | None
    refunds: tuple[datetime, ...]


class Cases:
    """The cases table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def lock(self, ids: Sequence[UUID], *, here: State) -> list[Case]:
        """Those of these cases that still stand here and that nobody holds, locked until the commit."""
        return [_case(row) for row in self._work.run(_LOCK, ids=list(ids), here=here)]

    def wait(self, case: UUID) -> Case | None:
        """This case, locked until the commit; waits for whoever is moving it."""
        row = self._work.run(_WAIT, id=case).one_or_none()
        return None if row is None else _case(row)

    def lease(self, ids: Sequence[UUID], *, here: Sequence[State], seconds: float) -> list[Case]:
        """Takes those of these cases over that stand here and that nobody holds; they are ours for so long."""
        heres = [str(state) for state in here]
        return [_case(row) for row in self._work.run(_LEASE, ids=list(ids), heres=heres, lease=seconds)]

    def release(self, cases: Sequence[tuple[Case, float]]) -> None:
        """Gives leased cases back unmoved, each to be looked at again after so many seconds."""
        if cases:
            self._work.run(
                _RELEASE,
                ids=[case.id for case, _ in cases],
                fences=[case.fence for case, _ in cases],
                seconds=[seconds for _, seconds in cases],
            )

    def matches(self, ids: Sequence[UUID]) -> dict[UUID, list[Purchase]]:
        """For each case the purchases with its reference and address, locked."""
        found: dict[UUID, list[Purchase]] = {}
        for row in self._work.run(_MATCH, ids=list(ids)):
            found.setdefault(row.case_id, []).append(purchase_of(row[1:]))
        return found

    def purchases(self, ids: Sequence[UUID]) -> dict[UUID, Purchase]:
        """For each case the purchase it holds, locked."""
        return {row.case_id: purchase_of(row[1:]) for row in self._work.run(_OWN, ids=list(ids))}

    def facts(self, purchases: Sequence[Purchase]) -> dict[UUID, Facts]:
        """What a decision about each of these purchases needs, by the purchase's id. Lock the purchases first."""
        known = {purchase.id: purchase for purchase in purchases}
        rows = self._work.run(_FACTS, purchases=list(known))
        return {
            row[0]: Facts(
                purchase=known[row[0]],
                seller=seller_of(row[1:10]),
                policy=policy_of(row[1], row[10:17]),
                live_case=row.live_case,
                refunds=tuple(row.refunds),
            )
            for row in rows
        }

    def overdue(self, limit: int) -> list[Any]:
        """Cases whose patience ran out (``id``, ``state``, ``bulk``, ``seller``), locked."""
        return list(self._work.run(_OVERDUE, limit=limit))

    def put_off(self, ids: Sequence[UUID], seconds: float) -> None:
        """Looks at these cases again after so many seconds."""
        if ids:
            self._work.run(_PUT_OFF, ids=list(ids), seconds=seconds)


def _case(row: Row[*tuple[Any, ...]]) -> Case:
    asked = Asked(wish=Wish(row.wish), at=row.received_at, channel=Channel(row.channel), trusted=row.trusted)
    return Case(
        id=row.id,
        state=State(row.state),
        seq=row.seq,
        head=row.head,
        fence=row.fence,
        asked=asked,
        purchase=row.purchase,
        seller=row.seller,
    )

"""Facts: what a decision about a case needs beside the case, gathered before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.policies import Policy, Seller
from domain.purchases import Purchase
from records.purchases import PURCHASE_COLUMNS, purchase_of
from records.sellers import policy_of, seller_of
from records.tables.cases import OPEN_STATE_NAMES, OPEN_STATUSES
from records.transaction import Transaction

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
       (select c.id from cases c where c.purchase = p.id and c.state in ({OPEN_STATE_NAMES}) limit 1) as live_case,
       case when s.serial_count is null then '{{}}' else array(
         select coalesce(o.paid_at, now())
           from cases c join purchases q on q.id = c.purchase join refund_operations o on o.case_id = c.id
          where q.seller = p.seller and (q.email_key = p.email_key or q.instrument = p.instrument)
            and c.state in ('refunding', 'refund_pending', 'refunded') and o.status in ({OPEN_STATUSES})
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInput:
    """What a decision about one purchase needs."""

    purchase: Purchase
    seller: Seller
    policy: Policy | None
    open_case: UUID | None
    refunds: tuple[datetime, ...]


class DecisionInputs:
    """What is known of purchases."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def matches(self, ids: Sequence[UUID]) -> dict[UUID, list[Purchase]]:
        """For each case the purchases with its reference and address, locked."""
        found: dict[UUID, list[Purchase]] = {}
        for row in self._work.run(_MATCH, ids=list(ids)):
            found.setdefault(row.case_id, []).append(purchase_of(row[1:]))
        return found

    def purchases(self, ids: Sequence[UUID]) -> dict[UUID, Purchase]:
        """For each case the purchase it holds, locked."""
        return {row.case_id: purchase_of(row[1:]) for row in self._work.run(_OWN, ids=list(ids))}

    def load(self, purchases: Sequence[Purchase]) -> dict[UUID, DecisionInput]:
        """What a decision about each of these purchases needs, by the purchase's id. Lock the purchases first."""
        known = {purchase.id: purchase for purchase in purchases}
        rows = self._work.run(_FACTS, purchases=list(known))
        return {
            row[0]: DecisionInput(
                purchase=known[row[0]],
                seller=seller_of(row[1:10]),
                policy=policy_of(row[1], row[10:17]),
                open_case=row.live_case,
                refunds=tuple(row.refunds),
            )
            for row in rows
        }

"""Load the facts for the decision about a case: purchases, sellers, policies, open cases and earlier refunds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.eligibility import OpenCase
from domain.policies import Policy, Seller
from domain.purchases import Purchase, literal_reference
from domain.refund_reasons import RefundReason
from domain.states import State
from records.purchases import PURCHASE_COLUMNS, purchase_of
from records.sellers import POLICY_COLUMNS, POLICY_WIDTH, SELLER_COLUMNS, SELLER_WIDTH, policy_of, seller_of
from records.tables.cases import OPEN_STATE_NAMES, OPEN_STATUS_NAMES
from records.transaction import Transaction

_SELECT_MATCHES = f"""
select i.case_id, c.reference as case_reference, {PURCHASE_COLUMNS}
  from unnest(cast(:case_ids as uuid[])) as i(case_id)
  join cases c on c.id = i.case_id
  join lateral (
    select q.id from purchases q where q.id = c.purchase_id
    union all
    select q.id from purchases q
     where c.purchase_id is null and q.reference_key = c.reference_key and q.email_key = c.email_key
       and (c.seller_id is null or q.seller_id = c.seller_id)
    union all
    select q.id from purchases q
     where c.purchase_id is null and q.reference_key = c.reference_key and q.email_key like 'forgotten:%'
       and q.email_key = key_of_forgotten(q.id, c.email_key) and (c.seller_id is null or q.seller_id = c.seller_id)
  ) m on true
  join purchases p on p.id = m.id
 order by p.id for no key update of p
"""
"""The purchases that cases may be about. A case that is evaluated again stays with its purchase, as support has chosen it.

A purchase whose personal data was removed is found by a hash of the address, so that a second request joins the first case.

All workers lock purchases in the same order, so that workers never deadlock.
"""

_SELECT_PURCHASES = f"""
select c.id as case_id, {PURCHASE_COLUMNS} from cases c join purchases p on p.id = c.purchase_id
 where c.id = any(:case_ids) order by p.id for no key update of p
"""

_SELECT_INPUTS = f"""
select p.id, {SELLER_COLUMNS}, {POLICY_COLUMNS},
       (select jsonb_build_array(c.id, c.state, c.reason) from cases c
         where c.purchase_id = p.id and c.state in ({OPEN_STATE_NAMES}) limit 1) as open_case,
       array(select jsonb_build_array(c.id, c.state, c.reason) from cases c
              where c.state = 'with_support' and c.purchase_id is null and c.email_key = p.email_key
                and c.reference_key = p.reference_key and c.seller_id = p.seller_id and exists (
                  select from transitions t where t.case_id = c.id and t.seq = c.seq and t.event = 'found_not_eligible')
              order by c.received_at) as further_cases,
       case when s.serial_count is null then '{{}}' else array(
         select coalesce(o.paid_at, now())
           from (select q.id from purchases q where q.seller_id = p.seller_id and q.email_key = p.email_key
                 union
                 select q.id from purchase_payments a join purchase_payments b using (instrument)
                   join purchases q on q.id = b.purchase_id
                  where a.purchase_id = p.id and q.seller_id = p.seller_id) q
           join cases c on c.purchase_id = q.id join refund_operations o on o.case_id = c.id
          where c.state in ('refunding', 'refund_pending', 'refunded') and o.status in ({OPEN_STATUS_NAMES})
            and coalesce(o.paid_at, now()) > now() - make_interval(days => s.serial_days + 1)
       ) end as refunds,
       (select min(f.in_force_from) from policies f where f.seller_id = p.seller_id) as first_policy_at
  from purchases p join sellers s on s.id = p.seller_id
  left join lateral (
    select * from policies y where y.seller_id = p.seller_id
       and y.in_force_from <= case
             when p.renewal then (select min(b.charged_at) from purchase_payments b where b.purchase_id = p.id)
             else p.purchased_at end
     order by y.in_force_from desc, y.version desc limit 1
  ) y on true
 where p.id = any(:purchase_ids)
"""
"""The seller as it is now, the policy, the open case, the further cases, and the customer's earlier refunds.

A further case has no purchase, because the purchase has an open case about other payments.

The policy is the version that was in force at the time of the purchase. For a renewal, it is the version that was in force
at the time of the charge.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInput:
    """The facts for the decision about one purchase."""

    purchase: Purchase
    seller: Seller
    policy: Policy | None
    first_policy_at: datetime | None
    open_case: OpenCase | None
    further_cases: tuple[OpenCase, ...]
    refunds: tuple[datetime, ...]


class DecisionInputs:
    """The tables that a decision reads."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def matches(self, cases: Sequence[UUID]) -> dict[UUID, list[Purchase]]:
        """Lock and return, for each case, the purchases with the case's reference and e-mail address.

        If the reference of one of them is literally the case's reference, the others of the same seller are left out.
        """
        purchases: dict[tuple[UUID, str], list[Purchase]] = {}
        literal: dict[tuple[UUID, str], list[Purchase]] = {}
        for row in self._work.run(_SELECT_MATCHES, case_ids=list(cases)):
            purchase = purchase_of(row[2:])
            key = row.case_id, purchase.seller_id
            purchases.setdefault(key, []).append(purchase)
            if literal_reference(purchase.reference) == literal_reference(row.case_reference):
                literal.setdefault(key, []).append(purchase)
        matches: dict[UUID, list[Purchase]] = {}
        for (case_id, _), of_seller in (purchases | literal).items():
            matches.setdefault(case_id, []).extend(of_seller)
        return matches

    def purchases(self, cases: Sequence[UUID]) -> dict[UUID, Purchase]:
        """Lock and return the purchase of each case that has a purchase."""
        rows = self._work.run(_SELECT_PURCHASES, case_ids=list(cases))
        return {row.case_id: purchase_of(row[1:]) for row in rows}

    def load(self, purchases: Sequence[Purchase]) -> dict[UUID, DecisionInput]:
        """Return a mapping from each purchase id to the facts for the decision. The caller must have locked the purchases."""
        by_id = {purchase.id: purchase for purchase in purchases}
        rows = self._work.run(_SELECT_INPUTS, purchase_ids=list(by_id)) if by_id else ()
        return {
            row[0]: DecisionInput(
                purchase=by_id[row[0]],
                seller=seller_of(row[1 : 1 + SELLER_WIDTH]),
                policy=policy_of(row[1], row[1 + SELLER_WIDTH : 1 + SELLER_WIDTH + POLICY_WIDTH]),
                first_policy_at=row.first_policy_at,
                open_case=_open_case(*row.open_case) if row.open_case else None,
                further_cases=tuple(_open_case(*case) for case in row.further_cases),
                refunds=tuple(row.refunds),
            )
            for row in rows
        }


def _open_case(case_id: str, state: str, reason: str) -> OpenCase:
    return OpenCase(UUID(case_id), State(state), charged_twice=reason == RefundReason.DUPLICATE_ORDER)

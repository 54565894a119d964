"""Read what else a customer bought and requested, for the person of support who decides a case of the customer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain import case_numbers
from domain.states import State
from records.transaction import Transaction

MAX_ROWS = 20
"""How many purchases, and how many cases, are read. A customer rarely has more, and the newest matter most."""

_SELECT = """
(select 'purchase' as kind, p.id, null as number, p.seller_id, p.product, p.reference, null as state, p.purchased_at as at,
        b.amount, b.currency, b.refunded, b.disputes
   from purchases p
  cross join lateral (
    select sum(a.amount)::bigint as amount, case when count(distinct a.currency) = 1 then min(a.currency) end as currency,
           coalesce(sum(y.refunded + y.refunded_elsewhere), 0)::bigint as refunded,
           coalesce(array_agg(distinct y.dispute) filter (where y.dispute <> 'none'), '{}') as disputes
      from purchase_payments a join payments y using (provider, charge) where a.purchase_id = p.id) b
  where p.email_key = any(:email_keys) and p.id is distinct from cast(:purchase_id as uuid)
    and (cast(:sellers as text[]) is null or p.seller_id = any(:sellers))
  order by p.purchased_at desc, p.id limit :limit)
union all
(select 'case', c.id, c.number, c.seller_id, coalesce(p.product, ''), c.reference, c.state, c.received_at, null, null, null, null
   from cases c left join purchases p on p.id = c.purchase_id
  where c.email_key = any(:email_keys) and c.id <> :case_id
    and (cast(:sellers as text[]) is null or c.seller_id = any(:sellers))
  order by c.received_at desc, c.id limit :limit)
"""


@dataclass(frozen=True, slots=True)
class OtherPurchase:
    """Another purchase of a customer."""

    id: UUID
    seller: str
    product: str
    reference: str
    purchased_at: datetime
    amount: int | None
    currency: str | None
    """None if the payments have several currencies."""
    refunded: int
    """The sum of the refunds of its payments, in minor units."""
    disputes: Sequence[str]


@dataclass(frozen=True, slots=True)
class OtherCase:
    """Another case of a customer."""

    id: UUID
    number: str
    seller: str | None
    product: str
    reference: str
    state: State
    received_at: datetime


@dataclass(frozen=True, slots=True)
class CustomerOverview:
    """The other purchases and cases of a customer, the newest first."""

    purchases: tuple[OtherPurchase, ...]
    cases: tuple[OtherCase, ...]


class CustomerOverviews:
    """Reads purchases and cases by e-mail address."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def find_other(
        self, case: UUID, purchase: UUID | None, *, email_keys: Collection[str], sellers: Collection[str] | None
    ) -> CustomerOverview:
        """Return the other purchases and cases of the customer with these e-mail keys, but only those of these sellers.

        None means every seller, and the cases without a seller.
        """
        rows = self._work.run(
            _SELECT,
            case_id=case,
            purchase_id=purchase,
            email_keys=sorted(email_keys),
            sellers=None if sellers is None else sorted(sellers),
            limit=MAX_ROWS,
        ).all()
        return CustomerOverview(
            tuple(_purchase(row) for row in rows if row.kind == "purchase"),
            tuple(_case(row) for row in rows if row.kind == "case"),
        )


def _purchase(row: Any) -> OtherPurchase:  # noqa: ANN401  # a row of _SELECT
    return OtherPurchase(
        row.id, row.seller_id, row.product, row.reference, row.at, row.amount, row.currency, row.refunded, row.disputes
    )


def _case(row: Any) -> OtherCase:  # noqa: ANN401  # a row of _SELECT
    number = case_numbers.encode(row.number)
    return OtherCase(row.id, number, row.seller_id, row.product, row.reference, State(row.state), row.at)

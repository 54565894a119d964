"""Store the private details of purchases.

A customer sees the details only with a link. Moneyback sends the link by e-mail to the e-mail address of the purchase.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.purchase_details import PurchaseDetails
from domain.purchases import literal_reference
from records.transaction import Transaction

_NAMES = [field.name for field in fields(PurchaseDetails)]

_UPSERT = f"""
insert into purchase_details (purchase_id, {", ".join(_NAMES)})
select p.id, {", ".join(f"i.{name}" for name in _NAMES)}
  from unnest(cast(:seller_ids as text[]), cast(:literal_references as text[]), cast(:licence_key as text[]),
              cast(:activation_code as text[]), cast(:download_url as text[]), cast(:invoice_number as text[]),
              cast(:invoice_url as text[]), cast(:technical_support as text[]), cast(:subscription as bool[]))
    as i(seller_id, literal_reference, {", ".join(_NAMES)})
  join purchases p on p.seller_id = i.seller_id and p.literal_reference = i.literal_reference and p.forgotten_at is null
on conflict (purchase_id) do update set {", ".join(f"{name} = excluded.{name}" for name in _NAMES)}
"""

_IS_RETURNED = """
  select sum(b.amount) > 0 and (
           p.reported_refunded >= sum(b.amount)
           or exists (select from cases c where c.purchase_id = p.id and c.state = 'refunded'
                         and (c.reason <> 'duplicate_order' or not bool_or(b.duplicate)))
           or bool_and(y.refunded + y.refunded_elsewhere >= (
                select sum(s.amount) from purchase_payments s where s.provider = b.provider and s.charge = b.charge)))
    from purchase_payments b join payments y using (provider, charge) where b.purchase_id = p.id
"""
"""True if the whole purchase was refunded. A refund of a payment that paid several purchases counts only if it refunds all.

A customer who was charged twice and got one payment back has paid once, and keeps the product.
"""

DETAILED_PURCHASE_COLUMNS = f"""
p.id, p.reference, p.email, p.product, p.purchased_at, ({_IS_RETURNED}) as returned,
s.id as seller_id, s.name as seller_name, s.time_zone, s.support_email, f.website,
coalesce(d.technical_support, f.technical_support) as support_contact,
{", ".join(f"d.{name}" for name in _NAMES)}
"""
"""The columns that purchase_with_details() reads."""

DETAILED_PURCHASE_JOINS = """
  join sellers s on s.id = p.seller_id
  left join storefronts f on f.seller_id = p.seller_id
  left join purchase_details d on d.purchase_id = p.id
"""
"""The SQL joins from purchases ``p`` to the other tables in DETAILED_PURCHASE_COLUMNS."""

_SELECT_BY_ID = f"""
select {DETAILED_PURCHASE_COLUMNS} from purchases p {DETAILED_PURCHASE_JOINS}
 where p.id = any(:ids) order by p.purchased_at desc, p.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseWithDetails:
    """A purchase as its customer sees it."""

    id: UUID
    reference: str
    email: str
    product: str
    purchased_at: datetime
    returned: bool
    """True if the whole amount was refunded. The refund ends the right to use the product."""
    seller: str
    seller_name: str
    time_zone: ZoneInfo
    support_email: str
    website: str | None
    whom_to_ask: str | None
    """The contact for technical support: the contact of the purchase, or else the contact of the seller."""
    details: PurchaseDetails


def purchase_with_details(row: Any) -> PurchaseWithDetails:  # noqa: ANN401  # a row of DETAILED_PURCHASE_COLUMNS
    """Return the purchase of a row."""
    details = {name: getattr(row, name) for name in _NAMES}
    details["subscription"] = bool(details["subscription"])
    return PurchaseWithDetails(
        id=row.id,
        reference=row.reference,
        email=row.email,
        product=row.product,
        purchased_at=row.purchased_at,
        returned=bool(row.returned),
        seller=row.seller_id,
        seller_name=row.seller_name,
        time_zone=ZoneInfo(row.time_zone),
        support_email=row.support_email,
        website=row.website,
        whom_to_ask=row.support_contact,
        details=PurchaseDetails(**details),
    )


class DetailedPurchases:
    """The table ``purchase_details``, read together with purchases, sellers and storefronts."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def put(self, details: Sequence[tuple[str, str, PurchaseDetails]]) -> None:
        """Store these details, each as (seller, reference, details). Earlier details of the same purchase are replaced.

        Details of an unknown purchase are ignored, and of a purchase whose personal data was removed. If ``details`` contains a
        purchase twice, the later details are stored.
        """
        latest = {(seller, literal_reference(reference)): values for seller, reference, values in details}
        if latest:
            columns = zip(_NAMES, zip(*map(astuple, latest.values()), strict=True), strict=True)
            self._work.run(
                _UPSERT,
                seller_ids=[seller for seller, _ in latest],
                literal_references=[literal for _, literal in latest],
                **{name: list(values) for name, values in columns},
            )

    def get_many(self, purchases: Sequence[UUID]) -> list[PurchaseWithDetails]:
        """Return these purchases, the newest first."""
        return [purchase_with_details(row) for row in self._work.run(_SELECT_BY_ID, ids=list(purchases))]

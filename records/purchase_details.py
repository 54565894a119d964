"""What is private about purchases, and who helps with them: what a customer who proved to own the address may see."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.purchase_details import PurchaseDetails
from domain.purchases import reference_key
from records.transaction import Transaction

_NAMES = [field.name for field in fields(PurchaseDetails)]

_PUT = f"""
insert into purchase_details (purchase, {", ".join(_NAMES)})
select p.id, {", ".join(f"i.{name}" for name in _NAMES)}
  from unnest(cast(:sellers as text[]), cast(:reference_keys as text[]), cast(:licence_key as text[]),
              cast(:activation_code as text[]), cast(:download_url as text[]), cast(:invoice_number as text[]),
              cast(:invoice_url as text[]), cast(:technical_support as text[]), cast(:subscription as bool[]))
    as i(seller, reference_key, {", ".join(_NAMES)})
  join purchases p on p.seller = i.seller and p.reference_key = i.reference_key
on conflict (purchase) do update set {", ".join(f"{name} = excluded.{name}" for name in _NAMES)}
"""

BOUGHT = f"""
p.id, p.reference, p.email, p.product, p.purchased_at, p.amount > 0 and p.refunded >= p.amount as returned,
s.id as seller, s.name as seller_name, s.time_zone, s.support_email, f.website,
coalesce(d.technical_support, f.technical_support) as whom_to_ask,
{", ".join(f"d.{name}" for name in _NAMES)}
"""
"""The columns that bought_of() reads."""

AROUND = """
  join sellers s on s.id = p.seller
  left join storefronts f on f.seller = p.seller
  left join purchase_details d on d.purchase = p.id
"""
"""What stands around a purchase ``p``."""

_THESE = f"select {BOUGHT} from purchases p {AROUND} where p.id = any(:ids) order by p.purchased_at desc, p.id"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseWithDetails:
    """A purchase as its customer sees it."""

    id: UUID
    reference: str
    email: str
    product: str
    purchased_at: datetime
    returned: bool
    """The whole amount went back, and the right to use the product with it."""
    seller: str
    seller_name: str
    time_zone: ZoneInfo
    support_email: str
    website: str | None
    whom_to_ask: str | None
    """Technical support of this product; of this seller's products, where the purchase has none of its own."""
    details: PurchaseDetails


def purchase_with_details(row: Any) -> PurchaseWithDetails:  # noqa: ANN401  # a row with the columns of BOUGHT
    """The purchase in a row."""
    private = {name: getattr(row, name) for name in _NAMES}
    private["subscription"] = bool(private["subscription"])
    return PurchaseWithDetails(
        id=row.id,
        reference=row.reference,
        email=row.email,
        product=row.product,
        purchased_at=row.purchased_at,
        returned=bool(row.returned),
        seller=row.seller,
        seller_name=row.seller_name,
        time_zone=ZoneInfo(row.time_zone),
        support_email=row.support_email,
        website=row.website,
        whom_to_ask=row.whom_to_ask,
        details=PurchaseDetails(**private),
    )


class PurchaseDetailsTable:
    """The purchase_details table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def put(self, told: Sequence[tuple[str, str, PurchaseDetails]]) -> None:
        """Remembers what is private about purchases that are known: (seller, reference, details).

        What was remembered of such a purchase before is forgotten. Of two about the same one in a call the later counts.
        """
        last = {(seller, reference_key(reference)): details for seller, reference, details in told}
        if last:
            columns = zip(_NAMES, zip(*map(astuple, last.values()), strict=True), strict=True)
            self._work.run(
                _PUT,
                sellers=[seller for seller, _ in last],
                reference_keys=[key for _, key in last],
                **{name: list(values) for name, values in columns},
            )

    def get_many(self, purchases: Sequence[UUID]) -> list[PurchaseWithDetails]:
        """These purchases, the newest first."""
        return [purchase_with_details(row) for row in self._work.run(_THESE, ids=list(purchases))]

"""Store purchases as the sellers report them, with the disputes that the providers report."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.purchases import Dispute, Purchase, email_key, reference_key
from records.transaction import Transaction

_NAMES = (
    "id seller_id reference email product amount currency refunded method provider charge instrument purchased_at "
    "charged_at renewal consumer dispute"
).split()

PURCHASE_COLUMNS = (
    ", ".join(f"p.{name}" for name in _NAMES[:-1]) + ", coalesce(p.provider_dispute, p.dispute) as dispute"
)
"""The columns that purchase_of() reads, in this order. A dispute status from the provider replaces the seller's status."""

_UPSERT = f"""
insert into purchases as p ({", ".join(_NAMES)}, reference_key, email_key)
select * from unnest(
  cast(:id as uuid[]), cast(:seller_id as text[]), cast(:reference as text[]), cast(:email as text[]),
  cast(:product as text[]), cast(:amount as bigint[]), cast(:currency as text[]), cast(:refunded as bigint[]),
  cast(:method as text[]), cast(:provider as text[]), cast(:charge as text[]), cast(:instrument as text[]),
  cast(:purchased_at as timestamptz[]), cast(:charged_at as timestamptz[]), cast(:renewal as bool[]),
  cast(:consumer as bool[]), cast(:dispute as text[]), cast(:reference_key as text[]), cast(:email_key as text[]))
on conflict (seller_id, reference_key) do update set
  reference = excluded.reference, email = excluded.email, email_key = excluded.email_key, product = excluded.product,
  amount = excluded.amount, currency = excluded.currency, refunded = greatest(p.refunded, excluded.refunded),
  method = excluded.method, provider = excluded.provider, charge = excluded.charge, instrument = excluded.instrument,
  purchased_at = excluded.purchased_at, charged_at = excluded.charged_at, renewal = excluded.renewal,
  consumer = excluded.consumer, dispute = excluded.dispute
returning (xmax = 0) as created
"""
"""Insert or update purchases. ``refunded`` never decreases, because the seller's data may be older than the stored data."""

_SELECT_BY_PAYMENT = f"""
select {PURCHASE_COLUMNS} from purchases p
  join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
    on p.provider = i.provider and p.charge = i.charge
"""

_SELECT_BY_ID = f"select {PURCHASE_COLUMNS} from purchases p where p.id = :id"

_RAISE_REFUNDED = "update purchases set refunded = greatest(refunded, :minor) where id = :id"

_LOCK_PAYMENTS = """
select id from purchases
 where (provider, charge) in (select * from unnest(cast(:providers as text[]), cast(:charges as text[])))
 order by id for no key update
"""

_SELECT_OPEN_DISPUTES = """
select distinct charge from purchases
 where provider = :provider and provider_dispute = 'open' and charge > :after order by charge limit :limit
"""

_SET_DISPUTE = "update purchases set provider_dispute = :dispute where provider = :provider and charge = :charge"


def purchase_of(values: Sequence[Any]) -> Purchase:
    """Return a purchase from the values of PURCHASE_COLUMNS."""
    by_name = dict(zip(_NAMES, values, strict=True))
    by_name["dispute"] = Dispute(by_name["dispute"])
    return Purchase(**by_name)


class Purchases:
    """The table ``purchases``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def upsert(self, purchases: Sequence[Purchase]) -> int:
        """Insert or update these purchases by seller and reference. Return the number of new purchases.

        If ``purchases`` contains a seller's reference twice, the later purchase is stored.
        """
        latest = {(purchase.seller_id, reference_key(purchase.reference)): purchase for purchase in purchases}
        columns: dict[str, list[Any]] = {
            name: [getattr(purchase, name) for purchase in latest.values()] for name in _NAMES
        }
        columns["reference_key"] = [key for _, key in latest]
        columns["email_key"] = [email_key(purchase.email) for purchase in latest.values()]
        return sum(row.created for row in self._work.run(_UPSERT, **columns))

    def paid_by(self, payments: Sequence[tuple[str, str]]) -> list[Purchase]:
        """Return the purchases that were paid with one of these payments. A payment is a pair of provider and charge."""
        return [purchase_of(row) for row in self._work.run(_SELECT_BY_PAYMENT, **_columns(payments))]

    def add_refunded(self, purchase: UUID, minor: int) -> None:
        """Store that at least ``minor`` minor units of this purchase were refunded, by Moneyback or outside Moneyback."""
        self._work.run(_RAISE_REFUNDED, id=purchase, minor=minor)

    def lock_payments(self, payments: Sequence[tuple[str, str]]) -> None:
        """Lock the purchases of these payments until the commit. A payment is a pair of provider and charge.

        Another worker that locks one of these purchases waits for the commit.
        """
        if payments:
            self._work.run(_LOCK_PAYMENTS, **_columns(payments))

    def open_disputes(self, provider: str, *, after: str, limit: int) -> list[str]:
        """Return at most ``limit`` charges that have an open dispute at this provider.

        Return the charges in ascending order. Begin with the first charge after ``after``.
        """
        return [
            row.charge for row in self._work.run(_SELECT_OPEN_DISPUTES, provider=provider, after=after, limit=limit)
        ]

    def set_dispute(self, provider: str, charge: str, dispute: Dispute) -> None:
        """Store the dispute status that the provider reports for this payment."""
        self._work.run(_SET_DISPUTE, provider=provider, charge=charge, dispute=dispute)

    def get(self, purchase: UUID) -> Purchase | None:
        """Return the purchase with this id, or None if there is no such purchase."""
        row = self._work.run(_SELECT_BY_ID, id=purchase).one_or_none()
        return None if row is None else purchase_of(row)


def _columns(payments: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    return {"providers": [provider for provider, _ in payments], "charges": [charge for _, charge in payments]}

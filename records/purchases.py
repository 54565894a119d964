"""Purchases as the sellers told us."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.purchases import Dispute, Purchase, email_key, reference_key
from records.transaction import Transaction

_NAMES = (
    "id seller reference email product amount currency refunded method provider charge instrument purchased_at "
    "charged_at renewal consumer dispute"
).split()

PURCHASE_COLUMNS = ", ".join(f"p.{name}" for name in _NAMES[:-1]) + ", coalesce(p.disputed, p.dispute) as dispute"
"""The columns that purchase_of() reads, in its order. What the provider said of a dispute counts more than the seller's word."""

_PUT = f"""
insert into purchases as p ({", ".join(_NAMES)}, reference_key, email_key)
select * from unnest(
  cast(:id as uuid[]), cast(:seller as text[]), cast(:reference as text[]), cast(:email as text[]),
  cast(:product as text[]), cast(:amount as bigint[]), cast(:currency as text[]), cast(:refunded as bigint[]),
  cast(:method as text[]), cast(:provider as text[]), cast(:charge as text[]), cast(:instrument as text[]),
  cast(:purchased_at as timestamptz[]), cast(:charged_at as timestamptz[]), cast(:renewal as bool[]),
  cast(:consumer as bool[]), cast(:dispute as text[]), cast(:reference_key as text[]), cast(:email_key as text[]))
on conflict (seller, reference_key) do update set
  reference = excluded.reference, email = excluded.email, email_key = excluded.email_key, product = excluded.product,
  amount = excluded.amount, currency = excluded.currency, refunded = greatest(p.refunded, excluded.refunded),
  method = excluded.method, provider = excluded.provider, charge = excluded.charge, instrument = excluded.instrument,
  purchased_at = excluded.purchased_at, charged_at = excluded.charged_at, renewal = excluded.renewal,
  consumer = excluded.consumer, dispute = excluded.dispute
returning (xmax = 0) as fresh
"""
"""Remembers purchases, or what became of them. A seller's file may be older than we are: what was refunded never shrinks."""

_PAID_BY = f"""
select {PURCHASE_COLUMNS} from purchases p
  join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
    on p.provider = i.provider and p.charge = i.charge
"""

_TOUCHED = "update purchases set refunded = greatest(refunded, :minor) where id = :id"

_HOLD = """
select id from purchases
 where (provider, charge) in (select * from unnest(cast(:providers as text[]), cast(:charges as text[])))
 order by id for no key update
"""

_OPEN_DISPUTES = """
select distinct charge from purchases
 where provider = :provider and disputed = 'open' and charge > :after order by charge limit :limit
"""

_DISPUTED = "update purchases set disputed = :dispute where provider = :provider and charge = :charge"


def purchase_of(values: Sequence[Any]) -> Purchase:
    """The purchase in a row's PURCHASE_COLUMNS."""
    named = dict(zip(_NAMES, values, strict=True))
    named["dispute"] = Dispute(named["dispute"])
    return Purchase(**named)


class Purchases:
    """The purchases table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def upsert(self, purchases: Sequence[Purchase]) -> int:
        """Remembers these purchases, by seller and reference, and returns how many were new.

        Of two with the same seller and reference in one call, the later one counts.
        """
        last = {(purchase.seller, reference_key(purchase.reference)): purchase for purchase in purchases}
        columns: dict[str, list[Any]] = {name: [getattr(p, name) for p in last.values()] for name in _NAMES}
        columns["reference_key"] = [key for _, key in last]
        columns["email_key"] = [email_key(purchase.email) for purchase in last.values()]
        return sum(row.fresh for row in self._work.run(_PUT, **columns))

    def paid_by(self, payments: Sequence[tuple[str, str]]) -> list[Purchase]:
        """The purchases that were paid by one of these payments: (provider, charge)."""
        providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
        rows = self._work.run(_PAID_BY, providers=providers, charges=charges)
        return [purchase_of(row) for row in rows]

    def add_refunded(self, purchase: UUID, minor: int) -> None:
        """At least so many minor units of this purchase were refunded, by whomever."""
        self._work.run(_TOUCHED, id=purchase, minor=minor)

    def lock_payments(self, payments: Sequence[tuple[str, str]]) -> None:
        """Whoever draws conclusions about these payments takes turns, until the commit."""
        if payments:
            providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
            self._work.run(_HOLD, providers=providers, charges=charges)

    def open_disputes(self, provider: str, *, after: str, limit: int) -> list[str]:
        """Payments of this provider whose disputes are open as far as we know, from the one behind ``after`` on."""
        return [row.charge for row in self._work.run(_OPEN_DISPUTES, provider=provider, after=after, limit=limit)]

    def set_dispute(self, provider: str, charge: str, dispute: Dispute) -> None:
        """So the provider says that the dispute about this payment stands."""
        self._work.run(_DISPUTED, provider=provider, charge=charge, dispute=dispute)

    def get(self, purchase: UUID) -> Purchase | None:
        """This purchase."""
        row = self._work.run(f"select {PURCHASE_COLUMNS} from purchases p where id = :id", id=purchase).one_or_none()
        return None if row is None else purchase_of(row)

"""Find cases by their names: a case number, a reference, an e-mail address, or the id of a charge or of a refund."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain import case_numbers
from domain.errors import UnreadableError
from domain.purchases import email_key, reference_key
from domain.states import State
from records.transaction import Transaction

_SEARCH = """
with purchase as (
  select p.id from purchases p where p.reference_key = :reference_key
  union select p.id from purchases p where p.email_key = :email_key
  union select b.purchase_id from purchase_payments b where b.charge = :text
  union select b.purchase_id from payment_ids d join purchase_payments b using (provider, charge) where d.id = :text
  union select b.purchase_id from external_refunds e join purchase_payments b using (provider, charge) where e.refund_id = :text
), hit as (
  select c.id from cases c where c.number = :number
  union select c.id from cases c where c.id = :id
  union select c.id from cases c where c.reference_key = :reference_key
  union select c.id from cases c where c.email_key = :email_key
  union select c.id from purchase join cases c on c.purchase_id = purchase.id
  union select o.case_id from refund_operations o where o.charge = :text
  union select o.case_id from refund_operations o where o.refund_id = :text
)
select c.id, c.number, c.state, coalesce(c.seller_id, '') as seller_id, c.received_at
  from hit join cases c using (id) where {of_sellers} order by c.received_at desc, c.id limit :limit
"""
"""Each part reads an index. Each name is compared as a whole: a part of an e-mail address finds nothing."""


@dataclass(frozen=True, slots=True)
class FoundCase:
    """A case that a search found."""

    id: UUID
    number: str
    state: State
    seller_id: str
    received_at: datetime


class CaseSearch:
    """Searches cases in every state."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def find(self, text: str, *, sellers: Collection[str] | None, limit: int) -> list[FoundCase]:
        """Return up to ``limit`` cases of these sellers that have this name, the newest first. None means every seller.

        A name is a case number or an id, a reference, an e-mail address, or the id of a charge or of a refund.
        """
        text = text.strip()
        rows = self._work.run(
            _SEARCH.format(of_sellers="true" if sellers is None else "c.seller_id = any(:sellers)"),
            text=text,
            number=_number(text),
            id=_id(text),
            reference_key=reference_key(text),
            email_key=email_key(text),
            limit=limit,
            **({} if sellers is None else {"sellers": sorted(sellers)}),
        )
        return [
            FoundCase(row.id, case_numbers.encode(row.number), State(row.state), row.seller_id, row.received_at)
            for row in rows
        ]


def _number(text: str) -> int | None:
    with suppress(UnreadableError):
        return case_numbers.decode(text)
    return None


def _id(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text)
    return None

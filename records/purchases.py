"""Store purchases and their payments as sellers and providers report them, with the refunds and disputes of each payment."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.providers import ListedRefund
from domain.purchase_reports import (
    EarlierRows,
    OtherSeller,
    PurchaseReport,
    Refusal,
    add_row,
    find_repeated_payment,
    new_purchase,
    updated_purchase,
)
from domain.purchases import Dispute, Payment, Purchase, PurchaseItem, email_key, literal_reference, reference_key
from records.tables.cases import OPEN_STATE_NAMES
from records.transaction import Transaction

_NAMES = (
    "id seller_id reference email product purchased_at renewal consumer tax items "
    "reported_refunded reported_dispute from_provider"
).split()
_READ_NAMES = [*_NAMES, "refunded_another_way"]
"""The columns of a purchase. The last column is no part of a report, so that a report does not change it."""
_PAYMENT_NAMES = "provider charge amount currency method instrument charged_at duplicate".split()

PURCHASE_COLUMNS = (
    ", ".join(f"p.{name}" for name in _READ_NAMES)
    + """, array(
  select jsonb_build_array(b.provider, b.charge, b.amount, b.currency, b.method, b.instrument, b.charged_at, b.duplicate,
                           y.refunded + y.refunded_elsewhere, y.dispute,
                           (select sum(s.amount) from purchase_payments s where s.provider = b.provider and s.charge = b.charge),
                           greatest(0, y.reserved - y.refunded))
    from purchase_payments b
   cross join lateral (select * from payments y where y.provider = b.provider and y.charge = b.charge limit 1) y
   where b.purchase_id = p.id order by b.position
) as payments"""
)
"""The columns that purchase_of() reads, in this order.

The limit makes PostgreSQL look up each payment in the index. As long as the tables have no statistics, a join would read all
payments once for each purchase.
"""

_CLAIM_FOR_SELLERS = """
insert into payments (provider, charge, seller_id)
select distinct on (provider, charge) provider, charge, seller_id
  from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:seller_ids as text[])) with ordinality
    as i(provider, charge, seller_id, number)
 order by provider, charge, number
on conflict (provider, charge) do nothing
returning provider, charge, seller_id
"""
"""Give each new payment to the first seller that reports it, and return it.

No existing payment is locked, because a worker that refunds the payment locks its purchase first.
"""

_SELECT_FOREIGN = """
select y.provider, y.charge, y.seller_id
  from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:seller_ids as text[])) as i(provider, charge, seller_id)
  join payments y on y.provider = i.provider and y.charge = i.charge and y.seller_id <> i.seller_id
"""
"""The payments that belong to another seller than the seller who reports them."""

_RELEASE = """
delete from payments y using unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
 where y.provider = i.provider and y.charge = i.charge
   and y.case_id is null and y.refunded_elsewhere = 0 and y.dispute = 'none'
   and not exists (select from purchase_payments b where b.provider = y.provider and b.charge = y.charge)
   and not exists (select from external_refunds e where e.provider = y.provider and e.charge = y.charge)
   and not exists (select from payment_ids d where d.provider = y.provider and d.charge = y.charge)
"""
"""Take payments from their sellers that paid no purchase, and about which nothing happened."""

_INSERT_IDS = """
insert into payment_ids (provider, id, charge)
select i.provider, i.id, i.charge
  from unnest(cast(:providers as text[]), cast(:ids as text[]), cast(:charges as text[])) as i(provider, id, charge)
 where not exists (select from payments y where y.provider = i.provider and y.charge = i.id)
 order by i.provider, i.id
on conflict do nothing
"""
"""Store other ids of payments. An id that is already the charge of a payment stays a charge."""

_SELECT_CHARGES = """
select provider, id, charge from payment_ids
  join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, id) using (provider, id)
"""

_INSERT = f"""
insert into purchases ({", ".join(_NAMES)}, literal_reference, reference_key, email_key)
select * from unnest(
  cast(:id as uuid[]), cast(:seller_id as text[]), cast(:reference as text[]), cast(:email as text[]),
  cast(:product as text[]), cast(:purchased_at as timestamptz[]), cast(:renewal as bool[]), cast(:consumer as bool[]),
  cast(:tax as bigint[]), cast(:items as jsonb[]), cast(:reported_refunded as bigint[]), cast(:reported_dispute as text[]),
  cast(:from_provider as bool[]), cast(:literal_reference as text[]), cast(:reference_key as text[]),
  cast(:email_key as text[]))
on conflict (seller_id, literal_reference) do nothing
returning id
"""

_RENAME = f"""
update purchases p
   set reference = i.reference, literal_reference = i.literal_reference, reference_key = i.reference_key
  from (select distinct on (seller_id, literal_reference) *
          from (select distinct on (b.purchase_id) b.purchase_id, i.*
                  from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:seller_ids as text[]),
                              cast(:emails as text[]), cast(:references as text[]), cast(:literal_references as text[]),
                              cast(:reference_keys as text[])) with ordinality
                    as i(provider, charge, seller_id, email_key, reference, literal_reference, reference_key, number)
                  join purchase_payments b on b.provider = i.provider and b.charge = i.charge
                 order by b.purchase_id, number) named
         order by seller_id, literal_reference, number) i
 where p.id = i.purchase_id and p.seller_id = i.seller_id and p.from_provider
   and (coalesce(i.email_key, p.email_key) = p.email_key
        or not exists (select from cases c where c.purchase_id = p.id and c.state in ({OPEN_STATE_NAMES})))
   and not exists (select from purchases q where q.seller_id = p.seller_id and q.literal_reference = i.literal_reference)
returning p.id
"""
"""Give purchases that only a provider has reported the reference that their seller reports for the same payment.

A purchase with an open case keeps its reference if the seller reports another address. If an order has several such payments,
the purchase of its first payment gets the reference.
"""

_SELECT_KNOWN = f"""
select i.number, p.xmin::text = pg_current_xact_id()::xid::text as is_fresh,
       exists (select from cases c where c.purchase_id = p.id and c.state in ({OPEN_STATE_NAMES})) as is_held,
       {PURCHASE_COLUMNS}
  from unnest(cast(:seller_ids as text[]), cast(:literal_references as text[])) with ordinality
    as i(seller_id, literal_reference, number)
  join purchases p on p.seller_id = i.seller_id and p.literal_reference = i.literal_reference
 order by p.id for no key update of p
"""
"""The known purchases of reports. A purchase is fresh if this transaction created or changed it."""

_UPDATE = """
update purchases p
   set email = i.email, email_key = coalesce(nullif(i.email_key, ''), p.email_key), product = i.product,
       purchased_at = i.purchased_at, renewal = i.renewal, consumer = i.consumer, tax = i.tax, items = i.items,
       reported_refunded = i.reported_refunded, reported_dispute = i.reported_dispute, from_provider = i.from_provider
  from unnest(
    cast(:id as uuid[]), cast(:email as text[]), cast(:product as text[]), cast(:purchased_at as timestamptz[]),
    cast(:renewal as bool[]), cast(:consumer as bool[]), cast(:tax as bigint[]), cast(:items as jsonb[]),
    cast(:reported_refunded as bigint[]), cast(:reported_dispute as text[]), cast(:from_provider as bool[]),
    cast(:email_key as text[]))
    as i(id, email, product, purchased_at, renewal, consumer, tax, items, reported_refunded, reported_dispute, from_provider,
         email_key)
 where p.id = i.id
"""
"""Update purchases. A purchase whose personal data was removed keeps the hash of the e-mail key."""

_DELETE_PAYMENTS = "delete from purchase_payments where purchase_id = any(:ids)"

_INSERT_PAYMENTS = f"""
insert into purchase_payments (purchase_id, position, {", ".join(_PAYMENT_NAMES)})
select * from unnest(
  cast(:purchase_ids as uuid[]), cast(:positions as int[]), cast(:provider as text[]), cast(:charge as text[]),
  cast(:amount as bigint[]), cast(:currency as text[]), cast(:method as text[]), cast(:instrument as text[]),
  cast(:charged_at as timestamptz[]), cast(:duplicate as bool[]))
"""

_SELECT_BY_PAYMENT = f"""
select {PURCHASE_COLUMNS} from purchases p
 where p.id in (select b.purchase_id from purchase_payments b
                  join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
                    on b.provider = i.provider and b.charge = i.charge)
 order by p.purchased_at, p.id
"""

_SELECT_REFUNDED = f"""
select i.provider, i.charge, {PURCHASE_COLUMNS}
  from (select distinct * from unnest(cast(:providers as text[]), cast(:charges as text[]))) as i(provider, charge)
 cross join lateral (
   select c.purchase_id from refund_operations o join cases c on c.id = o.case_id
    where o.provider = i.provider and o.charge = i.charge order by o.first_sent_at desc limit 1) n
  join purchases p on p.id = n.purchase_id
"""

_SELECT_EXTERNAL_REFUNDS = """
select refund_id from external_refunds where provider = :provider and charge = :charge and status <> 'failed'
"""

_SELECT_BY_REFERENCE = f"""
select i.number, {PURCHASE_COLUMNS}
  from unnest(cast(:seller_ids as text[]), cast(:literal_references as text[])) with ordinality
    as i(seller_id, literal_reference, number)
  join purchases p on p.seller_id = i.seller_id and p.literal_reference = i.literal_reference
"""

_SELECT_BY_ID = f"select {PURCHASE_COLUMNS} from purchases p where p.id = :id"

_SELECT_BY_IDS = f"select {PURCHASE_COLUMNS} from purchases p where p.id = any(:ids)"

_LOCK_PAYMENTS = """
select charge from payments
 where (provider, charge) in (select * from unnest(cast(:providers as text[]), cast(:charges as text[])))
 order by provider, charge for no key update
"""

_RECORD_EXTERNAL_REFUNDS = """
with listed as (
  select * from unnest(cast(:refund_ids as text[]), cast(:charges as text[]), cast(:amounts as bigint[]),
                       cast(:currencies as text[]), cast(:statuses as text[])) as i(refund_id, charge, amount, currency, status)
), stored as (
  insert into external_refunds as e (provider, refund_id, charge, amount, currency, status)
  select :provider, refund_id, charge, amount, currency, status from listed
  on conflict (provider, refund_id) do update set status = excluded.status, amount = excluded.amount
   where (e.status, e.amount) is distinct from (excluded.status, excluded.amount)
  returning charge, refund_id, amount, status
), before as (
  select e.charge, e.refund_id, e.amount, e.status from external_refunds e join listed using (charge, refund_id)
   where e.provider = :provider
), changes as (
  select s.charge, case when s.status = 'failed' then 0 else s.amount end
                   - case when coalesce(b.status, 'failed') = 'failed' then 0 else b.amount end as change
    from stored s left join before b using (charge, refund_id)
)
update payments y set refunded_elsewhere = greatest(0, y.refunded_elsewhere + c.change)
  from (select charge, sum(change) as change from changes group by charge) c
 where y.provider = :provider and y.charge = c.charge and c.change <> 0
returning y.charge
"""
"""Store each refund as a row, and add the change to the payment's sum. A pending refund counts, and a failed refund does not.

The common table expression ``before`` reads the rows as they were before this statement.
"""

_SELECT_OPEN_DISPUTES = """
select charge from payments
 where provider = :provider and dispute in ('open', 'inquiry') and charge > :after order by charge limit :limit
"""

_SELECT_DISPUTES = "select charge, dispute from payments where provider = :provider and charge = any(:charges)"

_SET_DISPUTE = """
update payments set dispute = :dispute, dispute_respond_by = :respond_by
 where provider = :provider and charge = :charge
   and (dispute, dispute_respond_by) is distinct from (:dispute, cast(:respond_by as timestamptz))
returning charge
"""

_ADD_REFUND_ANOTHER_WAY = "update purchases set refunded_another_way = refunded_another_way + :minor where id = :id"


def purchase_of(values: Sequence[Any]) -> Purchase:
    """Return a purchase from the values of PURCHASE_COLUMNS."""
    by_name = dict(zip(_READ_NAMES, values[:-1], strict=True))
    by_name["reported_dispute"] = Dispute(by_name["reported_dispute"])
    by_name["items"] = tuple(PurchaseItem(**item) for item in by_name["items"])
    return Purchase(**by_name, payments=tuple(map(_payment_of, values[-1])))


def _payment_of(values: Sequence[Any]) -> Payment:
    *reported, refunded, dispute, captured, unresolved = values
    by_name = dict(zip(_PAYMENT_NAMES, reported, strict=True))
    by_name["charged_at"] = datetime.fromisoformat(by_name["charged_at"])
    return Payment(**by_name, refunded=refunded, dispute=Dispute(dispute), captured=captured, unresolved=unresolved)


@dataclass(frozen=True, slots=True)
class Reported:
    """The result of a report: the purchase as it is stored now."""

    purchase: Purchase
    is_new: bool
    is_changed: bool = True
    is_further: bool = False
    """True if an earlier row of the same file is about the same purchase."""


ReportResult = Reported | Refusal | OtherSeller
_Numbered = Mapping[int, PurchaseReport]
"""Reports by their numbers, in their order."""
_Results = dict[int, ReportResult]
"""Results by the numbers of their reports."""


class Purchases:
    """The tables ``purchases``, ``payments``, ``payment_ids``, ``purchase_payments`` and ``external_refunds``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work
        self._earlier: dict[UUID, EarlierRows] = {}
        """The rows of this transaction about each purchase. A new purchase with one payment is left out to save memory."""
        self._renamed: set[UUID] = set()
        """The purchases that got the reference of their seller in this transaction."""

    def report(self, reports: Sequence[PurchaseReport]) -> list[ReportResult]:
        """Store what these reports say about purchases, and return a result for each report, in the same order.

        Reports about the same purchase are stored as if they came one after another. The reports of one transaction are the
        rows of one file. Nothing of a refused report is stored.
        """
        numbered = dict(enumerate(self._with_known_charges(reports)))
        results: _Results = {
            number: refusal for number, report in numbered.items() if (refusal := find_repeated_payment(report))
        }
        owners = self._claim_payments(_without(numbered, results))
        results |= _refuse_payments_of_others(_without(numbered, results), owners)
        results |= self._find_paid(_without(numbered, results))
        pending = _without(numbered, results)
        self._rename([report for report in pending.values() if not report.from_provider], owners)
        purchases = _by_purchase(pending)
        results |= self._update({key: rows for key, rows in purchases.items() if _names_known(rows, owners)})
        purchases = _by_purchase(_without(pending, results))
        results |= self._insert(purchases)
        results |= self._update(
            {
                key: rows
                for key, rows in purchases.items()
                if not any(isinstance(results.get(number), Reported) for number in rows)
            }
        )
        self._release_unused(numbered, results, owners)
        return [results[number] for number in numbered]

    def put_other_ids(self, provider: str, ids: Mapping[str, str]) -> None:
        """Store other ids of payments, so that a report with such an id is about the same payment. ``ids`` has the charges."""
        if ids:
            providers = [provider] * len(ids)
            self._work.run(_INSERT_IDS, providers=providers, ids=list(ids), charges=list(ids.values()))

    def _with_known_charges(self, reports: Sequence[PurchaseReport]) -> Sequence[PurchaseReport]:
        """Return the reports with the charges that we store, if sellers report other ids of these payments."""
        named = [payment for report in reports for payment in report.payment_ids]
        rows = self._work.run(_SELECT_CHARGES, **_columns(named)) if named else ()
        charges = {(row.provider, row.id): row.charge for row in rows}
        return [report.with_charges(charges) for report in reports] if charges else reports

    def _claim_payments(self, reports: _Numbered) -> dict[tuple[str, str], str]:
        """Give new payments to their sellers. Return the sellers of the new payments, and of the payments of other sellers."""
        named = [(*payment, report.seller_id) for report in reports.values() for payment in report.payment_ids]
        if not named:
            return {}
        providers, charges, sellers = map(list, zip(*named, strict=True))
        new = self._work.run(_CLAIM_FOR_SELLERS, providers=providers, charges=charges, seller_ids=sellers)
        owners = {(provider, charge): seller for provider, charge, seller in new}
        if len(owners) < len(set(zip(providers, charges, strict=True))):
            foreign = self._work.run(_SELECT_FOREIGN, providers=providers, charges=charges, seller_ids=sellers)
            owners |= {(row.provider, row.charge): row.seller_id for row in foreign}
        return owners

    def _release_unused(self, reports: _Numbered, results: _Results, owners: Mapping[tuple[str, str], str]) -> None:
        """Release the new payments of refused reports, and of reports that a later row of the file has corrected."""
        stored = [result.purchase for number in reports if isinstance(result := results[number], Reported)]
        latest = {purchase.id: purchase for purchase in stored}
        used = {payment.id for purchase in latest.values() for payment in purchase.payments}
        self._release_payments(
            [
                payment
                for report in reports.values()
                for payment in report.payment_ids
                if owners.get(payment) == report.seller_id and payment not in used
            ]
        )

    def _release_payments(self, payments: Sequence[tuple[str, str]]) -> None:
        """Take these payments from their sellers if they paid no purchase. Otherwise another seller could not report them."""
        if payments:
            self._work.run(_RELEASE, **_columns(payments))

    def _find_paid(self, reports: _Numbered) -> _Results:
        """Find the purchases that sellers have reported with the payments of a provider, perhaps while this report waited.

        Such a report changes nothing.
        """
        listed = {number: report for number, report in reports.items() if report.from_provider}
        paid = self.paid_by([payment for report in listed.values() for payment in report.payment_ids])
        return {
            number: Reported(purchases[0], is_new=False, is_changed=False)
            for number, report in listed.items()
            for payment in report.payment_ids
            if (purchases := paid[payment])
        }

    def _rename(self, reports: Sequence[PurchaseReport], new: Collection[tuple[str, str]]) -> None:
        """Find the purchases that only a provider has reported by their payments, and give them the seller's references.

        No purchase was paid with one of the ``new`` payments.
        """
        named = [(report, payment) for report in reports for payment in report.payment_ids if payment not in new]
        if named:
            references = [report.reference for report, _ in named]
            renamed = self._work.run(
                _RENAME,
                **_columns([payment for _, payment in named]),
                seller_ids=[report.seller_id for report, _ in named],
                emails=[_reported_email_key(report) for report, _ in named],
                references=references,
                literal_references=[literal_reference(reference) for reference in references],
                reference_keys=[reference_key(reference) for reference in references],
            )
            self._renamed |= {row.id for row in renamed}

    def _insert(self, reports: Mapping[tuple[str, str], _Numbered]) -> _Results:
        """Insert the purchases that do not exist yet. Purchases that exist have no results."""
        candidates = [_create(rows) for rows in reports.values()]
        complete = [candidate.purchase for candidate in candidates if candidate.purchase]
        rows = self._work.run(_INSERT, **_purchase_columns(complete)) if complete else ()
        inserted = {row.id for row in rows}
        self._insert_payments([purchase for purchase in complete if purchase.id in inserted])
        results: _Results = {}
        for purchase, earlier, of_rows in candidates:
            if purchase is None or purchase.id in inserted:
                results |= of_rows
            if purchase and purchase.id in inserted and len(purchase.payments) > 1:
                self._earlier[purchase.id] = earlier
        return results

    def _update(self, reports: Mapping[tuple[str, str], _Numbered]) -> _Results:
        """Update the purchases that exist. Reports about unknown purchases have no result."""
        if not reports:
            return {}
        keys = list(reports)
        rows = self._work.run(
            _SELECT_KNOWN, seller_ids=[seller for seller, _ in keys], literal_references=[text for _, text in keys]
        )
        results: _Results = {}
        changed: list[tuple[Purchase, Purchase]] = []
        for row in rows:
            known = purchase_of(row[3:])
            is_fresh = row.is_fresh and known.id not in self._renamed
            earlier = self._earlier.get(known.id, {} if is_fresh else None)
            merged, earlier, of_rows = _apply(
                known, reports[keys[row.number - 1]], is_held=row.is_held, earlier=earlier
            )
            results |= of_rows
            changed += [(known, merged)] if merged != known else []
            if earlier is not None:
                self._earlier[known.id] = earlier
        self._write_changes(changed)
        return results

    def _write_changes(self, changed: Sequence[tuple[Purchase, Purchase]]) -> None:
        if changed:
            columns = _purchase_columns([merged for _, merged in changed])
            self._work.run(_UPDATE, **{name: columns[name] for name in _UPDATED})
        with_payments = [merged for known, merged in changed if known.payments != merged.payments]
        if with_payments:
            self._work.run(_DELETE_PAYMENTS, ids=[purchase.id for purchase in with_payments])
            self._insert_payments(with_payments)
        self._release_payments(
            [
                payment.id
                for known, merged in changed
                for payment in known.payments
                if payment.id not in {kept.id for kept in merged.payments}
            ]
        )

    def _insert_payments(self, purchases: Sequence[Purchase]) -> None:
        rows = [
            (purchase.id, number, payment) for purchase in purchases for number, payment in enumerate(purchase.payments)
        ]
        if rows:
            self._work.run(
                _INSERT_PAYMENTS,
                purchase_ids=[purchase_id for purchase_id, _, _ in rows],
                positions=[number for _, number, _ in rows],
                **{name: [getattr(payment, name) for _, _, payment in rows] for name in _PAYMENT_NAMES},
            )

    def paid_by(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Purchase]]:
        """Return, for each of these payments, the purchases that were paid with it. A payment is a provider and a charge."""
        wanted: dict[tuple[str, str], list[Purchase]] = {payment: [] for payment in payments}
        if wanted:
            for row in self._work.run(_SELECT_BY_PAYMENT, **_columns(payments)):
                purchase = purchase_of(row)
                for payment in purchase.payments:
                    wanted.get(payment.id, []).append(purchase)
        return wanted

    def of_payments(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Purchase]]:
        """Return, for each of these payments, the purchases that were paid with it.

        A correction can remove a payment from its purchase. If Moneyback has sent a refund of such a payment, return the purchase
        of that refund.
        """
        paid = self.paid_by(payments)
        if removed := [payment for payment, purchases in paid.items() if not purchases]:
            for row in self._work.run(_SELECT_REFUNDED, **_columns(removed)):
                paid[row.provider, row.charge] = [purchase_of(row[2:])]
        return paid

    def with_references(self, references: Sequence[tuple[str, str]]) -> list[Purchase | None]:
        """Return the purchase with each reference, in the same order. A reference is a seller and the seller's reference."""
        found: list[Purchase | None] = [None] * len(references)
        rows = self._work.run(
            _SELECT_BY_REFERENCE,
            seller_ids=[seller for seller, _ in references],
            literal_references=[literal_reference(reference) for _, reference in references],
        )
        for row in rows:
            found[row.number - 1] = purchase_of(row[1:])
        return found

    def record_external_refunds(self, provider: str, refunds: Sequence[ListedRefund]) -> set[str]:
        """Store these refunds, which Moneyback did not make, and their sum per payment. A failed refund counts no more.

        Return the charges whose sum changed.
        """
        refunds = list({refund.refund_id: refund for refund in refunds}.values())  # a provider may list a refund twice
        if not refunds:
            return set()
        rows = self._work.run(
            _RECORD_EXTERNAL_REFUNDS,
            provider=provider,
            refund_ids=[refund.refund_id for refund in refunds],
            charges=[refund.charge for refund in refunds],
            amounts=[refund.amount.minor for refund in refunds],
            currencies=[refund.amount.currency for refund in refunds],
            statuses=[refund.status for refund in refunds],
        )
        return {row.charge for row in rows}

    def external_refunds_of(self, provider: str, charge: str) -> set[str]:
        """Return the ids of the recorded refunds of this payment that Moneyback did not make. Leave out failed refunds."""
        rows = self._work.run(_SELECT_EXTERNAL_REFUNDS, provider=provider, charge=charge)
        return {row.refund_id for row in rows}

    def lock_payments(self, payments: Sequence[tuple[str, str]]) -> None:
        """Lock these payments until the commit. A payment is a pair of provider and charge.

        Another worker that locks one of these payments waits for the commit.
        """
        if payments:
            self._work.run(_LOCK_PAYMENTS, **_columns(payments))

    def open_disputes(self, provider: str, *, after: str, limit: int) -> list[str]:
        """Return at most ``limit`` charges that have an open dispute or inquiry at this provider.

        Return the charges in ascending order. Begin with the first charge after ``after``.
        """
        return [
            row.charge for row in self._work.run(_SELECT_OPEN_DISPUTES, provider=provider, after=after, limit=limit)
        ]

    def disputes_of(self, provider: str, charges: Sequence[str]) -> dict[str, Dispute]:
        """Return the dispute status of the payments with these charges. A payment that is not in our records is left out."""
        rows = self._work.run(_SELECT_DISPUTES, provider=provider, charges=list(charges)) if charges else ()
        return {row.charge: Dispute(row.dispute) for row in rows}

    def set_dispute(self, provider: str, charge: str, dispute: Dispute, *, respond_by: datetime | None = None) -> bool:
        """Store the dispute status that the provider reports for this payment. Return whether anything changed.

        ``respond_by`` is the instant until which the provider expects an answer.
        """
        rows = self._work.run(_SET_DISPUTE, provider=provider, charge=charge, dispute=dispute, respond_by=respond_by)
        return rows.one_or_none() is not None

    def add_refund_another_way(self, purchase: UUID, minor: int) -> None:
        """Count an amount that support refunded another way, in minor units of the purchase's currency."""
        self._work.run(_ADD_REFUND_ANOTHER_WAY, id=purchase, minor=minor)

    def get_many(self, purchases: Sequence[UUID]) -> dict[UUID, Purchase]:
        """Return these purchases by id. They are not locked."""
        found = [purchase_of(row) for row in self._work.run(_SELECT_BY_IDS, ids=list(purchases))] if purchases else []
        return {purchase.id: purchase for purchase in found}

    def get(self, purchase: UUID) -> Purchase | None:
        """Return the purchase with this id, or None if there is no such purchase."""
        row = self._work.run(_SELECT_BY_ID, id=purchase).one_or_none()
        return None if row is None else purchase_of(row)


_UPDATED = (
    "id",
    "email",
    "product",
    "purchased_at",
    "renewal",
    "consumer",
    "tax",
    "items",
    "reported_refunded",
    "reported_dispute",
    "from_provider",
    "email_key",
)


class _Stored(NamedTuple):
    """A purchase after the rows of a file, what the rows reported, and the results of the rows."""

    purchase: Purchase | None
    earlier: EarlierRows
    results: _Results


def _create(rows: _Numbered) -> _Stored:
    """Create a purchase with the first row that has all fields of a purchase, and apply the later rows."""
    results: _Results = {}
    later = dict(rows)
    for number, report in rows.items():
        del later[number]
        created = new_purchase(report)
        if isinstance(created, Purchase):
            purchase, earlier, of_later = _apply(created, later, is_held=False, earlier={})
            return _Stored(purchase, earlier or {}, results | {number: Reported(created, is_new=True)} | of_later)
        results[number] = created
    return _Stored(None, {}, results)


def _apply(
    known: Purchase, rows: _Numbered, *, is_held: bool, earlier: EarlierRows | None
) -> tuple[Purchase, EarlierRows | None, _Results]:
    """Apply the rows of a file to a purchase one after another."""
    results: _Results = {}
    for number, report in rows.items():
        merged = updated_purchase(known, report, is_held=is_held, earlier=earlier)
        if isinstance(merged, Purchase):
            is_further = earlier is not None
            results[number] = Reported(merged, is_new=False, is_changed=merged != known, is_further=is_further)
            known, earlier = merged, add_row(known, report, earlier)
        else:
            results[number] = merged
    return known, earlier, results


def _without(reports: _Numbered, results: Mapping[int, ReportResult]) -> dict[int, PurchaseReport]:
    """Return the reports that have no result yet."""
    return {number: report for number, report in reports.items() if number not in results}


def _by_purchase(reports: _Numbered) -> dict[tuple[str, str], dict[int, PurchaseReport]]:
    """Return the reports by the seller and the literal reference of their purchases."""
    grouped: dict[tuple[str, str], dict[int, PurchaseReport]] = {}
    for number, report in reports.items():
        grouped.setdefault((report.seller_id, literal_reference(report.reference)), {})[number] = report
    return grouped


def _names_known(rows: _Numbered, new: Collection[tuple[str, str]]) -> bool:
    """Return whether a payment of the rows was known before. Then their purchase is usually known, too."""
    return any(payment not in new for report in rows.values() for payment in report.payment_ids)


def _refuse_payments_of_others(reports: _Numbered, owners: Mapping[tuple[str, str], str]) -> _Results:
    """Refuse the reports that name a payment of another seller."""
    return {
        number: OtherSeller(*payment, owners[payment])
        for number, report in reports.items()
        for payment in report.payment_ids
        if owners.get(payment, report.seller_id) != report.seller_id
    }


def _reported_email_key(report: PurchaseReport) -> str | None:
    return email_key(str(report.fields["email"])) if "email" in report.fields else None


def _purchase_columns(purchases: Sequence[Purchase]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [getattr(purchase, name) for purchase in purchases] for name in _NAMES}
    columns["items"] = [json.dumps([asdict(item) for item in purchase.items]) for purchase in purchases]
    columns["literal_reference"] = [literal_reference(purchase.reference) for purchase in purchases]
    columns["reference_key"] = [reference_key(purchase.reference) for purchase in purchases]
    columns["email_key"] = [email_key(purchase.email) for purchase in purchases]
    return columns


def _columns(payments: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the payments as two arrays for a statement."""
    return {"providers": [provider for provider, _ in payments], "charges": [charge for _, charge in payments]}

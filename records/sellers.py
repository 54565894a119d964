"""Store sellers, and each version of their policies."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from domain.money import Money
from domain.policies import Category, Policy, Seller, SerialLimit
from records.support_tasks import SupportTasks
from records.transaction import Transaction

_zone = cache(ZoneInfo)

SELLER_COLUMNS = """
s.id, s.name, s.time_zone, s.support_email, s.self_service, s.ceiling_minor, s.ceiling_currency, s.serial_count,
s.serial_days, s.reference_field, s.four_eyes_minor, s.four_eyes_currency, s.undo_minor, s.undo_currency,
s.answer_hours
"""
"""The columns of a seller, in the order in which seller_of() reads them."""

SELLER_WIDTH = len(SELLER_COLUMNS.split(","))
"""The number of columns of a seller."""

POLICY_COLUMNS = (
    "y.version, y.in_force_from, y.category, y.days, y.methods, y.excluded_products, y.renewals_excluded, "
    "y.refunds_inquiries"
)
"""The columns of a policy, in the order in which policy_of() reads them."""

POLICY_WIDTH = len(POLICY_COLUMNS.split(","))
"""The number of columns of a policy."""

_UPSERT = """
insert into sellers (id, name, time_zone, support_email, self_service, ceiling_minor, ceiling_currency, serial_count,
                     serial_days, reference_field, four_eyes_minor, four_eyes_currency, undo_minor, undo_currency,
                     answer_hours)
values (:id, :name, :time_zone, :support_email, :self_service, :ceiling_minor, :ceiling_currency, :serial_count,
        :serial_days, :reference_field, :four_eyes_minor, :four_eyes_currency, :undo_minor, :undo_currency,
        :answer_hours)
on conflict (id) do update set
  name = excluded.name, time_zone = excluded.time_zone, support_email = excluded.support_email,
  self_service = excluded.self_service, ceiling_minor = excluded.ceiling_minor,
  ceiling_currency = excluded.ceiling_currency, serial_count = excluded.serial_count, serial_days = excluded.serial_days,
  reference_field = excluded.reference_field, four_eyes_minor = excluded.four_eyes_minor,
  four_eyes_currency = excluded.four_eyes_currency, undo_minor = excluded.undo_minor,
  undo_currency = excluded.undo_currency, answer_hours = excluded.answer_hours
"""

_SELECT_ALL = f"select {SELLER_COLUMNS} from sellers s order by s.id"

_SELECT_BY_ID = f"select {SELLER_COLUMNS} from sellers s where s.id = :id"

_INSERT_POLICY = f"""
insert into policies as y
select :seller_id, coalesce(max(version), 0) + 1, coalesce(:in_force_from, now()), :category, :days, :methods,
       :excluded_products, :renewals_excluded, :refunds_inquiries
  from policies where seller_id = :seller_id
returning {POLICY_COLUMNS}
"""
"""Add a version of a seller's policy. A stored version is never changed.

If two inserts for one seller run at the same time, one of them fails on the primary key.
"""

_SELECT_POLICIES = f"select {POLICY_COLUMNS} from policies y where y.seller_id = :seller_id order by y.version"

_SELECT_UNCOVERED = """
select count(*), min(at) as earliest
  from (select case when p.renewal then (select min(b.charged_at) from purchase_payments b where b.purchase_id = p.id)
                    else p.purchased_at end as at
          from purchases p where p.seller_id = :seller_id) p
 where at < (select coalesce(min(in_force_from), 'infinity') from policies where seller_id = :seller_id)
"""
"""The purchases from before the seller's first policy. The instant of a renewal is the instant of its charge."""

_LOCK = """
select id from sellers where id = any(:ids) and serial_count is not null order by id for no key update
"""
"""Lock the sellers that limit the number of refunds.

Without the lock, two workers could each pay a refund, although the limit allows only one more refund.
"""


def _money(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)


def seller_of(values: Sequence[Any]) -> Seller:
    """Return the seller from a row with SELLER_COLUMNS."""
    id_, name, zone, support_email, self_service, minor, currency, count, days, reference_field, *limits = values
    *amounts, answer_hours = limits
    return Seller(
        id=id_,
        name=name,
        time_zone=_zone(zone),
        support_email=support_email,
        self_service=self_service,
        ceiling=_money(minor, currency),
        serial_limit=None if count is None else SerialLimit(count=count, within=timedelta(days=days)),
        reference_field=reference_field,
        four_eyes_above=_money(*amounts[:2]),
        undo_above=_money(*amounts[2:]),
        answer_hours=answer_hours,
    )


def policy_of(seller: str, values: Sequence[Any]) -> Policy | None:
    """Return the policy from a row with POLICY_COLUMNS, or None if an outer join left the columns empty."""
    version, in_force_from, category, days, methods, products, renewals, inquiries = values
    if version is None:
        return None
    return Policy(
        seller_id=seller,
        version=version,
        in_force_from=in_force_from,
        category=Category(category),
        days=days,
        methods=frozenset(methods),
        excluded_products=frozenset(products),
        renewals_excluded=renewals,
        refunds_inquiries=inquiries,
    )


class Sellers:
    """The tables ``sellers`` and ``policies``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def upsert(self, seller: Seller) -> None:
        """Insert or update a seller. If support answers in another time now, the clocks of its open tasks change."""
        known = self.get(seller.id)
        if known and (known.answer_hours, known.time_zone) != (seller.answer_hours, seller.time_zone):
            SupportTasks(self._work).announce_seller(seller.id)
        limit = seller.serial_limit
        self._work.run(
            _UPSERT,
            id=seller.id,
            name=seller.name,
            time_zone=seller.time_zone.key,
            support_email=seller.support_email,
            self_service=seller.self_service,
            ceiling_minor=seller.ceiling.minor if seller.ceiling else None,
            ceiling_currency=seller.ceiling.currency if seller.ceiling else None,
            serial_count=limit.count if limit else None,
            serial_days=limit.within.days if limit else None,
            reference_field=seller.reference_field,
            four_eyes_minor=seller.four_eyes_above.minor if seller.four_eyes_above else None,
            four_eyes_currency=seller.four_eyes_above.currency if seller.four_eyes_above else None,
            undo_minor=seller.undo_above.minor if seller.undo_above else None,
            undo_currency=seller.undo_above.currency if seller.undo_above else None,
            answer_hours=seller.answer_hours,
        )

    def list_all(self) -> list[Seller]:
        """Return all sellers in the order of their ids."""
        return [seller_of(row) for row in self._work.run(_SELECT_ALL)]

    def get(self, seller: str) -> Seller | None:
        """Return a seller by its id."""
        row = self._work.run(_SELECT_BY_ID, id=seller).one_or_none()
        return None if row is None else seller_of(row)

    def lock(self, sellers: Sequence[str]) -> None:
        """Lock each of these sellers that limits the number of refunds. The lock ends at the commit.

        So only one transaction at a time counts the refunds of such a seller.
        """
        self._work.run(_LOCK, ids=list(sellers))

    def policies(self, seller: str) -> list[Policy]:
        """Return every version of a seller's policy, the oldest version first."""
        policies = (policy_of(seller, row) for row in self._work.run(_SELECT_POLICIES, seller_id=seller))
        return [policy for policy in policies if policy]

    def uncovered_purchases(self, seller: str) -> int:
        """Return the number of the seller's purchases from before its first policy. Support decides about each of them."""
        return int(self._work.run(_SELECT_UNCOVERED, seller_id=seller).one()[0])

    def earliest_uncovered_purchase(self, seller: str) -> datetime | None:
        """Return the instant of the earliest purchase from before the seller's first policy. None means no such purchase."""
        earliest = self._work.run(_SELECT_UNCOVERED, seller_id=seller).one().earliest
        assert earliest is None or isinstance(earliest, datetime)
        return earliest

    def new_policy(
        self,
        seller: str,
        category: Category,
        *,
        days: int | None = None,
        in_force_from: datetime | None = None,
        methods: Sequence[str] = (),
        excluded_products: Sequence[str] = (),
        renewals_excluded: bool = False,
        refunds_inquiries: bool = False,
    ) -> Policy:
        """Add a version of the seller's policy. It is in force from ``in_force_from`` on. None means from now on."""
        row = self._work.run(
            _INSERT_POLICY,
            seller_id=seller,
            in_force_from=in_force_from,
            category=category,
            days=days,
            methods=list(methods),
            excluded_products=list(excluded_products),
            renewals_excluded=renewals_excluded,
            refunds_inquiries=refunds_inquiries,
        ).one()
        policy = policy_of(seller, row)
        assert policy, "The new policy has no version."
        return policy

"""Sellers, and their policies version by version."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from domain.money import Money
from domain.policies import Category, Policy, Seller, SerialLimit
from records.transaction import Transaction

_zone = cache(ZoneInfo)

_PUT = """
insert into sellers values (:id, :name, :time_zone, :support_email, :self_service, :ceiling_minor, :ceiling_currency,
                            :serial_count, :serial_days)
on conflict (id) do update set
  name = excluded.name, time_zone = excluded.time_zone, support_email = excluded.support_email,
  self_service = excluded.self_service, ceiling_minor = excluded.ceiling_minor,
  ceiling_currency = excluded.ceiling_currency, serial_count = excluded.serial_count, serial_days = excluded.serial_days
"""

_NEW_VERSION = """
insert into policies
select :seller, coalesce(max(version), 0) + 1, coalesce(:in_force_from, now()), :category, :days, :methods,
       :excluded_products, :renewals_excluded
  from policies where seller = :seller
returning version, in_force_from, category, days, methods, excluded_products, renewals_excluded
"""
"""Adds a version; none is ever edited. Two at once: the second fails on the primary key and may be tried again."""

_POLICIES = """
select version, in_force_from, category, days, methods, excluded_products, renewals_excluded
  from policies where seller = :seller order by version
"""

_TAKE_TURNS = """
select id from sellers where id = any(:sellers) and serial_count is not null order by id for no key update
"""
"""Locks sellers that count refunds: two workers that would each pay the last one allowed take turns."""


def seller_of(values: Sequence[Any]) -> Seller:
    """The seller in a row of its nine columns."""
    id_, name, zone, support_email, self_service, minor, currency, count, days = values
    return Seller(
        id=id_,
        name=name,
        time_zone=_zone(zone),
        support_email=support_email,
        self_service=self_service,
        ceiling=None if minor is None else Money(minor, currency),
        serial_limit=None if count is None else SerialLimit(count=count, within=timedelta(days=days)),
    )


def policy_of(seller: str, values: Sequence[Any]) -> Policy | None:
    """The policy in a row of version, in_force_from, category, …; None where a join found none."""
    version, in_force_from, category, days, methods, products, renewals = values
    if version is None:
        return None
    return Policy(
        seller=seller,
        version=version,
        in_force_from=in_force_from,
        category=Category(category),
        days=days,
        methods=frozenset(methods),
        excluded_products=frozenset(products),
        renewals_excluded=renewals,
    )


class Sellers:
    """The tables of sellers and policies."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def upsert(self, seller: Seller) -> None:
        """Remembers a seller, or what it has switched on."""
        limit = seller.serial_limit
        self._work.run(
            _PUT,
            id=seller.id,
            name=seller.name,
            time_zone=seller.time_zone.key,
            support_email=seller.support_email,
            self_service=seller.self_service,
            ceiling_minor=seller.ceiling.minor if seller.ceiling else None,
            ceiling_currency=seller.ceiling.currency if seller.ceiling else None,
            serial_count=limit.count if limit else None,
            serial_days=limit.within.days if limit else None,
        )

    def list_all(self) -> list[Seller]:
        """Every seller, by id."""
        return [seller_of(row) for row in self._work.run("select * from sellers order by id")]

    def get(self, seller: str) -> Seller | None:
        """This seller."""
        row = self._work.run("select * from sellers where id = :id", id=seller).one_or_none()
        return None if row is None else seller_of(row)

    def lock(self, sellers: Sequence[str]) -> None:
        """Whoever counts these sellers' refunds waits for the others that do, until their commit."""
        self._work.run(_TAKE_TURNS, sellers=list(sellers))

    def policies(self, seller: str) -> list[Policy]:
        """Every version of a seller's policy, the first one first."""
        found = (policy_of(seller, row) for row in self._work.run(_POLICIES, seller=seller))
        return [policy for policy in found if policy]

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
    ) -> Policy:
        """Adds a version, in force from this instant on, or from now."""
        row = self._work.run(
            _NEW_VERSION,
            seller=seller,
            in_force_from=in_force_from,
            category=category,
            days=days,
            methods=list(methods),
            excluded_products=list(excluded_products),
            renewals_excluded=renewals_excluded,
        ).one()
        policy = policy_of(seller, row)
        assert policy, "a new version has a number"
        return policy

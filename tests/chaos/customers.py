"""Who asks in a run of chaos, for what, by which ways and when: all of it out of the seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.api_scopes import ALL_SCOPES
from domain.policies import Category, Seller
from domain.purchases import Purchase
from domain.refund_reasons import RefundReason
from domain.requests import RefundRequest
from records import Records

SELLERS = ("aurora", "kumo", "paperboat")
CLICKS = 0.8  # of those who get a Start refund letter

BEHAVIOURS = {
    "ok": 60,
    "slow": 3,
    "hang": 3,
    "drip": 2,
    "garbage": 2,
    "wrong": 2,
    "fail500": 4,
    "lost500": 4,
    "busy": 4,
    "broke": 3,
    "early": 2,
    "tardy": 3,
    "blind": 3,
    "elsewhere": 2,
    "declined": 3,
    "closed": 1,
    "disputed": 2,
    "crossing": 2,
    "pending": 4,
    "pendingfail": 2,
    "latefail": 2,
    "dupes": 2,
    "shuffle": 2,
    "mute": 2,
    "forge": 2,
}
"""How charges behave at the provider, and how many in a hundred or so. Left out: `stored500` and `expires`, which take
hours to be proven and are the simulation's."""


class Way(NamedTuple):
    """How a request comes in."""

    trusted: bool
    often: int


WAYS = {
    "api": Way(trusted=True, often=60),
    "untrusted api": Way(trusted=False, often=8),
    "form": Way(trusted=False, often=8),
    "mail": Way(trusted=False, often=10),
    "consume": Way(trusted=False, often=14),
}


@dataclass(frozen=True)
class Ask:
    """One request. `name` is in the key it comes under: as often as it is sent, it is one case."""

    name: str
    way: str
    at: float
    """Seconds after the beginning."""
    times: int
    """How often it is sent although it was accepted."""


@dataclass(frozen=True)
class Customer:
    """One purchase, and every request for its money back."""

    purchase: Purchase
    clicks: bool
    asks: list[Ask] = field(default_factory=list)

    @property
    def request(self) -> RefundRequest:
        return RefundRequest(
            email=self.purchase.email, reference=self.purchase.reference, reason=RefundReason.DISSATISFIED, comment=""
        )


def customers(number: int, seconds: float, dice: Random) -> Iterator[Customer]:
    """So many customers, who come within so many seconds."""
    bought = datetime.now(UTC) - timedelta(days=3)
    for n in range(number):
        behaviour = dice.choices(list(BEHAVIOURS), list(BEHAVIOURS.values()))[0]
        purchase = Purchase(
            id=UUID(int=dice.getrandbits(128)),
            seller=dice.choice(SELLERS),
            reference=f"MB-{n:08}",
            email=f"customer{n}@example.com",
            product="A licence",
            amount=dice.randint(100, 20_000),
            currency="EUR",
            method="credit_card",
            provider="sandbox",
            charge=f"{behaviour}_{dice.getrandbits(64):016x}",
            purchased_at=bought,
            charged_at=bought,
        )
        customer = Customer(purchase, clicks=dice.random() < CLICKS)
        at = dice.uniform(0, seconds)
        for _ in range(dice.choices((1, 2, 5), (90, 7, 3))[0]):
            way = dice.choices(list(WAYS), [way.often for way in WAYS.values()])[0]
            times = dice.choices((1, 2, 3), (85, 10, 5))[0]
            customer.asks.append(Ask(f"{dice.getrandbits(128):032x}", way, at, times))
        yield customer


class Keys(NamedTuple):
    """A seller's keys for the API."""

    trusted: str
    untrusted: str


def furnish(records: Records, everybody: list[Customer]) -> dict[str, Keys]:
    """Set the sellers up, with what they sold; return their keys."""
    with records.work() as work:
        for seller in SELLERS:
            work.sellers.upsert(
                Seller(id=seller, name=seller.title(), time_zone=ZoneInfo("UTC"), support_email="help@example.com")
            )
            since = datetime.now(UTC) - timedelta(days=400)
            work.sellers.new_policy(seller, Category.WITHIN_DAYS, days=30, in_force_from=since)
        keys = {s: Keys(work.api_keys.create(s, ALL_SCOPES)[1], work.api_keys.create(s)[1]) for s in SELLERS}
    for first in range(0, len(everybody), 1_000):
        with records.work() as work:
            work.purchases.upsert([customer.purchase for customer in everybody[first : first + 1_000]])
    return keys
